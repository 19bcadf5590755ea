"""The tables of the research room in the warehouse, and what belongs to a snapshot of each. Parquet is schema.py's."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from tokenomics_dagster.kit.tables import Table, column
from tokenomics_dagster.model.details import Details

DAY = r"^\d{4}-\d{2}-\d{2}$"


class Backtest(Table):
    """One row per session of an experiment: the simulated account after its trades."""

    day: str = column("session, ISO 8601", unique=True, str_matches=DAY)
    equity: float = column("USD")
    cash: float = column("USD", ge=-0.01)
    held: int = column("names held", ge=0)
    traded: float = column("USD bought and sold", ge=0)
    costs: float = column("USD: spread, fees, impact", ge=0)


class BacktestDetails(Details):
    """The result without its rows, as docs/evidence.md tells each key of the JSON."""

    experiment: str = Field(description="its name, which is its file's unless it says another")
    rules: Mapping[str, Any] = Field(description="everything that decides what comes of the same data")
    metrics: Mapping[str, Any] = Field(description="fractions and USD; null is undefined, and `undefined` says why")
    drawdown: Mapping[str, Any] = Field(description="the deepest: depth, peak, trough, recovered")
    evidence: Mapping[str, Any] = Field(description="what else the result says: how sure, controls, sensitivity, ...")
    doubts: Sequence[str] = Field(description="what it cannot show, in sentences")
    warnings: Sequence[str] = Field(description="what was found while it was made, in sentences")
    quarantined: int = Field(description="spans of a name's history that were kept from being chosen")
    data_hash: str = Field(description="SHA-256 of the data")
    rules_hash: str = Field(description="SHA-256 of rules, code and version: with data_hash it says what is the same")
    version: str = Field(description="of the package that made it")
