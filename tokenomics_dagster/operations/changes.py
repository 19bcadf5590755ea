"""What has changed between two weeks (`changes`): what they decided is read here, portfolio/changes.py compares it."""

from __future__ import annotations

from contextlib import closing
from datetime import date, timedelta

from tokenomics_dagster.operations.common import OperationRefused, open_store
from tokenomics_dagster.portfolio.changes import Changes
from tokenomics_dagster.portfolio.changes import ScoreMove as ScoreMove  # a part of what is returned, for who shows it
from tokenomics_dagster.portfolio.changes import changes as compared
from tokenomics_dagster.portfolio.weeks import decided, decided_weeks, symbols_of_now
from tokenomics_dagster.settings.loading import load_settings

_LISTED = 5


def changes(days: tuple[date, date] | None = None) -> Changes:
    """Between the weeks that two days lie in, or the last two that have targets; needs no key and no broker.

    Raises OperationRefused where one of them has none.
    """
    settings = load_settings(to_trade=False)
    with closing(open_store(settings)) as store:
        weeks = decided_weeks(store)
        known = ", ".join(week.isoformat() for week in weeks[:_LISTED]) or "none"
        if days is None:
            if len(weeks) < 2:
                raise OperationRefused(
                    f"two weeks with targets are needed to compare, and {store.address} has {len(weeks)}: {known}"
                )
            first, last = weeks[1], weeks[0]
        else:
            first, last = sorted(day - timedelta(days=day.weekday()) for day in days)
        found = []
        for week in (first, last):
            if week not in weeks:
                raise OperationRefused(
                    f"the week of {week} has no targets in {store.address}; the last that have: {known}"
                )
            made = decided(store, week, settings)
            if made is None:
                raise OperationRefused(
                    f"the scores or the universe that the week of {week} was decided from are not in {store.address} "
                    "any more: it cannot be compared"
                )
            found.append(made)
        before, after = found
        return compared(before, after, symbols_of_now(store))
