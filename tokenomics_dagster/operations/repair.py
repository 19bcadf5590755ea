"""Asks again for the financials of symbols that failed (`repair`): a run of fundamentals_refresh in this process."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import uuid4

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.operations.common import OperationRefused, dagster_instance, failure_of, open_store, progress
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    import dagster as dg

    from tokenomics_dagster.storage.warehouse import Warehouse

_JOB, _POOL = "fundamentals_refresh", "finnhub"


class NotFollowed(UserError, ValueError):
    """Symbols that are no partitions of `financials`; one sentence for the user."""


def repair(symbols: Sequence[str], *, again: bool = False, say: Callable[[str], None]) -> list[str]:
    """Fetches these symbols, or without any all that the last sweep failed and nobody has fetched since.

    With `again` the whole universe, in a sweep for which nothing counts that was stored before.

    Returns those that still have no new figures. The run is one like any other: the UI shows it, and it holds the pool.
    Raises NotFollowed for an unknown symbol; OperationRefused when nothing has failed, while another run holds the pool
    (it would keep this one waiting for up to half an hour, without a word), and when the run failed otherwise.
    """
    from tokenomics_dagster.definitions import build_defs
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.kit import alive

    settings = load_settings()
    with dagster_instance() as instance, closing(open_store(settings)) as store:
        wanted = _universe(store) if again else list(dict.fromkeys(symbols)) or failed_symbols(store)
        if again and not wanted:
            raise OperationRefused("there is no universe yet: run universe_refresh first")
        if not wanted:
            raise OperationRefused("the last sweep and its repairs have left no symbol failed: nothing is to repair")
        followed = set(instance.get_dynamic_partitions("symbols"))
        if unknown := sorted(set(wanted) - followed):
            raise NotFollowed(
                f"{', '.join(unknown[:20])}: not followed; the partitions of financials are the {len(followed):,} "
                "symbols that are"
            )
        for said in alive.end_dead(instance):
            say(said)
        _require_pool(instance)
        before = store.known_at("financials", Financials)
        run_id = str(uuid4())
        say(f"{len(wanted):,} symbols, run {run_id}: {settings.alerts.ui_url.rstrip('/')}/runs/{run_id}")
        with progress(say), alive.holding(instance, run_id):
            run = (
                build_defs(settings)
                .resolve_job_def(_JOB)
                .execute_in_process(
                    instance=instance,
                    run_id=run_id,
                    run_config={
                        "ops": {"financials": {"config": {"again": True} if again else {"symbols": wanted}}},
                        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                    },
                    tags={"tokenomics/command": "repair"},
                    raise_on_error=False,
                )
            )
        after = store.known_at("financials", Financials)
        missing = [symbol for symbol in wanted if after.get(symbol) == before.get(symbol)]
        if not run.success:
            if not missing:
                raise OperationRefused(f"all {len(wanted):,} symbols were fetched, but {failure_of(run)}")
            say(failure_of(run))
        return missing


def failed_symbols(store: "Warehouse") -> list[str]:
    """The symbols of the universe that the last sweep failed and nobody has fetched since, sorted."""
    from tokenomics_dagster.fundamentals.checks import still_failed
    from tokenomics_dagster.fundamentals.schema import Financials

    return still_failed(store.latest_facts("financials", Financials), _universe(store), store.latest_sweep())


def _universe(store: "Warehouse") -> list[str]:
    from tokenomics_dagster.universe.schema import Universe

    universe = store.load_snapshot("universe", Universe)
    return [] if universe is None else list(universe["symbol"])


def _require_pool(instance: "dg.DagsterInstance") -> None:
    import dagster as dg

    info = instance.event_log_storage.get_concurrency_info(_POOL)
    holders = {slot.run_id for slot in info.claimed_slots} | {step.run_id for step in info.pending_steps}
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    for run_id in sorted(holders):
        run = instance.get_run_by_id(run_id)
        if run is None or run.status in ended:
            # What the daemon does a minute after the end of a run; here there may be none.
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
            continue
        raise OperationRefused(
            f"run {run_id} of {run.job_name} ({run.status.value}) uses Finnhub now, and only one may: wait until it "
            "has ended, then repair what it has left; if its process is gone, terminate it in the UI, by force"
        )
