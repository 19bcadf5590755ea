"""What the tables of all rooms have in common: nothing but the columns that are named, each of its type and explained.

A room's schema.py is the one definition of its tables. Pure, so that rules may know it.
"""

from typing import Annotated, Any

import pandas as pd
import pandera.pandas as pa

UtcInstant = Annotated[pd.DatetimeTZDtype, "us", "UTC"]
"""The type of a column of instants, as exact as the warehouse holds them."""


class Table(pa.DataFrameModel):
    """The rows of an asset. A column that is missing or not named is refused; values become the column's type."""

    class Config:
        strict = True
        coerce = True


def column(description: str, *made_from: str, **limits: Any) -> Any:
    """A column: its meaning and unit, the columns ("asset.column") that it is made from, and what pandera limits."""
    return pa.Field(description=description, metadata={"from": list(made_from)} if made_from else None, **limits)


def symbol_column(*made_from: str, description: str = "ticker") -> Any:
    """The symbol by which a row is found: one row each, and never empty."""
    return column(description, *made_from, unique=True, str_length={"min_value": 1})
