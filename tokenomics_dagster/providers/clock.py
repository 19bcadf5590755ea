"""What time it is for schedules and sensors: the broker's clock, read in the time that a tick has."""

from collections.abc import Callable
from typing import TypeVar

from tokenomics_dagster.model.trading import Account, MarketClock
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import TransientError

T = TypeVar("T")

# Dagster ends a tick after 60 s, of which the alerts may need 33: five time-outs of 15 s would leave none to tell.
TIMEOUT_S = 8.0


def broker_clock(alpaca: AlpacaResource) -> MarketClock:
    """The broker's clock, asked at most twice, so that one lost answer costs no tick. Raises ProviderError.

    By a client of its own each time, for a shared one would sit out the minutes for which a broker says to wait.
    """
    return _hastily(alpaca, AlpacaResource.clock)


def broker_account(alpaca: AlpacaResource) -> Account:
    """The account, read as `broker_clock`."""
    return _hastily(alpaca, AlpacaResource.account)


def hasty(alpaca: AlpacaResource) -> AlpacaResource:
    """A client of its own that asks once and gives up early; for a `with`."""
    return AlpacaResource(**{**alpaca.model_dump(), "max_attempts": 1, "timeout_s": min(alpaca.timeout_s, TIMEOUT_S)})


def _hastily(alpaca: AlpacaResource, read: Callable[[AlpacaResource], T]) -> T:
    try:
        with hasty(alpaca) as broker:
            return read(broker)
    except TransientError:
        with hasty(alpaca) as broker:
            return read(broker)
