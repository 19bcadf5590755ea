"""What is known of the names of a plan beside their prices: whose they are, renames, announced actions, what an earlier
plan saw.

Only reads. Which names are left alone for it is decided in doubts.py, which symbol is which in renames.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.identity import is_ours
from tokenomics_dagster.portfolio.doubts import LeftAlone, Moved, Seen, Since, doubts, last_seen, still_doubted
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.universe import renames

Own = Mapping[str, frozenset[str]]
"""By each symbol that it has had, the broker's ids of what a sleeve has ever owned; none where they are not known."""

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.model.trading import Asset, Broker, Brokerage, CorporateAction, Holdings
    from tokenomics_dagster.portfolio.schema import TradePlanDetails
    from tokenomics_dagster.settings.trading import TradingSettings
    from tokenomics_dagster.storage.records import Adoption, Made, Owned


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of an account from before: what in it is the strategies', and the last plan made for it, if any.

    `ids_then`: the broker's of what was bought before that plan and is not told by it, as far as they are known.
    """

    owned: Owned
    last: Made[TradePlanDetails] | None = None
    ids_then: Mapping[str, str] = field(default_factory=dict)

    def before(self, now: datetime) -> Before:
        """What the last plan saw, with what a person has adopted since."""
        return Before.of(self.last, now).with_adopted(self.owned.adopted, now)

    @property
    def own(self) -> Own:
        """What a sleeve has ever owned, as far as it is known here."""
        own, last = dict[str, frozenset[str]](), self.last
        if last is not None:
            own |= {symbol: frozenset(ids) for symbol, ids in last.details.own.items()}
        for symbol, at in self.owned.bought.items():
            # A symbol can be given to another company: which one was bought, the plan that did it knows.
            by_last = last is not None and at >= last.as_of
            known = last.details.asset_ids if last is not None and by_last else self.ids_then
            own[symbol] = own.get(symbol, frozenset()) | _ids(known.get(symbol))
        for symbol, one in self.owned.adopted.items():
            own[symbol] = own.get(symbol, frozenset()) | _ids(one.asset_id)
        return own


def _ids(known: str | None) -> frozenset[str]:
    return frozenset({known} if known else ())


@dataclass(frozen=True, slots=True)
class Before:
    """What the last plan of the account saw; `at` is None, and there is nothing to compare with, for its first one and
    after a long pause. `asset_ids`: the broker's, by symbol; `foreign`: the names that were nobody's.
    """

    seen: Mapping[str, Seen] = field(default_factory=dict)
    asset_ids: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None
    foreign: frozenset[str] = frozenset()

    @classmethod
    def of(cls, plan: Made[TradePlanDetails] | None, now: datetime) -> Before:
        """From the last plan as it was stored; of an old one only whose shares are whose, by the broker's ids, too: a
        rename of long ago is announced no more."""
        if plan is None:
            return cls()
        at, details = plan.as_of, plan.details
        doubted = {symbol: Seen(*one) for symbol, one in details.doubted.items()}
        if now - at > renames.LOOK_BACK:
            appeared = {symbol: replace(one, at=now) for symbol, one in doubted.items() if one.appeared}
            return cls(appeared, details.asset_ids)
        # What was foreign was there, too: it has not appeared, whoever may trade it now.
        foreign = details.plan.get("foreign", {})
        there = {**foreign, **details.plan["positions"]}
        positions = {symbol: Decimal(qty) for symbol, qty in there.items() if qty is not None}
        known = zip(plan.frame["symbol"], plan.frame["price"], strict=True)
        prices = {symbol: Decimal(price) if isinstance(price, str) else None for symbol, price in known}
        seen = last_seen(positions, prices, at, doubted, now)
        return cls(seen, details.asset_ids, at, frozenset(foreign))

    def with_adopted(self, adopted: Mapping[str, Adoption], now: datetime) -> Before:
        """And what a person has adopted since: it was there then, in these shares."""
        since = max(now - renames.LOOK_BACK, self.at or now - renames.LOOK_BACK)
        known = {symbol: Seen(one.qty, None, one.at) for symbol, one in adopted.items() if one.at > since}
        return replace(self, seen={**self.seen, **known}) if known else self


@dataclass(frozen=True, slots=True)
class Standing:
    """`foreign`: stocks that no sleeve has ever owned, and their shares (None: unreadable); `holdings`: without them.
    `taken`: such stocks that are traded all the same (trading.foreign_positions).
    `links` from old symbols to those of now; `left_alone`: whatever the prices say."""

    holdings: Holdings
    foreign: Mapping[str, Decimal | None]
    taken: Sequence[str]
    assets: Mapping[str, Asset]
    links: Mapping[str, str]
    left_alone: Mapping[str, LeftAlone]
    asset_ids: Mapping[str, str]
    own: Own
    _since: Since
    _now: datetime

    def doubts(self, wanted: pd.Series, prices: Mapping[str, Decimal], guards: GuardSettings) -> dict[str, LeftAlone]:
        return doubts(
            self.holdings.ours,
            set(wanted),
            prices,
            self._since,
            self._now.astimezone(calendar.NEW_YORK).date(),
            guards,
        )

    def disputed(self, found: Mapping[str, LeftAlone]) -> dict[str, LeftAlone]:
        """All names to leave alone, `found` by doubts and others; the holdings' own sentences come first."""
        unread = {symbol: LeftAlone(why) for symbol, why in self.holdings.disputed.items()}
        return {**found, **self.left_alone, **unread}

    def worth(self, prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """What the broker says that is held is worth, USD, by symbol; what waits for its new symbol counts there."""
        held = self.holdings.ours
        known = {symbol: p.market_value for symbol, p in held.items() if p.market_value is not None}
        moving = {new: held[old] for old, new in self.links.items() if old in held}
        at_new = {new: p.qty * prices[new] if new in prices else known.get(p.symbol) for new, p in moving.items()}
        values = {symbol: usd for symbol, usd in at_new.items() if usd is not None}
        return {**known, **values, **self.holdings.disputed_values}

    def still_doubted(self, found: Mapping[str, LeftAlone]) -> dict[str, Seen]:
        """What the next plan must know of names in doubt."""
        unread = self.holdings.disputed
        of_doubts = {s: one for s, one in found.items() if s not in self.left_alone and s not in unread}
        return still_doubted(of_doubts, unread, self._since.seen, self._now)


def look(broker: Brokerage, past: Past, targets: pd.DataFrame, trading: TradingSettings, now: datetime) -> Standing:
    """Asks for holdings, assets, announcements, and what moved shares since the last plan. Raises ProviderError."""
    holdings, before = broker.holdings(), past.before(now)
    called = _called(broker, before, [*targets["symbol"], *holdings.ours], holdings, now)
    links, ids, assets = called.links, called.asset_ids, called.assets
    wanted = {links.get(symbol, symbol) for symbol in targets["symbol"]}
    own = _own(broker, past.own, called, holdings, now)
    nobodys = _not_of(holdings, own)
    foreign = {} if trading.foreign_positions == "sell" else nobodys
    holdings = holdings.leaving(foreign)
    names = {*wanted, *holdings.ours}
    return Standing(
        holdings=holdings,
        foreign=foreign,
        taken=sorted(nobodys.keys() - foreign.keys()),
        assets=assets,
        links=links,
        left_alone={**_left_alone(holdings, links, assets), **_of_others(foreign, wanted, links)},
        # An old symbol stays known, for scores that are of it may be asked for again.
        asset_ids={
            **{old: ids[old] for old in links if old in ids},
            **{symbol: assets[symbol].id for symbol in sorted(names) if symbol in assets},
        },
        own=own,
        _since=Since(
            seen=_seen_now(_compared(before, {*foreign}, own, links, holdings), links, holdings),
            moved=_moved(broker, before, links),
            actions=called.actions,
            compared=before.at is not None,
        ),
        _now=now,
    )


def foreign_stocks(broker: Brokerage, past: Past, holdings: Holdings, now: datetime) -> dict[str, Decimal | None]:
    """What is held of stocks that no sleeve has ever owned, in shares; None where these cannot be read.

    Asks for assets and announcements where there may be some: one may be a name of ours that was renamed. Raises
    ProviderError.
    """
    if not _not_of(holdings, past.own):
        return {}
    called = _called(broker, past.before(now), [*holdings.ours], holdings, now)
    return _not_of(holdings, _own(broker, past.own, called, holdings, now))


def appeared(past: Past, holdings: Holdings, now: datetime) -> set[str]:
    """Names of the strategies whose shares the last plan left alone, for nobody had bought them: a spin-off, a
    transfer."""
    return {symbol for symbol, one in past.before(now).seen.items() if one.appeared and symbol in holdings.ours}


@dataclass(frozen=True, slots=True)
class _Called:
    """By which symbols stocks go now: `links` from the old ones, and what tells of them."""

    links: Mapping[str, str]
    asset_ids: Mapping[str, str]
    assets: Mapping[str, Asset]
    actions: Sequence[CorporateAction]

    @property
    def changed(self) -> set[str]:
        """The symbols that stay and whose stock may have become another one at the broker: of announced splits."""
        return {one.symbol for one in self.actions if one.is_split and one.new_symbol in ("", one.symbol)}


def _called(broker: Brokerage, before: Before, symbols: Collection[str], holdings: Holdings, now: datetime) -> _Called:
    assets = broker.assets()
    actions = renames.announcements(broker, sorted({*symbols, *before.seen}), now)
    ids = {**before.asset_ids, **{symbol: p.asset_id for symbol, p in holdings.ours.items() if p.asset_id}}
    by_id = renames.by_identity(ids, {symbol: asset.id for symbol, asset in assets.items()})
    return _Called({**by_id, **renames.announced(actions, assets)}, ids, assets, actions)


def _own(broker: Broker, known: Own, called: _Called, holdings: Holdings, now: datetime) -> dict[str, frozenset[str]]:
    """What a sleeve has ever owned, by all the symbols that it had."""
    own = _followed(known, called, holdings)
    if not _not_of(holdings, own):
        return own
    # A ledger that was restored from a backup, or a process that was killed, may not know of a fill yet.
    lately = broker.orders(status="all", after=now - renames.LOOK_BACK)
    bought = [o for o in lately if is_ours(o.client_order_id) and o.side == "buy" and o.filled_qty > 0]
    more = dict(own)
    for order in bought:
        more[order.symbol] = more.get(order.symbol, frozenset()) | _ids(order.asset_id)
    return _followed(more, called, holdings)


def _followed(own: Own, called: _Called, holdings: Holdings) -> dict[str, frozenset[str]]:
    """And under the symbols of now, with the ids of those of which none was known: what has the symbol now is it.

    So has what the broker has announced to be one of ours under an id of its own, and lists under ours no more.
    """
    links, of_now = called.links, {asset.id for asset in called.assets.values()}
    moved = {s: links.get(s, s) for s in own if s in links or s in called.changed}
    renamed = {new: own[s] | _ids(None if own[s] & of_now else called.asset_ids.get(new)) for s, new in moved.items()}
    both = {s: own.get(s, frozenset()) | renamed.get(s, frozenset()) for s in {*own, *renamed}}
    held = {symbol: _ids(position.asset_id) for symbol, position in holdings.ours.items()}
    listed = {symbol: _ids(asset.id) for symbol, asset in called.assets.items() if symbol in both}
    return {s: ids or held.get(s) or listed.get(s, frozenset()) for s, ids in both.items()}


def _not_of(holdings: Holdings, own: Own) -> dict[str, Decimal | None]:
    """The stocks that are held and are not `own`, with their shares; None where these cannot be read.

    A stock is the one with the same id, whatever its symbol is now. By its symbol goes only what has no known id.
    """
    ids = frozenset[str]().union(*own.values())
    named = {symbol for symbol, known in own.items() if not known}
    held = {
        symbol: position.qty
        for symbol, position in holdings.ours.items()
        if symbol not in named and (position.asset_id not in ids if position.asset_id else symbol not in own)
    }
    short = {row.symbol for row in holdings.foreign}  # foreign already
    unread = dict.fromkeys(holdings.disputed.keys() - own.keys(), None)
    return {symbol: qty for symbol, qty in sorted({**held, **unread}.items()) if symbol not in short}


def _of_others(foreign: Collection[str], wanted: Collection[str], links: Mapping[str, str]) -> dict[str, LeftAlone]:
    """The names that are wanted, and held already by whoever put them there."""
    names = {symbol: symbol for symbol in foreign} | {links[symbol]: symbol for symbol in foreign if symbol in links}
    return {
        name: LeftAlone(
            f"the account holds {symbol}, and no strategy has ever bought it here: left alone; sell it by hand, or let "
            f"the strategy have it by `tokenomics adopt {symbol}`"
        )
        for name, symbol in names.items()
        if name in wanted
    }


def _compared(
    before: Before, foreign: set[str], own: Collection[str], links: Mapping[str, str], holdings: Holdings
) -> dict[str, Seen]:
    """What was seen, but for what is `foreign`, and for what was and has left: where that is concerns its owner."""
    left = {s for s in before.foreign if s not in holdings.ours and links.get(s) not in holdings.ours}
    apart = foreign | (left - {*own})
    return {symbol: one for symbol, one in before.seen.items() if symbol not in apart}


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
