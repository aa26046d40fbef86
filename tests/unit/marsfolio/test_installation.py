from pathlib import Path

import pytest

from engine.errors import ConfigError
from marsfolio.installation import check_rooms


def test_the_rooms_of_this_checkout_are_its_own() -> None:
    check_rooms()


def test_a_room_found_elsewhere_is_named_with_both_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'engine' is .*engine, and marsfolio's own is in"):
        check_rooms(tmp_path)
