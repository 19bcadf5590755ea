"""Whatever stands in a field of an answer, it is read, or refused by the field's name: nothing else comes of it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_dagster.providers.alpaca import activities, holdings, parsing
from tokenomics_dagster.providers.errors import PermanentError
from tokenomics_dagster.providers.finnhub.parsing import Answer, read_listings, read_metrics, read_profile
from tokenomics_dagster_tests.providers.test_alpaca import ACCOUNT, CLOCK, SNAPSHOT, an_order
from tokenomics_dagster_tests.providers.test_finnhub import METRIC
from tokenomics_dagster_tests.providers.test_holdings import row

Read = Callable[[Any], Any]

AT = "2026-08-24T10:05:00.123456789-04:00"
FILL = {"id": "1", "order_id": "2", "symbol": "A", "side": "buy", "qty": "1", "price": "2", "transaction_time": AT}
ACTIVITY = {"id": "1", "activity_type": "DIV", "created_at": AT, "date": "2026-08-31", "net_amount": "1"}
ACTION = {"symbol": "A", "ex_date": "2026-08-31", "process_date": "2026-08-31", "new_rate": 3, "old_rate": 2}
PROFILE = {"ticker": "A", "name": "A", "marketCapitalization": 1, "shareOutstanding": 2}
READ: dict[str, tuple[dict[str, Any], Read]] = {
    "clock": (CLOCK, parsing.clock),
    "account": (ACCOUNT, parsing.account),
    "order": ({**an_order(), "legs": [], "asset_class": "us_equity"}, lambda body: parsing.order("", body)),
    "fill": (FILL, lambda body: parsing.fills("", [body])),
    "asset": ({"symbol": "A", "class": "us_equity", "attributes": []}, lambda body: parsing.assets([body])),
    "trade": (SNAPSHOT["latestTrade"], lambda body: parsing.snapshots({"A": {**SNAPSHOT, "latestTrade": body}})),
    "position": (row(), lambda body: holdings.read_holdings([body])),
    "activity": (ACTIVITY, lambda body: list(activities.read_activities([body]))),
    "action": (ACTION, lambda body: list(activities.read_corporate_actions({"corporate_actions": {"x": [body]}}))),
    "listing": ({"symbol": "A", "type": "ETP"}, lambda body: read_listings(Answer("", [body], "key"))),
    "profile": (PROFILE, lambda body: read_profile(Answer("", body, "key"), "A", "A")),
    "metric": (METRIC, lambda body: read_metrics(Answer("", {"metric": body}, "key"), "A")),
}
NUMBERS = ("NaN", "-inf", "1e999", "1_000", "0x10", "1\x1c", " 5 ", "-0.0", "1e999999999999999999999")
INSTANTS = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-10:00", "2026-08-24", "2026-08-24 10:00", "24:00")
TEXTS = st.sampled_from([*NUMBERS, *INSTANTS, "mleg", "BTC/USD", "\ud800"]) | st.text(max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just(10**400)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner))


def outcome(read: Read, body: Any) -> tuple[Any, str]:
    """What is read, and why nothing is: but for the row itself, which stands after a colon."""
    try:
        return read(body), ""
    except PermanentError as error:
        why_not, context = error.message, error.__context__
    except ValueError as error:
        why_not, context = str(error).partition(":")[0], None
    assert context is None, "it would hold the whole answer"
    return None, why_not


@pytest.mark.parametrize("kind", READ)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_a_field_holds_is_read_or_refused_by_its_name(kind: str, data: st.DataObject) -> None:
    body, read = READ[kind]
    field = data.draw(st.sampled_from(sorted(body)))
    _, why_not = outcome(read, {**body, field: data.draw(VALUES)})
    others = ("the profile is that of", "an object was expected", "a position in a stock has no symbol")
    assert not why_not or field in why_not or any(words in why_not for words in others)


@pytest.mark.parametrize("kind", READ)
def test_fields_that_nobody_knows_pass_and_a_missing_one_is_as_null(kind: str) -> None:
    body, read = READ[kind]
    assert outcome(read, {**body, "new": {"x": [1]}}) == outcome(read, body)
    for field in body:
        missing = {name: value for name, value in body.items() if name != field}
        assert outcome(read, missing) == outcome(read, {**body, field: None})
