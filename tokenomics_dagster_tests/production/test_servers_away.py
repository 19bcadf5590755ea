"""PostgreSQL or Redis goes away in the middle: the run waits or fails with a sentence, and goes on when run again."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2  # type: ignore[import-untyped]
import pytest
import redis
import sqlalchemy as sa
import yaml

from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.kit import alive
from tokenomics_dagster.operations import decisions
from tokenomics_dagster.operations.common import InstanceUnusable, dagster_instance
from tokenomics_dagster.operations.metrics import scrape_once
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.storage import publishing
from tokenomics_dagster.storage.publishing import Publisher, PublishError
from tokenomics_dagster.storage.records import WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.automation.conftest import run_of
from tokenomics_dagster_tests.conftest import Platform, failure_of
from tokenomics_dagster_tests.production.conftest import PostgresServer, RedisServer, beside, wait_until
from tokenomics_dagster_tests.storage.test_warehouse import T0, ledger_order, metrics, weights
from tokenomics_dagster_tests.storage.writers import ACCOUNT, WEEK, _fill

METRIC, POST = "GET /api/v1/stock/metric", "POST /v2/orders"


@pytest.fixture
def server_store(postgres) -> Iterator[Warehouse]:
    with closing(Warehouse(postgres.new_database("warehouse"))) as store:
        yield store


def test_what_begins_while_the_server_is_away_waits_for_it(postgres, server_store):
    server_store.append_fact("financials", Financials, metrics("A", T0))
    postgres.stop()
    with beside(postgres.start):
        server_store.append_fact("financials", Financials, metrics("B", T0))
    with postgres.away():
        pass  # the pool's connections are dead, and nobody has noticed
    assert list(server_store.latest_facts("financials", Financials)["symbol"]) == ["A", "B"]


def test_a_server_that_stays_away_is_one_sentence_without_the_password(postgres, server_store):
    server_store._url = server_store._url.set(password="sesame")
    server_store._patience_s = 0.2
    with (
        postgres.away(),
        pytest.raises(WarehouseError, match=r"(?s)^warehouse postgresql\S* .*the server runs") as refused,
    ):
        server_store.halted()
    assert "sesame" not in str(refused.value)
    assert "\n" not in str(refused.value)
    with postgres.away(), pytest.raises(WarehouseError, match="the server runs"):
        Warehouse(postgres.url)  # at once: who halts or checks must not wait


def test_a_transaction_that_the_server_left_is_not_there_and_not_tried_again(postgres, server_store):
    server_store.record_order(ledger_order())
    tries = 0

    def write() -> None:
        nonlocal tries
        with server_store._audited() as (_, append):
            append("phase", {"phase": "buy"}, T0, WEEK)
            tries += 1
            postgres.stop()

    try:
        with pytest.raises(WarehouseError, match="the server runs"):
            write()
    finally:
        postgres.start()
    assert tries == 1
    assert [record.kind for record in server_store.audit_records()] == ["order"]
    assert server_store.verify_audit() is None


WRITES: dict[str, Callable[[Warehouse], Any]] = {
    "fact": lambda store: store.append_fact("financials", Financials, metrics("A", T0)),
    "order": lambda store: store.record_order(ledger_order(account=ACCOUNT)),
    "fills": lambda store: store.save_fills([_fill("1"), _fill("2")]),
    "equity": lambda store: store.mark_equity(ACCOUNT, Decimal("1.5"), T0),
    "snapshot": lambda store: store.save_snapshot("target_weights", TargetWeights, weights(), run_id="r"),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_commit_whose_answer_was_lost_is_told_and_repeating_it_adds_nothing(server_store, monkeypatch, write):
    server_store._facts_table("financials", Financials)
    server_store._rows_table("target_weights", TargetWeights)
    commit = server_store._engine.dialect.do_commit
    commits = 0

    def lose_the_answer(connection: Any) -> None:
        nonlocal commits
        commits += 1
        commit(connection)
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as line:
        line.setattr(server_store._engine.dialect, "do_commit", lose_the_answer)
        with pytest.raises(WarehouseError, match="closed the connection"):
            WRITES[write](server_store)
    assert commits == 1
    WRITES[write](server_store)
    assert len(server_store.latest_facts("financials", Financials)) == (write == "fact")
    assert len(server_store.orders_of_week(ACCOUNT, WEEK)) == (write == "order")
    assert len(server_store.fills_of(ACCOUNT, T0)) == 2 * (write == "fills")
    # A table that is stored again is a snapshot more, and each is told by the audit.
    assert server_store.audit_head().count == {"order": 1, "fills": 2, "snapshot": 2}.get(write, 0)
    assert {equity for _, equity in server_store.equity_marks(ACCOUNT)} == (
        {Decimal("1.5")} if write == "equity" else set()
    )
    newest = server_store.load_snapshot("target_weights", TargetWeights)
    assert (newest is not None) == (write == "snapshot")
    assert server_store.verify_audit() is None


def test_figures_that_are_known_are_not_replaced_by_others_of_the_same_instant(store):
    store.append_fact("financials", Financials, metrics("A", T0, roe=1.0))
    with pytest.raises(WarehouseError, match="known already, with other figures"):
        store.append_fact("financials", Financials, metrics("A", T0, roe=2.0))
    assert list(store.latest_facts("financials", Financials)["roe_ttm_pct"]) == [1.0]


def test_after_its_lock_was_lost_a_process_reads_and_writes_nothing_more(postgres, server_store):
    with server_store.exclusive("x"):
        server_store.record_order(ledger_order())
        with postgres.away():
            pass
        for _ in range(2):
            with pytest.raises(WarehouseError, match=r"the lock x was lost.*run it again"):
                server_store.record_order(ledger_order(status="new"))
            with pytest.raises(WarehouseError, match="the lock x was lost"):
                server_store.halted()
    assert [row.status for row in server_store.orders_of_week("PA1", WEEK)] == ["intended"]
    with server_store.exclusive("x"):
        server_store.record_order(ledger_order(status="new"))


@pytest.mark.soak
def test_a_sweep_and_a_rebalance_survive_servers_that_go_away(on_postgres, postgres, redis_server, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setattr(publishing, "_PATIENCE_S", 0.2)
    on_postgres.must_run("universe_refresh")
    sweep_while_the_servers_go(on_postgres, postgres, redis_server)

    run = on_postgres.run("score")
    assert "Redis at 127.0.0.1" in failure_of(run)
    assert "check that the server runs" in failure_of(run)
    scores = on_postgres.store.load_snapshot("scores", Scores)
    assert len(scores) == 60
    redis_server.start()
    on_postgres.must_run("score")
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert set(client.zrange("fundamentals:scores", 0, -1)) == set(scores[scores["score"].notna()]["symbol"])

    redis_server.stop()  # no matter to a rebalance
    rebalance_while_the_database_goes(on_postgres, postgres)


@pytest.mark.soak
def test_a_rebalance_survives_a_restart_of_the_server_that_holds_dagsters_storage_too(
    on_postgres, postgres, instance_on_postgres
):
    platform = replace(on_postgres, instance=instance_on_postgres)
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    slow_down(platform, POST, 0.05)

    def restart() -> None:
        wait_until(lambda: platform.calls(POST) >= 5, "the first orders")
        with postgres.away():
            pass

    with beside(restart):
        run = platform.run("rebalance", week=str(WEEK))
    assert not run.success
    recorded = {record.dagster_run.status for record in platform.instance.get_run_records(limit=1)}
    assert recorded == {dg.DagsterRunStatus.FAILURE}, "nobody would be told, and its slots be held"
    platform.must_run("rebalance", week=str(WEEK))
    filled = Counter(order["symbol"] for order in book(platform)["orders"] if Decimal(order["filled_qty"]))
    assert set(filled.values()) == {1}
    assert set(filled) == set(platform.broker().positions())
    assert platform.store.verify_audit() is None


def tells_of_the_database(run: dg.ExecuteInProcessResult) -> bool:
    said = failure_of(run)
    return "warehouse postgresql" in said or "lost with its connection to the database" in said


def sweep_while_the_servers_go(platform: Platform, postgres: PostgresServer, redis_server: RedisServer) -> None:
    """It waits for the database, or stops and goes on; nothing is asked for twice or stored twice."""
    slow_down(platform, METRIC, 0.1)

    def restart() -> None:
        wait_until(lambda: platform.calls(METRIC) >= 20, "the sweep to get going")
        redis_server.stop()
        with postgres.away():
            pass

    with beside(restart):
        run = platform.run("fundamentals_refresh")
    asked, stored = platform.calls(METRIC), len(platform.store.latest_facts("financials", Financials))
    if run.success:
        assert (asked, stored) == (60, 60)
    else:  # the server was met within a transaction
        assert tells_of_the_database(run)
        assert 0 < stored < 60
        platform.must_run("fundamentals_refresh")
        # Answers that waited to be stored are gone, up to pacing.MAX_UNREAD. Calls that were under way, up to 8
        # (finnhub.max_in_flight), may be counted late.
        assert 60 - stored <= platform.calls(METRIC) - asked <= 60 - stored + 8
    assert len(platform.store.latest_facts("financials", Financials)) == 60
    with platform.store._read() as connection:
        assert connection.scalar(sa.text("select count(*) from financials")) == 60


def rebalance_while_the_database_goes(platform: Platform, postgres: PostgresServer) -> None:
    """It stops, no order is out without its row, and the next run ends as planned with nothing traded twice."""
    slow_down(platform, POST, 0.05)

    def stop() -> None:
        wait_until(lambda: platform.calls(POST) >= 5, "the first orders")
        postgres.stop()

    try:
        with beside(stop):
            run = platform.run("rebalance", week=str(WEEK))
    finally:
        postgres.start()
    assert not run.success
    assert tells_of_the_database(run)
    account = platform.broker().account().number
    sent = {order["client_order_id"] for order in book(platform)["orders"]}
    known = {row.client_order_id for row in platform.store.orders_of_week(account, WEEK)}
    assert 5 <= len(sent) < 20
    assert sent <= known
    assert len(known - sent) <= 1

    platform.must_run("rebalance", week=str(WEEK))
    weights_now = platform.store.load_snapshot("target_weights", TargetWeights, partition=str(WEEK))
    assert weights_now is not None
    assert set(platform.broker().positions()) == set(weights_now["symbol"])
    filled = Counter(order["symbol"] for order in book(platform)["orders"] if Decimal(order["filled_qty"]))
    assert set(filled.values()) == {1}
    assert {row.status for row in platform.store.orders_of_week(account, WEEK)} <= {"filled", "abandoned"}
    assert platform.store.verify_audit() is None


def slow_down(platform: Platform, endpoint: str, seconds: float) -> None:
    platform.sandbox.admin("PUT", "/sandbox/faults", [{"kind": "slow", "endpoint": endpoint, "seconds": seconds}])


def book(platform: Platform) -> dict[str, Any]:
    found: dict[str, Any] = platform.sandbox.admin("GET", "/sandbox/broker")["book"]
    return found


def test_a_redis_that_comes_back_within_seconds_is_waited_for(redis_server, monkeypatch):
    with closing(Publisher(redis_server.url)) as publisher:
        publisher.publish_universe({"A": 2.0}, T0)
        redis_server.stop()
        with beside(redis_server.start):
            publisher.publish_universe({"A": 2.0, "B": 1.0}, T0)
        redis_server.stop()
        monkeypatch.setattr(publishing, "_PATIENCE_S", 0.2)
        with pytest.raises(PublishError, match="check that the server runs") as refused:
            publisher.publish_universe({"A": 2.0}, T0)
        assert "sesame" not in str(refused.value)
        redis_server.start()


@pytest.mark.parametrize("plugin", ["", "?plugin=tokenomics"])
def test_after_a_restart_of_the_server_the_webserver_answers_at_once(
    dagster_url: str, postgres: PostgresServer, tmp_path: Any, plugin: str
) -> None:
    """Its storages keep a connection each; without the plugin the first call of each meets a dead one."""
    address = sa.make_url(dagster_url)
    if plugin:
        address = address.update_query_dict({"plugin": "tokenomics"})
    shown = address.render_as_string(hide_password=False)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": {"postgres": {"postgres_url": shown}}}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.optimize_for_webserver(statement_timeout=15_000, pool_recycle=3600, max_overflow=20)
        calls: list[Callable[[], Any]] = [
            lambda: instance.get_runs(limit=1),
            lambda: instance.all_asset_keys(),
            lambda: instance.all_instigator_state(),
        ]
        for call in calls:
            call()
        with postgres.away():
            pass
        failed = 0
        for call in calls:
            try:
                call()
            except sa.exc.OperationalError:
                failed += 1
        assert failed == (0 if plugin else len(calls))


def test_that_dagsters_storage_is_away_is_told_in_a_sentence_and_ends_nobody_who_looks(
    instance_on_postgres: dg.DagsterInstance, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """dagster-postgres raises an error of no kind of Dagster's own where it has tried to connect some times."""
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda seconds: None)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster-on-postgres"))
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{tmp_path}/warehouse.db")
    Warehouse(f"sqlite:///{tmp_path}/warehouse.db").close()
    died = run_of("score")
    instance_on_postgres.add_run(died)
    lock = Path(instance_on_postgres.storage_directory()) / "alive" / died.run_id
    lock.parent.mkdir(parents=True)
    lock.write_text("pid 1 on a machine that is gone")
    monkeypatch.setattr(alive, "LOOK_S", 0.05)
    with alive._watching(instance_on_postgres):
        with postgres.away():
            text, readable = scrape_once()
            assert not readable
            assert "\ntokenomics_up 1.0\n" in text
            assert "\ntokenomics_dagster_up 0.0\n" in text
            assert "No such file or directory" in decisions._who_tells()
            with pytest.raises(InstanceUnusable, match="No such file or directory"), dagster_instance():
                pass
        wait_until(lambda: not lock.exists(), "the run that died is found once the database is back")
    assert scrape_once()[1]
