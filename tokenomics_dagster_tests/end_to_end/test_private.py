"""What tells of an account is its owner's alone, whatever the umask, and whatever mode it had before."""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tokenomics_dagster.interfaces.demo import dagster_home, locked
from tokenomics_dagster.kit import logs
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.storage import private
from tokenomics_dagster.storage.records import WarehouseBusy
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.end_to_end.conftest import FinishedDemo


@pytest.fixture(params=[0o000, 0o022])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """What in a folder, and the folder itself, somebody else could read or write."""
    return [
        f"{stat.S_IMODE(path.lstat().st_mode):o} {path}"
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & 0o077
    ]


@pytest.mark.usefixtures("umask")
def test_database_lock_files_and_their_folders_are_their_owners_alone(tmp_path: Path) -> None:
    home = tmp_path / "above" / "home"
    with closing(Warehouse(f"sqlite:///{home}/warehouse.db")) as store, store.exclusive("rebalance-PA1"):
        assert {path.name for path in home.iterdir()} >= {"warehouse.db", "warehouse.db-wal", "warehouse.db-shm"}
        assert len(list(home.glob("*.lock"))) == 1
        assert open_to_others(tmp_path / "above") == []


@pytest.mark.usefixtures("umask")
def test_a_database_of_before_is_tightened_and_a_folder_of_before_is_left_to_its_user(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.db"
    with closing(Warehouse(f"sqlite:///{file}")) as held, held.exclusive("x"):
        for path in tmp_path.iterdir():
            path.chmod(0o666)
        tmp_path.chmod(0o755)
        with closing(Warehouse(f"sqlite:///{file}")) as store, pytest.raises(WarehouseBusy), store.exclusive("x"):
            pass
        assert open_to_others(tmp_path) == [f"755 {tmp_path}"]


@pytest.mark.usefixtures("umask")
def test_logs_are_their_owners_alone_those_of_before_and_those_after_a_rotation_too(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir(0o700)
    (folder / "trades.jsonl").touch()
    (folder / "trades.jsonl").chmod(0o644)
    handler = logs.JsonLines(str(folder), Environment(_env_file=None))
    logs._require_writable(str(folder))
    assert open_to_others(folder) == []
    (folder / "trades.jsonl").unlink()
    handler.handle(logging.makeLogRecord({"name": "tokenomics.trades", "levelno": logging.INFO, "msg": "sold"}))
    assert (folder / "trades.jsonl").read_text().count("sold") == 1
    assert open_to_others(folder) == []


@pytest.mark.usefixtures("umask")
def test_the_folder_of_dagster_and_the_lock_of_a_sandbox_are_their_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    with locked(tmp_path / "sandbox.json"):
        assert open_to_others(dagster_home(tmp_path)) == []
        assert open_to_others(tmp_path)[1:] == []


def test_a_folder_named_as_a_file_keeps_its_mode(tmp_path: Path) -> None:
    """As root `--json /tmp` would take /tmp from all others."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(IsADirectoryError):
        private.write_text(shared, "{}")
    (tmp_path / "link").symlink_to(shared)
    private.make_file(tmp_path / "link")
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


def test_what_a_demo_leaves_is_its_owners_alone(finished_demo: FinishedDemo) -> None:
    named = ("settings.yaml", "market.txt", "sandbox.json", "warehouse.db", "dagster", "sandbox.json.lock")
    left = [finished_demo.home, *(finished_demo.home / name for name in named), finished_demo.folder / "out.json"]
    assert [path for path in left if path.stat().st_mode & 0o077] == []


def test_a_file_that_only_another_user_could_tighten_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "warehouse.db").touch(0o644)
    (tmp_path / "warehouse.db").chmod(0o644)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refused)
    private.tighten(tmp_path / "warehouse.db")
    assert f"chmod go= {tmp_path}/warehouse.db" in caplog.text


@pytest.mark.usefixtures("umask")
def test_a_text_is_replaced_wholly_or_not_at_all(tmp_path: Path) -> None:
    file, link = tmp_path / "result.json", tmp_path / "link.json"
    link.symlink_to(file)
    private.write_text(link, "before")
    with pytest.raises(UnicodeEncodeError):
        private.write_text(link, "x" * 1_000_000 + "\ud800")  # what ends it in its midst, as a full disk would
    assert file.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "result.json"]
    file.chmod(0o644)
    private.write_text(link, "after")
    assert link.is_symlink()
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("after", 0o600)
    private.write_text(Path(os.devnull), "what is no file stays what it is")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
