"""Whether financials and scores are sound: fetched, fresh, present, in their units, and like those before.

Pure: takes frames, sweeps, the instant and the settings. Each flaw is told by one check: what follows from a failed one
is not told again by another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from tokenomics_dagster.kit.checks import SCHEMA, Finding, Rule, Table
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.fundamentals import MetricBands
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.universe.checks import cap_band, too_many_failed

if TYPE_CHECKING:
    import pandas as pd

# Those that refuse bar the scores: what was fetched is kept in any case.
FINANCIALS = (
    SCHEMA,
    Rule("fetched", "The last sweep and its repairs have fetched nearly all of the universe."),
    Rule("fresh", "Nearly all of the figures that were fetched are young enough to trade on."),
    Rule("failing", "No symbol has failed for longer than the guard allows.", "tells"),
    Rule("present", "No metric is missing for much of the universe."),
    Rule("medians", "The median size of each metric lies in its band: a change of units moves it by 100."),
    Rule("varied", "No metric has one and the same value for much of the universe."),
    Rule("own", "Nearly every name has figures of its own, not exactly those of another issuer."),
    Rule("twins", "No two issuers have exactly the same figures.", "tells"),
    Rule("plausible", "No figure is beyond what a company can have.", "tells"),
)
SCORES = (
    SCHEMA,
    Rule("scored", "Nearly all of the universe has a score."),
    Rule("distribution", "The scores are spread over the scale, as those of a market are."),
    Rule("units", "No metric's values are a hundred or a thousand times, or a part of, those of the last snapshot."),
    Rule("shift", "The scores are near those of the last snapshot."),
    Rule("lost", "Few names lose their score at once, of all and of those held."),
    Rule("held", "No name that is held has lost its score, or is scored by its last figures for a doubt.", "tells"),
    Rule("rank_correlation", "The order of the names is like that of the last snapshot.", "warns"),
)
# Median of the 1,290 recorded names: 59.4 to 60.5 in 14 weeks; of generated markets of 25 names and more: 52 to 62.
_MEDIAN_SCORE = (15.0, 85.0)
# Looked back on for how long a symbol has failed: two years of weeks.
SWEEPS = 100
# Fewer figures are no distribution.
_FEW = 5


class Sweep(Protocol):
    """What is asked of a row of the warehouse's sweeps."""

    @property
    def started_at(self) -> datetime: ...
    @property
    def fresh_since(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime | None: ...
    @property
    def failures(self) -> dict[str, str]: ...


def fetched(facts: pd.DataFrame, symbols: Sequence[str], sweep: Sweep | None) -> pd.DataFrame:
    """The `Financials` rows of the `symbols` that the last sweep or a repair has fetched."""
    known = facts[facts["symbol"].isin(symbols)]
    return known if sweep is None else known[known["known_at"] >= sweep.fresh_since]


def still_failed(facts: pd.DataFrame, symbols: Sequence[str], sweep: Sweep | None) -> list[str]:
    """The `symbols` that the last sweep failed to fetch and no repair has fetched since, sorted."""
    failures = set() if sweep is None else set(sweep.failures)
    return sorted((failures & set(symbols)) - set(fetched(facts, symbols, sweep)["symbol"]))


def usable(
    facts: pd.DataFrame, symbols: Sequence[str], sweep: Sweep, now: datetime, settings: Settings
) -> pd.DataFrame:
    """What scores are made from: the rows that were fetched and, of symbols that failed, the last ones while young.

    A call that failed says nothing of a stock; without a score its position would be sold. Younger rows that the sweep
    asked for all the same are wrong, or it would not have (FinancialsConfig.again).
    """
    failed = facts["symbol"].isin(still_failed(facts, symbols, sweep))
    young = facts["known_at"] >= now - timedelta(days=settings.guards.max_score_age_days)
    young &= facts["known_at"] < sweep.started_at - timedelta(days=settings.fundamentals.refresh_days)
    return facts[facts["symbol"].isin(fetched(facts, symbols, sweep)["symbol"]) | (failed & young)]


def check_financials(
    facts: pd.DataFrame,
    symbols: Sequence[str],
    sweeps: Sequence[Sweep],
    now: datetime,
    settings: Settings,
    issuers: Mapping[str, str] = MappingProxyType({}),
) -> list[Finding]:
    """Judges the newest `Financials` row of each symbol; `symbols` is the universe, `sweeps` are newest first,
    `issuers` says whose stock each symbol is (its own, where it is not told)."""
    guards, bands = settings.guards, settings.fundamentals.bands
    sweep = sweeps[0] if sweeps else None
    rows = fetched(facts, symbols, sweep)
    return [
        check_fetched(facts, symbols, sweep, guards),
        _fresh(rows, now, guards),
        check_failing(facts, symbols, sweeps, now, guards),
        *(figures := _figures(rows, bands, guards)),
        *_own(rows, issuers, settings, judge=all(one.passed for one in figures)),
    ]


def check_scores(
    scores: pd.DataFrame,
    last: pd.DataFrame | None,
    settings: Settings,
    *,
    kept: Mapping[str, str] = MappingProxyType({}),
    held: Mapping[str, float] = MappingProxyType({}),
    accept_change: bool = False,
) -> list[Finding]:
    """Judges a `Scores` frame by the newest figures alone against the one stored last. Shift: mean of the absolute
    changes, points. `kept`: names that are scored by their last figures, and why; `held`: the newest target weights.

    The absolute ones, for figures that slip to another name leave the mean change at 0: on the recorded market it never
    exceeded 0.43 points a week, the mean absolute change 2.94 (the busiest week of earnings), and scores that slip by
    one row make it 18.7.
    """
    guards = settings.guards
    values = scores["score"].dropna()
    share = 100 * len(values) / max(len(scores), 1)
    enough = len(values) > 0 and share >= guards.min_scored_pct
    low, high = _MEDIAN_SCORE
    median = float(values.median()) if len(values) else 0.0
    same = _same_pct(values)
    lopsided = len(values) >= _FEW and not low <= median <= high
    flat = len(values) >= _FEW and same > guards.max_same_value_pct
    distributed = not (lopsided or flat)
    reasons = scores["reason"].dropna().value_counts()
    return [
        Finding(
            "scored",
            enough,
            f"{'' if enough else 'only '}{len(values)} of {len(scores)} symbols have a score ({share:.1f} %, "
            f"guards.min_scored_pct is {guards.min_scored_pct:g})"
            + ("" if enough else "; see why the others have none"),
            {"scored": len(values), "scored_pct": share},
            {"reasons": Table(("reason", "names"), list(reasons.items()))},
        ),
        Finding(
            "distribution",
            distributed,
            f"the median score is {median:.1f}, it must lie between {low:g} and {high:g}; {same:.1f} % of the scores "
            f"are one and the same, guards.max_same_value_pct is {guards.max_same_value_pct:g}"
            + ("" if distributed else "; look at the metrics and at fundamentals.score"),
            {"median": median, "same_pct": same, "standard_deviation": float(values.std()) if len(values) > 1 else 0.0},
        ),
        *_against_last(scores, last, guards, kept, held, judge=(enough, distributed), accept_change=accept_change),
    ]


def check_fetched(facts: pd.DataFrame, symbols: Sequence[str], sweep: Sweep | None, guards: GuardSettings) -> Finding:
    """Of `facts` only symbol and known_at are looked at."""
    rows = fetched(facts, symbols, sweep)
    failed = still_failed(facts, symbols, sweep)
    share = 100 * len(rows) / max(len(symbols), 1)
    failed_pct = 100 * len(failed) / max(len(symbols), 1)
    passed = False
    if sweep is None:
        text = "financials were never swept: run fundamentals_refresh first"
    elif sweep.finished_at is None:
        text = (
            "the last sweep of financials has not finished: wait, or run fundamentals_refresh again (it goes on where "
        )
        text += "it was)"
    elif too_many_failed(len(failed), len(symbols), guards):
        text = (
            f"{len(failed)} symbols of the last sweep are still failed ({failed_pct:.1f} %, guards.max_failed_pct is "
        )
        text += f"{guards.max_failed_pct:g}): {', '.join(failed[:20])}; repair them (run config ops.financials.config."
        text += "failed: true)"
    else:
        passed = len(rows) > 0 and share >= guards.min_fetched_pct
        text = (
            f"{'' if passed else 'only '}{len(rows)} of {len(symbols)} symbols have fresh financials ({share:.1f} %, "
        )
        text += f"guards.min_fetched_pct is {guards.min_fetched_pct:g})"
        text += "" if passed else "; run fundamentals_refresh"
    failures = {} if sweep is None else sweep.failures
    return Finding(
        "fetched",
        passed,
        text,
        {"fetched": len(rows), "fetched_pct": share, "still_failed": len(failed)},
        {"still failed": Table(("symbol", "error"), [(symbol, failures[symbol]) for symbol in failed])},
    )


def _fresh(rows: pd.DataFrame, now: datetime, guards: GuardSettings) -> Finding:
    old = rows[rows["known_at"] < now - timedelta(days=guards.max_score_age_days)].sort_values(["known_at", "symbol"])
    share = 100 * (1 - len(old) / max(len(rows), 1))
    passed = share >= guards.min_fetched_pct
    return Finding(
        "fresh",
        passed,
        f"{share:.1f} % of {len(rows)} symbols have figures of the last {guards.max_score_age_days:g} days "
        f"(guards.max_score_age_days), guards.min_fetched_pct is {guards.min_fetched_pct:g}"
        + ("" if passed else "; run fundamentals_refresh"),
        {"fresh_pct": share, "stale": len(old)},
        {
            "stale": Table(
                ("symbol", "age, days"),
                [(s, (now - at) / timedelta(days=1)) for s, at in zip(old["symbol"], old["known_at"], strict=True)],
            )
        },
    )


def check_failing(
    facts: pd.DataFrame, symbols: Sequence[str], sweeps: Sequence[Sweep], now: datetime, guards: GuardSettings
) -> Finding:
    """A symbol fails since the first sweep after its newest figures that could not fetch it. Of `facts` only symbol and
    known_at are looked at."""
    newest = dict(zip(facts["symbol"], facts["known_at"], strict=True))
    rows = []
    for symbol in still_failed(facts, symbols, sweeps[0] if sweeps else None):
        known_at = newest.get(symbol)
        failed = [s for s in sweeps if symbol in s.failures and (known_at is None or s.started_at > known_at)]
        since = min(s.started_at for s in failed)
        rows.append((symbol, (now - since) / timedelta(days=1), f"{since:%Y-%m-%d %H:%M}", failed[0].failures[symbol]))
    rows.sort(key=lambda row: (-row[1], row[0]))
    long = [row for row in rows if row[1] > guards.max_failing_days]
    return Finding(
        "failing",
        not long,
        f"{len(long)} symbols have failed for more than {guards.max_failing_days:g} days (guards.max_failing_days): "
        f"{', '.join(f'{symbol} since {since} UTC ({error})' for symbol, _, since, error in long[:5])}; repair them, "
        "or look whether they are still traded"
        if long
        else f"{len(rows)} symbols are failed, none for more than {guards.max_failing_days:g} days",
        {"failed": len(rows), "failing_long": len(long)},
        {"failed": Table(("symbol", "days", "since (UTC)", "last error"), rows)},
    )


def _figures(rows: pd.DataFrame, bands: MetricBands, guards: GuardSettings) -> list[Finding]:
    """present, medians and varied. A metric that is mostly missing, or constant, is told by its own check alone."""
    table, absent, outside, constant = [], [], [], []
    for metric in type(bands).model_fields:
        band = getattr(bands, metric)
        if metric == "market_cap_musd":
            band = cap_band(band, len(rows))
        values = rows[metric].dropna()
        missing = 100 * (1 - len(values) / len(rows)) if len(rows) else 0.0
        same = _same_pct(values)
        median = float(values.abs().median()) if len(values) else 0.0
        if missing > guards.max_missing_pct:
            absent.append(f"{metric} is missing for {missing:.1f} %")
        elif len(values) >= _FEW and same > guards.max_same_value_pct:
            constant.append(f"{same:.1f} % of {metric} are {values.mode()[0]:g}")
        elif len(values) and not band.low <= median <= band.high:
            outside.append(f"the median size of {metric} is {median:.4g}, its band is {band.low:g} to {band.high:g}")
        table.append((metric, median, band.low, band.high, missing, same))
    shown = {"metrics": Table(("metric", "median size", "low", "high", "missing, %", "one value, %"), table)}
    remedy = "; look at what Finnhub's /stock/metric sends, and once it is right ask for all of it anew (run config "
    remedy += "ops.financials.config.again: true)"
    return [
        Finding(
            "present",
            not absent,
            f"{'; '.join(absent)}, guards.max_missing_pct is {guards.max_missing_pct:g}{remedy}"
            if absent
            else f"no metric is missing for more than {guards.max_missing_pct:g} % of {len(rows)} symbols",
            {"metrics_missing": len(absent)},
            shown,
        ),
        Finding(
            "medians",
            not outside,
            f"{'; '.join(outside)} (fundamentals.bands): a unit has changed{remedy}"
            if outside
            else "the median size of each metric lies in its band",
            {f"{metric} median": median for metric, median, *_ in table},
            shown,
        ),
        Finding(
            "varied",
            not constant,
            f"{'; '.join(constant)}, guards.max_same_value_pct is {guards.max_same_value_pct:g}{remedy}"
            if constant
            else f"no value makes more than {guards.max_same_value_pct:g} % of a metric",
            {"metrics_constant": len(constant)},
            shown,
        ),
    ]


def _own(
    rows: pd.DataFrame, issuers: Mapping[str, str], settings: Settings, *, judge: bool
) -> tuple[Finding, Finding, Finding]:
    from tokenomics_dagster.fundamentals import doubts

    guards = settings.guards
    alike = doubts.twins(rows, issuers) if judge else {}
    share = 100 * len(alike) / max(len(rows), 1)
    flood = share > guards.max_twins_pct and len(alike) >= guards.least_names
    absurd = doubts.implausible(rows, settings.fundamentals) if judge else {}
    described = "; ".join(f"{symbol}: {reason}" for symbol, reason in list(alike.items())[:5])
    kept = "; such names keep their last figures, and have no score once a later sweep finds the same; look at what "
    kept += "Finnhub's /stock/metric sends of them, and ask anew (run config ops.financials.config.symbols)"
    table = {"alike": Table(("symbol", "why"), list(alike.items()))}
    none = "no two issuers have exactly the same figures" if judge else "not judged: the metrics tell what is wrong"
    return (
        Finding(
            "own",
            not flood,
            f"{len(alike)} of {len(rows)} symbols have exactly the figures of another issuer ({share:.1f} %, "
            f"guards.max_twins_pct is {guards.max_twins_pct:g}): {described}; look at what Finnhub's /stock/metric "
            "sends, and once it is right ask for all of it anew (run config ops.financials.config.again: true)"
            if flood
            else f"{share:.1f} % of {len(rows)} symbols have exactly the figures of another issuer",
            {"alike": len(alike), "alike_pct": share},
            table,
        ),
        Finding("twins", flood or not alike, f"{described}{kept}" if alike else none, {"alike": len(alike)}, table),
        Finding(
            "plausible",
            not absurd,
            f"{'; '.join(f'{symbol}: {reason}' for symbol, reason in list(absurd.items())[:5])}{kept}"
            if absurd
            else "no figure is beyond fundamentals.plausible",
            {"implausible": len(absurd)},
            {"implausible": Table(("symbol", "why"), list(absurd.items()))},
        ),
    )


def _accepted(*, accept_change: bool) -> str:
    if accept_change:
        return "; accepted for this run by accept_change"
    return "; look at what changed; if it is meant, run once with accept_change: true in the run config"


def _units(scores: pd.DataFrame, last: pd.DataFrame | None, guards: GuardSettings, *, accept_change: bool) -> Finding:
    """Each name against its own last figures: a change in a part of the universe leaves every median in its band."""
    from tokenomics_dagster.fundamentals import doubts

    found, compared = doubts.jumps(scores, last)
    clusters = []
    for metric, factor, names in found[["metric", "factor"]].value_counts().reset_index().to_numpy():
        share = 100 * names / compared[metric]
        if share > guards.max_unit_change_pct and names >= guards.least_names:
            what = "exactly zero and were not" if factor == 0 else f"{factor:g} times what they were"
            clusters.append(f"{names} of {compared[metric]} values of {metric} ({share:.1f} %) are {what}")
    text = (
        f"{'; '.join(clusters)}, guards.max_unit_change_pct is {guards.max_unit_change_pct:g}: a unit or a convention "
    )
    text += f"has changed{_accepted(accept_change=accept_change)}"
    return Finding(
        "units",
        not clusters or accept_change,
        text if clusters else f"{len(found)} values are a multiple of their last one as by a change of units",
        {"jumps": len(found), "clusters": len(clusters)},
        {"jumps": Table(("symbol", "metric", "before", "now", "factor"), found.to_numpy().tolist())},
    )


def _lost(
    scores: pd.DataFrame,
    last: pd.DataFrame | None,
    guards: GuardSettings,
    kept: Mapping[str, str],
    held: Mapping[str, float],
    *,
    judge: bool,
    accept_change: bool,
) -> list[Finding]:
    """lost and held. What is lost is weighed by what is held: the best forty of a thousand are 4 % of the names."""
    from tokenomics_dagster.fundamentals import doubts

    gone = doubts.lost(scores, last)
    before = 0 if last is None else int((last["score"].notna() & last["symbol"].isin(scores["symbol"])).sum())
    share = 100 * len(gone) / max(before, 1)
    ours = gone[gone["symbol"].isin(held.keys())]
    weight = 100 * sum(held[symbol] for symbol in ours["symbol"]) / (sum(held.values()) or 1.0)
    too_many = share > guards.max_lost_pct and len(gone) >= guards.least_names
    too_heavy = weight > guards.max_lost_weight_pct and len(ours) >= guards.least_names
    flood = judge and (too_many or too_heavy)
    text = f"{len(gone)} of {before} names have lost their score ({share:.1f} %, guards.max_lost_pct is "
    text += f"{guards.max_lost_pct:g}), with {weight:.1f} % of the last target weights (guards.max_lost_weight_pct is "
    text += f"{guards.max_lost_weight_pct:g})"
    table = gone.assign(held=gone["symbol"].map(held).fillna(0.0)).sort_values(["held", "score"], ascending=False)
    reasons = dict(zip(gone["symbol"], gone["reason"], strict=True))
    doubtful = {symbol: kept.get(symbol) or reasons[symbol] for symbol in held if symbol in kept or symbol in reasons}
    described = "; ".join(
        f"{symbol} {'is scored by its last figures' if symbol in kept else 'has no score any more'} ({reason})"
        for symbol, reason in list(doubtful.items())[:10]
    )
    return [
        Finding(
            "lost",
            not flood or accept_change,
            text + (_accepted(accept_change=accept_change) if flood else ""),
            {"lost": len(gone), "lost_pct": share, "lost_weight_pct": weight},
            {"lost": Table(("symbol", "last score", "reason", "target weight"), table.to_numpy().tolist())},
        ),
        Finding(
            "held",
            not judge or flood or not doubtful,
            f"{len(doubtful)} names that are held: {described}; what has no score is sold, and so is what a later "
            "sweep, fundamentals.refresh_days on, still finds so; look at what Finnhub's /stock/metric sends of them"
            if judge and doubtful
            else "no name that is held has lost its score or is in doubt",
            {"held_in_doubt": len(doubtful)},
            {"held in doubt": Table(("symbol", "why"), list(doubtful.items()))},
        ),
    ]


def _against_last(
    scores: pd.DataFrame,
    last: pd.DataFrame | None,
    guards: GuardSettings,
    kept: Mapping[str, str],
    held: Mapping[str, float],
    *,
    judge: tuple[bool, bool],
    accept_change: bool,
) -> list[Finding]:
    """units, shift, rank_correlation, lost, held; `judge`: whether enough names have a score, and are distributed."""
    enough, distributed = judge
    units = _units(scores, last if distributed else None, guards, accept_change=accept_change)
    clusters = bool(units.figures["clusters"])
    moves = _shift(scores, last, guards, judge=distributed and not clusters, accept_change=accept_change)
    sound = enough and distributed and not clusters and all(one.passed for one in moves)
    lost = _lost(scores, last, guards, kept, held, judge=sound, accept_change=accept_change)
    return [units, *moves, *lost]


def _shift(
    scores: pd.DataFrame, last: pd.DataFrame | None, guards: GuardSettings, *, judge: bool, accept_change: bool
) -> list[Finding]:
    now = scores.dropna(subset="score").set_index("symbol")["score"]
    before = now.head(0) if last is None else last.dropna(subset="score").set_index("symbol")["score"]
    common = now.index.intersection(before.index)
    if not judge or len(common) < _FEW:
        reason = "another check tells what is wrong" if not judge else f"{len(common)} names were scored before"
        return [Finding(name, True, f"not compared: {reason}") for name in ("shift", "rank_correlation")]
    new, old = now[common], before[common]
    change = (new - old).abs()
    shift = float(change.mean())
    moved = shift > guards.max_mean_score_shift
    largest = change.sort_values(ascending=False)
    text = (
        f"the scores of {len(common)} names changed by {shift:.2f} points on average, guards.max_mean_score_shift is "
    )
    text += f"{guards.max_mean_score_shift:g}"
    if moved:
        text += _accepted(accept_change=accept_change)
    varies = new.nunique() > 1 and old.nunique() > 1
    correlation = float(new.rank().corr(old.rank())) if varies else 1.0
    like = correlation >= guards.min_rank_correlation
    return [
        Finding(
            "shift",
            not moved or accept_change,
            text,
            {"mean_absolute_change": shift, "mean_change": float((new - old).mean()), "names": len(common)},
            {
                "largest changes": Table(
                    ("symbol", "before", "now"), [(symbol, old[symbol], new[symbol]) for symbol in largest.index[:20]]
                )
            },
        ),
        Finding(
            "rank_correlation",
            like or moved,
            f"Spearman's correlation with the last snapshot is {correlation:.3f}, guards.min_rank_correlation is "
            f"{guards.min_rank_correlation:g}" + ("" if like else "; look at the largest changes"),
            {"rank_correlation": correlation, "names": len(common)},
        ),
    ]


def _same_pct(values: pd.Series[float]) -> float:
    """Percent of the values that are the most frequent one."""
    return 100 * float(values.value_counts(normalize=True).iloc[0]) if len(values) else 0.0
