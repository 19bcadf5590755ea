"""Every block of code in the documents says how it was shown to work, and what can be run is run."""

import doctest
import re
import shlex
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import typer.main
import yaml
from click import Command as ClickCommand
from click import Group

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.interfaces.cli.main import app
from tokenomics_dagster.research.experiment import read_experiment
from tokenomics_dagster.research.search import space_of
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.documents.blocks import (
    KINDS,
    WITH_MORE,
    Block,
    all_blocks,
    blocks_of,
    indented,
    pages,
)

BLOCKS = all_blocks()


def of(language: str, kind: str) -> list[Any]:
    return [pytest.param(one, id=one.where) for one in BLOCKS if (one.language, one.kind) == (language, kind)]


@pytest.mark.parametrize("block", [pytest.param(one, id=one.where) for one in BLOCKS])
def test_every_block_says_how_it_was_shown_to_work(block: Block) -> None:
    assert block.language in KINDS, f"no language of ours: {block.language!r}"
    assert block.kind in KINDS[block.language], f"{block.language} {block.kind!r}: see documents/blocks.py"
    assert bool(block.more) == (block.kind in WITH_MORE)
    if block.kind == "by-hand":
        assert len(block.more) > 20, "why it is not run is a sentence"
    if block.kind == "tested":
        assert (REPOSITORY / block.more).exists(), block.more


@pytest.mark.parametrize("page", pages())
def test_no_block_is_one_by_its_indent_alone(page: str) -> None:
    assert indented(page) == []


@pytest.mark.parametrize("page", [page for page in pages() if any(b.language == "python" for b in blocks_of(page))])
def test_the_python_of_a_page_answers_what_stands_there(page: str) -> None:
    """One after the other, as somebody would who follows the text at a prompt."""
    parser = doctest.DocTestParser()
    known: dict[str, Any] = {}
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    told: list[str] = []
    for block in blocks_of(page):
        if (block.language, block.kind) == ("python", "test"):
            test = parser.get_doctest(block.body, known, block.where, page, block.line)
            assert test.examples, f"{block.where}: nothing to run"
            runner.run(test, out=told.append, clear_globs=False)
            known = test.globs
    assert not told, "".join(told)


@pytest.mark.parametrize("block", of("python", "shown"))
def test_code_that_is_shown_stands_so_in_its_file(block: Block) -> None:
    assert block.body in (REPOSITORY / block.more).read_text()


@pytest.mark.parametrize("block", of("yaml", "settings"))
def test_settings_of_a_page_can_be_used(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(block.body)
    load_settings(path)


@pytest.mark.parametrize("block", of("yaml", "run-config"))
def test_run_config_of_a_page_is_one_of_its_job(block: Block) -> None:
    job = build_defs(load_settings()).resolve_job_def(block.more)
    # Each line is one of its own.
    for line in block.lines:
        dg.validate_run_config(job, yaml.safe_load(line))


def test_what_the_page_on_tuning_searches_can_be_searched(tmp_path: Path) -> None:
    [block] = [one for one in blocks_of("docs/tuning.md") if one.language == "yaml"]
    (tmp_path / "tuned.yaml").write_text("data: {prices: lake}\nstrategy: equal_weight\n" + block.body)
    space = space_of(read_experiment(tmp_path / "tuned.yaml"))
    assert [one.key for one in space.dimensions] == list(yaml.safe_load(block.body)["search"])[:-1]


def commands() -> list[tuple[str, str]]:
    """Every line of a block, and every word of a text, that calls our command; with where it stands."""
    found = [(one.where, line) for one in BLOCKS if one.language == "sh" for line in one.lines]
    for page in pages():
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        found += [(page, call) for call in re.findall(r"`(tokenomics [^`\n]+)`", text)]
    # In a cluster it is the last of kubectl's words.
    calls = [(where, call.rpartition(" -- ")[2] if call.startswith("kubectl") else call) for where, call in found]
    return [(where, call) for where, call in calls if call.startswith("tokenomics ")]


def test_every_command_and_option_of_ours_that_is_named_exists() -> None:
    calls = commands()
    assert len(calls) > 60
    for where, call in calls:
        require_call(where, call)


def require_call(where: str, text: str) -> None:
    words = [word for word in shlex.split(text.replace("\\|", "|"), comments=True) if word[0] not in "[]|"][1:]
    command: ClickCommand = typer.main.get_command(app)
    while isinstance(command, Group) and words and not words[0].startswith("-"):
        word = words.pop(0)
        assert word in command.commands, f"{where}: tokenomics has no command {word}"
        command = command.commands[word]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word == "--":
            break
        name = word.strip("[]").partition("=")[0]
        assert not name.startswith("-") or name in options | {"--help"}, f"{where}: {command.name} has no option {name}"
