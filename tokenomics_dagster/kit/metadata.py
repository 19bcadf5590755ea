"""What the graph shows a person beside a table: numbers as people read them, bounded markdown tables, images, columns
and their origin, links to code and documents.

What to show is the asset's choice; how a plot is drawn is plots.py's, the small picture is sketch.py's.
"""

import re
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from inspect import unwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import dagster as dg

if TYPE_CHECKING:
    import pandera.pandas as pa

_P = ParamSpec("_P")
_IMAGE_BYTES = 40_000  # as base64; an event with four of them stays under 200 KB
_RESIDUE = 9  # decimals: 8.8e-13 is what arithmetic leaves of 0
_CELL = 300  # characters; what a provider sends may be of any length
_MARKUP = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")  # an underscore within a word is none
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_PACKAGE = Path(__file__).resolve().parent.parent


def percent(share: float | Decimal) -> str:
    """A share of a whole, 0 to 1, for a sentence or a cell: 1.17 %."""
    return "not known" if share != share else f"{100 * float(share):,.2f} %"


def usd(amount: float | Decimal) -> str:
    """US dollars for a sentence or a cell, to the cent: 97,512.33 USD."""
    return "not known" if amount != amount else f"{amount:,.2f} USD"


def figure(value: float) -> str:
    """Any other number: four digits, and all that stand before the point: 3,921,034; 17.25; 0.01167."""
    if value != value:
        return "not known"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{round(value, _RESIDUE):.4g}"


def series(numbers: Mapping[str, float | Decimal]) -> dict[str, float]:
    """Numbers that Dagster draws from run to run, by names that end with their unit (_usd, _pct, _days).

    It shows a float with every digit that it has: they are rounded, to the cent, to a thousandth of a percent, or to
    four digits and all before the point. What is not known (NaN) is left out: there is no such number to draw.
    """
    return {name: _rounded(name, value) for name, value in numbers.items() if value == value}


def _rounded(name: str, value: float | Decimal) -> float:
    if isinstance(value, int):
        return value
    number = float(value)
    if name.endswith("_usd"):
        return round(number, 2)
    if 1_000 <= abs(number) < float("inf"):
        return float(round(number))
    return round(float(f"{number:.4g}"), 3 if name.endswith("_pct") else _RESIDUE)


def table(rows: Iterable[Sequence[Any]], *columns: str, limit: int = 20) -> dg.MarkdownMetadataValue:
    """A markdown table of at most `limit` rows, with the number of those left out."""
    listed = [list(row) for row in rows]
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in listed[:limit])]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    if len(listed) > limit:
        text += f"\n\nand {len(listed) - limit} more"
    return dg.MetadataValue.md(text)


def image(name: str, draw: Callable[_P, bytes], /, *args: _P.args, **options: _P.kwargs) -> dg.MarkdownMetadataValue:
    """The PNG that `draw(*args, **options)` returns, inside the markdown; one of over 40 KB is only named."""
    try:
        png = draw(*args, **options)
    except OSError as error:
        # Matplotlib does not start where no folder at all can be written. A missing picture must not stop a rebalance.
        return dg.MetadataValue.md(f"{name} is not drawn: {error}; set MPLCONFIGDIR to a folder that can be written")
    text = b64encode(png).decode()
    if len(text) > _IMAGE_BYTES:
        return dg.MetadataValue.md(f"{name} is not shown: {len(text):,} bytes, at most {_IMAGE_BYTES:,} are kept")
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{text})")


def column_metadata(schema: "type[pa.DataFrameModel]") -> dict[str, Any]:
    """Column schema and column lineage of a pandera model, as Dagster shows them.

    Lineage is what the fields say under metadata["from"], as a list of "asset.column"; without any there is none.
    """
    model = schema.to_schema()
    columns = [
        dg.TableColumn(
            name,
            str(column.dtype).removesuffix("[python]").removesuffix("[pyarrow]"),
            column.description,
            dg.TableColumnConstraints(
                nullable=column.nullable, unique=column.unique, other=[_rule(check) for check in column.checks]
            ),
        )
        for name, column in model.columns.items()
    ]
    rules = dg.TableConstraints([check.description or _rule(check) for check in model.checks])
    lineage = {
        name: [dg.TableColumnDep(*source.split(".")) for source in sources]
        for name, column in model.columns.items()
        if (sources := (column.metadata or {}).get("from"))
    }
    shown: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(columns, rules)}
    if lineage:
        shown["dagster/column_lineage"] = dg.TableColumnLineage(lineage)
    return shown


def code_reference(op: dg.OpDefinition, repository_url: str | None) -> dict[str, Any]:
    """Where the function that is decorated as `op`, one of this package, is written.

    A link under `repository_url` (which ends with the commit: https://github.com/OWNER/NAME/blob/COMMIT), else the file
    of the checkout, which an editor opens. An installed package has neither: its path inside the repository, for paths
    of a build machine or an image tell nobody anything.
    """
    decorated: Any = op.compute_fn
    code = unwrap(decorated.decorated_fn).__code__
    path = Path(code.co_filename).resolve()
    relative = path.relative_to(_PACKAGE.parent).as_posix()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # these three classes, each time the definitions load
        if repository_url is not None:
            reference: Any = dg.UrlCodeReference(
                url=f"{repository_url}/{relative}#L{code.co_firstlineno}", label=relative
            )
        else:
            checkout = (_PACKAGE.parent / "pyproject.toml").is_file()
            reference = dg.LocalFileCodeReference(
                file_path=str(path) if checkout else relative, line_number=code.co_firstlineno, label=relative
            )
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}


def links(asset: str, job: str, *, is_table: bool, repository_url: str | None) -> dict[str, dg.MetadataValue]:
    """Where the documents of the repository explain an asset, and what to do when its job has failed.

    Under `repository_url`, as `code_reference` takes it; without one the path inside the repository, for no host is
    known. `is_table`: it has columns, and a section of docs/data.md that explains them.
    """
    documents = {
        "docs": f"docs/data.md#{asset}" if is_table else "docs/architecture.md#the-way-of-the-data",
        # As GitHub makes an anchor of the heading `job:NAME`.
        "runbook": f"docs/operations.md#job{job}",
    }
    if repository_url is None:
        return {name: dg.MetadataValue.text(path) for name, path in documents.items()}
    return {name: dg.MetadataValue.url(f"{repository_url}/{path}") for name, path in documents.items()}


def _rule(check: Any) -> str:
    return str(check.error or check.name)


def _cell(value: Any) -> str:
    text = figure(value) if isinstance(value, float) else str(value)
    if len(text) > _CELL:
        text = text[: _CELL - 3] + "..."
    # A provider's text must not become a link, a picture or HTML of its own.
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.splitlines())).translate(_ENTITIES)
