"""A real record that settings are tried on: the market of evaluations.py, by the engine and the live rules.

What is tried and how it is judged stays out.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from tokenomics_dagster.model.canonical import digest
from tokenomics_dagster.research import beside
from tokenomics_dagster.research.engine import simulate, simulate_many
from tokenomics_dagster.research.evaluations import cores, evaluating
from tokenomics_dagster.research.experiment import Experiment, ExperimentError
from tokenomics_dagster.research.finding import find
from tokenomics_dagster.research.kept_trials import Trial, keep, kept
from tokenomics_dagster.research.known import universe
from tokenomics_dagster.research.panel import Bools, Days, Floats, Ints
from tokenomics_dagster.research.result import rules_hash
from tokenomics_dagster.research.runs import Decisions, Rules
from tokenomics_dagster.research.search import Space, space_of
from tokenomics_dagster.research.sources import load
from tokenomics_dagster.research.statistics import daily_returns
from tokenomics_dagster.research.study import Study, begun, rules_of
from tokenomics_dagster.research.tuning import Tuned, tune
from tokenomics_dagster.research.verdict import Verdict, judge
from tokenomics_dagster.settings import Settings

_PACKAGE = Path(__file__).resolve().parents[1]
_CODE = ("fundamentals", "model", "portfolio", "research")
"""The rooms by whose rules returns are made."""


class Record:
    """The sessions of a study from its first one on, and every experiment that its space holds."""

    def __init__(self, study: Study, space: Space) -> None:
        self._study, self._space = study, space

    @property
    def dates(self) -> Days:
        return self._study.panel.dates[self._study.first :]

    @cached_property
    def decided(self) -> Bools:
        wishes = self._study.decide()
        there = np.zeros(len(self._study.panel.dates), dtype=np.bool_)
        there[wishes.sessions[~wishes.refused]] = True
        return there[self._study.first :]

    @cached_property
    def fingerprint(self) -> str:
        study, figures = self._study, self._study.fundamentals
        return digest(
            {
                "data": [study.panel.data_hash, "" if figures is None else figures.data_hash],
                "rebalancing": study.settings.rebalancing.model_dump(mode="json"),
                "score": study.settings.fundamentals.score.model_dump(mode="json"),
                "code": _code(),
                "strategies": [_strategy_code(one) for one in self._strategies()],
            }
        )

    def evaluate(self, experiments: Sequence[Experiment]) -> Floats:
        wishes = [self._study.decide(one) for one in experiments]
        equity = simulate_many(self._study.panel, wishes, [self._rules(one) for one in experiments]).equity
        return np.stack([self._returns(row, one) for row, one in zip(equity, experiments, strict=True)])

    def follow(self, experiments: Sequence[Experiment], starts: Sequence[int]) -> Floats:
        """Each stretch is traded from what the decisions before it had led to, at its own rules.

        The engine knows one set of rules a run, so that a stretch's account comes from the decisions of all before it
        under its rules: they differ in bands and buffers, never in what is wanted.
        """
        parts = [self._study.decide(one) for one in experiments]
        bounds = [0, *(start + self._study.first for start in starts[1:]), len(self._study.panel.dates)]
        returns = np.empty(len(self.dates))
        for number, one in enumerate(experiments):
            wishes = _spliced(parts[: number + 1], bounds)
            equity = simulate(self._study.panel, wishes, self._rules(one)).equity
            rows = slice(max(bounds[number] - self._study.first, 0), bounds[number + 1] - self._study.first)
            returns[rows] = self._returns(equity, one)[rows]
        return returns

    def hold(self, first: int) -> Floats:
        study, one = self._study, self._study.experiment
        row = study.first + first - 1
        if one.benchmark is not None:
            level = beside.benchmark_level(study.panel, one.benchmark, row)
            return np.concatenate((np.zeros(first), level[1:] / level[:-1] - 1))
        names = np.flatnonzero(universe(study.panel, row, one.universe_size))
        held = Decisions(
            sessions=np.array([row], dtype=np.int64),
            starts=np.array([0, len(names)], dtype=np.int64),
            names=names.astype(np.int64),
            weights=np.full(len(names), 1 / max(len(names), 1)),
            eligible=np.array([len(names)], dtype=np.int64),
            refused=np.array([len(names) == 0]),
        )
        return self._returns(simulate(study.panel, held, beside.free(self._rules(one))).equity, one)

    def kept(self, tuned: Tuned) -> list[Trial]:
        """What a tuning tried, less the benchmark of the experiment as it is: for later studies to count."""
        study, settings = self._study, self._study.settings
        others = beside.compared(study, study.decide(), find(study.experiment)())
        market = daily_returns(beside.benchmark(study, others))
        made = []
        for trial in tuned.trials:
            one = self._space.apply(trial.setting)
            code = rules_hash(one, settings, find(one)())
            made.append(Trial(one.strategy, "tuning", code, self.dates[1:], trial.returns[1:] - market))
        return made

    @property
    def data_hash(self) -> str:
        return self._study.panel.data_hash

    def _rules(self, one: Experiment) -> Rules:
        return rules_of(one, one.rules(self._study.settings.rebalancing))

    def _returns(self, equity: Floats, one: Experiment) -> Floats:
        """(T,) of an equity over all sessions of the panel, the first against the capital."""
        there = equity[self._study.first :]
        if not (there > 0).all():
            day = self.dates[np.flatnonzero(~(there > 0))[0]]
            raise ExperimentError(f"{one.name} lost all that it had by {day}: no return follows from that")
        return there / np.concatenate(([one.capital], there[:-1])) - 1

    def _strategies(self) -> list[Experiment]:
        named = [str(name) for one in self._space.dimensions if one.key == "strategy" for name in one.choices]
        return [self._study.experiment, *(self._space.apply({"strategy": name}) for name in named)]


def open_record(space: Space, settings: Settings) -> Record:
    """The record of the space's experiment, read anew: each process has its own.

    Opens the warehouse where the experiment asks for it. Raises ExperimentError, WarehouseError.
    """
    experiment = space.experiment
    if experiment.data.prices != "lake" and experiment.data.fundamentals != "warehouse":
        panel, fundamentals = load(experiment, settings, None)
    else:
        from tokenomics_dagster.storage.warehouse import Warehouse

        url = settings.environment.tokenomics_database_url.get_secret_value()
        with closing(Warehouse(url, existing=True)) as store:
            panel, fundamentals = load(experiment, settings, store)
    return Record(begun(panel, fundamentals, experiment, settings), space)


def _spliced(parts: Sequence[Decisions], bounds: Sequence[int]) -> Decisions:
    """What each of `parts` decided from its own bound to the next, one after the other."""
    kept = [
        np.flatnonzero((part.sessions >= start) & (part.sessions < stop))
        for part, (start, stop) in zip(parts, pairwise(bounds), strict=False)
    ]
    counts = [np.diff(part.starts)[rows] for part, rows in zip(parts, kept, strict=True)]
    which = [_members(part, rows) for part, rows in zip(parts, kept, strict=True)]
    return Decisions(
        sessions=np.concatenate([part.sessions[rows] for part, rows in zip(parts, kept, strict=True)]),
        starts=np.concatenate(([0], np.cumsum(np.concatenate(counts)))).astype(np.int64),
        names=np.concatenate([part.names[members] for part, members in zip(parts, which, strict=True)]),
        weights=np.concatenate([part.weights[members] for part, members in zip(parts, which, strict=True)]),
        eligible=np.concatenate([part.eligible[rows] for part, rows in zip(parts, kept, strict=True)]),
        refused=np.concatenate([part.refused[rows] for part, rows in zip(parts, kept, strict=True)]),
    )


def _members(part: Decisions, rows: Ints) -> Ints:
    """Where the names of these decisions stand, which follow each other."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    return np.arange(part.starts[rows[0]], part.starts[rows[-1] + 1])


def _code() -> str:
    """SHA-256 of the rules' code: what was kept under other rules counts for nothing."""
    found = hashlib.sha256()
    for room in _CODE:
        for file in sorted((_PACKAGE / room).glob("*.py")):
            found.update(file.read_bytes())
    return found.hexdigest()


def _strategy_code(one: Experiment) -> str:
    return hashlib.sha256(Path(inspect.getfile(type(find(one)()))).read_bytes()).hexdigest()


def tune_on_record(
    experiment: Experiment,
    settings: Settings,
    *,
    trials: int,
    seed: int,
    processes: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Tuned, Verdict]:
    """The experiment tuned on its own data, and what that is worth; by all cores, unless `processes` are named.

    What was evaluated is kept under research.trials of the settings: after a kill the same call goes on. What was
    tried is counted by later studies on these prices, as this one counts those of before: research.studies. Its own
    trials, of a run of it that ended, are not counted again: the answer stays the same.

    Raises ExperimentError, and WarehouseError where the experiment asks for a warehouse that cannot be read.
    """
    space = space_of(experiment)
    folder = Path(settings.research.trials).expanduser()
    say("reading the data ...")
    with evaluating(partial(open_record, space, settings), folder, processes or cores()) as evaluations:
        say(f"{len(evaluations.market.dates):,} sessions; trials are kept in {evaluations.folder}")
        tuned = tune(space, evaluations, trials=trials, seed=seed, say=say)
        market = evaluations.market
        assert isinstance(market, Record)
        studies, tried = Path(settings.research.studies).expanduser(), market.kept(tuned)
        before = kept(studies, market.data_hash, {one.key for one in tried})
        for warning in keep(studies, market.data_hash, tried):
            say(warning)
    say("asking how sure that is ...")
    return tuned, judge(tuned, seed=seed, tried=tried, before=before)
