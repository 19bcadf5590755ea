"""The states of an order and which may follow which: one table. Pure; who learns of a change is the caller's matter."""

from decimal import Decimal

from tokenomics_dagster.model.errors import UserError

# Ours, beside the broker's words.
INTENDED = "intended"  # in the ledger, its call not made or not answered yet
UNKNOWN = "unknown"  # its call was not answered and the broker does not find it, or it does not find it any more
REFUSED = "refused"  # its only try was answered: the broker took no order
ABANDONED = "abandoned"  # it has not been seen at the broker; it may come late, so whoever wants it again uses its id
WRITTEN_OFF = "written_off"  # a person said that it never reached the broker: its id is not used again

# The broker's. A word that is not in this table counts as open: only what is known to be final is final.
# It does nothing more about these today, so nobody waits for them; but they may yet be filled, canceled or expired.
QUIET = frozenset({"calculated", "done_for_day", "replaced"})
OPEN = QUIET | {
    "accepted", "accepted_for_bidding", "held", "new", "partially_filled", "pending_cancel", "pending_new",
    "pending_replace", "pending_review", "stopped", "suspended",
}  # fmt: skip
CLOSED = frozenset({"filled", "canceled", "expired", "rejected"})

FINAL = CLOSED | {REFUSED, ABANDONED, WRITTEN_OFF}

# Polling sees some states and misses others, so whatever is open may show up as anything that the broker says.
TRANSITIONS: dict[str, frozenset[str]] = {
    INTENDED: OPEN | CLOSED | {REFUSED, UNKNOWN, ABANDONED},
    UNKNOWN: OPEN | CLOSED | {INTENDED, REFUSED, ABANDONED},
    REFUSED: OPEN | CLOSED,  # what the broker shows, it took after all
    ABANDONED: OPEN | CLOSED | {INTENDED},  # it had reached the broker after all, or is wanted again
    WRITTEN_OFF: OPEN | CLOSED,  # the person was mistaken
    **dict.fromkeys(OPEN, OPEN | CLOSED | {UNKNOWN}),
    **dict.fromkeys(CLOSED, frozenset()),
}


class IllegalTransition(UserError):
    """What the broker says of an order contradicts what is known of it."""


def check_transition(order: str, old: str, new: str, old_filled: Decimal, new_filled: Decimal) -> None:
    """Raises IllegalTransition unless `order` may go from `old` to `new` and what is filled has not shrunk."""
    allowed = TRANSITIONS.get(old, OPEN | CLOSED | {UNKNOWN})
    # A word of the broker's that is new to us can stand wherever an open state can.
    known = new in TRANSITIONS
    if old != new and not (new in allowed or (not known and "new" in allowed)):
        raise IllegalTransition(f"order {order} went from {old} to {new}, which cannot be")
    if new_filled < old_filled or (old == new and old in CLOSED and new_filled != old_filled):
        raise IllegalTransition(
            f"order {order} ({new}) had {old_filled} shares filled and has {new_filled} now, which cannot be"
        )
