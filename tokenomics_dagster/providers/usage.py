"""How many calls a run made and how long it was held back by rate limits, kept with the run as one tag per provider.

The run's process ends with its counters; the tags stay in Dagster's storage, where the UI shows them, each on a line of
its own, and `tokenomics metrics` reads them. Metadata belong to what a run makes, and end before its last call.
"""

import re
from collections.abc import Iterator, Mapping

import dagster as dg

_PREFIX = "tokenomics"
_USAGE = re.compile(r"(\d+) calls, held back ([\d.]+) s")


def keep_usage(context: dg.InitResourceContext, provider: str, calls: Mapping[str, int], waited_s: float) -> None:
    """Tags the run that `context` belongs to, if it made a call; outside of runs nothing is kept."""
    if context.run is None or context.instance is None or not calls:
        return
    told = f"{sum(calls.values())} calls, held back {waited_s:.1f} s"
    context.instance.add_run_tags(context.run.run_id, {f"{_PREFIX}/{provider.lower()}": told})


def kept_usage(tags: Mapping[str, str]) -> Iterator[tuple[str, float, float]]:
    """Of the tags of a run: each provider that it asked, in lower case, how many calls it made, and seconds waited."""
    for tag, told in sorted(tags.items()):
        prefix, _, provider = tag.partition("/")
        if prefix == _PREFIX and (usage := _USAGE.fullmatch(told)) is not None:
            yield provider, float(usage[1]), float(usage[2])
