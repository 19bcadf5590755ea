"""Clock, prices, and the two sources of a market."""

import csv
import gzip
import hashlib
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_dagster.sandbox.clock import SandboxClock
from tokenomics_dagster.sandbox.generated import EXCHANGES, PER_8000, generate
from tokenomics_dagster.sandbox.market import Instrument, Market, tick
from tokenomics_dagster.sandbox.replay import ReplayError, issuer_of, replay

ANCHOR = date(2026, 8, 21)
ANCHOR_CLOSE = datetime(2026, 8, 21, 20, tzinfo=UTC)
MONDAY_OPEN = datetime(2026, 8, 24, 13, 30, tzinfo=UTC)
MAIN_EXCHANGES = ("XNYS", "XNAS", "XNGS", "XNMS", "XNCM")


def instrument(symbol: str = "AAA", price: str = "100.00", volume: int = 1_000_000) -> Instrument:
    return Instrument(
        symbol=symbol,
        description=symbol,
        type="Common Stock",
        mic="XNYS",
        currency="USD",
        figi="",
        share_class_figi="",
        isin="",
        issuer=symbol,
        country="US",
        industry="",
        ipo="",
        price=Decimal(price),
        volume=volume,
        profile={},
        metric={},
        tradable=True,
        fractionable=True,
    )


def moving(seed: int = 1) -> Market:
    return Market(ANCHOR, [instrument("AAA"), instrument("BBB", "0.5123")], seed=seed, volatility_pct=2.0)


# --- clock


def test_the_clock_ticks_on_from_the_instant_that_was_set():
    clock = SandboxClock(MONDAY_OPEN)
    first, second = clock.now(), clock.now()
    assert MONDAY_OPEN <= first <= second < MONDAY_OPEN + timedelta(seconds=5)
    assert first.tzinfo is UTC


def test_a_clock_that_stands_moves_only_when_it_is_moved():
    clock = SandboxClock(MONDAY_OPEN)
    clock.set(MONDAY_OPEN, stands=True)
    time.sleep(0.01)
    assert clock.now() == MONDAY_OPEN
    clock.advance(60)
    assert clock.now() == MONDAY_OPEN + timedelta(seconds=60)


def test_a_clock_without_an_instant_shows_the_real_present():
    assert abs(SandboxClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize("saturday", [datetime(2026, 3, 7, 12, tzinfo=UTC), datetime(2026, 10, 31, 12, tzinfo=UTC)])
def test_a_change_of_dst_neither_adds_nor_takes_time(saturday: datetime):
    clock = SandboxClock(saturday)
    clock.advance(2 * 86_400)
    assert timedelta(0) <= clock.now() - (saturday + timedelta(days=2)) < timedelta(seconds=5)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        SandboxClock(datetime(2026, 8, 24, 14, 5))  # noqa: DTZ001 the very thing that is refused


# --- prices


def test_without_volatility_prices_stand_still():
    market = Market(ANCHOR, [instrument()])
    instants = [ANCHOR_CLOSE + timedelta(hours=17 * n) for n in range(-200, 2000)]
    assert {market.price("AAA", at) for at in instants} == {Decimal("100.00")}


@settings(deadline=None)
@given(st.lists(st.integers(-400 * 1440, 400 * 1440), min_size=2, max_size=20), st.randoms())
def test_a_price_is_the_same_whatever_was_asked_before(minutes: list[int], shuffle: Any):
    instants = [ANCHOR_CLOSE + timedelta(minutes=one) for one in minutes]
    asked_in_order = {at: moving().price("AAA", at) for at in instants}
    market = moving()
    shuffle.shuffle(instants)
    assert {at: market.price("AAA", at) for at in instants} == asked_in_order


def test_the_path_goes_through_the_anchor_price_and_depends_on_seed_and_symbol():
    market = moving()
    assert market.price("AAA", ANCHOR_CLOSE) == Decimal("100.00")
    assert market.price("AAA", ANCHOR_CLOSE + timedelta(days=2)) == Decimal("100.00"), "a weekend moves nothing"
    later = ANCHOR_CLOSE + timedelta(days=30)
    returns = {float(market.price(symbol, later) / market.instruments[symbol].price) for symbol in ("AAA", "BBB")}
    assert len(returns) == 2
    assert moving(seed=2).price("AAA", later) != market.price("AAA", later)


def test_the_volatility_is_the_one_that_was_asked_for():
    market = Market(ANCHOR, [instrument(price="100000.00")], seed=3, volatility_pct=2.0)
    closes = [
        float(market.daily_bar("AAA", one.date).close)
        for one in market._sessions.sessions(date(2020, 1, 1), date(2030, 1, 1))
    ]
    returns = [math.log(after / before) for before, after in itertools.pairwise(closes)]
    # 2,515 sessions: the standard error of a standard deviation is 1.4 %
    assert statistics.stdev(returns) == pytest.approx(0.02, rel=0.06)


def test_inside_a_session_the_price_wanders_between_its_open_and_its_close():
    market = Market(ANCHOR, [instrument(price="100000.00")], seed=3, volatility_pct=2.0)
    detours = []
    assert market.price("AAA", MONDAY_OPEN) == market.price("AAA", ANCHOR_CLOSE), (
        "a session opens where the last closed"
    )
    assert market.price("AAA", MONDAY_OPEN) != market.price("AAA", MONDAY_OPEN + timedelta(hours=6.5))
    for one in market._sessions.sessions(date(2022, 1, 1), date(2026, 1, 1)):
        opened, middle, closed = (
            math.log(market.price("AAA", at)) for at in (one.open, one.open + (one.close - one.open) / 2, one.close)
        )
        detours.append(middle - (opened + closed) / 2)
    # a Brownian bridge's variance in its middle is a quarter of the session's; four terms of the series hold 90 % of it
    assert statistics.pstdev(detours, mu=0) == pytest.approx(0.02 * math.sqrt(0.25 * 0.9), rel=0.1)


def test_a_price_that_was_set_holds_from_then_on_and_not_before():
    market = moving()
    before, at, after = MONDAY_OPEN, MONDAY_OPEN + timedelta(hours=1), MONDAY_OPEN + timedelta(hours=2)
    unmoved, expected = market.price("AAA", before), market.price("AAA", after) / market.price("AAA", at) * 50
    market.set_price("AAA", Decimal("50.00"), at)
    assert market.price("AAA", before) == unmoved
    assert market.price("AAA", at) == Decimal("50.00")
    assert float(market.price("AAA", after)) == pytest.approx(float(expected), abs=0.011), "the path goes on from there"
    market.set_price("AAA", Decimal("60.00"), before)
    assert market.price("AAA", before) == Decimal("60.00")
    assert market.steps()["AAA"][0].since == before
    assert len(market.steps()["AAA"]) == 1, "a price set for an earlier instant replaces the later ones"


@pytest.mark.parametrize("price", ["0", "-1", "NaN"])
def test_an_impossible_price_is_refused(price: str):
    with pytest.raises(ValueError, match="greater than 0"):
        Market(ANCHOR, [instrument()]).set_price("AAA", Decimal(price))


def test_unknown_symbols_raise_key_error():
    market = Market(ANCHOR, [instrument()])
    for ask in (lambda: market.price("X", ANCHOR_CLOSE), lambda: market.quote("X", ANCHOR_CLOSE)):
        with pytest.raises(KeyError):
            ask()
    with pytest.raises(KeyError):
        market.set_price("X", Decimal(1))


@settings(deadline=None)
@given(st.decimals("0.01", "900000", places=2), st.floats(0, 500))
def test_bid_and_ask_stand_symmetrically_on_the_tick(price: Decimal, spread_bps: float):
    market = Market(ANCHOR, [instrument(price=str(price))], spread_bps=spread_bps)
    quote = market.quote("AAA", MONDAY_OPEN)
    step = tick(price)
    assert quote.bid % step == 0
    assert quote.ask % step == 0
    assert 0 < quote.bid <= price <= quote.ask
    if quote.bid > step:
        assert price - quote.bid == quote.ask - price
        assert 0 <= (quote.ask - quote.bid) - price * Decimal(str(spread_bps)) / 10_000 <= 2 * step


def test_a_quote_is_as_old_as_the_last_close_when_the_market_is_closed():
    market = Market(ANCHOR, [instrument()])
    assert market.quote("AAA", ANCHOR_CLOSE + timedelta(days=1)).time == ANCHOR_CLOSE
    assert market.quote("AAA", MONDAY_OPEN).time == MONDAY_OPEN


@settings(deadline=None)
@given(st.integers(-500, 500))
def test_a_daily_bar_holds_its_session(days: int):
    market = moving()
    for session in market._sessions.sessions(ANCHOR + timedelta(days=days), ANCHOR + timedelta(days=days)):
        bar = market.daily_bar("AAA", session.date)
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.low <= bar.vwap <= bar.high
        assert bar.close == market.price("AAA", session.close)
        assert bar.volume > 0


def test_a_bar_of_the_running_session_knows_nothing_of_its_rest():
    market, noon = moving(), MONDAY_OPEN + timedelta(hours=3)
    bar = market.daily_bar("AAA", noon.date(), until=noon)
    market.set_price("AAA", Decimal(1), noon + timedelta(minutes=1))
    assert market.daily_bar("AAA", noon.date(), until=noon) == bar
    assert bar.close == market.price("AAA", noon)
    assert market.daily_bar("AAA", noon.date()).low < 2 < bar.low


def test_a_day_without_a_session_has_no_bar():
    with pytest.raises(ValueError, match="not a trading session"):
        moving().daily_bar("AAA", date(2026, 8, 22))
    with pytest.raises(ValueError, match="has not opened"):
        moving().daily_bar("AAA", date(2026, 8, 24), until=MONDAY_OPEN - timedelta(minutes=1))


# --- generated


def digest(market: Market) -> str:
    rows = [
        [one.symbol, str(one.price), one.volume, one.mic, one.type, one.figi, one.issuer, one.profile, one.metric]
        for one in market.instruments.values()
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@pytest.fixture(scope="module")
def market() -> Market:
    return generate(2026)


def of_main_market(market: Market) -> list[Instrument]:
    return [one for one in market.instruments.values() if one.type == "Common Stock" and one.mic in MAIN_EXCHANGES]


def cap_agrees(one: Instrument) -> bool:
    profile = one.profile
    if not profile or profile["currency"] != "USD" or not isinstance(profile["marketCapitalization"], float):
        return False
    return abs(profile["shareOutstanding"] * float(one.price) / profile["marketCapitalization"] - 1) < 0.05


def reason_for_no_score(metric: Any) -> str | None:
    """design.md: missing ROE or debt/equity, no growth figure at all, or negative equity."""
    roe, debt, book = (
        metric.get(key) for key in ("roeTTM", "totalDebt/totalEquityQuarterly", "bookValuePerShareQuarterly")
    )
    growth = [metric.get(key) for key in ("revenueGrowthTTMYoy", "epsGrowthTTMYoy")]
    if not isinstance(roe, float):
        return "no ROE"
    if not isinstance(debt, float):
        return "no debt/equity"
    if not any(isinstance(one, float) for one in growth):
        return "no growth"
    if debt < 0 or (isinstance(book, float) and book < 0):
        return "negative equity"
    return None


def score(metric: Any) -> float:
    def part(value: float, low: float, high: float) -> float:
        return 100 * min(1.0, max(0.0, (value - low) / (high - low)))

    growth = [metric[key] for key in ("revenueGrowthTTMYoy", "epsGrowthTTMYoy") if isinstance(metric.get(key), float)]
    return (
        0.4 * part(metric["roeTTM"], -20, 40)
        + 0.3 * (100 - part(metric["totalDebt/totalEquityQuarterly"], 0, 3))
        + 0.3 * part(sum(growth) / len(growth), -30, 50)
    )


def largest(market: Market, count: int) -> list[Instrument]:
    """design.md's universe: caps that agree, one class per issuer (the most traded), the largest."""
    chosen: dict[str, Instrument] = {}
    for one in sorted(filter(cap_agrees, of_main_market(market)), key=lambda one: -one.volume):
        chosen.setdefault(one.issuer, one)
    return sorted(chosen.values(), key=lambda one: -one.profile["marketCapitalization"])[:count]


@pytest.mark.soak
def test_the_same_seed_gives_the_same_bytes_in_another_process(market: Market):
    code = (
        "from tokenomics_dagster.sandbox.generated import generate\n"
        "from tokenomics_dagster_tests.sandbox.test_market import digest\n"
        "import sys; sys.stdout.write(digest(generate(2026)))"
    )
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert told.stdout == digest(market)
    assert digest(generate(2027)) != digest(market)


@pytest.mark.parametrize("listings", [150, 400, 1000, 12_000])
def test_any_number_of_listings_is_made_exactly_and_holds_every_type_and_trap(listings: int):
    made = generate(1, listings)
    assert len(made.instruments) == listings
    assert {one.type for one in made.instruments.values()} == {*PER_8000, "Common Stock"}
    main = of_main_market(made)
    assert any("." in one.symbol for one in main)
    assert any(one.profile and one.profile["currency"] != "USD" for one in main)


def test_too_few_listings_are_refused():
    with pytest.raises(ValueError, match="listings: 149 is not allowed; at least 150"):
        generate(1, 149)


def test_the_market_has_the_shares_of_the_real_one(market: Market):
    assert len(market.instruments) == 8000
    assert {one.mic for one in market.instruments.values()} == set(EXCHANGES)
    assert len(of_main_market(market)) == 4500
    assert all(one.price > 0 and one.price % tick(one.price) == 0 for one in market.instruments.values())
    assert len({one.figi for one in market.instruments.values()}) == 8000
    assert not any(one.tradable for one in market.instruments.values() if one.mic in ("OOTC", "OTCM", "PINX"))


def test_the_largest_caps_look_real(market: Market):
    caps = sorted((one.profile["marketCapitalization"] for one in largest(market, 2000)), reverse=True)
    assert 2e6 < caps[0] < 7e6, "the largest is worth some trillions of USD"
    assert 5e4 < caps[100] < 2e5
    assert 1e3 < caps[1499] < 5e3


def test_of_the_top_1500_at_least_85_pct_can_be_scored_and_300_score_above_50(market: Market):
    universe = largest(market, 1500)
    scores = [score(one.metric) for one in universe if reason_for_no_score(one.metric) is None]
    assert len(scores) >= 0.85 * 1500
    assert sum(one > 50 for one in scores) >= 300
    reasons = Counter(reason_for_no_score(one.metric) for one in universe)
    assert reasons.keys() == {None, "no ROE", "no debt/equity", "no growth", "negative equity"}


def test_metrics_have_realistic_medians(market: Market):
    def median(key: str) -> float:
        return statistics.median(
            one.metric[key] for one in largest(market, 1500) if isinstance(one.metric.get(key), float)
        )

    assert 10 < median("roeTTM") < 14
    assert 0.5 < median("totalDebt/totalEquityQuarterly") < 0.7
    assert 5 < median("revenueGrowthTTMYoy") < 9
    assert 5 < median("epsGrowthTTMYoy") < 11


def test_values_are_missing_in_each_form_that_finnhub_has(market: Market):
    main = of_main_market(market)
    forms: defaultdict[str, set[str]] = defaultdict(set)
    for one in main:
        if one.metric:
            for key in ("roeTTM", "revenueGrowthTTMYoy", "totalDebt/totalEquityQuarterly"):
                value = one.metric.get(key, "absent")
                forms[key].add(
                    type(value).__name__ if value in (None, "") else "absent" if value == "absent" else "value"
                )
    assert all(found == {"NoneType", "str", "absent", "value"} for found in forms.values())
    assert any(one.profile and not one.metric for one in main), "an empty metric"
    assert any(not one.profile for one in main), "an empty profile"
    loss_makers = [one.metric for one in main if (one.metric.get("epsTTM") or 1) < 0]
    assert loss_makers
    assert not any(isinstance(one.get("epsGrowthTTMYoy"), float) for one in loss_makers)
    funds = [one for one in market.instruments.values() if one.type == "ETP"]
    assert not any(key in one.metric for one in funds for key in ("roeTTM", "revenueGrowthTTMYoy", "epsGrowthTTMYoy"))


def test_negative_equity_comes_in_each_of_its_disguises(market: Market):
    negative = [one.metric for one in of_main_market(market) if (one.metric.get("bookValuePerShareQuarterly") or 1) < 0]
    debts = [
        one["totalDebt/totalEquityQuarterly"]
        for one in negative
        if isinstance(one.get("totalDebt/totalEquityQuarterly"), float)
    ]
    assert min(debts) < 0
    assert max(debts) > 40, "positive and absurd"
    assert any((one.get("roeTTM") or 0) > 0 > one["epsTTM"] for one in negative), "a loss over negative equity"


def test_foreign_filers_state_their_cap_in_another_currency_and_some_hide_it(market: Market):
    main = [one for one in of_main_market(market) if one.profile and one.profile["marketCapitalization"]]
    ratios = {
        one.symbol: one.profile["marketCapitalization"] / (one.profile["shareOutstanding"] * float(one.price))
        for one in main
    }
    foreign = [one for one in main if one.profile["currency"] != "USD"]
    assert 0.02 * len(main) < len(foreign) < 0.1 * len(main)
    assert all(abs(ratios[one.symbol] - 1) > 0.1 for one in foreign)
    hidden = [one for one in main if one.profile["currency"] == "USD" and 6 <= ratios[one.symbol] <= 9]
    assert len(hidden) >= 5
    top = max(main, key=lambda one: one.profile["marketCapitalization"])
    assert top.profile["currency"] == "JPY", "a yen filer outranks everything"


def test_share_classes_have_one_issuer_and_differ_in_price_and_volume(market: Market):
    families: defaultdict[str, list[Instrument]] = defaultdict(list)
    for one in of_main_market(market):
        if "." in one.symbol:
            families[one.issuer].append(one)
    assert len(families) >= 20
    assert {len(classes) for classes in families.values()} == {2, 3}
    for classes in families.values():
        assert len({one.profile["name"] for one in classes if one.profile}) <= 1
        assert len({one.price for one in classes}) == len(classes)
        assert len({one.volume for one in classes}) == len(classes)
    wrong = [
        one
        for classes in families.values()
        for one in classes
        if one.profile and one.profile["currency"] == "USD" and not cap_agrees(one)
    ]
    assert len(wrong) == 1, "one class has a wrong shareOutstanding"


def test_issuers_are_told_apart_by_name(market: Market):
    symbols: defaultdict[str, set[str]] = defaultdict(set)
    for one in of_main_market(market):
        symbols[one.issuer].add(one.symbol.split(".")[0])
    assert all(len(roots) == 1 for roots in symbols.values())


# --- replay


def number(cell: str) -> float | None:
    return float(cell) if cell else None


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def test_a_replay_serves_the_recorded_values_and_nothing_else(recorded: Path):
    market = replay(recorded)
    listings = rows(recorded / "listings.csv.gz")
    fundamentals = {one["symbol"]: one for one in rows(recorded / "fundamentals.csv.gz")}
    assert list(market.instruments) == [one["symbol"] for one in listings]
    assert market.anchor == ANCHOR
    for row in listings:
        one = market.instruments[row["symbol"]]
        cap = number(row["market_cap_musd"])
        assert (str(one.price), one.volume, one.mic, one.type) == (
            row["last_price"],
            int(row["volume"]),
            row["mic"],
            row["type"],
        )
        assert one.profile["marketCapitalization"] == cap
        shares = one.profile["shareOutstanding"]
        assert shares is None if cap is None else abs(shares * float(one.price) - cap) <= 1e-9 * cap
        values = fundamentals.get(row["symbol"])
        if values is None:
            assert one.metric == {}
            continue
        assert one.metric["roeTTM"] == number(values["roe_ttm_pct"])
        assert one.metric["totalDebt/totalEquityQuarterly"] == number(values["debt_to_equity"])
        assert one.metric["revenueGrowthTTMYoy"] == number(values["revenue_growth_yoy_pct"])
        assert one.metric["epsGrowthTTMYoy"] == number(values["eps_growth_yoy_pct"])
        assert one.metric["marketCapitalization"] == cap
        price_to_book = number(values["price_to_book"])
        book = one.metric["bookValuePerShareQuarterly"]
        assert book is None if not price_to_book else book == float(row["last_price"]) / price_to_book
        assert one.profile["currency"] == values["currency"]


def test_a_replay_joins_the_classes_of_an_issuer_and_no_others(recorded: Path):
    issuers: defaultdict[str, set[str]] = defaultdict(set)
    for one in replay(recorded).instruments.values():
        if one.type == "Common Stock":
            issuers[one.issuer].add(one.symbol)
    shared = {frozenset(symbols) for symbols in issuers.values() if len(symbols) > 1}
    pairs = ["GOOG GOOGL", "BRK.A BRK.B", "CENT CENTA", "FOX FOXA", "NWS NWSA", "UA UAA"]
    assert shared == {frozenset(pair.split()) for pair in pairs}


@pytest.mark.parametrize(
    ("name", "issuer"),
    [
        ("Alphabet Inc. Class A Common Stock", "Alphabet Inc."),
        ("Alphabet Inc. Class C Capital Stock", "Alphabet Inc."),
        ("Example Holdings plc Class A Ordinary Shares", "Example Holdings plc"),
        ("Example Company (The) Common Stock", "Example Company"),
        ("Example Inc. New Common Stock", "Example Inc."),
        ("Example Trust Common Shares of Beneficial Interest", "Example Trust"),
        ("Example Ltd. American Depositary Shares (Each representing two Ordinary Shares)", "Example Ltd."),
        ("Example Corp. 6.375% Series D Cumulative Redeemable Preferred Stock", "Example Corp."),
        ("Example Capital Corporation Common Stock", "Example Capital Corporation"),
        ("Berkshire Hathaway Inc.", "Berkshire Hathaway Inc."),
    ],
)
def test_the_issuer_is_what_stands_before_the_security(name: str, issuer: str):
    assert issuer_of(name) == issuer


LISTINGS_HEADER = "symbol,name,mic,type,last_price,volume,market_cap_musd,country,sector,industry,ipo_year"
FUNDAMENTALS_HEADER = (
    "symbol,roe_ttm_pct,debt_to_equity,revenue_growth_yoy_pct,eps_growth_yoy_pct,price_to_book,currency"
)


def write_recording(folder: Path, listings: Iterable[str], fundamentals: Iterable[str]) -> Path:
    folder.mkdir()
    for name, lines in (("listings", listings), ("fundamentals", fundamentals)):
        with gzip.open(folder / f"{name}.csv.gz", "wt") as file:
            file.write("\n".join(lines) + "\n")
    return folder


GOOD_LISTING = "AAA,Example Inc. Common Stock,XNYS,Common Stock,10.50,1000,525.0,United States,Finance,Banks,2001.0"
GOOD_FUNDAMENTALS = "AAA,12.5,0.5,,3.0,-2.0,USD"


def test_missing_cells_become_null_and_missing_rows_no_data(tmp_path: Path):
    bare = "NAN,Bare Corp. Common Stock,XNAS,Common Stock,0.346,0,,,,,"
    folder = write_recording(
        tmp_path / "copy-2026-08-21", [LISTINGS_HEADER, GOOD_LISTING, bare], [FUNDAMENTALS_HEADER, GOOD_FUNDAMENTALS]
    )
    market = replay(folder)
    assert market.instruments["AAA"].metric == {
        "bookValuePerShareQuarterly": -5.25,
        "epsGrowthTTMYoy": 3.0,
        "marketCapitalization": 525.0,
        "revenueGrowthTTMYoy": None,
        "roeTTM": 12.5,
        "totalDebt/totalEquityAnnual": 0.5,
        "totalDebt/totalEquityQuarterly": 0.5,
    }
    assert market.instruments["AAA"].profile["shareOutstanding"] == 50.0
    assert market.instruments["NAN"].metric == {}
    assert market.instruments["NAN"].profile["marketCapitalization"] is None


def replaced(line: str, old: str, new: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        lines = [[LISTINGS_HEADER, GOOD_LISTING], [FUNDAMENTALS_HEADER, GOOD_FUNDAMENTALS]]
        changed = [[one.replace(old, new) if one.startswith(line) else one for one in part] for part in lines]
        return write_recording(folder / "market-2026-08-21", *changed)

    return write


def not_gzip(folder: Path) -> Path:
    made = replaced("", "", "")(folder)
    (made / "fundamentals.csv.gz").write_text("symbol")
    return made


def cut_short(folder: Path) -> Path:
    made = replaced("", "", "")(folder)
    whole = (made / "listings.csv.gz").read_bytes()
    (made / "listings.csv.gz").write_bytes(whole[: len(whole) // 2])
    return made


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent-2026-08-21", "is not a directory"),
        (
            lambda folder: write_recording(
                folder / "market", [LISTINGS_HEADER, GOOD_LISTING], [FUNDAMENTALS_HEADER, GOOD_FUNDAMENTALS]
            ),
            "name must end with the session's date",
        ),
        (
            lambda folder: write_recording(
                folder / "market-2026-08-21", [LISTINGS_HEADER], [FUNDAMENTALS_HEADER, GOOD_FUNDAMENTALS]
            ),
            "listings.csv.gz: no rows",
        ),
        (not_gzip, "fundamentals.csv.gz: cannot be read as gzipped CSV"),
        (cut_short, "listings.csv.gz: cannot be read as gzipped CSV"),
        (replaced("symbol,name", "last_price", "price"), "listings.csv.gz: no column last_price"),
        (replaced("AAA,Ex", "10.50", ""), r"listings.csv.gz, line 2 \(AAA\)"),
        (replaced("AAA,Ex", "10.50", "0"), r"line 2 \(AAA\): last_price is '0'"),
        (replaced("AAA,Ex", "525.0", "inf"), r"line 2 \(AAA\): 'inf' is not a finite number"),
        (replaced("AAA,Ex", ",2001.0", ""), "line 2: 11 cells are expected"),
        (replaced("AAA,12", "12.5", "twelve"), r"\(AAA\)"),
        (replaced("AAA,12", "AAA", "ZZZ"), "fundamentals.csv.gz: not in listings.csv.gz: ZZZ"),
        (replaced("AAA,Ex", "2001.0", "2001.0\n" + GOOD_LISTING), "1 symbols stand there twice"),
    ],
)
def test_a_defect_of_a_recording_is_one_clear_error(tmp_path: Path, make: Callable[[Path], Path], message: str):
    with pytest.raises(ReplayError, match=message):
        replay(make(tmp_path))
