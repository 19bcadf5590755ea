"""vectorbt and bt on the same targets: `.venv/peers/bin/python peers.py IN.npz OUT.npz`, an environment of their own.

In: `dates`, `close` (T, H) USD without gaps, `sessions` (D,), `capital`, `half_spread`, and either `weights` (D, H) or
`orders` (D, H) in shares. Out: equity (T,) and CPU seconds of either. Nothing of the platform is imported.
"""

import sys
import time

import bt  # type: ignore[import-not-found]
import numpy as np
import pandas as pd
import vectorbt as vbt  # type: ignore[import-not-found]


def main(given, out):
    close = pd.DataFrame(given["close"], index=pd.DatetimeIndex(given["dates"]))
    weights = "weights" in given
    sizes = given["weights" if weights else "orders"]
    capital, half_spread = float(given["capital"]), float(given["half_spread"])
    whole = np.full(close.shape, np.nan)
    whole[given["sessions"]] = sizes
    asked = pd.DataFrame(whole, index=close.index)
    wanted = pd.DataFrame(sizes, index=close.index[given["sessions"]])
    of_vectorbt(close.iloc[:50], asked.iloc[:50], weights, capital, half_spread)  # compiles
    begun = time.process_time()
    by_vectorbt = of_vectorbt(close, asked, weights, capital, half_spread)
    between = time.process_time()
    by_bt = of_bt(close, wanted, weights, capital, half_spread)
    seconds = [between - begun, time.process_time() - between]
    np.savez(out, vectorbt=by_vectorbt, bt=by_bt, seconds=seconds)


def of_vectorbt(close, asked, weights, capital, half_spread):
    portfolio = vbt.Portfolio.from_orders(
        close,
        size=asked,
        size_type="targetpercent" if weights else "amount",
        slippage=half_spread,
        init_cash=capital,
        cash_sharing=True,
        group_by=True,
        call_seq="auto",
        freq="D",
    )
    return portfolio.value().to_numpy()


class Trades(bt.Algo):
    """Trades the shares of the day, sells first."""

    def __init__(self, wanted):
        super().__init__()
        self.wanted = wanted

    def __call__(self, target):
        if target.now in self.wanted.index:
            row = self.wanted.loc[target.now]
            row = row[row != 0].sort_values()
            for name, shares in row.items():
                target.transact(shares, child=name)
        return True


def of_bt(close, wanted, weights, capital, half_spread):
    names = [f"S{number}" for number in close.columns]
    close, wanted = close.set_axis(names, axis=1), wanted.set_axis(names, axis=1)
    how = [bt.algos.WeighTarget(wanted), bt.algos.Rebalance()] if weights else [Trades(wanted)]
    children = [bt.Security(name) for name in names]
    test = bt.Backtest(
        bt.Strategy("strategy", how, children=children),
        close,
        initial_capital=capital,
        commissions=lambda shares, price: abs(shares) * price * half_spread,
        integer_positions=False,
        progress_bar=False,
    )
    test.run()
    return test.strategy.values.reindex(close.index).to_numpy()


if __name__ == "__main__":
    with np.load(sys.argv[1]) as read:
        main(dict(read), sys.argv[2])
