"""What happened to an account without an order, and to companies: Alpaca's activities and corporate actions.

Pure: bodies of answers in, no I/O. A row that cannot be read is left out and told: the next one may be what explains
the books. What follows from them is decided in execution/ and portfolio/.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from typing_extensions import TypedDict

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.trading import Activity, CorporateAction, class_by_name, one_name
from tokenomics_dagster.providers.alpaca.parsing import AnyAmount
from tokenomics_dagster.providers.fields import Text, one_of

log = logging.getLogger("tokenomics.providers")

FILL = "FILL"
_CARRIED_OUT = frozenset({"executed", "correct", ""})
"""Statuses of what has happened: `correct` was entered by the broker's staff, "as valid as executed". What is pending
is neither gain nor loss yet, what was canceled never was."""
_SIGNS = {"CSD": 1, "CSW": -1}
"""Types that Alpaca documents the sign of; answers have a withdrawal's amount with and without its minus."""


class _Row(TypedDict, total=False):
    """What cannot be read of it is not told: "" or None."""

    id: Text
    activity_type: Text
    activity_sub_type: Text
    status: Text
    symbol: Text
    net_amount: AnyAmount
    qty: AnyAmount
    created_at: Text
    date: Text


class _Action(TypedDict, total=False):
    """Likewise. Which of the symbols it happens to, and which comes of it, differs by kind."""

    old_symbol: Text
    source_symbol: Text
    acquiree_symbol: Text
    symbol: Text
    new_symbol: Text
    acquirer_symbol: Text
    process_date: Text
    ex_date: Text
    effective_date: Text
    new_rate: AnyAmount
    old_rate: AnyAmount


def read_activities(bodies: Iterable[Any]) -> Iterator[Activity]:
    """Those that were carried out, but for fills."""
    for body in bodies:
        row = one_of(_Row, body if isinstance(body, dict) else {})
        kind = row["activity_type"]
        if kind == FILL:
            continue
        if row["status"] not in _CARRIED_OUT:
            log.info("an activity is %s, not carried out, and explains nothing: %.300r", row["status"], body)
            continue
        at, by_day = _instant(row)
        if not kind or at is None or not row["id"]:
            log.warning("an activity cannot be read and explains nothing: %.300r", body)
            continue
        amount = row["net_amount"] or Decimal(0)
        yield Activity(
            id=row["id"],
            type=kind,
            sub_type=row["activity_sub_type"],
            symbol=one_name(row["symbol"], class_by_name(row["symbol"])),
            cash=abs(amount) * _SIGNS[kind] if kind in _SIGNS else amount,
            qty=row["qty"],
            at=at,
            by_day=by_day,
        )


def read_corporate_actions(body: Any) -> Iterator[CorporateAction]:
    """Of one page of /v1/corporate-actions."""
    lists = body.get("corporate_actions") if isinstance(body, dict) else None
    for plural, bodies in (lists or {}).items() if isinstance(lists, dict) else ():
        for one in bodies if isinstance(bodies, list) else ():
            row = one_of(_Action, one if isinstance(one, dict) else {})
            symbol = row["old_symbol"] or row["source_symbol"] or row["acquiree_symbol"] or row["symbol"]
            processed = _day(row["process_date"])
            effective = _day(row["ex_date"]) or _day(row["effective_date"]) or processed
            if not symbol or effective is None:
                log.warning("a corporate action cannot be read and counts for nothing: %s %.300r", plural, one)
                continue
            yield CorporateAction(
                kind=plural.removesuffix("s"),
                symbol=symbol,
                new_symbol=row["new_symbol"] or row["acquirer_symbol"],
                ratio=row["new_rate"] / row["old_rate"] if row["new_rate"] and row["old_rate"] else None,
                effective=effective,
                processed=processed or effective,
            )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _instant(row: _Row) -> tuple[datetime | None, bool]:
    """When it was entered, else the beginning of its day in New York, and whether it is that."""
    try:
        at = datetime.fromisoformat(row["created_at"])
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC), False
    except (ValueError, OverflowError):
        day = _day(row["date"])
        return None if day is None else datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC), True
