"""By what plans and orders are named: at the broker, in the ledger, in the audit and by a person. Pure.

An account can be shared by several sleeves, each with periods of its own: both stand in each name. Before they did,
names had the week alone, and what was named then is recognised for ever: it lies at the broker and in the audit.
"""

from __future__ import annotations

import re

# First part of the client order ids: by it our orders are told from those of others.
_PLATFORM = "tokenomics"
FUNDAMENTALS = "fundamentals"
"""The sleeve of what was made before plans and orders had one."""
# Lower case, and no dash: in a name nothing else ends where the sleeve does. A period is its first day, month or year.
_SLEEVE = r"[a-z][a-z0-9_]*"
_PERIOD = r"\d{4}(?:-\d{2}){0,2}"
_PLAN = re.compile(rf"(?:(?P<sleeve>{_SLEEVE})-)?(?P<period>{_PERIOD})-(?P<digits>[0-9a-f]{{12}})", re.ASCII)
# Symbols have dashes, too (ABR-D). The period is the longest that there can be: client_order_id makes no other.
_ORDER = re.compile(
    rf"{_PLATFORM}-(?:(?P<sleeve>{_SLEEVE})-)?(?P<period>{_PERIOD})-(?P<symbol>\S+)"
    r"-(?P<side>buy|sell)-(?P<attempt>[1-9]\d*)",
    re.ASCII,
)


def plan_id_of(period: str, plan_hash: str, sleeve: str | None) -> str:
    """By what a person, a ledger row and a log name a plan: its sleeve and period, and 12 digits of its hash.

    Without a `sleeve`: of a plan that was made before plans had one. Raises ValueError where one is none.
    """
    _require(FUNDAMENTALS if sleeve is None else sleeve, period)
    name = f"{period}-{plan_hash[:12]}"
    return name if sleeve is None else f"{sleeve}-{name}"


def period_of_plan(plan_id: str) -> str:
    """The period in a plan's id, which is the partition of its tables.

    Raises ValueError where the text is no plan's id.
    """
    found = _PLAN.fullmatch(plan_id)
    if found is None:
        raise ValueError(
            "a plan's id is its sleeve, its period and 12 hexadecimal digits: fundamentals-2026-08-24-0123456789ab"
        )
    return found["period"]


def client_order_id(sleeve: str, period: str, symbol: str, side: str, attempt: int) -> str:
    """By what the broker takes an order once: fundamentals' first buy of AAPL in a week is
    tokenomics-fundamentals-2026-08-24-AAPL-buy-1, 128 characters at most.

    Raises ValueError for what could not be read back from it.
    """
    _require(sleeve, period)
    order_id = f"{_PLATFORM}-{sleeve}-{period}-{symbol}-{side}-{attempt}"
    found = _ORDER.fullmatch(order_id)
    if found is None or found.groups() != (sleeve, period, symbol, side, str(attempt)):
        raise ValueError(
            f"{order_id} does not tell sleeve, period, symbol, side (buy, sell) and attempt (from 1 on) apart"
        )
    return order_id


def attempt_of(order_id: str) -> int:
    """The number at the end of a client order id; 0 where there is none."""
    attempt = order_id.rpartition("-")[2]
    return int(attempt) if attempt.isascii() and attempt.isdigit() else 0


def is_ours(order_id: str) -> bool:
    """Whether an order with this client order id is of this platform, of any sleeve."""
    return order_id.startswith(f"{_PLATFORM}-")


def is_of(order_id: str, sleeve: str, period: str) -> bool:
    """Whether an order with this client order id is of the sleeve's period, named as now or as before sleeves."""
    found = _ORDER.fullmatch(order_id)
    return found is not None and (found["sleeve"] or FUNDAMENTALS, found["period"]) == (sleeve, period)


def _require(sleeve: str, period: str) -> None:
    """Raises ValueError where the one is no name of a sleeve, or the other none of a period."""
    if not re.fullmatch(_SLEEVE, sleeve):
        raise ValueError(f"{sleeve!r} names no sleeve: lower-case letters, digits and _, a letter first")
    if not re.fullmatch(_PERIOD, period, re.ASCII):
        raise ValueError(f"{period!r} names no period: 2026-08-24, 2026-08 or 2026")
