"""docs/evidence.md says what is there: every key of an experiment, every column, every key of the JSON, each run."""

import re

import pytest
import yaml

from tokenomics_dagster.research.experiment import Costs, Experiment, read_experiment
from tokenomics_dagster.research.schema import Figures, Prices, Quarters
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.evidence.__main__ import BEGIN, END, ORACLES, RUNS
from tokenomics_dagster_tests.research.small_market import market
from tokenomics_dagster_tests.research.test_backtest import of

PAGE = (REPOSITORY / "docs/evidence.md").read_text()
FOLDER = REPOSITORY / "config/experiments"
EXPERIMENTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def named(text: str) -> set[str]:
    return set(re.findall(r"`([\w.]+)`", text))


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_key_of_an_experiment_is_told() -> None:
    told = named(section("An experiment"))
    keys = {field.alias or name for name, field in Experiment.model_fields.items()} - {"name", "folder", "data"}
    assert keys - told == set()
    assert {"data.prices", "data.fundamentals", *(set(Costs.model_fields) - {"half_spread_bps"})} - told == set()


def test_every_column_of_the_files_is_told() -> None:
    told = named(section("The files"))
    columns = {name for table in (Prices, Figures, Quarters) for name in table.to_schema().columns}
    assert columns - told - {"vintage"} == set()


@pytest.mark.usefixtures("as_python")
def test_every_key_of_the_json_is_told() -> None:
    document = of(market(sessions=60, names=25)).document()
    assert document.keys() - named(section("The JSON")) == set()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_shipped_experiment_can_be_read(name: str) -> None:
    assert read_experiment(FOLDER / f"{name}.yaml").name == name


@pytest.mark.parametrize("name", ORACLES)
def test_the_oracles_are_as_c1_to_c6_say(name: str) -> None:
    said = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert (said["fill"], said["cadence"], said["quarantine"], said["haircut_pct"]) == ("close", "weekly", False, 0)
    assert (said["universe_size"], said["top_n"], said["capital"]) == (1500, 100, 1_000_000)
    assert said["strategy"] == ("cap_weight" if name.endswith("cap") else "equal_weight")
    full = name.startswith("full")
    assert said["shares"] == ("whole" if full else "fractional")
    assert said["costs"]["half_spread_bps"] == (5 if full else 0)
    rules = said["rebalancing"]
    assert (rules["max_position_pct"], rules["cash_buffer_pct"]) == (100, 0)
    assert (rules["rebalance_threshold_pct"], rules["min_trade_usd"]) == ((20, 100) if full else (0, 0))


def test_the_figures_are_of_every_run_and_stand_between_the_markers() -> None:
    figures = PAGE.split(BEGIN)[1].split(END)[0]
    assert all(f"| {name} |" in figures for name in ORACLES)
    assert all(f"### {title}" in figures for title in RUNS.values())
    assert {*ORACLES, *RUNS} <= {*EXPERIMENTS}
    survivors = figures.split(RUNS["fundamentals_sec_quarters"])[1].strip().splitlines()[0]
    assert survivors.startswith("- The figures are those of survivors")
