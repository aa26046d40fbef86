from __future__ import annotations

from collections.abc import Iterator

import pytest
from alpaca_answers import KEY, SECRET
from scripted_server import ScriptedServer, scripted_server

from brokers.alpaca import AlpacaVenue
from brokers.credentials import Credentials
from engine.http import Tries


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def slept() -> list[float]:
    """What the venue would have waited between tries."""
    return []


@pytest.fixture
def venue(server: ScriptedServer, slept: list[float]) -> Iterator[AlpacaVenue]:
    venue = AlpacaVenue(Credentials(KEY, SECRET, server.url, server.url), Tries(sleep=slept.append))
    yield venue
    venue.close()
