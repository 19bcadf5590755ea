import pytest

from tokenomics_dagster.settings.environment import load_environment


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in load_environment().model_fields_set:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
