"""What the settings of all rooms are made of: a frozen section, the numbers with their ends, the sentences of refusals.

No setting belongs here, and nothing that reads a file or the environment.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from tokenomics_dagster.model.errors import UserError

# Every number has two ends: beyond them it is a slip, and the dates and pauses that are computed with it overflow.
Percent = Annotated[float, Field(ge=0, le=100)]
Change = Annotated[float, Field(gt=0, le=10_000)]  # percent or basis points, of what may multiply
Days = Annotated[float, Field(gt=0, le=3_650)]
DaysOrNone = Annotated[float, Field(ge=0, le=3_650)]
Seconds = Annotated[float, Field(ge=0.001, le=3_600)]
SecondsOrNone = Annotated[float, Field(ge=0, le=3_600)]
CallsPerMinute = Annotated[float, Field(ge=1, le=1_000_000)]
Attempts = Annotated[int, Field(ge=1, le=20)]
NameCount = Annotated[int, Field(ge=1, le=20_000)]  # all exchanges together list fewer
NameCountOrNone = Annotated[int, Field(ge=0, le=20_000)]
Size = Annotated[float, Field(gt=0, le=1e12)]  # of a metric

_SHOWN = 300  # characters: no value that a person wrote is longer


class SettingsError(UserError, ValueError):
    """The settings or the environment are wrong; the text names the key, the value and what is allowed."""


class Section(BaseModel):
    """A part of the settings. Each key has its default, and a description: its unit first, then what it is for.

    A default is checked like a value: 100 becomes 100.0 where a number may have a fraction, so that what is stored and
    hashed is the same whether a person wrote it or not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_is_a_truth(cls, value: Any, info: ValidationInfo) -> Any:
        """To pydantic true is 1."""
        if isinstance(value, bool) and _is_number(cls.model_fields[str(info.field_name)].annotation):
            raise PydanticCustomError("number", "a number is needed")
        return value


def _is_number(kind: Any) -> bool:
    return kind in (int, float) or any(_is_number(part) for part in get_args(kind))


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of the settings file by its dotted name, in the order of the models, sections before what they hold."""
    for name, field in model.model_fields.items():
        if (section := section_of(field)) is not None:
            yield f"{prefix}{name}", field
            yield from keys_of(section, f"{prefix}{name}.")
        elif prefix:  # what is no section stands in one; at the top that is the environment
            yield f"{prefix}{name}", field


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that a key holds; None where it holds a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def reason(error: Any) -> str:
    """What is allowed, of one of pydantic's errors."""
    if error["type"] == "model_type":
        return "must be a section with keys of its own"
    if error["type"] == "int_parsing_size":  # "unable to parse input string": there was no string
        return "must be a whole number of fewer digits"
    if error["type"] == "string_pattern_mismatch":
        capitals = str(error["input"]).upper()
        fits = re.search(error["ctx"]["pattern"], capitals) is not None
        return f"must be in capitals: {capitals}" if fits else f"must match the pattern {error['ctx']['pattern']}"
    return str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ").replace("should be", "must be")


def cut(text: str) -> str:
    """A text of the file as a sentence repeats it: no longer than anybody reads."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text) - _SHOWN:,} more characters)"


def literal(value: Any) -> str:
    """A value as the file would say it. Never raises: Python writes no whole number of more than 4,300 digits."""
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return "a value that is too large to be shown"


def describe(error: Any, root: type[Section], known: Mapping[str, Collection[str]] | None = None) -> str:
    """The sentence for one of pydantic's errors about the settings `root`: key, value and what is allowed.

    `known`: the keys of each section where they are not those that `keys_of` tells; those of the root are under "".
    """
    location = error["loc"]
    key, value = cut(".".join(str(part) for part in location)) or "settings", literal(error["input"])
    address = "://" in value  # it may hold a password
    if error["type"] == "extra_forbidden":
        parent = ".".join(map(str, location[:-1]))
        named = (key.rpartition(".") for key, _ in keys_of(root))
        allowed = sorted((known or {}).get(parent) or (name for above, _, name in named if above == parent))
        close = get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        told = "" if address else f" = {cut(value)}"
        return f"{key}{told} is not a known key{hint} Known here: {', '.join(allowed)}"
    hidden = address or isinstance(error["input"], dict | BaseModel)
    shown = "" if hidden else f" = {cut(value)} is not allowed"
    return f"{key}{shown}: {reason(error)}"
