"""What a person decides: halt, resume, approve. Each decision is a record of the audit; nothing is traded here."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution.guards import check_owned, check_plan, reasons_to_wait
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.errors import NothingToDo
from tokenomics_dagster.model.plan import UNREADABLE, Plan
from tokenomics_dagster.operations.common import (
    OperationRefused,
    account_named,
    dagster_instance,
    database_named,
    new_york,
    open_records,
    open_store,
    user_name,
)
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse

_CLOCK_TIMEOUT_S = 3.0  # a halt must not wait for a broker that does not answer
# What decides which account the broker is asked of: a contradiction in another variable must not keep anybody from it.
_BROKER = (
    "ALPACA_API_KEY", "ALPACA_SECRET_KEY", "ALPACA_TRADING_URL", "ALPACA_DATA_URL", "TOKENOMICS_LIVE_ACCOUNT",
    "TOKENOMICS_SETTINGS",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlanToApprove:
    """A plan that a person may approve, and why it waits, a sentence each; none: it need not be approved."""

    plan: Plan
    reasons: list[str]

    def document(self) -> dict[str, Any]:
        """What `--json` writes."""
        return {"plan_id": self.plan.plan_id, "plan": self.plan.to_document(), "reasons": self.reasons}


def halt_trading(reason: str, *, cancel_orders: bool) -> Iterator[str]:
    """Halts, then says what that means; with `cancel_orders` cancels every open order at the broker.

    Needs the database alone: the record is made even when the settings are broken or the broker is away.
    Raises OperationRefused when it could not be recorded, or when an order could not be cancelled.
    """
    from tokenomics_dagster.storage.records import WarehouseError

    user = user_name()
    at, account, doubt = _time_of_decision()
    try:
        with closing(open_records()) as store:
            first, address = store.audit_head().count == 0, database_named(store)
            store.halt(reason, by=user, at=at)
    except (WarehouseError, SettingsError) as error:
        orders = "; no order was cancelled either: the broker's dashboard can do that" if cancel_orders else ""
        raise OperationRefused(f"trading is NOT halted, for it could not be recorded: {error}{orders}") from None
    yield f"trading is halted by {user} at {new_york(at)}: {reason}"
    if doubt is not None:
        yield _own_time(doubt)
    yield f"recorded in {address}"
    yield account
    if first:
        yield "nothing had been recorded there before: make sure that it is the database of the running platform"
    yield (
        "a running rebalance stops before its next order and waits for those it has sent; none starts until "
        '`tokenomics resume "reason"`'
    )
    if cancel_orders:
        yield _cancel_open_orders(user, at)
    else:
        yield "orders that are open at the broker stay open; --cancel-orders cancels them too"
    yield _who_tells()


def _who_tells() -> str:
    """Whether a message of it goes out: no command sends one, the daemon's sensor does."""
    from tokenomics_dagster.kit.dagster_internals import instance_errors, tickers_alive

    errors: tuple[type[Exception], ...] = (OperationRefused, *instance_errors())
    unsent = "no message of it is sent now: "
    start = "start it (`dagster dev`), and its sensor stale_or_failed tells of the halt"
    try:
        with dagster_instance() as instance:
            if tickers_alive(instance):
                return "the sensor stale_or_failed tells of it by message at its next look, if an address is set"
            return f"{unsent}no daemon of {instance.root_directory} has been heard of lately; {start}"
    except errors as error:
        why = " ".join(str(error).split())
        return f"whether a message of it is sent is not known, for Dagster's daemon sends it, and: {why}"


def _cancel_open_orders(user: str, at: datetime) -> str:
    try:
        with AlpacaResource.from_settings(load_settings(of=_BROKER, to_trade=False)) as alpaca:
            answers = alpaca.cancel_all()
    except (ProviderError, SettingsError) as error:
        raise OperationRefused(
            f"trading is halted, but no answer came to the cancel of the open orders: {error} "
            "Look at the broker's dashboard, or run the command again"
        ) from None
    failed = sorted(order for order, status in answers.items() if status != 200)
    found = {"open": len(answers), "refused": len(failed), "by": user}
    with closing(open_records()) as store:
        store.audit("cancel_orders", found, at=at, week=calendar.week_of(at))
    if failed:
        raise OperationRefused(
            f"trading is halted, but {len(failed)} of {len(answers)} open orders were not cancelled "
            f"({', '.join(failed[:10])}): look at the broker's dashboard, or run the command again"
        )
    return f"the broker was asked to cancel {len(answers)} open orders; what has filled already stays filled"


def resume_trading(reason: str) -> Iterator[str]:
    """Lifts the halt and says what it was. Raises NothingToDo when nothing is halted."""
    with closing(open_records()) as store:
        halt = store.halted()
        if halt is None:
            raise NothingToDo(f"nothing is halted in {store.address}: there is nothing to resume")
        user = user_name()
        at, account, doubt = _time_of_decision()
        store.resume(reason, by=user, at=at)
        yield f"trading is resumed by {user} at {new_york(at)}: {reason}"
        yield f"it was halted by {halt.by} at {new_york(halt.at)}: {halt.reason}"
        if doubt is not None:
            yield _own_time(doubt)
        yield f"recorded in {database_named(store)}; the next run of the rebalance may trade"
        yield account


def plan_to_approve(plan_id: str) -> PlanToApprove:
    """Raises OperationRefused or Refused if it cannot be approved."""
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        plan, _ = _approvable(plan_id, store, alpaca, settings)
    return PlanToApprove(plan, reasons_to_wait(plan, settings))


def approve_plan(plan_id: str) -> Iterator[str]:
    """Checks the plan again, for a person may have thought for long, and records the approval of exactly its hash."""
    from tokenomics_dagster.execution.room import CARRIES_OUT

    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        plan, now = _approvable(plan_id, store, alpaca, settings)
        user = user_name()
        store.approve(plan.plan_id, plan.plan_hash, by=user, at=now)
        until = now + timedelta(minutes=settings.guards.max_plan_age_min)
        yield f"plan {plan.plan_id} is approved by {user} at {new_york(now)}"
        yield f"recorded in {database_named(store)}"
        yield f"it is for the {account_named(plan.account, settings)}"
        yield (
            f"it may be traded until {new_york(until)} (guards.max_plan_age_min): where the daemon runs, the sensor "
            "approved_plans carries it out within a minute; else: dagster asset materialize -m "
            f"tokenomics_dagster.definitions --select {','.join(CARRIES_OUT)} --partition {plan.week}"
        )
        if now - plan.created_at > timedelta(minutes=settings.guards.max_plan_age_min):
            yield (
                "its prices are old: its orders are made to fit those of then, none larger than approved; where by "
                "them it breaks a limit that it does not break now, nothing is sent"
            )
        yield "the approval holds for this plan only; the rebalance job would make a new one"


def _approvable(plan_id: str, store: "Warehouse", alpaca: AlpacaResource, settings: Settings) -> tuple[Plan, datetime]:
    from tokenomics_dagster.portfolio.room import newest_plan

    plan = _read_plan(plan_id, store)
    now = alpaca.clock().now
    check_plan(plan, alpaca.account(), now, settings, approved_at=now)
    check_owned(plan, store.owned(plan.account).symbols, settings.trading)
    newest = newest_plan(store, plan.week.isoformat())
    if newest is None or newest.details.plan_hash != plan.plan_hash:
        raise OperationRefused(f"plan {plan_id} has been replaced by a newer one of its week: look at that one")
    return plan, now


def _read_plan(plan_id: str, store: "Warehouse") -> Plan:
    from tokenomics_dagster.portfolio.room import PLAN

    document = store.find_plan(plan_id)
    if document is None:
        raise OperationRefused(
            f"there is no plan {plan_id} in {store.address}: its id stands in the message of the run that waits, and "
            f"with the {PLAN} of the week in the UI"
        )
    try:
        return Plan.from_document(document)
    except UNREADABLE:
        raise OperationRefused(
            f"plan {plan_id} cannot be read, it was changed after it was made: materialize {PLAN} again"
        ) from None


def _own_time(doubt: str) -> str:
    return f"the time is this machine's, for the broker's clock cannot be read: {doubt}"


def _time_of_decision() -> tuple[datetime, str, str | None]:
    """The broker's time and the account that its keys open, as a sentence; or this machine's time, and why."""
    try:
        hasty = {"alpaca.timeout_s": _CLOCK_TIMEOUT_S, "alpaca.max_attempts": 1}
        settings = load_settings(overrides=hasty, of=_BROKER, to_trade=False)
        with AlpacaResource.from_settings(settings) as alpaca:
            at = alpaca.clock().now
            try:
                return at, f"the keys open the {account_named(alpaca.account().number, settings)}", None
            except ProviderError as error:
                return at, f"which account the keys open is not known: {error}", None
    except Exception as error:  # noqa: BLE001  a halt needs nothing of this machine but the database
        doubt = str(error) if isinstance(error, ProviderError | SettingsError | OSError) else _unforeseen(error)
        return datetime.now(UTC), "which account the keys open is not known, for the broker was not asked", doubt


def _unforeseen(error: Exception) -> str:
    return f"{type(error).__name__}, which nobody foresaw; `tokenomics check` tells more"
