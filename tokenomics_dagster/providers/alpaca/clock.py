"""The time that rules see: the broker's for stamps, and this machine's for how long they wait."""

import time
from datetime import datetime

from tokenomics_dagster.providers.alpaca.trading import AlpacaTrading


class AlpacaClock:
    """Waits are measured by this machine's monotonic clock: it goes on while the broker gives no answer, and stands
    still while the machine sleeps, so that who wakes still looks as long as before for what has become of an order.
    """

    def __init__(self, alpaca: AlpacaTrading) -> None:
        self._alpaca = alpaca

    def now(self) -> datetime:
        """As `AlpacaTrading.now`; raises ProviderError."""
        return self._alpaca.now()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)
