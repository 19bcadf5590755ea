"""What is known of the names of a plan beside their prices: renames, announced actions, what an earlier plan saw.

Only reads. Which names are left alone for it is decided in doubts.py, which symbol is which in renames.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster import market_calendar
from tokenomics_dagster.portfolio.doubts import Moved, Seen, doubts, last_seen, still_doubted
from tokenomics_dagster.providers import renames
from tokenomics_dagster.providers.activities import CorporateAction
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.providers.alpaca import AlpacaResource, Asset
    from tokenomics_dagster.providers.holdings import Holdings


@dataclass(frozen=True, slots=True)
class Before:
    """What the last plan of the account saw; empty for its first one. `asset_ids`: the broker's, by symbol."""

    seen: Mapping[str, Seen] = field(default_factory=dict)
    asset_ids: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None

    @classmethod
    def of(cls, plan: pd.DataFrame | None, account: str, now: datetime) -> Before:
        """From the last `TradePlan` frame as it was stored; nothing is known from another account's, or an old one."""
        if plan is None or plan.attrs["plan"]["account"] != account or now - plan.attrs["as_of"] > renames.LOOK_BACK:
            return cls()
        document, at = plan.attrs["plan"], plan.attrs["as_of"]
        positions = {symbol: Decimal(qty) for symbol, qty in document["positions"].items()}
        known = zip(plan["symbol"], plan["price"], strict=True)
        prices = {symbol: Decimal(price) if isinstance(price, str) else None for symbol, price in known}
        doubted = {symbol: Seen.from_document(one) for symbol, one in plan.attrs.get("doubted", {}).items()}
        return cls(last_seen(positions, prices, at, doubted, now), plan.attrs.get("asset_ids", {}), at)


@dataclass(frozen=True, slots=True)
class Standing:
    """`links` from old symbols to those of now; `left_alone`: a sentence each, whatever the prices say."""

    assets: Mapping[str, Asset]
    links: Mapping[str, str]
    left_alone: Mapping[str, str]
    asset_ids: Mapping[str, str]
    _holdings: Holdings
    _seen: Mapping[str, Seen]
    _moved: Moved
    _actions: tuple[CorporateAction, ...]
    _now: datetime

    def disputed(self, wanted: pd.Series, prices: Mapping[str, Decimal], settings: Settings) -> dict[str, str]:
        """A sentence for each name to leave alone; the holdings' own come first."""
        found = doubts(
            self._holdings.ours,
            set(wanted),
            prices,
            self._seen,
            self._moved,
            self._actions,
            self._now.astimezone(market_calendar.NEW_YORK).date(),
            settings.guards,
        )
        return {**found, **self.left_alone, **self._holdings.disputed}

    def to_remember(self, disputed: Mapping[str, str]) -> dict[str, Any]:
        """What the next plan must know, JSON-able: kept with the plan."""
        of_doubts = set(disputed) - set(self.left_alone) - set(self._holdings.disputed)
        kept = still_doubted(of_doubts, self._seen, self._moved, self._now)
        return {
            "doubted": {symbol: one.to_document() for symbol, one in kept.items()},
            "asset_ids": dict(self.asset_ids),
            "renamed": dict(self.links),
        }


def look(broker: AlpacaResource, before: Before, holdings: Holdings, targets: pd.DataFrame, now: datetime) -> Standing:
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
        _seen={links.get(s, s) if links.get(s) in holdings.ours else s: one for s, one in before.seen.items()},
        _moved=_moved(broker, before, links),
        _actions=actions,
        _now=now,
    )


def _left_alone(holdings: Holdings, links: Mapping[str, str], assets: Mapping[str, Asset]) -> dict[str, str]:
    """Names that the broker has renamed and not moved yet, and those that have no market any more."""
    found = {}
    for symbol, position in holdings.ours.items():
        new = links.get(symbol)
        if new is not None:
            found[symbol] = f"it is {new} now, and the broker has not moved its {position.qty:f} shares there yet"
            found[new] = f"{position.qty:f} shares of it are held under its old symbol, {symbol}, until they are moved"
        elif symbol not in assets and not position.price:
            found[symbol] = (
                f"its {position.qty:f} shares have no market any more and count as 0 USD: they stay until the broker "
                "takes them off the account"
            )
    return found


def _moved(broker: AlpacaResource, before: Before, links: Mapping[str, str]) -> Moved:
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
