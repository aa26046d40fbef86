"""A policy of your own in ten lines, backtested beside equal weight on the bundled sample, with a plot.

    python examples/own_policy.py

The same file trades on paper, on an account that is kept on this machine, or on Alpaca with your keys:

    marsfolio paper once --strategy examples/own_policy.py:low_risk --symbols AAPL,KO,WMT --broker simulated
"""

import numpy as np

import marsfolio


def low_risk(observation: marsfolio.Observation) -> np.ndarray | None:
    """Hold the half of the symbols that moved least in the last 64 sessions, in equal parts."""
    close = observation.window("close", 65)  # (65, N), the last row is the close that is decided on
    if len(close) < 65:
        return None  # no decision: keep what is held
    risk = np.diff(np.log(close), axis=0).std(axis=0)
    calm = risk <= np.nanmedian(risk)
    return calm / calm.sum()  # target weights, the rest is cash


def main() -> None:
    """Run both and show the difference."""
    span = {"start": "2015-01-01", "end": "2016-12-31", "rebalance": "monthly"}
    mine = marsfolio.backtest(None, low_risk, **span)
    equal = marsfolio.backtest(None, "equal_weight", **span)
    print(mine.metrics[["total_return", "annual_volatility", "sharpe_ratio", "max_drawdown"]])
    print(mine.trades.tail(3)[["session", "symbol", "side", "quantity", "price"]])
    both = marsfolio.compare({"low risk": mine, "equal weight": equal}, baseline="equal weight")
    print(both.differences.loc["low risk"].loc[["sharpe_ratio", "max_drawdown"]])
    mine.save("runs/low_risk")  # the folder that `marsfolio backtest` writes; open its report.html
    both.plot().savefig("runs/low_risk.png")


if __name__ == "__main__":
    main()
