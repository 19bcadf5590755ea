"""What else could have come of an experiment: random names, another setting, more money, known factors. Asked for by
backtest.py; what is drawn or changed is said in pools.py, sensitivity.py and factors.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tokenomics_dagster.research.engine import Batch, simulate_many
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.factors import Exposures, exposures, factor_returns
from tokenomics_dagster.research.figures import FIGURES
from tokenomics_dagster.research.panel import Floats
from tokenomics_dagster.research.pools import Control, control, pools
from tokenomics_dagster.research.result import Refused, Sensitivity, Variant
from tokenomics_dagster.research.runs import Decisions, Rules, Run
from tokenomics_dagster.research.sensitivity import band, capacity, variants
from tokenomics_dagster.research.statistics import NotEnough, daily_returns, drawdowns, growth, of_a_year, sharpe
from tokenomics_dagster.research.study import Study

BANDS = ("total_return", "sharpe", "max_drawdown")
"""Of which a band is told."""


def controls(
    of: Study, run: Run, wishes: Decisions, seed: int, say: Callable[[str], None], portfolios: int
) -> list[Control | Refused]:
    """Random portfolios from each pool; why there are none, where a pool is too small."""

    def simulated(drawn: Sequence[Decisions]) -> Batch:
        return _since(simulate_many(of.panel, drawn, of.rules()), of.first)

    made: list[Control | Refused] = []
    for pool in pools(of.panel, of.fundamentals, wishes, of.experiment, of.settings):
        say(f"{portfolios:,} random portfolios from {pool.name} ...")
        try:
            made.append(control(run, wishes, pool, simulated, seed, portfolios))
        except NotEnough as error:
            made.append(Refused(str(error)))
    return made


def sensitivity(of: Study, say: Callable[[str], None]) -> Sensitivity:
    changed = variants(of.experiment, of.settings.rebalancing)
    say(f"{len(changed)} variants of one setting each ...")
    made = [_variant(of, label, experiment) for label, experiment in changed]
    bands = {
        name: band({one.label: getattr(one, name) for one in made}, FIGURES[name].label, FIGURES[name].text)
        for name in BANDS
    }
    return Sensitivity(made, bands)


def by_capital(of: Study, say: Callable[[str], None]) -> list[Variant]:
    """NotEnough where there are no volumes: without them nothing moves a price."""
    if not np.any(of.panel.volume > 0):
        raise NotEnough("what more money does to prices needs volumes, and these prices have none")
    changed = capacity(of.experiment)
    say(f"{len(changed)} sizes of the account ...")
    return [_tradable(_variant(of, label, experiment)) for label, experiment in changed]


def _tradable(one: Variant) -> Variant:
    """What was never traded, because no order reached the minimum or a whole share, did not make 0 %."""
    if one.trades:
        return one
    label = f"{one.label}: cannot be traded"
    return replace(one, label=label, total_return=None, cagr=None, sharpe=None, max_drawdown=None)


def factors(of: Study, run: Run) -> Exposures:
    """NotEnough under 252 sessions with all of the factors."""
    made = factor_returns(of.panel, of.experiment.universe_size)
    return exposures(daily_returns(run.equity), made[of.first + 1 :])


def _variant(of: Study, label: str, experiment: Experiment) -> Variant:
    changed = replace(of, experiment=experiment)
    return _told(label, changed.rules(), simulate_many(of.panel, [changed.decide()], changed.rules()), of)


def _told(label: str, rules: Rules, batch: Batch, of: Study) -> Variant:
    cut = _since(batch, of.first)
    equity, dates = cut.equity[0], of.panel.dates[of.first :]
    falls = drawdowns(rules.capital, equity, dates)
    return Variant(
        label=label,
        total_return=float(equity[-1] / rules.capital - 1),
        cagr=growth(rules.capital, equity, dates),
        sharpe=of_a_year(sharpe, daily_returns(equity)),
        max_drawdown=falls[0].depth if falls else 0.0,
        trades=int(cut.trades[0]),
        costs_usd=float(cut.costs[0]),
        turnover=float(cut.turnover[0]),
    )


def _since(batch: Batch, first: int) -> Batch:
    """Without the sessions before the experiment begins, in which nothing was held."""
    equity: Floats = batch.equity[:, first:]
    return replace(batch, equity=equity)
