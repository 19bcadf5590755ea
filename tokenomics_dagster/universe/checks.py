"""Whether listings and universe are sound: enough names, of the right exchanges, with market caps that can be true.

Pure: takes the frames, what was stored last, and the settings. Each flaw is told by one check: what follows from a
failed one is not told again by another. Both refuse, so nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenomics_dagster.kit.checks import SCHEMA, Finding, Rule, Table
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.fundamentals import Band
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.settings.universe import UniverseSettings

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.universe.departures import Departure

LISTINGS = (
    SCHEMA,
    Rule("size", "Enough candidates for universe.size; all exchanges together have not shrunk beyond the guard."),
    Rule("exchanges", "Each configured exchange lists candidates, and none has shrunk beyond the guard by itself."),
    Rule("duplicates", "No symbol that could be followed stands there twice with rows that differ.", "tells"),
)
UNIVERSE = (
    SCHEMA,
    Rule("size", "Enough names, and not many fewer than in the last universe."),
    Rule("exchanges", "The listing of each name is on a configured exchange, of a configured type, in USD."),
    Rule("duplicates", "No symbol stands there twice, and no issuer where one class per issuer is asked for."),
    Rule("quarantine", "Few of the profiles asked for have a market cap that cannot be true."),
    Rule("caps", "Market caps agree with shares x price, have the size of market caps, and have moved like prices."),
    Rule("turnover", "Few names of the last universe were replaced."),
    Rule(
        "departures",
        "Little of the last universe, or of what is held, is gone or in doubt for another reason than rank.",
    ),
    Rule(
        "waiting",
        "No name that is held, among the largest, or never looked at waits in doubt for a second look.",
        "tells",
    ),
    Rule("listed", "Each stock that universe.symbols names is followed, and traded by the broker.", "tells"),
)
# One name of few makes any percentage: a share of names is judged when more than this are concerned.
_FEW = 3
# Share of universe.size whose names are told when they wait although they are not held.
_LARGE = 0.1
# What the band of the median market cap was seen for; the median of fewer, the largest, is about as many times higher.
_BAND_NAMES = 1500
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
    shrunk = [name for name in found if _many(len(before.get(name, ())) - len(found[name]), shrink[name], limit)]
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
        _disputed(rows, unique, settings.universe),
    ]


def _disputed(rows: pd.DataFrame, unique: pd.DataFrame, rules: UniverseSettings) -> Finding:
    """duplicates, of listings."""
    from tokenomics_dagster.universe.selection import undisputed

    differing = sorted(set(unique.loc[unique["symbol"].duplicated(keep=False), "symbol"]))
    _, disputed = undisputed(rows, rules)
    repeated = len(rows) - len(unique)
    return Finding(
        "duplicates",
        disputed.empty,
        f"{len(disputed)} symbols that could be followed stand there more than once with rows that differ: "
        f"{_some(list(disputed.index))}; nobody knows which to believe, so they are left out, and wait where they "
        "were followed: look at what Finnhub's /stock/symbol sends"
        if len(disputed)
        else f"no candidate has two different rows, {len(differing)} other symbols have; {repeated} identical rows "
        "were dropped",
        {"disputed": len(disputed), "differing": len(differing), "identical_dropped": repeated},
        {"differing rows": _rows(unique[unique["symbol"].isin(differing)].sort_values("symbol"))},
    )


@dataclass(frozen=True, slots=True)
class Sources:
    """What a universe was made from: `profiles` and `reasons` are what selection.select took and returned beside it,
    `doubts` of asked.doubts."""

    profiles: pd.DataFrame
    reasons: pd.Series[str]
    listings: pd.DataFrame
    doubts: Mapping[str, str] = field(default_factory=dict)


def check_universe(
    universe: pd.DataFrame,
    sources: Sources,
    last: pd.DataFrame | None,
    settings: Settings,
    departures: Sequence[Departure] = (),
    *,
    accept_change: bool = False,
) -> list[Finding]:
    """Judges a `Universe` frame. `departures` are of departures.settle."""
    guards, rules = settings.guards, settings.universe
    waiting = {one.symbol for one in departures if not one.goes}
    profiles, reasons = sources.profiles, sources.reasons
    quarantined = set(reasons.index[reasons.str.startswith("quarantine")])
    asked = set(profiles.loc[profiles["fresh"] | profiles["price"].isna(), "symbol"])
    quarantine = _quarantine(quarantined & asked, len(asked), reasons, guards)
    reported = set() if quarantine.passed else quarantined
    found = _departures(
        [one for one in departures if one.symbol not in reported], last, guards, accept_change=accept_change
    )
    return [
        _size(universe, last, reported, reasons, settings, accept_change=accept_change),
        # Those that wait stand with their last good row, whatever is wrong with them now.
        _exchanges(universe[~universe["symbol"].isin(waiting)], sources.listings, rules),
        _duplicates(universe, waiting, rules),
        quarantine,
        _caps(universe, last, settings, accept_change=accept_change),
        _turnover(universe, last, reported, reasons, guards, accept_change=accept_change),
        found,
        # When nothing is stored nobody waits, and what is wrong is told by the check that refuses.
        _waiting([one for one in departures if not one.goes] if found.passed and quarantine.passed else [], rules),
        _listed(sources.doubts, rules),
    ]


def _listed(doubts: Mapping[str, str], rules: UniverseSettings) -> Finding:
    named = f"the {len(rules.symbols)} stocks of universe.symbols"
    shown = "; ".join(f"{symbol}: {why}" for symbol, why in list(doubts.items())[:10])
    return Finding(
        "listed",
        not doubts,
        f"{len(doubts)} of {named} are in doubt: {shown}{'; ...' * (len(doubts) > 10)}; correct the list, or "
        "universe.exchanges and universe.security_types if they are to be let in"
        if doubts
        else f"{named} are followed"
        if rules.symbols
        else "universe.symbols names none: the largest are followed",
        {"doubts": len(doubts)},
        {"in doubt": Table(("symbol", "why"), list(doubts.items()))},
    )


def _quarantine(doubted: set[str], asked: int, reasons: pd.Series[str], guards: GuardSettings) -> Finding:
    """`doubted`: symbols of profiles that were asked for, whose market caps cannot be true."""
    share = 100 * len(doubted) / max(asked, 1)
    crowded = _many(len(doubted), share, guards.max_quarantined_pct)
    return Finding(
        "quarantine",
        not crowded,
        f"the market caps of {len(doubted)} of {asked} profiles ({share:.1f} %) cannot be true, "
        f"guards.max_quarantined_pct is {guards.max_quarantined_pct:g}"
        + ("; look at the units and currencies that Finnhub sends" if crowded else ""),
        {"quarantined": len(doubted), "asked": asked, "quarantined_pct": share},
        {"quarantined": Table(("symbol", "reason"), [(symbol, reasons[symbol]) for symbol in sorted(doubted)])},
    )


def _size(
    universe: pd.DataFrame,
    last: pd.DataFrame | None,
    reported: set[str],
    reasons: pd.Series[str],
    settings: Settings,
    *,
    accept_change: bool,
) -> Finding:
    """`reported`: symbols whose absence another check tells."""
    guards, rules = settings.guards, settings.universe
    names, before = set(universe["symbol"]), set() if last is None else set(last["symbol"])
    count = len(names | reported)
    least = rules.size * guards.min_universe_pct / 100
    shrink = _shrink_pct(len(before), len(names | (before & reported)))
    too_few, shrunk = count < least, _many(len(before) - len(names), shrink, guards.max_shrink_pct)
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
    return Finding(
        "size",
        not (too_few or (shrunk and not accept_change)),
        size,
        {"names": len(names), "shrink_pct": shrink},
        {"reasons": _kinds(reasons)},
    )


def _turnover(
    universe: pd.DataFrame,
    last: pd.DataFrame | None,
    reported: set[str],
    reasons: pd.Series[str],
    guards: GuardSettings,
    *,
    accept_change: bool,
) -> Finding:
    """The lesser of the names in and out, as funds report it: a universe that shrinks or grows is the size's matter.

    `reported`: symbols whose absence another check tells.
    """
    names, before = set(universe["symbol"]), set() if last is None else set(last["symbol"])
    left, joined = sorted(before - names), sorted(names - before)
    exchanged = min(len(set(left) - reported), len(joined))
    replaced = 100 * exchanged / max(len(before), 1)
    turned = _many(exchanged, replaced, guards.max_universe_turnover_pct)
    turnover = f"{len(joined)} names in and {len(left)} out: {replaced:.1f} % of the last universe were replaced, "
    turnover += f"guards.max_universe_turnover_pct is {guards.max_universe_turnover_pct:g}"
    if turned:
        turnover += _ACCEPTED if accept_change else f"; {_ACCEPT}"
    return Finding(
        "turnover",
        not turned or accept_change,
        turnover if before else "there is no earlier universe to compare with",
        {"in": len(joined) if before else 0, "out": len(left), "replaced_pct": replaced},
        {
            "names in": Table(("symbol",), [(symbol,) for symbol in joined if before]),
            "names out": Table(("symbol", "why"), [(symbol, reasons.get(symbol, "not listed")) for symbol in left]),
        },
    )


def too_many_failed(failed: int, of: int, guards: GuardSettings) -> bool:
    """Whether so many answers are missing that the others say nothing of the whole; one alone never is too many."""
    return failed > 1 and 100 * failed > guards.max_failed_pct * of


def cap_band(band: Band, names: int) -> Band:
    """Where the median market cap of that many largest names must lie, million USD."""
    return Band(low=band.low, high=band.high * max(1.0, _BAND_NAMES / max(names, 1)))


def _departures(
    departures: Sequence[Departure], last: pd.DataFrame | None, guards: GuardSettings, *, accept_change: bool
) -> Finding:
    """A rename is no departure: its successor is followed."""
    gone = [one for one in departures if not one.successor]
    total = 0.0 if last is None else float(last["market_cap_musd"].sum())
    cap_pct = 100 * sum(one.market_cap_musd for one in gone) / total if total else 0.0
    held_pct = 100 * sum(one.held or 0.0 for one in gone)
    names_pct = 0.0 if last is None else 100 * len(gone) / max(len(last), 1)
    limit = guards.max_doubtful_pct
    much = _many(len(gone), max(names_pct, cap_pct, held_pct), limit)
    text = f"{len(gone)} names ({names_pct:.1f} % of the last universe, {cap_pct:.1f} % of its market cap, "
    text += f"{held_pct:.1f} % of what is held) are gone or in doubt, not by rank; guards.max_doubtful_pct is {limit:g}"
    if much:
        text += _ACCEPTED if accept_change else f": {_some([one.symbol for one in gone])}; {_ACCEPT}"
    columns = ("symbol", "reason", "what becomes of it", "former rank", "market cap, million USD", "held, %", "since")
    rows = [
        (o.symbol, o.reason, o.verdict, o.former_rank, o.market_cap_musd, _pct(o.held), f"{o.since:%Y-%m-%d}")
        for o in sorted(departures, key=lambda one: one.former_rank)
    ]
    return Finding(
        "departures",
        not much or accept_change,
        text,
        {"names": len(gone), "names_pct": names_pct, "market_cap_pct": cap_pct, "held_pct": held_pct},
        {"gone or in doubt": Table(columns, rows)},
    )


def _waiting(waiting: Sequence[Departure], rules: UniverseSettings) -> Finding:
    notable = [one for one in waiting if one.held is not None or one.former_rank <= _LARGE * rules.size or one.unseen]
    notable.sort(key=lambda one: (not one.unseen, -(one.held or 0.0), one.former_rank))
    shown = [
        f"{one.symbol} (rank {one.former_rank}{'' if one.held is None else f', {one.held:.1%} of what is held'}: "
        f"{one.reason}{f', since {one.since:%Y-%m-%d}' if one.unseen else ''})"
        for one in notable[:10]
    ]
    unseen = sum(one.unseen for one in notable)
    for_ever = (
        f"; for {unseen} of them no profile could be fetched since then: they stay until a person lets them leave"
    )
    return Finding(
        "waiting",
        not notable,
        f"{len(notable)} names that are held, large or never looked at are in doubt: {'; '.join(shown)}"
        f"{', ...' * (len(notable) > 10)}. They stay with their last good figures until "
        f"{rules.leave_after_refreshes} refreshes have found the same (universe.leave_after_refreshes)"
        f"{for_ever if unseen else ''}; look at what "
        "Finnhub says of them; if some are to leave now, run universe_refresh once with their symbols as leave in the "
        "run config, or with accept_change: true for all that is in doubt"
        if notable
        else f"{len(waiting)} names wait for a second look, none of them is held or large",
        {"waiting": len(waiting), "held_or_large": len(notable)},
        {
            "waiting": Table(
                ("symbol", "reason", "former rank", "held, %", "look"),
                [(o.symbol, o.reason, o.former_rank, _pct(o.held), o.verdict) for o in waiting],
            )
        },
    )


def _pct(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _many(names: int, share_pct: float, limit_pct: float) -> bool:
    """Whether a share is over its limit, and not by one name of few."""
    return names > _FEW and share_pct > limit_pct


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


def _duplicates(universe: pd.DataFrame, waiting: set[str], rules: UniverseSettings) -> Finding:
    from tokenomics_dagster.universe.selection import issuers

    symbols = sorted(set(universe.loc[universe["symbol"].duplicated(), "symbol"]))
    sound = universe[~universe["symbol"].isin(waiting)]
    owners = issuers(list(sound["symbol"]), list(sound["name"]))
    shared = sound[sound["symbol"].groupby(owners).transform("nunique").gt(1) & rules.one_share_class_per_issuer]
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

    from tokenomics_dagster.universe.selection import ROUNDING

    guards, band = settings.guards, cap_band(settings.fundamentals.bands.market_cap_musd, len(universe))
    allowed = (1 + settings.universe.max_cap_disagreement_pct / 100) * ROUNDING
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
            f"{band.high:g} for {len(cap)} names: the unit has changed"
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
    from tokenomics_dagster.universe.selection import MICS, undisputed

    listings, _ = undisputed(listings, rules)
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
