from pathlib import Path

import pytest

from marsfolio.report.writing import write_whole


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_whole(tmp_path / "page.html", content)
        assert (tmp_path / "page.html").read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_what_cannot_be_put_in_its_place_is_not_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    for place in (tmp_path / "page.html", tmp_path / "absent" / "page.html"):
        with pytest.raises(OSError, match=r"page\.html"):
            write_whole(place, b"one")
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]
