"""Asks again for symbols that failed (`repair`), as their room says how: a run of its job in this process."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from tokenomics_dagster.model.errors import NothingToDo, UserError
from tokenomics_dagster.operations.common import (
    OperationRefused,
    dagster_instance,
    failure_of,
    open_store,
    progress,
    run_job,
)
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    import dagster as dg


class NotFollowed(UserError, ValueError):
    """Symbols that are no partitions of the asset; one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """How many symbols were asked for, and which of them still have no new figures."""

    wanted: int
    missing: list[str]


def repair(symbols: Sequence[str], *, again: bool = False, say: Callable[[str], None]) -> Repaired:
    """Fetches the financials of these symbols, or without any all that the last sweep failed and nobody has fetched
    since.

    With `again` the whole universe, in a sweep for which nothing counts that was stored before.

    The run is one like any other: the UI shows it, and it holds the pool.
    Raises NothingToDo when nothing has failed; NotFollowed for an unknown symbol; OperationRefused while another run
    holds the pool (it would keep this one waiting for up to half an hour, without a word), and when the run failed
    otherwise.
    """
    from tokenomics_dagster.definitions import ROOMS, build_defs
    from tokenomics_dagster.fundamentals.room import REPAIR
    from tokenomics_dagster.kit import alive
    from tokenomics_dagster.kit.partitions import SYMBOLS
    from tokenomics_dagster.kit.room import House

    settings, house, asset = load_settings(), House(ROOMS), REPAIR.asset
    with dagster_instance() as instance, closing(open_store(settings)) as store:
        if again:
            wanted = list(REPAIR.symbols(store))
        elif symbols:
            wanted = list(dict.fromkeys(symbols))
        else:
            # For how long they have failed, which needs the instant, decides nothing here.
            wanted = sorted(one.symbol for one in REPAIR.failed(store, datetime.now(UTC), settings))
        if again and not wanted:
            raise OperationRefused(REPAIR.without)
        if not wanted:
            raise NothingToDo("the last sweep and its repairs have left no symbol failed: nothing is to repair")
        followed = set(instance.get_dynamic_partitions(SYMBOLS))
        if unknown := sorted(set(wanted) - followed):
            raise NotFollowed(
                f"{', '.join(unknown[:20])}: not followed; the partitions of {asset} are the {len(followed):,} "
                "symbols that are"
            )
        for said in alive.end_dead(instance):
            say(said)
        if (pool := house.assets[asset].op.pool) is not None:
            _require_pool(instance, pool)
        before = REPAIR.made_at(store)
        run_id = str(uuid4())
        say(f"{len(wanted):,} symbols, run {run_id}: {settings.alerts.ui_url.rstrip('/')}/runs/{run_id}")
        config = {asset: {"config": REPAIR.config(None if again else wanted)}}
        with progress(say):
            run = run_job(
                *(build_defs(settings), instance, house.job_of[asset], run_id),
                config={"ops": config},
                tags={"tokenomics/command": "repair"},
            )
        after = REPAIR.made_at(store)
        missing = [symbol for symbol in wanted if after.get(symbol) == before.get(symbol)]
        if not run.success:
            if not missing:
                raise OperationRefused(f"all {len(wanted):,} symbols were fetched, but {failure_of(run)}")
            say(failure_of(run))
        return Repaired(len(wanted), missing)


def _require_pool(instance: "dg.DagsterInstance", pool: str) -> None:
    import dagster as dg

    info = instance.event_log_storage.get_concurrency_info(pool)
    holders = {slot.run_id for slot in info.claimed_slots} | {step.run_id for step in info.pending_steps}
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    for run_id in sorted(holders):
        run = instance.get_run_by_id(run_id)
        if run is None or run.status in ended:
            # What the daemon does a minute after the end of a run; here there may be none.
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
            continue
        raise OperationRefused(
            f"run {run_id} of {run.job_name} ({run.status.value}) uses {pool.capitalize()} now, and only one may: wait "
            "until it has ended, then repair what it has left; if its process is gone, terminate it in the UI, by force"
        )
