"""What belongs to a snapshot beside its rows: the base of the models in the rooms' schema.py, and how it is stored.

Stored is JSON that every later version reads: a field keeps its name and its form for good. Pure.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AllowInfNan, BaseModel, ConfigDict, PlainSerializer, PlainValidator


def _instant(value: Any) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(at, datetime):
        raise ValueError(f"{value} is no instant")
    if at.tzinfo is None:
        raise ValueError(f"{value} has no time zone")
    return at


Instant = Annotated[datetime, PlainValidator(_instant), PlainSerializer(datetime.isoformat, return_type=str)]
"""Stored in ISO 8601 with its zone."""

Usd = Annotated[Decimal, PlainSerializer(str, return_type=str)]
"""An exact amount, stored as text."""


def _number(value: Decimal) -> Decimal:
    if value.is_nan():
        raise ValueError(f"{value} is no number")
    return value


UsdOrInfinity = Annotated[Decimal, AllowInfNan(), AfterValidator(_number), PlainSerializer(str, return_type=str)]
"""The same; Infinity where nobody can tell."""

_OF = "_as_of"


class Details(BaseModel):
    """One model per table that is stored as snapshots: `<Table>Details` beside `<Table>` in the room's schema.py.

    A field that snapshots of earlier versions lack has a default, and its description says what that means. What
    another version has stored, and this one does not know, is kept. By itself it reads what any table has.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    def to_document(self) -> dict[str, Any]:
        """JSON-able: what was set, in the order of the fields; nothing stands in for what an earlier version lacks."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def made_from(self) -> dict[str, datetime]:
        """By asset the instants of the snapshots that this one was made from: the fields called `<asset>_as_of`."""
        instants = {name: getattr(self, name) for name in type(self).model_fields if name.endswith(_OF)}
        return {name.removesuffix(_OF): at for name, at in instants.items() if at is not None}


D = TypeVar("D", bound=Details)
D_co = TypeVar("D_co", bound=Details, covariant=True)
