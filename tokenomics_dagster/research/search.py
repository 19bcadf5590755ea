"""What may be tuned: the space of settings that an experiment's `search` says, read once; a wrong key is named.

    search:
      cadence: [weekly, monthly]                           # words, truths, or three numbers and more: choices
      top_n: [20, 200]                                     # two numbers: a range, both ends included
      rebalancing.max_position_pct: {from: 2, to: 10, step: 0.5}
      parameters.lookback: {from: 20, to: 250, log: true}
      universe_size: {choices: [500, 1500]}                # two numbers that are no range
      walk_forward: {folds: 4, window: rolling}            # folds.py

How settings are tried and judged stays out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from math import isfinite
from typing import TYPE_CHECKING, Any, get_args

from pydantic import Field, ValidationError

from tokenomics_dagster.research.experiment import Experiment, ExperimentError, RebalancingOfExperiment
from tokenomics_dagster.research.folds import WalkForward
from tokenomics_dagster.settings.section import Section, describe

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = float | int | str | bool
Setting = Mapping[str, Value]
"""What differs from the experiment, by the keys of its `search`; empty: the experiment as it is."""

_KEYS = ("strategy", "universe_size", "top_n", "cadence")
# What a person would tune to please himself: none of these can be chosen by who trades.
_NO_CHOICES = {
    "start_session": "the best day to start on is luck: its effect is a band of noise, not a choice",
    "costs": "what trading costs is a fact, and no choice",
    "haircut_pct": "what a delisting costs is a fact, and no choice",
    "interest_pct": "interest is a fact, and no choice",
    "fill": "a fill is an assumption about the market, and no choice",
    "from": "the record is judged whole",
    "to": "the record is judged whole",
}


class _Cut(Section):
    """What `search` says beside what may be tried."""

    walk_forward: WalkForward = Field(description="how the record is cut")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One key and its values: `choices`, or numbers from `low` to `high` (in steps; on a log scale; `whole`)."""

    key: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[Value, ...]:
        """What must be allowed for all of it to be."""
        return self.choices or tuple(int(end) if self.whole else end for end in (self.low, self.high))

    @property
    def points(self) -> tuple[Value, ...] | None:
        """All values; None where they cannot be counted."""
        if self.choices:
            return self.choices
        if self.whole:
            return tuple(range(int(self.low), int(self.high) + 1, int(self.step or 1)))
        if self.step is None:
            return None
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        return tuple(float(low + n * step) for n in range(int((Decimal(str(self.high)) - low) / step) + 1))

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return FloatDistribution(self.low, self.high, step=self.step, log=self.log)


@dataclass(frozen=True, slots=True)
class Space:
    """All settings that may be tried of an experiment."""

    experiment: Experiment
    dimensions: tuple[Dimension, ...]
    walk_forward: WalkForward

    def distributions(self) -> dict[str, BaseDistribution]:
        return {one.key: one.distribution() for one in self.dimensions}

    def points(self, limit: int) -> list[Setting] | None:
        """Every setting, where they are `limit` at most; else None."""
        axes = [one.points for one in self.dimensions]
        count = 1
        for axis in axes:
            if axis is None or (count := count * len(axis)) > limit:
                return None
        keys = [one.key for one in self.dimensions]
        return [dict(zip(keys, values, strict=True)) for values in product(*(axis or () for axis in axes))]

    def apply(self, setting: Setting) -> Experiment:
        """The experiment with what differs. Raises ExperimentError where the values do not go together."""
        return changed(self.experiment, setting)

    @property
    def cadences(self) -> tuple[str, ...]:
        """How often may be decided."""
        tried = (str(value) for one in self.dimensions if one.key == "cadence" for value in one.choices)
        return (self.experiment.cadence, *tried)


def changed(experiment: Experiment, setting: Setting) -> Experiment:
    """The experiment with other values. Raises ExperimentError, naming key, value and what is allowed."""
    values: dict[str, Any] = {name: getattr(experiment, name) for name in Experiment.model_fields}
    for key, value in setting.items():
        section, dot, name = key.partition(".")
        values[section] = {**values[section], name: value} if dot else value
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        told = "; ".join(describe(one, Experiment) for one in error.errors())
        raise ExperimentError(
            f"the experiment {experiment.name} cannot be tried with {named(setting)}: {told}"
        ) from None


def named(setting: Setting) -> str:
    """A setting in words."""
    return ", ".join(f"{key} = {_shown(value)}" for key, value in setting.items()) or "the settings as they are"


def canonical(setting: Setting) -> str:
    """The setting as JSON, the same whatever the order of its keys."""
    return json.dumps(dict(setting), sort_keys=True, allow_nan=False)


def space_of(experiment: Experiment) -> Space:
    """What the experiment's `search` says. Raises ExperimentError, naming key, value and what is allowed."""
    given = dict(experiment.search)
    try:
        walk_forward = _Cut.model_validate({"walk_forward": given.pop("walk_forward", {})}).walk_forward
    except ValidationError as error:
        raise _unusable(experiment, "; ".join(describe(one, _Cut) for one in error.errors())) from None
    if not given:
        raise _unusable(
            experiment,
            "it names nothing to be tuned; write keys and their values, as top_n: [20, 200] (docs/tuning.md)",
        )
    return Space(experiment, tuple(_dimensions(experiment, given)), walk_forward)


def _dimensions(experiment: Experiment, given: Mapping[str, Any]) -> Iterator[Dimension]:
    for key, values in given.items():
        _may_be_tuned(experiment, key)
        try:
            one = _read(key, values)
            if key in ("strategy", "cadence") and not one.choices:
                raise ValueError("must be a list of words")
        except ValueError as error:
            raise _unusable(experiment, f"{key} = {values!r}: {error}") from None
        for end in one.ends:
            changed(experiment, {key: end})
        yield one


def _may_be_tuned(experiment: Experiment, key: str) -> None:
    rules = set(RebalancingOfExperiment.model_fields) - {"first_week"}
    if key == "rebalancing.top_n_stocks" and experiment.top_n is not None:
        raise _unusable(experiment, f"{key} has no effect beside top_n = {experiment.top_n}: tune top_n")
    section, _, name = key.rpartition(".")
    if key in _KEYS or (section == "parameters" and name) or (section == "rebalancing" and name in rules):
        return
    if (why := _NO_CHOICES.get(key.partition(".")[0])) is not None:
        raise _unusable(experiment, f"{key} cannot be tuned: {why}")
    allowed = ", ".join((*_KEYS, "parameters.<name>", *(f"rebalancing.{name}" for name in sorted(rules))))
    raise _unusable(experiment, f"{key} cannot be tuned. Known here: {allowed}")


def _read(key: str, values: Any) -> Dimension:
    """Raises ValueError with what is allowed."""
    if isinstance(values, Mapping):
        if set(values) == {"choices"} and isinstance(values["choices"], list):
            return _of_choices(key, values["choices"])
        if not {"from", "to"} <= set(values) <= {"from", "to", "step", "log"}:
            raise ValueError("must be {choices: [...]}, or {from, to} with step or log: true")
        log = values.get("log", False)
        if not isinstance(log, bool):
            raise ValueError("log must be true or false")
        return _range(key, values["from"], values["to"], values.get("step"), log=log)
    if not isinstance(values, list):
        raise ValueError("must be a list of values, or {from, to} with step or log: true")
    if len(values) == 2 and all(map(_is_number, values)):
        return _range(key, *values)
    return _of_choices(key, values)


def _of_choices(key: str, values: list[Any]) -> Dimension:
    if len(values) < 2:
        raise ValueError("must have two values or more: of one there is nothing to choose")
    if not all(isinstance(value, get_args(Value)) and (isinstance(value, str) or isfinite(value)) for value in values):
        raise ValueError("must hold numbers, words or truths")
    if len({json.dumps(value) for value in values}) < len(values):
        raise ValueError("must not name a value twice")
    return Dimension(key, tuple(values))


def _range(key: str, low: Any, high: Any, step: Any = None, *, log: bool = False) -> Dimension:
    ends = (low, high) if step is None else (low, high, step)
    if not all(map(_is_number, ends)):
        raise ValueError("from, to and step must be numbers")
    if low >= high:
        raise ValueError(f"from = {low} must be below to = {high}")
    if step is not None and (log or step <= 0 or step > high - low):
        raise ValueError("step must be above 0, no more than to less from, and without log")
    if log and low <= 0:
        raise ValueError("from must be above 0 where log is true")
    if step is not None:  # the last value that the steps reach: Optuna would say a warning for any other
        exact = Decimal(str(high)) - (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step))
        high = int(exact) if isinstance(high, int) and exact == int(exact) else float(exact)
    whole = all(isinstance(end, int) for end in (low, high, *ends)) and _takes_whole_numbers(key)
    if whole:
        return Dimension(key, low=low, high=high, step=step, log=log, whole=True)
    return Dimension(key, low=float(low), high=float(high), step=None if step is None else float(step), log=log)


def _takes_whole_numbers(key: str) -> bool:
    """Whether the key, which YAML gave whole numbers for, takes no others; nobody knows of a strategy's parameter."""
    section, dot, name = key.rpartition(".")
    if section == "parameters":
        return True
    field = (RebalancingOfExperiment if dot else Experiment).model_fields[name]
    return field.annotation is not float


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _unusable(experiment: Experiment, told: str) -> ExperimentError:
    return ExperimentError(f"search of the experiment {experiment.name} cannot be used: {told}")
