"""What a purge deletes of Dagster's instance, and what it never does; the size of two years with it and without."""

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, StepMaterializationData
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.test_utils import create_run_for_test
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from tokenomics_dagster.automation import retention
from tokenomics_dagster.automation.retention import purge
from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.interfaces.demo import FAST, environment
from tokenomics_dagster.kit.dagster_internals import tables
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import LedgerOrder, WarehouseBusy
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.execution.test_controls import save_plan

HOUSE = House(ROOMS)
NOW = datetime(2026, 8, 26, 15, tzinfo=UTC)
EVERYTHING = timedelta(days=-1)
"""Older than: the runs of these tests are seconds old."""
SYMBOLS = dg.DynamicPartitionsDefinition(name="symbols")
ASSETS = ("by_symbol", "whole")
CHECKS = [dg.AssetCheckKey(dg.AssetKey(name), "fine") for name in ASSETS]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Warehouse]:
    with closing(Warehouse(f"sqlite:///{tmp_path}/warehouse.db")) as warehouse:
        yield warehouse


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """In memory, with the tables of the real ones."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "instance")) as made:
        yield made


def partitions_of(
    instance: dg.DagsterInstance, asset: str, partitions: dg.PartitionsDefinition[str]
) -> dict[str, list[str]]:
    """The state of each partition as the UI shows it, worked out anew from the events."""
    key = dg.AssetKey(asset)
    instance.wipe_asset_cached_status([key])
    cache = get_and_update_asset_status_cache_value(instance, key, partitions)
    if cache is None:
        return {}
    with partition_loading_context(None, instance):
        return {
            state: sorted(getattr(cache, f"deserialize_{state}_partition_subsets")(partitions).get_partition_keys())
            for state in ("materialized", "failed", "in_progress")
        }


class History:
    """Writes runs and events as Dagster does, without the 0.5 s that a real run takes."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def run(
        self,
        *events: tuple[str, str, str | None],
        job: str = "sweep",
        status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS,
        tags: dict[str, str] | None = None,
        run_id: str | None = None,
    ) -> str:
        run_id = run_id or str(uuid4())
        run = create_run_for_test(self.instance, job_name=job, run_id=run_id, tags=tags)
        for kind, asset, partition in events:
            key = dg.AssetKey(asset)
            if kind == "check":
                data: Any = AssetCheckEvaluation(asset_key=key, check_name="fine", passed=True, metadata={})
                event_type = dg.DagsterEventType.ASSET_CHECK_EVALUATION
            elif kind == "planned":
                data = AssetMaterializationPlannedData(key, partition=partition)
                event_type = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
            else:
                data = StepMaterializationData(dg.AssetMaterialization(key, partition=partition))
                event_type = dg.DagsterEventType.ASSET_MATERIALIZATION
            self.instance.report_dagster_event(
                DagsterEvent(event_type.value, job, event_specific_data=data, step_key="step"), run_id=run.run_id
            )
        if status is not dg.DagsterRunStatus.NOT_STARTED:
            end = {"SUCCESS": "PIPELINE_SUCCESS", "FAILURE": "PIPELINE_FAILURE", "CANCELED": "PIPELINE_CANCELED"}
            kinds = ["PIPELINE_START", *([end[status.value]] if status.value in end else [])]
            for kind in kinds:
                self.instance.report_dagster_event(DagsterEvent(kind, job), run_id=run.run_id)
        return run_id

    def sees(self) -> dict[str, Any]:
        """What the UI shows of assets and checks."""
        newest = {name: self.instance.get_latest_materialization_event(dg.AssetKey(name)) for name in ASSETS}
        latest = self.instance.event_log_storage.get_latest_asset_check_execution_by_key(CHECKS)
        return {
            "newest": newest,
            "partitions": partitions_of(self.instance, "by_symbol", SYMBOLS),
            "checks": {key: (record.run_id, record.status) for key, record in latest.items()},
        }

    def runs(self) -> set[str]:
        return {run.run_id for run in self.instance.get_runs()}


def test_old_runs_go_with_events_logs_and_checks_and_what_the_ui_shows_stays(
    stored_instance: dg.DagsterInstance, store: Warehouse
) -> None:
    instance = stored_instance
    instance.add_dynamic_partitions("symbols", ["A", "B", "C", "D"])
    history = History(instance)
    superseded = history.run(
        ("made", "by_symbol", "A"), ("made", "by_symbol", "B"), ("check", "by_symbol", None), ("made", "whole", None)
    )
    repaired = history.run(("planned", "by_symbol", "A"), status=dg.DagsterRunStatus.FAILURE)
    b_newest = history.run(("made", "by_symbol", "A"), ("made", "by_symbol", "B"))
    a_newest = history.run(("made", "by_symbol", "A"), ("check", "by_symbol", None), ("made", "whole", None))
    c_failed = history.run(("planned", "by_symbol", "C"), status=dg.DagsterRunStatus.FAILURE)
    last = history.run()
    logs = Path(instance.root_directory) / "storage"
    for run_id in (superseded, b_newest):
        (logs / run_id / "compute_logs").mkdir(parents=True)
        (logs / run_id / "compute_logs" / "step.out").write_text("said")
    before = history.sees()
    assert before["partitions"]["failed"] == ["C"]

    dry = purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING, dry_run=True)
    assert history.runs() == {superseded, repaired, b_newest, a_newest, c_failed, last}
    done = purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
    assert dry.deleted == done.deleted == {"sweep": 2}
    assert done.kept == {retention.NEWEST: 3, retention.LAST: 1}
    assert history.runs() == {b_newest, a_newest, c_failed, last}
    assert history.sees() == before
    assert list(Path(instance.root_directory).rglob(f"*{superseded}*")) == []
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        for table in ("event_logs", "asset_check_executions"):
            left = connection.execute(sa.text(f"select distinct run_id from {table}")).scalars()
            assert not {superseded, repaired} & set(left)
    assert (logs / b_newest).exists()
    assert purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING).deleted == {}


def test_young_and_unfinished_runs_are_never_deleted(instance: dg.DagsterInstance, store: Warehouse) -> None:
    history = History(instance)
    waiting = history.run(status=dg.DagsterRunStatus.NOT_STARTED)
    running = history.run(status=dg.DagsterRunStatus.STARTED)
    ended, last = history.run(), history.run()
    assert purge(instance, store, HOUSE, now=NOW, older_than=timedelta(days=1)).deleted == {}
    purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
    assert history.runs() == {waiting, running, last}
    assert ended not in history.runs()


@pytest.mark.soak
def test_every_event_that_a_state_rests_on_survives_any_history(
    tmp_path_factory: pytest.TempPathFactory, store: Warehouse
) -> None:
    """On random histories: what the UI shows is the same after a purge, and a second purge finds nothing."""
    kinds = st.tuples(
        st.sampled_from(["made", "made", "planned", "check"]),
        st.sampled_from(["by_symbol", "whole"]),
        st.integers(0, 3),
    )
    statuses = st.sampled_from(["SUCCESS", "FAILURE", "CANCELED", "STARTED"])
    one_run = st.tuples(st.lists(kinds, max_size=5), statuses, st.sampled_from(["sweep", "score"]))

    @settings(max_examples=15)
    @given(st.lists(one_run, max_size=8))
    def check(runs: list[tuple[list[tuple[str, str, int]], str, str]]) -> None:
        with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path_factory.mktemp("instance"))) as instance:
            instance.add_dynamic_partitions("symbols", list("ABCD"))
            history = History(instance)
            for events, status, job in runs:
                told = [
                    (kind, asset, "ABCD"[number] if asset == "by_symbol" and kind != "check" else None)
                    for kind, asset, number in events
                ]
                # Dagster records one evaluation of a check per run.
                told = [one for at, one in enumerate(told) if one[0] != "check" or one not in told[:at]]
                history.run(*told, job=job, status=dg.DagsterRunStatus(status))
            before = history.sees()
            first = purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
            assert history.sees() == before
            assert len(history.runs()) + first.deleted.total() == len(runs)
            assert purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING).deleted == {}

    check()


def test_runs_of_an_open_week_stay_until_its_orders_are_final(instance: dg.DagsterInstance, store: Warehouse) -> None:
    history = History(instance)
    weeks = [date(2026, 8, day) for day in (3, 10, 17, 24)]
    runs = {week: history.run(job="rebalance", tags={"dagster/partition": week.isoformat()}) for week in weeks}
    last = history.run(job="rebalance")
    order = LedgerOrder(
        client_order_id="tokenomics-2026-08-10-AAA-buy-1", account="PA1", sleeve="fundamentals",
        period="2026-08-10", plan_id="x", week=weeks[1], symbol="AAA", side="buy", attempt=1, qty=Decimal(1),
        notional=None, status="accepted", broker_id=None, filled_qty=Decimal(0), filled_avg_price=None, note=None,
        created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    store.record_order(order)
    for week in weeks:
        save_plan(store, plan_of(week))
    assert HOUSE.open_partitions(store, NOW) == {weeks[1].isoformat(), weeks[3].isoformat()}
    done = purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
    assert done.kept == {retention.OPEN_WEEK: 2, retention.LAST: 1}
    assert history.runs() == {runs[weeks[1]], runs[weeks[3]], last}
    store.record_order(replace(order, status="filled", filled_qty=Decimal(1), filled_avg_price=Decimal(10)))
    purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
    assert history.runs() == {runs[weeks[3]], last}


def plan_of(week: date) -> Plan:
    return Plan(
        week=week, created_at=NOW, account="PA1", equity=Decimal(1), cash=Decimal(1), scores_as_of=NOW, positions={},
        inputs_hash="x", orders=(),
    ).sealed()  # fmt: skip


def test_the_last_run_of_each_job_schedule_and_sensor_stays(instance: dg.DagsterInstance, store: Warehouse) -> None:
    """A sensor knows by the key of its last run what it has started already."""
    history = History(instance)
    by_sensor = [history.run(tags={"dagster/sensor_name": "scores_when_complete"}) for _ in range(2)]
    by_schedule = [history.run(tags={"dagster/schedule_name": "fundamentals"}) for _ in range(2)]
    by_job = {job: history.run(job=job) for job in ("sweep", "score")}
    purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
    assert history.runs() == {by_sensor[1], by_schedule[1], *by_job.values()}


def test_runs_of_a_backfill_stay_until_it_has_ended(instance: dg.DagsterInstance, store: Warehouse) -> None:
    history = History(instance)
    ids = {}
    for status in (BulkActionStatus.REQUESTED, BulkActionStatus.COMPLETED_SUCCESS):
        backfill = PartitionBackfill(
            backfill_id=status.value.lower(), status=status, from_failure=False, tags={}, backfill_timestamp=0.0,
            asset_selection=[dg.AssetKey("by_symbol")], serialized_asset_backfill_data="{}",
        )  # fmt: skip
        instance.add_backfill(backfill)
        ids[status] = history.run(tags={"dagster/backfill": backfill.backfill_id})
    last = history.run()
    purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
    assert history.runs() == {ids[BulkActionStatus.REQUESTED], last}
    assert {backfill.backfill_id for backfill in instance.get_backfills()} == {"requested", "completed_success"}


def test_a_killed_purge_is_finished_by_the_next(stored_instance: dg.DagsterInstance, store: Warehouse) -> None:
    """Killed at any of its statements: the records of runs go last, so the next purge finds what was left."""
    instance = stored_instance
    history = History(instance)
    tags = {"dagster/code_location": "tokenomics"}
    runs = [history.run(("made", "whole", None), ("check", "whole", None), tags=tags) for _ in range(3)]
    before = history.sees()
    for number in range(5):  # of the tags of events, events, evaluations, the tags of runs, runs
        with killed_at("DELETE", number), pytest.raises(KeyboardInterrupt):
            purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
        assert history.runs() == set(runs), number
    assert purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING).deleted == {"sweep": 2}
    assert history.runs() == {runs[-1]}
    assert history.sees() == before
    events, tagged = tables().events, tables().event_tags
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        for table in (events, tables().checks):
            assert set(connection.execute(sa.select(table.c.run_id)).scalars()) == {runs[-1]}
        ids = set(connection.execute(sa.select(events.c.id)).scalars())
        assert set(connection.execute(sa.select(tagged.c.event_id)).scalars()) < ids
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        assert set(connection.execute(sa.select(tables().run_tags.c.run_id)).scalars()) == {runs[-1]}


@contextmanager
def killed_at(kind: str, number: int) -> Iterator[None]:
    """At the statement of that kind and number."""
    seen = 0

    def kill(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal seen
        if statement.startswith(kind):
            if seen == number:
                raise KeyboardInterrupt
            seen += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", kill)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", kill)


def test_what_only_a_name_that_left_needs_goes_and_a_list_without_names_is_none(
    stored_instance: dg.DagsterInstance, store: Warehouse
) -> None:
    instance = stored_instance
    history = History(instance)
    of_both = history.run(("made", "financials", "A"), ("made", "financials", "B"), ("made", "by_symbol", "B"))
    first = history.run(("planned", "financials", None), ("made", "financials", "A"), ("made", "financials", "B"))
    second = history.run(("planned", "financials", None), ("made", "financials", "A"), ("made", "by_symbol", "B"))
    last = history.run()
    purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
    assert history.runs() == {first, second, last}, "no name is followed: nobody has read who is"
    assert of_both not in history.runs()
    instance.add_dynamic_partitions("symbols", ["A"])
    before = partitions_of(instance, "financials", SYMBOLS)
    assert before["materialized"] == ["A"]
    purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
    assert history.runs() == {second, last}
    assert partitions_of(instance, "financials", SYMBOLS) == before


def test_many_runs_go_together(instance: dg.DagsterInstance, store: Warehouse) -> None:
    """Each transaction waits for the disk, and in each the evaluations of checks are looked through."""
    history = History(instance)
    asked = []
    for count in (1, 2, 15):  # at the first purge Dagster looks at its tables
        for _ in range(count):
            history.run(("check", "whole", None))
        with counted_statements() as statements:
            assert purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING).deleted["sweep"] >= count - 1
        asked.append(len(statements))
    assert asked[1] == asked[2] > 0


def test_what_an_ended_run_still_holds_of_a_pool_is_freed(instance: dg.DagsterInstance, store: Warehouse) -> None:
    history = History(instance)
    events = instance.event_log_storage
    events.set_concurrency_slots("finnhub", 1)
    old, last = history.run(), history.run()
    assert events.claim_concurrency_slot("finnhub", old, "step").is_claimed
    purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)
    assert history.runs() == {last}
    assert events.get_concurrency_info("finnhub").active_slot_count == 0


@pytest.mark.parametrize("stored_instance", ["sqlite"], indirect=True)
def test_evaluations_outside_of_runs_go_but_for_the_newest(
    stored_instance: dg.DagsterInstance, store: Warehouse
) -> None:
    history = History(stored_instance)
    history.run(("check", "whole", None))
    for passed in (True, True, False):
        for check in CHECKS:
            stored_instance.report_runless_asset_event(
                AssetCheckEvaluation(asset_key=check.asset_key, check_name=check.name, passed=passed, metadata={})
            )
    history.run()
    before = history.sees()
    assert {status.value for _, status in before["checks"].values()} == {"FAILED"}
    assert purge(stored_instance, store, HOUSE, now=NOW, older_than=timedelta(days=1)).evaluations == 0
    assert purge(stored_instance, store, HOUSE, now=NOW, older_than=EVERYTHING).evaluations == 4
    assert history.sees() == before
    with stored_instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        for table in ("event_logs", "asset_check_executions"):
            left = sa.text(f"select count(*) from {table} where run_id = ''")
            assert connection.execute(left).scalar_one() == 2


def test_one_purge_at_a_time(instance: dg.DagsterInstance, store: Warehouse) -> None:
    with (
        closing(Warehouse(f"sqlite:///{store.address}")) as other,
        other.exclusive("purge"),
        pytest.raises(WarehouseBusy, match="purge is already under way"),
    ):
        purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING)


@pytest.mark.parametrize("stored_instance", ["sqlite"], indirect=True)
def test_space_goes_back_to_the_disk_only_when_nothing_else_runs(
    stored_instance: dg.DagsterInstance, store: Warehouse
) -> None:
    instance = stored_instance
    history = History(instance)
    for _ in range(2):
        history.run(*[("made", "whole", None)] * 15)
    at_work = history.run(status=dg.DagsterRunStatus.STARTED)
    assert purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING).unused > 10_000
    assert purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING, own_run=at_work).unused == 0


def test_the_number_of_queries_does_not_grow_with_the_partitions(
    instance: dg.DagsterInstance, store: Warehouse
) -> None:
    history = History(instance)
    asked = []
    for size in (1, 40):
        history.run(*(("made", "by_symbol", f"S{number}") for number in range(size)))
        with counted_statements() as statements:
            purge(instance, store, HOUSE, now=NOW, older_than=EVERYTHING, dry_run=True)
        asked.append(len(statements))
    assert asked[0] == asked[1] > 0


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_the_job_deletes_what_is_older_than_the_settings_say_and_shows_what(platform: Platform) -> None:
    history = History(platform.instance)
    old, young, last = history.run(), history.run(), history.run()
    days = load_settings().retention.runs_days
    dated_back(platform.instance, old, timedelta(days=days + 1))
    dated_back(platform.instance, young, timedelta(days=days - 1))
    run = build_defs(load_settings()).resolve_job_def("purge").execute_in_process(instance=platform.instance)
    assert run.success
    assert {young, last, run.run_id} == history.runs()
    (shown,) = [event.step_output_data.metadata for event in run.all_node_events if event.is_successful_output]
    assert "| sweep | 1 |" in str(shown["deleted"].value)
    assert {"kept", "bytes_before", "bytes_after", "bytes_unused"} <= set(shown)


def dated_back(instance: dg.DagsterInstance, run_id: str, by: timedelta) -> None:
    at = (datetime.now(UTC) - by).replace(tzinfo=None)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        update = "update runs set update_timestamp = :at where run_id = :run_id"
        connection.execute(sa.text(update), {"at": at, "run_id": run_id})


WEEKS = 104
FIRST_WEEK = date(2024, 10, 7)


def live_through(folder: Path, weeks: int, environment: dict[str, str]) -> None:
    """Weeks of the whole platform on its sandbox, as real runs in the instance of DAGSTER_HOME.

    In a process of its own: which weeks there are is read when the definitions are imported. Dagster dates its runs by
    this machine's clock, so each week's runs are dated back by hand.
    """
    os.environ.update(environment)
    with running_sandbox(listings=300, seed=7, volatility_pct=1.0, now="2024-10-05T12:00:00Z") as sandbox:
        os.environ.update(sandbox.environment())
        with dg.DagsterInstance.get() as instance:
            platform = Platform(sandbox, instance, folder, folder / "settings.yaml")
            for number in range(weeks):
                week = FIRST_WEEK + timedelta(weeks=number)
                opened = calendar.first_session_of_week(week).open
                sandbox.admin("PUT", "/sandbox/clock", {"now": (opened - timedelta(days=2)).isoformat()})
                if number % 4 == 0:
                    platform.must_run("universe_refresh")
                followed = instance.get_dynamic_partitions("symbols")
                better = {"roeTTM": 15.0 + number % 7, "revenueGrowthTTMYoy": float(number % 11)}
                sandbox.admin("PATCH", f"/sandbox/metrics/{followed[number % len(followed)]}", better)
                platform.must_run("fundamentals_refresh", "score")
                sandbox.admin("PUT", "/sandbox/clock", {"now": (opened + timedelta(minutes=35)).isoformat()})
                platform.must_run("rebalance", week=week.isoformat())
                date_back(instance, week)
            platform.store.close()


def date_back(instance: dg.DagsterInstance, week: date) -> None:
    """Runs of today become runs of that week."""
    today = datetime.now(UTC).date()
    shift = f"-{(today - week).days} days"
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(
            sa.text(
                "update runs set create_timestamp = datetime(create_timestamp, :shift), update_timestamp = "
                "datetime(update_timestamp, :shift) where date(create_timestamp) >= date(:today)"
            ),
            {"shift": shift, "today": (today - timedelta(days=1)).isoformat()},
        )


@pytest.mark.soak
def test_the_instance_after_two_years_with_a_purge_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load((REPOSITORY / "config/settings.yaml").read_text())
    for section, values in {**FAST, "universe": {**FAST["universe"], "size": 40}}.items():
        document[section] |= values
    document["rebalancing"] |= {"first_week": FIRST_WEEK, "top_n_stocks": 20, "max_position_pct": 10.0}
    document["trading"]["poll_interval_s"] = 0.05
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(document))
    variables = environment(tmp_path, {}, tmp_path / "settings.yaml")
    monkeypatch.setenv("TOKENOMICS_SETTINGS", variables["TOKENOMICS_SETTINGS"])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(live_through, tmp_path, WEEKS, variables).result()
    home, purged = Path(variables["DAGSTER_HOME"]), tmp_path / "purged"
    shutil.copytree(home, purged)
    last = datetime.combine(FIRST_WEEK + timedelta(weeks=WEEKS - 1), datetime.min.time(), UTC) + timedelta(days=1)
    with (
        dg.DagsterInstance.from_config(str(home)) as without,
        dg.DagsterInstance.from_config(str(purged)) as instance,
        closing(Warehouse(variables["TOKENOMICS_DATABASE_URL"])) as store,
    ):
        before = {asset: partitions_of(instance, asset, kind) for asset, kind in PARTITIONED.items()}
        began = time.monotonic()
        done = purge(instance, store, HOUSE, now=last, older_than=timedelta(days=90))
        took = time.monotonic() - began
        assert {asset: partitions_of(instance, asset, kind) for asset, kind in PARTITIONED.items()} == before
        assert len(before["orders"]["materialized"]) == WEEKS
        # Rebalances all stay, each week being a partition.
        assert done.kept[retention.NEWEST] >= WEEKS - 13
        assert done.after < done.before / 2
        with capsys.disabled():
            table = Table("", "runs", "MB")
            table.add_row(f"after {WEEKS} weeks of 40 stocks", str(without.get_runs_count()), megabytes(done.before))
            table.add_row(f"purged, in {took:.1f} s", str(instance.get_runs_count()), megabytes(done.after))
            Console().print(table)


WEEKLY = dg.WeeklyPartitionsDefinition(
    start_date=FIRST_WEEK.isoformat(), timezone=str(calendar.NEW_YORK), day_offset=1, end_offset=1
)
PARTITIONED: dict[str, dg.PartitionsDefinition[str]] = {
    "financials": SYMBOLS,
    **dict.fromkeys(("target_weights", "trade_plan", "orders", "portfolio_report"), WEEKLY),
}


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
