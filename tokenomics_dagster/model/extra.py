"""Optional parts of the installation: whether the packages of an extra are there, and the sentence where they are not.

Asked before anything is imported: a missing extra shows in milliseconds, and by its name.
"""

from importlib.util import find_spec

from tokenomics_dagster.model.errors import UserError


class MissingExtra(UserError):
    """Packages of an extra are not installed; the text says which, what needs them, and how they are installed."""


def require(package: str, *, extra: str, what: str) -> None:
    """Raises MissingExtra where the package is not installed; `what` needs it."""
    if find_spec(package) is None:
        raise MissingExtra(
            f"{what} needs the package {package}, which is not installed: pip install 'tokenomics-dagster[{extra}]'"
        )
