"""What the warehouse knows of an account from before."""

from collections.abc import Mapping
from datetime import datetime

from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails
from tokenomics_dagster.portfolio.standing import Past
from tokenomics_dagster.storage.warehouse import Warehouse


def past_of(store: Warehouse, account: str) -> Past:
    """What is the strategies', and the account's last plan. Raises WarehouseError where that is not what was stored."""
    owned, newest = store.owned(account), store.newest_plan_of(account)
    if newest is None:
        return Past(owned)
    last = store.load_stored("trade_plan", TradePlan, TradePlanDetails, partition=newest.partition, as_of=newest.as_of)
    own = {} if last is None else last.details.own
    earlier = {symbol: at for symbol, at in owned.bought.items() if symbol not in own and at < newest.as_of}
    return Past(owned, last, _ids_then(store, account, earlier) if earlier else {})


def _ids_then(store: Warehouse, account: str, bought: Mapping[str, datetime]) -> dict[str, str]:
    """The broker's ids of what was bought before plans told what is own, by the plan that bought it: a symbol may have
    been given to another company since."""
    found: dict[str, str] = {}
    for one in store.newest_first("trade_plan"):
        details = one.details_as(TradePlanDetails)
        if details.account == account:
            then = {symbol for symbol, at in bought.items() if symbol not in found and one.as_of <= at}
            found |= {symbol: details.asset_ids[symbol] for symbol in then & details.asset_ids.keys()}
    return found
