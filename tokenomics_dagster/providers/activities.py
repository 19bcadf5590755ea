"""What happened to an account without an order, and to companies: Alpaca's activities and corporate actions.

Pure: bodies of answers in, no I/O. A row that cannot be read is left out and told: the next one may be what explains
the books. What follows from them is decided in execution/ and portfolio/.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.trading import Activity, CorporateAction, class_by_name, one_name
from tokenomics_dagster.providers.holdings import amount_in, text_in

log = logging.getLogger("tokenomics.providers")

FILL = "FILL"
_CARRIED_OUT = frozenset({"executed", "correct", ""})
"""Statuses of what has happened: `correct` was entered by the broker's staff, "as valid as executed". What is pending
is neither gain nor loss yet, what was canceled never was."""
_SIGNS = {"CSD": 1, "CSW": -1}
"""Types that Alpaca documents the sign of; answers have a withdrawal's amount with and without its minus."""
# Which keys of a corporate action name the stock that it happens to, and the one that comes of it.
_OLD = ("old_symbol", "source_symbol", "acquiree_symbol", "symbol")
_NEW = ("new_symbol", "acquirer_symbol")


def read_activities(rows: Iterable[Any]) -> Iterator[Activity]:
    """Those that were carried out, but for fills."""
    for body in rows:
        kind, status = text_in(body, "activity_type"), text_in(body, "status")
        if kind == FILL:
            continue
        if status not in _CARRIED_OUT:
            log.info("an activity is %s, not carried out, and explains nothing: %.300r", status, body)
            continue
        at, by_day = _instant(body)
        if not kind or at is None or not text_in(body, "id"):
            log.warning("an activity cannot be read and explains nothing: %.300r", body)
            continue
        symbol = text_in(body, "symbol")
        amount = amount_in(body, "net_amount") or Decimal(0)
        yield Activity(
            id=text_in(body, "id"),
            type=kind,
            sub_type=text_in(body, "activity_sub_type"),
            symbol=one_name(symbol, class_by_name(symbol)),
            cash=abs(amount) * _SIGNS[kind] if kind in _SIGNS else amount,
            qty=amount_in(body, "qty"),
            at=at,
            by_day=by_day,
        )


def read_corporate_actions(body: Any) -> Iterator[CorporateAction]:
    """Of one page of /v1/corporate-actions."""
    lists = body.get("corporate_actions") if isinstance(body, Mapping) else None
    for plural, rows in (lists or {}).items() if isinstance(lists, Mapping) else ():
        for row in rows if isinstance(rows, list) else ():
            symbol = next((text for key in _OLD if (text := text_in(row, key))), "")
            processed = _day(row, "process_date")
            effective = _day(row, "ex_date") or _day(row, "effective_date") or processed
            if not symbol or effective is None:
                log.warning("a corporate action cannot be read and counts for nothing: %s %.300r", plural, row)
                continue
            new, old = amount_in(row, "new_rate"), amount_in(row, "old_rate")
            yield CorporateAction(
                kind=plural.removesuffix("s"),
                symbol=symbol,
                new_symbol=next((text for key in _NEW if (text := text_in(row, key))), ""),
                ratio=new / old if new and old else None,
                effective=effective,
                processed=processed or effective,
            )


def _day(body: Any, name: str) -> date | None:
    try:
        return date.fromisoformat(text_in(body, name)[:10])
    except ValueError:
        return None


def _instant(body: Any) -> tuple[datetime | None, bool]:
    """When it was entered, else the beginning of its day in New York, and whether it is that."""
    try:
        at = datetime.fromisoformat(text_in(body, "created_at"))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC), False
    except ValueError:
        day = _day(body, "date")
        return None if day is None else datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC), True
