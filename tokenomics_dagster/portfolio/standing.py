"""What is known of the names of a plan beside their prices: renames, announced actions, what an earlier plan saw.

Only reads. Which names are left alone for it is decided in doubts.py, which symbol is which in renames.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.model import calendar
from tokenomics_dagster.portfolio.doubts import LeftAlone, Moved, Seen, Since, doubts, last_seen, still_doubted
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.universe import renames

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.model.trading import Asset, Broker, Brokerage, Holdings


@dataclass(frozen=True, slots=True)
class Before:
    """What the last plan of the account saw; `at` is None, and there is nothing to compare with, for its first one and
    after a long pause. `asset_ids`: the broker's, by symbol.
    """

    seen: Mapping[str, Seen] = field(default_factory=dict)
    asset_ids: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None

    @classmethod
    def of(cls, plan: pd.DataFrame | None, account: str, now: datetime) -> Before:
        """From the last `TradePlan` frame as it was stored; nothing is known from another account's, of an old one only
        which shares are nobody's to sell."""
        if plan is None or plan.attrs["plan"]["account"] != account:
            return cls()
        document, at = plan.attrs["plan"], plan.attrs["as_of"]
        doubted = {symbol: Seen.from_document(one) for symbol, one in plan.attrs.get("doubted", {}).items()}
        if now - at > renames.LOOK_BACK:
            return cls({symbol: replace(one, at=now) for symbol, one in doubted.items() if one.appeared})
        positions = {symbol: Decimal(qty) for symbol, qty in document["positions"].items()}
        known = zip(plan["symbol"], plan["price"], strict=True)
        prices = {symbol: Decimal(price) if isinstance(price, str) else None for symbol, price in known}
        return cls(last_seen(positions, prices, at, doubted, now), plan.attrs.get("asset_ids", {}), at)


@dataclass(frozen=True, slots=True)
class Standing:
    """`links` from old symbols to those of now; `left_alone`: whatever the prices say."""

    assets: Mapping[str, Asset]
    links: Mapping[str, str]
    left_alone: Mapping[str, LeftAlone]
    asset_ids: Mapping[str, str]
    _holdings: Holdings
    _since: Since
    _now: datetime

    def doubts(self, wanted: pd.Series, prices: Mapping[str, Decimal], guards: GuardSettings) -> dict[str, LeftAlone]:
        return doubts(
            self._holdings.ours,
            set(wanted),
            prices,
            self._since,
            self._now.astimezone(calendar.NEW_YORK).date(),
            guards,
        )

    def disputed(self, found: Mapping[str, LeftAlone]) -> dict[str, LeftAlone]:
        """All names to leave alone, `found` by doubts and others; the holdings' own sentences come first."""
        unread = {symbol: LeftAlone(why) for symbol, why in self._holdings.disputed.items()}
        return {**found, **self.left_alone, **unread}

    def worth(self, prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """What the broker says that is held is worth, USD, by symbol; what waits for its new symbol counts there."""
        held = self._holdings.ours
        known = {symbol: p.market_value for symbol, p in held.items() if p.market_value is not None}
        moving = {new: held[old] for old, new in self.links.items() if old in held}
        at_new = {new: p.qty * prices[new] if new in prices else known.get(p.symbol) for new, p in moving.items()}
        told = {symbol: usd for symbol, usd in at_new.items() if usd is not None}
        return {**known, **told, **self._holdings.disputed_values}

    def to_remember(self, found: Mapping[str, LeftAlone]) -> dict[str, Any]:
        """What the next plan must know, JSON-able: kept with the plan."""
        unread = self._holdings.disputed
        of_doubts = {s: one for s, one in found.items() if s not in self.left_alone and s not in unread}
        kept = still_doubted(of_doubts, unread, self._since.seen, self._now)
        return {
            "doubted": {symbol: one.to_document() for symbol, one in kept.items()},
            "asset_ids": dict(self.asset_ids),
            "renamed": dict(self.links),
        }


def look(broker: Brokerage, before: Before, holdings: Holdings, targets: pd.DataFrame, now: datetime) -> Standing:
    """Asks for assets, announcements, and what moved shares since the last plan. Raises ProviderError."""
    assets = broker.assets()
    symbols = sorted({*targets["symbol"], *holdings.ours, *before.seen})
    actions = renames.announcements(broker, symbols, now)
    ids = {**before.asset_ids, **{symbol: p.asset_id for symbol, p in holdings.ours.items() if p.asset_id}}
    links = {
        **renames.by_identity(ids, {symbol: asset.id for symbol, asset in assets.items()}),
        **renames.announced(actions, assets),
    }
    names = {*(links.get(symbol, symbol) for symbol in targets["symbol"]), *holdings.ours}
    return Standing(
        assets=assets,
        links=links,
        left_alone=_left_alone(holdings, links, assets),
        # An old symbol stays known, for scores that are of it may be asked for again.
        asset_ids={
            **{old: ids[old] for old in links if old in ids},
            **{symbol: assets[symbol].id for symbol in sorted(names) if symbol in assets},
        },
        _holdings=holdings,
        _since=Since(
            seen=_seen_now(before.seen, links, holdings),
            moved=_moved(broker, before, links),
            actions=actions,
            compared=before.at is not None,
        ),
        _now=now,
    )


def _seen_now(seen: Mapping[str, Seen], links: Mapping[str, str], holdings: Holdings) -> dict[str, Seen]:
    """By the symbols of now: what was seen of a renamed stock, and not what was seen of its new symbol before."""
    moved = {new: seen[old] for old, new in links.items() if old in seen and new in holdings.ours}
    return {**{symbol: one for symbol, one in seen.items() if links.get(symbol) not in moved}, **moved}


def _left_alone(holdings: Holdings, links: Mapping[str, str], assets: Mapping[str, Asset]) -> dict[str, LeftAlone]:
    """Names that the broker has renamed and not moved yet, and those that have no market any more.

    What is to be traded of a renamed one is told under its new symbol.
    """
    found = {}
    for symbol, position in holdings.ours.items():
        new = links.get(symbol)
        if new is not None:
            found[symbol] = LeftAlone(
                f"it is {new} now, and the broker has not moved its {position.qty:f} shares there yet", meant=False
            )
            found[new] = LeftAlone(
                f"{position.qty:f} shares of it are held under its old symbol, {symbol}, until they are moved"
            )
        elif symbol not in assets and not position.price:
            found[symbol] = LeftAlone(
                f"its {position.qty:f} shares have no market any more and count as 0 USD: they stay until the broker "
                "takes them off the account",
                meant=False,
            )
    return found


def _moved(broker: Broker, before: Before, links: Mapping[str, str]) -> Moved:
    if not before.seen:
        return Moved()
    since = min(one.at for one in before.seen.values())
    traded: dict[str, Decimal] = {}
    for fill in broker.fills(after=since):
        if fill.at > (before.seen[fill.symbol].at if fill.symbol in before.seen else before.at or since):
            signed = fill.qty if fill.side == "buy" else -fill.qty
            for symbol in {fill.symbol, links.get(fill.symbol, fill.symbol)}:
                traded[symbol] = traded.get(symbol, Decimal(0)) + signed
    return Moved(traded, {one.symbol for one in broker.activities(after=since) if one.moves_shares})
