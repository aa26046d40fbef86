"""`marsfolio paper serve` refuses what it cannot serve, before anything listens, and says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from paper_accounts import write_account
from typer.testing import CliRunner

from engine.errors import MarsfolioError
from marsfolio.cli import app
from marsfolio.page.app import Site
from marsfolio.page.security import TOKEN_FILE, TOKEN_VARIABLE


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return write_account(tmp_path / "state", 2)


def serve(state: Path, *flags: str) -> str:
    done = CliRunner().invoke(app, ["paper", "serve", "--state", str(state), *flags], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(autouse=True)
def sites(monkeypatch: pytest.MonkeyPatch) -> list[Site]:
    """Serve nothing; return what would be served."""
    found: list[Site] = []
    monkeypatch.setattr("marsfolio.page.serving.run", lambda site, sock: found.append(site))
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    return found


def test_it_says_where_the_page_is_and_where_the_token_is(state: Path, sites: list[Site]) -> None:
    said = serve(state, "--port", "0")
    token = (state / TOKEN_FILE).read_text().strip()
    assert f"http://127.0.0.1:{sites[0].port}/" in said
    assert str(state / TOKEN_FILE) in said
    assert token not in said  # no terminal: a log would keep it
    assert (sites[0].keys.switch, sites[0].keys.access) == (token, None)


def test_a_token_that_is_given_opens_the_page_and_switches(
    state: Path, sites: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "sixteen characters")
    said = serve(state, "--host", "0.0.0.0", "--port", "0")
    assert "sixteen" not in said
    assert (sites[0].keys.switch, sites[0].keys.access) == ("sixteen characters",) * 2
    assert not (state / TOKEN_FILE).exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--host", "0.0.0.0"), "needs a token"),
        (("--token-file", "nowhere"), "--token-file nowhere cannot be read"),
        (("--host", "203.0.113.1", "--port", "0"), "cannot listen on --host 203.0.113.1"),
    ],
)
def test_what_cannot_be_served_is_refused(
    state: Path, sites: list[Site], monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], said: str
) -> None:
    if "203.0.113.1" in flags:
        monkeypatch.setenv(TOKEN_VARIABLE, "sixteen characters")
    with pytest.raises(MarsfolioError, match=said) as refused:
        serve(state, *flags)
    assert refused.value.exit_code == 2
    assert sites == []


def test_a_port_that_is_taken_is_refused(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(MarsfolioError, match="or --port 0"):
        serve(state, "--port", str(taken.getsockname()[1]))


def test_a_folder_without_an_account_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(MarsfolioError, match="has no paper account"):
        serve(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_journal_in_a_database_of_ones_own_is_found_by_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, elsewhere = write_account(tmp_path / "state", 2), tmp_path / "elsewhere.db"
    (state / "paper.db").rename(elsewhere)
    monkeypatch.setenv("MARSFOLIO_DATABASE", f"sqlite:///{elsewhere}")
    monkeypatch.setattr("marsfolio.paper.switch._clear", lambda *given: [])
    done = CliRunner().invoke(app, ["paper", "halt", "--state", str(state)], catch_exceptions=False)
    assert done.output.startswith("halted")
    said = CliRunner().invoke(app, ["paper", "status", "--offline", "--state", str(state)], catch_exceptions=False)
    assert "HALTED" in said.output
    assert "elsewhere" not in (state / "config.toml").read_text()
