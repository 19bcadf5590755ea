"""One text for one value, and its hash: what plans are sealed and audit records are chained with.

Pure, and below every room. What is hashed, and what a hash that does not fit means, is the caller's.
"""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """The same bytes for the same value: sorted keys, no spaces, Decimals and instants as text, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
