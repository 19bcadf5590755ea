"""The parts of a page that needs nothing else: the document, tables, tiles, figures with their numbers beneath, links.

Whatever is not `Markup` is text and is escaped here. What a page tells is the pages'; how it looks page_style.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from tokenomics_dagster.reports.page_style import STYLE


class Markup(str):
    """HTML that was made here; its texts are escaped already."""

    __slots__ = ()


def text(value: str) -> Markup:
    return value if isinstance(value, Markup) else Markup(escape(value))


def joined(parts: Iterable[str], between: str = "") -> Markup:
    return Markup(escape(between).join(map(text, parts)))


def element(tag: str, *parts: str, **attributes: str) -> Markup:
    """`class_` and the like are written without their underscores."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value, quote=True)}"' for name, value in attributes.items()
    )
    return Markup(f"<{tag}{told}>{joined(parts)}</{tag}>")


def document(title: str, *parts: str, header: str = "", nav: str = "", footer: str = "") -> str:
    """The whole page, UTF-8: no script, and nothing that is fetched from anywhere."""
    around = [element("header", header) if header else Markup(), nav]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"{joined(around)}<main>\n"
        + "\n".join(map(text, parts))
        + f"\n</main>{element('footer', footer) if footer else ''}</body></html>\n"
    )


def contents(entries: Iterable[tuple[str, str]]) -> Markup:
    """Links to the sections of the page by their ids."""
    items = [element("li", element("a", name, href=f"#{where}")) for where, name in entries]
    return element("nav", element("ul", *items), aria_label="On this page") if items else Markup()


def section(where: str, title: str, *parts: str) -> Markup:
    return element("section", element("h2", title, id=f"{where}-title"), *parts, id=where)


def tiles(entries: Iterable[tuple[str, str, str]]) -> Markup:
    """Each with what it is, its figure, and what that means."""
    made = [
        element("div", element("dt", name), element("dd", element("b", figure), element("small", what)), class_="tile")
        for name, figure, what in entries
    ]
    return element("dl", *made, class_="tiles")


def figure(picture: str, caption: str, numbers: Markup, legend: str = "", *, folded: bool = True) -> Markup:
    """A picture, what it shows, and the table of its numbers beneath, `folded` unless it is read for itself."""
    shown = element("details", element("summary", "The numbers"), numbers) if folded else numbers
    return element("figure", legend, Markup(picture), element("figcaption", caption), shown)


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """Names by the class of their colour."""
    made = [element("span", Markup(f'<i class="{style}"></i>'), name) for style, name in entries]
    return element("div", *made, class_="legend")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0, total: bool = False) -> Markup:
    """`numbers`: how many columns after the first hold figures; `total`: the last row sums up. The first cell names its
    row. On a phone each row is a block of its own, with the columns' names in it."""
    right = range(1, 1 + numbers)
    head = [
        element("th", name, scope="col", **({"class_": "n"} if at in right else {})) for at, name in enumerate(columns)
    ]
    body = [_row(columns, row, right) for row in rows]
    last = element("tfoot", body.pop()) if total and body else Markup()
    inside = element("thead", element("tr", *head)), element("tbody", *body), last
    # What can be scrolled sideways must be reached by the keyboard, too.
    return element("div", element("table", *inside, class_="rows"), class_="wide", tabindex="0")


def long_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int, shown: int, last: Sequence[Sequence[str]]
) -> Markup:
    """The first rows and the `last`, which sum all up; the others can be unfolded beneath."""
    first = table(columns, [*rows[:shown], *last], numbers=numbers, total=True)
    rest = rows[shown:]
    if not rest:
        return first
    more = element("summary", f"The other {len(rest):,}")
    return joined([first, element("details", more, table(columns, rest, numbers=numbers))])


def _row(columns: Sequence[str], row: Sequence[str], right: range) -> Markup:
    cells = [element("th", row[0], scope="row")]
    for at, value in enumerate(row[1:], start=1):
        lost = at in right and value.startswith("-") and len(value) > 1
        style = {"class_": "lost"} if lost else {} if at in right else {"class_": "t"}
        cells.append(element("td", value, **style, data_l=columns[at]))
    return element("tr", *cells)
