"""The chart's pods as processes of this machine: its commands, variables and mounted files, on real servers.

What differs from a cluster is said by values (addresses, ports, DAGSTER_HOME), but for two things: the code server's
name is that of this machine, and the launcher may be left out.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import sqlalchemy as sa
import yaml

from tokenomics_dagster.interfaces.demo import FAST
from tokenomics_dagster.sandbox.server import SandboxHandle
from tokenomics_dagster_tests.helm.conftest import Object, Objects, Values, containers

BIN = Path(sys.executable).parent
DATABASES = ("dagster", "tokenomics")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


@contextmanager
def databases(postgres_url: str) -> Iterator[None]:
    """The two empty databases, gone at the end."""
    # The server may be stopped and started in between.
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)

    def run(statement: str) -> None:
        with engine.connect() as connection:
            for name in DATABASES:
                connection.execute(sa.text(statement.format(name)))

    run('drop database if exists "{}" with (force)')
    run('create database "{}"')
    try:
        yield
    finally:
        run('drop database if exists "{}" with (force)')
        engine.dispose()


def values(home: Path, sandbox: SandboxHandle, postgres_url: str, redis_url: str) -> Values:
    """A small platform (500 listings, the 60 largest followed, 20 held) on the test's servers."""
    given, redis = sandbox.environment(), urlsplit(redis_url)
    code_server, webserver, metrics = free_ports(3)
    return {
        "global": {"dagsterHome": str(home)},
        "env": {key: value for key, value in given.items() if key.endswith("_URL")},
        "secrets": {
            "values": {
                **{key: value for key, value in given.items() if "KEY" in key},
                "REDIS_PASSWORD": redis.password,
            }
        },
        "codeServer": {"port": code_server},
        "dagsterWebserver": {"service": {"port": webserver}, "pathPrefix": "/weekly"},
        "metrics": {"port": metrics},
        "postgresql": {
            "enabled": False,
            "postgresqlHost": "localhost",
            "postgresqlUsername": sa.make_url(postgres_url).username,
            "postgresqlPassword": "p@ss/w:rd %?#&",
            "postgresqlParams": {"host": parse_qs(urlsplit(postgres_url).query)["host"][0]},
        },
        "redis": {"internal": False, "host": redis.hostname, "port": redis.port},
        "settings": {
            **FAST,
            "universe": {**FAST["universe"], "size": 60},
            "rebalancing": {"top_n_stocks": 20, "max_position_pct": 10.0},
            "trading": {**FAST["trading"], "poll_interval_s": 0.05, "lookup_grace_s": 0.3},
            "schedules": {"sensors_every_s": 3600},
        },
    }


@dataclass(frozen=True)
class Deployment:
    objects: Objects
    home: Path

    def mount(self, template: Object, *, launcher: bool = True) -> None:
        """Puts the files that the pod mounts out of its ConfigMap where it mounts them."""
        maps = {v["name"]: v["configMap"]["name"] for v in template["spec"]["volumes"] if "configMap" in v}
        for container in containers(template):
            for mount in container.get("volumeMounts", []):
                if mount["name"] in maps:
                    component = maps[mount["name"]].rpartition("-")[2]
                    text = self.objects.one("ConfigMap", component)["data"][mount["subPath"]]
                    if not launcher and mount["subPath"] == "dagster.yaml":
                        document = yaml.safe_load(text)
                        del document["run_launcher"]
                        text = yaml.safe_dump(document)
                    if mount["subPath"] == "workspace.yaml":
                        name = self.objects.one("Service", "code-server")["metadata"]["name"]
                        assert name in text
                        text = text.replace(name, "127.0.0.1")
                    Path(mount["mountPath"]).write_text(text)

    def environment(self, entries: list[Object]) -> dict[str, str]:
        """As the container gets it; PATH and HOME are the image's."""
        return {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.home), **self.objects.environment(entries)}

    def run(self, container: Object) -> "subprocess.CompletedProcess[str]":
        """A container that ends by itself."""
        return subprocess.run(
            container["command"],
            cwd=self.home,
            env=self.environment(container["env"]),
            capture_output=True,
            text=True,
            timeout=120,
        )

    @contextmanager
    def started(self, component: str) -> Iterator["subprocess.Popen[Any]"]:
        """The first container of a Deployment, until the block ends."""
        container = self.objects.one("Deployment", component)["spec"]["template"]["spec"]["containers"][0]
        with (self.home / f"{component}.log").open("w") as log:
            process = subprocess.Popen(
                container["command"],
                cwd=self.home,
                env=self.environment(container["env"]),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.terminate()  # as the kubelet ends it
            try:
                process.wait(30)
            finally:
                process.kill()
