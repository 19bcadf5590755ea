"""What a person hears beside problems: each rebalance, once, and how things stand once a week; and the dead-man's
switch, which hears of each look that worked and of no other."""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from tokenomics_dagster.automation.summaries import Look
from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.kit import alerts, heartbeat
from tokenomics_dagster.kit.alerts import Summary, notify_of_weeks
from tokenomics_dagster.kit.channels import Channel
from tokenomics_dagster.reports.building import report_of
from tokenomics_dagster.reports.week_records import records_of
from tokenomics_dagster.settings.alerts import AlertSettings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.audit import SUMMARY_TOLD
from tokenomics_dagster.storage.records import WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.webhook import Webhook

AT = datetime(2026, 8, 24, 14, tzinfo=UTC)
WEEK = "2026-08-24"
REBALANCED = f"paper account: the rebalance of {WEEK} has ended"
PING = "/ping/5ecret-0f-the-5witch"


@pytest.fixture(autouse=True)
def _told_here(request: pytest.FixtureRequest, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    if "platform" in request.fixturenames:
        request.getfixturevalue("platform")
        monkeypatch.setenv("ALERT_WEBHOOK_URL", webhook.url)  # the platform has emptied it


def look(platform: Platform) -> str | None:
    """One tick of the sensor; what it says is wrong."""
    made = build_defs(load_settings())
    assert made.resources is not None
    with dg.build_sensor_context(
        instance=platform.instance,
        resources={**made.resources, "notifier": platform.notifier},
        repository_def=made.get_repository_def(),
    ) as context:
        return made.resolve_sensor_def("stale_or_failed").evaluate_tick(context).skip_message


@dataclass
class Switch:
    """A dead-man's switch that is a real server: which calls it got, and what it answers."""

    url: str = ""
    status: int = 200
    location: str = ""
    paths: list[str] = field(default_factory=list)


@contextmanager
def running_switch() -> Iterator[Switch]:
    switch = Switch()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            switch.paths.append(self.path)
            self.send_response(switch.status)
            if switch.location:
                self.send_header("Location", switch.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        switch.url = f"http://127.0.0.1:{server.server_port}{PING}"
        try:
            yield switch
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def switch() -> Iterator[Switch]:
    with running_switch() as made:
        yield made


def test_a_rebalance_is_told_once_with_its_books_and_the_next_run_whatever_restarts(
    platform: Platform, webhook: Webhook
) -> None:
    platform.run_all()
    told_of = report_of(records_of(platform.store, date.fromisoformat(WEEK)))
    webhook.status = 503
    assert look(platform) == "nothing is wrong"
    assert (webhook.told, platform.store.summarized_until()) == ([], None)
    webhook.status = 200
    for _ in range(2):
        look(platform)
        vars(platform).pop("notifier")  # a code server that starts anew knows what the warehouse knows, and no more
    (message,) = webhook.told
    title, result, untraded, costs, coming, *names = message["text"].splitlines()
    assert title == f"*{REBALANCED}*"
    bought = sum((one.usd for one in told_of.trades if one.side == "buy"), Decimal(0))
    assert f"20 names were bought for {bought:,.2f} USD" in result
    assert f"worth {told_of.equity:,.2f} USD, {told_of.cash:,.2f} of it in cash" in result
    assert untraded.startswith("Not traded: nothing: all that was meant was.")
    assert told_of.slippage is not None
    assert costs.startswith(f"Costs: {told_of.slippage:+,.2f} USD against the prices of the plan")
    assert coming.startswith("Next: nothing by itself, the schedule rebalance is off; on it would start Mon 2026-08-31")
    largest = max(told_of.trades, key=lambda one: one.usd)
    assert names[0].startswith(f"- bought {largest.symbol} (")
    assert f") for {largest.usd:,.2f} USD: new: number " in names[0]
    assert "- bought 17 more names for " in names[3]
    run = platform.store.history("portfolio_report")[0].run_id
    assert names[-2:] == [f"More: `tokenomics report {WEEK}` makes the page of it", f"http://127.0.0.1:3000/runs/{run}"]
    (record,) = (one for one in platform.store.audit_records() if one.kind == SUMMARY_TOLD)
    assert (record.week, platform.store.summarized_until()) == (date.fromisoformat(WEEK), told_of.at)
    assert platform.store.verify_audit() is None


@pytest.mark.soak
def test_a_second_rebalance_of_a_week_is_news_and_one_that_failed_is_a_problem_alone(
    platform: Platform, webhook: Webhook
) -> None:
    platform.run_all()
    look(platform)
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-25T14:35:00Z"})
    platform.must_run("rebalance", week=WEEK)
    look(platform)
    assert webhook.texts() == [REBALANCED, REBALANCED]
    platform.store.halt("enough", by="ann", at=AT + timedelta(days=1))
    assert not platform.run("rebalance", week=WEEK).success
    look(platform)
    assert webhook.texts().count(REBALANCED) == 2


@pytest.mark.soak
def test_a_rebalance_is_not_told_where_the_settings_say_so_nor_once_it_is_no_news(
    platform: Platform, webhook: Webhook
) -> None:
    platform.configure(alerts__summaries=["weekly"])
    platform.run_all()
    look(platform)
    assert webhook.told == []
    platform.configure(alerts__summaries=["rebalance"])
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-14T14:35:00Z"})
    look(platform)
    assert REBALANCED not in webhook.texts()


@pytest.mark.soak
def test_the_weeks_message_tells_equity_costs_fees_and_what_comes_next_before_the_head(
    platform: Platform, webhook: Webhook
) -> None:
    platform.run_all()
    look(platform)
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T15:00:00Z"})
    look(platform)
    text = next(one["text"] for one in webhook.told if "this week's message" in one["text"])
    with platform.broker() as broker:
        account = broker.account()
    _, equity, cash, week, *_ = text.splitlines()
    assert equity.startswith(f"Equity of the paper account {account.number}: {account.equity:,.2f} USD; ")
    assert " since Mon 2026-08-24 " in equity
    assert equity.endswith(" New York, what was paid in or out included.")
    assert cash.startswith(f"Cash: {account.cash:,.2f} USD. Fees that the broker took since Mon 2026-08-24 ")
    assert week.startswith(f"The week of {WEEK} was rebalanced. 20 names were bought for ")
    assert "\nNext: nothing by itself, the schedule rebalance is off; on it would start Tue 2026-09-01 10:00 " in text
    assert text.index("Next: ") < text.index("the audit has ")
    platform.configure(alerts__summaries=[])
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-07T15:01:00Z"})
    look(platform)
    bare = [one["text"] for one in webhook.told if "this week's message" in one["text"]][1]
    assert bare.splitlines()[1].startswith("the audit has ")


def test_a_first_message_after_years_reads_the_last_weeks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look has 60 s, and the weeks that nobody was told of would be read anew by each."""
    read: list[int] = []

    def note(_: Look, report: int) -> tuple[list[str], list[str]]:
        read.append(report)
        return ["Bought."], []

    reports = [(week, date(2026, 8, 24) - timedelta(weeks=10 - week)) for week in range(11)]
    monkeypatch.setattr("tokenomics_dagster.reports.week_records.reports_since", lambda *_: reports)
    monkeypatch.setattr(Look, "_read", note)
    monkeypatch.setattr(Look, "_equity", lambda *_: ["Equity."])
    monkeypatch.setattr(Look, "_next", lambda _: "Next.")
    unused: Any = None
    lines = Look(unused, unused, load_settings(), AT, unused, (), unused).week(AT)
    assert read == [7, 8, 9, 10]
    assert lines[:3] == [
        "Equity.",
        "At least 7 weeks were rebalanced before the last 4:",
        "The week of 2026-08-03 was rebalanced. Bought.",
    ]
    assert lines[-1] == "Next."


@pytest.mark.soak
def test_where_a_reports_records_are_damaged_that_is_told_and_no_look_fails_by_it(
    platform: Platform, webhook: Webhook
) -> None:
    platform.run_all()
    with platform.store._engine.begin() as connection:
        connection.exec_driver_sql("update portfolio_report set weight = -5")
    look(platform)
    (message,) = (one["text"] for one in webhook.told if REBALANCED in one["text"])
    assert "What is stored of it cannot be read (" in message
    assert "run `tokenomics audit verify`" in message
    look(platform)
    assert webhook.texts().count(REBALANCED) == 1


def summary_of(day: int) -> Summary:
    """Of a name from outside that would be a link, a call and two lines."""
    name = "AT&T <!channel> <http://evil|bank>\n- sold all"
    return Summary(date(2026, 8, 24), AT + timedelta(days=day), f"told {day}", [name, "second"], "look", "http://ui")


def test_a_text_from_outside_makes_no_line_of_a_summary(store: Warehouse, webhook: Webhook) -> None:
    channel = Channel(AlertSettings(), SecretStr(webhook.url))
    assert notify_of_weeks(store, channel, AT, lambda: iter([summary_of(0)]))
    assert webhook.told == [
        {
            "text": "*told 0*\nAT&amp;T &lt;!channel&gt; &lt;http://evil|bank&gt; - sold all\nsecond\nMore: look\n"
            "http://ui"
        }
    ]


def test_two_looks_at_once_tell_a_summary_once(url: str, webhook: Webhook) -> None:
    webhook.delay_s = 0.1
    channel = Channel(AlertSettings(), SecretStr(webhook.url))

    def tell() -> None:
        with closing(Warehouse(url)) as store:

            def untold() -> Iterator[Summary]:
                if store.summarized_until() is None:
                    yield summary_of(0)

            notify_of_weeks(store, channel, AT, untold)

    looks = [threading.Thread(target=tell) for _ in range(2)]
    for one in looks:
        one.start()
    for one in looks:
        one.join()
    assert webhook.texts() == ["told 0"]


def test_each_look_that_worked_pings_once_and_open_problems_stop_no_ping(
    platform: Platform, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEALTHCHECK_URL", switch.url)
    for calls in (1, 2):
        assert look(platform) == "nothing is wrong"
        assert switch.paths == calls * [PING]
    platform.store.halt("enough", by="ann", at=AT)
    assert look(platform) == "trading is halted"
    assert switch.paths == 3 * [PING], "a person was told of it"


@pytest.mark.parametrize("away", ["broker", "warehouse", "settings", "channel", "runs"])
def test_a_look_that_cannot_vouch_for_itself_pings_nobody(
    platform: Platform, switch: Switch, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    monkeypatch.setenv("HEALTHCHECK_URL", switch.url)
    if away == "broker":
        monkeypatch.setenv("ALPACA_TRADING_URL", "http://127.0.0.1:1")
        look(platform)
    elif away == "warehouse":
        monkeypatch.setenv("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://nobody@127.0.0.1:1/none")
        with pytest.raises(WarehouseError):
            look(platform)
    elif away == "settings":
        made = build_defs(load_settings(), read=load_settings)
        platform.configure(rebalancing__top_n_stocks="many")
        assert made.resources is not None
        context = dg.build_sensor_context(
            instance=platform.instance, resources=made.resources, repository_def=made.get_repository_def()
        )
        with context, pytest.raises(ValueError):
            made.resolve_sensor_def("stale_or_failed").evaluate_tick(context)
    elif away == "channel":
        platform.store.halt("enough", by="ann", at=AT)
        webhook.status = 500
        look(platform)
        webhook.status = 200
        assert switch.paths == [], "nobody was told that trading is halted"
        look(platform)
        assert switch.paths == [PING]
        return
    else:
        monkeypatch.setattr("tokenomics_dagster.automation.problems._silent_runs", lambda *_: {alerts.RUNS: LOST})
        look(platform)
    assert switch.paths == []


LOST = alerts.Problem("nobody can see whether runs are dead", "a", "b")


@pytest.mark.parametrize("status", [301, 307, 404, 500])
def test_a_ping_follows_no_redirect_and_counts_only_where_it_was_taken(switch: Switch, status: int) -> None:
    with running_switch() as elsewhere:
        switch.status, switch.location = status, elsewhere.url
        assert not heartbeat.ping(SecretStr(switch.url))
        assert (switch.paths, elsewhere.paths) == ([PING], [])
    switch.status = 200
    assert heartbeat.ping(SecretStr(switch.url))


def test_a_switch_that_is_away_or_slow_is_no_error_and_its_address_is_in_no_log(
    switch: Switch, webhook: Webhook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(heartbeat, "_TIMEOUT_S", 0.2)
    for address in (switch.url, f"http://127.0.0.1:1{PING}", f"http://[{PING}", f"https://127.0.0.1:9{PING}"):
        heartbeat.ping(SecretStr(address))
    switch.status = 503
    heartbeat.ping(SecretStr(switch.url))
    assert "HEALTHCHECK_URL cannot be reached" in caplog.text
    assert "HEALTHCHECK_URL answered with status 503" in caplog.text
    assert "5ecret" not in caplog.text
    assert not heartbeat.ping(None)
