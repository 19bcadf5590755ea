"""What happens to listed companies and to accounts that hold them: POST /sandbox/actions, one JSON object each.

The market changes at once, as of the ex-date, which is the New York date of now: so take an action before the open. The
account's books change at once, too, or `book_after_s` seconds later or at `book_at`, as real brokers do it overnight.
`announced` (default true) puts the action into /v1/corporate-actions. The kinds, rates as numbers or texts:

    {"kind": "split", "symbol": "A", "new_rate": 2, "old_rate": 1}          reverse if new_rate is the smaller one
    {"kind": "rename", "symbol": "A", "new_symbol": "B"}                    same asset id, FIGI and history
    {"kind": "merger", "symbol": "A", "cash_rate": "42.50"}                 a takeover for cash, and / or
    {"kind": "merger", "symbol": "A", "acquirer": "B", "acquirer_rate": "0.5"}
    {"kind": "spin_off", "symbol": "A", "new_symbol": "B", "new_rate": 1, "old_rate": 4, "price": "12.00"}
    {"kind": "delisting", "symbol": "A", "price": "0"}                      or null: asset inactive, no market
    {"kind": "removal", "symbol": "A"}                                      a worthless position leaves the account
    {"kind": "dividend", "symbol": "A", "rate": "0.24"}                     on the shares of now; no price moves
    {"kind": "announcement", "symbol": "A", "new_rate": 2, "old_rate": 1, "ex_date": "2026-09-03"}  a coming split
    {"kind": "fee" | "interest" | "journal", "amount": "-0.02"}             USD
"""

import dataclasses
import hashlib
import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import pydantic

from tokenomics_dagster.sandbox.bookings import Booking, Change
from tokenomics_dagster.sandbox.broker import Broker
from tokenomics_dagster.sandbox.market import Announcement, Instrument, Market, tick
from tokenomics_dagster.sandbox.sessions import NEW_YORK

Rate = Annotated[Decimal, pydantic.Field(gt=0, le=10_000)]
ENTRIES = {"fee": ("FEE", "REG"), "interest": ("INT", "CDT"), "journal": ("JNLC", "")}
"""Alpaca's type and subtype of activity."""


class _Body(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class _Action(_Body):
    symbol: str
    announced: bool = True
    book_after_s: float = pydantic.Field(default=0.0, ge=0)
    book_at: pydantic.AwareDatetime | None = None


class Split(_Action):
    kind: Literal["split"]
    new_rate: Rate
    old_rate: Rate


class Announced(_Body):
    kind: Literal["announcement"]
    symbol: str
    new_rate: Rate
    old_rate: Rate
    ex_date: date


class Rename(_Action):
    kind: Literal["rename"]
    new_symbol: str


class Merger(_Action):
    kind: Literal["merger"]
    cash_rate: Rate | None = None
    acquirer: str = ""
    acquirer_rate: Rate | None = None

    @pydantic.model_validator(mode="after")
    def _paid(self) -> "Merger":
        if bool(self.acquirer) != bool(self.acquirer_rate) or not (self.cash_rate or self.acquirer):
            raise ValueError("cash_rate, or acquirer with acquirer_rate, or all three are expected")
        return self


class SpinOff(_Action):
    kind: Literal["spin_off"]
    new_symbol: str
    new_rate: Rate
    old_rate: Rate
    price: Annotated[Decimal, pydantic.Field(gt=0)]


class Delisting(_Action):
    kind: Literal["delisting"]
    price: Annotated[Decimal, pydantic.Field(ge=0)] | None = Decimal(0)


class Removal(_Action):
    kind: Literal["removal"]


class Dividend(_Action):
    kind: Literal["dividend"]
    rate: Rate


class CashEntry(_Body):
    kind: Literal["fee", "interest", "journal"]
    amount: Decimal


Action = Split | Announced | Rename | Merger | SpinOff | Delisting | Removal | Dividend | CashEntry
_ACTION: pydantic.TypeAdapter[Action] = pydantic.TypeAdapter(Annotated[Action, pydantic.Field(discriminator="kind")])


def take_action(body: Any, market: Market, broker: Broker) -> dict[str, str]:
    """Let an action happen; its id. ValueError or LookupError if the body or its symbols are not what they must be."""
    try:
        action = _ACTION.validate_python(body)
    except pydantic.ValidationError as error:
        reasons = (f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors())
        raise ValueError("; ".join(reasons)) from None
    if isinstance(action, CashEntry):
        broker.enter(*ENTRIES[action.kind], action.amount)
        return {"id": ""}
    return {"id": _Taking(market, broker, broker.advance()).take(action)}


class _Taking:
    """One action at one instant."""

    def __init__(self, market: Market, broker: Broker, now: datetime) -> None:
        self._market = market
        self._broker = broker
        self._now = now
        self._today = now.astimezone(NEW_YORK).date()
        self._id = str(uuid.uuid4())

    def take(self, action: Action) -> str:
        match action:
            case Split():
                self._split(action)
            case Announced():
                rates = {"new_rate": float(action.new_rate), "old_rate": float(action.old_rate)}
                body = _split_body(action.symbol, rates, action.new_rate > action.old_rate, action.ex_date)
                self._announce(body.pop("kind"), action.ex_date, body)
            case Rename():
                self._rename(action)
            case Merger():
                self._merge(action)
            case SpinOff():
                self._spin_off(action)
            case Delisting():
                self._leave(action.symbol, action.price)
                if action.price == 0:
                    self._post(action, "worthless_removals", {"symbol": action.symbol, "cusip": cusip(action.symbol)})
            case Removal():
                if action.symbol in self._market.instruments:
                    raise ValueError(f"{action.symbol} is listed; delist it first")
                self._book(action, Change.REMOVE, "REORG", "WRM")
            case Dividend():
                self._pay(action)
        return self._id

    def _split(self, action: Split) -> None:
        old, ratio = self._listed(action.symbol), action.new_rate / action.old_rate
        price = self._market.price(action.symbol, self._now) / ratio
        self._broker.cancel_for_action(action.symbol)
        self._market.set_price(action.symbol, max(price.quantize(tick(price)), Decimal("0.0001")), self._now)
        metric = {key: value if "PerShare" not in key else _over(value, ratio) for key, value in old.metric.items()}
        shares = _over(old.profile.get("shareOutstanding"), 1 / ratio)
        profile = {**old.profile, "shareOutstanding": shares} if old.profile else old.profile
        factor = old.split_factor * ratio
        self._market.put(dataclasses.replace(old, metric=metric, profile=profile, split_factor=factor))
        kind = "FSPLIT" if ratio > 1 else "RSPLIT"
        self._book(action, Change.EXCHANGE, "SPLIT", kind, into=action.symbol, rate=ratio)
        rates = {"new_rate": float(action.new_rate), "old_rate": float(action.old_rate)}
        body = _split_body(action.symbol, rates, ratio > 1, self._today)
        self._post(action, body.pop("kind"), body)

    def _rename(self, action: Rename) -> None:
        old, new = self._listed(action.symbol), self._free(action.new_symbol)
        self._broker.held(action.symbol)
        self._broker.cancel_for_action(action.symbol)
        profile = {**old.profile, "ticker": new} if old.profile else old.profile
        identity, path = old.asset_id or action.symbol, old.path or action.symbol
        renamed = dataclasses.replace(old, symbol=new, profile=profile, asset_id=identity, path=path)
        self._market.rename(action.symbol, renamed)
        price = self._market.price(new, self._now)
        self._book(action, Change.EXCHANGE, "NC", "SNC", into=new, rate=Decimal(1), price=price)
        body = {
            "old_symbol": action.symbol,
            "old_cusip": cusip(action.symbol),
            "new_symbol": new,
            "new_cusip": cusip(action.symbol),
        }
        self._post(action, "name_changes", body)

    def _merge(self, action: Merger) -> None:
        last = self._market.price(self._listed(action.symbol).symbol, self._now)
        if action.acquirer:
            self._listed(action.acquirer)
        self._leave(action.symbol, last)
        cash, rate = action.cash_rate or Decimal(0), action.acquirer_rate or Decimal(0)
        subtype = "CMA" if not rate else "SCMA" if cash else "SMA"
        self._book(action, Change.EXCHANGE, "MA", subtype, into=action.acquirer, rate=rate, cash=cash)
        body: dict[str, Any] = {"acquiree_symbol": action.symbol, "acquiree_cusip": cusip(action.symbol)}
        body |= {"effective_date": self._today.isoformat(), "payable_date": self._today.isoformat()}
        if not rate:
            return self._post(action, "cash_mergers", {**body, "rate": float(cash)})
        body |= {"acquiree_rate": 1, "acquirer_symbol": action.acquirer, "acquirer_cusip": cusip(action.acquirer)}
        body |= {"acquirer_rate": float(rate)}
        if not cash:
            return self._post(action, "stock_mergers", body)
        return self._post(action, "stock_and_cash_mergers", {**body, "cash_rate": float(cash)})

    def _spin_off(self, action: SpinOff) -> None:
        parent, new = self._listed(action.symbol), self._free(action.new_symbol)
        rate = action.new_rate / action.old_rate
        before = self._market.price(action.symbol, self._now)
        after = before - rate * action.price
        if after <= 0:
            raise ValueError(f"price: {rate} x {action.price} USD is not less than {action.symbol}'s {before} USD")
        child: dict[str, Any] = {
            "symbol": new,
            "issuer": new,
            "description": f"{new} Common Stock",
            "price": action.price,
        }
        child |= {"figi": f"BBG{cusip(new)}", "share_class_figi": f"BBG{cusip(new + ' class')}", "isin": ""}
        child |= {"asset_id": "", "path": "", "split_factor": Decimal(1), "profile": {}, "metric": {}}
        self._market.put(dataclasses.replace(parent, **child))
        self._market.set_price(new, action.price, self._now)
        self._market.set_price(action.symbol, max(after.quantize(tick(after)), tick(after)), self._now)
        share = rate * action.price / before
        self._book(action, Change.DISTRIBUTE, "SPIN", "", into=new, rate=rate, cost_share=share, price=action.price)
        body = {
            "source_symbol": action.symbol,
            "source_cusip": cusip(action.symbol),
            "source_rate": float(action.old_rate),
            "new_symbol": new,
            "new_cusip": cusip(new),
            "new_rate": float(action.new_rate),
            "ex_date": self._today.isoformat(),
        }
        self._post(action, "spin_offs", body)

    def _pay(self, action: Dividend) -> None:
        self._listed(action.symbol)
        qty = self._broker.held(action.symbol)
        self._book(action, Change.PAY, "DIV", "CDIV", cash=action.rate, qty=qty)
        body = {"symbol": action.symbol, "cusip": cusip(action.symbol), "rate": float(action.rate)}
        dates = {"ex_date": self._today.isoformat(), "payable_date": self._due(action)[1].isoformat()}
        self._post(action, "cash_dividends", {**body, **dates, "special": False, "foreign": False})

    def _leave(self, symbol: str, price: Decimal | None) -> None:
        self._listed(symbol)
        self._broker.held(symbol)
        self._broker.cancel_for_action(symbol)
        self._market.delist(symbol, price)

    def _book(self, action: _Action, change: Change, kind: str, subtype: str, **terms: Any) -> None:
        at, into = self._due(action)[0], terms.get("into", "")
        terms |= {"cusip": cusip(action.symbol), "into_cusip": cusip(into) if into else ""}
        self._broker.book(Booking(self._id, at, change, kind, subtype, action.symbol, **terms))

    def _due(self, action: _Action) -> tuple[datetime, date]:
        at = action.book_at or self._now + timedelta(seconds=action.book_after_s)
        return at, at.astimezone(NEW_YORK).date()

    def _post(self, action: _Action, kind: str, body: Mapping[str, Any]) -> None:
        if action.announced:
            self._announce(kind, self._due(action)[1], body)

    def _announce(self, kind: str, day: date, body: Mapping[str, Any]) -> None:
        row = {"id": self._id, **body, "process_date": day.isoformat()}
        self._market.announcements.append(Announcement(kind, day, row))

    def _listed(self, symbol: str) -> Instrument:
        found = self._market.instruments.get(symbol)
        if found is None:
            raise LookupError(f"{symbol} is not listed")
        return found

    def _free(self, symbol: str) -> str:
        if not symbol or symbol in self._market.instruments:
            raise ValueError(f"new_symbol: {symbol or 'nothing'} cannot be a new symbol")
        return symbol


def _split_body(symbol: str, rates: Mapping[str, float], forward: bool, ex_date: date) -> dict[str, Any]:
    """The fields of forward_splits or reverse_splits, and which of the two as `kind`."""
    dates = {"ex_date": ex_date.isoformat(), "record_date": ex_date.isoformat()}
    if forward:
        return {"kind": "forward_splits", "symbol": symbol, "cusip": cusip(symbol), **rates, **dates}
    identities = {"old_cusip": cusip(symbol), "new_cusip": cusip(f"{symbol} {ex_date}")}
    return {"kind": "reverse_splits", "symbol": symbol, **identities, **rates, **dates}


def _over(value: Any, ratio: Decimal) -> Any:
    return value / float(ratio) if isinstance(value, int | float) and not isinstance(value, bool) else value


def cusip(symbol: str) -> str:
    """A stand-in of CUSIP's length."""
    return hashlib.blake2b(symbol.encode(), digest_size=5).hexdigest().upper()[:9]
