"""Compiled code is never older than the sources it was made of."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import engine
from engine import compiled as compiled_module
from engine.compiled import ENGINE_STAMP, compiled

ENGINE_FOLDER = Path(engine.__file__).parent
SOURCES = sorted(path.relative_to(ENGINE_FOLDER) for path in ENGINE_FOLDER.rglob("*.py"))


def dispatchers() -> dict[str, object]:
    found = {}
    for module in pkgutil.walk_packages([str(ENGINE_FOLDER)], "engine."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if hasattr(value, "py_func"):
                found[f"{value.py_func.__module__}.{name}"] = value
    return found


@pytest.fixture
def copied_engine(tmp_path: Path) -> Path:
    folder = tmp_path / "engine"
    shutil.copytree(ENGINE_FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def stamp_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(compiled_module, "__file__", str(folder / "compiled.py"))
        return compiled_module._engine_stamp()


def test_numba_still_keeps_the_stamp_of_its_cache_where_we_set_it() -> None:
    @compiled
    def one() -> int:
        return 1

    assert one._cache._cache_file._source_stamp == ENGINE_STAMP  # type: ignore[attr-defined]


def test_every_compiled_function_of_the_engine_carries_the_stamp_of_the_whole_engine() -> None:
    found = dispatchers()
    for name in ("engine.simulator.simulate", "engine.costs.commission", "engine.limits.project_weights"):
        assert name in found
    for name, dispatcher in found.items():
        assert dispatcher._cache._cache_file._source_stamp == ENGINE_STAMP, name  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_a_change_of_any_source_file_changes_the_stamp(
    source: Path, copied_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stamp_of(copied_engine, monkeypatch)
    path = copied_engine / source
    old = path.stat()
    # An edit that keeps size and time, as of an unpacked archive, and one that keeps neither.
    path.write_text(path.read_text(encoding="utf-8")[:-1] + " ", encoding="utf-8")
    os.utime(path, (old.st_atime, old.st_mtime))
    edited = stamp_of(copied_engine, monkeypatch)
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert len({before, edited, stamp_of(copied_engine, monkeypatch)}) == 3


def test_a_new_or_removed_source_file_changes_the_stamp(copied_engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stamp_of(copied_engine, monkeypatch)
    extra = copied_engine / "metrics" / "extra.py"
    extra.write_text("X = 1\n")
    assert stamp_of(copied_engine, monkeypatch) != before
    extra.unlink()
    assert stamp_of(copied_engine, monkeypatch) == before


PROGRAM = textwrap.dedent("""
    import numpy as np
    from engine.account import Account
    from engine.costs import Costs
    from engine.panel import MarketPanel
    from engine.rebalancer import Terms
    from engine.simulator import _affordable

    bars = np.full((1, 1), 100.0)
    panel = MarketPanel(np.array(["2024-01-02"]), ("A",), bars, bars, bars, bars, bars)
    account = Account(panel, 0, 0, Terms(1000.0, Costs(commission_bps=100.0), fractional=True))
    delta = np.array([10.0])
    price = np.array([100.0])
    _affordable(delta, price, price, price, account._book, account._rules)
    print(repr(float(delta[0])), sum(_affordable.stats.cache_hits.values()))
""")


def run_program(folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    shares, hits = done.stdout.split()
    return float(shares), int(hits)


@pytest.mark.process
def test_a_corrected_cost_is_charged_by_functions_of_other_files_too(copied_engine: Path) -> None:
    folder = copied_engine.parent
    assert run_program(folder) == (pytest.approx(10 / 1.01), 0)
    assert run_program(folder) == (pytest.approx(10 / 1.01), 1)
    costs = copied_engine / "costs.py"
    text = costs.read_text(encoding="utf-8")
    assert text.count("return fee") == 2
    costs.write_text(text.replace("return fee", "return fee * 2"), encoding="utf-8")
    assert run_program(folder) == (pytest.approx(10 / 1.02), 0)
