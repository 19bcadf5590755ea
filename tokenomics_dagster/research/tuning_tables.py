"""The table of a tuning in the warehouse, and what belongs to a snapshot of it. How it comes about stays out."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from tokenomics_dagster.kit.tables import Table, column
from tokenomics_dagster.model.details import Details


class Tuning(Table):
    """One row per setting that was tried, the settings as they are first: none may be forgotten, for each is a chance
    that the best of them was luck."""

    trial: int = column("number, in the order of the first trial; 0: the settings as they are", unique=True, ge=0)
    setting: str = column("JSON: what differs from the experiment, by key", unique=True)
    studies: int = column("studies that tried it, one for each fold and one for the time to come", ge=1)
    sharpe: float = column("annual Sharpe ratio of the whole record; missing where returns do not vary", nullable=True)
    returns: str = column("JSON: returns of each of the `sessions` of the details, fractions")


class TuningDetails(Details):
    """The tuning without its rows, as docs/tuning.md tells each key of the JSON."""

    experiment: str = Field(description="its name, which is its file's unless it says another")
    rules: Mapping[str, Any] = Field(description="the experiment as it is: everything but its search")
    search: Mapping[str, Any] = Field(description="what might be tried, and how the record was cut")
    seed: int = Field(description="of the samplers and of the bootstrap")
    trials: int = Field(description="settings that each study was allowed")
    helped: bool = Field(description="whether it can be shown to have helped out of sample")
    sentences: Sequence[str] = Field(description="what came of it, in plain words")
    folds: Sequence[Mapping[str, Any]] = Field(description="days chosen by and judged, what was chosen, Sharpe ratios")
    now: Mapping[str, Any] = Field(description="what the whole record chooses for the time to come")
    out_of_sample: Mapping[str, Any] = Field(description="figures of tuned, untuned and held over the judged sessions")
    overfitting: Any = Field(description="probability of overfitting by CSCV on all trials; a text where untold")
    deflated: Any = Field(description="the lead of the setting chosen now, after luck; a text where untold")
    difference: Any = Field(description="of the Sharpe ratios, tuned less untuned; a text where untold")
    sessions: Sequence[str] = Field(description="days of the record, ISO 8601, of which the rows hold the returns")
    fingerprint: str = Field(description="SHA-256 of data, settings and code")
