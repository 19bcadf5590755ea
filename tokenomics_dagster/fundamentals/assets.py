"""Financials per symbol, and the scores made from them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from tokenomics_dagster.metadata import table
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub import FinnhubResource
from tokenomics_dagster.settings import load_settings
from tokenomics_dagster.storage.resources import DataFrame, PublisherResource, WarehouseResource, schema_metadata
from tokenomics_dagster.universe.assets import symbol_partitions


class FinancialsConfig(dg.Config):
    """Leave empty to sweep the universe. Symbols that are named are asked for whatever their age."""

    symbols: list[str] = Field(default_factory=list)


@dg.asset(
    group_name="fundamentals",
    kinds={"finnhub"},
    pool="finnhub",
    partitions_def=symbol_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    deps=["universe"],
)
def financials(
    context: dg.AssetExecutionContext,
    config: FinancialsConfig,
    finnhub: FinnhubResource,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
) -> Iterator[dg.Output[None]]:
    """Financials of each followed symbol, one partition each, all in one run.

    A run without partitions or symbols is a sweep: it asks for every symbol of the universe that is older than
    fundamentals.refresh_days, and a killed sweep goes on where it was. Each symbol is stored and logged as it arrives.
    """
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.universe.schema import Universe

    settings = load_settings()
    store = warehouse.open()
    now = alpaca.now()
    followed = _followed(store.load_snapshot("universe", Universe))
    named = _named(context, config)
    sweeping = named is None or set(named) >= set(followed)
    requested = followed if named is None else named
    known = store.latest_facts("financials", Financials).set_index("symbol")
    fresh_since = now - timedelta(days=settings.fundamentals.refresh_days)
    fresh = set(known.index[known["known_at"] >= fresh_since]) if sweeping else set()
    todo = [symbol for symbol in requested if symbol not in fresh]
    context.log.info("%d symbols, %d fresh, %d to ask for", len(requested), len(requested) - len(todo), len(todo))
    sweep_id = (
        store.start_sweep(started_at=now, fresh_since=fresh_since, run_id=context.run.run_id, requested=len(requested))
        if sweeping
        else None
    )
    # A killed run may have stored a symbol without logging it; and a backfill counts what it does not log as failed.
    logged = set[str]() if named else context.instance.get_materialized_partitions(context.asset_key)
    for symbol in sorted((fresh & set(requested)) - logged):
        context.log_event(_materialization(context, symbol, known.loc[symbol].to_dict()))

    failures: dict[str, str] = {}
    for symbol, answer in finnhub.sweep(todo, finnhub.metrics):
        if isinstance(answer, ProviderError):
            failures[symbol] = str(answer)
            context.log_event(
                dg.AssetObservation(context.asset_key, partition=symbol, metadata={"failed": str(answer)})
            )
            continue
        row = {**asdict(answer), "known_at": alpaca.now()}
        store.append_fact("financials", Financials, row)
        context.log_event(_materialization(context, symbol, row))
    if sweep_id is not None:
        store.finish_sweep(sweep_id, finished_at=alpaca.now(), failures=failures)
    if failures:
        named_failures = "; ".join(f"{symbol}: {error}" for symbol, error in list(failures.items())[:50])
        context.log.warning("%d symbols failed: %s", len(failures), named_failures)
    # Whoever names symbols wants all of them.
    tolerated_pct = settings.guards.max_failed_pct if sweeping else 0.0
    if 100 * len(failures) > tolerated_pct * len(requested):
        raise dg.Failure(
            f"{len(failures)} of {len(requested)} symbols could not be fetched, {tolerated_pct:g} % are tolerated: "
            f"{', '.join(sorted(failures)[:20])}; the others are stored. Ask again for these by the run config "
            "ops.financials.config.symbols",
            metadata={"failures": table(failures.items(), "symbol", "error", limit=100)},
            allow_retries=False,
        )
    yield from ()


@dg.asset(
    group_name="fundamentals",
    kinds={"pandas"},
    deps=[financials],
    metadata=schema_metadata("tokenomics_dagster.fundamentals.schema.Scores"),
)
def scores(
    context: dg.AssetExecutionContext, universe: DataFrame, alpaca: AlpacaResource, warehouse: WarehouseResource
) -> DataFrame:
    """Composite score of every stock of the universe, or the reason why it has none; only from a completed sweep."""
    from tokenomics_dagster.fundamentals import coverage, scoring
    from tokenomics_dagster.fundamentals.schema import Financials

    settings = load_settings()
    store = warehouse.open()
    now = alpaca.now()
    sweep = store.latest_sweep()
    if sweep is None:
        raise dg.Failure("financials were never swept: run fundamentals_refresh first", allow_retries=False)
    facts = coverage.require_fetched(
        store.latest_facts("financials", Financials, as_of=now),
        list(universe["symbol"]),
        fresh_since=sweep.fresh_since,
        finished=sweep.finished_at is not None,
        failed=sweep.failures,
        guards=settings.guards,
    )
    frame = scoring.score(universe, facts, settings.fundamentals.score)
    coverage.require_scored(frame, settings.guards)
    frame.attrs = {"as_of": now, "universe_as_of": universe.attrs["as_of"].isoformat(), "sweep": sweep.id}
    scored = frame[frame["score"].notna()]
    best = scored.nlargest(10, "score")[["symbol", "score"]].itertuples(index=False)
    context.add_output_metadata(
        {
            "scored": len(scored),
            "unscored": len(frame) - len(scored),
            "median_score": float(scored["score"].median()),
            "best": table(best, "symbol", "score"),
            "reasons": table(Counter(frame["reason"].dropna()).most_common(), "reason", "names"),
        }
    )
    return frame


@dg.asset(group_name="serving", kinds={"redis"})
def published_scores(
    context: dg.AssetExecutionContext, scores: DataFrame, publisher: PublisherResource
) -> dg.MaterializeResult[None]:
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
    published = publisher.publish(context, lambda redis: redis.publish_scores(documents, scores.attrs["as_of"]))
    return dg.MaterializeResult(metadata={"published": len(documents) if published else 0})


def _followed(universe: DataFrame | None) -> list[str]:
    if universe is None:
        raise dg.Failure("there is no universe yet: run universe_refresh first", allow_retries=False)
    return list(universe["symbol"])


def _named(context: dg.AssetExecutionContext, config: FinancialsConfig) -> list[str] | None:
    """The symbols that the run was started for by name: its run config, else its partitions; None for a sweep."""
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
    if not (context.has_partition_key or context.has_partition_key_range):
        return None
    keys = list(context.partition_keys)
    if not keys:
        # Dynamic partitions keep the order in which they were added: a range that ends before it starts has no keys,
        # and would succeed without doing anything.
        raise dg.Failure("the range of partitions holds no symbol: choose single symbols", allow_retries=False)
    return keys


def _materialization(context: dg.AssetExecutionContext, symbol: str, row: Mapping[str, Any]) -> dg.AssetMaterialization:
    figures = {name: float(value) for name, value in row.items() if isinstance(value, float) and value == value}
    return dg.AssetMaterialization(
        context.asset_key, partition=symbol, metadata={**figures, "known_at": row["known_at"].isoformat()}
    )


def _number(value: float) -> float | None:
    return None if value != value else value
