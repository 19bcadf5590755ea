"""What the broker says is held, judged as the next plan would judge it: whose it is, which symbol is which stock now,
what is in doubt. For who shows it to a person; what is to be traded stays out. Only looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pandas as pd

from tokenomics_dagster.model.identity import is_ours
from tokenomics_dagster.portfolio.past import past_of
from tokenomics_dagster.portfolio.room import newest_targets
from tokenomics_dagster.portfolio.standing import foreign_stocks, look
from tokenomics_dagster.portfolio.weeks import symbols_of_now
from tokenomics_dagster.providers.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from tokenomics_dagster.model.trading import Brokerage, Fill, Holdings, Position
    from tokenomics_dagster.portfolio.standing import Past
    from tokenomics_dagster.settings import Settings
    from tokenomics_dagster.storage.warehouse import Warehouse

_CENTS = Decimal("0.05")
_PART = Decimal("0.001")
"""What a figure of a row may differ from what its other figures make: rounded prices, and no more."""
_FILLS_BACK = timedelta(days=90)
"""How far back fills of nobody's order are looked for: each 100 of the account are a call."""
_ORDERS_BEFORE = timedelta(days=1)  # ours are orders of a day


@dataclass(frozen=True, slots=True)
class Seen:
    """`targets`: weights of the newest decision by the symbols of now, `links` to those from the old ones.

    `doubts`: of what is held, a sentence each; `gone`: what should be held by the books and is in no answer, a sentence
    each. `unasked`: why renames, trades and entries could not be asked for, a sentence; then renames are known as far
    as the warehouse knows them, and nothing tells that a name is held or gone.
    """

    holdings: Holdings
    targets: Mapping[str, float]
    links: Mapping[str, str]
    doubts: Mapping[str, str] = field(default_factory=dict)
    gone: Mapping[str, str] = field(default_factory=dict)
    unasked: str | None = None


def seen_at(store: Warehouse, broker: Brokerage, account: str, settings: Settings, now: datetime) -> Seen:
    """By the same look as a plan's. Raises ProviderError where positions cannot be read, WarehouseError."""
    past, wanted, unasked = past_of(store, account), newest_targets(store), None
    named, gone, doubts = pd.DataFrame({"symbol": list(wanted)}, dtype=object), dict[str, str](), dict[str, str]()
    try:
        standing = look(broker, past, named, settings.trading, now)
    except ProviderError as error:
        unasked = str(error)
        links, holdings = symbols_of_now(store), _holdings(broker, past, settings, now)
        targets = _of_now(wanted, links, holdings)
        gone = _not_there(past, targets, links, holdings, unasked)
    else:
        links, holdings = symbols_of_now(store, standing.links), standing.holdings
        targets = _of_now(wanted, links, holdings)
        found = standing.disputed(standing.doubts(pd.Series(list(targets), dtype=object), {}, settings.guards))
        rows = {*holdings.symbols, *(row.symbol for row in holdings.foreign)}
        there = {*rows, *(links.get(symbol, symbol) for symbol in rows)}
        doubts = {symbol: one.reason for symbol, one in found.items() if symbol in holdings.ours}
        gone = {symbol: one.reason for symbol, one in found.items() if symbol not in there}
    for symbol, position in holdings.ours.items():
        if odd := contradictions(position):
            doubts[symbol] = "; ".join([*odd, *([doubts[symbol]] if symbol in doubts else [])])
    return Seen(holdings, targets, links, doubts, gone, unasked)


def contradictions(position: Position) -> tuple[str, ...]:
    """What of a row of the broker's positions does not fit together, sentences without an end."""
    found = []
    for figures, one, name, told in (
        ("its shares at its price", position.price, "value", position.market_value),
        ("its shares at what each cost", position.avg_entry_price, "cost", position.cost_basis),
    ):
        if one is None or told is None:
            continue
        made = position.qty * one
        if abs(made - told) > max(_CENTS, _PART * max(abs(made), abs(told))):
            found.append(f"{figures} are {made:,.2f} USD, and the broker says that its {name} is {told:,.2f}")
    return tuple(found)


def by_others(
    store: Warehouse, broker: Brokerage, account: str, symbols: Collection[str], now: datetime
) -> tuple[Fill, ...]:
    """Fills of these symbols by no order of the strategy, of the last `_FILLS_BACK`; oldest first. Raises
    ProviderError, WarehouseError."""
    known = {row.broker_id for row in store.orders_in(account, symbols)}
    fills = [
        one for one in broker.fills(after=now - _FILLS_BACK) if one.symbol in symbols and one.order_id not in known
    ]
    if not fills:
        return ()
    # A process that was killed may not have written down what the broker called its order.
    lately = broker.orders(status="all", after=min(one.at for one in fills) - _ORDERS_BEFORE)
    ours = {one.id for one in lately if is_ours(one.client_order_id)}
    return tuple(one for one in fills if one.order_id not in ours)


def _holdings(broker: Brokerage, past: Past, settings: Settings, now: datetime) -> Holdings:
    holdings = broker.holdings()
    if settings.trading.foreign_positions == "leave":
        return holdings.leaving(foreign_stocks(broker, past, holdings, now))
    return holdings


def _of_now(targets: Mapping[str, float], links: Mapping[str, str], holdings: Holdings) -> dict[str, float]:
    """What the broker has not moved to its new symbol yet stays under its old one."""
    return {s if s in holdings.ours else links.get(s, s): weight for s, weight in targets.items()}


def _not_there(
    past: Past, targets: Collection[str], links: Mapping[str, str], holdings: Holdings, why: str
) -> dict[str, str]:
    """The targets that were bought once and are in no row, while nobody tells whether they were sold since."""
    bought = {links.get(symbol, symbol) for symbol in past.owned.symbols} | past.owned.symbols
    return {
        symbol: "the strategy has bought it, the broker's positions lack it, and whether it was sold or renamed since "
        f"could not be asked: {why}"
        for symbol in targets
        if symbol in bought and symbol not in holdings.symbols
    }
