"""A result on one screen: at most 40 lines of 100 columns. The whole of it is tear_sheet.py's page and the JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tokenomics_dagster.kit.checks import Table
from tokenomics_dagster.reports.figures import chance, count, percent, ratio, signed, usd
from tokenomics_dagster.research.figures import FIGURES, told
from tokenomics_dagster.research.kept_trials import Counted
from tokenomics_dagster.research.result import Beside, Refused, Result

SHOWN = (
    "total_return", "cagr", "volatility", "sharpe", "max_drawdown", "turnover", "costs_usd", "exposure",
    "active_return", "beta",
)  # fmt: skip
_DOUBT_LINES, _COLUMNS = 6, 96


def screen(result: Result) -> Mapping[str, Table]:
    """By their titles: figures with their meaning, what they are beside, how sure, and the doubts. All cells are texts;
    the last column may be cut where the screen ends."""
    run, experiment = result.run, result.experiment
    title = (
        f"{experiment.name}: {experiment.strategy}, {run.dates[0]} to {run.dates[-1]}, "
        f"{count(result.metrics['decisions'])} decisions, filled at the {experiment.fill.replace('_', ' ')}"
    )
    first = [("last equity", usd(float(run.equity[-1])), f"of {usd(run.capital)}")]
    figures = [(FIGURES[name].label, _figure(result, name), FIGURES[name].short) for name in SHOWN]
    columns = ("", "total", "growth a year", "Sharpe", "drawdown", "what")
    doubts = [*_doubts(result.doubts), _found(result)]
    return {
        title: Table(("", "", ""), [*first, *figures]),
        "beside it": Table(columns, [*map(_beside, [*result.beside, *result.haircuts])]),
        "how sure": Table(("", "", ""), list(_sure(result))),
        "what it cannot show": Table(("",), doubts),
    }


def _figure(result: Result, name: str) -> str:
    value = result.metrics[name]  # type: ignore[literal-required]
    return told(name, value)


def _beside(one: Beside) -> tuple[str, ...]:
    figures = one.metrics
    return (
        one.name,
        percent(figures["total_return"]),
        percent(figures["cagr"]),
        ratio(figures["sharpe"]),
        percent(figures["max_drawdown"]),
        one.what,
    )


def _sure(result: Result) -> Iterator[tuple[str, str, str]]:
    sure = result.sure
    if isinstance(sure.intervals, Refused):
        yield "Sharpe, 95 %", "refused", sure.intervals.why
    else:
        of = sure.intervals.sharpe
        yield (
            *("Sharpe, 95 %", f"{ratio(of.low)} to {ratio(of.high)}"),
            f"{count(sure.intervals.draws)} bootstraps in blocks of {sure.intervals.block} sessions",
        )
        worst = sure.intervals.drawdown.get(0.95)
        yield "be ready for", percent(worst), "a drawdown this deep or less in 95 of 100 futures like this past"
    if isinstance(sure.deflated, Refused):
        yield "more than luck", "refused", sure.deflated.why
    else:
        yield (
            *("more than luck", chance(sure.deflated.probability)),
            f"{_tried(sure.counted)}: deflated Sharpe against the benchmark",
        )
    years = sure.track_record_years
    if not isinstance(years, Refused):
        needed = "no length is enough" if years is None else f"{ratio(years)} years"
        yield "record needed", needed, "to tell such a Sharpe from 0 with 95 %"
    for one in result.controls:
        if isinstance(one, Refused):
            yield "random portfolios", "refused", one.why
        else:
            yield (
                *(f"random: {one.pool}", chance(one.p)),
                f"of {count(one.portfolios)} random portfolios do as well; they make {percent(one.median)} (median)",
            )
    if isinstance(sure.out_of_sample, Refused):
        yield "out of sample", "refused", sure.out_of_sample.why
    else:
        since = sure.out_of_sample
        yield (
            *(f"since {since.first}", signed(since.total_return)),
            f"out of sample, the benchmark {signed(since.benchmark_return)}",
        )


def _tried(of: Counted) -> str:
    kept = of.studies + of.settings
    return f"best of {count(of.trials)} trials ({count(kept)} kept before, {of.shipped} shipped)"


def _doubts(sentences: Sequence[str]) -> Iterator[tuple[str]]:
    """The gravest, whole, as far as there is room."""
    room = _DOUBT_LINES
    for at, sentence in enumerate(sentences):
        room -= 1 + len(sentence) // _COLUMNS
        if room < 0:
            yield (f"and {len(sentences) - at} more: see --html or --json",)
            return
        yield (sentence,)


def _found(result: Result) -> tuple[str]:
    spans = f"{len(result.quarantined):,} spans of names in quarantine"
    return (f"In the data: {len(result.warnings):,} warnings, {spans}: see --html or --json",)
