"""The sandbox as a process: options, administration, saved state, and its end."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.sandbox.server import SandboxError, SandboxHandle, SandboxOptions, running_sandbox
from tokenomics_dagster.sandbox.world import Sandbox, instrument_to_json

KEYS = {"X-Finnhub-Token": "sandbox", "APCA-API-KEY-ID": "PKSANDBOX", "APCA-API-SECRET-KEY": "sandbox-secret"}
SMALL = {"listings": 400, "seed": 7}
CHEAP = next(
    one
    for one in generate(7, 400).instruments.values()
    if one.tradable and one.fractionable and one.metric and Decimal(2) < one.price < Decimal(500)
)


def get(handle: SandboxHandle, path: str, **query: str) -> Any:
    answer = requests.get(f"{handle.url}{path}", params=query, headers=KEYS, timeout=10)
    answer.raise_for_status()
    return answer.json()


def buy_and_wait(handle: SandboxHandle, client_order_id: str) -> None:
    order = {"symbol": CHEAP.symbol, "notional": "1000", "side": "buy", "type": "market", "time_in_force": "day"}
    body = {**order, "client_order_id": client_order_id}
    requests.post(f"{handle.url}/v2/orders", json=body, headers=KEYS, timeout=10).raise_for_status()
    deadline = time.monotonic() + 10
    by_id = "/v2/orders:by_client_order_id"
    while get(handle, by_id, client_order_id=client_order_id)["status"] != "filled":
        assert time.monotonic() < deadline


# --- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sed": 1}, "sed is unknown; allowed are port, replay, seed"),
        ({"listings": 3}, "listings: 3 is not allowed; at least 150"),
        ({"seed": -1}, "seed: -1 is not allowed"),
        ({"finnhub_limit": ["60"]}, "'60' is not a rate; a number per s or min is allowed"),
        ({"now": "2026-08-24T14:05:00"}, "now: .* timezone"),
        ({"now": "2050-01-01T00:00:00Z"}, "outside the calendar"),
        ({"host": "example.com"}, "host: 'example.com' is not allowed: Input should be '127.0.0.1' or '0.0.0.0'"),
        ({"cash": "-5"}, "cash: '-5' is not allowed"),
        ({"cash": "1.234"}, "cash: '1.234' is not allowed"),
        ({"replay": "nowhere-2026-08-21"}, "nowhere-2026-08-21 is not a directory"),
        ({"finnhub_key": 12345}, "finnhub_key: Input should be a valid string"),
    ],
)
def test_a_wrong_option_is_one_clear_error(options: dict[str, Any], message: str):
    with pytest.raises(SandboxError, match=message), running_sandbox(**options):
        pass


def test_a_taken_port_is_one_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"port {port} of 127.0.0.1"), running_sandbox(**SMALL, port=port):
            pass


def test_no_key_is_shown_by_options_or_errors():
    options = SandboxOptions.of(finnhub_key="hush-f", alpaca_key="hush-k", alpaca_secret="hush-s")
    assert "hush" not in f"{options!r} {options}"
    with pytest.raises(SandboxError) as caught:
        SandboxOptions.of(finnhub_key=["hush-f"], alpaca_secret=["hush-s"])
    assert "hush" not in str(caught.value)


def test_the_environment_leads_every_client_here_with_the_keys_that_were_chosen():
    with running_sandbox(**SMALL, finnhub_key="f", alpaca_key="k", alpaca_secret="s") as handle:
        environment = handle.environment()
        finnhub = f"{environment['FINNHUB_BASE_URL']}/stock/profile2?symbol=X"
        assert requests.get(finnhub, headers={"X-Finnhub-Token": environment["FINNHUB_API_KEY"]}, timeout=10).ok
        keys = {
            "APCA-API-KEY-ID": environment["ALPACA_API_KEY"],
            "APCA-API-SECRET-KEY": environment["ALPACA_SECRET_KEY"],
        }
        assert requests.get(f"{environment['ALPACA_TRADING_URL']}/v2/account", headers=keys, timeout=10).ok
        latest = f"{environment['ALPACA_DATA_URL']}/v2/stocks/trades/latest"
        assert requests.get(latest, params={"symbols": CHEAP.symbol}, headers=keys, timeout=10).ok


@pytest.mark.parametrize(
    "headers",
    [{}, {"APCA-API-KEY-ID": "PKSANDBOX"}, {**KEYS, "APCA-API-SECRET-KEY": "wrong"}],
    ids=["none", "id", "wrong"],
)
def test_alpaca_refuses_wrong_and_absent_keys(sandbox: SandboxHandle, headers: dict[str, str]):
    trading = requests.get(f"{sandbox.url}/v2/account", headers=headers, timeout=10)
    assert trading.status_code == 401
    assert trading.json() == {"code": 40110000, "message": "request is not authorized"}
    data = requests.get(f"{sandbox.url}/v2/stocks/trades/latest", headers=headers, timeout=10)
    assert data.status_code == 403


def test_only_this_machine_can_reach_it(sandbox: SandboxHandle):
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        pytest.skip("this system does not list its sockets in /proc/net/tcp")
    ports = [line.split()[1] for line in listening.read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert [one for one in ports if one.endswith(f":{sandbox.port:04X}")] == [f"0100007F:{sandbox.port:04X}"]


def test_another_machine_trades_by_its_keys_and_administers_nothing():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only chooses the address that others see
        except OSError:
            pytest.skip("this machine has no address but its own")
        ours = probe.getsockname()[0]
    with running_sandbox(**SMALL, host="0.0.0.0") as handle:
        outside = f"http://{ours}:{handle.port}"
        assert requests.get(f"{outside}/v2/account", headers=KEYS, timeout=10).ok
        assert requests.get(f"{outside}/v2/account", timeout=10).status_code == 401
        refused = requests.post(f"{outside}/sandbox/cash", data='{"amount": "1.00"}', headers=KEYS, timeout=10)
        assert (refused.status_code, list(refused.json())) == (403, ["error"])
        assert requests.get(f"{outside}//sandbox/health", timeout=10).status_code == 403
        assert get(handle, "/v2/account")["cash"] == "100000"
        assert handle.admin("POST", "/sandbox/cash", {"amount": "1.00"}) == {"cash": "100001.00"}


# --- administration


def test_health_tells_what_is_served(sandbox: SandboxHandle):
    health = sandbox.admin("GET", "/sandbox/health")
    assert (health["status"], health["listings"], health["anchor"]) == ("ok", 400, "2026-08-21")
    assert health["source"]["seed"] == 7


def test_the_clock_starts_35_minutes_after_the_open_and_can_be_moved(sandbox: SandboxHandle):
    start = datetime.fromisoformat(sandbox.admin("GET", "/sandbox/clock")["now"])
    assert timedelta(0) <= start - datetime(2026, 8, 24, 14, 5, tzinfo=UTC) < timedelta(minutes=5)
    moved = datetime.fromisoformat(sandbox.admin("PUT", "/sandbox/clock", {"advance_s": 3600})["now"])
    assert timedelta(hours=1) <= moved - start < timedelta(hours=1, seconds=30)
    # 02:30 of New York's spring change does not exist; UTC knows no such gap
    sandbox.admin("PUT", "/sandbox/clock", {"now": "2027-03-14T01:59:59-05:00"})
    after = datetime.fromisoformat(sandbox.admin("PUT", "/sandbox/clock", {"advance_s": 2})["now"])
    assert timedelta(0) <= after - datetime(2027, 3, 14, 7, 0, 1, tzinfo=UTC) < timedelta(seconds=30)
    assert get(sandbox, "/v2/clock")["timestamp"].endswith("-04:00"), "the broker shows daylight saving time"
    for wrong in (
        {"now": "2026-08-24T14:05:00"},
        {"now": "yesterday"},
        {"advance_s": "60"},
        {},
        {"advance_s": True},
        {"advance_s": 1e9},
        {"advance_s": 1e99},
    ):
        with pytest.raises(SandboxError, match="/sandbox/clock"):
            sandbox.admin("PUT", "/sandbox/clock", wrong)
    sandbox.admin("PUT", "/sandbox/clock", {"now": start.isoformat()})


def test_prices_are_set_from_now_on(sandbox: SandboxHandle):
    sandbox.admin("PUT", "/sandbox/prices", {CHEAP.symbol: "123.45"})
    latest = get(sandbox, "/v2/stocks/trades/latest", symbols=CHEAP.symbol)
    assert latest["trades"][CHEAP.symbol]["p"] == 123.45
    for wrong in ({CHEAP.symbol: 0}, {CHEAP.symbol: "x"}, {CHEAP.symbol: "NaN"}, ["AAA"]):
        with pytest.raises(SandboxError, match="/sandbox/prices"):
            sandbox.admin("PUT", "/sandbox/prices", wrong)
    with pytest.raises(SandboxError, match="NOSUCH is not listed"):
        sandbox.admin("PUT", "/sandbox/prices", {CHEAP.symbol: 1, "NOSUCH": 1})
    latest = get(sandbox, "/v2/stocks/trades/latest", symbols=CHEAP.symbol)
    assert latest["trades"][CHEAP.symbol]["p"] == 123.45, "all prices are set, or none"


def test_metrics_and_profiles_are_replaced_by_put_and_merged_by_patch(sandbox: SandboxHandle):
    def metric() -> Any:
        return get(sandbox, "/api/v1/stock/metric", symbol=CHEAP.symbol, metric="all")["metric"]

    before = metric()
    sandbox.admin("PATCH", f"/sandbox/metrics/{CHEAP.symbol}", {"roeTTM": None, "new": 1.5})
    assert metric() == {**before, "roeTTM": None, "new": 1.5}
    sandbox.admin("PUT", f"/sandbox/metrics/{CHEAP.symbol}", {})
    assert metric() == {}
    sandbox.admin("PUT", f"/sandbox/profiles/{CHEAP.symbol}", {"name": "Other"})
    assert get(sandbox, "/api/v1/stock/profile2", symbol=CHEAP.symbol) == {"name": "Other"}
    with pytest.raises(SandboxError, match="NOSUCH is not listed"):
        sandbox.admin("PUT", "/sandbox/metrics/NOSUCH", {})
    with pytest.raises(SandboxError, match="a JSON object is expected, not list"):
        sandbox.admin("PUT", f"/sandbox/metrics/{CHEAP.symbol}", [1])


def test_listings_come_and_go(sandbox: SandboxHandle):
    made = {**instrument_to_json(CHEAP), "symbol": "NEWCO", "price": "12.34", "tradable": False}
    sandbox.admin("POST", "/sandbox/listings", made)
    assert sandbox.admin("GET", "/sandbox/listings/NEWCO") == made
    listed = [one["symbol"] for one in get(sandbox, "/api/v1/stock/symbol", exchange="US")]
    assert listed[-1] == "NEWCO"
    assert get(sandbox, "/v2/assets/NEWCO")["tradable"] is False
    sandbox.admin("POST", "/sandbox/listings", {"symbol": "NEWCO", "tradable": True})
    assert get(sandbox, "/v2/assets/NEWCO")["tradable"] is True, "fields left out stay as they are"
    sandbox.admin("DELETE", "/sandbox/listings/NEWCO")
    assert "NEWCO" not in [one["symbol"] for one in get(sandbox, "/api/v1/stock/symbol", exchange="US")]
    with pytest.raises(SandboxError, match="NEWCO is not listed"):
        sandbox.admin("DELETE", "/sandbox/listings/NEWCO")
    for wrong, message in (
        ({**made, "price": "-1"}, "a price above 0 USD"),
        ({**made, "colour": "red"}, "colour is unknown; allowed are symbol"),
        ({"symbol": "HALF"}, "description: Field required"),
    ):
        with pytest.raises(SandboxError, match=message):
            sandbox.admin("POST", "/sandbox/listings", wrong)


def test_what_is_held_or_on_order_cannot_be_taken_off_the_market():
    with running_sandbox(**SMALL) as handle:
        buy_and_wait(handle, "held")
        with pytest.raises(SandboxError, match="has a position or an open order"):
            handle.admin("DELETE", f"/sandbox/listings/{CHEAP.symbol}")
        assert get(handle, "/v2/positions")[0]["symbol"] == CHEAP.symbol


def test_cash_flows_and_restrictions_reach_the_account(sandbox: SandboxHandle):
    before = Decimal(get(sandbox, "/v2/account")["cash"])
    sandbox.admin("POST", "/sandbox/cash", {"amount": "2500.50"})
    assert Decimal(get(sandbox, "/v2/account")["cash"]) == before + Decimal("2500.50")
    for wrong in ({"amount": "x"}, {"amount": "0.001"}, {"amount": "-1e9"}, {}):
        with pytest.raises(SandboxError, match="/sandbox/cash"):
            sandbox.admin("POST", "/sandbox/cash", wrong)
    sandbox.admin("PUT", "/sandbox/account", {"trading_blocked": True})
    assert get(sandbox, "/v2/account")["trading_blocked"] is True
    with pytest.raises(SandboxError, match="blocked is unknown; allowed are status"):
        sandbox.admin("PUT", "/sandbox/account", {"blocked": True})
    sandbox.admin("PUT", "/sandbox/account", {})
    assert get(sandbox, "/v2/account")["trading_blocked"] is False


def test_broker_and_clock_can_be_put_back_to_an_earlier_state(sandbox: SandboxHandle):
    before = sandbox.admin("GET", "/sandbox/broker")
    account, orders = get(sandbox, "/v2/account"), get(sandbox, "/v2/orders", status="all")
    buy_and_wait(sandbox, "taken-back")
    sandbox.admin("PUT", "/sandbox/clock", {"advance_s": 86_400})
    for wrong in (
        {},
        {"now": before["now"]},
        {**before, "more": 1},
        {**before, "book": {**before["book"], "cash": "1"}},
    ):
        with pytest.raises(SandboxError, match="/sandbox/broker"):
            sandbox.admin("PUT", "/sandbox/broker", wrong)
    assert get(sandbox, "/v2/orders", status="all") != orders, "what is refused changes nothing"
    sandbox.admin("PUT", "/sandbox/broker", before)
    assert get(sandbox, "/v2/account") == account
    assert get(sandbox, "/v2/orders", status="all") == orders
    passed = datetime.fromisoformat(sandbox.admin("GET", "/sandbox/clock")["now"])
    assert timedelta(0) <= passed - datetime.fromisoformat(before["now"]) < timedelta(seconds=30)
    buy_and_wait(sandbox, "taken-back")
    sandbox.admin("PUT", "/sandbox/broker", before)


def test_calls_are_counted_per_endpoint_until_they_are_reset(sandbox: SandboxHandle):
    for symbol in ("A", "B"):
        get(sandbox, "/api/v1/stock/profile2", symbol=symbol)
        requests.get(f"{sandbox.url}/v2/orders/{symbol}", headers=KEYS, timeout=10)
    requests.get(f"{sandbox.url}/api/v1//stock/profile2", timeout=10)
    requests.delete(f"{sandbox.url}/v2/orders", headers=KEYS, timeout=10)
    sandbox.admin("GET", "/sandbox/health")
    assert sandbox.admin("GET", "/sandbox/calls") == {
        "DELETE /v2/orders": 1,
        "GET /api/v1/stock/profile2": 3,
        "GET /v2/orders/{order_id}": 2,
    }
    sandbox.admin("DELETE", "/sandbox/calls")
    assert sandbox.admin("GET", "/sandbox/calls") == {}


def test_an_impossible_body_is_refused(sandbox: SandboxHandle):
    for body in ("{", '{"AAA": NaN}'):
        answer = requests.put(f"{sandbox.url}/sandbox/prices", data=body, timeout=10)
        assert answer.status_code == 400
        assert answer.json()["error"]


# --- state


def test_everything_that_was_changed_is_there_again_after_a_restart(tmp_path: Path):
    path = tmp_path / "state.json"
    with running_sandbox(**SMALL, state=path, cash="5000", volatility_pct=1.5) as handle:
        buy_and_wait(handle, "before")
        gone = next(symbol for symbol in generate(7, 400).instruments if symbol != CHEAP.symbol)
        handle.admin("DELETE", f"/sandbox/listings/{gone}")
        handle.admin("PATCH", f"/sandbox/metrics/{CHEAP.symbol}", {"roeTTM": 33.25})
        handle.admin("PUT", "/sandbox/prices", {CHEAP.symbol: "77.70"})
        handle.admin("POST", "/sandbox/cash", {"amount": "12.34"})
        handle.admin("PUT", "/sandbox/clock", {"now": "2026-08-26T15:00:00Z"})
        seen = {name: handle.admin("GET", name) for name in (f"/sandbox/listings/{CHEAP.symbol}", "/sandbox/health")}
        orders, fills = get(handle, "/v2/orders", status="all"), get(handle, "/v2/account/activities/FILL")
        cash, positions = get(handle, "/v2/account")["cash"], get(handle, "/v2/positions")
        price = get(handle, "/v2/stocks/trades/latest", symbols=CHEAP.symbol)["trades"][CHEAP.symbol]["p"]
    with running_sandbox(state=path) as handle:
        health = handle.admin("GET", "/sandbox/health")
        assert health["source"] == seen["/sandbox/health"]["source"]
        assert (health["listings"], health["now"][:16]) == (399, "2026-08-26T15:00")
        assert handle.admin("GET", f"/sandbox/listings/{CHEAP.symbol}") == seen[f"/sandbox/listings/{CHEAP.symbol}"]
        assert get(handle, "/v2/orders", status="all") == orders
        assert get(handle, "/v2/account/activities/FILL") == fills
        assert get(handle, "/v2/account")["cash"] == cash
        assert get(handle, "/v2/positions")[0]["qty"] == positions[0]["qty"]
        latest = get(handle, "/v2/stocks/trades/latest", symbols=CHEAP.symbol)["trades"][CHEAP.symbol]["p"]
        assert latest == pytest.approx(price, rel=0.001), "the price path goes on where it was"
        buy_and_wait(handle, "after")
        repeat = {"symbol": CHEAP.symbol, "notional": "10", "side": "buy", "type": "market", "time_in_force": "day"}
        answer = requests.post(
            f"{handle.url}/v2/orders", json={**repeat, "client_order_id": "before"}, headers=KEYS, timeout=10
        )
        assert answer.json()["code"] == 40010001, "an id used before the restart stays used"


@pytest.mark.soak
def test_a_replayed_market_is_remembered_with_its_folder(tmp_path: Path, recorded: Path):
    path = tmp_path / "state.json"
    with running_sandbox(replay=recorded, state=path):
        pass
    with running_sandbox(state=path) as handle:
        health = handle.admin("GET", "/sandbox/health")
        assert health["source"]["replay"] == str(recorded.resolve())
        assert health["listings"] == 3428


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("saved") / "state.json"
    Sandbox(SandboxOptions.of(**SMALL, cash="5000", state=path)).save()
    return path.read_text()


@pytest.mark.parametrize(
    "option", [{"seed": 8}, {"listings": 200}, {"volatility_pct": 1.0}, {"cash": "5000.01"}, {"replay": "elsewhere"}]
)
def test_an_option_that_disagrees_with_the_saved_state_is_refused(tmp_path: Path, saved: str, option: dict[str, Any]):
    path = tmp_path / "state.json"
    path.write_text(saved)
    with pytest.raises(SandboxError, match=f"{next(iter(option))}: .* does not agree with the state file"):
        Sandbox(SandboxOptions.of(state=path, **option))
    assert Sandbox(SandboxOptions.of(state=path, **SMALL, cash="5000.00")).source["cash"] == "5000.00"


def corrupted(saved: str, key: str, value: Any) -> str:
    return json.dumps({**json.loads(saved), key: value})


def test_a_corrupt_state_is_one_clear_error_and_is_left_as_it_is(tmp_path: Path, saved: str):
    path = tmp_path / "state.json"
    broker = json.loads(saved)["broker"]
    for text, message in (
        ("", "Invalid JSON.*delete it to start anew"),
        ("[]", "file: Input should be an object"),
        (saved[:-20], "Invalid JSON"),
        (corrupted(saved, "version", 99), "version: Input should be 1 or 2"),
        (corrupted(saved, "removed", ["NOSUCH"]), "delete it to start anew"),
        (corrupted(saved, "changed", [{"symbol": "X"}]), "delete it to start anew"),
        (corrupted(saved, "prices", {CHEAP.symbol: [["soon", "1"]]}), "delete it to start anew"),
        (corrupted(saved, "prices", {CHEAP.symbol: [["2026-08-24T14:05:00+00:00", "one"]]}), "delete it to start anew"),
        (corrupted(saved, "now", "today"), "delete it to start anew"),
        (corrupted(saved, "source", {}), "delete it to start anew"),
        (corrupted(saved, "broker", {**broker, "cash": "1.00"}), "delete it to start anew"),
    ):
        path.write_text(text)
        with pytest.raises(SandboxError, match=message):
            Sandbox(SandboxOptions.of(state=path))
        assert path.read_text() == text


def test_a_state_is_written_wholly_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "state.json"
    sandbox = Sandbox(SandboxOptions.of(**SMALL, state=path))
    sandbox.save()
    before = path.read_text()

    def disk_full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(SandboxError, match="cannot be written: No space left on device"):
        sandbox.save()
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path], "nothing half-written is left behind"


def test_a_place_that_cannot_be_written_shows_at_the_start(tmp_path: Path):
    missing = tmp_path / "absent" / "state.json"
    with pytest.raises(SandboxError, match="cannot be written: No such file"), running_sandbox(**SMALL, state=missing):
        pass


def test_a_reset_puts_everything_back_to_how_it_began(sandbox: SandboxHandle):
    sandbox.admin("POST", "/sandbox/reset")
    symbol = requests.get(f"{sandbox.url}/api/v1/stock/symbol?exchange=US&token=sandbox").json()[0]["symbol"]
    paths = (f"/sandbox/listings/{symbol}", "/sandbox/faults")
    began = [sandbox.admin("GET", path) for path in paths]
    sandbox.admin("PATCH", f"/sandbox/metrics/{symbol}", {"roeTTM": 12345.0})
    sandbox.admin("PUT", "/sandbox/faults", [{"kind": "500", "endpoint": "GET /api/*"}])
    sandbox.admin("POST", "/sandbox/cash", {"amount": "5"})
    sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-01T14:05:00Z"})
    assert all(sandbox.admin("GET", path) != before for path, before in zip(paths, began, strict=True))
    sandbox.admin("POST", "/sandbox/reset")
    assert [sandbox.admin("GET", path) for path in paths] == began
    assert sandbox.admin("POST", "/sandbox/cash", {"amount": "1"}) == {"cash": "100001.00"}
    assert sandbox.admin("GET", "/sandbox/calls") == {}
    assert sandbox.admin("GET", "/sandbox/clock")["now"].startswith("2026-08-24T14:05")


def test_saving_without_a_file_is_refused(sandbox: SandboxHandle):
    with pytest.raises(SandboxError, match="started without a state file"):
        sandbox.admin("POST", "/sandbox/save")


# --- process


def test_a_sandbox_that_dies_does_not_pass_unnoticed():
    def kill() -> None:
        with running_sandbox(**SMALL) as handle:
            handle.process.kill()
            handle.process.wait(10)

    with pytest.raises(SandboxError, match=r"did not end well \(-9\)"):
        kill()


def test_a_state_that_cannot_be_saved_at_the_end_is_an_error(tmp_path: Path):
    folder = tmp_path / "will-be-gone"
    folder.mkdir()

    def lose_the_folder() -> None:
        with running_sandbox(**SMALL, state=folder / "state.json"):
            shutil.rmtree(folder)

    with pytest.raises(SandboxError, match="cannot be written: No such file"):
        lose_the_folder()


def test_it_saves_when_it_is_terminated(tmp_path: Path):
    path = tmp_path / "state.json"
    with running_sandbox(**SMALL, state=path) as handle:
        handle.admin("POST", "/sandbox/cash", {"amount": "1.00"})
        handle.process.terminate()
        handle.process.wait(10)
        assert (handle.process.returncode, handle.log()) == (0, "")
    assert Decimal(json.loads(path.read_text())["broker"]["cash"]) == Decimal("100001.00")


def test_one_that_saves_now_and_then_is_there_again_after_it_was_killed(tmp_path: Path):
    path = tmp_path / "state.json"
    fills: list[Any] = []

    def trade_and_be_killed() -> None:
        with running_sandbox(**SMALL, state=path, save_every_s=1) as handle:
            buy_and_wait(handle, "before")
            fills.extend(get(handle, "/v2/account/activities/FILL"))
            seen, deadline = time.time(), time.monotonic() + 10
            while path.stat().st_mtime <= seen:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            handle.process.kill()

    with pytest.raises(SandboxError, match="did not end well"):
        trade_and_be_killed()
    with running_sandbox(state=path) as handle:
        assert get(handle, "/v2/account/activities/FILL") == fills != []


def test_it_ends_at_once_although_a_client_is_still_waiting():
    with running_sandbox(**SMALL) as handle:
        handle.admin("PUT", "/sandbox/faults", [{"kind": "timeout", "endpoint": "GET /*"}])
        with socket.create_connection(("127.0.0.1", handle.port)) as waiting:
            waiting.sendall(b"GET /v2/account HTTP/1.1\r\nHost: x\r\n\r\n")
            while handle.admin("GET", "/sandbox/faults")[0]["fired"] == 0:
                pass
            start = time.monotonic()
            handle.process.terminate()
            handle.process.wait(15)
    assert time.monotonic() - start < 10


def test_it_ends_with_the_process_that_started_it():
    code = (
        "from tokenomics_dagster.sandbox.server import running_sandbox\n"
        "import os, signal, sys\n"
        "with running_sandbox(listings=150) as handle:\n"
        "    sys.stdout.write(str(handle.port)); sys.stdout.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(told.stdout)), timeout=1).close()
        except ConnectionRefusedError:
            break
        assert time.monotonic() < deadline, "the sandbox outlived its parent"
        time.sleep(0.05)


@pytest.mark.soak
def test_the_whole_market_starts_fast_and_answers_cheaply():
    with running_sandbox() as handle, requests.Session() as session:
        assert cpu_seconds(handle.process.pid) < 10, "1.2 s on a fast core"
        session.headers.update(KEYS)
        url = f"{handle.url}/api/v1/stock/metric?metric=all"
        symbols = [one["symbol"] for one in get(handle, "/api/v1/stock/symbol", exchange="US")]
        assert len(symbols) == 8000
        cpu_before = cpu_seconds(handle.process.pid)
        for symbol in symbols[:500]:
            session.get(url, params={"symbol": symbol}, timeout=10)
        assert cpu_seconds(handle.process.pid) - cpu_before < 0.5, "a metric costs well under 1 ms of the server's CPU"


def cpu_seconds(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        pytest.skip("this system does not count a process's CPU in /proc")
    user, system = stat.read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
