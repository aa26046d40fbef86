"""Telling people: one line a session and every alert, to the log, a webhook and by e-mail."""

from __future__ import annotations

import logging
import smtplib
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from urllib.parse import urlsplit

import requests

from engine.errors import ConfigError

logger = logging.getLogger(__name__)

SECONDS = 10.0
WEBHOOK, SMTP, SENDER, RECIPIENT, USER, PASSWORD = (
    "MARSFOLIO_WEBHOOK_URL",
    "MARSFOLIO_SMTP",
    "MARSFOLIO_MAIL_FROM",
    "MARSFOLIO_MAIL_TO",
    "MARSFOLIO_SMTP_USER",
    "MARSFOLIO_SMTP_PASSWORD",
)
"""Environment variables, because an address of a webhook is a secret and a command line is not."""


@dataclass(frozen=True, slots=True)
class Mail:
    """Where e-mail goes.

    Attributes
    ----------
    server : host or host:port; TLS is used where the server offers it, and always with a user or a password.
    """

    server: str
    sender: str
    recipient: str
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Mail({self.server!r}, to {self.recipient!r})"


class Notifier:
    """Tells every line to the log, and to webhook and mail where they are configured; never fails, never raises.

    Parameters
    ----------
    name : begins each line: which account speaks.
    redact : takes secrets out of a text; the address of the webhook and the password go anyway.
    seconds : that one line may take.
    """

    def __init__(
        self,
        name: str,
        webhook: str | None,
        mail: Mail | None,
        redact: Callable[[str], str] = lambda text: text,
        seconds: float = SECONDS,
    ) -> None:
        self._name = name
        self._webhook = webhook
        self._mail = mail
        self._redact = redact
        self._seconds = seconds

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], name: str, redact: Callable[[str], str] = lambda text: text
    ) -> Notifier:
        """Return what the environment variables ask for.

        Raises
        ------
        ConfigError
            When an address is not one, or mail lacks a part; names the variable, not its value.
        """
        webhook = environ.get(WEBHOOK) or None
        if webhook is not None and urlsplit(webhook).scheme not in ("http", "https"):
            raise ConfigError(f"{WEBHOOK} must begin with https:// or http://")
        server = environ.get(SMTP)
        if not server:
            return cls(name, webhook, None, redact)
        for variable in (SENDER, RECIPIENT):
            if not environ.get(variable):
                raise ConfigError(f"{SMTP} is set, so {variable} must be set too: an address for e-mail")
        port = server.rpartition(":")[2] if ":" in server else "25"
        if not port.isdigit():
            raise ConfigError(f"{SMTP} must be host or host:port")
        mail = Mail(server, environ[SENDER], environ[RECIPIENT], environ.get(USER, ""), environ.get(PASSWORD, ""))
        return cls(name, webhook, mail, redact)

    def __call__(self, line: str, alert: bool) -> None:
        """Tell one line; an alert is what a person should act on. Returns after some seconds, delivered or not."""
        text = self._without_secrets(line)
        logger.log(logging.WARNING if alert else logging.INFO, "%s", text)
        told = f"[{self._name}] {'ALERT: ' if alert else ''}{text}"
        ways: list[Callable[[], None]] = []
        if self._webhook is not None:
            ways.append(partial(_post, self._webhook, told))
        if self._mail is not None:
            ways.append(partial(_send, self._mail, told, alert))
        # Of its own thread, since a server that sends a byte now and then makes no time-out happen.
        threads = [threading.Thread(target=way, daemon=True) for way in ways]
        for thread in threads:
            thread.start()
        until = time.monotonic() + self._seconds
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
        if any(thread.is_alive() for thread in threads):
            logger.warning("a line is still on its way after %.0f s: going on without it", self._seconds)

    def _without_secrets(self, line: str) -> str:
        text = self._redact(line)
        for secret in (self._webhook, None if self._mail is None else self._mail.password):
            text = text.replace(secret, "***") if secret else text
        return text


def _post(webhook: str, text: str) -> None:
    try:
        # Streamed: the answer's body is not read.
        with requests.post(webhook, json={"text": text}, timeout=SECONDS, allow_redirects=False, stream=True) as answer:
            if answer.status_code >= 300:
                logger.warning("the webhook answered %s: the line was not delivered", answer.status_code)
    except (requests.RequestException, OSError, ValueError) as error:
        # Not the error's text: it holds the address, which is a secret.
        logger.warning("the webhook could not be reached (%s): the line was not delivered", type(error).__name__)


def _send(mail: Mail, text: str, alert: bool) -> None:
    host, _, port = mail.server.partition(":")
    try:
        message = EmailMessage()
        message["From"], message["To"] = mail.sender, mail.recipient
        message["Subject"] = f"marsfolio{' ALERT' if alert else ''}: {text.splitlines()[0][:100]}"
        message.set_content(text)
        with smtplib.SMTP(host, int(port or 25), timeout=SECONDS) as server:
            server.ehlo()
            if mail.user or mail.password or server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
            if mail.user:
                server.login(mail.user, mail.password)
            server.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        logger.warning("e-mail could not be sent (%s): the line was not delivered", type(error).__name__)
