"""`tokenomics report`: the page of a week as a file, its figures for machines, and what is said where there is none."""

import json
import stat
from pathlib import Path

import pytest

from tokenomics_dagster_tests.end_to_end.conftest import Command, FinishedDemo

WEEK = "2026-08-24"


def test_the_page_and_its_figures_are_files_of_their_owner_and_say_what_the_demo_did(
    finished_demo: FinishedDemo, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def nothing_opens(address: str) -> bool:
        opened.append(address)
        return False

    monkeypatch.setattr("webbrowser.open", nothing_opens)
    said = command("report", WEEK, "--open", "--json", "week.json", **finished_demo.variables)
    assert said.code == 0, said
    file = tmp_path / ".tokenomics/reports" / f"{WEEK}.html"
    assert opened == [file.as_uri()]
    assert "no browser could be opened here: open that file in yours" in said.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "it tells what the account holds"
    text, told = file.read_text(), json.loads((tmp_path / "week.json").read_text())
    assert said.out.splitlines()[0] in text
    assert said.out.splitlines()[1] == f"the page: {file}"
    assert (told["equity"], told["cash"]) == (finished_demo.result["equity"], finished_demo.result["cash"])
    assert {one["symbol"] for one in told["trades"]} == {one["symbol"] for one in finished_demo.result["orders"]}
    assert "http://127.0.0.1:3000/runs/" in text
    named = command("report", "--out", "mine.html", **finished_demo.variables)
    assert named.code == 0, named
    assert (tmp_path / "mine.html").read_text() == text, "the last week, and the same again"
    assert opened == [file.as_uri()], "nothing is opened unasked"


def test_a_week_without_report_a_folder_and_no_date_are_told(
    finished_demo: FinishedDemo, tmp_path: Path, command: Command
) -> None:
    none = command("report", "2026-08-10", **finished_demo.variables)
    assert none.refused().startswith("the week of 2026-08-10 has no report in ")
    assert none.refused().endswith(f"the last ones are of {WEEK}")
    assert not (tmp_path / ".tokenomics").exists()
    assert "is a folder" in command("report", "--out", tmp_path, **finished_demo.variables).refused()
    wrong = command("report", "last week", **finished_demo.variables)
    assert wrong.code == 2
    assert "any date of the week is needed" in " ".join(wrong.err.replace("│", " ").split())


def test_the_help_of_it_fits_a_screen(command: Command) -> None:
    said = command("report", "--help")
    assert said.code == 0
    assert len(said.out.splitlines()) <= 24
    assert "tokenomics report 2026-08-24 --open" in said.out
