"""Stocks that no strategy has bought here: how a person lets one have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.guards import check_account
from tokenomics_dagster.model.errors import NothingToDo
from tokenomics_dagster.model.identity import FUNDAMENTALS
from tokenomics_dagster.operations.common import (
    OperationRefused,
    account_named,
    database_named,
    new_york,
    open_store,
    user_name,
)
from tokenomics_dagster.portfolio.past import past_of
from tokenomics_dagster.portfolio.standing import appeared, foreign_stocks
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.model.trading import Holdings
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Adoptable:
    """A stock that is held and left alone; `qty` shares, `value` USD as the broker has it, None where it tells none."""

    symbol: str
    asset_id: str
    qty: Decimal
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Offer:
    """The stocks that a person may let the strategy have, at the broker's time `at`; `account` and `database` as they
    are named to a person."""

    stocks: list[Adoptable]
    account: str
    database: str
    number: str
    at: datetime


def adoptable(symbols: Sequence[str], *, every: bool) -> Offer:
    """What `adopt` would let the strategy have: of these symbols, or `every` stock that is left alone.

    Raises NothingToDo where all of them are the strategy's already, or nothing is left alone; OperationRefused where
    one is not held, cannot be read or is the strategy's beside others that are not; Refused for an account that would
    not be traded.
    """
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        return _offer(symbols, alpaca, store, settings, every=every)


def adopt(shown: Offer) -> Iterator[str]:
    """Looks again, for a person may have thought for long, and records that the strategy may trade these."""
    from tokenomics_dagster.storage.records import Adoption

    settings, user = load_settings(), user_name()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        now = _offer([one.symbol for one in shown.stocks], alpaca, store, settings, every=False)
        if (now.account, now.database) != (shown.account, shown.database):
            raise OperationRefused("account or database are others than were shown: nothing is adopted; run it again")
        pairs = zip(shown.stocks, now.stocks, strict=True)
        if changed := [new.symbol for old, new in pairs if old.qty != new.qty]:
            raise OperationRefused(
                f"the shares of {', '.join(changed)} have changed since they were shown: nothing is adopted; run the "
                "command again"
            )
        store.adopt(
            [Adoption(now.number, FUNDAMENTALS, one.symbol, one.asset_id, one.qty, user, now.at) for one in now.stocks]
        )
        yield f"{', '.join(one.symbol for one in now.stocks)}: adopted by {user} at {new_york(now.at)}"
        yield (
            "the next plan counts with them, and sells what is no target; one that is there already does not know of it"
        )


def _offer(
    symbols: Sequence[str], alpaca: AlpacaResource, store: Warehouse, settings: Settings, *, every: bool
) -> Offer:
    account, holdings, at = alpaca.account(), alpaca.holdings(), alpaca.clock().now
    check_account(account, settings)
    past = past_of(store, account.number)
    traded = settings.trading.foreign_positions == "sell"
    foreign = set[str]() if traded else set(foreign_stocks(alpaca, past, holdings, at))
    foreign |= appeared(past, holdings, at)
    wanted = sorted(foreign) if every else list(dict.fromkeys(symbol.upper() for symbol in symbols))
    if not wanted:
        raise NothingToDo(
            "the account holds no stock that is left alone"
            + (", for trading.foreign_positions is sell" if traded else " because no strategy has bought it")
            + ": there is nothing to adopt"
        )
    if problems := [text for symbol in wanted if (text := _problem(symbol, holdings, foreign, traded=traded))]:
        already = all(one in holdings.ours and one not in foreign and one not in holdings.disputed for one in wanted)
        raise (NothingToDo if already else OperationRefused)(f"nothing is adopted: {'; '.join(problems)}")
    held = [holdings.ours[symbol] for symbol in wanted]
    return Offer(
        [Adoptable(one.symbol, one.asset_id, one.qty, one.market_value) for one in held],
        account_named(account.number, settings),
        database_named(store),
        account.number,
        at,
    )


def _problem(symbol: str, holdings: Holdings, foreign: set[str], *, traded: bool) -> str | None:
    if symbol in holdings.disputed:
        return f"{symbol} is {holdings.disputed[symbol]}"
    if symbol not in holdings.ours:
        return f"the account holds no shares of {symbol} that could be traded here"
    if symbol not in foreign:
        because = ", for trading.foreign_positions is sell" if traded else ""
        return f"{symbol} is the strategy's already{because}"
    return None
