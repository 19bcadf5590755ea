"""How many calls a run made and how long it was held back by rate limits, kept with the run as its tags.

The run's process ends with its counters; the tags stay in Dagster's storage, where the UI shows them and `tokenomics
metrics` reads them.
"""

from collections.abc import Iterator, Mapping

import dagster as dg

_PREFIX = "tokenomics"


def keep_usage(context: dg.InitResourceContext, provider: str, calls: Mapping[str, int], waited_s: float) -> None:
    """Tags the run that `context` belongs to, if it made a call; outside of runs nothing is kept."""
    if context.run is None or context.instance is None or not calls:
        return
    figures = {"calls": str(sum(calls.values())), "waited_s": f"{waited_s:.3f}"}
    context.instance.add_run_tags(
        context.run.run_id, {f"{_PREFIX}/{provider.lower()}_{name}": figure for name, figure in figures.items()}
    )


def kept_usage(tags: Mapping[str, str]) -> Iterator[tuple[str, float, float]]:
    """Of the tags of a run: each provider that it asked, in lower case, how many calls it made, and seconds waited."""
    for tag, calls in sorted(tags.items()):
        provider = tag.removeprefix(f"{_PREFIX}/").removesuffix("_calls")
        waited_s = tags.get(f"{_PREFIX}/{provider}_waited_s")
        if tag == f"{_PREFIX}/{provider}_calls" and waited_s is not None:
            yield provider, float(calls), float(waited_s)
