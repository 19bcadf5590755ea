"""How sound the data of a week was, from what is stored of its universe, figures and scores. Pure."""

from __future__ import annotations

from collections import Counter

from tokenomics_dagster.reports.values import instant
from tokenomics_dagster.reports.week import Quality, Records


def quality_of(records: Records) -> Quality:
    universe, scores = records.decided.universe, records.decided.scores
    dropped = {} if universe is None else universe.details.dropped
    kinds = Counter("in quarantine" if _is_flawed(why) else _kind(why) for why in dropped.values())
    waiting = {} if universe is None else universe.details.waiting
    frame = None if scores is None else scores.frame
    ages: list[float] = []
    if frame is not None and scores is not None:
        known = [instant(one) for one in frame.loc[frame["score"].notna(), "known_at"]]
        ages = sorted((scores.as_of - one).total_seconds() / 86_400 for one in known if one is not None)
    periods = [] if frame is None else sorted(frame.loc[frame["score"].notna(), "reported_period"].dropna())
    figures = {"roe_ttm_pct": "ROE", "debt_to_equity": "debt/equity", "revenue_growth_yoy_pct": "revenue growth",
               "eps_growth_yoy_pct": "EPS growth"}  # fmt: skip
    return Quality(
        followed=None if universe is None else len(universe.frame),
        followed_at=None if universe is None else universe.as_of,
        not_followed=kinds.most_common(),
        quarantined=sorted((symbol, why) for symbol, why in dropped.items() if _is_flawed(why)),
        waiting=sorted((symbol, one.reason) for symbol, one in waiting.items()),
        scored=None if frame is None else int(frame["score"].notna().sum()),
        no_score=[] if frame is None else Counter(frame["reason"].dropna()).most_common(),
        doubted=[] if scores is None else sorted(scores.details.doubted),
        missing={} if frame is None else {name: int(frame[column].isna().sum()) for column, name in figures.items()},
        ages=ages,
        oldest_report=str(periods[0]) if periods else "",
        asked=None if records.sweep is None else records.sweep.requested,
        failed=[] if records.sweep is None else sorted(records.sweep.failures.items()),
        flaws=[] if records.orders is None else list(records.orders.details.reconciliation_flaws),
    )


def _is_flawed(reason: str) -> bool:
    return reason.startswith("quarantine")


def _kind(reason: str) -> str:
    return reason.split(":")[0].split(",")[0]
