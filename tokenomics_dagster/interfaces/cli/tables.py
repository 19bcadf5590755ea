"""What operations return, as tables for a terminal. Only a command that shows one imports this."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from tokenomics_dagster.interfaces.cli.words import cell, counted, heading, minute, span
from tokenomics_dagster.operations.common import new_york, share_count
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.interfaces.demo import Result
    from tokenomics_dagster.kit.checks import Table as Shown
    from tokenomics_dagster.kit.room import House, Known
    from tokenomics_dagster.operations import status as found
    from tokenomics_dagster.operations.adoption import Adoptable
    from tokenomics_dagster.operations.audit import Story
    from tokenomics_dagster.operations.decisions import PlanToApprove
    from tokenomics_dagster.operations.settings_in_force import InForce
    from tokenomics_dagster.operations.start import Started


_LONGEST_WORD = 44  # a hash or a made-up name is longer, and may be folded
_ONE_LINE = 240  # letters that a row of many columns may have
_FIGURE = re.compile(r"[-+]?[\d,.]+ ?\S{0,3}")
_STATES = {
    "SUCCESS": "done",
    "FAILURE": "failed",
    "CANCELED": "canceled",
    "CANCELING": "is being canceled",
    "STARTED": "running",
    "STARTING": "is starting",
    "NOT_STARTED": "not started",
    "QUEUED": "is waiting",
    "DIED": "died",
    "UNSEEN": "not seen to live",
}
"""How Dagster's words for the state of a run are said."""


class _Unbroken(Table):
    """Breaks lines between words alone: half of 1,534.64 is another price. Where the screen is too narrow for that, a
    row is one line, which the terminal wraps."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for column in self.columns:
            column.min_width = max(map(_widest_piece, (column.header, *column.cells)))
        wanted = sum(2 + (column.min_width or 0) for column in self.columns)
        width = options.max_width if wanted <= options.max_width else max(wanted, _ONE_LINE)
        yield from super().__rich_console__(console, options.update(max_width=width))


def _widest_piece(cell: RenderableType) -> int:
    """How many letters of a cell belong together: a figure with its unit, or the longest word."""
    text = cell.plain if isinstance(cell, Text) else str(cell)
    if _FIGURE.fullmatch(text):
        return len(text)
    return min(max(map(len, text.split()), default=0), _LONGEST_WORD)


def table_of(title: str, *columns: str) -> Table:
    # rich's default cuts a name that is wider than its column: which database it is could then not be read.
    folding = [Column(header, overflow="fold") for header in columns]
    return _Unbroken(*folding, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)


def checked(findings: "Iterable[found.Finding]") -> Table:
    table = Table("part", "", "what was found", box=None, pad_edge=False)
    for one in findings:
        mark = {True: Text("ok", "green"), False: Text("FAILED", "red"), None: Text("off", "yellow")}[one.works]
        table.add_row(one.part, mark, one.text)
    return table


def started(done: "Started") -> Iterator[Table | str]:
    """What the account holds, and how it goes on."""
    if done.holdings:
        table = table_of("holdings", "symbol", "company", "USD", "of equity")
        for one in done.holdings:
            known = one.value is not None and done.equity > 0
            value = "not known" if one.value is None else f"{one.value:,.2f}"
            table.add_row(
                one.symbol, one.name, value, f"{(one.value or 0) / done.equity:.1%}" if known else "not known"
            )
        yield table
    yield f"{len(done.holdings)} stocks, equity {done.equity:,.2f} USD, cash {done.cash:,.2f} USD"
    took = [f"{name} {seconds:.0f} s" for name, seconds in done.seconds.items() if name != "total"]
    if took:
        yield f"took {done.seconds['total']:.0f} s: {', '.join(took)}"
    if done.opens_at is not None:
        yield f"the market opens {new_york(done.opens_at)}: run `tokenomics start` then, and it trades"
    if done.grows_to is not None:
        yield (
            f"This is a starter universe. While `dagster dev` runs, the schedule universe_growth makes it "
            f"{done.grows_to:,} stocks in the coming night; next week's plan then replaces much of the portfolio, and "
            "waits for `tokenomics approve` where it goes beyond guards.max_exits or max_turnover_pct."
        )


def settings(shown: "Iterable[InForce]") -> Iterator[Table]:
    """A table for each section and one for the variables; what differs has its default beside it."""
    tables: dict[str, Table] = {}
    for one in shown:
        section = one.key.partition(".")[0] if "." in one.key else "environment"
        if section not in tables:
            title = f"{section}: {Settings.model_fields[section].description}"
            tables[section] = table_of(title, "setting", "value", "default", "from", "unit and meaning")
        value, default = (json.dumps(each, ensure_ascii=False) for each in (one.value, one.default))
        tables[section].add_row(one.key, value, default if one.differs else "", one.place, one.meaning)
    yield from tables.values()


def status(parts: "Iterable[found.Part]") -> Iterator[Table]:
    """One for each part, as soon as it is there."""
    from tokenomics_dagster.operations import status as found

    for part in parts:
        match part:
            case found.Subject():
                yield _subject(part)
            case found.Halt():
                yield _halted(part)
            case found.OpenProblems():
                yield _open_problems(part)
            case found.LastRuns():
                yield _last_runs(part)
            case found.NoInstance():
                yield _no_instance(part)
            case found.FailingChecks():
                yield _failing_checks(part)
            case found.UndoneWeek():
                yield undone_week(part)
            case found.Assets():
                yield _assets(part)
            case found.FailedSymbols():
                yield _failed_symbols(part)
            case found.Positions():
                yield positions(part)


def _subject(subject: "found.Subject") -> Table:
    table = table_of("looked at", "", "")
    table.show_header = False
    table.add_row("account", subject.account)
    table.add_row("database", subject.database)
    return table


def _halted(halt: "found.Halt") -> Table:
    table = table_of("trading is halted", "since", "by", "why")
    table.add_row(new_york(halt.at), halt.by, halt.reason)
    return table


def _open_problems(problems: "found.OpenProblems") -> Table:
    table = table_of("open problems", "what", "for", "seen", "what to do")
    for alert in problems.alerts:
        table.add_row(alert.title, span(problems.at - alert.first_seen_at), counted(alert.count, "time"), alert.action)
    return table


def _last_runs(last: "found.LastRuns") -> Table:
    table = table_of("last runs")
    for header in ("job", "", "started", "took", "run"):
        table.add_column(header, no_wrap=True)
    table.add_column("what it does", overflow="fold")
    for run in last.runs:
        began = f"{span(last.at - run.started_at)} ago" if run.started_at else "not yet"
        took = "" if run.took_s is None else span(timedelta(seconds=run.took_s))
        table.add_row(run.job, _STATES.get(run.state, run.state), began, took, run.run_id[:8], run.does)
    return table


def _no_instance(instance: "found.NoInstance") -> Table:
    table = table_of("last runs")
    table.add_row(instance.reason)
    return table


def _failing_checks(failing: "found.FailingChecks") -> Table:
    table = table_of("failing checks", "check", "", "what was found")
    for check in failing.checks:
        table.add_row(f"{check.asset}.{check.name}", check.severity, " ".join(check.description.split()))
    return table


def undone_week(week: "found.UndoneWeek") -> Table:
    again = "nothing tries again" if week.is_over else "a later session tries again"
    title = f"the week of {week.monday} is not done: {week.untraded_pct:.1f} % was not traded; {again}"
    table = table_of(title, "reason", "USD", "names")
    for kind, (usd, names) in week.by_kind.items():
        table.add_row(kind, f"{usd:,.2f}", f"{names:,}")
    return table


def _assets(stored: "found.Assets") -> Table:
    table = table_of("assets", "asset", "age", "coverage")
    for asset in stored.assets:
        table.add_row(asset.name, "never" if asset.made_at is None else span(stored.at - asset.made_at), asset.coverage)
    return table


def _failed_symbols(failed: "found.FailedSymbols", limit: int = 20) -> Table:
    title = f"{len(failed.symbols):,} symbols have failed; ask again by `tokenomics repair --failed`"
    table = table_of(title, "symbol", "for", "since (UTC)", "last error")
    for one in failed.symbols[:limit]:
        table.add_row(one.symbol, span(timedelta(days=one.days)), one.since, " ".join(one.error.split()))
    if len(failed.symbols) > limit:
        table.add_row(f"and {len(failed.symbols) - limit:,} more")
    return table


def positions(held: "found.Positions", limit: int = 15) -> Table:
    title = f"account {held.account}: equity {held.equity:,.2f} USD, cash {held.cash:,.2f} USD; largest drifts"
    table = table_of(title, "symbol", "value, USD", "weight", "target", "drift")
    for one in held.drifts[:limit]:
        table.add_row(
            one.symbol,
            "" if one.value is None else f"{one.value:,.2f}",
            "" if one.weight is None else f"{one.weight:.2%}",
            f"{one.target_weight:.2%}",
            "" if one.drift is None else f"{one.drift:+.2%}",
        )
    for foreign in held.foreign:
        value = "unknown" if foreign.value is None else f"{foreign.value:,.2f}"
        why = foreign.reason if foreign.long_stock else f"not traded here: {foreign.asset_class}"
        table.add_row(foreign.symbol, value, why)
    for symbol, reason in held.disputed.items():
        table.add_row(symbol, "", reason)
    return table


def plan(waiting: "PlanToApprove", limit: int = 10) -> Iterator[Table]:
    """What a person looks at before approving. Turnover is half of all buys and sells over equity."""
    plan, reasons = waiting.plan, waiting.reasons
    sides = {side: [o for o in plan.orders if o.side == side] for side in ("sell", "buy")}
    facts = table_of(f"plan {plan.plan_id}", "", "")
    facts.show_header = False
    facts.add_row("why it waits", "; ".join(reasons) or "it does not wait: it may be traded as it is")
    facts.add_row("account", plan.account)
    facts.add_row("made", new_york(plan.created_at))
    facts.add_row("equity", f"{plan.equity:,.2f} USD, of it cash {plan.cash:,.2f} USD")
    for side, orders in sides.items():
        worth = sum((o.value for o in orders), Decimal(0))
        exits = f", {plan.exits} of them exits" if side == "sell" else ""
        facts.add_row(f"{side}s", f"{len(orders)}{exits}, {worth:,.2f} USD")
    facts.add_row("turnover", f"{plan.turnover:.1%} of equity")
    if plan.foreign:
        facts.add_row("left alone", f"{', '.join(plan.foreign)}: no strategy has bought them here (`tokenomics adopt`)")
    yield facts
    largest = table_of("largest orders", "symbol", "", "shares", "USD", "price, USD")
    for order in sorted(plan.orders, key=lambda o: (-o.value, o.symbol))[:limit]:
        kind = "sell all" if order.exit else order.side
        shares = "" if order.qty is None else share_count(order.qty)
        largest.add_row(order.symbol, kind, shares, f"{order.value:,.2f}", f"{order.price:,.2f}")
    yield largest


def week(story: "Story") -> Table:
    """A week in short; what is said twice of one subject stands under it."""
    table = table_of(f"week of {story.week}", "", "")
    table.show_header = False
    before = ""
    for about, line in story.summary:
        table.add_row("" if about == before else about, line)
        before = about
    return table


def adoptable(found: "Sequence[Adoptable]") -> Table:
    table = table_of("stocks that no strategy has bought here", "symbol", "shares", "value, USD")
    for one in found:
        table.add_row(one.symbol, share_count(one.qty), "unknown" if one.value is None else f"{one.value:,.2f}")
    return table


def known(at: datetime, found: "Sequence[Known]", house: "House | None" = None, limit: int = 10) -> Iterator[Table]:
    """How many rows there were and how old, then the first rows of each."""
    from tokenomics_dagster.operations.known import HOUSE, as_shown

    counts = table_of(f"known at {new_york(at)}; all times in New York", "what", "rows", "newest was", "oldest was", "")
    for one in found:
        counts.add_row(one.kind, f"{len(one.frame):,}", _ago(at, one.newest), _ago(at, one.oldest), one.note)
    yield counts
    for one in found:
        frame = as_shown(one, house or HOUSE).head(limit)
        more = f": the first {limit} of {len(one.frame):,}" if len(one.frame) > limit else ""
        rows = table_of(f"{one.kind}{more}", *map(heading, frame.columns))
        for row in frame.itertuples(index=False):
            rows.add_row(*map(cell, frame.columns, row))
        yield rows


def _ago(at: datetime, then: datetime) -> str:
    return f"{minute(then)}, {span(at - then)} before"


def runs(title: str, what: str, counts: Counter[str]) -> Table:
    table = table_of(f"{title}: {counts.total():,}", what, "runs")
    for name, count in counts.most_common():
        table.add_row(name, f"{count:,}")
    return table


def demo(result: "Result") -> Iterator[Table]:
    """The summary of a demo: the result, how it came about, and last what it took."""
    for outcome in result.outcomes:
        for title, one in outcome.tables.items():
            shown = table_of(title, *one.columns)
            for cells in one.rows:
                shown.add_row(*cells)
            yield shown
    counts = table_of("how it came about", "stage", "count", "why the others were left out")
    for outcome in result.outcomes:
        for made in outcome.stages:
            counts.add_row(made.name, f"{made.count:,}", made.others)
    yield counts

    calls = table_of("calls", "endpoint", "calls")
    for endpoint, count in sorted(result.api_calls.items(), key=lambda item: -item[1]):
        calls.add_row(endpoint, f"{count:,}")
    yield calls

    times = table_of("time", "stage", "seconds")
    for stage, seconds in result.seconds.items():
        times.add_row(stage, f"{seconds:.1f}")
    yield times


def backtest(screen: "Mapping[str, Shown]", width: int) -> Iterator[Table]:
    """The last of several columns is cut where the terminal of that width ends: the page and the JSON have the whole.
    Sentences, which stand alone, are not."""
    for title, shown in screen.items():
        *widths, _ = (max(map(len, cells)) for cells in zip(shown.columns, *shown.rows, strict=True))
        columns = [
            Column(name, no_wrap=True, min_width=wide) for name, wide in zip(shown.columns[:-1], widths, strict=True)
        ]
        left = max(width - sum(widths) - 2 * len(widths), 10)
        columns.append(Column(shown.columns[-1], no_wrap=bool(widths), overflow="ellipsis" if widths else "fold"))
        columns[-1].max_width = left
        table = Table(*columns, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        table.show_header = any(shown.columns)
        for row in shown.rows:
            table.add_row(*row)
        yield table


def tuning(screen: "Mapping[str, Shown]") -> Iterator[Table]:
    """What was chosen, in the last column, may take several lines; days and figures stay whole."""
    for title, shown in screen.items():
        *others, last = shown.columns
        table = table_of(title)
        for name in others:
            table.add_column(name, no_wrap=True)
        table.add_column(last, overflow="fold")
        for row in shown.rows:
            table.add_row(*row)
        yield table
