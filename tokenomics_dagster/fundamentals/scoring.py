"""From financial figures to a score of 0 to 100, or to the reason why there is none. Reading and storing stay out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.settings.fundamentals import LinearScore, ScoreSettings

# 32,768 float64 are 256 KB: what is at work fits a core's level-2 cache.
BLOCK = 32_768

Floats = NDArray[np.float64]


FIGURES = (
    "roe_ttm_pct",
    "debt_to_equity",
    "revenue_growth_yoy_pct",
    "eps_growth_yoy_pct",
    "book_value_per_share",
)


class Unscored(IntFlag):
    """Why there is no score; several may hold. 0 means scored."""

    NEGATIVE_EQUITY = 1
    NO_ROE = 2
    NO_DEBT_TO_EQUITY = 4
    NO_GROWTH = 8


SENTENCES = {
    Unscored.NEGATIVE_EQUITY: "equity is negative",
    Unscored.NO_ROE: "ROE is missing",
    Unscored.NO_DEBT_TO_EQUITY: "debt/equity is missing",
    Unscored.NO_GROWTH: "revenue and EPS growth are both missing",
}


def score_arrays(
    roe: ArrayLike,
    debt_to_equity: ArrayLike,
    revenue_growth: ArrayLike,
    eps_growth: ArrayLike,
    book_value_per_share: ArrayLike,
    rules: ScoreSettings,
) -> tuple[Floats, NDArray[np.uint8]]:
    """Scores (NaN where there is none) and `Unscored` codes, in the shape of the arguments, e.g. weeks x names.

    ROE and growth in percent, debt/equity as a ratio, book value in USD; NaN and infinite values are missing, zero is
    a value. Each part is linear from `worst` (0) to `best` (100 points), clipped and weighted; growth is the mean of
    revenue and EPS growth, of those present. Equity is negative when debt/equity or book value is below zero: then the
    ratios look best where things are worst. A book value of exactly zero is not negative and rules nothing out.
    """
    figures = [
        np.ascontiguousarray(figure, dtype=np.float64)
        for figure in (roe, debt_to_equity, revenue_growth, eps_growth, book_value_per_share)
    ]
    shape = figures[0].shape
    if any(figure.shape != shape for figure in figures):
        raise ValueError(f"figures of different shapes: {', '.join(str(figure.shape) for figure in figures)}")
    scores, codes = np.empty(shape), np.empty(shape, dtype=np.uint8)
    flat = [figure.reshape(-1) for figure in figures]
    flat_scores, flat_codes = scores.reshape(-1), codes.reshape(-1)
    scratch = np.empty((2, min(BLOCK, scores.size)))
    for start in range(0, scores.size, BLOCK):
        block = slice(start, start + BLOCK)
        _score_block([figure[block] for figure in flat], rules, flat_scores[block], flat_codes[block], scratch)
    return scores, codes


def score(
    universe: pd.DataFrame,
    financials: pd.DataFrame,
    rules: ScoreSettings,
    *,
    unscored: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """A `Scores` frame with one row per symbol of the universe, in its order.

    `universe` has `symbol` and `market_cap_musd`; this cap is kept because it was checked to be in USD, which that of
    the financials was not. `financials` is a `Financials` frame, one row per symbol; a symbol without a row gets that
    as its reason, rows of strangers are ignored. `unscored` names those that must have no score, each with its reason.
    """
    known = Financials.validate(financials).drop(columns="market_cap_musd")
    frame = universe[["symbol", "market_cap_musd"]].merge(known, on="symbol", how="left", validate="one_to_one")
    figures = frame[list(FIGURES)]
    frame[list(FIGURES)] = figures.where(np.isfinite(figures))
    roe, debt, revenue, eps, book = (frame[column].to_numpy() for column in FIGURES)
    scores, codes = score_arrays(roe, debt, revenue, eps, book, rules)
    reasons = pd.Series([sentence(code) for code in codes], index=frame.index, dtype="str")
    reasons[~frame["symbol"].isin(known["symbol"])] = "financials have not been fetched"
    barred = frame["symbol"].map(unscored)
    reasons = barred.where(barred.notna(), reasons).astype("str")
    scored = (codes == 0) & barred.isna().to_numpy()
    parts = part_points(roe, debt, revenue, eps, rules)
    frame = frame.assign(
        score=np.where(scored, scores, np.nan),
        reason=reasons,
        **{f"{name}_points": np.where(scored, part, np.nan) for name, part in parts.items()},
    )
    return Scores.validate(frame[list(Scores.to_schema().columns)])


def part_points(
    roe: Floats, debt_to_equity: Floats, revenue_growth: Floats, eps_growth: Floats, rules: ScoreSettings
) -> dict[str, Floats]:
    """Of each part (`roe`, `debt`, `growth`) 0 to 100 points, before its weight; NaN where its figure is missing.

    One-dimensional arrays of one length, units as of `score_arrays`; infinite values must be NaN already.
    """
    growth = mean_growth(revenue_growth, eps_growth)
    return {
        "roe": _points(roe, rules.roe_pct, 100.0, np.empty(len(roe))),
        "debt": _points(debt_to_equity, rules.debt_to_equity, 100.0, np.empty(len(roe))),
        "growth": _points(growth, rules.growth_pct, 100.0, np.empty(len(roe))),
    }


def mean_growth(revenue_growth: Floats, eps_growth: Floats) -> Floats:
    """Of each name the mean of those of the two that it has, percent; NaN where it has none."""
    return _growth(revenue_growth, eps_growth, np.empty((2, len(revenue_growth))))


def sentence(code: int) -> str | None:
    """The reason that a code of `score_arrays` stands for; None for 0."""
    reasons = [text for flag, text in SENTENCES.items() if code & flag]
    return "; ".join(reasons) or None


def _score_block(
    figures: list[Floats], rules: ScoreSettings, scores: Floats, codes: NDArray[np.uint8], scratch: Floats
) -> None:
    """Fills `scores` and `codes`; in place, for what is allocated anew is written through memory."""
    roe, debt, revenue, eps, book = (
        np.where(infinite, np.nan, figure) if (infinite := np.isinf(figure)).any() else figure for figure in figures
    )
    negative = (debt < 0) | (book < 0)
    growth = _growth(revenue, eps, scratch[:, : len(scores)])
    codes[:] = negative
    for flag, figure in ((Unscored.NO_ROE, roe), (Unscored.NO_DEBT_TO_EQUITY, debt), (Unscored.NO_GROWTH, growth)):
        codes |= np.isnan(figure) * np.uint8(flag)
    part = scratch[1, : len(scores)]
    _points(growth, rules.growth_pct, rules.growth_pct.weight, scores)
    scores += _points(roe, rules.roe_pct, rules.roe_pct.weight, part)
    scores += _points(debt, rules.debt_to_equity, rules.debt_to_equity.weight, part)
    # Weights may add up to a few bits more than 100.
    np.clip(scores, 0.0, 100.0, out=scores)
    np.putmask(scores, negative, np.nan)


def _growth(revenue: Floats, eps: Floats, scratch: Floats) -> Floats:
    """Their mean, the other one where one is NaN; kept in scratch[0]."""
    # fmax and fmin pass over NaN; halving first cannot overflow
    growth, least = scratch
    np.fmax(revenue, eps, out=growth)
    np.fmin(revenue, eps, out=least)
    growth *= 0.5
    least *= 0.5
    growth += least
    return growth


def _points(figure: Floats, rule: LinearScore, most: float, out: Floats) -> Floats:
    """0 at rule.worst, `most` at rule.best, linear between and clipped; NaN stays NaN."""
    slope = most / (rule.best - rule.worst)
    with np.errstate(over="ignore"):
        np.multiply(figure, slope, out=out)
    out -= rule.worst * slope
    return np.clip(out, 0.0, most, out=out)
