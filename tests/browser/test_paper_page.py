"""The status page in a real browser: it follows its account, switches trading, and suits thumbs and keyboards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from paper_accounts import add_close, write_account, write_health
from test_report_page import prefer, wait

from live.journal import Journal
from marsfolio.page.app import Site
from marsfolio.page.commands import Told
from marsfolio.page.security import Keys
from marsfolio.page.serving import listening, server_of
from marsfolio.page.showing import Showing

pytestmark = pytest.mark.browser

TOKEN = "correct horse battery"
PHONE = 375
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


@dataclass
class Served:
    """A page, and the folder of its account."""

    url: str
    state: Path


async def switch(state: Path, what: str, reason: str) -> Told:
    """Do to the journal what halt and resume do, without a broker."""
    journal = Journal.at(state / "paper.db")
    with journal.writing() as writer:
        halt = {"time_utc": "2024-01-16T15:00:00+00:00", "reason": reason}
        writer.set_value("halt", halt if what == "halt" else None)
    journal.dispose()
    return Told(0, (f"{what} was done",))


def serve(state: Path, access: str | None) -> Iterator[Served]:
    with listening("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        server = server_of(Site(Showing.of(state), Keys(access or TOKEN, access), port=port, switch=switch))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield Served(f"http://127.0.0.1:{port}/", state)
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    state = write_account(tmp_path_factory.mktemp("served") / "state", 40, n_symbols=12)
    write_health(state, datetime.now(UTC), next_start_utc="2024-02-28T14:00:00Z", last_session="2024-02-26")
    yield from serve(state, None)


@pytest.fixture(scope="module")
def guarded(served: Served) -> Iterator[Served]:
    yield from serve(served.state, "sixteen characters")


def visit(browser: Any, url: str, width: int = 1280, scheme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    prefer(browser, scheme)
    browser.get_log("browser")
    browser.get(url)
    wait(browser, lambda window: window.execute_script("return !!document.querySelector('#equity svg path')"))


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def text(browser: Any, selector: str) -> str:
    # As one script: the part may be replaced between finding it and reading it.
    found: str = browser.execute_script(f"return document.querySelector('{selector}')?.innerText || ''")
    return found


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def focused(browser: Any) -> str:
    name: str = browser.execute_script("const e = document.activeElement; return e.id || e.className || e.tagName")
    return name


def test_the_page_loads_without_a_word_on_the_console(browser: Any, served: Served) -> None:
    visit(browser, served.url)
    drawn = "return [...document.querySelectorAll('.plot')].map(plot => plot.querySelectorAll('svg path').length > 0)"
    assert browser.execute_script(drawn) == [True, True, True]
    asked = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    assert all(name.startswith(served.url) for name in browser.execute_script(asked))
    page = text(browser, "main")
    assert not [word for word in ("NaN", "undefined", "None", "null", "Infinity") if word in page]
    assert browser.get_log("browser") == []


def test_times_are_in_the_zone_of_the_reader_with_new_york_beside(browser: Any, served: Served) -> None:
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    visit(browser, served.url)
    assert text(browser, "[data-part=health] time").split("\n") == ["Wed 28 Feb, 23:00", "09:00 New York"]
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Pacific/Auckland"})
    visit(browser, served.url)
    assert text(browser, "[data-part=health] time").split("\n") == ["Thu 29 Feb, 03:00", "Wed 28 Feb, 09:00 New York"]
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "America/New_York"})
    visit(browser, served.url)
    assert text(browser, "[data-part=health] time") == "Wed 28 Feb, 09:00"
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_trading_is_halted_and_resumed_with_a_word_and_the_token(browser: Any, served: Served) -> None:
    visit(browser, served.url, width=PHONE)
    for what, word, after in (("halt", "HALT", "Halted"), ("resume", "RESUME", "Trading on")):
        find(browser, f"#open-{what}").click()
        button = find(browser, f"#{what} button:not([type])")
        find(browser, f"#{what}-token").send_keys(TOKEN)
        find(browser, f"#{what}-word").send_keys("YES")
        assert not button.is_enabled()
        find(browser, f"#{what}-word").clear()
        find(browser, f"#{what}-word").send_keys(word.lower())
        if what == "halt":
            find(browser, "#halt-reason").send_keys("a drill")
        button.click()
        wait(browser, lambda window, what=what: f"{what} was done" in text(window, f"#{what} .result"))
        wait(browser, lambda window, after=after: text(window, ".pill.big") == after)
        assert ("a drill" in text(browser, "[data-part=alerts]")) is (what == "halt")
        assert find(browser, f"#{what}-token").get_attribute("value") == ""
        find(browser, f"#{what} [data-close]").click()
    assert browser.get_log("browser") == []


def test_a_wrong_token_is_said_in_the_dialog(browser: Any, served: Served) -> None:
    visit(browser, served.url)
    find(browser, "#open-halt").click()
    find(browser, "#halt-word").send_keys("HALT")
    find(browser, "#halt-token").send_keys("a guess\n")
    wait(browser, lambda window: "That is not the token" in text(window, "#halt .result"))
    assert text(browser, ".pill.big") == "Trading on"
    browser.get_log("browser")  # the browser itself remarks on 403


def test_the_page_follows_the_journal_and_keeps_the_place_of_its_reader(browser: Any, served: Served) -> None:
    visit(browser, served.url)
    browser.execute_script(
        "document.querySelector('#sessions-box').scrollTop = 90; document.querySelector('#open-halt').focus();"
    )
    day = add_close(served.state, 54_321.0)
    wait(browser, lambda window: "54,321.00" in text(window, "[data-part=tiles]"))
    assert str(day) in text(browser, "#equity .readout")
    assert browser.execute_script("return document.querySelector('#sessions-box').scrollTop") == 90
    assert focused(browser) == "open-halt"
    browser.execute_script("document.querySelector('#equity-chart').focus()")
    add_close(served.state, 54_322.0)
    browser.execute_script("look()")
    wait(browser, lambda window: "54,322.00" in text(window, "[data-part=tiles]"))
    assert focused(browser) == "equity-chart"


def test_a_server_that_went_away_is_said_and_what_was_known_stays(browser: Any, served: Served) -> None:
    visit(browser, served.url)
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    for gone in (True, False):
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": gone, **conditions})
        browser.execute_script("look()")
        wait(browser, lambda window, gone=gone: ("does not answer" in text(window, "#offline")) is gone)
        assert "Equity" in text(browser, "[data-part=tiles]")
    browser.get_log("browser")  # the browser itself remarks on what could not be had


def test_a_date_opens_the_orders_of_its_session(browser: Any, served: Served) -> None:
    visit(browser, served.url)
    find(browser, "[data-session='2024-01-10']").click()
    wait(browser, lambda window: "Orders of 2024-01-10" in text(window, "#orders"))
    assert len(browser.find_elements("css selector", "#orders tbody tr")) == 12
    find(browser, "#orders [data-close]").click()
    assert not find(browser, "#orders").is_displayed()


def test_a_shorter_stretch_is_drawn_and_read_with_the_arrow_keys(browser: Any, served: Served) -> None:
    from selenium.webdriver.common.keys import Keys

    visit(browser, served.url)
    points = "return document.querySelector('#equity path').getAttribute('d').split('L').length"
    assert browser.execute_script(points) >= 40
    find(browser, "#range-1M").click()
    assert browser.execute_script(points) == 21
    assert find(browser, "#range-1M").get_attribute("aria-pressed") == "true"
    browser.execute_script("document.querySelector('#equity-chart').focus()")
    last = text(browser, "#equity .readout")
    press(browser, Keys.ARROW_LEFT)
    assert text(browser, "#equity .readout") != last
    press(browser, Keys.END)
    assert text(browser, "#equity .readout") == last


def test_everything_is_reached_by_the_tabulator_in_the_order_of_the_page(browser: Any, served: Served) -> None:
    from selenium.webdriver.common.keys import Keys

    visit(browser, served.url)
    wanted = "return [...document.querySelectorAll('main button, main [tabindex=\"0\"], .skip')].length"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    tops, seen = [], []
    for _ in range(browser.execute_script(wanted)):
        press(browser, Keys.TAB)
        seen.append(focused(browser))
        assert browser.execute_script(outline) != "none", seen[-1]
        place = "return document.activeElement.getBoundingClientRect().top + scrollY"
        tops.append(browser.execute_script(place))
    assert seen[:3] == ["skip", "open-halt", "range-1M"]
    parts = [name for name in seen if name in ("orders-today", "holdings-box", "sessions-box")]
    assert parts == ["orders-today", "holdings-box", "sessions-box"]
    assert tops[1] < tops[2] < tops[-1]


def test_a_dialog_is_worked_by_keyboard_and_gives_the_focus_back(browser: Any, served: Served) -> None:
    from selenium.webdriver.common.keys import Keys

    visit(browser, served.url)
    press(browser, Keys.TAB, Keys.TAB, Keys.ENTER)
    wait(browser, lambda window: find(window, "#halt").is_displayed())
    seen = []
    for _ in range(4):
        seen.append(focused(browser))
        press(browser, Keys.TAB)
    assert seen[:3] == ["halt-reason", "halt-word", "halt-token"]
    press(browser, Keys.ESCAPE)
    wait(browser, lambda window: not find(window, "#halt").is_displayed())
    assert focused(browser) == "open-halt"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, served: Served, scheme: str) -> None:
    visit(browser, served.url, scheme=scheme)
    assert browser.execute_script(CONTRAST, "main") == []
    browser.execute_script("document.querySelector('#open-halt').click()")
    assert browser.execute_script(CONTRAST, "#halt") == []
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert dark is (scheme == "dark")


def test_on_a_phone_nothing_scrolls_sideways_and_nothing_is_cut(browser: Any, served: Served) -> None:
    visit(browser, served.url, width=PHONE)
    assert browser.execute_script("return document.documentElement.scrollWidth") == PHONE
    wide = "return [...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1 && "
    wide += "getComputedStyle(e).overflowX !== 'visible' && !e.matches('.sr')).map(e => e.id || e.className)"
    assert browser.execute_script(wide) == []
    right = "return Math.max(...[...document.querySelectorAll('main td, main th, main button, main dd')]"
    right += ".map(e => e.getBoundingClientRect().right))"
    assert browser.execute_script(right) <= PHONE
    small = "return [...document.querySelectorAll('.button')].filter(e => e.offsetHeight && e.offsetHeight < 44).length"
    assert browser.execute_script(small) == 0


def test_the_page_for_other_machines_asks_for_its_token_first(browser: Any, guarded: Served) -> None:
    browser.get(guarded.url)
    assert browser.current_url.endswith("/login")
    assert browser.execute_script(CONTRAST, "main") == []
    find(browser, "#token").send_keys("not the token\n")
    wait(browser, lambda window: "That is not the token" in text(window, "main"))
    browser.get(guarded.url)
    find(browser, "#token").send_keys("sixteen characters\n")
    wait(browser, lambda window: window.execute_script("return !!document.querySelector('#equity svg')"))
    find(browser, "footer .link").click()
    wait(browser, lambda window: window.current_url.endswith("/login"))
    browser.get_log("browser")
