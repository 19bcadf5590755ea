"""When the platform works by itself."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, croniter
from pydantic import AfterValidator, Field, field_validator

from tokenomics_dagster.settings.section import Section


def _is_cron(expression: str) -> str:
    if len(expression.split()) != 5 or not croniter.is_valid(expression):
        raise ValueError('must be five cron fields (minute hour day month weekday) such as "0 2 * * 6"')
    try:
        croniter(expression).get_next()
    except CroniterBadDateError:
        raise ValueError("names a day that no month has") from None
    return expression


Cron = Annotated[str, AfterValidator(_is_cron)]


class ScheduleSettings(Section):
    timezone: str = Field(
        "America/New_York",
        description="IANA name; of the crons of universe, fundamentals and purge; those of daily_bars and rebalance "
        "are New York's",
    )
    universe: Cron = Field(
        "0 1 1-7 * *",
        description="monthly: the first of these days that succeeds; about 2 h on the free plan the first time, "
        "under 1 h after",
    )
    daily_bars: Cron = Field(
        "30 18 * * 1-5",
        description="each weekday after the close; the first time five years, two minutes of calls",
    )
    fundamentals: Cron = Field(
        "0 2,8 * * 6,0",
        description="Saturday 2:00: 1,500 calls take 26 minutes, so Monday finds complete scores; the later ticks"
        " only if that sweep failed",
    )
    rebalance: Cron = Field(
        "0 10 * * 1-5",
        description="each weekday; trades once a week, in the first session without a completed rebalance",
    )
    rebalance_minutes_after_open: int = Field(
        30,
        ge=0,
        le=180,  # a half day is 210 minutes long
        description="minutes after the open of a session before which nothing is traded",
    )
    purge: Cron = Field("0 5 * * 0", description="Sunday: old runs and events go")
    sensors_every_s: int = Field(60, ge=5, le=86_400, description="seconds between two looks of the sensors")

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be an IANA time zone such as America/New_York") from None
        return name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)
