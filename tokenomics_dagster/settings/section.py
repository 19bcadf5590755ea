"""What the settings of all rooms are made of: a frozen section, the numbers with their ends, the sentences of refusals.

No setting belongs here, and nothing that reads a file or the environment.
"""

from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

# Every number has two ends: beyond them it is a slip, and the dates and pauses that are computed with it overflow.
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Change = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]  # percent or basis points, of what may multiply
Days = Annotated[float, Field(gt=0, le=3_650, allow_inf_nan=False)]
DaysOrNone = Annotated[float, Field(ge=0, le=3_650, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.001, le=3_600, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, Field(ge=0, le=3_600, allow_inf_nan=False)]
CallsPerMinute = Annotated[float, Field(ge=1, le=1_000_000, allow_inf_nan=False)]
Attempts = Annotated[int, Field(ge=1, le=20)]
Names = Annotated[int, Field(ge=1, le=20_000)]  # all exchanges together list fewer
Size = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]  # of a metric


class SettingsError(ValueError):
    """The settings or the environment are wrong; the text names the key, the value and what is allowed."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def reason(error: Any) -> str:
    if error["type"] == "int_parsing_size":  # "unable to parse input string": there was no string
        return "must be a whole number of fewer digits"
    return str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ").replace("should be", "must be")


def _model_at(root: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    model = root
    for key in location:
        field = model.model_fields.get(str(key))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        model = field.annotation
    return model


def describe(error: Any, root: type[BaseModel]) -> str:
    location = error["loc"]
    key = ".".join(str(part) for part in location) or "settings"
    if error["type"] == "extra_forbidden":
        parent = _model_at(root, location[:-1])
        allowed = sorted((set(parent.model_fields) if parent else set()) - {"environment"})
        close = get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{key} = {error['input']!r} is not a known key{hint} Known here: {', '.join(allowed)}"
    if error["type"] == "missing":
        return f"{key} is missing"
    # An address may hold a password.
    hidden = isinstance(error["input"], dict | BaseModel) or "://" in str(error["input"])
    shown = "" if hidden else f" = {error['input']!r} is not allowed"
    return f"{key}{shown}: {reason(error)}"
