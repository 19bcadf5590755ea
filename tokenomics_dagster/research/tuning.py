"""Tuning without fooling oneself: settings are chosen by what came before, and judged by what came after.

A nested walk-forward: each fold has an Optuna study of its own, which sees the returns of its train part alone. What
the settings that each fold chose then made is told beside the settings as they are and beside buying and holding. How
the record is cut is folds.py, what may be tried search.py, how it is run evaluations.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenomics_dagster.model.progress import Count
from tokenomics_dagster.research.evaluations import Evaluations
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.folds import Fold, cut
from tokenomics_dagster.research.panel import Days, Floats
from tokenomics_dagster.research.search import Setting, Space, canonical
from tokenomics_dagster.research.statistics import as_day, sharpe

# Settings that a study asks for before it hears of any of them. Fixed, so that the answer does not hang on how many
# processes there are: of 8 that are asked for together, 4 processes run two each, and one process all.
_TOGETHER = 8


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting that was tried, its returns (T,) over the whole record, and by how many studies."""

    setting: Setting
    returns: Floats
    studies: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What a fold chose of `tried` settings, and the annual Sharpe ratios of its train part, of the chosen one and of
    the settings as they are; None where their returns do not vary."""

    fold: Fold
    tried: int
    setting: Setting
    sharpe: float | None
    untuned: float | None

    def spans(self, dates: Days) -> tuple[str, str]:
        """The days chosen by and judged, in words."""
        return _days(dates, self.fold.train), _days(dates, self.fold.test)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of it. `choices`: of each fold that is judged; `now`: chosen by the whole record, for the time to come.

    `tuned`, `untuned`, `held`: (t,) returns of the rows `judged`, of an account that goes by each fold's choice, of one
    that keeps the settings as they are, and of one that buys and holds. `trials`: every setting that was tried, the
    settings as they are first. `asked`: trials of each study.
    """

    experiment: Experiment
    dates: Days
    fingerprint: str
    seed: int
    asked: int
    choices: tuple[Choice, ...]
    now: Choice
    judged: slice
    tuned: Floats
    untuned: Floats
    held: Floats
    trials: tuple[Trial, ...]


def tune(
    space: Space, evaluations: Evaluations, *, trials: int, seed: int, say: Callable[[str], None] = lambda _: None
) -> Tuned:
    """Each fold's study with `trials` settings, and what its choice made afterwards.

    The same seed gives the same answer, whatever was evaluated before and by how many processes. Raises
    ExperimentError where the record is too short, with the number of decisions needed.
    """
    market, experiment = evaluations.market, space.experiment
    folds = cut(market.decided, space.walk_forward, space.cadences, experiment.fill)
    untuned = evaluations.of([experiment])[0]
    studies = [_Study(fold, space, trials, seed=seed + number * 1_000_003) for number, fold in enumerate(folds)]
    asked = sum(study.left for study in studies)
    while asking := [study for study in studies if study.left]:
        batches = [study.ask() for study in asking]
        made = evaluations.of([space.apply(setting) for batch in batches for setting in batch])
        for study, batch in zip(asking, batches, strict=True):
            study.tell(made[: len(batch)])
            made = made[len(batch) :]
        left = sum(study.left for study in studies)
        say(Count.of("trials", asked - left, asked))
    *choices, now = [study.choice(untuned) for study in studies]
    judged = slice(choices[0].fold.test.start, choices[-1].fold.test.stop)
    followed = market.follow(
        [space.apply(choice.setting) for choice in choices], [choice.fold.test.start for choice in choices]
    )
    return Tuned(
        experiment=experiment,
        dates=market.dates,
        fingerprint=market.fingerprint,
        seed=seed,
        asked=trials,
        choices=tuple(choices),
        now=now,
        judged=judged,
        tuned=followed[judged],
        untuned=untuned[judged],
        held=market.hold(judged.start)[judged],
        trials=_all(untuned, studies),
    )


def _days(dates: Days, rows: slice) -> str:
    return f"{as_day(dates[rows.start])} to {as_day(dates[rows.stop - 1])}"


class _Study:
    """What one fold tries, by what its train part says of what it tried before."""

    def __init__(self, fold: Fold, space: Space, trials: int, *, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.fold = fold
        self.tried: list[tuple[Setting, Floats]] = []
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        self._space = space.distributions()
        points = space.points(trials)
        for point in points or ():
            self._study.enqueue_trial(dict(point))
        self.left = trials if points is None else len(points)
        self._asked: list[Any] = []

    def ask(self) -> list[Setting]:
        self._asked = [self._study.ask(self._space) for _ in range(min(self.left, _TOGETHER))]
        self.left -= len(self._asked)
        return [{key: one.params[key] for key in self._space} for one in self._asked]

    def tell(self, returns: Floats) -> None:
        """(k, T) returns of the settings asked for. One whose returns do not vary has no Sharpe ratio, and failed."""
        from optuna.trial import TrialState

        for one, row in zip(self._asked, returns, strict=True):
            value = sharpe(row[self.fold.train])
            if value is None:
                self._study.tell(one, state=TrialState.FAIL)
            else:
                self._study.tell(one, value)
            self.tried.append(({key: one.params[key] for key in self._space}, row))

    def choice(self, untuned: Floats) -> Choice:
        """The best of the train part; the settings as they are, where none is better."""
        train = self.fold.train
        setting: Setting = {}
        best = before = sharpe(untuned[train])
        for tried, returns in self.tried:
            value = sharpe(returns[train])
            if value is not None and (best is None or value > best):
                setting, best = tried, value
        return Choice(self.fold, len({canonical(tried) for tried, _ in self.tried}), setting, best, before)


def _all(untuned: Floats, studies: Sequence[_Study]) -> tuple[Trial, ...]:
    """Every setting once, in the order in which it was first tried."""
    found: dict[str, Trial] = {canonical({}): Trial({}, untuned, len(studies))}
    for study in studies:
        for key, (setting, returns) in {canonical(one[0]): one for one in study.tried}.items():
            before = found[key].studies if key in found else 0
            found[key] = Trial(setting, returns, before + 1)
    return tuple(found.values())


def matrix(trials: Sequence[Trial]) -> Floats:
    """(T, N) returns of all trials."""
    return np.column_stack([trial.returns for trial in trials])
