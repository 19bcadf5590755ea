"""The trade plan as an immutable document: what it was made from, what it asks for, and the hash that seals both.

Pure data. Which trades belong in it is decided in trades.py; carrying it out is the execution room's.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from tokenomics_dagster.model.canonical import canonical_json, digest
from tokenomics_dagster.model.identity import FUNDAMENTALS, plan_id_of

CENT = Decimal("0.01")
# Of what a trade was to move: less is rounding to cents and shares, spread, the collar of a limit.
NEGLIGIBLE = Decimal("0.01")
CASH_IS_SHORT = "cash is short"  # in the reason of a buy that cash does not pay, or not all of it
NOT_TRADABLE = "not tradable at the broker"
SHARE, FRACTION = Decimal(1), Decimal("0.000000001")  # Alpaca takes up to 9 decimals
# Fields that documents have had since form 2; a hash covers those of its form.
_SINCE_SLEEVES = ("form", "sleeve", "period", "foreign", "taken")


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
    """Amounts in USD, positions in shares, both before the plan; `equity` without what is foreign.

    `sleeve` is whose targets it reaches, `period` the time that they were decided for: for weekly ones the `week`, in
    which it is to be carried out, by its Monday. `foreign`: stocks that no sleeve has ever owned, and how many shares
    (None: they could not be read); `taken`: such stocks that it trades all the same, as the settings were then.
    `inputs_hash` covers targets, positions, prices and rules, `plan_hash` all other fields. `form` 1 are plans that
    were made before there were sleeves: neither their documents nor their hashes know the fields since.
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
    form: int = 2
    sleeve: str = FUNDAMENTALS
    period: str = ""
    foreign: dict[str, Decimal | None] = field(default_factory=dict)
    taken: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.period:
            object.__setattr__(self, "period", self.week.isoformat())

    def sealed(self) -> "Plan":
        return replace(self, plan_hash=self.digest())

    @property
    def plan_id(self) -> str:
        return plan_id_of(self.period, self.plan_hash, self.sleeve if self.form > 1 else None)

    def trades_of_nobodys(self, own: Collection[str]) -> list[str]:
        """What it sells, or buys more of, of held stocks that no sleeve has ever owned. Plans of form 1 knew of none:
        what they hold and is not `own` is nobody's."""
        nobodys = self.positions.keys() - {*own} if self.form == 1 else {*self.taken}
        return sorted(nobodys & {order.symbol for order in self.orders})

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
        fields = self._fields()
        del fields["plan_hash"]
        return digest(fields)

    def to_document(self) -> dict[str, Any]:
        """JSON-able form; `from_document` is its inverse."""
        return dict(json.loads(canonical_json(self._fields())))

    def _fields(self) -> dict[str, Any]:
        fields = asdict(self)
        return {name: value for name, value in fields.items() if self.form > 1 or name not in _SINCE_SLEEVES}

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
            form=document.get("form", 1),
            sleeve=document.get("sleeve", FUNDAMENTALS),
            period=document.get("period", ""),
            foreign={symbol: _decimal(qty) for symbol, qty in document.get("foreign", {}).items()},
            taken=tuple(document.get("taken", ())),
        )


def plan_id_in(document: Mapping[str, Any]) -> str:
    """The id of the plan that a document tells of. Raises KeyError where it is none."""
    sleeve = document.get("sleeve")
    return plan_id_of(document["week"] if sleeve is None else document["period"], document["plan_hash"], sleeve)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
