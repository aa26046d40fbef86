"""The addresses of the status page: who may see what, who may switch, and what no answer ever says."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from paper_accounts import ACCOUNT, add_close, weekdays, write_account, write_health
from starlette.testclient import TestClient

from engine.clock import VirtualClock
from engine.errors import ConfigError, RunFolderError
from live.journal import Journal
from marsfolio.page import security
from marsfolio.page.app import Site
from marsfolio.page.commands import Told
from marsfolio.page.showing import Showing

HERE = "http://127.0.0.1:8765"
TOKEN = "correct horse battery"
NOW = datetime(2024, 2, 1, 15, tzinfo=UTC)


class Switch:
    """Remembers what it was asked to do, and does nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.told = Told(0, ("done as asked",))

    async def __call__(self, state: Path, what: str, reason: str) -> Told:
        self.asked.append((what, reason))
        return self.told


class Ticks:
    """A clock of seconds that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_account(tmp_path_factory.mktemp("page") / "state", 6)


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def visit(state: Path, switch: Switch, ticks: Ticks) -> Callable[..., TestClient]:
    """Return a maker of browsers of a page."""

    def make(access: str | None = None, bound: str = "127.0.0.1", base: str = HERE, folder: Path = state) -> TestClient:
        showing = Showing.of(folder, VirtualClock(NOW))
        keys = security.Keys(access or TOKEN, access)
        site = Site(showing, keys, bound, switch=switch, tries=security.Tries(ticks))
        return TestClient(site.app(), base_url=base, raise_server_exceptions=False, follow_redirects=False)

    return make


def csrf_of(browser: TestClient, path: str = "/") -> str:
    text: str = browser.get(path).text
    return text.split('name="csrf" value="')[1].split('"')[0]


def form(browser: TestClient, **changed: str) -> dict[str, str]:
    return {"csrf": csrf_of(browser), "token": TOKEN, "confirmation": "HALT", "reason": "a drill", **changed}


def post(browser: TestClient, path: str, fields: dict[str, str], **headers: str) -> Any:
    given = {"origin": str(browser.base_url).rstrip("/"), "accept": "application/json"}
    return browser.post(path, data=fields, headers=given | {k.replace("_", "-"): v for k, v in headers.items()})


def test_the_page_shows_the_account(visit: Callable[..., TestClient]) -> None:
    answer = visit().get("/")
    assert answer.status_code == 200
    for words in ("Equity", "Plan for", "Holdings against targets", "Agents&#39; weights", "Sessions", "Service"):
        assert words in answer.text or words.replace("&#39;", "'") in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/content", "/orders/2024-01-03", "/static/style.css", "/static/page.js", "/nowhere", "/login"]
)
def test_every_answer_forbids_what_the_page_does_not_need(visit: Callable[..., TestClient], path: str) -> None:
    answer = visit().get(path)
    for name, value in security.HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/static/..%2fconfig.toml", 404),
        ("GET", "/static/page-token", 404),
        ("GET", "/orders/yesterday", 404),
        ("GET", "/orders/1999-01-04", 404),
        ("GET", "/halt", 405),
        ("GET", "/resume", 405),
        ("POST", "/", 405),
        ("PUT", "/halt", 405),
        ("DELETE", "/content", 405),
        ("OPTIONS", "/halt", 405),
    ],
)
def test_what_there_is_not_is_said_on_a_page(
    visit: Callable[..., TestClient], switch: Switch, method: str, path: str, status: int
) -> None:
    answer = visit().request(method, path)
    assert answer.status_code == status
    assert "Back to the status page" in answer.text
    assert switch.asked == []


@pytest.mark.parametrize(
    ("host", "bound", "allowed"),
    [
        ("127.0.0.1:8765", "127.0.0.1", True),
        ("localhost:8765", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("[::1]:8765", "::1", True),
        ("evil.example", "127.0.0.1", False),
        ("evil.example:8765", "0.0.0.0", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("localhost.evil.example", "0.0.0.0", False),
        ("192.168.1.5:8765", "127.0.0.1", False),
        ("192.168.1.5:8765", "0.0.0.0", True),
        ("[fe80::1]:8765", "::", True),
        ("nas.lan", "nas.lan", True),
        ("", "127.0.0.1", False),
        ("[", "127.0.0.1", False),
        (None, "0.0.0.0", False),
    ],
)
def test_a_name_of_someone_else_that_points_here_is_refused(host: str | None, bound: str, allowed: bool) -> None:
    assert security.host_allowed(host, bound) is allowed


def test_a_page_asked_for_under_another_name_says_so(visit: Callable[..., TestClient]) -> None:
    answer = visit(base="http://evil.example:8765").get("/content")
    assert answer.status_code == 421
    assert "Equity" not in answer.text


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"origin": HERE, "host": "127.0.0.1:8765"}, True),
        ({"origin": HERE, "host": "127.0.0.1:8765", "sec-fetch-site": "same-origin"}, True),
        ({"host": "127.0.0.1:8765", "sec-fetch-site": "same-origin"}, True),
        ({"host": "127.0.0.1:8765"}, False),
        ({"origin": "null", "host": "127.0.0.1:8765"}, False),
        ({"origin": "http://evil.example", "host": "127.0.0.1:8765"}, False),
        ({"origin": "http://127.0.0.1:9999", "host": "127.0.0.1:8765"}, False),
        ({"origin": HERE, "host": "127.0.0.1:8765", "sec-fetch-site": "cross-site"}, False),
        ({"origin": HERE, "host": "127.0.0.1:8765", "sec-fetch-site": "same-site"}, False),
        ({"host": "127.0.0.1:8765", "sec-fetch-site": "none"}, False),
    ],
)
def test_only_a_page_of_this_server_is_of_the_same_origin(headers: dict[str, str], same: bool) -> None:
    assert security.same_origin(headers) is same


def test_halt_reaches_the_switch_with_its_reason(visit: Callable[..., TestClient], switch: Switch) -> None:
    browser = visit()
    answer = post(browser, "/halt", form(browser))
    assert answer.status_code == 200
    assert answer.json() == {"title": "Trading is halted", "lines": ["done as asked"]}
    assert switch.asked == [("halt", "a drill")]


def test_resume_reaches_the_switch(visit: Callable[..., TestClient], switch: Switch) -> None:
    browser = visit()
    assert post(browser, "/resume", form(browser, confirmation=" resume ")).status_code == 200
    assert [what for what, _ in switch.asked] == ["resume"]


@pytest.mark.parametrize(("code", "title"), [(4, "Look at the account"), (3, "It did not work")])
def test_a_switch_that_did_not_do_all_says_what_is_left(
    visit: Callable[..., TestClient], switch: Switch, code: int, title: str
) -> None:
    switch.told = Told(code, ("error: open orders may be left",))
    browser = visit()
    answer = post(browser, "/halt", form(browser))
    assert answer.status_code == 502
    assert answer.json() == {"title": title, "lines": ["error: open orders may be left"]}


@pytest.mark.parametrize(
    ("fields", "headers", "status", "title"),
    [
        ({"token": "wrong"}, {}, 403, "That is not the token"),
        ({"token": ""}, {}, 403, "That is not the token"),
        ({"csrf": ""}, {}, 403, "This page is out of date"),
        ({"csrf": "0" * 64}, {}, 403, "This page is out of date"),
        ({"confirmation": ""}, {}, 400, "Not confirmed"),
        ({"confirmation": "RESUME"}, {}, 400, "Not confirmed"),
        ({"reason": "x" * 5000}, {}, 413, "Too much"),
        ({}, {"origin": "http://evil.example"}, 403, "Not from this page"),
        ({}, {"sec_fetch_site": "cross-site"}, 403, "Not from this page"),
        ({}, {"cookie": "marsfolio-8765=another"}, 403, "This page is out of date"),
    ],
)
def test_a_halt_that_lacks_something_changes_nothing(
    visit: Callable[..., TestClient],
    switch: Switch,
    fields: dict[str, str],
    headers: dict[str, str],
    status: int,
    title: str,
) -> None:
    browser = visit()
    answer = post(browser, "/halt", form(browser, **fields), **headers)
    assert (answer.status_code, answer.json()["title"]) == (status, title)
    assert switch.asked == []


def test_a_form_without_the_cookie_is_refused(visit: Callable[..., TestClient], switch: Switch) -> None:
    browser = visit()
    fields = form(browser)
    browser.cookies.clear()
    assert post(browser, "/halt", fields).status_code == 403
    assert switch.asked == []


def test_tokens_cannot_be_guessed_on_and_on(visit: Callable[..., TestClient], switch: Switch, ticks: Ticks) -> None:
    browser = visit()
    for _ in range(security.TRIES):
        assert post(browser, "/halt", form(browser, token="guess")).status_code == 403
    assert post(browser, "/halt", form(browser)).status_code == 429
    assert switch.asked == []
    ticks.now += security.TRY_SECONDS + 1
    assert post(browser, "/halt", form(browser)).status_code == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(visit: Callable[..., TestClient]) -> None:
    cookie = visit().get("/").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_without_the_access_token_nothing_is_shown(visit: Callable[..., TestClient], switch: Switch) -> None:
    browser = visit(access="sixteen characters")
    assert browser.get("/").headers["location"] == "/login"
    for path in ("/content", "/orders/2024-01-03", "/static/page.js", "/nowhere"):
        answer = browser.get(path)
        assert answer.status_code == 401
        assert "S00" not in answer.text
    fields = {"csrf": csrf_of(browser, "/login"), "token": "sixteen characters", "confirmation": "HALT"}
    assert post(browser, "/halt", fields).status_code == 401
    assert switch.asked == []


def test_the_access_token_opens_the_page_until_one_logs_out(visit: Callable[..., TestClient]) -> None:
    browser = visit(access="sixteen characters")
    fields = {"csrf": csrf_of(browser, "/login"), "token": "sixteen characterz"}
    assert post(browser, "/login", fields).status_code == 403
    assert browser.get("/content").status_code == 401
    assert post(browser, "/login", fields | {"token": "sixteen characters"}).headers["location"] == "/"
    page = browser.get("/")
    assert page.status_code == 200
    assert "sixteen characters" not in page.text
    assert "sixteen characters" not in str(dict(browser.cookies))
    assert post(browser, "/logout", {"csrf": csrf_of(browser)}).status_code == 303
    assert browser.get("/content").status_code == 401


def test_nothing_secret_is_in_any_answer(
    visit: Callable[..., TestClient], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APCA_API_SECRET_KEY", "very-secret-key")
    token, _ = security.switch_token(state)
    browser = visit()
    told = "".join(browser.get(path).text for path in ("/", "/content", "/nowhere", "/orders/2024-01-03", "/login"))
    for secret in (TOKEN, token, ACCOUNT, "very-secret-key", "sqlite", str(state)):
        assert secret not in told
    assert ACCOUNT[-4:] in told


def test_a_journal_elsewhere_that_cannot_be_read_does_not_give_its_address_away(
    state: Path, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARSFOLIO_DATABASE", "sqlite:////nowhere/hunter2.db")
    showing = Showing.of(state, VirtualClock(NOW))
    site = Site(showing, security.Keys(TOKEN), switch=switch)
    answer = TestClient(site.app(), base_url=HERE, raise_server_exceptions=False).get("/")
    assert answer.status_code == 503
    assert "hunter2" not in answer.text
    assert "cannot be reached just now" in answer.text


def test_what_did_not_change_is_not_sent_again(visit: Callable[..., TestClient], tmp_path: Path) -> None:
    folder = write_account(tmp_path / "state", 3)
    browser = visit(folder=folder)
    first = browser.get("/content")
    known = {"if-none-match": first.headers["etag"]}
    again = browser.get("/content", headers=known)
    assert (again.status_code, again.text) == (304, "")
    day = add_close(folder, 7777.0)
    fresh = browser.get("/content", headers=known)
    assert fresh.status_code == 200
    assert "7,777" in fresh.text
    assert str(day) in fresh.text


def test_a_commit_that_changes_nothing_shown_is_not_sent(visit: Callable[..., TestClient], tmp_path: Path) -> None:
    folder = write_account(tmp_path / "state", 3)
    browser = visit(folder=folder)
    first = browser.get("/content")
    journal = Journal.at(folder / "paper.db")
    with journal.writing() as writer:
        writer.note("looked")
    journal.dispose()
    again = browser.get("/content", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304


def test_how_long_ago_the_service_was_heard_of_stands_beside_the_content(
    visit: Callable[..., TestClient], tmp_path: Path
) -> None:
    folder = write_account(tmp_path / "state", 3)
    browser = visit(folder=folder)
    assert browser.get("/content").headers["heartbeat-age"] == ""
    write_health(folder, NOW - timedelta(seconds=12))
    first = browser.get("/content")
    write_health(folder, NOW - timedelta(seconds=2))
    again = browser.get("/content", headers={"if-none-match": first.headers["etag"]})
    assert (first.headers["heartbeat-age"], again.headers["heartbeat-age"], again.status_code) == ("12", "2", 304)
    write_health(folder, NOW - timedelta(seconds=301))
    assert "The service is silent" in browser.get("/content").text


def test_the_orders_of_a_session_of_the_past_are_shown(visit: Callable[..., TestClient]) -> None:
    day = weekdays(3)[2]
    answer = visit().get(f"/orders/{day}")
    assert f"Orders of {day}" in answer.text
    assert answer.text.count('<th scope="row">') == 4


def test_what_an_account_says_is_escaped(visit: Callable[..., TestClient], tmp_path: Path) -> None:
    folder = write_account(tmp_path / "state", 3)
    write_health(folder, NOW, trouble="<script>alert(1)</script>")
    text = visit(folder=folder).get("/").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_a_state_folder_that_goes_away_is_said_on_the_page(visit: Callable[..., TestClient], tmp_path: Path) -> None:
    folder = write_account(tmp_path / "state", 3)
    browser = visit(folder=folder)
    (folder / "paper.db").unlink()
    answer = browser.get("/content", headers={"accept": "application/json"})
    assert answer.status_code == 503
    assert "is the state folder still there?" in answer.json()["lines"][0]


def test_a_folder_without_an_account_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="has no paper account"):
        Showing.of(tmp_path / "none")


@pytest.mark.parametrize(
    ("host", "content", "mode", "variable", "wanted"),
    [
        ("127.0.0.1", None, 0o600, "", None),
        ("localhost", None, 0o600, "", None),
        ("0.0.0.0", None, 0o600, "from the variable", "from the variable"),
        ("0.0.0.0", "from the file 123\n", 0o600, "from the variable", "from the file 123"),
        ("127.0.0.1", "from the file 123", 0o600, "", "from the file 123"),
    ],
)
def test_the_access_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, host: str, content: str | None, mode: int, variable: str, wanted: str | None
) -> None:
    file = _token_file(tmp_path, content, mode)
    assert security.access_token(host, file, {security.TOKEN_VARIABLE: variable}) == wanted


@pytest.mark.parametrize(
    ("host", "content", "mode", "variable", "said"),
    [
        ("0.0.0.0", None, 0o600, "", "needs a token"),
        ("192.168.1.5", None, 0o600, "", "needs a token"),
        ("nas.lan", None, 0o600, "", "needs a token"),
        ("0.0.0.0", None, 0o600, "short", "at least 16 characters, had 5"),
        ("0.0.0.0", "", 0o600, "", "at least 16 characters, had 0"),
        ("0.0.0.0", "long enough to be one", 0o644, "", "chmod 600"),
    ],
)
def test_a_page_for_other_machines_is_refused_without_a_good_token(
    tmp_path: Path, host: str, content: str | None, mode: int, variable: str, said: str
) -> None:
    file = _token_file(tmp_path, content, mode)
    with pytest.raises(ConfigError, match=said) as refused:
        security.access_token(host, file, {security.TOKEN_VARIABLE: variable})
    assert not variable or variable not in str(refused.value)


def _token_file(folder: Path, content: str | None, mode: int) -> Path | None:
    if content is None:
        return None
    file = folder / "token"
    file.write_text(content)
    file.chmod(mode)
    return file


def test_the_token_of_the_switch_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    token, made = security.switch_token(tmp_path)
    path = tmp_path / security.TOKEN_FILE
    assert made
    assert len(token) >= security.SHORTEST_TOKEN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert security.switch_token(tmp_path) == (token, False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secrets_are_not_in_what_python_prints_of_them() -> None:
    assert "battery" not in repr(security.Keys(TOKEN, TOKEN))


def test_the_data_of_the_charts_is_json(visit: Callable[..., TestClient]) -> None:
    text = visit().get("/content").text
    data = json.loads(text.split('id="data" data-part="data">')[1].split("</script>")[0])
    assert len(data["sessions"]) == len(data["equity"]) == len(data["benchmark"]) == len(data["drawdown"]) == 6
    assert data["agents"]["names"] == ["agent_0", "agent_1", "agent_2"]
