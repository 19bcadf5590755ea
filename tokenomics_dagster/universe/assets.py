"""Listings and universe: asks Finnhub which stocks exist and what they are worth, and keeps the largest."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from tokenomics_dagster.checks import PUBLISHED, judged, published_finding, results, schema_finding, specs
from tokenomics_dagster.metadata import image, table
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub import FinnhubResource
from tokenomics_dagster.settings import UniverseSettings, load_settings
from tokenomics_dagster.storage.resources import DataFrame, PublisherResource, WarehouseResource, schema_metadata
from tokenomics_dagster.universe import checks

if TYPE_CHECKING:
    from tokenomics_dagster.storage.publishing import Publisher
    from tokenomics_dagster.storage.warehouse import Warehouse

# One partition per followed symbol, in the order in which they were first followed.
symbol_partitions = dg.DynamicPartitionsDefinition(name="symbols")


class UniverseConfig(dg.Config):
    """Leave as it is, unless a change that a check refuses is meant: of universe.size, exchanges, types."""

    accept_change: bool = Field(default=False, description="Accept shrink, turnover and new market caps, in this run.")


@dg.asset(
    group_name="universe",
    kinds={"finnhub", "pandas"},
    pool="finnhub",
    metadata=schema_metadata("tokenomics_dagster.universe.schema.Listings"),
    check_specs=specs("listings", checks.LISTINGS),
)
def listings(
    context: dg.AssetExecutionContext,
    config: UniverseConfig,
    finnhub: FinnhubResource,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """Every security listed in the US, as Finnhub's /stock/symbol gives it: one call."""
    import pandas as pd

    from tokenomics_dagster.universe.schema import Listings

    rows = pd.DataFrame([asdict(row) for row in finnhub.listings()], columns=list(Listings.to_schema().columns))
    frame = rows.drop_duplicates(ignore_index=True)
    frame.attrs["as_of"] = alpaca.now()
    last = warehouse.open().load_snapshot("listings", Listings)
    findings = [
        # A symbol with two different rows is the matter of `duplicates` alone.
        schema_finding(Listings, frame.drop_duplicates("symbol")),
        *checks.check_listings(rows, last, load_settings(), accept_change=config.accept_change),
    ]
    if config.accept_change:
        warehouse.open().audit(
            "accept_change", {"asset": "listings", "run_id": context.run.run_id}, at=frame.attrs["as_of"]
        )
    yield from judged(checks.LISTINGS, findings, otherwise="nothing is stored, the last listings stay")
    counted = (("types", "type"), ("exchanges", "mic"), ("currencies", "currency"))
    yield dg.Output(
        frame,
        metadata={
            name: table(Counter(frame[column].fillna("missing")).most_common(), name, "listings")
            for name, column in counted
        },
    )


@dg.asset(
    group_name="universe",
    kinds={"finnhub", "alpaca", "pandas"},
    pool="finnhub",
    metadata=schema_metadata("tokenomics_dagster.universe.schema.Universe"),
    check_specs=specs("universe", checks.UNIVERSE),
)
def universe(
    context: dg.AssetExecutionContext,
    config: UniverseConfig,
    listings: DataFrame,
    finnhub: FinnhubResource,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """The largest stocks by market cap in USD. A killed run goes on where it was: each profile is stored as it arrives.

    A profile is asked for again only when its market cap could matter; the rule is `selection.names_to_ask`.
    """
    from tokenomics_dagster import plots
    from tokenomics_dagster.universe import selection
    from tokenomics_dagster.universe.schema import KnownProfiles, Universe

    settings = load_settings()
    store = warehouse.open()
    now = alpaca.now()
    names, dropped = selection.candidates(listings, settings.universe)
    if names.empty:
        raise dg.Failure(
            f"none of the {len(listings)} listings is a {' or '.join(settings.universe.security_types)} on "
            f"{' or '.join(settings.universe.exchanges)}: check universe.exchanges and universe.security_types"
        )
    priced = names[["symbol", "exchange"]].merge(_prices(alpaca, names["symbol"]), on="symbol", how="left")
    asked, failures = 0, dict[str, str]()
    while True:
        profiles = _profiles(priced, store, now, settings.universe, failures)
        todo = selection.names_to_ask(profiles, settings.universe)
        if not todo:
            break
        asked += len(todo)
        for symbol, answer in finnhub.sweep(todo, finnhub.profile):
            if isinstance(answer, ProviderError):
                failures[symbol] = str(answer)
            else:
                known = asdict(answer) if answer is not None else {"symbol": symbol}
                row = {column: known.get(column) for column in KnownProfiles.to_schema().columns}
                store.append_fact("profiles", KnownProfiles, {**row, "known_at": alpaca.now()})
        if 100 * len(failures) > settings.guards.max_failed_pct * asked:
            raise dg.Failure(
                f"{len(failures)} of {asked} profiles could not be fetched, guards.max_failed_pct is "
                f"{settings.guards.max_failed_pct:g}: the last universe stays; run universe_refresh again, "
                "the profiles that came are kept",
                metadata={"failures": table(failures.items(), "symbol", "error")},
                allow_retries=False,
            )
    selected, reasons = selection.select(profiles, settings.universe)
    last = store.load_snapshot("universe", Universe)
    findings = [
        schema_finding(Universe, selected),
        *checks.check_universe(
            selected, profiles, reasons, listings, last, settings, accept_change=config.accept_change
        ),
    ]
    if config.accept_change:
        store.audit("accept_change", {"asset": "universe", "run_id": context.run.run_id}, at=now)
    yield from judged(checks.UNIVERSE, findings, otherwise="nothing is stored, the last universe stays")
    new = sorted(set(selected["symbol"]) - set(context.instance.get_dynamic_partitions("symbols")))
    if new:
        context.instance.add_dynamic_partitions("symbols", new)
    judged_by_last = sorted(set(failures) & set(profiles["symbol"]))
    failed = {symbol: f"profile not fetched: {failures[symbol]}" for symbol in failures if symbol not in judged_by_last}
    outside = {str(s): str(why) for s, why in (*dropped.items(), *reasons.items(), *failed.items())}
    # Known since the last profile came, up to two hours after the first: an earlier instant would answer for a time at
    # which nobody knew it.
    selected.attrs = {"as_of": alpaca.now(), "dropped": outside, "candidates": len(names), "asked": asked}
    largest = selected.head(10)[["symbol", "name", "market_cap_musd"]].itertuples(index=False)
    before = [] if last is None else list(last["symbol"])
    entered = selected[~selected["symbol"].isin(before)][["symbol", "name", "market_cap_musd"]]
    gone = sorted({*before} - {*selected["symbol"]})
    left = [(symbol, outside.get(symbol, "not listed any more")) for symbol in gone]
    by_industry = selected["industry"].fillna("").replace("", "unknown").value_counts(normalize=True)
    industries = {str(name): float(share) for name, share in by_industry.items()}
    yield dg.Output(
        selected,
        metadata={
            "candidates": len(names),
            "asked": asked,
            "spared": len(names) - asked,
            "failed": len(failures),
            "judged_by_last_profile": table(((s, failures[s]) for s in judged_by_last), "symbol", "error"),
            "new_symbols": len(new),
            "largest": table(largest, "symbol", "name", "market cap, million USD"),
            "dropped": table(_kinds(outside.values()), "reason", "names"),
            "entered": table(entered.itertuples(index=False), "symbol", "name", "market cap, million USD"),
            "left": table(left, "symbol", "reason"),
            "caps_by_rank": image(
                "market caps by rank",
                plots.caps_by_rank,
                selected["market_cap_musd"],
                () if last is None else last["market_cap_musd"],
            ),
            "industry_shares": image("industries", plots.industry_shares, industries, of="the stocks"),
        },
    )


@dg.asset(group_name="serving", kinds={"redis"}, check_specs=specs("published_universe", PUBLISHED, blocking=False))
def published_universe(
    context: dg.AssetExecutionContext, universe: DataFrame, publisher: PublisherResource
) -> dg.MaterializeResult:
    """The universe in Redis, for other programs."""
    market_caps = {str(row["symbol"]): row["market_cap_musd"] for row in universe.to_dict("records")}
    as_of, flaws = universe.attrs["as_of"], list[str]()

    def publish(redis: "Publisher") -> None:
        redis.publish_universe(market_caps, as_of)
        flaws.extend(redis.universe_flaws(market_caps, as_of))

    published = publisher.publish(context, publish)
    return dg.MaterializeResult(
        metadata={"published": len(market_caps) if published else 0, "as_of": dg.MetadataValue.timestamp(as_of)},
        check_results=results(PUBLISHED, [published_finding(len(market_caps), flaws, published=published)]),
    )


def _prices(alpaca: AlpacaResource, symbols: Iterable[str]) -> DataFrame:
    """Columns symbol, price (USD), traded_value_musd of the last whole session; unknown symbols are absent."""
    import pandas as pd

    rows = []
    for symbol, market in alpaca.snapshots(list(symbols)).items():
        # Today's bar is a part of a session: its volume says little, but its close is the price.
        price = market.close or market.previous_close
        if price is not None:
            volume, close = market.previous_volume, market.previous_close
            traded = None if volume is None or close is None else float(volume * close) / 1e6
            rows.append((symbol, float(price), traded))
    return pd.DataFrame(rows, columns=["symbol", "price", "traded_value_musd"])


def _profiles(
    priced: DataFrame, store: "Warehouse", now: datetime, rules: UniverseSettings, failures: Collection[str]
) -> DataFrame:
    """The `Profiles` frame: what was last seen of each candidate, beside its price now.

    A call that failed says nothing of a stock: one of the `failures` is judged by its last profile, and left out only
    where there is none. Else a time-out would sell a position, and keep it out for a month.
    """
    from tokenomics_dagster.universe.schema import KnownProfiles, Profiles

    known = store.latest_facts("profiles", KnownProfiles)
    frame = priced.merge(known, on="symbol", how="left")
    age = now - frame["known_at"]
    frame["fresh"] = (age <= timedelta(days=rules.profile_max_age_days)) & frame["known_at"].notna()
    # The assumed drift is a drift since the last look, so that look must not lie too far back.
    too_old = age > timedelta(days=rules.share_count_max_age_days)
    frame["shares_outstanding_m"] = frame["shares_outstanding_m"].mask(too_old)
    failed = frame["symbol"].isin(failures)
    frame["fresh"] |= failed
    frame = frame[~failed | frame["shares_outstanding_m"].notna()]
    return frame[list(Profiles.to_schema().columns)]


def _kinds(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Reasons without their figures, most frequent first."""
    return Counter(reason.split(":")[0].split(",")[0] for reason in reasons).most_common()
