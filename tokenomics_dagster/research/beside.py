"""What a strategy is measured against: everything that it could have chosen, equally and by market cap; a benchmark.

Without costs, bands, buffer or whole shares: what was there to be had, not what somebody would have made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from tokenomics_dagster.research.deciding import scores_of, sessions_of
from tokenomics_dagster.research.experiment import Costs, ExperimentError
from tokenomics_dagster.research.known import universe
from tokenomics_dagster.research.panel import Bools, Days, Floats, Fundamentals, Panel
from tokenomics_dagster.research.result import Beside
from tokenomics_dagster.research.runs import Decisions, Fills, Rules, Run
from tokenomics_dagster.research.statistics import measure
from tokenomics_dagster.research.strategies import FundamentalScores, Ranked, Strategy
from tokenomics_dagster.research.study import Study
from tokenomics_dagster.settings import Settings

EQUAL, CAP, FIGURES = "universe, equal", "universe, by cap", "names with figures, equal"


def eligible(panel: Panel, decided: Decisions, size: int) -> list[Bools]:
    """Of each decision the (N,) names that could be chosen."""
    return [universe(panel, int(row), size) for row in decided.sessions]


def with_figures(
    panel: Panel, fundamentals: Fundamentals, decided: Decisions, size: int, settings: Settings, strategy: Ranked
) -> list[Bools]:
    """Of each decision the names that could be chosen and had a score by the strategy, whatever it was."""
    scores = scores_of(panel, fundamentals, decided.sessions, settings.fundamentals.score, strategy)
    return [
        one & np.isfinite(scores(int(row)))
        for one, row in zip(eligible(panel, decided, size), decided.sessions, strict=True)
    ]


def everything(panel: Panel, decided: Decisions, there: Sequence[Bools], *, by_cap: bool) -> Decisions:
    """To hold all of `there` at each decision, equally or in proportion to the market caps of that close."""
    names = [np.flatnonzero(one) for one in there]
    weights = []
    for row, held in zip(decided.sessions, names, strict=True):
        raw = panel.market_cap[row, held] if by_cap else np.ones(len(held))
        weights.append(raw / max(raw.sum(), 1e-300))
    return Decisions(
        sessions=decided.sessions,
        starts=np.concatenate(([0], np.cumsum([len(one) for one in names]))).astype(np.int64),
        names=np.concatenate(names).astype(np.int64),
        weights=np.concatenate(weights),
        eligible=np.array([len(one) for one in names], dtype=np.int64),
        refused=np.array([len(one) == 0 for one in names]),
    )


def free(rules: Rules) -> Rules:
    """The same without anything that a trader pays or cannot do."""
    return replace(
        rules, shares="fractional", costs=Costs(half_spread_bps=0.0), threshold_pct=0.0, min_trade_usd=0.0,
        cash_buffer_pct=0.0,
    )  # fmt: skip


def benchmark_level(panel: Panel, symbol: str, first: int) -> Floats:
    """(T - first,) 1 at the session `first`, and compounded from there. ExperimentError where it has no price in the
    first session or the last: one that ended would stand still, and the strategy be measured against nothing."""
    if symbol not in panel.symbols:
        raise ExperimentError(f"benchmark = {symbol} is no symbol of these prices: name one of theirs, or none")
    column = panel.symbols.index(symbol)
    for row, which in ((first, "first"), (-1, "last")):
        if not panel.price[row, column] > 0:
            raise ExperimentError(f"benchmark = {symbol} has no price on {panel.dates[row]}, the {which} session")
    level = np.ones(len(panel.dates) - first)
    np.cumprod(1 + panel.returns[first + 1 :, column], out=level[1:])
    return level


def bought_and_held(dates: Days, equity: Floats) -> Run:
    """An account of one thing, which is all of its equity (T,) USD."""
    none, one = np.zeros(len(dates)), np.zeros(0, dtype=np.int64)
    return Run(
        dates=dates,
        equity=equity,
        cash=none,
        held=np.ones(len(dates), dtype=np.int64),
        traded=none,
        costs=none,
        profit=np.zeros(0),
        interest=0.0,
        final_shares=np.zeros(0),
        decided=one,
        fills=Fills(one, one, np.zeros(0), np.zeros(0), np.zeros(0)),
        capital=float(equity[0]),
    )


def with_before(of: Study, market: Floats) -> Floats:
    """(first + T,) the level of a market (T,), and before it what the universe by market cap, of the first session of
    each week, did in the panel's sessions before the study's first."""
    level, panel = np.ones(of.first + 1), of.panel
    weekly = of.experiment.model_copy(update={"first": None, "last": None, "cadence": "weekly", "start_session": 0})
    for row, end in pairwise([*sessions_of(panel.dates[: of.first + 1], weekly).tolist(), of.first]):
        there = universe(panel, row, of.experiment.universe_size)
        caps = panel.market_cap[row, there]
        grown = np.cumprod(1 + panel.returns[row + 1 : end + 1, there], axis=0)
        level[row + 1 : end + 1] = level[row] * (grown @ (caps / caps.sum()) if there.any() else 1.0)
    return np.concatenate((level[:-1] / level[-1] * market[0], market))


def account(name: str, what: str, run: Run) -> Beside:
    return Beside(name, what, run.equity, measure(run))


def could_have_held(
    panel: Panel,
    fundamentals: Fundamentals | None,
    decided: Decisions,
    size: int,
    settings: Settings,
    strategy: Strategy,
) -> list[tuple[str, str, Decisions]]:
    """`EQUAL`, `CAP` and, where there are figures, `FIGURES`: each with what it is, and what it wants at each decision
    of the strategy. A score is the strategy's, or the live one where it has none."""
    there = eligible(panel, decided, size)
    what = f"the {size:,} largest of the day, less what is in quarantine"
    made = [
        (EQUAL, f"{what}, each the same, before any cost", everything(panel, decided, there, by_cap=False)),
        (CAP, f"{what}, in proportion to market cap, before any cost", everything(panel, decided, there, by_cap=True)),
    ]
    if fundamentals is not None:
        scoring = strategy if isinstance(strategy, Ranked) else FundamentalScores()
        figures = with_figures(panel, fundamentals, decided, size, settings, scoring)
        what = "those of them that have a score, each the same, before any cost: what fundamentals could choose from"
        made.append((FIGURES, what, everything(panel, decided, figures, by_cap=False)))
    return made


def compared(of: Study, wishes: Decisions, strategy: Strategy) -> list[Beside]:
    """The accounts of `could_have_held` over the study's sessions."""
    size = of.experiment.universe_size
    made = could_have_held(of.panel, of.fundamentals, wishes, size, of.settings, strategy)
    rules = free(of.rules())
    return [account(name, what, of.run(held, rules)) for name, what, held in made]


def benchmark(of: Study, others: list[Beside]) -> Floats:
    """(T,) a level: the symbol that the experiment names, else what could be chosen, equally weighted: of a strategy on
    figures those that have some. A symbol's becomes one of the others, too."""
    symbol = of.experiment.benchmark
    if symbol is None:
        wanted = EQUAL if of.fundamentals is None else FIGURES
        return next(one.equity for one in others if one.name == wanted)
    level = benchmark_level(of.panel, symbol, of.first)
    equity, dates = level * of.experiment.capital, of.panel.dates[of.first :]
    others.append(account(symbol, "bought at the first close and held", bought_and_held(dates, equity)))
    return level
