"""Financials per symbol, and the scores made from them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from tokenomics_dagster.fundamentals import checks
from tokenomics_dagster.fundamentals.coverage import NO_UNIVERSE
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
from tokenomics_dagster.kit.dagster_internals import mark_failed
from tokenomics_dagster.kit.failing import in_a_sentence
from tokenomics_dagster.kit.metadata import column_metadata, table
from tokenomics_dagster.kit.partitions import logging_together, newest_materializations, symbol_partitions
from tokenomics_dagster.kit.resources import (
    DataFrame,
    Made,
    PublisherResource,
    SettingsResource,
    Stored,
    WarehouseResource,
    schema_metadata,
)
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.fundamentals.schema import ScoresDetails
    from tokenomics_dagster.fundamentals.sweep import Answered, Asking
    from tokenomics_dagster.providers.finnhub.parsing import Metrics
    from tokenomics_dagster.storage.publishing import Publisher
    from tokenomics_dagster.storage.records import Sweep
    from tokenomics_dagster.storage.warehouse import Warehouse
    from tokenomics_dagster.universe.schema import UniverseDetails


class FinancialsConfig(dg.Config):
    """Leave as it is to sweep the universe. All but a sweep asks whatever the age."""

    # As a default that Dagster knows (a factory's it does not), the Launchpad shows the list, to be filled in.
    symbols: list[str] = Field(default=[], description="Ask for these, all in one run: [AAPL, MSFT].")
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
@in_a_sentence
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

    To ask for some symbols, open the Launchpad of the job `fundamentals_refresh`, choose no partition, and name them:
    one run. Chosen as partitions they are one run for each range of neighbours, some 30 s each.

        ops: {financials: {config: {symbols: [AAPL, MSFT]}}}
    """
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.fundamentals.sweep import answers, failed
    from tokenomics_dagster.universe.renames import symbols_of_now
    from tokenomics_dagster.universe.schema import PlannedDetails, Universe, UniverseDetails

    settings, store = settings_in_force.read(), warehouse.open()
    now = alpaca.now()
    newest = store.load_stored("universe", Universe, UniverseDetails)
    if newest is None:
        raise dg.Failure(NO_UNIVERSE, allow_retries=False)
    universe = newest.frame
    _inherit(store, newest.details.renamed)
    planned = next((plan.details_as(PlannedDetails) for plan in store.history("trade_plan", limit=1)), PlannedDetails())
    called = symbols_of_now(alpaca, list(universe["symbol"]), planned.asset_ids, now)
    known = store.latest_facts("financials", Financials).set_index("symbol")
    asking = _asking(context, config, store, list(universe["symbol"]), known, now, settings)
    requested, todo = len(asking.requested), asking.todo
    context.log.info("%d symbols, %d fresh, %d to ask for", requested, requested - len(todo), len(todo))
    sweep_id = (
        store.start_sweep(
            started_at=now, fresh_since=asking.fresh_since, run_id=context.run.run_id, requested=requested
        )
        if asking.sweeping
        else None
    )
    with logging_together(context) as log:
        for symbol in _unlogged(context, store, known, asking):
            row = {str(column): value for column, value in known.loc[symbol].items()}
            log(_materialization(context, symbol, row))

    def figures(symbol: str) -> "Metrics":
        return finnhub.metrics(called.get(symbol, symbol))

    with closing(
        answers(lambda names: finnhub.sweep(names, figures, "financials"), todo, known, now, settings)
    ) as arriving:
        failures = _kept(context, arriving, len(todo), store, alpaca)
    if sweep_id is not None:
        store.finish_sweep(sweep_id, finished_at=alpaca.now(), failures=failures)
    findings = _financials_findings(store, universe, store.sweeps(limit=checks.SWEEPS), alpaca.now(), settings)
    yield from results(checks.FINANCIALS, findings)
    if not failures:
        return
    _note_failures(context, failures)
    raise dg.Failure(
        failed(failures, asking, settings.guards),
        metadata={"failures": table(failures.items(), "symbol", "error", limit=100)},
        allow_retries=False,
    )


def _asking(
    context: dg.AssetExecutionContext,
    config: FinancialsConfig,
    store: "Warehouse",
    universe: Sequence[str],
    known: DataFrame,
    now: datetime,
    settings: Settings,
) -> "Asking":
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.fundamentals.sweep import CannotAsk, named, whom

    followed = context.instance.get_dynamic_partitions("symbols")

    def still_failed() -> list[str]:
        return checks.still_failed(store.latest_facts("financials", Financials), followed, store.latest_sweep())

    by_partitions = context.has_partition_key or context.has_partition_key_range
    try:
        names = named(
            config.symbols,
            list(context.partition_keys) if by_partitions else None,
            followed,
            still_failed if config.failed else None,
            again=config.again,
        )
    except CannotAsk as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    return whom(
        names,
        universe,
        known["known_at"],
        store.latest_sweep(),
        now,
        refresh_days=settings.fundamentals.refresh_days,
        again=config.again,
    )


def _note_failures(context: dg.AssetExecutionContext, failures: Mapping[str, str]) -> None:
    """Logs the errors by symbol; of a run for all at once their partitions are marked, too."""
    named = "; ".join(f"{symbol}: {error}" for symbol, error in list(failures.items())[:50])
    context.log.warning("%d symbols failed: %s", len(failures), named)
    if not context.has_partition_key and not context.has_partition_key_range:
        mark_failed(context, sorted(failures))


def _unlogged(context: dg.AssetExecutionContext, store: "Warehouse", known: DataFrame, asking: "Asking") -> list[str]:
    """Who is fresh and has no materialization of these figures in Dagster, or one that a failure has followed.

    A killed run may have stored symbols without logging them, with a materialization of older figures or one that had
    failed before among them; and a backfill counts what it does not log as failed: of a run for named symbols all are
    logged.
    """
    from tokenomics_dagster.fundamentals import shown

    fresh = asking.fresh & set(asking.requested)
    if asking.by_name:
        return sorted(fresh)
    failed = {symbol for sweep in store.sweeps(limit=checks.SWEEPS) for symbol in sweep.failures}
    told = newest_materializations(context.instance, context.asset_key, fresh - failed)
    logged = set[str]()
    for symbol, at in known.loc[list(told), "known_at"].items():
        figures = {key: value.value for key, value in told[str(symbol)].metadata.items()}
        if shown.of_when(at).items() <= figures.items():
            logged.add(str(symbol))
    return sorted(fresh - logged)


def _kept(
    context: dg.AssetExecutionContext,
    answers: "Answered",
    asked: int,
    store: "Warehouse",
    alpaca: AlpacaResource,
) -> dict[str, str]:
    """Stores and logs each answer as it arrives; returns the errors by symbol."""
    from tokenomics_dagster.fundamentals.schema import Financials

    failures: dict[str, str] = {}
    count = 0

    def told(rows: Sequence[Mapping[str, Any]]) -> None:
        nonlocal count
        for row in rows:
            count += 1
            # The UI shows the columns of the newest materialization: 2.5 KB that not each of 1,500 must carry.
            columns = column_metadata(Financials) if count + len(failures) == asked else {}
            log(_materialization(context, row["symbol"], row, columns))

    with logging_together(context) as log, store.appending("financials", Financials, told) as keep:
        for symbol, answer in answers:
            if isinstance(answer, ProviderError):
                failures[symbol] = str(answer)
                context.log_event(
                    dg.AssetObservation(context.asset_key, partition=symbol, metadata={"failed": str(answer)})
                )
            else:
                keep({**asdict(answer), "symbol": symbol, "known_at": alpaca.now()})
    return failures


@dg.asset(
    group_name="fundamentals",
    kinds={"pandas"},
    deps=[financials],
    metadata=schema_metadata("tokenomics_dagster.fundamentals.schema.Scores"),
    check_specs=specs("scores", checks.SCORES),
)
@in_a_sentence
def scores(
    context: dg.AssetExecutionContext,
    config: ScoresConfig,
    universe: Stored["UniverseDetails"],
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[Made["ScoresDetails"]] | dg.AssetCheckResult]:
    """Composite score of every stock of the universe, or the reason why it has none; only from sound financials.

    The checks of financials are made anew, and told as theirs: they may have passed when that asset was made, days ago.
    """
    from tokenomics_dagster.fundamentals import doubts, shown
    from tokenomics_dagster.fundamentals.schema import Financials, Scores, ScoresDetails
    from tokenomics_dagster.universe.renames import renamed

    settings, store, links = settings_in_force.read(), warehouse.open(), universe.details.renamed
    now = alpaca.now()
    _inherit(store, links)
    sweeps = store.sweeps(limit=checks.SWEEPS)
    inputs = _financials_findings(store, universe.frame, sweeps, now, settings)
    _report_financials(context, inputs)
    refuse(checks.FINANCIALS, inputs, otherwise="no scores are made, the last scores stay")
    sweep, symbols = sweeps[0], list(universe.frame["symbol"])
    facts = checks.usable(store.latest_facts("financials", Financials, as_of=now), symbols, sweep, now, settings)
    before = store.load_stored("scores", Scores, ScoresDetails)
    looks = {} if before is None else before.details.doubted
    looks = {links.get(symbol, symbol): at for symbol, at in looks.items()}
    last = None if before is None else renamed(before.frame, links)
    targets = store.newest_values("target_weights", "symbol", "weight")
    settled = doubts.settle(universe.frame, facts, last, now, settings, looks=looks, accepted=config.accept_change)
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
    details = ScoresDetails(
        universe_as_of=universe.as_of,
        sweep=sweep.id,
        doubted=settled.looks,
        rules=settings.fundamentals.score.model_dump(mode="json"),
        barred=settled.dropped,
    )
    older = facts[facts["known_at"] < sweep.fresh_since]
    metadata = shown.scores(settled, last, older, settings.guards.max_missing_pct)
    yield dg.Output(Made(frame, now, details), metadata=metadata)


def _report_financials(context: dg.AssetExecutionContext, findings: Sequence[Finding]) -> None:
    for result in results(checks.FINANCIALS, findings, asset="financials"):
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


@dg.asset(group_name="serving", kinds={"redis"}, check_specs=specs("published_scores", PUBLISHED, blocking=False))
@in_a_sentence
def published_scores(
    context: dg.AssetExecutionContext, scores: Stored["ScoresDetails"], publisher: PublisherResource
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
        for row in scores.frame[scores.frame["score"].notna()].to_dict("records")
    }
    discrepancies = list[str]()

    def publish(redis: "Publisher") -> None:
        redis.publish_scores(documents, scores.as_of)
        discrepancies.extend(redis.scores_discrepancies(documents))

    published = publisher.publish(context, publish)
    return dg.MaterializeResult(
        metadata={
            "published": len(documents) if published else 0,
            "as_of": dg.MetadataValue.timestamp(scores.as_of),
        },
        check_results=results(PUBLISHED, [published_finding(len(documents), discrepancies, published=published)]),
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


def _inherit(store: "Warehouse", links: Mapping[str, str]) -> None:
    """The last figures of a renamed stock become those of its new symbol, where every reader finds them."""
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.universe.renames import inherited

    if links:
        for row in inherited(store.latest_facts("financials", Financials), links):
            store.append_fact("financials", Financials, row)


def _materialization(
    context: dg.AssetExecutionContext, symbol: str, row: Mapping[str, Any], columns: Mapping[str, Any] | None = None
) -> dg.AssetMaterialization:
    from tokenomics_dagster.fundamentals import shown

    metadata = {**shown.financials(row), **(columns or {})}
    return dg.AssetMaterialization(context.asset_key, partition=symbol, metadata=metadata)


def _number(value: float) -> float | None:
    return None if value != value else value
