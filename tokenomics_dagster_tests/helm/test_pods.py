"""What holds for every pod: each value of `pods` reaches each of them, those of runs too, and a section's own wins."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
import yaml

from tokenomics_dagster_tests.helm.conftest import Object, Objects, Render, Values, containers, merged
from tokenomics_dagster_tests.helm.schema import FILE, OF_CONTAINER, OF_METADATA, PROBED, PROBES, places

# Every pod that the chart can make, and the section of its own values.
SECTIONS = {
    "Deployment/webserver": "dagsterWebserver",
    "Deployment/daemon": "dagsterDaemon",
    "Deployment/code-server": "codeServer",
    "Deployment/metrics": "metrics",
    "Deployment/redis": "redis",
    "StatefulSet/postgresql": "postgresql",
    "CronJob/backup": "backup",
    "Job/migrate": "migrate",
    "run": "runLauncher.config.k8sRunLauncher.runK8sConfig",
}
# With oauth2-proxy, which is a second container.
PROXIED: Values = {"oauth2Proxy": {"enabled": True, "existingSecret": "proxy", "emailDomains": ["example.com"],
                                   "oidcIssuerUrl": "https://login.example.com"}}  # fmt: skip
# These decide whom they let in by their environment, too: what is said for all pods does not reach it.
TRYING_OUT = {"Deployment/redis", "StatefulSet/postgresql"}
SMALL = {name: {"cpu": "10m", "memory": "16Mi"} for name in ("requests", "limits")}
COMMON: Values = {
    "annotations": {"mesh.example.com/inject": "false"},
    "labels": {"team": "trading"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "important",
    "schedulerName": "volcano",
    "runtimeClassName": "gvisor",
    "hostAliases": [{"ip": "10.0.0.5", "hostnames": ["db.example.com"]}],
    "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
    "terminationGracePeriodSeconds": 70,
    "serviceAccountName": "given",
    "env": [{"name": "COMPANY", "value": "all"}],
    "envFrom": [{"secretRef": {"name": "company", "optional": True}}],
    "volumes": [{"name": "company", "secret": {"secretName": "company"}}],
    "volumeMounts": [{"name": "company", "mountPath": "/etc/company"}],
    "initContainers": [{"name": "company", "image": "company:1", "restartPolicy": "Always", "resources": SMALL}],
}
OWN: Values = {
    "annotations": {"mesh.example.com/inject": "true"},
    "labels": {"team": "data"},
    "nodeSelector": {"disk": "slow"},
    "tolerations": [],
    "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "unimportant",
    "schedulerName": "default-scheduler",
    "runtimeClassName": "runc",
    "hostAliases": [{"ip": "10.0.0.6", "hostnames": ["db.example.com"]}],
    "dnsConfig": {"options": []},
    "terminationGracePeriodSeconds": 80,
    "serviceAccountName": "own",
    "env": [{"name": "COMPANY", "value": "own"}],
    "envFrom": [{"secretRef": {"name": "own"}}],
    "volumes": [{"name": "company", "secret": {"secretName": "own"}}],
    "volumeMounts": [{"name": "company", "mountPath": "/etc/company", "subPath": "own"}],
    "initContainers": [{"name": "company", "image": "own:1", "restartPolicy": "Always"}],
}


def at(path: str, value: Any) -> Values:
    """The value under this path of keys."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def own() -> Values:
    values: Values = {}
    for path, key in places(COMMON):
        values = merged(values, at(f"{path}.{key}", OWN[key]))
    return values


def pods(objects: Objects) -> dict[str, Object]:
    """Each pod's template, that of runs among them, by kind and component."""
    found = {}
    for name, template in objects.pods().items():
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        found[f"{name.partition('/')[0]}/{component}"] = template
    return {**found, "run": objects.run()}


@pytest.fixture(scope="module")
def common(render: Render) -> dict[str, Object]:
    return pods(render({**PROXIED, "pods": COMMON, "imagePullSecrets": [{"name": "registry"}]}))


@pytest.fixture(scope="module")
def overridden(render: Render) -> dict[str, Object]:
    return pods(render(merged({**PROXIED, "pods": COMMON}, own())))


def has(template: Object, key: str, value: Any) -> bool:
    """Whether the pod, or each container of the chart in it, has this."""
    spec = template["spec"]
    if key in OF_METADATA:
        return bool(value.items() <= template["metadata"][key].items())
    if key in OF_CONTAINER:
        ours = [c for c in containers(template) if c["name"] != "company"]
        if key in ("env", "envFrom"):
            ours = [c for c in ours if c["name"] != "oauth2-proxy"]
        return all(entry in container.get(key, []) for container in ours for entry in value)
    if key in ("volumes", "initContainers"):
        found = [entry for entry in spec[key] if entry["name"] == "company"]
        return len(found) == 1 and value[0].items() <= found[0].items()
    return bool(spec.get(key, type(value)()) == value)


def test_these_are_all_pods_and_all_values_that_pods_share(common: dict[str, Object]) -> None:
    assert common.keys() == SECTIONS.keys()
    keys = json.loads(FILE.read_text())["properties"]["pods"]["properties"].keys()
    assert keys == COMMON.keys() == OWN.keys()
    sections = {path for path, _ in places(COMMON)}
    assert {path for path in sections if "." not in path} == {*SECTIONS.values()} - {SECTIONS["run"]}
    assert len(sections) == len(SECTIONS) + 2  # a run's has three parts


@pytest.mark.parametrize("key", COMMON)
def test_what_is_said_for_all_pods_reaches_each_of_them(key: str, common: dict[str, Object]) -> None:
    without = {name for name, template in common.items() if not has(template, key, COMMON[key])}
    # A run has a longer period of its own, for the cancel of what is under way.
    exceptions = {"terminationGracePeriodSeconds": {"run"}, "env": TRYING_OUT, "envFrom": TRYING_OUT}
    assert without == exceptions.get(key, set())


@pytest.mark.parametrize("key", COMMON)
def test_what_is_said_for_one_section_wins(key: str, overridden: dict[str, Object]) -> None:
    for name, template in overridden.items():
        assert has(template, key, OWN[key]), name
        assert not has(template, key, COMMON[key]) or key == "envFrom", name


def test_nothing_reaches_the_environment_of_the_proxy_but_the_ways_to_the_internet(render: Render) -> None:
    ways = [{"name": name, "value": "x"} for name in ("HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE")]
    given = {
        "env": [*ways, {"name": "COMPANY", "value": "all"}],
        "envFrom": [{"configMapRef": {"name": "whatever"}}],
    }
    for values in ({"pods": given}, {"dagsterWebserver": given}):
        found = {c["name"]: c for c in all_containers(render({**PROXIED, **values}))["Deployment/webserver"]}
        assert found["webserver"]["env"][-4:] == given["env"]
        assert found["webserver"]["envFrom"] == given["envFrom"]
        assert [e for e in found["oauth2-proxy"]["env"] if not e["name"].startswith("OAUTH2_PROXY_")] == ways
        assert "envFrom" not in found["oauth2-proxy"]


def test_every_pod_pulls_with_the_same_secrets(common: dict[str, Object]) -> None:
    for name, template in common.items():
        assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}], name


def test_a_side_container_is_as_restricted_as_ours_and_is_there_before_the_migration(
    common: dict[str, Object],
) -> None:
    for name, template in common.items():
        spec = template["spec"]
        assert spec["initContainers"][0]["name"] == "company"
        assert spec["initContainers"][0]["securityContext"] == spec["containers"][0]["securityContext"], name
    assert [c["name"] for c in common["Job/migrate"]["spec"]["initContainers"]] == ["company", "dagster"]


def test_mappings_are_merged_and_entries_with_another_name_are_added(render: Render) -> None:
    mine = {
        "annotations": {"b": "2"},
        "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}],
        "volumes": [{"name": "b", "emptyDir": {}}],
        "volumeMounts": [{"name": "b", "mountPath": "/b"}],
    }
    for_all = {
        "annotations": {"a": "1"},
        "env": [{"name": "A", "value": "1"}, {"name": "C", "value": "1"}],
        "volumes": [{"name": "a", "emptyDir": {}}],
        "volumeMounts": [{"name": "a", "mountPath": "/a"}],
    }
    objects = pods(render({"pods": for_all, "metrics": mine}))
    metrics, daemon = objects["Deployment/metrics"], objects["Deployment/daemon"]
    assert {"a": "1", "b": "2"}.items() <= metrics["metadata"]["annotations"].items()
    (container,) = metrics["spec"]["containers"]
    added = [(entry["name"], entry["value"]) for entry in container["env"][-3:]]
    assert added == [("C", "1"), ("B", "2"), ("A", "3")]
    assert [mount["mountPath"] for mount in container["volumeMounts"][-2:]] == ["/a", "/b"]
    assert "b" not in {volume["name"] for volume in daemon["spec"]["volumes"]}
    assert "B" not in {entry["name"] for entry in daemon["spec"]["containers"][0]["env"]}


def test_who_starts_runs_has_the_rights_whatever_its_account_is_called(render: Render) -> None:
    def bound(values: Values) -> dict[str, str]:
        bindings = render(values).of("RoleBinding")
        return {b["metadata"]["name"].rpartition("-")[2]: b["subjects"][0]["name"] for b in bindings}

    assert bound({"pods": {"serviceAccountName": "one"}}) == {"webserver": "one", "daemon": "one"}
    named = {"dagsterDaemon": {"serviceAccountName": "mine"}}
    assert bound(named) == {"webserver": "weekly-tokenomics-webserver", "daemon": "mine"}

    def made(values: Values, *, production: bool = False) -> set[str]:
        accounts = render(values, production=production).of("ServiceAccount")
        return {account["metadata"]["name"].removeprefix("weekly-tokenomics-") for account in accounts}

    # None that no pod has.
    assert made({}) == {"webserver", "daemon", "run"}
    assert made(named) == {"webserver", "run"}
    assert made({}, production=True) == {"webserver", "daemon", "run", "migrate"}
    assert made({"migrate": {"serviceAccountName": "mine"}}, production=True) == {"webserver", "daemon", "run"}
    assert made({"pods": {"serviceAccountName": "one"}}, production=True) == set()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pods": {"env": [{"name": "PGPASSWORD", "valueFrom": {}}]}}, "PGPASSWORD is set by the chart"),
        ({"codeServer": {"env": [{"name": "ALPACA_DATA_URL", "value": "x"}]}}, "ALPACA_DATA_URL is set by the chart"),
        ({"pods": {"env": [{"name": "MY_TOKEN", "value": "x"}]}}, "at '/pods/env/0/name'"),
        ({"pods": {"env": [{"name": "DB", "value": "http://me:secret@host"}]}}, "at '/pods/env/0/value'"),
        ({"pods": {"labels": {"app.kubernetes.io/component": "x"}}}, "app.kubernetes.io/component"),
        ({"pods": {"env": [{"name": "OAUTH2_PROXY_SKIP_AUTH_ROUTES", "value": ".*"}]}},
         "OAUTH2_PROXY_SKIP_AUTH_ROUTES cannot be set in the env of pods, or of a component: it could let somebody in"),
        ({"dagsterWebserver": {"env": [{"name": "oauth2_proxy_email_domains", "value": "*"}]}},
         "oauth2_proxy_email_domains cannot be set in the env of pods"),
        ({"env": {"OAUTH2_PROXY_EMAIL_DOMAINS": "*"}}, "invalid propertyName 'OAUTH2_PROXY_EMAIL_DOMAINS'"),
        ({"postgresql": {"env": [{"name": "POSTGRES_HOST_AUTH_METHOD", "value": "trust"}]}},
         "POSTGRES_HOST_AUTH_METHOD cannot be set in postgresql.env: it could let somebody in"),
        ({"metrics": {"volumes": [{"emptyDir": {}}]}}, "missing property 'name'"),
        ({"metrics": {"volumes": [{"name": "A_b", "emptyDir": {}}]}}, "at '/metrics/volumes/0/name'"),
        ({"topologySpreadConstraints": {"topologyKeys": ["a", "a"]}}, "at '/topologySpreadConstraints/topologyKeys'"),
        ({"dagsterDaemon": {"nodeselector": {}}}, "additional properties 'nodeselector' not allowed"),
    ],
)  # fmt: skip
def test_what_would_change_a_pod_behind_the_chart_s_back_is_refused(
    values: Values, said: str, refused: Callable[..., str]
) -> None:
    assert said in refused(values)


EMPTY: Values = {"emptyDir": {}}
# A release that has every volume, and a pod of each kind.
EVERY: Values = {
    **PROXIED,
    "lake": {"enabled": True},
    "research": {"existingClaim": "evidence"},
    "warehouse": {"urlFromSecret": True},
    "secrets": {"values": {"TOKENOMICS_DATABASE_URL": "postgresql+psycopg2://me@db.example.com/tokenomics"}},
    "postgresql": {"tls": {"caSecret": "ca"}},
}


def theirs(part: str, **values: Any) -> Values:
    """What only the pods of runs have: the launcher makes them later, where nobody sees that Kubernetes refuses."""
    return at(f"{SECTIONS['run']}.{part}", values)


def test_no_volume_container_or_mount_of_one_s_own_is_called_as_one_of_the_chart(
    render: Render, refused: Callable[..., str]
) -> None:
    every = pods(render(EVERY))
    assert every.keys() == SECTIONS.keys()
    volumes = {volume["name"] for template in every.values() for volume in template["spec"]["volumes"]}
    assert {"tmp", "home", "instance", "lake", "research", "ca-postgresql", "run", "init", "backup"} == volumes
    for name in sorted({*volumes, "data"}):
        said = refused(merged(EVERY, {"pods": {"volumes": [{"name": name, **EMPTY}]}}))
        assert f"would be named {name}, which Kubernetes refuses" in said
    names = {container["name"] for template in every.values() for container in containers(template)}
    assert {"dagster", "webserver", "oauth2-proxy", "pg-dump", "warehouse"} <= names
    for name in sorted(names):
        said = refused(merged(EVERY, {"pods": {"initContainers": [{"name": name, "image": "company:1"}]}}))
        assert f"would be named {name}, which Kubernetes refuses" in said
    paths = {m["mountPath"] for t in every.values() for c in containers(t) for m in c.get("volumeMounts", [])}
    assert {"/tmp", "/opt/dagster/home", "/opt/dagster/home/dagster.yaml", "/backup"} <= paths
    mine = {"volumes": [{"name": "mine", **EMPTY}]}
    for path in sorted(paths):
        said = refused(merged(EVERY, {"pods": {**mine, "volumeMounts": [{"name": "mine", "mountPath": f"{path}/"}]}}))
        assert f"would have two mounts at {path}, which Kubernetes refuses" in said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (theirs("podSpecConfig", volumes=[{"name": "tmp", **EMPTY}]), "pod of run would be named tmp"),
        (theirs("podSpecConfig", initContainers=[{"name": "dagster", "image": "x:1"}]), "run would be named dagster"),
        (
            theirs("containerConfig", volumeMounts=[{"name": "instance", "mountPath": "/tmp"}]),
            "Container dagster of the pod of run would have two mounts at /tmp",
        ),
        (
            theirs("containerConfig", volumeMounts=[{"name": "no", "mountPath": "/x"}]),
            "of the pod of run would mount no at /x, but the pod has no volume of that name: add it to `volumes`",
        ),
        (
            {"backup": {"initContainers": [{"name": "a", "image": "x:1", "volumeMounts": [
                {"name": "no", "mountPath": "/x"}]}]}},
            "Container a of the pod of backup would mount no at /x",
        ),
        ({"metrics": {"volumes": [{"name": "a", **EMPTY}] * 2}}, "of the pod of metrics would be named a"),
        ({"global": {"dagsterHome": "/tmp"}}, "where global.dagsterHome is another's folder, set that to one of its"),
    ],
)  # fmt: skip
def test_what_kubernetes_would_refuse_in_one_pod_is_refused_before_one_of_a_run_is_launched(
    values: Values, said: str, refused: Callable[..., str]
) -> None:
    assert said in refused(values)


# --- where clusters differ


def all_containers(objects: Objects) -> dict[str, list[Object]]:
    """The containers of each pod that a whole release has."""
    found = {name: list(containers(template)) for name, template in pods(objects).items()}
    assert found.keys() == SECTIONS.keys()
    return found


def test_one_value_brings_every_image_from_another_registry(render: Render) -> None:
    mirrored = render({**PROXIED, "global": {"imageRegistry": "mirror.example.com:5000/all"}})
    images = {container["image"] for found in all_containers(mirrored).values() for container in found}
    assert {image.rpartition(":")[0] for image in images} == {
        "mirror.example.com:5000/all/tokenomics",
        "mirror.example.com:5000/all/library/postgres",
        "mirror.example.com:5000/all/library/redis",
        "mirror.example.com:5000/all/oauth2-proxy/oauth2-proxy",
    }
    named = {"image": {"repository": "localhost/team/tokenomics"}, "global": {"imageRegistry": "mirror"}}
    assert render(named).launcher()["job_image"] == "mirror/team/tokenomics:0.1.0"


@pytest.mark.parametrize(
    "values",
    [{"openshift": True}, {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}],
    ids=["openshift", "without ids"],
)
def test_no_pod_has_an_id_of_a_user_or_group_where_the_namespace_gives_them(values: Values, render: Render) -> None:
    ids = {"runAsUser", "runAsGroup", "fsGroup"}
    for name, template in pods(render({**PROXIED, **values})).items():
        spec = template["spec"]
        for context in (spec["securityContext"], *(c["securityContext"] for c in containers(template))):
            assert not ids & set(context), name
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_an_id_of_a_container_is_left_out_on_openshift_too_and_large_ids_stay_whole(render: Render) -> None:
    ids = {"securityContext": {"runAsUser": 1_000_650_000}, "podSecurityContext": {"fsGroup": 1_000_650_000}}
    plain, openshift = pods(render(ids)), pods(render({**ids, "openshift": True}))
    for name in ("run", "Deployment/code-server"):
        assert plain[name]["spec"]["containers"][0]["securityContext"]["runAsUser"] == 1_000_650_000
        assert plain[name]["spec"]["securityContext"]["fsGroup"] == 1_000_650_000
        assert "runAsUser" not in openshift[name]["spec"]["containers"][0]["securityContext"]


def test_every_container_calls_out_through_the_proxy_and_reaches_the_cluster_directly(render: Render) -> None:
    proxy = {"httpProxy": "http://one:1", "httpsProxy": "http://two:2", "noProxy": [".example.com"]}
    for name, found in all_containers(render({**PROXIED, "proxy": proxy})).items():
        for container in found:
            env = {entry["name"]: entry.get("value") for entry in container["env"]}
            for small in ("http_proxy", "https_proxy", "no_proxy"):
                assert env[small] == env[small.upper()], name
            assert (env["HTTP_PROXY"], env["HTTPS_PROXY"]) == ("http://one:1", "http://two:2")
            direct = env["NO_PROXY"].split(",")
            # gRPC to the code server, the API server by the address that the kubelet puts in, PostgreSQL, Redis.
            assert {
                "localhost",
                "127.0.0.1",
                "$(KUBERNETES_SERVICE_HOST)",
                ".svc",
                "weekly-tokenomics-code-server",
                "weekly-tokenomics-postgresql",
                "weekly-tokenomics-redis",
                ".example.com",
            } <= set(direct)
    half = pods(render({"proxy": {"httpsProxy": "http://two:2"}}))["run"]["spec"]["containers"][0]["env"]
    assert {e["name"] for e in half if "proxy" in e["name"].lower()} == {
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "no_proxy",
    }


def test_the_workspace_names_the_code_server_as_the_proxy_is_told_not_to(render: Render) -> None:
    objects = render({"proxy": {"httpsProxy": "http://two:2"}, "fullnameOverride": "t"})
    workspace = yaml.safe_load(objects.one("ConfigMap", "instance")["data"]["workspace.yaml"])
    env = {
        e["name"]: e.get("value")
        for e in objects.one("Deployment", "daemon")["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert workspace["load_from"][0]["grpc_server"]["host"] in env["no_proxy"].split(",")


def test_who_speaks_to_postgresql_checks_its_certificate_against_the_private_authority(render: Render) -> None:
    objects = render(production=True)
    found = pods(objects)
    assert found.keys() == SECTIONS.keys() - {"Deployment/redis", "StatefulSet/postgresql"}
    for name, template in found.items():
        (volume,) = (v for v in template["spec"]["volumes"] if v["name"] == "ca-postgresql")
        assert volume["secret"]["secretName"] == "tokenomics-postgresql-ca"
        for container in containers(template):
            env = {entry["name"]: entry.get("value") for entry in container["env"]}
            (mount,) = (m for m in container["volumeMounts"] if m["name"] == "ca-postgresql")
            assert env["PGSSLROOTCERT"] == f"{mount['mountPath']}/{volume['secret']['items'][0]['path']}", name
            if "TOKENOMICS_DATABASE_URL" in env:
                assert "sslmode=verify-full" in str(env["TOKENOMICS_DATABASE_URL"])
    parameters = objects.instance()["storage"]["postgres"]["postgres_db"]["params"]
    assert parameters == {"plugin": "tokenomics", "sslmode": "verify-full"}


def test_redis_is_asked_by_tls_of_a_private_authority_or_the_pod_does_not_start(render: Render) -> None:
    def code_server(objects: Objects) -> tuple[Object, Object]:
        template = objects.one("Deployment", "code-server")["spec"]["template"]
        (container,) = containers(template)
        return container, {e["name"]: e for e in container["env"]}["REDIS_URL"]["valueFrom"]["secretKeyRef"]

    container, url = code_server(render({"redis": {"host": "", "tls": {"caSecret": "redis-ca"}}}, production=True))
    assert "optional" not in url
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "ca-redis")
    address = f"rediss://:p@host:6380/0?ssl_ca_certs={mount['mountPath']}/ca.crt"
    assert (
        redis.Redis.from_url(address).connection_pool.connection_kwargs["ssl_ca_certs"]
        == f"{mount['mountPath']}/ca.crt"
    )
    values = {"redis": {"internal": False, "tls": {"caSecret": "ca"}}, "secrets": {"values": {"REDIS_URL": address}}}
    assert code_server(render(values))[0]["volumeMounts"] != code_server(render())[0]["volumeMounts"]
    assert code_server(render(production=True))[1]["optional"] is True


def test_what_listens_listens_on_ipv6_where_that_is_asked_for(render: Render) -> None:
    def listening(ipv6: bool, values: Values) -> list[str]:
        found = all_containers(render({**values, "ipv6": ipv6}))
        words = [
            w
            for c in found.values()
            for container in c
            for w in (*container.get("command", []), *container.get("args", []))
        ]
        return sorted({w for w in words if w.startswith(("0.0.0.0", "::", "--http-address", "127.0.0.1"))})

    # gRPC listens on both families wherever it is told 0.0.0.0; who is behind the proxy listens to it alone.
    assert listening(False, {}) == ["0.0.0.0"]
    assert listening(True, {}) == ["0.0.0.0", "::"]
    assert listening(True, PROXIED) == ["--http-address=[::]:4180", "0.0.0.0", "127.0.0.1", "::"]


# --- figures of the probes


def test_the_figures_of_each_probe_can_be_changed_and_what_it_asks_stays(render: Render) -> None:
    handlers = {"httpGet", "exec", "grpc", "tcpSocket"}
    plain = pods(render())
    looked_at = {
        (name, section, probe): plain[name]["spec"]["containers"][0][probe]
        for name, section in SECTIONS.items()
        for probe in PROBES
        if section in PROBED and probe in plain[name]["spec"]["containers"][0]
    }
    assert {section for _, section, _ in looked_at} == set(PROBED)
    figures = {"initialDelaySeconds": 7, "periodSeconds": 77, "timeoutSeconds": 17, "failureThreshold": 27}
    values: Values = {}
    for _, section, probe in looked_at:
        values = merged(values, at(f"{section}.{probe}", figures))
    changed = pods(render(values))
    for (name, _, probe), before in looked_at.items():
        after = changed[name]["spec"]["containers"][0][probe]
        (asked,) = handlers & before.keys()
        assert after == {asked: before[asked], **figures}, name


def test_a_probe_that_the_chart_does_not_make_is_refused_for_figures_alone_would_ask_nothing(
    refused: Callable[..., str],
) -> None:
    said = refused({"dagsterDaemon": {"readinessProbe": {"periodSeconds": 5}}})
    assert "daemon has no readinessProbe whose figures could be changed" in said
    assert "additional properties 'exec' not allowed" in refused({"redis": {"livenessProbe": {"exec": {}}}})
