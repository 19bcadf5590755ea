"""What others need to know of market data: when bars are asked for, and how old they may become."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.kit.resources import SettingsResource, WarehouseResource
from tokenomics_dagster.kit.room import AgeLimits, Job, Room
from tokenomics_dagster.kit.runs import busy
from tokenomics_dagster.kit.skew import ahead_of_clock
from tokenomics_dagster.kit.timetable import longest_gap
from tokenomics_dagster.market_data.assets import NO_UNIVERSE, daily_bars
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.extra import MissingExtra
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.clock import broker_clock
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse

_DAY = timedelta(days=1)

DAILY_BARS_REFRESH = Job(
    "daily_bars_refresh",
    makes=("daily_bars",),
    description="After each session: its bars, and those that are missing, into the lake.",
    remedy="run daily_bars_refresh again once the cause is gone: it goes on where it was",
    # Nothing that is traded rests on it, and the first time it asks for five years.
    in_cycle=False,
)
_ASK_AGAIN = (
    "look at what Alpaca sends; once it is right, run daily_bars_refresh with the run config "
    "ops.daily_bars.config.since: the first session that is not, as YYYY-MM-DD"
)


def _max_ages(settings: Settings) -> Mapping[str, AgeLimits]:
    """No session closes on a holiday, and none is asked for: two days more than a cron leaves out."""
    gap = longest_gap(settings.schedules.daily_bars)
    return {"daily_bars": AgeLimits(gap + 2 * _DAY, gap + 4 * _DAY)}


def _schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    @dg.schedule(
        name="daily_bars",
        job_name=DAILY_BARS_REFRESH.name,
        cron_schedule=settings.schedules.daily_bars,
        execution_timezone=str(NEW_YORK),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The bars of each session, once it has closed; left out where there is no lake to write to.",
    )
    def daily_bars_schedule(
        context: dg.ScheduleEvaluationContext,
        alpaca: AlpacaResource,
        warehouse: WarehouseResource,
        settings_in_force: dg.ResourceParam[SettingsResource],
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        why = _nowhere(settings_in_force.built_with) or _needless(
            warehouse.open(), broker_clock(alpaca).now, settings_in_force.built_with
        )
        yield dg.SkipReason(why) if why else busy(context.instance, DAILY_BARS_REFRESH) or dg.RunRequest()

    return [daily_bars_schedule]


def _nowhere(settings: Settings) -> str | None:
    """Why bars cannot be kept; the broker need not be asked then."""
    from tokenomics_dagster.storage.lake import Lake

    try:
        lake = Lake(settings.environment.tokenomics_lake)
    except MissingExtra as error:
        return str(error)
    return None if lake.writable() else f"the lake {lake.folder} cannot be written: name a folder in TOKENOMICS_LAKE"


def _needless(store: "Warehouse", now: datetime, _: Settings) -> str | None:
    from tokenomics_dagster.market_data.fetching import last_settled
    from tokenomics_dagster.market_data.schema import DailyBarsDetails

    newest, last = next(iter(store.history("daily_bars", limit=1)), None), last_settled(now)
    if not store.history("universe", limit=1):
        return NO_UNIVERSE
    if newest and (ahead := ahead_of_clock({"daily_bars": newest.as_of}, now)):
        return ahead
    if newest and newest.details_as(DailyBarsDetails).last_session == last.isoformat():
        return f"the bars of {last} were asked for at {newest.as_of:%Y-%m-%d %H:%M} UTC"
    return None


ROOM = Room(
    "market_data",
    assets=[daily_bars],
    jobs=[DAILY_BARS_REFRESH],
    max_ages=_max_ages,
    schedules=_schedules,
    why_not={"daily_bars": lambda store, now, settings: _nowhere(settings) or _needless(store, now, settings)},
    remedies={f"daily_bars.{name}": _ASK_AGAIN for name in ("sessions", "names", "consistent")},
)
