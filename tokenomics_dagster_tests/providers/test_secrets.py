"""No key may show up in what a failure leaves behind, whatever the failure."""

import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster_tests.providers.conftest import KEYS
from tokenomics_dagster_tests.providers.stub import Call, Reply, Stub, closed_port

Serve = Callable[[Callable[[Call], Reply]], Stub]
ECHO = "<the keys of the call>"

FAILURES = {
    "401 that quotes the keys": Reply({"message": f"{ECHO} is not authorized", "error": f"Invalid key {ECHO}"}, 401),
    "403 that quotes the keys": Reply({"code": 40310000, "message": f"request is not authorized {ECHO}"}, 403),
    "404": Reply(status=404),
    "422 that quotes the keys": Reply({"code": 1, "message": ECHO, "error": ECHO, "symbol": ECHO}, 422),
    "429": Reply({"error": ECHO}, 429),
    "500 that quotes the keys": Reply({"message": ECHO, "error": ECHO}, 500),
    "502 as a web page": Reply(content=ECHO.encode(), status=502, headers={"Content-Type": "text/html"}),
    "302": Reply(status=302, headers={"Location": "http://127.0.0.1:1"}),
    "200 as a web page": Reply(content=f"<html>{ECHO}".encode()),
    "200 cut off": Reply(content=b'{"a": ', length=50),
    "200 of another form": Reply(7),
    "lost connection": Reply(drop=True),
    "time-out": Reply(stall=True),
}


def quoting(reply: Reply) -> Callable[[Call], Reply]:
    """The reply, with the keys that the call came with wherever it says so."""

    def answer(call: Call) -> Reply:
        keys = " ".join(value for value in call.headers.values() if value in KEYS)
        content = json.dumps(reply.body).encode() if reply.content is None else reply.content
        assert keys
        return replace(reply, content=content.replace(ECHO.encode(), keys.encode()))

    return answer


def finnhub_calls(finnhub: FinnhubResource) -> list[Callable[[], Any]]:
    return [
        finnhub.listings,
        lambda: finnhub.profile("A"),
        lambda: next(finnhub.sweep(["A"], finnhub.metrics))[1],
    ]


def alpaca_calls(alpaca: AlpacaResource) -> list[Callable[[], Any]]:
    return [
        alpaca.account,
        alpaca.now,
        lambda: alpaca.snapshots(["A"]),
        lambda: alpaca.order_by_client_id("id"),
        lambda: alpaca.submit("A", "buy", "id", qty=Decimal(1)),
        lambda: alpaca.cancel("61e69015-8549-4bfd-b9c3-01e75843f47d"),
    ]


def left_behind(error: BaseException) -> str:
    """Text of the error and of all that hangs on it, with the local variables of every frame, as rich prints them."""
    seen: list[str] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None:
            continue
        frames = traceback.TracebackException.from_exception(one, capture_locals=True)
        seen += [*frames.format(), str(one), repr(one), repr(one.args), repr(vars(one))]
        todo += [one.__cause__, one.__context__]
    return "\n".join(seen)


def failed(call: Callable[[], Any]) -> BaseException | None:
    try:
        result = call()
    except (ProviderError, SettingsError) as error:
        return error
    return result if isinstance(result, ProviderError) else None


@pytest.mark.parametrize("reply", FAILURES.values(), ids=FAILURES)
def test_no_key_is_left_behind_by_a_failed_call(
    reply: Reply, serve: Serve, finnhub_at: Any, alpaca_at: Any, caplog: pytest.LogCaptureFixture
) -> None:
    url = serve(quoting(reply)).url
    fields = {"timeout_s": 0.2, "max_attempts": 1}
    caplog.set_level(logging.DEBUG)
    finnhub, alpaca = finnhub_at(url, **fields), alpaca_at(url, **fields)
    errors = [error for call in finnhub_calls(finnhub) + alpaca_calls(alpaca) if (error := failed(call))]
    assert len(errors) >= 8, "404 means None for one call; every other call fails"
    texts = "\n".join([caplog.text, repr(finnhub), repr(alpaca), *map(left_behind, errors)])
    assert [key for key in KEYS if key in texts] == []
    for error in errors:
        assert error.__cause__ is None
        assert error.__context__ is None


def test_no_key_is_left_behind_by_a_host_that_cannot_be_reached(
    finnhub_at: Any, alpaca_at: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for url in (f"http://127.0.0.1:{closed_port()}", "http://no-such-host.invalid", "http://bad host"):
        for call in finnhub_calls(finnhub_at(url, max_attempts=1)) + alpaca_calls(alpaca_at(url, max_attempts=1)):
            error = failed(call)
            assert error is not None
            assert [key for key in KEYS if key in left_behind(error) + caplog.text] == []


@pytest.mark.parametrize("spoilt", ["{}\n", " {}", "{} {}", "{}\u2026"])
def test_a_key_that_cannot_be_a_header_is_named_by_its_variable_only(
    spoilt: str, finnhub_at: Any, alpaca_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, key, call in (
        ("FINNHUB_API_KEY", KEYS[0], lambda: finnhub_at("http://127.0.0.1:1").listings()),
        ("ALPACA_SECRET_KEY", KEYS[2], lambda: alpaca_at("http://127.0.0.1:1").account()),
    ):
        monkeypatch.setenv(variable, spoilt.replace("{}", key))
        with pytest.raises(SettingsError, match=f"{variable} holds") as caught:
            call()
        assert key not in "".join(traceback.format_exception(caught.value))


def test_no_key_is_in_the_events_of_a_dagster_run_that_failed(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = serve(quoting(FAILURES["401 that quotes the keys"])).url
    monkeypatch.setenv("FINNHUB_BASE_URL", f"{url}/api/v1")
    monkeypatch.setenv("ALPACA_TRADING_URL", url)
    monkeypatch.setenv("ALPACA_DATA_URL", url)

    @dg.asset
    def failing(finnhub: FinnhubResource) -> None:
        finnhub.listings()

    @dg.asset
    def failing_too(alpaca: AlpacaResource) -> None:
        alpaca.account()

    resources = {
        "finnhub": FinnhubResource.from_settings(load_settings()),
        "alpaca": AlpacaResource.from_settings(load_settings()),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([failing, failing_too], instance=instance, resources=resources, raise_on_error=False)
        assert not result.success
        events = "\n".join(map(repr, instance.all_logs(result.run_id)))
    out, err = capfd.readouterr()
    assert "check FINNHUB_API_KEY" in events
    assert "check ALPACA_API_KEY and ALPACA_SECRET_KEY" in events
    assert [key for key in KEYS if key in events + out + err + caplog.text] == []


def test_loading_the_resources_imports_no_client_and_no_pandas() -> None:
    heavy = ("pandas", "alpaca", "finnhub", "requests", "urllib3", "exchange_calendars")
    code = (
        "import sys, tokenomics_dagster.providers.alpaca.resource, tokenomics_dagster.providers.finnhub.resource;"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
