"""docker-compose.yaml as Docker Compose would read it, and the schemas of such files; no assertions."""

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenomics_dagster_tests.conftest import REPOSITORY

FILE = REPOSITORY / "docker-compose.yaml"
PASSWORDS = {"POSTGRES_PASSWORD": "sesame", "REDIS_PASSWORD": "sesame"}


def services(dotenv: Mapping[str, str]) -> dict[str, Any]:
    """The services with `${NAME:-default}` and `${NAME:?message}` filled in from a .env; KeyError for a missing one."""

    def fill(found: re.Match[str]) -> str:
        name, kind, text = found.groups()
        if not name:
            return "$"  # written as two
        value = dotenv.get(name, "")
        if not value and kind == "?":
            raise KeyError(f"{name}: {text}")
        return value or text

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(value) for key, value in part.items()}
        if isinstance(part, list):
            return [filled(item) for item in part]
        return re.sub(r"\$(?:\$|\{(\w+):([-?])([^}]*)\})", fill, part) if isinstance(part, str) else part

    found: dict[str, Any] = filled(yaml.safe_load(FILE.read_text())["services"])
    return found


def published_schema(name: str) -> Any:
    """A JSON schema as its project publishes it, from check-jsonschema; skips when it is not installed."""
    package = importlib.util.find_spec("check_jsonschema")
    if package is None:
        pytest.skip("check-jsonschema, which carries the published schemas, is not installed")
    return json.loads((Path(str(package.origin)).parent / f"builtin_schemas/vendor/{name}.json").read_text())
