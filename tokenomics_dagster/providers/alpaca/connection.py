"""The connections to both of Alpaca's APIs: the official clients, each at its pace and without its own retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from tokenomics_dagster.providers.alpaca import PROVIDER
from tokenomics_dagster.providers.pacing import Pacer
from tokenomics_dagster.providers.resource import ProviderResource, guarded

if TYPE_CHECKING:
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.trading.client import TradingClient

KEY, SECRET = "ALPACA_API_KEY", "ALPACA_SECRET_KEY"


class AlpacaConnection(ProviderResource):
    """The keys come from ALPACA_API_KEY and ALPACA_SECRET_KEY at the first call; they are no fields, as fields are
    shown in the UI."""

    provider: ClassVar[str] = PROVIDER

    trading_url: str = Field(description="Address of the trading API, without /v2.")
    data_url: str = Field(description="Address of the market data API, without /v2.")
    paper: bool = Field(description="Whether the account is meant to be a paper account.")
    data_feed: str = Field(default="iex", description="iex, sip or delayed_sip.")
    calls_per_minute: float = Field(description="Of each of the two APIs; Alpaca allows 200.")
    symbols_per_call: int = Field(default=100, description="Longer URLs are refused with 414.")

    _trading_client: TradingClient | None = PrivateAttr(default=None)
    _data_client: StockHistoricalDataClient | None = PrivateAttr(default=None)

    def close(self) -> None:
        with self._lock:
            clients = [client for client in (self._trading_client, self._data_client) if client is not None]
            self._trading_client = self._data_client = None
        for client in clients:
            client._session.close()

    def _trading(self, call: Callable[[TradingClient], Any]) -> Any:
        return guarded(lambda: call(self._trading_connected()))

    def _data(self, path: str, asked: Mapping[str, str | int], version: str = "v2") -> Any:
        return guarded(lambda: self._data_connected().get(path, dict(asked), api_version=version))

    def _keys(self) -> tuple[str, str]:
        from tokenomics_dagster.providers.transport import header_value

        environment = self._environment(KEY, SECRET)
        return header_value(KEY, environment.secret(KEY)), header_value(SECRET, environment.secret(SECRET))

    def _trading_connected(self) -> TradingClient:
        from alpaca.trading.client import TradingClient

        with self._lock:
            if self._trading_client is None:
                key, secret = self._keys()
                client = TradingClient(key, secret, paper=self.paper, raw_data=True, url_override=self.trading_url)
                self._make_safe(client, "trading", self.trading_url, {KEY: key, SECRET: secret})
                self._trading_client = client
            return self._trading_client

    def _data_connected(self) -> StockHistoricalDataClient:
        from alpaca.data.historical import StockHistoricalDataClient

        with self._lock:
            if self._data_client is None:
                key, secret = self._keys()
                client = StockHistoricalDataClient(key, secret, raw_data=True, url_override=self.data_url)
                self._make_safe(client, "data", self.data_url, {KEY: key, SECRET: secret})
                self._data_client = client
            return self._data_client

    def _make_safe(self, client: Any, api: str, url: str, secrets: Mapping[str, str]) -> None:
        from tokenomics_dagster.providers.transport import session

        adapter = self._adapter(api, url, Pacer(self.calls_per_minute), connections=4, secrets=secrets)
        client._session = session(adapter, {})
        # alpaca-py repeats on 429 and 504, POST included, and has no argument against it. The adapter raises before
        # it could; this stays correct should that change.
        client._retry = 0
