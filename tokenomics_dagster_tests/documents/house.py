"""The two drawings of docs/architecture.md, made from the code: the asset graph by rooms, and the floors of the house.

SVG with its text as text, a title and a description, in light and dark; no script, no font of its own.
"""

import ast
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit.room import House
from tokenomics_dagster_tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "tokenomics_dagster"
WIDTH, HIGH, ACROSS, LANE, LEFT, TOP = 168, 32, 206, 62, 132, 22
STYLE = """
text{font:14px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#1f2328}
.room{font-size:13px;fill:#59636e}
.box{fill:#eef4fb;stroke:#2f6fb0}
.outside{fill:#f6f8fa;stroke:#8c959f}
.lane{fill:none;stroke:#d1d9e0}
.way{fill:none;stroke:#59636e;stroke-width:1.5}
.tip{fill:#59636e}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.room{fill:#9198a1}.box{fill:#16283b;stroke:#5a9bd8}.outside{fill:#20252c;stroke:#6e7681}
.lane{stroke:#3d444d}.way{stroke:#9198a1}.tip{fill:#9198a1}}
"""


class Spot(NamedTuple):
    """Where an asset stands: the upper left corner of its box."""

    x: int
    y: int


def made_from() -> dict[str, tuple[str, ...]]:
    """By asset those that it is made from, in the order of the rooms."""
    found = {}
    for name, asset in House(ROOMS).assets.items():
        [spec] = asset.specs
        found[name] = tuple(sorted(one.asset_key.to_user_string() for one in spec.deps))
    return found


def lanes() -> list[tuple[str, list[str]]]:
    """The rooms with their assets; those that share nothing with another room come last."""
    edges = made_from()
    of = {spec.key.to_user_string(): room.name for room in ROOMS for asset in room.assets for spec in asset.specs}
    joined = {end for name, sources in edges.items() for one in sources if of[one] != of[name] for end in (name, one)}
    rooms = [(room.name, [name for name in edges if of[name] == room.name]) for room in ROOMS]
    return sorted(rooms, key=lambda room: joined.isdisjoint(room[1]))


def asset_graph() -> str:
    edges, rooms = made_from(), lanes()
    spots = {
        name: Spot(LEFT + across * ACROSS, TOP + lane * LANE)
        for lane, (_, assets) in enumerate(rooms)
        for across, name in enumerate(assets)
    }
    width = max(spot.x for spot in spots.values()) + WIDTH + 14
    height = TOP + len(rooms) * LANE - 13
    told = "; ".join(f"{name} is made from {', '.join(sources)}" for name, sources in edges.items() if sources)
    body = [
        line
        for lane, (room, _) in enumerate(rooms)
        for line in (
            f'<rect class="lane" x="6" y="{TOP + lane * LANE - 11}" width="{width - 12}" height="{LANE - 8}" rx="6"/>',
            f'<text class="room" x="16" y="{TOP + lane * LANE + 21}">{room}</text>',
        )
    ]
    body += [way(spots[one], spots[name]) for name, sources in edges.items() for one in sources]
    for name, spot in spots.items():
        body.append(f'<rect class="box" x="{spot.x}" y="{spot.y}" width="{WIDTH}" height="{HIGH}" rx="6"/>')
        body.append(f'<text x="{spot.x + WIDTH // 2}" y="{spot.y + 21}" text-anchor="middle">{name}</text>')
    return drawing("The asset graph", f"Each room is a row. {told}.", width, height, body)


def way(start: Spot, end: Spot) -> str:
    """An arrow from one box to another: to the right in a row, else down to the next."""
    if start.y == end.y:
        x, y = start.x + WIDTH, start.y + HIGH // 2
        return arrow(f"M{x} {y}H{end.x - 7}", end.x, y, "right")
    x, y, to = start.x + WIDTH // 2, start.y + HIGH, end.x + WIDTH // 2
    middle = (y + end.y) // 2
    return arrow(f"M{x} {y}C{x} {middle + 8} {to} {middle - 8} {to} {end.y - 7}", to, end.y, "down")


def arrow(path: str, x: int, y: int, to: str) -> str:
    tip = f"{x - 8},{y - 4} {x},{y} {x - 8},{y + 4}" if to == "right" else f"{x - 4},{y - 8} {x},{y} {x + 4},{y - 8}"
    return f'<path class="way" d="{path}"/><polygon class="tip" points="{tip}"/>'


def floors() -> list[list[str]]:
    """The floors from above, as the contract of the imports has them."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [house] = [one for one in contracts if one["id"] == "floors"]
    return [layer.replace("|", ":").replace(" ", "").split(":") for layer in house["layers"]]


def floor_plan() -> str:
    """One row for each floor, from above; what stands on one floor knows nothing of its neighbour unless told."""
    stack = floors()
    width, row, high = 780, 46, 34
    body = []
    for floor, rooms in enumerate(stack):
        each = (width - 130 - 12 * (len(rooms) - 1)) // len(rooms)
        for at, room in enumerate(rooms):
            x, y = 12 + at * (each + 12), 12 + floor * row
            body.append(f'<rect class="box" x="{x}" y="{y}" width="{each}" height="{high}" rx="6"/>')
            body.append(f'<text x="{x + each // 2}" y="{y + 22}" text-anchor="middle">{room}</text>')
    height = 12 + len(stack) * row
    body.append(
        f'<rect class="outside" x="{width - 98}" y="12" width="86" height="{height - 24}" rx="6"/>'
        f'<text x="{width - 55}" y="{height // 2}" text-anchor="middle">sandbox</text>'
    )
    told = "; ".join(" beside ".join(rooms) for rooms in stack)
    return drawing("The floors of the house", f"From above: {told}. The sandbox stands apart.", width, height, body)


def drawing(title: str, description: str, width: int, height: int, body: Iterable[str]) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def rooms_table() -> Iterator[str]:
    """Every folder of the package with what it says of itself, in the order of the floors, from below."""
    of = {room.name: [spec.key.to_user_string() for one in room.assets for spec in one.specs] for room in ROOMS}
    named = [room for floor in reversed(floors()) for room in floor if (PACKAGE / room).is_dir()]
    yield "| room | what belongs there | makes |"
    yield "|---|---|---|"
    for room in [*named, "sandbox"]:
        said = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
        yield f"| `{room}/` | {' '.join(said.partition(chr(10) * 2)[0].split())} | {made(of.get(room, ()))} |"


def made(assets: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in assets)
