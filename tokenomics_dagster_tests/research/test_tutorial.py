"""What docs/strategies.md says is run as it stands there."""

import re
from typing import get_args

import numpy as np
import pytest

from tokenomics_dagster.research.apart import answers
from tokenomics_dagster.research.deciding import decisions
from tokenomics_dagster.research.experiment import read_experiment
from tokenomics_dagster.research.finding import GROUP
from tokenomics_dagster.research.lookahead import Kind, check_lookahead
from tokenomics_dagster.research.strategies import OUT_OF_SAMPLE, SHIPPED
from tokenomics_dagster.research.view import View
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.research.small_market import SETTINGS, figures, market

TEXT = (REPOSITORY / "docs/strategies.md").read_text()


@pytest.fixture
def tutorial(tmp_path):
    """The experiment in a folder with the files that the page writes, by their names in it."""
    blocks = dict(re.findall(r"^`([\w.]+)`[^`]*?:\n\n```\w+[^\n]*\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
    assert set(blocks) == {"reversal.py", "reversal.yaml"}
    for name, block in blocks.items():
        (tmp_path / name).write_text(block)
    return read_experiment(tmp_path / "reversal.yaml")


def test_the_strategy_of_the_tutorial_holds_what_it_says(tutorial):
    panel = market(60, 40, seed=9)
    told = figures(panel)
    asked = tutorial.model_copy(update={"universe_size": 30, "top_n": 5})
    found = answers(decisions(panel, told, asked, SETTINGS), panel)
    days = list(found)
    assert found[days[0]] is None  # of one session
    for day in days[2:]:
        held = found[day]
        assert held
        assert set(held.values()) == {1 / 5}
        row = int(np.flatnonzero(panel.dates == np.datetime64(day))[0])
        growth = dict(zip(panel.symbols, np.prod(1 + panel.returns[row - 4 : row + 1], axis=0), strict=True))
        assert list(held) == sorted(held, key=growth.__getitem__)


@pytest.mark.soak
def test_the_strategy_of_the_tutorial_does_not_look_ahead(tutorial):
    panel = market(60, 40, seed=9)
    asked = tutorial.model_copy(update={"universe_size": 30, "top_n": 5})
    assert check_lookahead(panel, figures(panel), asked, SETTINGS, seed=1) == ()


def test_the_page_names_all_that_there_is():
    for name in (*SHIPPED, *get_args(Kind), GROUP, str(OUT_OF_SAMPLE), *View.__dataclass_fields__):
        assert f"`{name}`" in TEXT or name in (GROUP, str(OUT_OF_SAMPLE)), name
        assert name in TEXT
