"""From the records of a week to what its page tells. Pure; why something was done is why.py's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution.fulfilment import Fulfilment
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.model.trading import booked
from tokenomics_dagster.reports.earned import earned
from tokenomics_dagster.reports.quality import quality_of
from tokenomics_dagster.reports.values import by_symbol, decimal, exact, instant, number, rules_of, text
from tokenomics_dagster.reports.week import (
    Cash,
    Changes,
    Decided,
    Holding,
    Industry,
    Left,
    Move,
    Part,
    Records,
    Source,
    Trade,
    WeekReport,
)
from tokenomics_dagster.reports.why import Chosen, cause_of, chosen_from, contributions, why_traded
from tokenomics_dagster.settings.fundamentals import ScoreSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.storage.records import Stored

_MOVES = 10


def report_of(records: Records) -> WeekReport:
    report, decided = records.report, records.decided
    weights = decided.weights
    rules = None if weights is None else rules_of(RebalancingSettings, weights.details.rules)
    score_rules = None if decided.scores is None else rules_of(ScoreSettings, decided.scores.details.rules)
    known = {} if decided.universe is None else by_symbol(decided.universe.frame)
    names = {symbol: text(row["name"]) for symbol, row in known.items()}
    dropped = {} if decided.universe is None else decided.universe.details.dropped
    among = chosen_from(None if decided.scores is None else decided.scores.frame, rules, dropped)
    holdings = _holdings(report.frame, known, among, score_rules)
    values = sum((Decimal(repr(value)) for value in report.frame["value"].dropna().tolist()), Decimal(0))
    trades = _trades(records, names, among)
    done = None if records.orders is None else records.orders.details.fulfilment
    fulfilment = None if done is None else Fulfilment.from_document(done)
    details = report.details
    return WeekReport(
        week=records.week,
        at=report.as_of,
        account=details.account,
        equity=details.equity,
        cash=details.cash,
        cash_meant=details.cash_meant,
        alone=details.equity - details.cash - values,
        foreign=details.foreign,
        planned_usd=None if fulfilment is None else fulfilment.planned_usd,
        untraded_usd=None if fulfilment is None else fulfilment.untraded_usd,
        trades=trades,
        left=_left(records, fulfilment, names, {one.symbol for one in trades if one.usd}),
        holdings=holdings,
        industries=_industries(holdings),
        money=_cash(records, trades),
        changes=_changes(records, names, among, score_rules),
        quality=quality_of(records),
        rules=rules,
        score_rules=score_rules,
        earned=earned(records.reports, records.marks, records.traded),
        sources=_sources(records),
    )


def _holdings(
    frame: pd.DataFrame, known: Mapping[str, Mapping[str, Any]], among: Chosen, rules: ScoreSettings | None
) -> list[Holding]:
    found = []
    for row in frame.to_dict("records"):
        symbol = str(row["symbol"])
        scored, company = among.rows.get(symbol), known.get(symbol, {})
        score = None if scored is None else number(scored["score"])
        found.append(
            Holding(
                symbol=symbol,
                name=text(company.get("name")),
                industry=text(company.get("industry")),
                qty=Decimal(repr(row["qty"])),
                price=decimal(row["price"]),
                value=decimal(row["value"]),
                weight=number(row["weight"]),
                target=row["target_weight"],
                drift=number(row["drift"]),
                place=among.places.get(symbol),
                score=score,
                parts={} if scored is None or score is None else _parts(scored, rules),
                known_at=None if scored is None else instant(scored["known_at"]),
                reported="" if scored is None else text(scored["reported_period"]),
                no_score="" if score is not None else among.why_not(symbol),
            )
        )
    return found


def _parts(row: Mapping[str, Any], rules: ScoreSettings | None) -> dict[str, Part]:
    gives = contributions(row, rules) or {}
    growth = [
        f"{value:,.1f} % {of}"
        for of, value in (("revenue", row["revenue_growth_yoy_pct"]), ("EPS", row["eps_growth_yoy_pct"]))
        if math.isfinite(value)
    ]
    return {
        "ROE": Part(f"{row['roe_ttm_pct']:,.1f} %", row["roe_points"], gives.get("roe_points")),
        "debt/equity": Part(f"{row['debt_to_equity']:,.2f}", row["debt_points"], gives.get("debt_points")),
        "growth": Part(", ".join(growth), row["growth_points"], gives.get("growth_points")),
    }


def _trades(records: Records, names: Mapping[str, str], among: Chosen) -> list[Trade]:
    """Of each order its last record until the report: the ledger's row may have changed since."""
    account = records.report.details.account
    last: dict[str, tuple[datetime, dict[str, Any]]] = {}
    fills: dict[str, Decimal] = {}
    for record in records.audit:
        if record.payload.get("account") != account:
            continue
        order_id = record.payload.get("client_order_id")
        if record.kind == "order":
            last[str(order_id)] = record.at, record.payload
        elif record.kind == "fill" and order_id is not None:
            usd = booked(Decimal(record.payload["qty"]), Decimal(record.payload["price"]))
            fills[order_id] = fills.get(order_id, Decimal(0)) + usd
    plans = {}
    for one in records.plans:
        plan = Plan.from_document(one.details.plan)
        plans[plan.plan_id] = {(order.symbol, order.side): order for order in plan.orders}, by_symbol(one.frame)
    found = []
    for order_id, (at, row) in last.items():
        orders, rows = plans.get(row["plan_id"], ({}, {}))
        planned = orders.get((row["symbol"], row["side"]))
        qty, price = Decimal(row["filled_qty"]), exact(row["filled_avg_price"])
        usd = fills.get(order_id, booked(qty, price or Decimal(0)))
        sign = 1 if row["side"] == "buy" else -1
        more = None if planned is None else sign * (usd - qty * planned.price)
        found.append(
            Trade(
                symbol=row["symbol"],
                name=names.get(row["symbol"], ""),
                side=row["side"],
                status=row["status"],
                at=at,
                planned_usd=None if planned is None else planned.value,
                planned_price=None if planned is None else planned.price,
                qty=qty,
                price=price,
                usd=usd,
                more_usd=more,
                why=why_traded(row["side"], rows.get(row["symbol"]), row["symbol"], among),
                note=text(row["note"]),
            )
        )
    return sorted(found, key=lambda one: (one.side != "sell", -one.usd, one.symbol))


def _left(records: Records, done: Fulfilment | None, names: Mapping[str, str], traded: set[str]) -> list[Left]:
    """What was meant and not traded, the largest first; then what was not sent; then what the plan left as it is."""
    found: dict[str, Left] = {}
    for one in () if done is None else done.shortfalls:
        found.setdefault(
            one.symbol, Left(one.symbol, names.get(one.symbol, ""), one.usd, one.kind, one.reason, one.counts)
        )
    for symbol, reason in () if records.orders is None else sorted(records.orders.details.skipped.items()):
        found.setdefault(symbol, Left(symbol, names.get(symbol, ""), None, "not sent", reason))
    rows = records.plans[-1].frame.to_dict("records") if records.plans else []
    for row in rows:
        if row["side"] == "none" and row["symbol"] not in traded:
            kind = "left as it is"
            found.setdefault(
                row["symbol"], Left(row["symbol"], names.get(row["symbol"], ""), None, kind, str(row["reason"]))
            )
    return list(found.values())


def _industries(holdings: Sequence[Holding]) -> list[Industry]:
    found: dict[str, list[Holding]] = {}
    for one in holdings:
        found.setdefault(one.industry or "not known", []).append(one)
    made = [
        Industry(
            name, len([one for one in some if one.qty]), math.fsum(one.weight or 0.0 for one in some),
            math.fsum(one.target for one in some),
        )
        for name, some in found.items()
    ]  # fmt: skip
    return sorted(made, key=lambda one: (-one.weight, -one.target, one.industry))


def _cash(records: Records, trades: Sequence[Trade]) -> Cash | None:
    if not records.plans:
        return None
    before, after = Plan.from_document(records.plans[0].details.plan).cash, records.report.details.cash
    sold = sum((one.usd for one in trades if one.side == "sell"), Decimal(0))
    bought = sum((one.usd for one in trades if one.side == "buy"), Decimal(0))
    said = [text for one in records.audit if one.kind == "reconciliation" for text in one.payload.get("explained", ())]
    return Cash(before, sold, bought, after - before - sold + bought, after, list(dict.fromkeys(said)))


def _changes(records: Records, names: Mapping[str, str], among: Chosen, rules: ScoreSettings | None) -> Changes | None:
    if records.before is None:
        return None
    week, report, decided = records.before
    targets = _targets(records.decided)
    former = _targets(decided)
    universe = {} if decided.universe is None else by_symbol(decided.universe.frame)
    names = {symbol: text(row["name"]) for symbol, row in universe.items()} | dict(names)
    entered, left = [], []
    if targets is not None and former is not None:
        entered = [(one, names.get(one, ""), among.standing(one)) for one in targets if one not in former]
        left = [(one, names.get(one, ""), among.why_not(one)) for one in former if one not in targets]
    then = None if decided.scores is None else rules_of(ScoreSettings, decided.scores.details.rules)
    old = {} if decided.scores is None else by_symbol(decided.scores.frame)
    held = set(report.frame.loc[report.frame["qty"] > 0, "symbol"]) | set(
        records.report.frame.loc[records.report.frame["qty"] > 0, "symbol"]
    )
    moves = [
        Move(symbol, names.get(symbol, ""), was["score"], now["score"], symbol in held, cause_of(was, now, then, rules))
        for symbol, now in among.rows.items()
        if (was := old.get(symbol)) is not None and abs(now["score"] - was["score"]) >= 0.05  # NaN is no move
    ]
    moves.sort(key=lambda one: (-abs(one.now - one.before), one.symbol))
    return Changes(week, report.details.equity, entered, left, moves[:_MOVES])


def _targets(decided: Decided) -> list[str] | None:
    return None if decided.weights is None else list(decided.weights.frame["symbol"])


def _sources(records: Records) -> list[Source]:
    decided, plan = records.decided, records.plans[-1] if records.plans else None
    tables: dict[str, Stored[Any] | None] = {
        "universe": decided.universe, "scores": decided.scores, "target_weights": decided.weights, "trade_plan": plan,
        "orders": records.orders, "portfolio_report": records.report,
    }  # fmt: skip
    return [Source(table, one.as_of, one.run_id) for table, one in tables.items() if one is not None]
