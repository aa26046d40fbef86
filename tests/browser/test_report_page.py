"""The pages in a real browser: nothing is asked of the network, switches work, numbers are those of the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytestmark = pytest.mark.browser

Pages = dict[str, Path]
PATIENCE = 60  # seconds, for a busy machine: nothing waits longer than it must
EVERY = ("full", "judged", "short", "one_session", "two_sessions", "no_fills", "comparison", "evaluation")
DRAWN = "return [...document.querySelectorAll('.chart')].every(chart => chart.querySelector('.main-svg'))"


def wait(browser: Any, condition: Callable[[Any], Any]) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE, poll_frequency=0.05).until(condition)


def visit(browser: Any, page: Path, width: int = 1280, scheme: str = "light") -> None:
    """Open a page as a window of this width and a system of this colour scheme show it, with all charts drawn."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    prefer(browser, scheme)
    for log in ("browser", "performance"):
        browser.get_log(log)  # what is there belongs to the page before
    browser.get(page.as_uri())
    wait(browser, lambda window: window.execute_script(DRAWN))


def prefer(browser: Any, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def layout(browser: Any, chart: str, path: str) -> Any:
    """Return a part of a chart's layout, such as ``yaxis.type``."""
    return browser.execute_script(f"return document.getElementById('{chart}')._fullLayout.{path}")


def titles(browser: Any, selector: str) -> list[tuple[str, str, str]]:
    """Return name, title and text of the numbers that a selector finds."""
    script = "return [...document.querySelectorAll(arguments[0])].map(e => [e.dataset.name, e.title, e.innerText])"
    return [tuple(found) for found in browser.execute_script(script, selector)]


def brightness(browser: Any, element: str, style: str) -> float:
    colour = browser.execute_script(f"return getComputedStyle(document.querySelector('{element}')).{style}")
    return sum(float(part) for part in colour.strip("rgba()").split(",")[:3]) / 3


@pytest.mark.parametrize("name", EVERY)
def test_a_page_loads_without_a_word_on_the_console_or_to_the_network(browser: Any, pages: Pages, name: str) -> None:
    visit(browser, pages[name])
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    parts = browser.find_elements("css selector", "main > :not(footer)")  # the footer explains "undefined"
    text = " ".join(part.text for part in parts)
    assert not [word for word in ("NaN", "undefined", "None", "null", "Infinity") if word in text]


def test_all_charts_of_a_full_run_are_drawn(browser: Any, pages: Pages) -> None:
    visit(browser, pages["full"])
    charts = browser.execute_script("return [...document.querySelectorAll('.chart')].map(chart => chart.id)")
    assert charts == [
        *("equity", "drawdown", "volatility", "sharpe", "agents", "holdings", "exposure", "turnover", "paid")
    ]
    names = browser.execute_script("return document.getElementById('equity').data.map(trace => trace.name)")
    assert sorted(names) == ["Benchmark", "Strategy"]


@pytest.mark.parametrize("name", ["full", "comparison"])
def test_the_log_switch_works_by_mouse(browser: Any, pages: Pages, name: str) -> None:
    visit(browser, pages[name])
    switch = browser.find_element("css selector", "button.switch")
    assert layout(browser, "equity", "yaxis.type") == "linear"
    for wanted, pressed in (("log", "true"), ("linear", "false")):
        switch.click()
        wait(browser, lambda window, wanted=wanted: layout(window, "equity", "yaxis.type") == wanted)
        assert switch.get_attribute("aria-pressed") == pressed
    assert layout(browser, "drawdown", "yaxis.type") == "linear"


@pytest.mark.parametrize("name", ["full", "comparison"])
def test_the_log_switch_works_by_keyboard(browser: Any, pages: Pages, name: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    visit(browser, pages[name])
    for _ in range(20):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        if browser.switch_to.active_element.get_attribute("class") == "switch":
            break
    for key, wanted in ((Keys.SPACE, "log"), (Keys.ENTER, "linear")):
        browser.switch_to.active_element.send_keys(key)
        wait(browser, lambda window, wanted=wanted: layout(window, "equity", "yaxis.type") == wanted)


def test_a_logarithmic_axis_survives_a_change_of_the_colour_scheme(browser: Any, pages: Pages) -> None:
    visit(browser, pages["full"])
    browser.find_element("css selector", "button.switch").click()
    wait(browser, lambda window: layout(window, "equity", "yaxis.type") == "log")
    light = layout(browser, "equity", "font.color")
    prefer(browser, "dark")
    wait(browser, lambda window: layout(window, "equity", "font.color") != light)
    assert layout(browser, "equity", "yaxis.type") == "log"


def test_a_stretch_of_time_chosen_in_one_chart_is_shown_in_all(browser: Any, pages: Pages) -> None:
    visit(browser, pages["full"])
    browser.execute_script(
        "Plotly.relayout('equity', {'xaxis.range[0]': '2024-06-03', 'xaxis.range[1]': '2024-09-02'})"
    )
    for chart in ("drawdown", "sharpe", "holdings", "paid"):
        wait(browser, lambda window, chart=chart: layout(window, chart, "xaxis.range[0]").startswith("2024-06-03"))


@pytest.mark.parametrize("name", ["full", "judged", "one_session", "no_fills"])
def test_every_metric_equals_metrics_json(browser: Any, pages: Pages, name: str) -> None:
    visit(browser, pages[name])
    metrics = json.loads((pages[name].parent / "metrics.json").read_text())
    shown = {metric: title for metric, title, _ in titles(browser, "#metrics td[data-name]")}
    assert shown == {metric: "null" if value is None else str(value) for metric, value in metrics.items()}
    for metric, title, text in titles(browser, ".tile[data-name]"):
        assert title == shown.get(metric, title)
        assert text.strip()


def test_intervals_and_percentiles_stand_beside_the_metrics(browser: Any, pages: Pages) -> None:
    visit(browser, pages["judged"])
    statistics = json.loads((pages["judged"].parent / "statistics.json").read_text())
    shown = {name: title for name, title, _ in titles(browser, "#metrics span[data-name]")}
    for metric, (low, high) in statistics["intervals"].items():
        assert (shown[f"{metric}_low"], shown[f"{metric}_high"]) == (str(low), str(high))
    assert shown["total_return_better_than"] == "0.3"
    assert float(shown["max_drawdown_better_than"]) == pytest.approx(0.7)


def test_returns_by_month_are_those_of_equity_csv(browser: Any, pages: Pages) -> None:
    visit(browser, pages["full"])
    table = pd.read_csv(pages["full"].parent / "equity.csv", parse_dates=["session"]).set_index("session")["equity"]
    ends = table.resample("ME").last()
    wanted = ends / ends.shift(fill_value=table.iloc[0]) - 1
    shown = [
        cell for cell in titles(browser, "#months td[data-name^=return_]") if len(cell[0]) == len("return_2024-01")
    ]
    assert [name for name, _, _ in shown] == [f"return_{day:%Y-%m}" for day in wanted.index]
    assert [float(title) for _, title, _ in shown] == pytest.approx(list(wanted), abs=1e-12)
    assert [text for _, _, text in shown] == [f"{100 * change:z.1f}" for change in wanted]


@pytest.mark.parametrize(("name", "width"), [*((name, 390) for name in EVERY), ("judged", 768), ("comparison", 768)])
def test_a_narrow_page_does_not_scroll_sideways(browser: Any, pages: Pages, name: str, width: int) -> None:
    visit(browser, pages[name], width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    script = "return [...document.querySelectorAll('main > *')].map(e => e.getBoundingClientRect().right)"
    assert max(browser.execute_script(script)) <= width


def test_on_a_phone_the_months_scroll_inside_their_box(browser: Any, pages: Pages) -> None:
    visit(browser, pages["full"], width=390)
    script = "const box = document.querySelector('#months').parentElement; return box.scrollWidth - box.clientWidth"
    assert browser.execute_script(script) > 0
    script = """const box = document.querySelector('#months').parentElement; box.scrollLeft = 200;
    return box.querySelector('tbody th').getBoundingClientRect().left - box.getBoundingClientRect().left"""
    assert browser.execute_script(script) == pytest.approx(0, abs=3)  # the year stays in sight, within its border


@pytest.mark.parametrize("name", ["full", "comparison"])
def test_the_colour_scheme_of_the_system_applies(browser: Any, pages: Pages, name: str) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        visit(browser, pages[name], scheme=scheme)
        parts = {"page": ("body", "backgroundColor"), "text": ("h1", "color"), "card": ("section", "backgroundColor")}
        seen[scheme] = {part: brightness(browser, *of) for part, of in parts.items()}
        chart = layout(browser, "equity", "font.color")
        assert chart == browser.execute_script(
            "return getComputedStyle(document.documentElement).getPropertyValue('--soft').trim()"
        )
        assert abs(seen[scheme]["text"] - seen[scheme]["card"]) > 150
    assert seen["dark"]["page"] < 60 < 200 < seen["light"]["page"]


def test_the_comparison_shows_the_metrics_of_each_run_over_the_shared_sessions(browser: Any, pages: Pages) -> None:
    visit(browser, pages["comparison"])
    script = "return [...document.querySelectorAll('#metrics td[data-run=short]')].map(e => [e.dataset.name, e.title])"
    metrics = json.loads((pages["short"].parent / "metrics.json").read_text())
    shown = dict(browser.execute_script(script))
    assert len(shown) == 15
    assert shown == {name: str(metrics[name]) for name in shown}
    names = browser.execute_script("return document.getElementById('equity').data.map(trace => trace.name)")
    assert names == ["full", "judged", "short"]
    assert "compared on the 260 they share" in browser.find_element("css selector", ".remarks").text


def test_an_evaluation_draws_each_window_on_its_own_time(browser: Any, pages: Pages) -> None:
    visit(browser, pages["evaluation"])
    charts = browser.execute_script("return [...document.querySelectorAll('.chart')].map(chart => chart.id)")
    assert charts == [
        *("equity-2022", "equity-2023", "halves-2022-ours", "halves-2023-ours", "curves-2022", "curves-2023")
    ]
    assert layout(browser, "equity-2022", "xaxis.type") == "date"
    assert layout(browser, "curves-2022", "xaxis.type") == "linear"
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
