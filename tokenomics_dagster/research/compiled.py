"""Plain functions made fast: numba compiles them where it is installed; where it is not, they run as they are.

What is compiled stands where it is used: the live rules in portfolio/kernel.py, the account's loop in account.py.
"""

from __future__ import annotations

import dis
import hashlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

Function = Callable[..., Any]


def compiled(*functions: Function) -> tuple[Function, ...]:
    """The functions and all plain functions that they call, compiled for the types that they are called with.

    Compiled are copies, whose globals name each other: what they are copies of stays as it is. Without numba, and
    under NUMBA_DISABLE_JIT=1, the functions come back untouched and run as Python.
    """
    if importlib.util.find_spec("numba") is None:
        return functions
    from numba import config

    if vars(config)["DISABLE_JIT"]:
        return functions
    needed = list(dict.fromkeys(one for function in functions for one in _with_callees(function)))
    # numba keeps machine code by the file of the outermost function alone: a change of the rules in another file would
    # leave the old ones at work (numba/numba#8396). So all sources are part of each name.
    sources = sorted({__file__, *(inspect.getfile(function) for function in needed)})
    digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()[:16]
    made: dict[object, Function] = {}
    for function in needed:
        names = {name: made[value] if _plain(value) else value for name, value in _globals(function).items()}
        # The module by which a kept function is found again.
        names["__name__"] = function.__module__
        copy = FunctionType(function.__code__, names, function.__name__)
        copy.__qualname__ = f"{function.__qualname__}_{digest}"
        made[function] = _njit(copy, called=function not in functions)
    return tuple(made[function] for function in functions)


def _with_callees(function: Function) -> Iterator[FunctionType]:
    """The plain functions that it calls, each after those that it calls itself, and last the function."""
    for value in _globals(function).values():
        if _plain(value):
            yield from _with_callees(value)
    assert isinstance(function, FunctionType)
    yield function


def _globals(function: Any) -> dict[str, Any]:
    # co_names would name attributes too, and an attribute may be called like a function.
    loaded = {one.argval for one in dis.get_instructions(function) if one.opname == "LOAD_GLOBAL"}
    return {name: value for name, value in function.__globals__.items() if name in loaded}


def _plain(value: object) -> bool:
    return isinstance(value, FunctionType)


def _njit(function: Function, *, called: bool) -> Function:
    """`called`: only by compiled functions, so that nothing is compiled for calls from Python."""
    from numba import njit

    options: dict[str, Any] = {"no_cpython_wrapper": called, "no_cfunc_wrapper": True, "_nrt": False}
    try:
        made: Function = njit(cache=not called, **options)(function)
    except RuntimeError:  # "no locator available": there is no folder to write to, as in a sealed container
        made = njit(**options)(function)
    return made
