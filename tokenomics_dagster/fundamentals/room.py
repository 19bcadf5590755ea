"""What others need to know of financials and scores: when they are made, and when a sweep is enough to score."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from tokenomics_dagster.fundamentals import checks, timetable
from tokenomics_dagster.fundamentals.assets import financials, published_scores, scores
from tokenomics_dagster.fundamentals.coverage import (
    NO_UNIVERSE,
    Coverage,
    coverage,
    described,
    failed_symbols,
    figures_since,
    followed,
    samples,
)
from tokenomics_dagster.kit.outcome import Outcome, Stage, in_lines
from tokenomics_dagster.kit.resources import SettingsResource, WarehouseResource
from tokenomics_dagster.kit.room import AgeLimits, Job, Kept, Kind, Known, Metrics, Repair, Room
from tokenomics_dagster.kit.runs import busy, refused
from tokenomics_dagster.kit.skew import ahead_of_clock
from tokenomics_dagster.kit.timetable import longest_gap
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.clock import broker_clock
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Sweep
    from tokenomics_dagster.storage.warehouse import Warehouse

_DAY = timedelta(days=1)
_SCORE_TRIES = 3  # of one and the same figures, while what fails is no check


def _sweep_counts(store: "Warehouse", run_id: str, settings: Settings) -> bool:
    """A few symbols that could not be fetched fail the run, for all to see, but not the sweep.

    Those that fail for long are told by their own check.
    """
    sweep = store.latest_sweep()
    return sweep is not None and sweep.run_id == run_id and coverage(store, sweep, settings).enough


def _swept(store: "Warehouse", _now: datetime, settings: Settings) -> bool:
    sweep = store.latest_sweep()
    return sweep is not None and sweep.finished_at is not None and coverage(store, sweep, settings).enough


def _scored(store: "Warehouse", now: datetime, settings: Settings) -> bool:
    sweep, scores = store.latest_sweep(finished=True), store.history("scores", limit=1)
    return (
        _swept(store, now, settings)
        and sweep is not None
        and sweep.finished_at is not None
        and any(one.as_of >= sweep.finished_at for one in scores)
    )


FUNDAMENTALS_REFRESH = Job(
    "fundamentals_refresh",
    makes=("financials",),
    description="Weekly: financials of the whole universe in one run. With symbols in its run config it repairs those.",
    remedy="run fundamentals_refresh again once the cause is gone: it asks only for what is missing",
    counts=_sweep_counts,
    done=_swept,
)
SCORE = Job(
    "score",
    makes=("scores", "published_scores"),
    description="Scores from the last completed sweep.",
    remedy="repair what a check names, and scores_when_complete starts `score` again; what no check has refused it "
    f"tries {_SCORE_TRIES} times in all: after that run score once the cause is gone",
    # `scores` looks for itself at what these look at: what they tell is why it failed.
    reasons=[f"financials.{rule.name}" for rule in checks.FINANCIALS if rule.effect == "refuses"],
    done=_scored,
)
# What was fetched and stored is not missing: the next sweep would leave it.
_ASK_ANEW = (
    "look at what Finnhub sends; once it is right, run fundamentals_refresh with the run config "
    "ops.financials.config.again: true"
)


def _max_ages(settings: Settings) -> Mapping[str, AgeLimits]:
    """A schedule that fires more often than weekly starts nothing more often; one that fires less often allows it.

    Scores are stale from the age on from which the orders refuse them.
    """
    week = max(7 * _DAY, longest_gap(settings.schedules.fundamentals))
    refused_from = max(timedelta(days=settings.guards.max_score_age_days), timedelta(hours=1))
    swept = AgeLimits(week + _DAY / 2, week + _DAY)
    scored = AgeLimits(min(swept.warn, refused_from * 15 / 16), refused_from)
    return {"financials": swept, **dict.fromkeys(SCORE.makes, scored)}


def _schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    @dg.schedule(
        name="fundamentals",
        job_name=FUNDAMENTALS_REFRESH.name,
        cron_schedule=settings.schedules.fundamentals,
        execution_timezone=settings.schedules.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"A sweep of {settings.universe.count:,} symbols takes at least {timetable.pace(settings)}; "
        "`tokenomics check` says whether that ends before the rebalance.",
    )
    def fundamentals(
        context: dg.ScheduleEvaluationContext,
        alpaca: AlpacaResource,
        warehouse: WarehouseResource,
        settings_in_force: dg.ResourceParam[SettingsResource],
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now, store = broker_clock(alpaca).now, warehouse.open()
        settings = settings_in_force.read()
        in_time, outlook = timetable.outlook(settings, now)
        if not in_time:
            context.log.warning(outlook)
        why = _needless(store, now, settings)
        yield dg.SkipReason(why) if why else busy(context.instance, FUNDAMENTALS_REFRESH) or dg.RunRequest()

    return [fundamentals]


def _needless(store: "Warehouse", now: datetime, settings: Settings) -> str | None:
    sweep = store.latest_sweep()
    if not store.history("universe", limit=1):
        return "there is no universe yet: universe_refresh comes first"
    if sweep is not None and (ahead := ahead_of_clock({"a sweep": sweep.started_at}, now)):
        return ahead
    if sweep is not None and (young := _young(store, sweep, now, settings)).enough:
        return (
            f"there is next to nothing to ask for: {young.what}, fundamentals.refresh_days is "
            f"{settings.fundamentals.refresh_days:g}"
        )
    return None


def _young(store: "Warehouse", sweep: "Sweep", now: datetime, settings: Settings) -> Coverage:
    """What is there of the universe that is too young to be asked for; a sweep that asked for little made little young.

    Figures age one by one, as they came: without the length of a sweep the first to do so would start one for a few.
    """
    since = now - timedelta(days=settings.fundamentals.refresh_days) - timetable.shortest_sweep(settings)
    return coverage(store, replace(sweep, fresh_since=max(since, sweep.fresh_since)), settings)


def _sensors(settings: Settings) -> list[dg.SensorDefinition]:
    return [_scores_when_complete(settings), *([_growth(settings)] if settings.universe.begins_small else [])]


def _growth(settings: Settings) -> dg.SensorDefinition:
    """A starter universe grows in the middle of a week: until Saturday its scores would be those of a few."""

    @dg.sensor(
        job_name=FUNDAMENTALS_REFRESH.name,
        minimum_interval_seconds=settings.schedules.sensors_every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Financials of all that a starter universe has grown to.",
    )
    def financials_follow_growth(
        context: dg.SensorEvaluationContext, warehouse: WarehouseResource
    ) -> dg.RunRequest | dg.SkipReason:
        from tokenomics_dagster.universe.schema import UniverseDetails

        store = warehouse.open()
        universes, sweep = store.history("universe", limit=2), store.latest_sweep()
        before = [one.details_as(UniverseDetails).is_starter for one in universes]
        if before != [False, True]:
            return dg.SkipReason("no starter universe has grown of late")
        grown = universes[0].as_of
        if sweep is not None and sweep.started_at >= grown:
            return dg.SkipReason(f"financials were swept since the universe has grown, {grown:%Y-%m-%d %H:%M} UTC")
        return busy(context.instance, FUNDAMENTALS_REFRESH) or dg.RunRequest(run_key=f"grown-{grown.isoformat()}")

    return financials_follow_growth


def _scores_when_complete(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        job_name=SCORE.name,
        minimum_interval_seconds=settings.schedules.sensors_every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A finished sweep of financials that has not been scored starts `score` once enough is there.",
    )
    def scores_when_complete(
        context: dg.SensorEvaluationContext,
        alpaca: AlpacaResource,
        warehouse: WarehouseResource,
        settings_in_force: dg.ResourceParam[SettingsResource],
    ) -> dg.RunRequest | dg.SkipReason:
        store = warehouse.open()
        sweep = store.latest_sweep()
        if sweep is None:
            return dg.SkipReason("financials were never swept")
        if sweep.finished_at is None:
            return dg.SkipReason(f"the sweep that began {sweep.started_at:%Y-%m-%d %H:%M} UTC has not finished")
        if any(scores.as_of >= sweep.finished_at for scores in store.history("scores", limit=1)):
            return dg.SkipReason(f"the sweep that ended {sweep.finished_at:%Y-%m-%d %H:%M} UTC has been scored")
        # A repair that is under way would change the newest figures, and with them the key, at each look.
        if under_way := busy(context.instance, FUNDAMENTALS_REFRESH, SCORE):
            return under_way
        found = coverage(store, sweep, settings_in_force.read())
        if not found.enough or found.newest is None:
            return dg.SkipReason(found.what)
        # After a score that was refused, only a repair makes a new key.
        key = _untried(context.instance, f"sweep-{sweep.id}-{found.newest.isoformat()}")
        if isinstance(key, dg.SkipReason):
            return key
        try:
            broker_clock(alpaca)
        except ProviderError as error:
            return dg.SkipReason(f"a score needs the broker's clock: {error}")
        return dg.RunRequest(run_key=key)

    return scores_when_complete


def _untried(instance: dg.DagsterInstance, key: str) -> str | dg.SkipReason:
    """The key for the next run of `score` on the figures that `key` names, or why there is none.

    A fault that may have passed is tried again; the same figures would be refused again.
    """
    recent = instance.get_runs(dg.RunsFilter(job_name=SCORE.name), limit=20)
    runs = [run for run in recent if run.tags.get("dagster/run_key", "").startswith(key)]
    if not runs:
        return key
    last = runs[0]
    if last.tags.get("dagster/will_retry") == "true":
        return dg.SkipReason(f"Dagster starts run {last.run_id} of score again")
    faulty = last.status == dg.DagsterRunStatus.FAILURE and not refused(instance, last)
    if faulty and len(runs) < _SCORE_TRIES:
        return f"{key}-{last.run_id}"
    return dg.SkipReason(
        f"run {last.run_id} of score, number {len(runs)} with these figures, has ended ({last.status.value}): repair "
        "what it names, or run score"
    )


def _first_swept_at(store: "Warehouse") -> datetime | None:
    sweep = store.latest_sweep(finished=True)
    return sweep.finished_at if sweep else None


def _financials_at(store: "Warehouse", instant: datetime, symbol: str | None) -> Known | None:
    from tokenomics_dagster.fundamentals.schema import Financials

    facts = store.latest_facts("financials", Financials, as_of=instant, symbol=symbol)
    if facts.empty:
        return None
    times = facts["known_at"]
    return Known("financials", facts, times.min().to_pydatetime(), times.max().to_pydatetime(), "newest of each symbol")


def _fetched_at(store: "Warehouse") -> Mapping[str, datetime]:
    from tokenomics_dagster.fundamentals.schema import Financials

    return store.known_at("financials", Financials)


def _asks_again(symbols: Sequence[str] | None) -> dict[str, Any]:
    """A FinancialsConfig."""
    return {"again": True} if symbols is None else {"symbols": list(symbols)}


REPAIR = Repair(
    "financials",
    symbols=followed,
    without=NO_UNIVERSE,
    failed=failed_symbols,
    made_at=_fetched_at,
    config=_asks_again,
)


def _outcome(store: "Warehouse", _now: datetime) -> Outcome:
    from tokenomics_dagster.fundamentals.schema import Scores

    newest = store.load_snapshot("scores", Scores)
    assert newest is not None
    has_score = newest["score"].notna()
    scored, missing = newest[has_score], newest[~has_score]
    unscored = dict(zip(missing["symbol"], missing["reason"], strict=True))
    return Outcome(
        {"scores": dict(zip(scored["symbol"], scored["score"], strict=True)), "unscored": unscored},
        [Stage("scored", len(scored), in_lines(Counter(unscored.values())))],
    )


ROOM = Room(
    "fundamentals",
    assets=[financials, scores, published_scores],
    jobs=[FUNDAMENTALS_REFRESH, SCORE],
    max_ages=_max_ages,
    schedules=_schedules,
    why_not={"fundamentals": _needless},
    sensors=_sensors,
    kept={
        "financials": Kept(made_at=figures_since, first_made_at=_first_swept_at, coverage=described),
        "published_scores": Kept(publishes="scores"),
    },
    remedies={f"financials.{name}": _ASK_ANEW for name in ("schema", "present", "medians", "varied", "own")},
    kinds=[
        Kind(
            "financials",
            asset="financials",
            schema="tokenomics_dagster.fundamentals.schema.Financials",
            shown=("symbol", "known_at", "roe_ttm_pct", "debt_to_equity", "revenue_growth_yoy_pct", "reported_period"),
            order={"market_cap_musd": False},
            known=_financials_at,
        ),
        Kind(
            "scores",
            asset="scores",
            schema="tokenomics_dagster.fundamentals.schema.Scores",
            shown=("symbol", "score", "roe_points", "debt_points", "growth_points", "reason"),
            order={"score": False, "symbol": True},
        ),
    ],
    metrics=[
        Metrics(
            {
                "tokenomics_financials_fetched_ratio": (
                    (),
                    "Share of the universe fetched by the last sweep or a repair since.",
                ),
                "tokenomics_financials_fresh_ratio": (
                    (),
                    "Share of the universe with financials of guards.max_score_age_days.",
                ),
                "tokenomics_scored_ratio": ((), "Share of the newest score snapshot that has a score."),
                "tokenomics_failed_symbols": (
                    (),
                    "Symbols that the last sweep could not fetch, and no repair has since.",
                ),
                "tokenomics_sweep_unfinished": ((), "1 while a sweep runs, or when the last one was killed."),
            },
            samples,
        )
    ],
    repair=REPAIR,
    outcome=_outcome,
)
