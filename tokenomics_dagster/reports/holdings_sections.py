"""The sections of a week's page that tell what is held, by which scores, in which industries, and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenomics_dagster.reports.charts import Bar, bars
from tokenomics_dagster.reports.figures import UNDEFINED, cents, count, counted, percent, shares
from tokenomics_dagster.reports.markup import Markup, element, figure, joined, legend, long_table, table
from tokenomics_dagster.reports.week import Holding, WeekReport

_DRAWN = 20
"""Rows of a picture, and of a table before it is folded: more do not fit a screen."""
_PARTS = ("ROE", "debt/equity", "growth")


def holdings(report: WeekReport) -> Sequence[Markup]:
    if not report.holdings:
        return [element("p", "Nothing is held, and nothing is meant to be.")]
    columns = ("stock", "shares", "price", "value, USD", "weight", "target", "to target")
    rows: list[tuple[str, ...]] = [
        (
            _name(one.symbol, one.name),
            shares(one.qty),
            cents(one.price),
            cents(one.value),
            percent(one.weight, 2),
            percent(one.target, 2),
            UNDEFINED if one.drift is None else f"{100 * one.drift:+.2f} %",
        )
        for one in report.holdings
    ]
    last = [("cash", "", "", cents(report.cash), *_share(report), "", "")]
    if abs(report.alone) >= 0.005:
        last.insert(0, ("left alone, or without a known value", "", "", cents(report.alone), "", "", ""))
    last.append(("equity", "", "", cents(report.equity), "", "", ""))
    foreign = [element("li", one) for one in report.foreign]
    alone = [element("p", "Left alone, and why:"), element("ul", *foreign)] if foreign else []
    return [_distances(report.holdings, long_table(columns, rows, numbers=6, shown=_DRAWN, last=last)), *alone]


def _share(report: WeekReport) -> tuple[str]:
    return (percent(float(report.cash / report.equity), 2) if report.equity > 0 else UNDEFINED,)


def _distances(of: Sequence[Holding], numbers: Markup) -> Markup:
    """Those that lie furthest from their targets."""
    known = [one for one in of if one.weight is not None]
    drawn = sorted(known, key=lambda one: (-abs(one.drift or 0.0), one.symbol))[:_DRAWN]
    drawn.sort(key=lambda one: (-max(one.weight or 0.0, one.target), one.symbol))
    most = max((max(one.weight or 0.0, one.target) for one in drawn), default=0.0)
    rows = [Bar(one.symbol, (one.weight or 0.0,), percent(one.weight, 2), one.target) for one in drawn]
    which = f"the {len(drawn)} furthest from their targets" if len(known) > len(drawn) else "all of them"
    picture = bars("Weight against target", rows, most=most, what=f"Share of equity of each stock: {which}.")
    key = legend([("b0", "held"), ("mark", "target")])
    caption = f"Share of equity that each stock has, and is meant to have: {which}."
    return figure(picture, caption, numbers, key, folded=False)


def scores(report: WeekReport) -> Sequence[Markup]:
    scored = sorted(
        (one for one in report.holdings if one.score is not None), key=lambda one: (one.place or 10**9, one.symbol)
    )
    unscored = [one for one in report.holdings if one.score is None]
    without = [element("p", joined([_name(one.symbol, one.name), f" has none: {one.no_score}."])) for one in unscored]
    if not scored:
        return [element("p", "No score of what is held is stored."), *without]
    return [element("p", _rule(report)), _parts(scored), *without]


def _rule(report: WeekReport) -> str:
    rules = report.score_rules
    if rules is None:
        return "By which weights the parts were added is not recorded for this week."
    parts = ", ".join(
        f"{rule.weight:g} % {name} ({rule.worst:g} {unit}: 0 points, {rule.best:g} {unit}: 100)"
        for name, rule, unit in (
            ("return on equity", rules.roe_pct, "%"),
            ("debt/equity", rules.debt_to_equity, "x"),
            ("growth", rules.growth_pct, "%"),
        )
    )
    return (
        f"A score of 0 to 100 is made of {parts}, each linear between and clipped. Growth is the mean of the growth of "
        "revenue and of EPS."
    )


def _parts(scored: Sequence[Holding]) -> Markup:
    rows = []
    for one in scored[:_DRAWN]:
        gives = [part.gives for part in one.parts.values()]
        lengths = [value for value in gives if value is not None] or [one.score or 0.0]
        rows.append(Bar(one.symbol, lengths, f"{one.score:.1f}"))
    which = f"the best {len(rows)} of {len(scored)}" if len(scored) > len(rows) else "all of them"
    picture = bars("Scores in parts", rows, most=100.0, what=f"Points that each figure gave to the score: {which}.")
    columns = ("stock", "score", *(f"{name} gives" for name in _PARTS), *_PARTS, "reported", "received")
    told = [
        (
            element("b", one.symbol),
            f"{one.score:.2f}",
            *(_points(one.parts[name].gives) for name in _PARTS),
            *(one.parts[name].figure for name in _PARTS),
            one.reported or "not told",
            UNDEFINED if one.known_at is None else f"{one.known_at:%Y-%m-%d}",
        )
        for one in scored
    ]
    key = legend([(f"b{at}", name) for at, name in enumerate(_PARTS)])
    caption = f"Points that each figure gave: {which}. The parts add up to the score."
    return figure(picture, caption, table(columns, told, numbers=4), key)


def _points(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.2f}"


def industries(report: WeekReport) -> Sequence[Markup]:
    of = report.industries
    if not of:
        return [element("p", "Nothing is held.")]
    most = max(max(one.weight, one.target) for one in of)
    rows = [
        Bar(f"{one.industry} ({count(one.names)})", (one.weight,), percent(one.weight), one.target)
        for one in of[:_DRAWN]
    ]
    which = f"the largest {len(rows)} of {len(of)}" if len(of) > len(rows) else "all of them"
    what = f"Share of equity in each industry as Finnhub names it: {which}."
    picture = bars("Industries", rows, most=most, what=what, above=True)
    numbers = table(
        ("industry", "names", "weight", "target"),
        [(one.industry, count(one.names), percent(one.weight, 2), percent(one.target, 2)) for one in of],
        numbers=3,
    )
    return [figure(picture, what, numbers, legend([("b0", "held"), ("mark", "target")]))]


def changes(report: WeekReport) -> Sequence[Markup]:
    of = report.changes
    if of is None:
        return [element("p", "There is no earlier report of a week to compare with.")]
    return [
        element("p", f"Compared with the week of {of.week}, the last one that has a report."),
        *_names("Came to the targets", of.entered),
        *_names("Left the targets", of.left),
        element("h3", "Largest moves of scores"),
        table(
            ("stock", "before", "now", "change", "held", "by"),
            [
                (_name(one.symbol, one.name), f"{one.before:.1f}", f"{one.now:.1f}", f"{one.now - one.before:+.1f}",
                 "yes" if one.held else "no", one.cause)
                for one in of.moves
            ],
            numbers=3,
        )
        if of.moves
        else element("p", "No score moved by a tenth of a point or more."),
    ]  # fmt: skip


def _names(title: str, of: Sequence[tuple[str, str, str]]) -> Iterable[Markup]:
    yield element("h3", f"{title}: {counted(len(of), 'name')}")
    if of:
        yield table(("stock", "why"), [(_name(symbol, name), why) for symbol, name, why in of])


def _name(symbol: str, name: str) -> Markup:
    return joined([element("b", symbol), " ", element("small", name)])
