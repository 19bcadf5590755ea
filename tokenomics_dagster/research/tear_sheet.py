"""A result as one page that needs nothing else: no script, no address, no font but the reader's; light and dark.

Every figure has its meaning in a line where it stands, and what the whole cannot show stands above all figures. What
comes from a file (names, symbols, sentences) is escaped. How it looks is page_style.py's, pictures are charts.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

import numpy as np

from tokenomics_dagster.reports.charts import Line, Span, area, lines, spans
from tokenomics_dagster.reports.figures import chance, count, day, percent, ratio, short_usd, signed, usd
from tokenomics_dagster.reports.markup import Markup, document, element, legend, table, tiles
from tokenomics_dagster.research.contributions import REGIMES, Part
from tokenomics_dagster.research.factors import FACTORS
from tokenomics_dagster.research.figures import FIGURES, told
from tokenomics_dagster.research.result import Refused, Result, Variant
from tokenomics_dagster.research.statistics import TERMS

_TILES = (
    "total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar", "turnover", "costs_usd",
    "exposure", "hit_rate", "names_won", "active_return", "tracking_error", "beta", "information_ratio",
)  # fmt: skip
_PARTS, _SPANS = 10, 200
"""Names at each end of the contributions; quarantined spans on the page, the JSON has all."""


def page(result: Result) -> str:
    """The whole document, UTF-8."""
    sections = (
        _head(result), _doubts(result), _key_figures(result), _course(result), _falls(result), _periods(result),
        _how_sure(result), _controls(result), _factors(result), _sensitivity(result), _parts(result), _data(result),
    )  # fmt: skip
    return document(f"{result.experiment.name}: backtest", *map(Markup, sections))


def _head(result: Result) -> str:
    run, experiment = result.run, result.experiment
    what = (
        f"{experiment.strategy}, {run.dates[0]} to {run.dates[-1]}: {count(result.metrics['decisions'])} decisions "
        f"({experiment.cadence}), filled at the {experiment.fill.replace('_', ' ')}, {experiment.shares} shares. "
        f"{usd(run.capital)} became {usd(float(run.equity[-1]))}."
    )
    return f"<h1>{escape(experiment.name)}</h1><p>{escape(what)}</p>"


def _doubts(result: Result) -> str:
    items = "".join(f"<li>{escape(one)}</li>" for one in result.doubts)
    return f'<div class="doubts"><strong>What this cannot show</strong><ul>{items}</ul></div>'


def _key_figures(result: Result) -> str:
    undefined = result.metrics["undefined"]
    made = []
    for name in _TILES:
        value = result.metrics[name]  # type: ignore[literal-required]
        why = f" Undefined: {undefined[name]}." if name in undefined else ""
        made.append((FIGURES[name].label, told(name, value), TERMS[name] + "." + why))
    return f"<h2>Figures</h2>{tiles(made)}"


def _course(result: Result) -> str:
    run = result.run
    curves = [Line(result.experiment.name, run.equity, "c0")]
    curves += [Line(one.name, one.equity, f"c{at}") for at, one in enumerate(result.beside[:3], start=1)]
    what = f"Equity at each close, {run.dates[0]} to {run.dates[-1]}: {', '.join(one.name for one in curves)}."
    picture = lines("Equity, USD, log axis", run.dates, curves, log=True, told=short_usd, what=what)
    rows = [
        (
            *(one.name, percent(one.metrics["total_return"]), percent(one.metrics["cagr"])),
            *(percent(one.metrics["volatility"]), ratio(one.metrics["sharpe"]), percent(one.metrics["max_drawdown"])),
            one.what,
        )
        for one in (*result.beside, *result.haircuts)
    ]
    columns = ("beside it", "total return", "growth a year", "volatility", "Sharpe", "drawdown", "what it is")
    return (
        f"<h2>Equity</h2><figure>{legend((one.style, one.name) for one in curves)}{picture}"
        "<figcaption>USD at each close, log axis: equal steps are equal percents.</figcaption></figure>"
        + table(columns, rows, numbers=5)
    )


def _falls(result: Result) -> str:
    run = result.run
    under = run.equity / np.maximum.accumulate(np.maximum(run.equity, run.capital)) - 1
    what = f"How far equity was under its highest so far; at most {percent(float(under.min()))}."
    picture = area("Drawdown, percent", run.dates, under, percent, what)
    falls = [
        (percent(one.depth), day(one.peak), day(one.trough), day(one.recovered), count(one.sessions))
        for one in result.drawdowns[:5]
    ]
    days = [(when.isoformat(), percent(value)) for when, value in result.worst_days]
    return (
        f"<h2>Drawdowns</h2><figure>{picture}<figcaption>How far equity was under its highest so far, the capital "
        "included.</figcaption></figure>"
        + table(("depth", "from", "lowest", "recovered", "sessions"), falls)
        + "<h3>Worst days</h3>"
        + table(("session", "return"), days)
    )


def _periods(result: Result) -> str:
    years = [
        (str(one.year), signed(one.total_return), signed(one.benchmark), percent(one.max_drawdown), count(one.sessions))
        for one in result.years
    ]
    states = [
        (
            *(f"{one.kind}: {one.regime}", signed(one.total_return), signed(one.market), percent(one.share)),
            REGIMES[one.regime],
        )
        for one in result.regimes
    ]
    return (
        "<h2>By year, and by the state of the market</h2><p class='soft'>What the market's state was is told by the "
        "sessions before each, so that it could be known.</p>"
        + table(("year", "return", "benchmark", "drawdown", "sessions"), years, numbers=4)
        + table(("market", "return", "the market's", "of the sessions", "what it is"), states, numbers=3)
    )


def _how_sure(result: Result) -> str:
    tried, counted = escape(", ".join(result.sure.tried)), escape(result.sure.counted.sentence)
    return (
        "<h2>How sure</h2>"
        + _intervals(result)
        + table(("question", "answer", "what it is"), _chances(result), numbers=1)
        + f"<p class='soft'>{counted} Tried at once: {tried}. Whoever reads this one has chosen it among them all."
        "</p>"
    )


def _intervals(result: Result) -> str:
    of = result.sure.intervals
    if isinstance(of, Refused):
        return f"<p>{escape(of.why)}.</p>"
    rows = [Span("Sharpe", of.sharpe.low, of.sharpe.high, of.sharpe.estimate)]
    if not isinstance(result.sure.difference, Refused):
        between = result.sure.difference.sharpe
        rows.append(Span("Sharpe less benchmark's", between.low, between.high, between.estimate))
    picture = spans("Intervals of Sharpe ratios", rows, ratio, "Where the truth lies in 95 of 100 such records.")
    grown = f"growth a year {percent(of.growth.low)} to {percent(of.growth.high)}, "
    ready = ", ".join(f"{percent(depth)} in {100 * part:g} of 100" for part, depth in of.drawdown.items())
    return (
        f"<figure>{picture}<figcaption>Intervals that hold the truth in 95 of 100 records like this one: "
        f"{count(of.draws)} bootstraps in blocks of {of.block} sessions, studentised. Beside: {grown}volatility "
        f"{percent(of.volatility.low)} to {percent(of.volatility.high)}.</figcaption>{_numbers(rows, ratio)}</figure>"
        f"<p>What to be ready for, a drawdown no deeper than: {ready} futures that are like this past.</p>"
    )


def _chances(result: Result) -> list[tuple[str, str, str]]:
    sure, rows = result.sure, list[tuple[str, str, str]]()
    what = "probability that the true Sharpe ratio is above 0 (Bailey and Lopez de Prado 2012)"
    rows.append(("skill at all", _chance(sure.probabilistic), _why(sure.probabilistic) or what))
    if isinstance(sure.deflated, Refused):
        rows.append(("more than luck", "refused", sure.deflated.why))
    else:
        what = (
            f"probability that its Sharpe ratio against the benchmark is above {ratio(sure.deflated.expected_best)}, "
            f"what the best of {sure.deflated.independent} independent trials without skill would show (deflated "
            "Sharpe, Bailey and Lopez de Prado 2014)"
        )
        rows.append(("more than luck", chance(sure.deflated.probability), what))
    years = sure.track_record_years
    what = "record that tells such a Sharpe ratio from 0 with 95 %"
    needed = "no length" if years is None else "refused" if isinstance(years, Refused) else f"{ratio(years)} years"
    rows.append(("record needed", needed, _why(years) or what))
    since = sure.out_of_sample
    if isinstance(since, Refused):
        rows.append(("out of sample", "refused", since.why))
    else:
        what = (
            f"since {since.first}, one date for all shipped strategies: the benchmark "
            f"{signed(since.benchmark_return)}, Sharpe {ratio(since.sharpe)}, drawdown "
            f"{percent(since.max_drawdown)}, {count(since.sessions)} sessions"
        )
        rows.append(("out of sample", signed(since.total_return), what))
    return rows


def _controls(result: Result) -> str:
    drawn = [one for one in result.controls if not isinstance(one, Refused)]
    refused = [one.why for one in result.controls if isinstance(one, Refused)]
    head = "<h2>Against random choice</h2>"
    if not result.controls:
        return head + "<p>No random portfolios were made: it was not asked for.</p>"
    said = "".join(f"<p>{escape(why)}.</p>" for why in refused)
    if not drawn:
        return head + said
    rows = [Span(one.pool, one.low, one.high, one.own, (one.median,)) for one in drawn]
    told_ = [
        (one.pool, chance(one.p), chance(one.p_sharpe), percent(one.median), f"{one.turnover:.2f} x", one.what)
        for one in drawn
    ]
    what = "The middle 90 of 100 random portfolios of each pool, their median, and the strategy."
    picture = spans("Total return beside that of random portfolios", rows, percent, what)
    columns = ("pool", "do as well", "in Sharpe", "median", "turnover", "who is in it")
    return (
        head + f"<figure>{picture}<figcaption>Total return of "
        f"{count(drawn[0].portfolios)} portfolios that hold as many names for as long with the same weights and rules, "
        "but drawn blindly: their middle 90 of 100 as a band, their median in grey, the strategy as the dot. Which "
        f"names are drawn from decides the answer.</figcaption>{_numbers(rows, percent)}</figure>"
        + table(columns, told_, numbers=4)
        + said
    )


def _factors(result: Result) -> str:
    of, head = result.factors, "<h2>What known factors explain</h2>"
    if isinstance(of, Refused):
        return f"{head}<p>Not told: {escape(of.why)}.</p>"
    rows = [Span(one.factor, one.low, one.high, one.beta) for one in of.loadings]
    picture = spans("Exposures", rows, ratio, "The slope on each factor, with its interval of 95 %.")
    meant = "; ".join(f"{name}: {what}" for name, what in FACTORS.items())
    left = (
        f"What is left: {signed(of.alpha)} a year, {signed(of.alpha_low)} to {signed(of.alpha_high)} with 95 %; by "
        f"luck as far from 0 in {chance(of.p)} cases. The factors explain {percent(of.r_squared)} of the daily "
        f"variance, over {count(of.sessions)} sessions."
    )
    return (
        f"{head}<figure>{picture}<figcaption>Slopes of daily returns on each factor, with "
        f"errors that allow for memory (Newey and West 1987). {escape(meant)}.</figcaption>"
        f"{_numbers(rows, ratio)}</figure>"
        f"<p>{escape(left)}</p>"
    )


def _sensitivity(result: Result) -> str:
    parts = ["<h2>Other settings, and more money</h2>"]
    of = result.sensitivity
    if isinstance(of, Refused):
        parts.append(f"<p>Not told: {escape(of.why)}.</p>")
    else:
        own = result.metrics["total_return"]
        drawn = [one.total_return for one in of.variants if one.total_return is not None]
        rows = [Span("total return", min(drawn), max(drawn), own, drawn)]
        picture = spans("Total return under other settings", rows, percent, "Each experiment with one setting changed.")
        said = "".join(f"<p>{escape(one.sentence)}.</p>" for one in of.bands.values())
        parts.append(
            f"<figure>{picture}<figcaption>Each grey dot is the "
            "experiment with one setting changed; the strategy as it is is the blue one.</figcaption></figure>"
            f"{said}<details><summary>Each of them</summary>{_variants(of.variants)}</details>"
        )
    if isinstance(result.capacity, Refused):
        parts.append(f"<p>Capacity is not told: {escape(result.capacity.why)}.</p>")
    else:
        parts.append(
            "<h3>Capacity</h3><p class='soft'>The same with another capital, each trade moving its price by the 0.6th "
            "power of its part of the volume (Almgren et al. 2005). What cannot be traded has no order that reaches "
            "the minimum or a whole share.</p>" + _variants(result.capacity)
        )
    return "".join(parts)


def _variants(of: Iterable[Variant]) -> str:
    rows = [
        (one.label, percent(one.total_return), percent(one.cagr), ratio(one.sharpe), percent(one.max_drawdown),
         count(one.trades), usd(one.costs_usd))
        for one in of
    ]  # fmt: skip
    columns = ("setting", "total return", "growth a year", "Sharpe", "drawdown", "trades", "costs")
    return table(columns, rows, numbers=6)


def _parts(result: Result) -> str:
    parts = result.contributions
    best = parts[:_PARTS]
    worst = [one for one in parts[-_PARTS:] if one not in best]
    others = sum(one.usd for one in parts[len(best) : len(parts) - len(worst)])
    rows = [*map(_part, best), (f"{len(parts) - len(best) - len(worst)} others", usd(others)), *map(_part, worst)]
    industries = [_part(one) for one in result.industries[:30]]
    total = sum(one.usd for one in parts)
    return (
        f"<h2>Where it came from</h2><p class='soft'>What each name made, costs taken off; all together "
        f"{escape(usd(total))}, to the cent.</p>"
        + table(("name", "made"), rows, numbers=1)
        + "<h3>By industry</h3>"
        + table(("industry", "made"), industries, numbers=1)
    )


def _data(result: Result) -> str:
    warnings = "".join(f"<li>{escape(one)}</li>" for one in result.warnings) or "<li>none</li>"
    spans_ = [(one.symbol, str(one.first), str(one.last), one.reason) for one in result.quarantined[:_SPANS]]
    more = len(result.quarantined) - len(spans_)
    listed = table(("symbol", "from", "to", "why"), spans_) if spans_ else "<p>none</p>"
    listed += f"<p>and {more:,} more, which the JSON has.</p>" if more > 0 else ""
    rules = ", ".join(
        f"{key} = {value}"
        for key, value in sorted(result.rules.model_dump(mode="json", exclude={"first_week"}).items())
    )
    return (
        f"<h2>Data and rules</h2><h3>What was found in the data</h3><ul>{warnings}</ul>"
        f"<details><summary>{len(result.quarantined):,} spans in quarantine</summary>{listed}</details>"
        f"<p class='soft'>Rules: {escape(rules)}. Conventions: docs/evidence.md.</p>"
        f"<p><small>data <code>{escape(result.data_hash)}</code><br>rules <code>{escape(result.rules_hash)}</code><br>"
        f"{result.seconds:.1f} s</small></p>"
    )


def _part(one: Part) -> tuple[str, str]:
    return one.of, usd(one.usd)


def _numbers(rows: Sequence[Span], written: Callable[[float], str]) -> Markup:
    """What a picture of spans shows, under it."""
    shown = table(
        ("of", "low", "figure", "high"),
        [(r.label, written(r.low), written(r.at), written(r.high)) for r in rows],
        numbers=3,
    )
    return element("details", element("summary", "The numbers"), shown)


def _chance(value: float | Refused) -> str:
    return "refused" if isinstance(value, Refused) else chance(value)


def _why(value: object) -> str:
    return value.why if isinstance(value, Refused) else ""
