"""What a materialization of financials and scores shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.kit import plots
from tokenomics_dagster.kit.metadata import image, table

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.fundamentals.doubts import Settled


def financials(row: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one symbol that are there."""
    figures: dict[str, Any] = {
        name: float(value) for name, value in row.items() if isinstance(value, float) and value == value
    }
    if isinstance(row["reported_period"], str):
        figures |= {"reported_period": row["reported_period"]}
    return {**figures, "known_at": row["known_at"].isoformat()}


def scores(settled: Settled, last: pd.DataFrame | None, older: pd.DataFrame, max_missing_pct: float) -> dict[str, Any]:
    """`older`: the figures from before the last sweep that scores were made from all the same."""
    frame = settled.scores
    scored = frame[frame["score"].notna()]
    best = scored.nlargest(10, "score")[["symbol", "score"]].itertuples(index=False)
    unscored = frame.loc[frame["reason"].notna(), ["symbol", "reason"]].itertuples(index=False)
    missing = {name: float(frame[name].isna().mean()) for name in FIGURES}
    return {
        "scored": len(scored),
        "unscored": len(frame) - len(scored),
        "median_score": float(scored["score"].median()),
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
