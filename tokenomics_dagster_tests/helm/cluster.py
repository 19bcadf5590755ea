"""As much of a Kubernetes API server as K8sRunLauncher speaks to: HTTP over TLS, service account token, jobs and pods.

It answers what a cluster would and records what it was asked. What a job says is run by who sets `begin` and `end`.
"""

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TOKEN = "a-token-of-the-service-account"


@dataclass
class Cluster:
    """The state of one namespace."""

    port: int
    folder: Path  # token, ca.crt, as mounted into a pod
    jobs: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)  # of jobs; {} while nothing has started
    calls: list[tuple[str, str, str]] = field(default_factory=list)  # method, resource, namespace
    lost: list[str] = field(default_factory=list)  # methods whose next request is done, and its answer lost
    begin: Callable[[str, Any], None] = lambda name, job: None  # a job was made; its status is who begins it to tell
    end: Callable[[str], None] = lambda name: None  # a job was deleted, and its pod with it

    def kubeconfig(self) -> str:
        """For a process that has no token mounted at the place that every pod has."""
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.folder / "ca.crt")}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "daemon", "user": {"token": TOKEN}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "daemon"}}],
            "current-context": "here",
        }
        return json.dumps(document)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        match = re.fullmatch(r"/(?:api|apis/batch)/v1/namespaces/([^/]+)/(jobs|pods)(?:/([^/]+))?(/status)?", path)
        if match is None:
            return _failure(404, path)
        namespace, resource, name, part = match.groups()
        self.calls.append((method, resource + (part or ""), namespace))
        done = self._pods(method, name, query) if resource == "pods" else self._jobs(method, name, body)
        if method in self.lost:
            self.lost.remove(method)
            return _failure(504, "the answer was lost")
        return done

    def _jobs(self, method: str, name: str | None, body: Any) -> tuple[int, Any]:
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.jobs:
                return _failure(409, name)
            self.jobs[name] = body
            self.begin(name, body)
            return 201, body
        if name not in self.jobs:
            return _failure(404, str(name))
        if method == "DELETE":
            self.end(name)
            return 200, {"kind": "Status", "status": "Success", "details": self.jobs.pop(name) and {"name": name}}
        return 200, {**self.jobs[name], "status": self.status.get(name, {})}

    def _pods(self, method: str, name: str | None, query: dict[str, list[str]]) -> tuple[int, Any]:
        """Each job has one pod, named after it."""
        if method == "DELETE":
            return 200, {"kind": "Pod", "metadata": {"name": name}}
        ((_, job),) = [query["labelSelector"][0].split("=")]
        found = [{"metadata": {"name": f"{job}-x1y2z"}}] if job in self.jobs else []
        return 200, {"kind": "PodList", "apiVersion": "v1", "items": found}


def _failure(code: int, what: str) -> tuple[int, Any]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "message": what}


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """The server until the block ends; token and certificate lie in `folder`."""
    chain, key = certificate(folder)
    (folder / "token").write_text(TOKEN)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            url = urlsplit(self.path)
            if self.headers.get("Authorization", "").lower() == f"bearer {TOKEN}":
                code, answer = cluster.answer(self.command, url.path, parse_qs(url.query), body)
            else:
                code, answer = _failure(401, "no token, or another one")
            text = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            """What was asked is in `Cluster.calls`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        cluster = Cluster(server.server_port, folder)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()


def certificate(folder: Path) -> tuple[Path, Path]:
    """An authority that vouches for 127.0.0.1 and nothing else, as a cluster's own does for its API server."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the cluster of the tests")])
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "ca.crt", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
