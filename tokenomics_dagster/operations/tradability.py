"""Whether the broker trades a stock now, as it says itself, for who explains it. Only looks; what is held stays out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenomics_dagster.model.trading import MarketClock
from tokenomics_dagster.portfolio.quotes import reason_against
from tokenomics_dagster.settings.guards import GuardSettings

if TYPE_CHECKING:
    from tokenomics_dagster.providers.alpaca.resource import AlpacaResource


@dataclass(frozen=True, slots=True)
class Tradability:
    """`listed`: whether the broker has a stock of this name. `tradable` and `fractionable` as it says; `active`:
    whether it takes part in trading at all. `is_open`: whether the market is; `quote`: why its quote of now cannot be
    traded on, None where it can, and while the market is closed, when all quotes are old."""

    listed: bool
    active: bool
    tradable: bool
    fractionable: bool
    is_open: bool
    quote: str | None


def tradability(alpaca: "AlpacaResource", symbol: str, guards: GuardSettings) -> Tradability:
    """Asks the broker, by three calls. Raises ProviderError."""
    asset, clock = alpaca.asset(symbol), alpaca.clock()
    if asset is None:
        return Tradability(False, False, False, False, clock.is_open, None)
    active = asset.status == "active"
    quote = _against(alpaca, symbol, clock, guards) if active and asset.tradable and clock.is_open else None
    return Tradability(True, active, asset.tradable, asset.fractionable, clock.is_open, quote)


def _against(alpaca: "AlpacaResource", symbol: str, clock: MarketClock, guards: GuardSettings) -> str | None:
    return reason_against(alpaca.snapshots([symbol]).get(symbol), clock.now, guards)


def in_words(found: Tradability | None, unknown: str | None) -> str:
    """A sentence; `unknown`: why nobody could be asked."""
    if found is None:
        return f"not asked: {unknown}"
    if not found.listed:
        return "the broker has no stock of this name"
    if not found.active or not found.tradable:
        return f"not tradable: the broker {'does not trade it' if found.active else 'has it as inactive'}"
    parts = "also in parts of a share" if found.fractionable else "in whole shares only"
    if not found.is_open:
        return f"tradable, {parts}; the market is closed, so that nobody can tell whether it is halted"
    if found.quote is not None:
        return (
            f"tradable, {parts}; but not on its quote of now, as that of a halted stock: {found.quote} (the broker "
            "tells no halts)"
        )
    return f"tradable, {parts}; not halted, for its quote of now can be traded on"
