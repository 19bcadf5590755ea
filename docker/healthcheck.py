"""The image's health check: asks whatever runs in this container, which the command line of process 1 tells.

Arguments stand for that command line, where process 1 is another. Exit code 0 healthy, 1 not, with the reason. A run or
a command that ends by itself is healthy as long as it lives.
"""

import http.client
import os
import sys
from pathlib import Path

TIMEOUT_S = 10


def main(command: list[str]) -> None:
    names = {Path(word).name for word in command}
    if "dagster-webserver" in names:
        prefix = _option(command, ("-l", "--path-prefix"), "")
        _answers(_port(command, 3000), f"{prefix}/server_info")
    elif "dagster-daemon" in names:
        os.execv("/opt/venv/bin/dagster-daemon", ["dagster-daemon", "liveness-check"])  # noqa: S606  no shell is wanted
    elif {"dagster", "api", "grpc"} <= names:
        _serves_code(_port(command, 4000))
    elif {"tokenomics", "sandbox"} <= names:
        _answers(_port(command, 8790), "/sandbox/health")
    elif {"tokenomics", "metrics"} <= names:
        _answers(_port(command, 9464), "/metrics")


def _option(command: list[str], names: tuple[str, ...], default: str) -> str:
    for word, after in zip(command, [*command[1:], ""], strict=True):
        if word in names:
            return after
        name, equals, value = word.partition("=")
        if equals and name in names:
            return value
    return default


def _port(command: list[str], default: int) -> int:
    return int(_option(command, ("-p", "--port"), str(default)))


def _answers(port: int, path: str) -> None:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"port {port}: {error}")
    if status != 200:
        sys.exit(f"port {port}: {path} answered {status}")


def _serves_code(port: int) -> None:
    # Not `dagster api grpc-health-check`, which asks the same and imports all of Dagster first.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service="DagsterApi")
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            sys.exit(f"port {port}: {error.code().name}")
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        sys.exit(f"port {port}: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}")


if __name__ == "__main__":
    main(sys.argv[1:] or Path("/proc/1/cmdline").read_text().split("\0"))
