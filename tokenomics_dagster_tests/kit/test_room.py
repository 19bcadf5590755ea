"""One more room is one folder and one line: what others know of it follows from what it says of itself."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console
from rich.table import Table

from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.interfaces.cli import tables
from tokenomics_dagster.interfaces.demo import Result, dagster_home
from tokenomics_dagster.kit.room import AgeLimits, House, Kept, Look, Metrics, Room
from tokenomics_dagster.operations.common import OperationRefused
from tokenomics_dagster.operations.cycle import run_cycle
from tokenomics_dagster.operations.known import known
from tokenomics_dagster.operations.metrics import PlatformCollector, families
from tokenomics_dagster.operations.status import status
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.universe.room import ROOM as UNIVERSE
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.kit.extra_room.assets import ROOM

WITH_ROOM: tuple[Room, ...] = (*ROOMS, ROOM)
DAY = timedelta(days=1)


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


def shown(made: Iterable[Table]) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        for table in made:
            console.print(table)
    return captured.get()


@pytest.mark.soak
def test_a_room_that_one_line_adds_is_in_freshness_alerts_status_known_and_metrics(
    seen: Platform,
) -> None:
    made = build_defs(load_settings(), rooms=WITH_ROOM)
    [spec] = [one for one in made.resolve_all_asset_specs() if one.key.to_user_string() == "moods"]
    assert spec.freshness_policy == dg.FreshnessPolicy.time_window(timedelta(days=2), timedelta(days=1))
    assert list(spec.owners) == ["team:tokenomics"]

    assert "moods" in shown(tables.status(status(WITH_ROOM)))
    feel(seen)
    assert any("moods" in line and "60 rows" in line for line in shown(tables.status(status(WITH_ROOM))).splitlines())

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


@pytest.mark.soak
def test_the_whole_cycle_runs_the_jobs_of_its_rooms_in_order_and_its_summary_is_what_they_say(seen: Platform) -> None:
    now, said = seen.broker().now(), list[str]()
    rooms = (UNIVERSE, ROOM)
    done = run_cycle(seen.instance, load_settings(), now, say=said.append, rooms=rooms)
    assert list(done.seconds) == ["universe_refresh", "feel", "total"]
    assert [line for line in said if line.endswith(" ...")] == ["universe_refresh ...", "feel ..."]
    result = Result(done.outcomes, {"GET /mood": 7}, done.seconds, "2026-08-24")
    document = result.document()
    assert (document["moods"], len(document["universe"]), document["api_calls"]) == (60, 60, {"GET /mood": 7})
    text = shown(tables.demo(result))
    assert re.search(r"universe +60\b", text)
    assert re.search(r"moods +60\b", text)
    [best] = re.findall(r"best *\n *symbol *\n *(\w+) *\n", text)
    assert best in document["universe"]


@pytest.mark.soak
def test_the_cycle_goes_without_a_job_that_is_not_in_it(seen: Platform) -> None:
    left_out = replace(ROOM, jobs=[replace(job, in_cycle=False) for job in ROOM.jobs], outcome=None)
    done = run_cycle(
        seen.instance, load_settings(), seen.broker().now(), say=lambda _: None, rooms=(UNIVERSE, left_out)
    )
    assert list(done.seconds) == ["universe_refresh", "total"]


def test_a_job_that_fails_ends_the_cycle_with_its_name(seen: Platform) -> None:
    seen.configure(finnhub__max_attempts=1)
    seen.sandbox.admin("PUT", "/sandbox/faults", [{"endpoint": "GET /api/v1/stock/symbol", "kind": "500"}])
    with pytest.raises(OperationRefused, match=r"^universe_refresh failed in listings: .*500"):
        run_cycle(seen.instance, load_settings(), seen.broker().now(), say=lambda _: None, rooms=(UNIVERSE, ROOM))


OTHER = Room("other", assets=[], max_ages=lambda _: {})
SAID: dict[str, dict[str, Any]] = {
    "job feel": {"jobs": ROOM.jobs},
    "kind moods": {"kinds": ROOM.kinds},
    "metric tokenomics_moods": {"metrics": ROOM.metrics},
    "job that makes moods": {"jobs": [replace(ROOM.jobs[0], name="feel_again")]},
    "kept of moods": {"kept": {"moods": Kept()}},
    "remedy of moods.varied": {"remedies": {"moods.varied": "cheer up"}},
    "look mood": {"looks": [Look("mood", "feel", "moods.varied", lambda *_: None)]},
    "asset moods": {"assets": ROOM.assets},
}
"""What two rooms cannot both have, as the refusal names it."""
ROOM_THAT_SAYS_ALL = replace(
    ROOM, kept=SAID["kept of moods"]["kept"], **SAID["remedy of moods.varied"], **SAID["look mood"]
)


@pytest.mark.parametrize("what", SAID)
def test_what_two_rooms_say_both_is_refused_with_their_names(what: str) -> None:
    House((*ROOMS, ROOM_THAT_SAYS_ALL))
    with pytest.raises(ValueError, match=f"the rooms moods and other both have the {what}: "):
        House((*ROOMS, ROOM_THAT_SAYS_ALL, replace(OTHER, **SAID[what])))


def test_two_rooms_have_two_names_and_one_says_nothing_twice() -> None:
    with pytest.raises(ValueError, match="the rooms moods and moods both have the name moods"):
        House((*WITH_ROOM, replace(OTHER, name="moods")))
    with pytest.raises(ValueError, match="the room moods has twice the job feel"):
        House((*ROOMS, replace(ROOM, jobs=[*ROOM.jobs, *ROOM.jobs])))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("asset absent", {"kept": {"absent": Kept()}}),
        ("asset absent", {"kept": {"moods": Kept(publishes="absent")}}),
        ("asset absent", {"kinds": [replace(ROOM.kinds[0], name="absent", asset="absent")]}),
        ("asset absent", {"jobs": [replace(ROOM.jobs[0], name="other", makes=["absent"])]}),
        ("check moods.absent", {"remedies": {"moods.absent": "wait"}}),
        ("check moods.absent", {"jobs": [replace(ROOM.jobs[0], name="other", makes=[], reasons=["moods.absent"])]}),
        ("check moods.absent", {"looks": [Look("mood", "feel", "moods.absent", lambda *_: None)]}),
        ("job absent", {"looks": [Look("mood", "absent", "moods.varied", lambda *_: None)]}),
    ],
)
def test_what_a_room_says_of_what_there_is_not_is_refused_with_its_name(what: str, said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"the room other says something of the {what}, and no room has that"):
        House((*WITH_ROOM, replace(OTHER, **said)))


def test_what_rooms_say_under_settings_is_refused_with_their_names_too() -> None:
    ages, partitions = ROOM.max_ages, dg.StaticPartitionsDefinition(["a"])
    twice = House((*WITH_ROOM, replace(OTHER, max_ages=ages)))
    with pytest.raises(ValueError, match="the rooms moods and other both have the max_ages of moods"):
        twice.max_ages(load_settings())
    unknown = House((*WITH_ROOM, replace(OTHER, max_ages=lambda _: {"absent": AgeLimits(DAY, 2 * DAY)})))
    with pytest.raises(ValueError, match="the room other says something of the asset absent"):
        unknown.max_ages(load_settings())
    silent = House((*ROOMS, replace(ROOM, max_ages=lambda _: {})))
    with pytest.raises(ValueError, match="no room says how old moods may become"):
        silent.max_ages(load_settings())
    twice = House((*WITH_ROOM, replace(OTHER, partitions=lambda _: {"orders": partitions})))
    with pytest.raises(ValueError, match="the rooms execution and other both have the partitions of orders"):
        twice.partitions(load_settings())
    unknown = House((*WITH_ROOM, replace(OTHER, partitions=lambda _: {"absent": partitions})))
    with pytest.raises(ValueError, match="the room other says something of the asset absent"):
        unknown.partitions(load_settings())


def test_a_room_that_has_a_metric_of_the_platforms_is_refused() -> None:
    taken = Metrics({"tokenomics_up": ((), "Whether moods are.")}, ROOM.metrics[0].samples)
    with pytest.raises(ValueError, match="the room other has tokenomics_up, as the platform has"):
        families(House((*WITH_ROOM, replace(OTHER, metrics=[taken]))))
