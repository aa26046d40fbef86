from __future__ import annotations

import socket

import numpy as np
import pytest

from data_feeds.sample import load_sample
from engine.panel import MarketPanel


@pytest.fixture(scope="module")
def sample() -> MarketPanel:
    return load_sample()


def test_the_sample_has_twenty_stocks_over_33_years_and_no_missing_bar(sample: MarketPanel) -> None:
    assert (len(sample), sample.n_symbols) == (8313, 20)
    assert (str(sample.sessions[0]), str(sample.sessions[-1])) == ("1990-01-02", "2022-12-28")
    assert sample.symbols[:3] == ("AAPL", "AMD", "BAC")
    assert not sample.missing.any()


def test_the_sample_has_closes_only(sample: MarketPanel) -> None:
    assert sample.closes_only
    for name in ("open", "high", "low"):
        assert np.array_equal(getattr(sample, name), sample.close)
    assert np.isnan(sample.volume).all()


def test_the_sample_has_the_closes_of_its_source(sample: MarketPanel) -> None:
    assert sample.close[0, :4].tolist() == [0.264, 4.125, 4.599, 0.144]


def test_the_sample_is_the_same_each_time_and_needs_no_network(
    sample: MarketPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the sample must not open a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert load_sample().content_hash == sample.content_hash
