"""Why a stock is held or not, and what would change it, in sentences, from what explain.py has gathered. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.model.trading import booked
from tokenomics_dagster.operations.common import new_york, share_count
from tokenomics_dagster.operations.tradability import in_words

if TYPE_CHECKING:
    from datetime import date, datetime

    from tokenomics_dagster.execution.told import Planned, Reported, Trade
    from tokenomics_dagster.fundamentals.explained import Lever
    from tokenomics_dagster.model.trading import Fill
    from tokenomics_dagster.operations.holdings import Held, LeftAlone
    from tokenomics_dagster.operations.tradability import Tradability
    from tokenomics_dagster.portfolio.ranking import NotChosen, Place
    from tokenomics_dagster.storage.records import Halt
    from tokenomics_dagster.universe.told import Following

_NAMES = {
    "roe_ttm_pct": "ROE",
    "debt_to_equity": "debt/equity",
    "revenue_growth_yoy_pct": "revenue growth",
    "eps_growth_yoy_pct": "EPS growth",
    "book_value_per_share": "book value per share",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What the newest decision gives it: share of the equity, 0 for what is not chosen, for the reason in `why_not`."""

    week: date
    as_of: datetime
    weight: float
    place: Place | None
    why_not: NotChosen | None


@dataclass(frozen=True, slots=True)
class AtBroker:
    """What the broker says: held, or left alone, or neither, and whether it trades it. `unknown` is why it could not be
    asked, `not_asked` why not whether it trades it, sentences.

    `gone`: why it should be held by the books, where no row of the broker has it. `unasked`: why renames could not be
    asked for. `by_others`: fills of the last 90 days by no order of the strategy, `fills_unknown` why not those.
    """

    account: str | None
    held: Held | None = None
    left_alone: LeftAlone | None = None
    unknown: str | None = None
    tradability: Tradability | None = None
    not_asked: str | None = None
    gone: str | None = None
    unasked: str | None = None
    by_others: tuple[Fill, ...] = ()
    fills_unknown: str | None = None

    @property
    def tradable(self) -> str:
        """Whether it trades it, in words."""
        return in_words(self.tradability, self.not_asked)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a symbol stands at the broker, in the newest decision, plan and report."""

    at_broker: AtBroker
    target: Target | None
    planned: Planned | None
    reported: Reported | None
    trades: tuple[Trade, ...]
    halt: Halt | None


def named(figure: str) -> str:
    """What a person calls a figure."""
    return _NAMES[figure]


def reasons(one: Standing) -> tuple[str, ...]:
    """Why it is held or not, whole sentences, the decisive one first."""
    found = [*_at_broker(one), *_of_others(one.at_broker), *_of_plan(one), *_of_order(one)]
    if one.halt is not None:
        found.append(
            f"trading is halted by {one.halt.by} since {new_york(one.halt.at)}: {one.halt.reason}; nothing of it is "
            "bought or sold until `tokenomics resume`"
        )
    return tuple(found)


def _at_broker(one: Standing) -> list[str]:
    there = one.at_broker
    wanted = one.target is not None and one.target.weight > 0
    decided = f"it is {_chosen(one.target)}" if wanted else _not_chosen(one.target)
    if there.unknown is not None:
        away = f"whether it is held now is not known, for the broker could not be asked: {there.unknown}"
        return [away, _reported(one.reported), decided]
    if there.left_alone is not None:
        qty = there.left_alone.qty
        shares = "an unknown number of shares" if qty is None else f"{share_count(qty)} shares"
        return [f"{shares} are held and left alone: {there.left_alone.reason}"]
    if there.held is not None:
        weight = "an unknown share" if there.held.weight is None else f"{there.held.weight:.2%}"
        held = f"it is held: {share_count(there.held.qty)} shares, {weight} of the equity"
        doubts = [] if there.held.doubt is None else [f"this is in doubt: {there.held.doubt}"]
        if one.target is None:
            return [f"{held}; whether it is to stay is not known: {_not_chosen(None)}", *doubts]
        return [f"{held}, {_chosen(one.target)}" if wanted else f"{held}, {_to_go(one)}", *doubts]
    if there.gone is not None:
        return [
            f"whether it is held is not known, for it is in no row of the broker's positions: {there.gone}",
            decided,
        ]
    return [f"it is not held, although {decided}" if wanted else f"it is not held: {decided}"]


def _to_go(one: Standing) -> str:
    """Of what is held and no target. That it is to be sold is said only where nothing speaks against it."""
    there = one.at_broker
    why = _not_chosen(one.target)
    if there.unasked is not None:
        return (
            "and the targets do not know it under this name; whether it was renamed could not be asked "
            f"({there.unasked}): {why}"
        )
    if there.held is not None and there.held.doubt is not None:
        return f"and whether it is to be sold is not known: {why}"
    return f"and is to be sold: {why}"


def _of_others(there: AtBroker) -> list[str]:
    """What was traded of it by somebody else, a sentence for each side."""
    found = []
    for side, verb in (("buy", "bought"), ("sell", "sold")):
        fills = [fill for fill in there.by_others if fill.side == side]
        if fills:
            qty, usd = sum(fill.qty for fill in fills), sum(booked(fill.qty, fill.price) for fill in fills)
            found.append(
                f"{share_count(Decimal(qty))} shares of it were {verb} for {usd:,.2f} USD by no order of the strategy, "
                f"the last at {new_york(max(fill.at for fill in fills))}: by hand, or by another program with this "
                "account"
            )
    if there.fills_unknown is not None:
        found.append(f"whether somebody else traded it lately is not known: {there.fills_unknown}")
    return found


def _chosen(target: Target | None) -> str:
    assert target is not None
    rank = f", number {target.place.rank} of {target.place.of} scores" if target.place is not None else ""
    return f"a target of {target.weight:.2%} in the week of {target.week}{rank}"


def _not_chosen(target: Target | None) -> str:
    if target is None:
        return "no week has been decided yet, or what it was decided from is not in the warehouse any more"
    why = "it was not among what could be chosen" if target.why_not is None else target.why_not.reason
    return f"it is no target in the week of {target.week}: {why}"


def _reported(last: Reported | None) -> str:
    if last is None:
        return "no report of the account is there either"
    held = f"held {last.qty:g} shares of it" if last.qty else "held none of it"
    return f"when the week of {last.week} was reported ({new_york(last.at)}) the strategy {held}"


def _of_plan(one: Standing) -> list[str]:
    """What its newest plan means to do with it, and what became of that."""
    plan = one.planned
    if plan is None:
        return []
    found = []
    name = f"plan {plan.plan_id}" if plan.plan_id else f"the plan of the week of {plan.week}"
    if plan.side == "none":
        found.append(f"{name} trades nothing of it: {plan.reason}")
    else:
        what = f"sells all of it{_amount(plan, ', ')}" if plan.exit else f"{plan.side}s{_amount(plan, ' ')} of it"
        because = f" ({plan.reason})" if plan.reason else ""
        ended = "" if plan.carried_out else "; it has not been carried out yet"
        found.append(f"{name} {what}{because}{ended}")
    if plan.skipped is not None:
        found.append(f"its order was not sent: {plan.skipped}")
    if one.target is not None and plan.week < one.target.week:
        found.append(f"no plan was made yet of the targets of the week of {one.target.week}")
    return found


def _amount(plan: Planned, before: str) -> str:
    if plan.notional is not None:
        return f"{before}{plan.notional:,.2f} USD"
    return "" if plan.qty is None else f"{before}{share_count(plan.qty)} shares"


def _of_order(one: Standing) -> list[str]:
    """How its last order of the planned week ended, where it did not fill."""
    last = one.trades[-1] if one.trades else None
    if one.planned is None or last is None or last.week != one.planned.week or last.status == "filled":
        return []
    note = f" ({last.note})" if last.note else ""
    return [f"its last {last.side} is {last.status}, with {share_count(last.filled_qty)} shares filled{note}"]


def what_would_change(
    universe: Following | None, score: float | None, reason: str | None, place: Place | None, moved: tuple[Lever, ...]
) -> tuple[str, ...]:
    """What would bring it in or out at the next decision, by the newest scores; whole sentences."""
    if universe is None:
        return ()
    if not universe.followed:
        return (_to_be_followed(universe),)
    alone = [one for one in moved if one.needed is not None]
    if score is None:
        why = "it has not been scored yet" if reason is None else reason
        needed = _either(alone, falls=False)
        return (f"it needs a score first: {why}", *([f"with {needed} it would be chosen"] if needed else []))
    if place is None:
        return ("it is scored again, and can be chosen, once scores and universe have its symbol",)
    found = [_distance(place)]
    best = max(moved, key=lambda one: one.per_unit or 0.0)
    if best.per_unit:
        found.append(
            f"{named(best.figure)} moves the score most: {best.unit} gives {best.per_unit:+.2f} points, all else equal"
        )
    verb = "takes it out" if place.chosen else "brings it in"
    needed = _either(alone, falls=place.chosen)
    found.append(f"each of these alone {verb}: {needed}" if needed else f"no single figure alone {verb}")
    return tuple(found)


def _either(alone: Sequence[Lever], *, falls: bool) -> str:
    """The values that are enough each for itself; `falls`: those that would make the score fall."""
    texts = []
    for one in alone:
        less = (one.figure == "debt_to_equity") != falls
        texts.append(f"{named(one.figure)} of at {'most' if less else 'least'} {one.needed:,.2f}")
    return " or ".join(texts)


def _distance(place: Place) -> str:
    full = f"{place.held} of rebalancing.top_n_stocks = {place.top_n} are chosen"
    if place.chosen:
        return (
            f"it is in by {place.distance:.2f} points: number {place.rank} of {place.of}, {full}; it goes out when its "
            f"score falls under {place.cut:.2f}"
        )
    tie = ", where the larger market cap comes first" if place.distance == 0 else ""
    return (
        f"it is out by {-place.distance:.2f} points{tie}: number {place.rank} of {place.of}, {full}; it needs "
        f"{place.cut:.2f} points, all others as they are"
    )


def _to_be_followed(universe: Following) -> str:
    cap = universe.market_cap_musd
    if cap is not None and cap < universe.cut_musd:
        return (
            f"it must be followed first: its market cap of {cap:,.0f} million USD must pass {universe.cut_musd:,.0f}, "
            f"that of the smallest of the {universe.size} that are"
        )
    why = universe.reason or "the newest listings do not have it"
    return f"it must be followed first: {why}"
