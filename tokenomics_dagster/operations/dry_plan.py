"""What a rebalance would do now (`plan --dry`): the live rules on the account and the quotes of now. Nothing is stored,
nothing is sent.
"""

from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution import guards
from tokenomics_dagster.execution.week import week_state
from tokenomics_dagster.kit.checks import Finding, Rule
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.calendar import NEW_YORK, Session
from tokenomics_dagster.model.trading import Account, MarketClock
from tokenomics_dagster.operations.common import OperationRefused, account_named, as_document, clock_behind, open_store
from tokenomics_dagster.portfolio import checks
from tokenomics_dagster.providers.alpaca.clock import AlpacaClock
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.reports.trades import Decided, NotTraded, decided, not_traded
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.model.plan import Plan
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class DryPlan:
    """`at`: by the broker's clock. `quotes_of`: the session whose quotes these are, while the market is closed; None
    while it is open. `equity` (that weights are of) and `cash` in USD, before; `cash_weight` what the targets leave.

    `orders` in the order of sending. `against`: what would keep it from being traded now, `remarks`: what a person
    should know of it; sentences.
    """

    at: datetime
    week: date
    account: str
    quotes_of: date | None
    equity: Decimal
    cash: Decimal
    cash_weight: float
    orders: tuple[Decided, ...]
    left: tuple[NotTraded, ...]
    against: tuple[str, ...]
    remarks: tuple[str, ...]


def dry_plan() -> DryPlan:
    """Raises CannotDecide, CannotPlan, ProviderError, WarehouseError, OperationRefused."""
    from tokenomics_dagster.portfolio.making import plan, weigh

    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        clock, account = alpaca.clock(), alpaca.account()
        week, session = calendar.week_of(clock.now), _last_session(clock.now)
        is_open = clock.is_open and session.contains(clock.now)
        looser = _without_waiting(settings, clock.now, None if is_open else session)
        if (behind := clock_behind(store, settings, clock.now)) is not None:
            raise OperationRefused(f"what a rebalance would do now cannot be told: {behind}")
        weighed = weigh(store, week, clock.now, settings)
        planned = plan(store, weighed.made, week, alpaca, AlpacaClock(alpaca), looser)
        refusals = [
            *_failed(checks.TARGET_WEIGHTS, weighed.findings, "refuses"),
            *_failed(checks.TRADE_PLAN, planned.findings, "refuses"),
        ]
        remarks = [
            *_failed(checks.TARGET_WEIGHTS, weighed.findings, "warns"),
            *_failed(checks.TRADE_PLAN, planned.findings, "warns"),
        ]
        return DryPlan(
            at=clock.now,
            week=week,
            account=account_named(account.number, settings),
            quotes_of=None if is_open else session.day,
            equity=planned.plan.equity,
            cash=planned.plan.cash,
            cash_weight=weighed.made.details.cash_weight,
            orders=tuple(decided(planned.made).values()),
            left=tuple(not_traded(planned.made, {}, None, ())),
            against=(*refusals, *_against(store, planned.plan, account, alpaca.clock(), settings)),
            remarks=(*remarks, *_of_week(store, week, settings)),
        )


def _last_session(now: datetime) -> Session:
    """The one that is open, else the last that was."""
    day = now.astimezone(NEW_YORK).date()
    sessions = (calendar.session_on(day - timedelta(days=back)) for back in range(15))
    return next(session for session in sessions if session is not None and session.open <= now)


def _without_waiting(settings: Settings, now: datetime, closed: Session | None) -> Settings:
    """Orders of ours that are open are not waited for; while the market is closed, the quotes of the last session are
    not too old to look at."""
    changed: dict[str, Any] = {"trading": settings.trading.model_copy(update={"settle_timeout_s": 0.0})}
    if closed is None:
        return settings.model_copy(update=changed)
    age_s = (now - closed.open).total_seconds()
    limits = settings.guards.model_copy(update={"max_quote_age_s": max(age_s, settings.guards.max_quote_age_s)})
    return settings.model_copy(update={**changed, "guards": limits})


def _failed(rules: tuple[Rule, ...], findings: list[Finding], effect: str) -> list[str]:
    """The sentences of what failed of the rules with this effect."""
    of_effect = {rule.name for rule in rules if rule.effect == effect}
    return [one.description for one in findings if not one.passed and one.name in of_effect]


def _against(store: "Warehouse", plan: "Plan", account: Account, clock: MarketClock, settings: Settings) -> list[str]:
    """What the guards would say of it now, as far as they can be asked without trading."""
    found = []
    halt = store.halted()
    if halt is not None:
        found.append(f"trading is halted since {halt.at:%Y-%m-%d %H:%M} UTC by {halt.by} ({halt.reason})")
    for look in (
        lambda: guards.check_account(account, settings),
        lambda: guards.check_market(clock, settings),
        # Approved, as it were: that it would wait is told on its own, for this very plan is never there to approve.
        lambda: guards.check_plan(plan, account, clock.now, settings, clock.now),
        lambda: guards.check_owned(plan, store.owned(plan.account).symbols, settings.trading),
    ):
        try:
            look()
        except guards.Refused as refusal:
            found.append(str(refusal))
    if reasons := guards.reasons_to_wait(plan, settings):
        found.append(f"it would wait for a person's approval, because {'; '.join(reasons)}")
    return found


def _of_week(store: "Warehouse", week: date, settings: Settings) -> list[str]:
    """What the schedule would make of it."""
    state = week_state(store, week, settings.guards)
    return [f"{state.reason}: the schedule trades no more of it, a run by hand would trade this"] if state.done else []


def dry_plan_document(found: DryPlan) -> dict[str, Any]:
    return {"dry": True, **as_document(found)}
