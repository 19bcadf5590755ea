"""`make image-test`: the image, built and run for real without a container engine. Not found by a plain `pytest`.

Needs Linux, root, and Debian's packages buildah and debootstrap. The base is a stand-in of Debian's packages, made once
and kept under .venv; with IMAGE_TEST_BASE=pinned it is the one that the Dockerfile pins, pulled. Containers are
processes in mount and process namespaces of their own on the image's files, read-only, with the commands and the
environment of docker-compose.yaml; they share the host's network, where PostgreSQL, Redis and the sandbox are. Not
shown: limits of memory and CPU, other architectures, Docker's own reading of the files.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import requests
import sqlalchemy as sa
import yaml

from tokenomics_dagster.interfaces.demo import FAST
from tokenomics_dagster.model import calendar
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.end_to_end.test_dagster_processes import REPO, Ui, until
from tokenomics_dagster_tests.image import compose

STORE = REPOSITORY / ".venv/image-test"
BASE, IMAGE = "localhost/stand-in:latest", "localhost/tokenomics:test"
UID = 10001
LARGEST_MB = 700  # 545 MB of packages were measured; the base comes on top
CANARY = "canary-5b7e0c1f"
SECRETS = [
    ".env", ".env.production", "config/.env", "docker/id_rsa", "tokenomics_dagster/.env",
    "tokenomics_dagster/credentials.json", "tokenomics_dagster/storage/id_rsa", "tokenomics_dagster/storage/.secret",
    "tokenomics_dagster/__pycache__/old.pyc", ".git/config", ".tokenomics/warehouse.db", "warehouse.db",
    "tokenomics_dagster_tests/notes.py",
]  # fmt: skip
COMPILERS = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|cpp|clang|ld|as|make|cmake|ninja|rustc|cargo|go|tcc)(-[\d.]+)?")


def buildah(*arguments: str | Path, **options: Any) -> str:
    command = ["buildah", "--root", STORE / "storage", "--runroot", STORE / "run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"buildah {arguments[0]}: {done.stderr[-3000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    pinned = os.environ.get("IMAGE_TEST_BASE") == "pinned"
    needed = ["buildah", "unshare", "nsenter", *([] if pinned else ["debootstrap"])]
    missing = [name for name in needed if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        pytest.exit(
            f"make image-test needs root and the programs {', '.join(needed)}; here "
            + (
                f"{', '.join(missing)} is missing (apt-get install buildah debootstrap)"
                if missing
                else "it is not root"
            ),
            returncode=1,
        )


@dataclass(frozen=True)
class Image:
    """The built image: its files, its configuration, and how long the build took."""

    root: Path
    config: dict[str, Any]
    build_s: float

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    def files(self) -> Iterator[Path]:
        """All files, as paths within the image; what the kernel shows in /proc and the like is none of it."""
        for folder, folders, names in os.walk(self.root):
            inside = Path("/") / Path(folder).relative_to(self.root)
            if inside == Path("/"):
                folders[:] = [name for name in folders if name not in ("proc", "sys", "dev")]
            yield from (inside / name for name in names)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    context = tmp_path_factory.mktemp("context")
    listed = subprocess.check_output(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=REPOSITORY, text=True)
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, context / name)
    for name in SECRETS:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(CANARY)
    STORE.mkdir(exist_ok=True)
    base: list[str] = []
    if os.environ.get("IMAGE_TEST_BASE") != "pinned":
        if BASE not in buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
            _make_stand_in(tmp_path_factory.mktemp("base"))
        base = ["--pull-never", f"--build-arg=BASE_IMAGE={BASE}"]
    begun = time.monotonic()
    volume = "/etc/ssl/certs:/etc/ssl/certs:ro"
    # Layers are kept, so that the next test builds only what has changed.
    options = [
        "--isolation=chroot",
        "--layers",
        "--format=docker",
        f"--volume={volume}",
        "--build-arg=REVISION=abc",
        *base,
    ]
    buildah("bud", *options, "-t", IMAGE, context)
    build_s = time.monotonic() - begun
    container = buildah("from", "--pull-never", IMAGE)
    try:
        config = json.loads(buildah("inspect", "--type=image", IMAGE))["Docker"]["config"]
        yield Image(Path(buildah("mount", container)), config, build_s)
    finally:
        buildah("rm", container)


def _make_stand_in(folder: Path) -> None:
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(
        ["debootstrap", "--variant=minbase", packages, "bookworm", folder], check=True, stdout=subprocess.DEVNULL
    )
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, folder, "/")
    buildah("commit", "--quiet", container, BASE)
    buildah("rm", container)


def test_nothing_of_the_build_context_but_the_platform_is_in_the_image(image: Image) -> None:
    found = subprocess.run(
        ["grep", "-rlF", CANARY, *(str(p) for p in image.root.iterdir() if p.name not in ("proc", "sys", "dev"))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 1, f"{found.stdout} {found.stderr}"  # 1: grep has read everything and found nothing
    ours = [p for p in image.files() if "tokenomics" in str(p) and p.suffix != ".pyc"]
    package = Path("/opt/venv/lib") / next((image.root / "opt/venv/lib").glob("python3*")).name / "site-packages"
    code = {p.relative_to(package) for p in ours if p.is_relative_to(package / "tokenomics_dagster")}
    modules = (REPOSITORY / "tokenomics_dagster").rglob("*.py")
    assert code == {module.relative_to(REPOSITORY) for module in modules}
    assert not [p for p in ours if "tokenomics_dagster_tests" in p.parts]
    assert sorted(p.name for p in image.files() if p.parts[1] == "app") == [
        "healthcheck.py", "settings.yaml", "workspace.yaml",
    ]  # fmt: skip


def test_no_compiler_installer_cache_test_or_secret_is_in_the_image(image: Image) -> None:
    files = list(image.files())
    programs = [p for p in files if p.parent.name in ("bin", "sbin", "libexec")]
    assert len(programs) > 100
    assert not [
        p for p in programs if COMPILERS.fullmatch(p.name) or re.fullmatch(r"(pip|uv|uvx|conda|hatch)[\d.]*", p.name)
    ]
    assert not [p for p in files if {"pip", "ensurepip", "hatchling", "setuptools"} & set(p.parts)]
    assert not [
        p for p in files if ".cache" in p.parts or (p.is_relative_to("/root") and p.name not in (".bashrc", ".profile"))
    ]
    assert not [p for p in files if p.is_relative_to("/opt/venv") and "tests" in p.parent.parts]
    assert not [p for p in files if p.name.startswith((".env", "id_rsa", "id_ed25519")) or p.name in (".git", ".netrc")]
    keys = subprocess.run(
        ["grep", "-rlE", "^-----BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY-----$", image.root / "opt", image.root / "app"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert keys.returncode == 1, keys.stdout + keys.stderr
    assert not [name for name in image.environment if re.search("KEY|SECRET|PASSWORD|TOKEN$", name)]


def test_the_image_is_small_and_belongs_to_root_but_for_the_compute_logs(image: Image) -> None:
    size = int(subprocess.check_output(["du", "-sm", "--exclude=proc", image.root / "opt"], text=True).split()[0])
    print(f"\nbuilt in {image.build_s:.0f} s, {size} MB above the base")  # noqa: T201  the figures that are asked for
    assert size < LARGEST_MB
    assert image.config["User"] == f"{UID}:{UID}"
    assert image.config["WorkingDir"] == "/app"
    assert image.config["Labels"]["org.opencontainers.image.revision"] == "abc"
    assert not image.config.get("Entrypoint")
    authorities = image.root / image.environment["SSL_CERT_FILE"].removeprefix("/")
    assert authorities.read_text().count("BEGIN CERTIFICATE") > 50
    writable = []
    for folder, folders, names in os.walk(image.root):
        for name in [*folders, *names]:
            path = Path(folder, name)
            found = path.lstat()
            if not path.is_symlink() and (UID in (found.st_uid, found.st_gid) or found.st_mode & 0o002):
                writable.append("/" + str(path.relative_to(image.root)))
    ours = [p for p in writable if not p.startswith(("/dev", "/proc", "/sys", "/tmp", "/var/tmp", "/run", "/var/lock"))]
    assert ours == ["/opt/dagster/home/storage"]


@dataclass(frozen=True)
class Container:
    """A process 1 on the image's files."""

    image: Image
    environment: dict[str, str]
    process: "subprocess.Popen[bytes]"
    first: int  # process 1 of the container, by its number here
    log: Path

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """A command in the running container, like `docker exec`."""
        assert self.process.poll() is None, f"it has ended: {self.log.read_text()[-3000:]}"
        enter = [
            "nsenter",
            f"--target={self.first}",
            "--mount",
            "--pid",
            "--root",
            f"--setuid={UID}",
            f"--setgid={UID}",
        ]
        return subprocess.run(
            [*enter, *_clean(self.environment), *command], capture_output=True, text=True, check=False, timeout=120
        )

    def check_health(self) -> "subprocess.CompletedProcess[str]":
        kind, *command = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*command)

    def until_healthy(self, seconds: float) -> float:
        begun = time.monotonic()
        while (found := self.check_health()).returncode:
            assert time.monotonic() - begun < seconds, f"{found.stdout}{found.stderr}{self.log.read_text()[-3000:]}"
            time.sleep(0.2)
        return time.monotonic() - begun


def _child(process: "subprocess.Popen[bytes]") -> int:
    """The one child of a process, as soon as it is there."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return until(lambda: int(path.read_text() or 0), 10, "unshare to fork")


def _clean(environment: dict[str, str]) -> list[str]:
    return ["env", "-i", "-C", "/app", *(f"{name}={value}" for name, value in environment.items())]


# Its own mounts: the image read-only, a /tmp of its own, the volume, and the settings where the deployment puts them.
CONTAINER = """
set -e
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/tmp"
mount --bind "$2" "$1/opt/dagster/home/storage"
mount --bind "$3" "$1/app/config/settings.yaml"
root=$1; shift 3
exec setpriv --no-new-privs chroot --userspec=10001:10001 "$root" "$@"
"""


@dataclass(frozen=True)
class Deployment:
    """docker-compose.yaml on this machine: `here` replaces its names and ports by those of the test's servers."""

    image: Image
    folder: Path
    services: dict[str, Any]
    here: dict[str, str]
    sandbox: SandboxHandle

    @contextmanager
    def container(self, service: str) -> Iterator[Container]:
        """A service until the block ends; one that still runs must then end on SIGTERM, as `docker stop` asks."""
        given = self.services[service]
        environment = self.image.environment | {name: self._local(v) for name, v in given["environment"].items()}
        command = _clean(environment) + [self._local(word) for word in given["command"]]
        namespaces = ["unshare", "--mount", "--propagation=private", "--pid", "--fork"]
        places = [self.image.root, self.folder / "volume", self.folder / "settings.yaml"]
        log = self.folder / f"{service}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*namespaces, "sh", "-c", CONTAINER, "sh", *places, *command], stdout=output, stderr=subprocess.STDOUT
            )
        first = _child(process)
        try:
            yield Container(self.image, environment, process, first, log)
            if process.poll() is None:
                os.kill(first, signal.SIGTERM)
                process.wait(30)
        finally:
            if process.poll() is None:
                os.kill(first, signal.SIGKILL)  # and the kernel ends everything in its namespace
                process.wait()

    def _local(self, value: str) -> str:
        if value in self.here:
            return self.here[value]
        for name, address in self.here.items():
            value = value.replace(name, address) if ":" in name else value
        return value

    def week(self) -> str:
        """The week of the sandbox's clock, as the broker tells it."""
        now = datetime.fromisoformat(self.sandbox.admin("GET", "/sandbox/clock")["now"])
        return calendar.week_of(now).isoformat()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a PostgreSQL with the two databases, reached by TCP and password as in docker-compose.yaml."""
    wheel = importlib.util.find_spec("pgserver")
    on_path = shutil.which("initdb")
    if wheel is None and on_path is None:
        pytest.exit("make image-test needs PostgreSQL: pgserver (Python 3.11, 3.12) or initdb on PATH", returncode=1)
    programs = Path(str(wheel.origin)).parent / "pginstall/bin" if wheel else Path(str(on_path)).parent
    nobody: dict[str, Any] = {"user": 65534, "group": 65534, "check": True, "stdout": subprocess.DEVNULL}
    folder = Path("/tmp") / f"image-test-{os.getpid()}"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    password = folder / "password"
    password.write_text(compose.PASSWORDS["POSTGRES_PASSWORD"])
    password.chmod(0o444)
    port = free_port()
    data = folder / "data"
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "tokenomics", "-A", "scram-sha-256", f"--pwfile={password}"],
            **nobody,
        )
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -k {folder}"
        subprocess.run([programs / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start"], **nobody)
        try:
            with _connected(port, "postgres") as connection:
                connection.execute(sa.text("create database tokenomics"))
                connection.execute(sa.text((REPOSITORY / "docker/create-databases.sql").read_text()))
            yield port
        finally:
            subprocess.run([programs / "pg_ctl", "-D", data, "-w", "-m", "fast", "stop"], **nobody)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _connected(port: int, database: str) -> Iterator[sa.Connection]:
    password = compose.PASSWORDS["POSTGRES_PASSWORD"]
    url = f"postgresql+psycopg2://tokenomics:{password}@127.0.0.1:{port}/{database}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture
def deployment(image: Image, postgres: int, redis_url: str, tmp_path: Path) -> Iterator[Deployment]:
    document = yaml.safe_load((REPOSITORY / "config/settings.yaml").read_text())
    for section, values in FAST.items():
        document[section].update(values)
    document["universe"]["size"] = 60
    document["rebalancing"].update(top_n_stocks=20, max_position_pct=10.0)
    document["schedules"]["sensors_every_s"] = 5
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "volume").mkdir()
    os.chown(tmp_path / "volume", UID, UID)
    with running_sandbox(listings=500, seed=7) as sandbox:
        here = {
            "redis": "127.0.0.1",
            "code": "127.0.0.1",
            "6379": str(urlsplit(redis_url).port),
            "4000": str(free_port()),
            "3000": str(free_port()),
            "postgres:5432": f"127.0.0.1:{postgres}",
            "sandbox:8790": f"127.0.0.1:{sandbox.port}",
        }
        yield Deployment(image, tmp_path, compose.services(compose.PASSWORDS), here, sandbox)


def test_the_cycle_runs_in_containers_of_the_image(deployment: Deployment, postgres: int, redis_url: str) -> None:
    seconds: dict[str, float] = {}
    with deployment.container("migrate") as migrate:
        begun = time.monotonic()
        assert migrate.process.wait(120) == 0, migrate.log.read_text()
        seconds["migrate"] = time.monotonic() - begun
    with ExitStack() as running:
        code = running.enter_context(deployment.container("code"))
        assert code.check_health().returncode != 0, "healthy before it can have loaded the code"
        seconds["code server healthy"] = code.until_healthy(120)
        webserver = running.enter_context(deployment.container("webserver"))
        daemon = running.enter_context(deployment.container("daemon"))
        seconds["webserver healthy"] = webserver.until_healthy(120)
        seconds["daemon healthy"] = daemon.until_healthy(120)

        url = f"http://127.0.0.1:{deployment.here['3000']}"
        (script, *_) = re.findall(r'src="(/[^"]+\.js)"', requests.get(url, timeout=30).text)
        assert requests.get(url + script, timeout=30).ok
        begun = time.monotonic()
        ui = Ui(url)
        succeeded(ui, launch(ui, "universe_refresh"))
        succeeded(ui, launch(ui, "fundamentals_refresh"))
        # The third run is `score`, by the sensor that the daemon has the code server evaluate.
        until(lambda: statuses(postgres, "dagster", "runs") == {"SUCCESS": 3}, 180, "scores")
        week = deployment.week()
        succeeded(ui, launch(ui, "rebalance", partition=week))
        seconds["cycle"] = time.monotonic() - begun

        for container in (code, webserver, daemon):
            identity = container.run("sh", "-c", "id -u && id -g && ls /opt/dagster/home/storage")
            assert identity.stdout.split()[:2] == [str(UID), str(UID)], identity
            for place in ("/app", "/opt/venv", "/opt/dagster/home", "/etc", "/var/tmp"):
                written = container.run("touch", f"{place}/new")
                assert "Read-only file system" in written.stderr, (place, written)
            assert container.check_health().returncode == 0
    print(f"\n{', '.join(f'{name} {value:.0f} s' for name, value in seconds.items())}")  # noqa: T201  asked for

    sent = deployment.sandbox.admin("GET", "/sandbox/calls")["POST /v2/orders"]
    assert sent > 10
    assert statuses(postgres, "tokenomics", "orders_ledger") == {"filled": sent}
    assert statuses(postgres, "dagster", "runs") == {"SUCCESS": 4}
    with redis.Redis.from_url(redis_url) as published:
        assert published.zcard("fundamentals:universe:mcap") == 60
    assert list((deployment.folder / "volume").glob("*/compute_logs/*.err")), "no compute logs to show"
    for log in deployment.folder.glob("*.log"):
        assert not re.search("sesame|sandbox-secret", log.read_text()), f"{log.name} shows a password"


def statuses(port: int, database: str, table: str) -> dict[str, int]:
    with _connected(port, database) as connection:
        rows = connection.execute(sa.text(f"select status, count(*) from {table} group by status"))
        return {str(status): int(count) for status, count in rows}


def launch(ui: Ui, job: str, partition: str | None = None) -> str:
    query = (
        "mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename "
        "... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"
    )
    tags = [{"key": "dagster/partition", "value": partition}] if partition else []
    selector = {**REPO, "pipelineName": job}
    launched = ui.ask(query, params={"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}})
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def succeeded(ui: Ui, run: str) -> None:
    assert until(lambda: ui.finished(run), 180, f"run {run}") == "SUCCESS", failure_of(ui, run)


def failure_of(ui: Ui, run: str) -> Any:
    query = (
        "query ($id: ID!) { logsForRun(runId: $id) { __typename ... on EventConnection { events { __typename ... on "
        "MessageEvent { message } ... on ExecutionStepFailureEvent { error { message causes { message } } } } } } }"
    )
    return [event for event in ui.ask(query, id=run)["events"] if "Failure" in event["__typename"]]
