"""Listings and universe: asks Finnhub which stocks exist and what they are worth, and keeps the largest."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from tokenomics_dagster.kit.checks import (
    PUBLISHED,
    Finding,
    judged,
    published_finding,
    results,
    schema_finding,
    specs,
)
from tokenomics_dagster.kit.failing import in_a_sentence
from tokenomics_dagster.kit.metadata import table
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
from tokenomics_dagster.providers.finnhub.parsing import Profile
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.universe import checks

if TYPE_CHECKING:
    from tokenomics_dagster.model.trading import Asset
    from tokenomics_dagster.storage.publishing import Publisher
    from tokenomics_dagster.storage.warehouse import Warehouse
    from tokenomics_dagster.universe.departures import Refresh, Settled
    from tokenomics_dagster.universe.refresh import Answers, Before
    from tokenomics_dagster.universe.schema import ListingsDetails, PlannedDetails, UniverseDetails


class ListingsConfig(dg.Config):
    """Leave as it is, unless a change that a check refuses is meant: of universe.size, exchanges, types."""

    accept_change: bool = Field(default=False, description="Accept shrink, in this run.")


class UniverseConfig(dg.Config):
    """Leave as it is, unless a change that a check refuses is meant: of universe.size, exchanges, types."""

    accept_change: bool = Field(
        default=False,
        description="Accept shrink, turnover, new market caps and departures, in this run: what is in doubt leaves.",
    )
    leave: list[str] = Field(
        default_factory=list, description="Symbols that wait in doubt and are to leave in this run, they alone."
    )


@dg.asset(
    group_name="universe",
    kinds={"finnhub", "pandas"},
    pool="finnhub",
    metadata=schema_metadata("tokenomics_dagster.universe.schema.Listings"),
    check_specs=specs("listings", checks.LISTINGS),
)
@in_a_sentence
def listings(
    context: dg.AssetExecutionContext,
    config: ListingsConfig,
    finnhub: FinnhubResource,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[Made["ListingsDetails"]] | dg.AssetCheckResult]:
    """Every security listed in the US, as Finnhub's /stock/symbol gives it: one call."""
    import pandas as pd

    from tokenomics_dagster.universe import shown
    from tokenomics_dagster.universe.schema import Listings, ListingsDetails
    from tokenomics_dagster.universe.selection import left_out, undisputed

    settings, store = _narrowed(settings_in_force.read()), warehouse.open()
    listed = finnhub.listings()
    columns = list(Listings.to_schema().columns)
    rows = pd.DataFrame(map(attrgetter(*columns), listed.listings), columns=columns)
    frame, disputed = undisputed(rows, settings.universe)
    details, now = ListingsDetails(disputed=left_out(frame, listed.dropped, disputed)), alpaca.now()
    last = store.load_snapshot("listings", Listings)
    findings = [
        schema_finding(Listings, frame),
        *checks.check_listings(rows, last, settings, accept_change=config.accept_change),
    ]
    if config.accept_change:
        store.audit("accept_change", {"asset": "listings", "run_id": context.run.run_id}, at=now)
    yield from judged(checks.LISTINGS, findings, otherwise="nothing is stored, the last listings stay")
    yield dg.Output(Made(frame, now, details), metadata=shown.listings(frame, details.disputed))


@dg.asset(
    group_name="universe",
    kinds={"finnhub", "alpaca", "pandas"},
    pool="finnhub",
    metadata=schema_metadata("tokenomics_dagster.universe.schema.Universe"),
    check_specs=specs("universe", checks.UNIVERSE),
)
@in_a_sentence
def universe(
    context: dg.AssetExecutionContext,
    config: UniverseConfig,
    listings: Stored["ListingsDetails"],
    finnhub: FinnhubResource,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[Made["UniverseDetails"]] | dg.AssetCheckResult]:
    """The largest stocks by market cap in USD. A killed run goes on where it was: each profile is stored as it arrives.

    A profile is asked for again only when its market cap could matter; the rule is `selection.names_to_ask`. Who is
    gone for another reason than rank waits for a second look; the rule is `departures.settle`. A small universe, and
    the starter one that the next replaces, asks for the most traded names alone; the rule is `asked.most_traded`.
    """
    from tokenomics_dagster.universe import asked, departures, shown
    from tokenomics_dagster.universe import refresh as refreshing
    from tokenomics_dagster.universe.renames import followed_on
    from tokenomics_dagster.universe.schema import Universe, UniverseDetails

    store, now = warehouse.open(), alpaca.now()
    before = store.load_stored("universe", Universe, UniverseDetails)
    last = None if before is None else before.frame
    given = settings_in_force.read()
    settings = _narrowed(given, is_first=before is None)
    waiting = {} if before is None else before.details.waiting
    try:
        names, dropped = refreshing.candidates(listings.frame, settings.universe)
        priced = refreshing.priced(names, alpaca.snapshots(list(names["symbol"])))
        known = refreshing.Before(() if last is None else set(last["symbol"]), waiting)
        answers = _asked(priced, finnhub, alpaca, store, now, settings, known)
        outside = (*dropped.items(), *listings.details.disputed.items())
        refresh, reasons = refreshing.found(answers, outside, last, now, settings.universe, waiting)
        if before is not None:
            refresh = _with_surroundings(refresh, before, listings.frame, alpaca, store)
        settled = departures.settle(refresh, accept=config.accept_change, leave=config.leave)
        refreshing.require_in_doubt(config.leave, settled)
    except refreshing.CannotRefresh as error:
        failures = {"failures": table(error.failures.items(), "symbol", "error")} if error.failures else None
        raise dg.Failure(str(error), metadata=failures, allow_retries=False) from None
    followed, out = set(settled.universe["symbol"]), settled.out(refresh.reasons)
    doubts = asked.doubts(settings.universe, followed, out, alpaca.assets()) if settings.universe.symbols else {}
    sources = checks.Sources(answers.profiles, reasons, listings.frame, doubts)
    findings = _findings(settled, sources, last, settings, config)
    if config.accept_change or config.leave:
        left = [one.symbol for one in settled.departures if one.goes]
        store.audit("accept_change", {"asset": "universe", "run_id": context.run.run_id, "left": left}, at=now)
    yield from judged(checks.UNIVERSE, findings, otherwise="nothing is stored, the last universe stays")
    new = _follow(context.instance, followed)
    # Known since the last profile came, up to two hours after the first: an earlier instant would answer for a time at
    # which nobody knew it.
    as_of = alpaca.now()
    details = UniverseDetails(
        dropped=out,
        candidates=len(names),
        asked=answers.asked,
        is_starter=before is None and given.universe.begins_small,
        waiting={one.symbol: one.record for one in settled.waiting},
        # Of earlier universes too: figures and scores may still be of the old symbol.
        renamed=followed_on(settled.successors, {} if before is None else before.details.renamed, followed),
    )
    yield dg.Output(
        Made(settled.universe, as_of, details),
        metadata=shown.universe(settled, last, answers, out, candidates=len(names), new_symbols=len(new)),
    )


@dg.asset(group_name="serving", kinds={"redis"}, check_specs=specs("published_universe", PUBLISHED, blocking=False))
@in_a_sentence
def published_universe(
    context: dg.AssetExecutionContext, universe: Stored["UniverseDetails"], publisher: PublisherResource
) -> dg.MaterializeResult:
    """The universe in Redis, for other programs."""
    market_caps = {str(row["symbol"]): row["market_cap_musd"] for row in universe.frame.to_dict("records")}
    as_of, discrepancies = universe.as_of, list[str]()

    def publish(redis: "Publisher") -> None:
        redis.publish_universe(market_caps, as_of)
        discrepancies.extend(redis.universe_discrepancies(market_caps, as_of))

    published = publisher.publish(context, publish)
    return dg.MaterializeResult(
        metadata={"published": len(market_caps) if published else 0, "as_of": dg.MetadataValue.timestamp(as_of)},
        check_results=results(PUBLISHED, [published_finding(len(market_caps), discrepancies, published=published)]),
    )


def _follow(instance: dg.DagsterInstance, symbols: set[str]) -> list[str]:
    """Gives each a partition; those that had none."""
    new = sorted(symbols - set(instance.get_dynamic_partitions("symbols")))
    if new:
        instance.add_dynamic_partitions("symbols", new)
    return new


def _asked(
    priced: DataFrame,
    finnhub: FinnhubResource,
    alpaca: AlpacaResource,
    store: "Warehouse",
    now: datetime,
    settings: Settings,
    before: "Before",
) -> "Answers":
    """What could matter, asked of Finnhub and kept in the warehouse as it arrives."""
    from tokenomics_dagster.universe.refresh import ask
    from tokenomics_dagster.universe.schema import KnownProfiles

    securities = dict(zip(priced["symbol"], priced["description"].fillna(""), strict=True))

    def profile(symbol: str) -> Profile | None:
        return finnhub.profile(symbol, securities[symbol])

    @contextmanager
    def keeping() -> Iterator[Callable[[dict[str, Any]], None]]:
        with store.appending("profiles", KnownProfiles) as append:
            yield lambda row: append({**row, "known_at": alpaca.now()})

    return ask(
        priced,
        known=lambda: store.latest_facts("profiles", KnownProfiles),
        sweep=lambda symbols: finnhub.sweep(symbols, profile, "profiles"),
        keeping=keeping,
        now=now,
        settings=settings,
        before=before,
    )


def _findings(
    settled: "Settled", sources: checks.Sources, last: DataFrame | None, settings: Settings, config: UniverseConfig
) -> list[Finding]:
    from tokenomics_dagster.universe.schema import Universe

    found, accept = settled.universe, config.accept_change
    judged_by_rules = checks.check_universe(found, sources, last, settings, settled.departures, accept_change=accept)
    return [schema_finding(Universe, found), *judged_by_rules]


def _narrowed(settings: Settings, *, is_first: bool = False) -> Settings:
    """The settings with the rules that this refresh goes by, `asked.rules_of`."""
    from tokenomics_dagster.universe.asked import rules_of

    return settings.model_copy(update={"universe": rules_of(settings.universe, is_first=is_first)})


def _with_surroundings(
    refresh: "Refresh",
    last: Stored["UniverseDetails"],
    listings: DataFrame,
    alpaca: AlpacaResource,
    store: "Warehouse",
) -> "Refresh":
    """The refresh with what is listed and held, and with the broker's assets where a name is listed no more.

    Raises ProviderError when the positions cannot be read: while nobody knows what is held, nothing leaves.
    """
    from tokenomics_dagster.universe.departures import held_shares
    from tokenomics_dagster.universe.refresh import figis
    from tokenomics_dagster.universe.schema import Listings

    account = alpaca.account().number
    planned = _planned(store, account)
    foreign = _foreign(planned, store.adoptions(account))
    before = store.load_snapshot("listings", Listings, as_of=last.as_of)
    unlisted = not last.frame["symbol"].isin(listings["symbol"]).all()
    return replace(
        refresh,
        listed=figis(listings),
        listed_before=figis(before),
        held=held_shares(
            {s: float(one.market_value or 0) for s, one in alpaca.positions().items() if s not in foreign},
            store.newest_values("target_weights", "symbol", "weight"),
        ),
        active=_active(alpaca.assets(), planned) if unlisted else frozenset(),
    )


def _planned(store: "Warehouse", account: str) -> "PlannedDetails":
    """What the account's newest plan knows; nothing before its first."""
    from tokenomics_dagster.universe.schema import PlannedDetails

    newest = store.newest_plan_of(account)
    return PlannedDetails() if newest is None else newest.details_as(PlannedDetails)


def _foreign(planned: "PlannedDetails", adopted: Collection[str]) -> set[str]:
    """The stocks that a plan left alone as nobody's, and that nobody has adopted since."""
    return set(planned.plan.foreign) - set(adopted)


def _active(assets: Mapping[str, "Asset"], planned: "PlannedDetails") -> frozenset[str]:
    """The symbols that the broker trades, and those that it has renamed since the plan: under whatever symbol, what is
    there is not gone."""
    from tokenomics_dagster.universe.renames import by_identity

    return frozenset({*assets, *by_identity(planned.asset_ids, {symbol: one.id for symbol, one in assets.items()})})
