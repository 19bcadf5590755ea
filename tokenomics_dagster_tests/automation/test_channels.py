"""Addresses of apprise: what they are sent, what they are held to whatever they say, and that nothing of them is told.

Real calls to a server of our own, by apprise's json://. Skipped where the extra [notify] is not installed.
"""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from tokenomics_dagster.kit import channels
from tokenomics_dagster.kit.alerts import Notifier, Problem, Summary, notify_of_weeks
from tokenomics_dagster.kit.channels import Channel, unknown_addresses
from tokenomics_dagster.operations.status import check_all
from tokenomics_dagster.settings.alerts import AlertSettings
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.webhook import SECRET, Webhook, running_webhook

pytest.importorskip("apprise", reason="the extra [notify] is not installed: what apprise sends cannot be seen")

AT = datetime(2026, 8, 24, 14, tzinfo=UTC)
SETTINGS = AlertSettings(ui_url="http://ui:3000")
LOST = Problem("order lost", "nobody knows what became of buy A", "look at the broker", "http://ui:3000/runs/1")


@pytest.fixture
def other() -> Iterator[Webhook]:
    with running_webhook() as hook:
        yield hook


@pytest.fixture(scope="session", autouse=True)
def _loaded() -> None:
    """Half a second, of no test's time."""
    unknown_addresses(Channel(SETTINGS, None, (SecretStr("json://127.0.0.1"),)))


def address(hook: Webhook, wants: str = "") -> SecretStr:
    parts = urlsplit(hook.url)
    return SecretStr(f"json://{parts.netloc}{parts.path}{wants}")


def look(store: Warehouse, channel: Channel, **problems: Problem) -> bool:
    return Notifier().report(problems, store, channel, over=lambda _: True)


def told(hook: Webhook) -> list[tuple[str, str, str]]:
    return [(one["title"], one["message"], one["type"]) for one in hook.told]


@pytest.fixture
def quiet(tmp_path) -> Iterator[Warehouse]:
    warehouse = Warehouse(f"sqlite:///{tmp_path}/w.db")
    yield warehouse
    warehouse.close()


def test_a_problem_and_its_end_arrive_once_each_as_text(quiet: Warehouse, webhook: Webhook) -> None:
    channel = Channel(SETTINGS, None, (address(webhook),))
    for _ in range(3):
        assert look(quiet, channel, lost=LOST)
    for _ in range(2):
        assert look(quiet, channel)
    problem, end = told(webhook)
    body = "nobody knows what became of buy A\nWhat to do: look at the broker\nhttp://ui:3000/runs/1"
    assert problem == ("order lost", body, "failure")
    assert (end[0], end[2]) == ("recovered: order lost", "success")
    assert webhook.paths == {SECRET}


def test_a_text_from_outside_calls_nobody_marks_nothing_and_hides_no_link(quiet: Warehouse, webhook: Webhook) -> None:
    name = "*A* <!channel> @everyone [bank](http://evil)\n~x~\u202e"
    look(quiet, Channel(SETTINGS, None, (address(webhook),)), lost=Problem(name, name, "look"))
    (title, body, _) = told(webhook)[0]
    for mark in ("*", "<", ">", "@", "[", "]", "~", "\u202e"):
        assert mark not in title + body
    assert "http://evil" in body, "a bare address shows where it leads"
    assert len(body.splitlines()) == 2


def test_a_summary_has_the_lines_that_it_was_made_of(quiet: Warehouse, webhook: Webhook) -> None:
    week = AT.date()
    summary = Summary(week, AT, "rebalanced", ["first\nline", "second"], "look", "http://ui")
    assert notify_of_weeks(quiet, Channel(SETTINGS, None, (address(webhook),)), AT, lambda: iter([summary]))
    assert told(webhook) == [("rebalanced", "first line\nsecond\nMore: look\nhttp://ui", "info")]
    assert quiet.summarized_until() == AT


@pytest.mark.parametrize("status", [301, 307, 404, 500])
def test_a_message_that_is_refused_is_untold_whatever_the_address_asks_for(
    quiet: Warehouse, webhook: Webhook, status: int
) -> None:
    channel = Channel(SETTINGS, None, (address(webhook, "?redirect=yes&retry=3&wait=0&optional=yes&cto=60&rto=60"),))
    webhook.status = status
    assert not look(quiet, channel, lost=LOST)
    assert (webhook.calls, webhook.paths) == (1, {SECRET}), "no redirect is followed, nothing is tried again at once"
    assert quiet.alerts()["lost"].told_at is None
    webhook.status = 200
    assert look(quiet, channel, lost=LOST)
    assert [title for title, _, _ in told(webhook)] == ["order lost"]


def test_one_address_that_takes_a_message_is_enough_and_no_other_is_told_twice(
    quiet: Warehouse, webhook: Webhook, other: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    channel = Channel(SETTINGS, SecretStr(webhook.url), (address(other), SecretStr(f"json://127.0.0.1:9{SECRET}")))
    other.status = 500
    for _ in range(2):
        assert look(quiet, channel, lost=LOST)
    assert (webhook.texts(), other.calls) == (["order lost"], 1)
    assert "number 1 of ALERT_URLS did not take a message" in caplog.text
    assert "number 2 of ALERT_URLS did not take a message" in caplog.text
    webhook.status, other.status = 500, 200
    assert look(quiet, channel)
    assert [title for title, _, _ in told(other)] == ["recovered: order lost"]


def test_slow_addresses_cost_one_time_out_together(
    quiet: Warehouse, webhook: Webhook, other: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_MESSAGE_S", 0.4)
    webhook.delay_s = other.delay_s = 20
    begun = time.monotonic()
    assert not look(quiet, Channel(SETTINGS, None, (address(webhook), address(other))), lost=LOST, late=LOST)
    assert time.monotonic() - begun < 2
    assert (webhook.calls, other.calls) == (1, 1)


@pytest.mark.parametrize("wrong", ["200", "307", "500", "away", "unknown", "malformed"])
def test_the_address_is_in_no_log(
    quiet: Warehouse, webhook: Webhook, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    one = {
        "away": SecretStr(f"json://127.0.0.1:9{SECRET}"),
        "unknown": SecretStr(f"nosuch://x7SECRET{SECRET}"),
        "malformed": SecretStr(f"slack://{SECRET}"),
    }.get(wrong, address(webhook))
    webhook.status = int(wrong) if wrong.isdigit() else 200
    with caplog.at_level(logging.DEBUG):
        look(quiet, Channel(SETTINGS, None, (one,)), lost=LOST)
        unknown_addresses(Channel(SETTINGS, None, (one,)))
    assert "order lost" in caplog.text
    assert "SECRET" not in caplog.text
    assert all("SECRET" not in repr(record.__dict__) for record in caplog.records)
    assert webhook.calls == wrong.isdigit()


def test_an_address_that_apprise_cannot_use_is_named_by_its_place_before_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALERT_URLS", "json://127.0.0.1/x nosuch://x7SECRET discord://1/2")
    found = next(one for one in check_all() if one.part == "alerts")
    assert found.works is False
    assert found.text.startswith("apprise can use no address as number 2 of ALERT_URLS is written")
    monkeypatch.setenv("ALERT_URLS", "json://127.0.0.1/x")
    monkeypatch.setenv("HEALTHCHECK_URL", "https://hc-ping.com/x")
    found = next(one for one in check_all() if one.part == "alerts")
    assert (found.works, found.text) == (True, "told at 1 of ALERT_URLS (not called now); a dead-man's switch is set")
