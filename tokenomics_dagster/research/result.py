"""What a backtest says: its account, what that is measured against, how sure it is, and what it cannot show; as JSON.

What is told of a figure stands where the figure is made; how any of it is shown is tear_sheet.py's.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tokenomics_dagster.model.canonical import digest
from tokenomics_dagster.research.bootstrap import Bootstrap, Difference
from tokenomics_dagster.research.contributions import Part, Regime, Year
from tokenomics_dagster.research.experiment import Experiment, RebalancingOfExperiment
from tokenomics_dagster.research.factors import Exposures
from tokenomics_dagster.research.kept_trials import Counted
from tokenomics_dagster.research.panel import Floats, Quarantined
from tokenomics_dagster.research.pools import Control
from tokenomics_dagster.research.runs import Run
from tokenomics_dagster.research.sensitivity import Band
from tokenomics_dagster.research.statistics import Drawdown, Metrics
from tokenomics_dagster.research.trials import Deflated
from tokenomics_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class Beside:
    """Another account over the same sessions: what it is, its equity (T,) in USD, and its figures."""

    name: str
    what: str
    equity: Floats
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Refused:
    """What could not be told, and why: one sentence that names what is needed."""

    why: str


@dataclass(frozen=True, slots=True)
class Since:
    """A part of the record, from the session `first` on, and the benchmark's return in it; fractions."""

    first: date
    sessions: int
    total_return: float
    benchmark_return: float
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    max_drawdown: float


@dataclass(frozen=True, slots=True)
class Sure:
    """How far luck alone could have made the record. Probabilities are 0 to 1, years of 252 sessions.

    `probabilistic`: that the true Sharpe ratio is above 0. `deflated`: the same above what the best of all trials that
    were `counted` would show without skill: those `tried` at once, and those kept from studies before.
    `track_record_years`: how long such a record must be to tell its Sharpe ratio from 0, None where no length is
    enough. `out_of_sample`: the figures from the one fixed date on that no shipped strategy was chosen by.
    """

    intervals: Bootstrap | Refused
    difference: Difference | Refused
    probabilistic: float | Refused
    deflated: Deflated | Refused
    tried: Sequence[str]
    counted: Counted
    track_record_years: float | Refused | None
    out_of_sample_from: date
    out_of_sample: Since | Refused


@dataclass(frozen=True, slots=True)
class Variant:
    """The experiment with one setting changed, and what came of it; fractions, None is undefined: all of them where
    what it wants cannot be traded."""

    label: str
    total_return: float | None
    cagr: float | None
    sharpe: float | None
    max_drawdown: float | None
    trades: int
    costs_usd: float
    turnover: float


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """`bands`: by figure, over all variants, the experiment itself not among them."""

    variants: Sequence[Variant]
    bands: Mapping[str, Band]


@dataclass(frozen=True, slots=True)
class Result:
    """Everything about one experiment; fractions, not percent, and USD.

    `contributions` add up to the profit to the cent. `haircuts`: the two ends where nobody told what a delisting costs.
    `controls`, `factors`, `sensitivity`, `capacity`: none, or Refused, where they were not asked for or cannot be had.
    `seconds`: what it took, as the caller measured.
    """

    experiment: Experiment
    rules: RebalancingOfExperiment
    run: Run
    metrics: Metrics
    drawdowns: Sequence[Drawdown]
    worst_days: Sequence[tuple[date, float]]
    beside: Sequence[Beside]
    haircuts: Sequence[Beside]
    years: Sequence[Year]
    regimes: Sequence[Regime]
    contributions: Sequence[Part]
    industries: Sequence[Part]
    sure: Sure
    controls: Sequence[Control | Refused]
    factors: Exposures | Refused
    sensitivity: Sensitivity | Refused
    capacity: Sequence[Variant] | Refused
    doubts: Sequence[str]
    quarantined: Sequence[Quarantined]
    warnings: Sequence[str]
    data_hash: str
    rules_hash: str
    seconds: float = 0.0

    @property
    def drawdown(self) -> Drawdown | None:
        """The deepest; None where equity never fell."""
        return self.drawdowns[0] if self.drawdowns else None

    def document(self) -> dict[str, Any]:
        """What `--json` writes, as docs/evidence.md tells each key: strict JSON, an undefined figure is null."""
        deepest = self.drawdown
        dates = [str(day) for day in self.run.dates.astype("datetime64[D]")]
        return {
            "experiment": self.experiment.name,
            "strategy": self.experiment.strategy,
            "rules": plain(effective(self.experiment, self.rules)),
            "equity": [[day, plain(usd)] for day, usd in zip(dates, self.run.equity.tolist(), strict=True)],
            "final_equity": plain(float(self.run.equity[-1])),
            "first_held": None if self.run.first_held is None else dates[self.run.first_held],
            "trades": len(self.run.fills.names),
            "turnover": plain(self.run.turnover),
            "costs": plain(float(self.run.costs.sum())),
            "metrics": plain(self.metrics),
            "drawdown": {
                "depth": 0.0 if deepest is None else plain(deepest.depth),
                "peak": None if deepest is None else plain(deepest.peak),
                "trough": None if deepest is None else plain(deepest.trough),
                "recovered": None if deepest is None else plain(deepest.recovered),
            },
            "drawdowns": plain(self.drawdowns[:10]),
            "worst_days": plain(self.worst_days),
            "beside": [
                {"name": one.name, "what": one.what, "final_equity": plain(float(one.equity[-1]))}
                | {"metrics": plain(one.metrics)}
                for one in self.beside
            ],
            "haircuts": [
                {"name": one.name, "final_equity": plain(float(one.equity[-1])), "metrics": plain(one.metrics)}
                for one in self.haircuts
            ],
            "years": plain(self.years),
            "regimes": plain(self.regimes),
            "contributions": plain(self.contributions),
            "industries": plain(self.industries),
            "sure": plain(self.sure),
            "controls": plain(self.controls),
            "factors": plain(self.factors),
            "sensitivity": plain(self.sensitivity),
            "capacity": plain(self.capacity),
            "doubts": list(self.doubts),
            "quarantined": plain(self.quarantined),
            "warnings": list(self.warnings),
            "data_hash": self.data_hash,
            "rules_hash": self.rules_hash,
            "version": version("tokenomics-dagster"),
            "seconds": plain(self.seconds),
        }


def effective(experiment: Experiment, rules: RebalancingOfExperiment) -> dict[str, Any]:
    """Everything that decides what comes of the same data: the experiment with the settings' rules under its own."""
    said = experiment.model_dump(mode="json", exclude={"name", "data", "search", "rebalancing"})
    return {**said, "top_n": rules.top_n_stocks, "rebalancing": rules.model_dump(mode="json", exclude={"first_week"})}


def rules_hash(experiment: Experiment, settings: Settings, strategy: object) -> str:
    """SHA-256 of the effective rules, how scores are made, the code of the strategy's module and the package's version;
    where the live room itself trades, of its guards and how it sends orders, too.

    Two results with the same data_hash and the same rules_hash are the same result, but for how many trials were made.
    """
    code = Path(inspect.getfile(type(strategy))).read_text(encoding="utf-8")
    sections = [settings.guards, settings.trading] if experiment.engine == "replayed" else []
    return digest(
        {
            "rules": effective(experiment, experiment.rules(settings.rebalancing)),
            "score": settings.fundamentals.score.model_dump(mode="json"),
            "live": [section.model_dump(mode="json") for section in sections],
            "code": code,
            "version": version("tokenomics-dagster"),
        }
    )


def plain(value: Any) -> Any:
    """As JSON knows it: records by their fields, days in ISO 8601, what is no finite number as null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, date | datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    return [plain(one) for one in value]
