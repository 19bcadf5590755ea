"""An experiment: which strategy, on which data, under which rules. YAML, read once; a wrong key is named.

Only values belong here. What is not said about rebalancing is as in the platform's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.settings.document import NotADocument, document_of
from tokenomics_dagster.settings.rebalancing import RebalancingSettings
from tokenomics_dagster.settings.section import NameCount, Section, describe

Cadence = Literal["daily", "weekly", "monthly"]
Fill = Literal["close", "next_open", "next_close"]
Shares = Literal["fractional", "whole"]
Engine = Literal["fast", "replayed"]


class ExperimentError(UserError):
    """An experiment, or what it asks for, cannot be used; the text says which file, which key and what is allowed."""


class Data(Section):
    """Where prices and figures come from: paths of Parquet files (relative to the experiment's file), the word
    "lake" for prices, the word "warehouse" for figures."""

    prices: str = Field(description='path of a Parquet file of prices, or "lake"')
    fundamentals: str | None = Field(
        None, description='path of a Parquet file of figures by the instant they were known at, or "warehouse"'
    )


class Costs(Section):
    half_spread_bps: float = Field(
        5.0,
        ge=0,
        le=1_000,
        description="basis points of the price, paid on each side; the least of them where by_volume",
    )
    by_volume: bool = Field(
        False, description="whether the half spread widens where little is traded: see docs/evidence.md"
    )
    fee_usd: float = Field(0.0, ge=0, le=1_000, description="USD for each order")
    impact: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Y of Y x sigma_day x (USD / ADV)^0.6, a fraction of the price (Almgren et al. 2005); 0: none",
    )


class RebalancingOfExperiment(RebalancingSettings):
    """As the platform's; a simulated broker takes any trade, however small."""

    min_trade_usd: float = Field(100.0, ge=0, le=1e6, description="USD; a smaller trade is skipped (exits are not)")


def _as_data(value: Any) -> Any:
    return {"prices": "lake", "fundamentals": "warehouse"} if value in ("lake", "warehouse") else value


class Experiment(Section):
    """What `tokenomics backtest` runs."""

    name: str = Field("", description="as a person calls it; by default the file's name")
    data: Annotated[Data, BeforeValidator(_as_data)]
    strategy: str = Field(description="a shipped one's name, package.module:Class, or path/of/file.py:Class")
    parameters: dict[str, float | int | str | bool] = Field({}, description="what the strategy is made with")
    universe_size: NameCount = Field(1500, description="names: the largest of the day by market cap")
    top_n: NameCount | None = Field(None, description="names held at most; by default rebalancing.top_n_stocks")
    first: date | None = Field(None, alias="from", description="first session; by default that of the data")
    last: date | None = Field(None, alias="to", description="last session; by default that of the data")
    cadence: Cadence = Field("weekly", description="decisions: at the first session of each week or month, or daily")
    start_session: int = Field(0, ge=0, le=30, description="sessions by which each decision is put off in its period")
    fill: Fill = Field("next_open", description="when a decision made at a close is filled")
    capital: float = Field(1_000_000.0, gt=0, le=1e13, description="USD at the start")
    shares: Shares = Field("whole", description="whole shares, or fractions of them")
    costs: Costs = Field(Costs(), description="what trading costs")
    interest_pct: float = Field(0.0, ge=-10, le=100, description="percent a year on cash, by calendar days of 365.25")
    haircut_pct: float | None = Field(
        None,
        ge=0,
        le=100,
        description="percent lost of what is held of a name that is delisted; by default both 0 and 55 are told",
    )
    quarantine: bool = Field(True, description="whether rows that cannot be believed are kept from being chosen")
    survivors: bool = Field(
        False, description="whether the data is known to hold only names that are still there: it is said first of all"
    )
    rebalancing: Mapping[str, Any] = Field({}, description="keys of the settings' section rebalancing that differ")
    benchmark: str | None = Field(None, description="a symbol of the prices; by default the eligible, equally weighted")
    search: Mapping[str, Any] = Field({}, description="what `tokenomics tune` may change: see docs/tuning.md")
    engine: Engine = Field(
        "fast", description="replayed: the live rebalance itself at a simulated broker, guards and all; slow"
    )
    max_volume_pct: float | None = Field(
        None, gt=0, le=100, description="percent of a session's volume that an order fills at most; engine: replayed"
    )
    folder: Path = Field(Path(), exclude=True, description="against which paths are read: set by the reader")

    model_config = Section.model_config | {"populate_by_name": True}

    @field_validator("rebalancing")
    @classmethod
    def _known_keys(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        RebalancingOfExperiment.model_validate(given)
        return given

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first is not None and self.last is not None and self.first >= self.last:
            raise ValueError(f"from = {self.first} must be before to = {self.last}")
        if self.max_volume_pct is not None and self.engine != "replayed":
            raise ValueError(f"max_volume_pct = {self.max_volume_pct:g} is for engine: replayed, which fills in part")
        return self

    def rules(self, settings: RebalancingSettings) -> RebalancingOfExperiment:
        """The settings' rules with what differs; `top_n` has the last word on how many names are held."""
        given = settings.model_dump() | dict(self.rebalancing)
        if self.top_n is not None:
            given["top_n_stocks"] = self.top_n
        return RebalancingOfExperiment.model_validate(given)

    def path(self, of: str) -> Path:
        return self.folder / Path(of).expanduser()

    def files(self) -> dict[Path, str]:
        """Those that a run of it reads, there or not, by what they are in words."""
        data = {"prices": self.data.prices, "fundamentals": self.data.fundamentals}
        found = {
            self.path(name): f"the experiment's {what}"
            for what, name in data.items()
            if name is not None and name not in ("lake", "warehouse")
        }
        searched = self.search.get("strategy")
        for name in [self.strategy, *(searched if isinstance(searched, list) else [])]:
            if (code := code_file(str(name))) is not None:
                found[self.path(code)] = "the code of the experiment's strategy"
        return found


def code_file(strategy: str) -> str | None:
    """The file of path/of/file.py:Class; None where the name is none of a file."""
    before = strategy.rpartition(":")[0]
    return before if before.endswith(".py") or "/" in before else None


_KEYS = {
    "": [field.alias or name for name, field in Experiment.model_fields.items() if not field.exclude],
    "rebalancing": list(RebalancingOfExperiment.model_fields),
}


def read_experiment(path: Path) -> Experiment:
    """The experiment of a YAML file. Raises ExperimentError, naming file, key, value and what is allowed."""
    try:
        document = document_of(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise ExperimentError(f"the experiment {path} cannot be read: {error}") from None
    except NotADocument as error:
        raise ExperimentError(f"the experiment {path} cannot be used: {error}") from None
    if not isinstance(document, dict):
        raise ExperimentError(f"the experiment {path} must be a mapping of keys to values, see config/experiments/")
    if "folder" in document:
        raise ExperimentError(
            f"the experiment {path} cannot be used: folder is not a known key: its paths are read from its own folder"
        )
    try:
        return Experiment.model_validate({"name": path.stem} | document | {"folder": path.resolve().parent})
    except ValidationError as error:
        told = "; ".join(describe(one, Experiment, _KEYS) for one in error.errors())
        raise ExperimentError(f"the experiment {path} cannot be used: {told}") from None
