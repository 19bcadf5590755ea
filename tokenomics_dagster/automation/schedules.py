"""When the platform looks after itself: old runs go once a week. When a room's assets are made is the room's to say."""

import dagster as dg

from tokenomics_dagster.automation.retention import PURGE
from tokenomics_dagster.settings import Settings


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    return [
        dg.ScheduleDefinition(
            name=PURGE,
            job_name=PURGE,
            cron_schedule=settings.schedules.purge,
            execution_timezone=settings.schedules.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Runs older than {settings.retention.runs_days:g} days that nothing needs go, with their "
            "events.",
        )
    ]
