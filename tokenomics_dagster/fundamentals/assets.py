"""Financials per symbol, and the scores made from them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from tokenomics_dagster.fundamentals import checks
from tokenomics_dagster.kit.checks import (
    PUBLISHED,
    Finding,
    judged,
    published_finding,
    refuse,
    results,
    schema_finding,
    specs,
)
from tokenomics_dagster.kit.metadata import column_metadata, image, table
from tokenomics_dagster.kit.partitions import symbol_partitions
from tokenomics_dagster.kit.resources import (
    DataFrame,
    PublisherResource,
    SettingsResource,
    WarehouseResource,
    schema_metadata,
)
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.errors import PermanentError, ProviderError
from tokenomics_dagster.providers.finnhub import FinnhubResource, Metrics
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.publishing import Publisher
    from tokenomics_dagster.storage.records import Sweep
    from tokenomics_dagster.storage.warehouse import Warehouse

# What a score is made from; scoring.FIGURES without numpy, which loading the definitions must not import.
_FIGURES = (
    "roe_ttm_pct",
    "debt_to_equity",
    "revenue_growth_yoy_pct",
    "eps_growth_yoy_pct",
    "book_value_per_share",
)
_SWEEPS = 100  # looked back on for how long a symbol has failed: two years of weeks


class FinancialsConfig(dg.Config):
    """Leave as it is to sweep the universe. All but a sweep asks whatever the age."""

    symbols: list[str] = Field(default_factory=list, description="Ask for these.")
    failed: bool = Field(default=False, description="Ask for all that the last sweep failed and no repair has fetched.")
    again: bool = Field(default=False, description="Ask for the whole universe: what was stored of late was wrong.")


class ScoresConfig(dg.Config):
    """Leave as it is, unless a change of the scores that a check refuses is meant: of fundamentals.score."""

    accept_change: bool = Field(default=False, description="Accept scores far from the last ones, in this run.")


@dg.asset(
    group_name="fundamentals",
    kinds={"finnhub"},
    pool="finnhub",
    partitions_def=symbol_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    deps=["universe"],
    metadata=schema_metadata("tokenomics_dagster.fundamentals.schema.Financials"),
    # Whatever came is kept; the scores refuse what these tell.
    check_specs=specs("financials", checks.FINANCIALS, blocking=False),
)
def financials(
    context: dg.AssetExecutionContext,
    config: FinancialsConfig,
    finnhub: FinnhubResource,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.AssetCheckResult]:
    """Financials of each followed symbol, one partition each, all in one run.

    A run without partitions or symbols is a sweep: it asks for every symbol of the universe that is older than
    fundamentals.refresh_days, and a killed sweep goes on where it was. Each symbol is stored and logged as it arrives.
    With `again` nothing counts that was stored before: neither in this sweep nor in one that goes on where it was.
    A stock that was renamed since the universe was made is asked for by its new symbol, and followed by the old one.
    A symbol that could not be fetched fails the run, after everything else is stored, and is a failed partition.
    """
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.providers.renames import symbols_of_now
    from tokenomics_dagster.universe.schema import Universe

    settings = settings_in_force.read()
    store = warehouse.open()
    now = alpaca.now()
    universe = _listed(store.load_snapshot("universe", Universe))
    followed = list(universe["symbol"])
    _inherit(store, universe)
    planned = next((plan.details for plan in store.history("trade_plan", limit=1)), {})
    called = symbols_of_now(alpaca, followed, planned.get("asset_ids", {}), now)
    named = _named(context, config, store)
    sweeping = named is None or set(named) >= set(followed)
    requested = followed if named is None else named
    known = store.latest_facts("financials", Financials).set_index("symbol")
    fresh_since = now if config.again else _fresh_since(store.latest_sweep(), now, settings)
    fresh = set(known.index[known["known_at"] >= fresh_since]) if sweeping else set()
    todo = [symbol for symbol in requested if symbol not in fresh]
    context.log.info("%d symbols, %d fresh, %d to ask for", len(requested), len(requested) - len(todo), len(todo))
    sweep_id = (
        store.start_sweep(started_at=now, fresh_since=fresh_since, run_id=context.run.run_id, requested=len(requested))
        if sweeping
        else None
    )
    # A killed run may have stored a symbol without logging it, one that had failed before among them; and a backfill
    # counts what it does not log as failed.
    logged = set[str]() if named else context.instance.get_materialized_partitions(context.asset_key)
    logged -= {symbol for sweep in store.sweeps(limit=_SWEEPS) for symbol in sweep.failures}
    for symbol in sorted((fresh & set(requested)) - logged):
        context.log_event(_materialization(context, symbol, known.loc[symbol].to_dict()))

    failures: dict[str, str] = {}
    for count, (symbol, answer) in enumerate(_fetched(finnhub, todo, called, known, now, settings), start=1):
        if isinstance(answer, ProviderError):
            failures[symbol] = str(answer)
            context.log_event(
                dg.AssetObservation(context.asset_key, partition=symbol, metadata={"failed": str(answer)})
            )
            continue
        row = {**asdict(answer), "symbol": symbol, "known_at": alpaca.now()}
        store.append_fact("financials", Financials, row)
        # The UI shows the columns of the newest materialization: 2.5 KB that not each of 1,500 must carry.
        columns = column_metadata(Financials) if count == len(todo) else {}
        context.log_event(_materialization(context, symbol, row, columns))
    if sweep_id is not None:
        store.finish_sweep(sweep_id, finished_at=alpaca.now(), failures=failures)
    findings = _financials_findings(store, universe, store.sweeps(limit=_SWEEPS), alpaca.now(), settings)
    yield from results(checks.FINANCIALS, findings)
    if not failures:
        return
    named_failures = "; ".join(f"{symbol}: {error}" for symbol, error in list(failures.items())[:50])
    context.log.warning("%d symbols failed: %s", len(failures), named_failures)
    if not context.has_partition_key and not context.has_partition_key_range:
        _mark_failed(context, sorted(failures))
    limit = settings.guards.max_failed_pct
    if not sweeping:
        means = "the others are stored"
    elif checks.too_many_failed(len(failures), len(requested), settings.guards):
        means = f"the others are stored, but guards.max_failed_pct is {limit:g}: no scores before they are repaired"
    else:
        means = f"the others are stored, the sweep counts (guards.max_failed_pct is {limit:g}) and scores may be made"
    raise dg.Failure(
        f"{len(failures)} of {len(requested)} symbols could not be fetched: {', '.join(sorted(failures)[:20])}; {means}"
        ". Ask again with the run config ops.financials.config.failed: true, or by .symbols",
        metadata={"failures": table(failures.items(), "symbol", "error", limit=100)},
        allow_retries=False,
    )


@dg.asset(
    group_name="fundamentals",
    kinds={"pandas"},
    deps=[financials],
    metadata=schema_metadata("tokenomics_dagster.fundamentals.schema.Scores"),
    check_specs=specs("scores", checks.SCORES),
)
def scores(
    context: dg.AssetExecutionContext,
    config: ScoresConfig,
    universe: DataFrame,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """Composite score of every stock of the universe, or the reason why it has none; only from sound financials.

    The checks of financials are made anew, and told as theirs: they may have passed when that asset was made, days ago.
    """
    from tokenomics_dagster.fundamentals import doubts, scoring
    from tokenomics_dagster.fundamentals.schema import Financials, Scores
    from tokenomics_dagster.kit import plots
    from tokenomics_dagster.providers.renames import renamed

    settings = settings_in_force.read()
    store = warehouse.open()
    now = alpaca.now()
    _inherit(store, universe)
    symbols = list(universe["symbol"])
    sweeps = store.sweeps(limit=_SWEEPS)
    inputs = _financials_findings(store, universe, sweeps, now, settings)
    for result in results(checks.FINANCIALS, inputs, asset="financials"):
        context.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey("financials"),
                check_name=str(result.check_name),
                passed=result.passed,
                severity=result.severity,
                description=result.description,
                metadata=result.metadata,
            )
        )
    refuse(checks.FINANCIALS, inputs, otherwise="no scores are made, the last scores stay")
    sweep = sweeps[0]
    facts = checks.usable(store.latest_facts("financials", Financials, as_of=now), symbols, sweep, now, settings)
    older = facts[facts["known_at"] < sweep.fresh_since]
    last, links = store.load_snapshot("scores", Scores), universe.attrs.get("renamed", {})
    looks = {} if last is None else last.attrs.get("doubted", {})
    looks = {links.get(symbol, symbol): datetime.fromisoformat(at) for symbol, at in looks.items()}
    last = None if last is None else renamed(last, links)
    targets = store.newest_values("target_weights", "symbol", "weight")
    settled = doubts.settle(universe, facts, last, now, settings, looks=looks, accepted=config.accept_change)
    frame = settled.scores
    findings = [
        schema_finding(Scores, frame),
        *checks.check_scores(
            settled.fresh,
            last,
            settings,
            kept=settled.kept,
            held={links.get(symbol, symbol): weight for symbol, weight in targets.items()},
            accept_change=config.accept_change,
        ),
    ]
    if config.accept_change:
        store.audit("accept_change", {"asset": "scores", "run_id": context.run.run_id}, at=now)
    yield from judged(checks.SCORES, findings, otherwise="nothing is stored, the last scores stay")
    frame.attrs = {
        "as_of": now,
        "universe_as_of": universe.attrs["as_of"].isoformat(),
        "sweep": sweep.id,
        "doubted": {symbol: at.isoformat() for symbol, at in settled.looks.items()},
    }
    scored = frame[frame["score"].notna()]
    best = scored.nlargest(10, "score")[["symbol", "score"]].itertuples(index=False)
    unscored = frame.loc[frame["reason"].notna(), ["symbol", "reason"]].itertuples(index=False)
    missing = {name: float(frame[name].isna().mean()) for name in scoring.FIGURES}
    yield dg.Output(
        frame,
        metadata={
            "scored": len(scored),
            "unscored": len(frame) - len(scored),
            "median_score": float(scored["score"].median()),
            "best": table(best, "symbol", "score"),
            "reasons": table(Counter(frame["reason"].dropna()).most_common(), "reason", "names"),
            "without_score": table(unscored, "symbol", "reason"),
            "kept_for_a_doubt": table(settled.kept.items(), "symbol", "doubt"),
            "by_older_figures": table(zip(older["symbol"], older["known_at"], strict=True), "symbol", "known at"),
            "score_distribution": image(
                "scores", plots.score_distribution, scored["score"], () if last is None else last["score"]
            ),
            "missing_values": image(
                "missing values", plots.missing_values, missing, settings.guards.max_missing_pct / 100
            ),
        },
    )


@dg.asset(group_name="serving", kinds={"redis"}, check_specs=specs("published_scores", PUBLISHED, blocking=False))
def published_scores(
    context: dg.AssetExecutionContext, scores: DataFrame, publisher: PublisherResource
) -> dg.MaterializeResult:
    """The scores in Redis, for other programs."""
    documents = {
        row["symbol"]: (
            row["score"],
            {
                "roe": _number(row["roe_ttm_pct"]),
                "debt_to_equity": _number(row["debt_to_equity"]),
                "revenue_growth": _number(row["revenue_growth_yoy_pct"]),
                "eps_growth": _number(row["eps_growth_yoy_pct"]),
            },
        )
        for row in scores[scores["score"].notna()].to_dict("records")
    }
    flaws = list[str]()

    def publish(redis: "Publisher") -> None:
        redis.publish_scores(documents, scores.attrs["as_of"])
        flaws.extend(redis.scores_flaws(documents))

    published = publisher.publish(context, publish)
    return dg.MaterializeResult(
        metadata={
            "published": len(documents) if published else 0,
            "as_of": dg.MetadataValue.timestamp(scores.attrs["as_of"]),
        },
        check_results=results(PUBLISHED, [published_finding(len(documents), flaws, published=published)]),
    )


def _financials_findings(
    store: "Warehouse", universe: DataFrame, sweeps: "list[Sweep]", now: datetime, settings: Settings
) -> list[Finding]:
    from tokenomics_dagster.fundamentals import doubts
    from tokenomics_dagster.fundamentals.schema import Financials

    facts = store.latest_facts("financials", Financials, as_of=now)
    owners = doubts.issuers_of(universe)
    return [
        schema_finding(Financials, facts),
        *checks.check_financials(facts, list(universe["symbol"]), sweeps, now, settings, owners),
    ]


def _mark_failed(context: dg.AssetExecutionContext, symbols: Iterable[str]) -> None:
    """Makes exactly these partitions failed in the UI.

    For Dagster a partition has failed when a run that failed had planned it and did not materialize it; a run that
    names no partitions plans none. There is no public way to plan one (Dagster is pinned to this exact version).
    """
    from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

    for symbol in symbols:
        planned = AssetMaterializationPlannedData(context.asset_key, partition=symbol)
        event = DagsterEvent.build_asset_materialization_planned_event(
            context.job_name, context.op_execution_context.op.name, planned
        )
        context.instance.report_dagster_event(event, context.run.run_id)


def _fresh_since(last: "Sweep | None", now: datetime, settings: Settings) -> datetime:
    """What is known since then need not be asked for; never before the instant from which the last sweep counts."""
    since = now - timedelta(days=settings.fundamentals.refresh_days)
    return since if last is None else max(since, min(last.fresh_since, now))


def _listed(universe: DataFrame | None) -> DataFrame:
    if universe is None:
        raise dg.Failure("there is no universe yet: run universe_refresh first", allow_retries=False)
    return universe


def _fetched(
    finnhub: FinnhubResource,
    todo: Sequence[str],
    called: Mapping[str, str],
    known: DataFrame,
    now: datetime,
    settings: Settings,
) -> Iterator[tuple[str, Metrics | ProviderError]]:
    """The sweep's answers; `called` tells the symbols of now of those renamed.

    Where every figure is gone that was there not long ago the question is asked once more, and the answer is then a
    failure: it says nothing of the company, and the last figures stand in for it.
    """
    from tokenomics_dagster.fundamentals.doubts import believed_since

    since = believed_since(now, settings)
    had = set(known.index[(known["known_at"] >= since) & known[list(_FIGURES)].notna().any(axis=1)])
    emptied = []

    def ask(symbol: str) -> Metrics:
        return finnhub.metrics(called.get(symbol, symbol))

    for symbol, answer in finnhub.sweep(todo, ask):
        if symbol in had and _empty(answer):
            emptied.append(symbol)
        else:
            yield symbol, answer
    for symbol, answer in finnhub.sweep(emptied, ask):
        if not _empty(answer):
            yield symbol, answer
            continue
        days = (now - since) / timedelta(days=1)
        message = f"no figure at all, twice, where there were some on {known['known_at'][symbol].date()}: they are "
        message += f"believed to be gone once those are older than {days:g} days, twice guards.max_score_age_days"
        yield symbol, PermanentError("Finnhub", "GET /stock/metric", 200, message)


def _empty(answer: Metrics | ProviderError) -> bool:
    return not isinstance(answer, ProviderError) and all(getattr(answer, figure) is None for figure in _FIGURES)


def _inherit(store: "Warehouse", universe: DataFrame) -> None:
    """The last figures of a renamed stock become those of its new symbol, where every reader finds them."""
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.providers.renames import inherited

    if links := universe.attrs.get("renamed"):
        for row in inherited(store.latest_facts("financials", Financials), links):
            store.append_fact("financials", Financials, row)


def _named(context: dg.AssetExecutionContext, config: FinancialsConfig, store: "Warehouse") -> list[str] | None:
    """The symbols that the run was started for by name: its run config, else its partitions; None for a sweep."""
    by_partitions = context.has_partition_key or context.has_partition_key_range
    if bool(config.symbols) + config.failed + config.again + by_partitions > 1:
        raise dg.Failure(
            "symbols, failed, again and partitions name what to ask for each by itself: give one of them",
            allow_retries=False,
        )
    if config.failed:
        from tokenomics_dagster.fundamentals.schema import Financials

        partitions = context.instance.get_dynamic_partitions("symbols")
        failed = checks.still_failed(store.latest_facts("financials", Financials), partitions, store.latest_sweep())
        if not failed:
            raise dg.Failure("no symbol of the last sweep is failed: there is nothing to repair", allow_retries=False)
        return failed
    if config.symbols:
        known = set(context.instance.get_dynamic_partitions("symbols"))
        unknown = sorted(set(config.symbols) - known)
        if unknown:
            raise dg.Failure(
                f"symbols that are not followed: {', '.join(unknown[:20])}; the partitions of financials list those "
                "that are",
                allow_retries=False,
            )
        return list(dict.fromkeys(config.symbols))
    if not by_partitions:
        return None
    keys = list(context.partition_keys)
    if not keys:
        # Dynamic partitions keep the order in which they were added: a range that ends before it starts has no keys,
        # and would succeed without doing anything.
        raise dg.Failure("the range of partitions holds no symbol: choose single symbols", allow_retries=False)
    return keys


def _materialization(
    context: dg.AssetExecutionContext, symbol: str, row: Mapping[str, Any], columns: Mapping[str, Any] | None = None
) -> dg.AssetMaterialization:
    figures: dict[str, Any] = {
        name: float(value) for name, value in row.items() if isinstance(value, float) and value == value
    }
    if isinstance(row["reported_period"], str):
        figures |= {"reported_period": row["reported_period"]}
    return dg.AssetMaterialization(
        context.asset_key,
        partition=symbol,
        metadata={**figures, "known_at": row["known_at"].isoformat(), **(columns or {})},
    )


def _number(value: float) -> float | None:
    return None if value != value else value
