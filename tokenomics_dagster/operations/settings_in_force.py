"""The settings in force (`settings`): each value, where it comes from, its unit and its meaning. No secret is shown."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment, load_environment, source_of
from tokenomics_dagster.settings.loading import default_values, load_settings, read_settings_file, settings_path
from tokenomics_dagster.settings.section import keys_of, section_of

_DEFAULT = "the default"
_HIDDEN = "set, and not shown"


@dataclass(frozen=True, slots=True)
class InForce:
    """One setting: its key or variable, JSON values, where the value stands, and its unit and meaning as one text.

    Of a secret the value says no more than that it is set.
    """

    key: str
    value: Any
    default: Any
    source: Literal["default", "file", "environment"]
    place: str
    meaning: str

    @property
    def differs(self) -> bool:
        return bool(self.value != self.default)


def settings_in_force() -> list[InForce]:
    """Every key of the settings file, in the order of config/settings.yaml, then every variable of the environment."""
    settings = load_settings()
    path = settings_path(settings.environment)
    written = {} if path is None else read_settings_file(path).values
    values, defaults = settings.model_dump(mode="json", exclude={"environment"}), to_jsonable_python(default_values())
    meanings, found = _meanings(), []
    for key, meaning in meanings.items():
        from_file = _value_at(written, key) is not None
        source: Literal["default", "file"] = "file" if from_file else "default"
        place = str(path) if from_file else _DEFAULT
        found.append(InForce(key, _value_at(values, key), _value_at(defaults, key), source, place, meaning))
    return found + [_variable(name, settings.environment) for name in Environment.model_fields]


def _meanings() -> dict[str, str]:
    """Of each key that holds a value. What is meant by a figure of several on a line is said of the line and of it."""
    fields = dict(keys_of(Settings))
    described = {key: str(field.description) for key, field in fields.items()}
    return {
        key: f"{described[key.rpartition('.')[0]]}; {described[key]}" if key.count(".") > 2 else described[key]
        for key, field in fields.items()
        if section_of(field) is None
    }


def _value_at(values: dict[str, Any], key: str) -> Any:
    """None where a part of the key is missing: no setting is null."""
    found: Any = values
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _variable(name: str, environment: Environment) -> InForce:
    field, variable = Environment.model_fields[name], name.upper()
    value, place = getattr(environment, name), source_of(variable)
    hidden = isinstance(value, SecretStr) and value != field.default
    shown, default = (
        one.get_secret_value() if isinstance(one, SecretStr) else str(one) if isinstance(one, Path) else one
        for one in (_HIDDEN if hidden else value, field.default)
    )
    source: Literal["default", "environment"] = "default" if place == _DEFAULT else "environment"
    return InForce(variable, shown, default, source, place, str(field.description))


def settings_named(found: Iterable[InForce]) -> str:
    """The file, where its name comes from, and how much differs: a file that has lost a part shows itself by less."""
    path = settings_path(load_environment(of=("TOKENOMICS_SETTINGS",)))
    differing = [one.differs for one in found if "." in one.key]
    return (
        f"{path or 'no file, so the defaults hold'} (TOKENOMICS_SETTINGS is from {source_of('TOKENOMICS_SETTINGS')}); "
        f"{sum(differing)} of {len(differing)} settings differ from their defaults"
    )


def settings_document(found: Iterable[InForce]) -> dict[str, Any]:
    """For machines: each setting by its key."""
    return {one.key: {name: part for name, part in asdict(one).items() if name != "key"} for one in found}
