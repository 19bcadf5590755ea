"""What the account holds (`holdings`): by the broker's books, beside what the targets mean. Only looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.report import report
from tokenomics_dagster.model.plan import CENT
from tokenomics_dagster.model.trading import EQUITY
from tokenomics_dagster.operations.at_broker import seen_at
from tokenomics_dagster.operations.common import account_named, clock_behind, database_named, known, open_store
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.universe.told import names, newest_universe, text_of

if TYPE_CHECKING:
    from tokenomics_dagster.model.trading import Account, Position
    from tokenomics_dagster.operations.at_broker import Seen
    from tokenomics_dagster.settings import Settings
    from tokenomics_dagster.storage.warehouse import Warehouse

_TICK = Decimal("0.001")
"""Of the equity: what the market moves between two answers is less."""


@dataclass(frozen=True, slots=True)
class Held:
    """A stock that the strategy holds. Amounts in USD, as the broker has them; None where it does not say.

    `cost` is what was paid for the shares, `gain` value less cost, also in percent of the cost. `weight`,
    `target_weight` and `drift` (target less weight) are shares of the equity that the strategy may invest. `doubt`: why
    its figures cannot be relied on, a sentence; a plan leaves alone what it doubts itself.
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
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A target of which nothing is held, nor should be by the books."""

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
    """USD. `held` and `left_alone` are the values that are known, `unknown` how many rows have none, `in_doubt` how
    many of what is held have a doubt; `difference` is equity less the other three, and `why` there is one, if any."""

    cost: Decimal
    held: Decimal
    gain: Decimal
    left_alone: Decimal
    cash: Decimal
    equity: Decimal
    difference: Decimal
    unknown: int
    in_doubt: int
    why: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """`account` is its number, `looked_at` account and database named with where their addresses come from; `at` by
    the broker's clock. `investable`: USD of the equity that weights are of. The largest value first.

    `gone`: what should be held by the books, and is in no row of the broker's positions. `renamed`: symbols of now by
    old ones. `unasked`: why renames and what moved shares could not be asked for, a sentence.
    `behind`: where the broker's clock is behind what was stored by it, a sentence on it.
    """

    account: str
    looked_at: tuple[str, str]
    at: datetime
    investable: Decimal
    held: tuple[Held, ...]
    wanted: tuple[Wanted, ...]
    foreign: tuple[LeftAlone, ...]
    disputed: tuple[LeftAlone, ...]
    gone: tuple[LeftAlone, ...]
    renamed: Mapping[str, str]
    unasked: str | None
    total: Total
    behind: str | None


def holdings() -> Holdings:
    """Asks the broker. Raises ProviderError, SettingsError, WarehouseError."""
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        return holdings_in(store, alpaca, settings)


def holdings_in(store: Warehouse, alpaca: AlpacaResource, settings: Settings) -> Holdings:
    """The same with what is open already. Raises ProviderError, WarehouseError."""
    clock, account = alpaca.clock(), alpaca.account()
    seen = seen_at(store, alpaca, account.number, settings, clock.now)
    books, told = seen.holdings, _names(store, seen.links)

    def alone(symbol: str, qty: Decimal | None, value: Decimal | None, why: str, kind: str = EQUITY) -> LeftAlone:
        return LeftAlone(symbol, told.get(symbol, (None, None))[0], kind, qty, value, why)

    held, wanted = _rows(account, seen, told)
    foreign = tuple(alone(row.symbol, row.qty, row.value, row.reason, row.asset_class) for row in books.foreign)
    disputed = tuple(alone(s, None, books.disputed_values.get(s), why) for s, why in books.disputed.items())
    gone = tuple(alone(symbol, None, None, why) for symbol, why in sorted(seen.gone.items()))
    return Holdings(
        account=account.number,
        looked_at=(account_named(account.number, settings), database_named(store)),
        at=clock.now,
        investable=books.investable(account),
        held=held,
        wanted=wanted,
        foreign=foreign,
        disputed=disputed,
        gone=gone,
        renamed=seen.links,
        unasked=seen.unasked,
        total=total_of(account, held, (*foreign, *disputed), gone, is_open=clock.is_open),
        behind=clock_behind(store, settings, clock.now),
    )


def _rows(
    account: Account, seen: Seen, told: Mapping[str, tuple[str | None, str | None]]
) -> tuple[tuple[Held, ...], tuple[Wanted, ...]]:
    books = seen.holdings
    frame = report(seen.targets, books.ours, books.investable(account), (), books.disputed)
    apart = {*books.disputed, *seen.gone}
    rows = {row["symbol"]: row for row in frame.to_dict("records") if row["symbol"] not in apart}
    held = tuple(
        _held(
            books.ours[symbol],
            told.get(symbol, (None, None)),
            seen.doubts.get(symbol),
            *(known(row[name]) for name in ("weight", "target_weight", "drift")),
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
    doubt: str | None,
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
        doubt,
    )


def total_of(
    account: Account,
    held: tuple[Held, ...],
    others: tuple[LeftAlone, ...],
    gone: tuple[LeftAlone, ...],
    *,
    is_open: bool,
) -> Total:
    """`is_open`: whether the market is, so that prices may have moved between two answers."""
    values, left = [one.value for one in held], [one.value for one in others]
    ours = sum((value for value in values if value is not None), Decimal(0))
    theirs = sum((value for value in left if value is not None), Decimal(0))
    difference = (account.equity - account.cash - ours - theirs).quantize(CENT)
    doubted = [one.symbol for one in held if one.doubt is not None]
    unknown = [*values, *left].count(None)
    lacking = [f"the broker's positions lack {_some(one.symbol for one in gone)}"] if gone else []
    lacking += [f"{unknown} of the rows above have no known value"] if unknown else []
    lacking += [f"the figures of {_some(doubted)} are in doubt"] if doubted else []
    if is_open and abs(difference) <= _TICK * account.equity:
        lacking.append("the market moved between two answers of the broker")
    if not lacking:
        cause = "for a move of the market it is too much" if is_open else "the market is closed"
        lacking.append(f"nothing that the broker told explains it ({cause}): ask again, then see its dashboard")
    return Total(
        sum((one.cost for one in held if one.cost is not None), Decimal(0)),
        ours,
        sum((one.gain for one in held if one.gain is not None), Decimal(0)),
        theirs,
        account.cash,
        account.equity,
        difference,
        unknown,
        len(doubted),
        ", or ".join(lacking) if difference or unknown else "",
    )


def _some(symbols: Iterable[str], limit: int = 5) -> str:
    names = list(symbols)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}"


def _names(store: Warehouse, links: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Name and industry of each symbol, also under the symbol that it has got since the universe was made."""
    told: dict[str, tuple[str | None, str | None]] = {s: (name or None, None) for s, name in names(store)}
    universe = newest_universe(store)
    if universe is not None:
        frame = universe.frame
        for symbol, name, industry in zip(frame["symbol"], frame["name"], frame["industry"], strict=True):
            told[symbol] = (text_of(name) or told.get(symbol, (None, None))[0], text_of(industry))
    for old, new in links.items():
        if old in told and told.get(new, (None, None))[1] is None:
            told[new] = told[old]
    return told
