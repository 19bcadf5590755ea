"""How a record reads in a log: the sentences of two of the streams that a person can follow (kit/logs.py).

Told is what is committed. Which records there are is the rooms'; here is what a person sees of each.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tokenomics_dagster.model.plan import plan_id_in
from tokenomics_dagster.storage.audit import ANCHORED, FILL, ORDER, SNAPSHOT, Link

_trades = logging.getLogger("tokenomics.trades")
_decisions = logging.getLogger("tokenomics.decisions")


def log_records(links: Sequence[Link]) -> None:
    """Logs the records of one transaction: what becomes of orders as trades, all else as decisions.

    What only repeats another is DEBUG.
    """
    for link in links:
        row = json.loads(link.payload)
        if link.kind == ORDER:
            _describe_order(link, row)
        elif link.kind == FILL:
            bought = (row["side"], row["symbol"], row["qty"], row["price"])
            _trades.debug("fill: %s %s, %s at %s USD", *bought, extra=_fields(link, row))
        else:
            _describe_decision(link, row)
    if any(link.kind in ANCHORED for link in links):
        last = links[-1]
        # Outside of the database: who cuts the chain behind this line is found by `audit verify --head`.
        _trades.info(
            "the audit has %d records, the last one's hash is %s",
            *(last.seq, last.hash),
            extra={"audit": last.seq, "hash": last.hash},
        )


def _fields(link: Link, row: Mapping[str, Any]) -> dict[str, Any]:
    """Of an order or a fill."""
    order = {"order_id": row["client_order_id"], "symbol": row["symbol"], "side": row["side"]}
    return {"audit": link.seq, "week": link.week, **order}


def _describe_order(link: Link, row: Mapping[str, Any]) -> None:
    asked = f"{row['notional']} USD" if row["qty"] is None else f"{row['qty']} shares"
    filled = f", {row['filled_qty']} filled at {row['filled_avg_price']} USD" if row["filled_avg_price"] else ""
    _trades.log(
        # The call follows at once, and its answer is told.
        logging.DEBUG if row["status"] == "intended" else logging.INFO,
        "%s %s, %s: %s%s%s",
        *(row["side"], row["symbol"], asked, row["status"], filled, f" ({row['note']})" if row["note"] else ""),
        extra={**_fields(link, row), "plan_id": row["plan_id"], "status": row["status"]},
    )


def _describe_decision(link: Link, row: Mapping[str, Any]) -> None:
    extra = {key: row[key] for key in ("plan_id", "plan_hash", "by", "reason", "symbol") if row.get(key) is not None}
    if link.kind == "plan":
        extra["plan_id"] = plan_id_in(row)
    # An account is nobody's business who follows the decisions, documents are too long for a line, and a plan's id has
    # its sleeve and period.
    omitted = {"account"} | ({"form", "sleeve", "period"} if "plan_id" in extra else set())
    words = "; ".join(f"{k} {v}" for k, v in row.items() if k not in omitted and not isinstance(v, dict | list))
    _decisions.log(
        # The phases of a rebalance are told by the room itself, and tables by their materialization.
        logging.DEBUG if link.kind in ("phase", SNAPSHOT) else logging.INFO,
        "%s: %s%s",
        *(link.kind, words, f"; does not agree: {'; '.join(row['flaws'])}" if row.get("flaws") else ""),
        extra={"audit": link.seq, "week": link.week, "kind": link.kind, **extra},
    )
