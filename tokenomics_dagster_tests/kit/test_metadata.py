"""What a person sees beside a table in the graph: columns and their origin, age, pictures, the code; and how large."""

import shutil
import subprocess
import sys
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from dagster._serdes import serialize_value

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.fundamentals.schema import Financials, Scores, ScoresDetails
from tokenomics_dagster.kit.checks import Finding, Rule, results
from tokenomics_dagster.kit.metadata import column_metadata, figure, image, percent, series, table, usd
from tokenomics_dagster.kit.resources import SettingsResource, WarehouseIOManager, WarehouseResource, schema_metadata
from tokenomics_dagster.kit.tables import Table
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.universe.schema import Universe, UniverseDetails
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform

pytestmark = pytest.mark.usefixtures("pictures")

AS_OF = datetime(2026, 8, 24, 14, tzinfo=UTC)
PACKAGE = REPOSITORY / "tokenomics_dagster"
MOST = 200_000
COLUMNS = "dagster/column_schema"
WEEK = "2026-08-24"
# Asset -> the plots that its materialization shows, the small picture included.
PICTURES: dict[str, set[str]] = {
    "listings": set(),
    "universe": {"picture", "caps_by_rank", "industry_shares"},
    "published_universe": set(),
    "financials": set(),
    "scores": {"picture", "score_distribution", "missing_values"},
    "published_scores": set(),
    "target_weights": {"picture", "weight_bars", "industry_shares", "cap_and_score"},
    "trade_plan": {"picture"},
    "orders": set(),
    "portfolio_report": {"picture", "drift_before_and_after"},
}
# What Dagster's UI shows of an entry of markdown without a click has fewer characters.
IN_PLACE = 1_000


class Prices(pa.DataFrameModel):
    symbol: str = pa.Field(unique=True, description="ticker", metadata={"from": ["listings.symbol", "listings.mic"]})
    price: float = pa.Field(nullable=True, ge=0, le=9, description="USD")

    @pa.dataframe_check(name="sorted", description="cheapest first")
    @classmethod
    def _sorted(cls, frame: pd.DataFrame) -> bool:
        return bool(frame["price"].is_monotonic_increasing)


def schemas() -> dict[str, tuple[type[pa.DataFrameModel], set[str]]]:
    """Asset -> its pandera model, and the assets that it is made from."""
    found = {}
    for spec in build_defs(load_settings()).resolve_all_asset_specs():
        if "schema" in spec.metadata:
            module, _, model = spec.metadata["schema"].rpartition(".")
            upstream = {dep.asset_key.to_user_string() for dep in spec.deps}
            found[spec.key.to_user_string()] = (getattr(import_module(module), model), upstream)
    return found


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[click](http://evil)", r"\[click\](http://evil)"),
        ("![x](http://evil/a.png)", r"!\[x\](http://evil/a.png)"),
        ("<img src=x onerror=1>", "&lt;img src=x onerror=1&gt;"),
        ("<http://evil>", "&lt;http://evil&gt;"),
        ("AT&T &#60;b&#62;", "AT&amp;T &amp;#60;b&amp;#62;"),
        ("a|b\\|c\nd\re\u2028f", r"a\|b\\\|c d e f"),
        ("*b* ~s~ `c` _i_ max_failed_pct", r"\*b\* \~s\~ \`c\` \_i\_ max_failed_pct"),
    ],
)
def test_a_name_from_outside_is_text_in_a_table_and_no_link_no_picture_and_no_html(name: str, shown: str) -> None:
    assert str(table([(name,)], "name").md_str).splitlines()[2:] == [f"| {shown} |"]


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (percent(0.011674622428679365), "1.17 %"),
        (percent(Decimal("-0.0049")), "-0.49 %"),
        (percent(float("nan")), "not known"),
        (usd(Decimal("97512.334")), "97,512.33 USD"),
        (usd(float("nan")), "not known"),
        (figure(3_921_034.2), "3,921,034"),
        (figure(17.254321), "17.25"),
        (figure(0.011674622428679365), "0.01167"),
        (figure(8.771e-13), "0"),
        (figure(float("nan")), "not known"),
    ],
)
def test_a_number_reads_with_its_unit_and_no_digit_that_says_nothing(told: str, text: str) -> None:
    assert told == text


def test_a_float_in_a_table_is_never_written_with_an_exponent() -> None:
    assert str(table([(3_921_034.2, 0.5)], "cap", "share").value).splitlines()[2] == "| 3,921,034 | 0.5 |"


def test_numbers_that_are_drawn_from_run_to_run_are_rounded_by_their_unit_and_left_out_where_not_known() -> None:
    exact: dict[str, float | Decimal] = {
        "cash_pct": 1.1674622428679365,
        "equity_usd": Decimal("97512.33499"),
        "median_score": float("nan"),
        "cap": 3_921_034.2,
        "names": 1_234,
        "off_pct": 8.771e-13,
    }
    assert series(exact) == {
        "off_pct": 0.0,
        "cash_pct": 1.167,
        "equity_usd": 97_512.33,
        "cap": 3_921_034.0,
        "names": 1_234,
    }


def test_the_figures_of_a_check_are_rounded_too() -> None:
    rule = Rule("sum", "The weights are a whole.")
    (result,) = results([rule], [Finding("sum", True, "fine", {"sum_pct": 98.83253775713206, "names": 103, "of": "a"})])
    assert {key: value.value for key, value in result.metadata.items()} == {"sum_pct": 98.83, "names": 103, "of": "a"}


def test_columns_are_shown_with_type_description_and_what_must_hold() -> None:
    shown = column_metadata(Prices)[COLUMNS]
    assert shown.columns == [
        dg.TableColumn("symbol", "string", "ticker", dg.TableColumnConstraints(nullable=False, unique=True)),
        dg.TableColumn(
            "price",
            "float64",
            "USD",
            dg.TableColumnConstraints(other=["greater_than_or_equal_to(0)", "less_than_or_equal_to(9)"]),
        ),
    ]
    assert list(shown.constraints.other) == ["cheapest first"]


def test_lineage_is_what_the_fields_say() -> None:
    lineage = column_metadata(Prices)["dagster/column_lineage"]
    ((column, sources),) = lineage.deps_by_column.items()
    assert column == "symbol"
    assert set(sources) == {dg.TableColumnDep("listings", "symbol"), dg.TableColumnDep("listings", "mic")}


def test_every_table_of_the_graph_has_a_schema_and_says_of_each_column_what_it_is() -> None:
    # What is published is no table of ours.
    assert set(schemas()) == {
        spec.key.to_user_string()
        for spec in build_defs(load_settings()).resolve_all_asset_specs()
        if spec.group_name != "serving"
    }
    for name, (schema, _) in schemas().items():
        assert issubclass(schema, Table), name
        assert [column for column, made in schema.to_schema().columns.items() if not made.description] == [], name


def test_lineage_names_columns_that_exist_in_tables_that_the_asset_is_made_from() -> None:
    known = schemas()
    for name, (schema, upstream) in known.items():
        lineage = column_metadata(schema).get("dagster/column_lineage")
        assert (lineage is not None) == bool(upstream), name
        for column, sources in lineage.deps_by_column.items() if lineage else ():
            assert column in schema.to_schema().columns
            for source in sources:
                origin = source.asset_key.to_user_string()
                assert origin in upstream, f"{name}.{column} comes from {origin}, which {name} does not depend on"
                assert source.column_name in known[origin][0].to_schema().columns, f"{name}.{column}: {source}"


def test_every_table_made_from_another_says_where_its_symbols_come_from() -> None:
    for name, (schema, upstream) in schemas().items():
        if upstream:
            assert "symbol" in column_metadata(schema)["dagster/column_lineage"].deps_by_column, name


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{tmp_path}/warehouse.db")


def scores(ages_days: list[float | None]) -> Made[ScoresDetails]:
    frame = pd.DataFrame(dict.fromkeys(Scores.to_schema().columns, np.nan), index=range(len(ages_days)))
    frame["symbol"] = [f"S{number}" for number in range(len(frame))]
    frame["reason"] = "ROE is missing"
    known_at = [None if age is None else AS_OF - timedelta(days=age) for age in ages_days]
    frame["known_at"] = pd.Series(known_at, dtype="datetime64[us, UTC]")
    return Made(frame, AS_OF, ScoresDetails(universe_as_of=AS_OF - timedelta(days=12), sweep=1))


def stored(table: Made[ScoresDetails]) -> dict[str, Any]:
    """The metadata of the materialization of these `Scores`."""

    @dg.asset(name="scores", metadata=schema_metadata("tokenomics_dagster.fundamentals.schema.Scores"))
    def made() -> Made["ScoresDetails"]:
        return table

    manager = WarehouseIOManager(warehouse=WarehouseResource(settings_in_force=SettingsResource(load_settings())))
    run = dg.materialize([made], resources={"io_manager": manager})
    (event,) = run.asset_materializations_for_node("scores")
    return {key: value.value for key, value in event.metadata.items()}


def test_each_snapshot_is_shown_with_its_rows_columns_instant_and_ages(database: None) -> None:
    told = stored(scores([0.5, 2.0, 3.5, None]))
    assert told["dagster/row_count"] == 4
    assert told["snapshot_id"] == 1
    assert told["as_of"] == AS_OF.timestamp()
    assert told["universe_age_days"] == pytest.approx(12)
    assert told["known_at_median_age_days"] == pytest.approx(2)
    assert told["known_at_oldest_age_days"] == pytest.approx(3.5)
    assert [column.name for column in told[COLUMNS].columns] == list(Scores.to_schema().columns)
    assert told["dagster/column_lineage"].deps_by_column["market_cap_musd"][0].column_name == "market_cap_musd"


@pytest.mark.parametrize("ages", [[], [None]])
def test_a_snapshot_in_which_nothing_has_an_age_shows_none(database: None, ages: list[float | None]) -> None:
    told = stored(scores(ages))
    assert told["dagster/row_count"] == len(ages)
    assert not [key for key in told if key.startswith("known_at")]


def test_an_image_is_inside_the_markdown() -> None:
    text = image("weights", lambda size: b"png" * size, 7).value
    assert text is not None
    start = "![weights](data:image/png;base64,"
    assert text.startswith(start)
    assert b64decode(text[len(start) : -1]) == b"png" * 7


def test_an_image_of_more_than_40_kb_is_only_named() -> None:
    assert image("dots", lambda: bytes(30_001)).value == "dots is not shown: 40,004 bytes, at most 40,000 are kept"


def test_each_asset_links_to_its_function_in_the_checkout() -> None:
    for asset in build_defs(load_settings()).resolve_asset_graph().assets_defs:
        (reference,) = asset.metadata_by_key[asset.key]["dagster/code_references"].code_references
        lines = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1 :]
        following = next(line for line in lines if line.startswith("def "))
        assert following.startswith(f"def {asset.op.name}("), reference


def test_a_link_to_the_repository_is_used_where_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENOMICS_CODE_URL", "https://git.example/owner/name/blob/0123abc/")
    for asset in build_defs(load_settings()).resolve_asset_graph().assets_defs:
        (reference,) = asset.metadata_by_key[asset.key]["dagster/code_references"].code_references
        path, _, line = reference.url.removeprefix("https://git.example/owner/name/blob/0123abc/").partition("#L")
        assert (REPOSITORY / path).read_text().splitlines()[int(line) - 1].startswith("@dg.asset")


# What an image is: the package without its checkout, and here without any folder that can be written.
IMAGE = """
import tempfile
from tokenomics_dagster.kit import plots
from tokenomics_dagster.definitions import defs
from tokenomics_dagster.kit.metadata import image
for asset in defs().resolve_asset_graph().assets_defs:
    print(asset.metadata_by_key[asset.key]["dagster/code_references"].code_references[0].file_path)
tempfile.tempdir = "/proc/none"
print(image("weights", plots.weight_bars, {"A": 0.04}, cap=0.05).value)
"""


@pytest.mark.soak
def test_an_installed_package_names_no_path_of_a_machine_and_draws_nothing_where_nothing_can_be_written(
    tmp_path: Path,
) -> None:
    shutil.copytree(PACKAGE, tmp_path / "tokenomics_dagster", ignore=shutil.ignore_patterns("__pycache__"))
    variables = {
        "HOME": "/proc/none",
        "PYTHONPATH": str(tmp_path),
        "TOKENOMICS_SETTINGS": str(REPOSITORY / "config/settings.yaml"),
    }
    done = subprocess.run(
        [sys.executable, "-c", IMAGE], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    *paths, drawn = done.stdout.splitlines()
    rooms = ("universe", "market_data", "fundamentals", "portfolio", "execution", "research")
    named = {f"tokenomics_dagster/{room}/assets.py" for room in rooms}
    assert set(paths) == {*named, "tokenomics_dagster/research/tuning_assets.py"}
    assert drawn.startswith("weights is not drawn: ")
    assert drawn.endswith("; set MPLCONFIGDIR to a folder that can be written")


def latest(platform: Platform, asset: str) -> dg.EventLogEntry:
    event = platform.instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    return event


@pytest.fixture
def of_1500(platform: Platform) -> Platform:
    """The platform after a sweep of 1,500 symbols, whose figures are the test's own."""
    random = np.random.default_rng(11)
    now = platform.broker().now()
    symbols = [f"S{number:04d}" for number in range(1500)]
    universe = pd.DataFrame(dict.fromkeys(Universe.to_schema().columns, 1.0), index=range(1500))
    universe["symbol"], universe["rank"] = symbols, range(1, 1501)
    universe["name"], universe["exchange"] = [f"Company of a long name {symbol}" for symbol in symbols], "NYSE"
    universe["market_cap_musd"] = np.sort(np.exp(random.normal(8.5, 1.5, 1500)))[::-1]
    if "industry" in universe:
        universe["industry"] = [f"Industry of a long name {number % 70}" for number in range(1500)]
    details = UniverseDetails(dropped={}, candidates=1500, asked=1500)
    platform.store.save_snapshot("universe", Universe, Made(universe, now, details), run_id="test")
    bands = {
        name: (band["low"], band["high"]) for name, band in load_settings().fundamentals.bands.model_dump().items()
    }
    figures = np.stack([random.uniform(*band, 1500) for band in bands.values()], axis=1).tolist()
    sweep = platform.store.start_sweep(started_at=now, fresh_since=now, run_id="test", requested=1500)
    for symbol, row in zip(symbols, figures, strict=True):
        known = {"symbol": symbol, "known_at": now, **dict(zip(bands, row, strict=True))}
        platform.store.append_fact("financials", Financials, known)
    platform.store.finish_sweep(sweep, finished_at=now, failures={})
    platform.configure(rebalancing__top_n_stocks=100, rebalancing__min_score=0.0)
    return platform


@pytest.mark.soak
def test_no_materialization_of_1500_symbols_is_larger_than_200_kb(of_1500: Platform) -> None:
    of_1500.must_run("score")
    of_1500.must_run("score")  # now there is a last snapshot
    of_1500.must_run("rebalance", week=WEEK, asset_selection=[dg.AssetKey("target_weights")])
    for name in ("scores", "target_weights"):
        assert len(serialize_value(latest(of_1500, name))) < MOST, name


@pytest.mark.soak
def test_after_a_cycle_each_asset_shows_its_columns_its_age_and_its_pictures(platform: Platform) -> None:
    platform.run_all(WEEK)
    for name, pictures in PICTURES.items():
        event = latest(platform, name)
        assert len(serialize_value(event)) < MOST, name
        assert event.asset_materialization is not None
        told = event.asset_materialization.metadata
        shown = {key for key, value in told.items() if str(value.value).startswith("![")}
        assert shown == pictures, name
        first = [key for key in ("picture", "in_short") if key in told]
        assert list(told)[: len(first)] == first, name
        if "picture" in pictures:
            assert len(str(told["picture"].value)) < IN_PLACE, name
        for key, value in told.items():
            if isinstance(value, dg.FloatMetadataValue):
                assert len(f"{value.value!r}".replace("-", "").rstrip("0")) <= (12 if key.endswith("_usd") else 6), key
        if name.startswith("published"):
            assert "as_of" in told
            continue
        assert COLUMNS in told, name
        assert ("dagster/column_lineage" in told) == (name != "listings")
        assert "known_at" in told if name == "financials" else {"as_of", "dagster/row_count"} <= set(told)
    swept = platform.instance.fetch_materializations(dg.AssetKey("financials"), limit=100).records
    carrying = [one for one in swept if one.asset_materialization and COLUMNS in one.asset_materialization.metadata]
    assert len(swept) == 60
    assert carrying == swept[:1], "the newest symbol alone carries the columns: 2.5 KB"
