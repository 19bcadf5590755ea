"""Whether choosing did it: a thousand portfolios that are like the strategy's in all but which names they hold.

Which names they are drawn from decides the answer, so that it is asked of several pools and each is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tokenomics_dagster.research.compiled import compiled
from tokenomics_dagster.research.deciding import scores_of
from tokenomics_dagster.research.engine import Batch
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.finding import find
from tokenomics_dagster.research.known import closes, latest, universe
from tokenomics_dagster.research.panel import Bools, Floats, Fundamentals, Ints, Panel
from tokenomics_dagster.research.runs import Decisions, Run
from tokenomics_dagster.research.statistics import NotEnough, daily_returns
from tokenomics_dagster.research.strategies import Market, Ranked
from tokenomics_dagster.settings import Settings

PORTFOLIOS = 1_000
_AT_ONCE = 100
"""Portfolios drawn and run together: 100 x 29,000 names are 23 MB, 1,000 would be 230."""


@dataclass(frozen=True, slots=True)
class Pool:
    """`names`: (D, N) who could be drawn at each decision; `what` they are, in words."""

    name: str
    what: str
    names: Bools


@dataclass(frozen=True, slots=True)
class Control:
    """`p`: of a total return as high as the strategy's by drawing names blindly from the pool, (1 + k) / (1 + S)
    (Phipson and Smyth 2010); `p_sharpe` of its Sharpe ratio.

    `low`, `median`, `high`: total returns of the portfolios at 5, 50 and 95 %. `turnover`: their mean beside the
    strategy's `own_turnover`; where it is higher they left a name because it was no longer in the pool.
    """

    pool: str
    what: str
    portfolios: int
    p: float
    p_sharpe: float
    own: float
    low: float
    median: float
    high: float
    turnover: float
    own_turnover: float


def pools(
    panel: Panel, fundamentals: Fundamentals | None, decisions: Decisions, experiment: Experiment, settings: Settings
) -> list[Pool]:
    """The universe of each decision; the names in it with figures, where there are figures; and those of it that the
    strategy could have held, where it is one that says so: the shipped ones rank names."""
    rows = decisions.sessions
    size = experiment.universe_size
    day = np.array([universe(panel, row, size) for row in rows])
    made = [Pool("universe", f"the {size:,} largest of the day", day)]
    if fundamentals is not None:
        known = latest(fundamentals, panel.symbols, closes(panel.dates[rows]))
        figures = np.array([found >= 0 for found, _ in known])
        made.append(Pool("with figures", "of the universe, the names whose figures were known", day & figures))
    strategy = find(experiment)()
    if isinstance(strategy, Ranked):
        scores = scores_of(panel, fundamentals, rows, settings.fundamentals.score, strategy)
        ranks = strategy.ranks(Market(panel.price, panel.returns, panel.market_cap, scores))
        least = strategy.least(experiment.rules(settings.rebalancing))
        with np.errstate(invalid="ignore"):
            could = np.array([ranks(row) >= least for row in rows])  # a rank that is NaN is not
        made.append(Pool("eligible", "of the universe, the names that the strategy could have held", day & could))
    return made


def control(
    run: Run,
    decisions: Decisions,
    pool: Pool,
    simulate: Callable[[Sequence[Decisions]], Batch],
    seed: int,
    portfolios: int = PORTFOLIOS,
) -> Control:
    """The strategy's run against portfolios drawn from the pool. `simulate` runs decisions as the strategy's were run:
    `partial` of engine.simulate_many. NotEnough where a decision holds more names than the pool has."""
    rng = np.random.default_rng(seed)
    total, ratio, turnover = [], [], []
    for at in range(0, portfolios, _AT_ONCE):
        batch = simulate(list(draw(decisions, pool, rng, min(_AT_ONCE, portfolios - at))))
        total.append(batch.equity[:, -1] / run.capital - 1)
        returns = batch.equity[:, 1:] / batch.equity[:, :-1] - 1
        ratio.append(_ratios(returns))
        turnover.append(batch.turnover)
    totals, ratios = np.concatenate(total), np.concatenate(ratio)
    own = float(run.equity[-1] / run.capital - 1)
    own_ratio = float(_ratios(daily_returns(run.equity)[None])[0])
    low, median, high = np.quantile(totals, (0.05, 0.5, 0.95)).tolist()
    return Control(
        pool=pool.name,
        what=pool.what,
        portfolios=portfolios,
        p=_p(totals, own),
        p_sharpe=_p(ratios, own_ratio),
        own=own,
        low=low,
        median=median,
        high=high,
        turnover=float(np.concatenate(turnover).mean()),
        own_turnover=run.turnover,
    )


def draw(decisions: Decisions, pool: Pool, rng: np.random.Generator, portfolios: int) -> Iterator[Decisions]:
    """Decisions like these with other names: each of the strategy's names is stood for by one drawn from the pool.

    The stand-in is held, with the same weight, for as long as what it stands for is: size, weights and turnover are the
    strategy's. Only where it is no longer in the pool another one is drawn. NotEnough where the pool is too small.
    """
    _large_enough(decisions, pool)
    out = np.empty((portfolios, len(decisions.names)), dtype=np.int64)
    space = np.empty((portfolios + 2, pool.names.shape[1]), dtype=np.int64)
    kept = np.flatnonzero(~decisions.refused)
    (fast,) = compiled(stand_ins)
    fast(decisions.starts, decisions.names, kept, np.ascontiguousarray(pool.names), rng, space, out)
    for names in out:
        yield replace(decisions, names=names)


def stand_ins(
    starts: Ints, names: Ints, rows: Ints, pool: Bools, rng: np.random.Generator, space: Ints, out: Ints
) -> None:
    """Fills `out` (K, len(names)); `rows`: of the decisions that are not refused; `space` (K + 2, N) to work in, for
    what is compiled may not ask for memory. Compiled where numba is.

    What is needed comes off a list of the pool that is shuffled step by step (Fisher and Yates); what is held already
    is passed over, and so is what has just been left, as long as there is anything else.
    """
    portfolios = len(out)
    space[:portfolios] = -1  # by the strategy's name: who stands for it
    mark, cards = space[portfolios], space[portfolios + 1]
    mark[:] = 0
    before, since, stamp = 0, 0, 0  # the names held before are those from `before` to `since`
    for row in rows:
        first, last = starts[row], starts[row + 1]
        count = 0
        for name in range(pool.shape[1]):
            if pool[row, name]:
                cards[count] = name
                count += 1
        for k in range(portfolios):
            stamp += 2
            mine = space[k]
            for at in range(before, since):
                mark[mine[names[at]]] = stamp - 1  # just left, unless it is taken below
            for at in range(first, last):
                there = mine[names[at]]
                out[k, at] = there if there >= 0 and pool[row, there] else -1
                if out[k, at] >= 0:
                    mark[there] = stamp
            for at in range(before, since):
                mine[names[at]] = -1
            drawn, passed = 0, stamp - 1
            for at in range(first, last):
                while out[k, at] < 0:
                    if drawn == count:  # all others are held: then what was left
                        drawn, passed = 0, stamp
                    other = drawn + int(rng.random() * (count - drawn))
                    card = cards[other]
                    cards[other], cards[drawn] = cards[drawn], card
                    drawn += 1
                    if mark[card] < passed:
                        out[k, at] = card
                        mark[card] = stamp
                mine[names[at]] = out[k, at]
        before, since = first, last


def _large_enough(decisions: Decisions, pool: Pool) -> None:
    wanted, there = np.diff(decisions.starts), pool.names.sum(axis=1)
    short = np.flatnonzero((there < wanted) & ~decisions.refused)
    if short.size:
        raise NotEnough(
            f'no control from the pool "{pool.name}": at decision {short[0] + 1} of {len(wanted)} it has '
            f"{there[short[0]]} names, and {wanted[short[0]]} are held"
        )


def _ratios(returns: Floats) -> Floats:
    deviation = returns.std(axis=1)
    return np.divide(returns.mean(axis=1), deviation, out=np.zeros(len(returns)), where=deviation > 1e-12)


def _p(drawn: Floats, own: float) -> float:
    """Of equal ones, to the last bits of floats, all count as high."""
    return float(1 + np.sum(drawn >= own - 1e-12 * max(1.0, abs(own)))) / (1 + len(drawn))
