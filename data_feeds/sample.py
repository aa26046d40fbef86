"""The bundled sample: real closes that need no network and no keys."""

from __future__ import annotations

import numpy as np

from engine.panel import MarketPanel

SOURCE = "bundled sample (skfolio: 20 S&P 500 stocks, adjusted closes)"


def load_sample() -> MarketPanel:
    """Return 20 S&P 500 stocks, 1990-01-02 to 2022-12-28 (8,313 sessions), from the skfolio package.

    The source has one close a day, adjusted for splits and dividends, so that open = high = low = close,
    volume is NaN and ``closes_only`` is True. What follows from it:

    * CCI's typical price, (high + low + close) / 3, is the close.
    * ADX's directional movement is built from close-to-close changes: a rise is all +DM, a fall all -DM, and
      the true range is the absolute change.
    * A fill at the next open (``next_open``) is a fill at the next close.
    * Levels are not the prices that were traded then; returns are total returns.
    * The 20 names are large companies known today: any result on them is flattered by that choice.
    """
    from skfolio.datasets import load_sp500_dataset  # here, because skfolio takes seconds to import

    frame = load_sp500_dataset()
    close = frame.to_numpy(dtype="float64")
    return MarketPanel(
        sessions=frame.index.to_numpy().astype("datetime64[D]"),
        symbols=tuple(str(name) for name in frame.columns),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.full(close.shape, np.nan),
        closes_only=True,
        source=SOURCE,
    )
