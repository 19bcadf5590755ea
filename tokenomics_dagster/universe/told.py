"""What the warehouse has of listings and universe, for who explains a symbol to a person. Only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.universe.schema import KnownProfiles, Listings, ListingsDetails, Universe, UniverseDetails
from tokenomics_dagster.universe.selection import MICS

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.storage.records import Stored
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Listing:
    """What the newest listings say of a symbol, `as_of` UTC; what was not told is None.

    `disputed`: why it has no row, a sentence; then nothing else is known.
    """

    as_of: datetime
    name: str | None
    type: str | None
    exchange: str | None
    currency: str | None
    disputed: str | None = None


@dataclass(frozen=True, slots=True)
class Following:
    """Whether a symbol is in the newest universe (`as_of`, `size` names), and why or why not.

    `rank` by market cap, 1 is the largest; of one that is not in it the rank that its last known market cap would have.
    Market caps in million USD; `cut_musd` is the smallest in it, `seats` how many it may have. `waits`: why it is in
    doubt although it is followed. `last_in`: the newest universe that had it, where the newest one has not.
    """

    as_of: datetime
    size: int
    seats: int
    followed: bool
    reason: str | None
    waits: str | None
    rank: int | None
    market_cap_musd: float | None
    cap_known_at: datetime | None
    cut_musd: float
    name: str | None
    exchange: str | None
    industry: str | None
    last_in: datetime | None


def newest_universe(store: Warehouse, as_of: datetime | None = None) -> Stored[UniverseDetails] | None:
    """The newest (that was known at an instant); None before the first. Raises WarehouseError."""
    return store.load_stored("universe", Universe, UniverseDetails, as_of=as_of)


def listing_of(store: Warehouse, symbol: str) -> Listing | None:
    """None where the newest listings have never heard of it, or there are none."""
    found = store.load_stored("listings", Listings, ListingsDetails, symbol=symbol)
    if found is None:
        return None
    if symbol in found.details.disputed:
        return Listing(found.as_of, None, None, None, None, found.details.disputed[symbol])
    if found.frame.empty:
        return None
    row = found.frame.iloc[0]
    exchanges = {mic: exchange for exchange, mics in MICS.items() for mic in mics}
    mic = text_of(row["mic"])
    exchange = None if mic is None else exchanges.get(mic, mic)
    return Listing(found.as_of, text_of(row["description"]), text_of(row["type"]), exchange, text_of(row["currency"]))


def following(store: Warehouse, universe: Stored[UniverseDetails], symbol: str, seats: int) -> Following:
    """How the symbol stands to this universe, which may have `seats` names."""
    frame, details = universe.frame, universe.details
    caps = frame["market_cap_musd"]
    rows = frame[frame["symbol"] == symbol]
    followed = not rows.empty
    waits = details.waiting.get(symbol)
    profile = None if followed else _profile(store, symbol)
    row: Mapping[Any, Any] = rows.iloc[0].to_dict() if followed else profile or {}
    cap = float(row["market_cap_musd"]) if row else float("nan")
    known = cap == cap
    reason = None if followed else details.dropped.get(symbol)
    rank = int(row["rank"]) if followed else int((caps > cap).sum()) + 1 if known else None
    return Following(
        as_of=universe.as_of,
        size=len(frame),
        seats=seats,
        followed=followed,
        reason=reason,
        waits=None if waits is None else f"{waits.reason} (seen {waits.looks} times since {waits.since:%Y-%m-%d})",
        rank=rank,
        market_cap_musd=cap if known else None,
        cap_known_at=universe.as_of if followed else row["known_at"].to_pydatetime() if row else None,
        cut_musd=float(caps.min()),
        name=text_of(row.get("name")),
        exchange=text_of(row.get("exchange")),
        industry=text_of(row.get("industry")),
        last_in=None if followed else store.last_with("universe", symbol),
    )


def names(store: Warehouse) -> Iterator[tuple[str, str]]:
    """Every symbol that is listed or followed, with its company's or security's name ("" where not known)."""
    listed = store.load_snapshot("listings", Listings)
    followed = newest_universe(store)
    for frame, column in ((listed, "description"), (None if followed is None else followed.frame, "name")):
        if frame is not None:
            yield from zip(frame["symbol"], frame[column].fillna(""), strict=True)


def text_of(value: Any) -> str | None:
    """None for what is missing or empty in a table."""
    return value or None if isinstance(value, str) else None


def _profile(store: Warehouse, symbol: str) -> dict[str, Any] | None:
    """The last that was told of it; its market cap is used only where it is in USD."""
    rows: pd.DataFrame = store.latest_facts("profiles", KnownProfiles, symbol=symbol)
    if rows.empty:
        return None
    row = {str(column): value for column, value in rows.iloc[0].items()}
    return row if row["currency"] == "USD" else {**row, "market_cap_musd": float("nan")}
