"""Whether a rebalance ended as it should: every order final, nothing unknown, books and weights as they must be.

Pure. What happened, happened: these checks tell and warn, and keep nothing from being stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.fulfilment import Fulfilment
from tokenomics_dagster.execution.states import ABANDONED, FINAL, INTENDED, UNKNOWN
from tokenomics_dagster.kit.checks import SCHEMA, Finding, Rule, Table, counted
from tokenomics_dagster.model.plan import CENT
from tokenomics_dagster.settings.guards import GuardSettings

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.execution.parity import Parity

_NOTIFYING_SCHEMA = Rule(SCHEMA.name, SCHEMA.description, "tells")
ORDERS = (
    _NOTIFYING_SCHEMA,
    Rule("final", "Every order that reached the broker is filled, or has ended otherwise.", "tells"),
    Rule("known", "Of every order it is known whether it reached the broker.", "tells"),
    Rule("books", "Positions and cash are what the fills make of those before.", "tells"),
    Rule(
        "traded", "What the week meant was traded, but for little; else the week is not done and tried again.", "tells"
    ),
    Rule(
        "parity",
        "The rules give again what was decided, in this week and the last ones traded, on what was kept.",
        "tells",
    ),
)
PORTFOLIO_REPORT = (
    _NOTIFYING_SCHEMA,
    Rule("adds_up", "Positions and cash add up to the equity.", "tells"),
    Rule("drift", "The names that were traded are near their targets.", "warns"),
    Rule("cash", "No more and no less cash is left than is meant, but for drifts too small to trade.", "tells"),
)
PARITY_WEEKS = 13  # decided again in each rebalance: a quarter
_UNCLEAR = {INTENDED, UNKNOWN, ABANDONED}
_BORROWED_USD = Decimal(1)  # less is the rounding of orders


def check_orders(orders: pd.DataFrame, stuck: Sequence[str], discrepancies: Sequence[str]) -> list[Finding]:
    """Judges an `Orders` frame; `stuck`: orders of others that would not be cancelled, `discrepancies` of the books."""
    unclear = orders[orders["status"].isin(_UNCLEAR)]
    open_orders = orders[~orders["status"].isin({*FINAL, *_UNCLEAR})]
    columns = ["client_order_id", "status", "note"]
    # An order of this plan that would not be cancelled is among the open ones, too.
    others = [what for what in stuck if what.split(" ")[1] not in set(open_orders["symbol"])]
    waiting = len(open_orders) + len(others)
    return [
        Finding(
            "final",
            not waiting,
            f"{counted(waiting, 'order')} {'is' if waiting == 1 else 'are'} not final after a cancel: "
            f"{', '.join([*open_orders['symbol'], *others][:10])}; what they bind is not there to trade with, see the "
            "broker's dashboard"
            if waiting
            else f"all of {len(orders)} orders are final",
            {"orders": len(orders), "not_final": waiting},
            {"not final": Table(tuple(columns), list(open_orders[columns].itertuples(index=False)))},
        ),
        Finding(
            "known",
            unclear.empty,
            f"of {counted(len(unclear), 'order')} it is not known whether the broker has had it: "
            f"{', '.join(unclear['client_order_id'][:10])}; run the rebalance again, it looks for them before it sends"
            if len(unclear)
            else "of every order it is known what became of it",
            {"not_known": len(unclear)},
            {"not known": Table(tuple(columns), list(unclear[columns].itertuples(index=False)))},
        ),
        Finding(
            "books",
            not discrepancies,
            f"the books do not agree in {counted(len(discrepancies), 'place')}: "
            f"{'; '.join(discrepancies[:3])}; see the broker's dashboard"
            if discrepancies
            else "positions and cash are what the fills make of them",
            {"flaws": len(discrepancies)},
            {"what does not agree": Table(("flaw",), [(discrepancy,) for discrepancy in discrepancies])},
        ),
    ]


def check_traded(fulfilment: Fulfilment | None, guards: GuardSettings, *, is_over: bool) -> Finding:
    """Whether the week's plan was carried out; None: orders were lost, so nobody can say. `is_over`: no later session
    of the week tries again."""
    if fulfilment is None:
        return Finding("traded", False, "what was traded is not known before every order is: run the rebalance again")
    enough = fulfilment.is_enough(guards)
    again = "; the week is not done: " + (
        "this was its last session, and nothing tries again before the next week; while the market is open, the job "
        "rebalance may be run by hand"
        if is_over
        else "a later session of it tries again with a new plan"
    )
    return Finding(
        "traded",
        enough,
        fulfilment.sentence(guards) + ("" if enough else again),
        {
            "planned_usd": float(fulfilment.planned_usd),
            "traded_usd": float(fulfilment.traded_usd),
            "untraded_usd": float(fulfilment.untraded_usd),
            "untraded_pct": float(fulfilment.untraded_pct),
        },
        {
            "by reason": Table(
                ("reason", "USD", "names"), [(kind, *found) for kind, found in fulfilment.by_kind.items()]
            ),
            "not traded": Table(
                ("symbol", "side", "USD", "reason", "why"),
                [(one.symbol, one.side, one.usd, one.kind, one.reason) for one in fulfilment.shortfalls],
            ),
        },
    )


def check_parity(this: Parity, before: Iterable[Parity]) -> Finding:
    """Whether `this` week's plan, and those of the weeks `before`, are what the rules give again on their inputs.

    What an earlier version did not keep is told; of this week all must be there, for what was not looked at has not
    passed.
    """
    weeks = [this, *before]
    found = [(one.week.isoformat(), *difference) for one in weeks for difference in one.differences]
    absent = [(one.week.isoformat(), table, why) for one in weeks for table, why in one.absent.items()]
    compared = sum(sum(one.compared.values()) for one in weeks)
    told = [f"{compared:,} elements of {counted(len(weeks), 'week')} were decided again"]
    if found:
        week, table, symbol, what, recorded, recomputed = found[0]
        told.append(
            f"{len(found)} are not what was recorded, first {what} of {symbol} in {table} of {week}: recorded "
            f"{recorded}, recomputed {recomputed}; a rule has changed since, or what was stored has: see `tokenomics "
            "audit verify`"
        )
    if absent:
        week, table, why = absent[0]
        told.append(f"{counted(len(absent), 'table')} could not be, first {table} of {week}: {why}")
    return Finding(
        "parity",
        not found and not this.absent,
        "; ".join(told),
        {"weeks": len(weeks), "compared": compared, "differences": len(found), "not_compared": len(absent)},
        {
            "differences": Table(("week", "table", "symbol", "field", "recorded", "recomputed"), found),
            "not compared": Table(("week", "table", "why"), absent),
        },
    )


def check_cash(
    cash: Decimal,
    meant: Decimal,
    equity: Decimal,
    guards: GuardSettings,
    kept: Mapping[str, tuple[Decimal, int]] = MappingProxyType({}),
    not_bought: Decimal = Decimal(0),
) -> Finding:
    """Compares the cash that a rebalance left with what its targets mean to be cash. USD.

    `kept`: what the plan leaves as cash by its rules, as `kept_idle` finds it; `not_bought`: what of it was to be
    bought and was not.
    """
    off = cash - meant
    off_pct = 100 * abs(off) / equity if equity > 0 else Decimal(0)
    limit = Decimal(str(guards.max_cash_off_pct))
    borrowed = cash <= -_BORROWED_USD
    near = off_pct <= limit and not borrowed
    remarks = []
    if borrowed:
        remarks.append(
            f"{-cash:,.2f} USD are borrowed, for which the broker asks interest, and no plan sells for that alone: pay "
            "them in, or sell for them by hand"
        )
    if not near and off > 0:
        by_rule = [f"{usd:,.2f} USD in {counted(names, 'name')} ({rule})" for rule, (usd, names) in kept.items()]
        if by_rule:
            remarks.append(f"what the plan's rules leave as cash: {', '.join(by_rule)}")
        if not_bought > 0:
            remarks.append(
                f"what was to be bought and was not: {not_bought:,.2f} USD, for the reasons in orders.traded"
            )
    unexplained = off - sum((usd for usd, _ in kept.values()), not_bought) if off > 0 else -off
    if 100 * unexplained > limit * equity and off_pct > limit:
        remarks.append(f"see whether cash {'came' if off > 0 else 'went'} by hand")
    return Finding(
        "cash",
        near,
        f"{cash:,.2f} USD of cash are left, {meant:,.2f} are meant: {off_pct:.1f} % of equity too "
        f"{'much' if off >= 0 else 'little'}, guards.max_cash_off_pct is {guards.max_cash_off_pct:g}"
        + "".join(f"; {one}" for one in remarks),
        {"cash_usd": float(cash), "cash_meant_usd": float(meant), "off_pct": float(off_pct)},
        {"left as cash by rule": Table(("rule", "USD", "names"), [(rule, *found) for rule, found in kept.items()])},
    )


def check_portfolio_report(
    report: pd.DataFrame,
    equity: Decimal,
    cash: Decimal,
    traded: Collection[str],
    guards: GuardSettings,
    others: Decimal = Decimal(0),
) -> list[Finding]:
    """Judges a `PortfolioReport` frame; `traded` are the symbols with an order in the week's rebalance. USD.

    `others`: the value of what the account holds that is not in the frame.
    """
    held = report[report["qty"] > 0]
    unknown = sorted(held.loc[held["value"].isna(), "symbol"])
    known = sum((Decimal(str(value)) for value in held["value"].dropna()), Decimal(0))
    difference = equity - cash - known - others
    worthless = sorted(held.loc[held["price"].isna() & (held["value"] == 0), "symbol"])
    adds_up = not unknown and abs(difference) <= CENT * max(len(held), 1)
    limit = guards.max_drift_after_pct / 100
    far = report[report["symbol"].isin(traded) & (report["drift"].abs() > limit)]
    largest = report.loc[report["symbol"].isin(traded), "drift"].abs().max()
    return [
        Finding(
            "adds_up",
            adds_up,
            (
                f"the broker values {len(unknown)} positions not at all: {', '.join(unknown[:10])}"
                if unknown
                else f"{known + others:,.2f} USD in positions and {cash:,.2f} in cash differ from the equity of "
                f"{equity:,.2f} by {difference:,.2f}; a cent a name is rounding"
            )
            + ("" if adds_up else "; see the broker's dashboard")
            + (f"; {', '.join(worthless[:10])} have no market and count as 0 USD" if worthless else ""),
            {"difference_usd": float(difference), "held": len(held), "without_market": len(worthless)},
        ),
        Finding(
            "drift",
            far.empty,
            f"{len(far)} of {len(traded)} traded names are more than {guards.max_drift_after_pct:g} % of equity off "
            f"their target (guards.max_drift_after_pct)" + ("" if far.empty else f": {', '.join(far['symbol'][:10])}"),
            {"off": len(far), "largest_pct": 0.0 if largest != largest else 100 * float(largest)},
            {
                "off their target": Table(
                    ("symbol", "weight", "target", "drift"),
                    list(far[["symbol", "weight", "target_weight", "drift"]].itertuples(index=False)),
                )
            },
        ),
    ]
