"""What the warehouse has of a rebalanced week, for week.py to tell. Only reads, and nothing that was stored after the
week's newest report: its page is the same whenever it is made."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.schema import Orders, OrdersDetails, PortfolioReport, PortfolioReportDetails
from tokenomics_dagster.fundamentals.schema import Scores, ScoresDetails
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails, TradePlan, TradePlanDetails
from tokenomics_dagster.reports.earned import Told
from tokenomics_dagster.reports.recorded import traded_by_week
from tokenomics_dagster.reports.trades import totals
from tokenomics_dagster.reports.week import Decided, Records
from tokenomics_dagster.universe.schema import Universe, UniverseDetails

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Snapshot, Stored
    from tokenomics_dagster.storage.warehouse import Warehouse


_LOOKED_AT = 50  # reports, of which a week that is tried in each session has some five


class NoReport(UserError):
    """There is no week to tell of; the text says what to do."""


def records_of(store: Warehouse, day: date | None = None) -> Records:
    """Of the week that `day` lies in; without one, of the last that has a report. Raises NoReport, WarehouseError."""
    reports = store.history("portfolio_report")
    if not reports:
        raise NoReport(f"no week has been rebalanced yet in {store.address}: run the job rebalance")
    week = date.fromisoformat(reports[0].partition) if day is None else day - timedelta(days=day.weekday())
    newest = next((one for one in reports if one.partition == week.isoformat()), None)
    if newest is None:
        known = ", ".join(sorted({one.partition for one in reports}, reverse=True)[:5])
        raise NoReport(f"the week of {week} has no report in {store.address}; the last ones are of {known}")
    report = _report(store, newest)
    orders = store.load_stored("orders", Orders, OrdersDetails, partition=newest.partition, as_of=report.as_of)
    decided = _decided(store, newest)
    former = next((one for one in reports if one.partition < newest.partition), None)
    scores, account = decided.scores, report.details.account
    told = _reports(reports, newest, account)
    sent = [row for row in store.orders_except(account, ()) if row.created_at <= report.as_of]
    traded = traded_by_week(store, account, sent)
    return Records(
        week=week,
        report=report,
        orders=orders,
        plans=_plans(store, newest, account),
        decided=decided,
        audit=[one for one in store.audit_records(week) if one.at <= report.as_of],
        sweep=None if scores is None else next((s for s in store.sweeps() if s.id == scores.details.sweep), None),
        before=None
        if former is None
        else (date.fromisoformat(former.partition), _report(store, former), _decided(store, former)),
        reports=told,
        marks=[one for one in store.equity_marks(account) if one[0] <= report.as_of],
        traded={week: totals(traded.get(week, ())) for week in {one.week for one in told}},
    )


def reports_since(store: Warehouse, after: datetime) -> list[tuple[Snapshot, date]]:
    """The newest report of each week that has one since, with the week's Monday; oldest first."""
    newest: dict[str, Snapshot] = {}
    for one in store.history("portfolio_report", limit=_LOOKED_AT):
        if one.as_of > after:
            newest.setdefault(one.partition, one)
    found = [(one, date.fromisoformat(one.partition)) for one in newest.values()]
    return sorted(found, key=lambda one: one[0].as_of)


def _report(store: Warehouse, snapshot: Snapshot) -> Stored[PortfolioReportDetails]:
    found = store.load_stored(
        "portfolio_report",
        PortfolioReport,
        PortfolioReportDetails,
        partition=snapshot.partition,
        as_of=snapshot.as_of,
    )
    assert found is not None
    return found


def _plans(store: Warehouse, report: Snapshot, account: str) -> list[Stored[TradePlanDetails]]:
    found = []
    for one in reversed(store.history("trade_plan", partition=report.partition)):
        if one.as_of <= report.as_of and one.details_as(TradePlanDetails).account == account:
            plan = store.load_stored(
                "trade_plan", TradePlan, TradePlanDetails, partition=one.partition, as_of=one.as_of
            )
            assert plan is not None
            found.append(plan)
    return found


def _decided(store: Warehouse, report: Snapshot) -> Decided:
    weights = store.load_stored(
        "target_weights", TargetWeights, TargetWeightsDetails, partition=report.partition, as_of=report.as_of
    )
    if weights is None:
        return Decided()
    at = weights.details.scores_as_of
    scores = store.load_stored("scores", Scores, ScoresDetails, as_of=at)
    at_universe = weights.details.universe_as_of or weights.as_of
    universe = store.load_stored("universe", Universe, UniverseDetails, as_of=at_universe)
    return Decided(weights, scores if scores is not None and scores.as_of == at else None, universe)


def _reports(reports: list[Snapshot], newest: Snapshot, account: str) -> list[Told]:
    """Those of the account until this one, oldest first."""
    found = [
        Told(date.fromisoformat(one.partition), one.as_of, one.details_as(PortfolioReportDetails))
        for one in reports
        if one.as_of <= newest.as_of
    ]
    return sorted((one for one in found if one.details.account == account), key=lambda one: one.at)
