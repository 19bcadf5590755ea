"""Writes the generated parts of docs/ anew, and names what changed."""

import sys

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.documents.pages import write


def main() -> int:
    try:
        changed = write()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for path in changed:
        sys.stderr.write(f"wrote {path.relative_to(REPOSITORY)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
