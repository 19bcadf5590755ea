"""The slow, exact way: decisions are planned and carried out by the live room itself, at a simulated broker.

`make_plan` and `Rebalance` are those that trade real money, with the settings' guards; splits, dividends, interest,
delistings and prices are the engine's own (account.py). A plan is made on the prices that decided, as if before the
auction, and met by those of the fill: with fill next_open in the first minutes of the next session, else an hour
before a close. Nobody is there to approve, to resume, or to run a week again: what waits for a person is not traded,
and a halt lasts to the end.

Where neither a guard speaks nor cash is short, positions are the fast engine's. Of whole shares exactly: the same
decision, the same price and cost. Where cash is short the live room cuts twice, in the plan by its prices and before
sending by what is there, and keeps the buffer of now, not that of the decision: the last buys in the line may differ
by some shares, and names that a cut leaves within a band stay apart until they are next traded. All of that is told.
Fractional shares are bought for USD, as the broker takes them: to a cent a buy, and less the half spread, which the
engine pays beside; filled at another price than decided they differ by the move. Below 1 USD the broker takes no buy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from tokenomics_dagster.execution.fulfilment import left_by_planning
from tokenomics_dagster.execution.guards import Refused
from tokenomics_dagster.execution.rebalance import Outcome, Rebalance, Unresolved
from tokenomics_dagster.execution.venue import Venue
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.plan import CASH_IS_SHORT
from tokenomics_dagster.model.progress import Count
from tokenomics_dagster.portfolio.checks import TRADE_PLAN, check_trade_plan
from tokenomics_dagster.portfolio.planning import CannotPlan, make_plan
from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails
from tokenomics_dagster.portfolio.standing import Past
from tokenomics_dagster.research import account
from tokenomics_dagster.research.engine import book_of, columns_of, market_of, numbered, run_of, terms_of
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.panel import Panel
from tokenomics_dagster.research.runs import Decisions, Run
from tokenomics_dagster.research.simulated import Answering, Moment, ReplayedClock, SimulatedBroker
from tokenomics_dagster.research.study import rules_of
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.storage.warehouse import Warehouse

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.model.plan import Plan
    from tokenomics_dagster.portfolio.schema import TradePlanDetails

_AUCTION_S = 60.0  # from the plan to the first look at the prices that it meets
_BEFORE_CLOSE = timedelta(hours=1)  # all deadlines of the settings together take less than what is left then
_EVERY = 10  # decisions between two lines of progress
_TOLD = 20  # sentences of one kind in a run's warnings; of more only the number

REFUSED = "decisions that a guard stopped"
LEFT_OUT = "names that the plan left out although they were meant"
SHORT = "buys that the plan dropped or cut because cash was short"
SKIPPED = "orders that were skipped or cut"
NOT_FILLED = "orders that were not filled whole"
NOTIFIED = "times that a person would have been called"


def replay(
    panel: Panel,
    decisions: Decisions,
    experiment: Experiment,
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
    answering: Answering | None = None,
) -> Run:
    """As engine.simulate, by the live rebalance. `answering`: what the broker fills and refuses.

    What a guard, the plan or the broker kept from being traded stands in the run's warnings. Takes about as long as
    a rebalance does: some tenths of a second a decision. Raises ExperimentError as simulate does.
    """
    with closing(Warehouse("sqlite://")) as store:
        return _Replay(panel, decisions, experiment, settings, store, answering).run(say)


class _Replay:
    """One account on its way through the sessions of a panel."""

    def __init__(
        self,
        panel: Panel,
        decisions: Decisions,
        experiment: Experiment,
        settings: Settings,
        store: Warehouse,
        answering: Answering | None,
    ) -> None:
        rules = rules_of(experiment, experiment.rules(settings.rebalancing))
        columns = columns_of(panel, [decisions])
        self._panel, self._decisions, self._columns, self._capital = panel, decisions, columns, rules.capital
        self._market, self._terms = market_of(panel, columns, rules, many=True), terms_of(rules)
        self._wishes = numbered(panel, decisions, columns)
        self._book = book_of(len(columns), 1, rules.capital)
        self._path = np.zeros((len(panel.dates), 5))
        self._settings = _simulated(experiment, settings)
        self._store = store
        self._clock = ReplayedClock(datetime.combine(panel.dates[0].item(), datetime.min.time(), UTC))
        self._broker = SimulatedBroker(
            panel, self._market, self._terms, self._book, self._clock, answering, experiment.max_volume_pct
        )
        self._last: Made[TradePlanDetails] | None = None
        self._told: dict[str, list[str]] = {}

    def run(self, say: Callable[[str], None]) -> Run:
        waiting: int | None = None
        sessions = self._wishes.sessions.tolist()
        number = {t: i for i, t in enumerate(sessions)}
        later = iter([*sessions, len(self._panel.dates) - 1])
        decision = next(later)
        for t in range(len(self._panel.dates)):
            self._begin(t)
            if self._terms.fill == account.NEXT_OPEN and waiting is not None:
                self._trade(waiting, t)
                waiting = None
            account.mark_to_market(self._market, self._terms, self._book, t, decision)
            if self._terms.fill == account.NEXT_CLOSE and waiting is not None:
                self._trade(waiting, t)
                waiting = None
            if t in number:
                waiting = self._decide(number[t], t, say)
                decision = next(later)
            self._end(t)
        rows = np.array(self._broker.trades).reshape(-1, 5)
        run = run_of(self._panel, self._decisions, self._columns, self._book, self._path, rows, self._capital)
        return replace(run, warnings=self._warnings())

    def _begin(self, t: int) -> None:
        """Interest, splits and dividends: as account.walk has them."""
        money = self._book.money
        money[account.TRADED] = money[account.COSTS] = 0.0
        if len(self._wishes.sessions) and t > self._wishes.sessions[0]:
            days = self._market.days[t] - self._market.days[t - 1]
            interest = money[account.CASH] * self._terms.interest * days
            money[account.CASH] += interest
            money[account.INTEREST] += interest
        if t > 0 and len(self._market.split):
            self._broker.book_splits(t)

    def _end(self, t: int) -> None:
        money, path = self._book.money, self._path
        path[t, account.EQUITY] = account.equity_of(self._book)
        path[t, account.ENDING_CASH] = money[account.CASH]
        path[t, account.NAMES] = self._book.counts[account.HELD]
        path[t, account.MOVED] = money[account.TRADED]
        path[t, account.PAID] = money[account.COSTS]

    def _decide(self, i: int, t: int, say: Callable[[str], None]) -> int | None:
        """The decision that waits for its fill; None where it is carried out, or there is none."""
        if i % _EVERY == 0:
            say(Count.of("decisions", i, len(self._wishes.sessions)))
        if self._wishes.refused[i]:
            return None
        self._broker.pay_out(t)
        if self._terms.fill != account.CLOSE:
            return i
        self._trade(i, t)
        return None

    def _trade(self, i: int, t: int) -> None:
        """Plans a decision and carries it out, in session t."""
        day, decided = self._panel.dates[t].item(), int(self._wishes.sessions[i])
        session = calendar.session_on(day)
        if session is None:
            return self._tell(REFUSED, t, "it is no session of the exchanges, so nothing is traded")
        opening = self._terms.fill == account.NEXT_OPEN
        self._clock.wait_until(session.open if opening else session.close - _BEFORE_CLOSE)
        equity = float(self._path[t - 1, account.EQUITY]) if t else self._capital
        self._broker.show(Moment(t, decided, trades=False), equity)
        targets = self._targets(i)
        if targets.empty:
            return self._tell(REFUSED, t, "nothing is to be held, and the live room never sells everything")
        try:
            made, plan = self._planned(targets, decided)
            self._clock.wait(_AUCTION_S)
            self._broker.show(Moment(t, decided, trades=True), equity)
            self._tell_outcome(t, self._carried_out(made, plan, t))
        except (CannotPlan, Refused, Unresolved) as error:
            self._tell(REFUSED, t, str(error))

    def _targets(self, i: int) -> pd.DataFrame:
        """A `TargetWeights` frame; the plan looks at symbols and weights alone, and a strategy need not have scores."""
        import pandas as pd

        held = slice(self._wishes.starts[i], self._wishes.starts[i + 1])
        weights = self._wishes.weights[held]
        total = math.fsum(weights)
        if total > 1:  # by a few bits, of weights that were divided by their sum
            weights = weights / (total * (1 + 1e-12))
        symbols = [self._panel.symbols[column] for column in self._decisions.names[held]]
        frame = pd.DataFrame({"symbol": symbols, "weight": weights, "score": 0.0, "market_cap_musd": np.nan})
        frame = frame[frame["weight"] > 0].reset_index(drop=True)
        return frame.assign(rank=np.arange(1, len(frame) + 1))[list(TargetWeights.to_schema().columns)]

    def _planned(self, targets: pd.DataFrame, decided: int) -> tuple[Made[TradePlanDetails], Plan]:
        """Raises CannotPlan, and Refused where the plan's own checks keep it from being used."""
        now = self._clock.now()
        close = calendar.session_on(self._panel.dates[decided].item())
        known_at = now if close is None else min(now, close.close)
        details = TargetWeightsDetails(scores_as_of=known_at, cash_weight=1 - float(targets["weight"].sum()))
        made, plan = make_plan(
            Made(targets, known_at, details),
            calendar.week_of(now),
            self._broker,
            self._clock,
            self._settings,
            lambda number: Past(self._store.owned(number), self._last),
        )
        refusing = {rule.name for rule in TRADE_PLAN if rule.effect == "refuses"}
        for finding in check_trade_plan(made.frame, plan, self._settings.guards):
            if finding.name in refusing and not finding.passed:
                raise Refused(finding.description)
        self._last = made
        return made, plan

    def _carried_out(self, made: Made[TradePlanDetails], plan: Plan, t: int) -> Outcome:
        missing = left_by_planning(made, plan.equity, self._settings.rebalancing, self._settings.guards)
        for one in missing:
            self._tell(LEFT_OUT, t, f"{one.side} {one.symbol}: {one.reason}")
        for row in made.frame[made.frame["reason"].str.contains(CASH_IS_SHORT, na=False)].itertuples(index=False):
            self._tell(SHORT, t, f"{row.symbol}: {row.reason}")
        venue = Venue(self._broker, self._broker, self._clock, lambda _: None)
        return Rebalance(
            plan,
            venue,
            self._store,
            self._settings,
            lambda _, title, detail: self._tell(NOTIFIED, t, f"{title}: {detail}"),
            missing,
        ).run()

    def _tell_outcome(self, t: int, outcome: Outcome) -> None:
        for symbol, why in {**outcome.cuts, **outcome.resized, **outcome.skipped}.items():
            self._tell(SKIPPED, t, f"{symbol}: {why}")
        for row in outcome.orders:
            if row.broker_id is not None and row.status != "filled":
                self._tell(NOT_FILLED, t, f"{row.side} {row.symbol}: {row.filled_qty.normalize():f} shares filled")

    def _tell(self, kind: str, t: int, sentence: str) -> None:
        self._told.setdefault(kind, []).append(f"{self._panel.dates[t]}: {sentence}")

    def _warnings(self) -> tuple[str, ...]:
        told = []
        for kind, sentences in sorted(self._told.items()):
            told.append(f"{kind[0].upper()}{kind[1:]}: {len(sentences):,}.")
            told += sentences[:_TOLD]
        return tuple(told)


def _simulated(experiment: Experiment, settings: Settings) -> Settings:
    """The settings with the experiment's rules, on paper; what breaks a limit waits for a person all the same."""
    trading = settings.trading.model_copy(update={"paper": True, "approval": "auto"})
    return settings.model_copy(update={"rebalancing": experiment.rules(settings.rebalancing), "trading": trading})
