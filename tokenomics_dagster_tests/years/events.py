"""What may happen in a week, drawn at random: to companies, to the account, to answers, to orders, to processes.

An event that holds for a while sets rules of the proxy, which are lifted at the end of the week (or, as a person or a
provider would, in its later sessions).
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.sandbox.server import SandboxHandle
from tokenomics_dagster_tests.rewriting import Answer, Proxy
from tokenomics_dagster_tests.years.truth import Truth

METRIC, PROFILE, LISTING = "GET /api/v1/stock/metric", "GET /api/v1/stock/profile2", "GET /api/v1/stock/symbol"
FOREIGN: list[dict[str, Any]] = [
    {"symbol": "BTCUSD", "asset_class": "crypto", "qty": "0.5", "side": "long", "market_value": "21000.5"},
    {"symbol": "AAPL261218C00200000", "asset_class": "us_option", "qty": "-2", "side": "short", "market_value": "-840"},
    {"symbol": "ZZTOP", "asset_class": "us_equity", "qty": "7", "side": "short", "market_value": "-301.7"},
]


@dataclass
class Life:
    """What the events act on."""

    sandbox: SandboxHandle
    proxy: Proxy
    truth: Truth
    hand: AlpacaResource
    """Somebody who trades by hand at the broker."""
    draw: random.Random
    held: list[str] = field(default_factory=list)
    """Symbols with a position, as the broker has them."""
    universe: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    """Symbols that this refresh of the universe is not shown."""
    looks: dict[str, int] = field(default_factory=dict)
    """Refreshes in a row that were not shown the symbol."""
    number: int = 0

    def act(self, kind: str, **fields: Any) -> None:
        self.sandbox.admin("POST", "/sandbox/actions", {"kind": kind, **fields})

    def one_held(self) -> str | None:
        listed = [symbol for symbol in self.held if symbol not in self.truth.gone]
        return self.draw.choice(listed) if listed else None

    def some(self, share: float) -> list[str]:
        return self.draw.sample(self.universe, max(1, int(len(self.universe) * share)))


Event = Callable[[Life], str | None]


def dividend(life: Life) -> str | None:
    symbol = life.one_held()
    if symbol is None:
        return None
    life.act("dividend", symbol=symbol, rate="0.24", book_after_s=life.draw.choice([0, 3600]))
    return symbol


def entry(life: Life) -> str:
    kind = life.draw.choice(["fee", "interest", "journal"])
    life.act(kind, amount={"fee": "-0.37", "interest": "4.11", "journal": "250.00"}[kind])
    return kind


def deposit(life: Life) -> str:
    amount = life.draw.choice(["5000.00", "-3000.00"])
    cash = life.hand.account().cash
    if Decimal(amount) + cash < 0:
        amount = "5000.00"
    life.sandbox.admin("POST", "/sandbox/cash", {"amount": amount})
    return amount


def split(life: Life) -> str | None:
    """Booked at once, or a day after it shows in the prices; announced or not."""
    symbol = life.one_held()
    if symbol is None:
        return None
    rates = life.draw.choice([(2, 1), (3, 1), (1, 5), (3, 2)])
    late = life.draw.choice([0, 0, 86_400])
    announced = life.draw.random() < 0.8
    life.act("split", symbol=symbol, new_rate=rates[0], old_rate=rates[1], book_after_s=late, announced=announced)
    return (
        f"{symbol} {rates[0]}:{rates[1]}{' booked a day later' if late else ''}{'' if announced else ', unannounced'}"
    )


def rename(life: Life) -> str | None:
    symbol = life.one_held()
    if symbol is None:
        return None
    life.number += 1
    new = f"NEW{chr(65 + life.number // 26 % 26)}{chr(65 + life.number % 26)}"
    life.act("rename", symbol=symbol, new_symbol=new)
    life.truth.rename(symbol, new)
    life.universe = [new if one == symbol else one for one in life.universe]
    return f"{symbol} -> {new}"


def delisting(life: Life) -> str | None:
    symbol = life.one_held()
    if symbol is None:
        return None
    if life.draw.random() < 0.5:
        life.act("delisting", symbol=symbol, price=life.draw.choice(["0", None]))
        life.truth.gone[symbol] = "worthless"
    else:
        life.act("merger", symbol=symbol, cash_rate="31.50", book_after_s=life.draw.choice([0, 86_400]))
        life.truth.gone[symbol] = "taken over for cash"
    life.universe = [one for one in life.universe if one != symbol]
    return f"{symbol} {life.truth.gone[symbol]}"


def spin_off(life: Life) -> str | None:
    symbol = life.one_held()
    if symbol is None or Decimal(life.sandbox.admin("GET", f"/sandbox/listings/{symbol}")["price"]) < 40:
        return None
    life.number += 1
    new = f"SPN{chr(65 + life.number // 26 % 26)}{chr(65 + life.number % 26)}"
    life.act("spin_off", symbol=symbol, new_symbol=new, new_rate=1, old_rate=4, price="8.00")
    return f"{symbol} -> {new}"


def hand_trade(life: Life) -> str | None:
    """Between two weeks."""
    symbol = life.one_held()
    if symbol is None:
        return None
    position = life.hand.positions().get(symbol)
    if position is None or position.qty_available < 2:
        return None
    side: Any = life.draw.choice(["buy", "sell"])
    life.number += 1
    life.hand.submit(symbol, side, f"hand-{life.number}", qty=Decimal(1))
    return f"{side} {symbol}"


def hand_between_plan_and_orders(life: Life) -> str | None:
    symbol = life.one_held()
    if symbol is None:
        return None
    life.number += 1
    number = life.number

    def trade(_: Answer) -> None:
        position = life.hand.positions().get(symbol)
        if position is not None and position.qty_available >= 2:
            life.hand.submit(symbol, "sell", f"hand-{number}", qty=Decimal(1))

    life.proxy.before("POST /v2/orders", trade, calls=[1])
    return symbol


def emptied(life: Life) -> str:
    """Figures that are all gone, of a few names or of an eighth of the universe."""
    names = set(life.some(life.draw.choice([0.02, 0.13])))

    def empty(answer: Answer) -> None:
        if answer.query["symbol"][0] in names:
            bodies: list[Any] = [{"metric": {}, "series": {}}, {}, {"error": "no data"}, None, {"metric": []}]
            answer.become(200, life.draw.choice(bodies))

    life.proxy.on(METRIC, empty)
    return f"{len(names)} names"


def another_answer(life: Life) -> str:
    names = life.some(life.draw.choice([0.02, 0.25]))
    other = life.universe[0]
    body = life.sandbox.admin("GET", f"/sandbox/listings/{other}")["metric"]

    def swap(answer: Answer) -> None:
        if answer.query["symbol"][0] in names:
            answer.json["metric"] = body
            if life.number % 2:
                answer.json["symbol"] = other

    life.proxy.on(METRIC, swap)
    return f"{len(names)} names"


def units(life: Life) -> str:
    names = set(life.some(0.45))

    def change(answer: Answer) -> None:
        key = "totalDebt/totalEquityQuarterly"
        if answer.query["symbol"][0] in names and isinstance(answer.json["metric"].get(key), int | float):
            answer.json["metric"][key] *= 100

    life.proxy.on(METRIC, change)
    return f"{len(names)} names"


def refused_symbols(life: Life) -> str:
    names = set(life.some(0.05))

    def refuse(answer: Answer) -> None:
        if answer.query["symbol"][0] in names:
            answer.become(life.draw.choice([401, 403]), {"error": "You don't have access to this resource."})

    life.proxy.on(METRIC, refuse)
    return f"{len(names)} names"


def not_listed(life: Life) -> str:
    names = set(life.draw.sample(life.held, min(3, len(life.held)))) if life.held else set()
    life.hidden |= names
    life.proxy.on(
        LISTING, lambda answer: answer.become(200, [row for row in answer.json if row["symbol"] not in names])
    )
    return f"{len(names)} held names"


def empty_profiles(life: Life) -> str:
    names = set(life.draw.sample(life.held, min(3, len(life.held)))) if life.held else set()
    life.hidden |= names

    def empty(answer: Answer) -> None:
        if answer.query["symbol"][0] in names:
            answer.become(200, {})

    life.proxy.on(PROFILE, empty)
    return f"{len(names)} held names"


def foreign_rows(life: Life) -> str:
    rows = life.draw.sample(FOREIGN, life.draw.randint(1, len(FOREIGN)))

    def add(answer: Answer) -> None:
        if isinstance(answer.json, list):
            template = {"asset_id": "904837e3-3b76-47ec-b432-046db621571b", "exchange": "", "avg_entry_price": "1"}
            answer.json.extend({**template, "qty_available": row["qty"], "current_price": None, **row} for row in rows)

    def count(answer: Answer) -> None:
        if "equity" in answer.json:
            extra = sum(Decimal(row["market_value"]) for row in rows)
            for key in ("equity", "last_equity", "portfolio_value"):
                answer.json[key] = str(Decimal(answer.json[key]) + extra)

    life.proxy.on("GET /v2/positions", add)
    life.proxy.on("GET /v2/account", count)
    return ", ".join(row["symbol"] for row in rows)


def late_cash(life: Life) -> str:
    """For some reads after the first order the account answers as before it."""
    old: dict[str, Any] = {}
    left = [4]

    def stale(answer: Answer) -> None:
        if "POST /v2/orders" not in life.proxy.seen:
            old.update({key: answer.json[key] for key in ("cash", "buying_power")})
        elif left[0] and old:
            left[0] -= 1
            answer.json.update(old)

    life.proxy.on("GET /v2/account", stale)
    return ""


def no_buying_power(life: Life) -> str:
    life.proxy.on("GET /v2/account", lambda answer: answer.json.update(buying_power="0"))
    return ""


def bad_print(life: Life) -> str | None:
    symbol = life.one_held()
    if symbol is None:
        return None
    factor = life.draw.choice([1.3, 0.5, 100.0])

    def strike(answer: Answer) -> None:
        if symbol in answer.json:
            answer.json[symbol]["latestTrade"]["p"] *= factor

    life.proxy.on("GET /v2/stocks/snapshots", strike)
    return f"{symbol} x {factor:g}"


def refused_orders(life: Life) -> str:
    calls = sorted({life.draw.randint(1, 12) for _ in range(3)})
    status = life.draw.choice([403, 422])
    life.proxy.before("POST /v2/orders", lambda answer: answer.become(status, {"message": "forbidden."}), calls=calls)
    return f"orders {calls}"


def lost_answers(life: Life) -> str:
    calls = sorted({life.draw.randint(1, 12) for _ in range(3)})
    life.proxy.on("POST /v2/orders", lambda answer: setattr(answer, "hang_up", True), calls=calls)
    return f"orders {calls}"


def everything_refused(life: Life) -> str:
    body = {"code": 40310000, "message": "insufficient buying power"}
    life.proxy.before(
        "POST /v2/orders",
        lambda answer: answer.become(403, body) if json.loads(answer.request)["side"] == "buy" else None,
    )
    return "buys"


COMPANIES: Sequence[tuple[float, Event]] = (
    (0.6, dividend),
    (0.5, entry),
    (0.1, deposit),
    (0.12, split),
    (0.06, rename),
    (0.04, delisting),
    (0.03, spin_off),
    (0.15, hand_trade),
)
"""Before the open of a Monday, each with its probability; hand trades on the Friday before."""
SWEEP: Sequence[tuple[float, Event]] = (
    (0.08, emptied),
    (0.05, another_answer),
    (0.03, units),
    (0.08, refused_symbols),
)
REFRESH: Sequence[tuple[float, Event]] = ((0.25, not_listed), (0.25, empty_profiles))
SESSION: Sequence[tuple[float, Event]] = (
    (0.2, foreign_rows),
    (0.08, late_cash),
    (0.04, no_buying_power),
    (0.1, bad_print),
    (0.1, refused_orders),
    (0.1, lost_answers),
    (0.05, everything_refused),
    (0.12, hand_between_plan_and_orders),
)


def happen(life: Life, what: Sequence[tuple[float, Event]]) -> list[str]:
    """Draws and lets happen; what did, in words."""
    done = []
    for probability, event in what:
        if life.draw.random() < probability and (told := event(life)) is not None:
            done.append(f"{event.__name__.replace('_', ' ')}{f' ({told})' if told else ''}")
    life.log += done
    return done
