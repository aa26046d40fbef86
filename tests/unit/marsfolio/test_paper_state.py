"""Faults 52 to 65 through `marsfolio paper once`: exit codes, what is told, and that no order leaves.

Of fault 60, secrets in the process list cannot occur: keys come from the environment alone, and no flag takes one.
"""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch
from fake_alpaca import GET_ACCOUNT, POST_ORDER, FakeAlpaca, effects, match
from fake_alpaca.example import at, december
from fake_alpaca.market import FakeMarket
from loopback_papers import TWO, Paper, paper_on
from models import edit_manifest, forge, small_market, small_model

from agents.checkpoint import WEIGHTS
from brokers.credentials import KEY, SECRET, TRADING
from engine.clock import SystemClock
from engine.panel import FIELDS, MarketPanel
from live.journal import Journal


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(december(), cash=1000.0, now=at(23, 10)) as server:
        yield server


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("dry", [True, False])
def test_a_rehearsal_leaves_nothing_behind(paper: Paper, server: FakeAlpaca, tmp_path: Path, dry: bool) -> None:
    said = paper("once", *TWO, "--dry-run")
    assert said.code == 0
    assert "nothing was sent" in said.out
    assert list(tmp_path.iterdir()) == []
    if dry:
        return
    assert paper("once", *TWO).code == 0
    server.clock.set(at(24, 10))
    before, posts = files(tmp_path), len(server.posts())
    assert paper("once", "--dry-run").code == 0
    assert files(tmp_path) == before
    assert len(server.posts()) == posts


def test_a_rehearsal_of_a_simulated_account_leaves_nothing_behind(
    paper: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = small_market()
    noon = datetime(2020, 3, 11, 16, tzinfo=UTC)
    monkeypatch.setattr(SystemClock, "now", lambda self: noon)
    write_bars(panel, tmp_path / "bars.csv")
    simulated = ("--broker", "simulated", "--strategy", "equal_weight", "--data", "bars.csv", "--history", "2")
    assert paper("once", *simulated, "--dry-run").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["bars.csv"]
    assert paper("once", *simulated).code == 0
    before = files(tmp_path)
    for command in (("once", "--dry-run"), ("status",), ("check",)):
        assert paper(*command).code == 0
        assert files(tmp_path) == before


def write_bars(panel: MarketPanel, path: Path) -> None:
    rows = [
        [panel.sessions[t], symbol, *(getattr(panel, name)[t, i] for name in FIELDS)]
        for t in range(len(panel))
        for i, symbol in enumerate(panel.symbols)
    ]
    pd.DataFrame(rows, columns=["date", "symbol", *FIELDS]).to_csv(path, index=False)


def test_fault_52_a_full_disk_is_noticed_before_any_request(paper: Paper, server: FakeAlpaca) -> None:
    with largest_file(30_000):
        said = paper("once", *TWO)
    assert said.code == 2
    assert "--state paper cannot be written: File too large; nothing was sent" in said.err
    assert server.requests == []
    assert paper("once", *TWO).code == 0


def test_fault_52_a_journal_that_cannot_grow_ends_the_session_before_any_order(
    paper: Paper, server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marsfolio.paper.setup._check_writable", lambda state: None)
    with largest_file(60_000):
        said = paper("once", *TWO)
    assert said.code == 3
    assert "cannot be read or written" in said.err
    assert server.posts() == []
    assert paper("once", *TWO).code == 0


def test_fault_52_a_read_only_folder_is_refused(
    paper: Paper, server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, **_: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", read_only)
    said = paper("once", *TWO)
    assert said.code == 2
    assert "--state paper cannot be written: Read-only file system" in said.err
    assert server.requests == []


def test_fault_53_a_locked_journal_is_temporary(
    paper: Paper, server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "at", partial(Journal.at, busy_seconds=0.01))
    assert paper("once", *TWO).code == 0
    server.clock.set(at(24, 10))
    posts = len(server.posts())
    other = sqlite3.connect("paper/paper.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    said = paper("once")
    assert said.code == 3
    assert "locked by another process for 0.01 s" in said.err
    assert len(server.posts()) == posts
    other.close()
    assert paper("once").code == 0


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00" + b"\xff" * 8000, None])
def test_fault_54_a_damaged_journal_is_named_and_left_alone(
    paper: Paper, server: FakeAlpaca, content: bytes | None
) -> None:
    assert paper("once", *TWO).code == 0
    server.clock.set(at(24, 10))
    path, posts = Path("paper/paper.db"), len(server.posts())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    before = files(Path("paper"))
    for command in (("once",), ("once", "--dry-run"), ("check",), ("audit",), ("halt",), ("resume",)):
        said = paper(*command)
        assert said.code == 2, command
        assert "paper.db" in said.out + said.err
        assert {name: data for name, data in files(Path("paper")).items() if name.suffix == ".db"} == {
            name: data for name, data in before.items() if name.suffix == ".db"
        }
    assert len(server.posts()) == posts


def test_fault_54_a_journal_that_is_gone_is_not_begun_anew(paper: Paper, server: FakeAlpaca) -> None:
    assert paper("once", *TWO).code == 0
    Path("paper/paper.db").unlink()
    for command in (("once",), ("once", "--dry-run"), ("check",)):
        said = paper(*command)
        assert said.code == 2
        assert "restore the file from a copy" in said.out + said.err
    assert not Path("paper/paper.db").exists()


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("pickle-was-run",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


@pytest.fixture
def exchange() -> Iterator[FakeAlpaca]:
    """Return the venue that trades S0, S1 and S2, on the 50th day of their market."""
    market = FakeMarket.from_panel(small_market())
    with FakeAlpaca(market, cash=100_000.0, now=market.hours[market.sessions[50]].open) as server:
        yield server


@pytest.fixture
def learned(
    exchange: FakeAlpaca, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Paper:
    return paper_on(exchange, tmp_path, monkeypatch, capsys)


def test_a_sound_model_trades(learned: Paper, exchange: FakeAlpaca, model: Path) -> None:
    assert learned("check", "--model", "model").code == 0
    assert learned("once", "--model", "model").code == 0
    assert exchange.posts()


def nan_weights(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    broken = {
        name: torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    forge(folder, WEIGHTS, safetensors.torch.save(broken))


MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "55 truncated": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100]),
        "is damaged: its sha256",
    ),
    "55 empty": (lambda folder: (folder / WEIGHTS).write_bytes(b""), "is damaged: its sha256"),
    "55 gone": (lambda folder: (folder / WEIGHTS).unlink(), "cannot read"),
    "55 truncated and forged": (
        lambda folder: forge(folder, WEIGHTS, (folder / WEIGHTS).read_bytes()[:-100]),
        "does not fit together",
    ),
    "56 a pickle": (lambda folder: forge(folder, WEIGHTS, pickle.dumps(Bomb())), "does not fit together"),
    "57 fewer symbols": (
        lambda folder: edit_manifest(folder, lambda manifest: manifest.update(symbols=["S0", "S1"])),
        "does not fit together",
    ),
    "57 other features": (
        lambda folder: edit_manifest(folder, lambda manifest: manifest.update(features=["price", "rsi"])),
        "does not fit together: its features are ['price', 'rsi'], those of its settings",
    ),
    "57 another window": (
        lambda folder: edit_manifest(folder, lambda manifest: manifest.update(lookback_bars=20)),
        "does not fit together: its lookback_bars are 20, those of its settings 40",
    ),
    "57 fewer features": (
        lambda folder: edit_manifest(
            folder, lambda manifest: [part.update(features=["price"]) for part in (manifest, manifest["settings"])]
        ),
        "does not fit together: its statistics have the shape (3, 5)",
    ),
    "58 not a number": (nan_weights, "not finite"),
}


@pytest.mark.parametrize("name", MODELS)
def test_faults_55_to_58_a_model_that_is_none_sends_nothing(
    learned: Paper, exchange: FakeAlpaca, model: Path, name: str
) -> None:
    damage, told = MODELS[name]
    damage(model)
    said = learned("once", "--model", "model")
    assert said.code == 2
    assert told in said.err
    assert exchange.posts() == []
    assert not Path("pickle-was-run").exists()


def test_fault_57_a_model_trades_its_own_symbols_alone(learned: Paper, exchange: FakeAlpaca, model: Path) -> None:
    said = learned("once", "--model", "model", "--symbols", "S0,S1,S9")
    assert said.code == 2
    assert "the model trades the 3 symbols it was trained on alone" in said.err
    assert exchange.requests == []


def test_fault_57_a_model_changed_under_its_account_is_refused(
    learned: Paper, exchange: FakeAlpaca, model: Path
) -> None:
    assert learned("once", "--model", "model").code == 0
    edit_manifest(model, lambda manifest: manifest.update(symbols=["S1", "S0", "S2"]))
    exchange.clock.to_close()
    exchange.clock.to_open()
    posts = len(exchange.posts())
    said = learned("once")
    assert said.code == 2
    assert "its model is" in said.err or "its symbols is" in said.err
    assert len(exchange.posts()) == posts


@pytest.mark.parametrize("file", ["model/manifest.json", "model/weights.safetensors"])
def test_a_model_that_changes_while_the_service_runs_stops_it(
    learned: Paper, exchange: FakeAlpaca, model: Path, file: str
) -> None:
    # As the session begins, the model was loaded already.
    def change(call: object) -> None:
        Path(file).write_bytes(Path(file).read_bytes() + b" ")

    exchange.faults.add(GET_ACCOUNT, effects.callback(change))
    said = learned("once", "--model", "model")
    assert said.code == 4
    assert "nothing was traded" in said.err
    assert exchange.posts() == []


OWN = """
import numpy as np

def weights(observation):
    return np.array({})
"""


@pytest.mark.parametrize(
    ("weights", "told"),
    [("[np.inf, 0.1]", "must be finite"), ("[-0.2, 0.5]", "must not be negative"), ("[0.9, 0.9]", "sum to at most 1")],
)
def test_fault_58_weights_of_an_own_strategy_that_are_no_portfolio_send_nothing(
    paper: Paper, server: FakeAlpaca, weights: str, told: str
) -> None:
    Path("own.py").write_text(OWN.format(weights))
    said = paper("once", "--strategy", "own.py:weights", *TWO[2:])
    assert said.code == 2
    assert told in said.err
    assert server.posts() == []


def test_an_own_strategy_that_changes_while_the_service_runs_stops_it(paper: Paper, server: FakeAlpaca) -> None:
    Path("own.py").write_text(OWN.format("[0.2, 0.2]"))
    edit = effects.callback(lambda call: Path("own.py").write_text(OWN.format("[0.3, 0.2]")))
    server.faults.add(GET_ACCOUNT, edit)
    said = paper("once", "--strategy", "own.py:weights", *TWO[2:])
    assert said.code == 4
    assert "own.py was changed while the service ran" in said.err
    assert server.posts() == []


@pytest.mark.parametrize("name", [KEY, SECRET])
@pytest.mark.parametrize("value", [None, "", "  ", "PKABCDEFGHIJ\n", "PK ABCDEFGHIJ", "“PKABCDEFGHIJ”"])
def test_fault_59_a_broken_key_is_named_and_never_shown(
    paper: Paper, server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    for command in ("once", "check"):
        said = paper(command, *TWO, "--state", command)
        assert said.code == 2
        assert name in said.out + said.err
        assert "ABCDEFGHIJ" not in said.out + said.err
    assert server.requests == []


def test_fault_60_neither_key_nor_secret_is_written_anywhere(
    paper: Paper, server: FakeAlpaca, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = [paper("once", *TWO)]
    echo = {"message": f"who is {server.key} with {server.secret}?", "code": 40110000}
    for effect in (effects.status(500, echo), effects.status(403, echo)):
        server.faults.add(match(), effect, times=None)
        said += [paper(command) for command in ("once", "check", "status", "halt")]
        server.faults.clear()
    said += [paper("resume"), paper("report"), paper("audit", "--out", "audit.jsonl")]
    server.clock.set(at(24, 10))
    server.faults.add(POST_ORDER, effects.status(422, echo), times=None)
    said += [paper("once"), paper("status"), paper("check")]
    assert {code for code, _, _ in said} >= {0, 3, 4}
    everything = [out + err for _, out, err in said] + [caplog.text]
    everything += [data.decode("latin-1") for data in files(tmp_path).values()]
    assert "***" in "".join(everything)
    for text in everything:
        assert server.key not in text
        assert server.secret not in text


@pytest.mark.parametrize(
    "url", ["https://api.alpaca.markets", "https://paper-api.alpaca.markets.example.com", "http://10.0.0.1:80"]
)
def test_fault_61_a_host_that_could_spend_money_is_refused_before_a_request(
    paper: Paper, server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv(TRADING, url)
    for command in ("once", "check"):
        said = paper(command, *TWO)
        assert said.code == 4
        assert f"{TRADING} must be https://paper-api.alpaca.markets or a loopback address" in said.out + said.err
    assert server.requests == []


def test_fault_61_live_keys_are_refused_before_a_request(
    paper: Paper, server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRADING)
    monkeypatch.setenv(KEY, "AKABCDEFGHIJ")
    said = paper("once", *TWO)
    assert said.code == 4
    assert "is the key of a live account" in said.err
    assert "AKABCDEFGHIJ" not in said.err
    assert server.requests == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--strategy", "buy_and_hold"), "its strategy is equal_weight, now buy_and_hold"),
        (("--symbols", "AAA"), "its symbols is ['AAA', 'BBB'], now ['AAA']"),
        (("--cap", "0.1"), "its limits is None, now [0.1,"),
        (("--fractional",), "its fractional is False, now True"),
    ],
)
def test_fault_62_another_strategy_with_the_old_state_is_refused(
    paper: Paper, server: FakeAlpaca, change: tuple[str, ...], told: str
) -> None:
    server.clock.set(at(24, 8))
    assert paper("once", *TWO).code == 0
    posts, before = len(server.posts()), Path("paper/config.toml").read_bytes()
    said = paper("once", *change)
    assert said.code == 2
    assert told in said.err
    assert "give each strategy a --state of its own" in said.err
    assert len(server.posts()) == posts
    assert Path("paper/config.toml").read_bytes() == before


def test_fault_62_another_account_with_the_old_state_is_refused(paper: Paper, server: FakeAlpaca) -> None:
    server.clock.set(at(24, 8))
    assert paper("once", *TWO).code == 0
    server.account.fields["id"] = "11111111-2222-3333-4444-555555555555"
    posts = len(server.posts())
    said = paper("once")
    assert said.code == 4
    assert "or another --state for the new one" in said.err
    assert len(server.posts()) == posts


def test_fault_63_a_limit_that_is_hit_asks_and_a_person_agrees(paper: Paper, server: FakeAlpaca) -> None:
    said = paper("once", *TWO, "--max-turnover", "0.2")
    assert said.code == 4
    assert "turnover would be 49.6% of equity, the limit is 20.0%" in said.err
    assert paper("once").code == 4
    assert server.posts() == []
    assert paper("resume").code == 0
    assert paper("once").code == 0
    assert len(server.posts()) == 2


def test_fault_65_a_signal_in_the_middle_ends_the_run_and_the_next_goes_on(paper: Paper, server: FakeAlpaca) -> None:
    stop = effects.callback(lambda call: os.kill(os.getpid(), signal.SIGTERM), "after")
    server.faults.add(POST_ORDER, stop)
    said = paper("once", *TWO)
    assert said.code == 130
    assert "the next run goes on" in said.err
    assert len(server.posts()) == 1
    assert paper("once").code == 0
    assert sorted(order.symbol for order in server.orders) == ["AAA", "BBB"]
