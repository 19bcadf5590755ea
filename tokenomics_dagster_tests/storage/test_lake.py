"""The lake: what is added is there, as it was known at each instant, whoever writes beside and however it ends."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenomics_dagster.model.extra import MissingExtra
from tokenomics_dagster.storage.lake import Added, Known, Lake, LakeError

NOON = datetime(2026, 8, 24, 16, tzinfo=UTC)
DAY = timedelta(days=1)
MONDAY = date(2026, 8, 24)


def bars(*rows: tuple[str, date, float], at: datetime = NOON, volume: float = 1000.0) -> Mapping[str, Sequence[Any]]:
    """Bars of these symbols, sessions and closes."""
    return {
        "date": [day for _, day, _ in rows],
        "symbol": [symbol for symbol, _, _ in rows],
        "open": [close for *_, close in rows],
        "high": [close + 1 for *_, close in rows],
        "low": [close - 1 for *_, close in rows],
        "close": [close for *_, close in rows],
        "volume": [volume for _ in rows],
        "known_at": [at for _ in rows],
    }


def closes(table: pa.Table) -> list[tuple[str, date, float]]:
    return [(row["symbol"], row["date"], row["close"]) for row in table.to_pylist()]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_an_empty_lake_has_no_bars_of_the_columns_that_a_full_one_has(lake: Lake) -> None:
    empty = lake.bars()
    assert empty.num_rows == 0
    assert lake.known() == {}
    assert lake.sessions() == []
    lake.add_bars(bars(("A", MONDAY, 10.0)))
    assert lake.bars().schema == empty.schema
    assert empty.column_names == ["date", "symbol", "open", "high", "low", "close", "volume", "known_at"]


def test_bars_come_in_the_order_of_sessions_and_symbols_and_only_those_asked_for(lake: Lake) -> None:
    september = MONDAY + 10 * DAY
    lake.add_bars(bars(("B", september, 4.0), ("B", MONDAY, 3.0), ("A", september, 2.0)))
    lake.add_bars(bars(("A", MONDAY, 1.0)))
    assert closes(lake.bars()) == [
        ("A", MONDAY, 1.0),
        ("B", MONDAY, 3.0),
        ("A", september, 2.0),
        ("B", september, 4.0),
    ]
    assert closes(lake.bars(MONDAY + DAY)) == [("A", september, 2.0), ("B", september, 4.0)]
    assert closes(lake.bars(last=MONDAY)) == [("A", MONDAY, 1.0), ("B", MONDAY, 3.0)]
    assert closes(lake.bars(MONDAY, MONDAY, symbols=["B"])) == [("B", MONDAY, 3.0)]
    assert lake.known() == {"A": Known(MONDAY, september, 2), "B": Known(MONDAY, september, 2)}
    assert lake.sessions() == [MONDAY, september]


def test_each_month_has_its_file(lake: Lake) -> None:
    lake.add_bars(bars(("A", date(2025, 12, 31), 1.0), ("A", MONDAY, 2.0)))
    found = sorted(str(path.relative_to(lake.folder)) for path in lake.folder.rglob("*.parquet"))
    assert found == ["daily_bars/2025/2025-12.parquet", "daily_bars/2026/2026-08.parquet"]


def test_a_corrected_bar_stands_beside_the_first_and_each_instant_knows_its_own(lake: Lake) -> None:
    assert lake.add_bars(bars(("A", MONDAY, 10.0), ("B", MONDAY, 20.0))) == Added(2, ())
    assert lake.add_bars(bars(("A", MONDAY, 11.0), at=NOON + DAY)) == Added(0, (("A", MONDAY),))
    assert closes(lake.bars()) == [("A", MONDAY, 11.0), ("B", MONDAY, 20.0)]
    assert closes(lake.bars(as_of=NOON + DAY - timedelta(microseconds=1)))[0] == ("A", MONDAY, 10.0)
    assert closes(lake.bars(as_of=NOON + DAY))[0] == ("A", MONDAY, 11.0)
    assert closes(lake.bars(as_of=NOON - DAY)) == []
    assert lake.known()["A"].sessions == 1


def test_what_was_corrected_can_be_corrected_back(lake: Lake) -> None:
    for days, close in enumerate((10.0, 11.0, 10.0)):
        lake.add_bars(bars(("A", MONDAY, close), at=NOON + days * DAY))
    assert [closes(lake.bars(as_of=NOON + days * DAY))[0][2] for days in range(3)] == [10.0, 11.0, 10.0]


def test_what_is_known_already_changes_no_file(lake: Lake) -> None:
    lake.add_bars(bars(("A", MONDAY, 10.0)))
    [path] = lake.folder.rglob("*.parquet")
    before = path.stat().st_ino
    assert lake.add_bars(bars(("A", MONDAY, 10.0), at=NOON + DAY)) == Added(0, ())
    assert path.stat().st_ino == before
    assert lake.bars()["known_at"].to_pylist() == [NOON]


def test_bars_of_one_instant_that_come_in_two_parts_are_no_corrections(lake: Lake) -> None:
    lake.add_bars(bars(("A", MONDAY, 10.0)))
    assert lake.add_bars(bars(("B", MONDAY, 10.0))) == Added(1, ())


def test_two_bars_that_contradict_each_other_at_one_instant_are_refused_by_name(lake: Lake) -> None:
    lake.add_bars(bars(("A", MONDAY, 10.0)))
    with pytest.raises(LakeError, match="known since one instant: A on 2026-08-24"):
        lake.add_bars(bars(("A", MONDAY, 11.0)))
    assert closes(lake.bars()) == [("A", MONDAY, 10.0)]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("close", None, "1 of 1 bars have no close"),
        ("close", float("nan"), "the close of a bar is no finite number"),
        ("volume", float("inf"), "the volume of a bar is no finite number"),
        ("symbol", None, "1 of 1 bars have no symbol"),
        ("date", "Monday", "cannot be read as date"),
        ("known_at", None, "have no known_at"),
    ],
)
def test_a_value_that_is_none_is_refused_by_its_column(lake: Lake, column: str, value: Any, told: str) -> None:
    with pytest.raises(LakeError, match=told):
        lake.add_bars({**bars(("A", MONDAY, 10.0)), column: [value]})
    assert lake.bars().num_rows == 0


def test_columns_that_are_missing_or_unknown_are_named(lake: Lake) -> None:
    given = {**bars(("A", MONDAY, 10.0)), "price": [1.0]}
    del given["close"]
    with pytest.raises(LakeError, match="missing or not known: close, price"):
        lake.add_bars(given)


def test_a_table_is_taken_as_well_as_its_columns(lake: Lake) -> None:
    lake.add_bars(pa.table({**bars(("A", MONDAY, 10.0)), "volume": [1000]}))
    assert lake.bars()["volume"].to_pylist() == [1000.0]


def test_a_damaged_file_is_named_and_how_to_come_by_it_again(lake: Lake) -> None:
    lake.add_bars(bars(("A", MONDAY, 10.0)))
    [path] = lake.folder.rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LakeError, match=rf"{path} cannot be read .*ops.daily_bars.config.since"):
        lake.bars()


def test_a_file_of_other_columns_is_no_file_of_the_lake(lake: Lake) -> None:
    lake.add_bars(bars(("A", MONDAY, 10.0)))
    [path] = lake.folder.rglob("*.parquet")
    pq.write_table(pa.table({"date": [MONDAY]}), path)
    with pytest.raises(LakeError, match="cannot be read"):
        lake.bars()


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lake = Lake(tmp_path / "file" / "lake")
    assert not lake.writable()
    with pytest.raises(LakeError, match=r"cannot be written at .*TOKENOMICS_LAKE"):
        lake.add_bars(bars(("A", MONDAY, 10.0)))


def test_without_pyarrow_the_extra_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    began = time.process_time()
    with pytest.raises(MissingExtra, match=r"pip install 'tokenomics-dagster\[research\]'"):
        Lake(tmp_path)
    assert time.process_time() - began < 0.05


def test_what_is_written_is_its_owner_s_alone(lake: Lake) -> None:
    lake.add_bars(bars(("A", MONDAY, 10.0)))
    modes = {path.stat().st_mode & 0o777 for path in lake.folder.rglob("*") if path.is_file()}
    assert modes == {0o600}


def _add_days(folder: Path, symbol: str, count: int) -> None:
    lake = Lake(folder)
    for number in range(count):
        lake.add_bars(bars((symbol, MONDAY + number % 5 * DAY, float(number + 1)), at=NOON + number * DAY))


def test_of_two_writers_at_once_none_loses_a_bar(lake: Lake) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_days, args=(lake.folder, symbol, 15)) for symbol in "AB"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        lake.bars()  # and who reads meanwhile sees whole files
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    expected = [(symbol, MONDAY + day * DAY, 11.0 + day) for day in range(5) for symbol in "AB"]
    assert closes(lake.bars()) == expected
    assert {symbol: known.sessions for symbol, known in lake.known().items()} == {"A": 5, "B": 5}


KILLED = """
import sys
from pathlib import Path
from tokenomics_dagster.storage.lake import Lake
from tokenomics_dagster_tests.storage.test_lake import DAY, MONDAY, NOON, bars
lake = Lake(Path(sys.argv[1]))
names = [f"S{n}" for n in range(20_000)]
number = 0
print("ready", flush=True)
while True:
    number += 1
    lake.add_bars(bars(*((name, MONDAY, float(number + 1)) for name in names), at=NOON + number * DAY))
    print(number, flush=True)
"""


@pytest.mark.soak
@pytest.mark.parametrize("after_ms", range(0, 400, 20))
def test_a_writer_that_is_killed_at_any_point_leaves_whole_files_of_one_state(lake: Lake, after_ms: int) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, lake.folder], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        first = int(writer.stdout.readline())
        time.sleep(after_ms / 1000)
        writer.kill()
        done = [first, *(int(line) for line in writer.stdout)]
    found = lake.bars()
    [close] = set(found["close"].to_pylist())
    assert found.num_rows == 20_000
    assert close - 1 in (done[-1], done[-1] + 1)
    lake.add_bars(bars(("AFTER", MONDAY, 1.0)))
    assert not list(lake.folder.rglob("*.tmp"))


def test_a_writer_that_dies_before_the_rename_leaves_the_file_before_and_the_next_one_tidies_up(lake: Lake) -> None:
    lake.add_bars(bars(("A", MONDAY, 10.0)))
    script = (
        "import os, sys\nfrom pathlib import Path\n"
        "from tokenomics_dagster.storage.lake import Lake\n"
        "from tokenomics_dagster_tests.storage.test_lake import MONDAY, bars\n"
        "os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
        "Lake(Path(sys.argv[1])).add_bars(bars(('B', MONDAY, 1.0)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, lake.folder], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(lake.folder.rglob("*.tmp"))) == 1
    assert closes(lake.bars()) == [("A", MONDAY, 10.0)]
    lake.add_bars(bars(("B", MONDAY, 2.0)))
    assert list(lake.folder.rglob("*.tmp")) == []
    assert closes(lake.bars()) == [("A", MONDAY, 10.0), ("B", MONDAY, 2.0)]


def test_a_full_disk_leaves_the_file_before_and_nothing_beside_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.add_bars(bars(("A", MONDAY, 10.0)))

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LakeError, match="No space left on device"):
        lake.add_bars(bars(("A", MONDAY, 11.0), at=NOON + DAY))
    assert closes(lake.bars()) == [("A", MONDAY, 10.0)]
    assert list(lake.folder.rglob("*.tmp")) == []
