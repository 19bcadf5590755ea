"""The resource of a brokerage account and its market data."""

from __future__ import annotations

from typing import Self

from tokenomics_dagster.kit.resources import SettingsResource
from tokenomics_dagster.providers.alpaca.market_data import AlpacaMarketData
from tokenomics_dagster.providers.alpaca.trading import AlpacaTrading
from tokenomics_dagster.providers.resource import difference
from tokenomics_dagster.settings import Settings


class AlpacaResource(AlpacaTrading, AlpacaMarketData):
    """One brokerage account and its market data, at an even pace.

    Reads are repeated for what is transient; `submit` and the cancels are one request each. Every method raises
    ProviderError; all are safe to call from several threads.
    """

    @classmethod
    def from_settings(cls, settings: Settings, in_force: SettingsResource | None = None) -> Self:
        alpaca = settings.alpaca
        return cls(
            trading_url=settings.trading_url,
            data_url=settings.environment.alpaca_data_url,
            paper=settings.trading.paper,
            data_feed=alpaca.data_feed,
            calls_per_minute=alpaca.calls_per_minute,
            timeout_s=alpaca.timeout_s,
            deadline_s=alpaca.deadline_s,
            max_attempts=alpaca.max_attempts,
            symbols_per_call=alpaca.symbols_per_call,
            settings_in_force=in_force,
        )

    def differing_from(self, settings: Settings) -> str | None:
        """Where this is another account or feed than the one of these settings; None when it is not."""
        return difference(self, self.from_settings(settings))
