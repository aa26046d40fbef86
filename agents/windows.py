"""The windows that a training is given."""

from __future__ import annotations

from engine.errors import ConfigError
from engine.panel import MarketPanel, Window


def training_window(panel: MarketPanel, train: Window, validation: Window, lookback_bars: int, least: int) -> Window:
    """Return the sessions of ``train`` that have features, after a check of both windows.

    Parameters
    ----------
    lookback_bars : sessions that a feature reads.
    least : the training window must have more sessions than this.

    Raises
    ------
    ConfigError
        When it has not, or the validation window begins too early or is too short for a score.
    """
    train = Window(max(train.first, lookback_bars - 1), train.last)
    if train.last - train.first < least:
        raise ConfigError(
            f"the training window has {max(0, train.last - train.first + 1)} sessions after the first "
            f"{lookback_bars - 1} of the data, which the features need; it must have more than {least}: "
            "choose an earlier --train start or longer data"
        )
    if validation.first <= train.last:
        raise ConfigError(
            f"the validation window begins on {panel.sessions[validation.first]}, inside the training window "
            f"that ends on {panel.sessions[train.last]}: begin it later"
        )
    if validation.last <= validation.first:
        raise ConfigError(
            f"the validation window has only the session {panel.sessions[validation.first]}, and a score needs at "
            "least two: choose a longer --validation"
        )
    return train
