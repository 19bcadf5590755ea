"""What the warehouse knows of an account from before."""

from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails
from tokenomics_dagster.portfolio.standing import Past
from tokenomics_dagster.storage.warehouse import Warehouse

_PLANS = 20
"""Among so many of the newest plans an account's last one is looked for, where several accounts share a database."""


def past_of(store: Warehouse, account: str) -> Past:
    """What is the strategies', and the account's last plan. Raises WarehouseError where that is not what was stored."""
    last = None
    for one in store.history("trade_plan", limit=_PLANS):
        if one.details_as(TradePlanDetails).account == account:
            last = store.load_stored(
                "trade_plan", TradePlan, TradePlanDetails, partition=one.partition, as_of=one.as_of
            )
            break
    return Past(store.owned(account), last)
