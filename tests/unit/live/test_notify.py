"""Lines for people: to the log, a webhook and by e-mail; whatever fails there never stops a session."""

from __future__ import annotations

import logging

import pytest
from scripted_server import Answer, ScriptedServer, scripted_server
from smtp_server import SmtpServer, smtp_server

from engine.errors import ConfigError
from live.notify import Mail, Notifier

ADDRESSES = {"MARSFOLIO_MAIL_FROM": "robot@example.org", "MARSFOLIO_MAIL_TO": "me@example.org"}


@pytest.fixture
def web():
    with scripted_server() as server:
        yield server


def mail_to(server: SmtpServer, **values: str) -> Mail:
    return Mail(server.address, "robot@example.org", "me@example.org", **values)


def test_each_line_is_one_request_and_alerts_are_marked(web: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    web.on("/hook", {})
    caplog.set_level(logging.INFO)
    notify = Notifier("mars", f"{web.url}/hook", None)
    notify("session 2024-01-02: 3 sells", False)
    notify("trading was halted", True)
    assert [asked.body for asked in web.asked] == [
        {"text": "[mars] session 2024-01-02: 3 sells"},
        {"text": "[mars] ALERT: trading was halted"},
    ]
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "session 2024-01-02: 3 sells"),
        ("WARNING", "trading was halted"),
    ]


def test_secrets_reach_neither_log_nor_webhook_nor_mail(web: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    web.on("/hook-of-secrets", {})
    caplog.set_level(logging.DEBUG, "live")
    hook = f"{web.url}/hook-of-secrets"
    with smtp_server() as post:
        mail = mail_to(post)
        notify = Notifier("mars", hook, mail, lambda text: text.replace("PKSECRET", "PK..."))
        notify(f"refused: key PKSECRET at {hook}", True)
        assert "PKSECRET" not in post.letters[0]
        assert "hook-of-secrets" not in post.letters[0]
    assert web.asked[0].body["text"] == "[mars] ALERT: refused: key PK... at ***"
    assert "PKSECRET" not in caplog.text
    assert "hook-of-secrets" not in caplog.text
    assert "hidden" not in repr(Mail("host", "a@b", "c@d", "user", "hidden"))


@pytest.mark.parametrize("answer", [Answer(500), Answer(302, headers={"Location": "/x"}), Answer(fault="reset")])
def test_a_webhook_that_fails_is_a_warning_without_its_address(
    web: ScriptedServer, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    web.on("/secret-hook", answer)
    Notifier("mars", f"{web.url}/secret-hook", None)("a line", False)
    assert "the line was not delivered" in caplog.text
    assert "secret-hook" not in caplog.text
    assert len(web.asked) == 1


def test_a_webhook_that_cannot_be_reached_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    Notifier("mars", "http://127.0.0.1:1/secret-hook", None)("a line", False)
    assert "the webhook could not be reached (ConnectionError)" in caplog.text
    assert "secret-hook" not in caplog.text


def test_a_webhook_that_never_answers_holds_nothing_up(web: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    web.on("/hook", Answer(fault="silent"))
    Notifier("mars", f"{web.url}/hook", None, seconds=0.05)("a line", False)
    assert "a line is still on its way after 0 s: going on without it" in caplog.text


def test_a_letter_says_who_speaks_and_alerts_say_so_in_the_subject() -> None:
    with smtp_server() as server:
        notify = Notifier("mars", None, mail_to(server))
        notify("session 2024-01-02: done", False)
        notify("halted: \u00e9quit\u00e9 fell", True)
    first, second = server.letters
    assert "Subject: marsfolio: [mars] session 2024-01-02: done" in first
    assert "From: robot@example.org" in first
    assert "To: me@example.org" in first
    assert "ALERT" not in first
    assert "marsfolio_ALERT" in second.replace("marsfolio ALERT", "marsfolio_ALERT")


@pytest.mark.parametrize("extensions", [(), ("AUTH PLAIN LOGIN",)])
def test_a_password_goes_nowhere_without_tls(extensions: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    with smtp_server(*extensions) as server:
        Notifier("mars", None, mail_to(server, user="robot", password="hidden"))("a line", False)
    assert server.letters == []
    assert not any(command.upper().startswith(("AUTH", "MAIL")) for command in server.commands)
    assert "e-mail could not be sent (SMTPNotSupportedError)" in caplog.text
    assert "hidden" not in caplog.text


def test_a_server_that_offers_tls_and_cannot_is_not_written_to(caplog: pytest.LogCaptureFixture) -> None:
    with smtp_server("STARTTLS") as server:
        Notifier("mars", None, mail_to(server))("a line", False)
    assert server.letters == []
    assert "e-mail could not be sent" in caplog.text


def test_a_mail_server_that_cannot_be_reached_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    Notifier("mars", None, Mail("127.0.0.1:1", "a@b.c", "d@e.f"))("a line", False)
    assert "e-mail could not be sent (ConnectionRefusedError)" in caplog.text


def test_what_the_environment_says_is_checked_and_its_values_are_not_shown() -> None:
    quiet = Notifier.from_environment({}, "mars")
    quiet("nobody but the log", False)
    for environment, words in [
        ({"MARSFOLIO_WEBHOOK_URL": "ftp://secret"}, "MARSFOLIO_WEBHOOK_URL must begin with https:// or http://"),
        ({"MARSFOLIO_SMTP": "mail"}, "MARSFOLIO_MAIL_FROM must be set too"),
        ({"MARSFOLIO_SMTP": "mail:x", **ADDRESSES}, "MARSFOLIO_SMTP must be host or host:port"),
    ]:
        with pytest.raises(ConfigError, match=words) as caught:
            Notifier.from_environment(environment, "mars")
        assert "secret" not in str(caught.value)


def test_mail_of_the_environment_is_sent() -> None:
    with smtp_server() as server:
        Notifier.from_environment({"MARSFOLIO_SMTP": server.address, **ADDRESSES}, "mars")("a line", False)
    assert len(server.letters) == 1
