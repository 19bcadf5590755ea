"""The page of a rebalanced week, made of its data alone: one file that needs nothing else.

Sections in the order of a reader's questions: what was done and why, what was not, what is held, why it is held, what
changed, how sound the data was, where it all comes from. The figures are week.py's.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenomics_dagster.reports import holdings_sections as held
from tokenomics_dagster.reports import trading_sections as traded
from tokenomics_dagster.reports.earned_sections import earned
from tokenomics_dagster.reports.figures import UNDEFINED, cents, count, counted, moment, percent
from tokenomics_dagster.reports.markup import Markup, contents, document, element, joined, section, table, tiles
from tokenomics_dagster.reports.trades import at_least
from tokenomics_dagster.reports.week import Quality, WeekReport

_LISTED = 30
"""Names of the data's flaws on the page; all are in the tables that the runs stored."""
_DISCLAIMER = (
    "A record of what was decided and done, no advice. Past results say nothing certain about future ones. Scores rest "
    "on figures that companies reported and a provider passed on; both can be wrong."
)


def page(report: WeekReport, ui_url: str) -> str:
    """The whole document, UTF-8; `ui_url` is where the Dagster UI is, for links to runs."""
    runs = Runs(report, ui_url)
    sections = [
        ("earned", "Earned", "What the account earned", earned(report), ("portfolio_report",)),
        ("traded", "Traded", "What was traded, and why", traded.traded(report), ("trade_plan", "orders")),
        ("left", "Not traded", "What was not traded, and why", traded.left(report), ("trade_plan", "orders")),
        ("cash", "Cash", "Cash", traded.cash(report), ("orders", "portfolio_report")),
        (
            "holdings",
            "Holdings",
            "Holdings against targets",
            held.holdings(report),
            ("target_weights", "portfolio_report"),
        ),
        ("scores", "Scores", "Why these: each score in parts", held.scores(report), ("scores",)),
        ("industries", "Industries", "Industries", held.industries(report), ("universe", "portfolio_report")),
        ("changes", "Changes", "Against the week before", held.changes(report), ("scores", "target_weights")),
        ("data", "Data", "How sound the data was", _quality(report), ("universe", "scores")),
        ("sources", "Sources", "Where this comes from", _sources(report, ui_url), ()),
    ]
    nav = contents([(where, name) for where, name, _, _, _ in sections])
    made = [section(where, title, *parts, runs.of(*tables)) for where, _, title, parts, tables in sections]
    title = f"Week of {report.week:%A %-d %B %Y}"
    header = joined(
        [element("p", "Portfolio report", class_="kind"), element("h1", title), element("p", summary(report))]
    )
    return document(
        f"{title}: portfolio report", _tiles(report), *made, header=header, nav=nav, footer=element("p", _DISCLAIMER)
    )


class Runs:
    """Links to the runs that stored what is shown."""

    def __init__(self, report: WeekReport, ui_url: str) -> None:
        self._runs = {one.table: one.run_id for one in report.sources}
        self._address = ui_url.rstrip("/")

    def of(self, *tables: str) -> Markup:
        links = [
            element("a", table.replace("_", " "), href=f"{self._address}/runs/{self._runs[table]}")
            for table in tables
            if table in self._runs
        ]
        return element("p", "From the runs of ", joined(links, ", "), class_="from") if links else Markup()


def summary(report: WeekReport) -> str:
    """What happened, in two sentences."""
    done = [
        f"{counted(len(names), 'name')} {'was' if len(names) == 1 else 'were'} {word} for {cents(usd)} USD"
        for side, word, usd in (("sell", "sold", report.sold), ("buy", "bought", report.bought))
        if (names := {one.symbol for one in report.trades if one.side == side and one.usd})
    ]
    told = " and ".join(done) or "Nothing was traded"
    what = at_least(told, anything=bool(done), unended=report.unended)
    what = what[:1].upper() + what[1:]
    held = sum(1 for one in report.holdings if one.qty)
    return (
        f"{what}. On {moment(report.at)} the account {report.account} held {counted(held, 'stock')}, and was worth "
        f"{cents(report.equity)} USD, {cents(report.cash)} of it in cash."
    )


def _tiles(report: WeekReport) -> Markup:
    held, meant = sum(1 for one in report.holdings if one.qty), sum(1 for one in report.holdings if one.target)
    drifts = [abs(one.drift) for one in report.holdings if one.drift is not None]
    changes, quality = report.changes, report.quality
    since = (
        "the first report of the account"
        if changes is None
        else (
            f"{report.equity - changes.equity:+,.2f} since the week of {changes.week}, what was paid in or out included"
        )
    )
    return tiles(
        [
            ("Equity, USD", cents(report.equity), since),
            ("Cash, USD", cents(report.cash), f"{cents(report.cash_meant)} USD are meant to stay"
             if report.cash_meant is not None else "how much was meant to stay is not recorded"),
            ("Stocks held", count(held), f"{count(meant)} are meant to be held"),
            ("Traded", _traded(report), f"{percent(report.turnover)} turnover: half of what was traded, of equity"),
            ("Not traded", _untraded(report), "of what the week meant to trade"),
            ("Paid above plan, USD", *_slippage(report)),
            ("Furthest from target", percent(max(drifts), 2) if drifts else UNDEFINED, "of equity, of all names"),
            ("Stocks with a score", count(quality.scored), f"of {count(quality.followed)} that are followed"),
        ]
    )  # fmt: skip


def _traded(report: WeekReport) -> str:
    if not report.trades:
        return "nothing"
    usd = report.bought + report.sold
    if report.unended:
        return f"at least {usd:,.2f}" if usd else "not known"
    return f"{usd:,.2f}"


def _untraded(report: WeekReport) -> str:
    if report.planned_usd is None or report.untraded_usd is None:
        return "not recorded"
    return percent(float(report.untraded_usd / report.planned_usd)) if report.planned_usd else "nothing was meant"


def _slippage(report: WeekReport) -> tuple[str, str]:
    usd = report.bought + report.sold
    if report.slippage is None:
        return "not known", "the plan of an order of this week is not stored"
    points = f", {10_000 * report.slippage / usd:.1f} of each 10,000 traded" if usd else ""
    return f"{report.slippage:+,.2f}", f"what fills cost more than at the prices of their plans{points}"


def _quality(report: WeekReport) -> Sequence[Markup]:
    of = report.quality
    return [
        tiles(_quality_tiles(of)),
        *_named("In quarantine: followed nowhere until their figures agree", of.quarantined),
        *_named("In doubt: kept until a second look", of.waiting),
        *_named("Not fetched in the last sweep", of.failed),
        *_counted("Without a score", of.no_score),
        *_counted("Listed and not followed", of.not_followed),
        *_listed("New scores that wait for a second look", of.doubted),
        *_listed("What the books do not agree in", of.flaws),
    ]


def _quality_tiles(of: Quality) -> list[tuple[str, str, str]]:
    ages = of.ages
    fetched = "not recorded" if of.asked is None else f"{of.asked - len(of.failed):,} of {of.asked:,}"
    missing = ", ".join(f"{name} {number:,}" for name, number in of.missing.items()) or "not recorded"
    return [
        ("Followed", count(of.followed), f"chosen {moment(of.followed_at)}"),
        ("Asked in the last sweep", fetched, "answers that came; younger figures are not asked for again"),
        ("Age of the figures", f"{ages[len(ages) // 2]:.1f} days" if ages else UNDEFINED,
         f"the middle one when scored; the oldest {ages[-1]:.1f} days" if ages else "not known"),
        ("Oldest reported period", of.oldest_report or UNDEFINED, "its end, among what has a score"),
        ("Missing figures", count(sum(of.missing.values())) if of.missing else UNDEFINED, missing),
        ("Books", "agree" if not of.flaws else f"{counted(len(of.flaws), 'flaw')}",
         "positions and cash against the fills, at the broker"),
    ]  # fmt: skip


def _named(title: str, entries: Sequence[tuple[str, str]]) -> list[Markup]:
    if not entries:
        return []
    more = f" The first {_LISTED}:" if len(entries) > _LISTED else ""
    shown = table(("symbol", "why"), entries[:_LISTED])
    return [element("details", element("summary", f"{title}: {len(entries):,}.{more}"), shown)]


def _counted(title: str, entries: Sequence[tuple[str, int]]) -> list[Markup]:
    if not entries:
        return []
    rows = [(reason, count(number)) for reason, number in entries[:_LISTED]]
    total = sum(number for _, number in entries)
    return [element("details", element("summary", f"{title}: {total:,}."), table(("why", "names"), rows, numbers=1))]


def _listed(title: str, entries: Sequence[str]) -> list[Markup]:
    if not entries:
        return []
    shown = element("ul", *(element("li", one) for one in entries[:_LISTED]))
    return [element("details", element("summary", f"{title}: {len(entries):,}."), shown)]


def _sources(report: WeekReport, ui_url: str) -> Sequence[Markup]:
    address = ui_url.rstrip("/")
    rows = [
        (
            element("a", one.table, href=f"{address}/assets/{one.table}"),
            moment(one.as_of),
            element("a", one.run_id[:8], href=f"{address}/runs/{one.run_id}"),
        )
        for one in report.sources
    ]
    return [
        element(
            "p",
            "Each table is kept as it was stored, so this page says the same whenever it is made. A name leads to how "
            "the table is made and checked, a run to its log. The rules of the strategy are in README.md, what to do "
            "about a check in docs/operations.md.",
        ),
        table(("table", "as of", "run"), rows),
    ]
