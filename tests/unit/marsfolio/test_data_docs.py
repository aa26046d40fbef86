"""The commands of docs/data.md run as they stand there, but for those marked as needing keys or the internet."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from marsfolio.cli import main

PAGE = Path(__file__).parents[3] / "docs" / "data.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
HEREDOC = re.compile(r"cat > (\S+) <<'END'\n(.*?)END\n", re.DOTALL)


@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.startswith("# needs")])
def test_the_commands_of_the_page_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in HEREDOC.findall(block):
        Path(name).write_text(text)
    for line in HEREDOC.sub("", block).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "marsfolio"
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code, line
