"""`make bench`: the platform against its peers and its limits, as ratios that are measured in this run.

Shows and judges; what is measured, and against what, is in measurements.py, years.py, store.py and evidence.py. Exit
code 0 if every ratio keeps its limit, 1 if one does not or cannot be measured, 2 for wrong usage. `--quick` shows that
the bench works and judges nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from rich.console import Console
from rich.table import Table

from tokenomics_dagster_tests.bench import measurements
from tokenomics_dagster_tests.bench.evidence import evidence
from tokenomics_dagster_tests.bench.measurements import BenchError, Ratio
from tokenomics_dagster_tests.bench.store import store, whole_store
from tokenomics_dagster_tests.bench.years import years

PARTS = {**measurements.PARTS, "years": years, "store": store, "evidence": evidence}
LONG = {"whole-store": whole_store}
"""Those that take long, and are measured when they are asked for."""
_ONLY = "measure this part; may be given several times; without it all but those that take long: " + ", ".join(LONG)

console = Console(highlight=False, soft_wrap=True, width=150)  # a pipe has no width of its own


def main(arguments: list[str] | None = None) -> int:
    """Runs the parts that are asked for and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tokenomics_dagster_tests.bench", description=__doc__)
    parser.add_argument("--only", choices=[*PARTS, *LONG], action="append", help=_ONLY)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that the bench works; judges nothing")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    ratios: list[Ratio] = []
    for name in options.only or PARTS:
        console.print(f"measuring {name} ... (load {os.getloadavg()[0]:.1f})")
        try:
            ratios += (PARTS | LONG)[name](options.quick)
        except BenchError as error:
            console.print(f"error: {error}", markup=False)
            return 1
    console.print(_table(ratios, judged=not options.quick))
    console.print(f"{time.monotonic() - begun:.0f} s on {os.cpu_count()} cores; ratios are medians")
    return 0 if options.quick or all(ratio.holds for ratio in ratios) else 1


def _table(ratios: list[Ratio], *, judged: bool) -> Table:
    table = Table("measured", "ratio", "min-max", "limit", "", "behind it", box=None, pad_edge=False)
    for ratio in ratios:
        verdict = "-" if not judged else "[green]ok[/green]" if ratio.holds else "[red]over[/red]"
        span = f"{min(ratio.values):.3g}-{max(ratio.values):.3g} ({len(ratio.values)})"
        limit = f"{'>=' if ratio.at_least else '<='} {ratio.limit:g}"
        table.add_row(ratio.name, f"{ratio.value:.3g}", span, limit, verdict, ratio.behind)
    return table


if __name__ == "__main__":
    sys.exit(main())
