"""The sections of a week's page that tell what was traded, what was not, and where the cash went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from tokenomics_dagster.reports.charts import Bar, bars
from tokenomics_dagster.reports.figures import UNDEFINED, cents, counted, shares, short_usd
from tokenomics_dagster.reports.markup import Markup, element, figure, joined, legend, long_table, table
from tokenomics_dagster.reports.week import Left, Trade, WeekReport

_DRAWN = 20
"""Rows of a picture, and of a table before it is folded: more do not fit a screen."""


def traded(report: WeekReport) -> Sequence[Markup]:
    if not report.trades:
        return [element("p", "No order was sent in this week: nothing was far enough from its target.")]
    columns = ("order", "shares", "planned price", "price", "planned, USD", "USD", "above plan, USD", "why")
    rows = [_trade(one) for one in report.trades]
    known = [one.planned_usd for one in report.trades]
    planned = None if None in known else sum((one for one in known if one is not None), Decimal(0))
    total = (
        f"all {counted(len(rows), 'order')}",
        "",
        "",
        "",
        cents(planned),
        cents(report.bought + report.sold),
        _signed(report.slippage),
        "",
    )
    numbers = long_table(columns, rows, numbers=6, shown=_DRAWN, last=[total])
    shown = [_against_plan(report, numbers)]
    if report.unended:
        end = f"The end of {counted(report.unended, 'order')} was not known at the report"
        said = f"{end}: more may have been traded than is told here. See `tokenomics orders`."
        shown.insert(0, element("p", said, class_="lost"))
    return shown


def _against_plan(report: WeekReport, numbers: Markup) -> Markup:
    """Fills against plan, the largest trades."""
    known = [one for one in report.trades if one.planned_usd is not None]
    drawn = sorted(known, key=lambda one: (-max(one.usd, one.planned_usd or Decimal(0)), one.symbol))[:_DRAWN]
    if not drawn:
        return numbers
    most = max(float(max(one.usd, one.planned_usd or Decimal(0))) for one in drawn)
    rows = [
        Bar(f"{one.side} {one.symbol}", (float(one.usd),), short_usd(float(one.usd)), float(one.planned_usd or 0))
        for one in drawn
    ]
    of = f"the {len(drawn)} largest of {len(known)} orders" if len(known) > len(drawn) else "all orders"
    what = f"USD that were filled of {of}, each beside what the plan meant."
    picture = bars("Filled against planned, USD", rows, most=most, what=what)
    key = legend([("b0", "filled"), ("mark", "planned")])
    return figure(picture, f"Fills against plan: {of}.", numbers, key, folded=False)


def _trade(one: Trade) -> tuple[str, ...]:
    tag = element("span", one.side, class_=f"tag {one.side}")
    order = joined([tag, " ", element("b", one.symbol), " ", element("small", one.name)])
    ended = "" if one.status == "filled" else f" It is {one.status}{f': {one.note}' if one.note else ''}."
    why = f"{one.why[:1].upper()}{one.why[1:]}.{ended}"
    prices = _price(one.planned_price), _price(one.price)
    return order, shares(one.qty), *prices, cents(one.planned_usd), cents(one.usd), _signed(one.more_usd), why


def left(report: WeekReport) -> Sequence[Markup]:
    meant, others = [one for one in report.left if one.usd is not None], [one for one in report.left if one.usd is None]
    parts = []
    if report.planned_usd is None:
        parts.append(element("p", "What the week meant to trade is not recorded for it."))
    elif not meant:
        parts.append(element("p", "All that was meant to be traded was traded."))
    else:
        usd = cents(report.untraded_usd)
        names = counted(len(meant), "name")
        said = f"{usd} of {cents(report.planned_usd)} USD that were meant were not traded, in {names}."
        rows = [
            (_name(one), cents(one.usd), one.kind, one.reason + ("" if one.counts else " (told, not counted)"))
            for one in meant
        ]
        parts += [element("p", said), table(("name", "USD", "kind", "why"), rows, numbers=1)]
    if others:
        kinds = Counter(_rule(one) for one in others)
        said = "; ".join(f"{number:,} {rule}" for rule, number in kinds.most_common())
        rows_ = [(_name(one), one.reason) for one in others]
        shown = element("details", element("summary", "Each of them"), table(("name", "why"), rows_))
        parts += [element("p", f"Nothing was to be done for {counted(len(others), 'name')}: {said}."), shown]
    return parts


def _rule(one: Left) -> str:
    """The reason without the figures of the single name."""
    if one.kind == "not sent":
        return "planned and not sent"
    if one.reason.startswith("drift of"):
        return "near enough to their targets"
    return one.reason.split(":")[0].split(",")[0] if not one.reason.startswith("trade of") else "too small a trade"


def cash(report: WeekReport) -> Sequence[Markup]:
    of = report.money
    if of is None:
        return [element("p", "The week has no stored plan: what cash there was before is not known.")]
    rows = [
        ("before the week's first plan", cents(of.before)),
        ("sold", cents(of.sold)),
        ("bought", cents(-of.bought)),
        ("booked without an order of this platform", cents(of.booked)),
        ("in the account now", cents(of.after)),
    ]
    said = [element("li", one) for one in of.said]
    told = [element("p", "What the broker said of it:"), element("ul", *said)] if said else []
    if of.booked and not said:
        told = [element("p", "What was booked without an order is not explained by any record.", class_="lost")]
    return [table(("cash", "USD"), rows, numbers=1, total=True), *told]


def _name(one: Left) -> Markup:
    return joined([element("b", one.symbol), " ", element("small", one.name)])


def _price(value: Decimal | None) -> str:
    return UNDEFINED if value is None else f"{value:,.4f}".rstrip("0").rstrip(".") if value < 1 else f"{value:,.2f}"


def _signed(value: Decimal | None) -> str:
    return UNDEFINED if value is None else f"{value:+,.2f}"
