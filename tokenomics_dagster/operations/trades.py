"""What was traded in a week, why and at which price, and what was not (`trades`). Only reads."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution.fulfilment import Fulfilment
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.plan import plan_id_in
from tokenomics_dagster.operations.common import as_document, open_store
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.reports.books import FEES, fees_of
from tokenomics_dagster.reports.trades import Decided, NotTraded, Totals, Trade, decided, not_traded, totals, trades
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.portfolio.schema import TradePlanDetails
    from tokenomics_dagster.storage.records import Stored
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class WeekOfTrades:
    """`week`: its Monday. `account` is "" and the rest empty where nothing was planned. `done`: None where no run has
    ended. `fees`: USD, what the broker took in that week, None where it cannot be asked, and `why`."""

    week: date
    account: str
    plans: tuple[str, ...]
    trades: tuple[Trade, ...]
    totals: Totals
    not_traded: tuple[NotTraded, ...]
    done: Fulfilment | None
    fees: Decimal | None
    why: str
    database: str


def trades_of_week(day: date | None = None) -> WeekOfTrades:
    """Of the week that `day` lies in, of the newest planned one without. Raises WarehouseError."""
    settings = load_settings()
    with closing(open_store(settings)) as store:
        if day is None:
            newest = store.history("trade_plan", limit=1)
            day = date.fromisoformat(newest[0].partition) if newest else datetime.now(NEW_YORK).date()
        found = of_week(store, day - timedelta(days=day.weekday()))
    if not found.account:
        return found
    return _with_fees(found, settings)


def of_week(store: "Warehouse", week: date, account: str | None = None) -> WeekOfTrades:
    """What the warehouse tells of a week, by its Monday, of the account of its newest plan unless one is named.

    The fees are the broker's to tell."""
    from tokenomics_dagster.execution.schema import OrdersDetails

    plans = _plans(store, week, account)
    if not plans:
        return WeekOfTrades(week, "", (), (), totals(()), (), None, None, "nothing was planned", store.address)
    newest = next(iter(plans.values()))
    account = newest.details.account
    wanted: Mapping[str, Mapping[str, Decided]] = {plan_id: decided(plan) for plan_id, plan in plans.items()}
    rows = store.orders_of_week(account, week)
    monday = datetime.combine(week, datetime.min.time(), NEW_YORK)
    found = trades(rows, store.fills_of(account, monday), wanted)
    ended = store.history("orders", partition=week.isoformat(), limit=1)
    details = ended[0].details_as(OrdersDetails) if ended else None
    done = None if details is None or details.fulfilment is None else Fulfilment.from_document(details.fulfilment)
    traded = {one.symbol for one in found if one.shares}
    left = not_traded(newest, {} if details is None else details.skipped, done, traded)
    return WeekOfTrades(
        week=week,
        account=account,
        plans=tuple(reversed(plans)),
        trades=tuple(found),
        totals=totals(found),
        not_traded=tuple(left),
        done=done,
        fees=None,
        why="the broker was not asked",
        database=store.address,
    )


def _plans(store: "Warehouse", week: date, account: str | None) -> "dict[str, Stored[TradePlanDetails]]":
    """By their ids the plans of a week for the account, or for that of its newest one, the newest first."""
    from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails

    found: dict[str, Stored[TradePlanDetails]] = {}
    for snapshot in store.history("trade_plan", partition=week.isoformat()):
        plan = store.load_stored(
            "trade_plan", TradePlan, TradePlanDetails, partition=snapshot.partition, as_of=snapshot.as_of
        )
        if plan is None:
            continue
        account = account or plan.details.account
        if plan.details.account == account:
            found.setdefault(plan_id_in(plan.details.plan), plan)
    return found


def _with_fees(found: WeekOfTrades, settings: Settings) -> WeekOfTrades:
    since = datetime.combine(found.week, datetime.min.time(), NEW_YORK)
    until = since + timedelta(days=7)
    try:
        with AlpacaResource.from_settings(settings) as alpaca:
            number = alpaca.account().number
            if number != found.account:
                return replace(found, why=f"the keys are those of account {number}, not of {found.account}")
            taken = alpaca.activities(after=since, types=sorted(FEES))
    except (ProviderError, UserError) as error:
        return replace(found, why=str(error))
    return replace(found, fees=fees_of(one for one in taken if one.at < until), why="")


def trades_document(found: WeekOfTrades) -> dict[str, Any]:
    """For machines; `fees` is null where it is not known, and `why` says so."""
    done = None if found.done is None else found.done.to_document()
    return {**as_document(replace(found, done=None)), "done": done}
