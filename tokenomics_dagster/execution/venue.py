"""Where a plan is carried out: an account, the prices that it is traded at, and the time there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenomics_dagster.model.trading import Broker, Clock, MarketData
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.providers.alpaca.resource import AlpacaResource


@dataclass(frozen=True, slots=True)
class Venue:
    """`differing` says where this is another venue than settings mean, None where it is theirs. It has no default, for
    what the guards compare must be where orders go."""

    broker: Broker
    market: MarketData
    clock: Clock
    differing: Callable[[Settings], str | None]


def at_alpaca(alpaca: "AlpacaResource") -> Venue:
    """The account that a resource connects to."""
    from tokenomics_dagster.providers.alpaca.clock import AlpacaClock

    return Venue(alpaca, alpaca, AlpacaClock(alpaca), alpaca.differing_from)
