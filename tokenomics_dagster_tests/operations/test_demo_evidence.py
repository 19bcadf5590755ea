"""The demo's last line, where the extra is missing or there is no market: a sentence, and no failed demo."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenomics_dagster.operations.demo_evidence import evidence
from tokenomics_dagster.research import rehearsal
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import Platform


def test_without_the_extra_one_plain_line_says_so(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without(name: str, *args: Any) -> Any:
        return None if name == "arch" else found(name, *args)

    monkeypatch.setattr("tokenomics_dagster.model.extra.find_spec", without)
    line = evidence(load_settings(), platform.folder, lambda _: None)
    assert line == (
        "evidence: none, for a backtest needs the package arch, which is not installed: "
        "pip install 'tokenomics-dagster[research]'"
    )


def test_a_market_without_a_universe_has_none(platform: Platform, tmp_path: Path) -> None:
    assert platform.store.history("universe") == []
    line = evidence(load_settings(), tmp_path, lambda _: None)
    assert line.startswith("evidence: none, for there is no universe in ")


def test_what_is_drawn_has_one_market_and_no_skill_in_its_figures() -> None:
    drawn = rehearsal.paths(np.full(400, 10.0), seed=3)
    assert drawn.shape == (rehearsal.SESSIONS, 400)
    assert not drawn[0].any()
    assert (drawn > -1).all()
    between = np.asarray(np.corrcoef(drawn[1:, :50], rowvar=False))[np.triu_indices(50, 1)]
    assert 0.05 < between.mean() < 0.4, "each name has its own movement beside the market's"
    assert np.array_equal(drawn, rehearsal.paths(np.full(400, 10.0), seed=3))
