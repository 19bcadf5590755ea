"""The trade plan as an immutable document: what it was made from, what it asks for, and the hash that seals both.

Pure data. Which trades belong in it is decided in trades.py; carrying it out is the execution room's.
"""

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from tokenomics_dagster.model.canonical import canonical_json, digest

# First part of the client order ids: by it our orders are told from those of others.
STRATEGY = "tokenomics"
CENT = Decimal("0.01")
# Of what a trade was to move: less is rounding to cents and shares, spread, the collar of a limit.
NEGLIGIBLE = Decimal("0.01")
CASH_IS_SHORT = "cash is short"  # in the reason of a buy that cash does not pay, or not all of it
NOT_TRADABLE = "not tradable at the broker"
SHARE, FRACTION = Decimal(1), Decimal("0.000000001")  # Alpaca takes up to 9 decimals


_ID = re.compile(r"(\d{4}-\d\d-\d\d)-[0-9a-f]{12}")


def plan_id_of(week: date | str, plan_hash: str) -> str:
    """By what a person, a ledger row and a log name a plan: its week and the first 12 digits of its hash."""
    return f"{week}-{plan_hash[:12]}"


def week_of_plan(plan_id: str) -> str:
    """The week in a plan's id, as the partition is called. Raises ValueError where the text is no plan's id."""
    found = _ID.fullmatch(plan_id)
    if found is None:
        raise ValueError("a plan's id is its week and 12 hexadecimal digits: 2026-08-24-0123456789ab")
    return found[1]


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """An order to send: `qty` shares or `notional` USD, one of the two; `price` in USD is what it was sized with.

    An exit sells all that is held.
    """

    symbol: str
    side: Literal["buy", "sell"]
    qty: Decimal | None
    notional: Decimal | None
    price: Decimal
    exit: bool = False

    @property
    def value(self) -> Decimal:
        """What it moves at its price, USD."""
        return self.notional if self.notional is not None else (self.qty or Decimal(0)) * self.price


# What from_document raises for a document that was changed after it was made.
UNREADABLE = (KeyError, ValueError, TypeError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class Plan:
    """Amounts in USD, positions in shares, both before the plan; `equity` without what this strategy does not trade.

    `inputs_hash` covers targets, positions, prices and rules, `plan_hash` all other fields.
    """

    week: date
    created_at: datetime
    account: str
    equity: Decimal
    cash: Decimal
    scores_as_of: datetime
    positions: dict[str, Decimal]
    inputs_hash: str
    orders: tuple[PlannedOrder, ...]
    plan_hash: str = ""

    def sealed(self) -> "Plan":
        return replace(self, plan_hash=self.digest())

    @property
    def plan_id(self) -> str:
        return plan_id_of(self.week, self.plan_hash)

    @property
    def sold_share(self) -> Decimal:
        """Value of all sells over equity."""
        return sum((o.value for o in self.orders if o.side == "sell"), Decimal(0)) / self.equity

    @property
    def turnover(self) -> Decimal:
        """Half of all buys and sells over equity."""
        return sum((o.value for o in self.orders), Decimal(0)) / self.equity / 2

    @property
    def exits(self) -> int:
        return sum(o.exit for o in self.orders)

    def digest(self) -> str:
        fields = asdict(self)
        del fields["plan_hash"]
        return digest(fields)

    def to_document(self) -> dict[str, Any]:
        """JSON-able form; `from_document` is its inverse."""
        return dict(json.loads(canonical_json(asdict(self))))

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Plan":
        orders = tuple(
            PlannedOrder(
                o["symbol"], o["side"], _decimal(o["qty"]), _decimal(o["notional"]), Decimal(o["price"]), o["exit"]
            )
            for o in document["orders"]
        )
        return cls(
            week=date.fromisoformat(document["week"]),
            created_at=datetime.fromisoformat(document["created_at"]),
            account=document["account"],
            equity=Decimal(document["equity"]),
            cash=Decimal(document["cash"]),
            scores_as_of=datetime.fromisoformat(document["scores_as_of"]),
            positions={symbol: Decimal(qty) for symbol, qty in document["positions"].items()},
            inputs_hash=document["inputs_hash"],
            orders=orders,
            plan_hash=document["plan_hash"],
        )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
