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
    timezone: str
    universe: Cron
    fundamentals: Cron
    rebalance: Cron
    rebalance_minutes_after_open: Annotated[int, Field(ge=0, le=180)]  # a half day is 210 minutes long
    purge: Cron
    sensors_every_s: Annotated[int, Field(ge=5, le=86_400)]

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
