"""Kinds of fields of an answer, as pydantic reads them: what both providers need. Pure.

Rows are TypedDicts, which cost nothing at import, with total=False: each field says for itself what it is where it is
missing. Fields that a row does not name pass.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast

from pydantic import FailFast, GetCoreSchemaHandler, PlainValidator, Strict, TypeAdapter
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")

_ADAPTERS: dict[tuple[Any, bool], TypeAdapter[Any]] = {}


def one_of(kind: type[T], value: Any) -> T:
    """Raises pydantic's ValidationError, whose text repeats the value."""
    return cast("T", _adapter(kind, several=False).validate_python(value))


def list_of(kind: type[T], values: Any) -> list[T]:
    """As `one_of`. Nothing but a list; of an unreadable one the first flaw is enough."""
    return cast("list[T]", _adapter(kind, several=True).validate_python(values))


def _adapter(kind: Any, *, several: bool) -> TypeAdapter[Any]:
    """Made at the first answer of its kind: at import, all of them would cost the loading of definitions 20 ms."""
    if (kind, several) not in _ADAPTERS:
        _ADAPTERS[kind, several] = TypeAdapter(Annotated[list[kind], Strict(), FailFast()] if several else kind)
    return _ADAPTERS[kind, several]


class OrElse:
    """A field that nothing rests on: where it is missing or cannot be read it is the default."""

    def __init__(self, default: Any) -> None:
        self._default = default

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=self._default, on_error="default")


class NullIfMissing:
    """A field that is asked for: a missing one is read as null, and is refused in the same words."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, validate_default=True)


def stripped(value: Any) -> str:
    """The text of a field without the blanks around it; "" where it tells none."""
    return value.strip() if isinstance(value, str) else ""


Text = Annotated[str, PlainValidator(stripped), OrElse("")]
