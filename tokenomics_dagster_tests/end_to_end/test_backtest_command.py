"""`tokenomics backtest`: the result on a screen, as JSON and as a page; how it refuses, and whether it looks ahead."""

import json
import re
from pathlib import Path

import pytest

from tokenomics_dagster_tests.end_to_end.conftest import Command
from tokenomics_dagster_tests.research.files import market, write

EXPERIMENT = """
data: {prices: prices.parquet}
strategy: equal_weight
universe_size: 8
top_n: 4
fill: next_close
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(market(tuple(f"N{letter}" for letter in "ABCDEFGHIJ"), sessions=80), tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(EXPERIMENT)
    return path


def test_the_result_is_on_the_screen_in_the_json_and_on_the_page(command: Command, file: Path, tmp_path: Path) -> None:
    done = command("backtest", file, "--no-controls", "--json", "out.json", "--html", "out.html")
    assert done.code == 0, done
    assert len(done.out.splitlines()) <= 40
    assert "mine: equal_weight, 2024-01-02 to " in done.out
    assert "what it cannot show" in done.out
    assert "reading the data ..." in done.err
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["seconds"] > 0
    assert len(document["equity"]) == 80
    assert f"{document['final_equity']:,.0f} USD" in done.out
    assert document["rules_hash"] in (tmp_path / "out.html").read_text()


def test_what_is_wrong_is_one_sentence_that_names_it(command: Command, file: Path, tmp_path: Path) -> None:
    file.write_text(EXPERIMENT.replace("top_n", "topn"))
    assert "mine.yaml cannot be used: topn = 4 is not a known key" in command("backtest", file).refused()
    file.write_text(EXPERIMENT.replace("prices.parquet", "none.parquet"))
    done = command("backtest", file).refused(after_dagsters_own=True)  # after the progress
    assert re.fullmatch(r"there is no file .*none\.parquet: paths are read from the experiment's folder", done)
    file.write_text(EXPERIMENT.replace("next_close", "next_open"))
    done = command("backtest", file, "--no-controls").refused(after_dagsters_own=True)
    assert done == "fill: next_open needs opens, and these prices have none; use fill: next_close"
    assert "no folder" in command("backtest", tmp_path / "no folder/mine.yaml").refused()
    refused = command("backtest", file, "--json", tmp_path / "nowhere/out.json").refused()
    assert "cannot be written, and nothing was run: " in refused
    assert refused.endswith("nowhere is not a folder")
    assert command("backtest").code == 2


@pytest.mark.parametrize(
    ("output", "what"),
    [
        ("prices.parquet", "the experiment's prices"),
        ("figures.parquet", "the experiment's fundamentals"),
        ("own.py", "the code of the experiment's strategy"),
        ("mine.yaml", "the experiment"),
    ],
)
@pytest.mark.parametrize("asked", [("backtest", "--json"), ("backtest", "--html"), ("tune", "--json")])
def test_no_result_is_written_over_what_it_is_made_of(
    command: Command, file: Path, tmp_path: Path, asked: tuple[str, str], output: str, what: str
) -> None:
    file.write_text(EXPERIMENT.replace("equal_weight", "own.py:Own").replace("}", ", fundamentals: figures.parquet}"))
    for name in ("figures.parquet", "own.py"):
        (tmp_path / name).write_text("what nothing may write over")
    before = (tmp_path / output).read_bytes()
    said = command(asked[0], file, asked[1], output).refused()
    assert said == f"{output} cannot be written, and nothing was run: it is {what}; name another file"
    assert (tmp_path / output).read_bytes() == before


def test_who_looks_ahead_ends_with_1_before_any_figure_is_told(command: Command, file: Path, tmp_path: Path) -> None:
    assert "no look-ahead was found" in command("backtest", file, "--check-lookahead", "--no-controls").out
    file.write_text(EXPERIMENT.replace("equal_weight", "tokenomics_dagster_tests.research.cheats:OneRow"))
    done = command("backtest", file, "--check-lookahead", "--no-controls", "--json", "out.json")
    assert done.code == 1, done
    assert "looks ahead: on 2024-" in done.out
    assert "last equity" not in done.out
    assert not (tmp_path / "out.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here: it is Linux's")
def test_a_full_disk_takes_the_file_and_not_the_result(command: Command, file: Path) -> None:
    done = command("backtest", file, "--no-controls", "--json", "/dev/full")
    assert done.code == 1, done
    assert "/dev/full cannot be written: No space left on device" in done.err
    assert "last equity" in done.out
