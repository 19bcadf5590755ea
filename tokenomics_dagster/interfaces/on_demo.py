"""A command on what the last demo left (`tokenomics --demo status`), without any variable set and beside any .env.

Which commands need the demo's broker, and which may change what it holds, stands here; the demo itself in demo.py.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tokenomics_dagster.interfaces.demo import HOME, SETTINGS, STATE, DemoError, address_of, locked, variables
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster.sandbox.world import SandboxOptions
from tokenomics_dagster.settings.environment import only

WITHOUT_BROKER = frozenset({"audit", "backtest", "known", "metrics", "migrate", "settings", "tune"})
"""They ask nobody: the sandbox, which takes a second to start, is spared."""

CHANGING = frozenset({"adopt", "approve", "halt", "repair", "resume", "settle-order"})
"""By them a person changes something: the broker's state is saved after them. All others leave it as it was."""

OTHER_WORLDS = frozenset({"demo", "init", "sandbox"})
"""They make a world of their own, or the real one's keys."""

_NOBODY = 9  # the port of discard: whoever asks all the same is refused, and no real host is asked


@contextmanager
def on_demo(command: str, home: Path = HOME) -> Iterator[None]:
    """Points every variable of this process to the demo, with its sandbox running where the command needs a broker.

    One that runs already, under `make ui`, is used. Raises DemoError where there is no demo.
    """
    home = home.resolve()
    state = home / STATE
    if not (state.is_file() and (home / SETTINGS).is_file()):
        raise DemoError(f"there is no demo in {home}: `tokenomics demo` makes one, in some minutes and without any key")
    with ExitStack() as stack:
        sandbox: Mapping[str, str] | None = address_of(state)
        if sandbox is None:
            if command in WITHOUT_BROKER:
                sandbox = SandboxOptions().environment(_NOBODY)
            else:
                sandbox = stack.enter_context(_sandbox(state, saved=command in CHANGING))
        stack.enter_context(only(variables(home, sandbox, home / SETTINGS)))
        yield


@contextmanager
def _sandbox(state: Path, *, saved: bool) -> Iterator[Mapping[str, str]]:
    """The variables of one on this state, or on a copy of it, so that looking does not even move its clock."""
    with ExitStack() as stack:
        if saved:
            lock = [stack.enter_context(locked(state))]
        else:
            lock, folder = [], stack.enter_context(tempfile.TemporaryDirectory(prefix="tokenomics-demo-"))
            state = Path(shutil.copy(state, folder))
        yield stack.enter_context(running_sandbox(lock, port=0, state=state)).environment()
