"""Which parts of docs/ are made from the code, and where they stand; written by

    python -m tokenomics_dagster_tests.documents            (a part of make docs)

Of a page only what stands between its two markers is written; drawings are whole files.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.documents import house, licences, reference

BEGIN, END = "<!-- made from the code by make docs: {} -->", "<!-- the end of: {} -->"
PARTS: Mapping[str, Mapping[str, Callable[[], Iterable[str]]]] = {
    "docs/settings.md": {"settings": reference.settings},
    "docs/data.md": {"tables": reference.tables, "checks": reference.checks},
    "docs/architecture.md": {"rooms": house.rooms_table, "jobs": reference.jobs},
    "docs/licences.md": {"licences": licences.table},
}
"""By page and by the name in its markers what stands there."""

DRAWINGS: Mapping[str, Callable[[], str]] = {
    "docs/pictures/asset-graph.svg": house.asset_graph,
    "docs/pictures/house.svg": house.floor_plan,
}


class NoMarkers(UserError):
    """A page has lost the markers between which a part is written."""


def current() -> dict[Path, str]:
    """Every file that is made, wholly or in part, as it should be now."""
    found = {REPOSITORY / name: draw() for name, draw in DRAWINGS.items()}
    for name, parts in PARTS.items():
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        for part, lines in parts.items():
            text = written(name, text, part, lines())
        found[REPOSITORY / name] = text
    return found


def written(page: str, text: str, part: str, lines: Iterable[str]) -> str:
    """The page with this part anew. Raises NoMarkers."""
    begin, end = BEGIN.format(part), END.format(part)
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise NoMarkers(f"{page} has not the two markers of {part}: put {begin} and {end} back where it is to stand")
    body = "\n".join(lines).strip("\n")
    return f"{before}{begin}\n\n{body}\n\n{end}{after}"


def write() -> list[Path]:
    """Writes what is not as it should be; what was."""
    made = current()
    changed = [path for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    return changed
