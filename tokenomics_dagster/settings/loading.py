"""Reads the settings file and checks it with the environment."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment, load_environment
from tokenomics_dagster.settings.section import SettingsError, describe


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """SafeLoader keeps the last of two equal keys without a word; here a repeated key is an error.

    libyaml's takes 1 ms for the settings, which every asset reads, Python's own 8.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = {key for key in keys if keys.count(key) > 1}
        if repeated:
            raise yaml.MarkedYAMLError(problem=f"{min(repeated)} stands twice", problem_mark=node.start_mark)
        return dict(super().construct_mapping(node, deep))


def settings_path(environment: Environment) -> Path:
    """TOKENOMICS_SETTINGS, else config/settings.yaml of this folder, else that of the checkout the package lies in."""
    if environment.tokenomics_settings is not None:
        return environment.tokenomics_settings
    local = Path("config/settings.yaml")
    return local if local.exists() else Path(__file__).resolve().parents[2] / local


def load_settings(
    path: Path | None = None, overrides: dict[str, Any] | None = None, of: Collection[str] = ()
) -> Settings:
    """Reads and checks everything; `overrides` ("universe.size": 1000) replaces values of the file.

    Of the environment only the variables `of`, if given. Raises SettingsError with one line per mistake.
    """
    environment = load_environment(of)
    path = path or settings_path(environment)
    values = _read_yaml(path)
    for dotted, value in (overrides or {}).items():
        section, *rest = dotted.split(".")
        target = values.setdefault(section, {})
        for key in rest[:-1]:
            target = target.setdefault(key, {})
        target[rest[-1]] = value
    if "environment" in values:
        raise SettingsError(f"{path}: environment is not a key of this file: secrets come from environment variables")
    try:
        return Settings.model_validate({**values, "environment": environment})
    except ValidationError as error:
        # pydantic adds "too short" to a list whose wrong items it has dropped
        errors = [e for e in error.errors() if e["type"] != "too_short" or e["input"] in ([], ())]
        raise SettingsError("\n".join(f"{path}: {describe(e, Settings)}" for e in errors)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); set TOKENOMICS_SETTINGS to a readable file") from None
    try:
        values = yaml.load(text, _UniqueKeyLoader)  # noqa: S506  a SafeLoader with one more check
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown place"
        raise SettingsError(f"{path}: not valid YAML at {where}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not all(isinstance(section, dict) for section in values.values()):
        raise SettingsError(f"{path}: must hold sections ({', '.join(sorted(_sections()))}), each with keys")
    return values


def _sections() -> set[str]:
    return set(Settings.model_fields) - {"environment"}
