"""The backup of docker-compose.yaml: its script with the real pg_dump, on a real server."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.helm.deployment import databases
from tokenomics_dagster_tests.image import compose
from tokenomics_dagster_tests.storage.schemas import postgres_program

Started = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def backup(postgres_url: str, tmp_path: Path) -> Iterator[Started]:
    """Starts the service's command with its variables, on the test's server and folder; the warehouse is there."""
    service = compose.services({**compose.PASSWORDS, "BACKUPS_KEPT": "3"})["backup"]
    scripts = {inside: REPOSITORY / here for here, inside, _ in (v.split(":") for v in service["volumes"][1:])}
    folder = tmp_path / "backup"
    folder.mkdir()
    here = {"PGHOST": parse_qs(urlsplit(postgres_url).query)["host"][0], "BACKUP_FOLDER": str(folder)}
    user = str(sa.make_url(postgres_url).username)
    path = f"{Path(postgres_program('pg_dump')).parent}:{os.environ['PATH']}"

    started = []

    def start(*words: str, **changed: str) -> "subprocess.Popen[str]":
        started.append(
            subprocess.Popen(
                [*(str(scripts.get(word, word)) for word in service["command"]), *words],
                env={**service["environment"], **here, "PGUSER": user, "PATH": path, **changed},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    with databases(postgres_url):
        live = sa.make_url(postgres_url).set(database="tokenomics").render_as_string(hide_password=False)
        with closing(Warehouse(live)) as store:
            store.audit("note", {"what": "before the backup"}, at=datetime(2026, 8, 24, 14, tzinfo=UTC))
        yield start
        for process in started:
            end(process)


def end(process: "subprocess.Popen[str]") -> None:
    """As the engine ends a container: all that runs in it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def done(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def older(folder: Path, *days: int) -> list[Path]:
    files = []
    for ago in days:
        at = time.time() - ago * 86_400
        files.append(folder / f"warehouse-{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H%M%SZ}.dump")
        files[-1].touch()
        os.utime(files[-1], (at, at))
    return files


def test_a_backup_holds_the_warehouse_and_the_newest_few_stay(
    backup: Started, postgres_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    young, old, oldest = older(folder, 2, 40, 50)
    (folder / "warehouse-2026-01-01T000000Z.dump.part").touch()
    assert done(backup("now")) == (0, "")
    (dump,) = set(folder.iterdir()) - {young, old}
    assert not oldest.exists()
    assert dump.suffix == ".dump"
    assert dump.stat().st_mode & 0o077 == 0
    live = sa.make_url(postgres_url).set(database="tokenomics").render_as_string(hide_password=False)
    with closing(Warehouse(live)) as store:
        told = store.last_backup()
    assert told is not None
    assert (told.bytes, f"{told.begun_at:warehouse-%Y-%m-%dT%H%M%SZ.dump}") == (dump.stat().st_size, dump.name)
    restored = sa.make_url(postgres_url).set(database="dagster").render_as_string(hide_password=False)
    plain = "postgresql://" + restored.partition("://")[2]
    subprocess.run([postgres_program("pg_restore"), "--no-owner", f"--dbname={plain}", dump], check=True, timeout=60)
    with closing(Warehouse(restored)) as store:
        assert [record.kind for record in store.audit_records()] == ["note"]


def test_it_is_made_once_a_day_however_often_the_service_starts(backup: Started, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    assert done(backup("check"))[0] != 0, "healthy before there is any"
    made: set[Path] = set()
    for _ in range(2):
        running = backup()
        deadline = time.monotonic() + 30
        while not (made or set(folder.glob("*.dump"))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)  # in which a second one would have begun
        end(running)
        made = made or set(folder.glob("*.dump"))
    assert set(folder.iterdir()) == made
    assert len(made) == 1
    assert done(backup("check"))[0] == 0
    (dump,) = made
    os.utime(dump, (time.time() - 27 * 3_600,) * 2)
    assert done(backup("check"))[0] != 0, "healthy although the newest is older than a day"


def test_one_that_fails_says_so_is_tried_again_and_costs_no_older_one(backup: Started, tmp_path: Path) -> None:
    kept = older(tmp_path / "backup", 2, 3, 4, 5)
    code, said = done(backup("now", PGDATABASE="nowhere"))
    assert code != 0
    assert "nowhere" in said
    running = backup(PGDATABASE="nowhere")
    assert running.stderr is not None
    while not (line := running.stderr.readline()).startswith("no backup was made"):
        assert line
    assert running.poll() is None
    assert set((tmp_path / "backup").glob("*.dump")) == set(kept)


def test_a_dump_that_cannot_be_read_to_its_end_is_none(backup: Started, tmp_path: Path) -> None:
    cut = tmp_path / "bin"
    cut.mkdir()
    (cut / "pg_dump").write_text(
        "#!/bin/sh\nfor word; do case $word in --file=*) file=${word#--file=} ;; esac; done\n"
        f'{postgres_program("pg_dump")} "$@" && truncate -s -100 "$file"\n'
    )
    (cut / "pg_dump").chmod(0o755)
    programs = f"{cut}:{Path(postgres_program('pg_dump')).parent}:{os.environ['PATH']}"
    assert done(backup("now", PATH=programs))[0] != 0
    assert not list((tmp_path / "backup").glob("*.dump"))


@pytest.mark.parametrize("kept", ["0", "all"])
def test_a_number_that_would_keep_none_is_refused(backup: Started, tmp_path: Path, kept: str) -> None:
    files = older(tmp_path / "backup", 1)
    code, said = done(backup("now", BACKUPS_KEPT=kept))
    assert code != 0
    assert "BACKUPS_KEPT must be a number of at least 1" in said
    assert set((tmp_path / "backup").iterdir()) == set(files)
