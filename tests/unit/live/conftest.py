from __future__ import annotations

from collections.abc import Iterator

import pytest
from scenes import Scene, scene


@pytest.fixture
def monday(caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    """An account with 10,000 in cash on a Monday at 10:00, to hold 30 % each of AAA, BBB and CCC."""
    with scene(caplog) as made:
        yield made


@pytest.fixture
def fractions(caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    with scene(caplog, fractional=True, weights={"AAA": 0.30005, "BBB": 0.30005, "CCC": 0.3}) as account:
        yield account
