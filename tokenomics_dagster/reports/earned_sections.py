"""The section of a week's page that tells what the account earned, with what was paid in and out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

import numpy as np

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.reports.charts import Line, area, lines
from tokenomics_dagster.reports.earned import Earned, Spent
from tokenomics_dagster.reports.figures import UNDEFINED, cents, counted, moment, percent, signed
from tokenomics_dagster.reports.markup import Markup, element, figure, table, tiles
from tokenomics_dagster.reports.performance import Compared, Performance
from tokenomics_dagster.reports.week import WeekReport

_ROWS = 53
"""Of a table: a year of weeks. The page of an earlier week has those before."""


def earned(report: WeekReport) -> Sequence[Markup]:
    of = report.earned
    parts: list[Markup] = []
    if of.performance is None:
        parts.append(element("p", f"No return is told yet: {of.why}."))
    else:
        doubtful = [*of.performance.unsure, *of.performance.beside]
        if doubtful:
            parts.append(element("ul", *(element("li", f"Doubtful: {one}.") for one in doubtful)))
        parts += [_tiles(of.performance, of.spent), *_course(of.performance), *_beside(of.performance, report.beside)]
    parts += [_weeks(of), *_months(of), *_flows(of)]
    if of.doubts:
        parts.append(element("ul", *(element("li", one) for one in of.doubts), class_="soft"))
    return parts


def _beside(of: Performance, others: Sequence[Compared] | None) -> list[Markup]:
    """Of what others did nothing is recorded: it is told where the broker was asked for their prices."""
    if others is None:
        return [
            element(
                "p", "How that is against the benchmark and the equal-weighted universe, and what the broker took as "
                "fees, no record tells: ", element("code", "tokenomics report --compare"), " asks the broker for their "
                "prices, ", element("code", "tokenomics performance"), " for all of it.", class_="soft",
            )
        ]  # fmt: skip
    rows = [("the whole time", _return(of.time_weighted), *(_return(one.total) for one in others))]
    rows += [
        (
            f"{month.month:%Y-%m}",
            _return(None if month.growth is None else month.growth - 1),
            *(_return(one.months.get(month.month)) for one in others),
        )
        for month in reversed(of.months)
    ]
    notes = [f"{one.name}: {told}." for one in others if (told := one.why or one.note)]
    return [
        element("h3", "Beside others"),
        table(("", "account", *(one.name for one in others)), rows, numbers=1 + len(others)),
        element("ul", *(element("li", one) for one in notes), class_="soft"),
    ]


def _tiles(of: Performance, spent: Spent | None) -> Markup:
    yearly = of.time_weighted_annual
    a_year = f", {percent(yearly)} a year" if yearly is not None else "; less than a year, so not told as a rate of one"
    fall = of.drawdown
    fell = of.undefined.get("drawdown", "it never was under an earlier value")
    if fall is not None:
        back = "not recovered yet" if fall.recovered is None else f"recovered {fall.recovered}"
        fell = f"from {fall.peak} to {fall.trough}, {back}; measured at the values that are recorded"
    none = UNDEFINED if "drawdown" in of.undefined else "none"
    profit = "what the value changed by and nobody paid in or out"
    if of.unsure:
        profit += "; no fact, for it is doubtful as said above"
    paid = () if spent is None else (
        ("Spread paid, USD", f"{spent.spread:,.2f}", _spread(spent)),
        ("Turnover", percent(spent.turnover), "bought and sold, both, of the mean value, in the whole time"),
    )  # fmt: skip
    return tiles(
        [
            ("Time-weighted return", _return(of.time_weighted),
             of.undefined.get(
                 "time_weighted", f"what a USD did that lay in the account since {of.since:%Y-%m-%d}{a_year}"
             )),
            ("Money-weighted return", _return(of.money_weighted),
             of.undefined.get("money_weighted", "what the owner's USD did, at the times when they were there")),
            ("Profit, USD", f"{of.profit:+,.2f}", profit),
            ("Largest drawdown", percent(fall.depth, 2) if fall else none, fell),
            *paid,
        ]
    )  # fmt: skip


def _spread(of: Spent) -> str:
    part = "" if of.spread_bps is None else f", {of.spread_bps:.1f} of each 10,000 traded"
    lost = f"; of {counted(of.unknown, 'trade')} it is not known" if of.unknown else ""
    return f"what trades were worse than the middle of the quotes that they were decided on{part}{lost}"


def _course(of: Performance) -> list[Markup]:
    """Nothing where all values are of one day: a line through them shows no course. Nor where no return is known."""
    if of.since.date() == of.until.date() or of.time_weighted is None:
        return []
    ends = [of.steps[0].start.at, *(step.end.at for step in of.steps)]
    dates = np.array([at.astimezone(UTC).replace(tzinfo=None) for at in ends], dtype="datetime64[s]")
    unit = np.array([1.0, *(step.unit for step in of.steps)])
    grown = lines(
        "Time-weighted return",
        dates,
        [Line("account", unit - 1, "c0")],
        log=False,
        told=lambda value: percent(value, 2),
        what=f"From {of.since:%Y-%m-%d} to {of.until:%Y-%m-%d}: {signed(of.time_weighted)}.",
    )
    under = unit / np.maximum.accumulate(unit) - 1
    what = f"How far that is under its highest so far, at most {percent(float(-under.min()), 2)}."
    fallen = area("Drawdown", dates, under, lambda value: percent(value, 2), what)
    days = {at.astimezone(NEW_YORK).date(): row for row, at in enumerate(ends)}
    usd = [of.steps[0].start.usd, *(step.end.usd for step in of.steps)]
    newest = sorted(days.items(), reverse=True)[:_ROWS]
    numbers = table(
        ("day", "value, USD", "earned since the first", "under its highest"),
        [
            (f"{day}", cents(usd[row]), percent(float(unit[row]) - 1, 2), percent(float(under[row]), 2))
            for day, row in newest
        ],
        numbers=3,
    )
    caption = (
        "Above: what one USD in the account has earned since the first value, whoever paid in or out. Below: how far "
        "that is under its highest so far."
    )
    return [figure(grown + fallen, caption, numbers)]


def _weeks(of: Earned) -> Markup:
    newest = list(reversed(of.standings))[:_ROWS]
    rows = [
        (
            f"{one.week}",
            cents(one.equity),
            cents(one.cash),
            UNDEFINED if one.growth is None else f"{100 * (one.growth - 1):+.2f} %",
            UNDEFINED if one.paid_in is None else f"{one.paid_in:+,.2f}",
        )
        for one in newest
    ]
    columns = ("week", "equity, USD", "cash, USD", "return since the one before", "paid in, USD")
    shown = table(columns, rows, numbers=4)
    more = f" The last {_ROWS} of {len(of.standings)}." if len(of.standings) > _ROWS else ""
    return element("details", element("summary", f"By week: what each report says.{more}"), shown)


def _months(of: Earned) -> list[Markup]:
    if of.performance is None:
        return []
    rows = [
        (
            f"{one.month:%Y-%m}",
            UNDEFINED if one.growth is None else f"{100 * (one.growth - 1):+.2f} %",
            f"{one.profit:+,.2f}",
            f"{one.paid_in:+,.2f}",
        )
        for one in reversed(of.performance.months)
    ]
    shown = table(("month", "return", "profit, USD", "paid in, USD"), rows, numbers=3)
    return [element("details", element("summary", "By month"), shown)]


def _flows(of: Earned) -> list[Markup]:
    if not of.flows:
        told = "Nothing was paid in or out that a report knows of."
        return [element("p", told)] if of.performance is not None else []
    rows = [
        (f"{one.at:%Y-%m-%d}" if one.by_day else moment(one.at), f"{one.usd:+,.2f}", one.what)
        for one in reversed(of.flows)
    ]
    shown = table(("paid in and out", "USD", "as the broker calls it"), rows, numbers=1)
    return [shown]


def _return(value: float | None) -> str:
    return UNDEFINED if value is None else f"{100 * value:+.2f} %"
