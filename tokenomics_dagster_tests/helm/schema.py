"""The parts of the chart's values.schema.json that are said elsewhere first, and files/keys.json: written by

    python -m tokenomics_dagster_tests.helm.schema

They are the platform's settings, so that `helm install` refuses a wrong key or value of `settings`; the keys of
dagster.yaml and the types of their values; the keys of `pods` in each section that makes a pod; and the descriptions,
which are the comments in values.yaml. The rest is by hand. files/keys.json names what values.yaml gives a value: helm
takes away what somebody sets to null, and the schema cannot tell that from what was never said without asking every
file for every key.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from dagster._config import ConfigType, ConfigTypeKind, Field
from dagster._core.instance.config import dagster_instance_config_schema

from tokenomics_dagster.settings import Settings

FILE = Path(__file__).parents[2] / "helm/tokenomics/values.schema.json"
VALUES = FILE.with_name("values.yaml")
KEYS = FILE.with_name("files") / "keys.json"
# What is below these, null may take away: each of them works without it, or the schema asks for it.
FREE = ("additionalInstanceConfig", "env", "resources", "annotations", "podSecurityContext", "securityContext")

RUN = "runLauncher.config.k8sRunLauncher.runK8sConfig"
# Sections whose pods stay up, so that Kubernetes looks at them, and those whose pods come to an end.
PROBED = ("dagsterWebserver", "dagsterDaemon", "codeServer", "metrics", "postgresql", "redis")
ENDING = ("migrate", "backup")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
SCALARS = {"INT": "integer", "FLOAT": "number", "STRING": "string", "BOOL": "boolean"}
OF_CONTAINER = ("env", "envFrom", "volumeMounts")
OF_METADATA = ("annotations", "labels")


def settings_schema() -> dict[str, Any]:
    """JSON schema of a settings file: every key is known, none is required."""
    model = Settings.model_json_schema()
    document = _overrides(model, model["$defs"])
    del document["properties"]["environment"]  # comes from variables
    return {"description": "by tokenomics_dagster_tests.helm.schema", **document}


def _overrides(part: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_overrides(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return {**_overrides(definitions[part["$ref"].rpartition("/")[2]], definitions), **_said(part)}
    kept = {key: value for key, value in part.items() if key not in ("$defs", "required", "default")}
    if not isinstance(kept.get("title"), dict):
        kept.pop("title", None)
    return {key: _overrides(value, definitions) for key, value in kept.items()}


def _said(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key == "description"}


def instance_schema() -> dict[str, Any]:
    """JSON schema of what may be laid over dagster.yaml: Dagster would refuse the rest when a pod starts."""
    return _properties(dagster_instance_config_schema())


def _properties(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {key: _described(field.config_type, field.description) for key, field in fields.items()}


def _described(config: ConfigType, description: str | None) -> dict[str, Any]:
    return {**_typed(config), "description": description or "as Dagster has it"}


def _typed(config: Any) -> dict[str, Any]:
    match config.kind:
        case ConfigTypeKind.SCALAR:
            return {"type": SCALARS[config.scalar_kind.name]}
        case ConfigTypeKind.ENUM:
            return {"enum": config.config_values}
        case ConfigTypeKind.NONEABLE:
            return {"anyOf": [{"type": "null"}, _typed(config.inner_type)]}
        case ConfigTypeKind.ARRAY:
            return {"type": "array", "items": _typed(config.inner_type)}
        case ConfigTypeKind.MAP:
            return {"type": "object", "additionalProperties": _typed(config.inner_type)}
        case ConfigTypeKind.SCALAR_UNION:
            return {"anyOf": [_typed(config.scalar_type), _typed(config.non_scalar_type)]}
        case ConfigTypeKind.ANY:
            return {}
        case _:
            return _shape(config)


def _shape(config: Any) -> dict[str, Any]:
    """None is required: it may stand in dagster.yaml already."""
    permissive = config.kind == ConfigTypeKind.PERMISSIVE_SHAPE
    return {"type": "object", "additionalProperties": permissive, "properties": _properties(config.fields)}


def section(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema of the value at this path; empty where values.yaml is under a definition that others share."""
    for key in path.split("."):
        document = document.get("properties", {}).get(key, {})
    return document


def places(pod_keys: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(section, key) wherever a key of `pods` can be said for the pods of one section."""
    for key in pod_keys:
        yield from ((name, key) for name in (*PROBED, *ENDING))
        if key in OF_CONTAINER:
            yield f"{RUN}.containerConfig", key
        elif key in OF_METADATA:
            yield f"{RUN}.podTemplateSpecMetadata", key
        else:
            yield f"{RUN}.podSpecConfig", key


def comments(text: str) -> Iterator[tuple[str, str]]:
    """(path, comment) of each key of values.yaml that has one."""
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        key, comment = re.match(r" *([A-Za-z0-9_]+):", line), re.search(r"(?:^| )# (.+)$", line)
        if key:
            indent = len(line) - len(line.lstrip())
            path = [*(above for above in path if above[0] < indent), (indent, key[1])]
        if comment and path and (key or line.lstrip().startswith("#")):
            yield ".".join(name for _, name in path), comment[1]


def given(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Path of each key that has a value, and without one would mean something else or nothing."""
    for key, value in values.items():
        if value != "":
            yield path + key
        if isinstance(value, dict) and key not in FREE:
            yield from given(value, f"{path}{key}.")


def keys() -> str:
    return json.dumps([*given(yaml.safe_load(VALUES.read_text()))], indent=0) + "\n"


def whole(document: dict[str, Any]) -> dict[str, Any]:
    """The schema with all that is said elsewhere, whatever it had of that before."""
    document = copy.deepcopy(document)
    document["properties"]["settings"] = settings_schema()
    # Those that cannot be set, too: the chart says in a sentence why.
    document["properties"]["additionalInstanceConfig"]["properties"] = instance_schema()
    for path, key in places(document["properties"]["pods"]["properties"]):
        section(document, path)["properties"][key] = {
            "$ref": f"#/properties/pods/properties/{key}",
            "description": "as in pods, for the pods of this section",
        }
    for path in PROBED:
        for probe in PROBES:
            described = f"figures of the {probe}, where they differ from the chart's"
            section(document, path)["properties"][probe] = {"$ref": "#/$defs/probe", "description": described}
    said: dict[str, list[str]] = {}
    for path, comment in comments(VALUES.read_text()):
        if path.partition(".")[0] != "settings":
            said.setdefault(path, []).append(comment)
    for path, lines in said.items():
        found = section(document, path)
        if found:
            found["description"] = " ".join(lines)
    return document


def main() -> None:
    KEYS.write_text(keys())
    FILE.write_text(json.dumps(whole(json.loads(FILE.read_text())), indent=2) + "\n")


if __name__ == "__main__":
    main()
