"""What the platform will do next by itself (`next`): schedules and sensors, on or off, and the sessions to come. Only
looks: nothing is started.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.automation.ticks import Scheduled, is_on, scheduled
from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.kit.room import House, Room
from tokenomics_dagster.kit.skew import CLOCK_SKEW
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.calendar import NEW_YORK, Session
from tokenomics_dagster.operations.common import (
    OperationRefused,
    as_document,
    clock_behind,
    dagster_instance,
    new_york,
    open_store,
)
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    import dagster as dg

    from tokenomics_dagster.storage.warehouse import Warehouse

_WHOLE_DAY = timedelta(hours=6, minutes=30)
_SESSIONS, _DAYS = 5, 45  # that are shown, and in which a holiday or a half day is


@dataclass(frozen=True, slots=True)
class Sensing:
    """A sensor: `every_s` seconds at least between two looks."""

    name: str
    on: bool | None
    every_s: int
    does: str


@dataclass(frozen=True, slots=True)
class Upcoming:
    """`at`: by the broker's clock. `told_by`: where it is known from what is on. `doubts`: why it may come otherwise.

    `sessions`: the next ones, today's included until its close; `odd`: half days and holidays soon, with what they are.
    """

    at: datetime
    told_by: str
    schedules: tuple[Scheduled, ...]
    sensors: tuple[Sensing, ...]
    sessions: tuple[Session, ...]
    odd: tuple[tuple[date, str], ...]
    doubts: tuple[str, ...]


def upcoming(rooms: Sequence[Room] = ROOMS) -> Upcoming:
    """Raises ProviderError, WarehouseError."""
    settings = load_settings()
    platform, house = build_defs(settings, rooms=rooms), House(rooms)
    switched, told_by, doubts = _switched()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        now = alpaca.clock().now
        halt = store.halted()
        if halt is not None:
            doubts.append(
                f"trading is halted since {new_york(halt.at)} by {halt.by} ({halt.reason}): no order goes out"
            )
        if (behind := clock_behind(store, settings, now)) is not None:
            doubts.append(behind)
        off = now - datetime.now(UTC)
        if abs(off) > CLOCK_SKEW:
            doubts.append(
                f"this machine's clock is {_span(abs(off))} {'behind' if off > timedelta(0) else 'ahead of'} the "
                "broker's, by which the ticks are told: Dagster's daemon goes by its own machine's clock"
            )
        schedules = tuple(
            scheduled(one, switched, now, lambda name, at: _asked(house, name, store, at, settings), house)
            for one in platform.schedules or ()
        )
    sensors = tuple(_sensing(one, switched) for one in platform.sensors or ())
    return Upcoming(now, told_by, schedules, sensors, tuple(_sessions(now)), tuple(_odd(now)), tuple(doubts))


def _switched() -> tuple[dict[str, set[bool]], str, list[str]]:
    """What somebody has switched on or off, where that is known from, and what is doubtful of it."""
    from tokenomics_dagster.kit.dagster_internals import switched, tickers_alive

    try:
        with dagster_instance() as instance:
            alive = tickers_alive(instance)
            told = f"the instance in {instance.root_directory}"
            doubts = [] if alive else ["no daemon of that instance has been heard of lately: nothing starts by itself"]
            return switched(instance), told, doubts
    except OperationRefused as error:
        why = "what is on is as the code declares it, for no instance of Dagster could be asked"
        return {}, f"the code's defaults: {error}", [why]


def _asked(house: House, name: str, store: "Warehouse", at: datetime, settings: Settings) -> str | None:
    why_not = house.why_not.get(name)
    return None if why_not is None else why_not(store, at, settings)


def _sensing(sensor: "dg.SensorDefinition", switched: Mapping[str, set[bool]]) -> Sensing:
    return Sensing(
        name=sensor.name,
        on=is_on(sensor.name, switched, sensor.default_status),
        every_s=sensor.minimum_interval_seconds or 30,
        does=(sensor.description or "").strip(),
    )


def _days(now: datetime) -> Iterator[tuple[date, Session | None]]:
    today = now.astimezone(NEW_YORK).date()
    for after in range(_DAYS):
        day = today + timedelta(days=after)
        yield day, calendar.session_on(day)


def _sessions(now: datetime) -> Iterator[Session]:
    """Those that have not closed, the next few."""
    coming = (session for _, session in _days(now) if session is not None and session.close > now)
    return islice(coming, _SESSIONS)


def _odd(now: datetime) -> Iterator[tuple[date, str]]:
    """Weekdays without a session, and sessions that close early."""
    for day, session in _days(now):
        if session is None and day.weekday() < 5:
            yield day, "holiday: no session"
        elif session is not None and session.close - session.open < _WHOLE_DAY and session.close > now:
            yield day, f"half day: closes at {session.close.astimezone(NEW_YORK):%H:%M} New York"


def _span(length: timedelta) -> str:
    minutes = length.total_seconds() / 60
    return f"{minutes:,.0f} minutes" if minutes < 120 else f"{minutes / 1_440:,.1f} days"


def upcoming_document(found: Upcoming) -> dict[str, Any]:
    document: dict[str, Any] = as_document(found)
    return document
