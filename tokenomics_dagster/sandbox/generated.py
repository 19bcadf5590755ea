"""A made-up US market, the same bytes for the same seed: all types and exchanges, with the defects of real data.

Recorded values stay out (replay.py). Distributions follow what was seen in the real market of August 2026, forms of
missing values what Finnhub sends.
"""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from tokenomics_dagster.sandbox.market import Instrument, Market, tick
from tokenomics_dagster.sandbox.names import BUSINESSES, CompanyNames

ANCHOR = date(2026, 8, 21)
MIN_LISTINGS = 150

# Of 8,000 listings; what is left over is common stock traded over the counter. "" is a type that Finnhub sends, too
PER_8000 = {
    "ETP": 700,
    "ADR": 330,
    "Equity WRT": 260,
    "Preference": 260,
    "Closed-End Fund": 230,
    "REIT": 190,
    "Unit": 150,
    "Right": 60,
    "MLP": 40,
    "Open-End Fund": 40,
    "Ltd Part": 20,
    "": 15,
    "GDR": 12,
    "NY Reg Shrs": 12,
    "PUBLIC": 12,
    "Royalty Trst": 12,
    "Foreign Sh.": 10,
    "Misc.": 6,
    "Tracking Stk": 6,
    "CDI": 3,
    "Canadian DR": 3,
    "Dutch Cert": 3,
    "NVDR": 3,
    "Receipt": 3,
    "SDR": 3,
    "Savings Share": 3,
    "Stapled Security": 3,
}
COMMON_PER_8000 = 4500  # common stock on NYSE and NASDAQ
AMERICAN_PER_8000 = 220  # common stock on NYSE American
SECURITIES_OF_ISSUERS = {
    "Equity WRT": "W",
    "Preference": "-",
    "Unit": "U",
    "Right": "R",
}  # ticker = the common's + this
FUNDS = ("ETP", "Open-End Fund")

# MIC: exchange as /stock/profile2 writes it
EXCHANGES = {
    "XNYS": "NEW YORK STOCK EXCHANGE, INC.",
    "XNAS": "NASDAQ NMS - GLOBAL MARKET",
    "XNGS": "NASDAQ NMS - GLOBAL MARKET",
    "XNMS": "NASDAQ NMS - GLOBAL MARKET",
    "XNCM": "NASDAQ CAPITAL MARKET",
    "XASE": "NYSE MKT LLC",
    "ARCX": "NYSE ARCA",
    "BATS": "CBOE BZX EXCHANGE",
    "OOTC": "OTC MARKETS",
    "OTCM": "OTC MARKETS",
    "PINX": "OTC MARKETS",
    "OTCB": "OTC MARKETS",
    "OTCQ": "OTC MARKETS",
}
LARGE, SMALL, OVER_THE_COUNTER = (
    ("XNYS", "XNGS", "XNAS"),
    ("XNCM", "XNMS", "XNYS"),
    ("OOTC", "OTCM", "PINX", "OTCB", "OTCQ"),
)

# Units of the currency per USD, rounded, August 2026
FOREIGN = {
    "JP": ("JPY", 148.0),
    "TW": ("TWD", 31.0),
    "CN": ("CNY", 7.1),
    "DK": ("DKK", 6.4),
    "NO": ("NOK", 10.1),
    "BR": ("BRL", 5.5),
    "IN": ("INR", 87.0),
    "GB": ("GBP", 0.75),
    "DE": ("EUR", 0.86),
    "CA": ("CAD", 1.38),
    "IL": ("ILS", 3.4),
}

CAP_MEDIAN_MUSD, CAP_SIGMA = (
    800.0,
    2.4,
)  # log-normal: of 4,500 the largest is near 4 trillion USD, the 1,500th 2.3 billion

NORMAL = statistics.NormalDist()


@dataclasses.dataclass(frozen=True, slots=True)
class _Issuer:
    name: str
    ticker: str
    business: str
    country: str
    ipo: date
    cap_musd: float
    price: Decimal
    size: float
    """Standard deviations of the log cap over its median."""


def generate(seed: int, listings: int = 8000, *, volatility_pct: float = 0.0, spread_bps: float = 2.0) -> Market:
    """A market of `listings` securities (at least 150), in the shares of types and exchanges of the real one.

    56 % are common stock on NYSE and NASDAQ: median ROE 12 %, debt/equity 0.6, growth of revenue 7 %, of earnings 8 %.
    Some 3 % have negative equity; 5 % file in a foreign currency and state their cap in it; 0.6 % state such a cap as
    if it were USD; 1 % of issuers have two or three share classes. ValueError for too few listings.
    """
    if listings < MIN_LISTINGS:
        raise ValueError(f"listings: {listings} is not allowed; at least {MIN_LISTINGS} are needed to hold every type")
    made = _Generator(seed).market(listings)
    return Market(ANCHOR, made, seed=seed, volatility_pct=volatility_pct, spread_bps=spread_bps)


class _Generator:
    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng([seed, 20260821])
        self.names = CompanyNames(self.random)

    def market(self, listings: int) -> list[Instrument]:
        share = listings / 8000
        made = list(self._main_market(round(COMMON_PER_8000 * share)))
        commons = [one for one in made if "." not in one.symbol]
        made += self._companies("Common Stock", round(AMERICAN_PER_8000 * share), ("XASE",), 120.0, 1.3)
        for kind, count in PER_8000.items():
            number = max(1, round(count * share))
            if kind in SECURITIES_OF_ISSUERS:
                made += self._of_issuers(kind, number, commons)
            elif kind in FUNDS:
                made += self._funds(kind, number)
            elif kind in ("ADR", "REIT", "Closed-End Fund", "MLP", "Tracking Stk", "NY Reg Shrs", "Royalty Trst"):
                made += self._companies(kind, number, ("XNYS", "XNGS", "XNYS", "XNAS", "XASE", "OOTC"), 900.0, 1.7)
            else:
                made += self._companies(kind, number, OVER_THE_COUNTER, 60.0, 2.0)
        made += self._companies("Common Stock", max(0, listings - len(made)), OVER_THE_COUNTER, 40.0, 2.6)
        return [made[place] for place in self.random.permutation(len(made))][:listings]

    def _main_market(self, count: int) -> Iterator[Instrument]:
        """Common stock on NYSE and NASDAQ, largest issuer first; fixed ranks put each trap into any market."""
        made = 0
        for rank, issuer in enumerate(self._issuers(count, CAP_MEDIAN_MUSD, CAP_SIGMA)):
            left = count - made
            if not left:
                return
            mic = str(self.random.choice(LARGE if issuer.size > 0 else SMALL))
            chance = self.random.random()
            if rank in (2, 7, 17) or chance < 0.010:
                classes = 3 if rank == 17 or chance < 0.0015 else 2
                for one in self._classes(issuer, mic, min(classes, left), like_berkshire=rank == 7):
                    made += 1
                    yield one
                continue
            made += 1
            if rank in (9, 33) or chance < 0.060:
                country = (
                    list(FOREIGN)[int(self.random.integers(len(FOREIGN)))] if rank > 33 else ("JP", "DK")[rank // 33]
                )
                currency, per_usd = FOREIGN[country]
                yield self._company(issuer, "Common Stock", mic, country=country, currency=currency, cap_factor=per_usd)
            elif rank in (21, 45) or chance < 0.066:
                # the cap in local units although the currency says USD: only shares x price tells
                yield self._company(
                    issuer, "Common Stock", mic, country="DK", cap_factor=float(self.random.uniform(6, 9))
                )
            else:
                yield self._company(issuer, "Common Stock", mic)

    def _classes(self, issuer: _Issuer, mic: str, count: int, *, like_berkshire: bool) -> Iterator[Instrument]:
        body = self._company(issuer, "Common Stock", mic)
        for number, letter in enumerate("ABC"[:count]):
            factor = (1.0, 1 / 1500 if like_berkshire else 0.96, 1.04)[number]
            price = _on_tick(float(issuer.price) * (1500 if like_berkshire else 1) * factor)
            shares = issuer.cap_musd / float(price)
            symbol = f"{issuer.ticker}.{letter}"
            shown = shares / 1500 if like_berkshire and letter == "B" else shares
            metric = dict(body.metric)
            for per_share in (
                "bookValuePerShareAnnual",
                "bookValuePerShareQuarterly",
                "epsTTM",
                "52WeekHigh",
                "52WeekLow",
            ):
                if isinstance(metric.get(per_share), float):
                    metric[per_share] = round(metric[per_share] * float(price / issuer.price), 4)
            yield dataclasses.replace(
                body,
                symbol=symbol,
                description=f"{body.description}-CL {letter}",
                figi=self.names.figi(),
                share_class_figi=self.names.figi(),
                price=price,
                volume=self._volume(issuer.cap_musd * (0.1, 0.8, 0.3)[number], price),
                profile={**body.profile, "ticker": symbol, "shareOutstanding": round(shown, 6)} if body.profile else {},
                metric=metric,
            )

    def _companies(
        self, kind: str, count: int, mics: tuple[str, ...], cap_musd: float, sigma: float
    ) -> Iterator[Instrument]:
        for issuer in self._issuers(count, cap_musd, sigma, foreign_ticker=mics == OVER_THE_COUNTER):
            mic = str(self.random.choice(mics))
            abroad = kind in ("ADR", "GDR", "NY Reg Shrs", "Foreign Sh.", "NVDR", "SDR") or mic in OVER_THE_COUNTER
            if abroad and self.random.random() < 0.7:
                country = list(FOREIGN)[int(self.random.integers(len(FOREIGN)))]
                currency, per_usd = FOREIGN[country]
                yield self._company(issuer, kind, mic, country=country, currency=currency, cap_factor=per_usd)
            else:
                yield self._company(issuer, kind, mic)

    def _funds(self, kind: str, count: int) -> Iterator[Instrument]:
        for issuer in self._issuers(count, 150.0, 1.9):
            mic = "XNAS" if kind == "Open-End Fund" else str(self.random.choice(("ARCX", "ARCX", "BATS", "XNAS")))
            name = f"{issuer.name.rsplit(' ', 1)[0]} {'ETF' if kind == 'ETP' else 'Fund'}"
            metric = {"52WeekHigh": float(issuer.price), "beta": round(float(self.random.normal(1, 0.3)), 4)}
            fund = dataclasses.replace(issuer, name=name)
            yield self._instrument(
                fund, kind, mic, profile={}, metric=metric, tradable=kind == "ETP", fractionable=kind == "ETP"
            )

    def _of_issuers(self, kind: str, count: int, commons: list[Instrument]) -> Iterator[Instrument]:
        """Warrants, units, rights and preferreds: Finnhub has neither profile nor metrics of them."""
        parents = (commons[place] for place in itertools.cycle(self.random.permutation(len(commons))))
        mark = SECURITIES_OF_ISSUERS[kind]
        for parent, series in zip(parents, itertools.count(), strict=False):
            if series == count:
                return
            ending = mark if mark != "-" else f"-{chr(ord('A') + series // len(commons))}"
            ticker = self.names.claim(parent.symbol + ending) or self.names.ticker(5)
            price = _on_tick(
                float(self.random.uniform(15, 28))
                if kind in ("Preference", "Unit")
                else float(self.random.uniform(0.02, 2))
            )
            yield dataclasses.replace(
                parent,
                symbol=ticker,
                description=f"{parent.description} {kind.upper()}",
                type=kind,
                figi=self.names.figi(),
                share_class_figi=self.names.figi(),
                price=price,
                volume=int(self.random.lognormal(math.log(8000), 1.5)),
                profile={},
                metric={},
                tradable=True,
                fractionable=False,
            )

    def _issuers(
        self, count: int, median_musd: float, sigma: float, *, foreign_ticker: bool = False
    ) -> Iterator[_Issuer]:
        """Largest first. One cap per quantile of the log-normal: the top looks like a real market's every time."""
        for rank in range(count):
            quantile = (count - rank - 0.5 * self.random.random()) / (count + 1)
            size = NORMAL.inv_cdf(quantile)
            name, business = self.names.company()
            price = math.exp(math.log(22) + 0.4 * size + 0.8 * float(self.random.standard_normal()))
            length = 5 if foreign_ticker else int(self.random.choice((1, 2, 3, 4), p=(0.004, 0.04, 0.35, 0.606)))
            yield _Issuer(
                name=name,
                ticker=self.names.ticker(length, "FY" if foreign_ticker else ""),
                business=business,
                country="US"
                if self.random.random() < 0.92
                else str(self.random.choice(("IE", "BM", "CH", "IL", "CA", "SG"))),
                ipo=date(1970, 1, 1) + timedelta(days=int(self.random.integers(20_000))),
                cap_musd=median_musd * math.exp(sigma * size),
                price=_on_tick(min(max(price, 0.02), 950.0)),
                size=size,
            )

    def _company(
        self, issuer: _Issuer, kind: str, mic: str, *, country: str = "", currency: str = "USD", cap_factor: float = 1.0
    ) -> Instrument:
        """An issuer's listing with profile and metrics, each in one of the forms that Finnhub gives them."""
        small = issuer.size < 0.43  # below the 1,500 largest of 4,500
        cap = round(issuer.cap_musd * cap_factor, 4)
        gap = self.random.random() * (0.4 if small else 1.0)
        new = gap < 0.015
        ipo = date(2025, 9, 1) + timedelta(days=int(self.random.integers(300))) if new else issuer.ipo
        profile: dict[str, Any] = {
            "country": country or issuer.country,
            "currency": currency,
            "exchange": EXCHANGES[mic],
            "finnhubIndustry": BUSINESSES[issuer.business],
            "ipo": ipo.isoformat(),
            "logo": "",
            "marketCapitalization": cap,
            "name": issuer.name,
            "phone": "",
            "shareOutstanding": round(issuer.cap_musd / float(issuer.price), 6),
            "ticker": issuer.ticker,
            "weburl": "",
        }
        metric = self._metric(issuer, cap, cap_factor if currency != "USD" else 1.0)
        if new:
            for key in ("roeTTM", "revenueGrowthTTMYoy", "epsGrowthTTMYoy"):
                self._lose(metric, key)
        elif gap < 0.029:
            metric = {}
        elif gap < 0.032:
            profile = {}
        elif gap < 0.044:
            self._lose(metric, "roeTTM")
        elif gap < 0.062:
            self._lose(metric, "totalDebt/totalEquityQuarterly")
            self._lose(metric, "totalDebt/totalEquityAnnual")
        elif gap < 0.080:
            self._lose(metric, "revenueGrowthTTMYoy")
        elif gap < 0.090:
            self._lose(metric, "revenueGrowthTTMYoy")
            self._lose(metric, "epsGrowthTTMYoy")
        elif gap < 0.094 and small:
            profile["marketCapitalization"] = None
        over_the_counter = mic in OVER_THE_COUNTER
        return self._instrument(
            dataclasses.replace(issuer, country=country or issuer.country, ipo=ipo),
            kind,
            mic,
            profile=profile,
            metric=metric,
            tradable=not over_the_counter and self.random.random() < 0.993,
            fractionable=not over_the_counter and self.random.random() < (0.85 if small else 0.97),
        )

    def _metric(self, issuer: _Issuer, cap: float, per_usd: float) -> dict[str, Any]:
        draw = self.random
        roe = 12 + 11 * float(draw.standard_t(3)) * (1.6 if issuer.size < 0.43 else 1.0)
        debt = 0.6 * math.exp(float(draw.standard_normal()))
        book = float(issuer.price) / (2.5 * math.exp(0.7 * float(draw.standard_normal())))
        equity = draw.random()
        if equity < 0.03:
            # a loss over negative equity is a positive ROE; a profit over it a negative one; debt over it is
            # negative, or, where the source takes the absolute value, positive and absurd
            book, roe = -book * 0.4, abs(roe) * (1 if equity < 0.018 else -1)
            debt = -3 * debt if equity < 0.012 or equity > 0.024 else 40 + 60 * debt
        elif equity < 0.045:
            book, roe, debt = book * 0.02, 120 + 3 * abs(roe), 20 + 40 * debt  # buy-backs to near-zero equity
        roe = min(max(roe, -900.0), 900.0)
        eps = roe / 100 * book
        price = float(issuer.price)
        revenue_growth = min(max(7 + 12 * float(draw.standard_t(3)), -95.0), 900.0)
        eps_growth = min(max(9 + 30 * float(draw.standard_t(3)), -100.0), 5000.0)
        high, low = (
            price * (1 + abs(float(draw.normal(0.1, 0.15)))),
            price * (1 - min(0.9, abs(float(draw.normal(0.2, 0.15))))),
        )
        return {
            "10DayAverageTradingVolume": round(issuer.cap_musd / price * 0.006, 5),
            "52WeekHigh": round(high, 4),
            "52WeekLow": round(low, 4),
            "beta": round(float(draw.normal(1.05, 0.4)), 4),
            "bookValuePerShareAnnual": round(book * 0.97 * per_usd, 4),
            "bookValuePerShareQuarterly": round(book * per_usd, 4),
            "currentRatioQuarterly": round(1.5 * math.exp(0.5 * float(draw.standard_normal())), 4),
            "epsGrowthTTMYoy": round(eps_growth, 2) if eps > 0 else None,
            "epsTTM": round(eps * per_usd, 4),
            "marketCapitalization": cap,
            "pb": round(price / book, 4),
            "peTTM": round(price / eps, 4) if eps > 0.0001 else None,
            "revenueGrowthTTMYoy": round(revenue_growth, 2),
            "roaTTM": round(roe / (1 + abs(debt)) / 1.5, 2),
            "roeRfy": round(roe * 0.95, 2),
            "roeTTM": round(roe, 2),
            "totalDebt/totalEquityAnnual": round(debt * 1.02, 4),
            "totalDebt/totalEquityQuarterly": round(debt, 4),
        }

    def _lose(self, metric: dict[str, Any], key: str) -> None:
        """Missing in one of Finnhub's three forms: null, absent, and formerly an empty text."""
        form = int(self.random.integers(3))
        if form == 1:
            metric.pop(key, None)
        else:
            metric[key] = None if form == 0 else ""

    def _instrument(
        self,
        issuer: _Issuer,
        kind: str,
        mic: str,
        *,
        profile: dict[str, Any],
        metric: dict[str, Any],
        tradable: bool,
        fractionable: bool,
    ) -> Instrument:
        return Instrument(
            symbol=issuer.ticker,
            description=issuer.name.upper(),
            type=kind,
            mic=mic,
            currency="USD",
            figi=self.names.figi(),
            share_class_figi=self.names.figi(),
            isin="",
            issuer=issuer.name,
            country=issuer.country,
            industry=BUSINESSES[issuer.business],
            ipo=issuer.ipo.isoformat(),
            price=issuer.price,
            volume=self._volume(issuer.cap_musd, issuer.price),
            profile=profile,
            metric=metric,
            tradable=tradable,
            fractionable=fractionable,
        )

    def _volume(self, cap_musd: float, price: Decimal) -> int:
        turnover = 0.006 * math.exp(0.8 * float(self.random.standard_normal()))
        return int(cap_musd * 1e6 / float(price) * turnover)


def _on_tick(price: float) -> Decimal:
    exact = Decimal(price)
    return exact.quantize(tick(exact))
