"""Dockerfile, docker-compose.yaml and what the image adds, without building it; built_image.py builds and runs it."""

import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import entry_points
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import grpc
import jsonschema
import pytest
import requests
import sqlalchemy as sa
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pydantic import SecretStr

from tokenomics_dagster.sandbox.world import SandboxOptions
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.storage.postgres import Alive
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.helm.cluster import certificate as made_certificate
from tokenomics_dagster_tests.image import compose

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
OURS = {"migrate", "code", "sandbox", "webserver", "daemon", "metrics"}
DIGEST = r"@sha256:[0-9a-f]{64}"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return compose.services(compose.PASSWORDS)


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--config", ".hadolint.yaml", "Dockerfile"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_build_context_is_an_allow_list_of_what_the_dockerfile_copies() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    assert patterns[-2:] == ["tokenomics_dagster/**/*.*", "!tokenomics_dagster/**/*.py"]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert {pattern.partition("!")[2] for pattern in patterns[1:-2]} == set(copied)
    assert all((REPOSITORY / source).exists() for source in copied)


def test_the_package_holds_nothing_but_modules_so_that_the_build_context_has_all_of_it() -> None:
    files = [p for p in (REPOSITORY / "tokenomics_dagster").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert [p for p in files if p.suffix != ".py"] == []


def test_bases_and_images_of_others_are_pinned_by_digest_and_the_base_is_an_argument(services: dict[str, Any]) -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(rf"docker\.io/library/python:3\.\d+-slim{DIGEST}", bases[0])
    assert bases[1:] == ["${BASE_IMAGE}", "${BASE_IMAGE}"]
    assert DOCKERFILE.index("\nARG BASE_IMAGE=pinned") < DOCKERFILE.index("\nFROM ")
    assert all(re.search(f"{DIGEST}$", service["image"]) for name, service in services.items() if name not in OURS)
    assert services["backup"]["image"] == services["postgres"]["image"], "an older pg_dump refuses a newer server"


def test_the_image_installs_only_what_the_lock_names_and_compiles_nothing() -> None:
    installs = [line for line in DOCKERFILE.replace("\\\n", "").splitlines() if " install " in line]
    assert len(installs) == 2
    assert "--only-binary :all: --require-hashes -r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "apt" not in last
    assert "install " not in last
    assert "USER 10001:10001" in last


def test_the_compose_file_fits_its_published_schema() -> None:
    jsonschema.validate(yaml.safe_load(compose.FILE.read_text()), compose.published_schema("compose-spec"))


def test_without_passwords_nothing_starts() -> None:
    for name in compose.PASSWORDS:
        with pytest.raises(KeyError, match=name):
            compose.services({key: value for key, value in compose.PASSWORDS.items() if key != name})


def test_every_service_is_there_and_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    assert services.keys() == OURS | {"postgres", "redis", "backup"}
    waits = {
        name: {on: how["condition"].removeprefix("service_") for on, how in service.get("depends_on", {}).items()}
        for name, service in services.items()
    }
    assert waits == {
        "postgres": {},
        "redis": {},
        "migrate": {"postgres": "healthy"},
        "code": {"migrate": "completed_successfully", "redis": "healthy"},
        "sandbox": {},
        "webserver": {"code": "healthy"},
        "daemon": {"code": "healthy", "sandbox": "healthy"},
        "metrics": {"migrate": "completed_successfully"},
        "backup": {"migrate": "completed_successfully"},
    }
    # The others inherit the image's check.
    assert {name for name, service in services.items() if "test" in service.get("healthcheck", {})} == {
        "postgres",
        "redis",
        "backup",
    }


def test_only_ui_and_metrics_can_be_reached_from_outside_and_only_from_this_machine(services: dict[str, Any]) -> None:
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "webserver": ["127.0.0.1:3000:3000"],
        "metrics": ["127.0.0.1:9464:9464"],
    }
    assert all(services[name]["networks"] == ["storage"] for name in ("postgres", "redis", "backup", "migrate"))
    networks = yaml.safe_load(compose.FILE.read_text())["networks"]
    assert networks == {"default": None, "storage": {"internal": True}, "sandbox": {"internal": True}}


def test_a_restart_of_the_code_server_leaves_the_sandbox_where_it_is_reached(services: dict[str, Any]) -> None:
    # Who shares the network of another container keeps the old one when that is restarted, and is found healthy in it.
    assert not [name for name, service in services.items() if "network_mode" in service]
    assert {name for name, service in services.items() if "sandbox" in service.get("networks", [])} == {
        "sandbox",
        "code",
    }


def test_the_sandbox_goes_on_where_it_was_when_it_was_killed(services: dict[str, Any], tmp_path: Path) -> None:
    program, *arguments = services["sandbox"]["command"]
    state = arguments[arguments.index("--state") + 1]
    (volume,) = services["sandbox"]["volumes"]
    assert Path(state).parent == Path(volume.partition(":")[2])
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    here = {state: str(tmp_path / "state.json"), "8790": port, "5": "1"}
    command = [str(Path(sys.executable).with_name(program)), *(here.get(word, word) for word in arguments)]
    address = f"http://127.0.0.1:{port}"

    @contextmanager
    def started() -> Iterator[None]:
        """Until it is killed, at the end."""
        with subprocess.Popen([*command, "--listings", "200"], stdout=subprocess.DEVNULL) as process:
            try:
                deadline = time.monotonic() + 60
                while check_health("tokenomics", "sandbox", "--port", port).returncode:
                    assert time.monotonic() < deadline
                yield
            finally:
                process.kill()

    with started():
        requests.post(f"{address}/sandbox/cash", data='{"amount": "7.00"}', timeout=30).raise_for_status()
        deadline = time.monotonic() + 30
        while "100007.00" not in (tmp_path / "state.json").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
    with started():
        told = requests.post(f"{address}/sandbox/cash", data='{"amount": "1.00"}', timeout=30).json()
    assert told == {"cash": "100008.00"}


def test_our_containers_have_no_rights_and_can_write_nothing_but_their_volume(services: dict[str, Any]) -> None:
    for name in OURS:
        service = services[name]
        assert (service["read_only"], service["cap_drop"], service["tmpfs"]) == (True, ["ALL"], ["/tmp"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"user", "privileged", "cap_add"} & service.keys(), name
        written = [volume for volume in service.get("volumes", []) if not volume.endswith(":ro")]
        assert written in ([], ["dagster:/opt/dagster/home/storage"]), name
    backup = services["backup"]
    assert (backup["read_only"], backup["cap_drop"]) == (True, ["ALL"])
    assert [volume for volume in backup["volumes"] if not volume.endswith(":ro")] == ["backup:/backup"]


def test_the_code_server_gets_every_variable_that_the_platform_reads_and_no_other_gets_a_key(
    services: dict[str, Any],
) -> None:
    baked = re.findall(r"^(?:ENV| {4})\s*([A-Z_]+)=", DOCKERFILE, re.MULTILINE)
    reads = {name.upper() for name in Environment.model_fields}
    of_the_metrics = {"TOKENOMICS_BACKUP_MAX_AGE_HOURS"}
    assert of_the_metrics <= services["metrics"]["environment"].keys()
    assert reads - set(baked) - of_the_metrics <= services["code"]["environment"].keys()
    secrets = {
        name.upper()
        for name, field in Environment.model_fields.items()
        if field.annotation in (SecretStr, SecretStr | None) and name != "tokenomics_database_url"
    }
    assert len(secrets) >= 5
    # Who tells that the daemon is silent knows where messages go.
    allowed = {"metrics": {"ALERT_WEBHOOK_URL", "ALERT_URLS"}}
    for name in services.keys() - {"code"}:
        assert secrets & services[name].get("environment", {}).keys() == allowed.get(name, set()), name
    given = compose.services({**compose.PASSWORDS, "ALERT_URLS": "ntfy://x"})
    assert given["metrics"]["environment"]["ALERT_URLS"] == given["code"]["environment"]["ALERT_URLS"] == "ntfy://x"


def test_no_secret_stands_in_the_compose_file_and_none_in_an_address(services: dict[str, Any]) -> None:
    document = yaml.safe_load(compose.FILE.read_text())
    for name, service in document["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search("KEY|SECRET|PASSWORD|AUTH|WEBHOOK", variable):
                assert value.startswith("${"), f"{name}: {variable}"
            assert not re.search(r"://[^/@]*:[^/@]*@", value), f"{name}: {variable}"
    given = compose.services({**compose.PASSWORDS, "ALPACA_API_KEY": "AKREAL", "FINNHUB_API_KEY": "real"})
    assert given["code"]["environment"]["ALPACA_API_KEY"] == "AKREAL"


def test_without_other_addresses_the_platform_trades_in_the_sandbox(services: dict[str, Any]) -> None:
    port = int(services["sandbox"]["command"][services["sandbox"]["command"].index("--port") + 1])
    named = {
        name: value.replace(f"//127.0.0.1:{port}", f"//sandbox:{port}")
        for name, value in SandboxOptions().environment(port).items()
    }
    assert named.items() <= services["code"]["environment"].items()
    # Real keys alone do not lead to the real account: the sandbox refuses them.
    with_keys = compose.services({**compose.PASSWORDS, "ALPACA_API_KEY": "AKREAL", "ALPACA_SECRET_KEY": "real"})
    assert with_keys["code"]["environment"]["ALPACA_TRADING_URL"] == f"http://sandbox:{port}"


def test_the_images_dagster_yaml_is_the_repositorys_with_postgresql_as_storage(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        "RUN mkdir -p /build/home/storage && cat dagster.yaml dagster.storage.yaml > /build/home/dagster.yaml"
        in DOCKERFILE
    )
    parts = [(REPOSITORY / name).read_text() for name in ("dagster.yaml", "docker/dagster.storage.yaml")]
    first, added = (yaml.safe_load(part) for part in parts)
    assert not first.keys() & added.keys(), "a key that stands twice: the last one would win without a word"
    (tmp_path / "dagster.yaml").write_text("".join(parts))
    assert yaml.safe_load((tmp_path / "dagster.yaml").read_text()) == first | added
    server = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        # As docker-compose.yaml does: the other tests' tables are the warehouse's.
        connection.execute(sa.text((REPOSITORY / "docker/create-databases.sql").read_text()))
    server.dispose()
    storage = sa.engine.make_url(postgres_url).set(database="dagster")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", storage.render_as_string(hide_password=False))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        assert type(instance.schedule_storage).__name__ == "PostgresScheduleStorage"
        assert instance.get_runs_count() == 0
        assert not instance.telemetry_enabled


def test_dagsters_connections_outlive_a_restart_of_the_server_in_compose() -> None:
    """In the chart the same is said by `params`; the name is that of the package's entry point."""
    address = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())["x-dagster-environment"]
    assert sa.make_url(address["DAGSTER_POSTGRES_URL"]).query == {"plugin": "tokenomics"}
    assert entry_points(group="sqlalchemy.plugins", name="tokenomics")["tokenomics"].load() is Alive


def test_the_workspace_names_the_code_location_as_the_repositorys_does() -> None:
    def names(path: str) -> list[str]:
        load_from = yaml.safe_load((REPOSITORY / path).read_text())["load_from"]
        return [target["location_name"] for entry in load_from for target in entry.values()]

    # Schedules and sensors that were switched on are remembered under this name.
    assert names("docker/workspace.yaml") == names("workspace.yaml") == ["tokenomics"]


def check_health(*command: str) -> "subprocess.CompletedProcess[str]":
    script = REPOSITORY / "docker/healthcheck.py"
    return subprocess.run(
        [sys.executable, "-I", script, *command], capture_output=True, text=True, check=False, timeout=60
    )


@contextmanager
def http_server(healthy_path: str) -> Iterator[int]:
    """Port of a server that knows one path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == healthy_path else 503)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("/server_info", ["dagster-webserver", "--host", "0.0.0.0", "--port", "{}"]),
        ("/ui/server_info", ["/opt/venv/bin/dagster-webserver", "-p", "{}", "--path-prefix=/ui"]),
        ("/sandbox/health", ["docker-init", "--", "tokenomics", "sandbox", "--port={}"]),
        ("/metrics", ["tokenomics", "metrics", "--port", "{}"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_health_check_asks_what_runs_by_http(path: str, command: list[str]) -> None:
    with http_server(path) as port:
        asked = [word.format(port) for word in command]
        assert check_health(*asked).returncode == 0
    gone = check_health(*asked)
    assert (gone.returncode, gone.stderr) == (1, f"port {port}: [Errno 111] Connection refused\n")


def test_the_health_check_takes_no_other_answer_than_200() -> None:
    with http_server("/another") as port:
        found = check_health("dagster-webserver", "-p", str(port))
    assert (found.returncode, found.stderr) == (1, f"port {port}: /server_info answered 503\n")


def test_the_health_check_asks_the_code_server_by_grpc() -> None:
    servicer = health.HealthServicer()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    command = ["dagster", "api", "grpc", "--module-name", "x", "--port", str(port)]
    try:
        unknown = check_health(*command)
        servicer.set("DagsterApi", health_pb2.HealthCheckResponse.NOT_SERVING)
        starting = check_health(*command)
        servicer.set("DagsterApi", health_pb2.HealthCheckResponse.SERVING)
        serving = check_health(*command)
    finally:
        server.stop(None).wait()
    assert (unknown.returncode, unknown.stderr) == (1, f"port {port}: NOT_FOUND\n")
    assert (starting.returncode, starting.stderr) == (1, f"port {port}: NOT_SERVING\n")
    assert serving.returncode == 0, serving.stderr


@pytest.mark.parametrize("variables", [{}, {"SSL_CERT_FILE": "ca.crt"}], ids=["without", "with"])
def test_the_clients_of_postgresql_find_the_authorities_by_the_variable_of_the_image(
    variables: dict[str, str], tmp_path: Path
) -> None:
    certificate, key = made_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["postgresql"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = (
            "import psycopg2; psycopg2.connect('host=127.0.0.1 port=%s user=x dbname=x "
            "sslmode=verify-full sslrootcert=system connect_timeout=20')"
        )
        client = subprocess.Popen(
            [sys.executable, "-c", script % port],
            env={name: str(tmp_path / value) for name, value in variables.items()},
            stderr=subprocess.PIPE,
            text=True,
        )
        with client:
            connection, _ = server.accept()
            with connection:
                assert len(connection.recv(8)) == 8  # the client asks for TLS
                connection.sendall(b"S")
                if variables:
                    with context.wrap_socket(connection, server_side=True) as trusted:
                        assert b"user\0x\0" in trusted.recv(1_000)
                else:
                    with (
                        pytest.raises(ssl.SSLError, match="UNKNOWN_CA"),
                        context.wrap_socket(connection, server_side=True) as refused,
                    ):
                        refused.recv(1)
    assert "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" in DOCKERFILE


def test_what_ends_by_itself_is_healthy_while_it_lives() -> None:
    assert check_health("dagster", "api", "execute_run", "{}").returncode == 0
    assert check_health("tokenomics", "migrate").returncode == 0
