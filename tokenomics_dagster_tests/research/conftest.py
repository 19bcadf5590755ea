import numba
import pytest

from tokenomics_dagster.research import engine


@pytest.fixture
def as_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's loops run as the Python they are written in: compiling them takes five seconds."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    monkeypatch.setattr(engine, "_loops", engine._loops.__wrapped__)
