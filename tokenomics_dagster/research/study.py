"""What a result is made from: data, experiment and settings together, and from which session on a record counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tokenomics_dagster.research.deciding import decisions
from tokenomics_dagster.research.engine import simulate
from tokenomics_dagster.research.experiment import Experiment, RebalancingOfExperiment
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster.research.runs import Decisions, Fills, Rules, Run
from tokenomics_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class Study:
    """What a result is made from. `first` is the panel's row at which the experiment begins: what was before may be
    looked at, and is no part of any record."""

    panel: Panel
    fundamentals: Fundamentals | None
    experiment: Experiment
    settings: Settings
    first: int

    @property
    def rebalancing(self) -> RebalancingOfExperiment:
        return self.experiment.rules(self.settings.rebalancing)

    def rules(self, haircut_pct: float | None = None) -> Rules:
        return rules_of(self.experiment, self.rebalancing, haircut_pct)

    def decide(self, experiment: Experiment | None = None) -> Decisions:
        return decisions(self.panel, self.fundamentals, experiment or self.experiment, self.settings)

    def run(self, wishes: Decisions, rules: Rules) -> Run:
        return since(simulate(self.panel, wishes, rules), self.first)


def begun(panel: Panel, fundamentals: Fundamentals | None, experiment: Experiment, settings: Settings) -> Study:
    """With the sessions after `to` cut off; those before `from` stay, for a strategy may look back."""
    if experiment.last is not None:
        panel = until(panel, int(np.searchsorted(panel.dates, np.datetime64(experiment.last), side="right")))
    first = 0
    if experiment.first is not None:
        first = int(np.searchsorted(panel.dates, np.datetime64(experiment.first)))
    return Study(panel, fundamentals, experiment, settings, first)


def rules_of(experiment: Experiment, rebalancing: RebalancingOfExperiment, haircut_pct: float | None = None) -> Rules:
    """How the experiment's decisions become trades. A haircut that nobody tells is none: both ends are told beside."""
    said = experiment.haircut_pct if haircut_pct is None else haircut_pct
    return Rules(
        fill=experiment.fill,
        shares=experiment.shares,
        capital=experiment.capital,
        costs=experiment.costs,
        threshold_pct=rebalancing.rebalance_threshold_pct,
        min_trade_usd=rebalancing.min_trade_usd,
        cash_buffer_pct=rebalancing.cash_buffer_pct,
        haircut_pct=said or 0.0,
        interest_pct=experiment.interest_pct,
        cadence=experiment.cadence,
    )


def until(panel: Panel, end: int) -> Panel:
    """Its first `end` sessions, as views."""
    grids = ("price", "returns", "market_cap", "volume", "open", "split", "dividend", "halted", "barred")
    cut = {name: getattr(panel, name)[:end] for name in grids if getattr(panel, name) is not None}
    return replace(panel, dates=panel.dates[:end], **cut)


def since(run: Run, first: int) -> Run:
    """Without the sessions before `first`, in which nothing was held."""
    if first == 0:
        return run
    cut = {name: getattr(run, name)[first:] for name in ("dates", "equity", "cash", "held", "traded", "costs")}
    fills = Fills(run.fills.sessions - first, run.fills.names, run.fills.shares, run.fills.price, run.fills.cost)
    return replace(run, **cut, decided=run.decided - first, fills=fills)
