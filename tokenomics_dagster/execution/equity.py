"""Whether the equity that the broker tells can be believed, and how high it was, deposits and withdrawals left out.

Pure. One wrong reading must neither become a high that all later ones fall short of, nor halt trading by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.trading import Account, Activity, Holdings, explaining
from tokenomics_dagster.settings.guards import GuardSettings

Mark = tuple[datetime, Decimal]


def is_startling(account: Account, last: Decimal | None, guards: GuardSettings) -> bool:
    """Whether equity is further from the previous close, or from the `last` mark, than a day may lose: look again."""
    limit = Decimal(str(guards.max_daily_loss_pct)) / 100
    known = [start for start in (account.last_equity, last) if start is not None and start > 0]
    return any(abs(account.equity / start - 1) > limit for start in known)


def may_be_marked(account: Account, paid_in: Decimal, guards: GuardSettings) -> bool:
    """Whether equity counts for its high: not while it has gained more since the previous close than a day may lose.

    A reverse split that the broker has not booked looks like that. What was really gained stands there tomorrow, too.
    `paid_in`: USD since that close.
    """
    limit = 1 + Decimal(str(guards.max_daily_loss_pct)) / 100
    return account.last_equity <= 0 or account.equity - paid_in <= account.last_equity * limit


def contradiction(account: Account, holdings: Holdings, guards: GuardSettings) -> str | None:
    """Why the equity is not what cash and positions make, as a sentence; None where it is, within a day's loss."""
    ours = sum((position.market_value or Decimal(0) for position in holdings.ours.values()), Decimal(0))
    made = account.cash + ours + holdings.disputed_value + holdings.foreign_value
    limit = Decimal(str(guards.max_daily_loss_pct)) / 100
    if abs(account.equity - made) <= limit * max(abs(made), Decimal(1)):
        return None
    return (
        f"the broker says {account.equity:,.2f} USD of equity, its positions and cash make {made:,.2f}: nothing is "
        "traded until they agree; see the broker's dashboard, and run the rebalance again"
    )


def flow_since(flows: Iterable[Activity], closed_at: datetime, account: Account) -> Decimal:
    """USD paid in less paid out since the previous close; of that day without an hour: what leaves less of a move."""
    moved = account.equity - account.last_equity
    return sum((one.cash for one in explaining(flows, closed_at, moved)), Decimal(0))


def high_without_flows(marks: Sequence[Mark], flows: Sequence[Activity]) -> Decimal | None:
    """The highest equity, in the money of the last mark: what it would be now, had nothing been won or lost since.

    Between two marks the account makes (equity - what was paid in) / equity before, so that neither a deposit nor a
    withdrawal looks like a gain or a loss. `marks` oldest first; None without any. Marks of a day of which a flow is
    told without its hour do not say whether it is in them: but for the last one they are not looked at.
    """
    if not marks:
        return None
    unclear = {one.day for one in flows if one.by_day}
    marks = [*(mark for mark in marks[:-1] if mark[0].astimezone(NEW_YORK).date() not in unclear), marks[-1]]
    unit = high = Decimal(1)
    for (before, start), (at, equity) in pairwise(marks):
        paid_in = sum((one.cash for one in flows if before < one.at <= at), Decimal(0))
        if start > 0 and equity > 0:
            unit *= max(equity - paid_in, Decimal(0)) / start
        high = max(high, unit)
    return marks[-1][1] * high / unit if unit > 0 else max(equity for _, equity in marks)
