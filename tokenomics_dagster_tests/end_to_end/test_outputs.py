"""Where a command is to write is looked at before anything is computed."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tokenomics_dagster.interfaces.cli.terminal import CannotBeWritten, check_outputs
from tokenomics_dagster.storage import private


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


def test_a_folder_in_which_nothing_may_be_written_is_told_before_anything_is_computed(tmp_path: Path):
    # Folders of the kernel, for whoever runs as root may write in every other one.
    folder = next((one for one in map(Path, ("/sys", "/proc/sys")) if not os.access(one, os.W_OK)), None)
    if folder is None:
        (folder := tmp_path / "closed").mkdir(0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write in every folder")
    with pytest.raises(CannotBeWritten, match="and nothing was run: nothing may be written in "):
        check_outputs({tmp_path / "mine.yaml": "the experiment"}, folder / "out.json")


def test_two_writers_of_one_process_number_leave_one_whole_file_and_nothing_beside_it(tmp_path: Path):
    """Two containers on one volume are both number 1; here two threads are."""
    file, wrote = tmp_path / "out.json", [letter * 200_000 for letter in "ab"]

    def write(text: str) -> set[str]:
        seen = set()
        for _ in range(100):
            private.write_text(file, text)
            seen.add(file.read_text())
        return seen

    with ThreadPoolExecutor(2) as pool:
        seen = set.union(*pool.map(write, wrote))
    assert seen <= set(wrote)
    assert list(tmp_path.iterdir()) == [file]
