"""The references in docs/ that follow from the code: every setting and variable, every column of every stored table.

How a page is put together stands in pages.py; what a model means stands with the model.
"""

from collections.abc import Iterator
from datetime import date
from importlib import import_module
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import dagster as dg
import pandera.pandas as pa
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit.room import House, imported
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.loading import default_values
from tokenomics_dagster.settings.section import keys_of, section_of

_KINDS: dict[Any, str] = {float: "a number", int: "a whole number", str: "a text", bool: "true, false", date: "a day"}


def settings() -> Iterator[str]:
    """A heading and a table for each section, in the order of config/settings.yaml; the variables last."""
    fields, defaults = dict(keys_of(Settings)), default_values()
    for section in [name for name in fields if "." not in name]:
        yield from (f"### {section}", "", f"{sentence(fields[section].description)}", "")
        yield from ("| key | default | allowed | unit and meaning |", "|---|---|---|---|")
        for key, field in fields.items():
            if not key.startswith(f"{section}."):
                continue
            if section_of(field) is not None:
                yield f"| `{key}` | | | {cell(field.description)} |"
            else:
                value = value_at(defaults, key)
                yield f"| `{key}` | `{shown(value)}` | {allowed(field)} | {cell(field.description)} |"
        yield ""
    yield from ("### The environment", "", "| variable | secret | what |", "|---|---|---|")
    for name, field in Environment.model_fields.items():
        secret = "yes" if SecretStr in (field.annotation, *get_args(field.annotation)) else ""
        yield f"| `{name.upper()}` | {secret} | {cell(field.description)} |"


def value_at(values: Any, key: str) -> Any:
    """The value of a dotted key in documents of documents, or in models of models."""
    for name in key.split("."):
        values = values[name] if isinstance(values, dict) else getattr(values, name)
    return values


def shown(value: Any) -> str:
    """A default as the settings file would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) and value == round(value, 9) and value < 1e6 else str(value)


def allowed(field: FieldInfo) -> str:
    """What a value may be: words, or a kind and its ends."""
    kind = field.annotation
    if get_origin(kind) is tuple:
        return f"some of {words(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return words(kind)
    low = high = ""
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge(end):
                low = f" from {number(end)}"
            case annotated_types.Gt(end):
                low = f" above {number(end)}"
            case annotated_types.Le(end):
                high = f" to {number(end)}"
            case annotated_types.Lt(end):
                high = f" under {number(end)}"
    return _KINDS.get(kind, "a text") + low + high


def number(end: Any) -> str:
    return f"{end:,.0f}" if isinstance(end, int | float) and abs(end) >= 1000 else str(end).removesuffix(".0")


def words(kind: Any) -> str:
    return ", ".join(f"`{word}`" for word in get_args(kind))


def tables() -> Iterator[str]:
    """Each asset that is stored as a table: its columns, what must hold, and what belongs to a snapshot of it."""
    for name, asset in House(ROOMS).assets.items():
        [spec] = asset.specs
        path = spec.metadata.get("schema")
        if path is None:
            continue
        model = imported(path)
        # What is stored as facts, a row at a time, has no details.
        details = getattr(import_module(model.__module__), f"{model.__name__}Details", None)
        yield from (f"### {name}", "", f"{paragraph(spec.description)} {paragraph(model.__doc__)}".strip(), "")
        yield from columns(model.to_schema())
        if details is not None:
            yield from ("", "Of a snapshot:", "", *fields(details))
        yield ""


def columns(schema: pa.DataFrameSchema) -> Iterator[str]:
    yield "| column | type | unit and meaning | must be | made from |"
    yield "|---|---|---|---|---|"
    for name, column in schema.columns.items():
        rules = [cell(rule(check)) for check in column.checks]
        rules = [*(["its own in each row"] if column.unique else []), *rules]
        rules = [*(["may be missing"] if column.nullable else []), *rules]
        made_from = ", ".join(f"`{source}`" for source in (column.metadata or {}).get("from", ()))
        what = f"| `{name}` | {kind(str(column.dtype))} | {cell(column.description)}"
        yield f"{what} | {'; '.join(rules)} | {made_from} |"
    for check in schema.checks:
        yield f"| the rows together | | {cell(check.description or check.name)} | | |"


def kind(dtype: str) -> str:
    """The type of a column, whichever way pandas holds it."""
    if dtype.startswith("datetime64"):
        return "instant, UTC" if "UTC" in dtype else "day"
    return {"float64": "number", "int64": "whole number", "bool": "truth"}.get(dtype, "text")


def rule(check: pa.Check) -> str:
    """One of pandera's limits in words; what a model says itself, as it says it."""
    limits = check.statistics or {}
    told = {
        "greater_than": "above {min_value}",
        "greater_than_or_equal_to": "at least {min_value}",
        "less_than": "under {max_value}",
        "less_than_or_equal_to": "at most {max_value}",
        "str_length": "not empty",
        "str_matches": "like `{pattern}`",
    }.get(str(check.name))
    if check.name == "isin":
        return f"one of {', '.join(map(str, limits['allowed_values']))}"
    return str(check.error or check.name) if told is None else told.format(**limits)


def fields(model: type[Details]) -> Iterator[str]:
    yield "| field | what |"
    yield "|---|---|"
    for name, field in model.model_fields.items():
        yield f"| `{name}` | {cell(field.description)} |"
        for inner in models_in(field.annotation):
            for part, of in inner.model_fields.items():
                yield f"| `{name}.{part}` | {cell(of.description)} |"


def models_in(kind: Any) -> Iterator[type[BaseModel]]:
    """The models that a field holds, be it one, none or several."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    elif get_origin(kind) in (Union, UnionType, dict, list, tuple) or get_args(kind):
        for part in get_args(kind):
            yield from models_in(part)


def jobs() -> Iterator[str]:
    """What runs together, and what to do when the last run failed."""
    yield "| job | makes | what |"
    yield "|---|---|---|"
    for name, job in House(ROOMS).jobs.items():
        made = ", ".join(f"`{asset}`" for asset in job.makes)
        yield f"| `{name}` | {made} | {cell(job.description)} |"


def checks() -> Iterator[str]:
    """Every check, by its asset: what must hold, and whether it stops what follows."""
    yield "| check | what must hold |"
    yield "|---|---|"
    for asset in House(ROOMS).assets.values():
        for spec in sorted(asset.check_specs, key=lambda one: one.name):
            yield f"| `{check_key(spec)}` | {cell(spec.description)} |"


def check_key(spec: dg.AssetCheckSpec) -> str:
    return f"{spec.asset_key.to_user_string()}.{spec.name}"


def paragraph(text: str | None) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((text or "").strip().partition("\n\n")[0].split())


def sentence(text: str | None) -> str:
    told = cell(text)
    return f"{told[:1].upper()}{told[1:]}" + ("" if told.endswith(".") else ".")


def cell(text: Any) -> str:
    """A text as a cell of a table."""
    told = " ".join(str(text or "").split()).replace("|", "\\|")
    return told.replace("<", "&lt;").replace("*", "\\*")
