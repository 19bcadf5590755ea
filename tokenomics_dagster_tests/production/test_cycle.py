"""The whole cycle with Dagster's own storage and the warehouse on real PostgreSQL, and Redis; and from backups."""

import json
import subprocess
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
import redis
import sqlalchemy as sa

from tokenomics_dagster.fundamentals.schema import Scores
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.settings.environment import load_environment
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import Universe
from tokenomics_dagster_tests.end_to_end.conftest import tokenomics
from tokenomics_dagster_tests.storage.schemas import libpq, postgres_program

WEEK = "2026-08-24"
POST = "POST /v2/orders"


@pytest.fixture
def instance(instance_on_postgres: dg.DagsterInstance) -> dg.DagsterInstance:
    return instance_on_postgres


def tables(url: str) -> set[str]:
    engine = sa.create_engine(url)
    names = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return names


def back_up(url: str, file: Path) -> Path:
    """By the commands of docs/operations.md."""
    options = ["--format=custom", "--no-owner", "--no-privileges", f"--file={file}"]
    subprocess.run([postgres_program("pg_dump"), *options, libpq(url)], check=True)
    return file


def restore(file: Path, url: str) -> str:
    options = ["--no-owner", "--exit-on-error", "--single-transaction", f"--dbname={libpq(url)}"]
    subprocess.run([postgres_program("pg_restore"), *options, file], check=True)
    return url


@pytest.mark.soak
def test_a_cycle_runs_on_postgresql_and_redis_and_continues_from_backups(
    on_postgres, postgres, dagster_url, redis_server, monkeypatch, tmp_path
):
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    url = load_environment().tokenomics_database_url.get_secret_value()
    on_postgres.must_run("universe_refresh", "fundamentals_refresh", "score")
    before = back_up(url, tmp_path / "before.dump")
    on_postgres.must_run("rebalance", week=WEEK)
    after = back_up(url, tmp_path / "after.dump")

    store = on_postgres.store
    universe = store.load_snapshot("universe", Universe)
    scores = store.load_snapshot("scores", Scores)
    weights = store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    assert len(universe) == len(scores) == 60
    held = on_postgres.broker().positions()
    assert set(held) == set(weights["symbol"])
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert json.loads(client.get("fundamentals:universe"))["symbols"] == list(universe["symbol"])
        assert client.zcard("fundamentals:scores") == scores["score"].notna().sum()

    # Dagster keeps what is its own in its own database of the same server.
    jobs = [record.dagster_run.job_name for record in on_postgres.instance.get_run_records()]
    assert jobs == ["rebalance", "score", "fundamentals_refresh", "universe_refresh"]
    assert {"runs", "event_logs"} <= tables(dagster_url)
    assert not {"runs", "event_logs"} & tables(url)
    assert not {"orders_ledger", "audit"} & tables(dagster_url)

    # What was restored is whole, and goes on: also without the rows of orders that the broker has.
    posted, head = on_postgres.calls(POST), store.audit_head()
    # Before the rebalance the audit held the hash of the scores.
    for file, records in ((after, head.count), (before, 1)):
        restored = restore(file, postgres.new_database("restored"))
        verified = tokenomics("audit", "verify", cwd=tmp_path, TOKENOMICS_DATABASE_URL=restored)
        assert verified.code == 0, verified
        assert f"{records:,} records" in verified.out
        assert (head.hash in verified.out) == (file is after)
        monkeypatch.setenv("TOKENOMICS_DATABASE_URL", restored)
        on_postgres.must_run("rebalance", week=WEEK)
        assert on_postgres.calls(POST) == posted
        assert on_postgres.broker().positions() == held
        with closing(Warehouse(restored)) as continued:
            assert continued.audit_head().count > records
            assert continued.verify_audit() is None


@pytest.mark.soak
def test_the_warehouse_refuses_the_database_of_dagster(instance, dagster_url, tmp_path):
    assert "snapshots" in tables(dagster_url)
    done = tokenomics("audit", "verify", cwd=tmp_path, TOKENOMICS_DATABASE_URL=dagster_url)
    assert "give the warehouse a database of its own" in done.refused()
    assert "audit" not in tables(dagster_url)
