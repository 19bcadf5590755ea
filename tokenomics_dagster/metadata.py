"""What a materialization shows a person: bounded markdown tables. What to show is the asset's choice."""

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg


def table(rows: Iterable[Sequence[Any]], *columns: str, limit: int = 20) -> dg.MarkdownMetadataValue:
    """A markdown table of at most `limit` rows, with the number of those left out."""
    listed = [list(row) for row in rows]
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in listed[:limit])]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    if len(listed) > limit:
        text += f"\n\nand {len(listed) - limit} more"
    return dg.MetadataValue.md(text)


def _cell(value: Any) -> str:
    text = f"{value:,.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
