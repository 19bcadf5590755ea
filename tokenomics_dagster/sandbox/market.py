"""What is listed and what it costs: instruments, and prices, quotes and daily bars at any instant.

Where the data comes from stays out (generated.py, replay.py), as do orders (broker.py) and HTTP (*_api.py).
"""

import bisect
import dataclasses
import hashlib
import math
import statistics
import threading
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any

from tokenomics_dagster.sandbox.sessions import Session, Sessions

BRIDGE_TERMS = 4  # of the Karhunen-Loeve series; the rest holds 5 % of the variance within a session
BAR_SAMPLES = 27  # open, close and every quarter of an hour of a full session in between
NORMAL = statistics.NormalDist()


@dataclasses.dataclass(frozen=True, slots=True)
class Instrument:
    """One listing. `profile` and `metric` are bodies as Finnhub gives them at the anchor price; `{}` is "no data"."""

    symbol: str
    """Dot form for share classes: BRK.B."""
    description: str
    type: str
    """OpenFIGI's: "Common Stock", "ADR", "REIT", "ETP", ..."""
    mic: str
    currency: str
    """Of the price; the currency of the filings is in `profile`."""
    figi: str
    share_class_figi: str
    isin: str
    issuer: str
    """Company name as /stock/profile2 `name` gives it, the same for all classes of an issuer."""
    country: str
    industry: str
    ipo: str
    price: Decimal
    """USD, close of the anchor session."""
    volume: int
    """Shares in the anchor session."""
    profile: Mapping[str, Any]
    """Body of /stock/profile2, marketCapitalization in millions at the anchor price."""
    metric: Mapping[str, Any]
    """The `metric` object of /stock/metric."""
    tradable: bool
    fractionable: bool
    asset_id: str = ""
    """What the broker's id of the asset is made of; empty for the symbol. It outlives a rename."""
    path: str = ""
    """What the price's path is drawn by; empty for the symbol. A renamed stock goes on with its old one."""
    split_factor: Decimal = Decimal(1)
    """Shares of now for one at the anchor."""


@dataclasses.dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and offer, USD, sizes in shares."""

    bid: Decimal
    ask: Decimal
    bid_size: int
    ask_size: int
    time: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """One regular session, USD and shares."""

    session: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    trade_count: int
    vwap: Decimal


@dataclasses.dataclass(frozen=True, slots=True)
class Delisted:
    """What has no market any more, and what a share is said to be worth: 0, its last price, or nothing known."""

    instrument: Instrument
    price: Decimal | None


@dataclasses.dataclass(frozen=True, slots=True)
class Announcement:
    """One row of Alpaca's /v1/corporate-actions: the list that it stands in, its date of processing, and its body."""

    kind: str
    process_date: date
    body: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class PriceStep:
    """A price set at an instant; from there on the path goes on from it."""

    since: datetime
    price: Decimal


def tick(price: Decimal) -> Decimal:
    """Smallest price increment: 0.01 USD, and 0.0001 below 1 USD (SEC rule 612)."""
    return Decimal("0.01") if price >= 1 else Decimal("0.0001")


class Market:
    """Instruments by symbol, in the order in which /stock/symbol lists them, and their prices.

    With `volatility_pct` = 0 prices stand still. Otherwise each session's log return is normal with that standard
    deviation (percent) and mean -variance/2, and inside the session the price follows a Brownian bridge (Karhunen-Loeve
    series): a pure function of (seed, symbol, session), so the path is the same whatever was asked before.
    Unknown symbols raise KeyError. Thread-safe.
    """

    def __init__(
        self,
        anchor: date,
        instruments: Iterable[Instrument],
        *,
        seed: int = 0,
        volatility_pct: float = 0.0,
        spread_bps: float = 2.0,
    ) -> None:
        self.anchor = anchor
        self.instruments: dict[str, Instrument] = {one.symbol: one for one in instruments}
        self.seed = seed
        self.volatility_pct = volatility_pct
        self.spread_bps = spread_bps
        self.delisted: dict[str, Delisted] = {}
        self.renamed: dict[str, str] = {}
        """Symbol of now by the one before it."""
        self.announcements: list[Announcement] = []
        self._steps: dict[str, list[PriceStep]] = {}
        self._sessions = Sessions()
        self._anchor = self._session(anchor)
        self._sums: dict[tuple[str, bool], list[float]] = {}
        self._lock = threading.Lock()

    def price(self, symbol: str, at: datetime) -> Decimal:
        """Last price, USD, on the tick where it has moved."""
        base, since = self.instruments[symbol].price, None
        steps = self._steps.get(symbol)
        if steps:
            reached = bisect.bisect_right(steps, at, key=lambda step: step.since)
            if reached:
                base, since = steps[reached - 1].price, steps[reached - 1].since
        if not self.volatility_pct:
            return base
        moved = self._log_path(symbol, at) - (0.0 if since is None else self._log_path(symbol, since))
        if moved == 0.0:
            return base
        raw = base * Decimal(math.exp(moved))
        return max(raw.quantize(tick(raw), ROUND_HALF_EVEN), Decimal("0.0001"))

    def quote(self, symbol: str, at: datetime) -> Quote:
        """Bid and ask symmetrically round the last price, on the tick; of the last close when the market is closed."""
        last = self.price(symbol, at)
        step = tick(last)
        half = (last * Decimal(str(self.spread_bps)) / 20_000 / step).to_integral_value(ROUND_CEILING) * step
        middle = last.quantize(step, ROUND_HALF_EVEN)
        size = 100 * min(50, 1 + self.instruments[symbol].volume // 100_000)
        return Quote(max(middle - half, step), middle + half, size, size, min(at, self._sessions.last_opened(at).close))

    def daily_bar(self, symbol: str, session: date, until: datetime | None = None) -> Bar:
        """The regular session's bar; `until` cuts a session that is still going on.

        ValueError if there is no session that day, or none of it before `until`.
        """
        found = self._session(session)
        opened, closed = found.open, found.close
        last = closed if until is None else min(closed, until)
        if last < opened:
            raise ValueError(f"session {session} has not opened at {last.isoformat()}")
        instants = [opened + (last - opened) * part / (BAR_SAMPLES - 1) for part in range(BAR_SAMPLES)]
        instants += [step.since for step in self._steps.get(symbol, ()) if opened < step.since <= last]
        prices = [self.price(symbol, at) for at in sorted(instants)]
        volume = self.instruments[symbol].volume
        if session != self.anchor:
            volume = round(volume * math.exp(0.3 * self._normals(symbol, session, "volume", 1)[0]))
        volume = round(volume * ((last - opened) / (closed - opened)))
        vwap = (sum(prices, Decimal()) / len(prices)).quantize(Decimal("0.000001"))
        return Bar(session, prices[0], max(prices), min(prices), prices[-1], volume, -(-volume // 100), vwap)

    def set_price(self, symbol: str, price: Decimal, since: datetime | None = None) -> None:
        """Make `price` the last price from `since` on (default: the anchor session's close), instead of later ones."""
        if not price.is_finite() or price <= 0:
            raise ValueError(f"price of {symbol}: {price} is not allowed; a price is greater than 0 USD")
        if symbol not in self.instruments:
            raise KeyError(symbol)
        with self._lock:
            start = self._anchor.close if since is None else since
            kept = [step for step in self._steps.get(symbol, ()) if step.since < start]
            self._steps[symbol] = [*kept, PriceStep(start, price)]

    def put(self, instrument: Instrument) -> None:
        """Add a listing, or replace the one of the same symbol in its place."""
        with self._lock:
            self.instruments = {**self.instruments, instrument.symbol: instrument}

    def remove(self, symbol: str) -> None:
        """Take a listing off the market; KeyError if there is none."""
        with self._lock:
            rest = dict(self.instruments)
            del rest[symbol]
            self.instruments = rest
            self._steps.pop(symbol, None)

    def delist(self, symbol: str, price: Decimal | None) -> None:
        """Take a listing off the market whose asset stays known, worth `price`; KeyError if there is none."""
        instrument = self.instruments[symbol]
        self.remove(symbol)
        self.delisted[symbol] = Delisted(instrument, price)

    def rename(self, symbol: str, renamed: Instrument) -> None:
        """Let a listing go on as `renamed`, at the same prices; KeyError if there is none."""
        with self._lock:
            steps = self._steps.get(symbol, [])
        self.remove(symbol)
        self.put(renamed)
        with self._lock:
            self._steps[renamed.symbol] = steps
        self.renamed[symbol] = renamed.symbol

    def steps(self) -> dict[str, list[PriceStep]]:
        """Every price that was set, by symbol, oldest first."""
        with self._lock:
            return {symbol: list(steps) for symbol, steps in self._steps.items()}

    def _session(self, day: date) -> Session:
        found = self._sessions.sessions(day, day)
        if not found:
            raise ValueError(f"{day} is not a trading session of XNYS")
        return found[0]

    def _log_path(self, symbol: str, at: datetime) -> float:
        """Log of price over the anchor session's close, before any price was set."""
        session = self._sessions.last_opened(at)
        at_close = self._sum_of_returns(symbol, session.date)
        if at >= session.close:
            return at_close
        part = (at - session.open) / (session.close - session.open)
        _, *bridge = self._normals(symbol, session.date, "path", 1 + BRIDGE_TERMS)
        wave = sum(z * math.sin(k * math.pi * part) * math.sqrt(2) / (k * math.pi) for k, z in enumerate(bridge, 1))
        return at_close - (1 - part) * self._session_return(symbol, session.date) + self.volatility_pct / 100 * wave

    def _sum_of_returns(self, symbol: str, session: date) -> float:
        """Log return from the anchor session's close to that of `session`. Sums are kept: a year costs a year once."""
        forward = session >= self.anchor
        _, *between = self._sessions.sessions(min(self.anchor, session), max(self.anchor, session))
        with self._lock:
            sums = self._sums.setdefault((symbol, forward), [0.0])
            for done in range(len(sums) - 1, len(between)):
                if forward:
                    sums.append(sums[-1] + self._session_return(symbol, between[done].date))
                else:
                    sums.append(sums[-1] - self._session_return(symbol, between[-1 - done].date))
            return sums[len(between)]

    def _session_return(self, symbol: str, session: date) -> float:
        sigma = self.volatility_pct / 100
        return sigma * self._normals(symbol, session, "path", 1)[0] - sigma * sigma / 2

    def _normals(self, symbol: str, session: date, purpose: str, count: int) -> tuple[float, ...]:
        return _drawn(self.seed, self.instruments[symbol].path or symbol, session, purpose, count)


@lru_cache(maxsize=1_024)  # a bar looks at its session 27 times
def _drawn(seed: int, path: str, session: date, purpose: str, count: int) -> tuple[float, ...]:
    hashes = (
        hashlib.blake2b(f"{seed}|{path}|{session}|{purpose}|{draw}".encode(), digest_size=8).digest()
        for draw in range(count)
    )
    # 52 bits: with the half added, the largest is still below 1 as a float
    return tuple(NORMAL.inv_cdf(((int.from_bytes(one) >> 12) + 0.5) / 2.0**52) for one in hashes)
