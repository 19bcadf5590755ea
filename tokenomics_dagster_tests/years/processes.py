"""Dagster's work in a process of its own that can be killed at any moment: jobs, ticks, looks.

One process does one piece of work after the other, for what Dagster imports and reads at its start takes 2 s of CPU;
after a kill another one goes on. It is not a fork: which weeks there are is read when the definitions are imported,
from the environment that it was given.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import IO, Any


@dataclass(frozen=True)
class End:
    """How a piece of work ended: killed, or with what it said."""

    killed: bool
    said: dict[str, Any]

    @property
    def success(self) -> bool:
        return bool(self.said.get("success"))


class Processes:
    """`environment` is all that they have beside PATH; they stand in `folder`, and write their errors to its `log`."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, work: str, *, kill_after_s: float | None = None, **arguments: Any) -> End:
        """`work` is a function of work.py; SIGKILL after `kill_after_s`, unless it has ended before."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps([work, arguments]).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout is not None
        answered, _, _ = select([process.stdout], [], [], 600 if kill_after_s is None else kill_after_s)
        line = process.stdout.readline() if answered else b""
        if line:
            return End(False, json.loads(line))
        self.kill()
        if kill_after_s is None or answered:
            log = (self._folder / "log").read_text()[-3000:]
            raise RuntimeError(f"{work} {arguments} ended without a word, or not within 600 s: {log}")
        return End(True, {})

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                _closed(pipe)
            self._process = None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tokenomics_dagster_tests.years.work"],
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
            # A kill that is drawn to come after so many seconds must strike the work, not the start.
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == b"ready\n", (self._folder / "log").read_text()[-3000:]
        return self._process


def _closed(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except BrokenPipeError:
            return
