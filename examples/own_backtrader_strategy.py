"""An ordinary backtrader strategy, as it is: indicators, single orders, honest costs, every fill on file.

    python examples/own_backtrader_strategy.py

From the command line, with another parameter, and a check that it does not look ahead:

    marsfolio backtest        --strategy examples/own_backtrader_strategy.py:Cross --param slow=90 --out runs/cross
    marsfolio check-lookahead --strategy examples/own_backtrader_strategy.py:Cross --start 2016-01-01 --end 2016-12-31
"""

import backtrader as bt

import marsfolio


class Cross(bt.Strategy):
    """Hold a symbol while its short average is above its long one."""

    params = (("fast", 20), ("slow", 60))

    def __init__(self) -> None:
        self.above = {
            data: bt.ind.SMA(data, period=self.p.fast) > bt.ind.SMA(data, period=self.p.slow) for data in self.datas
        }

    def next(self) -> None:
        """Buy or sell a tenth of the account, at the next open."""
        for data, above in self.above.items():
            if above[0] and not self.getposition(data):
                self.buy(data, size=int(0.1 * self.broker.getvalue() / data.close[0]))
            elif not above[0] and self.getposition(data):
                self.close(data)


def main() -> None:
    """Try two parameters at Interactive Brokers' prices."""
    for slow in (60, 120):
        run = marsfolio.backtest(
            None,
            Cross,
            "2015-01-01",
            "2016-12-31",
            params={"slow": slow},
            symbols=["AAPL", "JPM", "KO", "WMT", "XOM"],
            costs="ibkr-fixed",
        )
        print(f"slow = {slow}: {run}")
    print(run.round_trips.tail(3)[["symbol", "entry_session", "exit_session", "quantity", "pnl"]])
    print(f"commission paid: {run.trades['commission'].sum():,.2f}")


if __name__ == "__main__":
    main()
