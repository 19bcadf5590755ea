"""Everything about one symbol (`explain`): figures, score, rank, target, trades. Only looks; why is said in reasons.py.

It answers without a broker, too: what only the broker could tell is then not known, and why is told.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution.told import Planned, Reported, Trade, newest_account, planned, reported, trades
from tokenomics_dagster.fundamentals.coverage import NO_UNIVERSE
from tokenomics_dagster.fundamentals.explained import UNITS, Lever, Part, levers, parts
from tokenomics_dagster.fundamentals.told import Figures, OneScore, Scored, meanings, newest_figures, scored
from tokenomics_dagster.operations.at_broker import by_others
from tokenomics_dagster.operations.common import OperationRefused, database_named, open_store
from tokenomics_dagster.operations.holdings import holdings_in
from tokenomics_dagster.operations.reasons import AtBroker, Standing, Target, reasons, what_would_change
from tokenomics_dagster.operations.tradability import tradability
from tokenomics_dagster.portfolio.ranking import NotChosen, Place, Ranking, rank
from tokenomics_dagster.portfolio.weeks import Decided, decided, decided_weeks, symbols_of_now
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.storage.records import Halt
from tokenomics_dagster.universe.told import Following, Listing, following, listing_of, names, newest_universe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenomics_dagster.model.trading import Fill
    from tokenomics_dagster.settings import Settings
    from tokenomics_dagster.storage.warehouse import Warehouse

# The broker is one of many that are asked: who looks for a reason does not wait a minute for one that is away.
_HASTY = {"alpaca.timeout_s": 5.0, "alpaca.max_attempts": 2}
_SUGGESTED = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as it was told last, `known_at` UTC and of the period that ends `reported_period`; None: not told.

    `scored` is what the newest score was made with, where that is not the same: a newer answer waits, or is not scored.
    """

    name: str
    meaning: str
    unit: str
    value: float | None
    known_at: datetime | None
    reported_period: str | None
    scored: float | None


@dataclass(frozen=True, slots=True)
class ScoreSteps:
    """The newest score, step by step; `points` None, and the `reason`, where there is none. `rules_known`: whether the
    rules are those of then. `doubted_since`: a newer answer of the figures waits since then for a second look."""

    as_of: datetime
    points: float | None
    reason: str | None
    parts: tuple[Part, ...]
    figures_known_at: datetime | None
    reported_period: str | None
    rules_known: bool
    doubted_since: datetime | None


@dataclass(frozen=True, slots=True)
class Explained:
    """All that is known of a symbol. `symbol` is what it is called now, `formerly` what it was called, `asked` what was
    asked for. `at` is the broker's time, or this machine's where the broker is away. `next` is how it stands in what
    would be chosen now, from the newest scores by the settings in force."""

    asked: str
    symbol: str
    formerly: tuple[str, ...]
    at: datetime
    looked_at: tuple[str, str]
    name: str | None
    listing: Listing | None
    universe: Following | None
    figures: tuple[Figure, ...]
    score: ScoreSteps | None
    next: Place | None
    target: Target | None
    at_broker: AtBroker
    planned: Planned | None
    reported: Reported | None
    trades: tuple[Trade, ...]
    halt: Halt | None
    why: tuple[str, ...]
    levers: tuple[Lever, ...]
    would_change: tuple[str, ...]


def explain(symbol: str) -> Explained:
    """Raises OperationRefused for a symbol that nothing is known of, naming those that are near."""
    settings = load_settings(overrides=_HASTY, to_trade=False)
    with closing(open_store(settings)) as store, AlpacaResource.from_settings(settings) as alpaca:
        asked = symbol.strip().upper()
        seen = _look(store, alpaca, settings, asked)
        found = _gathered(store, settings, asked, seen)
        if found is None:
            raise OperationRefused(_unknown(store, asked))
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """`called`: its symbol of now, then those that it had."""

    called: tuple[str, ...]
    at_broker: AtBroker
    at: datetime
    account: str


def _look(store: Warehouse, alpaca: AlpacaResource, settings: Settings, asked: str) -> _Seen:
    """What the broker says of it, or why it says nothing; and at what time."""
    try:
        books = holdings_in(store, alpaca, settings)
    except (ProviderError, SettingsError) as error:
        account = newest_account(store)
        named = "not known" if account is None else f"{account}, for which was planned last"
        away = AtBroker(account, unknown=str(error), not_asked=str(error))
        return _Seen(_called(asked, symbols_of_now(store)), away, datetime.now(UTC), f"{named}; {error}")
    called = _called(asked, books.renamed)
    held = next((one for one in books.held if one.symbol in called), None)
    alone = next((one for one in (*books.foreign, *books.disputed) if one.symbol in called), None)
    gone = next((one.reason for one in books.gone if one.symbol in called), None)
    found, why, fills_unknown = None, None, None
    others: tuple[Fill, ...] = ()
    try:
        found = tradability(alpaca, called[0] if held is None else held.symbol, settings.guards)
    except ProviderError as error:
        why = str(error)
    try:
        others = by_others(store, alpaca, books.account, called, books.at)
    except ProviderError as error:
        fills_unknown = str(error)
    told = AtBroker(books.account, held, alone, None, found, why, gone, books.unasked, others, fills_unknown)
    return _Seen(called, told, books.at, books.looked_at[0])


def _gathered(store: Warehouse, settings: Settings, asked: str, seen: _Seen) -> Explained | None:
    """None where nothing is known of any of its symbols."""
    called, there = seen.called, seen.at_broker
    universe, newest, account = newest_universe(store), scored(store, settings), there.account
    followed = None
    if universe is not None:
        symbol = _first(called, universe.frame["symbol"]) or called[0]
        followed = following(store, universe, symbol, settings.universe.size)
    listing = next((found for one in called if (found := listing_of(store, one)) is not None), None)
    figures, steps = _figures(store, called, newest)
    ranking = None
    if newest is not None and universe is not None:
        ranking = rank(newest.frame, universe.frame, universe.details.renamed, settings.rebalancing)
    place, target = _place(ranking, called), _target(store, settings, called)
    row = None if account is None else planned(store, account, called)
    past = () if account is None else trades(store, account, called)
    if not (
        listing or figures or steps or row or past or there.held or there.left_alone or there.by_others
    ) and not _heard_of(followed):
        return None
    last = None if account is None else reported(store, account, called)
    standing = Standing(there, target, row, last, past, store.halted())
    moved = () if newest is None else _levers(newest, called, place, ranking)
    name = followed.name if followed is not None and followed.name else listing.name if listing is not None else None
    return Explained(
        asked=asked,
        symbol=called[0],
        formerly=called[1:],
        at=seen.at,
        looked_at=(seen.account, database_named(store)),
        name=name,
        listing=listing,
        universe=followed,
        figures=figures,
        score=steps,
        next=place,
        target=target,
        at_broker=there,
        planned=row,
        reported=last,
        trades=past,
        halt=standing.halt,
        why=reasons(standing),
        levers=moved,
        would_change=what_would_change(
            followed, None if steps is None else steps.points, None if steps is None else steps.reason, place, moved
        ),
    )


def _heard_of(followed: Following | None) -> bool:
    return followed is not None and bool(followed.followed or followed.reason or followed.last_in)


def _called(asked: str, links: Mapping[str, str]) -> tuple[str, ...]:
    """What it is called now, then what it was called before."""
    now = links.get(asked, asked)
    return now, *sorted(old for old, new in links.items() if new == now)


def _figures(
    store: Warehouse, called: tuple[str, ...], newest: Scored | None
) -> tuple[tuple[Figure, ...], ScoreSteps | None]:
    told, one = newest_figures(store, called), None if newest is None else newest.of(called)
    figures = () if told is None else tuple(_figure(name, told, one) for name in UNITS)
    if newest is None or one is None:
        return figures, None
    steps = ScoreSteps(
        newest.as_of,
        one.points,
        one.reason,
        parts(one.figures.values, newest.rules),
        one.figures.known_at,
        one.figures.reported_period,
        newest.rules_known,
        newest.doubted.get(one.figures.symbol),
    )
    return figures, steps


def _figure(name: str, told: Figures, one: OneScore | None) -> Figure:
    value, used = told.values[name], None if one is None else one.figures.values[name]
    return Figure(
        name,
        meanings()[name],
        UNITS[name],
        value,
        told.known_at,
        told.reported_period,
        None if used == value else used,
    )


def _target(store: Warehouse, settings: Settings, called: tuple[str, ...]) -> Target | None:
    weeks = decided_weeks(store)
    made = decided(store, weeks[0], settings) if weeks else None
    if made is None:
        return None
    weights = made.weight_of
    symbol = _first(called, weights)
    ranking = made.ranking
    why = None if symbol is not None else _why_not(made, ranking, called)
    return Target(made.week, made.as_of, weights[symbol] if symbol else 0.0, _place(ranking, called), why)


def _why_not(made: Decided, ranking: Ranking, called: tuple[str, ...]) -> NotChosen | None:
    symbol = _first(called, ranking.frame["symbol"].tolist()) or _first(called, made.universe.details.dropped)
    return ranking.why_not(symbol or called[0], made.universe.details.dropped)


def _place(ranking: Ranking | None, called: tuple[str, ...]) -> Place | None:
    return None if ranking is None else next((one for s in called if (one := ranking.place(s)) is not None), None)


def _levers(newest: Scored, called: tuple[str, ...], place: Place | None, ranking: Ranking | None) -> tuple[Lever, ...]:
    one = newest.of(called)
    if one is None:
        return ()
    entry = None if ranking is None else ranking.entry
    return levers(one.figures.values, newest.rules, entry if place is None else place.cut)


def _unknown(store: Warehouse, asked: str) -> str:
    if newest_universe(store) is None:
        return f"nothing is known of {asked[:40]} in {store.address}: {NO_UNIVERSE}"
    told = dict(names(store))
    near = get_close_matches(asked, told, n=_SUGGESTED)
    near += [symbol for symbol, name in told.items() if asked.casefold() in name.casefold() and symbol not in near]
    some = ", ".join(f"{symbol} ({told[symbol] or 'without a name'})" for symbol in near[:_SUGGESTED])
    hint = f"near to it: {some}" if near else "no symbol and no name is near to it"
    return (
        f"nothing is known of {asked[:40]} in {store.address}: it is neither listed nor followed, nor was ever traded; "
        f"{hint}"
    )


def _first(called: tuple[str, ...], among: Any) -> str | None:
    there = set(among)
    return next((symbol for symbol in called if symbol in there), None)
