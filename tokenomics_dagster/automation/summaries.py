"""What people are told of beside problems: each rebalance once its report is stored, and once a week how things stand.

Told by the sensor and never from within a run, so that an address that takes nothing fails no rebalance. How a message
goes out, and that it is told once, is kit/alerts.py's; what a week's lines say is reports/summary.py's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.automation.ticks import scheduled
from tokenomics_dagster.kit.alerts import Summary, run_link
from tokenomics_dagster.kit.dagster_internals import switched
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.model.plan import UNREADABLE
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.clock import hasty
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Snapshot
    from tokenomics_dagster.storage.warehouse import Warehouse

_NEWS = timedelta(days=14)  # a report that nobody could be told of for longer is none any more
_WEEKS_TOLD = 4  # in one message about how things stand
_HALF_A_DAY = timedelta(hours=12)  # the first rebalance marks the equity some hours after the audit began


@dataclass(frozen=True, slots=True)
class Look:
    """What one look of the sensor knows; `now` by the broker's clock."""

    house: House
    store: "Warehouse"
    settings: Settings
    now: datetime
    instance: dg.DagsterInstance
    schedules: Sequence[dg.ScheduleDefinition]
    alpaca: AlpacaResource

    def untold(self) -> Iterator[Summary]:
        """The rebalances that nobody was told of, oldest first. Raises WarehouseError."""
        from tokenomics_dagster.reports.week_records import reports_since

        if "rebalance" not in self.settings.alerts.summaries:
            return
        until = self.store.summarized_until()
        found = reports_since(self.store, max(until, self.now - _NEWS) if until else self.now - _NEWS)
        for report, week in found if until else found[-1:]:  # before the first message the newest alone is news
            result, names = self._read(report)
            yield Summary(
                week=week,
                of=report.as_of,
                title=f"{self._account()}: the rebalance of {week} has ended",
                lines=[*result, self._next(), *names],
                action=f"`tokenomics report {week}` makes the page of it",
                link=run_link(self.settings.alerts, report.run_id),
            )

    def week(self, since: datetime) -> list[str]:
        """How things stand, what came since the last such message, and what comes next. Raises WarehouseError."""
        from tokenomics_dagster.reports.figures import moment
        from tokenomics_dagster.reports.week_records import reports_since

        if "weekly" not in self.settings.alerts.summaries:
            return []
        lines = self._equity(since)
        reports = reports_since(self.store, since)
        if len(reports) > _WEEKS_TOLD:  # of an old platform whose first message this is: to read each takes 0.3 s
            lines.append(f"At least {len(reports) - _WEEKS_TOLD} weeks were rebalanced before the last {_WEEKS_TOLD}:")
        for report, week in reports[-_WEEKS_TOLD:]:
            result, _ = self._read(report)
            lines += [f"The week of {week} was rebalanced. {result[0]}", *result[1:]]
        if not reports:
            lines.append(f"No week was rebalanced since {moment(since)}.")
        return [*lines, self._next()]

    def _read(self, report: "Snapshot") -> tuple[list[str], list[str]]:
        """The lines of a report; where its records are damaged that is said, and told no second time."""
        from tokenomics_dagster.reports.building import report_of
        from tokenomics_dagster.reports.summary import week_in_lines
        from tokenomics_dagster.reports.week_records import records_of
        from tokenomics_dagster.storage.records import WarehouseError

        try:
            return week_in_lines(report_of(records_of(self.store, date.fromisoformat(report.partition))))
        except (WarehouseError, *UNREADABLE) as error:
            self.store.check_usable()  # one that is away tells nothing of what it holds
            return [f"What is stored of it cannot be read ({error}): run `tokenomics audit verify`."], []

    def _account(self) -> str:
        return "paper account" if self.settings.trading.paper else "LIVE account"

    def _equity(self, since: datetime) -> list[str]:
        """Of the broker now, against then; with the fees that were taken since."""
        from tokenomics_dagster.reports.books import FEES, fees_of
        from tokenomics_dagster.reports.figures import cents, moment

        try:
            with hasty(self.alpaca) as broker:
                account = broker.account()
                fees = fees_of(broker.activities(after=since, types=sorted(FEES)))
        except ProviderError as error:
            return [f"Equity and fees are not known now: {error}."]
        marks = [one for one in self.store.equity_marks(account.number) if one[0] <= since + _HALF_A_DAY]
        then = f"what it was on {moment(since)} is not recorded"
        if marks:
            at, equity = marks[-1]
            then = f"{account.equity - equity:+,.2f} since {moment(at)}, what was paid in or out included"
        return [
            f"Equity of the {self._account()} {account.number}: {cents(account.equity)} USD; {then}.",
            f"Cash: {cents(account.cash)} USD. Fees that the broker took since {moment(since)}: {cents(fees)} USD.",
        ]

    def _next(self) -> str:
        """When what trades starts next, or why it does not."""
        from tokenomics_dagster.reports.figures import moment

        if (halt := self.store.halted()) is not None:
            return f"Next: nothing, for trading is halted ({halt.reason})."
        said = switched(self.instance)
        lines = []
        for schedule in self.schedules:
            job = self.house.jobs.get(schedule.job_name)
            if job is None or not job.trades:
                continue
            found = scheduled(schedule, said, self.now, self._why_not, self.house)
            when = "not soon" if found.acts is None else f"{moment(found.acts)}: {found.does.partition('. ')[0]}"
            if not found.on:
                lines.append(f"Next: nothing by itself, the schedule {found.name} is off; on it would start {when}")
            else:
                lines.append(f"Next: {found.name} {when}")
        return " ".join(lines) or "Next: no schedule trades."

    def _why_not(self, name: str, at: datetime) -> str | None:
        why_not = self.house.why_not.get(name)
        return None if why_not is None else why_not(self.store, at, self.settings)
