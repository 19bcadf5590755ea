"""What the chart of the last release left in clusters and in values files, for the next one to follow: written by

    python -m tokenomics_dagster_tests.helm.released COMMIT

once a version is released, COMMIT being its tag; and what of an object Kubernetes lets nobody change.
"""

import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.helm import program

FILE = Path(__file__).with_name("released.yaml")
CHART = "helm/tokenomics"
RECORDED = "tokenomics_dagster_tests/storage/recorded"
Object = dict[str, Any]

MUTABLE = (
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
    "replicas",
    "revisionHistoryLimit",
    "template",
    "updateStrategy",
)
"""Of a StatefulSet; all else of its spec is as it was made."""


def fixed(thing: Object) -> Object:
    """What must be the same as before, or `helm upgrade` fails."""
    spec = thing.get("spec", {})
    match thing["kind"]:
        case "Deployment":
            return {"selector": spec["selector"]}
        case "StatefulSet":
            return {key: value for key, value in spec.items() if key not in MUTABLE}
        case "Job" | "PersistentVolumeClaim":
            return dict(spec)
        case "Service":
            return {key: spec[key] for key in ("clusterIP", "ipFamilies") if key in spec}
        case "RoleBinding":
            return {"roleRef": thing["roleRef"]}
        case "Secret":
            return {"type": thing.get("type", "Opaque")}
    return {}


def is_hook(thing: Object) -> bool:
    return "helm.sh/hook" in thing["metadata"].get("annotations", {})


def described(objects: Iterator[Object]) -> Object:
    """By "Kind/name": what is fixed of each object of a release; and what its hooks made, which is no part of it."""
    found: Object = {"objects": {}, "hooks": []}
    for thing in objects:
        name = f"{thing['kind']}/{thing['metadata']['name']}"
        if is_hook(thing):
            found["hooks"].append(name)
        else:
            found["objects"][name] = fixed(thing)
    return found


def keys(schema: Any) -> list[str]:
    """Each key that a values file may have."""

    def below(part: Any, path: str) -> Iterator[str]:
        if "$ref" in part:
            part = functools.reduce(lambda inner, key: inner[key], part["$ref"].split("/")[1:], schema)
        for key, inner in part.get("properties", {}).items():
            yield f"{path}{key}"
            yield from below(inner, f"{path}{key}.")

    return sorted(set(below(schema, "")))


def record(commit: str) -> None:
    def git(*words: str) -> bytes:
        return subprocess.run(["git", *words], cwd=REPOSITORY, check=True, capture_output=True).stdout

    with tempfile.TemporaryDirectory() as folder:
        archive = git("archive", commit, CHART, "dagster.yaml")
        subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
        chart = Path(folder, CHART)
        production = chart / "values-production.yaml"
        helm = program.helm(Path(sys.prefix) / "cache")

        def rendered(*options: str | Path) -> Object:
            command = [helm, "template", "weekly", chart, "-n", "trading", *options]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            return described(filter(None, yaml.safe_load_all(text)))

        recordings = [
            Path(name).name for name in git("ls-tree", "--name-only", commit, f"{RECORDED}/").decode().split()
        ]
        found = {
            "commit": git("rev-parse", commit).decode().strip(),
            "database": max(int(name.removeprefix("version_").partition(".")[0]) for name in recordings),
            "rendered": {"default": rendered(), "production": rendered("-f", production)},
            "values": yaml.safe_load((chart / "values.yaml").read_text()),
            "production": yaml.safe_load(production.read_text()),
            "keys": keys(json.loads((chart / "values.schema.json").read_text())),
        }
    FILE.write_text(yaml.dump(found, sort_keys=False, default_flow_style=None, width=120, Dumper=_Plain))


class _Plain(yaml.SafeDumper):
    """Without anchors, which nobody can read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    record(sys.argv[1])
