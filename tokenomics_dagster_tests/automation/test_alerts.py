"""What a person hears: each problem once, again when it lasts, and that it is over; whatever the webhook does."""

import logging
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tokenomics_dagster.kit import channels
from tokenomics_dagster.kit.alerts import Notifier, Problem, notify_of_head
from tokenomics_dagster.kit.channels import Channel, channel_of
from tokenomics_dagster.settings.alerts import AlertSettings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.storage.records import WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.webhook import SECRET, Webhook

SLACK = AlertSettings(format="slack", ui_url="http://ui:3000", repeat_hours=24)
JSON = SLACK.model_copy(update={"format": "json"})
AT_ONCE = 1e-9  # hours: each look repeats
LOST = Problem("order lost", "nobody knows what became of buy A", "look at the broker", "http://ui:3000/runs/1")
LATE = Problem("sweep overdue", "financials are 9 days old", "run the sweep")


NOTIFIER = Notifier()


@pytest.fixture(autouse=True)
def nothing_told_before() -> None:
    NOTIFIER._unkept.clear()


def channel(settings: AlertSettings = SLACK) -> Channel:
    """To the address that the test has set, be it one that settings would refuse."""
    address = os.environ.get("ALERT_WEBHOOK_URL")
    return Channel(settings, SecretStr(address) if address else None)


def alert(key: str, problem: Problem, store: Warehouse) -> None:
    NOTIFIER.alert(key, problem, store, channel())


def look(store: Warehouse | None, at: AlertSettings = SLACK, /, **problems: Problem) -> None:
    """One look at everything that is wrong; what is not named is over."""
    NOTIFIER.report(problems, store, channel(at), over=lambda _: True)


def test_slack_is_sent_text_alone_with_what_to_do_and_the_link(store: Warehouse, webhook: Webhook) -> None:
    alert("lost", LOST, store)
    assert webhook.told == [
        {
            "text": "*order lost*\nnobody knows what became of buy A\nWhat to do: look at the broker\n"
            "http://ui:3000/runs/1"
        }
    ]
    assert webhook.paths == {SECRET}


def test_a_text_from_outside_is_no_link_no_call_and_no_mark_in_a_slack_message(
    store: Warehouse, webhook: Webhook
) -> None:
    name = "*AT&T* <!channel> <http://evil|your bank>\nWhat to do: pay ~now~\u202e"
    alert("lost", Problem(name, name, name, "http://ui:3000/runs/1"), store)
    inert = "\u2217AT&amp;T\u2217 &lt;!channel&gt; &lt;http://evil|your bank&gt; What to do: pay \u223cnow\u223c "
    assert webhook.told == [{"text": f"*{inert}*\n{inert}\nWhat to do: {inert}\nhttp://ui:3000/runs/1"}]


def test_plain_json_holds_each_part_by_its_name(store: Warehouse, webhook: Webhook) -> None:
    look(store, JSON, lost=LOST)
    look(store, JSON.model_copy(update={"repeat_hours": AT_ONCE}), lost=LOST)
    look(store, JSON)
    assert [one["state"] for one in webhook.told] == ["problem", "still", "recovered"]
    assert [one["count"] for one in webhook.told] == [1, 2, 2]
    for one in webhook.told:
        assert {key: one[key] for key in ("key", "title", "detail", "action", "link")} == {
            "key": "lost",
            "title": LOST.title,
            "detail": LOST.detail,
            "action": LOST.action,
            "link": LOST.link,
        }
        assert one["at"].endswith("+00:00")


def test_a_problem_is_told_once_however_often_it_is_seen_and_its_end_once(store: Warehouse, webhook: Webhook) -> None:
    for _ in range(4):
        look(store, lost=LOST)
    assert store.alerts()["lost"].count == 4
    for _ in range(3):
        look(store)
    assert webhook.texts() == ["order lost", "recovered: order lost"]
    assert "4 times in all" in webhook.told[1]["text"]
    assert store.alerts() == {}
    look(store, lost=LOST)
    assert webhook.texts()[2:] == ["order lost"], "a problem that comes back is a new one"


def test_a_problem_that_lasts_is_told_again_with_its_count(store: Warehouse, webhook: Webhook) -> None:
    for _ in range(4):
        look(store, lost=LOST)
    look(store, SLACK.model_copy(update={"repeat_hours": AT_ONCE}), lost=LOST)
    look(store, lost=LOST)
    assert webhook.texts() == ["order lost", "still: order lost"]
    assert "Seen 5 times since " in webhook.told[1]["text"]


def test_each_problem_has_a_message_of_its_own_and_a_state_of_its_own(store: Warehouse, webhook: Webhook) -> None:
    look(store, lost=LOST)
    look(store, lost=LOST, late=LATE)
    look(store, late=LATE)
    assert webhook.texts() == ["order lost", "sweep overdue", "recovered: order lost"]


def test_what_cannot_be_judged_now_is_neither_told_nor_over(store: Warehouse, webhook: Webhook) -> None:
    look(store, lost=LOST, late=LATE)
    NOTIFIER.report({}, store, channel(), over=lambda key: key == "late")
    assert webhook.texts()[2:] == ["recovered: sweep overdue"]
    alert("late", LATE, store)
    assert set(store.alerts()) == {"lost", "late"}, "a single alert says nothing of the others"


@pytest.mark.parametrize(
    "written",
    [
        b"REDIS_URL=redis://new\nREDIS_PORT=high\n",
        b"REDIS_URL=\xff\n",
        b"ALERT_WEBHOOK_URL=http://127.0.0.1:1/new\nREDIS_URL=redis://new\n",
    ],
    ids=["another variable", "unreadable", "two addresses"],
)
@pytest.mark.parametrize("given", [True, False], ids=["in the environment", "in the file"])
def test_an_alert_arrives_by_the_settings_given_whatever_env_says_now(
    given: bool, written: bytes, webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", "redis://old")
    file = tmp_path / ".env"
    if not given:
        monkeypatch.delenv("ALERT_WEBHOOK_URL")
        file.write_text(f"ALERT_WEBHOOK_URL={webhook.url}\n")
    to = channel_of(load_settings())
    file.write_bytes(written)
    with pytest.raises(SettingsError):
        load_settings()
    NOTIFIER.report({"lost": LOST}, None, to, over=lambda _: False)
    assert webhook.texts() == ["order lost"]


@pytest.mark.parametrize(
    "address", ["http://[", "no address", f"https://{'a' * 300}", "http://127.0.0.1:99999999", "https://127.0.0.1:9"]
)
def test_an_alert_is_never_an_error_whatever_env_says(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", address)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/of/another/machine.pem")
    NOTIFIER.report({"lost": LOST}, None, channel(), over=lambda _: False)
    assert "order lost: nobody knows what became of buy A" in caplog.text
    assert "the alert webhook cannot be reached" in caplog.text
    assert address not in caplog.text


def test_once_a_week_the_audits_head_is_told_and_a_message_that_was_not_taken_is_tried_again(
    store: Warehouse, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tokenomics.alerts")
    began = datetime(2026, 8, 24, 14, tzinfo=UTC)
    notify_of_head(store, channel(), began)
    store.halt("enough", by="ann", at=began)
    noted = store.audit_head()
    notify_of_head(store, channel(), began + timedelta(days=6.9))
    assert webhook.calls == 0, "there is nothing to keep, and then nothing that is a week old"
    webhook.status = 500
    notify_of_head(store, channel(), began + timedelta(days=7))
    assert "this week's message" not in caplog.text, "it would be a line a minute while the webhook is broken"
    webhook.status = 200
    for hours in range(3):
        notify_of_head(store, channel(), began + timedelta(days=7, hours=hours))
    (first,) = webhook.told
    assert f"the audit has 1 records, the last one's hash is {noted.hash}; 0 problems are open" in first["text"]
    assert f"`tokenomics audit verify --head {noted.hash} --count 1`" in first["text"]
    assert store.record_with(noted.hash) == noted.count
    notify_of_head(store, channel(JSON), began + timedelta(days=14))
    assert webhook.told[1]["state"] == "weekly"
    assert webhook.told[1]["key"] == "audit_head"
    assert [record.kind for record in store.audit_records()] == ["halt", "head_told", "head_told"]
    assert store.alerts() == {}, "it is no problem"


@pytest.mark.parametrize("status", [301, 307, 400, 429, 500])
def test_what_the_webhook_refuses_is_untold_and_tried_at_the_next_look(
    webhook: Webhook, tmp_path: Path, status: int
) -> None:
    with closing(Warehouse(f"sqlite:///{tmp_path}/w.db")) as store:
        webhook.status = status
        look(store, lost=LOST, late=LATE)
        assert (webhook.calls, webhook.paths) == (1, {SECRET}), "no redirect is followed, no other message is tried"
        assert store.alerts()["lost"].told_at is None
        webhook.status = 200
        look(store, lost=LOST, late=LATE)
        look(store, lost=LOST, late=LATE)
        assert webhook.texts() == ["order lost", "sweep overdue"]
        webhook.status = status
        look(store)
        webhook.status = 200
        look(store)
        look(store)
        assert sorted(webhook.texts()[2:]) == ["recovered: order lost", "recovered: sweep overdue"]


def test_a_problem_that_nobody_heard_of_ends_without_a_word(store: Warehouse, webhook: Webhook) -> None:
    webhook.status = 500
    look(store, lost=LOST)
    webhook.status = 200
    look(store)
    assert (webhook.told, store.alerts()) == ([], {})


def test_a_server_that_is_down_is_tried_again(
    store: Warehouse, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", f"http://127.0.0.1:9{SECRET}")
    alert("lost", LOST, store)
    monkeypatch.setenv("ALERT_WEBHOOK_URL", webhook.url)
    look(store, lost=LOST)
    assert webhook.texts() == ["order lost"]


def test_a_slow_server_costs_one_time_out_a_look(
    store: Warehouse, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_TIMEOUT_S", 0.2)
    webhook.delay_s = 20
    begun = time.monotonic()
    look(store, lost=LOST, late=LATE)
    assert time.monotonic() - begun < 2
    webhook.delay_s = 0
    look(store, lost=LOST, late=LATE)
    assert webhook.texts() == ["order lost", "sweep overdue"]


def test_a_look_at_many_problems_ends_in_time_and_the_next_one_tells_the_rest(
    store: Warehouse, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_LOOK_S", 1.0)
    webhook.delay_s = 0.4
    many = {f"p{number}": Problem(f"p{number}", "a", "b") for number in range(6)}
    look(store, **many)
    assert 1 <= len(webhook.told) < 6
    webhook.delay_s = 0
    monkeypatch.setattr(channels, "_LOOK_S", 60.0)
    look(store, **many)
    assert sorted(webhook.texts()) == sorted(many)


def test_without_a_webhook_a_problem_is_logged_once(
    store: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "")
    with caplog.at_level(logging.INFO, "tokenomics.alerts"):
        for _ in range(3):
            look(store, lost=LOST)
        look(store)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "order lost: nobody knows what became of buy A; what to do: look at the broker" in caplog.text
    assert "recovered: order lost" in caplog.text


@pytest.mark.parametrize("status", [200, 307, 500, None, "wrong"])
def test_the_address_of_the_webhook_is_in_no_log(
    tmp_path: Path,
    webhook: Webhook,
    status: int | str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if status is None:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", f"http://127.0.0.1:9{SECRET}")
    elif isinstance(status, str):
        monkeypatch.setenv("ALERT_WEBHOOK_URL", f"htp:/{SECRET}")
    else:
        webhook.status = status
    with caplog.at_level(logging.DEBUG), closing(Warehouse(f"sqlite:///{tmp_path}/w.db")) as store:
        look(store, lost=LOST)
        look(None, late=LATE)
        look(store)
    assert "order lost" in caplog.text
    assert "SECRET" not in caplog.text
    assert webhook.calls == 0 or webhook.paths == {SECRET}


def test_without_its_warehouse_a_message_goes_out_and_is_not_told_again_when_it_is_back(
    store: Warehouse, webhook: Webhook, tmp_path: Path
) -> None:
    for _ in range(3):
        look(None, lost=LOST)
    assert webhook.texts() == ["order lost"]
    look(store, lost=LOST)
    assert store.alerts()["lost"].count == 4
    look(store)
    assert webhook.texts() == ["order lost", "recovered: order lost"]


def test_a_warehouse_that_fails_in_the_middle_costs_no_message(
    webhook: Webhook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Warehouse(f"sqlite:///{tmp_path}/w.db")) as store:
        with store._engine.begin() as connection:
            connection.exec_driver_sql("drop table alerts")
        alert("lost", LOST, store)
        alert("lost", LOST, store)
    assert webhook.texts() == ["order lost", "the warehouse cannot be used"]
    assert "what is told cannot be kept" in caplog.text


def test_while_nothing_can_be_kept_each_problem_is_told_once_and_so_is_that(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        later = time.monotonic() + 30  # more than the time of a look
        monkeypatch.setattr(time, "monotonic", lambda: later)
        raise WarehouseError("database is locked")

    with closing(Warehouse(f"sqlite:///{tmp_path}/w.db")) as store:
        with monkeypatch.context() as held:
            held.setattr(store, "save_alert", locked)
            for _ in range(3):
                look(store, lost=LOST, late=LATE)
        told = ["order lost", "sweep overdue", "the warehouse cannot be used"]
        assert webhook.texts() == told
        look(store, lost=LOST)
        assert webhook.texts()[3:] == ["recovered: sweep overdue", "recovered: the warehouse cannot be used"]
        assert store.alerts()["lost"].count == 4


def test_two_looks_at_once_tell_once(url: str, webhook: Webhook) -> None:
    webhook.delay_s = 0.05
    with closing(Warehouse(url)) as one, closing(Warehouse(url)) as other, ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(look, store, lost=LOST) for store in (one, other)]:
            done.result()
        assert one.alerts()["lost"].count == 2
    assert webhook.texts() == ["order lost"]


def test_two_processes_at_once_tell_once(tmp_path: Path, webhook: Webhook) -> None:
    webhook.delay_s = 0.2
    url = f"sqlite:///{tmp_path}/w.db"
    script = (
        "import sys\nfrom tokenomics_dagster.kit.alerts import Notifier, Problem\n"
        "from tokenomics_dagster.kit.channels import Channel\n"
        "from pydantic import SecretStr\nfrom tokenomics_dagster.settings.alerts import AlertSettings\n"
        "from tokenomics_dagster.storage.warehouse import Warehouse\n"
        f"store = Warehouse({url!r})\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "Notifier().alert('lost', Problem('order lost', 'a', 'b'), store, "
        f"Channel(AlertSettings(ui_url='http://ui:3000'), SecretStr({webhook.url!r})))\n"
    )
    with (
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=REPOSITORY,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other,
        closing(Warehouse(url)) as store,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        assert other.stdin is not None
        other.stdin.write("go\n")
        other.stdin.flush()
        alert("lost", LOST, store)
        assert other.wait(30) == 0
        assert store.alerts()["lost"].count == 2
    assert webhook.texts() == ["order lost"]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_person_hears_of_each_episode_once_and_of_its_end_once(
    webhook: Webhook, looks: list[tuple[bool, bool]]
) -> None:
    webhook.told.clear()
    heard: list[str] = []
    open_, told = False, False
    with tempfile.TemporaryDirectory() as folder, closing(Warehouse(f"sqlite:///{folder}/w.db")) as store:
        for wrong, answers in looks:
            webhook.status = 200 if answers else 503
            problems = {"lost": LOST} if wrong else {}
            look(store, **problems)
            if wrong and answers and not told:
                heard.append("order lost")
                told = True
            elif not wrong and open_ and told and answers:
                heard.append("recovered: order lost")
                told = False
            open_ = wrong or told
        assert webhook.texts() == heard
        assert set(store.alerts()) == ({"lost"} if open_ else set())
