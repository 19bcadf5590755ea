"""What the page of a rebalanced week tells, as data, and the records that it is made of. Pure.

How records are read is week_records.py's, how they become this building.py's, how it looks page.py's. Amounts are USD,
weights fractions of equity, scores points of 0 to 100. None: not known, which the page says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.states import FINAL
from tokenomics_dagster.reports.earned import Earned, Told
from tokenomics_dagster.reports.performance import Compared
from tokenomics_dagster.settings.fundamentals import ScoreSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

if TYPE_CHECKING:
    from tokenomics_dagster.execution.schema import OrdersDetails, PortfolioReportDetails
    from tokenomics_dagster.fundamentals.schema import ScoresDetails
    from tokenomics_dagster.portfolio.schema import TargetWeightsDetails, TradePlanDetails
    from tokenomics_dagster.reports.trades import Totals
    from tokenomics_dagster.storage.audit import AuditRecord
    from tokenomics_dagster.storage.records import Stored, Sweep
    from tokenomics_dagster.universe.schema import UniverseDetails


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What a week was decided with; None: it is not stored."""

    weights: Stored[TargetWeightsDetails] | None = None
    scores: Stored[ScoresDetails] | None = None
    universe: Stored[UniverseDetails] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """What is stored of a week until its newest report, and of the week reported before it.

    `plans`: all of the week, oldest first; `audit`: the week's records until the report. `reports`: all of the
    account until this one, `marks`: when which equity of it was marked until then, USD; oldest first. `traded`: by
    week of those reports what its trades until this report came to.
    """

    week: date
    report: Stored[PortfolioReportDetails]
    orders: Stored[OrdersDetails] | None
    plans: Sequence[Stored[TradePlanDetails]]
    decided: Decided
    audit: Sequence[AuditRecord]
    sweep: Sweep | None
    before: tuple[date, Stored[PortfolioReportDetails], Decided] | None
    reports: Sequence[Told]
    marks: Sequence[tuple[datetime, Decimal]]
    traded: Mapping[date, Totals]


@dataclass(frozen=True, slots=True)
class Trade:
    """An order of the week. `planned_usd` at `planned_price`, as its plan sized it; `usd` what its fills moved, each
    rounded to the cent as the broker books it; `more_usd`: paid more, or got less, than at the plan's price."""

    symbol: str
    name: str
    side: str
    status: str
    at: datetime
    planned_usd: Decimal | None
    planned_price: Decimal | None
    qty: Decimal
    price: Decimal | None
    usd: Decimal
    more_usd: Decimal | None
    why: str
    note: str


@dataclass(frozen=True, slots=True)
class Left:
    """A name that was not traded, or not all of it; `usd` of what was meant, None: nothing was."""

    symbol: str
    name: str
    usd: Decimal | None
    kind: str
    reason: str
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What a figure gave to a score: `points` of 100 by its own rule, `gives` of the score."""

    figure: str
    points: float
    gives: float | None


@dataclass(frozen=True, slots=True)
class Holding:
    """A name that is held or meant to be; `drift` is target less weight."""

    symbol: str
    name: str
    industry: str
    qty: Decimal
    price: Decimal | None
    value: Decimal | None
    weight: float | None
    target: float
    drift: float | None
    place: int | None
    score: float | None
    parts: Mapping[str, Part]
    known_at: datetime | None
    reported: str
    no_score: str


@dataclass(frozen=True, slots=True)
class Industry:
    industry: str
    names: int
    weight: float
    target: float


@dataclass(frozen=True, slots=True)
class Move:
    """A score that has changed since the week before."""

    symbol: str
    name: str
    before: float
    now: float
    held: bool
    cause: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Against the week reported before: names that came to the targets and left them, each with why, and the largest
    moves of scores."""

    week: date
    equity: Decimal
    entered: Sequence[tuple[str, str, str]]
    left: Sequence[tuple[str, str, str]]
    moves: Sequence[Move]


@dataclass(frozen=True, slots=True)
class Cash:
    """From before the week's first plan to the report, USD; `booked` is what no order of ours moved, with what the
    broker said of it."""

    before: Decimal
    sold: Decimal
    bought: Decimal
    booked: Decimal
    after: Decimal
    said: Sequence[str]


@dataclass(frozen=True, slots=True)
class Quality:
    """How sound the data was. Ages are days before the decision; reasons go with how many names have them."""

    followed: int | None
    followed_at: datetime | None
    not_followed: Sequence[tuple[str, int]]
    quarantined: Sequence[tuple[str, str]]
    waiting: Sequence[tuple[str, str]]
    scored: int | None
    no_score: Sequence[tuple[str, int]]
    doubted: Sequence[str]
    missing: Mapping[str, int]
    ages: Sequence[float]
    oldest_report: str
    asked: int | None
    failed: Sequence[tuple[str, str]]
    flaws: Sequence[str]


@dataclass(frozen=True, slots=True)
class Source:
    """A stored table that the page was made from, and the run that stored it."""

    table: str
    as_of: datetime
    run_id: str


@dataclass(frozen=True, slots=True)
class WeekReport:
    """`alone`: equity that is neither cash nor a value of `holdings`, and what is held and left alone, with why.
    `beside`: what others did between the values of `earned`; None where nobody asked, for records do not tell it."""

    week: date
    at: datetime
    account: str
    equity: Decimal
    cash: Decimal
    cash_meant: Decimal | None
    alone: Decimal
    foreign: Sequence[str]
    planned_usd: Decimal | None
    untraded_usd: Decimal | None
    trades: Sequence[Trade]
    left: Sequence[Left]
    holdings: Sequence[Holding]
    industries: Sequence[Industry]
    money: Cash | None
    changes: Changes | None
    quality: Quality
    rules: RebalancingSettings | None
    score_rules: ScoreSettings | None
    earned: Earned
    sources: Sequence[Source]
    beside: Sequence[Compared] | None = None

    @property
    def bought(self) -> Decimal:
        return sum((one.usd for one in self.trades if one.side == "buy"), Decimal(0))

    @property
    def sold(self) -> Decimal:
        return sum((one.usd for one in self.trades if one.side == "sell"), Decimal(0))

    @property
    def unended(self) -> int:
        """Orders whose end was not known at the report: what is told to have been traded is the least."""
        return sum(one.status not in FINAL for one in self.trades)

    @property
    def turnover(self) -> float | None:
        """Half of what was bought and sold over equity."""
        return float((self.bought + self.sold) / 2 / self.equity) if self.equity > 0 else None

    @property
    def slippage(self) -> Decimal | None:
        """What all fills cost more than at the prices of their plans, USD; None where a price is not known."""
        known = [one.more_usd for one in self.trades if one.usd]
        return None if None in known else sum((one for one in known if one is not None), Decimal(0))
