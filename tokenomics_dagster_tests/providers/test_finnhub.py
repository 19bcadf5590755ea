import codecs
import gzip
import logging
import re
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.providers import transport
from tokenomics_dagster.providers.errors import AuthenticationError, PermanentError, ProviderError, TransientError
from tokenomics_dagster.providers.finnhub.parsing import Listing, Metrics, Profile
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster_tests.providers.conftest import FINNHUB_KEY
from tokenomics_dagster_tests.providers.stub import Call, Reply, Stub, closed_port, in_turn

Serve = Callable[[Callable[[Call], Reply]], Stub]
FinnhubAt = Callable[..., FinnhubResource]

METRIC = {
    "roeTTM": 128.23,
    "totalDebt/totalEquityQuarterly": 0.7635,
    "totalDebt/totalEquityAnnual": 0.9,
    "revenueGrowthTTMYoy": 11.02,
    "epsGrowthTTMYoy": 26.59,
    "bookValuePerShareQuarterly": 4.4,
    "marketCapitalization": 3_400_000.5,
    "aNewKey": {"x": 1},
}
UNREADABLE: tuple[Any, ...] = ("31,2", "n/a", "NaN", "inf", [], {}, True, 10**400)
EMPTY = Metrics("A", None, None, None, None, None, None)


def test_metrics_keep_finnhubs_units_and_ignore_what_is_new(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"metric": METRIC, "series": {"annual": {}}, "symbol": "A"})))
    assert finnhub_at(stub.url).metrics("A") == Metrics("A", 128.23, 0.7635, 11.02, 26.59, 4.4, 3_400_000.5, None)
    assert stub.calls[0].path.replace("//", "/") == "/api/v1/stock/metric"
    assert stub.calls[0].query == {"symbol": "A", "metric": "all"}


@pytest.mark.parametrize("content", [b"{}", b"null", b'""', b"NaN"])
def test_what_finnhub_leaves_out_is_missing(content: bytes, serve: Serve, finnhub_at: FinnhubAt) -> None:
    values = b'{"metric": {"roeTTM": %s, "epsGrowthTTMYoy": 5}}' % (content if content != b"{}" else b"null")
    found = finnhub_at(serve(in_turn(Reply(content=values))).url).metrics("A")
    assert (found.roe_ttm_pct, found.eps_growth_yoy_pct) == (None, 5)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        *[("roeTTM", wrong) for wrong in UNREADABLE],
        *[(key, "31,2") for key in METRIC if key not in ("roeTTM", "totalDebt/totalEquityAnnual", "aNewKey")],
    ],
)
def test_what_cannot_be_read_as_a_number_is_a_failure_that_names_field_and_value_never_a_missing_figure(
    key: str, wrong: Any, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    finnhub = finnhub_at(serve(in_turn(Reply({"metric": {**METRIC, key: wrong}}))).url)
    with pytest.raises(PermanentError, match=re.escape(f"{key} is {repr(wrong)[:40]}, which is no number")):
        finnhub.metrics("A")


@pytest.mark.parametrize("text", ["1_000", "0x10", "1e", ".", "1\x1c"])
def test_a_text_that_only_python_reads_as_a_number_is_none(text: str, serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"metric": {"roeTTM": text}}), Reply({"metric": {"roeTTM": " -1.5e2"}})))
    finnhub = finnhub_at(stub.url)
    with pytest.raises(PermanentError, match="which is no number"):
        finnhub.metrics("A")
    assert finnhub.metrics("A").roe_ttm_pct == -150


def test_a_number_beyond_all_numbers_is_a_failure(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply(content=b'{"metric": {"roeTTM": 1e999}}')))
    with pytest.raises(PermanentError, match="roeTTM is inf, which is no number"):
        finnhub_at(stub.url).metrics("A")


@pytest.mark.parametrize("body", [{"metric": {}, "series": {}}, {"metric": {}, "symbol": "A"}])
def test_an_empty_metric_is_no_data(body: Any, serve: Serve, finnhub_at: FinnhubAt) -> None:
    assert finnhub_at(serve(in_turn(Reply(body))).url).metrics("A") == EMPTY


@pytest.mark.parametrize(
    "body",
    [
        {"error": "Something went wrong"},
        {"error": "API limit reached", "metric": {"roeTTM": 5}},
        {},
        {"series": {}, "symbol": "A"},
        {"metric": None},
        {"metric": []},
        {"metric": "x"},
        [],
        None,
        "text",
        3,
    ],
)
def test_an_answer_that_holds_no_object_metric_or_an_error_is_a_failure_whatever_its_status_never_no_data(
    body: Any, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    with pytest.raises(PermanentError, match=r"GET /stock/metric: status 200, the body is (not|an error)"):
        finnhub_at(serve(in_turn(Reply(body))).url).metrics("A")


@pytest.mark.parametrize("body", [{"error": "Something went wrong"}, [], None, "text", 3])
def test_a_profile_that_is_no_object_or_an_error_is_a_failure_never_no_data(
    body: Any, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    with pytest.raises(PermanentError, match=r"GET /stock/profile2: status 200, the body is (not|an error)"):
        finnhub_at(serve(in_turn(Reply(body))).url).profile("A")


@pytest.mark.parametrize("body", [{"message": "limit reached"}, {"s": "no_data"}, {"shareOutstanding": 5}])
def test_an_object_without_any_field_of_a_profile_is_a_failure(body: Any, serve: Serve, finnhub_at: FinnhubAt) -> None:
    with pytest.raises(PermanentError, match="the body is not a profile but of type dict of '"):
        finnhub_at(serve(in_turn(Reply(body))).url).profile("A")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"error": f"Invalid API key: {FINNHUB_KEY}"}, "the body is an error: Invalid API key: <FINNHUB_API_KEY>"),
        ({"metric": {}, "symbol": f"for your key {FINNHUB_KEY}"}, "the figures are those of 'for your key <FINNHUB"),
        ({"metric": {"roeTTM": f"of the key of this account: {FINNHUB_KEY}"}}, "roeTTM is 'of the key of this account"),
    ],
)
def test_a_key_that_an_answer_repeats_with_status_200_is_in_no_message(
    body: Any, shown: str, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    with pytest.raises(PermanentError, match=shown) as caught:
        finnhub_at(serve(in_turn(Reply(body))).url).metrics("A")
    assert FINNHUB_KEY[:8] not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "told", "accepted"),
    [("BRK.B", "BRK-B", True), ("BRK.B", "BRK.A", False), ("A", "A", True), ("A", "AAPL", False), ("A", "", True)],
)
def test_figures_of_another_symbol_are_a_failure(
    asked: str, told: str, accepted: bool, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    finnhub = finnhub_at(serve(in_turn(Reply({"metric": {"roeTTM": 5}, "symbol": told}))).url)
    if accepted:
        assert finnhub.metrics(asked).symbol == asked
        return
    with pytest.raises(PermanentError, match=f"{asked} was asked for, the figures are those of '{told}'"):
        finnhub.metrics(asked)


@pytest.mark.parametrize(
    ("asked", "security", "told", "name", "accepted"),
    [
        *[("BRK.B", "", told, "Acme", True) for told in ("BRK.B", "BRK-B", "BRK.A", "BRK")],
        ("ACME", "", "", "Acme", True),
        *[("MSFT", "", "AAPL", "Acme", False), ("A", "", "AA", "Acme", False), ("CAT", "", "CAR", "Acme", False)],
        # by one letter at the end differ the classes of a company, and companies
        ("GOOG", "ALPHABET INC-CL C", "GOOGL", "Alphabet Inc", True),
        ("FOXA", "THE FOX CORP - CLASS A", "FOX", "Fox Corp", True),
        ("LBRDK", "LIBERTY BROADBAND-C", "LBRDA", "Liberty Broadband Corp", True),
        ("META", "META PLATFORMS INC-CLASS A", "MET", "MetLife Inc", False),
        ("KEY", "KEYCORP", "KEYS", "Keysight Technologies Inc", False),
        ("META", "", "MET", "", False),
    ],
)
def test_the_profile_of_another_company_is_a_failure_but_not_that_of_another_class(
    asked: str, security: str, told: str, name: str, accepted: bool, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    finnhub = finnhub_at(serve(in_turn(Reply({"name": name, "ticker": told}))).url)
    if accepted:
        assert finnhub.profile(asked, security) is not None
        return
    with pytest.raises(PermanentError, match=f"{asked} was asked for, the profile is that of '{told}'"):
        finnhub.profile(asked, security)


def points(*periods: str) -> dict[str, Any]:
    return {"roeTTM": [{"period": period, "v": 0.1} for period in periods]}


@pytest.mark.parametrize(
    ("series", "debt_is_annual", "period"),
    [
        ({"quarterly": points("2026-06-27", "2026-03-28"), "annual": points("2025-09-27")}, False, "2026-06-27"),
        ({"quarterly": {}, "annual": points("2025-09-27")}, False, "2025-09-27"),
        # mixed figures are as old as the older half
        ({"quarterly": points("2026-06-27"), "annual": points("2025-09-27")}, True, "2025-09-27"),
        ({"quarterly": points("2026-06-27")}, True, "2026-06-27"),
        ({"quarterly": {"eps": [], "roeTTM": [{"period": "2026-06-27", "v": None}]}, "annual": {}}, False, None),
        ({}, False, None),
        (None, False, None),
    ],
)
def test_the_newest_reported_period_is_read_from_the_series(
    series: Any, debt_is_annual: bool, period: str | None, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    metric = {**METRIC, "totalDebt/totalEquityQuarterly": None if debt_is_annual else 0.5}
    stub = serve(in_turn(Reply({"metric": metric, "series": series})))
    assert finnhub_at(stub.url).metrics("A").reported_period == period


def ending(period: str, *names: str) -> dict[str, Any]:
    return {name: [{"period": period, "v": 0.1}] for name in names}


@pytest.mark.parametrize(
    ("quarterly", "annual", "period"),
    [
        ({**ending("2022-12-31", "roeTTM"), **ending("2026-06-30", "pb", "totalDebtToEquity")}, {}, "2022-12-31"),
        ({**ending("2022-12-31", "totalDebtToEquity"), **ending("2026-06-30", "roeTTM", "eps")}, {}, "2022-12-31"),
        ({**ending("2022-12-31", "salesPerShare", "eps"), **ending("2026-06-30", "roeTTM")}, {}, "2022-12-31"),
        # one that is not used, or whose fellow tells as much, or that decides nothing, takes no score
        (
            {**ending("2099-12-31", "pb"), **ending("2022-12-31", "pe"), **ending("2026-06-30", "roeTTM")},
            {},
            "2026-06-30",
        ),
        ({**ending("2022-12-31", "eps"), **ending("2026-06-30", "roeTTM", "salesPerShare")}, {}, "2026-06-30"),
        ({**ending("2022-12-31", "bookValue"), **ending("2026-06-30", "roeTTM")}, {}, "2026-06-30"),
        ({**ending("Q2 2026", "pb"), **ending("2026-06-30", "roeTTM")}, {}, "2026-06-30"),
        ({**ending("2026-06-30", "roeTTM")}, ending("2022-12-31", "totalDebtToEquity"), "2026-06-30"),
        # where none of the used tells its own, the newest of any is the best that is known
        (ending("2026-06-30", "pb"), ending("2025-12-31", "roe"), "2026-06-30"),
    ],
)
def test_the_period_is_that_of_the_figures_used(
    quarterly: Any, annual: Any, period: str, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    stub = serve(in_turn(Reply({"metric": METRIC, "series": {"quarterly": quarterly, "annual": annual}})))
    assert finnhub_at(stub.url).metrics("A").reported_period == period


def test_debt_of_zero_may_be_left_out_of_its_series(serve: Serve, finnhub_at: FinnhubAt) -> None:
    quarterly = {**ending("2022-12-31", "totalDebtToEquity"), **ending("2026-06-30", "roeTTM")}
    metric = {**METRIC, "totalDebt/totalEquityQuarterly": 0}
    stub = serve(in_turn(Reply({"metric": metric, "series": {"quarterly": quarterly}})))
    assert finnhub_at(stub.url).metrics("A").reported_period == "2026-06-30"


@pytest.mark.parametrize(
    ("of_year", "year", "book", "period"),
    [
        (-3.0, "2015-12-31", None, "2026-06-30"),  # what it was worth eleven years ago says nothing
        (-3.0, "2025-12-31", -3.0, "2025-12-31"),  # it forbids a score, by what is known of the year
        (-3.0, "2025-06-30", -3.0, "2025-06-30"),
        (3.0, "2025-12-31", 3.0, "2026-06-30"),  # it decides nothing
    ],
)
def test_an_annual_book_value_counts_with_its_own_period(
    of_year: float, year: str, book: float | None, period: str, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    metric = {**METRIC, "bookValuePerShareQuarterly": None, "bookValuePerShareAnnual": of_year}
    series = {"quarterly": ending("2026-06-30", "roeTTM"), "annual": ending(year, "bookValue")}
    found = finnhub_at(serve(in_turn(Reply({"metric": metric, "series": series}))).url).metrics("A")
    assert (found.book_value_per_share, found.reported_period) == (book, period)


def test_a_period_that_is_no_date_is_a_failure(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"metric": METRIC, "series": {"quarterly": points("Q2 2026")}})))
    with pytest.raises(PermanentError, match="the newest quarterly period of roeTTM is 'Q2 2026', which is no date"):
        finnhub_at(stub.url).metrics("A")


def test_the_book_value_of_the_year_stands_in_for_that_of_the_quarter(serve: Serve, finnhub_at: FinnhubAt) -> None:
    metric = {**METRIC, "bookValuePerShareAnnual": -3.5}
    stub = serve(in_turn(Reply({"metric": {**metric, "bookValuePerShareQuarterly": None}}), Reply({"metric": metric})))
    finnhub = finnhub_at(stub.url)
    assert [finnhub.metrics("A").book_value_per_share for _ in range(2)] == [-3.5, 4.4]


def test_zero_is_a_value(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"metric": dict.fromkeys(METRIC, 0)})))
    assert finnhub_at(stub.url).metrics("A") == Metrics("A", 0, 0, 0, 0, 0, 0)


def test_debt_to_equity_of_the_year_stands_in_for_that_of_the_quarter(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"metric": {**METRIC, "totalDebt/totalEquityQuarterly": None}})))
    assert finnhub_at(stub.url).metrics("A").debt_to_equity == 0.9


def test_profile_is_none_without_data_and_tolerates_missing_fields(serve: Serve, finnhub_at: FinnhubAt) -> None:
    full: dict[str, Any] = {
        "name": "Acme",
        "currency": "JPY",
        "exchange": "NYSE",
        "finnhubIndustry": "Retail",
    }
    full |= {"country": "US", "ipo": "1980-12-12", "marketCapitalization": 12.5, "shareOutstanding": 3, "new": 1}
    stub = serve(in_turn(Reply({}), Reply(full), Reply({"name": None, "shareOutstanding": None})))
    finnhub = finnhub_at(stub.url)
    assert finnhub.profile("A") is None
    expected = Profile("A", "Acme", "JPY", "NYSE", "Retail", "US", "1980-12-12", 12.5, 3.0)
    assert finnhub.profile("A") == expected
    assert finnhub.profile("A") == Profile("A", "", "", "", "", "", "", None, None)


def test_a_listing_that_is_dropped_is_named_and_one_without_symbol_counted(
    serve: Serve, finnhub_at: FinnhubAt, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"symbol": "BRK.B", "description": "BERKSHIRE", "type": "Common Stock", "mic": "XNYS", "currency": "USD"}
    rows = [
        {**row, "figi": "F", "shareClassFIGI": "S", "new": [1]},
        {"symbol": ""},
        {},
        7,
        {"symbol": "B"},
        {"symbol": "BRK C"},
        {"symbol": "<b>\u202e"},
    ]
    stub = serve(in_turn(Reply(rows)))
    with caplog.at_level(logging.WARNING):
        found = finnhub_at(stub.url).listings()
    assert found.listings == [
        Listing("BRK.B", "BERKSHIRE", "Common Stock", "XNYS", "USD", "F", "S"),
        Listing("B", "", "", "", "", "", ""),
    ]
    assert "3 of 7 rows have no symbol" in caplog.text
    assert "2 of 7 symbols are no tickers, dropped: 'BRK C', '<b>\\u202e'" in caplog.text
    assert found.dropped == {
        "BRK.C": "listed as 'BRK C', which is no ticker",
        "'<b>\\u202e'": "listed as '<b>\\u202e', which is no ticker",
    }
    assert stub.calls[0].query == {"exchange": "US"}


@pytest.mark.parametrize("body", [{"error": "x"}, "text", 3])
def test_json_of_another_shape_is_a_permanent_error(body: Any, serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply(body)))
    with pytest.raises(PermanentError, match="GET /stock/symbol"):
        finnhub_at(stub.url).listings()
    assert len(stub.calls) == 1


def test_the_key_travels_as_a_header_and_never_in_the_address(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({})))
    finnhub_at(stub.url).profile("A")
    assert stub.calls[0].headers["X-Finnhub-Token"] == FINNHUB_KEY
    assert FINNHUB_KEY not in stub.calls[0].path + stub.calls[0].raw_query


TRANSIENT = {
    "429 without headers": Reply({"error": "API limit reached."}, 429),
    "500": Reply({"error": "internal"}, 500),
    "502 as a web page": Reply(content=b"<html>Bad Gateway</html>", status=502, headers={"Content-Type": "text/html"}),
    "503": Reply(status=503),
    "200 as a web page": Reply(content=b"<html>maintenance</html>", headers={"Content-Type": "text/html"}),
    "200 cut off": Reply(content=b'{"metric": {"roeTTM"'),
    "200 cut off by the connection": Reply(content=b'{"metric": {', length=500),
    "200 empty": Reply(content=b""),
    "200 of brackets without end": Reply(content=b"[" * 200_000 + b"]" * 200_000),
    "lost connection": Reply(drop=True),
}


@pytest.mark.parametrize("reply", TRANSIENT.values(), ids=TRANSIENT)
def test_what_is_transient_is_tried_again(reply: Reply, serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(reply, Reply({"metric": {"roeTTM": 5}})))
    finnhub = finnhub_at(stub.url)
    assert finnhub.metrics("A").roe_ttm_pct == 5
    assert len(stub.calls) == 2
    assert finnhub.calls == {"GET /stock/metric": 2}


@pytest.mark.parametrize("reply", TRANSIENT.values(), ids=TRANSIENT)
def test_attempts_are_bounded_and_the_last_error_names_provider_endpoint_and_status(
    reply: Reply, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    stub = serve(in_turn(reply))
    with pytest.raises(TransientError) as caught:
        finnhub_at(stub.url).metrics("A")
    assert len(stub.calls) == 2
    assert caught.value.status == (None if reply.drop or reply.length else reply.status)
    assert str(caught.value).startswith("Finnhub GET /stock/metric: ")
    assert "try again later" in str(caught.value)


def test_json_is_read_whatever_content_type_it_claims(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"metric": {"roeTTM": 5}}, headers={"Content-Type": "text/plain"})))
    assert finnhub_at(stub.url).metrics("A").roe_ttm_pct == 5


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + b'{"metric": {"roeTTM": 5}}',
        *('{"metric": {"roeTTM": 5}}'.encode(c) for c in ("utf-16", "utf-32")),
    ],
    ids=["UTF-8 with a BOM", "UTF-16", "UTF-32"],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_json_is_read_in_whatever_encoding_it_comes(
    content: bytes, content_type: str, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    stub = serve(in_turn(Reply(content=content, headers={"Content-Type": content_type})))
    assert finnhub_at(stub.url).metrics("A").roe_ttm_pct == 5


@pytest.mark.parametrize("depth", [900, 950, 980, 990, 1000])
def test_nesting_of_any_depth_is_an_answer_or_a_failure_of_its_own(
    depth: int, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    stub = serve(in_turn(Reply(content=b'{"metric": {"deep": ' + b"[" * depth + b"]" * depth + b"}}")))
    finnhub = finnhub_at(stub.url, max_attempts=1)
    ((_, answer),) = finnhub.sweep(["A"], finnhub.metrics)
    assert answer == EMPTY or "the body is not JSON" in str(answer)


@pytest.mark.parametrize("where", ["head", "body"])
def test_an_answer_that_drips_for_ever_ends_at_the_deadline(where: Any, serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply(drip=where)))
    start = time.monotonic()
    with pytest.raises(TransientError, match=r"none came within 0\.3 s, or not all of it within 0\.5 s"):
        finnhub_at(stub.url, timeout_s=0.3, deadline_s=0.5, max_attempts=1).metrics("A")
    assert 0.4 < time.monotonic() - start < 1.5


@pytest.mark.parametrize(
    ("scheme", "where"), [("http", "body"), ("https", "head")], ids=["through a proxy", "of a proxy to its tunnel"]
)
def test_an_answer_that_drips_through_a_proxy_is_ended_by_the_deadline(
    scheme: str, where: Any, serve: Serve, finnhub_at: FinnhubAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests takes its proxies from the environment: those of any firm's network."""
    stub = serve(in_turn(Reply(drip=where)))
    monkeypatch.setenv(f"{scheme}_proxy", stub.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    finnhub = finnhub_at(f"{scheme}://finnhub.invalid", timeout_s=0.3, deadline_s=0.5, max_attempts=1)
    start = time.monotonic()
    with pytest.raises(TransientError):
        finnhub.metrics("A")
    assert len(stub.calls) == 1
    assert time.monotonic() - start < 1.5


def test_a_body_without_end_is_not_read(serve: Serve, finnhub_at: FinnhubAt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 1_000_000)
    packed = gzip.compress(b" " * 50_000_000)
    stub = serve(in_turn(Reply(content=packed, headers={"Content-Encoding": "gzip"}), Reply({"metric": {}})))
    finnhub = finnhub_at(stub.url, max_attempts=1)
    with pytest.raises(TransientError, match="the body is longer than"):
        finnhub.metrics("A")
    assert finnhub.metrics("A") == EMPTY


@pytest.mark.parametrize("status", [400, 404, 418, 422])
def test_what_is_permanent_is_asked_once(status: int, serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"error": "Symbol not supported"}, status)))
    with pytest.raises(PermanentError, match="Symbol not supported") as caught:
        finnhub_at(stub.url).metrics("A")
    assert caught.value.status == status
    assert not isinstance(caught.value, AuthenticationError)
    assert len(stub.calls) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_what_the_plan_does_not_cover_is_not_about_the_key(status: int, serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"error": "You don't have access to this resource."}, status)))
    with pytest.raises(PermanentError) as caught:
        finnhub_at(stub.url).metrics("A")
    assert not isinstance(caught.value, AuthenticationError)


@pytest.mark.parametrize(("status", "error"), [(401, "Invalid API key"), (403, "Please use an API key."), (401, None)])
def test_a_refused_key_names_the_variable(status: int, error: str | None, serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"error": error}, status)))
    with pytest.raises(AuthenticationError, match="check FINNHUB_API_KEY"):
        finnhub_at(stub.url).metrics("A")
    assert len(stub.calls) == 1


def test_redirects_are_not_followed(serve: Serve, finnhub_at: FinnhubAt) -> None:
    elsewhere = serve(in_turn(Reply({})))
    stub = serve(in_turn(Reply(status=302, headers={"Location": elsewhere.url})))
    with pytest.raises(PermanentError, match="redirects"):
        finnhub_at(stub.url).profile("A")
    assert elsewhere.calls == [], "the key would have gone to another host"


def test_a_stalled_server_times_out(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply(stall=True)))
    start = time.monotonic()
    with pytest.raises(TransientError, match=r"none came within 0\.2 s"):
        finnhub_at(stub.url, timeout_s=0.2, max_attempts=1).metrics("A")
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REQUESTS_CA_BUNDLE", "/nowhere.pem"),
        ("HTTPS_PROXY", "http://user:pa\u20acss@127.0.0.1:9"),
        ("HTTPS_PROXY", "http://.:9"),
    ],
)
def test_an_environment_in_which_no_call_can_be_made_is_told_by_its_variables(
    variable: str, value: str, finnhub_at: FinnhubAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(PermanentError, match=f"no call can be made: .*{variable}") as caught:
        finnhub_at(f"https://127.0.0.1:{closed_port()}").metrics("A")
    assert "\u20ac" not in str(caught.value)
    assert caught.value.__context__ is None


def test_what_the_environment_tells_goes_for_all_calls_of_a_session_and_a_netrc_for_none(
    serve: Serve, finnhub_at: FinnhubAt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    host, proxy = serve(in_turn(Reply({"metric": {}}))), serve(in_turn(Reply({"metric": {}})))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("http_proxy", proxy.url)
    for asked in (finnhub_at(host.url), finnhub_at("http://finnhub.invalid")):
        for _ in range(2):
            assert asked.metrics("A") == EMPTY
        asked.close()
        assert asked.metrics("A") == EMPTY
    assert [len(host.calls), len(proxy.calls)] == [3, 3]
    assert not any("Authorization" in call.headers for call in (*host.calls, *proxy.calls))


def test_an_unreachable_host_is_transient_and_known_to_have_got_nothing(finnhub_at: FinnhubAt) -> None:
    with pytest.raises(TransientError, match="cannot be reached") as caught:
        finnhub_at(f"http://127.0.0.1:{closed_port()}").metrics("A")
    assert caught.value.unsent
    assert caught.value.status is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "1"},
        {"Retry-After": "DATE"},
        {"X-Ratelimit-Reset": "RESET"},
    ],
)
def test_a_rate_limits_own_wait_is_honoured_by_everybody(
    headers: dict[str, str], serve: Serve, finnhub_at: FinnhubAt
) -> None:
    def answer(_call: Call) -> Reply:
        if len(stub.calls) > 1:
            return Reply({})
        now = int(time.time())
        values = {"DATE": formatdate(now + 1, usegmt=True), "RESET": str(now)}  # plus the second that is added
        return Reply({}, 429, {name: values.get(text, text) for name, text in headers.items()})

    stub = serve(answer)
    finnhub = finnhub_at(stub.url)
    finnhub.profile("A")
    others = [threading.Thread(target=finnhub.profile, args=("B",)) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert stub.calls[1].at - stub.calls[0].at >= 0.9
    assert finnhub.waited_s >= 0.9


def test_a_wait_that_no_rate_limit_asks_for_is_reported_instead_of_slept(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({}, 429, {"Retry-After": "86400"})))
    with pytest.raises(TransientError) as caught:
        finnhub_at(stub.url).profile("A")
    assert caught.value.retry_after_s == 86400
    assert len(stub.calls) == 1


def test_every_attempt_goes_through_the_pacer(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply(status=429), Reply(status=429), Reply({})))
    finnhub = finnhub_at(stub.url, calls_per_minute=120, max_attempts=3)
    finnhub.profile("A")
    gaps = [b.at - a.at for a, b in pairwise(stub.calls)]
    assert min(gaps) >= 0.49
    assert finnhub.calls == {"GET /stock/profile2": 3}


def enforcing(limit: int, window_s: float, delay_s: float = 0.0) -> Callable[[Call], Reply]:
    """Refuses a call when `limit` others came within the window before it."""
    accepted: list[float] = []
    lock = threading.Lock()

    def answer(call: Call) -> Reply:
        with lock:
            if sum(at > call.at - window_s for at in accepted) >= limit:
                return Reply({"error": "API limit reached."}, 429)
            accepted.append(call.at)
        return Reply({"metric": {}}, after_s=delay_s)

    return answer


@pytest.mark.soak
def test_the_rate_is_reached_at_300_ms_latency_without_a_429(serve: Serve, finnhub_at: FinnhubAt) -> None:
    statuses: list[int] = []
    limit = enforcing(15, 1.0, delay_s=0.3)

    def answer(call: Call) -> Reply:
        reply = limit(call)
        statuses.append(reply.status)
        return reply

    stub = serve(answer)
    n = 75
    finnhub = finnhub_at(stub.url, calls_per_minute=900)
    start = time.monotonic()
    found = dict(finnhub.sweep([f"S{i}" for i in range(n)], finnhub.metrics))
    took = time.monotonic() - start
    assert len(found) == n
    assert set(statuses) == {200}
    assert took <= 1.05 * n / 15 + 0.3, f"{took:.2f} s; one call after the other would take {n * 0.3:.0f} s"
    assert stub.most_at_once <= 10


def test_a_sweep_yields_each_symbol_as_it_completes_with_its_answer_or_its_error(
    serve: Serve, finnhub_at: FinnhubAt
) -> None:
    def answer(call: Call) -> Reply:
        symbol = call.query["symbol"]
        if symbol == "SLOW":
            return Reply({"metric": {"roeTTM": 1}}, after_s=0.5)
        return Reply(status=404) if symbol == "GONE" else Reply({"metric": {"roeTTM": 2}})

    finnhub = finnhub_at(serve(answer).url)
    results = list(finnhub.sweep(["SLOW", "GONE", "A", "B"], finnhub.metrics))
    assert results[-1][0] == "SLOW"
    found = dict(results)
    assert isinstance(found["GONE"], PermanentError)
    assert [found[s].roe_ttm_pct for s in ("SLOW", "A", "B")] == [1, 2, 2]  # type: ignore[union-attr]


def test_a_refused_key_ends_the_sweep(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"error": "Invalid API key"}, 401)))
    finnhub = finnhub_at(stub.url)
    with pytest.raises(AuthenticationError):
        list(finnhub.sweep([f"S{i}" for i in range(1500)], finnhub.metrics))
    assert len(stub.calls) < 50


ONE_SYMBOL = {
    "401 of the plan": Reply({"error": "You don't have access to this resource."}, 401),
    "401 without a word": Reply({"error": None}, 401),
    "403 of the plan": Reply({"error": "You don't have access to this resource."}, 403),
    "403 of a firewall": Reply(
        content=b"<html>Request blocked</html>", status=403, headers={"Content-Type": "text/html"}
    ),
    "403 forbidden": Reply({"error": "forbidden."}, 403),
    "an error with status 200": Reply({"error": "x"}),
    "another symbol": Reply({"metric": {"roeTTM": 1}, "symbol": "ELSE"}),
    "BOM and nothing": Reply(content=codecs.BOM_UTF8),
    "UTF-16 cut off": Reply(content='{"metric": {}}'.encode("utf-16")[:-3]),
    "nested deeply": Reply(content=b"[" * 100_000),
    "dripping": Reply(drip="body"),
}


@pytest.mark.parametrize("wrong", ONE_SYMBOL)
@pytest.mark.parametrize("place", [0, 3], ids=["asked first", "in between"])
def test_what_is_wrong_with_one_symbol_stays_with_it(
    wrong: str, place: int, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    symbols = [f"S{number}" for number in range(6)]
    good = Reply({"metric": {"roeTTM": 2}})
    stub = serve(lambda call: ONE_SYMBOL[wrong] if call.query["symbol"] == symbols[place] else good)
    finnhub = finnhub_at(stub.url, max_attempts=1, deadline_s=0.3, max_in_flight=1)
    found = dict(finnhub.sweep(symbols, finnhub.metrics))
    assert isinstance(found.pop(symbols[place]), ProviderError)
    assert {one.roe_ttm_pct for one in found.values()} == {2}  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refused_symbols_in_a_row_do_not_end_a_sweep_that_goes_on_where_they_failed_before(
    status: int, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    """What failed last time is what a sweep that goes on asks for first, or alone."""
    refused = {f"R{number}" for number in range(30)}
    no_access = Reply({"error": "You don't have access to this resource."}, status)
    stub = serve(lambda call: no_access if call.query["symbol"] in refused else Reply({"metric": {}}))
    finnhub = finnhub_at(stub.url, max_in_flight=1)
    found = dict(finnhub.sweep([*sorted(refused), "A", "B"], finnhub.metrics))
    assert {symbol for symbol, answer in found.items() if isinstance(answer, PermanentError)} == refused
    assert len(stub.calls) == 32


REFUSED = Reply({"error": "Unauthorized"}, 401)


def test_a_key_that_has_worked_in_this_run_is_not_doubted_by_one_symbol(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(lambda call: REFUSED if call.query["symbol"] == "ODD" else Reply({"metric": {}}))
    finnhub = finnhub_at(stub.url)
    assert len(list(finnhub.sweep(["A", "B", "C"], finnhub.metrics))) == 3
    ((_, answer),) = finnhub.sweep(["ODD"], finnhub.metrics)
    assert isinstance(answer, AuthenticationError)
    assert len(stub.calls) == 4


@pytest.mark.parametrize("left", [1, 7])
def test_a_sweep_that_goes_on_with_refused_symbols_alone_asks_whether_the_key_is_good(
    left: int, serve: Serve, finnhub_at: FinnhubAt
) -> None:
    refused = [f"R{number}" for number in range(left)]
    stub = serve(lambda call: REFUSED if call.query["symbol"] in refused else Reply({}))
    finnhub = finnhub_at(stub.url, max_in_flight=1)
    found = dict(finnhub.sweep(refused, finnhub.metrics))
    assert {type(answer) for answer in found.values()} == {AuthenticationError}
    assert len(stub.calls) == left + 1
    nobody = finnhub_at(serve(in_turn(REFUSED)).url)
    with pytest.raises(AuthenticationError):
        list(nobody.sweep(refused, nobody.metrics))


def test_a_key_that_is_withdrawn_while_a_sweep_runs_ends_it(serve: Serve, finnhub_at: FinnhubAt) -> None:
    withdrawn = Reply({"error": "Invalid API key"}, 401)
    stub = serve(in_turn(*[Reply({"metric": {}})] * 3, withdrawn))
    finnhub = finnhub_at(stub.url, max_in_flight=1)
    with pytest.raises(AuthenticationError):
        list(finnhub.sweep([f"S{number}" for number in range(100)], finnhub.metrics))
    assert len(stub.calls) <= 25


def test_an_unreachable_host_ends_the_sweep_after_five_symbols(finnhub_at: FinnhubAt) -> None:
    finnhub = finnhub_at(f"http://127.0.0.1:{closed_port()}", max_attempts=1, calls_per_minute=3000)
    answers: list[Any] = []
    with pytest.raises(TransientError, match="5 symbols in a row failed and the sweep was stopped"):
        answers.extend(finnhub.sweep([f"S{i}" for i in range(1500)], finnhub.metrics))
    assert sum(finnhub.calls.values()) < 50


def test_twenty_failures_in_a_row_end_the_sweep_but_scattered_ones_do_not(serve: Serve, finnhub_at: FinnhubAt) -> None:
    def answer(call: Call) -> Reply:
        number = int(call.query["symbol"])
        return Reply({"metric": {}}) if number % 20 == 0 and number < 200 else Reply(status=500)

    stub = serve(answer)
    finnhub = finnhub_at(stub.url, max_attempts=1, max_in_flight=1)
    answers: list[tuple[str, Any]] = []
    with pytest.raises(TransientError, match="20 symbols in a row failed"):
        answers.extend(finnhub.sweep([str(i) for i in range(1500)], finnhub.metrics))
    assert [symbol for symbol, _ in answers] == [str(i) for i in range(200)]
    assert sum(isinstance(result, ProviderError) for _, result in answers) == 190


def test_closing_a_sweep_stops_calling_at_once(serve: Serve, finnhub_at: FinnhubAt) -> None:
    stub = serve(in_turn(Reply({"metric": {}}, after_s=0.3)))
    finnhub = finnhub_at(stub.url, calls_per_minute=1200)
    sweep = finnhub.sweep([f"S{i}" for i in range(1500)], finnhub.metrics)
    next(sweep)
    start = time.monotonic()
    sweep.close()
    assert time.monotonic() - start < 0.2, "closing waited for calls under way"
    made = sum(finnhub.calls.values())
    time.sleep(0.3)
    assert sum(finnhub.calls.values()) == made


def test_a_mistake_of_the_caller_is_raised_out_of_the_sweep(finnhub_at: FinnhubAt) -> None:
    def fetch(_symbol: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(finnhub_at("http://127.0.0.1:1").sweep(["A", "B"], fetch))


def test_without_a_key_the_first_call_says_which_variable_to_set(
    finnhub_at: FinnhubAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    finnhub = finnhub_at("http://127.0.0.1:1")
    monkeypatch.setenv("FINNHUB_API_KEY", "")
    with pytest.raises(SettingsError, match="FINNHUB_API_KEY is not set"):
        finnhub.listings()


def test_the_counters_are_readable_in_the_asset_that_calls_and_connections_close_after_the_run(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = serve(in_turn(Reply({"metric": {}})))
    monkeypatch.setenv("FINNHUB_BASE_URL", f"{stub.url}/api/v1")
    seen: list[dict[str, int]] = []
    used: list[FinnhubResource] = []

    @dg.asset
    def swept(finnhub: FinnhubResource) -> None:
        list(finnhub.sweep(["A", "B", "C"], finnhub.metrics))
        seen.append(finnhub.calls)
        used.append(finnhub)

    finnhub = FinnhubResource.from_settings(load_settings())
    assert dg.materialize([swept], resources={"finnhub": finnhub}).success
    assert seen == [{"GET /stock/metric": 3}]
    assert used[0]._client is None
    assert used[0].calls == {"GET /stock/metric": 3}


def test_settings_decide_everything() -> None:
    settings = load_settings(overrides={"finnhub.calls_per_minute": 300, "finnhub.max_in_flight": 7})
    finnhub = FinnhubResource.from_settings(settings)
    assert finnhub.base_url == settings.environment.finnhub_base_url
    assert (finnhub.calls_per_minute, finnhub.max_in_flight) == (300, 7)
    assert finnhub.timeout_s == settings.finnhub.timeout_s
