"""What a person reads: figures in words and units, help that fits a screen, lines that are written over."""

import io
import logging
import re
import shlex
from datetime import UTC, datetime, timedelta

import click
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from tokenomics_dagster.interfaces.cli.ending import SAVED, EndsInWords
from tokenomics_dagster.interfaces.cli.main import app
from tokenomics_dagster.interfaces.cli.tables import table_of
from tokenomics_dagster.interfaces.cli.terminal import _Teller
from tokenomics_dagster.interfaces.cli.words import cell, heading, span, sum_of
from tokenomics_dagster.interfaces.on_demo import CHANGING, OTHER_WORLDS, WITHOUT_BROKER
from tokenomics_dagster.model.progress import Interim
from tokenomics_dagster_tests.end_to_end.conftest import TOKENOMICS, Command

ROOT = typer.main.get_group(app)
SCREEN = 40  # lines of 80 columns


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "0 seconds"), (1, "1 second"), (89, "89 seconds"), (720, "12 minutes"), (5_399, "90 minutes"),
        (5_400, "2 hours"), (100_000, "28 hours"), (172_800, "2 days"), (86_400 * 1_227, "1,227 days"),
    ],
)  # fmt: skip
def test_a_span_has_one_unit(seconds: int, told: str) -> None:
    assert span(timedelta(seconds=seconds)) == told


@pytest.mark.parametrize(
    ("millions", "told"),
    [
        (3_101_000, "3.10 trn USD"), (999_600, "1.00 trn USD"), (956_000, "956 bn USD"), (39_800, "39.8 bn USD"),
        (999.6, "1.00 bn USD"), (45.2, "45.2 m USD"), (0.5, "0.50 m USD"), (-2_000, "-2.00 bn USD"),
    ],
)  # fmt: skip
def test_a_sum_has_three_digits_and_its_unit(millions: float, told: str) -> None:
    assert sum_of(millions) == told


@pytest.mark.parametrize(
    ("column", "value", "head", "told"),
    [
        ("market_cap_musd", 3.101e6, "market cap", "3.10 trn USD"),
        ("roe_ttm_pct", 12.345, "ROE", "12.3 %"),
        ("weight", 0.01166, "weight", "1.17%"),
        ("roe_points", 91.24, "ROE points", "91.2"),
        ("price", 100_845.0, "price", "100,845.00"),
        ("known_at", datetime(2026, 8, 24, 14, 5, tzinfo=UTC), "known", "2026-08-24 10:05"),
        ("debt_to_equity", float("nan"), "debt / equity", ""),
        ("rank", 7, "rank", "7"),
    ],
)
def test_a_figure_is_told_by_what_its_column_says_of_its_unit(column: str, value: object, head: str, told: str) -> None:
    assert (heading(column), cell(column, value)) == (head, told)


def commands(group: click.Group = ROOT, *path: str) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name, one in group.commands.items():
        found += commands(one, *path, name) if isinstance(one, click.Group) else [((*path, name), one)]
    return found


@pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
def test_a_help_fits_a_screen_and_has_an_example(
    command: Command, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command(*path, "--help")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= 80
    example = re.sub(r"\s+", " ", shown.out.rpartition("Example: ")[2])
    program, *words = shlex.split(example)
    assert (program, tuple(words[: len(path)])) == ("tokenomics", path)
    known = {option for parameter in dict(commands())[path].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--") and word != "--"} <= known


def test_the_help_of_all_has_one_line_for_each(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = command("--help").out.splitlines()
    assert len(lines) <= 20 + len(ROOT.commands)
    for name in ROOT.commands:
        assert len([line for line in lines if re.match(rf"│ {name} ", line)]) == 1
    assert command("--help").out.count("--install-completion") == 1


def test_the_version_is_that_of_the_package(command: Command) -> None:
    shown = command("--version")
    assert (shown.code, shown.err) == (0, "")
    assert re.fullmatch(r"tokenomics \d+\.\d+\.\d+\n", shown.out)


def test_a_shell_can_complete_commands(command: Command) -> None:
    completed = command(
        _TOKENOMICS_COMPLETE="complete_bash", COMP_WORDS="tokenomics stat", COMP_CWORD="1", SHELL="/bin/bash"
    )
    assert completed.out.split() == ["status"]
    assert TOKENOMICS.endswith("tokenomics")


@pytest.mark.parametrize(
    ("typed", "why"), [("n\n", "the answer was no"), ("", "the question got no answer")], ids=["no", "end of input"]
)
def test_a_question_that_is_not_said_yes_to_ends_in_a_sentence(typed: str, why: str) -> None:
    asking = typer.Typer(cls=EndsInWords, callback=lambda: None)

    @asking.command()
    def trade() -> None:
        typer.confirm("Trade?", abort=True)

    ended = CliRunner().invoke(asking, ["trade"], input=typed)
    assert ended.exit_code == 1
    assert ended.stderr.strip().endswith(f"{why}: nothing was changed or traded")
    assert "Abort" not in ended.output


def test_a_library_that_logs_the_ctrl_c_and_raises_it_again_leaves_no_trace() -> None:
    closing = typer.Typer(cls=EndsInWords, callback=lambda: None)
    library = logging.getLogger("a library that sets no handler")
    library.propagate = False

    @closing.command()
    def close(kind: str) -> None:
        for error in (ValueError, KeyboardInterrupt):
            try:
                raise error(kind)
            except (ValueError, KeyboardInterrupt):
                library.exception("closing it: %s", error.__name__)

    ended = CliRunner().invoke(closing, ["close", "x"])
    assert (ended.exit_code, "ValueError" in ended.stderr, "KeyboardInterrupt" in ended.stderr) == (0, True, False)


def test_what_is_said_of_single_commands_is_said_of_some_that_exist() -> None:
    assert {*SAVED, *CHANGING, *WITHOUT_BROKER, *(OTHER_WORLDS - {"init"})} <= set(ROOT.commands)


def test_on_a_terminal_an_interim_line_is_written_over_and_none_is_left() -> None:
    screen = io.StringIO()
    tell = _Teller(Console(file=screen, force_terminal=True, width=30, color_system=None))
    tell(Interim("financials: 1 of 1,500"))
    tell(Interim("financials: 2 of 1,500, about 12 min left\x1b[2J"))
    tell("done")
    assert screen.getvalue() == ("\r\x1b[2Kfinancials: 1 of 1,500\r\x1b[2Kfinancials: 2 of 1,500, about\r\x1b[2Kdone\n")


def test_in_a_file_interim_lines_are_lines_and_few() -> None:
    file = io.StringIO()
    tell = _Teller(Console(file=file, width=80))
    for done in range(5):
        tell(Interim(f"financials: {done} of 1,500"))
    tell("done")
    assert file.getvalue() == "financials: 0 of 1,500\ndone\n"


def shown(columns: int, *rows: tuple[str, ...]) -> list[str]:
    table = table_of("held", "symbol", "shares", "price, USD", "gain", "why")
    for row in rows:
        table.add_row(*row)
    told = io.StringIO()
    Console(file=told, width=columns, soft_wrap=True).print(table)
    return told.getvalue().splitlines()


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_no_screen_is_so_narrow_that_a_figure_is_broken_or_left_out(columns: int) -> None:
    row = (
        "BRK.B",
        "217.713488372",
        "1,534.64",
        "+104.4 %",
        "universe.most_traded_up_to let it in, for it was traded most",
    )
    lines = shown(columns, row, ("AAPL", "1", "2.00", "-0.1 %", "entered"))
    for figure in row[:4]:
        assert sum(figure in line for line in lines) == 1, lines
    assert sum("universe.most_traded_up_to" in line for line in lines) == 1
    assert " ".join(" ".join(lines).split()).count("most") == 2


def test_text_is_folded_where_the_figures_leave_room() -> None:
    lines = shown(80, ("A", "1", "2.00", "-0.1 %", "so it is " * 20))
    assert len(lines) > 4
    assert max(map(len, lines)) <= 80
    assert all(len(line) < 300 for line in shown(80, ("A", "1", "2.00", "-0.1 %", "X" * 2_000)))
