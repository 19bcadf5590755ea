"""Figures as a person says them: spans, large sums, percents, names of columns. How tables are laid out stays out."""

from datetime import datetime, timedelta
from typing import Any

from tokenomics_dagster.model.calendar import NEW_YORK

_SPANS = ((timedelta(days=2), timedelta(days=1), "day"), (timedelta(minutes=90), timedelta(hours=1), "hour"),
          (timedelta(seconds=90), timedelta(minutes=1), "minute"))  # fmt: skip
_SUMS = ((1e6, "trn"), (1e3, "bn"), (1.0, "m"))  # of a million
_WORDS = {
    "roe": "ROE", "eps": "EPS", "ttm": "", "yoy": "", "pct": "", "musd": "", "usd": "", "to": "/", "at": ""
}  # fmt: skip


def span(time: timedelta) -> str:
    """In one unit, whole: "12 minutes". A clock that is behind another makes no span less than none."""
    for least, unit, name in _SPANS:
        if time >= least:
            return counted(round(time / unit), name)
    return counted(max(round(time.total_seconds()), 0), "second")


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def sum_of(millions: float) -> str:
    """USD, by three digits: "3.10 trn USD", "512 bn USD", "45.2 m USD"."""
    for size, name in _SUMS:
        # What three digits would round up to the next name has it.
        if abs(millions) >= 0.9995 * size or size == 1.0:
            figure = millions / size
            digits = max(0, 2 - (abs(figure) >= 9.995) - (abs(figure) >= 99.95))
            return f"{figure:,.{digits}f} {name} USD"
    raise AssertionError("unreachable")


def minute(instant: datetime) -> str:
    """In New York, where the market is: "2026-08-24 10:05"."""
    return f"{instant.astimezone(NEW_YORK):%Y-%m-%d %H:%M}"


def heading(column: str) -> str:
    """Of a table's column for people: "roe_ttm_pct" is "ROE", "market_cap_musd" "market cap"."""
    return " ".join(word for part in column.split("_") if (word := _WORDS.get(part, part)))


def cell(column: str, value: Any) -> str:
    """A value by what the name of its column says of its unit (the tables are defined so): `_pct`, `_musd`, `_at`."""
    if value is None or value != value:
        return ""
    if isinstance(value, datetime):
        return minute(value)
    if not isinstance(value, float):
        return str(value)
    if column.endswith("_musd"):
        return sum_of(value)
    if column.endswith("_pct"):
        return f"{value:.1f} %"
    if column == "weight":
        return f"{value:.2%}"
    return f"{value:,.1f}" if column.endswith(("score", "points")) else f"{value:,.2f}"
