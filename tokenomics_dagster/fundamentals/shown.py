"""What a materialization of financials and scores shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.kit import plots, sketch
from tokenomics_dagster.kit.metadata import figure, image, series, table

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from tokenomics_dagster.fundamentals.doubts import Settled


_STEPS = 20  # of five points each


def financials(row: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one symbol that are there, rounded; the exact ones are in the warehouse."""
    figures: dict[str, Any] = dict(series({name: value for name, value in row.items() if isinstance(value, float)}))
    if isinstance(row["reported_period"], str):
        figures |= {"reported_period": row["reported_period"]}
    return {**figures, **of_when(row["known_at"])}


def of_when(known_at: datetime) -> dict[str, str]:
    """By what a materialization tells which figures it is of."""
    return {"known_at": known_at.isoformat()}


def scores(settled: Settled, last: pd.DataFrame | None, older: pd.DataFrame, max_missing_pct: float) -> dict[str, Any]:
    """`older`: the figures from before the last sweep that scores were made from all the same."""
    frame = settled.scores
    scored = frame[frame["score"].notna()]
    best = scored.nlargest(10, "score")[["symbol", "score"]].itertuples(index=False)
    unscored = frame.loc[frame["reason"].notna(), ["symbol", "reason"]].itertuples(index=False)
    missing = {name: float(frame[name].isna().mean()) for name in FIGURES}
    median, steps = float(scored["score"].median()), _STEPS
    in_steps = Counter(min(int(score * steps / 100), steps - 1) for score in scored["score"])
    tallest = max(in_steps.values(), default=0)
    return {
        "picture": sketch.bars(
            "how many stocks have which score",
            [in_steps[step] for step in range(steps)] if len(scored) else [],
            f"scores from 0 to 100 in steps of {100 // steps} points; the tallest bar is {tallest:,} stocks",
        ),
        "in_short": f"{len(scored):,} of {len(frame):,} stocks have a score; the median is {figure(median)} points",
        "scored": len(scored),
        "unscored": len(frame) - len(scored),
        **series({"median_score": median}),
        "best": table(best, "symbol", "score"),
        "reasons": table(Counter(frame["reason"].dropna()).most_common(), "reason", "names"),
        "without_score": table(unscored, "symbol", "reason"),
        "kept_for_a_doubt": table(settled.kept.items(), "symbol", "doubt"),
        "by_older_figures": table(zip(older["symbol"], older["known_at"], strict=True), "symbol", "known at"),
        "score_distribution": image(
            "scores", plots.score_distribution, scored["score"], () if last is None else last["score"]
        ),
        "missing_values": image("missing values", plots.missing_values, missing, max_missing_pct / 100),
    }
