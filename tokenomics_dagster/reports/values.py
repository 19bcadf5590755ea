"""Values of stored tables as Python has them: what is missing there is None or an empty text. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    import pandas as pd

M = TypeVar("M", bound=BaseModel)


def rules_of(model: type[M], document: Mapping[str, Any] | None) -> M | None:
    """Rules of then; None where they are not told, or another version's."""
    try:
        return None if document is None else model.model_validate(document)
    except ValidationError:
        return None


def by_symbol(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(row["symbol"]): {str(name): value for name, value in row.items()} for row in frame.to_dict("records")}


def number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def decimal(value: float) -> Decimal | None:
    return Decimal(repr(value)) if math.isfinite(value) else None


def exact(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def instant(value: Any) -> datetime | None:
    return value.to_pydatetime() if value == value else None
