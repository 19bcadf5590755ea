"""What came of a rebalanced week in a few lines, as a message tells it: equity, what was traded and why, what was not,
costs. Pure. The page has all of it; who is told, and when, is automation's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from tokenomics_dagster.reports.figures import cents, counted, percent
from tokenomics_dagster.reports.page import summary
from tokenomics_dagster.reports.week import Left, Trade, WeekReport

_NAMED = 3
"""Names of each kind, the largest: a message is read on a phone, and Discord takes no more than 2,000 characters."""
_REASON = 110  # characters of one


def week_in_lines(report: WeekReport) -> tuple[list[str], list[str]]:
    """The result in three lines, with one of what is doubtful, and the largest names: what a service cuts off is the
    least of it."""
    since = report.changes
    change = "" if since is None else f" {report.equity - since.equity:+,.2f} USD since the week of {since.week}, what "
    change += "" if since is None else "was paid in or out included."
    names = [
        *_largest("bought", "buy", report.trades),
        *_largest("sold", "sell", report.trades),
        *_short(report.left),
    ]
    return [summary(report) + change, *_doubtful(report), _not_traded(report), _costs(report)], names


def _doubtful(report: WeekReport) -> list[str]:
    """Beside the equity: what it must not be read without."""
    of = report.earned.performance
    found = [] if of is None else [*of.unsure, *of.beside]
    more = f" And {counted(len(found) - 1, 'more doubt')} on the page." if len(found) > 1 else ""
    return [f"Doubtful: {found[0]}.{more}"] if found else []


def _costs(report: WeekReport) -> str:
    """Against the prices of the plan; fees are booked in the night, and known to the broker alone."""
    moved = report.bought + report.sold
    if report.unended:
        return f"Costs: not known, for the end of {counted(report.unended, 'order')} is not."
    if not moved:
        return "Costs: none, for nothing was traded."
    if report.slippage is None:
        return "Costs: not known, for the plan of an order is not stored; the broker's fees come on top."
    points = 10_000 * report.slippage / moved
    return (
        f"Costs: {report.slippage:+,.2f} USD against the prices of the plan ({points:+.1f} of each 10,000 traded); the "
        "broker's fees are booked later and come on top."
    )


def _not_traded(report: WeekReport) -> str:
    near = sum(1 for one in report.left if one.usd is None)
    rest = f" {counted(near, 'name')} held or meant needed no trade or got none, each with its reason on the page."
    if report.untraded_usd is None or report.planned_usd is None:
        return "Not traded: not recorded." + (rest if near else "")
    if not report.planned_usd:
        what = "nothing was meant to be."
    elif not report.untraded_usd:
        what = "nothing: all that was meant was."
    else:
        kinds = Counter(one.kind for one in report.left if one.usd is not None)
        named = ", ".join(f"{kind} {number:,}" for kind, number in kinds.most_common())
        share = percent(float(report.untraded_usd / report.planned_usd))
        what = f"{cents(report.untraded_usd)} of {cents(report.planned_usd)} USD that were meant ({share}): {named}."
    return f"Not traded: {what}{rest if near else ''}"


def _largest(word: str, side: str, trades: Iterable[Trade]) -> list[str]:
    found = sorted((one for one in trades if one.side == side and one.usd), key=lambda one: (-one.usd, one.symbol))
    lines = [f"- {word} {_named(one)} for {cents(one.usd)} USD: {_cut(one.why)}" for one in found[:_NAMED]]
    return [*lines, *_more(word, [one.usd for one in found[_NAMED:]])]


def _short(left: Sequence[Left]) -> list[str]:
    found = [one for one in left if one.usd is not None]
    lines = [f"- not traded {_named(one)}, {cents(one.usd)} USD: {_cut(one.reason)}" for one in found[:_NAMED]]
    return [*lines, *_more("not traded", [one.usd or Decimal(0) for one in found[_NAMED:]])]


def _more(word: str, amounts: Sequence[Decimal]) -> list[str]:
    if not amounts:
        return []
    return [f"- {word} {counted(len(amounts), 'more name')} for {cents(sum(amounts, Decimal(0)))} USD"]


def _named(one: Trade | Left) -> str:
    return f"{one.symbol} ({_cut(one.name, 40)})" if one.name else one.symbol


def _cut(text: str, longest: int = _REASON) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
