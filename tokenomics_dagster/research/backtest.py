"""An experiment from its data to its result: what is done in which order. Each step's rules are in the module it asks.

Progress is told in short lines; nothing is written but what came of the trial, for later studies to count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tokenomics_dagster.research import beside, contributions, kept_trials, trials, varied
from tokenomics_dagster.research.bootstrap import bootstrap, sharpe_difference
from tokenomics_dagster.research.contributions import by_industry, by_name, by_year
from tokenomics_dagster.research.deciding import decided as decide
from tokenomics_dagster.research.doubts import doubts, facts_of, untraded
from tokenomics_dagster.research.engine import simulate_many
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.finding import find
from tokenomics_dagster.research.kept_trials import NOTHING, Before, Tally, Trial, tally
from tokenomics_dagster.research.panel import Floats, Fundamentals, Panel
from tokenomics_dagster.research.pools import PORTFOLIOS
from tokenomics_dagster.research.result import Beside, Refused, Result, Since, Sure, rules_hash
from tokenomics_dagster.research.runs import Decisions, Run
from tokenomics_dagster.research.sources import load
from tokenomics_dagster.research.statistics import (
    NotEnough,
    as_day,
    daily_returns,
    drawdowns,
    growth,
    measure,
    of_a_year,
    sharpe,
    volatility,
    worst_days,
)
from tokenomics_dagster.research.strategies import OUT_OF_SAMPLE, SHIPPED, Strategy
from tokenomics_dagster.research.study import Study, begun, since
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse

SEED = 11
"""Of every draw in a result: the same experiment on the same data says the same, to the last digit."""
HAIRCUTS = (0.0, 55.0)
"""Percent lost by a delisting: none, as in a merger, and what a failing NASDAQ name lost (Shumway and Warther 1999)."""

REPLAYED = (
    "The account is that of the live rebalance (engine: replayed); what stands beside it, random portfolios and "
    "changed settings are the fast engine's, in which no guard speaks."
)

NOT_ASKED = Refused("it was not asked for: run it with --controls")

T = TypeVar("T")
Say = Callable[[str], None]


def backtest(
    experiment: Experiment,
    settings: Settings,
    store: Warehouse | None = None,
    *,
    portfolios: int = PORTFOLIOS,
    say: Say = lambda _: None,
) -> Result:
    """Everything about one experiment. `store` is needed where it asks for the warehouse's figures or market caps.

    `portfolios`: random ones from each pool; with 0 nothing is varied, either. Raises ExperimentError.
    """
    say("reading the data ...")
    panel, fundamentals = load(experiment, settings, store)
    names = f"{len(panel.dates):,} sessions of {len(panel.symbols):,} names"
    say(f"{names}, {len(panel.quarantined):,} spans in quarantine" if panel.quarantined else names)
    folder = Path(settings.research.studies).expanduser()
    before = kept_trials.kept(folder, panel.data_hash)
    result, trial = _studied(begun(panel, fundamentals, experiment, settings), before, portfolios=portfolios, say=say)
    unkept = kept_trials.keep(folder, panel.data_hash, [trial])
    return replace(result, warnings=(*result.warnings, *unkept))


def study(
    panel: Panel,
    fundamentals: Fundamentals | None,
    experiment: Experiment,
    settings: Settings,
    *,
    before: Before = NOTHING,
    portfolios: int = PORTFOLIOS,
    say: Say = lambda _: None,
) -> Result:
    """The same of data that is there; `before`: what was tried on it. Nothing is kept."""
    return _studied(begun(panel, fundamentals, experiment, settings), before, portfolios=portfolios, say=say)[0]


def _studied(of: Study, before: Before, *, portfolios: int, say: Say) -> tuple[Result, Trial]:
    experiment, fundamentals, settings = of.experiment, of.fundamentals, of.settings
    say("deciding ...")
    strategy = find(experiment)()
    wishes = decide(of.panel, fundamentals, experiment, settings, strategy)
    say(f"{len(wishes.sessions):,} decisions; trading them ...")
    run = _traded(of, wishes, say)
    others = beside.compared(of, wishes, strategy)
    level = beside.benchmark(of, others)
    metrics = measure(run, level)
    say("asking how sure that is ...")
    tried, names = _tried(of, run, level, strategy)
    tallied = tally(before, run.dates[1:], tried)
    sure = _sure(run, level, tallied, names, before.refused)
    code = rules_hash(experiment, settings, strategy)
    ends = [of.run(wishes, of.rules(pct)) for pct in HAIRCUTS] if experiment.haircut_pct is None else []
    parts = by_name(run, of.panel.symbols)
    idle = untraded(of.panel, experiment, wishes, run, of.rebalancing.min_trade_usd)
    result = Result(
        experiment=experiment,
        rules=of.rebalancing,
        run=run,
        metrics=metrics,
        drawdowns=drawdowns(run.capital, run.equity, run.dates),
        worst_days=worst_days(daily_returns(run.equity), run.dates),
        beside=others,
        haircuts=[
            beside.account(f"{pct:g} % lost", "of what is held of a name that is delisted", end)
            for pct, end in zip(HAIRCUTS, ends, strict=False)
        ],
        years=by_year(run, level),
        regimes=contributions.by_regime(run, beside.with_before(of, _market(others).equity)),
        contributions=parts,
        industries=by_industry(parts, of.panel.industry),
        sure=sure,
        controls=varied.controls(of, run, wishes, SEED, say, portfolios) if portfolios else [],
        factors=told(lambda: varied.factors(of, run)),
        sensitivity=varied.sensitivity(of, say) if portfolios else NOT_ASKED,
        capacity=told(lambda: varied.by_capital(of, say)) if portfolios else NOT_ASKED,
        doubts=[*idle, *doubts(facts_of(of.panel, experiment, wishes, run, fundamentals, trials=sure.counted.trials))],
        quarantined=of.panel.quarantined,
        warnings=(
            *(*idle, *of.panel.warnings, *_warnings(fundamentals)),
            *(*wishes.warnings, *run.warnings, *tallied.warnings),
        ),
        data_hash=_data_hash(of.panel, fundamentals),
        rules_hash=code,
    )
    return result, Trial(experiment.strategy, "study", code, run.dates[1:], tried[:, 0])


def _traded(of: Study, wishes: Decisions, say: Say) -> Run:
    """The experiment's own account, by the engine that it asks for."""
    if of.experiment.engine == "fast":
        return of.run(wishes, of.rules())
    from tokenomics_dagster.research.replayed import replay

    run = since(replay(of.panel, wishes, of.experiment, of.settings, say), of.first)
    return replace(run, warnings=(REPLAYED, *run.warnings))


def _market(others: Sequence[Beside]) -> Beside:
    return next(one for one in others if one.name == beside.CAP)


def _sure(run: Run, level: Floats, tallied: Tally, tried: Sequence[str], refused: str) -> Sure:
    returns, counted = daily_returns(run.equity), tallied.counted
    return Sure(
        intervals=told(lambda: bootstrap(returns, SEED)),
        difference=told(lambda: sharpe_difference(returns, daily_returns(level), SEED)),
        probabilistic=told(lambda: trials.probabilistic_sharpe(trials.moments(returns))),
        deflated=Refused(refused)
        if refused
        else told(lambda: trials.deflated_sharpe(tallied.returns, 0, counted.unknown)),
        tried=tried,
        counted=counted,
        track_record_years=told(lambda: trials.minimum_track_record(trials.moments(returns))),
        out_of_sample_from=OUT_OF_SAMPLE,
        out_of_sample=told(lambda: _out_of_sample(run, level)),
    )


def _tried(of: Study, run: Run, level: Floats, strategy: Strategy) -> tuple[Floats, list[str]]:
    """Daily returns less the benchmark's (T - 1, N) of the experiment and of every shipped strategy that the data has
    what is needed for, under the same rules: who looks at this one has chosen it among them. And their names."""
    others = [name for name, kind in SHIPPED.items() if type(strategy) is not kind]
    names = [name for name in others if name != "fundamentals" or of.fundamentals is not None]
    wishes = [of.decide(_as(of.experiment, name)) for name in names]
    made = simulate_many(of.panel, wishes, of.rules()).equity[:, of.first :]
    market = daily_returns(level)
    active = [daily_returns(equity) - market for equity in (run.equity, *made)]
    return np.stack(active, axis=1), [of.experiment.strategy, *names]


def _as(experiment: Experiment, strategy: str) -> Experiment:
    return experiment.model_copy(update={"strategy": strategy, "parameters": {}})


def _out_of_sample(run: Run, level: Floats) -> Since:
    """NotEnough where the record ends before."""
    rows = np.flatnonzero(run.dates >= np.datetime64(OUT_OF_SAMPLE))
    if rows.size < 2:
        raise NotEnough(f"the record ends on {run.dates[-1]}, and begins to be out of sample on {OUT_OF_SAMPLE}")
    # The first return is that of the first session from then on, against the close before it.
    start = max(int(rows[0]) - 1, 0)
    equity, dates = run.equity[start:], run.dates[start:]
    returns, falls = daily_returns(equity), drawdowns(float(equity[0]), equity, dates)
    return Since(
        first=as_day(dates[1]),
        sessions=len(returns),
        total_return=float(equity[-1] / equity[0] - 1),
        benchmark_return=float(level[-1] / level[start] - 1),
        cagr=growth(float(equity[0]), equity, dates),
        volatility=of_a_year(volatility, returns),
        sharpe=of_a_year(sharpe, returns),
        max_drawdown=falls[0].depth if falls else 0.0,
    )


def told(ask: Callable[[], T]) -> T | Refused:
    """A figure, or why there is none."""
    try:
        return ask()
    except NotEnough as error:
        return Refused(str(error))


def _warnings(fundamentals: Fundamentals | None) -> tuple[str, ...]:
    return () if fundamentals is None else fundamentals.warnings


def _data_hash(panel: Panel, fundamentals: Fundamentals | None) -> str:
    """Of prices alone theirs; with figures the two, joined."""
    from tokenomics_dagster.model.canonical import digest

    return panel.data_hash if fundamentals is None else digest([panel.data_hash, fundamentals.data_hash])
