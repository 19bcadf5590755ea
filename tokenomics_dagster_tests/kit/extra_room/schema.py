"""The table of the extra room."""

import pandera.pandas as pa


class Moods(pa.DataFrameModel):
    """One row per stock."""

    symbol: str = pa.Field(unique=True, description="ticker")
    mood: float = pa.Field(ge=-1, le=1, description="-1 to 1")

    class Config:
        strict = True
        coerce = True
