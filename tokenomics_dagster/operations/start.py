"""From keys to the first portfolio (`start`): the jobs that are still lacking, one after the other, on a paper account.

It starts what the schedules start later, and decides nothing by itself; what a job does belongs to its room.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.guards import Refused, check_account
from tokenomics_dagster.execution.week import week_state
from tokenomics_dagster.fundamentals.coverage import coverage
from tokenomics_dagster.kit.room import Job
from tokenomics_dagster.model import calendar
from tokenomics_dagster.operations.common import OperationRefused, account_named, dagster_instance, open_store
from tokenomics_dagster.operations.cycle import cycle_of, run_jobs
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class ToStart:
    """What a start would do: the account, which jobs are lacking, and when the market opens (None: it is open)."""

    account: str
    equity: Decimal
    jobs: tuple[str, ...]
    opens_at: datetime | None

    @property
    def trades(self) -> bool:
        return any(cycle_of()[name].trades for name in self.jobs)


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of a stock, in USD, and its company's name."""

    symbol: str
    name: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Started:
    """What each job took, seconds; what the account holds now, the largest first, in USD; `grows_to`: the number of
    stocks that a starter universe becomes by itself, None where it is whole."""

    seconds: Mapping[str, float]
    equity: Decimal
    cash: Decimal
    holdings: tuple[Holding, ...]
    grows_to: int | None
    opens_at: datetime | None


def to_start() -> ToStart:
    """Looks what is lacking; nothing is fetched or traded. Raises OperationRefused for an account with real money."""
    settings = load_settings()
    if not settings.trading.paper:
        raise OperationRefused(
            "start is for paper accounts, and trading.paper is false: on an account with real money run the jobs one "
            "by one, as docs/operations.md says"
        )
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        account, clock = alpaca.account(), alpaca.clock()
        try:
            check_account(account, settings)
        except Refused as error:
            raise OperationRefused(str(error)) from None
        lacking = _lacking(store, clock.now, settings)
        jobs = tuple(name for name, job in lacking.items() if clock.is_open or not job.trades)
        opens_at = None if clock.is_open else clock.next_open
        return ToStart(account_named(account.number, settings), account.equity, jobs, opens_at)


def start(found: ToStart, say: Callable[[str], None]) -> Started:
    """Runs what is lacking. Raises OperationRefused, which names the job and why, when one has failed, and
    KeyboardInterrupt where a person has interrupted it."""
    import dagster as dg

    from tokenomics_dagster.universe.schema import Universe, UniverseDetails

    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca:
        now = alpaca.now()
    with dagster_instance() as instance:
        jobs = {name: job for name, job in cycle_of().items() if name in found.jobs}
        try:
            seconds = run_jobs(instance, settings, now, jobs, say=say)
        except dg.DagsterExecutionInterruptedError:  # what Dagster makes of Ctrl-C, once the run is canceled
            raise KeyboardInterrupt from None
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        account, positions = alpaca.account(), alpaca.positions()
        universe = store.load_stored("universe", Universe, UniverseDetails)
        assert universe is not None
        names = dict(zip(universe.frame["symbol"], universe.frame["name"].fillna(""), strict=True))
        held = [
            Holding(symbol, str(names.get(symbol, "")), one.market_value or Decimal(0))
            for symbol, one in positions.items()
        ]
        held.sort(key=lambda one: (-one.value, one.symbol))
        grows_to = settings.universe.count if universe.details.is_starter else None
        return Started(seconds, account.equity, account.cash, tuple(held), grows_to, found.opens_at)


def _lacking(store: "Warehouse", now: datetime, settings: Settings) -> dict[str, Job]:
    """A universe that is there is not made anew: a starter one would grow for an hour."""
    sweep, scores = store.latest_sweep(), store.history("scores", limit=1)
    swept = sweep is not None and sweep.finished_at is not None and coverage(store, sweep, settings).enough
    scored = swept and sweep is not None and bool(scores) and scores[0].as_of >= (sweep.finished_at or now)
    done = {
        "universe_refresh": bool(store.history("universe", limit=1)),
        "fundamentals_refresh": swept,
        "score": scored,
        "rebalance": week_state(store, calendar.week_of(now), settings.guards).done,
    }
    return {name: job for name, job in cycle_of().items() if not done.get(name, False)}
