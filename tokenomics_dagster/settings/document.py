"""YAML as a person writes it: what would be read otherwise than it was written is refused. What it means stays out."""

import re
from typing import Any

import yaml

from tokenomics_dagster.settings.section import cut

# What PyYAML lets through: of a date that is none, a number of 5,000 digits, a tag on something else, a list as a key.
_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
# In YAML 1.1 01500 is 832, 0x10 is 16 and 1:30 is 90; in YAML 1.2, which PyYAML does not know, 0o17 is 15.
_OTHER_BASE = re.compile(r"[-+_]*0\w|[^:]*:")
# What no settings come near: the whole page has 15,216 bytes and 319 of libyaml's events. PyYAML nests in C, where
# 60,000 levels end the process without an error, and aliases within aliases multiply until the memory is gone: neither
# may happen to who wants to halt.
MAX_BYTES, _MAX_EVENTS, _MAX_NESTING, _MAX_ALIASES = 100_000, 5_000, 20, 100
DEPTH = 4  # fundamentals.score.roe_pct.worst; what is far deeper ends Python's stack wherever it is shown


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """SafeLoader keeps the last of two equal keys without a word; here a repeated key is an error.

    libyaml's takes 1 ms for a whole page of settings, which every asset reads, Python's own 8.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = {key for key in keys if keys.count(key) > 1}
        if repeated:
            raise yaml.MarkedYAMLError(problem=f"{min(repeated)} stands twice", problem_mark=node.start_mark)
        return dict(super().construct_mapping(node, deep))

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """A whole number as a person reads it."""
        if _OTHER_BASE.match(node.value):
            raise _other_base(node)
        return self.construct_yaml_int(node)

    def construct_fraction(self, node: yaml.ScalarNode) -> Any:
        """A number that may have a fraction: 1:30.5 would be 90.5, while 010.5 is what it says."""
        if ":" in node.value:
            raise _other_base(node)
        return self.construct_yaml_float(node)


def _other_base(node: yaml.ScalarNode) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(
        problem=f"{cut(node.value)} would be read in another base: write a plain number", problem_mark=node.start_mark
    )


_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:int", _UniqueKeyLoader.construct_number)
_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:float", _UniqueKeyLoader.construct_fraction)
_UniqueKeyLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?0o[0-7_]+$"), list("-+0"))


class NotADocument(ValueError):
    """A text that is no YAML, or more than a person's file holds; says where and why."""


def document_of(text: str) -> Any:
    """What a YAML text says. NotADocument for a key that stands twice, a number in another base, a date that is none,
    and whatever else would be read otherwise than it was written.

    Whatever the text holds, it ends soon and raises nothing else.
    """
    try:
        _require_modest(text)
        return yaml.load(text, _UniqueKeyLoader)  # noqa: S506  a SafeLoader with one more check
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown place"
        raise NotADocument(f"not valid YAML at {where}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise NotADocument(f"not valid YAML: {' '.join(str(error).split())}") from None
    except _UNREADABLE as error:
        raise NotADocument(
            f"holds a value that cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:80]}): "
            "see its dates, numbers and tags"
        ) from None


def _require_modest(text: str) -> None:
    """Looks through the file without making anything of it, for which nothing nests: 0.7 ms for a whole page.

    Raises MarkedYAMLError.
    """
    repeats: list[bool] = []  # of each collection that is open: whether an alias may stand for it or what it lies in
    aliases = 0
    for number, event in enumerate(yaml.parse(text, _UniqueKeyLoader)):
        within, alias = bool(repeats and repeats[-1]), isinstance(event, yaml.AliasEvent)
        aliases += alias
        if isinstance(event, yaml.CollectionStartEvent):
            repeats.append(within or event.anchor is not None)
        elif isinstance(event, yaml.CollectionEndEvent):
            repeats.pop()
        too_many = number > _MAX_EVENTS or len(repeats) > _MAX_NESTING or aliases > _MAX_ALIASES
        if too_many or (alias and within):
            raise yaml.MarkedYAMLError(
                problem="holds more values, levels or aliases than settings can: write each value where it belongs, "
                f"at most {DEPTH} levels deep, and no alias within what another stands for",
                problem_mark=event.start_mark,  # type: ignore[arg-type]  # the stubs take no mark of libyaml's
            )
