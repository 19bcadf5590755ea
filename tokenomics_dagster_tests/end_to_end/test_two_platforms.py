"""Settings are given to the definitions: two platforms with different ones live in one process."""

from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
import yaml
from pydantic import SecretStr

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.interfaces.demo import environment
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import Universe
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.webhook import running_webhook


def test_what_one_platform_has_told_silences_nothing_of_another(platform: Platform) -> None:
    """Both lose their warehouse, so that what was told is known to the process alone."""
    with running_webhook() as one, running_webhook() as other:
        made = []
        for hook in (one, other):
            settings, away = load_settings(), "postgresql+psycopg2://nobody:hidden@127.0.0.1:1/none"
            addresses = {"alert_webhook_url": SecretStr(hook.url), "tokenomics_database_url": SecretStr(away)}
            environment = settings.environment.model_copy(update=addresses)
            made.append(build_defs(settings.model_copy(update={"environment": environment})))
        for defs in made * 2:
            with (
                dg.build_sensor_context(
                    platform.instance, resources=defs.resources, repository_def=defs.get_repository_def()
                ) as context,
                pytest.raises(WarehouseError),
            ):
                defs.resolve_sensor_def("stale_or_failed").evaluate_tick(context)
    assert one.texts() == other.texts() == ["the warehouse cannot be used"]


def test_two_platforms_with_different_settings_live_in_one_process(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.configure(universe__size=30, alpaca__symbols_per_call=100)
    one = load_settings()
    folder = tmp_path / "other"
    folder.mkdir()
    document = yaml.safe_load(platform.settings_file.read_text())
    document["universe"]["size"], document["alpaca"]["symbols_per_call"] = 20, 50
    document["rebalancing"]["first_week"] = "2026-08-03"
    (folder / "settings.yaml").write_text(yaml.safe_dump(document))
    with running_sandbox(listings=150, seed=8) as sandbox:
        for name, value in environment(folder, sandbox.environment(), folder / "settings.yaml").items():
            monkeypatch.setenv(name, value)
        other = load_settings()
        made = [(settings, build_defs(settings)) for settings in (one, other)]
        # The environment is the other's: only what each was built with tells the one where its own things are.
        for settings, defs in made:
            with dg.DagsterInstance.ephemeral() as instance:
                assert defs.resolve_job_def("universe_refresh").execute_in_process(instance=instance).success
                assert len(instance.get_dynamic_partitions("symbols")) == settings.universe.size
        assert {"GET /v2/clock", "GET /api/v1/stock/symbol"} <= set(sandbox.admin("GET", "/sandbox/calls"))
    assert platform.calls("GET /api/v1/stock/symbol") == 1
    sizes = {}
    for settings in (one, other):
        with closing(Warehouse(settings.environment.tokenomics_database_url.get_secret_value())) as store:
            universe = store.load_snapshot("universe", Universe)
            assert universe is not None
            sizes[store.address] = len(universe)
    assert sorted(sizes.values()) == [20, 30]
    weeks = [defs.resolve_assets_def("orders").partitions_def for _, defs in made]
    assert all(isinstance(found, dg.WeeklyPartitionsDefinition) for found in weeks)
    assert weeks[0] != weeks[1]
    assert other.rebalancing.first_week.isoformat() in str(weeks[1])
