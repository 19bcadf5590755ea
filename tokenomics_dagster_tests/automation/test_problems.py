"""What `stale_or_failed` finds wrong, and that one cause is one message."""

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pandas as pd
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from tokenomics_dagster.automation import problems
from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.execution import sending
from tokenomics_dagster.execution.room import REBALANCE
from tokenomics_dagster.execution.schema import Orders, OrdersDetails, PortfolioReport
from tokenomics_dagster.fundamentals.schema import Scores
from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster.kit import alerts, alive, channels, runs
from tokenomics_dagster.kit.dagster_internals import BY_HAND
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.portfolio.schema import TargetWeights, TradePlan
from tokenomics_dagster.providers import clock, transport
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.storage import database
from tokenomics_dagster.storage.records import Made, WarehouseError
from tokenomics_dagster.universe.schema import Listings
from tokenomics_dagster_tests.automation.conftest import (
    hanging_broker,
    run_of,
    save_figures,
    save_sweep,
    save_universe,
)
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.webhook import Webhook

AT = datetime(2026, 8, 24, 14, tzinfo=UTC)
SYMBOLS = [f"S{number:03}" for number in range(100)]
METRICS = "GET /api/v1/stock/metric"


@pytest.fixture(autouse=True)
def _nothing_told_before(platform: Platform, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", webhook.url)  # the platform has emptied it


def look(platform: Platform, made: dg.Definitions | None = None, sensor: str = "stale_or_failed") -> str | None:
    """One tick of the sensor; what it says is wrong."""
    made = made or build_defs(load_settings())
    assert made.resources is not None
    with dg.build_sensor_context(
        instance=platform.instance,
        resources={**made.resources, "notifier": platform.notifier},
        repository_def=made.get_repository_def(),
    ) as context:
        data = made.resolve_sensor_def(sensor).evaluate_tick(context)
    assert not data.run_requests
    return data.skip_message


def evaluated(platform: Platform, asset: str, check: str, *, passed: bool, severity: str = "ERROR") -> None:
    """The check is evaluated beside any run, as a person can do from the UI."""
    platform.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset),
            check_name=check,
            passed=passed,
            metadata={},
            severity=dg.AssetCheckSeverity(severity),
            description="the median is 100 times too large",
        )
    )


def test_a_new_platform_has_nothing_to_tell(platform: Platform, webhook: Webhook) -> None:
    assert look(platform) == "nothing is wrong"
    assert webhook.told == []


def test_a_look_tells_the_head_of_an_audit_that_is_a_week_old_and_once(platform: Platform, webhook: Webhook) -> None:
    with platform.broker() as broker:
        week_ago = broker.clock().now - timedelta(days=7)
    platform.store.audit("phase", {}, at=week_ago)
    head = platform.store.audit_head()
    for _ in range(2):
        assert look(platform) == "nothing is wrong"
    assert webhook.texts() == ["this week's message"]
    assert f"--head {head.hash} --count 1" in webhook.told[0]["text"]


def test_a_failed_run_is_told_once_with_its_reason_its_checks_and_its_link_and_so_is_its_recovery(
    platform: Platform, webhook: Webhook
) -> None:
    platform.configure(finnhub__max_attempts=1, alerts__ui_url="https://dagster.example/ui/")
    platform.must_run("universe_refresh")
    platform.sandbox.admin("PUT", "/sandbox/faults", [{"kind": "500", "endpoint": METRICS, "every": 3}])
    failed = platform.run("fundamentals_refresh")
    for _ in range(3):
        assert look(platform) == "fundamentals_refresh failed"
    (message,) = webhook.told
    assert "financials: " in message["text"]
    assert "failed checks: " in message["text"]
    assert "financials.fetched" in message["text"]
    assert "What to do: run fundamentals_refresh again" in message["text"]
    assert message["text"].endswith(f"\nhttps://dagster.example/ui/runs/{failed.run_id}")
    platform.sandbox.admin("DELETE", "/sandbox/faults")
    platform.must_run("fundamentals_refresh")
    assert look(platform) == "nothing is wrong"
    assert webhook.texts() == ["fundamentals_refresh failed", "recovered: fundamentals_refresh failed"]


def test_a_sweep_that_counts_is_no_problem_though_its_run_failed(platform: Platform, webhook: Webhook) -> None:
    save_universe(platform.store, SYMBOLS, AT)
    save_figures(platform.store, SYMBOLS[1:], AT)
    run = run_of("fundamentals_refresh", "FAILURE")
    platform.instance.add_run(run)
    save_sweep(platform.store, AT, failed=SYMBOLS[:1], run_id=run.run_id)
    assert look(platform) == "nothing is wrong"
    save_sweep(platform.store, AT, failed=SYMBOLS[:5], run_id="another run")
    assert look(platform) == "fundamentals_refresh failed"


@pytest.mark.soak
def test_symbols_that_fail_for_long_are_told_by_their_check(platform: Platform, webhook: Webhook) -> None:
    platform.configure(guards__max_failing_days=10.0, finnhub__max_attempts=1)
    platform.must_run("universe_refresh", "fundamentals_refresh")
    symbol = platform.instance.get_dynamic_partitions("symbols")[0]
    fault = {"kind": "500", "endpoint": METRICS, "query": {"symbol": symbol}}
    platform.sandbox.admin("PUT", "/sandbox/faults", [fault])
    for day in ("2026-08-31", "2026-09-14"):
        platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{day}T14:05:00Z"})
        assert not platform.run("fundamentals_refresh").success
        look(platform)
    (message,) = webhook.told
    assert message["text"].startswith("*check financials.failing failed*\n1 symbols have failed for more than 10 days")
    assert f"{symbol} since 2026-08-31" in message["text"]


def test_what_the_rebalance_and_the_sensor_tell_of_one_failure_is_one_message(
    platform: Platform, webhook: Webhook
) -> None:
    assert alerts.job_key(REBALANCE.name) == sending.FAILED
    stopped = alerts.Problem("rebalance of 2026-08-24 stopped", "a", "b")
    platform.notifier.alert(sending.FAILED, stopped, platform.store, channels.channel_of(load_settings()))
    platform.instance.add_run(run_of("rebalance", "FAILURE"))
    assert look(platform) == "rebalance failed"
    assert webhook.texts() == ["rebalance of 2026-08-24 stopped"]
    platform.instance.add_run(run_of("rebalance", "SUCCESS"))
    assert look(platform) == "nothing is wrong"
    assert len(webhook.told) == 2


def made(platform: Platform, at: datetime) -> None:
    """Every asset as made at this instant; the tables that no rule here looks into are empty."""
    save_universe(platform.store, SYMBOLS, at)
    save_figures(platform.store, SYMBOLS, at)
    save_sweep(platform.store, at)
    for asset, schema, week, details in (
        ("listings", Listings, "", Details()),
        ("scores", Scores, "", Details()),
        ("target_weights", TargetWeights, "2026-08-24", Details()),
        ("trade_plan", TradePlan, "2026-08-24", Details()),
        ("orders", Orders, "2026-08-24", OrdersDetails(plan_id="p", skipped={}, stuck=[], reconciliation_flaws=[])),
        ("portfolio_report", PortfolioReport, "2026-08-24", Details()),
    ):
        frame = pd.DataFrame(columns=list(schema.to_schema().columns))
        platform.store.save_snapshot(asset, schema, Made(frame, at, details), run_id="run", partition=week)
    for asset in ("published_universe", "published_scores"):
        platform.instance.report_runless_asset_event(dg.AssetMaterialization(asset))


def test_what_is_stale_by_one_cause_is_told_in_its_message(platform: Platform, webhook: Webhook) -> None:
    made(platform, AT)
    for day, wrong in (
        ("2026-08-25", "nothing is wrong"),
        ("2026-09-02", "fundamentals_refresh is overdue"),
        ("2026-09-29", "universe_refresh is overdue"),
    ):
        platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{day}T15:00:00Z"})
        assert look(platform) == wrong
    text = next(one["text"] for one in webhook.told if "fundamentals_refresh is overdue" in one["text"])
    assert "financials was made 9.0 days ago, 8 are allowed" in text
    assert "stale by it: orders, portfolio_report, published_scores, scores, target_weights, trade_plan" in text
    others = ("this week's message", "paper account: the rebalance of 2026-08-24 has ended")
    problems_told = [text for text in webhook.texts() if text not in others]
    assert problems_told == ["fundamentals_refresh is overdue", "universe_refresh is overdue"]


def test_financials_are_as_old_as_their_figures_and_not_as_a_sweep_that_asked_for_few(
    platform: Platform, webhook: Webhook
) -> None:
    made(platform, AT)
    now = AT + timedelta(days=8, hours=2)
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": now.isoformat()})
    save_sweep(platform.store, now - timedelta(hours=1))
    save_figures(platform.store, SYMBOLS[:94], now - timedelta(hours=1))
    assert look(platform) == "fundamentals_refresh is overdue"
    save_figures(platform.store, SYMBOLS[94:95], now - timedelta(hours=1))
    assert "fundamentals_refresh" not in str(look(platform)), "guards.min_fetched_pct are young"


def test_a_broker_s_clock_that_went_back_is_told(platform: Platform, webhook: Webhook) -> None:
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": AT.isoformat()})
    save_universe(platform.store, SYMBOLS, AT + timedelta(seconds=50))
    assert look(platform) == "nothing is wrong"
    save_universe(platform.store, SYMBOLS, AT + timedelta(days=1))
    assert look(platform) == "the broker's clock is behind what was made by it"
    assert "says 2026-08-24 14:00 UTC, but there is already universe at 2026-08-25 14:00 UTC" in webhook.told[0]["text"]
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": (AT + timedelta(days=1)).isoformat()})
    assert look(platform) == "nothing is wrong"


@pytest.mark.soak
def test_the_rebalance_and_the_sensor_tell_one_message_of_one_failure(platform: Platform, webhook: Webhook) -> None:
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    platform.sandbox.admin("PUT", "/sandbox/faults", [{"kind": "500", "endpoint": "POST /v2/orders"}])
    failed = platform.run("rebalance", week="2026-08-24")
    assert not failed.success
    assert len(webhook.told) == 1
    assert failed.run_id in webhook.told[0]["text"]
    assert look(platform) == "rebalance failed"
    assert len(webhook.told) == 1
    platform.sandbox.admin("DELETE", "/sandbox/faults")
    platform.must_run("rebalance", week="2026-08-24")
    assert look(platform) == "nothing is wrong"
    ended = "paper account: the rebalance of 2026-08-24 has ended"
    assert webhook.texts()[1:] == ["recovered: rebalance failed", ended]
    # Nine days on, nothing was made: one cause, and what follows from it in the same message.
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-02T15:00:00Z"})
    assert look(platform) == "fundamentals_refresh is overdue"
    text = next(one["text"] for one in webhook.told if "overdue" in one["text"])
    assert "financials was made 9.0 days ago, 8 are allowed" in text
    assert "stale by it: orders, portfolio_report, published_scores, scores, target_weights, trade_plan" in text
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-29T15:00:00Z"})
    assert look(platform) == "universe_refresh is overdue"
    problems = [text for text in webhook.texts()[3:] if text != "this week's message"]
    assert problems == ["fundamentals_refresh is overdue", "universe_refresh is overdue"]


def test_what_was_never_made_is_overdue_only_once_it_could_have_been(platform: Platform, webhook: Webhook) -> None:
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-24T14:00:00Z"})
    save_universe(platform.store, SYMBOLS, AT - timedelta(days=7))
    platform.instance.report_runless_asset_event(dg.AssetMaterialization("published_universe"))
    assert look(platform) == "nothing is wrong"
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-25T15:00:00Z"})
    assert look(platform) == "fundamentals_refresh is overdue"
    assert "financials was never made, though it could have been 8.0 days ago" in webhook.told[0]["text"]


def test_what_is_published_is_as_old_as_the_snapshot_that_it_was_made_from(
    platform: Platform, webhook: Webhook
) -> None:
    platform.must_run("universe_refresh")
    made = platform.store.history("universe")[0].as_of
    save_universe(platform.store, SYMBOLS, made + timedelta(days=34))
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": (made + timedelta(days=34, hours=1)).isoformat()})
    look(platform)
    assert "published_universe" not in "".join(one["text"] for one in webhook.told)
    platform.instance.report_runless_asset_event(dg.AssetMaterialization("universe"))
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": (made + timedelta(days=36)).isoformat()})
    look(platform)
    assert "published_universe was made 36.0 days ago" in webhook.told[-1]["text"]


def test_a_failed_check_is_told_with_what_it_said_and_a_warning_is_not(platform: Platform, webhook: Webhook) -> None:
    evaluated(platform, "scores", "rank_correlation", passed=False, severity="WARN")
    assert look(platform) == "nothing is wrong"
    evaluated(platform, "orders", "books", passed=False)
    for _ in range(2):
        assert look(platform) == "check orders.books failed"
    assert "the median is 100 times too large" in webhook.told[0]["text"]
    evaluated(platform, "orders", "books", passed=True)
    look(platform)
    assert webhook.texts() == ["check orders.books failed", "recovered: check orders.books failed"]


def test_a_check_that_no_run_holds_leads_to_its_asset_and_figures_that_are_wrong_are_asked_for_anew(
    platform: Platform, webhook: Webhook
) -> None:
    platform.configure(alerts__ui_url="https://dagster.example/ui/")
    for check in ("fetched", "schema", "present", "medians", "varied"):
        evaluated(platform, "financials", check, passed=False)
    look(platform)
    told = {one["text"].split()[1]: one["text"] for one in webhook.told}
    assert len(told) == 5
    for check, text in told.items():
        assert text.endswith("\nhttps://dagster.example/ui/assets/financials?view=checks")
        assert ("it asks only for what is missing" in text) == (check == "financials.fetched")
        assert ("ops.financials.config.again: true" in text) == (check != "financials.fetched")


def test_a_score_that_refuses_what_a_check_of_the_financials_refuses_is_not_told_again(
    platform: Platform, webhook: Webhook
) -> None:
    platform.instance.add_run(run_of("score", "FAILURE"))
    assert look(platform) == "score failed"
    evaluated(platform, "financials", "medians", passed=False)
    assert look(platform) == "check financials.medians failed"
    assert webhook.texts() == ["score failed", "check financials.medians failed"], "and the score has not recovered"


def test_while_a_run_is_under_way_its_job_has_neither_failed_nor_recovered(
    platform: Platform, webhook: Webhook
) -> None:
    instance = platform.instance
    instance.add_run(run_of("rebalance", "SUCCESS"))
    stopped = alerts.Problem("rebalance stopped", "a", "b")
    platform.notifier.alert("job:rebalance", stopped, platform.store, channels.channel_of(load_settings()))
    under_way = run_of(BY_HAND, "STARTED", "orders")
    instance.add_run(under_way)
    assert look(platform) == "nothing is wrong"
    assert webhook.texts() == ["rebalance stopped"], "it may end as badly as it began"
    instance.delete_run(under_way.run_id)
    look(platform)
    assert webhook.texts() == ["rebalance stopped", "recovered: rebalance stopped"]


def test_a_job_has_recovered_when_what_had_failed_was_made_whatever_made_it(
    platform: Platform, webhook: Webhook
) -> None:
    instance = platform.instance
    instance.add_run(run_of("rebalance", "FAILURE"))
    assert look(platform) == "rebalance failed"
    instance.add_run(run_of("score", "SUCCESS"))
    assert look(platform) == "rebalance failed"
    instance.add_run(run_of(BY_HAND, "SUCCESS", "orders", "portfolio_report"))
    assert look(platform) == "nothing is wrong"


def test_a_crashed_run_that_dagster_starts_again_is_not_told(platform: Platform, webhook: Webhook) -> None:
    crashed = run_of("score", "FAILURE")
    platform.instance.add_run(crashed.with_tags({"dagster/will_retry": "true"}))
    assert look(platform) == "nothing is wrong"
    assert webhook.told == []


def test_a_run_that_was_killed_is_told_though_dagster_starts_it_again_and_so_is_its_end(
    platform: Platform, webhook: Webhook
) -> None:
    killed = run_of("fundamentals_refresh", "STARTED")
    platform.instance.add_run(killed)
    assert "its process is gone" in (alive._end(platform.instance, killed, "its process is gone") or "")
    platform.instance.add_run_tags(killed.run_id, {"dagster/will_retry": "true"})
    assert look(platform) == "fundamentals_refresh failed"
    platform.instance.add_run(run_of("fundamentals_refresh", "SUCCESS"))
    assert look(platform) == "nothing is wrong"
    assert "is dead: its process is gone" in webhook.told[0]["text"]
    assert webhook.texts() == ["fundamentals_refresh failed", "recovered: fundamentals_refresh failed"]


def test_a_run_of_which_nobody_can_tell_whether_it_lives_is_asked_about_while_it_is_silent(
    platform: Platform, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "UNSEEN", timedelta(0))
    silent = run_of("fundamentals_refresh", "STARTED")
    platform.instance.add_run(silent)
    platform.instance.report_engine_event("Executing steps in process (pid: 1)", silent)
    assert look(platform) == "a run may be dead"
    (message,) = webhook.told
    assert f"run {silent.run_id} of fundamentals_refresh (STARTED) has said nothing since" in message["text"]
    assert "terminate the run in the UI, by force" in message["text"]
    platform.instance.report_run_canceled(silent)
    assert look(platform) == "nothing is wrong"
    assert webhook.texts()[-1] == "recovered: a run may be dead"


ON_KUBERNETES = """
run_launcher:
  module: dagster_k8s
  class: K8sRunLauncher
  config: {service_account_name: run, job_image: image, instance_config_map: map, dagster_home: /home}
"""


def test_a_code_server_without_a_token_of_the_cluster_looks_for_dead_runs_and_tells_of_problems(
    platform: Platform, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To build Kubernetes' launcher takes a token, which the chart gives to the daemon alone."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    home = dagster_home(platform.folder)
    with (home / "dagster.yaml").open("a") as document:
        document.write(ON_KUBERNETES)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        on_kubernetes = replace(platform, instance=instance)
        instance.add_run(run_of("rebalance", "STARTED"))
        platform.store.halt("a look at the broker", by="ann", at=AT)
        assert look(on_kubernetes, sensor="dead_runs") == "no run is dead"
        assert look(on_kubernetes) == "trading is halted"
    assert webhook.texts() == ["trading is halted"]


def test_a_look_at_the_runs_that_fails_is_told_and_ends_no_problem_of_a_run(platform: Platform) -> None:
    silent = run_of("score", "STARTED").with_tags({".dagster/grpc_info": "no document"})
    platform.instance.add_run(silent)
    platform.instance.report_engine_event("Executing steps in process (pid: 1)", silent)
    before, alive.UNSEEN = alive.UNSEEN, timedelta(0)
    try:
        found = problems.find(
            platform.instance,
            build_defs(load_settings()).resolve_asset_graph(),
            House(ROOMS),
            platform.store,
            None,
            load_settings(),
        )
    finally:
        alive.UNSEEN = before
    assert found.problems[alerts.RUNS].detail.startswith("the look at the runs failed (JSONDecodeError): ")
    assert not found.over(alerts.run_key(silent.run_id))
    assert not found.over(alerts.job_key("score"))
    assert found.over(alerts.WAREHOUSE)


def test_what_ended_a_step_is_told_in_a_sentence_and_never_by_the_bare_name_of_an_error() -> None:
    from_outside = "it was ended from outside: terminated by somebody, or its machine stopped"
    for error, told in (
        (DagsterExecutionInterruptedError(), from_outside),
        (KeyboardInterrupt(), from_outside),
        (KeyError("AAPL"), "the program failed unexpectedly (KeyError: 'AAPL'), and the run's log says where"),
        (TimeoutError(), "the program failed unexpectedly (TimeoutError), and the run's log says where"),
        (WarehouseError("no room; it said ValueError: x"), "no room; it said ValueError: x"),
        (ValueError("not a number: ValueError: x"), "not a number: ValueError: x"),
    ):
        assert reasons(error) == [f"orders: {told}"]


def reasons(error: BaseException) -> list[str]:
    """What is told of a run whose step this error ends."""

    @dg.op
    def orders() -> None:
        raise error

    @dg.job
    def ended() -> None:
        orders()

    events = ended.execute_in_process(raise_on_error=False).all_events
    return [runs.reason_of(event) for event in events if event.is_step_failure]


def test_nobody_is_told_that_a_later_run_mends_what_no_later_run_looks_at() -> None:
    for check, says in (
        ("orders.traded", "the schedule tries again in each session of the week"),
        ("portfolio_report.cash", "what a rule of the plan leaves as cash stays so in each run"),
        ("orders.books", "see what docs/operations.md says of orders.books; the schedule tries again only a week that"),
        ("financials.own", "ops.financials.config.again: true"),
        ("scores.shift", "scores_when_complete starts `score` again"),
    ):
        asset, name = check.split(".")
        assert says in problems._remedy_of_check(House(ROOMS), dg.AssetCheckKey(dg.AssetKey(asset), name))


def test_a_contradiction_in_env_is_told_to_a_person(platform: Platform, webhook: Webhook) -> None:
    """A key is replaced in .env while the platform runs: each run and sensor refuses, this one too, but it tells."""
    made, store = build_defs(load_settings(), read=load_settings), platform.store
    for text in ("FINNHUB_API_KEY=new\n", f"FINNHUB_API_KEY=new\nALERT_WEBHOOK_URL={webhook.url}\nREDIS_URL=x\n"):
        (platform.folder / ".env").write_text(text)
        with pytest.raises(SettingsError):
            look(platform, made)
    (message,) = webhook.told
    assert "FINNHUB_API_KEY: the environment says one thing and" in message["text"]
    assert list(store.alerts()) == [alerts.SETTINGS]
    (platform.folder / ".env").unlink()
    assert look(platform, made) == "nothing is wrong"
    assert webhook.texts() == ["the settings cannot be used", "recovered: the settings cannot be used"]


def test_a_halt_is_told_with_the_way_out_and_the_rebalance_that_refuses_by_it_is_not(
    platform: Platform, webhook: Webhook
) -> None:
    platform.store.halt("a look at the broker", by="ann", at=AT)
    platform.instance.add_run(run_of("rebalance", "FAILURE"))
    assert look(platform) == "trading is halted"
    assert "a look at the broker (by ann, 2026-08-24 14:00 UTC)" in webhook.told[0]["text"]
    assert 'tokenomics resume "reason"' in webhook.told[0]["text"]
    platform.store.resume("all is well", by="ann", at=AT)
    assert look(platform) == "rebalance failed"
    assert webhook.texts() == ["trading is halted", "rebalance failed", "recovered: trading is halted"]


def test_while_the_broker_is_away_that_is_told_and_nothing_of_ages(
    platform: Platform, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.configure(alpaca__max_attempts=1)
    save_universe(platform.store, SYMBOLS, AT - timedelta(days=365))
    with monkeypatch.context() as away:
        away.setenv("ALPACA_TRADING_URL", "http://127.0.0.1:1")
        assert look(platform) == "the broker cannot be asked"
    assert look(platform) == "universe_refresh is overdue"
    assert webhook.texts() == [
        "the broker cannot be asked",
        "universe_refresh is overdue",
        "recovered: the broker cannot be asked",
    ]


def test_a_broker_that_accepts_calls_and_hangs_is_told_within_the_time_of_a_tick(
    platform: Platform, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        2 * (transport.CONNECT_TIMEOUT_S + clock.TIMEOUT_S) + channels._LOOK_S + channels._MESSAGE_S + alerts._TURN_S
        < 60
    )
    monkeypatch.setattr(clock, "TIMEOUT_S", 0.1)
    platform.configure(alpaca__max_attempts=5, alpaca__timeout_s=15.0)
    begun = time.monotonic()
    with hanging_broker(monkeypatch) as calls:
        assert look(platform) == "the broker cannot be asked"
    assert len(calls) == 2
    assert time.monotonic() - begun < 10
    assert webhook.texts() == ["the broker cannot be asked"]


def test_one_answer_of_the_broker_s_that_is_lost_is_no_problem(platform: Platform, webhook: Webhook) -> None:
    fault = {"kind": "500", "endpoint": "GET /v2/clock", "times": 1}
    platform.sandbox.admin("PUT", "/sandbox/faults", [fault])
    assert look(platform) == "nothing is wrong"


def test_a_warehouse_that_is_away_is_told_once_and_the_tick_fails(
    platform: Platform, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://nobody:hidden@127.0.0.1:1/none")
        for _ in range(2):
            with pytest.raises(WarehouseError):
                look(platform)
    assert webhook.texts() == ["the warehouse cannot be used"]
    assert "hidden" not in webhook.told[0]["text"]
    look(platform)
    assert webhook.texts() == ["the warehouse cannot be used", "recovered: the warehouse cannot be used"]


def test_a_warehouse_that_another_process_holds_is_told_though_all_can_be_read(
    platform: Platform, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(platform)
    with monkeypatch.context() as held, closing(sqlite3.connect(platform.folder / "warehouse.db")) as other:
        held.setattr(database, "_PATIENCE_S", 0.1)
        other.execute("begin immediate")
        for _ in range(2):
            with pytest.raises(WarehouseError, match="another process has held it"):
                look(platform)
    assert webhook.texts() == ["the warehouse cannot be used"]
    look(platform)
    assert webhook.texts()[1:] == ["recovered: the warehouse cannot be used"]
