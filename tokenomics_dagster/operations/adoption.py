"""Stocks that no strategy has bought here: which there are, and how a person lets one have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.model.identity import FUNDAMENTALS
from tokenomics_dagster.operations.common import (
    OperationRefused,
    account_named,
    database_named,
    new_york,
    open_store,
    user_name,
)
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.model.trading import Holdings
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Adoptable:
    """A stock that is held and left alone; `qty` shares, `value` USD as the broker has it, None where it tells none."""

    symbol: str
    qty: Decimal
    value: Decimal | None


def foreign_stocks(store: Warehouse, account: str, holdings: Holdings) -> set[str]:
    """The stocks of an account that no sleeve has ever owned, as far as is known since the newest plan."""
    owned, held = store.owned(account), set(holdings.ours)
    foreign = held - {*owned.bought, *owned.adopted}
    plans = store.history("trade_plan", limit=1)
    newest = plans[0] if plans and plans[0].details["plan"]["account"] == account else None
    if newest is None:
        return foreign
    # Shares of a name that was the strategy's once, and that nobody bought (portfolio/doubts.py).
    appeared = {symbol for symbol, (*_, flag) in newest.details.get("doubted", {}).items() if flag}
    since = {symbol for symbol, one in owned.adopted.items() if one.at > newest.as_of}
    return (foreign - set(newest.details.get("own", ()))) | ((held & appeared) - since)


def adoptable(symbols: Sequence[str], *, every: bool) -> list[Adoptable]:
    """What `adopt` would let the strategy have: of these symbols, or `every` stock that is foreign.

    Raises OperationRefused where one of them is not held, cannot be read or is the strategy's, or nothing is left.
    """
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        return _adoptable(symbols, alpaca, store, every=every)


def adopt(found: Sequence[Adoptable]) -> Iterator[str]:
    """Looks again, for a person may have thought for long, and records that the strategy may trade these."""
    from tokenomics_dagster.storage.records import Adoption

    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        at, account, user = alpaca.clock().now, alpaca.account().number, user_name()
        now = _adoptable([one.symbol for one in found], alpaca, store, every=False)
        if changed := [new.symbol for old, new in zip(found, now, strict=True) if old.qty != new.qty]:
            raise OperationRefused(
                f"the shares of {', '.join(changed)} have changed since they were shown: nothing is adopted; run the "
                "command again"
            )
        store.adopt([Adoption(account, FUNDAMENTALS, one.symbol, one.qty, user, at) for one in now])
        yield f"{', '.join(one.symbol for one in now)}: adopted by {user} at {new_york(at)}"
        yield f"recorded in {database_named(store)}"
        yield f"it is for the {account_named(account, settings)}"
        yield (
            "the next plan counts with them, and sells what is no target; one that is there already does not know of it"
        )


def _adoptable(symbols: Sequence[str], alpaca: AlpacaResource, store: Warehouse, *, every: bool) -> list[Adoptable]:
    holdings = alpaca.holdings()
    foreign = foreign_stocks(store, alpaca.account().number, holdings)
    wanted = sorted(foreign) if every else list(dict.fromkeys(symbol.upper() for symbol in symbols))
    if not wanted:
        raise OperationRefused("the account holds no stock that no strategy has bought: there is nothing to adopt")
    problems = []
    for symbol in wanted:
        if symbol in holdings.disputed:
            problems.append(f"{symbol} is {holdings.disputed[symbol]}")
        elif symbol not in holdings.ours:
            problems.append(f"the account holds no shares of {symbol} that could be traded here")
        elif symbol not in foreign:
            problems.append(f"{symbol} is the strategy's already")
    if problems:
        raise OperationRefused(f"nothing is adopted: {'; '.join(problems)}")
    held = [holdings.ours[symbol] for symbol in wanted]
    return [Adoptable(one.symbol, one.qty, one.market_value) for one in held]
