"""Whether the daily bars are whole and can be believed, and whether plans were made with the prices that they tell of.

Pure: takes frames, sessions and settings. A bar that cannot be believed was kept out of the lake; here it is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from tokenomics_dagster.kit.checks import SCHEMA, Finding, Rule, Table, counted
from tokenomics_dagster.settings.market_data import MarketDataSettings

if TYPE_CHECKING:
    import pandas as pd

DAILY_BARS = (
    SCHEMA,
    Rule("sessions", "The lake has bars of every session of the calendar since its first.", "tells"),
    Rule("names", "Of each of the last sessions nearly all names that have had bars have one.", "tells"),
    Rule("consistent", "Prices are above 0, none lies beyond high or low, no session is told twice.", "warns"),
    Rule("recorded", "The prices that plans were made with lie within the bars of their sessions.", "warns"),
)
JUDGED = 10  # sessions: two weeks in which somebody can have looked


@dataclass(frozen=True, slots=True)
class Recorded:
    """A price that a plan was made with in a session, USD, and the low and high of its bar; None: there is none."""

    session: date
    symbol: str
    price: float
    low: float | None
    high: float | None

    @property
    def difference_pct(self) -> float:
        """How far the price lies outside of the bar, percent of itself."""
        if self.low is None or self.high is None:
            return 0.0
        return 100 * max(self.low - self.price, self.price - self.high, 0.0) / self.price


def check_daily_bars(
    frame: pd.DataFrame,
    expected: Collection[date],
    there: Sequence[date],
    refused: Mapping[str, str],
    recorded: Sequence[Recorded],
    settings: MarketDataSettings,
) -> list[Finding]:
    """Judges a `DailyBars` frame. `expected`: sessions of the calendar; `there`: those of the lake, in their order;
    `refused`: by "SYMBOL YYYY-MM-DD" why a bar was kept out."""
    return [
        _sessions(expected, there),
        _names(frame, settings),
        _consistent(refused),
        _recorded(recorded, settings),
    ]


def _sessions(expected: Collection[date], there: Sequence[date]) -> Finding:
    known = set(there)
    missing = sorted(day for day in expected if day not in known and (not there or day > there[0]))
    if not there:
        told = "the lake has no bar at all: look at what Alpaca sends (alpaca.data_feed, market_data.bars_from)"
    elif missing:
        told = f"{counted(len(missing), 'session')} of the calendar have no bar, first {missing[0]}"
    else:
        told = f"all {len(there)} sessions since {there[0]} have bars"
    return Finding(
        "sessions",
        bool(there) and not missing,
        told,
        {"sessions": len(there), "missing": len(missing)},
        {"without bars": Table(("session",), [(str(day),) for day in missing])},
    )


def _names(frame: pd.DataFrame, settings: MarketDataSettings) -> Finding:
    lately = frame.tail(JUDGED)
    without = lately["names"] - lately["bars"]
    missing_pct = 100 * without / lately["names"].clip(lower=1)
    limit = settings.max_missing_names_pct
    bad = missing_pct[(missing_pct > limit) | (lately["names"] == 0)]
    rows = [
        (day, int(names), int(bars), float(pct))
        for day, names, bars, pct in zip(lately["session"], lately["names"], lately["bars"], missing_pct, strict=True)
    ]
    worst = max(rows, key=lambda row: row[3], default=("none", 0, 0, 0.0))
    return Finding(
        "names",
        bad.empty and bool(rows),
        f"of {worst[0]} {worst[1] - worst[2]} of {worst[1]} names lack a bar ({worst[3]:.1f} %), "
        f"market_data.max_missing_names_pct is {limit:g}"
        + ("" if bad.empty and rows else "; does Alpaca answer, and with all of its feed (alpaca.data_feed)?"),
        {"most_missing_pct": worst[3]},
        {"last sessions": Table(("session", "names", "with a bar", "without, %"), rows)},
    )


def _consistent(refused: Mapping[str, str]) -> Finding:
    first = "; ".join(f"{bar}: {why}" for bar, why in list(refused.items())[:3])
    return Finding(
        "consistent",
        not refused,
        f"{counted(len(refused), 'bar')} cannot be believed and stay out of the lake, first {first}"
        if refused
        else "every bar that came can be believed",
        {"refused": len(refused)},
        {"kept out": Table(("bar", "reason"), list(refused.items()))},
    )


def _recorded(recorded: Sequence[Recorded], settings: MarketDataSettings) -> Finding:
    limit = settings.max_recorded_difference_pct
    without = [one for one in recorded if one.low is None]
    beyond = sorted((one for one in recorded if one.difference_pct > limit), key=lambda one: -one.difference_pct)
    farthest = max((one.difference_pct for one in recorded), default=0.0)
    named = "; ".join(
        f"{one.symbol} on {one.session}: recorded {one.price:g}, its bar is {one.low:g} to {one.high:g}"
        for one in beyond[:3]
    )
    return Finding(
        "recorded",
        not beyond,
        f"{len(beyond)} of {len(recorded)} prices that plans were made with lie more than "
        f"market_data.max_recorded_difference_pct ({limit:g}) outside of their session's bar, "
        f"{len(without)} have none" + (f": {named}; look at what both feeds tell of them" if beyond else ""),
        {"prices": len(recorded), "beyond": len(beyond), "without_bar": len(without), "farthest_pct": farthest},
        {
            "farthest": Table(
                ("session", "symbol", "recorded, USD", "low, USD", "high, USD", "outside, %"), _rows(beyond)
            ),
            "without a bar": Table(("session", "symbol"), [(str(one.session), one.symbol) for one in without]),
        },
    )


def _rows(recorded: Iterable[Recorded]) -> list[tuple[object, ...]]:
    return [(str(one.session), one.symbol, one.price, one.low, one.high, one.difference_pct) for one in recorded]
