"""A daemon that is dead is told by a process that is none of its own, once, and its return too."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from tokenomics_dagster.automation import daemons
from tokenomics_dagster.automation.daemons import SILENT_S, DaemonWatch, daemon_ages, silent
from tokenomics_dagster.automation.problems import find
from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.kit.alerts import DAEMON
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.webhook import Webhook

ALIVE = {"sensor": 20.0, "scheduler": 31.0}
DEAD = {"sensor": 12 * 60.0, "scheduler": 31.0}
Passes = Callable[[float], None]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    now = [1000.0]

    def seconds(more: float) -> None:
        now[0] += more

    monkeypatch.setattr(daemons.time, "monotonic", lambda: now[0])
    return seconds


@pytest.fixture
def watch(
    tmp_path: Path, webhook: Webhook, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, float] | None], list[str]]:
    """One look of a server that has been there for long; returns what was told by it."""
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{tmp_path}/warehouse.db")
    Warehouse(f"sqlite:///{tmp_path}/warehouse.db").close()
    made = DaemonWatch(load_settings())
    passes(SILENT_S + 1)

    def look(ages: dict[str, float] | None) -> list[str]:
        before = len(webhook.told)
        made.look(ages)
        return webhook.texts()[before:]

    return look


def test_ages_are_those_of_the_heartbeats_and_who_was_never_heard_of_is_infinitely_old(
    stored_instance: dg.DagsterInstance,
) -> None:
    stored_instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 400, "SENSOR", "one", []))
    ages = daemon_ages(stored_instance)
    assert ages["sensor"] == pytest.approx(400, abs=20)
    assert ages["scheduler"] == math.inf
    assert {"sensor (7 minutes ago)", "scheduler (never)"} <= set(silent(ages))


def test_a_silent_daemon_is_told_once_and_that_it_is_heard_of_again(
    watch: Callable[[dict[str, float] | None], list[str]], passes: Passes, webhook: Webhook
) -> None:
    assert watch(ALIVE) == []
    passes(SILENT_S + 1)
    assert watch(DEAD) == ["the daemon is silent"]
    assert "last heard of: sensor (12 minutes ago)" in webhook.told[0]["text"]
    passes(30)
    assert watch(DEAD) == []
    assert watch(ALIVE) == ["recovered: the daemon is silent"]
    assert watch(ALIVE) == []


def test_what_starts_beside_it_has_five_minutes(
    tmp_path: Path, webhook: Webhook, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{tmp_path}/warehouse.db")
    Warehouse(f"sqlite:///{tmp_path}/warehouse.db").close()
    made = DaemonWatch(load_settings())
    passes(SILENT_S)
    made.look({"sensor": math.inf})
    assert webhook.calls == 0
    passes(1)
    made.look({"sensor": math.inf})
    assert webhook.texts() == ["the daemon is silent"]


def test_a_storage_that_cannot_be_read_is_told_after_five_minutes(
    watch: Callable[[dict[str, float] | None], list[str]], passes: Passes
) -> None:
    assert watch(ALIVE) == []
    assert watch(None) == []
    passes(SILENT_S + 1)
    assert watch(None) == ["Dagster's storage cannot be read"]
    assert watch(ALIVE) == ["recovered: Dagster's storage cannot be read"]


def test_without_a_warehouse_it_is_told_all_the_same_and_once(
    watch: Callable[[dict[str, float] | None], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "warehouse.db").unlink()
    assert watch(DEAD) == ["the daemon is silent"]
    assert watch(DEAD) == []


def test_a_daemon_that_lives_in_part_does_not_end_what_was_told_of_it(
    stored_instance: dg.DagsterInstance, platform: Platform
) -> None:
    """Its sensor looks while another of its threads is dead."""
    graph, settings = build_defs(load_settings()).resolve_asset_graph(), load_settings()

    def is_over() -> bool:
        return find(stored_instance, graph, House(ROOMS), platform.store, None, settings).over(DAEMON)

    for kind in stored_instance.get_required_daemon_types():
        age = 600 if kind == "SCHEDULER" else 10
        stored_instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age, kind, "one", []))
    assert not is_over()
    stored_instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SCHEDULER", "one", []))
    assert is_over()
