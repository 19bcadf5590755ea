"""What a Sharpe ratio is worth after luck: one record, and the best of many trials. Arrays of daily returns in.

Every Sharpe ratio here is of a session, not of a year, where nothing else is said: a year's divided by the root of 252.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import kurtosis, norm, skew

from tokenomics_dagster.research.panel import Floats, Ints
from tokenomics_dagster.research.statistics import YEAR, NotEnough

ALIKE = 0.5
"""Trials whose daily returns correlate by this much on average count as one."""
_CONSTANT = 1e-12


@dataclass(frozen=True, slots=True)
class Moments:
    """Of `n` daily returns: Sharpe ratio of a session (ddof 1), skew and raw kurtosis (3: normal), both unbiased."""

    n: int
    sharpe: float
    skew: float = 0.0
    kurtosis: float = 3.0

    @property
    def spread(self) -> float:
        """Squared standard error of the Sharpe ratio, times n - 1 (Mertens 2002)."""
        return max(1 - self.skew * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2, 1e-12)


@dataclass(frozen=True, slots=True)
class Deflated:
    """`probability`: that the best trial's Sharpe ratio is above what the best of so many without skill would show,
    `expected_best` (a year's). `trials` made, `independent` of them in effect; `unknown` of them have no
    returns here, and each is independent. A year's Sharpe: `sharpe`.
    """

    probability: float
    sharpe: float
    expected_best: float
    trials: int
    independent: int
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Overfitting:
    """`probability`: of backtest overfitting, the part of the `splits` in which the best trial of one half was no
    better than the median in the other. `loss`: the part in which it lost there. `median_rank`: 0 worst to 1 best.
    """

    probability: float
    loss: float
    median_rank: float
    splits: int
    trials: int


def moments(returns: Floats) -> Moments:
    """Of one record (n,). NotEnough under 4 returns, or where they do not differ."""
    if len(returns) < 4:
        raise NotEnough(f"skew and kurtosis need 4 daily returns, and the record has {len(returns)}")
    deviation = float(returns.std(ddof=1))
    if deviation < _CONSTANT:
        raise NotEnough("the daily returns do not differ from each other: they have no Sharpe ratio")
    return Moments(
        n=len(returns),
        sharpe=float(returns.mean()) / deviation,
        skew=float(skew(returns, bias=False)),
        kurtosis=float(kurtosis(returns, fisher=False, bias=False)),
    )


def probabilistic_sharpe(of: Moments, against: float = 0.0) -> float:
    """Probability that the true Sharpe ratio is above `against` (Bailey and Lopez de Prado 2012)."""
    return float(norm.cdf((of.sharpe - against) * math.sqrt((of.n - 1) / of.spread)))


def minimum_track_record(of: Moments, against: float = 0.0, level: float = 0.95) -> float | None:
    """Years of 252 sessions after which such a record tells its Sharpe ratio from `against` (Bailey and Lopez de Prado
    2012); None where it is not above it: no length is enough."""
    if of.sharpe <= against:
        return None
    return float(1 + of.spread * (norm.ppf(level) / (of.sharpe - against)) ** 2) / YEAR


def expected_best(variance: float, trials: float) -> float:
    """The Sharpe ratio that the best of `trials` independent ones without skill is expected to show, where theirs vary
    by `variance` (Bailey and Lopez de Prado 2014, the False Strategy theorem). 0 for a single one."""
    if trials <= 1:
        return 0.0
    euler = float(np.euler_gamma)
    best = (1 - euler) * norm.ppf(1 - 1 / trials) + euler * norm.ppf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * float(best)


def clusters(trials: Floats) -> Ints:
    """(N,) cluster of each trial of the daily returns (T, N), from 0: how many there are is the effective number of
    independent ones.

    Clustering the kept returns is Lopez de Prado and Lewis 2019; here by average linkage on the distance
    sqrt((1 - correlation) / 2) (Mantegna 1999), cut where trials correlate by 0.5 on average, instead of k-means with
    the best silhouette, which finds a few clusters in pure noise. Trials that all hold stocks share the market: give
    returns less the benchmark's, or all of them are one.
    """
    _checked(trials)
    if trials.shape[1] == 1:
        return np.zeros(1, dtype=np.int64)
    correlation = np.clip(np.corrcoef(trials, rowvar=False), -1, 1)
    distance = np.sqrt(np.maximum(1 - correlation, 0) / 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="average")
    return fcluster(tree, math.sqrt((1 - ALIKE) / 2), criterion="distance").astype(np.int64) - 1


def deflated_sharpe(trials: Floats, chosen: int | None = None, unknown: int = 0) -> Deflated:
    """How likely the chosen trial's Sharpe ratio (by default the best's) is more than the luck of all the trials (T, N)
    that were made, the chosen one among them (Bailey and Lopez de Prado 2014). `unknown`: how many more were made, of
    which there are no returns: each counts as independent, with a Sharpe ratio that varies as those of the others do.

    The variance of the trials' Sharpe ratios weighs each cluster alike, so that trying one idea a hundred times does
    not hide how far ideas differ. With one independent trial nothing is deflated; NotEnough where others are unknown.
    """
    of = clusters(trials)
    ratios = trials.mean(axis=0) / trials.std(axis=0, ddof=1)
    at = int(np.argmax(ratios)) if chosen is None else chosen
    count = int(of.max()) + 1
    variance = 0.0
    if count > 1:
        weights = 1 / (np.bincount(of)[of] * count)
        variance = float(weights @ (ratios - weights @ ratios) ** 2) * count / (count - 1)
    elif unknown:
        raise NotEnough(
            f"of {unknown} more trials the returns are unknown, and how far Sharpe ratios of trials differ cannot be "
            "told by a single independent one"
        )
    best = expected_best(variance, count + unknown)
    return Deflated(
        probability=probabilistic_sharpe(moments(trials[:, at]), best),
        sharpe=float(ratios[at]) * math.sqrt(YEAR),
        expected_best=best * math.sqrt(YEAR),
        trials=trials.shape[1] + unknown,
        independent=count + unknown,
        unknown=unknown,
    )


def overfitting(trials: Floats, parts: int = 16) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de
    Prado and Zhu 2015) of the daily returns (T, N) of ALL trials, in `parts` (even) consecutive parts.

    NotEnough under 2 trials or 10 sessions a part.
    """
    count, tried = trials.shape
    if parts % 2 or parts < 4:
        raise ValueError(f"an even number of at least 4 parts is needed, not {parts}")
    if tried < 2:
        raise NotEnough(f"the probability of overfitting needs 2 trials, and there is {tried}")
    if count < 10 * parts:
        raise NotEnough(
            f"the probability of overfitting needs {10 * parts} daily returns, 10 in each of {parts} parts, and the "
            f"trials have {count}"
        )
    _checked(trials)
    edges = np.linspace(0, count, parts + 1).round().astype(np.int64)[:-1]
    held = np.array(list(combinations(range(parts), parts // 2)))
    inside = np.zeros((len(held), parts))
    np.put_along_axis(inside, held, 1.0, axis=1)
    sums, squares = (np.add.reduceat(of, edges, axis=0) for of in (trials, trials**2))
    sizes = np.diff(np.append(edges, count)).astype(np.float64)
    ranks, lost = np.empty(len(held)), np.empty(len(held), dtype=bool)
    step = max(1, 2_000_000 // tried)  # 16 MB a grid
    for at in range(0, len(held), step):
        here = inside[at : at + step]
        best = np.argmax(_ratios(here, sums, squares, sizes), axis=1)
        there = _ratios(1 - here, sums, squares, sizes)
        own = np.take_along_axis(there, best[:, None], axis=1)
        # 1 is the worst; of equals each has the middle of their ranks
        rank = (there < own).sum(axis=1) + ((there == own).sum(axis=1) + 1) / 2
        ranks[at : at + step] = rank / (tried + 1)
        lost[at : at + step] = own[:, 0] < 0
    return Overfitting(
        probability=float(np.mean(ranks <= 0.5)),
        loss=float(lost.mean()),
        median_rank=float(np.median(ranks)),
        splits=len(held),
        trials=tried,
    )


def _ratios(inside: Floats, sums: Floats, squares: Floats, sizes: Floats) -> Floats:
    """(S, N) Sharpe ratios of the trials in the parts that each row of `inside` (S, parts) marks with 1."""
    n = (inside @ sizes)[:, None]
    mean = inside @ sums / n
    variance = np.maximum(inside @ squares / n - mean**2, 0) * n / (n - 1)
    return mean / np.sqrt(np.maximum(variance, 1e-300))


def _checked(trials: Floats) -> None:
    if trials.ndim != 2 or not np.isfinite(trials).all():
        raise ValueError("trials are daily returns (T, N), all of them finite")
    still = np.flatnonzero(trials.std(axis=0) < _CONSTANT)
    if still.size:
        raise NotEnough(
            f"{still.size} of {trials.shape[1]} trials have the same return each day (the first is number {still[0]}): "
            "they traded nothing; leave them out, and say so"
        )
