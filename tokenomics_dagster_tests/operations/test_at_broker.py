"""What of a position contradicts itself, and what a difference of the sums is put down to."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tokenomics_dagster.interfaces.cli import portfolio_tables as tables
from tokenomics_dagster.model.trading import EQUITY, Fill
from tokenomics_dagster.operations.at_broker import by_others, contradictions
from tokenomics_dagster.operations.dry_plan import NotTraded
from tokenomics_dagster.operations.holdings import Held, LeftAlone, total_of
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.test_rules import account, position

ROW = replace(
    position("AAA", "100"),
    price=Decimal("10.01"),
    market_value=Decimal(1001),
    avg_entry_price=Decimal("9.33333"),
    cost_basis=Decimal("933.33"),
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"market_value": Decimal("1001.9")}, []),
        ({"market_value": Decimal(1003)}, ["value"]),
        ({"market_value": Decimal(2002)}, ["value"]),
        ({"cost_basis": Decimal("1866.66")}, ["cost"]),
        ({"qty": Decimal(50)}, ["value", "cost"]),
        ({"market_value": None, "avg_entry_price": None}, []),
        ({"qty": Decimal("0.001"), "market_value": Decimal("0.05"), "cost_basis": Decimal("0.01")}, []),
    ],
)
def test_figures_of_a_row_that_do_not_fit_are_told_above_cents_and_a_thousandth(changes, told):
    found = contradictions(replace(ROW, **changes))
    assert [one.partition("that its ")[2].split()[0] for one in found] == told


SOME = Decimal(500)
HELD = Held("AAA", None, None, SOME, SOME, SOME, SOME, SOME, Decimal(0), 0.0, 0.1, 0.1, 0.0)
GONE = LeftAlone("BBB", None, EQUITY, None, None, "gone without a trade")


@pytest.mark.parametrize(
    ("off", "is_open", "gone", "doubt", "why"),
    [
        (0, True, (), None, ""),
        (100, True, (), None, "the market moved between two answers of the broker"),
        (101, True, (), None, "nothing that the broker told explains it (for a move of the market it is too much)"),
        (1, False, (), None, "nothing that the broker told explains it (the market is closed)"),
        (9000, True, (GONE,), None, "the broker's positions lack BBB"),
        (9000, True, (GONE,), "halved", "the broker's positions lack BBB, or the figures of AAA are in doubt"),
    ],
)
def test_a_difference_is_the_markets_only_while_that_is_open_and_below_a_thousandth(off, is_open, gone, doubt, why):
    cash = Decimal(100_000) - SOME - off
    found = total_of(
        account(cash=cash, equity=Decimal(100_000)), (replace(HELD, doubt=doubt),), (), gone, is_open=is_open
    )
    assert found.difference == off
    assert found.why.partition(":")[0] == why


def test_a_name_that_is_alone_in_its_kind_is_named_with_its_figures():
    left = [
        NotTraded("AAA", "", None, "155 shares were held, and are gone without a trade: a merger"),
        NotTraded("BBB", "", None, "drift of 1.2% of the target is under the threshold of 5%"),
        NotTraded("CCC", "", None, "drift of 3.4% of the target is under the threshold of 5%"),
    ]
    [table] = tables._left(left, every=False)
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [
        ("2", "drift of ..% of the target is under the threshold of ..%"),
        ("AAA", "155 shares were held, and are gone without a trade: a merger"),
    ]


def test_a_fill_of_an_order_that_a_killed_run_did_not_write_down_is_ours_all_the_same(tmp_path):
    at = datetime(2026, 8, 24, 14, tzinfo=UTC)
    fills = [
        Fill(f"{number}", order, symbol, "buy", SOME, SOME, at)
        for number, (order, symbol) in enumerate([("ours", "AAA"), ("hand", "AAA"), ("hand", "BBB")])
    ]
    orders = [
        SimpleNamespace(id="ours", client_order_id="tokenomics-fundamentals-2026-08-24-AAA-buy-1"),
        SimpleNamespace(id="hand", client_order_id="by-hand-1"),
    ]
    broker: Any = SimpleNamespace(fills=lambda after: fills, orders=lambda status, after: orders)
    store = Warehouse(f"sqlite:///{tmp_path}/warehouse.db")
    assert [one.id for one in by_others(store, broker, "1", {"AAA"}, at)] == ["1"]
    store.close()
