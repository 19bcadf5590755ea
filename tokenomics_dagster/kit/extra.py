"""What is said where an extra of the package is not installed. What an extra holds stays out."""

from importlib.util import find_spec

from tokenomics_dagster.model.errors import UserError


class MissingExtra(UserError):
    """A library is not there; the text names the extra that brings it."""


def require(module: str, extra: str) -> None:
    """Raises MissingExtra where `module` (a top-level name) cannot be found; it is not imported: that takes long."""
    if find_spec(module) is None:
        raise MissingExtra(
            f"{module} is not installed; it comes with the extra [{extra}]: pip install 'tokenomics-dagster[{extra}]'"
        )
