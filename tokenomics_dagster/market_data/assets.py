"""Daily bars: asks Alpaca for what the lake lacks, and keeps it there."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from tokenomics_dagster.kit.checks import results, schema_finding, specs
from tokenomics_dagster.kit.failing import in_a_sentence
from tokenomics_dagster.kit.resources import DataFrame, Made, SettingsResource, WarehouseResource, schema_metadata
from tokenomics_dagster.market_data import checks
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.market_data.fetching import Batch
    from tokenomics_dagster.market_data.schema import DailyBarsDetails
    from tokenomics_dagster.model.trading import Bar
    from tokenomics_dagster.storage.lake import Lake
    from tokenomics_dagster.storage.warehouse import Warehouse

_PLANS = 13  # whose prices are compared with the bars: of a quarter, one a week
NO_UNIVERSE = "there is no universe yet: universe_refresh comes first"


class DailyBarsConfig(dg.Config):
    """Leave as it is to ask for what is missing."""

    since: str = Field(
        default="", description="YYYY-MM-DD: ask for all sessions since then again; what differs is kept beside."
    )


@dataclass(slots=True)
class _Kept:
    """What came of the batches so far; the counters go by sessions, `rows` are not in the lake yet."""

    lake: "Lake"
    new: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    corrected: list[str] = field(default_factory=list)
    refused_of: Counter[date] = field(default_factory=Counter)
    corrected_of: Counter[date] = field(default_factory=Counter)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def take(self, symbol: str, bar: "Bar", known_at: datetime, refused: str | None) -> None:
        if refused is None:
            prices = map(float, (bar.open, bar.high, bar.low, bar.close, bar.volume))
            self.rows.append((bar.session, symbol, *prices, known_at))
        else:
            self.refused[f"{symbol} {bar.session}"] = refused
            self.refused_of[bar.session] += 1

    def save(self) -> None:
        if not self.rows:
            return
        columns = ("date", "symbol", "open", "high", "low", "close", "volume", "known_at")
        added = self.lake.add_bars(dict(zip(columns, zip(*self.rows, strict=True), strict=True)))
        self.rows.clear()
        self.new += added.new
        self.corrected += [f"{symbol} {session}" for symbol, session in added.corrected]
        self.corrected_of.update(session for _, session in added.corrected)


# It names no asset that it is made from: until somebody has it made, nobody need hear that it could have been.
@dg.asset(
    group_name="market_data",
    kinds={"alpaca", "parquet"},
    pool="alpaca",
    metadata=schema_metadata("tokenomics_dagster.market_data.schema.DailyBars"),
    # What can be believed is in the lake already, batch by batch; the table tells what was found.
    check_specs=specs("daily_bars", checks.DAILY_BARS, blocking=False),
)
@in_a_sentence
def daily_bars(
    context: dg.AssetExecutionContext,
    config: DailyBarsConfig,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[Made["DailyBarsDetails"]] | dg.AssetCheckResult]:
    """Unadjusted daily bars of the universe, of what is held and of what was followed until lately, in the lake.

    Each batch is kept as it comes: a run that was killed goes on where it was. The last sessions are asked for again,
    and a bar that has changed since stands beside the one before. Alpaca tells the history of a stock that was renamed
    under its symbol of today.
    """
    from tokenomics_dagster.market_data import fetching, shown
    from tokenomics_dagster.market_data.schema import DailyBars, DailyBarsDetails
    from tokenomics_dagster.storage.lake import Lake
    from tokenomics_dagster.universe.schema import Universe

    settings, store = settings_in_force.read(), warehouse.open()
    try:
        lake = Lake(settings_in_force.built_with.environment.tokenomics_lake)
        since = _day(config.since)
        sessions = _sessions(fetching.last_settled(alpaca.now()), settings)
        universe = store.load_snapshot("universe", Universe)
        if universe is None:
            raise dg.Failure(NO_UNIVERSE, allow_retries=False)
        known, last = lake.known(), sessions[-1]
        symbols = fetching.followed(universe["symbol"], alpaca.holdings().symbols, known, last)
        batches = fetching.batches(symbols, known, sessions, since=since, at_once=alpaca.symbols_per_call)
        kept = _fetched(context, batches, sessions, lake, alpaca)
        known = lake.known()
        asked = [day for day in sessions if day >= min(batch.first for batch in batches)]
        frame = _frame(asked, symbols, lake, kept)
        recorded = _recorded(store, lake, last)
        findings = [
            schema_finding(DailyBars, frame),
            *checks.check_daily_bars(frame, sessions, lake.sessions(), kept.refused, recorded, settings.market_data),
        ]
    except UserError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    yield from results(checks.DAILY_BARS, findings)
    details = DailyBarsDetails(
        last_session=last.isoformat(),
        feed=alpaca.data_feed,
        asked=len(symbols),
        new=kept.new,
        without=[symbol for symbol in symbols if symbol not in known],
        refused=kept.refused,
        corrected=kept.corrected,
    )
    there = {symbol: known[symbol] for symbol in symbols if symbol in known}
    metadata = shown.daily_bars(frame, details, there, str(lake.folder))
    yield dg.Output(Made(frame, alpaca.now(), details), metadata=metadata)


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise dg.Failure(f"since = {text} is no day: write YYYY-MM-DD", allow_retries=False) from None


def _sessions(last: date, settings: Settings) -> Sequence[date]:
    """Those that there should be bars of."""
    from tokenomics_dagster.model import calendar

    first = settings.market_data.bars_from
    sessions = calendar.session_days(first, last)
    if not sessions:
        raise dg.Failure(
            f"market_data.bars_from is {first}, and no session has ended since: name an earlier day",
            allow_retries=False,
        )
    return sessions


def _fetched(
    context: dg.AssetExecutionContext,
    batches: Sequence["Batch"],
    sessions: Sequence[date],
    lake: "Lake",
    alpaca: AlpacaResource,
) -> _Kept:
    """Asks batch by batch, and keeps what can be believed of each, also of those before one that failed."""
    from tokenomics_dagster.market_data.fetching import judged, worth_saving

    kept, asked = _Kept(lake), 0
    total = sum(len(batch.symbols) for batch in batches)
    wanted = frozenset(sessions)
    try:
        for batch in batches:
            bars = alpaca.daily_bars(batch.symbols, batch.first, sessions[-1])
            known_at = alpaca.now()
            for symbol, bar, refused in judged(bars, wanted):
                kept.take(symbol, bar, known_at, refused)
            if worth_saving(len(kept.rows), batch.first, sessions[-1]):
                kept.save()
            asked += len(batch.symbols)
            context.log.info(
                "daily bars since %s: %d of %d names asked for, %d new bars", batch.first, asked, total, kept.new
            )
    finally:
        kept.save()
    return kept


def _frame(asked: Sequence[date], symbols: Collection[str], lake: "Lake", kept: _Kept) -> DataFrame:
    """A `DailyBars` frame of the sessions that were asked for."""
    import pandas as pd

    first = Counter(there.first for symbol, there in lake.known().items() if symbol in set(symbols))
    table = lake.bars(asked[0], asked[-1], symbols=symbols).group_by("date").aggregate([("symbol", "count")])
    bars = dict(zip(table["date"].to_pylist(), table["symbol_count"].to_pylist(), strict=True))
    names = [sum(count for day, count in first.items() if day <= session) for session in asked]
    return pd.DataFrame(
        {
            "session": [session.isoformat() for session in asked],
            "names": names,
            "bars": [bars.get(session, 0) for session in asked],
            "corrected": [kept.corrected_of[session] for session in asked],
            "refused": [kept.refused_of[session] for session in asked],
        }
    )


def _recorded(store: "Warehouse", lake: "Lake", last: date) -> list[checks.Recorded]:
    """The prices of the last plans beside the bars of their sessions, as far as those have ended."""
    from tokenomics_dagster.model import calendar

    found = []
    for plan in store.history("trade_plan", limit=_PLANS):
        # A plan that was made while the market was closed was made with prices of the session before.
        during = calendar.session_at(plan.as_of)
        session = during.day if during else calendar.previous_close(plan.as_of).astimezone(calendar.NEW_YORK).date()
        if session > last:
            continue
        prices: Mapping[str, str] = store.values_of(plan, "symbol", "price")
        bars = {row["symbol"]: row for row in lake.bars(session, session, symbols=prices).to_pylist()}
        for symbol, price in prices.items():
            if price is not None:
                bar = bars.get(symbol, {})
                found.append(checks.Recorded(session, symbol, float(price), bar.get("low"), bar.get("high")))
    return found
