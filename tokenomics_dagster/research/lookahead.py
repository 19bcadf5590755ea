"""Whether a strategy knows what it cannot: decisions are recomputed with another future, and compared.

What is changed stands in altered.py; decisions of a changed market are made in a process of its own (apart.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import numpy as np

from tokenomics_dagster.research.apart import Answers, Change, Outcome, Task, answers, apart
from tokenomics_dagster.research.deciding import DecisionError, decided
from tokenomics_dagster.research.experiment import Experiment, ExperimentError
from tokenomics_dagster.research.finding import Maker, find
from tokenomics_dagster.research.known import priced
from tokenomics_dagster.research.panel import Days, Fundamentals, Ints, Panel
from tokenomics_dagster.settings import Settings

Weights = Mapping[str, float] | None
Kind = Literal["truncated", "absurd", "shuffled", "memory", "survivors", "outside"]

TOLERANCE = 1e-9
"""Between weights: sums over names in another order differ by floats' doing."""
_DEEP = 100  # names: of fewer nearly each is among the largest at some time
_MORE = 1.1

_WITHOUT: dict[Change, str] = {
    "truncated": "when nothing is there of what came after {of}: it knows what came later",
    "absurd": "when what came after {of} is replaced by absurd values: it knows what came later",
    "shuffled": "when the histories up to {of} stand under other symbols, in other columns: it does not choose by what "
    "it is shown, but by symbols, columns or facts from elsewhere, and who chose those knew what came later",
}


@dataclass(frozen=True)
class Finding:
    """How a strategy looks ahead: since which decision (None where it cannot be said), and a whole sentence."""

    kind: Kind
    day: date | None
    told: str


def check_lookahead(
    panel: Panel,
    fundamentals: Fundamentals | None,
    experiment: Experiment,
    settings: Settings,
    seed: int = 0,
    cutoffs: int = 5,
) -> tuple[Finding, ...]:
    """What shows that the experiment's strategy looks ahead, the first decision first; nothing where none was found.

    All is decided twice, so that what a strategy keeps of a whole history can have its effect, and then anew in other
    processes, at the first decision and at others drawn by `seed`, `cutoffs` in all: with the future truncated, with
    absurd values in its place, and with the names' histories exchanged. Raises ExperimentError where nothing is
    decided. What it cannot find stands in docs/strategies.md.
    """
    maker = find(experiment)
    try:
        first = _decided(panel, fundamentals, experiment, settings, maker)
        again = _decided(panel, fundamentals, experiment, settings, maker)
    except DecisionError as error:
        if error.ineligible:
            return (Finding("survivors", error.day, str(error)),)
        raise
    rows = _rows(panel, again, seed, cutoffs)
    if not rows:
        raise ExperimentError(
            f"strategy = {experiment.strategy} decided nothing at {len(again)} sessions: there is nothing to check"
        )
    found = [*_memory(first, again), *_survivors(panel, again, experiment.universe_size)]
    changes = get_args(Change)
    outcomes = apart(Task(panel, fundamentals, experiment, settings, changes, rows, seed))
    for change, outcome in zip(changes, outcomes, strict=True):
        found.extend(_compared(panel.dates[list(rows)], change, outcome, again))
    opened = dict.fromkeys(where for outcome in outcomes for where in outcome.opened)
    found.extend(
        Finding(
            "outside",
            None,
            f"it opens {where}: what is there may be of any day, and nothing shows it; give it to the strategy as "
            "parameters, or let it use the view alone",
        )
        for where in opened
    )
    return tuple(sorted(found, key=lambda finding: finding.day or date.max))


def _decided(
    panel: Panel, fundamentals: Fundamentals | None, experiment: Experiment, settings: Settings, maker: Maker
) -> Answers:
    return answers(decided(panel, fundamentals, experiment, settings, maker()), panel)


def _rows(panel: Panel, of: Answers, seed: int, cutoffs: int) -> tuple[int, ...]:
    days = [day for day, weights in of.items() if weights is not None]
    if not days:
        return ()
    others = np.random.default_rng(seed).permutation(np.arange(1, len(days)))[: max(cutoffs - 1, 0)]
    chosen = np.array([days[at] for at in (0, *sorted(others))], dtype="datetime64[D]")
    return tuple(np.searchsorted(panel.dates.astype("datetime64[D]"), chosen).tolist())


def _memory(first: Answers, again: Answers) -> list[Finding]:
    day = _differing(first, again, date.max)
    if day is None:
        return []
    why = _difference(first.get(day), again.get(day))
    return [
        Finding(
            "memory",
            day,
            f"on {day} it decides otherwise when it is run again in the same process ({why}): it remembers what an "
            "earlier run has seen, or draws at random without a seed",
        )
    ]


def _compared(cutoffs: Days, change: Change, outcome: Outcome, reference: Answers) -> list[Finding]:
    """The first decision that differs, if any."""
    for of, told in zip(cutoffs.astype("datetime64[D]").tolist(), outcome.told, strict=True):
        without = _WITHOUT[change].format(of=of)
        if told.error is not None:
            day = told.day or of
            if day <= of:
                return [Finding(change, day, f"on {day} it fails {without} ({told.error})")]
            continue
        if change == "shuffled":  # ties are kept as they were on this very day alone
            different = None if _same(reference.get(of), told.answers.get(of)) else of
        else:
            different = _differing(reference, told.answers, of)
        if different is not None:
            why = _difference(reference.get(different), told.answers.get(different))
            return [Finding(change, different, f"on {different} it decides otherwise {without} ({why})")]
    return []


def _differing(one: Answers, other: Answers, until: date) -> date | None:
    days = sorted(day for day in {*one, *other} if day <= until)
    return next((day for day in days if not _same(one.get(day), other.get(day))), None)


def _same(one: Weights, other: Weights) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(one.get(name, 0.0) - other.get(name, 0.0)) <= TOLERANCE for name in {*one, *other})


def _difference(before: Weights, now: Weights) -> str:
    """Of the name whose weight differs most."""
    if now is None:
        return "now it says nothing"
    if before is None:
        return "before it said nothing"
    name = max(sorted({*before, *now}), key=lambda name: abs(before.get(name, 0.0) - now.get(name, 0.0)))
    return f"{name} has {now.get(name, 0.0):.4f}, and had {before.get(name, 0.0):.4f}"


def _survivors(panel: Panel, of: Answers, size: int) -> list[Finding]:
    """A universe that is larger than the prices are complete. Where every name was at some time among the K largest,
    and a day has many more than K, those beyond K are there because they were larger on another day."""
    best, usual = _best_ranks(panel)
    ranked = best[best > 0]
    depth = int(ranked.max()) if ranked.size else 0
    if depth < _DEEP or size <= depth or usual <= _MORE * depth:
        return []
    column = {symbol: at for at, symbol in enumerate(panel.symbols)}
    for day, weights in of.items():
        row = int(np.searchsorted(panel.dates.astype("datetime64[D]"), np.datetime64(day)))
        ranks = _ranks(panel, row)
        beyond = [symbol for symbol, weight in (weights or {}).items() if weight > 0 and ranks[column[symbol]] > depth]
        if beyond:
            return [
                Finding(
                    "survivors",
                    day,
                    f"on {day} it chooses {beyond[0]}, number {ranks[column[beyond[0]]]:,} by market cap: each name of "
                    f"the prices was among the {depth:,} largest at some time, and whoever is beyond that day is there "
                    f"because it was larger on another; set universe_size, now {size:,}, to at most {depth:,}",
                )
            ]
    return []


def _best_ranks(panel: Panel) -> tuple[Ints, float]:
    """(N,) the best rank by market cap that each name ever had, 0 where it had none; and how many a session usually
    ranks."""
    never = len(panel.symbols) + 1
    best, counts = np.full(len(panel.symbols), never), []
    for row in range(len(panel.dates)):
        ranks = _ranks(panel, row)
        best = np.minimum(best, np.where(ranks > 0, ranks, never))
        counts.append(int((ranks > 0).sum()))
    return np.where(best == never, 0, best), float(np.median(counts))


def _ranks(panel: Panel, row: int) -> Ints:
    """(N,) 1 for the largest market cap of that session, 0 where there is none; quarantined ones count."""
    columns = np.flatnonzero(priced(panel, row))
    order = columns[np.argsort(-panel.market_cap[row][columns], kind="stable")]
    ranks = np.zeros(len(panel.symbols), dtype=np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    return ranks
