"""The platform as Dagster sees it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.definitions import defs as load_defs
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.partitions import rebalance_weeks
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import REPOSITORY

defs = load_defs()

# design.md: asset -> group, partitions, pool.
CONTRACT = {
    "listings": ("universe", None, "finnhub"),
    "universe": ("universe", None, "finnhub"),
    "daily_bars": ("market_data", None, "alpaca"),
    "financials": ("fundamentals", "symbols", "finnhub"),
    "scores": ("fundamentals", None, None),
    "target_weights": ("portfolio", "weekly", None),
    "trade_plan": ("portfolio", "weekly", "alpaca"),
    "orders": ("execution", "weekly", "alpaca"),
    "portfolio_report": ("execution", "weekly", "alpaca"),
    "backtest": ("research", "experiments", None),
    "tuning": ("research", "searches", None),
    "published_universe": ("serving", None, None),
    "published_scores": ("serving", None, None),
}
UPSTREAM = {
    "listings": set(),
    "universe": {"listings"},
    "daily_bars": set(),
    "financials": {"universe"},
    "scores": {"universe", "financials"},
    "target_weights": {"scores"},
    "trade_plan": {"target_weights"},
    "orders": {"trade_plan"},
    "portfolio_report": {"target_weights", "orders"},
    "backtest": set(),
    "tuning": set(),
    "published_universe": {"universe"},
    "published_scores": {"scores"},
}
JOBS = {
    "universe_refresh": {"listings", "universe", "published_universe"},
    "daily_bars_refresh": {"daily_bars"},
    "fundamentals_refresh": {"financials"},
    "score": {"scores", "published_scores"},
    "rebalance": {"target_weights", "trade_plan", "orders", "portfolio_report"},
    "backtests": {"backtest"},
    "tunings": {"tuning"},
    "purge": set(),
}

# Every asset is checked; what the checks look at is in checks/.
CHECKS = {
    "listings": {"schema", "size", "exchanges", "duplicates"},
    "universe": {
        "schema",
        "size",
        "exchanges",
        "duplicates",
        "quarantine",
        "caps",
        "turnover",
        "departures",
        "waiting",
        "listed",
    },
    "daily_bars": {"schema", "sessions", "names", "consistent", "recorded"},
    "financials": {
        "schema",
        "fetched",
        "fresh",
        "failing",
        "present",
        "medians",
        "varied",
        "own",
        "twins",
        "plausible",
    },
    "scores": {"schema", "scored", "distribution", "units", "shift", "rank_correlation", "lost", "held"},
    "target_weights": {"schema", "scores_fresh", "cap", "sum", "count", "min_score", "industry"},
    "trade_plan": {"schema", "no_short", "cash", "unpriced", "doubtful", "turnover", "exits"},
    "orders": {"schema", "final", "known", "books", "traded", "parity"},
    "portfolio_report": {"schema", "adds_up", "drift", "cash"},
    "backtest": {"schema", "adds_up", "tradable", "long_enough", "skill"},
    "tuning": {"schema", "apart", "helped", "not_overfitted"},
    "published_universe": {"complete"},
    "published_scores": {"complete"},
}
# Those that keep their asset from being stored. What was fetched, sent or published is kept whatever is found.
BLOCKING = {
    asset: CHECKS[asset]
    - {
        "rank_correlation",
        "industry",
        "exits",
        "waiting",
        "listed",
        "held",
        "doubtful",
        "tradable",
        "long_enough",
        "skill",
    }
    - {"helped", "not_overfitted"}
    - ({"turnover"} if asset == "trade_plan" else {"duplicates"} if asset == "listings" else set())
    for asset in ("listings", "universe", "scores", "target_weights", "trade_plan", "backtest", "tuning")
}


@pytest.fixture(scope="module")
def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_assets_are_those_of_the_design_in_their_groups(specs: dict[str, dg.AssetSpec]) -> None:
    assert {name: spec.group_name for name, spec in specs.items()} == {
        n: group for n, (group, _, _) in CONTRACT.items()
    }


@pytest.mark.parametrize("name", CONTRACT)
def test_every_asset_has_an_owner_a_kind_and_a_description(specs: dict[str, dg.AssetSpec], name: str) -> None:
    spec = specs[name]
    assert list(spec.owners) == ["team:tokenomics"]
    assert spec.kinds
    assert spec.description
    assert len(spec.description) > 30


TIERS = {
    "money": {"target_weights", "trade_plan", "orders", "portfolio_report"},
    "serving": {"published_universe", "published_scores"},
}


@pytest.mark.parametrize("name", CONTRACT)
def test_every_asset_is_tagged_by_its_room_and_by_what_rests_on_it(specs: dict[str, dg.AssetSpec], name: str) -> None:
    (room,) = [room.name for room in ROOMS if name in {asset.key.to_user_string() for asset in room.assets}]
    tags = {key: value for key, value in specs[name].tags.items() if not key.startswith("dagster/")}
    assert tags == {"domain": room, "tier": next((tier for tier, assets in TIERS.items() if name in assets), "data")}


def anchors(file: str) -> set[str]:
    """As GitHub makes them of the headings."""
    lines = (REPOSITORY / file).read_text().splitlines()
    headings = (line.lstrip("#").strip().lower() for line in lines if line.startswith("#"))
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", CONTRACT)
def test_every_asset_says_where_it_is_explained_and_what_to_do_when_its_job_has_failed(
    specs: dict[str, dg.AssetSpec], name: str
) -> None:
    for link in ("docs", "runbook"):
        file, _, anchor = str(specs[name].metadata[link].value).partition("#")
        assert anchor in anchors(file), f"{file} has no section {anchor}"
    (job,) = [job for job, assets in JOBS.items() if name in assets]
    assert specs[name].metadata["runbook"].value == f"docs/operations.md#job{job}"


def test_documents_are_links_where_the_environment_names_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENOMICS_CODE_URL", "https://git.example/owner/name/blob/0123abc")
    for spec in build_defs(load_settings()).resolve_all_asset_specs():
        for link in ("docs", "runbook"):
            found = spec.metadata[link]
            assert isinstance(found, dg.UrlMetadataValue)
            assert str(found.value).startswith("https://git.example/owner/name/blob/0123abc/docs/")


@pytest.mark.parametrize("name", CONTRACT)
def test_every_asset_has_its_checks_and_those_that_refuse_are_blocking(name: str) -> None:
    made = list(defs.resolve_assets_def(name).check_specs)
    assert {spec.name for spec in made} == CHECKS[name]
    assert {spec.name for spec in made if spec.blocking} == BLOCKING.get(name, set())
    assert all(spec.description and len(spec.description) > 30 for spec in made)


@pytest.mark.parametrize("name", CONTRACT)
def test_every_asset_depends_on_what_it_is_made_from(specs: dict[str, dg.AssetSpec], name: str) -> None:
    assert {dep.asset_key.to_user_string() for dep in specs[name].deps} == UPSTREAM[name]


@pytest.mark.parametrize("name", CONTRACT)
def test_every_asset_has_its_partitions_and_the_pool_of_the_api_that_it_asks(name: str) -> None:
    _, partitions, pool = CONTRACT[name]
    made = defs.resolve_assets_def(name)
    assert made.op.pools == ({pool} if pool else set())
    found = made.partitions_def
    if partitions == "symbols":
        assert isinstance(found, dg.DynamicPartitionsDefinition)
        assert found.name == "symbols"
    elif partitions == "experiments":
        files = sorted(path.stem for path in (REPOSITORY / "config/experiments").glob("*.yaml"))
        assert found == dg.StaticPartitionsDefinition(files)
    elif partitions == "searches":
        folder = REPOSITORY / "config/experiments"
        searched = [path.stem for path in folder.glob("*.yaml") if "search" in yaml.safe_load(path.read_text())]
        assert found == dg.StaticPartitionsDefinition(sorted(searched))
    elif partitions == "weekly":
        assert found == rebalance_weeks(load_settings().rebalancing)
    else:
        assert found is None


def test_all_symbols_of_a_backfill_are_asked_for_in_one_run() -> None:
    assert defs.resolve_assets_def("financials").backfill_policy == dg.BackfillPolicy.single_run()


@pytest.mark.parametrize(
    ("now", "running"),
    [
        ("2026-08-26T12:00:00Z", "2026-08-24"),
        ("2026-08-31T03:59:00Z", "2026-08-24"),  # Sunday, 23:59 in New York
        ("2026-08-31T04:00:00Z", "2026-08-31"),
        ("2026-03-09T03:59:00Z", "2026-03-02"),  # the Sunday on which clocks went forward
        ("2026-03-09T04:00:00Z", "2026-03-09"),
    ],
)
def test_the_last_week_is_the_running_one_by_its_monday_in_new_york(now: str, running: str) -> None:
    keys = rebalance_weeks(load_settings().rebalancing).get_partition_keys(current_time=datetime.fromisoformat(now))
    assert keys[-1] == running
    assert keys[0] == load_settings().rebalancing.first_week.isoformat()
    assert {date.fromisoformat(key).weekday() for key in keys} == {0}


def test_the_jobs_make_what_they_are_named_for() -> None:
    jobs = {job.name: job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    made = {name: {key.to_user_string() for key in job.asset_layer.executable_asset_keys} for name, job in jobs.items()}
    assert made == JOBS
    assert all(job.description for job in jobs.values())


def test_a_rebalance_that_crashed_is_never_started_again_by_itself() -> None:
    assert defs.resolve_job_def("rebalance").tags["dagster/max_retries"] == "0"


def test_every_job_runs_in_one_process() -> None:
    for name in JOBS:
        assert defs.resolve_job_def(name).executor_def is alive.in_process


def test_the_resources_are_those_that_the_rooms_ask_for_and_hold_no_secret() -> None:
    assert defs.resources is not None
    assert set(defs.resources) == {
        "settings_in_force",
        "notifier",
        "finnhub",
        "alpaca",
        "warehouse",
        "publisher",
        "io_manager",
    }
    # What is neither has no field that the UI could show.
    configurable = [one for one in defs.resources.values() if isinstance(one, dg.ConfigurableResource)]
    fields = {field for resource in configurable for field in type(resource).model_fields}
    types: list[Any] = [
        one.config_schema.config_type for one in defs.resources.values() if isinstance(one, dg.ResourceDefinition)
    ]
    fields |= {field for one in types for field in one.fields}
    assert {"calls_per_minute", "timeout_s"} <= fields
    assert not [field for field in fields if re.search("key|secret|password|token|database|redis|url", field)]


def test_only_what_trades_waits_for_a_person_to_switch_it_on() -> None:
    repository = defs.get_repository_def()
    stopped = {schedule.name for schedule in repository.schedule_defs if schedule.default_status.value == "STOPPED"}
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "universe",
        "daily_bars",
        "fundamentals",
        "rebalance",
        "purge",
    }
    assert stopped == {"rebalance"}
    assert {sensor.name: sensor.default_status for sensor in repository.sensor_defs} == {
        "scores_when_complete": dg.DefaultSensorStatus.RUNNING,
        "symbols_follow_universe": dg.DefaultSensorStatus.RUNNING,
        "stale_or_failed": dg.DefaultSensorStatus.RUNNING,
        "approved_plans": dg.DefaultSensorStatus.RUNNING,
        "dead_runs": dg.DefaultSensorStatus.RUNNING,
    }


@pytest.fixture
def own_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A real instance under the project's dagster.yaml."""
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def test_the_instance_limits_each_pool_to_one_and_gives_slots_of_dead_runs_back(
    own_instance: dg.DagsterInstance,
) -> None:
    assert own_instance.telemetry_enabled is False
    pools = own_instance.get_concurrency_config().pool_config
    assert pools.default_pool_limit == 1
    assert pools.pool_granularity is not None
    assert pools.pool_granularity.value == "op"
    assert own_instance.run_monitoring_enabled
    assert own_instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] == 60
    assert own_instance.run_retries_enabled
    assert own_instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False
    assert own_instance.get_settings("run_retries")["max_retries"] > 0


def test_a_step_of_a_pool_waits_while_another_run_holds_its_slot(own_instance: dg.DagsterInstance) -> None:
    storage = own_instance.event_log_storage
    storage.initialize_concurrency_limit_to_default("alpaca")
    first = storage.claim_concurrency_slot("alpaca", "run-1", "orders")
    assert first.is_claimed
    assert not storage.claim_concurrency_slot("alpaca", "run-2", "orders").is_claimed
    storage.free_concurrency_slots_for_run("run-1")
    assert storage.claim_concurrency_slot("alpaca", "run-2", "orders").is_claimed


def test_the_workspace_names_the_definitions() -> None:
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    assert workspace == {
        "load_from": [
            {"python_module": {"module_name": "tokenomics_dagster.definitions", "location_name": "tokenomics"}}
        ]
    }


def test_loading_the_definitions_imports_nothing_that_only_runs_need() -> None:
    heavy = [
        "alpaca",
        "exchange_calendars",
        "finnhub",
        "matplotlib",
        "pandas",
        "pandera",
        "pyarrow",
        "redis",
        "requests",
        "sqlalchemy",
    ]
    # What Dagster itself imports is not ours to change.
    script = (
        "import sys, dagster\nbefore = set(sys.modules)\nimport tokenomics_dagster.definitions\n"
        f"print(*sorted(set({heavy!r}) & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == ""


def test_only_the_settings_read_the_environment() -> None:
    package = REPOSITORY / "tokenomics_dagster"
    readers = {
        ".".join(path.relative_to(package).with_suffix("").parts)
        for path in package.rglob("*.py")
        if re.search(r"\bos\.(environ|getenv)", path.read_text()) and path.parent.name != "sandbox"
    }
    # The command passes the whole environment on, and Dagster's own variable tells where its instance is. A strategy in
    # a process of its own is given a few variables of the machine's, and none of the platform's.
    assert readers <= {
        "settings.environment", "interfaces.cli.sandbox", "interfaces.demo", "operations.common", "research.apart",
    }  # fmt: skip
