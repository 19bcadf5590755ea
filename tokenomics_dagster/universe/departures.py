"""Who leaves the universe, and who waits for a second look: what was followed and is gone is a doubt, never a sale.

A name leaves at once by its rank, by a rename, or when broker and listing agree that it is gone. For any other reason
it stays with its last good row until as many refreshes as `universe.leave_after_refreshes` have found the same, or a
person accepts it. A call that failed finds nothing, however often: a person is told, and decides. Pure: what is held,
listed and tradable is given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd

from tokenomics_dagster.settings.universe import UniverseSettings
from tokenomics_dagster.universe.schema import Universe, Waiting
from tokenomics_dagster.universe.selection import by_rank, comparable, issuers

NOT_LISTED = "not listed any more"
NOT_FETCHED = "profile not fetched"
# A list of the broker's assets that lacks more of the universe than this is no whole list, and proves nothing.
_WHOLE_PCT = 95.0


@dataclass(frozen=True, slots=True)
class Refresh:
    """What a refresh has found. `selected` and `profiles` are of selection.select, `reasons` those of all names that
    are out, listings included; `last` is the newest universe and `waiting` the records of who waits in it. Listings are
    symbol -> FIGI ("" where there is none), `held` shares of the portfolio, `active` the broker's symbols."""

    selected: pd.DataFrame
    profiles: pd.DataFrame
    reasons: Mapping[str, str]
    last: pd.DataFrame | None
    now: datetime
    rules: UniverseSettings
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    listed: Mapping[str, str] = field(default_factory=dict)
    listed_before: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)
    active: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """The universe, who of the last one is gone or in doubt, and why names of `selected` gave way to those who wait."""

    universe: pd.DataFrame
    departures: Sequence[Departure]
    gave_way: Mapping[str, str]

    def out(self, reasons: Mapping[str, str]) -> dict[str, str]:
        """Who is not in the universe, and why: by the `reasons` of the refresh, or because it gave way."""
        kept = set(self.universe["symbol"])
        return {symbol: reason for symbol, reason in {**reasons, **self.gave_way}.items() if symbol not in kept}

    @property
    def waiting(self) -> list[Departure]:
        return [one for one in self.departures if not one.goes]

    @property
    def successors(self) -> dict[str, str]:
        """The new symbol by the old one of each that was renamed."""
        return {one.symbol: one.successor for one in self.departures if one.successor}


class Departure(NamedTuple):
    """A name of the last universe that is gone or in doubt. `verdict`: why it goes, or that it waits."""

    symbol: str
    reason: str
    goes: bool
    verdict: str
    successor: str
    former_rank: int
    market_cap_musd: float
    held: float | None
    since: datetime
    looked_at: datetime | None
    looks: int
    unseen: bool
    """A later refresh than the first could not fetch its profile either: no number of them will settle it."""
    figi: str

    @property
    def record(self) -> Waiting:
        """What the next refresh must know of one that waits."""
        return Waiting(
            reason=self.reason,
            since=self.since,
            looks=self.looks,
            looked_at=self.looked_at,
            former_rank=self.former_rank,
            figi=self.figi,
        )


def held_shares(values: Mapping[str, float], targets: Mapping[str, float]) -> dict[str, float]:
    """What is held or about to be, as shares of the portfolio: of the positions' `values` (USD), or as target if that
    is more. A position without a price has the value 0, and is held."""
    total = sum(map(abs, values.values())) or 1.0
    return {
        symbol: max(abs(values.get(symbol, 0.0)) / total, targets.get(symbol, 0.0))
        for symbol in sorted({*values, *targets})
    }


def settle(refresh: Refresh, *, accept: bool = False, leave: Collection[str] = ()) -> Settled:
    """The universe with those that wait in it; `accept`: a person lets them leave; `leave`: those named alone.

    Nobody has to give way to them but the smallest, and a new class of a company of which another class waits: the
    company would be held twice.
    """
    last, rules = refresh.last, refresh.rules
    if last is None or last.empty:
        return Settled(refresh.selected, (), {})
    doubts = _doubts(refresh, last)
    while True:
        by = {row.symbol: "accept_change" if accept else "leave" for row, _ in doubts if accept or row.symbol in leave}
        departures = [_judged(row, reason, last, refresh, by.get(row.symbol)) for row, reason in doubts]
        waiting = [one.symbol for one in departures if not one.goes]
        if not waiting:
            return Settled(refresh.selected, departures, {})
        kept = last[last["symbol"].isin(waiting)]
        others = refresh.selected[~refresh.selected["symbol"].isin(waiting)]
        gave_way = _other_classes(kept, others[~others["symbol"].isin(last["symbol"])], rules)
        others = others[~others["symbol"].isin(gave_way)]
        places = max(rules.size - len(kept), 0)
        smallest = set(others["symbol"][places:])
        # Those who would have to go are looked at as closely as those who are gone.
        known = {row.symbol for row, _ in doubts}
        displaced = refresh.selected["symbol"].isin(smallest - known)
        fell = _fallen(refresh.selected[displaced], last, rules)
        if not fell:
            break
        doubts += fell
    gave_way |= dict.fromkeys(sorted(smallest), f"below the {rules.size} largest by market cap")
    universe = pd.concat([kept, others.head(places)], ignore_index=True)
    universe = universe.sort_values(["market_cap_musd", "symbol"], ascending=[False, True], ignore_index=True)
    universe["rank"] = range(1, len(universe) + 1)
    return Settled(Universe.validate(universe), departures, gave_way)


def _other_classes(kept: pd.DataFrame, new: pd.DataFrame, rules: UniverseSettings) -> dict[str, str]:
    """Why rows of `new` stay out: their company waits with another class."""
    if not rules.one_share_class_per_issuer:
        return {}
    both = pd.concat([kept, new])
    owners = issuers(list(both["symbol"]), list(both["name"]))
    taken = dict(zip(owners[: len(kept)], kept["symbol"], strict=True))
    return {
        symbol: f"another class of the issuer waits for a second look: {taken[owner]}"
        for symbol, owner in zip(new["symbol"], owners[len(kept) :], strict=True)
        if owner in taken
    }


def _doubts(refresh: Refresh, last: pd.DataFrame) -> list[tuple[Any, str]]:
    """The rows of `last` that are gone for another reason than their rank, or whose new figures are hard to believe."""
    selected = {row.symbol: row for row in _rows(refresh.selected)}
    found, by_size = [], []
    for row in _rows(last):
        reason = refresh.reasons.get(row.symbol, NOT_LISTED)
        if row.symbol in selected:
            if _is_another(selected[row.symbol], row, refresh.rules):
                name = _text(selected[row.symbol].name)
                found.append((row, f"name, shares and market cap are all others, as of another company: {name[:60]!r}"))
        elif row.rank > refresh.rules.size:
            continue  # universe.size was lowered
        elif by_rank(reason):
            by_size.append(row.symbol)
        else:
            found.append((row, reason))
    profiles = refresh.profiles[refresh.profiles["fresh"]]
    return found + _fallen(profiles[profiles["symbol"].isin(by_size)], last, refresh.rules)


def _fallen(now: pd.DataFrame, last: pd.DataFrame, rules: UniverseSettings) -> list[tuple[Any, str]]:
    """The rows of `last` whose market cap has fallen by more than one may believe, and why."""
    caps = dict(zip(now["symbol"], now["market_cap_musd"], strict=True))
    allowed = 1 + rules.max_cap_disagreement_pct / 100
    found = []
    for row in _rows(last[last["symbol"].isin(caps.keys())]):
        if caps[row.symbol] * allowed < row.market_cap_musd and row.rank <= rules.size:
            fell = f"its market cap fell from {row.market_cap_musd:,.0f} to {caps[row.symbol]:,.0f} million USD"
            found.append((row, f"{fell}: a split that is booked by half, another company's figures, or a crash"))
    return found


def _is_another(now: Any, before: Any, rules: UniverseSettings) -> bool:
    """Whether name, share count and market cap have changed at once, each by more than a month explains."""
    caps = sorted((now.market_cap_musd, before.market_cap_musd))
    shares = abs(now.shares_outstanding_m / before.shares_outstanding_m - 1)
    return (
        caps[1] > caps[0] * (1 + rules.max_cap_disagreement_pct / 100)
        and shares > rules.share_count_drift_pct / 100
        and comparable(_text(now.name)) != comparable(_text(before.name))
    )


def _judged(row: Any, reason: str, last: pd.DataFrame, refresh: Refresh, accepted_by: str | None) -> Departure:
    symbol, rules = str(row.symbol), refresh.rules
    earlier = refresh.waiting.get(symbol) or Waiting(reason=reason, since=refresh.now)
    figi = earlier.figi or refresh.listed_before.get(symbol, "")
    since, looks, looked_at = earlier.since, earlier.looks, earlier.looked_at
    # A failed call says nothing, and within profile_max_age_days the same answer would be looked at again.
    apart, failed = timedelta(days=rules.profile_max_age_days), reason.startswith(NOT_FETCHED)
    if (looked_at is None or refresh.now - looked_at >= apart) and not failed:
        looks, looked_at = looks + 1, refresh.now
    successor = _successor(symbol, _text(row.name), figi, last, refresh)
    out = "" if successor in set(refresh.selected["symbol"]) else refresh.reasons.get(successor, NOT_LISTED)
    if successor and out and not by_rank(out):
        reason, successor = f"renamed to {successor}, which is out: {out}", ""
    goes, verdict = True, f"renamed to {successor}"
    if not successor and accepted_by:
        verdict = f"accepted for this run by {accepted_by}"
    elif not successor and _delisted(symbol, refresh):
        verdict = "neither listed nor among the broker's active assets"
    elif not successor and looks >= rules.leave_after_refreshes:
        verdict = f"found by {looks} refreshes (universe.leave_after_refreshes), since {since:%Y-%m-%d}"
    elif not successor:
        goes, verdict = False, f"waits: look {looks} of {rules.leave_after_refreshes}"
    return Departure(
        symbol,
        reason,
        goes,
        verdict,
        successor,
        int(row.rank) if earlier.former_rank is None else earlier.former_rank,
        float(row.market_cap_musd),
        refresh.held.get(symbol),
        since,
        looked_at,
        looks,
        failed and refresh.now - since >= apart,
        figi,
    )


def _successor(symbol: str, name: str, figi: str, last: pd.DataFrame, refresh: Refresh) -> str:
    """The new symbol of the same security; "" if there is none.

    By FIGI, which outlives a change of the ticker; else the first listing ever of a stock of the same company, when the
    old symbol is listed no more.
    """
    same = [other for other, one in refresh.listed.items() if figi and one == figi and other != symbol]
    if same or symbol in refresh.listed or not comparable(name):
        return same[0] if len(same) == 1 else ""
    names = zip(refresh.selected["symbol"], refresh.selected["name"], strict=True)
    wanted, old = comparable(name), {*refresh.listed_before, *last["symbol"]}
    return next((other for other, one in names if other not in old and comparable(_text(one)) == wanted), "")


def _delisted(symbol: str, refresh: Refresh) -> bool:
    """Two sources that do not know each other say so, and the broker's list is whole."""
    if symbol in refresh.listed or symbol in refresh.active:
        return False
    known = refresh.selected["symbol"].isin(list(refresh.active))
    return bool(known.any()) and 100 * float(known.mean()) >= _WHOLE_PCT


def _rows(frame: pd.DataFrame) -> list[Any]:
    return list(frame.itertuples(index=False))


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
