"""What a backtest cannot show, in plain sentences, as they are printed where its figures are. Pure: facts in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.panel import Bools, Fundamentals, Ints, Panel
from tokenomics_dagster.research.runs import Decisions, Run
from tokenomics_dagster.research.statistics import YEAR

FEW_DECISIONS = 52
"""A year of weekly ones."""
_IDLE = 23
"""Sessions that a first decision may take to come and to be filled: a month."""
_ROOM = 1.1
"""Between a position and what it costs: the cash that is kept back, and what a price moves until the fill."""
_LEAST_GONE = 20
"""Of fewer names that ended no part can be told."""
_LESS = 0.5
"""Where those that ended have figures half as often, whoever gathered them knew who would stay."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a result rests on. `trials`: experiments whose results were seen before this one was believed, itself among
    them; `gone`: names whose rows end before the panel does; `quarantined`: spans."""

    sessions: int
    decisions: int
    refused: int
    fill: str
    half_spread_bps: float
    fee_usd: float
    impact: float
    interest_pct: float
    haircut_pct: float | None
    quarantine: bool
    quarantined: int
    names: int
    gone: int
    dividends: bool
    opens: bool
    splits: bool
    industries: bool
    universe_size: int
    trials: int
    survivors: bool = False
    """Whether the data is known to hold only names that are still there."""
    figured: tuple[float, float] | None = None
    """Parts with figures of the names that ended and of those that did not; None: no figures, or too few that ended."""
    idle: int = 0
    """Sessions before something was held."""


def facts_of(
    panel: Panel,
    experiment: Experiment,
    decisions: Decisions,
    run: Run,
    fundamentals: Fundamentals | None = None,
    *,
    trials: int = 1,
) -> Facts:
    """`trials` as in `Facts`: it cannot be seen in the arrays."""
    there = panel.price > 0
    ever: Bools = np.any(there, axis=0)
    last = len(panel.dates) - 1 - np.argmax(there[::-1], axis=0)
    costs = experiment.costs
    return Facts(
        sessions=len(run.dates),
        decisions=len(run.decided),
        refused=int(decisions.refused.sum()),
        fill=experiment.fill,
        half_spread_bps=costs.half_spread_bps,
        fee_usd=costs.fee_usd,
        impact=costs.impact,
        interest_pct=experiment.interest_pct,
        haircut_pct=experiment.haircut_pct,
        quarantine=experiment.quarantine,
        quarantined=len(panel.quarantined),
        names=int(ever.sum()),
        gone=int((ever & (last < len(panel.dates) - 1)).sum()),
        dividends=panel.dividend is not None,
        opens=panel.open is not None,
        splits=panel.split is not None,
        industries=bool(panel.industry),
        universe_size=experiment.universe_size,
        trials=trials,
        survivors=experiment.survivors,
        figured=None if fundamentals is None else _figured(panel, fundamentals, ever, last),
        idle=len(run.dates) if run.first_held is None else run.first_held,
    )


def _figured(panel: Panel, fundamentals: Fundamentals, ever: Bools, last: Ints) -> tuple[float, float] | None:
    """As `Facts.figured`, of the names that ended after the first figure was known: those before could have none."""
    since = np.searchsorted(panel.dates, fundamentals.known_at.min().astype("datetime64[D]")) if ever.any() else 0
    there = ever & (last >= since)
    gone = there & (last < len(panel.dates) - 1)
    stayed = there & ~gone
    if gone.sum() < _LEAST_GONE or not stayed.any():
        return None
    figured = np.isin(np.array(panel.symbols), fundamentals.symbol)
    return float(figured[gone].mean()), float(figured[stayed].mean())


def untraded(panel: Panel, experiment: Experiment, decisions: Decisions, run: Run, minimum: float) -> list[str]:
    """That the capital is too small to trade anything, in a sentence; none where something was traded, nothing wanted,
    or it was not for the capital. `minimum`: USD under which a trade is skipped.

    What was decided at the last close alone cannot be filled, and says nothing of the capital.
    """
    rows = np.repeat(decisions.sessions, np.diff(decisions.starts))
    wanted = (decisions.weights > 0) & ((rows < len(panel.dates) - 1) | (experiment.fill == "close"))
    if len(run.fills.sessions) or not wanted.any():
        return []
    rows, names = rows[wanted], decisions.names[wanted]
    usd, price = decisions.weights[wanted] * run.capital, panel.price[rows, names]
    least = np.maximum(price if experiment.shares == "whole" else 0.0, minimum)
    if (usd > _ROOM * least).any():
        return []
    nearest = int(np.argmax(np.nan_to_num(usd / price)))
    advice = ["raise capital", "hold fewer names (top_n)"]
    if minimum:
        advice.append(f"lower rebalancing.min_trade_usd ({minimum:g} USD, under which a trade is skipped)")
    if experiment.shares == "whole":
        advice.append("write shares: fractional")
    said = (
        f"Nothing was ever traded, though {len(np.unique(rows)):,} decisions wanted names: with a capital of "
        f"{run.capital:,.2f} USD a position is at most {usd.max():,.2f} USD, and the nearest to a share is "
        f"{usd[nearest]:,.2f} USD of {panel.symbols[names[nearest]]} at {price[nearest]:,.2f} USD. To see what the "
        f"strategy does, {', '.join(advice[:-1])} or {advice[-1]}."
    )
    return [said]


def doubts(facts: Facts) -> list[str]:
    """Whole sentences, the gravest first."""
    return [*_survivors(facts), *_record(facts), *_names(facts), *_data(facts), *_trading(facts)]


def _survivors(facts: Facts) -> list[str]:
    """Above all else: no length of a record mends it. What is seen in the figures is more exact than what is said."""
    if facts.figured is not None and facts.figured[0] < _LESS * facts.figured[1]:
        gone, stayed = facts.figured
        said = (
            f"The figures are those of survivors: {gone:.0%} of the names that ended have any, and {stayed:.0%} of "
            "those that are still there: a choice by them knows who would stay, and every return is too high; compare "
            "it with names that have figures, and with no market."
        )
    elif facts.survivors:
        said = (
            "The data holds only names that are still there: those that failed are missing, and every return is too "
            "high."
        )
    else:
        return []
    return [said]


def _record(facts: Facts) -> list[str]:
    said = []
    if facts.decisions < FEW_DECISIONS:
        said.append(
            f"There are {facts.decisions} decisions, under the {FEW_DECISIONS} of a year of weeks: skill and luck "
            "cannot be told apart with them, whatever the return."
        )
    if facts.idle == facts.sessions:
        said.append("Nothing was ever held, and every figure is that of cash.")  # `untraded` says why, where it can
    elif facts.idle > _IDLE:
        said.append(
            f"Nothing was held in the first {facts.idle:,} of {facts.sessions:,} sessions: they are in the record, and "
            "dilute its growth a year, volatility and Sharpe ratio."
        )
    if facts.refused:
        said.append(f"At {facts.refused} more sessions nothing could be decided, and what was held was kept.")
    if facts.sessions - 1 < YEAR:
        said.append(
            f"The record has {facts.sessions} sessions, less than a year: no growth, volatility or "
            "ratio of a year is told (GIPS 2020, 5.A.4)."
        )
    if facts.trials > 1:
        said.append(
            f"It is one of {facts.trials} experiments that were seen: the best of many looks good by luck; see the "
            "deflated Sharpe ratio."
        )
    said.append("The past is one draw: the strategy and its settings may have been thought of because of it.")
    return said


def _names(facts: Facts) -> list[str]:
    said = []
    if not facts.survivors and not facts.gone:
        said.append(
            f"None of the {facts.names:,} names ends before the data does: what failed seems to be missing, and then "
            "every return is too high."
        )
    said.append(
        f"Names are chosen from the {facts.universe_size:,} largest of each day; whether the data has all of them that "
        "there were, it cannot say itself."
    )
    if facts.gone and facts.haircut_pct is None:
        said.append(
            f"{facts.gone:,} names end before the data does, and it does not tell a failure from a merger or from "
            "a new ticker: results with nothing lost and with 55 % lost, whatever the exchange, are both told "
            "(Shumway 1997; Shumway and Warther 1999)."
        )
    elif facts.gone:
        said.append(
            f"{facts.gone:,} names end before the data does; each that was held then lost {facts.haircut_pct:g} %, "
            "whether it failed, was bought or only took another ticker."
        )
    return said


def _data(facts: Facts) -> list[str]:
    said = []
    if not facts.dividends:
        said.append(
            "Price return: the data has no dividends beside its returns, and what the source's returns leave out is "
            "missing here."
        )
    said.append("Risk-free rate 0: Sharpe ratios are too high by what cash would have earned.")
    if not facts.splits:
        said.append("The data tells no splits: shares are counted in those of each name's first row.")
    if not facts.quarantine:
        said.append("Quarantine is off: rows that cannot be believed were used, as they stand in the data.")
    elif facts.quarantined:
        said.append(
            f"{facts.quarantined:,} spans of rows could not be believed and were kept from being chosen; the same "
            "judgement finds no error that looks like a truth."
        )
    if not facts.industries:
        said.append("The data has no industries: how far the result is a bet on one of them is not told.")
    return said


def _trading(facts: Facts) -> list[str]:
    said = []
    if facts.fill == "close":
        said.append(
            "Fills at the close that decides: nobody can trade at it. It is for comparing engines, and is no evidence."
        )
    elif facts.fill == "next_close":
        without = "" if facts.opens else ", for the data has no opens"
        said.append(f"Fills at the next close{without}: the live platform trades in the morning.")
    costs = f"{facts.half_spread_bps:g} bps of half spread and {facts.fee_usd:g} USD an order"
    if facts.impact:
        said.append(f"Costs are modelled, not met: {costs}, and an impact by volume and volatility.")
    else:
        said.append(f"Costs are modelled, not met: {costs}, and no impact: nothing here holds for a large account.")
    if not facts.interest_pct:
        said.append("Cash earns nothing.")
    said.append("Taxes are not taken off.")
    return said
