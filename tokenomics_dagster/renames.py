"""Which symbol a stock goes by now: links from old symbols to new ones, and what follows for tables of symbols. Pure.

A link comes from the broker's announcements, from its id of the asset, or from the FIGI of a listing: the last two stay
when the symbol changes. What is not listed under its old symbol any more, and only that, has been renamed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import pandas as pd

from tokenomics_dagster.providers.activities import CorporateAction

_RENAMING = frozenset({"name_change", "reverse_split", "unit_split"})


def announced(actions: Iterable[CorporateAction], listed: Collection[str]) -> dict[str, str]:
    """Old to new, of what is listed under the new symbol only."""
    links = {a.symbol: a.new_symbol for a in actions if a.kind in _RENAMING and a.new_symbol}
    return _resolved(links, listed)


def by_identity(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Old to new by what outlives a rename (the broker's asset id, a FIGI); both map symbols to it.

    An identity that two symbols share now tells nothing.
    """
    symbols = _unique(now)
    moved = {symbol: symbols[identity] for symbol, identity in before.items() if identity in symbols}
    return _resolved({old: new for old, new in moved.items() if old != new}, now)


def renamed(frame: pd.DataFrame, links: Mapping[str, str]) -> pd.DataFrame:
    """A table with a column `symbol` under the symbols of now; where both are in it, the new one's row stays."""
    if not frame["symbol"].isin(links.keys()).any():
        return frame
    present = set(frame["symbol"])
    kept = frame[~frame["symbol"].map(lambda symbol: links.get(symbol) in present)]
    return kept.assign(symbol=kept["symbol"].replace(dict(links))).reset_index(drop=True)


def _unique(identities: Mapping[str, str]) -> dict[str, str]:
    """Symbol by identity."""
    found: dict[str, list[str]] = {}
    for symbol, identity in identities.items():
        if identity:
            found.setdefault(identity, []).append(symbol)
    return {identity: symbols[0] for identity, symbols in found.items() if len(symbols) == 1}


def _resolved(links: Mapping[str, str], listed: Collection[str]) -> dict[str, str]:
    """Each old symbol to its last new one, if that is listed and the old one is not."""
    ends = {}
    for old in links:
        seen, end = {old}, links[old]
        while end in links and end not in seen:
            seen.add(end)
            end = links[end]
        if end in listed and old not in listed:
            ends[old] = end
    return ends
