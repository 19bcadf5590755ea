"""What is decided for a week, and with what: a past week is decided again by what was known, and by the rules, of then.

Pure: what was stored is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.portfolio import weights
from tokenomics_dagster.portfolio.schema import TargetWeightsDetails
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings
from tokenomics_dagster.universe.renames import renamed

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Snapshot


class CannotDecide(UserError):
    """Nothing may be decided for the week now; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """At which instant the week is decided, what of scores and universe was known to it, and by which rules."""

    decided_at: datetime
    scores_known_at: datetime
    universe_known_at: datetime
    rules: RebalancingSettings


@dataclass(frozen=True, slots=True)
class Decision:
    """`weights` is a `TargetWeights` frame, `scores` what could be chosen from, `left` who has left the universe since
    it was scored, `industries` those of the universe by symbol ("" where unknown).
    """

    weights: pd.DataFrame
    scores: pd.DataFrame
    left: pd.Series
    industries: Mapping[str, str]


def as_of(week: date, now: datetime, before: Snapshot | None, settings: Settings) -> AsOf:
    """Of the running week it is now; of a past one the instant of the decision `before`, or when it was to be made.

    Raises CannotDecide for a week to come.
    """
    running = calendar.week_of(now)
    if week > running:
        raise CannotDecide(f"the week of {week} has not begun by the broker's clock")
    if week == running:
        return AsOf(now, now, now, settings.rebalancing)
    if before is None:
        delay = timedelta(minutes=settings.schedules.rebalance_minutes_after_open)
        due = calendar.first_session_of_week(week).open + delay
        return AsOf(due, due, due, settings.rebalancing)
    details = before.details_as(TargetWeightsDetails)
    return AsOf(
        before.as_of,
        # They bear an instant before they were stored: some may have been stored just after the decision.
        details.scores_as_of,
        details.universe_as_of or before.as_of,
        settings.rebalancing if details.rules is None else RebalancingSettings.model_validate(details.rules),
    )


def decide(
    scores: pd.DataFrame, universe: pd.DataFrame, links: Mapping[str, str], rules: RebalancingSettings
) -> Decision:
    """What to hold, of a `Scores` frame and a `Universe` frame; `links` are the new symbols of those renamed since."""
    scores, left = choosable(scores, universe, links)
    industries = dict(zip(universe["symbol"], universe["industry"].fillna(""), strict=True))
    return Decision(weights.target_weights(scores, rules), scores, left, industries)


def choosable(scores: pd.DataFrame, universe: pd.DataFrame, links: Mapping[str, str]) -> tuple[pd.DataFrame, pd.Series]:
    """The rows of `scores` that a decision chooses from, under their symbols of now; and who has left the universe."""
    scores = renamed(scores, links)
    # A name may have left since it was scored, its market cap found to be wrong.
    left = scores.loc[~scores["symbol"].isin(universe["symbol"]), "symbol"]
    return scores[~scores["symbol"].isin(left)], left
