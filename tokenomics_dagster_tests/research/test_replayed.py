"""The live rebalance on history: where no guard speaks it holds what the fast engine does; else it says which."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from tokenomics_dagster.model import calendar
from tokenomics_dagster.research.backtest import REPLAYED, study
from tokenomics_dagster.research.engine import simulate
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.panel import Panel
from tokenomics_dagster.research.replayed import LEFT_OUT, NOT_FILLED, REFUSED, SHORT, SKIPPED, replay
from tokenomics_dagster.research.runs import Decisions, Run
from tokenomics_dagster.research.simulated import Answer, ReplayedClock
from tokenomics_dagster.research.study import rules_of
from tokenomics_dagster.settings import Settings
from tokenomics_dagster_tests.research.markets import decided, returns_of
from tokenomics_dagster_tests.research.small_market import SETTINGS, experiment

pytestmark = pytest.mark.usefixtures("as_python")

SESSIONS = calendar.session_days(date(2024, 1, 2), date(2024, 12, 31))
RULES = {"max_position_pct": 100, "rebalance_threshold_pct": 20, "min_trade_usd": 100, "cash_buffer_pct": 0.25}


def quiet_market(seed: int = 1, sessions: int = 45, names: int = 8, **grids: Any) -> Panel:
    """Real sessions, prices in cents that move by a percent or so a day, and opens beside the closes."""
    random = np.random.default_rng(seed)
    shape = sessions, names
    price = np.round(random.uniform(20, 200, names) * np.cumprod(1 + random.normal(0, 0.006, shape), axis=0), 2)
    given: dict[str, Any] = {
        "dates": np.array(SESSIONS[:sessions], dtype="datetime64[D]"),
        "symbols": tuple(f"N{number:02}" for number in range(names)),
        "price": price,
        "returns": returns_of(price),
        "market_cap": price * 1e3,
        "volume": np.full(shape, 1e6),
        "open": np.round(price * (1 + random.normal(0, 0.002, shape)), 2),
    }
    return Panel(**(given | grids))


def weekly(panel: Panel, seed: int = 1, held: int = 5, together: float = 1.0) -> Decisions:
    """One name is replaced each time: what is sold stays under guards.max_sold_pct."""
    random, names, wanted = np.random.default_rng(seed), list(panel.symbols[:held]), {}
    for t in range(0, len(panel.dates), 5):
        others = [symbol for symbol in panel.symbols if symbol not in names]
        if t and others:
            names[random.integers(held)] = str(random.choice(others))
        wanted[t] = dict.fromkeys(names, together / held)
    return decided(panel, wanted)


def asking(fill: str = "close", shares: str = "whole", **values: Any) -> Experiment:
    rules = RULES | values.pop("rebalancing", {})
    return experiment(engine="replayed", fill=fill, shares=shares, rebalancing=rules, **values)


def guarded(settings: Settings = SETTINGS, **limits: float) -> Settings:
    return settings.model_copy(update={"guards": settings.guards.model_copy(update=limits)})


def fast(panel: Panel, decisions: Decisions, asked: Experiment) -> Run:
    return simulate(panel, decisions, rules_of(asked, asked.rules(SETTINGS.rebalancing)))


def shares_after(panel: Panel, run: Run) -> np.ndarray:
    """(T, N), held after each session, from the trades and the splits."""
    held, now = np.zeros(panel.price.shape), np.zeros(len(panel.symbols))
    for t in range(len(panel.dates)):
        if panel.split is not None:
            now = np.floor(now * panel.split[t] * (1 + 1e-9))
        rows = run.fills.sessions == t
        np.add.at(now, run.fills.names[rows], run.fills.shares[rows])
        held[t] = now
    return held


def told(run: Run, kind: str) -> list[str]:
    """The sentences of a kind among the warnings."""
    heads = [at for at, line in enumerate(run.warnings) if not line[0].isdigit()]
    for head in heads:
        if run.warnings[head].lower().startswith(kind):
            return list(run.warnings[head + 1 : min([at for at in heads if at > head], default=None)])
    return []


def assert_alike(panel: Panel, slow: Run, quick: Run) -> None:
    assert len(slow.fills.shares) > 0
    np.testing.assert_array_equal(shares_after(panel, slow), shares_after(panel, quick))
    np.testing.assert_allclose(slow.equity, quick.equity, rtol=1e-9)
    np.testing.assert_allclose(slow.cash, quick.cash, atol=1e-4)
    np.testing.assert_allclose(slow.profit, quick.profit, atol=1e-4)
    np.testing.assert_allclose(slow.costs, quick.costs, atol=1e-6)
    np.testing.assert_array_equal(slow.held, quick.held)
    assert slow.profit.sum() + slow.interest == pytest.approx(slow.equity[-1] - slow.capital, abs=1e-4)


@pytest.mark.soak
def test_whole_shares_at_the_close_are_the_fast_engines_after_each_decision() -> None:
    """With 5 bps a side, so that cash is short and the last buy is cut: by the same rule in both."""
    panel = quiet_market()
    decisions, asked = weekly(panel), asking()
    slow = replay(panel, decisions, asked, SETTINGS)
    assert_alike(panel, slow, fast(panel, decisions, asked))
    assert told(slow, REFUSED) == []


@pytest.mark.parametrize("fill", ["next_open", "next_close"])
def test_whole_shares_at_the_next_price_are_the_fast_engines_where_cash_is_not_short(fill: str) -> None:
    panel = quiet_market(2, sessions=30)
    decisions, asked = weekly(panel, together=0.95), asking(fill)
    slow = replay(panel, decisions, asked, SETTINGS)
    assert_alike(panel, slow, fast(panel, decisions, asked))
    assert slow.warnings == ()


def test_fractional_shares_are_the_fast_engines_to_the_cents_that_orders_are_written_in() -> None:
    """A buy is sent in whole cents, rounded down, and its shares in nine decimals: at most two cents a name."""
    panel = quiet_market(3, sessions=30)
    decisions, asked = weekly(panel), asking(shares="fractional", costs={"half_spread_bps": 0})
    slow, quick = replay(panel, decisions, asked, SETTINGS), fast(panel, decisions, asked)
    off = np.abs(shares_after(panel, slow) - shares_after(panel, quick)) * panel.price
    assert off.max() < 0.02
    assert np.abs(slow.equity - quick.equity).max() < 0.02
    assert told(slow, REFUSED) + told(slow, SKIPPED) == []


def test_splits_dividends_interest_and_fees_reach_the_live_account_as_the_fast_one() -> None:
    panel = quiet_market(4, sessions=30)
    split, dividend = np.ones(panel.price.shape), np.zeros(panel.price.shape)
    split[8, 0], dividend[12, 1] = 2.0, 0.5
    panel = replace(panel, price=panel.price / np.cumprod(split, axis=0), open=None, split=split, dividend=dividend)
    decisions = decided(panel, {t: dict.fromkeys(panel.symbols[:6], 0.15) for t in range(0, 30, 5)})
    asked = asking(costs={"half_spread_bps": 5, "fee_usd": 1}, interest_pct=4)
    slow = replay(panel, decisions, asked, SETTINGS)
    assert_alike(panel, slow, fast(panel, decisions, asked))
    assert slow.interest > 0


def test_a_name_that_is_gone_is_paid_out_with_its_haircut_as_in_the_fast_engine() -> None:
    panel = quiet_market(5, sessions=20)
    panel.price[12:, 0] = np.nan
    decisions = decided(panel, {0: dict.fromkeys(panel.symbols[:6], 0.15), 15: dict.fromkeys(panel.symbols[1:6], 0.15)})
    asked = asking(haircut_pct=55)
    slow = replay(panel, decisions, asked, SETTINGS)
    assert_alike(panel, slow, fast(panel, decisions, asked))
    assert slow.final_shares[0] == 0


def test_what_a_person_would_have_to_approve_is_not_traded_and_told() -> None:
    """The second decision sells everything held for others: 100 % of equity, guards.max_sold_pct is 40."""
    panel = quiet_market(6, sessions=12)
    first, second = dict.fromkeys(panel.symbols[:4], 0.2), dict.fromkeys(panel.symbols[4:], 0.2)
    slow = replay(panel, decided(panel, {0: first, 5: second, 10: first}), asking(), SETTINGS)
    assert set(slow.fills.sessions.tolist()) == {0}
    (sentence,) = told(slow, REFUSED)
    assert sentence.startswith("2024-01-09: plan fundamentals-2024-01-08-")
    assert "guards.max_sold_pct is 40: look at it and say `tokenomics approve" in sentence
    wide = guarded(max_sold_pct=100, max_turnover_pct=200)
    assert told(replay(panel, decided(panel, {0: first, 5: second}), asking(), wide), REFUSED) == []


def test_a_loss_over_the_limit_halts_all_that_comes_after() -> None:
    panel = quiet_market(7, sessions=16)
    price = panel.price.copy()
    price[5:] *= 0.85  # all of them on one day, and by less than guards.max_price_move_pct
    panel = replace(panel, price=price, returns=returns_of(price))
    names = [dict.fromkeys(panel.symbols[at : at + 5], 0.2) for at in range(3)]
    slow = replay(panel, decided(panel, {0: names[0], 5: names[1], 10: names[2]}), asking(), SETTINGS)
    assert set(slow.fills.sessions.tolist()) == {0}
    loss, halted = told(slow, REFUSED)
    assert "guards.max_daily_loss_pct is 8: all trading is halted until `tokenomics resume`" in loss
    assert "2024-01-17: trading is halted since 2024-01-09" in halted


def test_a_halted_name_is_left_alone_told_and_bought_when_it_trades_again() -> None:
    panel = quiet_market(8, sessions=12)
    halted = np.zeros(panel.price.shape, dtype=np.bool_)
    halted[0, 2] = True
    panel = replace(panel, halted=halted)
    wanted = dict.fromkeys(panel.symbols[:5], 0.15)
    decisions, asked = decided(panel, {0: wanted, 5: wanted}), asking()
    slow = replay(panel, decisions, asked, SETTINGS)
    assert_alike(panel, slow, fast(panel, decisions, asked))
    assert told(slow, LEFT_OUT) == ["2024-01-02: buy N02: no price"]
    assert slow.fills.sessions[slow.fills.names == 2].tolist() == [5]


def test_a_plan_that_its_own_checks_refuse_is_not_carried_out() -> None:
    """Five of six names are without a price: guards.max_unpriced_pct is 5."""
    panel = quiet_market(16, sessions=3)
    halted = np.zeros(panel.price.shape, dtype=np.bool_)
    halted[0, :5] = True
    wanted = decided(panel, {0: dict.fromkeys(panel.symbols[:6], 0.15)})
    slow = replay(replace(panel, halted=halted), wanted, asking(), SETTINGS)
    assert len(slow.fills.shares) == 0
    (sentence,) = told(slow, REFUSED)
    assert sentence.startswith(
        "2024-01-02: 5 of 6 names have no price younger than 900 s, guards.max_unpriced_pct is 5"
    )


def once(day: date, symbol: str, answer: Answer) -> Callable[[date, str, str], Answer]:
    return lambda on, name, side: answer if (on, name) == (day, symbol) else Answer()


@pytest.mark.parametrize(("part", "filled"), [(0.5, 0.5), (0.0, 0.0)])
def test_what_is_not_filled_is_cancelled_told_and_bought_by_the_next_decision(part: float, filled: float) -> None:
    """Nothing filled at all is a halt that began after the quote."""
    panel = quiet_market(9, sessions=12)
    wanted = dict.fromkeys(panel.symbols[:5], 0.15)
    decisions, asked = decided(panel, {0: wanted, 5: wanted}), asking()
    slow = replay(panel, decisions, asked, SETTINGS, answering=once(SESSIONS[0], "N03", Answer(filled=part)))
    quick = fast(panel, decisions, asked)
    bought = shares_after(panel, slow)[[0, 5], 3]
    assert bought[0] == np.floor(shares_after(panel, quick)[0, 3] * filled)
    assert bought[1] == pytest.approx(150_000 * 0.9975 / panel.price[5, 3], rel=0.02)
    (sentence,) = told(slow, NOT_FILLED)
    assert sentence == f"2024-01-02: buy N03: {bought[0]:g} shares filled"


def test_an_order_that_the_broker_refuses_is_told_with_its_words() -> None:
    panel = quiet_market(10, sessions=3)
    wanted = decided(panel, {0: dict.fromkeys(panel.symbols[:5], 0.15)})
    refusing = once(SESSIONS[0], "N01", Answer(refused="asset N01 is not active"))
    slow = replay(panel, wanted, asking(), SETTINGS, answering=refusing)
    assert shares_after(panel, slow)[-1, 1] == 0
    assert any("N01" in line and "asset N01 is not active" in line for line in told(slow, SKIPPED))


def test_a_limit_order_is_not_filled_at_an_impact_beyond_its_collar() -> None:
    """150,000 of 1 million USD a day at 1 % volatility and Y = 5: some 1.5 %, and the collar is 20 bps."""
    panel = quiet_market(11, sessions=12)
    panel = replace(panel, volume=1e6 / panel.price)
    decisions = decided(panel, {8: dict.fromkeys(panel.symbols[:5], 0.15)})
    asked = asking(costs={"half_spread_bps": 5, "impact": 5})
    limits = SETTINGS.model_copy(update={"trading": SETTINGS.trading.model_copy(update={"order_type": "limit"})})
    assert len(replay(panel, decisions, asked, SETTINGS).fills.shares) == 5
    slow = replay(panel, decisions, asked, limits)
    assert slow.equity[-1] == slow.capital
    assert len(told(slow, NOT_FILLED)) == 5


def test_an_order_fills_no_more_than_its_part_of_the_sessions_volume_and_nothing_where_that_is_unknown() -> None:
    panel = quiet_market(12, sessions=3)
    volume = np.full(panel.price.shape, 1e6)
    volume[0, :2] = 5_000, np.nan
    panel = replace(panel, volume=volume)
    wanted = decided(panel, {0: dict.fromkeys(panel.symbols[:5], 0.15)})
    slow = replay(panel, wanted, asking(max_volume_pct=10), SETTINGS)
    assert shares_after(panel, slow)[0, :2].tolist() == [500, 0]
    assert (shares_after(panel, slow)[0, 2:5] > 500).all()


def test_a_part_of_the_volume_is_asked_of_the_replayed_engine_alone() -> None:
    with pytest.raises(ValueError, match="max_volume_pct = 10 is for engine: replayed"):
        experiment(max_volume_pct=10)


def test_nothing_to_hold_never_sells_everything() -> None:
    panel = quiet_market(13, sessions=8)
    slow = replay(panel, decided(panel, {0: {"N00": 0.5}, 5: {}}), asking(), SETTINGS)
    assert slow.final_shares[0] > 0
    assert told(slow, REFUSED) == ["2024-01-09: nothing is to be held, and the live room never sells everything"]


def test_a_buy_that_the_plan_drops_for_want_of_cash_is_told() -> None:
    """N00 has grown to 64 % of equity, within its band around 60: N01 lacks its 40 %, and 36 are there."""
    price = np.array([[100.0, 100, 100], [100, 100, 100], [120, 100, 100], [120, 100, 100]])
    panel = quiet_market(sessions=4, names=3, price=price, returns=returns_of(price), open=None)
    decisions = decided(panel, {0: {"N00": 0.6}, 2: {"N00": 0.6, "N01": 0.4}})
    slow = replay(panel, decisions, asking(costs={"half_spread_bps": 0}), SETTINGS)
    assert_alike(panel, slow, fast(panel, decisions, asking(costs={"half_spread_bps": 0})))
    (sentence,) = told(slow, SHORT)
    assert sentence.startswith("2024-01-04: N01: cut from ")


def test_a_day_without_a_session_trades_nothing() -> None:
    panel = replace(quiet_market(14, sessions=3), dates=np.array(["2024-01-13", "2024-01-16", "2024-01-17"], "M8[D]"))
    slow = replay(panel, decided(panel, {0: {"N00": 0.5}}), asking(), SETTINGS)
    assert slow.equity.tolist() == [1e6] * 3
    assert told(slow, REFUSED) == ["2024-01-13: it is no session of the exchanges, so nothing is traded"]


def test_only_waiting_moves_the_clock() -> None:
    clock = ReplayedClock(datetime(2024, 1, 2, tzinfo=UTC))
    before = clock.now()
    assert (clock.now(), clock.monotonic()) == (before, 0.0)
    clock.wait_until(datetime(2024, 1, 2, 1, tzinfo=UTC))
    clock.wait_until(before)
    assert clock.monotonic() == (clock.now() - before).total_seconds() == 3600


def test_an_experiment_asks_for_it_by_its_engine_and_its_result_says_so() -> None:
    panel, lines = quiet_market(15, sessions=24), list[str]()
    asked = asking(universe_size=8, top_n=5, first=SESSIONS[2])
    slow = study(panel, None, asked, SETTINGS, portfolios=0, say=lines.append)
    quick = study(panel, None, asked.model_copy(update={"engine": "fast"}), SETTINGS, portfolios=0)
    np.testing.assert_allclose(slow.run.equity, quick.run.equity, rtol=1e-9)
    assert REPLAYED in slow.warnings
    assert REPLAYED not in quick.warnings
    assert slow.rules_hash != quick.rules_hash
    assert any(line.startswith("decisions: 0 of") for line in lines)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_a_year_of_weekly_decisions_is_the_fast_engines(seed: int) -> None:
    panel = quiet_market(100 + seed, sessions=len(SESSIONS), names=20)
    decisions, asked = weekly(panel, seed, held=10), asking()
    assert_alike(panel, replay(panel, decisions, asked, SETTINGS), fast(panel, decisions, asked))
