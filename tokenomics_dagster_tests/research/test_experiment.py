"""An experiment's file: nothing in it is read otherwise than it was written, and what is wrong is named."""

from pathlib import Path

import pytest

from tokenomics_dagster.research.experiment import Experiment, ExperimentError, read_experiment

PLAIN = "data: {prices: prices.parquet}\nstrategy: equal_weight\n"


def read(folder: Path, text: str) -> Experiment:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return read_experiment(file)


def test_a_file_is_read_with_its_own_name_and_folder(tmp_path):
    experiment = read(tmp_path, PLAIN + "from: 2024-03-01\n")
    assert (experiment.name, experiment.path("a"), str(experiment.first)) == ("mine", tmp_path / "a", "2024-03-01")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("top_n: 5\ntop_n: 10\n", "top_n stands twice"),  # YAML itself keeps the last one without a word
        ("costs: {fee_usd: 1, fee_usd: 900}\n", "fee_usd stands twice"),
        ("to: 2024-02-31\n", "day is out of range for month"),
        ("top_n: 010\n", "would be read in another base"),  # 8
        ("top_n: 1:30\n", "would be read in another base"),  # 90
        ("a: &a [1, 1]\nb: &b [*a, *a]\n", "more values, levels or aliases"),
        ("rebalancing: {foo: 1}\n", "rebalancing.foo = 1 is not a known key. Known here: cash_buffer_pct, "),
        ("rebalancing: {min_scor: 1}\n", "did you mean min_score?"),
        ("haircut: 1\n", "did you mean haircut_pct?"),
        ("begin: 2024-01-01\n", "Known here: benchmark, cadence, capital, "),
        ("costs: {spread: 1}\n", "costs.spread = 1 is not a known key. Known here: by_volume, fee_usd"),
        ("folder: /elsewhere\n", "folder is not a known key"),  # it was dropped without a word
    ],
)
def test_what_would_be_read_otherwise_than_it_was_written_is_refused(tmp_path, text, sentence):
    with pytest.raises(ExperimentError) as refused:
        read(tmp_path, PLAIN + text)
    assert sentence in str(refused.value)
    assert "mine.yaml" in str(refused.value)


@pytest.mark.parametrize("text", ["", "- a\n", "5\n", "~\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(ExperimentError, match="must be a mapping"):
        read(tmp_path, text)
