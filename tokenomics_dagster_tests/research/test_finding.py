"""A strategy is found by its name, its module, its file or an entry point; else the error says what is there."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from tokenomics_dagster.research import finding
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.finding import GROUP, find
from tokenomics_dagster_tests.research.cheats import Honest, Named
from tokenomics_dagster_tests.research.small_market import experiment

MINE = """
from dataclasses import dataclass

import beside


@dataclass
class Mine:
    n: "int" = beside.TEN

    def decide(self, view):
        return {}


class Other:
    pass


class Fails:
    def __init__(self):
        raise RuntimeError("no luck")


number = 7
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "beside.py").write_text("TEN = 10\n")
    yield tmp_path
    sys.modules.pop("beside", None)


def n_of(name: str, folder, **parameters) -> int:
    made: Any = find(experiment(name, folder=folder, parameters=parameters))()
    return made.n


def refused(name: str, **values) -> str:
    with pytest.raises(ExperimentError) as error:
        find(experiment(name, **values))
    return str(error.value)


def test_a_class_of_a_module_is_made_with_the_parameters():
    made = find(experiment("tokenomics_dagster_tests.research.cheats:Named", parameters={"name": "S001"}))()
    assert isinstance(made, Named)
    assert made.name == "S001"


def test_a_class_of_a_file_is_found_from_the_experiments_folder_with_what_stands_beside_it(folder):
    for name in ("mine.py:Mine", f"{folder}/mine.py:Mine"):
        assert n_of(name, folder) == 10
    assert n_of("mine.py:Mine", folder, n=3) == 3


def test_a_module_is_found_in_the_experiments_folder_and_its_folder_is_left_out_again(folder):
    before = list(sys.path)
    assert n_of("mine:Mine", folder) == 10
    assert sys.path == before
    sys.modules.pop("mine")


def test_a_file_is_run_anew_each_time_and_made_anew_for_each_run(folder):
    asked = experiment("mine.py:Mine", folder=folder)
    first, second = find(asked), find(asked)
    assert type(first()) is type(first())
    assert first() is not first()
    assert type(first()) is not type(second())


def test_a_strategy_of_another_package_is_found_by_its_entry_point(monkeypatch):
    point = EntryPoint("theirs", "tokenomics_dagster_tests.research.cheats:Honest", GROUP)
    broken = EntryPoint("broken", "tokenomics_dagster_tests.research.cheats:Nobody", GROUP)
    offered = EntryPoints([point, broken])
    monkeypatch.setattr(finding, "entry_points", lambda group: offered.select(group=group))
    assert isinstance(find(experiment("theirs"))(), Honest)
    assert "strategy = broken, tokenomics_dagster_tests.research.cheats:Nobody, cannot be loaded" in refused("broken")
    assert "Shipped: fundamentals, equal_weight, cap_weight, momentum, low_volatility, broken, theirs" in refused("no")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("magic", "strategy = magic is not known. Shipped: fundamentals, equal_weight"),
        ("absent.py:Mine", "there is no file"),
        ("mine.py:Nobody", "has no Nobody; what has a method decide there: Mine"),
        ("mine.py:number", "number is no class, but int"),
        ("mine.py:Other", "strategy = mine.py:Other has no method decide(view): see docs/strategies.md"),
        ("mine.py:Fails", "RuntimeError: no luck (mine.py, line 21)"),
        ("leaves.py:Mine", "strategy = leaves.py:Mine cannot be run: SystemExit: 0"),
        ("mine.py:", "after the colon stands the name of a class"),
        ("nowhere.at_all:Mine", "cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("broken.py:Mine", "strategy = broken.py:Mine cannot be run: SyntaxError"),
        ("folder/mine:Mine", "there is no file"),
    ],
)
def test_what_is_not_found_is_named_with_what_there_is(folder, name, said):
    (folder / "broken.py").write_text("class Mine(:\n")
    (folder / "leaves.py").write_text("import sys\nsys.exit(0)\n")  # the command would have ended as if all were done
    assert said in refused(name, folder=folder)


def test_parameters_that_it_does_not_take_are_named_with_those_that_it_does(folder):
    text = refused("mine.py:Mine", folder=folder, parameters={"m": 1})
    assert "cannot be made with the parameters m: TypeError" in text
    assert "It takes: n" in text
    assert "It takes: lookback, skip" in refused("momentum", parameters={"window": 3})
    assert "It takes: none" in refused("equal", parameters={"window": 3})
