"""What a materialization of daily bars shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.kit import sketch
from tokenomics_dagster.kit.metadata import table
from tokenomics_dagster.market_data.schema import DailyBarsDetails

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.storage.lake import Known


def daily_bars(
    frame: pd.DataFrame, details: DailyBarsDetails, known: Mapping[str, Known], folder: str
) -> dict[str, Any]:
    """What there is, what came, and the names that lack the newest session."""
    behind = sorted((there.last, symbol) for symbol, there in known.items() if f"{there.last}" < details.last_session)
    fewest, most = (frame["bars"].min(), frame["bars"].max()) if len(frame) else (0, 0)
    return {
        "picture": sketch.bars(
            "bars by session", frame["bars"], f"bars of each of {len(frame):,} sessions: {fewest:,} to {most:,}"
        ),
        "in_short": f"{details.new:,} new bars; {len(known):,} of {details.asked:,} names have some, {len(behind):,} "
        f"of them lack the session of {details.last_session}",
        "lake": folder,
        "feed": details.feed,
        "names": len(known),
        "asked": details.asked,
        "new_bars": details.new,
        "bars": sum(there.sessions for there in known.values()),
        "sessions": table(frame.tail(20).iloc[::-1].itertuples(index=False), *frame.columns),
        "behind": table(((symbol, day) for day, symbol in reversed(behind)), "symbol", "last session", limit=50),
        "without": table(((symbol,) for symbol in details.without), "symbol", limit=50),
        "corrected": table(((bar,) for bar in details.corrected), "bar", limit=50),
        "refused": table(details.refused.items(), "bar", "reason", limit=50),
    }
