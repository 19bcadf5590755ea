"""Six weeks in which companies split and are renamed, money comes and goes, and a week is halted in its middle; then
each question that a person may ask: the answers add up to the broker's books to the cent."""

import hashlib
import json
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.interfaces.demo import FAST, dagster_home
from tokenomics_dagster.kit import plots
from tokenomics_dagster.model import calendar
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.end_to_end.conftest import TOKENOMICS, Command
from tokenomics_dagster_tests.end_to_end.conftest import command as command  # the fixture
from tokenomics_dagster_tests.operations.conftest import point_to
from tokenomics_dagster_tests.rewriting import Answer, rewriting

pytestmark = pytest.mark.soak

# By its Monday the first session of each week; that of the fifth is after Labor Day.
WEEKS = {
    "2026-08-10": "2026-08-10", "2026-08-17": "2026-08-17", "2026-08-24": "2026-08-24", "2026-08-31": "2026-08-31",
    "2026-09-07": "2026-09-08", "2026-09-14": "2026-09-14",
}  # fmt: skip
TWICE, HALTED, RESUMED = "2026-08-24", "2026-08-31", "2026-09-07"
REPORTED = [week for week in WEEKS if week != HALTED]
START = Decimal(100_000)
# What comes before the open and what goes within the session of the next day.
FLOWS = {"2026-08-12T12:00:00": Decimal("40000.00"), "2026-08-13T15:00:00": Decimal("-9000.50")}
FEE = Decimal("-0.37")
NEW = "RENAMED"
REFUSED = ("DXY", "TWCW")  # this market's broker would not trade them, and they would be targets that nobody can have
WORST = {"roeTTM": -50}
CENT = Decimal("0.01")
ENDED = "2026-09-16T15:00:00"


@dataclass
class Life:
    """The platform after its weeks, and which stock met what."""

    platform: Platform
    split: str = ""
    """Held; two for one since before the second week."""
    renamed: str = ""
    """Held; NEW since after the second week."""
    sold: list[str] = field(default_factory=list)
    """Held after the first week, then with a ROE of the worst."""
    paid: str = ""
    """Held; paid a dividend."""
    dry: list[tuple[dict[str, Any], bool, bool]] = field(default_factory=list)
    """Dry plans: what they told, whether the database is the same, whether nothing was written at the sandbox."""
    said: dict[str, str] = field(default_factory=dict)
    """By command what `halt` and `resume` said."""

    @property
    def book(self) -> Any:
        return self.platform.sandbox.admin("GET", "/sandbox/broker")["book"]

    def fills(self) -> list[Any]:
        return [one for one in self.book["activities"] if "order_id" in one]


Ask = Callable[..., tuple[str, Any]]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """To be read only; the clock stands, so that no price moves between two answers."""
    folder = tmp_path_factory.mktemp("six-weeks")
    settings_file = folder / "settings.yaml"
    settings_file.write_text((REPOSITORY / "config/settings.yaml").read_text())
    with (
        running_sandbox(listings=150, seed=7, volatility_pct=2.0) as sandbox,
        dg.DagsterInstance.from_config(str(dagster_home(folder))) as instance,
        pytest.MonkeyPatch.context() as patch,
    ):
        made = Platform(sandbox, instance, folder, settings_file)
        for section, values in FAST.items():
            made.configure(**{f"{section}__{key}": value for key, value in values.items()})
        made.configure(
            universe__size=40,
            rebalancing__top_n_stocks=12,
            rebalancing__max_position_pct=10.0,
            trading__poll_interval_s=0.05,
            # A deposit of 40 % is turnover; that such plans wait for a person is shown elsewhere.
            guards__max_turnover_pct=200.0,
            guards__max_sold_pct=100.0,
        )
        patch.setattr(plots, "_png", lambda *_, **__: b"not drawn")
        point_to(made, patch)
        life = Life(made)
        live(life)
        yield life
        made.store.close()


def live(life: Life) -> None:
    platform = life.platform
    for symbol in REFUSED:
        platform.sandbox.admin("POST", "/sandbox/listings", {"symbol": symbol, "tradable": True})
    at(life, "2026-08-10T14:05:00")
    platform.run_all("2026-08-10")
    held = sorted(platform.broker().positions())
    life.split, life.renamed, life.paid, *life.sold = held[:8]
    for instant, usd in FLOWS.items():
        at(life, instant)
        platform.sandbox.admin("POST", "/sandbox/cash", {"amount": str(usd)})
    at(life, "2026-08-17T12:00:00")
    act(life, "split", symbol=life.split, new_rate=2, old_rate=1)
    week(life, "2026-08-17", look=True)
    at(life, "2026-08-19T12:00:00")
    act(life, "rename", symbol=life.renamed, new_symbol=NEW)
    act(life, "dividend", symbol=life.paid, rate="0.24")
    act(life, "fee", amount=str(FEE))
    sink(life, life.sold[0])
    week(life, TWICE)
    at(life, "2026-08-25T14:05:00")
    platform.must_run("rebalance", week=TWICE)
    sink(life, *life.sold[1:3])
    halted_week(life, HALTED)
    at(life, "2026-09-08T13:00:00")
    life.said["resume"] = said_by("resume", "the prices are right")
    platform.must_run("universe_refresh")
    sink(life, life.sold[3])
    week(life, RESUMED, look=True)
    sink(life, life.sold[4])
    week(life, "2026-09-14")
    at(life, ENDED, stands=True)


def at(life: Life, instant: str, *, stands: bool = False) -> None:
    life.platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{instant}Z", "stands": stands})


def act(life: Life, kind: str, **fields: Any) -> None:
    life.platform.sandbox.admin("POST", "/sandbox/actions", {"kind": kind, **fields})


def sink(life: Life, *symbols: str) -> None:
    for symbol in symbols:
        life.platform.sandbox.admin("PATCH", f"/sandbox/metrics/{symbol}", WORST)


def week(life: Life, monday: str, *, look: bool = False) -> None:
    """Its sweep, scores and rebalance; `look`: at a dry plan just before."""
    at(life, f"{WEEKS[monday]}T14:05:00")
    life.platform.must_run("fundamentals_refresh", "score")
    if look:
        with only_looked(life) as seen:
            told_by("plan", "--dry", folder=life.platform.folder, into=seen)
    life.platform.must_run("rebalance", week=monday)


def halted_week(life: Life, monday: str) -> None:
    """A person halts it, by the command, while its third order is under way."""
    at(life, f"{WEEKS[monday]}T14:05:00")
    life.platform.must_run("fundamentals_refresh", "score")

    def halt(_: Answer) -> None:
        life.said["halt"] = said_by("halt", "the prices look wrong")

    with rewriting(life.platform.sandbox.url) as between, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALPACA_TRADING_URL", between.url)
        between.before("POST /v2/orders", halt, calls=[3])
        assert not life.platform.run("rebalance", week=monday).success


def said_by(*arguments: str) -> str:
    done = subprocess.run([TOKENOMICS, *arguments], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def told_by(*arguments: str, folder: Path, into: dict[str, Any]) -> None:
    file = folder / "told.json"
    said_by(*arguments, "--json", str(file))
    into |= json.loads(file.read_text())


@contextmanager
def only_looked(life: Life) -> Iterator[dict[str, Any]]:
    """Notes whether the database is the same, byte for byte, and whether the sandbox was only asked."""
    before, told = (kept(life), written(life)), dict[str, Any]()
    yield told
    life.dry.append((told, kept(life) == before[0], written(life) == before[1]))


def kept(life: Life) -> str:
    """SQLite empties its log into the file when the last connection closes: both are what is kept."""
    files = sorted(life.platform.folder.glob("warehouse.db*"))
    return hashlib.sha256(b"".join(one.read_bytes() for one in files if not one.name.endswith("-shm"))).hexdigest()


def written(life: Life) -> int:
    calls = life.platform.sandbox.admin("GET", "/sandbox/calls")
    return sum(count for endpoint, count in calls.items() if not endpoint.startswith("GET "))


@pytest.fixture
def ask(lived: Life, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """A command's text, and what it writes for machines."""
    point_to(lived.platform, monkeypatch)

    def run(*arguments: str, code: int = 0) -> tuple[str, Any]:
        file = tmp_path / "told.json"
        file.unlink(missing_ok=True)
        done = command(*arguments, "--json", str(file))
        assert done.code == code, done
        return done.out + done.err, json.loads(file.read_text()) if file.exists() else None

    return run


def booked(fills: Any) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """Shares and USD of the broker's fills, by symbol and side."""
    sums: dict[tuple[str, str], tuple[Decimal, Decimal]] = defaultdict(lambda: (Decimal(0), Decimal(0)))
    for one in fills:
        shares, usd = sums[one["symbol"], one["side"]]
        sums[one["symbol"], one["side"]] = shares + Decimal(one["qty"]), usd + Decimal(one["amount"])
    return dict(sums)


def traded(rows: Any, shares: str) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """The same as an answer tells it."""
    found: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for one in rows:
        if Decimal(one["usd"]):
            key = one["symbol"], one["side"]
            assert key not in found, "one order a week"
            found[key] = Decimal(one[shares]), Decimal(one["usd"])
    return found


def monday_of(activity: Mapping[str, Any]) -> str:
    return calendar.week_of(datetime.fromisoformat(activity["at"]).astimezone(UTC)).isoformat()


def value_of(rows: Any, name: str) -> Decimal:
    return sum((Decimal(one[name]) for one in rows), Decimal(0))


def test_the_weeks_were_what_they_should_be(lived):
    fills = lived.fills()
    assert lived.said["halt"].startswith("trading is halted by ")
    assert lived.said["resume"]
    weeks = defaultdict(list)
    for one in fills:
        weeks[monday_of(one)].append(one)
    assert set(weeks) == set(WEEKS), "something was traded in each of them"
    assert {one["side"] for one in weeks[RESUMED]} == {"buy", "sell"}
    held = lived.book["holdings"]
    assert lived.renamed not in held
    assert {NEW, lived.split} <= held.keys()
    assert not set(lived.sold) & held.keys()


def test_holdings_are_the_brokers_to_the_cent(lived, ask):
    _, told = ask("holdings")
    with lived.platform.broker() as broker:
        account, positions = broker.account(), broker.positions()
    total = told["total"]
    assert value_of(told["held"], "value") == Decimal(total["held"])
    assert Decimal(total["held"]) + Decimal(total["cash"]) == Decimal(total["equity"]) == account.equity
    assert Decimal(total["difference"]) == total["unknown"] == 0
    assert told["foreign"] == told["disputed"] == []
    assert {one["symbol"]: Decimal(one["qty"]) for one in told["held"]} == {s: p.qty for s, p in positions.items()}
    # What was paid, by the broker's own cost of each holding.
    costs = {symbol: Decimal(one["cost"]) for symbol, one in lived.book["holdings"].items()}
    assert {one["symbol"]: Decimal(one["cost"]) for one in told["held"]} == costs
    assert Decimal(total["gain"]) == Decimal(total["held"]) - sum(costs.values())


@pytest.mark.parametrize("monday", WEEKS)
def test_the_trades_of_a_week_are_its_fills_to_the_share_and_the_cent(lived, ask, monday):
    text, told = ask("trades", monday)
    fills = [one for one in lived.fills() if monday_of(one) == monday]
    assert traded(told["trades"], "shares") == booked(fills)
    for word, side in (("bought", "buy"), ("sold", "sell")):
        usd = sum((Decimal(one["amount"]) for one in fills if one["side"] == side), Decimal(0))
        assert Decimal(told["totals"][word]) == usd
        assert f"{word} {usd:,.2f}" in text
    assert all(one["why"] and one["quoted"] for one in told["trades"])
    fee = FEE if monday == "2026-08-17" else Decimal(0)
    assert Decimal(told["fees"]) == -fee
    if monday == TWICE:
        assert len(told["plans"]) == 2, "the second run's trades do not take the place of the first's"
    if monday == HALTED:
        assert len(told["trades"]) == 3, "the order under way was sent, the next one not"
        assert told["not_traded"]


@pytest.mark.parametrize("monday", WEEKS)
def test_the_audit_of_a_week_tells_the_same(lived, ask, monday):
    text, told = ask("audit", "show", monday)
    fills = [one for one in lived.fills() if monday_of(one) == monday]
    summary = {one["about"]: one["text"] for one in told["summary"]}
    for word, side in (("bought", "buy"), ("sold", "sell")):
        usd = sum((Decimal(one["amount"]) for one in fills if one["side"] == side), Decimal(0))
        assert not usd or f"{word} {usd:,.2f} USD" in text
    assert sum(one["kind"] == "fill" for one in told["records"]) == len(fills)
    if monday == HALTED:
        assert "the prices look wrong" in summary["halts"]
        assert "the prices look wrong" in summary["stopped"]
    else:
        assert "agree with the broker's" in summary["books"]
    if monday == RESUMED:
        assert "the prices are right" in text


@pytest.mark.parametrize("monday", REPORTED)
def test_the_page_of_a_week_has_the_figures_of_its_trades(ask, monday, tmp_path):
    page = tmp_path / "page.html"
    _, told = ask("report", monday, "--out", str(page))
    _, trades = ask("trades", monday)
    assert traded(told["trades"], "qty") == traded(trades["trades"], "shares")
    values = sum((Decimal(one["value"]) for one in told["holdings"]), Decimal(0))
    assert values + Decimal(told["cash"]) + Decimal(told["alone"]) == Decimal(told["equity"])
    assert Decimal(told["alone"]) == 0
    for usd in (trades["totals"]["bought"], told["equity"], told["cash"]):
        assert f"{Decimal(usd):,.2f}" in page.read_text()
    money = {name: Decimal(told["money"][name]) for name in ("before", "sold", "bought", "booked", "after")}
    assert money["before"] + money["sold"] - money["bought"] + money["booked"] == money["after"]
    assert money["booked"] == 0, "what came and went did so between the weeks"


def test_the_page_of_the_last_week_has_the_shares_that_are_held(ask):
    _, told = ask("report", "2026-09-14")
    _, held = ask("holdings")
    shares = {one["symbol"]: Decimal(one["qty"]) for one in told["holdings"] if Decimal(one["qty"])}
    assert shares == {one["symbol"]: Decimal(one["qty"]) for one in held["held"]}
    targets = {one["symbol"]: one["target"] for one in told["holdings"]}
    assert {one["symbol"]: one["target_weight"] for one in held["held"]} == {s: targets[s] for s in shares}


def test_a_week_that_did_not_end_has_no_page_and_says_so(ask):
    text, told = ask("report", HALTED, code=1)
    assert told is None
    assert f"the week of {HALTED} has no report" in text


@pytest.mark.parametrize(("before", "after"), list(zip(WEEKS, list(WEEKS)[1:], strict=False)))
def test_what_came_in_less_what_went_out_is_the_difference_of_the_targets(lived, ask, before, after):
    _, told = ask("changes", before, after)
    old, new = (targets_of(lived, monday) for monday in (before, after))
    assert {one["symbol"] for one in told["came_in"]} == new.keys() - old.keys()
    assert {one["symbol"] for one in told["went_out"]} == old.keys() - new.keys()
    came = sum(one["weight"] for one in told["came_in"])
    went = sum(one["weight_before"] for one in told["went_out"])
    moved = sum(one["after"] - one["before"] for one in told["weights"])
    assert came - went + moved == pytest.approx(sum(new.values()) - sum(old.values()), abs=1e-9)
    assert told["cash_before"] - told["cash_after"] == pytest.approx(came - went + moved, abs=1e-9)


def targets_of(life: Life, monday: str) -> dict[str, float]:
    """By the symbols of now."""
    frame = life.platform.store.load_snapshot("target_weights", TargetWeights, partition=monday)
    assert frame is not None
    pairs = zip(frame["symbol"], frame["weight"], strict=True)
    return {NEW if symbol == life.renamed else symbol: weight for symbol, weight in pairs}


def test_what_was_earned_adds_up_to_the_brokers_books(lived, ask):
    _, told = ask("performance")
    with lived.platform.broker() as broker:
        account = broker.account()
    one, cash = told["performance"], told["books"]
    start, paid_in, paid_out, profit, end = (
        Decimal(one[name]) for name in ("start", "paid_in", "paid_out", "profit", "end")
    )
    came, went = FLOWS.values()
    assert (start, paid_in, paid_out) == (START, came, -went)
    assert start + paid_in - paid_out + profit == end == account.equity
    assert sum(Decimal(month["profit"]) for month in one["months"]) == profit
    assert Decimal(cash["difference"]) == 0
    assert Decimal(cash["now"]) == account.cash
    assert Decimal(cash["fees"]) == Decimal(told["costs"]["fees"]) == -FEE
    [dividend] = [each for each in lived.book["activities"] if each.get("type") == "DIV"]
    assert Decimal(cash["income"]) == Decimal(dividend["amount"]) > 0
    for word, side in (("bought", "buy"), ("sold", "sell")):
        usd = sum((Decimal(each["amount"]) for each in lived.fills() if each["side"] == side), Decimal(0))
        assert Decimal(cash[word]) == usd
    spreads = [Decimal(ask("trades", monday)[1]["totals"]["cost"]) for monday in WEEKS]
    assert sum(spreads) == Decimal(told["costs"]["spread"])
    assert told["doubts"] == []


def test_the_time_weighted_return_is_that_of_the_days_without_the_flows(lived, ask):
    _, told = ask("performance")
    by_day = {}
    for one in lived.book["activities"]:
        if one.get("id", "") and "order_id" not in one and Decimal(one["amount"]) in FLOWS.values():
            moment = datetime.fromisoformat(one["at"])
            session = calendar.session_on(moment.date())
            assert session is not None
            # Of the session's time the part for which the money was there, or was missing.
            left = (session.close - max(moment, session.open)) / (session.close - session.open)
            by_day[moment.date()] = Decimal(one["amount"]), left
    assert len(by_day) == len(FLOWS)
    closes = {date.fromisoformat(day): Decimal(usd) for day, usd in lived.book["closes"].items()}
    with lived.platform.broker() as broker:
        closes[date.fromisoformat(ENDED[:10])] = broker.account().equity
    whole, before = 1.0, START
    for day, usd in sorted(closes.items()):
        flow, part = by_day.get(day, (Decimal(0), 0.0))
        whole *= 1 + float(usd - before - flow) / (float(before) + part * float(flow))
        before = usd
    assert len(closes) == 27, "without Labor Day"
    # The broker tells equity to the cent, its book is exact: half a cent is 4e-8 of it.
    assert told["performance"]["time_weighted"] == pytest.approx(whole - 1, abs=1e-7)


def test_a_dry_plan_writes_nothing_and_sends_nothing(lived, ask):
    with only_looked(lived) as seen:
        seen |= ask("plan", "--dry")[1]
    assert len(lived.dry) >= 3, "before two weeks, and now"
    for told, same, asked in lived.dry:
        assert (told["dry"], same, asked) == (True, True, True)
    before = lived.dry[0][0]
    assert before["orders"], "there was something to send"


def test_a_dry_plan_just_before_a_week_is_what_that_week_traded(lived, ask):
    """Prices move by the second; who is traded, and on which side, does not."""
    for (told, _, _), monday in zip(lived.dry, ("2026-08-17", RESUMED), strict=False):
        _, trades = ask("trades", monday)
        assert {(one["symbol"], one["side"]) for one in told["orders"]} == {
            (one["symbol"], one["side"]) for one in trades["trades"]
        }


def test_a_held_and_a_split_stock_are_explained_by_the_brokers_books(lived, ask):
    with lived.platform.broker() as broker:
        positions = broker.positions()
    kept = max(positions, key=lambda symbol: positions[symbol].market_value or 0)
    for symbol in (kept, lived.split):
        text, told = ask("explain", symbol)
        held = told["at_broker"]["held"]
        assert Decimal(held["qty"]) == positions[symbol].qty
        assert Decimal(held["value"]) == positions[symbol].market_value
        assert must_be_its_fills(lived, told, {symbol})
        assert f"it is held: {positions[symbol].qty.normalize():f} shares" in text


def test_a_renamed_stock_is_one_by_whatever_name_it_is_asked_for(lived, ask):
    with lived.platform.broker() as broker:
        position = broker.positions()[NEW]
    for symbol in (NEW, lived.renamed):
        _, told = ask("explain", symbol)
        assert (told["symbol"], told["formerly"]) == (NEW, [lived.renamed])
        assert Decimal(told["at_broker"]["held"]["qty"]) == position.qty
        assert must_be_its_fills(lived, told, {NEW, lived.renamed})
        assert told["score"]["points"] is not None


def test_a_stock_that_was_sold_is_explained_with_its_trades(lived, ask):
    for symbol in lived.sold:
        text, told = ask("explain", symbol)
        assert told["at_broker"]["held"] is None
        assert must_be_its_fills(lived, told, {symbol})
        shares = sum(Decimal(one["filled_qty"]) * (1 if one["side"] == "buy" else -1) for one in told["trades"])
        assert shares == 0
        assert "it is not held: it is no target in the week of 2026-09-14" in text


def test_a_stock_that_was_never_held_has_no_trades_and_a_reason(lived, ask):
    ever = {one["symbol"] for one in lived.fills()}
    universe = lived.platform.store.newest_values("universe", "symbol", "rank")
    never = sorted(set(universe) - ever)
    text, told = ask("explain", never[0])
    assert (told["trades"], told["at_broker"]["held"]) == ([], None)
    assert "it is not held: " in text
    assert told["why"]


def must_be_its_fills(life: Life, told: Any, names: set[str]) -> bool:
    """The ledger's trades of a stock are the broker's fills, to the share and the cent."""
    fills = [one for one in life.fills() if one["symbol"] in names]
    for side in ("buy", "sell"):
        rows = [one for one in told["trades"] if one["side"] == side]
        of_side = [one for one in fills if one["side"] == side]
        assert value_of(rows, "filled_qty") == value_of(of_side, "qty")
        assert value_of(rows, "value") == value_of(of_side, "amount")
    return bool(fills)


def test_status_next_and_known_tell_of_the_same_account(lived, ask):
    _, status = ask("status")
    with lived.platform.broker() as broker:
        account, positions = broker.account(), broker.positions()
    assert json.dumps(status).count(f"{account.equity:f}") >= 1
    for symbol in positions:
        assert symbol in json.dumps(status)
    _, coming = ask("next")
    [rebalance] = [one for one in coming["schedules"] if one["name"] == "rebalance"]
    assert rebalance["why_not"] == "the week of 2026-09-14 has been rebalanced"
    assert "2026-09-21" in rebalance["acts"]
    for monday in WEEKS:
        instant = f"{WEEKS[monday]}T20:00:00Z"
        _, told = ask("known", instant, "--what", "weights")
        rows = {
            NEW if one["symbol"] == lived.renamed else one["symbol"]: one["weight"] for one in told["weights"]["rows"]
        }
        assert rows == pytest.approx(targets_of(lived, monday))
