"""A simulated account, session by session: what the market does to it, what is ordered of it and filled. Loops alone.

Plain functions over arrays, which compiled.py compiles; what is traded of a name is the live rules' (portfolio/
kernel.py). Names are numbered 0 to H - 1 among those that are ever wanted, in the order of their symbols; grids that a
market does not have are of shape (0, 0). Checks, sentences and the results' types are engine.py's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tokenomics_dagster.portfolio.kernel import affordable, decide, whole
from tokenomics_dagster.research.panel import Bools, Floats, Ints

CLOSE, NEXT_OPEN, NEXT_CLOSE = range(3)
CASH, INTEREST, KEPT, TRADED, COSTS = range(5)
"""Of `Book.money`, USD: cash, interest so far, the buffer of the last decision, and of the session what was traded and
what it cost."""
HELD, ORDERS, BUYS, FILLS, LAPSED, UNPAID, UNKNOWN, REPEATED, MISWEIGHED, DECISION, DECIDED = range(11)
"""Of `Book.counts`: names held, orders that wait, buys among them, trades made; orders without a price or under a halt,
buys without cash, trades whose volatility or volume is not known; names that a decision names twice, decisions whose
weights are none; the number of the next decision, and the session of the last one."""
EQUITY, ENDING_CASH, NAMES, MOVED, PAID = range(5)
"""Columns of the path that `walk` fills: USD but for the number of names."""

SIGMA_SESSIONS, VOLUME_SESSIONS, LEAST_RETURNS = 21, 63, 5
UNKNOWN_SIGMA = 0.06
"""A day's: 97.5 % of the recorded 1,500 largest are below 5.8 %."""
EXPONENT = 0.6
ROUNDING = 1e-9  # weights that were divided by their sum may add up to a few bits more than 1
BENCHMARK_SIGMA, BENCHMARK_USD = 0.02, 40e6
"""Of the name that half_spread_bps belongs to: a million shares of 40 USD a day."""


class Market(NamedTuple):
    """`column[h]`: the column of name h in all grids but `worth`, which are a Panel's. `days`: (T,) calendar days.
    `worth`: (T, H) as `follow_all` makes it, if for many runs; `rounded`: whether in millionths of a USD."""

    column: Ints
    days: Ints
    price: Floats
    returns: Floats
    volume: Floats
    open: Floats
    split: Floats
    dividend: Floats
    halted: Bools
    worth: Floats
    rounded: bool


class Wishes(NamedTuple):
    """Decisions, as in runs.py, their `names` by number."""

    sessions: Ints
    starts: Ints
    names: Ints
    weights: Floats
    refused: Bools


class Terms(NamedTuple):
    """Rules, as fractions: `fill` one of CLOSE, NEXT_OPEN, NEXT_CLOSE; `interest` a calendar day."""

    fill: int
    fractional: bool
    half_spread: float
    by_volume: bool
    fee: float
    impact: float
    threshold: float
    minimum: float
    buffer: float
    haircut: float
    interest: float


class Book(NamedTuple):
    """The account, changed in place. By name (H,): `shares`, `mark` USD, `flow` USD that came of it, `lost` whether it
    is marked as delisted, `wanted` shares ordered, `lacking` the part of its target that a buy is for, `size` USD of
    it, `chosen` the last decision that named it, `row` the price of its row at the last decision; `running` and `today`
    as `follow` takes them, from zeros. `held` and `queue`: names, in order, as many as are counted; `buys` room to sort
    them."""

    shares: Floats
    mark: Floats
    flow: Floats
    lost: Bools
    wanted: Floats
    lacking: Floats
    size: Floats
    chosen: Ints
    row: Floats
    running: Floats
    today: Floats
    held: Ints
    queue: Ints
    buys: Ints
    money: Floats
    counts: Ints
    fills: Floats


def follow(price: Floats, returns: Floats, column: Ints, rounded: bool, t: int, running: Floats, today: Floats) -> None:
    """Takes `running` (H,), USD at a close, to session t: each name counted in the shares of its first row, so that no
    later split is in it. `today` (H,): room for the session's returns.

    p0 x prod(1 + r) of the sessions after the first row; 0 before it. `rounded`: p0 to 4 decimals.
    """
    # Loops of their own: all but the third vectorise, and what the first asks for is not waited for one by one.
    for h in range(len(column)):
        today[h] = returns[t, column[h]]
    waiting = 0
    for h in range(len(column)):
        running[h] *= 1 + today[h]
        waiting += running[h] == 0
    if waiting > 0:
        for h in range(len(column)):
            if running[h] == 0 and price[t, column[h]] > 0:
                running[h] = np.rint(price[t, column[h]] * 1e4) / 1e4 if rounded else price[t, column[h]]


def follow_all(price: Floats, returns: Floats, column: Ints, rounded: bool, running: Floats, worth: Floats) -> None:
    """As `follow`, of all sessions: `worth` (T, H), USD at each close."""
    for t in range(len(worth)):
        follow(price, returns, column, rounded, t, running, worth[t])
        for h in range(len(column)):
            worth[t, h] = millionths(running[h], rounded)


def millionths(usd: float, rounded: bool) -> float:
    """USD, where `rounded` to 6 decimals: what is followed itself goes on unrounded."""
    return np.rint(usd * 1e6) / 1e6 if rounded else usd


def there(market: Market, t: int, h: int) -> bool:
    """Whether the name has a row."""
    return bool(market.price[t, market.column[h]] > 0)


def stopped(market: Market, t: int, h: int) -> bool:
    """Whether there is a row, and no trade."""
    return bool(len(market.halted) > 0 and market.halted[t, market.column[h]])


def worth_of(market: Market, book: Book, t: int, h: int) -> float:
    """USD a share at the close, on the basis that shares are counted in; stale where there is no row, but if splits
    are told."""
    if len(market.split) > 0:
        return market.price[t, market.column[h]]
    return market.worth[t, h] if len(market.worth) > 0 else millionths(book.running[h], market.rounded)


def close_price(market: Market, book: Book, t: int, h: int) -> float:
    """USD a share, 0 where none is traded."""
    if not there(market, t, h) or stopped(market, t, h):
        return 0.0
    return worth_of(market, book, t, h)


def fill_price(market: Market, terms: Terms, book: Book, t: int, h: int) -> float:
    """USD a share of what is ordered, 0 where none is traded."""
    close, c = close_price(market, book, t, h), market.column[h]
    if terms.fill != NEXT_OPEN or not close > 0:
        return close
    opened = market.open[t, c]
    if not opened > 0:
        return 0.0
    if len(market.split) > 0:
        return opened
    worth = close * (opened / market.price[t, c])
    return millionths(worth, market.rounded)


def liquidity(market: Market, t: int, h: int) -> tuple[float, float]:
    """Standard deviation of the daily returns and mean USD traded of the sessions up to t; 0 where not known."""
    c = market.column[h]
    count, total, squares = 0, 0.0, 0.0
    for s in range(max(0, t + 1 - SIGMA_SESSIONS), t + 1):
        if market.price[s, c] > 0:
            count += 1
            total += market.returns[s, c]
            squares += market.returns[s, c] ** 2
    sigma = 0.0
    if count >= LEAST_RETURNS:
        sigma = np.sqrt(max(squares - total * total / count, 0.0) / (count - 1))
    sessions, usd = 0, 0.0
    for s in range(max(0, t + 1 - VOLUME_SESSIONS), t + 1):
        traded = market.price[s, c] * market.volume[s, c]
        if traded >= 0:
            sessions += 1
            usd += traded
    return sigma, usd / sessions if sessions > 0 else 0.0


def cost_of(market: Market, terms: Terms, book: Book, t: int, h: int, usd: float) -> float:
    """Half spread and impact as a fraction of the price, by what was known at the close of t: see engine.py."""
    if not terms.by_volume and terms.impact == 0:
        return terms.half_spread
    sigma, volume = liquidity(market, t, h)
    if not (sigma > 0 and volume > 0):
        book.counts[UNKNOWN] += 1
        sigma = sigma if sigma > 0 else UNKNOWN_SIGMA
        volume = volume if volume > 0 else usd
    rate = terms.half_spread
    if terms.by_volume:
        activity = (sigma * volume) / (BENCHMARK_SIGMA * BENCHMARK_USD)
        rate *= max(1.0, sigma / BENCHMARK_SIGMA * activity ** (-1 / 3))
    return rate + terms.impact * sigma * (usd / volume) ** EXPONENT


def equity_of(book: Book) -> float:
    equity = book.money[CASH]
    for k in range(book.counts[HELD]):
        h = book.held[k]
        equity += book.shares[h] * book.mark[h]
    return equity


def trade(book: Book, t: int, h: int, shares: float, price: float, paid: float) -> None:
    """Books one trade: `shares` above zero for a buy, `paid` USD with all costs, below zero for what a sale brings."""
    worth = shares * price
    book.money[CASH] -= paid
    book.money[TRADED] += abs(worth)
    book.money[COSTS] += paid - worth
    book.flow[h] -= paid
    if shares > 0 and book.shares[h] == 0:
        book.held[book.counts[HELD]] = h
        book.counts[HELD] += 1
    book.shares[h] += shares
    book.mark[h] = price
    book.lost[h] = False
    n = book.counts[FILLS]
    book.counts[FILLS] += 1
    if n < len(book.fills):
        book.fills[n, 0] = t
        book.fills[n, 1] = h
        book.fills[n, 2] = shares
        book.fills[n, 3] = price
        book.fills[n, 4] = paid - worth


def tidy(book: Book) -> None:
    """Takes what is held no more off the list, and puts it in order."""
    n = 0
    for k in range(book.counts[HELD]):
        h = book.held[k]
        if book.shares[h] > 0:
            place = n
            while place > 0 and book.held[place - 1] > h:
                book.held[place] = book.held[place - 1]
                place -= 1
            book.held[place] = h
            n += 1
    book.counts[HELD] = n


def corporate_actions(market: Market, terms: Terms, book: Book, t: int) -> None:
    """Splits and dividends of the session, before anything is traded. Whole shares are paid out for a fraction."""
    for k in range(book.counts[ORDERS]):
        ratio = market.split[t, market.column[book.queue[k]]]
        if ratio > 0 and ratio != 1:
            wanted = book.wanted[book.queue[k]] * ratio
            book.wanted[book.queue[k]] = wanted if terms.fractional else np.sign(wanted) * whole(abs(wanted))
    for k in range(book.counts[HELD]):
        h = book.held[k]
        c = market.column[h]
        ratio = market.split[t, c]
        if ratio > 0 and ratio != 1:
            shares = book.shares[h] * ratio
            book.mark[h] /= ratio
            book.shares[h] = shares if terms.fractional else whole(shares)
            in_lieu = (shares - book.shares[h]) * book.mark[h]
            book.money[CASH] += in_lieu
            book.flow[h] += in_lieu
        if len(market.dividend) > 0 and market.dividend[t, c] > 0:
            book.money[CASH] += book.shares[h] * market.dividend[t, c]
            book.flow[h] += book.shares[h] * market.dividend[t, c]
    tidy(book)


def mark_to_market(market: Market, terms: Terms, book: Book, t: int, decision: int) -> float:
    """Marks what is held at the close, and returns the equity then; a name that is gone until the next decision
    (`decision`, a session), that day included, takes its haircut on the first day without a row."""
    # Then what it is worth is stale by itself wherever nothing is traded.
    if terms.haircut == 0 and len(market.split) == 0 and len(market.halted) == 0:
        equity = book.money[CASH]  # as equity_of: one loop for both takes a tenth off a run
        for k in range(book.counts[HELD]):
            h = book.held[k]
            book.mark[h] = worth_of(market, book, t, h)
            equity += book.shares[h] * book.mark[h]
        return equity
    for k in range(book.counts[HELD]):
        h = book.held[k]
        if there(market, t, h):
            book.lost[h] = False
            if not stopped(market, t, h):
                book.mark[h] = worth_of(market, book, t, h)
        elif terms.haircut > 0 and not book.lost[h]:
            gone = True
            for s in range(t + 1, decision + 1):
                gone = gone and not there(market, s, h)
            if gone:
                book.lost[h] = True
                book.mark[h] *= 1 - terms.haircut
    return equity_of(book)


def pay_out(market: Market, terms: Terms, book: Book, t: int, h: int) -> None:
    """Turns what is held of a name without a row into cash, at its mark: see engine.py for what that costs."""
    shares, price = book.shares[h], book.mark[h]
    paid = -shares * price
    if len(market.split) == 0:
        rate = min(cost_of(market, terms, book, t, h, shares * price), 1.0)
        paid = min(terms.fee - shares * (price * (1 - rate)), book.money[CASH])
    trade(book, t, h, -shares, price, paid)


def read_wishes(market: Market, wishes: Wishes, book: Book) -> bool:
    """Notes who is named by the next decision, and whether all that it names or is held has a row. False where it is
    no decision: engine.py then refuses the whole."""
    i = book.counts[DECISION]
    t, together, sound, repeated = wishes.sessions[i], 0.0, True, 0
    for j in range(wishes.starts[i], wishes.starts[i + 1]):
        h = wishes.names[j]
        repeated += book.chosen[h] == i
        book.chosen[h] = i
        together += wishes.weights[j]
        sound = sound and wishes.weights[j] >= 0
    book.counts[REPEATED] += repeated
    if not (sound and together <= 1 + ROUNDING):  # what is no number is not
        book.counts[MISWEIGHED] += 1
    # Apart from all else, for these lie far from each other in memory: so many are asked for at once.
    for j in range(wishes.starts[i], wishes.starts[i + 1]):
        book.row[wishes.names[j]] = market.price[t, market.column[wishes.names[j]]]
    for k in range(book.counts[HELD]):
        book.row[book.held[k]] = market.price[t, market.column[book.held[k]]]
    return bool(book.counts[REPEATED] + book.counts[MISWEIGHED] == 0)


def decide_orders(market: Market, wishes: Wishes, terms: Terms, book: Book, equity: float) -> None:
    """What is ordered for the next decision, at its close: exits, other sells, then buys, who lacks most first."""
    book.money[KEPT] = equity * terms.buffer
    book.counts[ORDERS] = 0
    book.counts[BUYS] = 0
    if read_wishes(market, wishes, book):
        order_exits(market, wishes, terms, book)
        order_targets(market, wishes, terms, book, equity - book.money[KEPT])
        for k in range(book.counts[BUYS]):
            enqueue(book, book.buys[k])


def enqueue(book: Book, h: int) -> None:
    book.queue[book.counts[ORDERS]] = h
    book.counts[ORDERS] += 1


def order_exits(market: Market, wishes: Wishes, terms: Terms, book: Book) -> None:
    """Sells of what is no more wanted; who has no row is paid out, wanted or not."""
    t, gone = wishes.sessions[book.counts[DECISION]], False
    for k in range(book.counts[HELD]):
        h = book.held[k]
        if not book.row[h] > 0:
            pay_out(market, terms, book, t, h)
            gone = True
        elif book.chosen[h] != book.counts[DECISION]:
            if stopped(market, t, h):
                book.counts[LAPSED] += 1
            else:
                book.wanted[h] = -book.shares[h]
                enqueue(book, h)
    if gone:
        tidy(book)


def order_targets(market: Market, wishes: Wishes, terms: Terms, book: Book, invested: float) -> None:
    """What the live rules make of each target, a part of `invested` USD."""
    i = book.counts[DECISION]
    t = wishes.sessions[i]
    for j in range(wishes.starts[i], wishes.starts[i + 1]):
        h, target = wishes.names[j], wishes.weights[j] * invested
        price = worth_of(market, book, t, h)
        if not (book.row[h] > 0 and price > 0) or stopped(market, t, h):
            book.counts[LAPSED] += 1
            continue
        held = book.shares[h]
        _, book.wanted[h] = decide(target, price, held, held, terms.fractional, terms.threshold, terms.minimum)
        if book.wanted[h] < 0:
            enqueue(book, h)
        elif book.wanted[h] > 0:
            book.size[h] = target - held * price
            book.lacking[h] = book.size[h] / target
            insert(book, h)


def insert(book: Book, h: int) -> None:
    """Puts a buy among those that are sorted: by the part of the target that it lacks, then by USD, then by symbol."""
    place = book.counts[BUYS]
    while place > 0:
        other = book.buys[place - 1]
        if book.lacking[other] > book.lacking[h]:
            break
        if book.lacking[other] == book.lacking[h]:
            if book.size[other] > book.size[h]:
                break
            if book.size[other] == book.size[h] and other < h:
                break
        book.buys[place] = other
        place -= 1
    book.buys[place] = h
    book.counts[BUYS] += 1


def fill_orders(market: Market, terms: Terms, book: Book, t: int) -> None:
    """Trades what waits, at session t's price and at the costs that were known when it was decided."""
    decided = book.counts[DECIDED]
    for k in range(book.counts[ORDERS]):
        h = book.queue[k]
        wanted, price = book.wanted[h], fill_price(market, terms, book, t, h)
        if not price > 0:
            book.counts[LAPSED] += 1
        elif wanted < 0:
            sold = min(-wanted, book.shares[h])
            rate = min(cost_of(market, terms, book, decided, h, sold * price), 1.0)
            paid = terms.fee - sold * (price * (1 - rate))
            if paid > book.money[CASH]:  # a fee that neither the sale nor the account can pay
                book.counts[UNPAID] += 1
            elif sold > 0:
                trade(book, t, h, -sold, price, paid)
        else:
            left = book.money[CASH] - book.money[KEPT]
            rate = cost_of(market, terms, book, decided, h, wanted * price)
            bought = affordable(wanted, price * (1 + rate), price, left - terms.fee, terms.fractional, terms.minimum)
            if bought == 0:
                book.counts[UNPAID] += 1
                continue
            if bought < wanted:
                rate = cost_of(market, terms, book, decided, h, bought * price)
            # The least of both: a fraction of a share may cost an ulp more than what is there.
            trade(book, t, h, bought, price, min(bought * (price * (1 + rate)) + terms.fee, left))
    book.counts[ORDERS] = 0
    tidy(book)


def walk(market: Market, wishes: Wishes, terms: Terms, book: Book, path: Floats) -> None:
    """Takes the account through all sessions and fills `path`, (T, 5)."""
    sessions, decisions = len(market.days), len(wishes.sessions)
    following = len(market.split) == 0 and len(market.worth) == 0
    for t in range(sessions):
        book.money[TRADED] = 0.0
        book.money[COSTS] = 0.0
        if following:
            follow(market.price, market.returns, market.column, market.rounded, t, book.running, book.today)
        if t > (wishes.sessions[0] if decisions > 0 else 0):  # what was before is looked at, and no part of the record
            interest = book.money[CASH] * terms.interest * (market.days[t] - market.days[t - 1])
            book.money[CASH] += interest
            book.money[INTEREST] += interest
        if t > 0 and len(market.split) > 0:
            corporate_actions(market, terms, book, t)
        if terms.fill == NEXT_OPEN and book.counts[ORDERS] > 0:
            fill_orders(market, terms, book, t)
        i = book.counts[DECISION]
        decision = wishes.sessions[i] if i < decisions else sessions - 1
        equity = mark_to_market(market, terms, book, t, decision)
        if terms.fill == NEXT_CLOSE and book.counts[ORDERS] > 0:
            fill_orders(market, terms, book, t)
            equity = equity_of(book)
        if i < decisions and decision == t:
            if not wishes.refused[i]:
                book.counts[DECIDED] = t
                decide_orders(market, wishes, terms, book, equity)
                if terms.fill == CLOSE:
                    fill_orders(market, terms, book, t)
                equity = equity_of(book)
            book.counts[DECISION] += 1
        path[t, EQUITY] = equity
        path[t, ENDING_CASH] = book.money[CASH]
        path[t, NAMES] = book.counts[HELD]
        path[t, MOVED] = book.money[TRADED]
        path[t, PAID] = book.money[COSTS]
