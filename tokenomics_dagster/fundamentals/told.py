"""What the warehouse has of figures and scores, for who explains them to a person. Only reads; rules are in scoring.py
and explained.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.fundamentals.explained import UNITS
from tokenomics_dagster.fundamentals.schema import Financials, Scores, ScoresDetails
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.fundamentals import ScoreSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a symbol: `values` by the names of explained.UNITS, None where not told; `known_at` UTC, None
    where they never came; `reported_period` is the day on which the newest period ends, ISO 8601."""

    symbol: str
    values: Mapping[str, float | None]
    known_at: datetime | None
    reported_period: str | None

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Figures:
        at = row["known_at"]
        return cls(
            row["symbol"],
            {name: known(row[name]) for name in UNITS},
            None if at != at else at.to_pydatetime(),
            row["reported_period"] if isinstance(row["reported_period"], str) else None,
        )


@dataclass(frozen=True, slots=True)
class OneScore:
    """Points, 0 to 100, or the reason why there are none; and the figures that it was made from."""

    points: float | None
    reason: str | None
    figures: Figures


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores with the rules that made them; `rules_known` is false where an earlier version did not keep them and
    those of now stand in. `doubted`: since when a newer answer of a symbol waits for a second look."""

    frame: pd.DataFrame
    as_of: datetime
    rules: ScoreSettings
    rules_known: bool
    doubted: Mapping[str, datetime]

    def of(self, called: Sequence[str]) -> OneScore | None:
        """Of the first of these symbols that has a row."""
        row = _first(self.frame, called)
        if row is None:
            return None
        return OneScore(known(row["score"]), row["reason"] if isinstance(row["reason"], str) else None, Figures.of(row))


def scored(store: Warehouse, settings: Settings, as_of: datetime | None = None) -> Scored | None:
    """The newest `Scores` that were known (at an instant); None before the first. Raises WarehouseError."""
    found = store.load_stored("scores", Scores, ScoresDetails, as_of=as_of)
    if found is None:
        return None
    kept = found.details.rules
    rules = settings.fundamentals.score if kept is None else ScoreSettings.model_validate(kept)
    return Scored(found.frame, found.as_of, rules, kept is not None, found.details.doubted)


def newest_figures(store: Warehouse, called: Sequence[str]) -> Figures | None:
    """What was told last of the first of these symbols of which something was."""
    row = _first(store.latest_facts("financials", Financials), called)
    return None if row is None else Figures.of(row)


def meanings() -> dict[str, str]:
    """What each figure is, with its unit, by its column."""
    return {name: str(column.description) for name, column in Financials.to_schema().columns.items()}


def known(value: Any) -> float | None:
    """None for what is missing in a table."""
    return None if value is None or value != value else float(value)


def _first(frame: pd.DataFrame, called: Sequence[str]) -> dict[Any, Any] | None:
    rows = {row["symbol"]: row for row in frame[frame["symbol"].isin(called)].to_dict("records")}
    return next((rows[symbol] for symbol in called if symbol in rows), None)
