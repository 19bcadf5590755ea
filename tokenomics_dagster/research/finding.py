"""A strategy from its name in an experiment: a shipped one, an entry point, package.module:Class, or a file's class."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.research.experiment import Experiment, ExperimentError, code_file
from tokenomics_dagster.research.strategies import SHIPPED, Ranked, Strategy

GROUP = "tokenomics.strategies"
"""Of the entry points by which a package offers strategies."""
_SPELLINGS = {
    "12_1": "momentum",
    "12_1_momentum": "momentum",
    "momentum_12_1": "momentum",
    "cap": "cap_weight",
    "cap_weighted": "cap_weight",
    "equal": "equal_weight",
    "equal_weighted": "equal_weight",
    "fundamental": "fundamentals",
    "low_vol": "low_volatility",
}

Maker = Callable[[], Strategy]
"""Makes the strategy anew, with the experiment's parameters: one for each run."""


def find(experiment: Experiment) -> Maker:
    """What makes the experiment's strategy. Raises ExperimentError that names what was not found and what is allowed.

    A module of the name `package.module:Class` is looked for in the experiment's folder and the working directory, too,
    after all others. A file is run anew each time that it is asked for, so that nothing lasts in it from run to run.
    """
    kind = _kind(experiment)

    def failed(why: str) -> ExperimentError:
        given = ", ".join(experiment.parameters) or "none"
        return ExperimentError(
            f"strategy = {experiment.strategy} cannot be made with the parameters {given}: {why}. It takes: "
            f"{_parameters(kind)}"
        )

    def made() -> Strategy:
        with strange_code(failed):
            strategy = kind(**experiment.parameters)
        if not callable(getattr(strategy, "decide", None)):
            raise ExperimentError(
                f"strategy = {experiment.strategy} has no method decide(view): see docs/strategies.md"
            )
        return strategy

    made()  # what is wrong with it is told before any data is looked at
    return made


def is_shipped(strategy: Strategy) -> bool:
    """Whether it is exactly one of the shipped classes: one that is derived of them may decide otherwise."""
    return isinstance(strategy, Ranked) and type(strategy) in SHIPPED.values()


@contextmanager
def strange_code(failed: Callable[[str], ExperimentError]) -> Iterator[None]:
    """What anybody's code raises becomes the error that `failed` makes of one line: what was raised, and where."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # by its exit a command would end as if all were done
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})" if trace else ""
        raise failed(f"{type(error).__name__}: {' '.join(str(error).split())}{where}") from error


def _kind(experiment: Experiment) -> Callable[..., Any]:
    name = experiment.strategy
    before, colon, attribute = name.rpartition(":")
    if not colon:
        plain = "_".join(name.lower().replace("-", " ").replace("_", " ").split())
        if (shipped := SHIPPED.get(_SPELLINGS.get(plain, plain))) is not None:
            return shipped
        return _entry_point(name)
    if not attribute.isidentifier():
        raise ExperimentError(f"strategy = {name}: after the colon stands the name of a class")
    file = code_file(name)
    module = _imported(before, experiment) if file is None else _run(experiment.path(file), name)
    kind = getattr(module, attribute, None)
    if kind is None:
        there = sorted(one for one, what in vars(module).items() if inspect.isclass(what) and hasattr(what, "decide"))
        known = ", ".join(there) or "nothing"
        raise ExperimentError(
            f"strategy = {name}: {before} has no {attribute}; what has a method decide there: {known}"
        )
    if not callable(kind):
        raise ExperimentError(f"strategy = {name}: {attribute} is no class, but {type(kind).__name__}")
    return kind


def _entry_point(name: str) -> Callable[..., Any]:
    offered = {point.name: point for point in entry_points(group=GROUP)}
    if name not in offered:
        raise ExperimentError(
            f"strategy = {name} is not known. Shipped: {', '.join([*SHIPPED, *sorted(offered)])}; of your own: "
            "package.module:Class, or path/of/file.py:Class (from the experiment's folder)"
        )
    with strange_code(
        lambda why: ExperimentError(f"strategy = {name}, {offered[name].value}, cannot be loaded: {why}")
    ):
        kind: Callable[..., Any] = offered[name].load()
    return kind


def _imported(name: str, experiment: Experiment) -> ModuleType:
    def failed(why: str) -> ExperimentError:
        return ExperimentError(f"strategy = {experiment.strategy} cannot be imported: {why}")

    with _also_from(experiment.folder.resolve(), Path.cwd()), strange_code(failed):
        return importlib.import_module(name)


def _run(path: Path, name: str) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise ExperimentError(f"strategy = {name}: there is no file {path}")
    # dataclasses and pickle look a class's module up by its name
    known_as = f"strategy_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = spec_from_file_location(known_as, path)
    if spec is None or spec.loader is None:
        raise ExperimentError(f"strategy = {name}: {path} is no Python file: its name must end with .py")
    module = module_from_spec(spec)
    sys.modules[known_as] = module
    with _also_from(path.parent), strange_code(lambda why: ExperimentError(f"strategy = {name} cannot be run: {why}")):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _also_from(*folders: Path) -> Iterator[None]:
    """For the time of an import, after all others: what is installed is never shadowed."""
    added = [str(folder) for folder in folders if str(folder) not in sys.path]
    sys.path.extend(added)
    importlib.invalidate_caches()  # a file may be younger than the last look into its folder
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


def _parameters(kind: Callable[..., Any]) -> str:
    try:
        return ", ".join(inspect.signature(kind).parameters) or "none"
    except (TypeError, ValueError):  # some that are written in C have none that could be read
        return "unknown"
