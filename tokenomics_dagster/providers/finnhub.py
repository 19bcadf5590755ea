"""Finnhub's listings, profiles and metrics, through the official client, with the units fixed per field.

What the figures mean for the universe or a score is decided in those rooms; here a missing figure is None, zero is
zero, and no unit is guessed from a value. An answer that is not what was asked for is an error, whatever its status:
"no data" is only what says so in its right form.
"""

import contextlib
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import dagster as dg
from pydantic import Field, PrivateAttr

from tokenomics_dagster.providers.errors import AuthenticationError, PermanentError, ProviderError, TransientError
from tokenomics_dagster.providers.meant import require_meant
from tokenomics_dagster.providers.pacing import Pacer, in_flight
from tokenomics_dagster.providers.usage import keep_usage
from tokenomics_dagster.settings import Settings, load_environment, load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.providers.transport import PacedAdapter

T = TypeVar("T")
log = logging.getLogger("tokenomics.providers")

PROVIDER = "Finnhub"
KEY = "FINNHUB_API_KEY"
# A sweep gives up when a host does not answer at all, or when this many symbols in a row meet what is transient, each
# tried max_attempts times: with 1,500 symbols x 5 attempts a dead host would otherwise cost 2 hours at 60 calls a
# minute. A refused key likewise: one that has worked in this sweep is not wrong because one symbol is refused.
GIVE_UP_AT_START = 5
GIVE_UP_IN_A_ROW = 20
PROGRESS_S = 5.0
# BRK.B, ABR-D: what becomes part of partition keys, Redis keys, order ids and addresses is nothing else.
_TICKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]{0,19}")


@dataclass(frozen=True, slots=True)
class Listing:
    """One row of /stock/symbol; absent texts are ""."""

    symbol: str
    description: str
    type: str
    mic: str
    currency: str
    figi: str
    share_class_figi: str


@dataclass(frozen=True, slots=True)
class Profile:
    """/stock/profile2. `market_cap_musd` is in millions of `currency`, that of the filings: USD only if it says so."""

    symbol: str
    name: str
    currency: str
    exchange: str
    industry: str
    country: str
    ipo: str
    market_cap_musd: float | None
    shares_outstanding_m: float | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """/stock/metric. *_pct in percent, debt_to_equity a ratio and book value USD (of the last quarter, else year), caps
    in millions. `reported_period` is the end of the newest period that `series` names, ISO 8601; of the newest year
    where debt/equity is of the year."""

    symbol: str
    roe_ttm_pct: float | None
    debt_to_equity: float | None
    revenue_growth_yoy_pct: float | None
    eps_growth_yoy_pct: float | None
    book_value_per_share: float | None
    market_cap_musd: float | None
    reported_period: str | None = None


class FinnhubResource(dg.ConfigurableResource):
    """Finnhub at an even pace. The key comes from FINNHUB_API_KEY at the first call; it is no field, as fields are
    shown in the UI. Every method raises ProviderError; all are safe to call from several threads."""

    base_url: str = Field(description="Address of the API, /api/v1 included.")
    calls_per_minute: float = Field(description="The plan's limit, or a little under.")
    max_calls_per_second: float = Field(default=30.0, description="Finnhub's cap, whatever the plan.")
    timeout_s: float = Field(default=10.0, description="Seconds of silence within one answer.")
    deadline_s: float = Field(default=60.0, description="Seconds for one whole answer.")
    max_attempts: int = Field(default=5, description="Of a read, for what is transient.")
    max_in_flight: int = Field(default=300, description="Calls under way at once, at most.")

    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _client: Any = PrivateAttr(default=None)
    _adapter: "PacedAdapter | None" = PrivateAttr(default=None)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        finnhub = settings.finnhub
        return cls(
            base_url=settings.environment.finnhub_base_url,
            calls_per_minute=finnhub.calls_per_minute,
            max_calls_per_second=finnhub.max_calls_per_second,
            timeout_s=finnhub.timeout_s,
            deadline_s=finnhub.deadline_s,
            max_attempts=finnhub.max_attempts,
            max_in_flight=finnhub.max_in_flight,
        )

    @property
    def calls(self) -> dict[str, int]:
        """HTTP calls so far by endpoint, retries counted."""
        return {} if self._adapter is None else self._adapter.calls

    @property
    def waited_s(self) -> float:
        """Seconds during which calls were held back to keep the pace."""
        return 0.0 if self._adapter is None else self._adapter.pacer.waited_s

    def listings(self) -> list[Listing]:
        """All US listings, in Finnhub's order. Rows without a symbol, or with one that is no ticker, are dropped and
        counted in the log."""
        rows = self._get(lambda client: client.stock_symbols("US"))
        if not isinstance(rows, list):
            raise _unusable("/stock/symbol", "a list", rows)
        found = [
            Listing(
                symbol=symbol,
                description=_text(row.get("description")),
                type=_text(row.get("type")),
                mic=_text(row.get("mic")),
                currency=_text(row.get("currency")),
                figi=_text(row.get("figi")),
                share_class_figi=_text(row.get("shareClassFIGI")),
            )
            for row in rows
            if isinstance(row, dict) and (symbol := _text(row.get("symbol")))
        ]
        if len(found) < len(rows):
            log.warning(
                "Finnhub /stock/symbol: %d of %d rows have no symbol, dropped", len(rows) - len(found), len(rows)
            )
        tickers = [listing for listing in found if _TICKER.fullmatch(listing.symbol)]
        if len(tickers) < len(found):
            log.warning(
                "Finnhub /stock/symbol: %d of %d symbols are no tickers, dropped", len(found) - len(tickers), len(rows)
            )
        return tickers

    def profile(self, symbol: str) -> Profile | None:
        """None where Finnhub says that it has no data: an empty object. Another company's profile is an error."""
        _require_ticker(symbol, "/stock/profile2")
        body = _object("/stock/profile2", self._get(lambda client: client.company_profile2(symbol=symbol)))
        if not body:
            return None
        ticker = _text(body.get("ticker"))
        if ticker and not _same_issuer(symbol, ticker):
            raise _wrong("/stock/profile2", f"{symbol} was asked for, the profile is that of {ticker[:40]!a}")
        return Profile(
            symbol=symbol,
            name=_text(body.get("name")),
            currency=_text(body.get("currency")),
            exchange=_text(body.get("exchange")),
            industry=_text(body.get("finnhubIndustry")),
            country=_text(body.get("country")),
            ipo=_text(body.get("ipo")),
            market_cap_musd=_number(body, "marketCapitalization", "/stock/profile2"),
            shares_outstanding_m=_number(body, "shareOutstanding", "/stock/profile2"),
        )

    def metrics(self, symbol: str) -> Metrics:
        """All None where Finnhub says that it has no data: an empty object `metric`. Another symbol's are an error."""
        _require_ticker(symbol, "/stock/metric")
        body = _object("/stock/metric", self._get(lambda client: client.company_basic_financials(symbol, "all")))
        values = body.get("metric")
        if not isinstance(values, dict):
            raise _unusable("/stock/metric", "an object with an object `metric`", values)
        told = _text(body.get("symbol"))
        if told and _spelled(told) != _spelled(symbol):
            raise _wrong("/stock/metric", f"{symbol} was asked for, the figures are those of {told[:40]!a}")

        def number(key: str) -> float | None:
            return _number(values, key, "/stock/metric")

        by_quarter, by_year = (_newest_period(body.get("series"), span) for span in ("quarterly", "annual"))
        debt, book = number("totalDebt/totalEquityQuarterly"), number("bookValuePerShareQuarterly")
        of_the_year = debt is None and number("totalDebt/totalEquityAnnual") is not None
        return Metrics(
            symbol=symbol,
            roe_ttm_pct=number("roeTTM"),
            debt_to_equity=number("totalDebt/totalEquityAnnual") if debt is None else debt,
            revenue_growth_yoy_pct=number("revenueGrowthTTMYoy"),
            eps_growth_yoy_pct=number("epsGrowthTTMYoy"),
            book_value_per_share=number("bookValuePerShareAnnual") if book is None else book,
            market_cap_musd=number("marketCapitalization"),
            # The figures are as old as the oldest of those that a score cannot do without.
            reported_period=(by_year if of_the_year and by_year else by_quarter) or by_year,
        )

    def sweep(
        self, symbols: Sequence[str], fetch: Callable[[str], T]
    ) -> Generator[tuple[str, T | ProviderError], None, None]:
        """`fetch` for every symbol, e.g. `sweep(symbols, finnhub.metrics)`; yields in order of completion.

        Progress is logged every 5 s. A failed symbol comes with its error, a refused one too. Raises instead of going
        on: anything that is not a ProviderError; the last error when nothing answers at the start or 20 symbols in a
        row meet what is transient; AuthenticationError when a key that has not worked yet is refused 5 times, or any
        key 20 times in a row. Closing the iterator stops further calls at once.
        """
        in_a_row, refused_in_a_row = 0, 0
        host_is_known, key_is_known = False, False
        progress = _Progress(getattr(fetch, "__name__", "symbols"), len(symbols))
        with contextlib.closing(in_flight(symbols, fetch, self.max_in_flight)) as results:
            for symbol, future in results:
                progress.advance()
                error = future.exception()
                if error is None:
                    in_a_row, refused_in_a_row, host_is_known, key_is_known = 0, 0, True, True
                    yield symbol, future.result()
                    continue
                if not isinstance(error, ProviderError):
                    raise error
                host_is_known = host_is_known or error.status is not None
                if isinstance(error, AuthenticationError):
                    refused_in_a_row += 1
                    limit = GIVE_UP_IN_A_ROW if key_is_known else min(GIVE_UP_AT_START, len(symbols))
                    if refused_in_a_row >= limit:
                        raise error
                elif isinstance(error, TransientError):
                    in_a_row += 1
                    if in_a_row >= (GIVE_UP_IN_A_ROW if host_is_known else GIVE_UP_AT_START):
                        error.message = f"{in_a_row} symbols in a row failed and the sweep was stopped, {error.message}"
                        raise error
                else:
                    # Whoever says what is wrong with a symbol has accepted the key.
                    refused_in_a_row, key_is_known = 0, True
                yield symbol, error

    def close(self) -> None:
        """Close the connections; the counters stay."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        if context.run is not None:  # a sensor must go on looking, and trades nothing
            require_meant("finnhub", self, type(self).from_settings(load_settings()))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        self.close()
        keep_usage(context, PROVIDER, self.calls, self.waited_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, call: Callable[[Any], Any]) -> Any:
        from tokenomics_dagster.providers.transport import guarded

        return guarded(lambda: call(self._connected()))

    def _connected(self) -> Any:
        from finnhub import Client

        from tokenomics_dagster.providers.transport import PacedAdapter, header_value, session

        with self._lock:
            if self._client is not None:
                return self._client
            key = header_value(KEY, load_environment().secret(KEY))
            if self._adapter is None:
                self._adapter = PacedAdapter(
                    PROVIDER,
                    self.base_url,
                    Pacer(self.calls_per_minute, self.max_calls_per_second),
                    timeout_s=self.timeout_s,
                    deadline_s=self.deadline_s,
                    max_attempts=self.max_attempts,
                    connections=self.max_in_flight,
                    secrets={KEY: key},
                )
            # As a header: the official client puts it into the query, and so into the text of connection errors.
            ours = session(self._adapter, {"X-Finnhub-Token": key})

            class PacedClient(Client):
                API_URL = self.base_url

                @staticmethod
                def _init_session(_api_key: None, _proxies: None) -> Any:
                    return ours

            self._client = PacedClient(api_key=None)
            return self._client


class _Progress:
    """Logs how far a sweep is: done, rate, time left."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._started = self._logged = time.monotonic()

    def advance(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._logged < PROGRESS_S and not (self._done == self._total and self._logged > self._started):
            return
        self._logged = now
        per_second = self._done / (now - self._started)
        rate = f"{per_second:.0f}/s" if per_second >= 2 else f"{60 * per_second:.0f}/min"
        left_s = (self._total - self._done) / per_second
        left = f"{left_s:.0f} s" if left_s < 90 else f"{left_s / 60:.0f} min"
        log.info("%s: %d of %d, %s, %s left", self._what, self._done, self._total, rate, left)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _number(values: Mapping[str, Any], key: str, path: str) -> float | None:
    """None for null, an absent key, "" and NaN, which are Finnhub's ways to leave a figure out; PermanentError for
    anything else that is no finite number: what cannot be read is not missing."""
    value = values.get(key)
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(path, f"{key} is {repr(value)[:40]}, which is no number")
    return number


def _newest_period(series: Any, span: str) -> str | None:
    """The end of the newest period in `series` of that span; None where there is none."""
    found = series.get(span) if isinstance(series, dict) else None
    if not isinstance(found, dict):
        return None
    ends = [
        _text(point.get("period"))
        for points in found.values()
        if isinstance(points, list)
        for point in points
        if isinstance(point, dict) and isinstance(point.get("v"), int | float)
    ]
    newest = max(ends, default="")
    if not newest:
        return None
    try:
        return date.fromisoformat(newest).isoformat()
    except ValueError:
        raise _wrong("/stock/metric", f"the newest {span} period is {newest[:40]!a}, which is no date") from None


def _spelled(symbol: str) -> str:
    """BRK.B, BRK-B and BRK/B are one."""
    return re.sub(r"[-/ ]", ".", symbol.upper())


def _same_issuer(asked: str, told: str) -> bool:
    """Whether a profile of `told` may answer for `asked`: of a company with several classes Finnhub names one of them,
    which differs after the dot (BRK.A) or by one letter at the end (GOOG and GOOGL, LBRDA and LBRDK)."""
    one, other = _spelled(asked), _spelled(told)
    if one == other or one.partition(".")[0] == other.partition(".")[0]:
        return True
    shorter, longer = sorted((one, other), key=len)
    root = longer[:-1]
    return len(root) >= 3 and (shorter == root or (len(longer) == 5 and shorter[:-1] == root))


def _require_ticker(symbol: str, path: str) -> None:
    """Whoever reaches the UI can add any text to the partitions; it is neither asked for nor stored."""
    if not _TICKER.fullmatch(symbol):
        raise PermanentError(PROVIDER, f"GET {path}", None, f"{symbol[:40]!a} is no ticker, and was not asked for")


def _object(path: str, body: Any) -> dict[str, Any]:
    """The body, if it is an object that tells no error: Finnhub also does that with status 200."""
    if not isinstance(body, dict):
        raise _unusable(path, "an object", body)
    if body.get("error"):
        raise _wrong(path, f"the body is an error: {' '.join(str(body['error']).split())[:200]}")
    return body


def _wrong(path: str, message: str) -> PermanentError:
    return PermanentError(PROVIDER, f"GET {path}", 200, message)


def _unusable(path: str, wanted: str, body: Any) -> PermanentError:
    return _wrong(path, f"the body is not {wanted} but of type {type(body).__name__}")
