"""What holds for every module of the package and no tool asks for."""

import ast
import re
from collections.abc import Collection, Iterator

import pytest

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit.room import House
from tokenomics_dagster_tests.conftest import REPOSITORY

LONGEST_FUNCTION, LONGEST_FILE = 60, 500  # lines
EXCUSE = "Over 500 lines, because "
"""So a longer module says in its docstring why it is one."""
PACKAGE = REPOSITORY / "tokenomics_dagster"
MODULES = sorted(PACKAGE.rglob("*.py"))
# What reads rooms and must not know them by name: one more room is one folder and one line.
READERS = ("automation", "interfaces", "kit", "operations")
OTHERS = {
    ("automation/summaries.py", "rebalance"): "a choice of alerts.summaries",
    ("interfaces/cli/ending.py", "backtest"): "a command",
    ("interfaces/cli/sandbox.py", "listings"): "an option of the sandbox",
    ("interfaces/demo.py", "universe"): "a section of the settings",
    ("interfaces/cli/words.py", "score"): "a column of several tables",
    ("interfaces/on_demo.py", "backtest"): "a command",
    ("operations/audit.py", "orders"): "a field of a record of the audit",
}
"""Strings that read like the name of an asset and are none."""


def too_long(source: str) -> Iterator[str]:
    """Functions whose lines, from `def` to the end and but for the docstring, are too many."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            said = ast.get_docstring(node) is not None
            lines = (node.end_lineno or 0) - node.lineno + 1
            lines -= (first.end_lineno or 0) - first.lineno + 1 if said else 0
            if lines > LONGEST_FUNCTION:
                yield f"{node.name}: {lines} lines"


def unexcused(source: str) -> bool:
    said = ast.get_docstring(ast.parse(source)) or ""
    return len(source.splitlines()) > LONGEST_FILE and EXCUSE not in " ".join(said.split())


def test_no_function_is_longer_than_a_page() -> None:
    assert [f"{path}: {one}" for path in MODULES for one in too_long(path.read_text())] == []


def test_a_long_file_says_why() -> None:
    assert [path for path in MODULES if unexcused(path.read_text())] == []


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_docstring_makes_no_function_long(kind: str) -> None:
    body = "    pass\n" * (LONGEST_FUNCTION - 1)
    assert list(too_long(f'{kind} one():\n    """Says\n    much."""\n{body}')) == []
    assert list(too_long(f"{kind} one():\n{body}    pass\n")) == [f"one: {LONGEST_FUNCTION + 1} lines"]


def test_only_an_excuse_lets_a_file_be_long() -> None:
    lines = "x = 1\n" * LONGEST_FILE
    assert not unexcused(lines)
    assert unexcused(f'"""Much."""\n{lines}')
    assert not unexcused(f'"""Much.\n\nOver 500 lines,\nbecause it is a table.\n"""\n{lines}')


def named(source: str, names: Collection[str]) -> Iterator[str]:
    """The strings of a module, but for those that document it, that are one of the names or tell of one.

    One word such as `orders` is no name inside of a sentence.
    """
    tree = ast.parse(source)
    documenting = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    words = {name for name in names if "_" in name}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in documenting:
            continue
        if node.value in names or words & set(re.findall(r"\w+", node.value)):
            yield node.value


def test_nobody_who_reads_rooms_names_an_asset_or_a_job() -> None:
    house = House(ROOMS)
    names = {*house.assets, *house.jobs}
    assert {"financials", "trade_plan", "universe_refresh", "score"} <= names
    found = {
        (path.relative_to(PACKAGE).as_posix(), text)
        for reader in READERS
        for path in (PACKAGE / reader).rglob("*.py")
        for text in named(path.read_text(), names)
    }
    assert found == set(OTHERS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('store.history("orders")', ["orders"]),
        ('say(f"--select orders,trade_plan of {week}")', ["--select orders,trade_plan of "]),
        ('JOBS = {"score": 1}', ["score"]),
        ('def plan():\n    """The trade_plan of a week."""\n    return "its orders, of target"', []),
        ("orders = score.trade_plan", []),
    ],
)
def test_a_name_is_found_where_it_is_a_string(source: str, found: list[str]) -> None:
    assert list(named(source, {"orders", "score", "trade_plan"})) == found
