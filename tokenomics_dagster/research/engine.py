"""Decisions on a panel become an account: which data and rules the loop of account.py is given, and what comes of it.

Conventions (docs/evidence.md has them in one table)
----------------------------------------------------
Shares. Where the panel tells splits, those of the day at prices as traded: a split changes their number (whole shares
are paid for the fraction in cash, at the last mark), a dividend is paid in cash on its ex-day. Where it does not, those
of the name's first row, at p0 x prod(1 + r), in which no later split is; for whole shares rounded, p0 to 4 decimals and
the product to 6. Dividends are then in the returns, if anywhere.

A session. Interest on yesterday's cash for the calendar days since, from the first decision on; splits and dividends;
fills at the open; marks at the close; fills at the close; the decision. How much is traded is decided at the close by
the live rules (portfolio/kernel.py), at that close's equity less the buffer; an order without a price, or under a halt,
when it is to be filled lapses. Sells come first, then buys in the plan's order, as far as cash less the buffer goes.

Names without a row at a decision are sold at their last mark, then and there, and wanted or not (C4). Where splits are
told, so are delistings: the issuer pays, without costs. Where not, a row may merely be missing: then it costs what a
trade costs. `haircut_pct` is lost on the first session without a row, if there is none until the next decision.

Costs. Half spread: half_spread_bps; with `by_volume` x max(1, sigma / 2 % x (W / W*)^(-1/3)), where W = sigma x USD
traded a day and W* is that of a name with sigma 2 % and 40 million USD, to which half_spread_bps then belongs: the
spread's law in Kyle and Obizhaeva, Econometrica 84 (2016), 1345-1404. Impact: Y x sigma x (USD / ADV)^0.6, a fraction
of the price (Almgren, Thum, Hauptmann and Li, Risk 18 (2005), 58-62). sigma over 21 and ADV over 63 sessions up to the
decision; where unknown, sigma is 6 % and ADV the trade itself. Both together take at most what a sale brings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.research import account
from tokenomics_dagster.research.account import Book, Market, Terms, Wishes
from tokenomics_dagster.research.compiled import compiled
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.panel import Floats, Ints, Panel
from tokenomics_dagster.research.runs import Decisions, Fills, Rules, Run

FILLS = {"close": account.CLOSE, "next_open": account.NEXT_OPEN, "next_close": account.NEXT_CLOSE}
DAYS_A_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Batch:
    """Of K runs on one panel of T sessions: `equity` (K, T) USD, `traded` (K,) USD bought and sold, `costs` (K,) USD,
    `trades` (K,)."""

    equity: Floats
    traded: Floats
    costs: Floats
    trades: Ints

    @property
    def turnover(self) -> Floats:
        """(K,) two-sided, a year of 252 sessions, as `Run.turnover`."""
        return self.traded / self.equity.mean(axis=1) * 252 / self.equity.shape[1]


def simulate(panel: Panel, decisions: Decisions, rules: Rules) -> Run:
    """The account that `rules` make of the decisions. Memory beyond the panel's is O(sessions x names ever wanted).

    Raises ExperimentError for decisions that are not the panel's, and for rules that ask what the panel does not tell.
    """
    columns = columns_of(panel, [decisions])
    done = _run(market_of(panel, columns, rules, many=False), numbered(panel, decisions, columns), rules, fills=True)
    rows = done.book.fills[: done.book.counts[account.FILLS]]
    run = run_of(panel, decisions, columns, done.book, done.path, rows, rules.capital)
    return replace(run, warnings=_warnings(done.book.counts))


def run_of(
    panel: Panel, decisions: Decisions, columns: Ints, book: Book, path: Floats, rows: Floats, capital: float
) -> Run:
    """What an account came to: its `book` at the end, its `path` (T, 5), and its trades as the `rows` (F, 5) of
    account.trade, names numbered by `columns`; without warnings."""
    profit, shares = np.zeros(len(panel.symbols)), np.zeros(len(panel.symbols))
    profit[columns] = book.flow + book.shares * book.mark
    shares[columns] = book.shares
    return Run(
        dates=panel.dates,
        equity=path[:, account.EQUITY].copy(),
        cash=path[:, account.ENDING_CASH].copy(),
        held=path[:, account.NAMES].astype(np.int64),
        traded=path[:, account.MOVED].copy(),
        costs=path[:, account.PAID].copy(),
        profit=profit,
        interest=float(book.money[account.INTEREST]),
        final_shares=shares,
        decided=decisions.sessions[~decisions.refused],
        fills=Fills(
            sessions=rows[:, 0].astype(np.int64),
            names=columns[rows[:, 1].astype(np.int64)],
            shares=rows[:, 2].copy(),
            price=rows[:, 3].copy(),
            cost=rows[:, 4].copy(),
        ),
        capital=capital,
    )


def simulate_many(panel: Panel, decisions: Sequence[Decisions], rules: Rules | Sequence[Rules]) -> Batch:
    """As `simulate`, of K lists of decisions, under the same rules or each under its own; what the market is like is
    gathered once."""
    each = [rules] * len(decisions) if isinstance(rules, Rules) else list(rules)
    if len(each) != len(decisions):
        raise ExperimentError(f"{len(decisions)} lists of decisions cannot be run under {len(each)} sets of rules")
    for under in {id(under): under for under in each}.values():  # a look at all volumes takes as long as a run
        _answerable(panel, under)
    columns = columns_of(panel, decisions)
    markets: dict[bool, Market] = {}
    equity = np.empty((len(each), len(panel.dates)))
    traded, costs, trades = np.empty(len(each)), np.empty(len(each)), np.empty(len(each), dtype=np.int64)
    wishes = None
    for k, (one, under) in enumerate(zip(decisions, each, strict=True)):
        whole = under.shares == "whole"
        if whole not in markets:
            markets[whole] = market_of(panel, columns, under, many=True)
        if wishes is None or one is not decisions[k - 1]:
            wishes = numbered(panel, one, columns)
        done = _run(markets[whole], wishes, under, fills=False)
        equity[k] = done.path[:, account.EQUITY]
        traded[k] = done.path[:, account.MOVED].sum()
        costs[k] = done.path[:, account.PAID].sum()
        trades[k] = done.book.counts[account.FILLS]
    return Batch(equity, traded, costs, trades)


class _Done(NamedTuple):
    book: Book
    path: Floats


def _run(market: Market, wishes: Wishes, rules: Rules, *, fills: bool) -> _Done:
    names, terms = len(market.column), terms_of(rules)
    # Each decision trades what is held and what is wanted. What halts keep may be more: then it is run once more.
    room = 2 * len(wishes.names) + names if fills else 0
    while True:
        book = book_of(names, room, rules.capital)
        path = np.empty((len(market.days), 5))
        _loops().walk(market, wishes, terms, book, path)
        _require_sound(book.counts)
        if not fills or book.counts[account.FILLS] <= room:
            return _Done(book, path)
        room = int(book.counts[account.FILLS])


class _Loops(NamedTuple):
    follow_all: Callable[..., Any]
    walk: Callable[..., Any]


@lru_cache(maxsize=1)
def _loops() -> _Loops:
    return _Loops(*compiled(account.follow_all, account.walk))


def market_of(panel: Panel, columns: Ints, rules: Rules, *, many: bool) -> Market:
    """What a run sees of the panel, for the names in `columns`; for `many` runs what names are worth is reckoned once,
    else along with the only one. Raises ExperimentError where it lacks what the rules ask for."""
    _answerable(panel, rules)
    market = Market(
        column=_frozen(columns, np.uint64),  # what cannot be below zero is not looked at for being so
        days=_frozen(panel.dates.astype("datetime64[D]"), np.int64),
        price=_grid(panel.price),
        returns=_grid(panel.returns),
        volume=_grid(panel.volume),
        open=_grid(panel.open),
        split=_grid(panel.split),
        dividend=_grid(panel.dividend),
        halted=_frozen(np.zeros((0, 0)) if panel.halted is None else panel.halted, np.bool_),
        worth=_grid(None),
        rounded=rules.shares == "whole",
    )
    if not many or panel.split is not None:
        return market
    worth = np.empty((len(panel.dates), len(columns)))
    running = np.zeros(len(columns))
    _loops().follow_all(market.price, market.returns, market.column, market.rounded, running, worth)
    return market._replace(worth=_frozen(worth, np.float64))


def _answerable(panel: Panel, rules: Rules) -> None:
    if rules.fill == "next_open" and panel.open is None:
        raise ExperimentError("fill: next_open needs opens, and these prices have none; use fill: next_close")
    if (rules.costs.impact or rules.costs.by_volume) and not np.any(panel.volume >= 0):
        raise ExperimentError("costs.impact and costs.by_volume need volumes, and these prices have none")


def terms_of(rules: Rules) -> Terms:
    return Terms(
        fill=FILLS[rules.fill],
        fractional=rules.shares == "fractional",
        half_spread=rules.costs.half_spread_bps / 1e4,
        by_volume=rules.costs.by_volume,
        fee=float(rules.costs.fee_usd),
        impact=float(rules.costs.impact),
        threshold=rules.threshold_pct / 100,
        minimum=float(rules.min_trade_usd),
        buffer=rules.cash_buffer_pct / 100,
        haircut=rules.haircut_pct / 100,
        interest=rules.interest_pct / 100 / DAYS_A_YEAR,
    )


def book_of(names: int, fills: int, capital: float) -> Book:
    """An account of cash alone, with room for so many `fills`."""
    money = np.zeros(5)
    money[account.CASH] = capital
    return Book(
        shares=np.zeros(names),
        mark=np.zeros(names),
        flow=np.zeros(names),
        lost=np.zeros(names, dtype=np.bool_),
        wanted=np.zeros(names),
        lacking=np.zeros(names),
        size=np.zeros(names),
        chosen=np.full(names, -1, dtype=np.int64),
        row=np.zeros(names),
        running=np.zeros(names),
        today=np.zeros(names),
        held=np.zeros(names, dtype=np.int64),
        queue=np.zeros(names, dtype=np.int64),
        buys=np.zeros(names, dtype=np.int64),
        money=money,
        counts=np.zeros(11, dtype=np.int64),
        fills=np.empty((fills, 5)),
    )


def columns_of(panel: Panel, decisions: Sequence[Decisions]) -> Ints:
    """The columns of the panel that are ever wanted, increasing."""
    wanted = np.zeros(len(panel.symbols), dtype=np.bool_)
    for one in decisions:
        if one.names.size and not 0 <= one.names.min() <= one.names.max() < len(wanted):
            raise ExperimentError(f"decisions name columns that a panel of {len(wanted)} symbols does not have")
        wanted[one.names] = True
    return np.flatnonzero(wanted)


def numbered(panel: Panel, decisions: Decisions, columns: Ints) -> Wishes:
    """The decisions as the loop takes them. Raises ExperimentError for sessions that are none."""
    sessions, starts = decisions.sessions, decisions.starts
    if np.any(np.diff(sessions) <= 0) or (sessions.size and not 0 <= sessions[0] <= sessions[-1] < len(panel.dates)):
        raise ExperimentError(f"decisions must be at increasing sessions of the {len(panel.dates)} there are")
    ends = starts[0] == 0 and starts[-1] == len(decisions.names) == len(decisions.weights)
    if len(starts) != len(sessions) + 1 or not ends or np.any(np.diff(starts) < 0):
        raise ExperimentError("decisions must say for each session where its names begin, and where the last ones end")
    number = np.zeros(len(panel.symbols), dtype=np.int64)
    number[columns] = np.arange(len(columns))
    return Wishes(
        sessions=_frozen(sessions, np.int64),
        starts=_frozen(starts, np.int64),
        names=_frozen(number[decisions.names], np.int64),
        weights=_frozen(decisions.weights, np.float64),
        refused=_frozen(decisions.refused, np.bool_),
    )


def _grid(grid: Floats | None) -> Floats:
    """The grid, or an empty one."""
    return _frozen(np.zeros((0, 0)) if grid is None else grid, np.float64)


def _frozen(array: NDArray[Any], kind: type[np.generic]) -> NDArray[Any]:
    """A view in C order that cannot be written to, a copy where it must be: of the one type that is compiled for."""
    view = np.ascontiguousarray(array, dtype=kind).view()
    view.flags.writeable = False
    return view


def _require_sound(counts: Ints) -> None:
    if counts[account.REPEATED]:
        raise ExperimentError("a decision names a symbol twice")
    if counts[account.MISWEIGHED]:
        raise ExperimentError("weights must be numbers from 0 to 1, and those of one decision add up to 1 at most")


def _warnings(counts: Ints) -> tuple[str, ...]:
    told = (
        (account.LAPSED, "orders that lapsed, without a price or under a halt when they were to be filled"),
        (account.UNPAID, "orders that were dropped, because cash did not pay for them"),
        (account.UNKNOWN, "costs that were reckoned high, because volatility or volume was not known"),
    )
    return tuple(f"{what}: {counts[which]:,}." for which, what in told if counts[which])
