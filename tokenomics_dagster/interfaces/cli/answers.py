"""Questions of an investor: what is held, why a stock is in or out, what has changed between two weeks.

The commands and their tables; what the answers are is in operations/.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import out, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from tokenomics_dagster.operations import changes as compared
    from tokenomics_dagster.operations import explain as told
    from tokenomics_dagster.operations import holdings as held

JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the whole for machines to this file.", show_default=False)
]
_UNKNOWN = "not known"
_LEAST = 0.005  # points: less is 0.00


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("any date of a week is needed, such as 2026-08-24") from None


def explain(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="A ticker of now or of before a rename: AAPL.")],
    json_file: JsonOption = None,
) -> None:
    """Tell all about one stock: figures, score step by step, rank against the cut, trades, why held or not."""
    from tokenomics_dagster.operations.common import document_of
    from tokenomics_dagster.operations.explain import explain as ask

    if not symbol.strip():
        raise typer.BadParameter("a ticker is needed, such as AAPL", param_hint="SYMBOL")
    found = ask(symbol)
    if json_file is not None:
        write_json(json_file, document_of(found))
    for table in _explained(found):
        out.print(table)


def changes(
    weeks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WEEK1 WEEK2]",
            help="Any date of each week, such as 2026-08-17 2026-08-24.",
            show_default="the last two weeks that have targets",
        ),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Compare two weeks: who came in, who went out and why, which figure moved which score, which weights changed."""
    from tokenomics_dagster.operations.changes import changes as ask
    from tokenomics_dagster.operations.common import document_of

    days = [_day(text) for text in weeks or ()]
    if days and (len(days) != 2 or len({day - timedelta(days=day.weekday()) for day in days}) != 2):
        raise typer.BadParameter("two dates of different weeks are needed, or none", param_hint="[WEEK1 WEEK2]")
    found = ask((days[0], days[1]) if days else None)
    if json_file is not None:
        write_json(json_file, document_of(found))
    for table in _changes(found):
        out.print(table)


def holdings(json_file: JsonOption = None) -> None:
    """Show what is held: shares, cost, value, gain, weight against target; adds up to the broker's equity."""
    from tokenomics_dagster.operations.common import document_of
    from tokenomics_dagster.operations.holdings import holdings as look

    found = look()
    if json_file is not None:
        write_json(json_file, document_of(found))
    for table in _holdings(found):
        out.print(table)


def _holdings(found: held.Holdings) -> Iterator[Table]:
    from tokenomics_dagster.interfaces.cli.tables import table_of
    from tokenomics_dagster.operations.common import new_york, share_count

    lines = [("account", found.looked_at[0]), ("database", found.looked_at[1])]
    if found.behind is not None:
        lines.append(("doubt", found.behind))
    yield _facts("looked at", lines)
    columns = (
        "symbol",
        "shares",
        "paid, each",
        "price",
        "value, USD",
        "gain, USD",
        "gain",
        "weight",
        "target",
        "drift",
    )
    table = table_of(f"held at {new_york(found.at)}", *columns, "name", "industry")
    for one in found.held:
        table.add_row(
            one.symbol,
            share_count(one.qty),
            _usd(one.average_cost),
            _usd(one.price),
            _usd(one.value),
            _usd(one.gain, "+"),
            _UNKNOWN if one.gain_pct is None else f"{one.gain_pct:+.1f} %",
            _share(one.weight),
            _share(one.target_weight),
            _share(one.drift, "+"),
            one.name or _UNKNOWN,
            one.industry or _UNKNOWN,
        )
    yield table
    doubted = [(one.symbol, one.doubt) for one in found.held if one.doubt is not None]
    if doubted:
        yield _facts("in doubt, of what is held", doubted)
    if found.unasked is not None:
        yield _facts("not known", [("", f"which names were renamed or traded since the last plan: {found.unasked}")])
    if found.gone:
        lines = [(one.symbol, one.reason) for one in found.gone]
        yield _facts("in no row of the broker, though it should be held", lines)
    if found.wanted:
        table = table_of("targets of which nothing is held", "symbol", "target", "name")
        for missing in found.wanted:
            table.add_row(missing.symbol, _share(missing.target_weight), missing.name or _UNKNOWN)
        yield table
    for title, rows in (("left alone", found.foreign), ("in dispute", found.disputed)):
        if rows:
            table = table_of(f"{title}: neither traded nor counted on", "symbol", "shares", "value, USD", "why")
            for row in rows:
                qty = _UNKNOWN if row.qty is None else share_count(row.qty)
                table.add_row(row.symbol, qty, _usd(row.value), row.reason)
            yield table
    yield _totals(found.total)


def _totals(total: held.Total) -> Table:
    doubt = f"; in doubt {total.in_doubt} of the rows, see above" if total.in_doubt else ""
    lines = [
        ("held", f"{total.held:,.2f}, paid {total.cost:,.2f}, gain {total.gain:+,.2f}{doubt}"),
        ("left alone or in dispute", f"{total.left_alone:,.2f}"),
        ("cash", f"{total.cash:,.2f}"),
        ("equity by the broker", f"{total.equity:,.2f}"),
    ]
    if total.why:
        lines.append(("what does not add up", f"{total.difference:+,.2f}: {total.why}"))
    return _facts("total, USD", lines)


def _explained(found: told.Explained) -> Iterator[Table]:
    from tokenomics_dagster.operations.common import new_york

    was = f", formerly {', '.join(found.formerly)}" if found.formerly else ""
    title = f"{found.symbol}{was}: {found.name or 'name not known'}"
    listing, universe = found.listing, found.universe
    lines = [("account", found.looked_at[0]), ("database", found.looked_at[1]), ("at", new_york(found.at))]
    lines += [("listing", _UNKNOWN if listing is None else _listing(listing))]
    lines += [("at the broker", found.at_broker.tradable)]
    if universe is not None:
        lines += [("followed", _universe(universe)), ("industry", universe.industry or _UNKNOWN)]
    yield _facts(title, lines)
    yield _facts("why", [("", sentence) for sentence in found.why])
    if found.figures:
        yield _figures(found)
    if found.score is not None:
        yield _steps(found.score)
    yield _facts("rank", list(_ranks(found)))
    if found.levers:
        yield _levers(found.levers)
    if found.would_change:
        yield _facts("what would change it", [("", sentence) for sentence in found.would_change])
    yield _trades(found)


def _listing(listing: told.Listing) -> str:
    if listing.disputed is not None:
        return f"in dispute: {listing.disputed}"
    told = (listing.name, listing.type, listing.exchange, listing.currency)
    return f"{', '.join(one or _UNKNOWN for one in told)} (listings of {listing.as_of:%Y-%m-%d})"


def _universe(universe: told.Following) -> str:
    cap = "market cap not known"
    if universe.market_cap_musd is not None and universe.cap_known_at is not None:
        cap = f"market cap {universe.market_cap_musd:,.0f} million USD of {universe.cap_known_at:%Y-%m-%d}"
    rank = "" if universe.rank is None else f", number {universe.rank}"
    cut = (
        f"; {universe.size} are followed, the smallest with {universe.cut_musd:,.0f}; universe.size is {universe.seats}"
    )
    if universe.followed:
        waits = f"; in doubt: {universe.waits}" if universe.waits else ""
        return f"yes{rank}, {cap}{cut}{waits}"
    last = f"; last followed on {universe.last_in:%Y-%m-%d}" if universe.last_in else ""
    return f"no: {universe.reason or 'not listed any more'}{last}; {cap}{rank}{cut}"


def _figures(found: told.Explained) -> Table:
    from tokenomics_dagster.interfaces.cli.tables import table_of
    from tokenomics_dagster.interfaces.cli.words import span
    from tokenomics_dagster.operations.reasons import named

    table = table_of("figures, as told last", "figure", "value", "unit", "age", "period until", "scored with")
    for one in found.figures:
        used = _number(one.scored) if one.scored is not None else "the same"
        used = "not scored" if found.score is None else used
        period = one.reported_period or _UNKNOWN
        table.add_row(
            named(one.name),
            _number(one.value),
            one.unit,
            _UNKNOWN if one.known_at is None else span(found.at - one.known_at),
            period,
            used,
        )
    return table


def _steps(score: told.ScoreSteps) -> Table:
    from tokenomics_dagster.interfaces.cli.tables import table_of
    from tokenomics_dagster.operations.common import new_york
    from tokenomics_dagster.operations.reasons import named

    total = f"{score.points:.2f} points" if score.points is not None else f"no score, {score.reason}"
    rules = "" if score.rules_known else ", by the rules of now: those of then were not kept"
    doubt = "" if score.doubted_since is None else f"; a newer answer is in doubt since {new_york(score.doubted_since)}"
    columns = ("part", "inputs", "figure", "0 points at", "100 points at", "points", "weight", "adds")
    table = table_of(f"score of {new_york(score.as_of)}: {total}{rules}{doubt}", *columns)
    for part in score.parts:
        inputs = ", ".join(f"{named(name)} {_number(value)}" for name, value in part.inputs.items())
        table.add_row(
            part.name,
            inputs,
            _number(part.figure),
            f"{part.worst:g}",
            f"{part.best:g}",
            _number(part.points),
            f"{part.weight_pct:g} %",
            _number(part.adds),
        )
    table.add_row("together", "", "", "", "", "", "", _number(score.points))
    return table


def _ranks(found: told.Explained) -> Iterator[tuple[str, str]]:
    target = found.target
    if target is None:
        yield "decided", "no week has been decided yet"
    else:
        weight = f"target of {target.weight:.2%}" if target.weight else "no target"
        yield f"week of {target.week}", f"{weight}, {_place(target.place)}"
    yield "if decided now", _place(found.next)


def _place(place: told.Place | None) -> str:
    if place is None:
        return "without a score that could be chosen"
    chosen = "in" if place.chosen else "out"
    return (
        f"number {place.rank} of {place.of} scores with {place.score:.2f} points: {chosen}, {place.distance:+.2f} "
        f"from the cut at {place.cut:.2f} (the best {place.top_n} of at least {place.min_score:g} points)"
    )


def _levers(levers: tuple[told.Lever, ...]) -> Table:
    from tokenomics_dagster.interfaces.cli.tables import table_of
    from tokenomics_dagster.operations.reasons import named

    table = table_of("what each figure does alone", "figure", "value", "by", "points", "crosses the cut at")
    for one in levers:
        points = _UNKNOWN if one.per_unit is None else f"{one.per_unit:+.3f}"
        table.add_row(
            named(one.figure),
            _number(one.value),
            one.unit,
            points,
            "never" if one.needed is None else _number(one.needed),
        )
    return table


def _trades(found: told.Explained) -> Table:
    from tokenomics_dagster.interfaces.cli.tables import table_of
    from tokenomics_dagster.model.calendar import week_of
    from tokenomics_dagster.model.trading import booked
    from tokenomics_dagster.operations.common import new_york, share_count

    others = found.at_broker.by_others
    if not found.trades and not others:
        return _facts("trades", [("", "none is in the ledger")])
    columns = ("week", "symbol", "side", "state", "shares filled", "price, USD", "value, USD", "note")
    table = table_of("trades; shares and prices as they were then", *columns)
    rows = [
        (
            one.at,
            one.week.isoformat(),
            one.symbol,
            one.side,
            one.status,
            share_count(one.filled_qty),
            "" if one.price is None else f"{one.price:,.2f}",
            f"{one.value:,.2f}",
            one.note or "",
        )
        for one in found.trades
    ]
    rows += [
        (
            fill.at,
            week_of(fill.at).isoformat(),
            fill.symbol,
            fill.side,
            "filled",
            share_count(fill.qty),
            f"{fill.price:,.2f}",
            f"{booked(fill.qty, fill.price):,.2f}",
            f"by no order of the strategy, {new_york(fill.at)}",
        )
        for fill in others
    ]
    for _, *cells in sorted(rows, key=lambda row: row[0]):
        table.add_row(*cells)
    return table


def _changes(found: compared.Changes) -> Iterator[Table]:
    from tokenomics_dagster.interfaces.cli.tables import table_of

    lines = [
        ("targets", f"{len(found.came_in)} came in, {len(found.went_out)} went out"),
        ("cash meant", f"{found.cash_before:.2%}, then {found.cash_after:.2%}"),
        ("turnover of the targets", f"{found.turnover:.2%} of the equity"),
    ]
    if found.same_scores:
        lines.append(("scored", "both weeks were decided from the same ones"))
    lines += [("renamed", f"{old} is {new} now") for old, new in found.renamed.items()]
    lines += [(f"rebalancing.{key}", f"{was}, then {now}") for key, (was, now) in found.rules.items()]
    yield _facts(f"week of {found.before} to week of {found.after}", lines)
    if found.came_in:
        table = table_of("came in", "symbol", "weight", "points", "before", "why not then", "name")
        for new in found.came_in:
            why = _UNKNOWN if new.why_not is None else f"{new.why_not.kind}: {new.why_not.reason}"
            table.add_row(
                new.symbol, _share(new.weight), _number(new.score), _number(new.score_before), why, new.name or _UNKNOWN
            )
        yield table
    if found.went_out:
        table = table_of("went out", "symbol", "weight then", "points then", "points", "why", "name")
        for old in found.went_out:
            why = _UNKNOWN if old.why is None else f"{old.why.kind}: {old.why.reason}"
            name = old.name or _UNKNOWN
            table.add_row(
                old.symbol, _share(old.weight_before), _number(old.score_before), _number(old.score), why, name
            )
        yield table
    yield from _moves(found)


def _moves(found: compared.Changes, limit: int = 10) -> Iterator[Table]:
    from tokenomics_dagster.interfaces.cli.tables import table_of

    if found.scores:
        title = f"largest of {len(found.scores):,} moves of scores"
        table = table_of(title, "symbol", "before", "after", "moved", "by", "name")
        for one in found.scores[:limit]:
            moved = f"{one.after - one.before:+.2f}"
            table.add_row(one.symbol, _number(one.before), _number(one.after), moved, _cause(one), one.name or _UNKNOWN)
        yield table
    if found.weights:
        table = table_of(
            f"largest of {len(found.weights):,} moves of weights", "symbol", "before", "after", "moved", "name"
        )
        for weight in found.weights[:limit]:
            moved = f"{weight.after - weight.before:+.2%}"
            table.add_row(weight.symbol, _share(weight.before), _share(weight.after), moved, weight.name or _UNKNOWN)
        yield table


def _cause(move: compared.ScoreMove) -> str:
    """The figure that moved it most, and how many points the others are."""
    from tokenomics_dagster.operations.reasons import named

    rest = move.after - move.before
    parts = []
    for one in move.figures[:1]:
        parts.append(f"{named(one.figure)} {_number(one.before)} -> {_number(one.after)}: {one.points:+.2f}")
        rest -= one.points
    if abs(move.rules) >= _LEAST:
        parts.append(f"other rules: {move.rules:+.2f}")
        rest -= move.rules
    if abs(rest) >= _LEAST:
        parts.append(f"all else: {rest:+.2f}")
    return "; ".join(parts)


def _facts(title: str, lines: list[tuple[str, str]]) -> Table:
    from tokenomics_dagster.interfaces.cli.tables import table_of

    table = table_of(title, "", "")
    table.show_header = False
    for name, text in lines:
        table.add_row(name, text)
    return table


def _usd(amount: Decimal | None, sign: str = "") -> str:
    return _UNKNOWN if amount is None else f"{amount:{sign},.2f}"


def _share(part: float | None, sign: str = "") -> str:
    return _UNKNOWN if part is None else f"{part:{sign}.2%}"


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:,.2f}"
