"""How the records of the audit read in the logs: pure, from a link to its line."""

import logging
from datetime import UTC, date, datetime
from typing import Any

import pytest

from tokenomics_dagster.storage.audit import GENESIS, Head, Link, next_link
from tokenomics_dagster.storage.telling import log_records

T0 = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
WEEK = date(2026, 8, 24)
ORDER: dict[str, Any] = {
    "client_order_id": "o-1",
    "plan_id": "p",
    "symbol": "NVDA",
    "side": "buy",
    "qty": None,
    "notional": "1000",
    "status": "intended",
    "filled_qty": "0",
    "filled_avg_price": None,
    "note": None,
}
FILLED = {**ORDER, "qty": "5", "status": "filled", "filled_qty": "5", "filled_avg_price": "199.9", "note": "late"}
FILL = {"client_order_id": "o-1", "symbol": "NVDA", "side": "buy", "qty": "5", "price": "199.9"}
PLAN = {"account": "PA1", "cash": "12.5", "orders": [], "plan_hash": "0123456789abcdef", "week": "2026-08-24"}
OF_A_SLEEVE = PLAN | {"form": 2, "sleeve": "news", "period": "2026-08", "foreign": {"AAPL": "1"}}


def links(*records: tuple[str, dict[str, Any]]) -> list[Link]:
    made, head = [], Head(0, GENESIS)
    for kind, payload in records:
        made.append(next_link(head, kind, payload, T0, WEEK))
        head = Head(made[-1].seq, made[-1].hash)
    return made


@pytest.mark.parametrize(
    ("kind", "payload", "line"),
    [
        ("order", ORDER, ("trades", "DEBUG", "buy NVDA, 1000 USD: intended")),
        ("order", FILLED, ("trades", "INFO", "buy NVDA, 5 shares: filled, 5 filled at 199.9 USD (late)")),
        ("fill", FILL, ("trades", "DEBUG", "fill: buy NVDA, 5 at 199.9 USD")),
        ("plan", PLAN, ("decisions", "INFO", "plan: cash 12.5; plan_hash 0123456789abcdef; week 2026-08-24")),
        ("plan", OF_A_SLEEVE, ("decisions", "INFO", "plan: cash 12.5; plan_hash 0123456789abcdef; week 2026-08-24")),
        ("phase", {"phase": "buy"}, ("decisions", "DEBUG", "phase: phase buy")),
        ("snapshot", {"asset": "scores"}, ("decisions", "DEBUG", "snapshot: asset scores")),
        ("books", {"flaws": ["x", "y"]}, ("decisions", "INFO", "books: ; does not agree: x; y")),
    ],
)
def test_a_record_is_one_line_of_its_stream_and_what_repeats_another_is_for_who_looks_closely(
    caplog: pytest.LogCaptureFixture, kind: str, payload: dict[str, Any], line: tuple[str, str, str]
) -> None:
    with caplog.at_level(logging.DEBUG, "tokenomics"):
        log_records(links((kind, payload)))
    (told,) = caplog.records
    assert (told.name.removeprefix("tokenomics."), told.levelname, told.getMessage()) == line
    assert (told.__dict__["audit"], told.__dict__["week"]) == (1, "2026-08-24")


def test_a_plan_is_told_with_the_id_that_a_person_approves(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "tokenomics"):
        log_records(links(("plan", PLAN), ("plan", OF_A_SLEEVE)))
    told = [record.__dict__["plan_id"] for record in caplog.records]
    assert told == ["2026-08-24-0123456789ab", "news-2026-08-0123456789ab"]


def test_the_end_of_the_audit_is_noted_once_after_what_a_person_decided(caplog: pytest.LogCaptureFixture) -> None:
    made = links(("halt", {"reason": "r", "by": "ann"}), ("resume", {"reason": "r", "by": "ann"}), ("phase", {}))
    with caplog.at_level(logging.INFO, "tokenomics.trades"):
        log_records(made)
        log_records(links(("phase", {})))
    (noted,) = (record for record in caplog.records if record.name == "tokenomics.trades")
    assert (noted.__dict__["audit"], noted.__dict__["hash"]) == (3, made[-1].hash)
