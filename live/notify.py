"""Telling people: one line a session and every alert, to the log, a webhook and by e-mail."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
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
    server : host or host:port; TLS is used where the server offers it, and always with a password.
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
    redact : takes secrets out of a text.
    """

    def __init__(
        self, name: str, webhook: str | None, mail: Mail | None, redact: Callable[[str], str] = lambda text: text
    ) -> None:
        self._name = name
        self._webhook = webhook
        self._mail = mail
        self._redact = redact

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
        """Tell one line; an alert is what a person should act on."""
        text = self._redact(line)
        logger.log(logging.WARNING if alert else logging.INFO, "%s", text)
        told = f"[{self._name}] {'ALERT: ' if alert else ''}{text}"
        if self._webhook is not None:
            self._post(told)
        if self._mail is not None:
            self._send(told, self._mail, alert)

    def _post(self, text: str) -> None:
        try:
            answer = requests.post(str(self._webhook), json={"text": text}, timeout=SECONDS, allow_redirects=False)
            if answer.status_code >= 300:
                logger.warning("the webhook answered %s: the line was not delivered", answer.status_code)
        except requests.RequestException as error:
            # Not the error's text: it holds the address, which is a secret.
            logger.warning("the webhook could not be reached (%s): the line was not delivered", type(error).__name__)

    def _send(self, text: str, mail: Mail, alert: bool) -> None:
        message = EmailMessage()
        message["From"], message["To"] = mail.sender, mail.recipient
        message["Subject"] = f"marsfolio{' ALERT' if alert else ''}: {text.splitlines()[0][:100]}"
        message.set_content(text)
        host, _, port = mail.server.partition(":")
        try:
            with smtplib.SMTP(host, int(port or 25), timeout=SECONDS) as server:
                server.ehlo()
                if mail.password or server.has_extn("starttls"):
                    server.starttls()
                if mail.user:
                    server.login(mail.user, mail.password)
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            logger.warning("e-mail could not be sent (%s)", type(error).__name__)
