"""Where a command is to write is looked at before anything is computed."""

from pathlib import Path

import pytest

from tokenomics_dagster.interfaces.cli.terminal import CannotBeWritten, check_outputs


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["mine.yaml"], "it is the experiment"),
        (["folder/../mine.yaml"], "it is the experiment"),
        (["out.json", "out.json"], "another result is to be written there"),
        (["absent/out.json"], "is not a folder"),
        (["folder"], "folder is a folder"),
        (["prices.parquet"], "it is the experiment's prices; name another file"),
        (["folder/link.json"], "it is the experiment's prices"),
        (["folder/hard.json"], "it is the experiment's prices"),
    ],
)
def test_a_result_that_could_not_stand_where_it_is_wanted_is_not_computed(tmp_path: Path, written, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine.yaml").write_text("strategy: momentum\n")
    prices = tmp_path / "prices.parquet"
    prices.write_bytes(b"PAR1")
    (tmp_path / "folder/link.json").symlink_to(prices)
    (tmp_path / "folder/hard.json").hardlink_to(prices)
    read = {tmp_path / "mine.yaml": "the experiment", prices: "the experiment's prices"}
    with pytest.raises(CannotBeWritten, match=f"cannot be written, and nothing was run: .*{said}"):
        check_outputs(read, *(tmp_path / one for one in written))


def test_files_and_devices_may_be_written_to(tmp_path: Path):
    read = {tmp_path / "mine.yaml": "the experiment"}
    check_outputs(read, None, tmp_path / "out.json", tmp_path / "out.html")
    check_outputs(read, Path("/dev/stdout"))
