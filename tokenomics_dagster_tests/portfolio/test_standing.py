"""Whose a stock is by all the symbols that it has had, and what is compared with the plan before."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pandas as pd
import pytest

from tokenomics_dagster.model.identity import FUNDAMENTALS, client_order_id
from tokenomics_dagster.model.trading import EQUITY, Asset, Brokerage, CorporateAction, Holdings, Order, Position
from tokenomics_dagster.portfolio.past import past_of
from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails
from tokenomics_dagster.portfolio.standing import Past, Standing, appeared, foreign_stocks, look
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.settings.trading import TradingSettings
from tokenomics_dagster.storage.records import Adoption, LedgerOrder, Made, Owned
from tokenomics_dagster.storage.warehouse import Warehouse

NOW = datetime(2026, 8, 31, 14, 5, tzinfo=UTC)
LAST_WEEK = NOW - timedelta(days=7)
LEAVE, SELL = TradingSettings(), TradingSettings(foreign_positions="sell")


@dataclass
class Account:
    """A broker that holds `qty` by symbol; `ids` of what is listed, by symbol; announced are those `renamed`."""

    qty: Mapping[str, str]
    ids: Mapping[str, str]
    renamed: Mapping[str, str] = field(default_factory=dict)
    split: Collection[str] = ()
    bought: Sequence[Order] = ()
    asked: list[str] = field(default_factory=list)

    def holdings(self) -> Holdings:
        return Holdings({symbol: self._position(symbol, Decimal(qty)) for symbol, qty in self.qty.items()})

    def _position(self, symbol: str, qty: Decimal) -> Position:
        price = Decimal(100)
        return Position(symbol, qty, qty, price, qty * price, price, "long", self.ids.get(symbol, ""))

    def assets(self) -> dict[str, Asset]:
        self.asked.append("assets")
        return {s: Asset(s, "active", True, True, "NYSE", (), EQUITY, one) for s, one in self.ids.items()}

    def corporate_actions(self, *_: Any) -> list[CorporateAction]:
        day = NOW.date()
        renames = [CorporateAction("name_change", old, new, None, day, day) for old, new in self.renamed.items()]
        return renames + [CorporateAction("reverse_split", s, s, Decimal("0.1"), day, day) for s in self.split]

    def orders(self, **_: Any) -> list[Order]:
        return list(self.bought)

    def fills(self, **_: Any) -> list[Any]:
        return []

    def activities(self, **_: Any) -> list[Any]:
        return []


def broker(account: Account) -> Brokerage:
    return cast("Brokerage", account)


def plan_of(
    positions: Mapping[str, str], foreign: Mapping[str, str], at: datetime = LAST_WEEK, **details: Any
) -> Made[TradePlanDetails]:
    frame = pd.DataFrame({"symbol": list(positions), "price": ["100"] * len(positions)})
    document = {"account": "PA1", "positions": dict(positions), "foreign": dict(foreign)}
    return Made(frame, at, TradePlanDetails(plan=document, **details))


def seen_by(account: Account, past: Past, *targets: str, trading: TradingSettings = LEAVE) -> Standing:
    frame = pd.DataFrame({"symbol": list(targets), "weight": [0.1] * len(targets)})
    return look(broker(account), past, frame, trading, NOW)


def doubted(standing: Standing, *targets: str) -> dict[str, str]:
    held = dict.fromkeys([*standing.holdings.ours, *targets], Decimal(100))
    found = standing.doubts(pd.Series(list(targets), dtype="str"), held, GuardSettings())
    return {symbol: one.reason for symbol, one in found.items()}


@pytest.mark.parametrize("days", [7, 36, 400])
def test_a_stock_that_was_renamed_since_the_last_plan_stays_the_strategys_however_long_ago_that_was(days: int) -> None:
    last = plan_of({"OLD": "5"}, {}, NOW - timedelta(days=days), own={"OLD": ["9"]}, asset_ids={"OLD": "9"})
    past = Past(Owned({"OLD": LAST_WEEK}), last)
    account = Account({"NEW": "5"}, {"NEW": "9"})
    standing = seen_by(account, past)
    assert (standing.foreign, set(standing.holdings.ours)) == ({}, {"NEW"})
    assert "NEW" in standing.own
    assert foreign_stocks(broker(account), past, account.holdings(), NOW) == {}


@pytest.mark.parametrize(
    ("held", "ids"),
    [
        ({}, {"FOR": "1"}),  # transferred out, or sold by whoever bought it
        ({"RENAMED": "10"}, {"RENAMED": "1"}),
    ],
)
def test_what_was_foreign_and_has_left_is_in_no_doubt_and_can_be_bought(
    held: Mapping[str, str], ids: Mapping[str, str]
) -> None:
    past = Past(Owned(), plan_of({}, {"FOR": "10"}, asset_ids={}))
    standing = seen_by(Account(held, ids), past, "FOR")
    assert set(standing.foreign) == set(held)
    assert doubted(standing, "FOR") == {}
    assert standing.still_doubted({}) == {}


def test_what_was_foreign_and_is_adopted_is_missed_when_it_is_gone() -> None:
    adoption = Adoption("PA1", FUNDAMENTALS, "FOR", "1", Decimal(10), "ann", NOW - timedelta(days=1))
    past = Past(Owned(adopted={"FOR": adoption}), plan_of({}, {"FOR": "10"}))
    found = doubted(seen_by(Account({}, {"FOR": "1"}), past))
    assert found["FOR"].startswith("10 shares were held, and are gone without a trade")


def test_what_was_foreign_is_no_new_arrival_once_the_settings_let_it_be_sold() -> None:
    past = Past(Owned(), plan_of({}, {"FOR": "10"}))
    standing = seen_by(Account({"FOR": "10"}, {"FOR": "1"}), past, trading=SELL)
    assert (standing.foreign, doubted(standing)) == ({}, {})


def test_who_holds_nothing_unknown_is_asked_nothing() -> None:
    account = Account({"OURS": "1"}, {"OURS": "1"})
    assert foreign_stocks(broker(account), Past(Owned({"OURS": LAST_WEEK})), account.holdings(), NOW) == {}
    assert account.asked == []


def test_shares_that_nobody_bought_have_appeared_until_they_are_adopted() -> None:
    kid = (Decimal(0), None, LAST_WEEK, LAST_WEEK, True)
    last = plan_of({"KID": "50"}, {}, own={"KID": ["1"]}, doubted={"KID": kid})
    held = Account({"KID": "50"}, {"KID": "1"}).holdings()
    assert appeared(Past(Owned({"KID": LAST_WEEK}), last), held, NOW) == {"KID"}
    adoption = Adoption("PA1", FUNDAMENTALS, "KID", "1", Decimal(50), "ann", NOW - timedelta(hours=1))
    assert appeared(Past(Owned(adopted={"KID": adoption}), last), held, NOW) == set()


def test_of_two_accounts_in_one_database_each_is_compared_with_its_own_last_plan() -> None:
    store = Warehouse("sqlite://")
    plans = {"PA1": "AAA", "LIVE": "BBB"}
    for number, (account, symbol) in enumerate(plans.items()):
        document = {"account": account, "positions": {symbol: "1"}, "foreign": {}, "plan_hash": "0" * 64}
        details = TradePlanDetails(plan=document, own={symbol: []})
        frame = TradePlan.validate(pd.DataFrame([line(symbol)]))
        made = Made(frame, LAST_WEEK + timedelta(hours=number), details)
        store.save_snapshot("trade_plan", TradePlan, made, partition="2026-08-24", run_id="r")
    for account, symbol in plans.items():
        past = past_of(store, account)
        assert past.last is not None
        assert (past.last.details.account, past.own) == (account, {symbol: frozenset()})
    assert past_of(store, "NEW") == Past(Owned())


def line(symbol: str) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(TradePlan.to_schema().columns)
    amounts = ("current_value", "target_value", "current_weight", "target_weight", "drift")
    return {
        **values,
        "symbol": symbol,
        "sequence": 1,
        "side": "none",
        **dict.fromkeys(amounts, 0.0),
        "exit": False,
        "reason": "r",
    }


def test_a_stock_that_the_strategy_once_bought_is_its_own_for_ever_also_what_a_hand_buys_of_it_later() -> None:
    store = Warehouse("sqlite://")
    long_ago = NOW - timedelta(days=800)
    store.record_order(bought("AAA", long_ago))
    standing = seen_by(Account({"AAA": "3", "HAND": "3"}, {"AAA": "1", "HAND": "2"}), past_of(store, "PA1"))
    assert (set(standing.foreign), set(standing.holdings.ours)) == ({"HAND"}, {"AAA"})


def bought(symbol: str, at: datetime) -> LedgerOrder:
    identity = client_order_id(FUNDAMENTALS, "2024-06-17", symbol, "buy", 1)
    return LedgerOrder(
        client_order_id=identity,
        account="PA1",
        sleeve=FUNDAMENTALS,
        period="2024-06-17",
        plan_id="fundamentals-2024-06-17-0123456789ab",
        week=datetime(2024, 6, 17, tzinfo=UTC).date(),
        symbol=symbol,
        side="buy",
        attempt=1,
        qty=Decimal(3),
        notional=None,
        status="filled",
        broker_id=None,
        filled_qty=Decimal(3),
        filled_avg_price=Decimal(100),
        note=None,
        created_at=at,
        updated_at=at,
    )


def test_a_foreign_stock_that_takes_a_symbol_which_the_strategy_once_had_stays_foreign() -> None:
    last = plan_of({}, {"FOM": "100"}, own={"OWM": ["2"]}, asset_ids={"FOM": "1"})
    past = Past(Owned({"OWM": LAST_WEEK - timedelta(days=90)}), last)
    account = Account({"OWM": "100"}, {"OWM": "1"}, renamed={"FOM": "OWM"})
    assert set(seen_by(account, past).foreign) == {"OWM"}
    assert set(foreign_stocks(broker(account), past, account.holdings(), NOW)) == {"OWM"}


@pytest.mark.parametrize("plans_since", [0, 1, 3])
def test_a_symbol_that_is_given_to_another_company_is_not_the_strategys_for_its_name(plans_since: int) -> None:
    owned = Owned({"REUS": LAST_WEEK - timedelta(days=90)})
    last = plan_of({"NEWN": "5"}, {}, own={"REUS": ["1"], "NEWN": ["1"]}, asset_ids={"REUS": "1", "NEWN": "1"})
    account = Account({"NEWN": "5", "REUS": "50"}, {"NEWN": "1", "REUS": "2"})
    for _ in range(plans_since):
        standing = seen_by(account, Past(owned, last))
        last = plan_of(
            {"NEWN": "5"},
            {"REUS": "50"},
            own={symbol: sorted(ids) for symbol, ids in standing.own.items()},
            asset_ids=standing.asset_ids,
        )
    standing = seen_by(account, Past(owned, last))
    assert (set(standing.foreign), set(standing.holdings.ours)) == ({"REUS"}, {"NEWN"})


def test_of_a_symbol_that_was_given_to_another_company_the_strategy_owns_what_it_buys_of_it() -> None:
    last = plan_of({}, {}, own={"REUS": ["1"]}, asset_ids={"REUS": "2"})
    account = Account({"REUS": "5"}, {"REUS": "2"})
    before = Past(Owned({"REUS": LAST_WEEK - timedelta(days=90)}), last)
    assert set(seen_by(account, before).foreign) == {"REUS"}
    bought_since = Past(Owned({"REUS": LAST_WEEK + timedelta(minutes=5)}), last)
    assert seen_by(account, bought_since).foreign == {}


def test_what_a_killed_run_has_bought_under_a_symbol_of_two_companies_is_the_one_that_the_broker_says() -> None:
    last = plan_of({}, {}, own={"REUS": ["1"]}, asset_ids={"REUS": "1"})
    past = Past(Owned({"REUS": LAST_WEEK - timedelta(days=90)}), last)
    held, ids = {"REUS": "5"}, {"REUS": "2"}
    identity = client_order_id(FUNDAMENTALS, "2026-08-31", "REUS", "buy", 1)
    five, hundred = Decimal(5), Decimal(100)
    order = Order("1", identity, "REUS", "buy", five, None, "filled", five, hundred, NOW, NOW, "limit", hundred)
    assert set(seen_by(Account(held, ids), past).foreign) == {"REUS"}
    for whose, foreign in (("2", set()), ("1", {"REUS"})):
        account = Account(held, ids, bought=[replace(order, asset_id=whose)])
        assert set(seen_by(account, past).foreign) == foreign


def test_what_was_bought_before_plans_told_whose_it_is_is_the_stock_of_the_plan_that_bought_it() -> None:
    store = Warehouse("sqlite://")
    for weeks, identity in ((60, "1"), (1, "2")):
        made = plan_of({"REUS": "5"}, {}, NOW - timedelta(weeks=weeks), asset_ids={"REUS": identity})
        table = Made(TradePlan.validate(pd.DataFrame([line("REUS")])), made.as_of, made.details)
        store.save_snapshot("trade_plan", TradePlan, table, partition=f"{made.as_of:%Y-%m-%d}", run_id="r")
    store.record_order(bought("REUS", NOW - timedelta(weeks=59)))
    past = past_of(store, "PA1")
    assert past.own == {"REUS": {"1"}}
    assert set(seen_by(Account({"REUS": "5"}, {"REUS": "2"}), past).foreign) == {"REUS"}
    settled = replace(bought("REUS", NOW - timedelta(weeks=59)), note="settled", updated_at=NOW)
    store.record_order(settled)
    assert past_of(store, "PA1").own == {"REUS": {"1"}}, "what is noted of an order later buys nothing"


def test_a_last_plan_is_found_however_many_were_made_for_other_accounts_since() -> None:
    store = Warehouse("sqlite://")
    for days in range(30):
        document: dict[str, Any] = {
            "account": "PA2" if days else "PA1",
            "positions": {},
            "foreign": {},
            "plan_hash": "0" * 64,
        }
        details = TradePlanDetails(plan=document, own={"AAA": ["1"]} if not days else {})
        made = Made(TradePlan.validate(pd.DataFrame([line("AAA")])), LAST_WEEK + timedelta(hours=days), details)
        store.save_snapshot("trade_plan", TradePlan, made, partition="2026-08-24", run_id="r")
    assert past_of(store, "PA1").own == {"AAA": {"1"}}


def test_what_a_split_gives_a_new_id_under_the_same_symbol_stays_the_strategys() -> None:
    last = plan_of({"REV": "50"}, {}, own={"REV": ["1"]}, asset_ids={"REV": "1"})
    past = Past(Owned({"REV": LAST_WEEK - timedelta(days=90)}), last)
    held, ids = {"REV": "5"}, {"REV": "2"}
    assert seen_by(Account(held, ids, split=["REV"]), past).foreign == {}
    assert set(seen_by(Account(held, ids), past).foreign) == {"REV"}
    elsewhere = Account(held, {**ids, "NEWN": "1"}, split=["REV"])
    assert set(seen_by(elsewhere, past).foreign) == {"REV"}, "ours is listed under another symbol"


def test_a_person_s_stock_under_the_symbol_that_ours_takes_stays_theirs() -> None:
    last = plan_of({"OLD": "5"}, {"NEW": "3"}, own={"OLD": ["1"]}, asset_ids={"OLD": "1", "NEW": "2"})
    past = Past(Owned({"OLD": LAST_WEEK - timedelta(days=90)}), last)
    account = Account({"NEW": "3"}, {"NEW": "2", "OTHER": "1"}, renamed={"OLD": "NEW"})
    assert set(seen_by(account, past).foreign) == {"NEW"}


def test_what_is_adopted_and_then_renamed_without_a_word_is_the_strategys() -> None:
    adoption = Adoption("PA1", FUNDAMENTALS, "OLD", "9", Decimal(5), "ann", NOW - timedelta(days=1))
    past = Past(Owned(adopted={"OLD": adoption}), plan_of({}, {"OLD": "5"}))
    assert seen_by(Account({"NEW": "5"}, {"NEW": "9"}), past).foreign == {}


def test_what_a_broker_tells_no_ids_of_goes_by_its_name() -> None:
    past = Past(Owned({"OURS": LAST_WEEK}), plan_of({"OURS": "1"}, {}, own={"OURS": ["1"]}))
    account = Account({"OURS": "1", "FOR": "1"}, {"OURS": "", "FOR": ""})
    assert set(seen_by(account, past).foreign) == {"FOR"}


def test_where_all_is_traded_the_plan_says_what_of_it_was_nobodys() -> None:
    past = Past(Owned({"OURS": LAST_WEEK}))
    account = Account({"OURS": "1", "FOR": "1"}, {"OURS": "1", "FOR": "2"})
    assert list(seen_by(account, past, trading=SELL).taken) == ["FOR"]
    assert list(seen_by(account, past).taken) == []
