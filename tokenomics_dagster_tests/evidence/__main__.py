"""The figures of docs/evidence.md, written by

    python -m tokenomics_dagster_tests.evidence            (make evidence)

from the experiments of config/experiments/ and the recorded history in ../shared/data, between the two markers of that
page: what stands there was told by a command, and by nobody. The rest of the page is written by hand.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenomics_dagster.operations.backtest import run
from tokenomics_dagster.reports.figures import chance, percent, ratio, signed, usd
from tokenomics_dagster.research.result import Refused, Result
from tokenomics_dagster.settings.loading import load_settings

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs/evidence.md"
BEGIN, END = "<!-- written by make evidence -->", "<!-- the end of what make evidence writes -->"
ORACLES = ("plain_equal", "plain_cap", "full_equal", "full_cap")
RUNS = {
    "fundamentals_point_in_time": "The fundamentals, on what was known when",
    "fundamentals_sec_quarters": "The fundamentals on five years of quarters, survivors alone",
    "momentum": "12-1 momentum",
    "low_volatility": "Low volatility",
}


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        sys.stderr.write(f"{PAGE} has not the two markers between which the figures stand: put them back\n")
        return 1
    results: dict[str, Result] = {}
    # A folder of its own: what somebody else has tried here must not move the figures of the page.
    with tempfile.TemporaryDirectory() as studies:
        settings = load_settings(REPOSITORY / "config/settings.yaml", {"research.studies": studies}, to_trade=False)
        for name in (*ORACLES, *RUNS):
            _say(name)
            file = REPOSITORY / f"config/experiments/{name}.yaml"
            results[name] = run(file, settings, controls=name not in ORACLES, say=lambda line: _say(f"  {line}"))
    PAGE.write_text(f"{before}{BEGIN}\n\n{written(results)}\n{END}{after}", encoding="utf-8")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def written(results: dict[str, Result]) -> str:
    """The section: one table of the oracles, a part for each run, and what all of it lacks."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    first = next(iter(results.values()))
    head = (
        f"Made at commit {commit.stdout.strip()} from data {first.data_hash[:12]}, sessions {first.run.dates[0]} to "
        f"{first.run.dates[-1]}."
    )
    parts = [head, "", "### The oracles", "", *_oracles(results)]
    for name, title in RUNS.items():
        parts += ["", f"### {title}", "", *_run(results[name])]
    return "\n".join([*parts, "", *_lacking(results)]) + "\n"


def _oracles(results: dict[str, Result]) -> Iterator[str]:
    yield from _table(
        ("run", "last equity, USD", "CAGR", "Sharpe", "drawdown", "turnover", "costs, USD", "trades"),
        [
            (
                *(name, f"{one.run.equity[-1]:,.2f}", percent(one.metrics["cagr"], 2), ratio(one.metrics["sharpe"])),
                *(percent(one.metrics["max_drawdown"]), f"{one.run.turnover:.2f}", f"{one.metrics['costs_usd']:,.0f}"),
                f"{one.metrics['trades']:,}",
            )
            for name, one in results.items()
            if name in ORACLES
        ],
    )


def _run(of: Result) -> Iterator[str]:
    """All its doubts first, then the figures, then how sure they are."""
    metrics = of.metrics
    yield from (f"- {doubt}" for doubt in of.doubts)
    yield ""
    rows = [("the strategy", metrics), *((one.name, one.metrics) for one in (*of.beside, *of.haircuts))]
    yield from _table(
        ("", "total return", "CAGR", "volatility", "Sharpe", "drawdown"),
        [
            (
                *(name, percent(each["total_return"]), percent(each["cagr"]), percent(each["volatility"])),
                *(ratio(each["sharpe"]), percent(each["max_drawdown"])),
            )
            for name, each in rows
        ],
    )
    yield ""
    traded = f"turnover {of.run.turnover:.2f} a year, costs {usd(metrics['costs_usd'])}"
    yield from (f"- {line}" for line in (f"{metrics['decisions']} decisions, {traded}.", *_how_sure(of)))


def _how_sure(of: Result) -> Iterator[str]:
    sure = of.sure
    yield _interval(of)
    for control in of.controls:
        if isinstance(control, Refused):
            yield f"{control.why}."
        else:
            yield (
                f'Of {control.portfolios:,} random portfolios from the pool "{control.pool}" ({control.what}) '
                f"{chance(control.p)} do as well in return, {chance(control.p_sharpe)} in Sharpe; their median makes "
                f"{percent(control.median)}."
            )
    if not isinstance(sure.deflated, Refused):
        yield (
            f"Deflated Sharpe against the benchmark, {sure.deflated.trials} strategies tried "
            f"({sure.deflated.independent} independent): {chance(sure.deflated.probability)}."
        )
    if not isinstance(sure.out_of_sample, Refused):
        since = sure.out_of_sample
        market = signed(since.benchmark_return)
        yield f"Since {since.first}, out of sample: {signed(since.total_return)}, benchmark {market}."
    if not isinstance(of.factors, Refused):
        left = f"{signed(of.factors.alpha_low)} to {signed(of.factors.alpha_high)}"
        yield f"What the factors leave: {signed(of.factors.alpha)} a year, {left} with 95 %."


def _interval(of: Result) -> str:
    bootstrap = of.sure.intervals
    if isinstance(bootstrap, Refused):
        return f"No interval: {bootstrap.why}."
    low, high = ratio(bootstrap.sharpe.low), ratio(bootstrap.sharpe.high)
    return f"Sharpe {low} to {high} with 95 % ({bootstrap.draws:,} bootstraps in blocks of {bootstrap.block} sessions)."


def _lacking(results: dict[str, Result]) -> Iterator[str]:
    yield "### What the evidence needs to become evidence"
    yield ""
    point_in_time = results["fundamentals_point_in_time"]
    decisions, between = point_in_time.metrics["decisions"], point_in_time.sure.difference
    yield f"- Decisions: the strategy itself has {decisions}. A year of weeks has 52."
    if isinstance(between, Refused):
        yield f"- Length: {between.why}."
    else:
        low, high = ratio(between.sharpe.low), ratio(between.sharpe.high)
        yield (
            f"- Length: its Sharpe ratio less that of all names with figures is {ratio(between.sharpe.estimate)}, and "
            f"{low} to {high} with 95 %: too wide to tell anything."
        )
    yield "- Figures of the names that failed: the quarters of five years are those of survivors."
    yield "- Debt of more than 80 companies: without it a part of the score is not the live one."
    yield "- Opens, dividends and delisting returns: the recorded prices have none."


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


if __name__ == "__main__":
    sys.exit(main())
