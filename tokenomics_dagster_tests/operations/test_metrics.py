"""What `tokenomics metrics` serves, and that dashboard and alert rules rest on nothing else."""

import json
import re
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import sqlalchemy as sa
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tokenomics_dagster.automation.daemons import SILENT_S, DaemonWatch
from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.execution.schema import PortfolioReport
from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.operations import metrics
from tokenomics_dagster.operations.metrics import LOOK_EVERY_S, TOO_OLD_S, PlatformCollector, families, scrape_once
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.migrations import LATEST
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform, new_database
from tokenomics_dagster_tests.end_to_end.conftest import TOKENOMICS, without_platform_variables
from tokenomics_dagster_tests.operations.conftest import STOCKS, ledger, point_to

METRICS = families(House(ROOMS))
MONITORING = REPOSITORY / "monitoring"
GROUPS = {group["name"]: group["rules"] for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]}
RULES = [rule for rules in GROUPS.values() for rule in rules]
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
BYTES = 123_456
Exposed = dict[str, dict[tuple[str, ...], float]]


def exposed(text: str) -> Exposed:
    """Name of a sample -> values of its labels -> value, as a Prometheus server would read them."""
    found: Exposed = {}
    for family in text_string_to_metric_families(text):
        found.setdefault(family.name, {})
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def scrape() -> Exposed:
    return exposed(scrape_once()[0])


@pytest.fixture(scope="session")
def after_week(week: Platform) -> Exposed:
    with pytest.MonkeyPatch.context() as patch:
        point_to(week, patch)
        back_up(week.store, datetime.now(UTC), BYTES)
        patch.setenv("TOKENOMICS_BACKUP_MAX_AGE_HOURS", "50")
        text, readable = scrape_once()
    assert readable
    return exposed(text)


def back_up(store: Warehouse, begun_at: datetime, size: int) -> None:
    """As one who makes dumps tells of one."""
    with closing(sqlite3.connect(store.address)) as database, database:
        at = begun_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        database.execute("insert into backups (begun_at, bytes, server_version) values (?, ?, ?)", (at, size, "16.2"))


@pytest.fixture
def apart(at_week: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """A database and a Dagster instance of a test's own, both empty."""
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{tmp_path}/warehouse.db")
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(tmp_path)))
    with closing(Warehouse(f"sqlite:///{tmp_path}/warehouse.db")) as store:
        yield store


def test_every_metric_that_is_declared_has_samples_after_a_week(after_week: Exposed) -> None:
    assert {name for name, samples in after_week.items() if samples} == set(METRICS)


def test_the_figures_are_those_of_the_week(after_week: Exposed, at_week: Platform) -> None:
    account = at_week.broker().account()
    [report] = at_week.store.history("portfolio_report", limit=1)
    assert after_week["tokenomics_universe_symbols"] == {(): STOCKS}
    assert after_week["tokenomics_financials_fetched_ratio"] == {(): 1}
    assert 0.75 <= after_week["tokenomics_scored_ratio"][()] < 1
    assert after_week["tokenomics_failed_symbols"] == {(): 0}
    assert after_week["tokenomics_sweep_unfinished"] == {(): 0}
    orders = {state: n for (state,), n in after_week["tokenomics_orders"].items() if n}
    assert orders == {"filled": len(ledger(at_week))}
    assert after_week["tokenomics_equity_usd"][()] == pytest.approx(float(report.details["equity"]))
    assert after_week["tokenomics_cash_usd"][()] == pytest.approx(float(account.cash))
    rows = at_week.store.load_snapshot("portfolio_report", PortfolioReport, partition=report.partition)
    assert rows is not None
    assert after_week["tokenomics_drift_ratio_max"][()] == pytest.approx(rows["drift"].abs().max())
    assert after_week["tokenomics_halted"] == {(): 0}
    assert after_week["tokenomics_backup_size_bytes"] == {(): BYTES}
    assert after_week["tokenomics_schema_version"] == {(): LATEST}
    assert after_week["tokenomics_audit_records_total"] == {(): at_week.store.audit_head().count}


def test_ages_are_those_of_the_newest_snapshots_by_this_machines_clock(after_week: Exposed, at_week: Platform) -> None:
    [scores] = at_week.store.history("scores", limit=1)
    expected_s = (datetime.now(UTC) - scores.as_of).total_seconds()
    assert after_week["tokenomics_asset_age_seconds"][("scores",)] == pytest.approx(expected_s, abs=600)
    assert {asset for (asset,) in after_week["tokenomics_asset_age_seconds"]} == {
        "listings", "universe", "financials", "scores", "target_weights", "trade_plan", "orders", "portfolio_report",
    }  # fmt: skip


def test_every_asset_with_an_age_has_the_limit_of_its_freshness_policy(after_week: Exposed) -> None:
    assert set(after_week["tokenomics_asset_age_seconds"]) <= set(after_week["tokenomics_asset_max_age_seconds"])
    assert all(limit > 86_400 for limit in after_week["tokenomics_asset_max_age_seconds"].values())


def test_runs_and_their_calls_are_told_by_job(after_week: Exposed, at_week: Platform) -> None:
    jobs = {"universe_refresh", "fundamentals_refresh", "score", "rebalance"}
    assert {job: after_week["tokenomics_run_success"][(job,)] for job in jobs} == dict.fromkeys(jobs, 1)
    assert {after_week["tokenomics_runs_in_progress"][(job,)] for job in jobs} == {0}
    assert all(0 < after_week["tokenomics_run_duration_seconds"][(job,)] < 60 for job in jobs)
    calls = after_week["tokenomics_run_api_calls"]
    made = json.loads((at_week.folder / "calls.json").read_text())
    assert calls[("fundamentals_refresh", "finnhub")] == made["GET /api/v1/stock/metric"] == STOCKS
    assert sum(calls.values()) == sum(made.values())
    assert after_week["tokenomics_run_api_wait_seconds"][("fundamentals_refresh", "finnhub")] >= 0


def test_every_limit_of_the_guards_is_served(after_week: Exposed, at_week: Platform) -> None:
    limits = {guard: limit for (guard,), limit in after_week["tokenomics_guard_limit"].items()}
    assert limits == load_settings().guards.model_dump()


@pytest.mark.parametrize("name", METRICS)
def test_names_keep_the_conventions_of_prometheus(name: str) -> None:
    labels, text = METRICS[name]
    assert re.fullmatch(r"tokenomics_[a-z]+(_[a-z]+)*", name)
    assert re.search(r"(_seconds|_ratio|_ratio_max|_usd|_total|_info|_up|_success|_halted|_limit|_unfinished|"
                     r"_symbols|_orders|_alerts|_calls|_progress|"
                     r"_bytes|_version|_version_expected|_failures)$", name)  # fmt: skip
    assert text.endswith(".")
    # Prometheus gives these two to what it scrapes.
    assert not {"job", "instance"} & set(labels)


def test_no_label_grows_with_the_market_or_tells_of_an_account(after_week: Exposed, at_week: Platform) -> None:
    values = {value for samples in after_week.values() for labels in samples for value in labels}
    symbols = set(at_week.instance.get_dynamic_partitions("symbols"))
    assert len(symbols) == STOCKS
    assert not values & {*symbols, at_week.broker().account().number}
    assert max(len(samples) for samples in after_week.values()) < 50


def test_a_halt_and_its_end_are_served(apart: Warehouse) -> None:
    apart.halt("the feed is wrong", by="ann", at=datetime.now(UTC))
    assert scrape()["tokenomics_halted"] == {(): 1}
    apart.resume("right again", by="ann", at=datetime.now(UTC))
    assert scrape()["tokenomics_halted"] == {(): 0}


def test_an_empty_database_is_readable_and_has_no_ages(apart: Warehouse) -> None:
    found = scrape()
    assert (found["tokenomics_up"], found["tokenomics_dagster_up"]) == ({(): 1}, {(): 1})
    assert found["tokenomics_asset_age_seconds"] == {}
    assert found["tokenomics_equity_usd"] == {}


def test_failed_symbols_are_counted_until_a_repair_has_fetched_them(apart: Warehouse, at_week: Platform) -> None:
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.universe.schema import Universe

    universe = at_week.store.load_snapshot("universe", Universe)
    assert universe is not None
    first, second = universe["symbol"][:2]
    apart.save_snapshot("universe", Universe, Made(universe, datetime.now(UTC), Details()), run_id="r")
    now = datetime.now(UTC)
    sweep = apart.start_sweep(started_at=now, fresh_since=now, run_id="r", requested=STOCKS)
    assert scrape()["tokenomics_sweep_unfinished"] == {(): 1}
    apart.finish_sweep(sweep, finished_at=now, failures={first: "500", second: "500", "GONE": "left the universe"})
    assert scrape()["tokenomics_failed_symbols"] == {(): 2}
    facts = at_week.store.latest_facts("financials", Financials).set_index("symbol")
    apart.append_fact("financials", Financials, {**facts.loc[first].to_dict(), "symbol": first, "known_at": now})
    found = scrape()
    assert found["tokenomics_failed_symbols"] == {(): 1}
    assert found["tokenomics_financials_fetched_ratio"][()] == pytest.approx(1 / STOCKS)
    assert found["tokenomics_financials_fresh_ratio"][()] == pytest.approx(1 / STOCKS)


def test_a_state_that_is_new_to_us_is_counted_as_other(apart: Warehouse, at_week: Platform) -> None:
    from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails

    [planned] = at_week.store.history("trade_plan", limit=1)
    plan = at_week.store.load_stored("trade_plan", TradePlan, TradePlanDetails, partition=planned.partition)
    assert plan is not None
    apart.save_snapshot("trade_plan", TradePlan, plan, run_id="r", partition=planned.partition)
    row = at_week.store.orders_of_week(
        planned.details["plan"]["account"], datetime.fromisoformat(planned.partition).date()
    )[0]
    for number, status in enumerate(["unknown", "a word\nof tomorrow", "filled"]):
        apart.record_order(replace(row, client_order_id=f"x-{number}", status=status))
    assert {state: n for (state,), n in scrape()["tokenomics_orders"].items() if n} == {
        "unknown": 1,
        "other": 1,
        "filled": 1,
    }


def test_a_backup_is_served_with_its_age_and_size_and_the_newest_told_counts(apart: Warehouse) -> None:
    now = datetime.now(UTC)
    assert scrape()["tokenomics_backup_age_seconds"] == {}, "who never spoke of backups is asked for none"
    back_up(apart, now - timedelta(hours=5), 2_000)
    back_up(apart, now - timedelta(hours=30), 1_000)
    found = scrape()
    assert found["tokenomics_backup_age_seconds"][()] == pytest.approx(30 * 3_600, abs=60)
    assert found["tokenomics_backup_size_bytes"] == {(): 1_000}
    assert found["tokenomics_backup_max_age_seconds"] == {}


def test_a_backup_that_there_should_be_and_never_was_is_infinitely_old(
    apart: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENOMICS_BACKUP_MAX_AGE_HOURS", "2.5")
    found = scrape()
    assert found["tokenomics_backup_max_age_seconds"] == {(): 9_000}
    assert found["tokenomics_backup_age_seconds"] == {(): float("inf")}
    assert found["tokenomics_backup_size_bytes"] == {}
    back_up(apart, datetime.now(UTC), 1_000)
    assert scrape()["tokenomics_backup_age_seconds"][()] < 60


@pytest.mark.parametrize("recorded", [LATEST - 1, LATEST + 1])
def test_a_schema_of_another_version_is_served_beside_the_one_that_is_needed(
    at_week: Platform, postgres_url: str, monkeypatch: pytest.MonkeyPatch, recorded: int
) -> None:
    # A server's database follows nobody by itself.
    url = new_database(postgres_url, "other_version")
    Warehouse(url).close()
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", url)
    found = scrape()
    assert found["tokenomics_schema_version"] == found["tokenomics_schema_version_expected"] == {(): LATEST}
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"update schema_version set version = {recorded}"))
    engine.dispose()
    found = scrape()
    assert found["tokenomics_schema_version"] == {(): recorded}
    assert found["tokenomics_schema_version_expected"] == {(): LATEST}
    assert found["tokenomics_up"] == {(): 0}


def test_runs_that_failed_before_they_began_are_counted_and_no_others(
    apart: Warehouse, at_week: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg
    from dagster._core.utils import make_new_run_id

    with dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as instance:

        def run(job: str, ended: Callable[[dg.DagsterRun], object]) -> None:
            made = dg.DagsterRun(job_name=job, run_id=make_new_run_id(), status=dg.DagsterRunStatus.STARTING)
            ended(instance.add_run(made))

        assert scrape()["tokenomics_run_start_failures"][("score",)] == 0
        run("score", instance.report_run_failed)
        run("score", instance.report_run_failed)
        run("rebalance", instance.report_run_failed)
        run("score", instance.report_run_canceled)  # a person has called it off
        assert not replace(at_week, instance=instance).run("score").success  # it has begun
        counted = {job: n for (job,), n in scrape()["tokenomics_run_start_failures"].items() if n}
        assert counted == {"score": 2, "rebalance": 1}
        later = datetime.now(UTC) + timedelta(hours=25)
        monkeypatch.setattr(metrics, "datetime", Mock(now=lambda _: later))
        assert set(scrape()["tokenomics_run_start_failures"].values()) == {0}


def test_a_failed_run_is_served_until_the_next_one(apart: Warehouse, at_week: Platform, tmp_path: Path) -> None:
    import dagster as dg

    with dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as instance:
        run = replace(at_week, instance=instance).run("score")
    assert not run.success
    found = scrape()
    assert found["tokenomics_run_success"] == {("score",): 0}
    assert ("rebalance",) not in found["tokenomics_run_duration_seconds"]


def test_a_scrape_that_cannot_read_the_database_tells_so_and_what_is_known(
    at_week: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = "sesame0123456789"
    (tmp_path / "warehouse.db").write_text(secret * 100)
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{tmp_path}/warehouse.db")
    text, readable = scrape_once()
    assert not readable
    assert secret not in text
    found = exposed(text)
    assert (found["tokenomics_up"], found["tokenomics_dagster_up"]) == ({(): 0}, {(): 1})
    assert found["tokenomics_run_success"][("score",)] == 1
    assert found["tokenomics_guard_limit"]


@pytest.mark.parametrize("home", ["", "nowhere"])
def test_without_dagsters_instance_the_warehouse_is_served_all_the_same(
    at_week: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home and str(tmp_path / home))
    text, readable = scrape_once()
    found = exposed(text)
    assert not readable
    assert (found["tokenomics_up"], found["tokenomics_dagster_up"]) == ({(): 1}, {(): 0})
    assert found["tokenomics_universe_symbols"] == {(): STOCKS}


def test_who_has_not_looked_for_five_minutes_says_that_nothing_is_known(
    at_week: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(metrics, "_FIRST_LOOK_S", 0.0)
    registry = CollectorRegistry()
    collector = PlatformCollector(load_settings())
    registry.register(collector)
    assert not exposed(generate_latest(registry).decode()).get("tokenomics_up"), (
        "nothing is known before the first look"
    )
    collector.look()
    now[0] += TOO_OLD_S
    found = exposed(generate_latest(registry).decode())
    assert (found["tokenomics_up"], found["tokenomics_dagster_up"]) == ({(): 1}, {(): 1})
    now[0] += 1
    found = exposed(generate_latest(registry).decode())
    assert (found["tokenomics_up"], found["tokenomics_dagster_up"]) == ({(): 0}, {(): 0})
    assert found["tokenomics_look_age_seconds"] == {(): TOO_OLD_S + 1}
    assert found["tokenomics_universe_symbols"] == {(): STOCKS}


@pytest.mark.soak
def test_the_command_serves_scrapes_until_it_is_told_to_end(week: Platform) -> None:
    from tokenomics_dagster.interfaces.demo import environment

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # No key of a provider: whoever reads the metrics' process finds none.
    variables = environment(week.folder, {}, week.settings_file)
    with subprocess.Popen(
        [TOKENOMICS, "metrics", "--port", str(port)],
        cwd=week.folder,
        env={**without_platform_variables(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            text = fetched(f"http://127.0.0.1:{port}/metrics", process)
        finally:
            process.terminate()
            code = process.wait(20)
    assert exposed(text)["tokenomics_orders"][("filled",)] == len(ledger(week))
    assert code == 0


def fetched(url: str, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return str(answer.read().decode())
        except OSError:
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline, f"{url} did not answer"
            time.sleep(0.1)


def test_a_port_that_is_taken_is_one_sentence(week: Platform) -> None:
    from tokenomics_dagster.operations.common import OperationRefused
    from tokenomics_dagster.operations.metrics import serve_metrics

    with pytest.MonkeyPatch.context() as patch, socket.socket() as taken:
        point_to(week, patch)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OperationRefused, match=rf"cannot listen on 127.0.0.1:{port}: .*--port"):
            serve_metrics(port, "127.0.0.1")


class Told(Exception):
    pass


def test_a_look_that_hangs_keeps_nobody_from_telling_that_the_daemon_cannot_be_seen(
    week: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database whose machine is frozen answers nothing, and refuses nothing."""
    point_to(week, monkeypatch)
    thawed = threading.Event()

    def look(watch: DaemonWatch, ages: dict[str, float] | None) -> None:
        assert ages is None
        raise Told

    monkeypatch.setattr(metrics, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(PlatformCollector, "look", lambda _: thawed.wait())
    monkeypatch.setattr(DaemonWatch, "look", look)
    try:
        with pytest.raises(Told):
            metrics.serve_metrics(0, "127.0.0.1")
    finally:
        thawed.set()


def test_ages_of_daemons_that_were_seen_long_ago_are_not_those_of_now(
    week: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to(week, monkeypatch)
    collector = PlatformCollector(load_settings())
    collector.look()
    assert collector.daemon_ages() is not None
    later = time.monotonic() + 4 * LOOK_EVERY_S
    monkeypatch.setattr(metrics.time, "monotonic", lambda: later)
    assert collector.daemon_ages() is None


WORDS = frozenset(
    {
        "absent", "and", "by", "group_left", "group_right", "ignoring", "max", "max_over_time", "min", "on", "or",
        "resets", "sum", "time", "unless", "without",
    }
)  # fmt: skip


def metrics_in(expression: str) -> set[str]:
    """The names of the metrics in a PromQL expression: what is neither a word of the language nor a label."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)) - WORDS


def selectors_in(expression: str) -> list[tuple[str, str, str]]:
    """(metric, label, pattern) of each matcher of a label that must be equal."""
    found = []
    for metric, matchers in re.findall(r"([a-zA-Z_:]+)\{([^}]*)\}", expression):
        found += [(metric, label, value) for label, value in re.findall(r'(\w+)=~?"([^"]*)"', matchers)]
    return found


EXPRESSIONS = [rule["expr"] for rule in GROUPS["tokenomics"]] + [
    t["expr"] for panel in PANELS for t in panel["targets"]
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rules_and_dashboard_use_only_metrics_labels_and_values_that_a_scrape_after_a_week_has(
    after_week: Exposed, expression: str
) -> None:
    used = metrics_in(expression)
    assert used
    assert used <= {name for name, samples in after_week.items() if samples}
    assert expression.count("(") == expression.count(")")
    for metric, label, pattern in selectors_in(expression):
        labels = METRICS[metric][0]
        assert label in labels
        values = {values[labels.index(label)] for values in after_week[metric]}
        assert set(pattern.split("|")) <= values


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('100 * a_b / c{x="d_e"} > ignoring (guard) f{guard="g"} / 2', {"a_b", "c", "f"}),
        ('sum without (state) (a{state!~"b|c"}) > 0', {"a"}),
        ("resets(a_total[1h]) > 0 or absent(b)", {"a_total", "b"}),
    ],
)
def test_the_names_of_metrics_are_found_in_an_expression(expression: str, expected: set[str]) -> None:
    assert metrics_in(expression) == expected


def test_what_a_rule_calls_final_is_final() -> None:
    from tokenomics_dagster.execution.states import FINAL

    [rule] = [rule for rule in RULES if rule["alert"] == "TokenomicsOrdersOpen"]
    [pattern] = re.findall(r'state!~"([^"]*)"', rule["expr"])
    assert set(pattern.split("|")) == FINAL


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_what_it_means_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert re.fullmatch(r"Tokenomics[A-Z][A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r"\d+[mhd]", rule.get("for", "1m"))
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_no_rule_holds_a_limit_that_the_settings_have() -> None:
    limits = {
        rule["alert"]: found for rule in RULES if (found := set(re.findall(r"[<>]=?\s*([\d.]+)", rule["expr"])) - {"0"})
    }
    assert limits == {
        "TokenomicsDaemonSilent": {f"{SILENT_S:g}"},
        "TokenomicsLookOld": {"180"},
        "TokenomicsBackupShrank": {"0.5"},
    }
    assert LOOK_EVERY_S < 180 < TOO_OLD_S, "told before what it found counts as nothing"


def test_the_dashboard_asks_the_data_source_that_its_user_chooses() -> None:
    [variable] = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    for panel in PANELS:
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_dashboard_can_be_imported_and_its_panels_do_not_overlap() -> None:
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time", "refresh"} <= set(DASHBOARD)
    assert "id" not in DASHBOARD  # an id is the server's to give
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        covered = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not covered & cells, panel["title"]
        cells |= covered
    for panel in PANELS:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert [target["refId"] for target in panel["targets"]] == [chr(65 + i) for i in range(len(panel["targets"]))]


def test_every_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    used = {name for expression in EXPRESSIONS for name in metrics_in(expression)}
    assert set(METRICS) - used == {"tokenomics_build_info"}
