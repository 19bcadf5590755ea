"""The resource that asks Finnhub, one symbol at a time or in sweeps."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pydantic import Field, PrivateAttr

from tokenomics_dagster.kit.resources import SettingsResource
from tokenomics_dagster.model.progress import Pace
from tokenomics_dagster.providers.errors import AuthenticationError, PermanentError, ProviderError, TransientError
from tokenomics_dagster.providers.finnhub import PROVIDER
from tokenomics_dagster.providers.finnhub.parsing import (
    KEY,
    Answer,
    Listed,
    Metrics,
    Profile,
    read_listings,
    read_metrics,
    read_profile,
    require_ticker,
)
from tokenomics_dagster.providers.pacing import Pacer, in_flight
from tokenomics_dagster.providers.resource import ProviderResource, guarded
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from finnhub import Client

T = TypeVar("T")
log = logging.getLogger("tokenomics.providers")

# A sweep gives up when a host does not answer at all, or when this many symbols in a row meet what is transient, each
# tried max_attempts times: with 1,500 symbols x 5 attempts a dead host would otherwise cost 2 hours at 60 calls a
# minute. A refused key likewise: one that has worked in this run, or works for another symbol, is not wrong because one
# symbol is refused.
GIVE_UP_AT_START = 5
GIVE_UP_IN_A_ROW = 20
# Asked for when nothing else tells whether a key is good; without data for it the answer would be no refusal either.
_WELL_KNOWN = "AAPL"
PROGRESS_S = 5.0


class FinnhubResource(ProviderResource):
    """Finnhub at an even pace. The key comes from FINNHUB_API_KEY at the first call; it is no field, as fields are
    shown in the UI. Every method raises ProviderError; all are safe to call from several threads."""

    provider: ClassVar[str] = PROVIDER

    base_url: str = Field(description="Address of the API, /api/v1 included.")
    calls_per_minute: float = Field(description="The plan's limit, or a little under.")
    max_calls_per_second: float = Field(default=30.0, description="Finnhub's cap, whatever the plan.")
    timeout_s: float = Field(default=10.0, description="Seconds of silence within one answer.")
    max_in_flight: int = Field(default=300, description="Calls under way at once, at most.")

    _client: Client | None = PrivateAttr(default=None)
    _key: str = PrivateAttr(default="")
    _host_is_known: bool = PrivateAttr(default=False)
    _key_is_known: bool = PrivateAttr(default=False)

    @classmethod
    def from_settings(cls, settings: Settings, in_force: SettingsResource | None = None) -> Self:
        finnhub = settings.finnhub
        return cls(
            base_url=settings.environment.finnhub_base_url,
            calls_per_minute=finnhub.calls_per_minute,
            max_calls_per_second=finnhub.max_calls_per_second,
            timeout_s=finnhub.timeout_s,
            deadline_s=finnhub.deadline_s,
            max_attempts=finnhub.max_attempts,
            max_in_flight=finnhub.max_in_flight,
            settings_in_force=in_force,
        )

    def listings(self) -> Listed:
        """All US listings, in Finnhub's order, and what was dropped of them."""
        return read_listings(self._ask("/stock/symbol", lambda client: client.stock_symbols("US")))

    def profile(self, symbol: str, security: str = "") -> Profile | None:
        """None where Finnhub says that it has no data. Another company's profile is an error; `security` is the name
        under which the symbol is listed, by which another class of it is known."""
        path = "/stock/profile2"
        require_ticker(symbol, path)
        return read_profile(self._ask(path, lambda client: client.company_profile2(symbol=symbol)), symbol, security)

    def metrics(self, symbol: str) -> Metrics:
        """All None where Finnhub says that it has no data. Another symbol's are an error."""
        path = "/stock/metric"
        require_ticker(symbol, path)
        return read_metrics(self._ask(path, lambda client: client.company_basic_financials(symbol, "all")), symbol)

    def sweep(
        self, symbols: Sequence[str], fetch: Callable[[str], T], what: str = "symbols"
    ) -> Generator[tuple[str, T | ProviderError], None, None]:
        """`fetch` for every symbol, e.g. `sweep(symbols, finnhub.metrics)`; yields in order of completion.

        Progress is logged every 5 s, as one of `what`. A failed symbol comes with its error, a refused one too. Raises
        instead of going on: anything that is not a ProviderError; the last error when nothing answers at the start or
        20 symbols in a row meet what is transient; AuthenticationError when a key that has not worked in this run is
        refused 5 times (or for all there are) and then for a well-known stock, or any key 20 times in a row. Closing
        the iterator stops further calls at once.
        """
        in_a_row, refused_in_a_row = 0, 0
        progress = _Progress(what, len(symbols))
        with contextlib.closing(in_flight(symbols, fetch, self.max_in_flight)) as results:
            for symbol, future in results:
                progress.advance()
                error = future.exception()
                if error is None:
                    in_a_row, refused_in_a_row = 0, 0
                    self._host_is_known = self._key_is_known = True
                    yield symbol, future.result()
                    continue
                if not isinstance(error, ProviderError):
                    raise error
                self._host_is_known = self._host_is_known or error.status is not None
                if isinstance(error, AuthenticationError):
                    refused_in_a_row += 1
                    if refused_in_a_row >= GIVE_UP_IN_A_ROW:
                        self._key_is_known = False
                        raise error
                    if refused_in_a_row >= min(GIVE_UP_AT_START, len(symbols)) and not self._key_works():
                        raise error
                elif isinstance(error, TransientError):
                    in_a_row += 1
                    if in_a_row >= (GIVE_UP_IN_A_ROW if self._host_is_known else GIVE_UP_AT_START):
                        error.message = f"{in_a_row} symbols in a row failed and the sweep was stopped, {error.message}"
                        raise error
                else:
                    # Whoever says what is wrong with a symbol has accepted the key.
                    refused_in_a_row, self._key_is_known = 0, True
                yield symbol, error

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _key_works(self) -> bool:
        """Whether the key has worked in this run, or works now: one symbol that is refused says nothing of it, and may
        be all that a sweep has left to ask for."""
        if not self._key_is_known:
            try:
                self.profile(_WELL_KNOWN)
            except (AuthenticationError, TransientError):
                return False
            except PermanentError:
                pass  # refused for another reason, by one who has accepted the key
            self._key_is_known = True
        return True

    def _ask(self, path: str, call: Callable[[Client], Any]) -> Answer:
        body = guarded(lambda: call(self._connected()))
        return Answer(path, body, self._key)

    def _connected(self) -> Client:
        from finnhub import Client

        from tokenomics_dagster.providers.transport import header_value, session

        with self._lock:
            if self._client is not None:
                return self._client
            self._key = key = header_value(KEY, self._environment().secret(KEY))
            adapter = self._adapter(
                "",
                self.base_url,
                Pacer(self.calls_per_minute, self.max_calls_per_second),
                connections=self.max_in_flight,
                secrets={KEY: key},
            )
            # As a header: the official client puts it into the query, and so into the text of connection errors.
            ours = session(adapter, {"X-Finnhub-Token": key})

            class PacedClient(Client):
                API_URL = self.base_url

                @staticmethod
                def _init_session(_api_key: None, _proxies: None) -> Any:
                    return ours

            self._client = PacedClient(api_key=None)
            return self._client


class _Progress:
    """Logs how far a sweep is, and the time left."""

    def __init__(self, what: str, total: int) -> None:
        self._total, self._done = total, 0
        self._started = self._logged = time.monotonic()
        self._pace = Pace(what, total, self._started)

    def advance(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._logged < PROGRESS_S and not (self._done == self._total and self._logged > self._started):
            return
        self._logged = now
        log.info(self._pace.line(self._done, now))
