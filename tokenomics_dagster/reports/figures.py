"""How figures are written for a person: percent, USD, ratios, days. Which of them are shown, and where, stays out."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal

from tokenomics_dagster.model.calendar import NEW_YORK

UNDEFINED = "-"


def percent(value: float | None, digits: int = 1) -> str:
    """Of a fraction."""
    return UNDEFINED if value is None or not math.isfinite(value) else f"{100 * value:,.{digits}f} %"


def signed(value: float | None) -> str:
    return UNDEFINED if value is None or not math.isfinite(value) else f"{100 * value:+,.1f} %"


def usd(value: float | None) -> str:
    """Large amounts without cents."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    sign, size = "-" if value < 0 else "", abs(value)
    return f"{sign}{size:,.0f} USD" if size >= 10_000 else f"{sign}{size:,.2f} USD"


def cents(value: Decimal | None) -> str:
    """USD to the cent, whatever their size."""
    return UNDEFINED if value is None else f"{value:,.2f}"


def shares(value: Decimal | None) -> str:
    """No more than four decimals: what is held is told to nine by `tokenomics holdings`."""
    return UNDEFINED if value is None else f"{round(value, 4).normalize():,f}"


def short_usd(value: float) -> str:
    """For the tick of an axis or a narrow column: 1.2 m."""
    sign, size = "-" if value < 0 else "", abs(value)
    for unit, name in ((1e12, " tn"), (1e9, " bn"), (1e6, " m"), (1e3, " k")):
        if size >= unit:
            return f"{sign}{size / unit:,.3g}{name}"
    return f"{sign}{size:,.3g}"


def ratio(value: float | None) -> str:
    """No minus before what is 0.00."""
    return UNDEFINED if value is None or not math.isfinite(value) else f"{round(value, 2) + 0.0:.2f}"


def count(value: float | int | None) -> str:
    return UNDEFINED if value is None else f"{value:,.0f}"


def times(value: float | None) -> str:
    """A multiple of the mean equity a year."""
    return UNDEFINED if value is None or not math.isfinite(value) else f"{value:.2f} x a year"


def day(value: date | None) -> str:
    return "not yet" if value is None else value.isoformat()


def moment(value: datetime | None) -> str:
    """To the minute, on New York's clocks."""
    return UNDEFINED if value is None else f"{value.astimezone(NEW_YORK):%a %Y-%m-%d %H:%M} New York"


def chance(p: float) -> str:
    """A probability as a person counts: 43 of 100."""
    return f"{100 * p:.1f} of 100"


def counted(number: int, noun: str) -> str:
    """1 name, 2 names."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
