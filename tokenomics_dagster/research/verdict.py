"""What a tuning is worth, in figures and plain sentences: out of sample, beside doing nothing, and after luck.

How it was done is tuning.py's, how figures are made statistics.py's, bootstrap.py's and trials.py's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tokenomics_dagster.research.bootstrap import Difference, sharpe_difference
from tokenomics_dagster.research.kept_trials import NOTHING, Before, tally
from tokenomics_dagster.research.kept_trials import Trial as Kept
from tokenomics_dagster.research.panel import Days, Floats
from tokenomics_dagster.research.search import named
from tokenomics_dagster.research.statistics import NotEnough, as_day, drawdowns, growth, of_a_year, sharpe, volatility
from tokenomics_dagster.research.trials import Deflated, Overfitting, deflated_sharpe, overfitting
from tokenomics_dagster.research.tuning import Tuned

DOUBT = 0.05
"""The largest p by which a lead is told from chance."""
_EVEN = 0.5
"""Of overfitting: from here on the best of one half is no better than any other in the next."""
_STILL = 1e-12
_ONCE = (
    "One record was judged, once. Who changes the search until it helps has chosen by these sessions, too: then they "
    "are out of sample no more, and nothing here says so."
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a record out of sample, as statistics.py defines them; None is undefined."""

    total_return: float
    growth: float | None
    volatility: float | None
    sharpe: float | None
    max_drawdown: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """`helped`: a lead in Sharpe over the settings as they are with p of 0.05 at most, and choices that are more likely
    than not to be above the middle in another half of the record, too. `difference`: tuned less untuned.

    `overfitting`: of all trials. `deflated`: of the lead over the settings as they are of what the whole record chose,
    among the leads of all trials (so that what all of them share counts for none), those of before on the same prices
    among them. Texts where they cannot be told.
    """

    helped: bool
    tuned: Figures
    untuned: Figures
    held: Figures
    difference: Difference | str
    overfitting: Overfitting | str
    deflated: Deflated | str
    sentences: tuple[str, ...]

    @property
    def beside(self) -> dict[str, Figures]:
        """By what each account is, in words."""
        return {"tuned": self.tuned, "the settings as they are": self.untuned, "bought and held": self.held}


def judge(of: Tuned, *, seed: int, tried: Sequence[Kept] = (), before: Before = NOTHING) -> Verdict:
    """What came of the tuning. `seed`: of the bootstrap. `tried`: its trials as they are kept for later studies, in
    their order; `before`: what else was tried on its prices."""
    days = of.dates[of.judged]
    tuned, untuned, held = (_figures(one, days) for one in (of.tuned, of.untuned, of.held))
    difference = _difference(of, seed)
    likely, (luck, more) = _overfitting(of), _deflated(of, tried, before)
    helped = (
        isinstance(difference, Difference)
        and difference.sharpe.estimate > 0
        and difference.p <= DOUBT
        and isinstance(likely, Overfitting)
        and likely.probability < _EVEN
    )
    span = f"from {as_day(days[0])} to {as_day(days[-1])}, {len(days):,} sessions, each after what it was chosen by"
    told = (
        _whether(helped, difference, tuned, untuned, likely, span),
        _beside_holding(tuned, untuned, held),
        *_luck(likely, luck, more),
        _advice(of, helped),
        _ONCE,
    )
    return Verdict(helped, tuned, untuned, held, difference, likely, luck, told)


def _figures(returns: Floats, days: Days) -> Figures:
    equity: Floats = np.cumprod(1 + returns, dtype=np.float64)
    falls = drawdowns(1.0, equity, days)
    return Figures(
        total_return=float(equity[-1] - 1),
        growth=growth(1.0, equity, days),
        volatility=of_a_year(volatility, returns),
        sharpe=of_a_year(sharpe, returns),
        max_drawdown=falls[0].depth if falls else 0.0,
    )


def _difference(of: Tuned, seed: int) -> Difference | str:
    if all(not choice.setting for choice in of.choices):
        return "no fold chose other settings than those there are"
    try:
        return sharpe_difference(of.tuned, of.untuned, seed)
    except NotEnough as error:
        return str(error)


def _overfitting(of: Tuned) -> Overfitting | str:
    try:
        return overfitting(_varying(np.column_stack([trial.returns for trial in of.trials])[_record(of)]))
    except NotEnough as error:
        return str(error)


def _deflated(of: Tuned, tried: Sequence[Kept], before: Before) -> tuple[Deflated | str, int]:
    """And how many of before are among the trials."""
    if not of.now.setting:
        return "the whole record chose the settings as they are", 0
    if before.refused:
        return before.refused, 0
    rows = slice(max(_record(of).start, 1), len(of.dates))  # what is kept begins with the second session
    leads = np.column_stack([trial.returns - of.trials[0].returns for trial in of.trials])[rows]
    unknown = 0
    if before.trials or before.damaged:
        active = np.column_stack([one.active for one in tried])[rows.start - 1 :]
        found = tally(before, of.dates[rows], active)
        leads = np.hstack((leads, found.returns[:, len(tried) :] - active[:, :1]))
        unknown = found.counted.unknown
    (chosen,) = (n for n, trial in enumerate(of.trials) if trial.setting == of.now.setting)
    there = np.flatnonzero(leads.std(axis=0) > _STILL)
    more = int((there >= len(of.trials)).sum()) + unknown
    try:
        return deflated_sharpe(leads[:, there], int(np.flatnonzero(there == chosen)[0]), unknown), more
    except NotEnough as error:
        return str(error), more


def _record(of: Tuned) -> slice:
    """From the first decision on."""
    return slice(min(choice.fold.train.start for choice in (*of.choices, of.now)), len(of.dates))


def _varying(returns: Floats) -> Floats:
    """(T, N) without the trials that held nothing but cash."""
    return returns[:, returns.std(axis=0) > _STILL]


def _whether(
    helped: bool, difference: Difference | str, tuned: Figures, untuned: Figures, likely: Overfitting | str, span: str
) -> str:
    beside = f"a Sharpe ratio of {_ratio(tuned.sharpe)}, and of {_ratio(untuned.sharpe)} with the settings as they are"
    if isinstance(difference, str):
        return f"Tuning did not help: {beside}, {span}. The two cannot be told apart: {difference}."
    interval = difference.sharpe
    figures = (
        f"the lead is {interval.estimate:.2f}, 95 % interval {interval.low:.2f} to {interval.high:.2f}, "
        f"p = {difference.p:.3f}"
    )
    if helped:
        return f"Tuning helped: {beside}, {span}; {figures}."
    if interval.estimate <= 0:
        return f"Tuning did not help: {beside}, {span}; {figures}."
    if difference.p > DOUBT:
        return f"Tuning did not help as far as can be shown: {beside}, {span}. Chance makes such a lead: {figures}."
    why = likely if isinstance(likely, str) else f"the probability of overfitting is {likely.probability:.2f}"
    return f"Tuning did not help as far as can be shown: {beside}, {span}; {figures}, but {why}."


def _beside_holding(tuned: Figures, untuned: Figures, held: Figures) -> str:
    text = f"Buying and holding had a Sharpe ratio of {_ratio(held.sharpe)} over the same sessions"
    if held.sharpe is None or tuned.sharpe is None or untuned.sharpe is None:
        return f"{text}."
    if held.sharpe >= max(tuned.sharpe, untuned.sharpe):
        return f"{text}: more than either, without a decision."
    if held.sharpe >= tuned.sharpe:
        return f"{text}: more than what was tuned."
    return f"{text}: less than what was tuned."


def _luck(likely: Overfitting | str, luck: Deflated | str, more: int) -> Iterator[str]:
    if isinstance(likely, str):
        yield f"The probability of overfitting cannot be told: {likely}."
    else:
        found = f"The probability of overfitting is {likely.probability:.2f}"
        why = (
            "what is best in one half of the record is below the middle in the other as often as not, or more often"
            if likely.probability >= _EVEN
            else "in so many of the splits what is best in one half of the record is below the middle in the other"
        )
        yield f"{found} ({likely.trials:,} settings, CSCV with {likely.splits:,} splits): {why}."
    if isinstance(luck, str):
        yield f"What the whole record chose is not measured against luck: {luck}."
    else:
        kept = f" and {more:,} that were tried before on these prices" if more else ""
        without = f" ({luck.unknown:,} of them without returns over these sessions)" if luck.unknown else ""
        yield (
            f"Of {luck.trials - more:,} settings{kept}{without}, {luck.independent:,} of them independent, the best "
            "lead over the settings as they are has by luck alone an information ratio of "
            f"{luck.expected_best:.2f}; that of the one that the "
            f"whole record chose is {luck.sharpe:.2f}, which is more than luck with probability {luck.probability:.2f}."
        )


def _advice(of: Tuned, helped: bool) -> str:
    if not of.now.setting:
        return "The whole record chooses the settings as they are."
    if helped:
        return f"For the time to come the whole record chooses {named(of.now.setting)}."
    return f"Keep the settings as they are; the whole record would choose {named(of.now.setting)}."


def _ratio(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
