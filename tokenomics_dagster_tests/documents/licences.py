"""Under which licences the packages of the lock files are, by their own metadata; and which may be among them.

What this project says of its own licence stands in LICENSE.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata

from tokenomics_dagster_tests.conftest import REPOSITORY

RUN = "requirements.lock"
"""What is installed where the platform runs, and is in the image."""

# Under each of these a program may use the package and be under Apache-2.0.
PERMISSIVE = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "HPND", "ISC", "MIT", "MIT-0"),
    *("MIT-CMU", "NCSA", "PSF-2.0", "Zlib"),
}
# What is changed of the package itself stays under its licence; what uses it does not become so.
OF_ITS_OWN_FILES = {"LGPL-3.0-or-later", "MPL-2.0"}
ALLOWED = PERMISSIVE | OF_ITS_OWN_FILES

# What metadata says in other words, by what it means.
_WORDS = {
    "Apache Software License": "Apache-2.0",
    "Apache Software License v2": "Apache-2.0",
    "BSD License": "BSD",
    "3-Clause BSD License": "BSD-3-Clause",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-3.0-or-later",  # psycopg2 says so in its LICENSE
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Packages that are installed on other systems or by other versions of Python alone, as their projects say.
ELSEWHERE = {
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "pyreadline3": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
}


def packages(lock: str) -> list[str]:
    """The names in a lock file, in its order; of several versions once."""
    found = re.findall(r"^([A-Za-z0-9_.-]+)==", (REPOSITORY / lock).read_text(), re.MULTILINE)
    return list(dict.fromkeys(found))


def licence(package: str) -> str | None:
    """An SPDX expression, as far as the metadata lets one tell; None where the package is not installed."""
    try:
        told = metadata(package)
    except PackageNotFoundError:
        return None
    said = told.json  # its type knows no get
    if expression := said.get("license_expression"):
        return str(expression)
    classifiers = [one.split(" :: ")[-1] for one in told.get_all("Classifier") or () if one.startswith("License :: ")]
    named = [one for one in classifiers if one != "OSI Approved"] or [str(said.get("license", "not told"))]
    return " AND ".join(sorted({_WORDS.get(one, one) for one in named}))


def licences() -> Mapping[str, str]:
    """Of each package that the platform runs on."""
    return {name: licence(name) or ELSEWHERE.get(name, "not told") for name in packages(RUN)}


def identifiers(expression: str) -> set[str]:
    """The licences that an expression names, without their exceptions."""
    without = re.sub(r" WITH [\w.-]+", "", expression)
    return {part.strip(" ()") for part in re.split(r" AND | OR ", without)}


def table() -> Iterator[str]:
    """The rows of docs/licences.md: the most frequent licence first."""
    by_licence: dict[str, list[str]] = {}
    for name, expression in licences().items():
        by_licence.setdefault(expression, []).append(name)
    yield "| licence | packages |"
    yield "|---|---|"
    for expression, names in sorted(by_licence.items(), key=lambda one: (-len(one[1]), one[0])):
        yield f"| {expression} | {', '.join(names)} |"
