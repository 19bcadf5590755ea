"""One more room is one folder and one line: what others know of it follows from what it says of itself."""

from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.interfaces.cli import tables
from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster.kit.room import House, Kept, Room
from tokenomics_dagster.operations.known import known
from tokenomics_dagster.operations.metrics import PlatformCollector
from tokenomics_dagster.operations.status import status
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.kit.extra_room.assets import ROOM

WITH_ROOM: tuple[Room, ...] = (*ROOMS, ROOM)


@pytest.fixture
def seen(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform after a week's universe, where the commands find its instance."""
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(platform.folder)))
    platform.must_run("universe_refresh")
    return platform


def feel(platform: Platform, **config: bool) -> None:
    made = build_defs(load_settings(), rooms=WITH_ROOM)
    run = made.resolve_job_def("feel").execute_in_process(
        instance=platform.instance, run_config={"ops": {"moods": {"config": config}}}
    )
    assert run.success


def told(platform: Platform) -> str | None:
    made = build_defs(load_settings(), rooms=WITH_ROOM)
    with dg.build_sensor_context(
        instance=platform.instance, resources=made.resources, repository_def=made.get_repository_def()
    ) as context:
        return made.resolve_sensor_def("stale_or_failed").evaluate_tick(context).skip_message


def shown(platform: Platform) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        for table in tables.status(status(WITH_ROOM)):
            console.print(table)
    return captured.get()


def test_a_room_that_one_line_adds_is_in_freshness_alerts_status_known_and_metrics(
    seen: Platform,
) -> None:
    made = build_defs(load_settings(), rooms=WITH_ROOM)
    [spec] = [one for one in made.resolve_all_asset_specs() if one.key.to_user_string() == "moods"]
    assert spec.freshness_policy == dg.FreshnessPolicy.time_window(timedelta(days=2), timedelta(days=1))
    assert list(spec.owners) == ["team:tokenomics"]

    assert "moods" in shown(seen)
    feel(seen)
    assert any("moods" in line and "60 rows" in line for line in shown(seen).splitlines())

    now = seen.broker().now()
    [table] = known(now, ["moods"], house=House(WITH_ROOM))
    assert list(table.frame["mood"].unique()) == [0.0, 0.5, -0.5]
    assert len(list(tables.known(now, [table], House(WITH_ROOM)))) == 2

    registry = CollectorRegistry()
    registry.register(PlatformCollector(load_settings(), WITH_ROOM))
    text = generate_latest(registry).decode()
    assert "\ntokenomics_moods 60.0\n" in text
    assert 'tokenomics_asset_max_age_seconds{asset="moods"} 172800.0' in text
    assert 'tokenomics_asset_age_seconds{asset="moods"}' in text

    assert told(seen) == "nothing is wrong"
    feel(seen, same=True)
    assert told(seen) == "check moods.varied failed"
    assert seen.store.alerts()["check:moods:varied"].action == "run feel again, in a better mood"
    feel(seen)
    seen.sandbox.admin("PUT", "/sandbox/clock", {"now": (now + timedelta(days=3)).isoformat()})
    assert told(seen) == "feel is overdue"


def test_rooms_that_contradict_each_other_are_refused_with_what_they_say() -> None:
    with pytest.raises(ValueError, match="two rooms have the asset moods"):
        House((*WITH_ROOM, ROOM))
    with pytest.raises(ValueError, match="no room makes absent"):
        House((*ROOMS, replace(ROOM, kept={"absent": Kept()})))
    silent = House((*ROOMS, replace(ROOM, max_ages=lambda _: {})))
    with pytest.raises(ValueError, match="no room says how old moods may become"):
        silent.max_ages(load_settings())
