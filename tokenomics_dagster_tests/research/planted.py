"""A record of known truth for tuning: the returns of a setting are noise of its own, and what was planted in it."""

import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from tokenomics_dagster.research.evaluations import Market, evaluating
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.panel import Bools, Days, Floats
from tokenomics_dagster.research.search import space_of
from tokenomics_dagster.research.tuning import Tuned, tune


def experiment(**search: object) -> Experiment:
    values = {"search": search or {"parameters.x": list(range(20))}, "parameters": {"x": 0}}
    return Experiment.model_validate({"name": "planted", "data": "lake", "strategy": "momentum", **values})


@dataclass(frozen=True)
class Planted:
    """A market (evaluations.py) of `sessions` sessions, decided each week. `effects`: by x, the annual Sharpe ratio
    that is added to the noise. `shifts`: (x, first row, last row, return of each session) put over it. `counted`: a
    folder where each evaluated setting leaves a file, for a test to count; `pause_s` that each takes."""

    sessions: int = 1_300
    effects: Mapping[int, float] = field(default_factory=dict)
    shifts: Sequence[tuple[int, int, int, float]] = ()
    seed: int = 1
    common: float = 0.5
    counted: Path | None = None
    pause_s: float = 0.0

    @cached_property
    def dates(self) -> Days:
        return np.busday_offset(np.datetime64("2020-01-06"), np.arange(self.sessions), roll="forward")

    @cached_property
    def decided(self) -> Bools:
        return np.arange(self.sessions) % 5 == 0

    @property
    def fingerprint(self) -> str:
        return f"{zlib.crc32(repr((self.sessions, dict(self.effects), self.shifts, self.seed)).encode()):08x}" * 2

    @cached_property
    def market(self) -> Floats:
        return np.random.default_rng(self.seed).normal(0, 0.01, self.sessions)

    def evaluate(self, experiments: Sequence[Experiment]) -> Floats:
        return np.stack([self._returns(one) for one in experiments])

    def follow(self, experiments: Sequence[Experiment], starts: Sequence[int]) -> Floats:
        rows = self.evaluate(experiments)
        which = np.maximum(np.searchsorted(np.asarray(starts), np.arange(self.sessions), side="right") - 1, 0)
        return rows[which, np.arange(self.sessions)]

    def hold(self, first: int) -> Floats:
        return np.where(np.arange(self.sessions) >= first, self.market, 0.0)

    def _returns(self, one: Experiment) -> Floats:
        if self.counted is not None:
            (self.counted / f"{one.parameters['x']}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(self.pause_s)
        name = repr(sorted({**one.parameters, "top_n": one.top_n, "cadence": one.cadence}.items()))
        own = np.random.default_rng([self.seed, zlib.crc32(name.encode())]).normal(0, 0.01, self.sessions)
        x = int(one.parameters["x"])
        returns = self.common * self.market + (1 - self.common) * own + self.effects.get(x, 0.0) * 0.01 / 252**0.5
        for which, first, last, value in self.shifts:
            if which == x:
                returns[first : last + 1] = value
        return returns


WIDE: Any = {"parameters.x": [0, 1_000]}


def tuned(market: Market, folder: Path, *, processes: int = 1, trials: int = 20, seed: int = 3, **search: Any) -> Tuned:
    with evaluating(partial(_same, market), folder, processes) as evaluations:
        return tune(space_of(experiment(**search)), evaluations, trials=trials, seed=seed)


def _same(market: Market) -> Market:
    return market


def answer(one: Tuned) -> str:
    """All that is told, for comparing to the last bit."""
    choices = [(dict(c.setting), c.tried, c.sharpe, c.untuned) for c in (*one.choices, one.now)]
    trials = [(dict(trial.setting), trial.studies, trial.returns.tobytes().hex()) for trial in one.trials]
    return json.dumps([choices, trials, one.tuned.tolist(), one.untuned.tolist(), one.held.tolist()])
