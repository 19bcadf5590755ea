"""What the account says of cash and positions, held against what plan and fills make of them, before money is spent.

An account can answer with old figures for seconds after a fill: it is asked again until it agrees, or a deadline has
passed. What follows from a difference is decided in funding.py and since_plan.py.
"""

import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.execution import since_plan
from tokenomics_dagster.execution.funding import cash_made
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.model.trading import Account, Broker, Clock, Deadline, Fill
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import LedgerOrder

log = logging.getLogger("tokenomics.execution")


class Confirmation:
    """The account of one plan; only reads. Every method raises ProviderError."""

    def __init__(self, plan: Plan, broker: Broker, clock: Clock, settings: Settings) -> None:
        self._plan = plan
        self._broker = broker
        self._clock = clock
        self._settings = settings

    def confirmed_cash(self, rows: Sequence["LedgerOrder"]) -> tuple[Account, Decimal, str]:
        """The account, the cash in USD that both it and the fills confirm, and what is to be said of it, if anything.

        Waits until the account's cash is no less than the plan's and the fills since make it, unless it is known what
        took the rest (a withdrawal, a fee). `rows` are the plan's.
        """
        tolerance = Decimal(str(self._settings.guards.max_cash_difference_usd))
        deadline = Deadline(self._clock, self._settings.trading.cash_timeout_s)
        while True:
            account = self._broker.account()
            made = cash_made(self._plan, rows, self._fills_of_others(rows))
            if account.cash < made - tolerance:
                made += self._booked()
            if account.cash >= made - tolerance:
                return account, min(account.cash, made + tolerance), ""
            if deadline.passed:
                break
            self._clock.wait(self._settings.trading.poll_interval_s)
        late = (
            f"; the account still says {account.cash:,.2f} USD of cash where the fills make {made:,.2f}, "
            f"trading.cash_timeout_s is {self._settings.trading.cash_timeout_s:g}"
        )
        log.warning("buys are paid from what is there%s", late)
        return account, account.cash, late

    def changed(self, orders: Sequence[PlannedOrder], rows: Sequence["LedgerOrder"]) -> dict[str, str]:
        """Why orders that were not sent yet are left out, by symbol: their names are not held as the plan knows."""
        deadline = Deadline(self._clock, self._settings.trading.cash_timeout_s)
        others: list[Fill] = []
        while moved := since_plan.moved_names(orders, self._plan, self._broker.positions()):
            others = self._fills_of_others(rows)
            if since_plan.explained(moved, others) or deadline.passed:
                break
            self._clock.wait(self._settings.trading.poll_interval_s)
        return since_plan.why_left_out(orders, self._plan, moved, others)

    def _booked(self) -> Decimal:
        """What was, or may have been, paid in or out since the plan without an order, USD."""
        return sum((one.cash for one in self._broker.activities(after=self._plan.created_at)), Decimal(0))

    def _fills_of_others(self, rows: Sequence["LedgerOrder"]) -> list[Fill]:
        """Since the plan was made; all that its own orders did is in the ledger, and may come late here."""
        ours = {row.broker_id for row in rows}
        since = self._plan.created_at
        return [fill for fill in self._broker.fills(after=since) if fill.order_id not in ours and fill.at >= since]
