"""Figures that are there and not believed: another name's, impossible, in another unit, gone since last time, too old.

What is in doubt is not traded on: a name keeps the figures that it was last scored by until a later sweep has found the
same. Pure. How much doubt is too much is for checks.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from tokenomics_dagster.fundamentals import scoring
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.fundamentals import FundamentalsSettings
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.universe.selection import issuers

# Percent or ratio, thousands, millions. Of 19 recorded weeks of 1,290 names no figure came this near to such a multiple
# of its last one; within 50 to 200 and 0.005 to 0.02 up to two of a metric a week did.
_FACTORS = (1e-6, 1e-3, 1e-2, 1e2, 1e3, 1e6)
_NEAR = 1.11
# Two names may share one figure or three by chance, and two classes of one issuer share all.
_ALIKE = 4


class Settled(NamedTuple):
    """`scores` by what is believed; `fresh` by the newest figures alone, for the checks; why, symbol by symbol."""

    scores: pd.DataFrame
    fresh: pd.DataFrame
    kept: dict[str, str]
    """Scored by the figures of before, with the doubt in the newest."""
    dropped: dict[str, str]
    """Without a score for it."""
    looks: dict[str, datetime]
    """When the figures came that first raised the doubt, of each that is kept: what the next scores must know."""


def settle(
    universe: pd.DataFrame,
    facts: pd.DataFrame,
    last: pd.DataFrame | None,
    now: datetime,
    settings: Settings,
    *,
    looks: Mapping[str, datetime] = MappingProxyType({}),
    accepted: bool = False,
) -> Settled:
    """Scores of the universe (`symbol`, `name`, `market_cap_musd`) from `Financials` rows, doubts settled.

    Figures that are another name's or impossible are never scored. Those in another unit, and scores that are lost for
    want of a figure, by an old report or by an older one than the last, are doubted, unless a person has `accepted` the
    change. Either way the name keeps what it was `last` scored by until a later sweep has found it in doubt again: then
    the second kind is believed, and the first has no score. `looks` are those of the last scores: to score the same
    answer again is no second look. What was kept too long to have been sound at the last but one sweep is kept no more.
    """
    rules = settings.fundamentals
    owners = issuers_of(universe)
    periods = facts.set_index("symbol")["reported_period"]
    facts = _known_periods(facts, last)
    rows = facts[facts["symbol"].isin(owners)]
    wrong = {**implausible(rows, rules), **twins(rows, owners)}
    aged = too_old(rows, now, rules)
    fresh = scoring.score(universe, facts, rules.score, unscored={**aged, **wrong})
    waiting = {} if accepted else {**_lost_for_want(fresh, last, periods), **_jumped(fresh, last)}
    doubted = {**waiting, **wrong}
    came = dict(zip(facts["symbol"], facts["known_at"], strict=True))
    first = {symbol: looks.get(symbol, came.get(symbol, now)) for symbol in doubted}
    sweep = timedelta(days=rules.refresh_days)  # less than that after another no sweep asks for a name
    again = {symbol for symbol in doubted if symbol in came and came[symbol] - first[symbol] >= sweep}
    before = _last_figures(last, now, settings.guards)
    # Nobody has seen a doubt of what was not fetched: it is gone when the sweep after the one that failed fails, too.
    unseen = before.index[before["known_at"] < now - sweep - timedelta(days=settings.guards.max_score_age_days)]
    again |= set(unseen) - set(came)
    kept = {symbol: why for symbol, why in doubted.items() if symbol in before.index and symbol not in again}
    if not kept:
        return Settled(fresh, fresh, {}, {**aged, **wrong}, {})
    figures = pd.concat([facts[~facts["symbol"].isin(kept)], before.loc[list(kept)].reset_index()], ignore_index=True)
    dropped = {symbol: why for symbol, why in {**aged, **wrong}.items() if symbol not in kept}
    scores = scoring.score(universe, figures, rules.score, unscored=dropped)
    return Settled(scores, fresh, kept, dropped, {symbol: first[symbol] for symbol in kept})


def believed_since(now: datetime, guards: GuardSettings) -> datetime:
    """Figures that came before cannot stand in for doubtful ones: two sweeps have passed, each of which may come as
    late as orders wait for it."""
    return now - 2 * timedelta(days=guards.max_score_age_days)


def issuers_of(universe: pd.DataFrame) -> dict[str, str]:
    """Symbol to its company, of `symbol` and `name`: the classes of one are spelled in many ways."""
    symbols = list(universe["symbol"])
    return dict(zip(symbols, issuers(symbols, list(universe["name"])), strict=True))


def twins(rows: pd.DataFrame, owners: Mapping[str, str]) -> dict[str, str]:
    """Names whose figures, four or more of them, are exactly those of another issuer, with the sentence why.

    Of 19 recorded weeks of 1,290 names none: only GOOG and GOOGL, and their like.
    """
    figures = rows[["symbol", *scoring.FIGURES]]
    enough = figures[figures[list(scoring.FIGURES)].notna().sum(axis=1) >= _ALIKE]
    alike = enough[enough.duplicated(list(scoring.FIGURES), keep=False)]
    found = {}
    for _, group in alike.groupby(list(scoring.FIGURES), dropna=False):
        symbols = sorted(group["symbol"])
        if len({owners.get(symbol) or symbol for symbol in symbols}) > 1:
            for symbol in symbols:
                others = [other for other in symbols if other != symbol]
                more = f" and {len(others) - 3} more" if len(others) > 3 else ""
                found[symbol] = f"its figures are exactly those of {', '.join(others[:3])}{more}"
    return found


def implausible(rows: pd.DataFrame, rules: FundamentalsSettings) -> dict[str, str]:
    """Names with a figure whose size is beyond fundamentals.plausible, with the sentence why."""
    found = {}
    for metric in scoring.FIGURES:
        limit = getattr(rules.plausible, metric)
        for symbol, value in rows.loc[rows[metric].abs() > limit, ["symbol", metric]].itertuples(index=False):
            found[str(symbol)] = f"{metric} is {value:.4g}, fundamentals.plausible.{metric} is {limit:g}"
    return found


def too_old(rows: pd.DataFrame, now: datetime, rules: FundamentalsSettings) -> dict[str, str]:
    """Names whose newest reported period is older than fundamentals.max_report_age_days, or to come, and why."""
    found = {}
    known = rows[["symbol", "reported_period"]].dropna()
    for symbol, period in known.itertuples(index=False):
        age_days = (now.date() - date.fromisoformat(period)).days
        if not -1 <= age_days <= rules.max_report_age_days:
            found[str(symbol)] = (
                f"the newest reported period ends {period}, {age_days} days ago, fundamentals.max_report_age_days is "
                f"{rules.max_report_age_days:g}"
            )
    return found


def lost(fresh: pd.DataFrame, last: pd.DataFrame | None) -> pd.DataFrame:
    """`symbol`, `score` (the last one) and `reason` of names of both that had a score and have none now."""
    columns = ["symbol", "score", "reason"]
    if last is None:
        return fresh.head(0)[columns]
    without = fresh.loc[fresh["score"].isna(), ["symbol", "reason"]]
    return without.merge(last.loc[last["score"].notna(), ["symbol", "score"]], on="symbol")[columns]


def jumps(fresh: pd.DataFrame, last: pd.DataFrame | None) -> tuple[pd.DataFrame, dict[str, int]]:
    """Figures that are a hundred, a thousand or a million times what their name was last scored by, or exactly zero
    where it was not: `symbol`, `metric`, `before`, `now`, `factor` (0 for zeros); and how many names each metric could
    be compared for."""
    columns = ["symbol", "metric", "before", "now", "factor"]
    if last is None:
        return pd.DataFrame(columns=columns), {}
    both = fresh.merge(last[last["score"].notna()], on="symbol", suffixes=("", "_before"))
    found, compared = [], {}
    for metric in scoring.FIGURES:
        pair = both[["symbol", f"{metric}_before", metric]].dropna()
        pair = pair[pair[f"{metric}_before"] != 0]
        compared[metric] = len(pair)
        ratio = pair[metric].to_numpy() / pair[f"{metric}_before"].to_numpy()
        for factor in (*_FACTORS, 0.0):
            hit = ratio == 0 if factor == 0 else (ratio > factor / _NEAR) & (ratio < factor * _NEAR)
            found += [(s, metric, was, value, factor) for s, was, value in pair[hit].itertuples(index=False)]
    return pd.DataFrame(found, columns=columns), compared


def _jumped(fresh: pd.DataFrame, last: pd.DataFrame | None) -> dict[str, str]:
    found, _ = jumps(fresh, last)
    return {
        str(row["symbol"]): f"{row['metric']} is {row['now']:.4g} and was {row['before']:.4g}: a change of units?"
        for row in found[found["factor"] != 0].to_dict("records")
    }


def _lost_for_want(fresh: pd.DataFrame, last: pd.DataFrame | None, periods: pd.Series[str]) -> dict[str, str]:
    """Negative equity is no want: that rule of the score speaks of a figure that is there. Unless it is not `told` to
    be of as new a report as the one by which equity was positive: then the newer one is missing."""
    gone = lost(fresh, last)
    negative = gone["reason"].str.contains(scoring.SENTENCES[scoring.Unscored.NEGATIVE_EQUITY], regex=False)
    if last is not None:
        before = gone["symbol"].map(last.set_index("symbol")["reported_period"]).fillna("")
        negative &= gone["symbol"].map(periods).fillna("") >= before
    return dict(zip(gone.loc[~negative, "symbol"], gone.loc[~negative, "reason"], strict=True))


def _known_periods(facts: pd.DataFrame, last: pd.DataFrame | None) -> pd.DataFrame:
    """The `facts` with the period that was last known of a name, where an answer tells none: it has not become newer,
    and a report that was too old is not young again for it."""
    if last is None:
        return facts
    known = last.set_index("symbol")["reported_period"]
    return facts.assign(reported_period=facts["reported_period"].fillna(facts["symbol"].map(known)))


def _last_figures(last: pd.DataFrame | None, now: datetime, guards: GuardSettings) -> pd.DataFrame:
    """`Financials` rows, by symbol, of what was scored last and may still stand in for what is in doubt."""
    columns = ["symbol", "known_at", *scoring.FIGURES, "market_cap_musd", "reported_period"]
    if last is None:
        return pd.DataFrame(columns=columns).set_index("symbol")
    rows = last[last["score"].notna() & (last["known_at"] >= believed_since(now, guards))]
    return rows[columns].assign(market_cap_musd=np.nan).set_index("symbol")
