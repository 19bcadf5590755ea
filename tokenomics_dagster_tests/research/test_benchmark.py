"""A benchmark is there from the first session to the last, or it is refused."""

from dataclasses import replace

import numpy as np
import pytest

from tokenomics_dagster.research.beside import benchmark_level
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster_tests.research.files import loaded, market


def test_its_level_compounds_from_the_first_session(tmp_path):
    panel = loaded(market(sessions=30), tmp_path)
    level = benchmark_level(panel, "BBB", 10)
    assert np.allclose(level, panel.price[10:, 1] / panel.price[10, 1], rtol=1e-4)


@pytest.mark.parametrize(("rows", "which"), [(slice(0, 12), "first"), (slice(25, None), "last")])
def test_one_that_comes_later_or_ends_before_is_refused(tmp_path, rows, which):
    """One that ended stood still from then on, and whatever rose was better."""
    panel = loaded(market(sessions=30), tmp_path)
    price = panel.price.copy()
    price[rows, 1] = np.nan
    with pytest.raises(ExperimentError, match=f"benchmark = BBB has no price on .*, the {which} session"):
        benchmark_level(replace(panel, price=price), "BBB", 10)


def test_an_unknown_one_is_refused(tmp_path):
    with pytest.raises(ExperimentError, match="benchmark = SPY is no symbol of these prices"):
        benchmark_level(loaded(market(), tmp_path), "SPY", 0)
