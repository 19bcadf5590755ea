"""Listings and universe: asks Finnhub which stocks exist and what they are worth, and keeps the largest."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from tokenomics_dagster.kit.checks import PUBLISHED, judged, published_finding, results, schema_finding, specs
from tokenomics_dagster.kit.metadata import image, table
from tokenomics_dagster.kit.resources import (
    DataFrame,
    PublisherResource,
    SettingsResource,
    WarehouseResource,
    schema_metadata,
)
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub import FinnhubResource, Profile
from tokenomics_dagster.settings import Settings, UniverseSettings
from tokenomics_dagster.universe import checks

if TYPE_CHECKING:
    from tokenomics_dagster.storage.publishing import Publisher
    from tokenomics_dagster.storage.warehouse import Warehouse
    from tokenomics_dagster.universe.departures import Refresh, Settled


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
def listings(
    context: dg.AssetExecutionContext,
    config: ListingsConfig,
    finnhub: FinnhubResource,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """Every security listed in the US, as Finnhub's /stock/symbol gives it: one call."""
    import pandas as pd

    from tokenomics_dagster.universe.schema import Listings
    from tokenomics_dagster.universe.selection import undisputed

    listed = finnhub.listings()
    rows = pd.DataFrame([asdict(row) for row in listed.listings], columns=list(Listings.to_schema().columns))
    settings = settings_in_force.read()
    frame, disputed = undisputed(rows, settings.universe)
    unlisted = {symbol: why for symbol, why in listed.dropped.items() if symbol not in set(frame["symbol"])}
    frame.attrs = {"as_of": alpaca.now(), "disputed": {**unlisted, **disputed.to_dict()}}
    last = warehouse.open().load_snapshot("listings", Listings)
    findings = [
        schema_finding(Listings, frame),
        *checks.check_listings(rows, last, settings, accept_change=config.accept_change),
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
            "disputed": table(frame.attrs["disputed"].items(), "symbol", "rows", limit=50),
            **{
                name: table(Counter(frame[column].fillna("missing")).most_common(), name, "listings")
                for name, column in counted
            },
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
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """The largest stocks by market cap in USD. A killed run goes on where it was: each profile is stored as it arrives.

    A profile is asked for again only when its market cap could matter; the rule is `selection.names_to_ask`. Who is
    gone for another reason than rank waits for a second look; the rule is `departures.settle`.
    """
    from tokenomics_dagster.providers.renames import followed_on
    from tokenomics_dagster.universe import departures, selection
    from tokenomics_dagster.universe.schema import Universe

    settings = settings_in_force.read()
    store = warehouse.open()
    now = alpaca.now()
    last = store.load_snapshot("universe", Universe)
    before = {} if last is None else dict(last.attrs)
    if last is not None:
        last.attrs = {}  # pandas would copy the reasons of 6,500 dropped names in every step
    names, dropped = selection.candidates(listings, settings.universe)
    if names.empty:
        raise dg.Failure(
            f"none of the {len(listings)} listings is a {' or '.join(settings.universe.security_types)} on "
            f"{' or '.join(settings.universe.exchanges)}: check universe.exchanges and universe.security_types"
        )
    priced = names[["symbol", "exchange", "description"]].merge(
        _prices(alpaca, names["symbol"]), on="symbol", how="left"
    )
    profiles, asked, failures = _ask(priced, store, now, settings, finnhub, alpaca, before.get("waiting", {}))
    selected, reasons = selection.select(profiles, settings.universe)
    judged_by_last = sorted(set(failures) & set(profiles["symbol"]))
    failed = {s: f"{departures.NOT_FETCHED}: {failures[s]}" for s in failures if s not in judged_by_last}
    disputed = listings.attrs.get("disputed", {})
    reasons_out = (*dropped.items(), *disputed.items(), *reasons.items(), *failed.items())
    outside = {str(symbol): str(why) for symbol, why in reasons_out}
    refresh = departures.Refresh(
        selected, profiles, outside, last, now, settings.universe, waiting=before.get("waiting", {})
    )
    if last is not None:
        refresh = _with_surroundings(refresh, last, before["as_of"], listings, alpaca, store)
    settled = departures.settle(refresh, accept=config.accept_change, leave=config.leave)
    if unknown := sorted(set(config.leave) - {one.symbol for one in settled.departures}):
        raise dg.Failure(
            f"leave names symbols that are not in doubt: {', '.join(unknown[:20])}; `waiting` of the last "
            "materialization of universe lists those that are",
            allow_retries=False,
        )
    selected = settled.universe
    followed = set(selected["symbol"])
    outside = {symbol: why for symbol, why in {**outside, **settled.gave_way}.items() if symbol not in followed}
    findings = [
        schema_finding(Universe, selected),
        *checks.check_universe(
            selected,
            profiles,
            reasons,
            listings,
            last,
            settings,
            settled.departures,
            accept_change=config.accept_change,
        ),
    ]
    if config.accept_change or config.leave:
        left = [one.symbol for one in settled.departures if one.goes]
        store.audit("accept_change", {"asset": "universe", "run_id": context.run.run_id, "left": left}, at=now)
    yield from judged(checks.UNIVERSE, findings, otherwise="nothing is stored, the last universe stays")
    new = sorted(set(selected["symbol"]) - set(context.instance.get_dynamic_partitions("symbols")))
    if new:
        context.instance.add_dynamic_partitions("symbols", new)
    # Known since the last profile came, up to two hours after the first: an earlier instant would answer for a time at
    # which nobody knew it.
    selected.attrs = {
        "as_of": alpaca.now(),
        "dropped": outside,
        "candidates": len(names),
        "asked": asked,
        "waiting": {one.symbol: one.record for one in settled.waiting},
        # Of earlier universes too: figures and scores may still be of the old symbol.
        "renamed": followed_on(
            {one.symbol: one.successor for one in settled.departures if one.successor},
            before.get("renamed", {}),
            followed,
        ),
    }
    yield dg.Output(
        selected,
        metadata={
            "candidates": len(names),
            "asked": asked,
            "spared": len(names) - asked,
            "failed": len(failures),
            "judged_by_last_profile": table(((s, failures[s]) for s in judged_by_last), "symbol", "error"),
            "new_symbols": len(new),
            "dropped": table(_kinds(outside.values()), "reason", "names"),
            "largest_dropped": table(
                _largest_dropped(outside, profiles), "symbol", "reason", "market cap last seen, millions", limit=50
            ),
            **_shown(selected, last, settled, outside),
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


def _ask(
    priced: DataFrame,
    store: "Warehouse",
    now: datetime,
    settings: Settings,
    finnhub: FinnhubResource,
    alpaca: AlpacaResource,
    waiting: Collection[str],
) -> tuple[DataFrame, int, dict[str, str]]:
    """The `Profiles` frame when all that could matter were asked for, how many those were, and the errors by symbol.

    What failed is compared with what is needed, whenever that came: a refresh that is run again asks for the rest
    alone, and of few that failed before each would be too many.
    """
    from tokenomics_dagster.universe import selection
    from tokenomics_dagster.universe.schema import KnownProfiles

    securities = dict(zip(priced["symbol"], priced["description"].fillna(""), strict=True))
    asked, failures = 0, dict[str, str]()

    def profile(symbol: str) -> Profile | None:
        return finnhub.profile(symbol, securities[symbol])

    while True:
        profiles = _profiles(priced, store, now, settings.universe, failures, waiting)
        needed = len({*profiles.loc[profiles["fresh"], "symbol"], *failures})
        if checks.too_many_failed(len(failures), needed, settings.guards):
            raise dg.Failure(
                f"{len(failures)} of {needed} profiles could not be fetched, guards.max_failed_pct is "
                f"{settings.guards.max_failed_pct:g}: the last universe stays; run universe_refresh again, "
                "the profiles that came are kept",
                metadata={"failures": table(failures.items(), "symbol", "error")},
                allow_retries=False,
            )
        todo = selection.names_to_ask(profiles, settings.universe)
        if not todo:
            return profiles, asked, failures
        asked += len(todo)
        for symbol, answer in finnhub.sweep(todo, profile):
            if isinstance(answer, ProviderError):
                failures[symbol] = str(answer)
            else:
                known = asdict(answer) if answer is not None else {"symbol": symbol}
                row = {column: known.get(column) for column in KnownProfiles.to_schema().columns}
                store.append_fact("profiles", KnownProfiles, {**row, "known_at": alpaca.now()})


def _shown(
    selected: DataFrame, last: DataFrame | None, settled: "Settled", outside: Mapping[str, str]
) -> dict[str, dg.MarkdownMetadataValue]:
    """The largest, who entered, left and waits, and the pictures."""
    from tokenomics_dagster.kit import plots
    from tokenomics_dagster.universe.departures import NOT_LISTED

    columns = ["symbol", "name", "market_cap_musd"]
    ranks = {} if last is None else dict(zip(last["symbol"], last["rank"], strict=True))
    known = {one.symbol: one for one in settled.departures}
    left = [
        (s, known[s].reason, known[s].verdict, ranks[s])
        if s in known
        else (s, outside.get(s, NOT_LISTED), "at once, by its rank", ranks[s])
        for s in sorted({*ranks} - {*selected["symbol"]})
    ]
    waiting = [(o.symbol, o.reason, o.former_rank, o.verdict, f"{o.since:%Y-%m-%d}") for o in settled.waiting]
    entered = selected.loc[~selected["symbol"].isin(list(ranks)), columns]
    by_industry = selected["industry"].fillna("").replace("", "unknown").value_counts(normalize=True)
    industries = {str(name): float(share) for name, share in by_industry.items()}
    titles = ("symbol", "name", "market cap, million USD")
    return {
        "largest": table(selected.head(10)[columns].itertuples(index=False), *titles),
        "entered": table(entered.itertuples(index=False), *titles),
        "left": table(left, "symbol", "reason", "why now", "former rank", limit=50),
        "waiting": table(waiting, "symbol", "reason", "former rank", "look", "since", limit=50),
        "caps_by_rank": image(
            "market caps by rank",
            plots.caps_by_rank,
            selected["market_cap_musd"],
            () if last is None else last["market_cap_musd"],
        ),
        "industry_shares": image("industries", plots.industry_shares, industries, of="the stocks"),
    }


def _with_surroundings(
    refresh: "Refresh",
    last: DataFrame,
    last_as_of: datetime,
    listings: DataFrame,
    alpaca: AlpacaResource,
    store: "Warehouse",
) -> "Refresh":
    """The refresh with what is listed and held, and with the broker's assets where a name is listed no more.

    Raises ProviderError when the positions cannot be read: while nobody knows what is held, nothing leaves.
    """
    from tokenomics_dagster.universe.departures import held_shares
    from tokenomics_dagster.universe.schema import Listings

    before = store.load_snapshot("listings", Listings, as_of=last_as_of)
    unlisted = not last["symbol"].isin(listings["symbol"]).all()
    return replace(
        refresh,
        listed=_figis(listings),
        listed_before={} if before is None else _figis(before),
        held=held_shares(
            {symbol: float(one.market_value or 0) for symbol, one in alpaca.positions().items()},
            store.newest_values("target_weights", "symbol", "weight"),
        ),
        active=frozenset(alpaca.assets()) if unlisted else frozenset(),
    )


def _figis(listings: DataFrame) -> dict[str, str]:
    return dict(zip(listings["symbol"], listings["figi"].fillna(""), strict=True))


def _largest_dropped(outside: Mapping[str, str], profiles: DataFrame) -> list[tuple[str, str, float]]:
    """Who is out for another reason than size, the largest first; those of unknown size last."""
    from tokenomics_dagster.universe.selection import by_rank

    caps = dict(zip(profiles["symbol"], profiles["market_cap_musd"].fillna(0.0), strict=True))
    rows = [(symbol, why, caps.get(symbol, 0.0)) for symbol, why in outside.items() if not by_rank(why)]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def _profiles(
    priced: DataFrame,
    store: "Warehouse",
    now: datetime,
    rules: UniverseSettings,
    failures: Collection[str],
    waiting: Collection[str],
) -> DataFrame:
    """The `Profiles` frame: what was last seen of each candidate, beside its price now.

    A call that failed says nothing of a stock: one of the `failures` is judged by its last profile, and left out only
    where there is none. Else a time-out would sell a position, and keep it out for a month. What was last seen of those
    that are `waiting` is what is in doubt: they are asked again, whatever it was.
    """
    from tokenomics_dagster.universe.schema import KnownProfiles, Profiles

    known = store.latest_facts("profiles", KnownProfiles)
    frame = priced.merge(known, on="symbol", how="left")
    age = now - frame["known_at"]
    frame["fresh"] = (age <= timedelta(days=rules.profile_max_age_days)) & frame["known_at"].notna()
    # The assumed drift is a drift since the last look, so that look must not lie too far back.
    too_old = age > timedelta(days=rules.share_count_max_age_days)
    in_doubt = frame["symbol"].isin(waiting) & ~frame["fresh"]
    frame["shares_outstanding_m"] = frame["shares_outstanding_m"].mask(too_old | in_doubt)
    failed = frame["symbol"].isin(failures)
    frame["fresh"] |= failed
    frame = frame[~failed | frame["shares_outstanding_m"].notna()]
    return frame[list(Profiles.to_schema().columns)]


def _kinds(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Reasons without their figures, most frequent first."""
    return Counter(reason.split(":")[0].split(",")[0] for reason in reasons).most_common()
