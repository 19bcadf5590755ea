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
from datetime import date, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

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
# minute. A refused key likewise: one that has worked in this run, or works for another symbol, is not wrong because one
# symbol is refused.
GIVE_UP_AT_START = 5
GIVE_UP_IN_A_ROW = 20
# Asked for when nothing else tells whether a key is good; without data for it the answer would be no refusal either.
_WELL_KNOWN = "AAPL"
PROGRESS_S = 5.0
# BRK.B, ABR-D: what becomes part of partition keys, Redis keys, order ids and addresses is nothing else.
_TICKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]{0,19}")
# Python's own reading takes 1_000 for a thousand.
_DECIMAL = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
# Under `series`, where the periods of these figures stand, quarterly or of the year. A growth is as new as the newer of
# its two: both are of one income statement.
_SERIES = {
    "roe": ("roeTTM",),
    "debt": ("totalDebtToEquity",),
    "growth": ("salesPerShare", "eps"),
    "book": ("bookValue",),
}
_TELLING = {name for names in _SERIES.values() for name in names}
# Of the year before the newest quarter, at most: a leap year, and a year of 53 weeks.
_YEAR = timedelta(days=373)


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


class Listed(NamedTuple):
    """What /stock/symbol lists, and why a symbol is not among it although a row of the answer may mean it."""

    listings: list[Listing]
    dropped: dict[str, str]


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
    """/stock/metric. *_pct in percent, debt_to_equity a ratio and book value USD (of the last quarter, else of the year
    before it), caps in millions. `reported_period` is the end of the period, ISO 8601, of the oldest of the figures
    that make a score or forbid it, as `series` tells it."""

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
    _key: str = PrivateAttr(default="")
    _host_is_known: bool = PrivateAttr(default=False)
    _key_is_known: bool = PrivateAttr(default=False)

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

    def listings(self) -> Listed:
        """All US listings, in Finnhub's order. Rows without a symbol are dropped and counted in the log; those whose
        symbol is no ticker are dropped and named, in the log and beside the listings."""
        answer = self._ask("/stock/symbol", lambda client: client.stock_symbols("US"))
        rows = answer.body
        if not isinstance(rows, list):
            raise answer.unusable("a list", rows)
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
        dropped = [listing.symbol for listing in found if not _TICKER.fullmatch(listing.symbol)]
        if dropped:
            shown = ", ".join(answer.shown(symbol) for symbol in dropped[:20])
            more = f" and {len(dropped) - 20} more" if len(dropped) > 20 else ""
            log.warning(
                "Finnhub /stock/symbol: %d of %d symbols are no tickers, dropped: %s%s",
                len(dropped), len(rows), shown, more,
            )  # fmt: skip
        reasons = {
            spelled if _TICKER.fullmatch(spelled := _spelled(symbol)) else answer.shown(symbol): (
                f"listed as {answer.shown(symbol)}, which is no ticker"
            )
            for symbol in dropped
        }
        return Listed([listing for listing in found if _TICKER.fullmatch(listing.symbol)], reasons)

    def profile(self, symbol: str, security: str = "") -> Profile | None:
        """None where Finnhub says that it has no data: an empty object. Another company's profile is an error;
        `security` is the name under which the symbol is listed, by which another class of it is known."""
        _require_ticker(symbol, "/stock/profile2")
        answer = self._ask("/stock/profile2", lambda client: client.company_profile2(symbol=symbol))
        body = answer.object()
        if not body:
            return None
        if not body.keys() & {"ticker", "name", "marketCapitalization"}:
            raise answer.unusable("a profile", body)
        ticker, name = _text(body.get("ticker")), _text(body.get("name"))
        if ticker and not _same_issuer(symbol, ticker, security, name):
            raise answer.wrong(f"{symbol} was asked for, the profile is that of {answer.shown(ticker)}")
        return Profile(
            symbol=symbol,
            name=name,
            currency=_text(body.get("currency")),
            exchange=_text(body.get("exchange")),
            industry=_text(body.get("finnhubIndustry")),
            country=_text(body.get("country")),
            ipo=_text(body.get("ipo")),
            market_cap_musd=answer.number(body, "marketCapitalization"),
            shares_outstanding_m=answer.number(body, "shareOutstanding"),
        )

    def metrics(self, symbol: str) -> Metrics:
        """All None where Finnhub says that it has no data: an empty object `metric`. Another symbol's are an error."""
        _require_ticker(symbol, "/stock/metric")
        answer = self._ask("/stock/metric", lambda client: client.company_basic_financials(symbol, "all"))
        body = answer.object()
        values = body.get("metric")
        if not isinstance(values, dict):
            raise answer.unusable("an object with an object `metric`", values)
        told = _text(body.get("symbol"))
        if told and _spelled(told) != _spelled(symbol):
            raise answer.wrong(f"{symbol} was asked for, the figures are those of {answer.shown(told)}")

        def number(key: str) -> float | None:
            return answer.number(values, key)

        roe, by_sales, by_eps = number("roeTTM"), number("revenueGrowthTTMYoy"), number("epsGrowthTTMYoy")
        debt, book = number("totalDebt/totalEquityQuarterly"), number("bookValuePerShareQuarterly")
        of_year = {"debt": debt is None, "book": book is None}
        debt = number("totalDebt/totalEquityAnnual") if debt is None else debt
        book = number("bookValuePerShareAnnual") if book is None else book
        periods = answer.periods(body.get("series"))
        if of_year["book"] and periods.age_of_year("book") > _YEAR:
            book = None  # what a company was worth years ago says nothing of now
        # A zero may be left out of its series, and a book value that is not negative decides nothing.
        deciding = {"roe": roe, "debt": debt, "growth": by_sales or by_eps, "book": min(book or 0.0, 0.0)}
        return Metrics(
            symbol=symbol,
            roe_ttm_pct=roe,
            debt_to_equity=debt,
            revenue_growth_yoy_pct=by_sales,
            eps_growth_yoy_pct=by_eps,
            book_value_per_share=book,
            market_cap_musd=number("marketCapitalization"),
            reported_period=periods.oldest(
                {name: of_year.get(name, False) for name, value in deciding.items() if value}
            ),
        )

    def sweep(
        self, symbols: Sequence[str], fetch: Callable[[str], T]
    ) -> Generator[tuple[str, T | ProviderError], None, None]:
        """`fetch` for every symbol, e.g. `sweep(symbols, finnhub.metrics)`; yields in order of completion.

        Progress is logged every 5 s. A failed symbol comes with its error, a refused one too. Raises instead of going
        on: anything that is not a ProviderError; the last error when nothing answers at the start or 20 symbols in a
        row meet what is transient; AuthenticationError when a key that has not worked in this run is refused 5 times
        (or for all there are) and then for a well-known stock, or any key 20 times in a row. Closing the iterator stops
        further calls at once.
        """
        in_a_row, refused_in_a_row = 0, 0
        progress = _Progress(getattr(fetch, "__name__", "symbols"), len(symbols))
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

    def _ask(self, path: str, call: Callable[[Any], Any]) -> "_Answer":
        from tokenomics_dagster.providers.transport import guarded

        body = guarded(lambda: call(self._connected()))
        return _Answer(path, body, self._key)

    def _connected(self) -> Any:
        from finnhub import Client

        from tokenomics_dagster.providers.transport import PacedAdapter, header_value, session

        with self._lock:
            if self._client is not None:
                return self._client
            self._key = key = header_value(KEY, load_environment().secret(KEY))
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


class _Answer:
    """One answer: what is read of it, with errors that name the path and the value, and never the key."""

    def __init__(self, path: str, body: Any, key: str) -> None:
        self.path, self.body, self._key = path, body, key

    def object(self) -> dict[str, Any]:
        """The body, if it is an object that tells no error: Finnhub also does that with status 200."""
        if not isinstance(self.body, dict):
            raise self.unusable("an object", self.body)
        if error := self.body.get("error"):
            raise self.wrong(f"the body is an error: {' '.join(self._clean(str(error)).split())[:200]}")
        return self.body

    def number(self, values: Mapping[str, Any], name: str) -> float | None:
        """None for null, an absent key, "" and NaN, which are Finnhub's ways to leave a figure out; PermanentError for
        anything else that is no finite number: what cannot be read is not missing."""
        value = values.get(name)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            return None
        number = math.nan
        if isinstance(value, str):
            number = float(value) if _DECIMAL.fullmatch(value) else math.nan
        elif isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):
                number = float(value)
        if not math.isfinite(number):
            raise self.wrong(f"{name} is {self.shown(value)}, which is no number")
        return number

    def periods(self, series: Any) -> "_Periods":
        """The newest period of each series; PermanentError where one that tells a figure's period holds no date."""
        found: dict[str, dict[str, date]] = {"quarterly": {}, "annual": {}}
        for span, newest in found.items():
            told = series.get(span) if isinstance(series, dict) else None
            for name, points in told.items() if isinstance(told, dict) else ():
                ends = [
                    _text(point.get("period"))
                    for point in (points if isinstance(points, list) else ())
                    if isinstance(point, dict) and isinstance(point.get("v"), int | float)
                ]
                end = max(ends, default="")
                try:
                    newest[name] = date.fromisoformat(end)
                except ValueError:
                    if end and name in _TELLING:
                        message = f"the newest {span} period of {name} is {self.shown(end)}, which is no date"
                        raise self.wrong(message) from None
        return _Periods(found["quarterly"], found["annual"])

    def shown(self, value: Any) -> str:
        return self._clean(ascii(value))[:40]

    def wrong(self, message: str) -> PermanentError:
        return PermanentError(PROVIDER, f"GET {self.path}", 200, message)

    def unusable(self, wanted: str, value: Any) -> PermanentError:
        keys = f" of {', '.join(self.shown(key) for key in list(value)[:5])}" if isinstance(value, dict) else ""
        return self.wrong(f"the body is not {wanted} but of type {type(value).__name__}{keys}")

    def _clean(self, text: str) -> str:
        return text.replace(self._key, f"<{KEY}>")


class _Periods(NamedTuple):
    """The newest period of each series."""

    quarterly: Mapping[str, date]
    annual: Mapping[str, date]

    def oldest(self, figures: Mapping[str, bool]) -> str | None:
        """The oldest of the periods of these figures (of _SERIES; whether each is of the year). One whose own series is
        not told says nothing, unless it is of the year; of none at all the newest period of any series is the best
        that is known."""
        told = (self._own(figure, of_year=of_year) for figure, of_year in figures.items())
        any_other = (max(span.values()) for span in (self.quarterly, self.annual) if span)
        found = min((period for period in told if period), default=None) or next(any_other, None)
        return None if found is None else found.isoformat()

    def age_of_year(self, figure: str) -> timedelta:
        """By how much the newest quarter of any series is newer than the year of the figure; 0 if one is not told."""
        year = self._own(figure, of_year=True)
        return max(self.quarterly.values()) - year if self.quarterly and year else timedelta(0)

    def _own(self, figure: str, *, of_year: bool) -> date | None:
        newest = self.annual if of_year else self.quarterly
        own = max((newest[name] for name in _SERIES[figure] if name in newest), default=None)
        return own or (max(newest.values(), default=None) if of_year else None)


def _spelled(symbol: str) -> str:
    """BRK.B, BRK-B and BRK/B are one."""
    return re.sub(r"[-/ ]", ".", symbol.upper())


def _same_issuer(asked: str, told: str, security: str, name: str) -> bool:
    """Whether a profile of `told`, of that `name`, may answer for `asked`, listed as `security`: of a company with
    several classes Finnhub names one of them, which differs after the dot (BRK.A) or by one letter at the end (GOOG and
    GOOGL, LBRDA and LBRDK). So do META and MET: without a dot the names must begin alike."""
    one, other = _spelled(asked), _spelled(told)
    if one == other or one.partition(".")[0] == other.partition(".")[0]:
        return True
    shorter, longer = sorted((one, other), key=len)
    root = longer[:-1]
    akin = len(root) >= 3 and (shorter == root or (len(longer) == 5 and shorter[:-1] == root))
    return akin and _first_word(security) == _first_word(name) != ""


def _first_word(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", name.casefold().removeprefix("the "))
    return words[0] if words else ""


def _require_ticker(symbol: str, path: str) -> None:
    """Whoever reaches the UI can add any text to the partitions; it is neither asked for nor stored."""
    if not _TICKER.fullmatch(symbol):
        raise PermanentError(PROVIDER, f"GET {path}", None, f"{symbol[:40]!a} is no ticker, and was not asked for")
