"""Files of prices and figures to arrays: the conventions C2, and what is made of each defect."""

import hashlib
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.inputs import load_fundamentals, load_panel
from tokenomics_dagster.research.panel import Quarantined
from tokenomics_dagster.research.parquet import File
from tokenomics_dagster.research.schema import Figures, Prices
from tokenomics_dagster_tests.research.files import DAYS, cell, loaded, market, told, write


def test_grids_have_a_row_per_session_and_a_column_per_symbol_in_their_order(tmp_path):
    frame = market(("BBB", "AAA"), sessions=3)
    panel = loaded(frame, tmp_path)
    assert panel.dates.tolist() == DAYS[:3].tolist()
    assert panel.symbols == ("AAA", "BBB")
    assert panel.price[1, 0] == frame.loc[cell(frame, "AAA", 1), "last_price"]
    assert panel.volume[2, 1] == frame.loc[cell(frame, "BBB", 2), "volume"]
    assert panel.market_cap[2, 1] == frame.loc[cell(frame, "BBB", 2), "market_cap_musd"]
    assert panel.open is None
    assert panel.split is None
    assert panel.dividend is None
    assert panel.halted is None
    assert panel.barred is not None
    assert not panel.barred.any()
    assert panel.quarantined == ()
    assert panel.warnings == ()


def test_return_is_the_change_as_the_file_holds_it_over_100(tmp_path):
    panel = load_panel(write(market(), tmp_path, float32=True), quarantine=False, universe_size=10)
    frame = market()
    change = np.float64(np.float32(frame.loc[cell(frame, "BBB", 3), "change_pct"]))
    assert panel.returns[3, 1] == change / 100
    assert panel.returns.dtype == np.float64


def test_without_row_or_change_the_return_is_0(tmp_path):
    frame = market()
    frame.loc[cell(frame, "AAA", 2), "change_pct"] = np.nan
    panel = loaded(frame.drop(cell(frame, "BBB", 2)), tmp_path)
    assert panel.returns[2, 0] == 0
    assert panel.tradable[2, 0]
    assert panel.returns[2, 1] == 0
    assert not panel.tradable[2, 1]
    assert np.isnan(panel.price[2, 1])


def test_rows_that_a_name_misses_between_its_others_are_named_and_not_made_up(tmp_path):
    frame = market(sessions=6)
    gone = [cell(frame, "BBB", session) for session in (2, 3)] + [cell(frame, "CCC", session) for session in (4, 5)]
    panel = loaded(frame.drop(gone), tmp_path)
    assert panel.tradable[:, 1].tolist() == [True, True, False, False, True, True]
    assert panel.returns[4, 1] == frame.loc[cell(frame, "BBB", 4), "change_pct"] / 100
    # CCC has gone, as far as these sessions tell.
    assert "2 rows of 1 names are missing between others of theirs: e.g. BBB on 2024-01-04" in told(panel)


def test_nobody_can_change_a_grid_of_the_panel(tmp_path):
    panel = loaded(market().assign(open=1.0), tmp_path)
    for grid in (panel.price, panel.returns, panel.market_cap, panel.volume, panel.open, panel.barred):
        with pytest.raises(ValueError, match="read-only"):
            np.asarray(grid)[0] = 1


@pytest.mark.parametrize("quarantine", [True, False])
def test_a_change_above_300_counts_as_0_and_its_row_stays_tradable(tmp_path, quarantine):
    frame = market()
    frame.loc[cell(frame, "AAA", 1), "change_pct"] = 300.0
    frame.loc[cell(frame, "AAA", 2), "change_pct"] = 24_869_900.0
    panel = loaded(frame, tmp_path, quarantine=quarantine)
    assert panel.returns[1, 0] == 3.0
    assert panel.returns[2, 0] == 0
    assert panel.tradable[2, 0]
    assert "AAA on 2024-01-04 (change_pct 2.48699e+07)" in told(panel)
    assert (panel.barred is not None and panel.barred[2, 0]) == quarantine


@pytest.mark.parametrize("impossible", [-100.0, -150.0, np.inf, -np.inf])
def test_an_impossible_change_counts_as_0_and_is_named(tmp_path, impossible):
    frame = market()
    frame.loc[cell(frame, "AAA", 2), "change_pct"] = impossible
    panel = loaded(frame, tmp_path)
    assert panel.returns[2, 0] == 0
    assert panel.tradable[2, 0]
    assert "AAA on 2024-01-04" in told(panel)


def repeated(frame: pd.DataFrame, symbol: str, session: int) -> pd.DataFrame:
    """The row of before once more."""
    columns = ["last_price", "change_pct", "volume"]
    frame.loc[cell(frame, symbol, session), columns] = frame.loc[cell(frame, symbol, session - 1), columns].to_numpy()
    return frame


def test_an_exact_repeat_of_the_session_before_counts_as_0(tmp_path):
    many = tuple(f"N{letter}" for letter in "ABCDEFGHIJ")
    frame = repeated(repeated(market(many), "NA", 2), "NA", 3)
    panel = loaded(frame, tmp_path)
    assert panel.returns[1, 0] != 0
    assert panel.returns[2, 0] == panel.returns[3, 0] == 0
    assert panel.returns[4, 0] != 0
    assert panel.tradable[:, 0].all()
    assert panel.barred is not None
    assert not panel.barred.any()
    assert "2 rows repeat" in told(panel)
    assert "NA on 2024-01-04" in told(panel)


def test_no_repeat_is_what_differs_in_volume_did_not_move_or_missed_the_session_between(tmp_path):
    frame = repeated(repeated(repeated(market(), "AAA", 2), "BBB", 2), "CCC", 3)
    frame.loc[cell(frame, "AAA", 2), "volume"] += 1
    frame.loc[[cell(frame, "BBB", 1), cell(frame, "BBB", 2)], "change_pct"] = 0.0
    # CCC repeats the row of session 2, but has none there.
    panel = loaded(frame.drop(cell(frame, "CCC", 2)), tmp_path)
    assert panel.returns[2, 0] != 0
    assert panel.returns[3, 2] != 0
    assert "repeat" not in told(panel)


def test_a_repeated_session_is_named_and_nothing_is_chosen_in_it(tmp_path):
    frame = market()
    for symbol in ("AAA", "BBB", "CCC"):
        repeated(frame, symbol, 2)
    panel = loaded(frame, tmp_path)
    assert panel.barred is not None
    assert panel.barred[2].all()
    assert not panel.barred[[0, 1, 3, 4]].any()
    assert panel.quarantined[0].symbol == "*"
    assert panel.quarantined[0].first == date(2024, 1, 4)
    assert "The session of 2024-01-04 cannot be believed: 100% of the names that moved repeat" in told(panel)


@pytest.mark.parametrize("price", [0.0, -5.0, np.inf])
@pytest.mark.parametrize("quarantine", [True, False])
def test_a_row_with_an_impossible_price_is_no_row_and_is_named(tmp_path, price, quarantine):
    frame = market()
    frame.loc[cell(frame, "BBB", 2), "last_price"] = price
    panel = loaded(frame, tmp_path, quarantine=quarantine)
    assert np.isnan(panel.price[2, 1])
    assert panel.returns[2, 1] == 0
    assert np.isnan(panel.market_cap[2, 1])
    assert f"BBB on 2024-01-04 (last_price {price:,.6g})" in told(panel)
    assert ("chosen all the same" in told(panel)) != quarantine


def test_a_negative_volume_is_not_known_and_its_row_is_not_chosen(tmp_path):
    frame = market()
    frame.loc[cell(frame, "BBB", 2), "volume"] = -7
    panel = loaded(frame, tmp_path)
    assert np.isnan(panel.volume[2, 1])
    assert panel.tradable[2, 1]
    assert panel.barred is not None
    assert panel.barred.sum() == 1
    assert panel.barred[2, 1]
    reason = "its volume is negative or infinite, and counts as not known (volume -7)"
    assert panel.quarantined == (Quarantined("BBB", date(2024, 1, 4), date(2024, 1, 4), reason),)


def test_a_market_cap_of_0_is_not_known_and_a_negative_one_is_named(tmp_path):
    frame = market()
    frame.loc[cell(frame, "AAA", 2), "market_cap_musd"] = 0.0
    frame.loc[cell(frame, "BBB", 2), "market_cap_musd"] = -3.0
    panel = loaded(frame, tmp_path)
    assert np.isnan(panel.market_cap[2, :2]).all()
    assert panel.barred is not None
    assert not panel.barred[2, 0]
    assert panel.barred[2, 1]
    assert "BBB on 2024-01-04 (market_cap_musd -3)" in told(panel)


def test_rows_that_are_there_twice_count_once_where_alike_and_not_at_all_where_they_differ(tmp_path):
    frame = market()
    alike, other = frame.loc[[cell(frame, "AAA", 2)]], frame.loc[[cell(frame, "BBB", 2)]]
    doubled = pd.concat([frame, alike, other.assign(market_cap_musd=1.0)], ignore_index=True)
    panel = loaded(doubled, tmp_path)
    assert panel.tradable[2, 0]
    assert panel.returns[2, 0] == pytest.approx(alike["change_pct"].item() / 100)
    assert not panel.tradable[2, 1]
    assert panel.returns[2, 1] == 0
    assert panel.barred is not None
    assert panel.barred[2, 1]
    assert "1 rows are there more than once, all alike" in told(panel)
    assert "several rows of the session differ: none of them is used; e.g. BBB on 2024-01-04" in told(panel)


def test_rows_in_no_order_give_the_same_panel_and_that_is_told(tmp_path):
    plain, mixed = loaded(market(), tmp_path), loaded(market().sample(frac=1, random_state=3), tmp_path)
    assert np.array_equal(plain.price, mixed.price)
    assert np.array_equal(plain.returns, mixed.returns)
    assert "not in the order of their dates" in told(mixed)
    assert plain.data_hash != mixed.data_hash


def test_rows_that_are_not_in_usd_are_not_used(tmp_path):
    frame = market().assign(currency="USD")
    frame.loc[(frame["symbol"] == "BBB") & (frame["date"] >= DAYS[3]), "currency"] = "EUR"
    frame.loc[cell(frame, "AAA", 3), "currency"] = None  # missing is USD
    panel = loaded(frame, tmp_path)
    assert panel.tradable[:, 1].tolist() == [True, True, True, False, False]
    assert panel.tradable[:, 0].all()
    assert panel.returns[3, 1] == 0
    assert "its currency is not USD" in panel.quarantined[0].reason
    assert "BBB on 2024-01-05 (currency EUR)" in told(panel)


def test_a_symbol_that_is_no_ticker_is_never_chosen(tmp_path):
    panel = loaded(market(("AAA", "tsla ", "BRK.B")), tmp_path)
    assert panel.symbols == ("AAA", "BRK.B", "tsla ")
    assert panel.barred is not None
    assert panel.barred[:, 2].all()
    assert not panel.barred[:, :2].any()
    assert "its symbol is no ticker" in told(panel)


def test_columns_beside_those_of_prices_are_told(tmp_path):
    assert "columns that are not read: high, low" in told(loaded(market().assign(low=1.0, high=2.0), tmp_path))


def test_what_a_file_knows_more_becomes_grids(tmp_path):
    frame = market().assign(open=49.0, split=1.0, dividend=0.0, halted=False, exchange="NYSE", industry="Mining")
    for name, value in (("split", 4.0), ("dividend", 0.25), ("halted", True), ("exchange", "NASDAQ")):
        frame.loc[cell(frame, "AAA", 2), name] = value
    frame.loc[cell(frame, "BBB", 2), ["open", "split"]] = [-1.0, np.nan]
    frame["halted"] = frame["halted"].astype(bool)
    panel = loaded(frame, tmp_path)
    assert panel.open is not None
    assert panel.open[0, 0] == 49.0
    assert np.isnan(panel.open[2, 1])
    assert panel.split is not None
    assert panel.split[2, 0] == 4.0
    assert panel.split.sum() == 15 + 3
    assert panel.dividend is not None
    assert panel.dividend[2, 0] == 0.25
    assert panel.halted is not None
    assert panel.halted.sum() == 1
    assert not panel.tradable[2, 0]
    assert panel.exchange == {"AAA": "NYSE", "BBB": "NYSE", "CCC": "NYSE"}
    assert panel.industry["CCC"] == "Mining"
    assert "BBB on 2024-01-04 (open -1)" in told(panel)


def test_only_the_sessions_asked_for_and_their_names_are_there(tmp_path):
    frame = market()
    frame = frame[(frame["symbol"] != "CCC") | (frame["date"] < DAYS[2])]
    panel = loaded(frame, tmp_path, first=DAYS[2].item(), last=DAYS[3].item())
    assert panel.dates.tolist() == DAYS[2:4].tolist()
    assert panel.symbols == ("AAA", "BBB")
    assert panel.price[0, 0] == frame.loc[cell(frame, "AAA", 2), "last_price"]
    with pytest.raises(ExperimentError, match=r"has no session from 2030-01-01 to .*: it has those of 2024-01-02 to"):
        loaded(frame, tmp_path, first=date(2030, 1, 1))


def test_the_hash_is_that_of_the_file(tmp_path):
    path = write(market(), tmp_path)
    panel = load_panel(path, quarantine=True, universe_size=2)
    assert panel.data_hash == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda frame: frame.drop(columns=["volume", "change_pct"]),
            "lacks change_pct, volume; it has date, last_price",
        ),
        (lambda frame: frame.assign(last_price="12"), "last_price is (large_)?string, not number"),
        (lambda frame: frame.assign(date="2024-01-02"), "date is (large_)?string, not day"),
        (lambda frame: frame.assign(symbol=1), "symbol is int64, not text"),
        (lambda frame: frame.head(0), "has no rows"),
        (
            lambda frame: frame.assign(date=frame["date"].where(frame.index != 4)),
            "1 rows have no date, the first is row 5",
        ),
        (lambda frame: frame.assign(date=frame["date"] + pd.Timedelta(hours=3)), "row 1 has a date with an hour"),
        (
            lambda frame: frame.assign(date=frame["date"] + pd.Timedelta(microseconds=1)),
            "row 1 has a date with an hour",
        ),
        (lambda frame: frame.assign(date=pd.Timestamp("1815-06-18")), "row 1 has a date that is not between 1900"),
        (
            lambda frame: frame.assign(symbol=frame["symbol"].where(frame.index != 4)),
            "1 rows have no symbol, the first",
        ),
        (lambda frame: frame.assign(symbol=frame["symbol"].where(frame.index != 4, "")), "1 rows have no symbol"),
    ],
)
def test_a_file_of_another_structure_is_refused_and_its_defect_named(tmp_path, change, sentence):
    with pytest.raises(ExperimentError, match=sentence):
        loaded(change(market()), tmp_path)


def test_what_is_no_parquet_file_is_refused(tmp_path):
    (tmp_path / "prices.csv").write_text("date,symbol\n")
    with pytest.raises(ExperimentError, match=r"prices.csv cannot be read as a Parquet file"):
        load_panel(tmp_path / "prices.csv", quarantine=True, universe_size=1)
    with pytest.raises(ExperimentError, match=r"there is no file .*none.parquet"):
        load_panel(tmp_path / "none.parquet", quarantine=True, universe_size=1)
    with pytest.raises(ExperimentError, match="cannot be read"):
        load_panel(tmp_path, quarantine=True, universe_size=1)


def test_a_file_with_a_broken_middle_is_refused(tmp_path):
    """Its foot, where the columns are listed, is whole."""
    content = bytearray(write(market(sessions=100), tmp_path).read_bytes())
    content[300:4_000] = bytes(3_700)
    (tmp_path / "prices.parquet").write_bytes(content)
    with pytest.raises(ExperimentError, match=r"prices.parquet cannot be read as a Parquet file"):
        load_panel(tmp_path / "prices.parquet", quarantine=True, universe_size=1)


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_pandas(market(), preserve_index=False)
    pq.write_table(table.append_column("volume", table["volume"]), tmp_path / "prices.parquet")
    with pytest.raises(ExperimentError, match="more than one column of the name volume"):
        load_panel(tmp_path / "prices.parquet", quarantine=True, universe_size=1)


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns")])
def test_a_day_may_be_a_date_or_a_timestamp_and_numbers_may_be_decimals(tmp_path, kind):
    table = pa.Table.from_pandas(market(), preserve_index=False)
    table = table.set_column(0, "date", table["date"].cast(kind))
    table = table.set_column(2, "last_price", table["last_price"].cast(pa.decimal128(30, 12), safe=False))
    table = table.set_column(1, "symbol", table["symbol"].cast(pa.large_string()).dictionary_encode())
    pq.write_table(table, tmp_path / "prices.parquet")
    panel = load_panel(tmp_path / "prices.parquet", quarantine=True, universe_size=5)
    assert panel.dates.tolist() == DAYS[:5].tolist()
    assert np.allclose(panel.price, loaded(market(), tmp_path).price, rtol=1e-12)


def test_the_schema_holds_what_the_loader_holds():
    """A frame that loads without a word passes pandera, too."""
    Prices.validate(market())
    with pytest.raises(Exception, match="last_price"):
        Prices.validate(market().assign(last_price=0.0))


def figures(**changes) -> pd.DataFrame:
    rows = {
        "known_at": pd.to_datetime(["2024-02-03T06:00Z", "2024-02-10T06:00Z", "2024-02-10T06:00Z"]),
        "symbol": ["AAA", "BBB", "AAA"],
        "roe_ttm_pct": [10.0, 20.0, np.nan],
        "debt_to_equity": [0.5, 1.0, 0.6],
        "revenue_growth_yoy_pct": [1.0, 2.0, 3.0],
        "eps_growth_yoy_pct": [4.0, 5.0, 6.0],
    }
    return pd.DataFrame(rows | changes)


def figures_of(frame: pd.DataFrame, folder):
    frame.to_parquet(folder / "figures.parquet")
    return load_fundamentals(folder / "figures.parquet")


def test_figures_come_in_the_order_of_instant_and_symbol_and_what_is_missing_stays_so(tmp_path):
    found = figures_of(figures(), tmp_path)
    assert found.symbol.tolist() == ["AAA", "AAA", "BBB"]
    assert found.snapshots
    assert found.known_at.dtype == "datetime64[ns]"
    assert str(found.known_at[0]) == "2024-02-03T06:00:00.000000000"
    assert np.array_equal(found.roe_ttm_pct, [10.0, np.nan, 20.0], equal_nan=True)
    assert np.isnan(found.book_value_per_share).all()
    assert found.warnings == ()
    Figures.validate(figures())


def test_instants_of_another_zone_are_turned_into_utc_and_without_one_refused(tmp_path):
    zoned = figures(
        known_at=pd.to_datetime(["2024-02-03T01:00"] * 3).tz_localize("America/New_York"), symbol=list("ABC")
    )
    assert str(figures_of(zoned, tmp_path).known_at[0]).startswith("2024-02-03T06:00")
    with pytest.raises(ExperimentError, match=r"known_at is timestamp.*, not instant"):
        figures_of(figures(known_at=pd.to_datetime(["2024-02-03"] * 3)), tmp_path)


def test_infinite_figures_are_missing_and_named(tmp_path):
    found = figures_of(figures(debt_to_equity=[np.inf, 1.0, 0.6]), tmp_path)
    assert np.isnan(found.debt_to_equity[0])
    assert found.warnings == ("1 values of debt_to_equity are impossible and not used: e.g. AAA on 2024-02-03.",)


def test_rows_of_an_instant_count_once_where_alike_and_are_refused_where_they_differ(tmp_path):
    once = figures().iloc[[0, 0, 1]]
    assert len(figures_of(once, tmp_path).symbol) == 2
    with pytest.raises(ExperimentError, match="differ for 1 symbols and instants, the first is AAA at 2024-02-03"):
        figures_of(once.assign(roe_ttm_pct=[1.0, 2.0, 3.0]), tmp_path)


@pytest.mark.parametrize("how", ["replaced", "written to", "taken away"])
def test_a_file_that_changes_while_it_is_read_gives_no_result_under_the_hash_of_another(tmp_path, how):
    path = write(market(), tmp_path)
    file = File(path, Prices)
    list(file.numbers("last_price"))
    if how == "replaced":
        (tmp_path / "new").mkdir()
        write(market(sessions=6), tmp_path / "new").replace(path)
    elif how == "written to":
        write(market(sessions=6), tmp_path)
    else:
        path.unlink()
    with pytest.raises(ExperimentError, match=r"prices\.parquet (changed while it was read|cannot be read any more)"):
        file.hash()
