"""How a record is cut for a nested walk-forward: parts to choose by, parts to judge by, and what is purged between.

What is chosen, and how it is judged, stays out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Literal

import numpy as np
from pydantic import Field

from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.panel import Bools
from tokenomics_dagster.settings.section import Section

# Sessions from one decision to the next: as a rule, and at most (an August of 23 sessions).
_USUAL = {"daily": 1, "weekly": 5, "monthly": 21}
_LONGEST = {"daily": 1, "weekly": 5, "monthly": 23}
# Fewer than 20 independent pieces carry no inference: a bootstrap of 20-session blocks on 66 days covers 85 % of a
# nominal 95 %. And nothing is annualised under a year (GIPS 5.A.4), which Sharpe ratios are, by which it is chosen.
_LEAST_DECISIONS = 20
_LEAST_SESSIONS = 252


class WalkForward(Section):
    """How the record is cut."""

    folds: int = Field(4, ge=1, le=100, description="parts that are judged, each by settings chosen before it")
    window: Literal["expanding", "rolling"] = Field(
        "expanding", description="chosen by all that came before, or by as much as the first part had"
    )
    embargo_sessions: int = Field(
        5, ge=0, le=252, description="sessions left out beside those that a decision is held: returns cluster"
    )


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows of the record: chosen by `train`, judged by `test`; those between are purged. The last one has no test: it
    chooses for the time to come."""

    train: slice
    test: slice

    @property
    def purged(self) -> int:
        return int(self.test.start - self.train.stop)


def horizon(cadences: Collection[str], fill: str) -> int:
    """Sessions from a decision to the last return that is its own: until the next one is filled."""
    return max(_LONGEST[one] for one in cadences) + (fill != "close")


def cut(decided: Bools, walk_forward: WalkForward, cadences: Collection[str], fill: str) -> list[Fold]:
    """The folds of a record of T sessions, `decided` (T,) being where something was decided, by settings as they are.

    The record counts from the first decision on. A return of the last `horizon` sessions before a test belongs to a
    decision whose label reaches into it, so those and the embargo are chosen by in no fold (purging: Lopez de Prado,
    Advances in Financial Machine Learning, 7.4.1). Raises ExperimentError where the record is too short, with the
    number of decisions needed.
    """
    gap = horizon(cadences, fill) + walk_forward.embargo_sessions
    usual = max(_USUAL[one] for one in cadences)
    count, rows = int(decided.sum()), np.flatnonzero(decided)
    first = int(rows[0]) if count else len(decided)
    sessions = len(decided) - first
    each = max(_LEAST_DECISIONS, ceil(_LEAST_SESSIONS / usual))
    needed = 2 * each + ceil(gap / usual)
    there = min(count, ceil(sessions / usual))
    if there < needed:
        raise ExperimentError(
            f"{there:,} decisions are too few to tune by: {needed:,} are needed at this cadence, {each} to choose by, "
            f"{each} to judge by, and {needed - 2 * each} between them that are held into what is judged. Use a longer "
            "record, or the settings as they are"
        )
    lead = max(ceil(sessions / (walk_forward.folds + 1)), each * usual + gap)
    judged = sessions - lead
    if judged // walk_forward.folds < gap - walk_forward.embargo_sessions:
        raise ExperimentError(
            f"walk_forward.folds = {walk_forward.folds} is too many for {judged:,} sessions to judge by: each part "
            f"would be shorter than a decision is held ({gap - walk_forward.embargo_sessions} sessions)"
        )
    bounds = [first + lead + judged * n // walk_forward.folds for n in range(walk_forward.folds + 1)]
    width = lead - gap
    folds = [_fold(start, stop, gap, first, width, walk_forward) for start, stop in pairwise(bounds)]
    return [*folds, _fold(len(decided), len(decided), 0, first, width, walk_forward)]


def _fold(start: int, stop: int, gap: int, first: int, width: int, walk_forward: WalkForward) -> Fold:
    end = start - gap
    return Fold(slice(end - width if walk_forward.window == "rolling" else first, end), slice(start, stop))
