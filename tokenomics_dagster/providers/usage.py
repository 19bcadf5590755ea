"""How many calls a run made and how long it was held back by rate limits, kept with the run as its tags.

The run's process ends with its counters; the tags stay in Dagster's storage, where the UI shows them and `tokenomics
metrics` reads them.
"""

from collections.abc import Mapping

import dagster as dg

PREFIX = "tokenomics"


def keep_usage(context: dg.InitResourceContext, provider: str, calls: Mapping[str, int], waited_s: float) -> None:
    """Tags the run that `context` belongs to, if it made a call; outside of runs nothing is kept."""
    if context.run is None or context.instance is None or not calls:
        return
    figures = {"calls": str(sum(calls.values())), "waited_s": f"{waited_s:.3f}"}
    context.instance.add_run_tags(
        context.run.run_id, {f"{PREFIX}/{provider.lower()}_{name}": figure for name, figure in figures.items()}
    )
