from __future__ import annotations

import pytest
from evaluations import TINY

from agents import settings
from engine.errors import ConfigError
from engine.rebalancer import Schedule
from marsfolio.evaluation.methods import REFERENCE, Overrides, parse_methods


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.SETTINGS, "tiny", TINY)
    monkeypatch.setitem(settings.ABLATIONS, "tiny", {"plain": TINY})


def test_names_mean_settings_ablations_and_baselines_on_a_schedule() -> None:
    names = ["tiny", "tiny/plain", "equal_weight", "buy_and_hold:weekly", "tiny"]
    methods = parse_methods(names)
    assert [method.name for method in methods] == [*names[:-1], REFERENCE]
    assert [method.is_learned for method in methods] == [True, True, False, False, False]
    assert [method.schedule for method in methods[2:]] == [Schedule.DAILY, Schedule.WEEKLY, Schedule.MONTHLY]


def test_overrides_reach_the_settings_that_have_them_and_change_their_identity() -> None:
    (plain, _), (changed, _) = (
        parse_methods(["tiny"], over) for over in (None, Overrides({"episodes": ["9", "tiny=1"]}))
    )
    assert changed.settings is not None
    assert changed.settings.episodes == 1
    assert plain.identity() != changed.identity()


def test_an_override_reaches_the_setting_it_names_and_its_ablations() -> None:
    names = ["tiny", "tiny/plain", "marsfolio"]
    own = {method.name: method.settings for method in parse_methods(names) if method.settings}
    over = Overrides({"episodes": ["tiny=7"], "update_every": ["3"]})
    found = {method.name: method.settings for method in parse_methods(names, over) if method.settings}
    assert [found[name].episodes for name in names] == [7, 7, own["marsfolio"].episodes]
    assert found["tiny"].to_dict()["update_every"] == 3
    assert "update_every" not in found["marsfolio"].to_dict()


@pytest.mark.parametrize(
    ("text", "message"), [("0", "from 1 on"), ("x", "from 1 on"), ("tini=3", "did you mean 'tiny'")]
)
def test_an_override_that_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Overrides({"episodes": [text]})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tinny", "did you mean 'tiny'"),
        ("tiny/plane", "did you mean 'tiny/plain'"),
        ("equal_weigth:monthly", "did you mean 'equal_weight'"),
        ("equal_weight:yearly", "must be one of daily, weekly, monthly, was 'yearly'"),
        ("tiny:daily", "is no baseline"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_methods([name])


def test_no_method_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one method"):
        parse_methods([])
