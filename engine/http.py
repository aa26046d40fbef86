"""What every request to a service obeys: limits of time, no redirects, tries of our own, errors told apart."""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
import urllib3
from requests.adapters import HTTPAdapter
from tenacity.stop import stop_base

from engine.errors import TemporaryError

CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0
ANSWER_SECONDS = 60.0
"""For a whole answer: a read's limit starts anew with every byte."""
LONGEST_ANSWER = 64 * 2**20

_PIECE = 64 * 1024
_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NameResolutionError,
)
_PASSING = (408, 425, 429)

T = TypeVar("T")


class RequestFailed(TemporaryError):  # noqa: N818 - as the others of its kind
    """A request was not answered, or answered with something else than success.

    Attributes
    ----------
    status : of the answer; None when there was none, or none that can be read.
    code, message : what the service says in its JSON body; None and empty without one.
    retry_after : seconds to wait, if the service says so.
    sent : False when the request certainly never left.
    """

    def __init__(
        self,
        text: str,
        status: int | None = None,
        code: int | None = None,
        message: str = "",
        retry_after: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.sent = sent

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status is None or self.status in _PASSING or self.status >= 500


@dataclass(frozen=True, slots=True)
class Tries:
    """How often and how long something that is safe to repeat is tried while it fails for now.

    Attributes
    ----------
    attempts : the first one included.
    seconds : no new attempt begins later than this after the first.
    sleep : waits, so that tests need not.
    left : returns the seconds until whoever asks must end; no attempt begins after that, nor is waited for longer.
    """

    attempts: int = 5
    seconds: float = 45.0
    sleep: Callable[[float], None] = time.sleep
    left: Callable[[], float] = lambda: math.inf

    def __call__(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns; `TemporaryError` is tried again, unless it is an answer that will stand."""
        retrying = tenacity.Retrying(
            sleep=self.sleep,
            stop=tenacity.stop_after_attempt(self.attempts)
            | tenacity.stop_before_delay(self.seconds)
            | _TimeIsOver(self.left),
            wait=_wait,
            retry=tenacity.retry_if_exception(_may_pass),
            reraise=True,
        )
        return retrying(call)


def harden(
    session: requests.Session,
    url: str,
    redact: Callable[[str], str] = str,
    left: Callable[[], float] = lambda: math.inf,
) -> None:
    """Make a session of requests obey the limits above and raise `RequestFailed` for every status but success.

    Parameters
    ----------
    session : usually somebody else's, such as a client library's.
    url : what it is for; a proxy named by the environment must not see what is meant for this machine.
    redact : takes secrets out of what a service says.
    left : as in `Tries`; a request is not sent after that.
    """
    session.trust_env = not is_loopback(urlsplit(url).hostname or "")
    session.max_redirects = 0
    for scheme in ("https://", "http://"):
        session.mount(scheme, _TimedAdapter(left))
    session.hooks["response"].append(lambda response, *_args, **_options: _refuse_status(response, redact))


def answer(call: Callable[[], object], what: str) -> object:
    """Return the JSON value that a request through a hardened session yields; None for an empty body.

    Parameters
    ----------
    what : names the request in messages.

    Raises
    ------
    RequestFailed
        When there is no answer, it is no success, or it cannot be read.
    """
    try:
        return call()
    except RequestFailed as failure:
        failure.args = (f"{what}: {failure}",)
        raise
    except json.JSONDecodeError as error:
        raise RequestFailed(f"{what}: the answer is not JSON") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        raise RequestFailed(f"{what}: {_in_words(error)}", sent=not _never_left(error)) from error


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is this machine itself."""
    if host in ("localhost", "::1"):
        return True
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


class _TimeIsOver(stop_base):
    """Stops when the next wait would last longer than there is time."""

    def __init__(self, left: Callable[[], float]) -> None:
        self._left = left

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        return retry_state.upcoming_sleep >= self._left()


class _TimedAdapter(HTTPAdapter):
    """Gives each request the limits that requests leaves out."""

    def __init__(self, left: Callable[[], float]) -> None:
        super().__init__()
        self._left = left

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        left = self._left()
        if left <= 0:
            raise RequestFailed("not asked, because this run has lasted long enough: run again", sent=False)
        options["timeout"] = options.get("timeout") or (min(CONNECT_SECONDS, left), min(READ_SECONDS, left))
        end = time.monotonic() + min(ANSWER_SECONDS, left)
        response = super().send(request, *args, **options)
        body = bytearray()
        while piece := response.raw.read1(_PIECE, decode_content=True):
            body += piece
            if time.monotonic() > end or len(body) > LONGEST_ANSWER:
                response.close()
                raise requests.ReadTimeout("the answer does not end", request=request)
        # What Response.content would have kept, had it read the body itself.
        response._content = bytes(body)
        response._content_consumed = True
        return response


def _refuse_status(response: requests.Response, redact: Callable[[str], str]) -> None:
    if 200 <= response.status_code < 300:
        return
    code, message = _said(response)
    message = _printable(redact(message))
    raise RequestFailed(
        f"status {response.status_code}" + (f", {message!r}" if message else ", without an explanation"),
        status=response.status_code,
        code=code,
        message=message,
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def _said(response: requests.Response) -> tuple[int | None, str]:
    try:
        body = json.loads(response.content)
    except ValueError:
        return None, ""
    if not isinstance(body, dict):
        return None, ""
    code = body.get("code")
    return (code if isinstance(code, int) else None), str(body.get("message") or "")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


def _seconds(text: str | None) -> float | None:
    # The header may also be a date; then our own back-off has to do.
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _wait(state: tenacity.RetryCallState) -> float:
    wait: float = (tenacity.wait_exponential(multiplier=0.5, max=8.0) + tenacity.wait_random(0.0, 0.5))(state)
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after if isinstance(error, RequestFailed) else None
    return wait if asked is None else max(wait, asked)


def _may_pass(error: BaseException) -> bool:
    return error.passes if isinstance(error, RequestFailed) else isinstance(error, TemporaryError)


def _never_left(error: BaseException) -> bool:
    # requests wraps urllib3's MaxRetryError, whose reason is what happened.
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    return isinstance(getattr(inner, "reason", inner), _NEVER_SENT)


def _in_words(error: BaseException) -> str:
    if _never_left(error):
        return "cannot be reached"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return "no answer in time"
    return f"the connection broke ({type(error).__name__})"
