"""What `tokenomics status` shows of an account whose figures are odd."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from tokenomics_dagster.interfaces.cli import tables
from tokenomics_dagster.model.trading import Holdings
from tokenomics_dagster.operations.status import positions
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.test_rules import account, position


def test_what_has_no_share_or_no_value_is_shown_without_one(tmp_path):
    holdings = Holdings({"AAA": position("AAA", "5")}, disputed={"BBB": "stands there twice"})
    broker: Any = SimpleNamespace(account=lambda: account(equity=Decimal(0)), holdings=lambda: holdings)
    store = Warehouse(f"sqlite:///{tmp_path}/warehouse.db")
    table = tables.positions(positions(store, broker, load_settings(overrides={"trading.foreign_positions": "sell"})))
    store.close()
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [("AAA", "5.00", "", "0.00%", ""), ("BBB", "", "stands there twice", "", "")]
