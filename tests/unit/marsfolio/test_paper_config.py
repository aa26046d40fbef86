"""--config of the paper commands: one table for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_alpaca import FakeAlpaca
from fake_alpaca.example import at, december
from loopback_papers import TWO, Paper

TABLE = """[paper]
strategy = "equal_weight"
symbols = "AAA,BBB"
history = 2
"""


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(december(), cash=1000.0, now=at(23, 10)) as server:
        yield server


def written(text: str) -> Path:
    path = Path("c.toml")
    path.write_text(text)
    return path


def test_a_table_says_what_flags_can_say_and_flags_win(paper: Paper, server: FakeAlpaca) -> None:
    assert paper("once", "--config", written(TABLE + 'state = "mine"'), "--symbols", "AAA").code == 0
    assert [request.body["symbol"] for request in server.posts()] == ["AAA"]
    assert 'symbols = "AAA"' in Path("mine/config.toml").read_text()


def test_the_config_of_a_state_folder_begins_another(paper: Paper, server: FakeAlpaca) -> None:
    assert paper("once", "--dry-run", *TWO).code == 0
    assert paper("once", *TWO, "--state", "first").code == 0
    # As on another account.
    server.venue.orders.clear()
    server.positions.clear()
    assert paper("once", "--config", "first/config.toml", "--state", "second").code == 0
    assert paper("status", "--config", "first/config.toml", "--state", "second").code == 0
    assert Path("first/config.toml").read_text() == Path("second/config.toml").read_text()


def test_fault_64_a_misspelt_key_is_refused_with_the_nearest(paper: Paper, server: FakeAlpaca) -> None:
    for command in ("once", "status", "check", "run"):
        said = paper(command, "--config", written(TABLE + "max_turnovr = 0.1"))
        assert said.code == 2
        assert "c.toml, line 5: [paper] has no key 'max_turnovr'; did you mean 'max_turnover'?" in said.err
    assert server.requests == []
    assert not Path("paper").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[papr]\n", "unknown table or key 'papr'; did you mean 'paper'?"),
        ("[paper.once]\nhistory = 2\n", "[paper] has no key 'once'"),
        ("strategy = 'equal_weight'\n", "strategy must stand in a table: write it below [paper]"),
        (TABLE + "max_orders = 'many'\n", "[paper] max_orders must be a whole number, was 'many'"),
        (TABLE + "max_loss = 3.0\n", "max_loss must be above 0 and at most 1, was 3.0"),
        (TABLE + "broker = 'robin'\n", "[paper] broker must be one of 'alpaca', 'simulated', was 'robin'"),
        ("[paper\n", "c.toml is not valid TOML"),
    ],
)
def test_fault_64_a_wrong_configuration_is_refused_before_any_request(
    paper: Paper, server: FakeAlpaca, text: str, told: str
) -> None:
    said = paper("once", "--config", written(text))
    assert said.code == 2
    assert told in said.err
    assert server.requests == []
