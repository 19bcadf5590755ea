"""What the warehouse has of figures and scores, for who explains them to a person. Only reads; rules are in scoring.py
and explained.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.fundamentals.schema import Financials, Scores, ScoresDetails
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.fundamentals import ScoreSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores with the rules that made them; `rules_known` is false where an earlier version did not keep them and
    those of now stand in. `doubted`: since when a newer answer of a symbol waits for a second look."""

    frame: pd.DataFrame
    as_of: datetime
    rules: ScoreSettings
    rules_known: bool
    doubted: Mapping[str, datetime]


def scored(store: Warehouse, settings: Settings, as_of: datetime | None = None) -> Scored | None:
    """The newest `Scores` that were known (at an instant); None before the first. Raises WarehouseError."""
    found = store.load_stored("scores", Scores, ScoresDetails, as_of=as_of)
    if found is None:
        return None
    kept = found.details.rules
    rules = settings.fundamentals.score if kept is None else ScoreSettings.model_validate(kept)
    return Scored(found.frame, found.as_of, rules, kept is not None, found.details.doubted)


def newest_figures(store: Warehouse) -> dict[str, dict[str, Any]]:
    """By symbol what was told last: the columns of `Financials`; missing is NaN, or NaT."""
    facts = store.latest_facts("financials", Financials)
    return {row["symbol"]: {str(column): value for column, value in row.items()} for row in facts.to_dict("records")}


def meanings() -> dict[str, str]:
    """What each figure is, with its unit, by its column."""
    return {name: str(column.description) for name, column in Financials.to_schema().columns.items()}
