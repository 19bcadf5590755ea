"""`tokenomics halt | resume | approve | audit` as a person types them, on the sandbox."""

import io
import json
import re
import sys
import time
import warnings
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._daemon.types import DaemonHeartbeat

from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster_tests.conftest import failure_of
from tokenomics_dagster_tests.execution.test_controls import save_plan
from tokenomics_dagster_tests.settings.test_loading import MONSTERS

with warnings.catch_warnings():
    # typer 0.25 imports names that click 8.4 deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from tokenomics_dagster.interfaces.cli.main import main
    from tokenomics_dagster.interfaces.cli.tables import table_of
    from tokenomics_dagster.interfaces.cli.terminal import out

WEEK = "2026-08-24"


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def tokenomics(monkeypatch, capsys):
    """Runs the command in this process."""

    def run(*arguments, typed=""):
        monkeypatch.setattr(sys, "argv", ["tokenomics", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        monkeypatch.setattr(out, "width", 200)
        monkeypatch.setenv("LOGNAME", "ann")
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def database(platform):
    """That of a platform that has run: the commands make none."""
    assert platform.store.audit_head().count == 0


def plan_of(platform, **changes):
    """A plan that the broker's account could carry out now; saved as trade_plan saves it."""
    with platform.broker() as broker:
        now, number = broker.clock().now, broker.account().number
    values = {
        "week": date.fromisoformat(WEEK),
        "created_at": now,
        "account": number,
        "equity": Decimal("100000.00"),
        "cash": Decimal("40000.00"),
        "scores_as_of": now - timedelta(days=1),
        "positions": {"AAA": Decimal(300)},
        "inputs_hash": "x",
        "orders": (
            PlannedOrder("AAA", "sell", Decimal(300), None, Decimal("200.00"), exit=True),
            PlannedOrder("BBB", "buy", None, Decimal("30000.00"), Decimal("10.00")),
        ),
    }
    made = Plan(**{**values, **changes}).sealed()
    save_plan(platform.store, made)
    return made


def test_a_halt_is_recorded_with_its_reason_user_and_the_brokers_time(platform, tokenomics):
    said = tokenomics("halt", "  the feed\n looks [/wrong]  ")
    assert said.code == 0
    halt = platform.store.halted()
    assert (halt.reason, halt.by) == ("the feed looks [/wrong]", "ann")
    with platform.broker() as broker:
        assert timedelta(0) <= broker.clock().now - halt.at < timedelta(minutes=1)
    assert f"halted by ann at {WEEK} 10:0" in said.out
    assert "the feed looks [/wrong]" in said.out
    assert f"recorded in {platform.folder}/warehouse.db" in said.out
    assert "stops before its next order" in said.out
    assert "this machine's" not in said.out


def test_a_halt_says_whether_a_message_of_it_goes_out(platform, tokenomics, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "")
    assert "whether a message of it is sent is not known" in tokenomics("halt", "drill").out
    home = dagster_home(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert "no message of it is sent now: no daemon of" in tokenomics("halt", "drill").out
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for daemon in ("SCHEDULER", "SENSOR"):
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), daemon, "one", []))
    said = tokenomics("halt", "drill")
    assert (said.code, "stale_or_failed tells of it by message at its next look" in said.out) == (0, True)


@pytest.mark.parametrize("reason", ["", "  ", "\n\t"])
def test_a_reason_must_be_printable_text(platform, tokenomics, reason):
    for command in ("halt", "resume"):
        said = tokenomics(command, reason)
        assert said.code == 2
        assert "a reason of printable text is needed" in said.err
    assert platform.store.audit_records() == []


def test_a_terminal_without_unicode_is_told_of_a_halt_as_any_other(platform, tokenomics, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert tokenomics("halt", "the caf\xe9 is\u200b shut").code == 0
    assert platform.store.halted().reason == "the caf\xe9 is\ufffd shut"
    assert b"the caf? is? shut\n" in shown.getvalue()
    assert b"a running rebalance stops before its next order" in shown.getvalue()


def test_a_halt_needs_neither_broker_nor_certificates_nor_settings_nor_a_user_name(platform, tokenomics, monkeypatch):
    def nameless():
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setenv("ALPACA_TRADING_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("getpass.getuser", nameless)
    said = tokenomics("halt", "broker is away")
    assert said.code == 0
    assert "this machine's" in said.out
    halt = platform.store.halted()
    assert abs(datetime.now(UTC) - halt.at) < timedelta(minutes=1)
    assert halt.by.startswith("uid ")
    with monkeypatch.context() as environment:
        environment.setenv("ALPACA_TRADING_URL", "https://127.0.0.1:9")
        environment.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
        assert tokenomics("halt", "and no \x1b[2Jcall can be made\u200b").code == 0
    assert platform.store.halted().reason == "and no \ufffd[2Jcall can be made\ufffd"
    platform.settings_file.write_text("trading: [")
    assert tokenomics("halt", "and the settings are broken").code == 0
    assert platform.store.halted().reason == "and the settings are broken"


def test_a_broker_that_hangs_delays_a_halt_by_seconds_only(platform, tokenomics):
    platform.sandbox.admin("PUT", "/sandbox/faults", [{"endpoint": "* /v2/*", "kind": "timeout", "seconds": 30}])
    began = time.monotonic()
    said = tokenomics("halt", "broker hangs")
    assert time.monotonic() - began < 10
    assert said.code == 0
    assert platform.store.halted().reason == "broker hangs"


def test_a_halt_that_cannot_be_recorded_says_that_nothing_is_halted(platform, tokenomics, monkeypatch):
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://user:sesame@127.0.0.1:1/none")
    said = tokenomics("halt", "enough", "--cancel-orders")
    assert said.code == 1
    assert "NOT halted" in said.err
    assert "no order was cancelled either" in " ".join(said.err.split())
    assert "sesame" not in said.err


def test_a_halt_in_a_database_that_nobody_used_says_so(platform, tokenomics):
    assert "nothing had been recorded there before" in tokenomics("halt", "enough").out
    assert "nothing had been recorded there before" not in tokenomics("halt", "enough").out


def test_a_halt_is_refused_where_two_places_name_two_databases_and_only_there(platform, tokenomics, monkeypatch):
    env = platform.folder / ".env"
    env.write_text("ALPACA_API_KEY=another\n")
    said = tokenomics("halt", "enough")
    assert said.code == 0
    assert "ALPACA_API_KEY: the environment says one thing" in said.out, "the broker was not asked, and why"
    env.write_text(f"TOKENOMICS_DATABASE_URL=sqlite:///{platform.folder}/other.db\n")
    said = tokenomics("halt", "enough")
    assert said.code == 1
    assert "trading is NOT halted" in said.err
    assert f"TOKENOMICS_DATABASE_URL: the environment says one thing and {env} another" in said.err
    for arguments in (["status"], ["resume", "go on"], ["audit", "verify"], ["known", WEEK], ["check"]):
        said = tokenomics(*arguments)
        assert said.code == 1
        assert f"TOKENOMICS_DATABASE_URL: the environment says one thing and {env}" in said.out + said.err
    assert not (platform.folder / "other.db").exists()


def test_commands_name_account_and_database_and_where_each_comes_from(platform, tokenomics):
    with platform.broker() as broker:
        number = broker.account().number
    database = f"{platform.folder}/warehouse.db (TOKENOMICS_DATABASE_URL is from the environment)"
    account = f"paper account {number} at 127.0.0.1 (ALPACA_API_KEY is from the environment, ALPACA_TRADING_URL from"
    for arguments in (["halt", "enough"], ["status"], ["check"], ["resume", "go on"]):
        told = " ".join(tokenomics(*arguments).out.split())
        assert account in told
        assert database in told
    plan = plan_of(platform, orders=())
    told = tokenomics("approve", plan.plan_id, "--yes").out
    assert account in told
    assert database in told


@pytest.mark.parametrize("content", [None, b""])
@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["halt", "enough"], "trading is NOT halted"),
        (["resume", "go on"], ""),
        (["status"], ""),
        (["audit", "verify"], ""),
        (["audit", "show", WEEK], ""),
        (["known", WEEK], ""),
        (["check"], ""),
        (["metrics", "--once"], ""),
    ],
)
def test_a_command_on_a_database_that_is_not_there_makes_none_names_it_and_fails(
    platform, tokenomics, monkeypatch, content, arguments, what
):
    file = platform.folder / "elsewhere" / "warehouse.db"
    if content is not None:
        file.parent.mkdir()
        file.write_bytes(content)
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{file}")
    said = tokenomics(*arguments)
    assert said.code == 1
    told = said.out + said.err
    assert "Traceback" not in told
    if arguments[0] == "metrics":
        assert "tokenomics_up 0.0" in told
    else:
        assert f"file {file}" in " ".join(told.split())
    assert what in told
    assert file.exists() == (content is not None)
    assert content is None or file.read_bytes() == b""


def test_an_audit_without_any_record_is_not_called_whole(platform, tokenomics):
    said = tokenomics("audit", "verify")
    assert said.code == 1
    assert f"nothing is recorded in {platform.folder}/warehouse.db" in said.err


def open_orders(platform, count):
    with platform.broker() as broker:
        symbols = sorted(a.symbol for a in broker.assets().values() if a.tradable)[:count]
        for symbol in symbols:
            broker.submit(symbol, "buy", f"x-{symbol}", qty=Decimal(200), limit_price=Decimal("0.01"))
        assert len(broker.orders(status="open")) == count


def test_a_settings_file_with_a_date_that_is_none_stops_no_halt(platform, tokenomics):
    (platform.folder / "settings.yaml").write_text("rebalancing: {first_week: 2026-02-30}\n")
    said = tokenomics("halt", "enough")
    assert said.code == 0
    assert platform.store.halted().reason == "enough"
    assert "holds a value that cannot be read" in " ".join(said.out.split())


@pytest.mark.parametrize("text", MONSTERS.values(), ids=MONSTERS)
def test_a_settings_file_that_is_a_monster_stops_no_halt(platform, tokenomics, text):
    (platform.folder / "settings.yaml").write_text(text)
    assert tokenomics("halt", "enough").code == 0
    assert platform.store.halted().reason == "enough"


def test_what_nobody_foresaw_stops_no_halt_and_is_told(platform, tokenomics, monkeypatch):
    def gone(*_):
        raise MemoryError

    monkeypatch.setattr("yaml.parse", gone)
    said = tokenomics("halt", "enough")
    assert said.code == 0
    assert platform.store.halted().reason == "enough"
    assert "this machine's, for the broker's clock cannot be read: MemoryError, which nobody foresaw" in said.out


def test_open_orders_stay_unless_the_halt_is_to_cancel_them(platform, tokenomics):
    open_orders(platform, 3)
    said = tokenomics("halt", "enough")
    assert "orders that are open at the broker stay open" in said.out
    with platform.broker() as broker:
        assert len(broker.orders(status="open")) == 3
        # A key of another provider that was replaced while the platform runs keeps nobody from cancelling.
        (platform.folder / ".env").write_text("FINNHUB_API_KEY=new\nREDIS_PORT=high\n")
        said = tokenomics("halt", "enough", "--cancel-orders")
        assert said.code == 0
        assert "the keys open the paper account" in said.out
        assert "asked to cancel 3 open orders" in said.out
        deadline = time.monotonic() + 10  # a cancel is asked for, and takes effect later
        while broker.orders(status="open"):
            assert time.monotonic() < deadline
    told = platform.store.audit_records()
    assert [r.kind for r in told] == ["halt", "halt", "cancel_orders"]
    assert told[-1].payload == {"open": 3, "refused": 0, "by": "ann"}


def test_orders_that_could_not_be_cancelled_fail_the_command_but_not_the_halt(platform, tokenomics):
    open_orders(platform, 1)
    platform.sandbox.admin("PUT", "/sandbox/faults", [{"endpoint": "DELETE /v2/orders", "kind": "500"}])
    said = tokenomics("halt", "enough", "--cancel-orders")
    assert said.code == 1
    assert "trading is halted by ann" in said.out
    assert "no answer came to the cancel" in said.err
    assert platform.store.halted().reason == "enough"


def test_resume_lifts_the_halt_and_tells_it(platform, tokenomics):
    said = tokenomics("resume", "why not")
    assert (said.code, said.err) == (0, ""), "there is nothing to do"
    assert "nothing is halted" in said.out
    tokenomics("halt", "enough")
    said = tokenomics("resume", "looked at it")
    assert said.code == 0
    assert platform.store.halted() is None
    assert "resumed by ann" in said.out
    assert re.search(r"it was halted by ann at 2026-08-24 10:0\d:\d\d New York: enough", said.out)
    assert tokenomics("resume", "once more").code == 0
    assert [record.kind for record in platform.store.audit_records()] == ["halt", "resume"]


def tamper(platform, statement):
    """Changes the database as somebody would who has its password."""
    with platform.store._engine.begin() as connection:
        assert connection.execute(sa.text(statement)).rowcount == 1


def test_a_plan_is_shown_and_approved_when_the_person_says_so(platform, tokenomics):
    platform.configure(trading__approval="manual")
    made = plan_of(platform)
    said = tokenomics("approve", made.plan_id, typed="n\n")
    assert said.code == 1
    assert platform.store.approval(made.plan_hash) is None
    for shown in (
        "trading.approval is manual",
        made.account,
        "100,000.00 USD",
        "cash 40,000.00 USD",
        "1, 1 of them exits, 60,000.00 USD",
        "1, 30,000.00 USD",
        "45.0% of equity",
        "sell all",
        "AAA",
        "BBB",
    ):
        assert shown in said.out
    said = tokenomics("approve", made.plan_id, typed="y\n")
    assert said.code == 0
    assert f"plan {made.plan_id} is approved by ann" in said.out
    assert f"--select orders,portfolio_report --partition {WEEK}" in said.out
    approval = platform.store.approval(made.plan_hash)
    assert (approval.plan_id, approval.by) == (made.plan_id, "ann")
    assert tokenomics("approve", made.plan_id, "--yes").code == 0


def test_a_plan_within_the_limits_is_said_not_to_wait(platform, tokenomics):
    assert "it does not wait" in tokenomics("approve", plan_of(platform, orders=()).plan_id, "--yes").out


def test_plans_that_could_not_be_traded_are_not_approved(platform, tokenomics):
    late = plan_of(platform, week=date(2026, 8, 17))
    foreign = plan_of(platform, account="PA000000000")
    changed = plan_of(platform)
    tamper(platform, "update snapshots set details = replace(details, '30000.00', '90000.00') where id = 3")
    unreadable = plan_of(platform, inputs_hash="unreadable")
    tamper(platform, "update snapshots set details = replace(details, '\"symbol\"', '\"cymbal\"') where id = 4")
    replaced = plan_of(platform, inputs_hash="first")
    plan_of(platform, inputs_hash="second")
    for plan_id, code, reason in (
        ("x", 2, "a plan's id is its sleeve, its period"),
        (f"{WEEK}-0123456789ab", 1, "there is no plan"),
        (late.plan_id, 1, "of the week of 2026-08-17"),
        (foreign.plan_id, 1, "was made for account PA000000000"),
        (changed.plan_id, 1, "was changed after it was made"),
        (unreadable.plan_id, 1, "cannot be read"),
        (replaced.plan_id, 1, "has been replaced by a newer one"),
    ):
        said = tokenomics("approve", plan_id, "--yes")
        assert said.code == code
        assert reason in said.err
    assert {record.kind for record in platform.store.audit_records()} == {"snapshot"}


def buy_by_hand(platform, count=2):
    """The symbols and shares of stocks that somebody holds who is not the platform."""
    with platform.broker() as broker:
        symbols = sorted(one.symbol for one in broker.assets().values() if one.tradable)[:count]
        for number, symbol in enumerate(symbols, start=1):
            broker.submit(symbol, "buy", f"by-hand-{number}", qty=Decimal(number))
        while broker.positions().keys() < set(symbols):
            time.sleep(0.01)
    return symbols


def test_stocks_that_no_strategy_has_bought_are_adopted_by_a_person(platform, tokenomics):
    first, second = buy_by_hand(platform)
    shown = tokenomics("status").out
    assert f"`tokenomics adopt {first}` lets it be traded" in shown
    refused = tokenomics("adopt", first, typed="n\n")
    assert refused.code == 1
    before_it_asks = " ".join(refused.out.split("Let the strategy have them?")[0].split())
    with platform.broker() as broker:
        assert f"held in the paper account {broker.account().number} at 127.0.0.1" in before_it_asks
    assert f"to be recorded in {platform.store.address}" in before_it_asks
    assert platform.store.audit_records() == []
    said = tokenomics("adopt", first.lower(), typed="y\n")
    assert said.code == 0
    assert "stocks that no strategy has bought here" in said.out
    assert f"{first}: adopted by ann at {WEEK}" in said.out
    assert "the next plan counts with them, and sells what is no target" in said.out
    story = tokenomics("audit", "show", WEEK, "--all").out
    assert re.search(rf"adoption +1 shares of {re.escape(first)} \(by ann\)", story)
    shown = tokenomics("status").out
    assert f"`tokenomics adopt {first}`" not in shown
    assert f"`tokenomics adopt {second}`" in shown
    assert tokenomics("adopt", "--all", "--yes").code == 0
    assert [record.payload["symbol"] for record in platform.store.audit_records()] == [first, second]
    assert tokenomics("audit", "verify").code == 0


def test_what_is_not_held_or_the_strategys_already_is_not_adopted_and_nothing_with_it(platform, tokenomics):
    first, second = buy_by_hand(platform)
    assert tokenomics("adopt", first, "--yes").code == 0
    said = tokenomics("adopt", second, first, "NOSUCH", "--yes")
    assert said.code == 1
    assert "nothing is adopted" in said.err
    assert f"{first} is the strategy's already" in said.err
    assert "the account holds no shares of NOSUCH" in said.err
    assert len(platform.store.audit_records()) == 1
    assert tokenomics("adopt", second, "--yes").code == 0
    said = tokenomics("adopt", "--all", "--yes")
    assert (said.code, "there is nothing to adopt" in said.out) == (0, True)
    said = tokenomics("adopt", first, second, "--yes")
    assert (said.code, f"{second} is the strategy's already" in said.out) == (0, True)
    for wrong in ((), (first, "--all"), ("",), (" ",), (f"{first}\n{second}",)):
        assert tokenomics("adopt", *wrong).code == 2


def test_where_everything_is_traded_nothing_is_adopted_and_a_blocked_account_is_not_asked_for(platform, tokenomics):
    first, _ = buy_by_hand(platform)
    platform.configure(trading__foreign_positions="sell")
    said = tokenomics("adopt", "--all", "--yes")
    assert said.code == 0
    assert "left alone, for trading.foreign_positions is sell: there is nothing to adopt" in " ".join(said.out.split())
    said = tokenomics("adopt", first, "--yes")
    assert (said.code, f"{first} is the strategy's already, for trading.f" in said.out) == (0, True)
    platform.configure(trading__foreign_positions="leave")
    platform.sandbox.admin("PUT", "/sandbox/account", {"trading_blocked": True})
    said = tokenomics("adopt", first, "--yes")
    assert (said.code, "has trading_blocked set" in said.err) == (1, True)
    assert platform.store.audit_records() == []


@pytest.mark.soak
def test_a_week_with_approval_halt_and_resume_is_traded_once_and_told_in_order(platform, tokenomics):
    platform.configure(trading__approval="manual")
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    waits = failure_of(platform.run("rebalance", week=WEEK))
    plan_id = re.findall(r"`tokenomics approve (\S+)`", waits)[0]
    assert platform.calls("POST /v2/orders") == 0
    assert tokenomics("approve", plan_id, "--yes").code == 0
    tokenomics("halt", "wait a moment")
    only = [dg.AssetKey("orders")]
    halted = failure_of(platform.run("rebalance", week=WEEK, asset_selection=only))
    assert "wait a moment" in halted
    assert platform.calls("POST /v2/orders") == 0
    tokenomics("resume", "go on")
    platform.must_run("rebalance", week=WEEK, asset_selection=only)
    assert platform.calls("POST /v2/orders") == 20

    said = tokenomics("audit", "verify")
    assert said.code == 0
    assert f"{platform.store.audit_head().count:,} records" in said.out
    assert platform.store.audit_head().hash in said.out

    short = tokenomics("audit", "show", "2026-08-28").out
    assert len(short.splitlines()) <= 15
    assert f"{platform.store.audit_head().count} records tell it; --all shows each of them" in short
    for about, line in (
        ("equity", r"100,000\.00 USD, of it cash 100,000\.00 USD, at 2026-08-24 10:\d\d:\d\d New York"),
        ("planned", r"0 sells of 0\.00 USD and 20 buys of [\d,]+\.\d\d USD, turnover \d\d\.\d% of equity"),
        ("traded", r"\d\d fills: bought [\d,]+\.\d\d USD"),
        ("not traded", "nothing: all that was meant was traded"),
        ("stopped", "at 2026-08-24 10:"),
        ("approvals", r"plan \S+ by ann at 2026-08-24 10:"),
        ("halts", r"halted by ann at 2026-08-24 10:\d\d:\d\d New York: wait a moment"),
        ("books", r"agree with the broker's \(20 positions, cash [\d,]+\.\d\d USD\)"),
    ):
        assert re.search(rf"^{about} +{line}", short, re.MULTILINE), about
    story = tokenomics("audit", "show", "2026-08-28", "--all", "--json", str(platform.folder / "week.json")).out
    assert story.startswith(short.partition(" records tell it")[0].rpartition("\n")[0])
    document = json.loads((platform.folder / "week.json").read_text())
    assert {one["about"] for one in document["summary"]} >= {"equity", "planned", "traded", "books"}
    lines = story.partition("\n\n")[2].splitlines()
    assert len(document["records"]) == len(lines)
    assert len(lines) == platform.store.audit_head().count
    kinds = [line.split()[4] for line in lines]
    order = ("stopped", "approval", "halt", "stopped", "resume", "order", "fill", "reconciliation")
    places = [kinds.index("stopped"), *(kinds.index(kind) for kind in order[1:3])]
    places += [kinds.index("stopped", places[-1]), *(kinds.index(kind) for kind in order[4:])]
    assert places == sorted(places)
    assert all(re.match(r" *\d+  Mon 2026-08-24 10:\d\d:\d\d  ", line) for line in lines)
    assert re.search(r"halt +wait a moment \(by ann\)", story)
    assert re.search(r"approval +plan \S+ \(by ann\)", story)
    assert re.search(r"order +buy [A-Z.]+, [\d,]+\.\d\d USD: intended", story)
    assert re.search(r"order +buy [A-Z.]+, .*: filled, [\d.]+ shares filled at [\d,]+\.\d\d USD", story)
    assert re.search(r"fill +buy [A-Z.]+, [\d.]+ shares at [\d,]+\.\d\d USD = [\d,]+\.\d\d USD", story)
    assert re.search(r"reconciliation +\d+ fills, 20 positions, cash .* USD expected: the books agree", story)


def test_a_flawed_audit_is_told_by_its_first_bad_record(platform, tokenomics):
    for number in range(3):
        tokenomics("halt", f"reason {number}")
    tamper(platform, "update audit set payload = replace(payload, 'reason 1', 'nothing') where seq = 2")
    said = tokenomics("audit", "verify")
    assert said.code == 1
    assert "record 2 was changed" in said.err
    assert f"{platform.folder}/warehouse.db" in said.err


def test_a_head_noted_elsewhere_finds_what_two_statements_have_removed(platform, tokenomics):
    for reason in ("slow", "enough"):
        tokenomics("halt", reason)
    (first, second) = platform.store.audit_records()
    said = tokenomics("audit", "verify", "--head", second.hash, "--count", "2")
    assert said.code == 0
    assert "record 2 has the hash that was noted" in said.out
    said = tokenomics("audit", "verify", "--head", second.hash, "--count", "3")
    assert said.code == 1
    assert "is that of record 2" in said.err
    for wrong in (["--head", second.hash[:-1]], ["--count", "2"]):
        assert tokenomics("audit", "verify", *wrong).code == 2
    tamper(platform, "delete from audit where seq = 2")
    tamper(platform, f"update audit_head set count = 1, hash = '{first.hash}'")
    assert tokenomics("audit", "verify").code == 0, "the chain by itself cannot tell"
    said = tokenomics("audit", "verify", "--head", second.hash)
    assert said.code == 1
    assert f"no record of the audit in {platform.folder}/warehouse.db has the hash {second.hash}" in said.err


def test_texts_of_others_are_shown_as_they_are_and_move_no_cursor(platform, tokenomics):
    with platform.broker() as broker:
        platform.store.halt(
            "looks [/wrong] [link=http://evil]x[/link] :smile: \x1b[2J", by="[red]", at=broker.clock().now
        )
    said = tokenomics("status")
    assert said.code == 0
    assert "looks [/wrong] [link=http://evil]x[/link] :smile: \ufffd[2J" in said.out
    assert "[red]" in said.out


def test_a_narrow_terminal_folds_a_long_name_and_cuts_none(monkeypatch, capsys):
    monkeypatch.setattr(out, "width", 30)
    name = f"/srv/{'x' * 60}/warehouse.db"
    table = table_of("looked at", "", "")
    table.add_row("database", name)
    out.print(table)
    assert name in "".join(capsys.readouterr().out.split())


def test_a_story_tells_records_that_it_does_not_know_and_weeks_without_any(platform, tokenomics):
    now = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
    platform.store.audit("phase", {"phase": "odd\nphase", "speed": 7}, at=now, week=date(2026, 11, 30))
    platform.store.audit("news", {"a": "[b]", "c": None}, at=now, week=date(2026, 11, 30))
    assert tokenomics("audit", "show", "2026-12-04", "--all").out.partition("\n\n")[2].splitlines() == [
        "     1  Mon 2026-11-30 10:00:00  phase           phase odd phase, speed 7",
        "     2  Mon 2026-11-30 10:00:00  news            a [b], c None",
    ]
    short = tokenomics("audit", "show", "2026-12-04").out
    assert re.search(r"equity +what is recorded of it cannot be read: see the records", short)
    assert re.search(r"planned +nothing: there was no plan", short)
    assert "nothing is recorded of the week of 2026-08-24" in tokenomics("audit", "show", "2026-08-30").out
    said = tokenomics("audit", "show", "last week")
    assert said.code == 2
    assert "any date of the week is needed" in said.err
