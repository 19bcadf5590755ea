"""Whether the account's cash is what came and went: flows, income, fees and fills. Pure; amounts are USD, exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tokenomics_dagster.model.trading import FLOWS, Activity, Fill, booked, explaining
from tokenomics_dagster.reports.performance import Flow

FEES = frozenset({"FEE", "CFEE", "DIVFEE", "PTC"})
"""Types by which the broker, an exchange or a custodian is paid."""


@dataclass(frozen=True, slots=True)
class Books:
    """The account's cash since an instant. `paid_in`, `paid_out`, `fees`, `bought` and `sold` are above 0, `income` is
    what dividends, interest and actions brought (below 0: took). `foreseen`: what they make of `then`."""

    since: datetime
    then: Decimal
    paid_in: Decimal
    paid_out: Decimal
    income: Decimal
    fees: Decimal
    bought: Decimal
    sold: Decimal
    now: Decimal

    @property
    def foreseen(self) -> Decimal:
        return self.then + self.paid_in - self.paid_out + self.income - self.fees - self.bought + self.sold

    @property
    def difference(self) -> Decimal:
        """What nothing here explains."""
        return self.now - self.foreseen


def books(since: datetime, then: Decimal, now: Decimal, activities: Sequence[Activity], fills: Iterable[Fill]) -> Books:
    """`then` and `now`: the account's cash; `fills` are those since, each booked to the cent. Of the `activities` those
    since: what is told by its day alone, and is of that day, counts where the cash is explained by it."""
    traded = {"buy": Decimal(0), "sell": Decimal(0)}
    for fill in fills:
        side = "buy" if fill.side == "buy" else "sell"  # a short sale is one, too
        traded[side] += booked(fill.qty, fill.price)
    activities = explaining(activities, since, now - then + traded["buy"] - traded["sell"])
    flows = [one.cash for one in activities if one.type in FLOWS]
    return Books(
        since=since,
        then=then,
        paid_in=_sum(usd for usd in flows if usd > 0),
        paid_out=-_sum(usd for usd in flows if usd < 0),
        income=_sum(one.cash for one in activities if one.type not in FLOWS | FEES),
        fees=fees_of(activities),
        bought=traded["buy"],
        sold=traded["sell"],
        now=now,
    )


def fees_of(activities: Iterable[Activity]) -> Decimal:
    """Above 0 what was paid."""
    return -_sum(one.cash for one in activities if one.type in FEES)


def flows_of(activities: Iterable[Activity]) -> list[Flow]:
    """What was paid in and out, in cash."""
    return [
        Flow(one.at, one.cash, f"{one.type} {one.sub_type}".strip(), one.by_day)
        for one in activities
        if one.type in FLOWS and one.cash
    ]


def unpriced(activities: Iterable[Activity]) -> list[str]:
    """Flows of shares, whose worth no activity tells, in sentences."""
    return [
        f"{one.qty.normalize():f} shares of {one.symbol} were transferred on {one.day} ({one.type}): what they were "
        "worth is not told, so it counts as gained or lost"
        for one in activities
        if one.type in FLOWS and not one.cash and one.qty
    ]


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))
