"""Tables of what becomes of the money, as portfolio.py shows them. Only that imports this."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from tokenomics_dagster.interfaces.cli.tables import table_of
from tokenomics_dagster.interfaces.cli.words import counted
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.operations.common import share_count

if TYPE_CHECKING:
    from tokenomics_dagster.operations.dry_plan import DryPlan, NotTraded
    from tokenomics_dagster.operations.performance import Earned, NotYet
    from tokenomics_dagster.operations.trades import WeekOfTrades
    from tokenomics_dagster.operations.upcoming import Upcoming

_SHOWN = 10


def trades(found: "WeekOfTrades", *, every: bool = False) -> Iterator[RenderableType]:
    if not found.account:
        yield f"nothing was planned in the week of {found.week} in {found.database}"
        return
    from tokenomics_dagster.operations.trades import headline

    if found.by_broker:
        yield (
            f"the end of {counted(found.by_broker, 'order')} is not in the records yet: told as the broker shows it "
            "now, until the next rebalance takes it over (`tokenomics orders`)"
        )
    table = table_of(headline(found), "", "symbol", "shares", "USD", "price", "quote's middle", "bps", "status", "why")
    shown = found.trades if every else sorted(found.trades, key=lambda one: -one.usd)[:_SHOWN]
    for one in sorted(shown, key=found.trades.index):
        table.add_row(
            one.side,
            one.symbol,
            _least(share_count(one.shares), ended=one.ended, anything=bool(one.shares)),
            _least(_usd(one.usd), ended=one.ended, anything=bool(one.shares)),
            _price(one.price),
            _price(one.middle),
            "not known" if one.slippage_bps is None else f"{one.slippage_bps:+.1f}",
            one.status,
            one.why + (f" ({one.note})" if one.note else ""),
        )
    if len(found.trades) > len(shown):
        rest = [one for one in found.trades if one not in shown]
        table.add_row("", f"and {len(rest)} more", "", _usd(sum((one.usd for one in rest), Decimal(0))))
    yield table
    yield _costs(found)
    if found.done is None:
        yield "what was meant and not traded is not known: no run of the week is recorded to have come to its end"
    yield from _left(found.not_traded, every=every)


def _least(told: str, *, ended: bool, anything: bool) -> str:
    if ended:
        return told
    return f"at least {told}" if anything else "not known"


def _costs(found: "WeekOfTrades") -> str:
    sums = found.totals
    bps = "" if sums.cost_bps is None else f" ({sums.cost_bps:+.1f} bps)"
    told = f"against the middle of the quotes at the decision the trades cost {_usd(sums.cost)} USD{bps}"
    if any(one.middle is not None and not one.quoted for one in found.trades):
        told += ", where a plan did not keep the quote against the price that it was sized with"
    if sums.unknown:
        told += f"; of {sums.unknown} it is not known, for their plan is not in the warehouse"
    if sums.unended:
        told += f"; of {sums.unended} it is not known, for their end is not"
    fees = f"fees {_usd(found.fees)} USD" if found.fees is not None else f"fees are not known: {found.why}"
    return f"{told}; {fees}"


def dry_plan(found: "DryPlan", *, every: bool = False) -> Iterator[RenderableType]:
    if found.quotes_of is None:
        yield f"what would be traded at {_both(found.at)}; nothing is stored, nothing is sent"
    else:
        yield (
            f"the market is closed: what would be traded at the quotes of the session of {found.quotes_of}, which are "
            "not those of the next open; nothing is stored, nothing is sent"
        )
    yield found.account
    sums = {side: [one for one in found.orders if one.side == side] for side in ("sell", "buy")}
    told = ", ".join(
        f"{len(some)} {side}s for {_usd(sum((o.usd for o in some), Decimal(0)))}" for side, some in sums.items()
    )
    title = (
        f"{told} USD; equity {_usd(found.equity)}, cash {_usd(found.cash)} USD; targets leave {found.cash_weight:.2%}"
    )
    table = table_of(title, "", "symbol", "shares", "USD", "price", "bid", "ask", "why")
    shown = found.orders if every else found.orders[:_SHOWN]
    for one in shown:
        shares = "" if one.shares is None else share_count(one.shares)
        table.add_row(
            one.side, one.symbol, shares, _usd(one.usd), _price(one.price), _price(one.bid), _price(one.ask), one.why
        )
    if len(found.orders) > len(shown):
        rest = found.orders[len(shown) :]
        table.add_row("", f"and {len(rest)} more", "", _usd(sum((one.usd for one in rest), Decimal(0))))
    yield table
    yield from _left(found.left, every=every)
    if found.against:
        yield _sentences("what would keep it from being traded now", found.against)
    if found.remarks:
        yield _sentences("to know", found.remarks)


def upcoming(found: "Upcoming") -> Iterator[RenderableType]:
    yield f"it is {_both(found.at)} by the broker's clock; what is on is told by {found.told_by}"
    table = table_of("schedules", "schedule", "", "next tick", "which", "then")
    for one in found.schedules:
        then = f"{_both(one.acts)}: {one.does}" if one.acts is not None else "none of its next ticks starts anything"
        starts = f"starts {one.job}" if one.why_not is None else f"starts nothing: {one.why_not}"
        if one.why_not is None:
            then = one.does
        if one.on is False:
            starts, then = f"nothing, for it is off; once switched on: {starts}", f"once switched on: {then}"
        table.add_row(one.name, _switch(one.on), _both(one.tick), starts, then)
    yield table
    looking = table_of("sensors", "sensor", "", "looks every", "and")
    for sensor in found.sensors:
        looking.add_row(sensor.name, _switch(sensor.on), f"{sensor.every_s} s", sensor.does)
    yield looking
    sessions = table_of("sessions to come", "opens", "closes")
    for session in found.sessions:
        sessions.add_row(_both(session.open), _both(session.close))
    yield sessions
    if found.odd:
        yield _sentences("holidays and half days", (f"{day:%a %Y-%m-%d}: {what}" for day, what in found.odd))
    if found.doubts:
        yield _sentences("why it may come otherwise", found.doubts)


def performance(found: "Earned | NotYet") -> Iterator[RenderableType]:
    from tokenomics_dagster.operations.performance import NotYet

    if isinstance(found, NotYet):
        yield found.reason
        return
    one = found.performance
    yield found.account
    title = f"from {_both(one.since)} ({found.begun}) to {_both(one.until)}, {one.sessions:,} sessions"
    table = table_of(title, "", "", "")
    table.show_header = False
    doubtful = (*one.unsure, *one.beside)
    why = {name: "as said above" if told in one.unsure else told for name, told in one.undefined.items()}
    for doubt in doubtful:
        table.add_row("doubtful", "not known" if doubt in one.unsure else "", doubt)
    table.add_row("a USD that stayed (time-weighted)", *_told(one.time_weighted, why.get("time_weighted")))
    if one.time_weighted_annual is not None:
        table.add_row("a year", _percent(one.time_weighted_annual), _interval(found))
    table.add_row("your money (money-weighted)", *_told(one.money_weighted, why.get("money_weighted")))
    if one.money_weighted_annual is not None:
        table.add_row("a year", _percent(one.money_weighted_annual), "")
    else:
        table.add_row(
            "a year", "-", "as said above" if one.unsure else f"{why['money_weighted_annual']}; {found.sure.why}"
        )
    fall = one.drawdown
    if fall is None and "drawdown" in one.undefined:
        table.add_row("largest drawdown", "not known", why["drawdown"])
    elif fall is None:
        table.add_row("largest drawdown", _percent(0.0), "it never was under an earlier value")
    else:
        back = f"back on {fall.recovered}" if fall.recovered else "not back yet"
        table.add_row("largest drawdown", _percent(-fall.depth), f"from {fall.peak} to {fall.trough}, {back}")
    for other in found.compared:
        table.add_row(other.name, *_told(other.total, other.why or other.note))
    yield table
    yield _account(found)
    yield _months(found)
    if more := [doubt for doubt in found.doubts if doubt not in doubtful]:
        yield _sentences("what is not known, or doubtful", more)


def _account(found: "Earned") -> Table:
    """From the first value to the last, in USD, and what it cost."""
    one, costs, cash = found.performance, found.costs, found.books
    table = table_of("USD", "", "", "")
    table.show_header = False
    table.add_row("at the beginning", _usd(one.start), "")
    table.add_row("+ paid in", _usd(one.paid_in), "")
    table.add_row("- paid out", _usd(one.paid_out), "")
    told = [] if cash is None else [f"of it dividends and interest {_usd(cash.income)}"]
    if cash is not None and cash.difference:
        told.append(f"{cash.difference:+,.2f} that nothing explains")
    if one.unsure:
        told.append("no fact: see what is doubtful above")
    table.add_row("+ earned", _usd(one.profit), "; ".join(told))
    table.add_row("= now", _usd(one.end), "" if cash is None else f"of it cash {_usd(cash.now)}")
    bps = "" if costs.spread_bps is None else f"; {costs.spread_bps:+.1f} bps of what was traded"
    unknown = f"; of {costs.unknown} trades not known" if costs.unknown else ""
    table.add_row("spread paid", _usd(costs.spread), f"against the quotes' middle at the decision{bps}{unknown}")
    table.add_row("fees", _usd(costs.fees), "as the broker booked them")
    turned = "-" if costs.turnover is None else f"{costs.turnover:.2f} x"
    table.add_row("turnover", turned, "bought and sold, both, over the mean value, in the whole time")
    return table


def _months(found: "Earned") -> Table:
    one = found.performance
    table = table_of(
        "by month", "month", "account", *(other.name for other in found.compared), "earned, USD", "paid in"
    )
    for month in one.months:
        growth = None if month.growth is None else month.growth - 1
        others = (_percent(other.months.get(month.month)) for other in found.compared)
        table.add_row(f"{month.month:%Y-%m}", _percent(growth), *others, _usd(month.profit), _usd(month.paid_in))
    return table


def _interval(found: "Earned") -> str:
    sure = found.sure
    if sure.low is None or sure.high is None:
        return sure.why
    return f"{sure.level:.0%} interval {_percent(sure.low)} to {_percent(sure.high)}"


def _told(figure: float | None, why: str | None) -> tuple[str, str]:
    return _percent(figure), why or ""


def _percent(fraction: float | None) -> str:
    return "not known" if fraction is None else f"{fraction:+.2%}"


def _left(left: "Iterable[NotTraded]", *, every: bool) -> Iterator[Table]:
    """What was meant one by one; of the rest how many, by the kind of reason."""
    from tokenomics_dagster.kit.outcome import kind_of

    meant = [one for one in left if one.usd is not None]
    rest = [one for one in left if one.usd is None]
    if meant:
        table = table_of("meant and not traded", "", "symbol", "USD", "why")
        for one in meant if every else meant[:_SHOWN]:
            table.add_row(one.side, one.symbol, _usd(one.usd), one.why)
        if len(meant) > _SHOWN and not every:
            table.add_row("", f"and {len(meant) - _SHOWN} more")
        yield table
    if rest and every:
        table = table_of("not traded, and not meant to be", "symbol", "why")
        for one in rest:
            table.add_row(one.symbol, one.why)
        yield table
    elif rest:
        kinds = defaultdict[str, list["NotTraded"]](list)
        for one in rest:
            kinds[re.sub(r"\d[\d.,]*", "..", kind_of(one.why))].append(one)
        table = table_of("not traded, and not meant to be", "names", "why")
        for kind, some in sorted(kinds.items(), key=lambda item: -len(item[1])):
            # One alone is told by its name and with its figures: there is nothing to sum up.
            table.add_row(*((some[0].symbol, some[0].why) if len(some) == 1 else (f"{len(some):,}", kind)))
        yield table


def _sentences(title: str, told: Iterable[str]) -> Table:
    table = table_of(title, "")
    table.show_header = False
    for one in told:
        table.add_row(one)
    return table


def _switch(on: bool | None) -> str:
    return {True: "on", False: "off", None: "on and off"}[on]


def _both(at: datetime) -> str:
    """In New York's time, and in the user's own where that is another."""
    there, here = at.astimezone(NEW_YORK), at.astimezone()
    if there.utcoffset() == here.utcoffset():
        return f"{there:%a %Y-%m-%d %H:%M} New York"
    day = "" if here.date() == there.date() else f"{here:%a} "
    return f"{there:%a %Y-%m-%d %H:%M} New York ({day}{here:%H:%M} {here.tzname()})"


def _usd(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:,.2f}"


def _price(price: Decimal | None) -> str:
    return "not known" if price is None else f"{price:,.4f}".rstrip("0").rstrip(".")
