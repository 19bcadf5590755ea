"""The pure parts of execution: order states, quotes, guards, reconciliation. Each rule has a case on both sides."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.execution import guards, quotes, states
from tokenomics_dagster.execution.reconciliation import reconcile
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.model.trading import Account, Holdings, MarketClock, Position, Snapshot
from tokenomics_dagster.portfolio.quotes import reason_against
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import FillRow

NOW = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
SETTINGS_FILE = Path(__file__).resolve().parents[2] / "config/settings.yaml"


@pytest.fixture
def settings(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return load_settings(SETTINGS_FILE)


def changed(**overrides):
    return load_settings(SETTINGS_FILE, {key.replace("__", "."): value for key, value in overrides.items()})


def account(**changes):
    values = {
        "number": "PA1",
        "status": "ACTIVE",
        "cash": Decimal(100_000),
        "equity": Decimal(100_000),
        "last_equity": Decimal(100_000),
        "currency": "USD",
        "trading_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
    }
    return Account(**{**values, **changes})


def buy(symbol="NVDA", notional="1000", price="200"):
    return PlannedOrder(symbol, "buy", None, Decimal(notional), Decimal(price))


def sell(symbol="MSFT", qty="5", price="400", whole=False):
    return PlannedOrder(symbol, "sell", Decimal(qty), None, Decimal(price), whole)


def plan(*orders, **changes):
    values = {
        "week": date(2026, 8, 24),
        "created_at": NOW,
        "account": "PA1",
        "equity": Decimal(100_000),
        "cash": Decimal(100_000),
        "scores_as_of": NOW - timedelta(days=2),
        "positions": {},
        "inputs_hash": "x",
        "orders": orders or (buy(),),
    }
    return Plan(**{**values, **changes}).sealed()


def snapshot(**changes):
    values = {
        "symbol": "NVDA",
        "price": Decimal(200),
        "price_at": NOW,
        "bid": Decimal("199.95"),
        "ask": Decimal("200.05"),
        "quote_at": NOW,
        "close": Decimal(200),
        "volume": Decimal(1000),
        "previous_close": Decimal(198),
        "previous_volume": Decimal(5000),
    }
    return Snapshot(**{**values, **changes})


# --- states -----------------------------------------------------------------------------------------------------------


def test_what_is_final_never_changes():
    for final in states.CLOSED:
        for other in states.TRANSITIONS:
            if other != final:
                with pytest.raises(states.IllegalTransition, match=final):
                    states.check_transition("id", final, other, Decimal(0), Decimal(0))


@pytest.mark.parametrize("word", [states.REFUSED, states.WRITTEN_OFF])
def test_an_order_that_the_broker_was_said_not_to_have_may_be_shown_by_it_and_is_nothing_else(word):
    for other in states.TRANSITIONS.keys() - {word}:
        if other in states.OPEN | states.CLOSED:
            states.check_transition("id", word, other, Decimal(0), Decimal(1))
        else:
            with pytest.raises(states.IllegalTransition, match=word):
                states.check_transition("id", word, other, Decimal(0), Decimal(0))


@given(st.sampled_from(sorted(states.OPEN)), st.sampled_from(sorted(states.OPEN | states.CLOSED)))
def test_an_open_order_may_become_whatever_the_broker_says(old, new):
    states.check_transition("id", old, new, Decimal(1), Decimal(2))


def test_a_new_word_of_the_broker_counts_as_open():
    states.check_transition("id", states.INTENDED, "quantum_pending", Decimal(0), Decimal(0))
    states.check_transition("id", "quantum_pending", "filled", Decimal(0), Decimal(1))
    assert "quantum_pending" not in states.FINAL
    with pytest.raises(states.IllegalTransition):
        states.check_transition("id", "filled", "quantum_pending", Decimal(1), Decimal(1))


def test_filled_shares_never_shrink_and_stand_still_once_final():
    with pytest.raises(states.IllegalTransition, match="had 2"):
        states.check_transition("id", "partially_filled", "canceled", Decimal(2), Decimal(1))
    with pytest.raises(states.IllegalTransition):
        states.check_transition("id", "filled", "filled", Decimal(2), Decimal(3))
    assert issubclass(states.IllegalTransition, UserError), "its sentence goes to people"


# --- quotes -----------------------------------------------------------------------------------------------------------


def test_nothing_speaks_against_a_good_quote(settings):
    assert reason_against(snapshot(), NOW, settings.guards) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bid": None}, "one side"),
        ({"ask": None}, "one side"),
        ({"quote_at": NOW - timedelta(seconds=901)}, "too old: 901 s"),
        ({"bid": Decimal("200.10")}, "crossed"),
        ({"bid": Decimal(197)}, "spread too wide: 154 bps"),
        ({"previous_close": None}, "no previous close"),
        ({"previous_close": Decimal(150)}, "33.3 %"),
    ],
)
def test_each_reason_against_a_quote_is_named_with_its_figure(settings, changes, words):
    assert words in str(reason_against(snapshot(**changes), NOW, settings.guards))


def test_an_absent_quote_is_a_reason_against_it(settings):
    assert reason_against(None, NOW, settings.guards) == "no quote"


@pytest.mark.parametrize(
    ("side", "bid", "ask", "collar", "price"),
    [
        ("buy", "199.95", "200.05", 20, "200.46"),  # 200.4501 up to the cent
        ("sell", "199.95", "200.05", 20, "199.55"),  # 199.5501 down to the cent
        ("buy", "0.5000", "0.5001", 20, "0.5012"),
        ("sell", "10.00", "10.01", 0, "10.00"),
        ("sell", "0.0001", "0.0002", 20, "0.0001"),  # 0.00009980 down to the tick would be nothing
        ("buy", "0.9995", "0.9999", 20, "1.01"),  # no sub-penny price from 1 USD on
        ("sell", "1.0000", "1.0100", 20, "0.9980"),
    ],
)
def test_limit_prices_are_collared_and_on_the_tick(side, bid, ask, collar, price):
    found = quotes.limit_price(side, snapshot(bid=Decimal(bid), ask=Decimal(ask)), collar)
    assert found == Decimal(price)


# --- guards -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "ACCOUNT_UPDATED"}, "ACCOUNT_UPDATED"),
        ({"trading_blocked": True}, "trading_blocked"),
        ({"account_blocked": True}, "account_blocked"),
        ({"trade_suspended_by_user": True}, "trade_suspended_by_user"),
        ({"currency": "EUR"}, "EUR"),
    ],
)
def test_an_account_that_may_not_trade_is_refused(settings, changes, words):
    guards.check_account(account(), settings)
    with pytest.raises(guards.Refused, match=words):
        guards.check_account(account(**changes), settings)


@pytest.mark.parametrize(
    ("url", "key", "number", "passes"),
    [
        ("https://api.alpaca.markets", "AKLIVE", "PA1", True),
        ("https://paper-api.alpaca.markets", "AKLIVE", "PA1", False),
        ("https://api.alpaca.markets", "PKPAPER", "PA1", False),
        ("https://api.alpaca.markets", "AKLIVE", "PA2", False),
        ("https://api.alpaca.markets", "AKLIVE", "", False),
        ("https://api.alpaca.markets", "", "PA1", False),
    ],
)
def test_live_trading_needs_all_four_facts(monkeypatch, tmp_path, url, key, number, passes):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALPACA_TRADING_URL", url)
    monkeypatch.setenv("ALPACA_API_KEY", key)
    monkeypatch.setenv("TOKENOMICS_LIVE_ACCOUNT", number)
    settings = changed(trading__paper=False)
    if passes:
        guards.check_account(account(), settings)
    else:
        with pytest.raises(guards.Refused):
            guards.check_account(account(), settings)


def test_losses_over_their_limits_halt(settings):
    guards.check_losses(account(equity=Decimal(92_001)), Decimal(100_000), settings.guards)
    with pytest.raises(guards.MustHalt, match="max_daily_loss_pct"):
        guards.check_losses(account(equity=Decimal(91_999)), None, settings.guards)
    low = account(equity=Decimal(69_000), last_equity=Decimal(70_000))
    with pytest.raises(guards.MustHalt, match="max_drawdown_pct"):
        guards.check_losses(low, Decimal(100_000), settings.guards)
    guards.check_losses(low, Decimal(98_000), settings.guards)


def test_who_resumes_accepts_the_loss_until_then(settings):
    fallen = account(equity=Decimal(80_000))
    with pytest.raises(guards.MustHalt):
        guards.check_losses(fallen, Decimal(80_000), settings.guards)
    guards.check_losses(fallen, Decimal(80_000), settings.guards, resumed_today=True)
    with pytest.raises(guards.MustHalt, match="max_daily_loss_pct"):
        guards.check_losses(fallen, Decimal(90_000), settings.guards, resumed_today=True)


def clock(now=NOW, is_open=True):
    close = datetime(2026, 8, 24, 20, 0, tzinfo=UTC)
    return MarketClock(now, is_open, datetime(2026, 8, 25, 13, 30, tzinfo=UTC), close)


def test_market_must_be_open_by_clock_and_calendar_with_time_left(settings):
    guards.check_market(clock(), settings)
    with pytest.raises(guards.Refused, match="calendar says the opposite"):
        guards.check_market(clock(is_open=False), settings)
    with pytest.raises(guards.Refused, match="market is closed"):
        guards.check_market(clock(datetime(2026, 8, 24, 20, 0, tzinfo=UTC), is_open=False), settings)
    guards.check_market(clock(datetime(2026, 8, 24, 19, 45, tzinfo=UTC)), settings)
    with pytest.raises(guards.Refused, match="14 minutes are left"):
        guards.check_market(clock(datetime(2026, 8, 24, 19, 46, tzinfo=UTC)), settings)


@pytest.mark.parametrize(
    ("judged", "quoted_s_ago", "always", "until"),
    [
        ("14:05", 0, False, "14:20"),  # guards.max_quote_age_s
        ("14:05", 600, False, "14:10"),
        ("19:40", 0, False, "19:45"),  # guards.min_minutes_to_close
        ("19:40", 0, True, "19:55"),
    ],
)
def test_an_order_may_go_out_while_its_quote_is_young_and_enough_of_the_session_is_left(
    settings, judged, quoted_s_ago, always, until
):
    trading = settings.trading.model_copy(update={"market_hours_only": not always})
    now = datetime.fromisoformat(f"2026-08-24T{judged}Z")
    quote = snapshot(quote_at=now - timedelta(seconds=quoted_s_ago))
    found = guards.sendable_until(quote, now, settings.model_copy(update={"trading": trading}))
    assert f"{found:%H:%M}" == until


@pytest.mark.parametrize(
    ("change", "now", "words"),
    [
        ({"account": "PA2"}, NOW, "made for account PA2"),
        ({"week": date(2026, 8, 17)}, NOW, "2026-08-17"),
        ({}, NOW + timedelta(minutes=31), "31 minutes ago"),
        ({}, NOW - timedelta(seconds=2), "by the broker's clock, which went back"),
        ({"scores_as_of": NOW - timedelta(days=9)}, NOW, "9.0 days old"),
        ({"created_at": NOW - timedelta(days=1)}, NOW + timedelta(days=0), "another day"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(settings, change, now, words):
    guards.check_plan(plan(), account(), NOW, settings, None)
    made = plan(**change)
    with pytest.raises(guards.Refused, match=words):
        guards.check_plan(made, account(), now, settings, None)


def test_a_plan_that_was_changed_is_refused(settings):
    tampered = replace(plan(), orders=(buy(notional="999999"),))
    with pytest.raises(guards.Refused, match="was changed"):
        guards.check_plan(tampered, account(), NOW, settings, None)


def test_an_approval_starts_the_plan_s_age_anew(settings):
    later = NOW + timedelta(minutes=50)
    with pytest.raises(guards.Refused):
        guards.check_plan(plan(), account(), later, settings, None)
    guards.check_plan(plan(), account(), later, settings, later - timedelta(minutes=5))


@pytest.mark.parametrize(
    ("orders", "overrides", "words"),
    [
        ((buy(notional="61000"), sell(qty="160")), {}, "turnover is 62.5 %"),
        ((sell(qty="101"),), {}, "equity sold is 40.4 %"),
        (tuple(sell(f"S{n}", "1", "1", True) for n in range(41)), {}, "41 names"),
        ((buy(),), {"trading__approval": "manual"}, "trading.approval is manual"),
    ],
)
def test_a_plan_over_a_limit_waits_for_a_person(monkeypatch, tmp_path, orders, overrides, words):
    monkeypatch.chdir(tmp_path)
    settings = changed(**overrides)
    with pytest.raises(guards.Refused, match="tokenomics approve") as refusal:
        guards.check_plan(plan(*orders), account(), NOW, settings, None)
    assert words in str(refusal.value)
    guards.check_plan(plan(*orders), account(), NOW, settings, NOW)


def test_a_first_portfolio_bought_from_cash_needs_no_approval(settings):
    assert guards.reasons_to_wait(plan(buy(notional="99750")), settings) == []


# --- reconciliation ---------------------------------------------------------------------------------------------------


def fill(symbol, side, qty, price, order="b1"):
    return FillRow(f"{symbol}{qty}", order, None, "PA1", symbol, side, Decimal(qty), Decimal(price), NOW)


def position(symbol, qty):
    return Position(symbol, Decimal(qty), Decimal(qty), Decimal(1), Decimal(qty), Decimal(1), "long")


def test_books_agree_when_fills_explain_positions_and_cash(settings):
    made = plan(positions={"MSFT": Decimal(5)})
    fills = [fill("MSFT", "sell", "5", "400"), fill("NVDA", "buy", "2.5", "200")]
    result = reconcile(
        made, fills, [], Holdings({"NVDA": position("NVDA", "2.5")}), Decimal(100_000) + 2000 - 500, settings.guards
    )
    assert result.discrepancies == []
    assert result.cash_expected == Decimal("101500.00")


def test_each_disagreement_is_named(settings):
    made = plan(positions={"MSFT": Decimal(5)})
    held = {"MSFT": position("MSFT", "4"), "TSLA": position("TSLA", "1")}
    result = reconcile(made, [], [], Holdings(held), Decimal(99_000), settings.guards)
    assert [one.split(":")[0] for one in result.discrepancies[:2]] == ["MSFT", "TSLA"]
    assert "cash is 99,000.00 USD, fills and other activities make 100,000.00" in result.discrepancies[2]
