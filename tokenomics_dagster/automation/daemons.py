"""Whether the daemon lives, which starts schedules, sensors and queued runs. The sensor by which everything else is
told is a part of it: that it is dead another process must tell.
"""

import time
from collections.abc import Mapping
from contextlib import closing

import dagster as dg

from tokenomics_dagster.kit.alerts import DAEMON, Notifier, Problem
from tokenomics_dagster.kit.channels import channel_of
from tokenomics_dagster.settings import Settings

# A heartbeat is written each 30 s, between two ticks of at most 60 s. Dagster's own UI waits for 30 minutes.
SILENT_S = 300.0


def daemon_ages(instance: dg.DagsterInstance) -> dict[str, float]:
    """Seconds since each of the daemons that the instance needs was heard of; infinite where it never was."""
    now, found = time.time(), {}
    for kind, status in instance.get_daemon_statuses().items():
        last = status.last_heartbeat
        found[kind.lower()] = float("inf") if last is None else max(now - last.timestamp, 0.0)
    return found


def silent(ages: Mapping[str, float]) -> list[str]:
    """The daemons that have been silent for too long, in words."""
    return [
        f"{kind} ({'never' if age == float('inf') else f'{age / 60:.0f} minutes ago'})"
        for kind, age in sorted(ages.items())
        if age > SILENT_S
    ]


class DaemonWatch:
    """Tells of a daemon that is silent, or that nobody can see, and when it is heard of again.

    For the first five minutes it tells nothing: what starts together is not there at once.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._notifier = Notifier()
        self._seen_at = time.monotonic()  # or begun

    def look(self, ages: Mapping[str, float] | None) -> None:
        """`ages` are those of the daemons; None where Dagster's storage, in which they are, cannot be read."""
        from tokenomics_dagster.storage.records import WarehouseError
        from tokenomics_dagster.storage.warehouse import Warehouse

        quiet = None if ages is None else silent(ages)
        if quiet == []:
            self._seen_at = time.monotonic()
        elif time.monotonic() - self._seen_at <= SILENT_S:
            return
        problems = {} if quiet == [] else {DAEMON: self._problem(quiet)}
        channel = channel_of(self._settings)
        address = self._settings.environment.tokenomics_database_url.get_secret_value()
        try:
            with closing(Warehouse(address, existing=True)) as store:
                if problems or DAEMON in store.alerts():
                    self._notifier.report(problems, store, channel, over=lambda key: key == DAEMON)
        except WarehouseError:
            self._notifier.report(problems, None, channel, over=lambda _: False)

    def _problem(self, quiet: list[str] | None) -> Problem:
        link = self._settings.alerts.ui_url
        if quiet is None:
            return Problem(
                "Dagster's storage cannot be read",
                f"for {SILENT_S / 60:.0f} minutes nobody could see whether the daemon lives: without that storage no "
                "run starts, and no other problem is told",
                "see whether its database runs and can be reached, then whether the daemon does",
                link,
            )
        return Problem(
            "the daemon is silent",
            f"last heard of: {', '.join(quiet)}; while it is dead no schedule and no sensor starts anything, and no "
            "other problem is told",
            "see the log of the process or pod that runs dagster-daemon, and start it again",
            link,
        )
