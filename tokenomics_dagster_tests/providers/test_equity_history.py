"""The broker's record of equity, as its specification and those who use it say that it answers."""

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tokenomics_dagster.providers.errors import PermanentError
from tokenomics_dagster_tests.conftest import SHARED
from tokenomics_dagster_tests.providers.stub import Reply, Stub

SPEC = SHARED / "specs/alpaca-trading-api.json"
PATH = "/v2/account/portfolio/history"
FIRST, LAST = date(2026, 8, 24), date(2026, 8, 28)


def answered(serve: Callable[..., Stub], alpaca_at: Callable[..., Any], **body: Any) -> tuple[Any, Stub]:
    whole = {"profit_loss": [], "profit_loss_pct": [], "base_value": None, "timeframe": "1D", **body}
    stub = serve(lambda _: Reply(whole))
    return alpaca_at(stub.url), stub


def test_both_ends_are_asked_for_since_without_one_the_answer_is_a_month_long(serve, alpaca_at):
    alpaca, stub = answered(serve, alpaca_at, timestamp=[], equity=[])
    assert alpaca.equity_history(FIRST, LAST) == {}
    [call] = stub.calls
    assert call.path == PATH
    query = call.query
    assert (query["timeframe"], query["start"], query["end"]) == (
        "1D",
        "2026-08-24T12:00:00-04:00",
        "2026-08-28T23:00:00-04:00",
    )
    assert "period" not in query


@pytest.mark.skipif(not SPEC.is_file(), reason="the official API descriptions are not beside this clone")
def test_the_examples_of_the_specification_are_read_by_the_day_that_they_end(serve, alpaca_at):
    operation = json.loads(SPEC.read_text())["paths"][PATH]["get"]
    examples = operation["responses"]["200"]["content"]["application/json"]["examples"]
    alpaca, _ = answered(serve, alpaca_at, **examples["example-cashflows"]["value"])
    assert alpaca.equity_history(FIRST, LAST) == {
        date(2026, 4, 7): Decimal("8425.21"),
        date(2026, 4, 8): Decimal("8639.77"),
        date(2026, 4, 9): Decimal("8766.10"),
        date(2026, 4, 10): Decimal("8835.31"),
    }


def test_what_is_not_told_is_left_out_and_so_is_the_time_before_the_account_had_anything(serve, alpaca_at):
    days = [1787616000, 1787702400, 1787788800, 1787875200]  # 20:00 in New York, 2026-08-24 to 27
    alpaca, _ = answered(serve, alpaca_at, timestamp=days, equity=[0, 100000, None, 99999.990000001])
    assert alpaca.equity_history(FIRST, LAST) == {
        date(2026, 8, 25): Decimal("100000.00"),
        date(2026, 8, 27): Decimal("99999.99"),
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"timestamp": [1787616000], "equity": []}, "0 values for 1 instants"),
        ({"equity": []}, "a list was expected, not NoneType"),
        ({"timestamp": ["x"], "equity": [1]}, "of the answer is 'x'"),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_and_no_empty_record(serve, alpaca_at, body, said):
    alpaca, _ = answered(serve, alpaca_at, **body)
    with pytest.raises(PermanentError, match=said):
        alpaca.equity_history(FIRST, LAST)


def test_bars_are_asked_for_as_traded_unless_a_return_is_to_be_made_of_them(serve, alpaca_at):
    stub = serve(lambda _: Reply({"bars": {}, "next_page_token": None}))
    alpaca_at(stub.url).daily_bars(["A"], FIRST, LAST)
    alpaca_at(stub.url).daily_bars(["A"], FIRST, LAST, adjustment="all")
    assert [call.query["adjustment"] for call in stub.calls] == ["raw", "all"]
