"""From the chart and the database of the last release to these: `helm upgrade` goes through with the values of then."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
import yaml

from tokenomics_dagster.storage import migrations
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.helm.conftest import CHART, NAMESPACE, Object, Render, Run, Values, merged
from tokenomics_dagster_tests.helm.deployment import Deployment, databases
from tokenomics_dagster_tests.helm.released import FILE, described, fixed, keys
from tokenomics_dagster_tests.helm.schema import FILE as SCHEMA
from tokenomics_dagster_tests.storage import schemas

LAST: dict[str, Any] = yaml.safe_load(FILE.read_text())
VARIANTS = {"default": LAST["values"], "production": merged(LAST["values"], LAST["production"])}
RELEASE = "the-account-of-the-whole-family-trust-one"
CUT = "the-account-of-the-whole-family-trust-on"  # as its objects were called while names were cut
# Of these a name must stay: a second one of them would run beside the first, or the first be gone with what it holds.
KEEPING = ("CronJob", "Deployment", "PersistentVolumeClaim", "Secret", "Service", "StatefulSet")


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def now(variant: str, render: Render) -> Object:
    """The new release with the old values, all of them, as a copied values.yaml says them."""
    return described(iter(render(VARIANTS[variant]).all))


def test_nothing_is_changed_that_kubernetes_lets_nobody_change_and_nothing_that_holds_something_is_gone(
    variant: str, now: Object
) -> None:
    before = LAST["rendered"][variant]["objects"]
    assert len(before) > 30
    assert {name: now["objects"][name] for name in before if name in now["objects"]} == {
        name: kept for name, kept in before.items() if name in now["objects"]
    }
    gone = [name for name in before if name not in now["objects"]]
    assert not [name for name in gone if name.partition("/")[0] in KEEPING]


def test_no_object_of_the_release_becomes_one_of_a_hook_or_the_other_way_round(variant: str, now: Object) -> None:
    # Helm would delete what the new hook has just made, and takes what a hook left behind for somebody else's.
    before = LAST["rendered"][variant]
    assert before["hooks"]
    assert set(before["objects"]).isdisjoint(now["hooks"])
    assert set(before["hooks"]).isdisjoint(now["objects"])


@contextmanager
def having(deployment: str, release: str) -> Iterator[str]:
    """Address of as much of an API server as `lookup` asks: it has one Deployment, which is of this release."""
    answers: dict[str, Object] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "groups": [{"name": "apps", "versions": [
            {"groupVersion": "apps/v1", "version": "v1"}]}]},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
            {"name": "secrets", "namespaced": True, "kind": "Secret", "verbs": ["get"]}]},
        "/apis/apps/v1": {"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [
            {"name": "deployments", "namespaced": True, "kind": "Deployment", "verbs": ["get"]}]},
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{deployment}": {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": deployment, "labels": {"app.kubernetes.io/instance": release}}},
    }  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(found or {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("owner", "values", "refused"),
    [
        (RELEASE, None, True),
        (RELEASE, {"fullnameOverride": CUT}, False),
        ("the-account-of-the-whole-family-trust-only", None, False),
    ],
    ids=["its own", "its own, and named", "another release's"],
)
def test_a_release_whose_name_was_cut_is_not_made_anew_beside_its_databases(
    owner: str, values: Values | None, refused: bool, run_helm: Run
) -> None:
    with having(f"{CUT}-webserver", owner) as address:
        options = ("--dry-run=server", "--is-upgrade", "--kube-apiserver", address, "-n", NAMESPACE)
        done = run_helm("template", RELEASE, CHART, *options, values=values)
    said = f"with empty databases and volumes: set fullnameOverride to {CUT}."
    assert (said in done.stderr) is refused
    # What is not refused goes on to ask what this server does not know.
    assert ("unable to build kubernetes objects" in done.stderr) is not refused


def test_every_key_of_a_values_file_is_still_known() -> None:
    assert len(LAST["keys"]) > 400
    gone = set(LAST["keys"]) - set(keys(json.loads(SCHEMA.read_text())))
    assert gone == set(), "leave it in the schema, and refuse it in templates/_refuse.tpl by what takes its place"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Deployment", {"selector": {"matchLabels": {}}}),
        ("StatefulSet", {"volumeClaimTemplates": []}),
        ("StatefulSet", {"serviceName": "another"}),
        ("PersistentVolumeClaim", {"accessModes": ["ReadWriteMany"]}),
        ("Service", {"clusterIP": "None"}),
    ],
)
def test_what_cannot_be_changed_is_compared(kind: str, change: Object, render: Render) -> None:
    thing = render().of(kind)[0]
    assert fixed({**thing, "spec": {**thing["spec"], **change}}) != fixed(thing)
    assert fixed({**thing, "metadata": {}}) == fixed(thing)


def test_the_migration_of_the_chart_brings_the_database_of_the_last_release_to_this_version(
    render: Render, postgres_url: str, tmp_path: Path
) -> None:
    external: Values = {
        "global": {"dagsterHome": str(tmp_path)},
        "postgresql": {
            "enabled": False,
            "postgresqlHost": "localhost",
            "postgresqlUsername": sa.make_url(postgres_url).username,
            "postgresqlPassword": "any",
            "postgresqlParams": {"host": parse_qs(urlsplit(postgres_url).query)["host"][0]},
        },
    }
    objects = render(merged(LAST["values"], external))
    (job,) = objects.of("Job")
    template = job["spec"]["template"]
    here = Deployment(objects, tmp_path)
    here.mount(template)
    with databases(postgres_url):
        live = sa.make_url(postgres_url).set(database="tokenomics").render_as_string(hide_password=False)
        schemas.build(LAST["database"], live)
        (warehouse,) = template["spec"]["containers"]
        done = here.run(warehouse)
        assert done.returncode == 0, done.stderr
        assert f"has schema version {migrations.LATEST}" in done.stdout
        with closing(Warehouse(live)) as store:
            assert store.verify_audit() is None
