"""Which names are left alone because their shares and prices do not fit to what was there before. Pure.

Shares and prices of a split, rename or spin-off change at different hours, sometimes a day apart. Until both have, or
somebody has looked, nobody knows what is held: a position that seems halved is not bought anew, one that has appeared
or gone without a trade is neither sold nor bought back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from tokenomics_dagster.model.trading import CorporateAction, Position
from tokenomics_dagster.settings.guards import GuardSettings

# Shorter than from one week's plan to the next one's: what moves on a Monday is left alone until the next.
MAX_AGE = timedelta(days=6)
_TOLERANCE = Decimal("5e-10")
_NEAR = Decimal("0.02")
"""A change of shares this near to a split's ratio is one: fractions are paid out in cash."""
_SEE = "left alone; see the broker's dashboard, the next week counts with what it shows then"


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """`reason` is a sentence; `meant`: what is to be traded of it may be later, so that it counts as not traded."""

    reason: str
    meant: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """A name at an earlier plan: shares (None: they could not be read), the USD that one was worth (None: nobody knew),
    and when.

    `doubted_since`: when it was first left alone; None if it was not. `appeared`: it was, and nobody had bought it.
    """

    qty: Decimal | None
    price: Decimal | None
    at: datetime
    doubted_since: datetime | None = None
    appeared: bool = False

    @property
    def fields(self) -> tuple[Decimal | None, Decimal | None, datetime, datetime | None, bool]:
        """In their order: as a plan keeps them."""
        return (self.qty, self.price, self.at, self.doubted_since, self.appeared)


@dataclass(frozen=True, slots=True)
class Moved:
    """What happened since: shares bought less sold by anybody, and the symbols whose shares something else moved."""

    traded: Mapping[str, Decimal] = field(default_factory=dict)
    booked: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Since:
    """The time since an earlier plan: what it saw of each name, what has happened, what is announced.

    `compared`: there is an earlier plan, and a name that it has not seen was not there. Without one only the announced
    splits, the broker's own prices and what is in `seen` all the same are looked at.
    """

    seen: Mapping[str, Seen]
    moved: Moved
    actions: Sequence[CorporateAction]
    compared: bool


@dataclass(frozen=True, slots=True)
class _Name:
    """One that is held or was: now, before (None: it was not looked at), the shares that somebody bought less those
    sold since, whether something else moved some, and a split that has come into effect."""

    symbol: str
    position: Position | None
    before: Seen | None
    traded: Decimal
    booked: bool
    split: CorporateAction | None

    @property
    def qty(self) -> Decimal:
        return self.position.qty if self.position else Decimal(0)


def last_seen(
    positions: Mapping[str, Decimal],
    prices: Mapping[str, Decimal | None],
    at: datetime,
    doubted: Mapping[str, Seen],
    now: datetime,
) -> dict[str, Seen]:
    """From the last plan, of `at`: what it began with and its prices. A name in doubt stays as it was before the doubt
    while that is young; one that has appeared without a trade stays so for good.
    """
    seen = {s: Seen(positions.get(s, Decimal(0)), prices.get(s), at) for s in {*positions, *prices}}
    for symbol, one in doubted.items():
        if one.appeared:
            seen[symbol] = replace(one, at=at)
        elif one.doubted_since is not None and now - one.doubted_since <= MAX_AGE:
            seen[symbol] = one
    return seen


def still_doubted(
    found: Mapping[str, LeftAlone], unread: Collection[str], seen: Mapping[str, Seen], now: datetime
) -> dict[str, Seen]:
    """What the next plan must know of the names that `doubts` found, and of those whose shares are `unread`, for the
    broker contradicts itself: as they were when they were last read, or that nothing is known of them.
    """
    kept = {}
    for symbol in sorted(found):
        one = seen.get(symbol, Seen(None, None, now))
        since = one.doubted_since or now
        if found[symbol].meant:
            kept[symbol] = replace(one, doubted_since=since, appeared=False)
        else:
            kept[symbol] = Seen(Decimal(0), None, now, since, appeared=True)
    for symbol in sorted(unread):
        # As long as it lasts, and some days more: shares that were there before have not appeared.
        kept[symbol] = replace(seen.get(symbol, Seen(None, None, now)), doubted_since=now)
    return kept


def doubts(
    held: Mapping[str, Position],
    wanted: Collection[str],
    prices: Mapping[str, Decimal],
    since: Since,
    today: date,
    guards: GuardSettings,
) -> dict[str, LeftAlone]:
    """The names to leave alone, each with a sentence. `prices` of the market, USD; without one the broker's counts."""
    seen, moved = since.seen, since.moved
    splits = {a.symbol: a for a in since.actions if a.is_split and a.ratio and a.effective <= today}
    found = {}
    for symbol in sorted({*held, *seen}):
        position, before, traded = held.get(symbol), seen.get(symbol), moved.traded.get(symbol, Decimal(0))
        name = _Name(symbol, position, before, traded, symbol in moved.booked, splits.get(symbol))
        appeared = _appeared(name.qty, traded, before) if before is not None or since.compared else Decimal(0)
        if symbol not in wanted and appeared > _TOLERANCE:
            found[symbol] = LeftAlone(
                f"{appeared:f} shares have appeared that nobody bought: a spin-off, a merger or a transfer: left "
                "alone for good: keep them, sell them by hand, or let the strategy have them by "
                f"`tokenomics adopt {symbol}`",
                meant=False,
            )
            continue
        price = prices.get(symbol) or (position.price if position else None)
        reason = next(_reasons(name, price, today, guards), None)
        if reason is not None:
            found[symbol] = LeftAlone(f"{reason}: {_SEE}")
    return found


def _appeared(qty: Decimal, traded: Decimal, before: Seen | None) -> Decimal:
    """Shares that are held, and were neither bought nor there before (None: it was not there)."""
    if before is None or before.appeared:
        # Whoever bought some beside them does not say that these may be sold.
        return min(qty - traded, qty)
    if before.qty is None or before.qty + traded > _TOLERANCE:
        return Decimal(0)
    return min(qty - before.qty - traded, qty)


def _reasons(name: _Name, price: Decimal | None, today: date, guards: GuardSettings) -> Iterator[str]:
    limit = Decimal(str(guards.max_price_move_pct)) / 100
    position, before, split, qty = name.position, name.before, name.split, name.qty
    if position is not None and position.price and price and abs(price / position.price - 1) > limit:
        yield (
            f"the market has it at {price} USD, the broker values it at {position.price}, guards.max_price_move_pct is "
            f"{guards.max_price_move_pct:g}"
        )
    if before is None or before.qty is None:
        if split is not None and split.processed >= today:
            yield f"a {split} is announced, and may not be booked yet"
        return
    due = before.qty + name.traded
    if before.appeared or due <= _TOLERANCE:
        return
    priced = split is not None and split.effective <= before.at.date()  # it was seen at a price after the split
    if qty <= _TOLERANCE:
        yield f"{due:f} shares were held, and are gone without a trade: a merger, a rename or a transfer"
        return
    shares = qty / due
    fall = before.price / price if before.price and price else None
    kept = fall is None or abs((1 if priced else shares) / fall - 1) <= limit
    if abs(shares - 1) > _TOLERANCE / due:
        explained = split is not None or name.booked or (fall is not None and kept and _is_ratio(shares))
        if not explained:
            yield f"its shares went from {due:f} to {qty:f} without a trade"
        elif not kept:
            yield (
                f"its shares went from {due:f} to {qty:f} by an entry of the broker, its price from {before.price} to "
                f"{price} USD: a split moves both, a transfer the shares alone"
            )
    elif split is not None and (not priced or split.processed >= today):
        yield f"a {split} is announced, {qty:f} shares are held as before: it is not booked yet"
    elif not kept:
        assert fall is not None
        like = ", as in a split whose shares are not booked yet" if _is_ratio(fall) else ""
        yield (
            f"its price moved from {before.price} to {price} USD since {before.at:%Y-%m-%d}, and no action of the "
            f"company is announced{like}, guards.max_price_move_pct is {guards.max_price_move_pct:g}"
        )


def _is_ratio(factor: Decimal) -> bool:
    """Whether it is near a split's: 2, 3, ... for 1, 1 for 2, 3, ..., or 3 for 2."""
    larger = max(factor, 1 / factor)
    return any(abs(larger / ratio - 1) <= _NEAR for ratio in (Decimal("1.5"), max(Decimal(2), round(larger, 0))))
