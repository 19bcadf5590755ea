"""From keys to the first portfolio (`start`): the jobs that are still lacking, one after the other, on a paper account.

It starts what the schedules start later, and decides nothing by itself; what a job does belongs to its room.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from tokenomics_dagster.execution.guards import Refused, check_account
from tokenomics_dagster.operations.common import OperationRefused, account_named, dagster_instance, open_store
from tokenomics_dagster.operations.cycle import cycle_of, run_jobs
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.universe.room import companies, is_starter


@dataclass(frozen=True, slots=True)
class ToStart:
    """What a start would do: the account, its equity in USD, which jobs are lacking, and when the market opens where
    one of them trades and must wait for it (else None)."""

    account: str
    equity: Decimal
    jobs: tuple[str, ...]
    opens_at: datetime | None

    @property
    def trades(self) -> bool:
        return any(cycle_of()[name].trades for name in self.jobs)

    def without_trades(self) -> "ToStart":
        return replace(self, jobs=tuple(name for name in self.jobs if not cycle_of()[name].trades))


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of a stock, in USD (None: nobody tells a price), and its company's name."""

    symbol: str
    name: str
    value: Decimal | None


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
        jobs = cycle_of()
        lacking = [name for name, job in jobs.items() if job.done is None or not job.done(store, clock.now, settings)]
        found = ToStart(account_named(account.number, settings), account.equity, tuple(lacking), None)
        waits = found.trades and not clock.is_open
        return replace(found.without_trades(), opens_at=clock.next_open) if waits else found


def start(found: ToStart, say: Callable[[str], None]) -> Started:
    """Runs what is lacking. Raises OperationRefused, which names the job and why, when one has failed; Ctrl-C
    cancels the one under way."""
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca:
        now = alpaca.now()
    with dagster_instance() as instance:
        jobs = {name: job for name, job in cycle_of().items() if name in found.jobs}
        seconds = run_jobs(instance, settings, now, jobs, say=say)
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        account, positions = alpaca.account(), alpaca.positions()
        names = companies(store)
        held = [Holding(symbol, names.get(symbol, ""), one.market_value) for symbol, one in positions.items()]
        held.sort(key=lambda one: (-(one.value or 0), one.symbol))
        grows_to = settings.universe.count if is_starter(store) and settings.universe.begins_small else None
        return Started(seconds, account.equity, account.cash, tuple(held), grows_to, found.opens_at)
