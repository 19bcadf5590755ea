"""What a strategy is, and the ones that are shipped. A strategy sees a view that ends at its instant, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tokenomics_dagster.research.view import View


class Strategy(Protocol):
    """Anything with this one method; made anew for each run with the experiment's `parameters`."""

    def decide(self, view: View) -> Mapping[str, float]:
        """Weights by symbol, 0 to 1, together at most 1; what is missing is cash. Empty: everything is kept."""
        ...
