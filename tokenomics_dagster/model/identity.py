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
# Lower case, and no dash: in a name nothing else ends where the sleeve does. A period begins with its year.
_SLEEVE = r"[a-z][a-z0-9_]*"
_PLAN = re.compile(rf"(?:(?P<sleeve>{_SLEEVE})-)?(?P<period>\d[0-9A-Za-z-]*)-(?P<digits>[0-9a-f]{{12}})")


def plan_id_of(period: str, plan_hash: str, sleeve: str | None) -> str:
    """By what a person, a ledger row and a log name a plan: its sleeve and period, and 12 digits of its hash.

    Without a `sleeve`: of a plan that was made before plans had one.
    """
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
    tokenomics-fundamentals-2026-08-24-AAPL-buy-1, 128 characters at most."""
    return f"{_PLATFORM}-{sleeve}-{period}-{symbol}-{side}-{attempt}"


def attempt_of(order_id: str) -> int:
    """The number at the end of a client order id; 0 where there is none."""
    attempt = order_id.rpartition("-")[2]
    return int(attempt) if attempt.isascii() and attempt.isdigit() else 0


def is_ours(order_id: str) -> bool:
    """Whether an order with this client order id is of this platform, of any sleeve."""
    return order_id.startswith(f"{_PLATFORM}-")


def is_of(order_id: str, sleeve: str, period: str) -> bool:
    """Whether an order with this client order id is of the sleeve's period, named as now or as before sleeves."""
    names = [f"{_PLATFORM}-{sleeve}-{period}-"]
    if sleeve == FUNDAMENTALS:
        names.append(f"{_PLATFORM}-{period}-")
    return order_id.startswith(tuple(names))
