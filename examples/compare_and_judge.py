"""Is it skill? Intervals, what chance would do, and the same question over several windows.

python examples/compare_and_judge.py
"""

import marsfolio

WINDOWS = {
    "2015": ("2012-01-03:2013-12-31", "2014-01-02:2014-12-31", "2015-01-02:2015-12-31"),
    "2016": ("2013-01-02:2014-12-31", "2015-01-02:2015-12-31", "2016-01-04:2016-12-30"),
}


def main() -> None:
    """Judge momentum three ways."""
    span = {"start": "2015-01-01", "end": "2016-12-31", "rebalance": "monthly"}
    run = marsfolio.backtest(None, "momentum", **span)
    print("1. How sure is its Sharpe ratio?")
    print(run.intervals.loc[["sharpe_ratio", "max_drawdown"]])

    null = run.statistics["null"]
    better = null["percentile"]["sharpe_ratio"]
    print(f"2. It beats {better:.0%} of {null['paths']} random portfolios of the same exposure, turnover and costs.")

    held = marsfolio.backtest(None, "equal_weight", **span)
    found = marsfolio.compare({"momentum": run, "equal weight": held}).differences.loc[("momentum", "sharpe_ratio")]
    print(f"   Its Sharpe ratio less that of equal weight: {found['difference']:+.2f}, ", end="")
    print(f"95 % interval {found['low']:+.2f} to {found['high']:+.2f}.")

    print("3. Several windows, one table, one answer (a model such as marsfolio can stand among the methods):")
    judged = marsfolio.evaluate(
        None, WINDOWS, ["momentum:monthly", "equal_weight:monthly"], [0], "runs/judged", null_paths=20, resamples=200
    )
    print(judged.metric("sharpe_ratio"))
    print(judged.answer)


if __name__ == "__main__":
    main()
