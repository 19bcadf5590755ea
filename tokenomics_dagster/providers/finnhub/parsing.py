"""Bodies of Finnhub's answers, read into listings, profiles and metrics. Pure: no I/O.

A missing figure is None, zero is zero, and no unit is guessed from a value. An answer that is not what was asked for is
an error, whatever its status: "no data" is only what says so in its right form.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import Field, PlainValidator, ValidationError, ValidationInfo
from typing_extensions import TypedDict

from tokenomics_dagster.providers.errors import PermanentError
from tokenomics_dagster.providers.fields import NullIfMissing, Text, list_of, one_of, stripped
from tokenomics_dagster.providers.finnhub import PROVIDER

T = TypeVar("T")
log = logging.getLogger("tokenomics.providers")

KEY = "FINNHUB_API_KEY"
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

    symbol: Text
    description: Text
    type: Text
    mic: Text
    currency: Text
    figi: Text
    share_class_figi: Annotated[Text, Field(validation_alias="shareClassFIGI")]


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


def _figure(value: Any) -> float | None:
    """None for null, "" and NaN, which are Finnhub's ways to leave a figure out; ValueError for anything else that is
    no finite number: what cannot be read is not missing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    number = math.nan
    if isinstance(value, str):
        number = float(value) if _DECIMAL.fullmatch(value) else math.nan
    elif isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _figure_of_year(value: Any, others: ValidationInfo) -> float | None:
    """Read only where that of the last quarter is missing."""
    of_quarter = others.data.get((others.field_name or "").removesuffix("_of_year"))
    return _figure(value) if of_quarter is None else None


Figure = Annotated[float | None, PlainValidator(_figure), NullIfMissing()]
FigureOfYear = Annotated[float | None, PlainValidator(_figure_of_year), NullIfMissing()]


class _Profile(TypedDict, total=False):
    name: Text
    currency: Text
    exchange: Text
    finnhub_industry: Annotated[Text, Field(validation_alias="finnhubIndustry")]
    country: Text
    ipo: Text
    market_cap: Annotated[Figure, Field(validation_alias="marketCapitalization")]
    shares_outstanding: Annotated[Figure, Field(validation_alias="shareOutstanding")]


class _Metric(TypedDict, total=False):
    roe: Annotated[Figure, Field(validation_alias="roeTTM")]
    by_sales: Annotated[Figure, Field(validation_alias="revenueGrowthTTMYoy")]
    by_eps: Annotated[Figure, Field(validation_alias="epsGrowthTTMYoy")]
    debt: Annotated[Figure, Field(validation_alias="totalDebt/totalEquityQuarterly")]
    book: Annotated[Figure, Field(validation_alias="bookValuePerShareQuarterly")]
    debt_of_year: Annotated[FigureOfYear, Field(validation_alias="totalDebt/totalEquityAnnual")]
    book_of_year: Annotated[FigureOfYear, Field(validation_alias="bookValuePerShareAnnual")]
    market_cap: Annotated[Figure, Field(validation_alias="marketCapitalization")]


def read_listings(answer: Answer) -> Listed:
    """All that are listed, in Finnhub's order. Rows without a symbol are dropped and counted in the log; those whose
    symbol is no ticker are dropped and named, in the log and beside the listings."""
    rows = answer.body
    if not isinstance(rows, list):
        raise answer.unusable("a list", rows)
    read = list_of(Listing, [row for row in rows if isinstance(row, dict)])
    found = [listing for listing in read if listing.symbol]
    if len(found) < len(rows):
        log.warning("Finnhub /stock/symbol: %d of %d rows have no symbol, dropped", len(rows) - len(found), len(rows))
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


def read_profile(answer: Answer, symbol: str, security: str) -> Profile | None:
    """None where Finnhub says that it has no data: an empty object. Another company's profile is an error;
    `security` is the name under which the symbol is listed, by which another class of it is known."""
    body = answer.object()
    if not body:
        return None
    if not body.keys() & {"ticker", "name", "marketCapitalization"}:
        raise answer.unusable("a profile", body)
    ticker = stripped(body.get("ticker"))
    if ticker and not _same_issuer(symbol, ticker, security, stripped(body.get("name"))):
        raise answer.wrong(f"{symbol} was asked for, the profile is that of {answer.shown(ticker)}")
    row = answer.read(_Profile, body)
    return Profile(
        symbol=symbol,
        name=row["name"],
        currency=row["currency"],
        exchange=row["exchange"],
        industry=row["finnhub_industry"],
        country=row["country"],
        ipo=row["ipo"],
        market_cap_musd=row["market_cap"],
        shares_outstanding_m=row["shares_outstanding"],
    )


def read_metrics(answer: Answer, symbol: str) -> Metrics:
    """All None where Finnhub says that it has no data: an empty object `metric`. Another symbol's are an error."""
    body = answer.object()
    values = body.get("metric")
    if not isinstance(values, dict):
        raise answer.unusable("an object with an object `metric`", values)
    owner = stripped(body.get("symbol"))
    if owner and _spelled(owner) != _spelled(symbol):
        raise answer.wrong(f"{symbol} was asked for, the figures are those of {answer.shown(owner)}")
    row = answer.read(_Metric, values)
    of_year = {"debt": row["debt"] is None, "book": row["book"] is None}
    debt = row["debt_of_year"] if row["debt"] is None else row["debt"]
    book = row["book_of_year"] if row["book"] is None else row["book"]
    periods = answer.periods(body.get("series"))
    if of_year["book"] and periods.age_of_year("book") > _YEAR:
        book = None  # what a company was worth years ago says nothing of now
    # A zero may be left out of its series, and a book value that is not negative decides nothing.
    growth = row["by_sales"] or row["by_eps"]
    deciding = {"roe": row["roe"], "debt": debt, "growth": growth, "book": min(book or 0.0, 0.0)}
    return Metrics(
        symbol=symbol,
        roe_ttm_pct=row["roe"],
        debt_to_equity=debt,
        revenue_growth_yoy_pct=row["by_sales"],
        eps_growth_yoy_pct=row["by_eps"],
        book_value_per_share=book,
        market_cap_musd=row["market_cap"],
        reported_period=periods.oldest({name: of_year.get(name, False) for name, value in deciding.items() if value}),
    )


class Answer:
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

    def read(self, kind: type[T], values: Mapping[str, Any]) -> T:
        """PermanentError for the first figure that is none."""
        try:
            return one_of(kind, values)
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
        raise self.wrong(f"{wrong['loc'][-1]} is {self.shown(wrong['input'])}, which is no number")

    def periods(self, series: Any) -> _Periods:
        """The newest period of each series; PermanentError where one that tells a figure's period holds no date."""
        found: dict[str, dict[str, date]] = {"quarterly": {}, "annual": {}}
        for span, newest in found.items():
            named = series.get(span) if isinstance(series, dict) else None
            for name, points in named.items() if isinstance(named, dict) else ():
                ends = [
                    stripped(point.get("period"))
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
        named = (self._own(figure, of_year=of_year) for figure, of_year in figures.items())
        any_other = (max(span.values()) for span in (self.quarterly, self.annual) if span)
        found = min((period for period in named if period), default=None) or next(any_other, None)
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


def _same_issuer(asked: str, named: str, security: str, name: str) -> bool:
    """Whether a profile of `told`, of that `name`, may answer for `asked`, listed as `security`: of a company with
    several classes Finnhub names one of them, which differs after the dot (BRK.A) or by one letter at the end (GOOG and
    GOOGL, LBRDA and LBRDK). So do META and MET: without a dot the names must begin alike."""
    one, other = _spelled(asked), _spelled(named)
    if one == other or one.partition(".")[0] == other.partition(".")[0]:
        return True
    shorter, longer = sorted((one, other), key=len)
    root = longer[:-1]
    akin = len(root) >= 3 and (shorter == root or (len(longer) == 5 and shorter[:-1] == root))
    return akin and _first_word(security) == _first_word(name) != ""


def _first_word(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", name.casefold().removeprefix("the "))
    return words[0] if words else ""


def require_ticker(symbol: str, path: str) -> None:
    """Whoever reaches the UI can add any text to the partitions; it is neither asked for nor stored."""
    if not _TICKER.fullmatch(symbol):
        raise PermanentError(PROVIDER, f"GET {path}", None, f"{symbol[:40]!a} is no ticker, and was not asked for")
