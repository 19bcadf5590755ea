"""Which symbol a stock goes by now: links from old symbols to new ones, and what follows for tables of symbols.

A link comes from the broker's announcements, from its id of the asset, or from the FIGI of a listing: the last two stay
when the symbol changes. What is not listed under its old symbol any more, and only that, has been renamed. Pure, but
for the two that ask the broker.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.trading import Brokerage, CorporateAction, MarketData
from tokenomics_dagster.providers.errors import ProviderError

log = logging.getLogger("tokenomics.renames")

# A universe is a month old at most, and so may be the symbols of scores; actions are announced days ahead.
LOOK_BACK, _LOOK_AHEAD = timedelta(days=35), timedelta(days=10)
_RENAMING = frozenset({"name_change", "reverse_split", "unit_split"})


def announced(actions: Iterable[CorporateAction], listed: Collection[str]) -> dict[str, str]:
    """Old to new, of what is listed under the new symbol only."""
    links = {a.symbol: a.new_symbol for a in actions if a.kind in _RENAMING and a.new_symbol}
    return _resolved(links, listed)


def announcements(market: MarketData, symbols: Sequence[str], now: datetime) -> tuple[CorporateAction, ...]:
    """None where they cannot be read: a move of prices or shares, a symbol that is gone, is doubted without them."""
    today = now.astimezone(calendar.NEW_YORK).date()
    try:
        return tuple(market.corporate_actions(symbols, today - LOOK_BACK, today + _LOOK_AHEAD))
    except ProviderError as error:
        log.warning("corporate actions cannot be read, moves of prices and shares are doubted without them: %s", error)
        return ()


def by_identity(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Old to new by what outlives a rename (the broker's asset id, a FIGI); both map symbols to it.

    An identity that two symbols share now tells nothing.
    """
    symbols = _unique(now)
    moved = {symbol: symbols[identity] for symbol, identity in before.items() if identity in symbols}
    # No chain: by its identity each is already at its last symbol, and its new one may have been another's before.
    return {old: new for old, new in moved.items() if old != new and old not in now}


def renamed(frame: pd.DataFrame, links: Mapping[str, str]) -> pd.DataFrame:
    """A table with a column `symbol` under the symbols of now; where both are in it, the new one's row stays."""
    if not frame["symbol"].isin(links.keys()).any():
        return frame
    present = set(frame["symbol"])
    kept = frame[~frame["symbol"].map(lambda symbol: links.get(symbol) in present)]
    return kept.assign(symbol=kept["symbol"].replace(dict(links))).reset_index(drop=True)


def symbols_of_now(
    broker: Brokerage, symbols: Iterable[str], asset_ids: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """Old to new, of the `symbols` that were renamed of late; `asset_ids`: the broker's, as far as they are known.

    Raises ProviderError.
    """
    assets = broker.assets()
    gone = [symbol for symbol in symbols if symbol not in assets]
    if not gone:
        return {}
    ids = {symbol: asset_ids[symbol] for symbol in gone if symbol in asset_ids}
    return {
        **by_identity(ids, {symbol: asset.id for symbol, asset in assets.items()}),
        **announced(announcements(broker, gone, now), assets),
    }


def inherited(facts: pd.DataFrame, links: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows (`symbol`, `known_at`) that new symbols lack of their old ones: the newest each, as old as they are."""
    newest = {row["symbol"]: row for row in facts.to_dict("records")}
    found = []
    for old, new in sorted(links.items()):
        row = newest.get(old)
        if row is not None and (new not in newest or newest[new]["known_at"] < row["known_at"]):
            known = {str(column): None if value != value else value for column, value in row.items()}
            found.append({**known, "symbol": new, "known_at": row["known_at"].to_pydatetime()})
    return found


def followed_on(links: Mapping[str, str], before: Mapping[str, str], followed: Collection[str]) -> dict[str, str]:
    """`links` with those of `before`, old to new, of what is `followed` under the new symbol only."""
    both = {**{old: links.get(new, new) for old, new in before.items()}, **links}
    return {old: new for old, new in both.items() if new in followed and old not in followed}


def _unique(identities: Mapping[str, str]) -> dict[str, str]:
    """Symbol by identity."""
    found: dict[str, list[str]] = {}
    for symbol, identity in identities.items():
        if identity:
            found.setdefault(identity, []).append(symbol)
    return {identity: symbols[0] for identity, symbols in found.items() if len(symbols) == 1}


def _resolved(links: Mapping[str, str], listed: Collection[str]) -> dict[str, str]:
    """Each old symbol to its last new one, if that is listed and the old one is not."""
    ends = {}
    for old in links:
        seen, end = {old}, links[old]
        while end in links and end not in seen:
            seen.add(end)
            end = links[end]
        if end in listed and old not in listed:
            ends[old] = end
    return ends
