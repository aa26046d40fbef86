"""The README's Python runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

README = Path(__file__).parents[3] / "README.md"


def test_the_policy_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    sessions = pd.bdate_range("2024-01-01", periods=90).strftime("%Y-%m-%d")
    table = pd.DataFrame([(day, name) for day in sessions for name in "ABC"], columns=["date", "symbol"])
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, len(table))))
    table = table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=1000)
    table.to_parquet(tmp_path / "bars.parquet")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["result"].metrics()["n_fills"] > 0  # type: ignore[attr-defined]
