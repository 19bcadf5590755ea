"""What was traded in a week, why and at which price, and what was not (`trades`). Only reads."""

from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.operations.common import as_document, open_store
from tokenomics_dagster.operations.orders import as_at_broker
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.reports.books import FEES, fees_of
from tokenomics_dagster.reports.recorded import WeekOfTrades, newest_week, of_week
from tokenomics_dagster.reports.trades import at_least
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse


def trades_of_week(day: date | None = None) -> WeekOfTrades:
    """Of the week that `day` lies in, of the newest planned one without. Raises WarehouseError."""
    settings = load_settings()
    with closing(open_store(settings)) as store:
        day = day or newest_week(store) or datetime.now(NEW_YORK).date()
        found = of_week(store, day - timedelta(days=day.weekday()))
        return _by_the_broker(found, store, settings) if found.account else found


def _by_the_broker(found: WeekOfTrades, store: "Warehouse", settings: Settings) -> WeekOfTrades:
    """With the fees that it took, and what became of the orders whose end the records do not know."""
    since = datetime.combine(found.week, datetime.min.time(), NEW_YORK)
    until = since + timedelta(days=7)
    try:
        with AlpacaResource.from_settings(settings) as alpaca:
            number = alpaca.account().number
            if number != found.account:
                return replace(found, why=f"the keys are those of account {number}, not of {found.account}")
            if shown := as_at_broker(store.orders_of_week(number, found.week), alpaca):
                found = of_week(store, found.week, number, shown)
            taken = alpaca.activities(after=since, types=sorted(FEES))
    except (ProviderError, UserError) as error:
        return replace(found, why=str(error))
    return replace(found, fees=fees_of(one for one in taken if one.at < until), why="")


def headline(found: WeekOfTrades) -> str:
    """What was bought and sold in the week, in one line; the least of it while the end of an order is not known."""
    sums = found.totals
    told = f"bought {sums.bought:,.2f}, sold {sums.sold:,.2f} USD in {sums.filled} trades"
    return f"week of {found.week}: {at_least(told, anything=bool(sums.filled), unended=sums.unended)}"


def trades_document(found: WeekOfTrades) -> dict[str, Any]:
    """For machines; `fees` is null where it is not known, and `why` says so."""
    done = None if found.done is None else found.done.to_document()
    return {**as_document(replace(found, done=None)), "done": done}
