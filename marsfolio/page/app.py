"""The page's addresses: what is shown to whom, and the two that change something."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import MarsfolioError, TradingStopped
from marsfolio.page import security
from marsfolio.page.commands import Backtest, Told, switch
from marsfolio.page.showing import Content, Showing, static_files

logger = logging.getLogger(__name__)

LARGEST_FORM = 4096
LONGEST_REASON = 200
WORDS = {"halt": "HALT", "resume": "RESUME"}
DONE = {"halt": "Trading is halted", "resume": "Trading is resumed"}
Switch = Callable[[Path, str, str], Awaitable[Told]]


class PageError(Exception):
    """A request that is not answered as asked: status, what went wrong, and what to do."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(title)
        self.status, self.title, self.text = status, title, text


@dataclass
class Site:
    """One page: an account, its secrets, and how trading is switched.

    Attributes
    ----------
    bound : the host that the server listens on.
    """

    showing: Showing
    keys: security.Keys
    bound: str = "127.0.0.1"
    port: int = 8765
    switch: Switch = switch
    backtest: Backtest | None = None
    tries: security.Tries = field(default_factory=security.Tries)
    files: dict[str, tuple[str, bytes]] = field(default_factory=static_files, repr=False)

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers share cookies between the ports of a host."""
        return f"marsfolio-{self.port}"

    def app(self) -> ASGIApp:
        """Return the application."""
        routes = [
            Route("/", self._page),
            Route("/content", self._changed),
            Route("/orders/{session}", self._orders),
            Route("/static/{name}", self._static),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/halt", self._halt, methods=["POST"]),
            Route("/resume", self._resume, methods=["POST"]),
        ]
        errors: dict[Any, Any] = {
            PageError: self._refused,
            HTTPException: self._http_error,
            MarsfolioError: self._our_error,
            Exception: self._bug,
        }
        packed = [Middleware(GZipMiddleware, minimum_size=1000)]
        inner = Starlette(routes=routes, exception_handlers=errors, middleware=packed, lifespan=self._lifespan)
        return _Gate(inner, self)  # around what answers after a bug, too

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        with suppress(MarsfolioError):  # whoever asks is told
            await run_in_threadpool(self.showing.content, {}, "", 0)
        yield
        if self.backtest is not None:
            await self.backtest.end()

    async def _content(self) -> Content:
        about = self.backtest
        if about is None:
            return await run_in_threadpool(self.showing.content, {}, "", 0)
        content = await run_in_threadpool(self.showing.content, about.equity, about.trouble, about.version)
        about.want(content.view.as_of, content.view.tiles.sessions)
        return content

    async def _page(self, request: Request) -> Response:
        content = await self._content()
        session = request.state.session
        return self._html("page.html.j2", content=content, csrf=self.keys.csrf(session))

    async def _changed(self, request: Request) -> Response:
        content = await self._content()
        age = self.showing.health().age
        headers = {"ETag": f'"{content.tag}"', "Heartbeat-Age": "" if age is None else f"{age:.0f}"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return HTMLResponse(content.html, headers=headers)

    async def _orders(self, request: Request) -> Response:
        try:
            session = date.fromisoformat(request.path_params["session"])
        except ValueError as error:
            raise PageError(404, "No such session", "A session is a date such as 2024-01-31.") from error
        found = await run_in_threadpool(self.showing.orders, session)
        if found is None:
            raise PageError(404, "No such session", f"The account has no plan for {session}.")
        return HTMLResponse(found)

    async def _static(self, request: Request) -> Response:
        found = self.files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return Response(found[1], media_type=found[0])

    async def _login(self, request: Request) -> Response:
        if self.keys.access is None:
            return RedirectResponse("/", 303)
        if request.method == "GET":
            return self._html("login.html.j2", csrf=self.keys.csrf(request.state.session))
        form = await self._form(request)
        self._check_token(request, self.keys.access, form.get("token", ""))
        answer = RedirectResponse("/", 303)
        self._set_cookie(answer, self.keys.admit())
        return answer

    async def _logout(self, request: Request) -> Response:
        await self._form(request)
        self.keys.dismiss(request.state.session)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(self.cookie)
        return answer

    async def _halt(self, request: Request) -> Response:
        return await self._switch(request, "halt")

    async def _resume(self, request: Request) -> Response:
        return await self._switch(request, "resume")

    async def _switch(self, request: Request, what: str) -> Response:
        form = await self._form(request)
        if form.get("confirmation", "").strip().upper() != WORDS[what]:
            raise PageError(400, "Not confirmed", f"Type {WORDS[what]} to confirm. Nothing was changed.")
        self._check_token(request, self.keys.switch, form.get("token", ""))
        reason = " ".join(form.get("reason", "").split())[:LONGEST_REASON] or "halted on the status page"
        logger.info("%s asked for on the status page", what)
        told = await self.switch(self.showing.state, what, reason)
        if told.code:
            title = "Look at the account" if told.code == TradingStopped.exit_code else "It did not work"
            return self._message(request, 502, title, told.lines)
        return self._message(request, 200, DONE[what], told.lines)

    async def _form(self, request: Request) -> dict[str, str]:
        """Return the fields of a form that a page of ours sent."""
        if not security.same_origin(request.headers):
            raise PageError(403, "Not from this page", "The request came from another site. Nothing was changed.")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_FORM:
                raise PageError(413, "Too much", "The form is larger than this page's own.")
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        if not self.keys.csrf_matches(request.state.session, form.get("csrf", "")):
            raise PageError(403, "This page is out of date", "Load it again, then repeat. Nothing was changed.")
        return form

    def _check_token(self, request: Request, wanted: str, given: str) -> None:
        sender = request.client.host if request.client else ""
        if self.tries.spent(sender):
            raise PageError(429, "Too many wrong tokens", "Wait a minute, then try again. Nothing was changed.")
        if not security.equal(wanted, given.strip()):
            self.tries.wrong(sender)
            raise PageError(403, "That is not the token", f"{self._where_token()} Nothing was changed.")

    def _where_token(self) -> str:
        if self.keys.access is not None:
            return "It is the one that the server was started with."
        return f"It stands in the file {security.TOKEN_FILE} of the account's state folder."

    def _html(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self.showing.templates.get_template(template).render(site=self, **values), status)

    def _message(self, request: Request, status: int, title: str, lines: tuple[str, ...]) -> Response:
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"title": title, "lines": lines}, status)
        return self._html("message.html.j2", status, title=title, lines=lines)

    def _refused(self, request: Request, error: PageError) -> Response:
        return self._message(request, error.status, error.title, (error.text,))

    def _http_error(self, request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return self._message(request, 405, "Not here", ("This address does not take such requests.",))
        return self._message(request, error.status_code, "No such page", ("The status page is at /.",))

    def _our_error(self, request: Request, error: MarsfolioError) -> Response:
        return self._message(request, 503, "The account cannot be read", (str(error),))

    def _bug(self, request: Request, error: Exception) -> Response:
        logger.error("a bug on the status page: %s", type(error).__name__, exc_info=error)
        return self._message(request, 500, "A bug", ("The log of `marsfolio paper serve` has the traceback.",))

    def _set_cookie(self, answer: Response, session: str) -> None:
        answer.set_cookie(self.cookie, session, httponly=True, samesite="strict")


class _Gate:
    """In front of everything: the host, the session, and the headers of every answer."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        fresh = ""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
                if fresh:
                    cookie = f"{self._site.cookie}={fresh}; HttpOnly; Path=/; SameSite=strict"
                    message["headers"].append((b"set-cookie", cookie.encode()))
            await send(message)

        session = request.cookies.get(self._site.cookie, "")
        if not session:
            fresh = session = security.new_session()
        request.state.session = session
        refusal = self._refusal(request, session)
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, request: Request, session: str) -> Response | None:
        site, path = self._site, request.url.path
        if not security.host_allowed(request.headers.get("host"), site.bound):
            text = "It was asked for under a name that is not this server's: use its address."
            return site._message(request, 421, "Not this server", (text,))
        if site.keys.may_see(session) or path == "/login" or path == "/static/style.css":
            return None
        if path == "/" and request.method in ("GET", "HEAD"):
            return RedirectResponse("/login", 303)
        return site._message(request, 401, "Log in first", ("Open / and give the token.",))


_HEADERS = [(name.lower().encode(), value.encode()) for name, value in security.HEADERS.items()]
