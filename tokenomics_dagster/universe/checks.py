"""Whether listings and universe are sound: enough names, of the right exchanges, with market caps that can be true.

Pure: takes the frames, what was stored last, and the settings. Each flaw is told by one check: what follows from a
failed one is not told again by another. Both refuse, so nothing is lost by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenomics_dagster.checks import SCHEMA, Finding, Rule, Table
from tokenomics_dagster.settings import Settings, UniverseSettings

if TYPE_CHECKING:
    import pandas as pd

LISTINGS = (
    SCHEMA,
    Rule("size", "Enough candidates for universe.size; all exchanges together have not shrunk beyond the guard."),
    Rule("exchanges", "Each configured exchange lists candidates, and none has shrunk beyond the guard by itself."),
    Rule("duplicates", "No symbol stands there twice with rows that differ."),
)
UNIVERSE = (
    SCHEMA,
    Rule("size", "Enough names, and not many fewer than in the last universe."),
    Rule("exchanges", "The listing of each name is on a configured exchange, of a configured type, in USD."),
    Rule("duplicates", "No symbol stands there twice, and no issuer where one class per issuer is asked for."),
    Rule("quarantine", "Few of the profiles asked for have a market cap that cannot be true."),
    Rule("caps", "Market caps agree with shares x price, have the size of market caps, and have moved like prices."),
    Rule("turnover", "Few names of the last universe were replaced."),
)
_ACCEPTED = "; accepted for this run by accept_change"
_ACCEPT = "look at what changed; if it is meant, run once with accept_change: true in the run config"


def check_listings(
    rows: pd.DataFrame, last: pd.DataFrame | None, settings: Settings, *, accept_change: bool = False
) -> list[Finding]:
    """Judges the rows of /stock/symbol as they came (identical ones included) against the last `Listings` frame."""
    unique = rows.drop_duplicates()
    found = _candidates(unique, settings.universe)
    before = {} if last is None else _candidates(last, settings.universe)
    limit = settings.guards.max_shrink_pct
    shrink = {name: _shrink_pct(len(before.get(name, ())), len(found[name])) for name in found}
    none_listed = [name for name in found if not found[name]]
    shrunk = [name for name in found if shrink[name] > limit]
    # All at once is a listing cut short, and told by the size.
    general = len(shrunk) == len(found) and not none_listed
    uneven = none_listed if general or accept_change else sorted({*none_listed, *shrunk})
    exchanges = Table(
        ("exchange", "candidates", "before", "shrunk by, %"),
        [(name, len(found[name]), len(before.get(name, ())), shrink[name]) for name in found],
    )
    wanted = f"a {' or '.join(settings.universe.security_types)} on {' or '.join(none_listed)}"
    empty = f"none of the {len(unique)} listings is {wanted}: check universe.exchanges and universe.security_types"
    fewer = [
        f"{name} lists {shrink[name]:.1f} % fewer candidates than last time ({len(before[name])} to "
        f"{len(found[name])}), guards.max_shrink_pct is {limit:g}; {_ACCEPT}"
        for name in uneven
        if found[name]
    ]
    total = sum(map(len, found.values()))
    lost = _shrink_pct(sum(map(len, before.values())), total)
    least = settings.universe.size * settings.guards.min_universe_pct / 100
    too_few, too_small = total < least and not uneven, general and not accept_change
    size = f"{total} of {len(unique)} listings are candidates"
    if too_few:
        size = (
            f"only {size}, guards.min_universe_pct asks for {least:.0f} ({settings.guards.min_universe_pct:g} % of "
            f"{settings.universe.size}); check universe.exchanges and universe.security_types"
        )
    elif general:
        size += f", {lost:.1f} % fewer than last time, guards.max_shrink_pct is {limit:g}"
        size += _ACCEPTED if accept_change else f"; {_ACCEPT}"
    differing = sorted(set(unique.loc[unique["symbol"].duplicated(keep=False), "symbol"]))
    repeated = len(rows) - len(unique)
    return [
        Finding("size", not (too_few or too_small), size, {"listings": len(unique), "candidates": total}),
        Finding(
            "exchanges",
            not uneven,
            "; ".join([empty] * bool(none_listed) + fewer)
            or f"candidates: {', '.join(f'{name} {len(symbols)}' for name, symbols in found.items())}"
            + (_ACCEPTED if shrunk and accept_change else ""),
            {f"{name} candidates": len(symbols) for name, symbols in found.items()},
            {"exchanges": exchanges},
        ),
        Finding(
            "duplicates",
            not differing,
            f"{len(differing)} symbols stand there more than once with rows that differ: {_some(differing)}; nobody "
            "knows which to believe, look at what Finnhub's /stock/symbol sends"
            if differing
            else f"no symbol has two different rows; {repeated} identical rows were dropped",
            {"differing": len(differing), "identical_dropped": repeated},
            {"differing rows": _rows(unique[unique["symbol"].isin(differing)].sort_values("symbol"))},
        ),
    ]


def check_universe(
    universe: pd.DataFrame,
    profiles: pd.DataFrame,
    reasons: pd.Series[str],
    listings: pd.DataFrame,
    last: pd.DataFrame | None,
    settings: Settings,
    *,
    accept_change: bool = False,
) -> list[Finding]:
    """Judges a `Universe` frame. `profiles` and `reasons` are what selection.select took and returned beside it."""
    guards, rules = settings.guards, settings.universe
    quarantined = set(reasons.index[reasons.str.startswith("quarantine")])
    asked = set(profiles.loc[profiles["fresh"] | profiles["price"].isna(), "symbol"])
    share = 100 * len(quarantined & asked) / max(len(asked), 1)
    crowded = share > guards.max_quarantined_pct
    told = quarantined if crowded else set()
    names = set(universe["symbol"])
    before = set() if last is None else set(last["symbol"])
    left, joined = sorted(before - names), sorted(names - before)

    count = len(names | told)
    least = rules.size * guards.min_universe_pct / 100
    shrink = _shrink_pct(len(before), len(names | (before & told)))
    too_few, shrunk = count < least, shrink > guards.max_shrink_pct
    if too_few:
        size = (
            f"only {count} stocks qualify, guards.min_universe_pct asks for {least:.0f} ({guards.min_universe_pct:g} %"
        )
        size += f" of {rules.size}); see why the others do not"
    elif shrunk:
        size = f"{len(names)} stocks, {shrink:.1f} % fewer than the {len(before)} of the last universe, "
        size += f"guards.max_shrink_pct is {guards.max_shrink_pct:g}" + (_ACCEPTED if accept_change else f"; {_ACCEPT}")
    else:
        size = f"{len(names)} stocks of {rules.size}"

    # The lesser of the names in and out, as funds report it: a universe that shrinks or grows is the size's matter.
    replaced = 100 * min(len(set(left) - told), len(joined)) / max(len(before), 1)
    turned = bool(before) and replaced > guards.max_universe_turnover_pct
    turnover = f"{len(joined)} names in and {len(left)} out: {replaced:.1f} % of the last universe were replaced, "
    turnover += f"guards.max_universe_turnover_pct is {guards.max_universe_turnover_pct:g}"
    if turned:
        turnover += _ACCEPTED if accept_change else f"; {_ACCEPT}"
    return [
        Finding(
            "size",
            not (too_few or (shrunk and not accept_change)),
            size,
            {"names": len(names), "shrink_pct": shrink},
            {"reasons": _kinds(reasons)},
        ),
        _exchanges(universe, listings, rules),
        _duplicates(universe, rules),
        Finding(
            "quarantine",
            not crowded,
            f"the market caps of {len(quarantined & asked)} of {len(asked)} profiles ({share:.1f} %) cannot be true, "
            f"guards.max_quarantined_pct is {guards.max_quarantined_pct:g}"
            + ("; look at the units and currencies that Finnhub sends" if crowded else ""),
            {"quarantined": len(quarantined & asked), "asked": len(asked), "quarantined_pct": share},
            {"quarantined": Table(("symbol", "reason"), [(s, reasons[s]) for s in sorted(quarantined & asked)])},
        ),
        _caps(universe, last, settings, accept_change=accept_change),
        Finding(
            "turnover",
            not turned or accept_change,
            turnover if before else "there is no earlier universe to compare with",
            {"in": len(joined) if before else 0, "out": len(left), "replaced_pct": replaced},
            {
                "names in": Table(("symbol",), [(symbol,) for symbol in joined if before]),
                "names out": Table(("symbol", "why"), [(symbol, reasons.get(symbol, "not listed")) for symbol in left]),
            },
        ),
    ]


def _exchanges(universe: pd.DataFrame, listings: pd.DataFrame, rules: UniverseSettings) -> Finding:
    sound = {symbol for symbols in _candidates(listings, rules).values() for symbol in symbols}
    wrong = universe[~universe["symbol"].isin(sound)]
    listed = listings.drop_duplicates("symbol").set_index("symbol")
    rows = []
    for symbol in wrong["symbol"]:
        known = symbol in listed.index
        rows.append((symbol, *(listed.loc[symbol, ["mic", "type", "currency"]] if known else ("not listed", "", ""))))
    return Finding(
        "exchanges",
        not rows,
        f"{len(rows)} names are not listed as {' or '.join(rules.security_types)} on {' or '.join(rules.exchanges)} in "
        f"USD: {_some([row[0] for row in rows])}; they must never be bought, look at selection.candidates"
        if rows
        else f"all {len(universe)} names are listed on {' or '.join(rules.exchanges)}",
        {"outside": len(rows)},
        {"outside": Table(("symbol", "mic", "type", "currency"), rows)},
    )


def _duplicates(universe: pd.DataFrame, rules: UniverseSettings) -> Finding:
    symbols = sorted(set(universe.loc[universe["symbol"].duplicated(), "symbol"]))
    issuers = universe["name"].fillna("").str.casefold().str.split().str.join(" ")
    shared = universe[issuers.duplicated(keep=False) & (issuers != "") & rules.one_share_class_per_issuer]
    double = len(symbols) + len(shared)
    return Finding(
        "duplicates",
        not double,
        f"{len(symbols)} symbols stand there twice, {len(shared)} names share their issuer with another although "
        "universe.one_share_class_per_issuer is true; look at selection.select"
        if double
        else "no symbol stands there twice, and no issuer that must not",
        {"symbols_twice": len(symbols), "sharing_an_issuer": len(shared)},
        {
            "symbols twice": Table(("symbol",), [(symbol,) for symbol in symbols]),
            "sharing an issuer": _rows(shared[["name", "symbol"]].sort_values("name")),
        },
    )


def _caps(universe: pd.DataFrame, last: pd.DataFrame | None, settings: Settings, *, accept_change: bool) -> Finding:
    import numpy as np

    guards, band = settings.guards, settings.fundamentals.bands.market_cap_musd
    allowed = (1 + settings.universe.max_cap_disagreement_pct / 100) * (1 + 1e-9)
    cap, by_shares = universe["market_cap_musd"], universe["shares_outstanding_m"] * universe["price"]
    apart = universe[~(np.fmax(cap, by_shares) <= allowed * np.fmin(cap, by_shares))]
    median = float(cap.median()) if len(cap) else 0.0
    both = (
        universe[["symbol", "market_cap_musd"]].head(0)
        if last is None
        else universe[["symbol", "market_cap_musd"]].merge(
            last[["symbol", "market_cap_musd"]].drop_duplicates("symbol"), on="symbol", suffixes=("", "_before")
        )
    )
    moved = 100 * (both["market_cap_musd"] / both["market_cap_musd_before"] - 1).abs().median() if len(both) else 0.0
    wrong = []
    if len(apart):
        wrong.append(
            f"{len(apart)} market caps differ from shares x price by more than "
            f"{settings.universe.max_cap_disagreement_pct:g} %: {_some(list(apart['symbol']))}"
        )
    if len(cap) and not band.low <= median <= band.high:
        wrong.append(
            f"their median is {median:,.4g} million USD, fundamentals.bands.market_cap_musd is {band.low:g} to "
            f"{band.high:g}: the unit has changed"
        )
    if moved > guards.max_median_cap_change_pct and not accept_change:
        wrong.append(
            f"the median change since the last universe is {moved:.1f} %, guards.max_median_cap_change_pct is "
            f"{guards.max_median_cap_change_pct:g}; {_ACCEPT}"
        )
    accepted = _ACCEPTED if moved > guards.max_median_cap_change_pct else ""
    return Finding(
        "caps",
        not wrong,
        "; ".join(wrong)
        or f"median {median:,.4g} million USD; median change since the last universe {moved:.1f} %{accepted}",
        {"median_musd": median, "median_change_pct": float(moved), "apart": len(apart)},
        {
            "apart from shares x price": _rows(
                apart[["symbol", "market_cap_musd", "shares_outstanding_m", "price"]],
            )
        },
    )


def _candidates(listings: pd.DataFrame, rules: UniverseSettings) -> dict[str, set[str]]:
    """Symbols by configured exchange: of a configured type, in USD. Read here anew, not taken from the selection."""
    from tokenomics_dagster.universe.selection import MICS

    fits = listings[(listings["currency"] == "USD") & listings["type"].isin(rules.security_types)]
    return {name: set(fits.loc[fits["mic"].isin(MICS[name]), "symbol"]) for name in rules.exchanges}


def _shrink_pct(before: int, now: int) -> float:
    return 100 * (1 - now / before) if before else 0.0


def _kinds(reasons: pd.Series[str]) -> Table:
    kinds = reasons.str.split("[:,]", n=1, regex=True).str[0].value_counts()
    return Table(("reason", "names"), list(kinds.items()))


def _rows(frame: pd.DataFrame) -> Table:
    return Table(tuple(map(str, frame.columns)), list(frame.itertuples(index=False)))


def _some(symbols: list[str], limit: int = 10) -> str:
    return ", ".join(symbols[:limit]) + (", ..." if len(symbols) > limit else "")
