"""Reads the settings file, lays it over the defaults and checks the whole with the environment.

A file holds what differs, so a file that has lost a part would trade by defaults that nobody meant. It is refused where
the loss can be seen: no key at all, a last line that does not end, a key or section without its value. What YAML cannot
show, whole lines gone from the end, is refused where it would cost real money: such a file must end with YAML's own
sign of an end, a line of three dots.
"""

from collections.abc import Collection, Iterable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.document import DEPTH, MAX_BYTES, NotADocument, document_of
from tokenomics_dagster.settings.environment import Environment, load_environment
from tokenomics_dagster.settings.section import SettingsError, cut, describe, literal

_HERE = Path("config/settings.yaml")
_CHECKOUT = Path(__file__).resolve().parents[2]
_END = "..."


class SettingsFile(NamedTuple):
    """What a file says; `is_whole` where it says so itself."""

    values: dict[str, Any]
    is_whole: bool


def settings_path(environment: Environment) -> Path | None:
    """TOKENOMICS_SETTINGS, else config/settings.yaml of this folder, else that of the checkout the package lies in.

    None where there is none of them: then the defaults hold, which trade on paper.
    """
    if environment.tokenomics_settings is not None:
        return environment.tokenomics_settings
    return next((path for path in (_HERE, _CHECKOUT / _HERE) if path.exists()), None)


def load_settings(
    path: Path | None = None,
    overrides: dict[str, Any] | None = None,
    of: Collection[str] = (),
    *,
    to_trade: bool = True,
) -> Settings:
    """Reads and checks everything; `overrides` ("universe.size": 1000) replaces values of the file.

    Of the environment only the variables `of`, if given. Not `to_trade`: a file for real money need not say where it
    ends, for nothing is bought or sold by it. Raises SettingsError with one line per mistake.
    """
    environment = load_environment(of)
    path = path or settings_path(environment)
    file = SettingsFile({}, is_whole=True) if path is None else read_settings_file(path)
    values = _laid_over(default_values(), file.values)
    for dotted, value in (overrides or {}).items():
        for key in reversed(dotted.split(".")):
            value = {key: value}
        values = _laid_over(values, value)
    named = path or "the defaults"
    try:
        settings = Settings.model_validate({**values, "environment": environment})
    except ValidationError as error:
        # pydantic adds "too short" to a list whose wrong items it has dropped
        errors = [e for e in error.errors() if e["type"] != "too_short" or e["input"] in ([], ())]
        raise SettingsError("\n".join(f"{named}: {describe(e, Settings)}" for e in errors)) from None
    if to_trade and not settings.trading.paper and not file.is_whole:
        raise SettingsError(
            f"{path}: trading.paper = false needs a line {_END} at the end of the file (YAML's end of a document): "
            "without it a file that was cut off could trade real money by defaults that you did not mean"
        )
    return settings


def default_values() -> dict[str, Any]:
    """The defaults of every section, as a file that says everything would hold them."""
    sections = {name: field.default for name, field in Settings.model_fields.items() if name != "environment"}
    return {name: section.model_dump() for name, section in sections.items()}


def read_settings_file(path: Path) -> SettingsFile:
    """What the file says, neither checked nor completed. SettingsError where it is none, or seen to be cut off.

    Whatever the file holds, it ends soon and raises nothing else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SettingsError(
                f"{path}: has more than {MAX_BYTES:,} bytes, which no settings have; set TOKENOMICS_SETTINGS to the "
                "settings file"
            )
        text = TextIOWrapper(BytesIO(content), encoding="utf-8").read()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); set TOKENOMICS_SETTINGS to a readable file") from None
    try:
        values = document_of(text)
    except NotADocument as error:
        raise SettingsError(f"{path}: {error}") from None
    if (reason := _no_sections(values)) is not None:
        raise SettingsError(
            f"{path}: must hold sections ({', '.join(sorted(default_values()))}), each with keys{reason}"
        )
    if "environment" in values:
        raise SettingsError(f"{path}: environment is not a key of this file: secrets come from environment variables")
    last = text.rstrip("\r\n").rpartition("\n")[2].rstrip()
    if last != _END and not text.endswith(("\n", "\r")):
        raise SettingsError(f"{path}: the last line does not end: was the file cut off? End it with a line break")
    return SettingsFile(values, is_whole=last == _END)


def _no_sections(values: Any) -> str | None:
    """How the sentence ends that refuses what holds something else, or nothing; None where it holds sections."""
    if _is_deep(values):
        return f", and nothing in them lies deeper than {DEPTH} levels"
    if not values:
        return (
            ", and holds none: was it emptied? Where nothing is to differ from the defaults write one of them, such as "
            "trading: {paper: true}"
        )
    if not isinstance(values, dict):
        return ""
    bare = [
        f"{name} = {cut(literal(section))}"
        for name, section in values.items()
        if not (section and isinstance(section, dict))
    ]
    return f"; {', '.join(bare)} is none" if bare else None


def _is_deep(values: Any) -> bool:
    level = [values]
    for _ in range(DEPTH + 1):
        level = [one for part in level if isinstance(part, dict | list) for one in _parts(part)]
    return bool(level)


def _parts(value: dict[Any, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` where it says something, else `below`; a key that `below` lacks stays, for the check to refuse."""
    return below | {
        key: _laid_over(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
