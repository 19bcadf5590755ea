"""Whether a week's rebalance is done: the one answer for schedule, status, problems and metrics. Only reads.

A week is done when its report is there and its newest orders say that what the week meant was traded, but for what the
guards max_untraded_pct and ignored_untraded_pct allow. Orders of earlier versions do not tell what was traded: their
week counts by its report.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from tokenomics_dagster.execution import guards as rules
from tokenomics_dagster.execution.fulfilment import Fulfilment
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.plan import UNREADABLE, Plan
from tokenomics_dagster.model.trading import Account
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.storage.records import WarehouseError

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Week:
    """`reason` is a sentence; `tried_at` and `fulfilment` are of the newest orders that ended, None if none have."""

    monday: date
    done: bool
    reason: str
    tried_at: datetime | None = None
    fulfilment: Fulfilment | None = None

    @property
    def in_short(self) -> str:
        """For the tag of a run, which the UI shows on one line; `reason` is in what the orders show."""
        if self.fulfilment is None:
            return "rebalanced" if self.done else "not rebalanced yet"
        return f"{self.fulfilment.untraded_pct:.1f} % not traded so far"

    def tried_in_session_at(self, now: datetime) -> bool:
        """Whether its plan was carried out, not well enough, in the session of this day: a later one tries again."""
        day = now.astimezone(calendar.NEW_YORK).date()
        return self.tried_at is not None and self.tried_at.astimezone(calendar.NEW_YORK).date() == day

    def is_over(self, now: datetime) -> bool:
        return is_over(self.monday, self.tried_at, now)


def is_over(monday: date, tried_at: datetime | None, now: datetime) -> bool:
    """Whether nothing tries the week again: its last session has been tried in, or has closed."""
    last = calendar.sessions_of_week(monday)[-1]
    return now >= last.close or (tried_at is not None and tried_at >= last.open)


def week_state(store: "Warehouse", monday: date, guards: GuardSettings) -> Week:
    """Raises WarehouseError."""
    from tokenomics_dagster.execution.schema import OrdersDetails

    week = monday.isoformat()
    reports = store.history("portfolio_report", partition=week, limit=1)
    if not reports:
        return Week(monday, False, f"the week of {week} has not been rebalanced")
    orders = store.history("orders", partition=week, limit=1)
    document = orders[0].details_as(OrdersDetails).fulfilment if orders else None
    if document is None:
        return Week(monday, True, f"the week of {week} has been rebalanced")
    found, tried_at = Fulfilment.from_document(document), orders[0].as_of
    if found.is_enough(guards):
        return Week(monday, True, f"the week of {week} has been rebalanced", tried_at, found)
    return Week(monday, False, f"the week of {week} is not done: {found.sentence(guards)}", tried_at, found)


def plan_in_hand(
    store: "Warehouse", monday: date, account: Callable[[], Account], now: datetime, settings: Settings
) -> str | None:
    """Why no new plan of the week may be made by itself: its newest one waits for a person who may still approve it,
    or was approved and is about to be carried out; a new one would take its place. None if there is no such plan.

    `account` is asked only where a plan would wait. Raises WarehouseError, ProviderError.
    """
    from tokenomics_dagster.execution.schema import OrdersDetails
    from tokenomics_dagster.portfolio.schema import TradePlanDetails

    week = monday.isoformat()
    newest = store.history("trade_plan", partition=week, limit=1)
    try:
        plan = Plan.from_document(newest[0].details_as(TradePlanDetails).plan) if newest else None
    except (WarehouseError, *UNREADABLE):
        return None  # nobody can approve it
    if plan is None or not (reasons := rules.reasons_to_wait(plan, settings)):
        return None
    approval = store.approval(plan.plan_hash)
    orders = (one.details_as(OrdersDetails) for one in store.history("orders", partition=week))
    if any(one.plan_id == plan.plan_id for one in orders):
        return None
    try:
        rules.check_plan(plan, account(), now, settings, approval.at if approval else now)
        rules.check_owned(plan, store.owned(plan.account).symbols, settings.trading)
    except rules.Refused:
        return None
    if approval is not None:
        return f"plan {plan.plan_id} was approved at {approval.at:%H:%M} UTC: the sensor approved_plans carries it out"
    return (
        f"{rules.waits_for_a_person(plan, reasons)}; as long as that may be said no other is made, unless you run the "
        "rebalance by hand"
    )
