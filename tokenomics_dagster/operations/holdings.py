"""What the account holds (`holdings`): by the broker's books, beside what the targets mean. Only looks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.report import report
from tokenomics_dagster.model.plan import CENT
from tokenomics_dagster.operations.common import account_named, clock_behind, database_named, open_store
from tokenomics_dagster.portfolio.past import past_of
from tokenomics_dagster.portfolio.room import newest_targets
from tokenomics_dagster.portfolio.standing import foreign_stocks
from tokenomics_dagster.portfolio.weeks import symbols_of_now
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.universe.told import names, newest_universe, text_of

if TYPE_CHECKING:
    from tokenomics_dagster.model.trading import Account, Position
    from tokenomics_dagster.model.trading import Holdings as Books
    from tokenomics_dagster.settings import Settings
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Held:
    """A stock that the strategy holds. Amounts in USD, as the broker has them; None where it does not say.

    `cost` is what was paid for the shares, `gain` value less cost, also in percent of the cost. `weight`,
    `target_weight` and `drift` (target less weight) are shares of the equity that the strategy may invest.
    """

    symbol: str
    name: str | None
    industry: str | None
    qty: Decimal
    average_cost: Decimal | None
    cost: Decimal | None
    price: Decimal | None
    value: Decimal | None
    gain: Decimal | None
    gain_pct: float | None
    weight: float | None
    target_weight: float
    drift: float | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A target of which nothing is held."""

    symbol: str
    name: str | None
    target_weight: float


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """What is held and neither traded nor counted on: shares (negative for a short) and USD, None: not known; why."""

    symbol: str
    name: str | None
    asset_class: str
    qty: Decimal | None
    value: Decimal | None
    reason: str


@dataclass(frozen=True, slots=True)
class Total:
    """USD. `held` and `left_alone` are the values that are known, `unknown` how many rows have none; `difference` is
    equity less the other three: what has no known value, and what moved between two answers of the broker."""

    cost: Decimal
    held: Decimal
    gain: Decimal
    left_alone: Decimal
    cash: Decimal
    equity: Decimal
    difference: Decimal
    unknown: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """`account` is its number, `looked_at` account and database named with where their addresses come from; `at` by
    the broker's clock. `investable`: USD of the equity that weights are of. The largest value first.
    `behind`: where that clock is behind what was stored by it, a sentence on it."""

    account: str
    looked_at: tuple[str, str]
    at: datetime
    investable: Decimal
    held: tuple[Held, ...]
    wanted: tuple[Wanted, ...]
    foreign: tuple[LeftAlone, ...]
    disputed: tuple[LeftAlone, ...]
    total: Total
    behind: str | None


def holdings() -> Holdings:
    """Asks the broker. Raises ProviderError, SettingsError, WarehouseError."""
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        return holdings_in(store, alpaca, settings)


def holdings_in(store: Warehouse, alpaca: AlpacaResource, settings: Settings) -> Holdings:
    """The same with what is open already. Raises ProviderError, WarehouseError."""
    account, books, at = alpaca.account(), alpaca.holdings(), alpaca.clock().now
    if settings.trading.foreign_positions == "leave":
        books = books.leaving(foreign_stocks(alpaca, past_of(store, account.number), books, at))
    told = _names(store)
    held, wanted = _rows(store, account, books, told)
    foreign = tuple(
        LeftAlone(row.symbol, told.get(row.symbol, (None, None))[0], row.asset_class, row.qty, row.value, row.reason)
        for row in books.foreign
    )
    disputed = tuple(
        LeftAlone(symbol, told.get(symbol, (None, None))[0], "us_equity", None, books.disputed_values.get(symbol), why)
        for symbol, why in books.disputed.items()
    )
    return Holdings(
        account.number,
        (account_named(account.number, settings), database_named(store)),
        at,
        books.investable(account),
        held,
        wanted,
        foreign,
        disputed,
        _total(account, held, (*foreign, *disputed)),
        clock_behind(store, settings, at),
    )


def targets_of_now(store: Warehouse, books: Books) -> dict[str, float]:
    """What was decided last, by the symbols that the broker has now."""
    links = symbols_of_now(store)
    targets = newest_targets(store)
    return {symbol if symbol in books.ours else links.get(symbol, symbol): w for symbol, w in targets.items()}


def _rows(
    store: Warehouse, account: Account, books: Books, told: Mapping[str, tuple[str | None, str | None]]
) -> tuple[tuple[Held, ...], tuple[Wanted, ...]]:
    frame = report(targets_of_now(store, books), books.ours, books.investable(account), (), books.disputed)
    rows = {row["symbol"]: row for row in frame.to_dict("records") if row["symbol"] not in books.disputed}
    held = tuple(
        _held(
            books.ours[symbol],
            told.get(symbol, (None, None)),
            *(_known(row[name]) for name in ("weight", "target_weight", "drift")),
        )
        for symbol, row in rows.items()
        if symbol in books.ours
    )
    wanted = [Wanted(s, told.get(s, (None, None))[0], row["target_weight"]) for s, row in rows.items()]
    return held, tuple(
        sorted((one for one in wanted if one.symbol not in books.ours), key=lambda one: -one.target_weight)
    )


def _held(
    position: Position,
    told: tuple[str | None, str | None],
    weight: float | None,
    target_weight: float | None,
    drift: float | None,
) -> Held:
    average, value, cost = position.avg_entry_price, position.market_value, position.cost_basis
    if cost is None and average is not None:
        cost = average * position.qty
    gain = None if cost is None or value is None else value - cost
    return Held(
        position.symbol,
        *told,
        position.qty,
        average,
        cost,
        position.price,
        value,
        gain,
        float(100 * gain / cost) if gain is not None and cost else None,
        weight,
        target_weight or 0.0,
        drift,
    )


def _total(account: Account, held: tuple[Held, ...], others: tuple[LeftAlone, ...]) -> Total:
    values, left = [one.value for one in held], [one.value for one in others]
    ours = sum((value for value in values if value is not None), Decimal(0))
    theirs = sum((value for value in left if value is not None), Decimal(0))
    return Total(
        sum((one.cost for one in held if one.cost is not None), Decimal(0)),
        ours,
        sum((one.gain for one in held if one.gain is not None), Decimal(0)),
        theirs,
        account.cash,
        account.equity,
        (account.equity - account.cash - ours - theirs).quantize(CENT),
        [*values, *left].count(None),
    )


def _names(store: Warehouse) -> dict[str, tuple[str | None, str | None]]:
    """Name and industry of each symbol, also under the symbol that it has got since the universe was made."""
    told: dict[str, tuple[str | None, str | None]] = {s: (name or None, None) for s, name in names(store)}
    universe = newest_universe(store)
    if universe is not None:
        frame = universe.frame
        for symbol, name, industry in zip(frame["symbol"], frame["name"], frame["industry"], strict=True):
            told[symbol] = (text_of(name) or told.get(symbol, (None, None))[0], text_of(industry))
    for old, new in symbols_of_now(store).items():
        if old in told and told.get(new, (None, None))[1] is None:
            told[new] = told[old]
    return told


def _known(figure: float) -> float | None:
    """What has no market may have no price, and without equity nothing is a share of it."""
    return None if figure != figure else figure
