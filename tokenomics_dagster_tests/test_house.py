"""What holds for every module of the package and no tool asks for."""

import ast
from collections.abc import Iterator

import pytest

from tokenomics_dagster_tests.conftest import REPOSITORY

LONGEST_FUNCTION, LONGEST_FILE = 60, 500  # lines
EXCUSE = "Over 500 lines, because "
"""So a longer module says in its docstring why it is one."""
MODULES = sorted((REPOSITORY / "tokenomics_dagster").rglob("*.py"))


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
