"""Every command and snippet of the documentation works as it stands there; marks and links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from documents import ROOT, blocks, pages, run_page

from agents.profiles.settings import MARSFOLIO
from agents.settings import SETTINGS
from engine.tradelog import CASH_FLOW_COLUMNS, COLUMNS, ROUND_TRIP_COLUMNS
from marsfolio.runs import EQUITY_COLUMNS

pytestmark = pytest.mark.process

QUICKER = {"backtest": "--null-paths 0"}
"""Random portfolios are tested elsewhere."""

FILES = (
    "config.toml",
    "equity.csv",
    "trades.csv",
    "cash_flows.csv",
    "round_trips.csv",
    "decisions.parquet",
    "metrics.json",
)

RUN = [page for page in pages() if any(language in ("sh", "python") for language, _, _ in blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_a_page_works_from_top_to_bottom(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = replace(MARSFOLIO, episodes=2, controller_episodes=2, critic_episodes=2, members=1)
    monkeypatch.setitem(SETTINGS, "marsfolio", short)
    run_page(page, tmp_path, QUICKER)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_message_of_the_troubleshooting_page_is_one_of_ours() -> None:
    said = "\n".join(text for path in sorted(ROOT.glob("[a-z]*/**/*.py")) for text in texts(path))
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^`([^`]+)`$", page, re.MULTILINE)
    assert len(messages) > 10
    for message in messages:
        for part in message.split("..."):
            assert part in said, f"nothing says {part!r}"


def texts(path: Path) -> list[str]:
    """Return the texts of a module, with nothing where values go."""
    if path.is_relative_to(ROOT / "tests"):
        return []
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in docstrings:
            continue
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def test_the_reference_is_that_of_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    reference = importlib.import_module("reference")
    for name, made in (("commands", reference.commands_page()), ("configuration", reference.configuration_page())):
        text = (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")
        assert text == made, f"docs/reference/{name}.md is old: run `python tools/reference.py`"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    config = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    (tmp_path / "zensical.toml").write_text(config.replace('paths = ["."]', f'paths = ["{ROOT}"]'), encoding="utf-8")
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "Sharpe" in (tmp_path / "site" / "concepts" / "statistics" / "index.html").read_text(encoding="utf-8")


def test_the_formats_have_every_file_and_column_of_a_run() -> None:
    page = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    columns = {*EQUITY_COLUMNS, *COLUMNS, *ROUND_TRIP_COLUMNS, *CASH_FLOW_COLUMNS}
    for name in (*sorted(columns), *FILES):
        assert f"`{name}`" in page, name
