"""Alpaca's market data: snapshots, daily bars, and what companies have announced."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.trading import Bar, CorporateAction, Snapshot
from tokenomics_dagster.providers.alpaca import parsing
from tokenomics_dagster.providers.alpaca.activities import read_corporate_actions
from tokenomics_dagster.providers.alpaca.connection import AlpacaConnection
from tokenomics_dagster.providers.errors import PermanentError

ACTIONS_PER_PAGE = 1_000  # Alpaca's maximum
BARS_PER_PAGE = 10_000  # Alpaca's maximum


class AlpacaMarketData(AlpacaConnection):
    """What the market data API tells, in batches of symbols."""

    def snapshots(self, symbols: Sequence[str]) -> dict[str, Snapshot]:
        """Those that Alpaca has; the others are left out, so compare with what was asked."""
        found: dict[str, Snapshot] = {}
        for batch in self._batches(symbols):
            found |= parsing.snapshots(self._market_data("/stocks/snapshots", batch))
        return found

    def daily_bars(
        self, symbols: Sequence[str], start: date, end: date, adjustment: Literal["raw", "all"] = "raw"
    ) -> dict[str, list[Bar]]:
        """Bars of the sessions from `start` to `end`, both included; symbols without any are left out.

        "raw": as traded; "all": as if splits, dividends and spin-offs since had been before, so that two prices make a
        return with all that it brought.
        """
        endpoint = "GET /v2/stocks/bars"
        found: dict[str, list[Bar]] = {}
        for batch in self._batches(symbols):
            fields: dict[str, str | int] = {
                "timeframe": "1Day",
                "start": _new_york_midnight(start).isoformat(),
                "end": _new_york_midnight(end).isoformat(),
                "adjustment": adjustment,
                "limit": BARS_PER_PAGE,
            }
            tokens: set[str] = set()
            while True:
                body = self._market_data("/stocks/bars", batch, **fields)
                for symbol, rows in parsing.fields(endpoint, body.get("bars") or {}).items():
                    found.setdefault(symbol, []).extend(parsing.bars(endpoint, rows))
                token = parsing.next_page(endpoint, body, tokens)
                if token is None:
                    break
                fields["page_token"] = token
        return {symbol: bars for symbol, bars in found.items() if bars}

    def corporate_actions(self, symbols: Sequence[str], start: date, end: date) -> list[CorporateAction]:
        """Those of `symbols` that are processed from `start` to `end`, both included, as far as they are told."""
        endpoint = "GET /v1/corporate-actions"
        found: dict[CorporateAction, None] = {}
        for batch in self._batches(symbols):
            fields: dict[str, str | int] = {"symbols": ",".join(batch), "limit": ACTIONS_PER_PAGE}
            fields |= {"start": start.isoformat(), "end": end.isoformat()}
            tokens: set[str] = set()
            while True:
                body = parsing.fields(endpoint, self._data("/corporate-actions", fields, version="v1"))
                found |= dict.fromkeys(read_corporate_actions(body))
                token = parsing.next_page(endpoint, body, tokens)
                if token is None:
                    break
                fields["page_token"] = token
        return list(found)

    def _batches(self, symbols: Sequence[str]) -> Iterator[list[str]]:
        unique = list(dict.fromkeys(symbols))
        for start in range(0, len(unique), self.symbols_per_call):
            yield unique[start : start + self.symbols_per_call]

    def _market_data(self, path: str, symbols: Sequence[str], **fields: str | int) -> Mapping[str, Any]:
        """The body for `symbols`. One whose form Alpaca refuses ("invalid symbol: X-Y") must not cost the others."""
        while symbols:
            wanted = {"symbols": ",".join(symbols), "feed": self.data_feed, **fields}
            try:
                return parsing.fields(f"GET /v2{path}", self._data(path, wanted))
            except PermanentError as error:
                named = set(re.findall(r"[^\s,:;\"']+", error.message))
                rest = [symbol for symbol in symbols if symbol not in named]
                if error.status != 400 or "invalid symbol" not in error.message or len(rest) == len(symbols):
                    raise
                symbols = rest
        return {}


def _new_york_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)
