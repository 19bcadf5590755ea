"""Whether enough financials and scores are there to act on; refuses with the figure and the limit. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import pandas as pd

from tokenomics_dagster.settings import GuardSettings


class CoverageError(ValueError):
    """Too little is known: nothing is stored, what was there before stays."""


def require_fetched(
    facts: pd.DataFrame,
    symbols: Sequence[str],
    *,
    fresh_since: datetime,
    finished: bool,
    failed: Collection[str],
    guards: GuardSettings,
) -> pd.DataFrame:
    """The newest `Financials` row of each of the `symbols` that the last sweep or a repair has fetched.

    `facts` has one row per symbol; a row counts when its known_at is not before `fresh_since`, the age from which that
    sweep asked anew. Raises CoverageError while the sweep runs (or was killed), while more of its `failed` symbols than
    guards.max_failed_pct are still missing, and when fewer than guards.min_fetched_pct of the symbols have a row.
    """
    if not finished:
        raise CoverageError(
            "the last sweep of financials has not finished: wait for it, or run fundamentals_refresh again (it goes on "
            "where it was)"
        )
    fetched = facts[facts["symbol"].isin(symbols) & (facts["known_at"] >= fresh_since)]
    still_failed = sorted((set(failed) & set(symbols)) - set(fetched["symbol"]))
    failed_pct = 100 * len(still_failed) / max(len(symbols), 1)
    if failed_pct > guards.max_failed_pct:
        raise CoverageError(
            f"{len(still_failed)} symbols of the last sweep are still failed ({failed_pct:.1f} %, guards.max_failed_pct"
            f" is {guards.max_failed_pct:g}): {', '.join(still_failed[:20])}; repair them first"
        )
    _require(len(fetched), len(symbols), guards.min_fetched_pct, "guards.min_fetched_pct", "have fresh financials")
    return fetched


def require_scored(scores: pd.DataFrame, guards: GuardSettings) -> None:
    """Raises CoverageError when fewer than guards.min_scored_pct of a `Scores` frame have a score."""
    scored = int(scores["score"].notna().sum())
    _require(scored, len(scores), guards.min_scored_pct, "guards.min_scored_pct", "have a score")


def _require(count: int, total: int, limit_pct: float, limit_name: str, what: str) -> None:
    share = 100 * count / max(total, 1)
    if count == 0 or share < limit_pct:
        raise CoverageError(
            f"only {count} of {total} symbols {what} ({share:.1f} %, {limit_name} is {limit_pct:g}): nothing is "
            "stored, the last scores stay"
        )
