"""Pages of the documentation as something to run: their shell and Python blocks, line by line."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from marsfolio.cli import main

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def pages() -> list[Path]:
    """Return the README and every page below docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language, what stands behind it, and text of each fenced block."""
    yield from _BLOCK.findall(page.read_text(encoding="utf-8"))


def run_page(page: Path, folder: Path, extra: Mapping[str, str]) -> int:
    """Run the blocks of a page in a folder, which is the current one, and return how many commands there were.

    Parameters
    ----------
    extra : command to flags that are added to it, to make it quicker.
    """
    count = 0
    for language, rest, text in blocks(page):
        title = re.search(r'title="([^"]+)"', rest)
        if title:
            (folder / title[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, str(page), "exec"), {})
        elif language == "sh" and not text.startswith("# needs "):
            for line in text.replace("\\\n", " ").splitlines():
                run_line(line, page, extra)
                count += 1
    return count


def run_line(line: str, page: Path, extra: Mapping[str, str]) -> None:
    """Run one line of a shell, our own commands in this process; anything but success is an error."""
    words = shlex.split(line, comments=True)
    if not words:
        return
    if words[0] != "marsfolio":
        subprocess.run(line, shell=True, check=True, timeout=60)
        return
    with pytest.raises(SystemExit) as ended:
        main([*words[1:], *shlex.split(extra.get(words[1], ""))])
    assert ended.value.code == 0, f"{page.name}: `{line}` ended with {ended.value.code}"
