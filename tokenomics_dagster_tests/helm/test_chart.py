"""The chart as Kubernetes and its user see it: valid, documented, refused when wrong, safe by default."""

import functools
import hashlib
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.finnhub import FinnhubSettings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.helm.conftest import (
    CHART,
    NAMESPACE,
    PRODUCTION,
    RELEASE,
    Object,
    Objects,
    Render,
    Run,
    Values,
    containers,
    merged,
)
from tokenomics_dagster_tests.helm.schema import FILE, KEYS, PROBES, keys, whole
from tokenomics_dagster_tests.helm.test_pods import COMMON, at

SUPPORTED = ("1.29", "1.34", "1.35", "1.36", "1.37")
NAMED = {"job_name": "Job", "cronjob": "CronJob"}  # as kube-state-metrics labels what it tells of them
KINDS = ("Deployment", "StatefulSet")  # what runs all the time
VARIANTS: dict[str, tuple[bool, Values]] = {
    "default": (False, {}),
    "production": (True, {}),
    "own passwords, a digest, a live account": (
        False,
        {
            "image": {"digest": "sha256:" + "0" * 64},
            "imagePullSecrets": [{"name": "registry"}],
            "settings": {"trading": {"paper": False}},
            "env": {"TOKENOMICS_LIVE_ACCOUNT": "123456789"},
            "secrets": {"values": {"ALPACA_SECRET_KEY": 'a"b\\c$(d)', "REDIS_PASSWORD": "red is"}},
            "postgresql": {"postgresqlPassword": "p@ss/w:rd %?#&'\""},
            "lake": {"enabled": True},
        },
    ),
    "a cluster with ways of its own": (
        False,
        {
            "codeServer": {"strategy": {"type": "Recreate"}, "resources": {"limits": {"cpu": 2}}},
            "metrics": {"resources": {"requests": {"cpu": 0.25}}},
            "dagsterWebserver": {"strategy": {"rollingUpdate": {"maxSurge": "50%"}}},
            "openshift": True,
            "ipv6": True,
            "pods": COMMON,
        },
    ),
    "as little as possible": (
        True,
        {
            "fullnameOverride": "t",
            "ingress": {"enabled": False},
            "oauth2Proxy": {"enabled": False},
            "redis": {"enabled": False},
            "metrics": {"enabled": False},
            "backup": {"enabled": False},
            "migrate": {"enabled": False},
            "networkPolicy": {"enabled": False},
            "podDisruptionBudget": {"enabled": False},
            "rbacEnabled": False,
            "serviceAccount": {"create": False},
        },
    ),
    "a warehouse of its own, proxy without ingress": (
        True,
        {
            "ingress": {"enabled": False},
            "dagsterWebserver": {"service": {"type": "LoadBalancer"}},
            "warehouse": {"urlFromSecret": True},
            "redis": {"host": ""},
            "networkPolicy": {"webserverFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "redisCidrs": ["10.1.0.0/16"]},
            "backup": {"persistence": {"existingClaim": "backups"}},
            "lake": {"enabled": True, "persistence": {"existingClaim": "backups"}},
        },
    ),
}  # fmt: skip


def instance(**config: Any) -> Values:
    return {"additionalInstanceConfig": config}


def logs(manager: str, **config: str) -> Values:
    return {"computeLogManager": {"type": manager, "config": config}}


@pytest.fixture(params=VARIANTS)
def objects(request: pytest.FixtureRequest, render: Render) -> Objects:
    production, values = VARIANTS[request.param]
    return render(values, production=production)


def all_keys(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from all_keys(inner, f"{path}.{key}".lstrip("."))
    else:
        yield path


# --- valid


@pytest.mark.parametrize("values", [[], ["-f", PRODUCTION]], ids=["default", "production"])
def test_helm_finds_nothing_to_complain_of(run_helm: Run, values: list[Any]) -> None:
    done = run_helm("lint", "--strict", CHART, *values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_object_is_valid_for_each_supported_version_of_kubernetes(
    render: Render, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It reads 5 MB of JSON for each object otherwise.
    utils = kubernetes_validate.utils
    monkeypatch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
    variants = [render(values, production=production) for production, values in VARIANTS.values()]
    # Most objects are the same in all variants.
    different = {json.dumps(thing, sort_keys=True) for objects in variants for thing in objects.all}
    assert len(different) > 60
    for thing in map(json.loads, different):
        if thing["kind"] != "ServiceMonitor":  # of the Prometheus operator, not of Kubernetes
            assert kubernetes_validate.validate(thing, version, strict=True) == version


def test_the_chart_asks_for_the_oldest_version_that_is_tested() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={SUPPORTED[0]}.0-0"


def test_no_two_objects_have_one_name_and_all_lie_in_the_namespace_of_the_release(objects: Objects) -> None:
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in objects.all]
    assert len(set(names)) == len(names)
    assert {thing["metadata"]["namespace"] for thing in objects.all} == {NAMESPACE}
    assert all(len(name) <= 63 for _, name in names)


def test_names_stay_within_the_limits_whatever_the_release_is_called(run_helm: Run) -> None:
    longest = {"CronJob": 52, "StatefulSet": 52}
    for release in ("r" * 53, "r.s"):
        objects = list(filter(None, yaml.safe_load_all(run_helm("template", release, CHART).stdout)))
        assert len(objects) > 20
        for thing in objects:
            name = thing["metadata"]["name"]
            assert len(name) <= longest.get(thing["kind"], 63), name
            assert re.fullmatch(r"[a-z][-a-z0-9]*", name), "a Service's name has no dot"


def test_two_releases_whose_names_end_differently_share_no_name_and_a_short_one_stays(run_helm: Run) -> None:
    def names(release: str) -> set[tuple[str, str]]:
        done = run_helm("template", release, CHART)
        return {(thing["kind"], thing["metadata"]["name"]) for thing in yaml.safe_load_all(done.stdout) if thing}

    first, second = (names(f"the-account-of-the-whole-family-trust-{number}") for number in "12")
    assert len(first) > 20
    assert not first & second
    # 40 characters are whole, and are called what they were called before.
    assert ("Service", f"{'r' * 29}-tokenomics-webserver") in names("r" * 29)
    assert ("Service", f"{'r' * 30}-tokenomic-webserver") not in names("r" * 30)


@pytest.mark.parametrize(("release", "values"), [("9x", {}), ("9-tokenomics", {}), ("1.2", {})])
def test_a_release_whose_services_would_begin_with_a_digit_is_refused(
    release: str, values: Values, run_helm: Run
) -> None:
    done = run_helm("template", release, CHART, values=values)
    assert "and Kubernetes takes no Service whose name does not begin with a letter" in done.stderr
    assert run_helm("template", release, CHART, values={"fullnameOverride": "x"}).returncode == 0


def test_numbers_are_written_in_figures_wherever_they_stand_in_a_text(render: Render) -> None:
    objects = render(
        {
            "backup": {"keepDays": 3_000_000, "maxAgeHours": 1_000_000},
            "postgresql": {"postgresqlParams": {"keepalives_idle": 10_000_000}},
            "migrate": {"activeDeadlineSeconds": 2_592_000},
            "dagsterWebserver": {"replicaCount": 1_000_000},
            "podDisruptionBudget": {"maxUnavailable": 1_000_000},
            "additionalInstanceConfig": {"run_monitoring": {"max_runtime_seconds": 2_592_000}},
        }
    )
    # Of each text, and of what is a number to Kubernetes: Python's reader takes 1e+06 for a text.
    assert not re.search(r"\de(\+|%2B)\d", json.dumps(objects.all))
    (backup,) = containers(objects.one("CronJob", "backup")["spec"]["jobTemplate"]["spec"]["template"])
    assert "-mtime +3000000 -delete" in backup["command"][-1]
    assert "?keepalives_idle=10000000" in objects.environment(backup["env"])["TOKENOMICS_DATABASE_URL"]
    (metrics,) = containers(objects.one("Deployment", "metrics")["spec"]["template"])
    assert objects.environment(metrics["env"])["TOKENOMICS_BACKUP_MAX_AGE_HOURS"] == "1000000"
    assert objects.instance()["run_monitoring"]["max_runtime_seconds"] == 2_592_000


def test_a_packaged_chart_holds_the_dagster_yaml_of_the_repository(run_helm: Run, tmp_path: Path) -> None:
    assert run_helm("package", CHART, "-d", tmp_path).returncode == 0
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as package:
        file = package.extractfile("tokenomics/files/dagster.yaml")
        assert file is not None
        assert file.read() == (REPOSITORY / "dagster.yaml").read_bytes()


def test_what_the_chart_leads_to_exists(objects: Objects) -> None:
    """Services select pods that have the port; mounts have volumes; accounts, claims and ConfigMaps are there."""
    have = {(thing["kind"], thing["metadata"]["name"]) for thing in objects.all}
    templates = objects.pods()
    for service in objects.of("Service"):
        selected = [
            t for t in templates.values() if service["spec"]["selector"].items() <= t["metadata"]["labels"].items()
        ]
        assert len(selected) == 1, service["metadata"]["name"]
        ports = {p["name"] for c in containers(selected[0]) for p in c.get("ports", [])}
        assert {p["targetPort"] for p in service["spec"]["ports"]} <= ports
    for template in templates.values():
        volumes = {v["name"]: v for v in template["spec"]["volumes"]}
        mounts = {m["name"] for c in containers(template) for m in c.get("volumeMounts", [])}
        assert mounts - set(volumes) <= {"data"}  # of the claim template
        for volume in volumes.values():
            if "secret" in volume:
                # Which README.md asks for, and that of the variant.
                assert volume["secret"]["secretName"] in ("tokenomics-postgresql-ca", "company")
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in have
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", "backups")
            assert claim == "backups" or ("PersistentVolumeClaim", claim) in have
        account = ("ServiceAccount", template["spec"]["serviceAccountName"])
        assert account in have or account[1] == "given" or not objects.of("ServiceAccount")
    monitored = [m["spec"] for m in objects.of("ServiceMonitor")]
    for monitor in monitored:
        labels = objects.one("Service", "metrics")["metadata"]["labels"]
        assert monitor["selector"]["matchLabels"].items() <= labels.items()
        # Rules look back for 90 days: series must not end with the pod.
        relabelled = {rule.get("targetLabel", rule.get("regex")) for rule in monitor["endpoints"][0]["relabelings"]}
        assert relabelled == {"instance", "pod"}


def test_the_lake_is_mounted_where_bars_are_written_and_nowhere_else(render: Render) -> None:
    """A claim that not every node can mount must not keep a run that trades from starting: off unless asked for."""

    def folders(objects: Objects) -> set[str]:
        return {
            name
            for name, template in objects.pods().items()
            for container in containers(template)
            for mount in container.get("volumeMounts", [])
            if mount["name"] == "lake"
        }

    without, lake = render(), render({"lake": {"enabled": True, "accessMode": "ReadWriteOnce"}})
    assert not folders(without)
    assert "lake" not in {volume["name"] for volume in without.run()["spec"]["volumes"]}
    assert {name.removeprefix("Deployment/weekly-tokenomics-") for name in folders(lake)} == {"code-server"}
    (server,) = containers(lake.one("Deployment", "code-server")["spec"]["template"])
    folder = next(entry["value"] for entry in server["env"] if entry["name"] == "TOKENOMICS_LAKE")
    for mounts in (server["volumeMounts"], lake.run()["spec"]["containers"][0]["volumeMounts"]):
        assert {"name": "lake", "mountPath": folder} in mounts
    claim = lake.one("PersistentVolumeClaim", "lake")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_experiments_are_mounted_where_they_are_run_and_nowhere_else_and_the_readme_says_how(render: Render) -> None:
    text = (REPOSITORY / "helm/README.md").read_text()
    values = yaml.safe_load(text[text.index("      research: {") : text.index("  What an experiment reads from")])
    without, mounted = render(), render(values)
    assert "research" not in {volume["name"] for volume in without.run()["spec"]["volumes"]}
    claim = {"name": "research", "persistentVolumeClaim": {"claimName": "evidence"}}
    mount = {"name": "research", "mountPath": "/var/lib/tokenomics/research"}
    having = {
        name.removeprefix("Deployment/weekly-tokenomics-")
        for name, template in mounted.pods().items()
        if claim in template["spec"]["volumes"]
    }
    assert having == {"code-server"}
    (server,) = containers(mounted.one("Deployment", "code-server")["spec"]["template"])
    for volumes, mounts in (
        (mounted.run()["spec"]["volumes"], mounted.run()["spec"]["containers"][0]["volumeMounts"]),
        ([claim], server["volumeMounts"]),
    ):
        assert claim in volumes
        assert mount in mounts
    settings = yaml.safe_load(mounted.one("ConfigMap", "instance")["data"]["settings.yaml"])["research"]
    assert settings.keys() == {"experiments", "trials", "studies"}
    assert all(folder.startswith(f"{mount['mountPath']}/") for folder in settings.values())


# --- values


def test_every_value_is_documented_and_known_to_the_schema() -> None:
    text = (CHART / "values.yaml").read_text()
    schema = json.loads(FILE.read_text())

    def known(path: list[str], part: Any) -> bool:
        if "$ref" in part:
            part = functools.reduce(lambda inner, key: inner[key], part["$ref"].split("/")[1:], schema)
        if not path:
            return True
        properties = part.get("properties", {})
        if path[0] not in properties:
            return "properties" not in part or part.get("additionalProperties") is not False
        return known(path[1:], properties[path[0]])

    unknown = [key for key in all_keys(yaml.safe_load(text)) if not known(key.split("."), schema)]
    assert unknown == []
    keys, explained, section_explained = set(), set(), False
    for line in text.splitlines():
        found = re.match(r"( *)([A-Za-z0-9_]+):( *[^# ])?", line)
        if found:
            section_explained = "#" in line or (bool(found[1]) and section_explained)
            keys |= {found[2]} if found[3] else set()
            explained |= {found[2]} if section_explained else set()
    assert len(keys) >= 80
    assert keys - explained == set(), "each key has a comment, or stands under one that has"


def test_no_object_of_the_schema_lets_an_unknown_key_pass_unless_it_is_kubernetes_own() -> None:
    schema = json.loads(FILE.read_text())
    free = {"affinity", "podSecurityContext", "securityContext", "global"}

    def open_objects(part: Any, name: str) -> Iterator[str]:
        if isinstance(part, dict):
            if "properties" in part and part.get("type") == "object" and "additionalProperties" not in part:
                yield name
            for key, inner in part.items():
                yield from open_objects(inner, key)

    assert set(open_objects(schema, "")) <= free


def test_the_schema_says_what_the_code_and_the_comments_say() -> None:
    written = json.loads(FILE.read_text())
    assert written == whole(written), "run: python -m tokenomics_dagster_tests.helm.schema"


def test_nothing_that_has_a_value_is_taken_away_by_null(refused: Callable[..., str]) -> None:
    assert KEYS.read_text() == keys(), "run: python -m tokenomics_dagster_tests.helm.schema"
    # Without these nothing would be rendered, a part would be missing, or a policy would let everything out.
    paths = ["pods", "pods.env", "backup", "runLauncher.config.k8sRunLauncher", "codeServer.port",
             "networkPolicy.enabled", "networkPolicy.internet.cidrs", "networkPolicy.internet.ports"]  # fmt: skip
    assert {*paths} <= {*json.loads(KEYS.read_text())}
    for path in paths:
        assert f"{path} is null: helm then takes away what the chart says itself" in refused(at(path, None))


def test_what_null_may_take_away_it_takes_away(render: Render) -> None:
    daemon = render(at("dagsterDaemon.resources.limits.cpu", None)).one("Deployment", "daemon")
    (container,) = containers(daemon["spec"]["template"])
    assert container["resources"]["limits"] == {"memory": "1Gi"}


def test_the_schema_describes_each_value() -> None:
    schema = json.loads(FILE.read_text())

    def undescribed(part: Any, path: str) -> Iterator[str]:
        for key, inner in part.get("properties", {}).items():
            shared = schema["$defs"].get(inner.get("$ref", "").rpartition("/")[2], {})
            if not {"description", "properties"} & {*inner, *shared}:
                yield f"{path}.{key}"
            yield from undescribed(inner, f"{path}.{key}")

    assert [key for part in (schema, *schema["$defs"].values()) for key in undescribed(part, "")] == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        (
            {"dagsterWebserver": {"replicaCount": "two"}},
            "at '/dagsterWebserver/replicaCount': got string, want integer",
        ),
        ({"dagsterWebserver": {"service": {"typ": "ClusterIP"}}}, "additional properties 'typ' not allowed"),
        ({"image": {"tag": "latest"}}, "at '/image/tag'"),
        ({"image": {"digest": "sha256:12"}}, "at '/image/digest'"),
        ({"settings": {"trading": {"papr": True}}}, "additional properties 'papr' not allowed"),
        ({"settings": {"trading": {"approval": "maybe"}}}, "value must be one of 'auto', 'manual'"),
        ({"settings": {"guards": {"max_daily_loss_pct": 101}}}, "at '/settings/guards/max_daily_loss_pct'"),
        ({"env": {"ALPACA_SECRET_KEY": "x"}}, "invalid propertyName 'ALPACA_SECRET_KEY'"),
        ({"env": {"MY_TOKEN": "x"}}, "invalid propertyName 'MY_TOKEN'"),
        ({"env": {"ALPACA_TRADING_URL": "https://me:secret@host"}}, "at '/env/ALPACA_TRADING_URL'"),
        ({"securityContext": {"privileged": True}}, "at '/securityContext/privileged'"),
        ({"securityContext": {"readOnlyRootFilesystem": False}}, "at '/securityContext/readOnlyRootFilesystem'"),
        ({"podSecurityContext": {"runAsUser": 0}}, "at '/podSecurityContext/runAsUser'"),
        ({"securityContext": {"runAsUser": 0}}, "at '/securityContext/runAsUser'"),
        ({"securityContext": {"runAsNonRoot": False}}, "at '/securityContext/runAsNonRoot'"),
        ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "at '/securityContext/seccompProfile/type'"),
        ({"fullnameOverride": "a.b"}, "at '/fullnameOverride'"),
        ({"nameOverride": "9"}, "at '/nameOverride'"),
        ({"postgresql": {"postgresqlHost": "db:6432"}}, "at '/postgresql/postgresqlHost'"),
        ({"redis": {"host": "redis:6380"}}, "at '/redis/host'"),
        ({"ingress": {"dagsterWebserver": {"path": "/ui"}}}, "at '/ingress/dagsterWebserver/path'"),
        ({"networkPolicy": {"postgresqlCidrs": []}}, "at '/networkPolicy/postgresqlCidrs'"),
        ({"codeServer": {"port": 70000}}, "at '/codeServer/port'"),
        ({"postgresql": {"postgresqlDatabase": 'x"; drop'}}, "at '/postgresql/postgresqlDatabase'"),
        ({"postgresql": {"postgresqlParams": {"password": "x"}}}, "invalid propertyName 'password'"),
        ({"postgresql": {"postgresqlParams": {"sslpassword": "x"}}}, "invalid propertyName 'sslpassword'"),
        ({"postgresql": {"postgresqlParams": {"plugin": "other"}}}, "invalid propertyName 'plugin'"),
        ({"codeServer": {"resources": {"limits": {"memory": "lots"}}}}, "at '/codeServer/resources/limits/memory'"),
        ({"codeServer": {"resources": {"limits": {"cpu": 0}}}}, "at '/codeServer/resources/limits/cpu'"),
        ({"runLauncher": {"config": {"k8sRunLauncher": {"image": {}}}}}, "additional properties 'image' not allowed"),
        ({"oauth2Proxy": {"emailDomains": ["*"]}}, "at '/oauth2Proxy/emailDomains/0'"),
        ({"oauth2Proxy": {"extraArgs": ["--skip-auth-route=.*"]}}, "at '/oauth2Proxy/extraArgs/0'"),
        ({"oauth2Proxy": {"extraArgs": ["--trusted-ip=0.0.0.0/0"]}}, "at '/oauth2Proxy/extraArgs/0'"),
        ({"oauth2Proxy": {"extraArgs": ["--insecure-oidc-allow-unverified-email"]}}, "at '/oauth2Proxy/extraArgs/0'"),
        ({"oauth2Proxy": {"extraArgs": ["--cookie-secure=false"]}}, "at '/oauth2Proxy/extraArgs/0'"),
        ({"backup": {"schedule": "daily"}}, "at '/backup/schedule'"),
        ({"global": {"dagsterHome": "home"}}, "at '/global/dagsterHome'"),
        ({"proxy": {"httpProxy": "http://me:secret@proxy:3128"}}, "at '/proxy/httpProxy'"),
        ({"proxy": {"httpProxy": "http://proxy"}}, "at '/proxy/httpProxy'"),
        ({"global": {"imageRegistry": "https://mirror"}}, "at '/global/imageRegistry'"),
        (instance(run_monitor={}), "additional properties 'run_monitor' not allowed"),
        (instance(concurrency={"pools": {"default_limit": "1"}}), "default_limit': got string, want integer"),
        (instance(concurrency={"pools": {"default_limit": 1.9}}), "default_limit': got number, want integer"),
        (instance(concurrency={"pools": {"default_limit": None}}), "default_limit': got null, want integer"),
        (instance(concurrency={"pools": None}), "at '/additionalInstanceConfig/concurrency/pools': got null"),
        (instance(concurrency=[]), "at '/additionalInstanceConfig/concurrency': got array, want object"),
        (instance(concurrency={"pools": {"granularty": "op"}}), "additional properties 'granularty' not allowed"),
        (instance(run_monitoring={"enabled": "false"}), "enabled': got string, want boolean"),
        (instance(run_monitoring={"max_resume_run_attempts": {"env": "X"}}), "attempts': got object, want integer"),
        ({"computeLogManager": {"type": "S3"}}, "at '/computeLogManager/type'"),
    ],
)
def test_a_wrong_key_or_value_is_refused_and_named(values: Values, said: str, refused: Callable[..., str]) -> None:
    assert said in refused(values)


@pytest.mark.parametrize(
    ("production", "values", "said"),
    [
        (False, {"ingress": {"enabled": True}}, "ingress.enabled needs oauth2Proxy.enabled: the webserver has no auth"),
        (False, {"dagsterWebserver": {"service": {"type": "NodePort"}}}, "NodePort needs oauth2Proxy.enabled"),
        (True, {"oauth2Proxy": {"enabled": False}}, "ingress.enabled needs oauth2Proxy.enabled"),
        (True, {"oauth2Proxy": {"emailDomains": []}}, "oauth2Proxy.emailDomains is empty"),
        (True, {"oauth2Proxy": {"existingSecret": ""}}, "oauth2Proxy.existingSecret is empty"),
        (True, {"oauth2Proxy": {"oidcIssuerUrl": ""}}, "oauth2Proxy.oidcIssuerUrl is empty"),
        (True, {"ingress": {"dagsterWebserver": {"host": ""}}}, "ingress.dagsterWebserver.host is empty"),
        (True, {"ingress": {"dagsterWebserver": {"tls": {"secretName": ""}}}}, "tls.secretName is empty"),
        (True, {"secrets": {"values": {"FINNHUB_API_KEY": "k"}}}, "secrets.values.FINNHUB_API_KEY would be ignored"),
        (True, {"postgresql": {"postgresqlHost": ""}}, "postgresql.postgresqlHost must name the external server"),
        (True, {"postgresql": {"enabled": True}}, "postgresql.postgresqlHost is set, but postgresql.enabled is true"),
        (True, {"postgresql": {"postgresqlPassword": "p"}}, "postgresql.postgresqlPassword would be ignored"),
        (True, {"generatePostgresqlPasswordSecret": True}, "global.postgresqlSecretName names an existing Secret"),
        (True, {"global": {"postgresqlSecretName": ""}}, "global.postgresqlSecretName must name the Secret"),
        (True, {"global": {"postgresqlSecretName": ""}, "generatePostgresqlPasswordSecret": True}, "needs its passw"),
        (False, {"redis": {"internal": False}}, "redis.enabled without redis.internal needs redis.host or REDIS_URL"),
        (False, {"redis": {"host": "redis.example.com"}}, "redis.internal is true and would start a server of its own"),
        (False, {"secrets": {"values": {"REDIS_URL": "redis://x"}}}, "redis.internal is true and would start a server"),
        (False, {"warehouse": {"urlFromSecret": True}}, "TOKENOMICS_DATABASE_URL is empty"),
        (False, {"secrets": {"values": {"TOKENOMICS_DATABASE_URL": "x"}}}, "it would be ignored"),
        (False, {"image": {"tag": "1", "digest": f"sha256:{'0' * 64}"}}, "image.tag 1 would be ignored: image.digest"),
        (True, {"dagsterWebserver": {"service": {"port": 4180}}}, "port is 4180, where oauth2-proxy listens in"),
        (False, {"warehouse": {"database": "dagster"}}, "postgresqlDatabase are both dagster: Dagster and"),
        (True, {"postgresql": {"postgresqlDatabase": "tokenomics"}}, "postgresqlDatabase are both tokenomics"),
        (False, {"settings": {"trading": {"paper": False}}}, "env.TOKENOMICS_LIVE_ACCOUNT must be the number"),
        (True, {"postgresql": {"postgresqlParams": {"sslmode": "require"}}}, "sslmode is not verify-full: the name in"),
        (True, {"postgresql": {"postgresqlParams": {"sslrootcert": "system"}}}, "sslrootcert names another authority"),
        (False, {"postgresql": {"tls": {"caSecret": "ca"}}}, "the one for trying out has no certificate"),
        (True, {"redis": {"tls": {"caSecret": "ca"}}}, "redis.tls.caSecret needs redis.internal: false, no redis.host"),
        (False, {"redis": {"internal": False, "tls": {"caSecret": "ca"}},
                 "secrets": {"values": {"REDIS_URL": "rediss://h"}}}, "REDIS_URL must end with ?ssl_ca_certs="),
        (False, {"proxy": {"httpsProxy": "http://p:1"}, "env": {"HTTPS_PROXY": "x"}}, "HTTPS_PROXY is set by"),
        (False, instance(storage={}), "additionalInstanceConfig.storage cannot be set: runs are stored in"),
        (False, instance(event_log_storage={}), "additionalInstanceConfig.event_log_storage cannot be set"),
        (False, instance(run_launcher={}), "cannot be set: runLauncher says"),
        (False, instance(run_coordinator={}), "cannot be set: `concurrency` says"),
        (False, instance(compute_logs={}), "cannot be set: computeLogManager says"),
        (False, instance(concurrency={"default_op_concurrency_limit": 5}), "Dagster refuses it beside `pools`"),
        (False, instance(concurrency={"pools": {"default_limit": 2}}), "default_limit must be 1: two runs that"),
        (False, instance(concurrency={"pools": {"default_limit": 0}}), "could both order. It is 0."),
        (False, instance(concurrency={"pools": {"granularity": "run"}}), 'granularity must be "op": with another one'),
        (False, instance(concurrency={"runs": {"max_concurrent_runs": 0}}), "runs must be at least 1: with 0 no run"),
        (False, instance(concurrency={"runs": {"max_concurrent_runs": -1}}), "the trading ones need. It is -1."),
        (False, instance(run_monitoring={"max_runtime_seconds": 3600}), "must be at least 86400: a sweep of many"),
        (False, instance(run_monitoring={"poll_interval_seconds": 0}), "poll_interval_seconds must be at least 1:"),
        (False, instance(run_monitoring={"enabled": False}), "run_monitoring.enabled must be true"),
        (False, instance(run_monitoring={"start_timeout_seconds": 0}), "start_timeout_seconds must be at least 1"),
        (False, instance(run_monitoring={"free_slots_after_run_end_seconds": 0}), "run_end_seconds must be at least 1"),
        (False, instance(run_monitoring={"max_resume_run_attempts": 1}), "max_resume_run_attempts must be 0"),
        (False, {"runLauncher": {"config": {"k8sRunLauncher": {"runK8sConfig": {"jobSpecConfig": {
            "activeDeadlineSeconds": 3600}}}}}}, "activeDeadlineSeconds must be at least 86400: a sweep of many"),
        (False, logs("S3ComputeLogManager"), "computeLogManager.config.bucket is empty"),
        (False, logs("LocalComputeLogManager"), "computeLogManager.config.base_dir is empty"),
        (False, logs("AzureBlobComputeLogManager", storage_account="a"), "computeLogManager.config.container is empty"),
        (False, logs("NoOpComputeLogManager", bucket="b"), "computeLogManager.config would be ignored"),
        (False, logs("AzureBlobComputeLogManager", storage_account="a", container="b", access_key_or_sas_token="c"),
         "would show a secret"),
        (False, {"computeLogManager": {"type": "AzureBlobComputeLogManager", "config": {
            "storage_account": "a", "container": "b", "secret_credential": {"client_secret": "c"}}}},
         "would show a secret"),
    ],
)  # fmt: skip
def test_a_combination_that_is_not_safe_or_cannot_work_is_refused_in_a_sentence(
    production: bool, values: Values, said: str, refused: Callable[..., str]
) -> None:
    assert said in refused(values, production=production)


def test_settings_hold_what_differs_and_the_rest_is_the_image_s_own(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in Environment.model_fields:
        monkeypatch.setenv(name.upper(), "")
    file = tmp_path / "settings.yaml"

    def read(values: Values | None) -> Settings:
        file.write_text(render(values).one("ConfigMap", "instance")["data"]["settings.yaml"])
        return load_settings(file)

    original = load_settings(REPOSITORY / "config/settings.yaml")
    assert read(None) == original
    assert file.read_text() == "trading:\n  paper: true\n...\n"
    settings = read({"settings": {"trading": {"approval": "manual"}, "guards": {"max_exits": 7}}})
    assert yaml.safe_load(file.read_text()) == {
        "guards": {"max_exits": 7},
        "trading": {"approval": "manual", "paper": True},
    }
    assert (settings.trading.approval, settings.guards.max_exits) == ("manual", 7)
    assert (
        settings.model_copy(
            update={
                "trading": settings.trading.model_copy(update={"approval": original.trading.approval}),
                "guards": settings.guards.model_copy(update={"max_exits": original.guards.max_exits}),
            }
        )
        == original
    )
    live = {"settings": {"trading": {"paper": False}}, "env": {"TOKENOMICS_LIVE_ACCOUNT": "1"}}
    assert not read(live).trading.paper


def test_several_accounts_are_several_releases_that_share_a_rate_limit_and_nothing_else(render: Render) -> None:
    """As the README has it: in one namespace no name is the other's, and together they keep to the plan of one key."""
    text = (REPOSITORY / "helm/README.md").read_text()
    values = [yaml.safe_load(part.partition("```")[0]) for part in text.split("```yaml # one of two accounts\n")[1:]]
    assert len(values) == 2
    first, second = (
        render(merged({"fullnameOverride": name}, given)) for name, given in zip("ab", values, strict=True)
    )

    def databases(objects: Objects) -> set[str]:
        url = {e["name"]: e for e in containers_env(objects)}["TOKENOMICS_DATABASE_URL"]["value"]
        return {url.rpartition("/")[2], objects.instance()["storage"]["postgres"]["postgres_db"]["db_name"]}

    assert not databases(first) & databases(second)
    calls = [
        yaml.safe_load(objects.one("ConfigMap", "instance")["data"]["settings.yaml"])["finnhub"]["calls_per_minute"]
        for objects in (first, second)
    ]
    assert sum(calls) <= FinnhubSettings().calls_per_minute
    # Both would publish under the same keys.
    published = ["REDIS_URL" in {e["name"] for e in containers_env(objects)} for objects in (first, second)]
    assert published == [True, False]
    names = [{(o["kind"], o["metadata"]["name"]) for o in objects.all} for objects in (first, second)]
    assert not names[0] & names[1]


def containers_env(objects: Objects) -> list[Object]:
    (container,) = containers(objects.one("Deployment", "code-server")["spec"]["template"])
    return list(container["env"])


# --- secrets


def test_a_secret_stands_in_secrets_only(render: Render) -> None:
    keys = [
        "FINNHUB_API_KEY",
        "ALPACA_API_KEY",
        "ALPACA_SECRET_KEY",
        "REDIS_PASSWORD",
        "REDIS_URL",
        "ALERT_WEBHOOK_URL",
        "ALERT_URLS",
        "HEALTHCHECK_URL",
    ]
    values = {key: f"confidential-{key}" for key in (*keys, "TOKENOMICS_DATABASE_URL")}
    objects = render(
        {
            "secrets": {"values": values},
            "warehouse": {"urlFromSecret": True},
            "redis": {"internal": False},
            "postgresql": {"postgresqlPassword": "confidential-too"},
        }
    )
    elsewhere = [thing for thing in objects.all if thing["kind"] != "Secret"]
    assert "confidential" not in json.dumps(elsewhere)
    assert json.dumps(objects.of("Secret")).count("confidential") == len(values) + 1


def test_a_secret_arrives_as_it_was_given_whatever_its_characters(render: Render) -> None:
    production, values = VARIANTS["own passwords, a digest, a live account"]
    objects = render(values, production=production)
    given = values["secrets"]["values"]
    assert given.items() <= objects.secret("weekly-tokenomics-secrets").items()
    assert objects.secret("weekly-tokenomics-postgresql")["postgresql-password"] == "p@ss/w:rd %?#&'\""


def test_no_annotation_holds_the_hash_of_a_password_alone_by_which_it_could_be_guessed(render: Render) -> None:
    values = {"REDIS_PASSWORD": "short", "ALPACA_SECRET_KEY": "x"}
    objects = render({"secrets": {"values": values}, "postgresql": {"postgresqlPassword": "short"}})
    hashed = [hashlib.sha256(text.encode()).hexdigest() for text in ("short", '"short"')]
    everything = json.dumps(objects.all)
    assert "checksum/secrets" in everything
    assert [found for found in hashed if found in everything] == []


def test_with_an_existing_secret_the_chart_makes_none_and_reads_that_one(render: Render) -> None:
    objects = render(production=True)
    assert objects.of("Secret") == []
    read = {
        entry["valueFrom"]["secretKeyRef"]["name"]
        for template in objects.pods().values()
        for container in containers(template)
        for entry in container.get("env", [])
        if "valueFrom" in entry
    }
    assert read == {"tokenomics-secrets", "tokenomics-postgresql", "tokenomics-oauth2-proxy"}


def test_a_missing_key_of_a_broker_stops_the_pod_and_not_the_first_order(render: Render) -> None:
    entries = render(production=True).launcher()["run_k8s_config"]["container_config"]["env"]
    optional = {e["name"] for e in entries if e.get("valueFrom", {}).get("secretKeyRef", {}).get("optional")}
    assert optional == {"REDIS_URL", "REDIS_PASSWORD", "ALERT_WEBHOOK_URL", "ALERT_URLS", "HEALTHCHECK_URL"}


def test_random_passwords_differ_between_releases(render: Render, run_helm: Run) -> None:
    def passwords() -> set[str]:
        made = yaml.safe_load_all(run_helm("template", "x", CHART, "-s", "templates/secrets.yaml").stdout)
        return {
            value
            for secret in made
            for key, value in secret["stringData"].items()
            if key in ("postgresql-password", "REDIS_PASSWORD")
        }

    first, second = passwords(), passwords()
    assert len(first | second) == 4
    assert all(len(password) == 32 for password in first | second)


def test_keys_to_the_brokers_are_in_no_pod_that_does_not_need_them(objects: Objects) -> None:
    holders = {
        name.rpartition("-")[2]
        for name, template in objects.pods().items()
        if "ALPACA_SECRET_KEY" in json.dumps(template)
    }
    assert holders == {"server"}  # code-server; runs are not among these


# --- what each may do


def test_every_pod_keeps_to_the_restricted_standard(objects: Objects) -> None:
    users = {template["spec"]["securityContext"].get("runAsUser") for template in objects.pods().values()}
    assert users <= {999, 10001} or users == {None}, "ids of the images, or those of the namespace for all"
    for name, template in objects.pods().items():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} == set(container["resources"]["requests"]) == set(container["resources"]["limits"])
        for volume in pod["volumes"]:
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}, name


def test_only_who_starts_or_ends_runs_has_a_token_and_no_right_beyond_that(render: Render) -> None:
    objects = render()
    tokens = {name for name, template in objects.pods().items() if template["spec"]["automountServiceAccountToken"]}
    assert tokens == {"Deployment/weekly-tokenomics-webserver", "Deployment/weekly-tokenomics-daemon"}
    rights = {
        role["metadata"]["name"].rpartition("-")[2]: {
            (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
        }
        for role in objects.of("Role")
    }
    end = {("jobs", "delete"), ("pods", "list"), ("pods", "delete")}
    launch = {("jobs", "create"), ("jobs", "list"), ("jobs/status", "get"), ("pods/log", "get"), ("events", "list")}
    assert rights == {"webserver": end, "daemon": end | launch}
    assert objects.of("ClusterRole", "ClusterRoleBinding") == []


def test_runs_have_an_account_without_rights_and_no_token(render: Render) -> None:
    objects = render()
    launcher = objects.launcher()
    bound = {s["name"] for b in objects.of("RoleBinding") for s in b["subjects"]}
    assert launcher["service_account_name"] not in bound
    assert launcher["run_k8s_config"]["pod_spec_config"]["automountServiceAccountToken"] is False


def policies(objects: Objects, direction: str) -> dict[str, list[Object]]:
    """Rules by component: what may be reached (egress), or who may reach it (ingress)."""
    found: dict[str, list[Object]] = {}
    for policy in objects.of("NetworkPolicy"):
        component = policy["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
        if component:
            found.setdefault(component, []).extend(policy["spec"].get(direction, []))
    return found


def peers(rules: list[Object], end: str) -> set[tuple[str, int]]:
    """(component or address, port) of each rule."""
    found = set()
    for rule in rules:
        for peer in rule[end]:
            if "podSelector" in peer:
                name = peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            else:
                name = peer.get("ipBlock", {}).get("cidr", "namespace")
            found |= {(name, port["port"]) for port in rule["ports"]}
    return found


def test_what_no_policy_allows_is_denied_for_every_pod_of_the_release_and_for_runs(render: Render) -> None:
    objects = render()
    (deny,) = (p for p in objects.of("NetworkPolicy") if "ingress" not in p["spec"] and "egress" not in p["spec"])
    assert set(deny["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    chosen = deny["spec"]["podSelector"]["matchLabels"].items()
    labels = [template["metadata"]["labels"] for template in objects.pods().values()]
    for found in (*labels, objects.run()["metadata"]["labels"]):
        assert chosen <= found.items()


def test_each_part_reaches_what_it_needs_and_nothing_else(render: Render) -> None:
    dns = {("namespace", 53)}
    base = dns | {("postgresql", 5432)}
    api = {(anywhere, port) for anywhere in ("0.0.0.0/0", "::/0") for port in (443, 6443)}
    internet = {("0.0.0.0/0", 443), ("::/0", 443)}
    assert {name: peers(rules, "to") for name, rules in policies(render(), "egress").items() if rules} == {
        "webserver": base | {("code-server", 4000)} | api,
        "daemon": base | {("code-server", 4000)} | api,
        "code-server": base | {("redis", 6379)} | internet,
        "run": base | {("redis", 6379)} | internet,
        "metrics": base | internet,
        "migrate": base,
        "backup": base,
    }
    assert {name: peers(rules, "from") for name, rules in policies(render(), "ingress").items() if rules} == {
        "code-server": {("webserver", 4000), ("daemon", 4000)},
        "postgresql": {
            (name, 5432)
            for name in ("webserver", "daemon", "code-server", "run", "metrics", "migrate", "backup")
        },
        "redis": {("code-server", 6379), ("run", 6379)},
        "metrics": {("namespace", 9464)},
    }  # fmt: skip


def test_a_warehouse_on_a_server_of_its_own_is_reached_beside_the_one_for_trying_out(render: Render) -> None:
    url = {"TOKENOMICS_DATABASE_URL": "postgresql+psycopg2://me:sesame@db.example.com/tokenomics"}
    objects = render(
        {
            "warehouse": {"urlFromSecret": True},
            "secrets": {"values": url},
            "networkPolicy": {"postgresqlCidrs": ["203.0.113.7/32"]},
        }
    )
    both = {("postgresql", 5432), ("203.0.113.7/32", 5432)}
    out = {name: peers(rules, "to") for name, rules in policies(objects, "egress").items()}
    for name in ("code-server", "run", "metrics", "migrate", "backup"):
        assert both <= out[name], name
    for name in ("webserver", "daemon"):
        assert both & out[name] == {("postgresql", 5432)}, name


def blocks(objects: Objects, component: str) -> dict[str, list[str]]:
    """Exceptions by address, of what lies outside of the cluster."""
    rules = policies(objects, "egress")[component]
    found = [peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]
    return {block["cidr"]: block.get("except", []) for block in found}


def test_runs_reach_the_internet_but_no_private_address_and_no_metadata_server(render: Render) -> None:
    private = ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
    assert blocks(render(), "run") == {"0.0.0.0/0": private, "::/0": ["fc00::/7", "fe80::/10"]}


def test_no_policy_has_an_exception_outside_of_its_address_which_kubernetes_refuses(render: Render) -> None:
    narrow = {"networkPolicy": {"internet": {"cidrs": ["203.0.113.0/24", "2001:db8::/32", "::/0"]}}}
    objects = render(narrow)
    assert blocks(objects, "run") == {
        "203.0.113.0/24": [],
        "2001:db8::/32": [],
        "::/0": ["fc00::/7", "fe80::/10"],
    }
    for found in (objects, render(production=True)):
        for component in policies(found, "egress"):
            for cidr, excepted in blocks(found, component).items():
                around = ip_network(cidr)
                # One network of the other family raises.
                assert all(ip_network(inner).subnet_of(around) for inner in excepted)  # type: ignore[arg-type]


def test_who_calls_out_reaches_the_proxy_and_all_reach_what_is_asked_for(render: Render) -> None:
    rule = {"to": [{"ipBlock": {"cidr": "10.9.9.9/32"}}], "ports": [{"port": 9000}]}
    proxy = {"httpProxy": "http://proxy.example.com:3128", "httpsProxy": "http://proxy.example.com:3129"}
    policy = {"proxyCidrs": ["10.8.8.8/32"], "egress": [rule]}
    out = policies(render({"proxy": proxy, "networkPolicy": policy}), "egress")
    assert {name for name, rules in out.items() if rule in rules} == {
        "webserver", "daemon", "code-server", "run", "metrics", "migrate", "backup",
    }  # fmt: skip
    through = {("10.8.8.8/32", 3128), ("10.8.8.8/32", 3129)}
    assert {name for name, rules in out.items() if rules and through <= peers(rules, "to")} == {
        "code-server",
        "run",
        "metrics",
    }


def test_names_are_asked_of_openshift_s_own_servers_where_they_listen(render: Render) -> None:
    for component, rules in policies(render({"openshift": True}), "egress").items():
        names = [r for r in rules if {"protocol": "UDP", "port": 5353} in r["ports"]]
        spaces = [p["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for r in names for p in r["to"]]
        assert spaces == ["kube-system", "openshift-dns"] or not rules, component


def test_a_rule_without_peers_which_would_mean_anywhere_is_never_made(objects: Objects) -> None:
    for policy in objects.of("NetworkPolicy"):
        for direction, end in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                assert rule[end], policy["metadata"]["name"]
                assert rule["ports"], policy["metadata"]["name"]


def test_the_webserver_is_reached_through_the_proxy_or_not_at_all(objects: Objects) -> None:
    pod = objects.one("Deployment", "webserver")["spec"]["template"]
    web = pod["spec"]["containers"][0]
    proxied = len(pod["spec"]["containers"]) == 2
    address = web["command"][web["command"].index("-h") + 1]
    assert address == "127.0.0.1" if proxied else address in ("0.0.0.0", "::")
    service = objects.one("Service", "webserver")["spec"]
    if proxied:
        proxy = pod["spec"]["containers"][1]
        assert proxy["ports"] == [{"name": "http", "containerPort": 4180}]
        assert "ports" not in web
        assert [a for a in proxy["args"] if a.startswith("--email-domain")] == ["--email-domain=example.com"]
        assert "--cookie-secure=true" in proxy["args"]
    else:
        assert service["type"] == "ClusterIP"
        assert objects.of("Ingress") == []
        assert "webserver" not in {n for n, rules in policies(objects, "ingress").items() if rules}
    for ingress in objects.of("Ingress"):
        assert ingress["spec"]["tls"][0]["hosts"] == ["tokenomics.example.com"]


def test_under_a_prefix_probes_proxy_and_ingress_find_the_ui(render: Render) -> None:
    def parts(values: Values, *, production: bool) -> tuple[Object, list[str], Objects]:
        objects = render(merged(values, {"dagsterWebserver": {"pathPrefix": "/desk/weekly"}}), production=production)
        pod = objects.one("Deployment", "webserver")["spec"]["template"]["spec"]
        command = pod["containers"][0]["command"]
        assert command[command.index("--path-prefix") + 1] == "/desk/weekly"
        return pod["containers"][0], pod["containers"][-1].get("args", []), objects

    plain, _, _ = parts({}, production=False)
    assert {plain[probe]["httpGet"]["path"] for probe in PROBES} == {"/desk/weekly/server_info"}
    behind, args, objects = parts({}, production=True)
    assert all(":8080/desk/weekly/server_info'" in behind[probe]["exec"]["command"][2] for probe in PROBES)
    # Its own pages are under the prefix, too: nothing else of the host comes to this release.
    assert "--proxy-prefix=/desk/weekly/oauth2" in args
    assert "--redirect-url=https://tokenomics.example.com/desk/weekly/oauth2/callback" in args
    (ingress,) = objects.of("Ingress")
    assert ingress["spec"]["rules"][0]["http"]["paths"][0]["path"] == "/desk/weekly/"


def test_a_webserver_that_only_shows_has_no_right_to_end_runs(render: Render) -> None:
    objects = render({"dagsterWebserver": {"readOnly": True}})
    assert {role["metadata"]["name"] for role in objects.of("Role", "RoleBinding")} == {"weekly-tokenomics-daemon"}
    for found, shows in ((objects, True), (render(), False)):
        (container,) = containers(found.one("Deployment", "webserver")["spec"]["template"])
        assert ("--read-only" in container["command"]) is shows


def test_how_new_pods_take_the_place_of_old_ones_is_said_where_two_do_no_harm(
    render: Render, refused: Callable[..., str]
) -> None:
    slowly = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    objects = render({"dagsterWebserver": {"strategy": slowly}, "codeServer": {"strategy": {"type": "Recreate"}}})
    strategies = {
        d["metadata"]["name"].partition("-tokenomics-")[2]: d["spec"]["strategy"] for d in objects.of("Deployment")
    }
    assert strategies.pop("webserver") == slowly
    assert {name: strategy["type"] for name, strategy in strategies.items()} == {
        "code-server": "Recreate",
        "daemon": "Recreate",
        "metrics": "Recreate",
        "redis": "Recreate",
    }
    # What Kubernetes had filled in for RollingUpdate is taken back: it refuses Recreate beside that.
    assert objects.one("Deployment", "code-server")["spec"]["strategy"] == {"type": "Recreate", "rollingUpdate": None}
    assert "additional properties 'strategy' not allowed" in refused({"dagsterDaemon": {"strategy": slowly}})


def test_servers_for_trying_out_are_official_images_and_not_part_of_production(render: Render) -> None:
    def images(objects: Objects) -> set[str]:
        pods = [objects.pods()[f"{thing['kind']}/{thing['metadata']['name']}"] for thing in objects.of(*KINDS)]
        return {c["image"].rpartition(":")[0] for pod in pods for c in containers(pod)}

    assert images(render()) == {"tokenomics", "docker.io/library/postgres", "docker.io/library/redis"}
    assert images(render(production=True)) == {"tokenomics", "quay.io/oauth2-proxy/oauth2-proxy"}


@pytest.mark.parametrize("tag", [None, "16.4"])
def test_backups_are_made_by_the_version_of_the_server(render: Render, tag: str | None) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["postgresql"]["image"]
    objects = render({} if tag is None else {"postgresql": {"image": {"tag": tag}}})
    (backup,) = containers(objects.one("CronJob", "backup")["spec"]["jobTemplate"]["spec"]["template"])
    (server,) = containers(objects.one("StatefulSet", "postgresql")["spec"]["template"])
    assert backup["image"] == server["image"] == f"{values['repository']}:{tag or values['tag']}"


@pytest.mark.parametrize(
    ("backup", "told"), [({}, "50"), ({"maxAgeHours": 8}, "8"), ({"enabled": False, "maxAgeHours": 8}, None)]
)
def test_who_serves_the_metrics_knows_whether_there_should_be_backups(
    render: Render, backup: Values, told: str | None
) -> None:
    objects = render({"backup": backup})
    (metrics,) = containers(objects.one("Deployment", "metrics")["spec"]["template"])
    assert objects.environment(metrics["env"]).get("TOKENOMICS_BACKUP_MAX_AGE_HOURS") == told
    assert "TOKENOMICS_BACKUP_MAX_AGE_HOURS" not in {e["name"] for e in objects.run()["spec"]["containers"][0]["env"]}


@pytest.mark.parametrize("production", [False, True])
@pytest.mark.parametrize("names", [{}, {"fullnameOverride": "tokenomics"}])
def test_the_rules_for_prometheus_name_the_chart_s_jobs(render: Render, production: bool, names: Values) -> None:
    rules = yaml.safe_load((REPOSITORY / "monitoring/alerts.yaml").read_text())["groups"][1]["rules"]
    patterns = {label: re.findall(rf'{label}=~"([^"]*)"', " ".join(rule["expr"] for rule in rules)) for label in NAMED}
    objects = render(names, production=production)
    for label, kind in NAMED.items():
        (pattern,) = patterns[label]
        (found,) = objects.of(kind)
        assert re.fullmatch(pattern, found["metadata"]["name"])


# --- upgrades, migration


def test_selectors_and_claims_hold_nothing_that_an_upgrade_changes(objects: Objects) -> None:
    fixed = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
    for thing in objects.of("Deployment", "StatefulSet"):
        assert set(thing["spec"]["selector"]["matchLabels"]) == fixed
        for claim in thing["spec"].get("volumeClaimTemplates", []):
            assert set(claim["metadata"]["labels"]) == fixed


def test_neither_an_upgrade_nor_the_end_of_the_release_deletes_a_volume(render: Render) -> None:
    objects = render()
    (claim,) = objects.of("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    database = objects.one("StatefulSet", "postgresql")["spec"]
    assert database["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    mounted = database["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "data", "mountPath": "/var/lib/postgresql/data"} in mounted
    assert database["volumeClaimTemplates"][0]["metadata"]["name"] == "data"
    # A volume whose password is gone is lost as well.
    assert objects.one("Secret", "postgresql")["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for thing in objects.all:
        hook = thing["metadata"].get("annotations", {}).get("helm.sh/hook")
        assert hook is None or thing["kind"] in ("Job", "ConfigMap", "ServiceAccount", "NetworkPolicy")


def migration(objects: Objects) -> Object:
    (job,) = objects.of("Job")
    return job


def hooks(objects: Objects) -> list[Object]:
    return [o for o in objects.all if "helm.sh/hook" in o["metadata"].get("annotations", {})]


@pytest.mark.parametrize("production", [True, False])
def test_the_migration_does_what_the_release_would_find_undone(production: bool, render: Render) -> None:
    objects = render(production=production)
    job = migration(objects)
    # Of the tries' waits, 10 s and twice as long each time, all fit the deadline.
    waits_s = 10 * (2 ** job["spec"]["backoffLimit"] - 1)
    assert 600 < waits_s < job["spec"]["activeDeadlineSeconds"]
    pod = job["spec"]["template"]["spec"]
    assert [c["command"] for c in containers(job["spec"]["template"])] == [
        ["dagster", "instance", "migrate"],
        ["tokenomics", "migrate"],
    ]
    configuration = pod["volumes"][0]["configMap"]["name"].removeprefix("weekly-tokenomics-")
    mounted, running = (dict(objects.one("ConfigMap", name)["data"]) for name in (configuration, "instance"))
    for document in (mounted, running):
        document["dagster.yaml"] = yaml.safe_load(document["dagster.yaml"])
    # Dagster would load the launcher, which wants a token for the Kubernetes API.
    assert mounted["dagster.yaml"] == {k: v for k, v in running["dagster.yaml"].items() if k != "run_launcher"}
    assert mounted["settings.yaml"] == running["settings.yaml"]


def test_where_all_is_there_the_migration_comes_first_and_keeps_what_it_needs_when_helm_waits_no_longer(
    render: Render,
) -> None:
    objects = render({"serviceAccount": {"annotations": {"cloud": "identity"}}}, production=True)
    found = {o["kind"]: o["metadata"] for o in hooks(objects)}
    assert found.keys() == {"ConfigMap", "ServiceAccount", "NetworkPolicy", "Job"}
    for kind, metadata in found.items():
        annotations = metadata["annotations"]
        # Both are PreSync to Argo CD.
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        # Nothing goes by its own success: of an account that is as soon as it is made, a Job or a pod later.
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation"
        assert (int(annotations.get("helm.sh/hook-weight", 0)) < 0) is (kind != "Job")
    # Those of the release are not there yet when it is installed, and the old ones when it is upgraded.
    pod = migration(objects)["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == found["ServiceAccount"]["name"] == "weekly-tokenomics-migrate"
    assert pod["volumes"][0]["configMap"]["name"] == found["ConfigMap"]["name"]
    assert found["ServiceAccount"]["annotations"]["cloud"] == "identity"


def test_what_a_hook_leaves_behind_is_in_the_way_of_no_release_that_has_no_hook(render: Render) -> None:
    """helm refuses to take over what it did not make for the release."""
    names = [{(o["kind"], o["metadata"]["name"]) for o in found} for found in (
        hooks(render(production=True)),
        [o for o in render().all if o not in hooks(render())],
    )]  # fmt: skip
    assert len(names[0]) == 4
    assert not names[0] & names[1]


def test_the_migration_reaches_a_database_that_the_policies_of_the_last_release_do_not_know(render: Render) -> None:
    moved = {"networkPolicy": {"postgresqlCidrs": ["203.0.113.9/32"]}, "postgresql": {"service": {"port": 6432}}}
    objects = render(moved, production=True)
    (policy,) = (o for o in hooks(objects) if o["kind"] == "NetworkPolicy")
    labels = migration(objects)["spec"]["template"]["metadata"]["labels"]
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    assert chosen["app.kubernetes.io/component"] == "migrate"
    assert chosen.items() <= labels.items()
    assert ("203.0.113.9/32", 6432) in peers(policy["spec"]["egress"], "to")
    selecting = [p for p in objects.of("NetworkPolicy") if p["spec"]["podSelector"]["matchLabels"] == chosen]
    assert selecting == [policy], "one of the release would come and go with it"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"postgresql": {"enabled": False, "postgresqlHost": "db", "postgresqlPassword": "p"}},
        {"secrets": {"existingSecret": "mine"}},
    ],
    ids=["all for trying out", "external PostgreSQL", "own Secret"],
)
def test_a_migration_that_needs_something_of_the_release_is_no_hook_which_would_wait_for_ever(
    values: Values, render: Render
) -> None:
    objects = render(values)
    assert hooks(objects) == []
    assert migration(objects)["spec"]["template"]["spec"]["serviceAccountName"] == "weekly-tokenomics-run"
    assert peers(objects.one("NetworkPolicy", "migrate")["spec"]["egress"], "to") != set()


def test_each_change_makes_a_migration_of_its_own_for_a_job_cannot_be_changed(run_helm: Run) -> None:
    def name(*arguments: str) -> str:
        done = run_helm("template", RELEASE, CHART, "-s", "templates/migrate.yaml", *arguments)
        (job,) = (o for o in yaml.safe_load_all(done.stdout) if o["kind"] == "Job")
        # What keeps a release as it was said would make one again that went by itself.
        assert "ttlSecondsAfterFinished" not in job["spec"]
        return str(job["metadata"]["name"])

    names = [name(), name("--set", "image.tag=0.2.0"), name("--set", "settings.trading.approval=manual")]
    assert len(set(names)) == 3
    assert name() == names[0]


def test_a_changed_setting_restarts_what_reads_it(render: Render) -> None:
    def checksum(values: Values) -> str:
        pod = render(values).one("Deployment", "code-server")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/instance"])

    assert checksum({}) != checksum({"settings": {"trading": {"approval": "manual"}}})


def test_there_is_one_daemon_and_never_two(objects: Objects) -> None:
    daemon = objects.one("Deployment", "daemon")["spec"]
    assert (daemon["replicas"], daemon["strategy"]["type"]) == (1, "Recreate")


def test_pods_are_probed_spread_and_not_all_taken_at_once(render: Render) -> None:
    objects = render(production=True)
    for component in ("webserver", "code-server", "daemon", "metrics"):
        for container in objects.one("Deployment", component)["spec"]["template"]["spec"]["containers"]:
            assert "livenessProbe" in container
            assert "readinessProbe" in container or component == "daemon"
    spread = objects.one("Deployment", "webserver")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [s["topologyKey"] for s in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert {b["spec"]["maxUnavailable"] for b in objects.of("PodDisruptionBudget")} == {1}
    assert len(objects.of("PodDisruptionBudget")) == 2


# --- policy


def test_the_policy_checks_pass_and_each_exception_says_why(render: Render, tmp_path: Path) -> None:
    checkov = Path(sys.prefix) / "policy/bin/checkov"
    if not checkov.exists():
        pytest.skip("checkov is not installed: make policy")
    for variant in ("default", "production"):
        production, values = VARIANTS[variant]
        (tmp_path / f"{variant}.yaml").write_text(yaml.safe_dump_all(render(values, production=production).all))
    done = subprocess.run(
        [checkov, "-d", tmp_path, "--framework", "kubernetes", "--skip-download", "-o", "json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    report = json.loads(done.stdout)
    failed = {(c["check_id"], c["check_name"], c["resource"]) for c in report["results"]["failed_checks"]}
    assert failed == set()
    assert report["summary"]["passed"] > 1000
    for check in report["results"]["skipped_checks"]:
        assert len(check["check_result"]["suppress_comment"]) > 20, check["check_id"]
