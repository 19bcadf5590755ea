"""docs/tutorials.md: what it changes is changed on the sandbox, and what it says of the code is so."""

import re

import pytest
import yaml

from tokenomics_dagster.fundamentals.schema import Scores
from tokenomics_dagster.portfolio.weights import target_weights
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.documents.blocks import blocks_of

PAGE = "docs/tutorials.md"
TEXT = (REPOSITORY / PAGE).read_text()
PACKAGE = REPOSITORY / "tokenomics_dagster"


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_settings_of_the_tutorial_change_the_scores_and_the_weights(platform: Platform) -> None:
    [block] = [one for one in blocks_of(PAGE) if one.kind == "settings"]
    changed = yaml.safe_load(block.body)
    for part, values in changed["fundamentals"]["score"].items():
        for name, value in values.items():
            platform.configure(**{f"fundamentals__score__{part}__{name}": value})
    platform.configure(**{f"rebalancing__{key}": value for key, value in changed["rebalancing"].items()})
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    scores = platform.store.load_snapshot("scores", Scores)
    assert scores is not None
    scored = scores.dropna(subset=["score"])
    assert len(scored) > 30
    weighed = 0.6 * scored["roe_points"] + 0.2 * scored["debt_points"] + 0.2 * scored["growth_points"]
    assert (scored["score"] - weighed).abs().max() < 1e-9
    weights = target_weights(scores, load_settings().rebalancing)
    assert len(weights) == 20
    assert weights["weight"].nunique() == 1
    assert weights["weight"].iloc[0] == pytest.approx(1 / 20)


def test_the_places_of_a_metric_are_all_files_that_name_one() -> None:
    named = set(re.findall(r"`([\w./-]+\.(?:py|yaml|json))`", section("Add a metric").partition("A test compares")[0]))
    told = {name if "/" in name else f"tokenomics_dagster/research/{name}" for name in named}
    folders = (PACKAGE, REPOSITORY / "config", REPOSITORY / "helm")
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".yaml", ".json"}]
    found = {path.relative_to(REPOSITORY).as_posix() for path in files if "debt_to_equity" in path.read_text()}
    # A new figure is a new column; what may stay as it is names the figures there are.
    assert told - {"tokenomics_dagster/storage/migrations.py"} == found


def test_the_modules_that_name_the_broker_are_all_that_do() -> None:
    told = set(re.findall(r"^tokenomics_dagster/[\w/]+\.py$", section("Add a broker"), re.MULTILINE))
    outside = [
        path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ("providers", "sandbox")
    ]
    found = {
        path.relative_to(REPOSITORY).as_posix()
        for path in outside
        if re.search(r"^\s*from tokenomics_dagster\.providers\.alpaca", path.read_text(), re.MULTILINE)
    }
    assert told == found


def test_a_sleeve_cannot_be_written_as_long_as_the_page_says_so() -> None:
    assert section("Write a sleeve").strip().startswith("Not yet.") == (not (PACKAGE / "sleeves").exists())
