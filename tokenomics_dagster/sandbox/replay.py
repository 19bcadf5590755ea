"""A recorded market served as Finnhub would have served it: two gzipped CSV files become a Market.

Invented values stay out (generated.py): what the recording does not hold is served as missing.
"""

import csv
import gzip
import hashlib
import math
import re
import zlib
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from tokenomics_dagster.sandbox.market import Instrument, Market

LISTINGS = [
    "symbol",
    "name",
    "mic",
    "type",
    "last_price",
    "volume",
    "market_cap_musd",
    "country",
    "industry",
    "ipo_year",
]
FUNDAMENTALS = [
    "symbol",
    "roe_ttm_pct",
    "debt_to_equity",
    "revenue_growth_yoy_pct",
    "eps_growth_yoy_pct",
    "price_to_book",
    "currency",
]
EXCHANGES = {
    "XNYS": "NEW YORK STOCK EXCHANGE, INC.",
    "XNAS": "NASDAQ NMS - GLOBAL MARKET",
    "XASE": "NYSE MKT LLC",
}
# Where the security begins in "Alphabet Inc. Class A Common Stock"; what stands before it is the issuer
SECURITY = re.compile(
    r"[\s,]+(?:-\s+)?(?:\((?:new|the)\)\s+)?(?:new\s+)?"
    r"(?:series\s+[a-z]\s+|class\s+[a-z0-9]\b|(?:voting|non-?voting|subordinate|subordinated|restricted|multiple|variable)\s"
    r"|(?:common|ordinary|capital|registered|american\s+depositary|depositary|(?:new\s+york|ny)\s+registry)\s+"
    r"(?:stock|shares?|units?|voting|depositary)"
    r"|[\d.]+%|common\s+units|shares?\s+of\s+beneficial|units?\b|warrants?\b|rights?\b|american\s+depositary)",
    re.IGNORECASE,
)


class ReplayError(ValueError):
    """The directory holds no recorded market; the message says which file and line, and what is expected."""


def replay(directory: Path, *, seed: int = 0, volatility_pct: float = 0.0, spread_bps: float = 2.0) -> Market:
    """The market recorded in `directory` (listings.csv.gz and fundamentals.csv.gz; units in its README).

    The directory's name ends with the session's date, "market-2026-08-21". Numbers are served as the very floats of the
    files. shareOutstanding = market cap / price in millions; bookValuePerShareQuarterly = price / price_to_book.
    An empty cell becomes null, a listing without a row in fundamentals an empty `metric`. ReplayError names the defect.
    """
    anchor = _anchor(directory)
    fundamentals = {row["symbol"]: row for row in _rows(directory / "fundamentals.csv.gz", FUNDAMENTALS)}
    rows = _rows(directory / "listings.csv.gz", LISTINGS)
    instruments = []
    for line, row in enumerate(rows, start=2):
        try:
            instruments.append(_instrument(row, fundamentals.get(row["symbol"])))
        except (ValueError, InvalidOperation) as error:
            raise ReplayError(f"{directory / 'listings.csv.gz'}, line {line} ({row['symbol']}): {error}") from None
    symbols = {one.symbol for one in instruments}
    if len(symbols) < len(instruments):
        raise ReplayError(
            f"{directory / 'listings.csv.gz'}: {len(instruments) - len(symbols)} symbols stand there twice"
        )
    if unknown := sorted(fundamentals.keys() - symbols):
        raise ReplayError(f"{directory / 'fundamentals.csv.gz'}: not in listings.csv.gz: {', '.join(unknown[:5])}")
    return Market(anchor, instruments, seed=seed, volatility_pct=volatility_pct, spread_bps=spread_bps)


def issuer_of(name: str) -> str:
    """The company in a listing's name: what stands before its class and kind of security."""
    found = SECURITY.search(name)
    return (name[: found.start()] if found and found.start() else name).strip(" ,-")


def _anchor(directory: Path) -> date:
    if not directory.is_dir():
        raise ReplayError(f"{directory} is not a directory; give the folder of a recorded market")
    try:
        return date.fromisoformat(directory.resolve().name[-10:])
    except ValueError:
        raise ReplayError(f"{directory}: the name must end with the session's date, e.g. market-2026-08-21") from None


def _rows(path: Path, columns: list[str]) -> list[dict[str, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            found = reader.fieldnames or []
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ReplayError(f"{path}: cannot be read as gzipped CSV: {error}") from None
    if missing := [name for name in columns if name not in found]:
        raise ReplayError(f"{path}: no column {', '.join(missing)}; there are {', '.join(found) or 'none'}")
    if not rows:
        raise ReplayError(f"{path}: no rows")
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ReplayError(f"{path}, line {line}: {len(found)} cells are expected")
    return rows


def _instrument(row: dict[str, str], fundamentals: dict[str, str] | None) -> Instrument:
    symbol, price = row["symbol"], Decimal(row["last_price"])
    if not symbol or not price.is_finite() or price <= 0:
        raise ValueError(f"last_price is {row['last_price']!r}; a symbol and a price above 0 USD are expected")
    cap = _number(row["market_cap_musd"])
    issuer = issuer_of(row["name"])
    ipo = f"{int(float(row['ipo_year']))}-01-01" if row["ipo_year"] else ""
    profile = {
        "country": row["country"],
        "currency": fundamentals["currency"] if fundamentals else "USD",
        "exchange": EXCHANGES.get(row["mic"], row["mic"]),
        "finnhubIndustry": row["industry"],
        "ipo": ipo,
        "marketCapitalization": cap,
        "name": issuer,
        "shareOutstanding": None if cap is None else cap / float(price),
        "ticker": symbol,
    }
    return Instrument(
        symbol=symbol,
        description=row["name"],
        type=row["type"],
        mic=row["mic"],
        currency="USD",
        figi=_figi(symbol),
        share_class_figi=_figi(f"{symbol}|share class"),
        isin="",
        issuer=issuer,
        country=row["country"],
        industry=row["industry"],
        ipo=ipo,
        price=price,
        volume=int(row["volume"]),
        profile=profile,
        metric=_metric(fundamentals, cap, float(price)) if fundamentals else {},
        tradable=True,
        # the recording does not say; Alpaca trades most common stocks, REITs and ADRs in fractions, the others whole
        fractionable=row["type"] in ("Common Stock", "REIT", "ADR"),
    )


def _metric(row: dict[str, str], cap: float | None, price: float) -> dict[str, float | None]:
    price_to_book = _number(row["price_to_book"])
    debt_to_equity = _number(row["debt_to_equity"])
    return {
        "bookValuePerShareQuarterly": price / price_to_book if price_to_book else None,
        "epsGrowthTTMYoy": _number(row["eps_growth_yoy_pct"]),
        "marketCapitalization": cap,
        "revenueGrowthTTMYoy": _number(row["revenue_growth_yoy_pct"]),
        "roeTTM": _number(row["roe_ttm_pct"]),
        "totalDebt/totalEquityAnnual": debt_to_equity,
        "totalDebt/totalEquityQuarterly": debt_to_equity,
    }


def _number(cell: str) -> float | None:
    if not cell:
        return None
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not a finite number")
    return value


def _figi(text: str) -> str:
    """A stand-in of FIGI's shape; the recording has none."""
    return "BBG" + hashlib.blake2b(text.encode(), digest_size=5).hexdigest().upper()[:9]
