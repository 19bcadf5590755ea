"""The decision in floats against the same rule in exact decimals: alike but within 1e-9 of a boundary, and what is
traded there; and that what a plan asks for is never more than there is."""

from decimal import ROUND_CEILING, ROUND_DOWN, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tokenomics_dagster.model.plan import FRACTION, SHARE
from tokenomics_dagster.portfolio import kernel
from tokenomics_dagster.portfolio.trades import EXACT, Money, Names, plan_trades
from tokenomics_dagster_tests.portfolio.test_trades import rules, targets

D = Decimal
NEAR = D("1.01e-9")
JUST = [D(0), D("1e-12"), D("-1e-12"), D("9e-10"), D("-9e-10"), D("2e-9"), D("-2e-9"), D("1e-4"), D("-1e-4")]


def decide(
    target: D, price: D, shares: D, free: D, fractional: bool, threshold: D, minimum: D
) -> tuple[int, Decimal | None]:
    """The rule in exact decimals: what is decided, and the shares, above zero to buy; 9 decimals at most are sold."""
    step = FRACTION if fractional else SHARE
    if target == 0:
        return sell(shares.quantize(step), free.quantize(step), price, D(0))
    drift = target - shares * price
    size = abs(drift)
    if size < threshold * target:
        return kernel.DRIFT, None
    if size < minimum:
        return kernel.MINIMUM, None
    wanted = size / price if fractional else (size / price).quantize(SHARE)
    if not wanted:
        return kernel.UNDER_A_SHARE, None
    if not fractional and wanted * price < minimum:
        return kernel.SMALL_SHARES, None
    if drift > 0:
        return kernel.TRADE, wanted
    return sell(wanted.quantize(step), free.quantize(step), price, minimum)


def sell(wanted: D, free: D, price: D, minimum: D) -> tuple[int, Decimal | None]:
    if not wanted:
        return kernel.NOTHING, None
    if wanted <= free:
        return kernel.TRADE, -wanted
    if free and free * price >= minimum:
        return kernel.CUT, -free
    return kernel.NOT_FREE, None


def just_under(figure: D, boundary: D) -> bool:
    """What stands at a boundary, or above it, is traded by both."""
    return boundary * (1 - NEAR) <= figure < boundary


def near_a_boundary(target: D, price: D, shares: D, free: D, fractional: bool, threshold: D, minimum: D) -> bool:
    """Whether a figure that decides lies within 1e-9 under its boundary, or is what the broker cannot trade: dust is
    dropped where amounts are made."""
    size = abs(target - shares * price)
    wanted = size / price if target else shares
    counts = [(size, threshold * target), (size, minimum), (free, wanted), (free * price, minimum)]
    if fractional:
        return any(just_under(*pair) for pair in counts) or 0 < wanted < FRACTION or 0 < wanted - free < FRACTION
    for one in (wanted, free):
        counts += [(one, one.to_integral_value(ROUND_CEILING)), (one.quantize(SHARE) * price, minimum)]
    return any(just_under(*pair) for pair in counts)


AMOUNTS = st.decimals(D("0.01"), D("200000"), places=2)
PRICES = st.decimals(D("0.01"), D("3000"), places=4)


@st.composite
def names(draw: st.DrawFn) -> tuple[D, D, D, D, bool, D, D]:
    """What `decide` is given; the drift often at, or just beside, a boundary. The broker's shares have 9 decimals."""
    price, fractional = draw(PRICES), draw(st.booleans())
    threshold, minimum = draw(st.sampled_from([D(0), D("0.05"), D("0.2")])), draw(st.sampled_from([D(1), D(100)]))
    shares = draw(st.one_of(st.decimals(D(0), D(2000), places=9), st.integers(0, 3000).map(D)))
    with localcontext(EXACT):
        beside, sign = 1 + draw(st.sampled_from(JUST)), draw(st.sampled_from([1, -1]))
        at_threshold = threshold / (1 - sign * threshold) * shares * price
        size = draw(st.sampled_from([at_threshold, minimum, 3 * price, draw(AMOUNTS)])) * beside
        target = max(draw(st.sampled_from([1, 1, 1, 0])) * (shares * price + sign * size), D(0))
        wanted = abs(target - shares * price) / price
        part = draw(st.sampled_from([shares, shares, D(0), shares / 2, wanted, minimum / price])) * beside
        free = min(part.quantize(FRACTION, draw(st.sampled_from([ROUND_DOWN, ROUND_CEILING]))), shares)
    return target, price, shares, free, fractional, threshold, minimum


@given(names())
@example((D(10000), D(10), D(800), D(800), True, D("0.2"), D(100)))
@example((D(500), D(10), D(40), D(40), True, D(0), D(100)))
def test_the_kernel_decides_as_exact_decimals_do_but_within_1e_9_of_a_boundary(name: tuple) -> None:
    with localcontext(EXACT):
        assume(not near_a_boundary(*name))
        code, shares = decide(*name)
    *amounts, fractional, threshold, minimum = name
    target, price, held, free = map(float, amounts)
    found = kernel.decide(target, price, held, free, fractional, float(threshold), float(minimum))
    assert found == (code, 0.0 if shares is None else pytest.approx(float(shares), rel=1e-9, abs=2e-9))


@given(names(), st.sampled_from([D("1e9"), D(1000), D("99.99"), D("100.00"), D(0), D(-5)]))
def test_a_plan_asks_for_what_exact_decimals_give_and_never_for_more_than_there_is(name: tuple, cash: D) -> None:
    target, price, shares, free, fractional, threshold, minimum = name
    equity = D(10_000_000)
    assume(target <= equity / 2)
    weights = {"A": float(target / equity)} if target else {"B": 0.5}
    with localcontext(EXACT):
        target = D(str(weights.get("A", 0.0))) * equity
        name = (target, price, shares, free, fractional, threshold, minimum)
        rule = rules(rebalance_threshold_pct=float(threshold * 100), min_trade_usd=float(minimum))
        known = Names({"A": (shares, free)}, {"A": price}, {"A": fractional})
        frame = plan_trades(targets(weights), known, Money(equity, cash), rule).frame.set_index("symbol")
        if "A" not in frame.index:
            assert not shares
            return
        row = frame.loc["A"]
        qty, notional = (D(one) if isinstance(one, str) else None for one in (row["qty"], row["notional"]))
        if row["side"] == "sell":
            assert qty is not None
            assert 0 < qty <= free.quantize(FRACTION if fractional else SHARE, ROUND_DOWN)
        elif row["side"] == "buy":
            amount = notional if notional is not None else (qty or D(0)) * price
            assert 0 < amount <= cash
            assert amount <= max(target - shares * price, minimum) * (1 + D("1e-8"))
        if near_a_boundary(*name):
            return
        code, decided = decide(*name)
        if code not in (kernel.TRADE, kernel.CUT):
            assert row["side"] == "none"
        elif decided is not None and decided < 0:
            assert (row["side"], qty) == ("sell", -decided)
            assert isinstance(row["reason"], str) == (code == kernel.CUT or (-decided != shares and target == 0))
        elif decided is not None and decided * price <= cash:
            exact = (target - shares * price).quantize(D("0.01")) if fractional else decided
            assert (row["side"], notional if fractional else qty) == ("buy", exact)


@given(st.data())
def test_what_cash_pays_is_decided_as_the_kernel_does_but_within_1e_9_of_a_boundary(data: st.DataObject) -> None:
    price, fractional = data.draw(PRICES), data.draw(st.booleans())
    wanted, minimum = data.draw(st.decimals(D(100), D(5000), places=2)), D(100)
    with localcontext(EXACT):
        cash = data.draw(st.sampled_from([wanted, minimum, price, data.draw(AMOUNTS)]))
        cash *= 1 + data.draw(st.sampled_from(JUST))
        shares = (wanted / price).quantize(SHARE)
        ceiling = (cash / price).to_integral_value(ROUND_CEILING)
        counts = [(cash, wanted), (cash, minimum), (cash / price, ceiling), (cash, shares * price)]
        counts += [((cash / price).quantize(SHARE) * price, minimum)]
        assume(not any(just_under(*pair) for pair in counts))
        # Exactly whole shares are paid in exact decimals; in floats one of them may be lacking.
        assume(fractional or cash / price != ceiling)
        assume(fractional or shares * price >= minimum)
        known = Names({}, {"A": price}, {"A": fractional})
        equity = wanted * 2
        found = plan_trades(targets({"A": 0.5}), known, Money(equity, cash), rules()).frame.set_index("symbol").loc["A"]
        notional, qty = (D(one) if isinstance(one, str) else D(0) for one in (found["notional"], found["qty"]))
        paid = notional or qty * price
    asked = float(wanted / price) if fractional else float(shares)
    decided = kernel.affordable(asked, float(price), float(price), float(cash), fractional, float(minimum))
    assert float(paid) == pytest.approx(decided * float(price), rel=1e-9, abs=0.01 if fractional else 1e-9)


def row(
    weight: float, *, equity: str, cash: str = "1e9", price: str = "10", held: str = "0", free: str = "", **of: Any
) -> tuple[str, str | None]:
    """(side, amount as text) of a plan of the one name A."""
    fractional = of.pop("fractional", True)
    known = Names({"A": (D(held), D(free or held))}, {"A": D(price)}, {"A": fractional})
    found = (
        plan_trades(targets({"A": weight}), known, Money(D(equity), D(cash)), rules(**of)).frame.iloc[0].astype(object)
    )
    amount = found["qty"] if isinstance(found["qty"], str) else found["notional"]
    return str(found["side"]), amount if isinstance(amount, str) else None


@pytest.mark.parametrize("off", ["0", "0.0000000001", "-0.0000000001"])
def test_a_drift_of_exactly_the_threshold_is_traded_and_so_is_one_within_1e_9_of_it(off: str) -> None:
    held = str(80 + D(off))
    assert row(0.1, equity="10000", held=held)[0] == "buy"
    assert row(0.1, equity="10000", held=str(120 - D(off)))[0] == "sell"
    assert row(0.1, equity="10000", held="80.000001")[0] == row(0.1, equity="10000", held="119.999999")[0] == "none"


def test_a_trade_of_exactly_the_minimum_is_made_and_one_within_1e_9_of_it_is_of_the_minimum() -> None:
    free: dict[str, Any] = {"rebalance_threshold_pct": 0.0}
    assert row(0.05, equity="10000", held="40", **free) == ("buy", "100.00")
    assert row(0.05, equity="10000", held="40.000000001", **free) == ("buy", "100.00")
    assert row(0.05, equity="10000", held="40.0001", **free) == ("none", None)
    assert row(0.05, equity="10000", held="60", **free) == ("sell", "10")
    assert row(0.05, equity="10000", held="59.9999", **free) == ("none", None)
    # 0.07 x 2,100 is 147.00000000000003 in floats, and 147 less 47 x 1 is the minimum
    assert row(0.07, equity="2100", held="47", price="1", **free) == ("buy", "100.00")


def test_exactly_a_whole_share_is_traded_and_so_is_one_that_lacks_1e_9_of_it() -> None:
    # 0.3 / 0.1 is 2.9999999999999996 in floats
    assert row(0.3, equity="1000", price="100", fractional=False) == ("buy", "3")
    assert row(0.3, equity="1000", price="100.00000005", fractional=False) == ("buy", "3")
    assert row(0.3, equity="1000", price="100.001", fractional=False) == ("buy", "2")
    assert kernel.whole(0.3 / 0.1) == 3


def test_what_the_kernel_takes_for_a_whole_share_is_neither_sold_nor_paid_where_it_is_not_there() -> None:
    lacking = "2.9999999999"
    assert row(0.5, equity="1000", held="8", free=lacking, price="100", fractional=False) == ("sell", "2")
    table = plan_trades(
        targets({"B": 0.5}),
        Names({"A": (D(lacking), D(lacking))}, {"A": D(100)}, {"A": False}),
        Money(D(1), D(1)),
        rules(),
    ).frame.set_index("symbol")
    assert (table.loc["A", "side"], table.loc["A", "qty"]) == ("sell", "2")
    assert row(0.3, equity="1000", cash="299.9999999999", price="100", fractional=False) == ("buy", "2")
    assert row(0.3, equity="1000", cash="300", price="100", fractional=False) == ("buy", "3")
    # three at 0.10 cost 0.30000000000000004 in floats: to the kernel two are paid, in exact decimals all three
    cheap: dict[str, Any] = {"price": "0.10", "min_trade_usd": 1.0, "fractional": False}
    assert row(0.5, equity="1000", cash="100.3", **cheap) == ("buy", "1003")


def test_cash_of_exactly_the_minimum_buys_and_a_cent_less_does_not() -> None:
    assert row(0.5, equity="1000", cash="100") == ("buy", "100.00")
    assert row(0.5, equity="1000", cash="99.99") == ("none", None)


def test_cash_pays_for_exactly_as_many_shares_as_it_is_and_the_minimum_is_of_their_worth_not_of_their_cost() -> None:
    assert kernel.affordable(10, 100.0, 100.0, 500.0, False, 0.0) == 5
    assert kernel.affordable(10, 100.0, 100.0, 499.99, False, 0.0) == 4
    assert kernel.affordable(10, 100.0, 99.0, 500.0, False, 495.0) == 5  # five are worth 495
    assert kernel.affordable(10, 100.0, 99.0, 500.0, False, 500.0) == 0
