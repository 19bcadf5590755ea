"""What a materialization of a backtest shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenomics_dagster.kit import plots, sketch
from tokenomics_dagster.kit.metadata import image, series, table
from tokenomics_dagster.reports.figures import percent, usd
from tokenomics_dagster.research.contributions import Year
from tokenomics_dagster.research.figures import told
from tokenomics_dagster.research.statistics import TERMS

if TYPE_CHECKING:
    from tokenomics_dagster.research.result import Result


def backtest(result: Result) -> dict[str, Any]:
    """Figures as numbers, so that Dagster draws them from run to run and compares the partitions; by their names in the
    JSON, which `figures` explains."""
    run, metrics = result.run, result.metrics
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    undefined = metrics["undefined"]
    began, ended = usd(run.equity[0]), usd(run.equity[-1])
    return {
        "picture": sketch.line("equity", run.equity, f"equity over {len(run.equity):,} sessions: {began} to {ended}"),
        "in_short": f"from {began} to {ended}, {percent(run.equity[-1] / run.equity[0] - 1)}, in "
        f"{len(run.equity):,} sessions",
        **series({**numbers, "final_equity_usd": float(run.equity[-1])}),
        "data_hash": result.data_hash,
        "rules_hash": result.rules_hash,
        "figures": table(
            ((name, told(name, numbers.get(name)), meaning) for name, meaning in TERMS.items()),
            *("figure", "value", "what it is"),
            limit=40,
        ),
        "undefined": table(undefined.items(), "figure", "why there is none"),
        "what it cannot show": table(((doubt,) for doubt in result.doubts), "doubt", limit=40),
        "beside": table(
            ((one.name, float(one.equity[-1]), percent(one.metrics["total_return"])) for one in result.beside),
            *("account", "last equity, USD", "total return"),
        ),
        "years": table(
            (
                (str(one.year), one.sessions, *map(percent, (one.total_return, one.max_drawdown, one.benchmark)))
                for one in result.years
            ),
            *Year._fields,
        ),
        "contributions": table(result.contributions, "name", "USD", limit=10),
        "warnings": table(((one,) for one in result.warnings), "warning"),
        "quarantined": table(
            ((one.symbol, one.first, one.last, one.reason) for one in result.quarantined),
            *("symbol", "from", "to", "why"),
        ),
        "equity_curves": image(
            "equity",
            plots.equity_curves,
            run.dates,
            {result.experiment.name: run.equity, **{one.name: one.equity for one in result.beside}},
        ),
        "underwater": image("drawdowns", plots.underwater, run.dates, run.equity),
    }
