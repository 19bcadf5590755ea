"""`tokenomics explain | holdings | changes` after weeks with a split, a rename, a stock of nobody's and new figures:
what they say adds up to the broker's books."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.fundamentals.schema import Scores
from tokenomics_dagster.interfaces.demo import FAST
from tokenomics_dagster.kit import plots
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.end_to_end.conftest import Command
from tokenomics_dagster_tests.operations.conftest import point_to
from tokenomics_dagster_tests.rewriting import rewriting

FIRST, SECOND = "2026-08-10", "2026-08-17"
TOP_N = 10
CENT = Decimal("0.01")
BEST = {"roeTTM": 45, "totalDebt/totalEquityQuarterly": 0.0, "revenueGrowthTTMYoy": 60, "epsGrowthTTMYoy": 60}


@dataclass
class Weeks:
    """A platform after its weeks, and which stock met what."""

    platform: Platform
    split: str
    """Held; two for one since the first week."""
    renamed: str
    """Held; RENAMED since the first week."""
    sinks: str
    """Held in the first week, then with a ROE of the worst."""
    rises: str
    """Not chosen in the first week, then with figures of the best."""
    mute: str
    """Held in the first week, then with negative equity."""
    foreign: str
    """Bought by hand."""

    def ask(self, command: Command, file: Path, *arguments: str, **variables: str) -> dict[str, Any]:
        """What the command writes for machines; it must succeed."""
        said = command(*arguments, "--json", file, **variables)
        assert (said.code, said.err) == (0, ""), said
        return dict(json.loads(file.read_text()))


@contextmanager
def begun(folder: Path, **options: Any) -> Iterator[Platform]:
    """A platform of its own, to which the environment points."""
    settings_file = folder / "settings.yaml"
    settings_file.write_text((REPOSITORY / "config/settings.yaml").read_text())
    with (
        running_sandbox(listings=150, seed=7) as sandbox,
        dg.DagsterInstance.ephemeral() as instance,  # one with files starts a process for the output of each step
        pytest.MonkeyPatch.context() as patch,
    ):
        made = Platform(sandbox, instance, folder, settings_file)
        for section, values in FAST.items():
            made.configure(**{f"{section}__{key}": value for key, value in values.items()})
        made.configure(
            universe__size=30,
            rebalancing__top_n_stocks=TOP_N,
            rebalancing__max_position_pct=12.0,
            trading__poll_interval_s=0.05,
            **options,
        )
        patch.setattr(plots, "_png", lambda *_, **__: b"not drawn")
        point_to(made, patch)
        try:
            yield made
        finally:
            made.store.close()


def first_week(platform: Platform) -> Weeks:
    """And what happens after it."""
    at(platform, f"{FIRST}T14:05:00")
    platform.run_all(FIRST)
    held = list(platform.store.newest_values("target_weights", "symbol", "weight"))
    scores = {s: one for s, one in platform.store.newest_values("scores", "symbol", "score").items() if one is not None}
    worst = min((s for s in scores if s not in held), key=lambda s: scores[s])
    dropped = platform.store.history("universe", limit=1)[0].details["dropped"]
    foreign = next(symbol for symbol, why in dropped.items() if why.startswith("below the"))
    found = Weeks(platform, held[0], held[1], held[2], worst, held[3], foreign)
    at(platform, "2026-08-12T12:00:00")
    act(platform, "split", found.split, new_rate=2, old_rate=1)
    act(platform, "rename", found.renamed, new_symbol="RENAMED")
    at(platform, "2026-08-13T15:00:00")
    with platform.broker() as broker:
        broker.submit(foreign, "buy", "by-hand-1", qty=Decimal(3))
    change_metrics(platform, found.rises, BEST)
    change_metrics(platform, found.sinks, {"roeTTM": -60})
    change_metrics(platform, found.mute, {"bookValuePerShareQuarterly": -5.0, "bookValuePerShareAnnual": -5.0})
    return found


def a_week(platform: Platform, week: str, day: str = "") -> None:
    """In its first session, which is that of `day` where its Monday is a holiday. Then the clock stands, so that no
    price moves between two answers."""
    at(platform, f"{day or week}T14:05:00")
    platform.must_run("fundamentals_refresh", "score")
    platform.must_run("rebalance", week=week)
    stand(platform, f"{day or week}T15:00:00")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weeks]:
    """Two weeks, to be read only."""
    with begun(tmp_path_factory.mktemp("weeks")) as platform:
        found = first_week(platform)
        a_week(platform, SECOND)
        yield found


@pytest.fixture
def weeks(lived: Weeks, command: Command, monkeypatch: pytest.MonkeyPatch) -> Weeks:
    """The same, with the environment of the command's fixture pointing to it."""
    point_to(lived.platform, monkeypatch)
    return lived


def change_metrics(platform: Platform, symbol: str, metrics: dict[str, Any]) -> None:
    platform.sandbox.admin("PATCH", f"/sandbox/metrics/{symbol}", metrics)


def at(platform: Platform, instant: str) -> None:
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{instant}Z"})


def stand(platform: Platform, instant: str) -> None:
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{instant}Z", "stands": True})


def act(platform: Platform, kind: str, symbol: str, **fields: Any) -> None:
    platform.sandbox.admin("POST", "/sandbox/actions", {"kind": kind, "symbol": symbol, **fields})


def must_add_up(platform: Platform, found: dict[str, Any]) -> None:
    """Every amount of `holdings` against the broker's own books, to the cent."""
    total = {name: Decimal(str(amount)) for name, amount in found["total"].items() if name != "why"}
    assert found["total"]["why"] == ""
    with platform.broker() as broker:
        account, positions = broker.account(), broker.holdings().ours
    assert (total["cash"], total["equity"]) == (account.cash, account.equity)
    assert total["difference"] == total["unknown"] == 0
    assert abs(total["held"] + total["left_alone"] + total["cash"] - account.equity) < CENT
    held = {one["symbol"]: one for one in found["held"]}
    foreign = {one["symbol"]: one for one in found["foreign"]}
    assert held.keys() | foreign.keys() == positions.keys()
    assert not held.keys() & foreign.keys()
    for symbol, one in held.items():
        position = positions[symbol]
        assert Decimal(one["qty"]) == position.qty
        assert Decimal(one["value"]) == position.market_value
        assert Decimal(one["gain"]) == Decimal(one["value"]) - Decimal(one["cost"])
        assert abs(Decimal(one["average_cost"]) * position.qty - Decimal(one["cost"])) < CENT
        assert one["weight"] == pytest.approx(float(Decimal(one["value"]) / Decimal(found["investable"])))
        assert one["drift"] == pytest.approx(one["target_weight"] - one["weight"])
    for name in ("cost", "gain"):
        assert sum(Decimal(one[name]) for one in held.values()) == total[name]
    assert sum(Decimal(one["value"]) for one in held.values()) == total["held"]


def bought(platform: Platform, *symbols: str) -> list[dict[str, Any]]:
    """The orders of the sandbox in these symbols, which no code of the platform has touched."""
    orders = platform.sandbox.admin("GET", "/sandbox/broker")["book"]["orders"]
    return [one for one in orders if one["symbol"] in symbols]


def test_holdings_add_up_to_the_brokers_books_to_the_cent(weeks: Weeks, command: Command, tmp_path: Path) -> None:
    found = weeks.ask(command, tmp_path / "out.json", "holdings")
    must_add_up(weeks.platform, found)
    held = {one["symbol"]: one for one in found["held"]}
    assert len(held) == TOP_N
    assert (found["gone"], found["unasked"], [one["doubt"] for one in held.values()]) == ([], None, [None] * TOP_N)
    assert all(one["name"] and one["industry"] for one in held.values())
    # Twice the shares for what was paid for the half of them; under its new name the shares of the old one.
    [order] = bought(weeks.platform, weeks.split)
    assert Decimal(held[weeks.split]["qty"]) == 2 * Decimal(order["filled_qty"])
    assert Decimal(held[weeks.split]["cost"]) == Decimal(order["filled_amount"])
    assert weeks.renamed not in held
    assert held["RENAMED"]["target_weight"] > 0.05
    [alone] = found["foreign"]
    assert (alone["symbol"], alone["qty"]) == (weeks.foreign, "3")
    assert f"tokenomics adopt {weeks.foreign}" in alone["reason"]


def test_holdings_are_shown_with_a_total_that_is_the_brokers_equity(weeks: Weeks, command: Command) -> None:
    said = command("holdings")
    assert said.code == 0
    with weeks.platform.broker() as broker:
        account = broker.account()
    assert re.search(rf"equity by the broker +{account.equity:,.2f}\b", said.out)
    assert re.search(rf"cash +{account.cash:,.2f}\b", said.out)
    assert "does not add up" not in said.out
    assert re.search(rf"{weeks.foreign} +3 +[\d.,]+ +no strategy has ever bought it", said.out)


def test_changes_tell_who_came_who_went_and_which_figure_it_was(weeks: Weeks, command: Command, tmp_path: Path) -> None:
    found = weeks.ask(command, tmp_path / "out.json", "changes")
    assert (found["before"], found["after"]) == (FIRST, SECOND)
    came = {one["symbol"]: one for one in found["came_in"]}
    went = {one["symbol"]: one for one in found["went_out"]}
    assert weeks.rises in came
    assert came[weeks.rises]["why_not"]["kind"] in ("score too low", "rank too low")
    assert went.keys() == {weeks.sinks, weeks.mute}
    assert went[weeks.sinks]["why"]["kind"] in ("score too low", "rank too low")
    assert went[weeks.mute]["why"] == {"kind": "no score", "reason": "equity is negative"}
    assert (went[weeks.mute]["score"], found["renamed"]) == (None, {weeks.renamed: "RENAMED"})
    moves = {one["symbol"]: one for one in found["scores"]}
    assert moves.keys() >= {weeks.rises, weeks.sinks}
    [figure] = moves[weeks.sinks]["figures"]
    assert (figure["figure"], figure["after"]) == ("roe_ttm_pct", -60.0)
    for move in moves.values():
        told = sum(one["points"] for one in move["figures"]) + move["rules"] + move["together"]
        assert told == pytest.approx(move["after"] - move["before"])
    tables = [weeks.platform.store.load_snapshot("target_weights", TargetWeights, partition=w) for w in (FIRST, SECOND)]
    old, new = (dict(zip(one["symbol"], one["weight"], strict=True)) for one in tables if one is not None)
    assert {*new} - {*old} == came.keys()
    assert {*old} - {*new} == went.keys()
    assert sum(new.values()) + found["cash_after"] == pytest.approx(1)
    text = command("changes", "2026-08-20", "2026-08-12").out
    assert f"week of {FIRST} to week of {SECOND}" in text
    assert f"{weeks.renamed} is RENAMED now" in text


def test_changes_want_two_weeks_that_have_targets(weeks: Weeks, command: Command) -> None:
    refused = command("changes", "2026-07-06", SECOND).refused()
    assert "the week of 2026-07-06 has no targets" in refused
    assert f"{SECOND}, {FIRST}" in refused
    for wrong in ([FIRST], [FIRST, "2026-08-12"], [FIRST, SECOND, SECOND], [FIRST, "soon"]):
        assert command("changes", *wrong).code == 2


def explained(weeks: Weeks, command: Command, tmp_path: Path, symbol: str, **variables: str) -> dict[str, Any]:
    """The document; whatever the symbol, its score is the stored one and the sum of its parts."""
    found = weeks.ask(command, tmp_path / f"{symbol}.json", "explain", symbol, **variables)
    stored = weeks.platform.store.load_snapshot("scores", Scores)
    assert stored is not None
    rows = stored[stored["symbol"].isin([found["symbol"], *found["formerly"]])]
    if found["score"] is None:
        assert rows.empty
    elif found["score"]["points"] is not None:
        assert found["score"]["points"] == rows["score"].item()
        assert sum(part["adds"] for part in found["score"]["parts"]) == pytest.approx(rows["score"].item())
    orders = bought(weeks.platform, found["symbol"], *found["formerly"])
    ours = [one for one in orders if one["client_order_id"].startswith("tokenomics")]
    told = {one["client_order_id"]: Decimal(one["value"]) for one in found["trades"]}
    assert told.keys() == {one["client_order_id"] for one in ours}
    for one in ours:
        assert abs(told[one["client_order_id"]] - Decimal(one["filled_amount"])) < CENT
    return found


def test_one_that_is_held_is_explained_with_its_rank_weight_and_trades(
    weeks: Weeks, command: Command, tmp_path: Path
) -> None:
    found = explained(weeks, command, tmp_path, weeks.split.lower())
    held = {one["symbol"]: one for one in weeks.ask(command, tmp_path / "all.json", "holdings")["held"]}
    assert found["symbol"] == weeks.split
    assert found["at_broker"]["held"] == held[weeks.split]
    assert found["why"][0].startswith("it is held: ")
    assert f"{found['target']['weight']:.2%} in the week of {SECOND}" in found["why"][0]
    assert found["next"]["chosen"]
    assert found["next"]["distance"] > 0
    stored = weeks.platform.store.load_snapshot("scores", Scores)
    assert stored is not None
    assert found["next"]["rank"] == int((stored["score"] > found["score"]["points"]).sum()) + 1
    assert found["next"]["of"] == int(stored["score"].notna().sum())
    assert found["would_change"][0].startswith("it is in by ")
    figures = {one["name"]: one for one in found["figures"]}
    assert figures.keys() == {
        "roe_ttm_pct", "debt_to_equity", "revenue_growth_yoy_pct", "eps_growth_yoy_pct", "book_value_per_share",
    }  # fmt: skip
    assert all(one["known_at"].startswith(SECOND) and one["reported_period"] for one in figures.values())
    assert (found["universe"]["followed"], found["universe"]["size"]) == (True, 30)
    assert found["universe"]["market_cap_musd"] >= found["universe"]["cut_musd"]
    said = command("explain", weeks.split).out
    assert all(sentence in " ".join(said.split()) for sentence in found["why"])


def test_old_and_new_ticker_tell_the_same(weeks: Weeks, command: Command, tmp_path: Path) -> None:
    old, new = (explained(weeks, command, tmp_path, one) for one in (weeks.renamed, "renamed"))
    assert old.pop("asked") == weeks.renamed
    assert new.pop("asked") == "RENAMED"
    assert old.pop("at")[:16] == new.pop("at")[:16]
    assert old == new
    assert (new["symbol"], new["formerly"]) == ("RENAMED", [weeks.renamed])
    assert new["at_broker"]["held"]["symbol"] == "RENAMED"
    assert new["universe"]["followed"]
    assert new["trades"][0]["symbol"] == weeks.renamed


def test_one_that_was_sold_says_by_which_score_and_what_would_bring_it_back(
    weeks: Weeks, command: Command, tmp_path: Path
) -> None:
    found = explained(weeks, command, tmp_path, weeks.sinks)
    assert [one["side"] for one in found["trades"]] == ["buy", "sell"]
    assert found["why"][0].startswith(f"it is not held: it is no target in the week of {SECOND}: ")
    place = found["next"]
    assert not place["chosen"]
    assert place["distance"] == pytest.approx(place["score"] - place["cut"])
    assert f"it needs {place['cut']:.2f} points" in found["would_change"][0]
    roe = next(one for one in found["levers"] if one["figure"] == "roe_ttm_pct")
    assert roe["needed"] is not None
    assert roe["needed"] > -20


def test_one_without_a_score_says_the_reason(weeks: Weeks, command: Command, tmp_path: Path) -> None:
    found = explained(weeks, command, tmp_path, weeks.mute)
    assert (found["score"]["points"], found["score"]["reason"]) == (None, "equity is negative")
    assert found["next"] is None
    assert found["why"][0].endswith("equity is negative")
    assert found["would_change"] == ["it needs a score first: equity is negative"]


def test_one_that_is_listed_and_not_followed_says_what_it_lacks(weeks: Weeks, command: Command, tmp_path: Path) -> None:
    found = explained(weeks, command, tmp_path, weeks.foreign)
    universe = found["universe"]
    assert not universe["followed"]
    assert universe["reason"].startswith("below the 30 largest")
    assert universe["rank"] == 31
    assert universe["market_cap_musd"] < universe["cut_musd"]
    assert "it must be followed first: its market cap of " in found["would_change"][0]
    assert found["why"][0].startswith("3 shares are held and left alone: no strategy has ever bought it here")
    assert re.match(r"3 shares of it were bought for [\d.,]+ USD by no order of the strategy", found["why"][1])
    assert "by no order of the strategy, 2026-08-13" in " ".join(command("explain", weeks.foreign).out.split())


POSITIONS, FILLS = "GET /v2/positions", "GET /v2/account/activities/FILL"


def test_what_the_books_have_and_no_row_of_the_broker_is_named_and_is_no_fact(
    weeks: Weeks, command: Command, tmp_path: Path
) -> None:
    with rewriting(weeks.platform.sandbox.url) as between:
        url = {"ALPACA_TRADING_URL": between.url}
        between.on(POSITIONS, lambda sent: sent.become(200, [one for one in sent.json if one["symbol"] != weeks.split]))
        found = weeks.ask(command, tmp_path / "out.json", "holdings", **url)
        told = weeks.ask(command, tmp_path / "one.json", "explain", weeks.split, **url)
        state = weeks.ask(command, tmp_path / "status.json", "status", **url)["positions"]
        said = " ".join(command("holdings", **url).out.split())
    [gone] = found["gone"]
    assert gone["symbol"] == weeks.split
    assert "shares were held, and are gone without a trade" in gone["reason"]
    assert weeks.split not in {one["symbol"] for one in found["wanted"]}
    assert found["total"]["why"] == f"the broker's positions lack {weeks.split}"
    assert f"{found['total']['why']}" in said
    assert "the market moved" not in said
    assert told["why"][0].startswith("whether it is held is not known, for it is in no row of the broker's positions")
    assert not any("is not held" in one for one in told["why"])
    assert state["disputed"][weeks.split] == gone["reason"]
    assert weeks.split not in {one["symbol"] for one in state["drifts"]}


def test_a_name_that_the_broker_renamed_since_the_last_plan_keeps_its_target(
    weeks: Weeks, command: Command, tmp_path: Path
) -> None:
    def renames(sent: Any) -> None:
        rows = [{**one, "symbol": "PYX"} if one["symbol"] == weeks.rises else one for one in sent.json]
        sent.become(200, rows)

    with rewriting(weeks.platform.sandbox.url) as between:
        url = {"ALPACA_TRADING_URL": between.url}
        between.on(POSITIONS, renames)
        between.on("GET /v2/assets", renames)
        found = weeks.ask(command, tmp_path / "out.json", "holdings", **url)
        new, old = (
            weeks.ask(command, tmp_path / "one.json", "explain", symbol, **url) for symbol in ("PYX", weeks.rises)
        )
        state = weeks.ask(command, tmp_path / "status.json", "status", **url)["positions"]
        between.on(FILLS, lambda sent: sent.become(403, {"message": "forbidden."}))
        unasked = weeks.ask(command, tmp_path / "out.json", "explain", "PYX", **url)
        lacking = weeks.ask(command, tmp_path / "out.json", "holdings", **url)
    held = {one["symbol"]: one for one in found["held"]}
    assert held["PYX"]["target_weight"] > 0.05
    assert held["PYX"]["industry"]
    assert (found["wanted"], found["gone"], found["renamed"][weeks.rises]) == ([], [], "PYX")
    assert (new["symbol"], new["formerly"], new["why"]) == (old["symbol"], old["formerly"], old["why"])
    assert new["why"][0].startswith("it is held: ")
    assert "a target of " in new["why"][0]
    assert {one["symbol"] for one in state["drifts"]} >= {"PYX"}
    assert weeks.rises not in {one["symbol"] for one in state["drifts"]}
    assert "the targets do not know it under this name" in unasked["why"][0]
    assert not any("is to be sold" in one for one in unasked["why"])
    assert [one["symbol"] for one in lacking["gone"]] == [weeks.rises]
    assert "forbidden" in lacking["unasked"]


def test_what_a_hand_has_sold_is_told_and_is_among_the_trades(weeks: Weeks, command: Command, tmp_path: Path) -> None:
    def sold(sent: Any) -> None:
        bought = [row for row in sent.json if row["symbol"] == weeks.rises]
        by_hand = [{**row, "id": f"{row['id']}:hand", "order_id": "hand", "side": "sell"} for row in bought]
        sent.become(200, [*sent.json, *by_hand])

    with rewriting(weeks.platform.sandbox.url) as between:
        url = {"ALPACA_TRADING_URL": between.url}
        between.on(POSITIONS, lambda sent: sent.become(200, [s for s in sent.json if s["symbol"] != weeks.rises]))
        between.on(FILLS, sold)
        found = weeks.ask(command, tmp_path / "out.json", "explain", weeks.rises, **url)
        said = " ".join(command("explain", weeks.rises, **url).out.split())
    fills = found["at_broker"]["by_others"]
    assert {one["side"] for one in fills} == {"sell"}
    [trade] = found["trades"]
    assert sum(Decimal(one["qty"]) for one in fills) == Decimal(trade["filled_qty"])
    assert found["why"][0].startswith("it is not held, although it is a target of ")
    assert f"shares of it were sold for {Decimal(trade['value']):,.2f} USD" in found["why"][1]
    assert "by no order of the strategy, the last at " in found["why"][1]
    assert re.search(rf"{weeks.rises} sell filled .*by no order of the strategy, {SECOND}", said)
    assert re.search(r"plan \S+ buys [\d.,]+ (USD|shares) of it", said)


def test_a_row_that_contradicts_itself_has_a_doubt_beside_it_and_the_sums_say_so(
    weeks: Weeks, command: Command, tmp_path: Path
) -> None:
    def doubled(sent: Any) -> None:
        for one in sent.json:
            if one["symbol"] == weeks.split:
                one["market_value"] = str(2 * Decimal(one["market_value"]))

    with rewriting(weeks.platform.sandbox.url) as between:
        between.on(POSITIONS, doubled)
        found = weeks.ask(command, tmp_path / "out.json", "holdings", ALPACA_TRADING_URL=between.url)
        said = " ".join(command("holdings", ALPACA_TRADING_URL=between.url).out.split())
    [doubted] = [one for one in found["held"] if one["doubt"] is not None]
    assert doubted["symbol"] == weeks.split
    assert "and the broker says that its value is " in doubted["doubt"]
    assert (found["total"]["in_doubt"], found["total"]["why"]) == (1, f"the figures of {weeks.split} are in doubt")
    assert "in doubt 1 of the rows, see above" in said
    assert f"in doubt, of what is held {weeks.split}" in said


def test_an_unknown_symbol_is_refused_with_what_is_near(weeks: Weeks, command: Command) -> None:
    refused = command("explain", f"{weeks.split}X").refused()
    assert refused.startswith(f"nothing is known of {weeks.split}X in ")
    assert f"near to it: {weeks.split} (" in refused
    assert "RENAMED" not in refused
    name = weeks.platform.store.newest_values("universe", "symbol", "name")[weeks.split]
    assert f"{weeks.split} (" in command("explain", name.split()[0]).refused()
    assert command("explain", " ").code == 2
    assert command("explain").code == 2


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"ALPACA_API_KEY": ""}, "ALPACA_API_KEY is not set"),
        ({"ALPACA_TRADING_URL": "http://127.0.0.1:9"}, "no answer"),
    ],
)
def test_without_the_broker_all_else_is_told_and_what_it_would_tell_is_not_known(
    weeks: Weeks, command: Command, tmp_path: Path, variables: dict[str, str], why: str
) -> None:
    asked = explained(weeks, command, tmp_path, weeks.split)
    away = explained(weeks, command, tmp_path, weeks.split, **variables)
    assert why in away["at_broker"]["unknown"]
    assert (away["at_broker"]["held"], away["at_broker"]["account"]) == (None, asked["at_broker"]["account"])
    assert away["why"][0].startswith("whether it is held now is not known, for the broker could not be asked: ")
    assert away["why"][1].startswith(f"when the week of {SECOND} was reported (")
    told = {*asked} - {"at", "looked_at", "at_broker", "why"}
    assert {name: away[name] for name in told} == {name: asked[name] for name in told}


def test_holdings_are_the_brokers_to_tell(weeks: Weeks, command: Command) -> None:
    assert "ALPACA_API_KEY is not set" in command("holdings", ALPACA_API_KEY="").refused()


def test_a_halt_is_among_the_reasons(weeks: Weeks, command: Command, tmp_path: Path) -> None:
    store, now = weeks.platform.store, weeks.platform.store.history("portfolio_report", limit=1)[0].as_of
    store.halt("a look at the books", by="ann", at=now)
    try:
        why = explained(weeks, command, tmp_path, weeks.split)["why"]
    finally:
        store.resume("all is well", by="ann", at=now)
    assert why[-1].startswith("trading is halted by ann since ")
    assert "a look at the books" in why[-1]


def test_before_there_is_a_universe_explain_says_what_to_run_first(command: Command, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/warehouse.db"
    assert command("migrate", TOKENOMICS_DATABASE_URL=url).code == 0
    assert "run universe_refresh first" in command("explain", "aapl").refused()
    assert "two weeks with targets are needed to compare" in command("changes").refused()


@pytest.mark.soak
def test_after_six_weeks_with_a_halted_one_each_answer_adds_up(command: Command, tmp_path: Path) -> None:
    """Two splits, a rename before and after the universe hears of it, a takeover, a halt, a holiday."""
    file = tmp_path / "out.json"
    with begun(tmp_path) as platform:
        weeks = first_week(platform)
        a_week(platform, SECOND)
        must_agree(weeks, command, tmp_path)

        third = "2026-08-24"
        at(platform, f"{third}T14:05:00")
        change_metrics(platform, weeks.sinks, BEST)
        platform.must_run("fundamentals_refresh", "score")
        now = platform.store.history("scores", limit=1)[0].as_of
        platform.store.halt("a look at the books", by="ann", at=now)
        assert not platform.run("rebalance", week=third).success
        stand(platform, f"{third}T15:00:00")
        must_agree(weeks, command, tmp_path)
        why = explained(weeks, command, tmp_path, weeks.sinks)["why"]
        assert why[0].startswith(f"it is not held, although it is a target of 12.00% in the week of {third}")
        assert why[1].endswith("; it has not been carried out yet")
        assert why[-1].startswith("trading is halted by ann")
        platform.store.resume("all is well", by="ann", at=now)

        at(platform, "2026-08-28T12:00:00")
        platform.must_run("universe_refresh")
        held = [one["symbol"] for one in weeks.ask(command, file, "holdings")["held"]]
        gone, merged = [one for one in held if one not in {weeks.split, "RENAMED", weeks.rises}][-2:]
        act(platform, "merger", gone, cash_rate="31.50")
        act(platform, "split", merged, new_rate=1, old_rate=5)
        at(platform, "2026-08-31T14:05:00")
        platform.run("fundamentals_refresh")  # of what was taken over nobody tells anything
        platform.must_run("score")
        platform.must_run("rebalance", week="2026-08-31")
        stand(platform, "2026-08-31T15:00:00")
        must_agree(weeks, command, tmp_path)
        assert explained(weeks, command, tmp_path, weeks.renamed)["symbol"] == "RENAMED"
        [sinks] = [one for one in weeks.ask(command, file, "holdings")["held"] if one["symbol"] == weeks.sinks]
        assert sinks["target_weight"] > 0.1

        at(platform, "2026-09-03T12:00:00")
        platform.must_run("universe_refresh")
        a_week(platform, "2026-09-07", "2026-09-08")
        must_agree(weeks, command, tmp_path)
        retired = explained(weeks, command, tmp_path, gone)
        assert (retired["universe"]["followed"], retired["at_broker"]["held"]) == (False, None)
        assert retired["universe"]["last_in"].startswith("2026-08-28")
        assert retired["would_change"][0].startswith("it must be followed first: ")
        went = {
            one["symbol"]: one["why"] for one in weeks.ask(command, file, "changes", third, "2026-09-07")["went_out"]
        }
        assert went[gone]["kind"] == "not in the universe"

        a_week(platform, "2026-09-14")
        must_agree(weeks, command, tmp_path)
        found = weeks.ask(command, file, "changes")
        assert (found["before"], found["after"]) == ("2026-09-07", "2026-09-14")


def must_agree(weeks: Weeks, command: Command, tmp_path: Path) -> None:
    """Holdings with the broker's books, and with them what is explained of each that is held."""
    found = weeks.ask(command, tmp_path / "holdings.json", "holdings")
    must_add_up(weeks.platform, found)
    for one in found["held"]:
        told = explained(weeks, command, tmp_path, one["symbol"])
        assert told["at_broker"]["held"] == one
        assert told["symbol"] == one["symbol"]
        assert (told["target"]["weight"] > 0) == (one["target_weight"] > 0)
    moves = weeks.ask(command, tmp_path / "changes.json", "changes")
    for move in moves["scores"]:
        points = sum(figure["points"] for figure in move["figures"]) + move["rules"] + move["together"]
        assert points == pytest.approx(move["after"] - move["before"])
