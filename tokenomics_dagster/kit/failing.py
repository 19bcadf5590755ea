"""How an asset fails of what is known to go wrong: by one sentence for a person, and one trace under it.

An error that Dagster does not know it wraps in one of its own, and its UI shows both, each with its trace, under "Error
occurred while executing op". A Failure it shows as it is. Its trace can not be left out: Dagster makes it of whatever
was raised (`serializable_error_info_from_exc_info`, 1.13.27). A fault of the program stays what it is, with both.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any, ParamSpec, TypeVar

import dagster as dg

from tokenomics_dagster.model.errors import UserError

P = ParamSpec("P")
T = TypeVar("T")

KIND = "kind of error"
"""What a failure holds that no check or guard of ours has raised: the class of the error."""


def in_a_sentence(function: Callable[P, T]) -> Callable[P, T]:
    """The function, whose UserError is a dg.Failure of the same sentence and trace."""
    if isgeneratorfunction(function):

        @wraps(function)
        def generator(*args: P.args, **kwargs: P.kwargs) -> Any:
            with _told():
                yield from function(*args, **kwargs)

        return generator

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with _told():
            return function(*args, **kwargs)

    return call


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        failure = dg.Failure(str(error), metadata={KIND: type(error).__name__}, allow_retries=False)
        raise failure.with_traceback(error.__traceback__) from None
