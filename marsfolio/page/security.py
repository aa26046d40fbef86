"""Who may see the page and who may switch trading: hosts, origins, tokens, and what every answer forbids."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import ConfigError, RunFolderError

TOKEN_VARIABLE = "MARSFOLIO_PAGE_TOKEN"
TOKEN_FILE = "page-token"
SHORTEST_TOKEN = 16
TRIES, TRY_SECONDS = 5, 60.0
"""So many wrong tokens of one sender in so long; then none is looked at."""
LOCAL = ("localhost", "127.0.0.1", "::1")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any, browsers name no origin when they send a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def is_local(host: str) -> bool:
    """Return whether only this machine reaches a server bound to this host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_allowed(header: str | None, bound: str) -> bool:
    """Return whether a request was meant for this server: a name of someone else's may be made to point here.

    Parameters
    ----------
    header : the request's Host.
    bound : the host that the server listens on.
    """
    try:
        name = urlsplit(f"//{header or ''}").hostname or ""
    except ValueError:
        return False
    if name in LOCAL:
        return True
    if is_local(bound):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in {bound.lower(), socket.gethostname().lower()}
    return True  # an address is no name that could be made to point elsewhere


def same_origin(headers: Mapping[str, str]) -> bool:
    """Return whether a request was made by a page of this server, as the browser says."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site == "same-origin"
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc == headers.get("host")


@dataclass
class Keys:
    """The secrets of one server.

    Attributes
    ----------
    switch : the token that halt and resume ask for.
    access : the token without which nothing is shown; None where the page is for this machine alone.
    """

    switch: str = field(repr=False)
    access: str | None = field(default=None, repr=False)
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    _admitted: set[str] = field(default_factory=set, init=False, repr=False)

    def admit(self) -> str:
        """Return a new session of a browser that gave the access token."""
        session = new_session()
        self._admitted.add(session)
        return session

    def dismiss(self, session: str) -> None:
        """End a session."""
        self._admitted.discard(session)

    def may_see(self, session: str) -> bool:
        """Return whether a session may see the page."""
        return self.access is None or session in self._admitted

    def csrf(self, session: str) -> str:
        """Return what a form of this session carries, and a forged one cannot know."""
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def csrf_matches(self, session: str, given: str) -> bool:
        """Return whether a form is one that this server gave to this session."""
        return bool(session) and equal(self.csrf(session), given)


def new_session() -> str:
    """Return the name of a session, which nobody guesses."""
    return secrets.token_urlsafe(32)


def equal(wanted: str, given: str) -> bool:
    """Return whether two secrets are equal, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(wanted.encode(), given.encode())


@dataclass
class Tries:
    """Counts wrong tokens, so that nobody guesses on and on."""

    ticking: Callable[[], float] = time.monotonic
    _wrong: dict[str, list[float]] = field(default_factory=dict, init=False)

    def spent(self, sender: str) -> bool:
        """Return whether a sender has to wait."""
        since = self.ticking() - TRY_SECONDS
        self._wrong = {who: kept for who, times in self._wrong.items() if (kept := [t for t in times if t > since])}
        return len(self._wrong.get(sender, ())) >= TRIES

    def wrong(self, sender: str) -> None:
        """Count a wrong token."""
        self._wrong.setdefault(sender, []).append(self.ticking())


def access_token(host: str, file: Path | None, environ: Mapping[str, str]) -> str | None:
    """Return the token that the page asks for before it shows anything; None on this machine without one.

    Raises
    ------
    ConfigError
        When another host is to be served without one, or the token is short, or others can read its file.
    """
    token, where = environ.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
    if file is not None:
        token, where = _token_in(file), f"--token-file {file}"
    if not token and file is None:
        if is_local(host):
            return None
        raise ConfigError(
            f"--host {host} can be reached from other machines, so the page needs a token: give --token-file FILE or "
            f"set {TOKEN_VARIABLE}; or leave --host away and use `ssh -L` from the other machine"
        )
    if len(token) < SHORTEST_TOKEN:
        raise ConfigError(f"{where} must hold at least {SHORTEST_TOKEN} characters, had {len(token)}")
    return token


def _token_in(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file {file} cannot be read: {error}") from error
    if mode & 0o077:
        raise ConfigError(f"--token-file {file} can be read by others on this machine: `chmod 600 {file}`")
    return token


def switch_token(state: Path) -> tuple[str, bool]:
    """Return the token that halt and resume ask for, kept in the state folder; and whether it was made just now.

    Raises
    ------
    RunFolderError
        When it can neither be read nor made.
    """
    path = state / TOKEN_FILE
    try:
        if path.exists():
            path.chmod(0o600)
            token = path.read_text(encoding="utf-8").strip()
            if len(token) >= SHORTEST_TOKEN:
                return token, False
            path.unlink()
        token = secrets.token_urlsafe(18)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as made:
            made.write(token + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} cannot be read or made: {error}") from error
    return token, True
