"""The console as one route: sessions, languages, the headers that protect a page, and errors as pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import jinja2
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from serving.console import charts
from serving.console.api import Api
from serving.console.pages import PAGES
from serving.console.sessions import COOKIE, SESSION_S, check_form_token, form_token, open_session, read_session
from serving.console.view import TABS, Page, Redirect, View
from serving.console.words import LANGUAGES, Words, language_of
from serving.http.operation import raw_path
from serving.http.static import PAGE_HEADERS, StaticFolder
from serving.problems import failure_of
from serving.runtime.app_context import AppContext
from serving.runtime.auth import Key
from serving.runtime.settings import is_loopback

ROOT: Final = "/console"
SIGN_IN: Final = "sign-in"
LANGUAGE_COOKIE: Final = "recsys_language"
MAX_FORM_BYTES: Final = 65_536
MAX_FIELDS: Final = 100
HEADERS: Final[Mapping[str, str]] = {
    **{name.lower(): value for name, value in PAGE_HEADERS.items()},
    "content-security-policy": PAGE_HEADERS["Content-Security-Policy"].replace("data:", "data: https:"),
    "cache-control": "no-store",
}
"""Pictures of items may be on the shop's own host."""

STATIC: Final = StaticFolder(f"{ROOT}/static/", Path(str(resources.files(__package__).joinpath("static"))))


class ConsoleRoute(BaseRoute):
    """All pages below `/console`.

    Args:
        app_context: of the server.
    """

    def __init__(self, app_context: AppContext) -> None:
        self._app_context = app_context

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match every path of the console."""
        if scope["type"] == "http" and (scope["path"] == ROOT or scope["path"].startswith(ROOT + "/")):
            return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call; an exception becomes a page that states it."""
        call = Call(self._app_context, scope, receive)
        try:
            status, headers, body = await call.answer()
        except Exception as error:  # stated on a page, and logged if unexpected
            status, headers, body = call.error(error)
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in {**HEADERS, **headers}.items()]
        encoded.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


Response = tuple[int, dict[str, str], bytes]


class Call:
    """One call of a page.

    Args:
        app_context: of the server.
        scope: of the call.
        receive: its body.
    """

    def __init__(self, app_context: AppContext, scope: Scope, receive: Receive) -> None:
        self._app_context, self._scope, self._receive = app_context, scope, receive
        self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._cookies = _cookies(self._headers.get("cookie", ""))
        self._query = _fields(scope["query_string"])
        chosen = self._query.get("lang") or self._cookies.get(LANGUAGE_COOKIE, "")
        self.words = Words(language_of(chosen, self._headers.get("accept-language", "")))
        self._session = self._cookies.get(COOKIE, "")
        self._key: Key | None = None

    async def answer(self) -> Response:
        """Return the response.

        Raises:
            HTTPException: there is no such page, or the call is not allowed.
            RecsysError: what is wrong with the call.
        """
        path = raw_path(self._scope).decode("latin-1").removeprefix(ROOT).strip("/")
        keys = self._app_context.keys
        if keys is None:
            self._check_host()
        else:
            self._key = read_session(self._session, keys, self._app_context.clock.received_at())
        method = "GET" if self._scope["method"] == "HEAD" else self._scope["method"]
        form = await self._form(path) if method == "POST" else {}
        if path == SIGN_IN or (keys is not None and self._key is None):
            return self._sign_in(path, method, form)
        if path == "sign-out" and method == "POST":
            return _redirect(f"{ROOT}/{SIGN_IN}", self._cookie(COOKIE, "", 0))
        return await self._page(path, method, form)

    async def _page(self, path: str, method: str, form: Mapping[str, str]) -> Response:
        page, segments = _find(path, method)
        view = self._view(segments, form if method == "POST" else self._query)
        if not view.api.allows("view"):
            raise HTTPException(403, "the key lacks the scope 'view': sign in with the key of a person")
        content = await page.build(view)
        if isinstance(content, Redirect):
            return _redirect(f"{ROOT}/{content.path}")
        headers = {"content-type": "text/html; charset=utf-8"}
        if "lang" in self._query:
            headers |= self._cookie(LANGUAGE_COOKIE, self.words.language, 365 * 86_400)
        return 200, headers, self._render(page.template, page.tab, view, content)

    def _view(self, segments: tuple[str, ...], values: Mapping[str, str]) -> View:
        key = self._key
        token = "" if key is None else form_token(key, self._session)
        api = Api(self._app_context, key)
        return View(api, self.words, values, segments, "" if key is None else key.name, token)

    def _sign_in(self, path: str, method: str, form: Mapping[str, str]) -> Response:
        """Open a session for a valid key, else ask for one."""
        keys = self._app_context.keys
        if keys is None:
            return _redirect(ROOT)
        if path == SIGN_IN and method == "POST":
            key = keys.find(form.get("key", "").strip().encode())
            if key is None:
                return self._ask_for_key(401, wrong=True, target=form.get("next", ""))
            session = open_session(key, self._app_context.clock.received_at())
            return _redirect(_inside(form.get("next", "")), self._cookie(COOKIE, session, SESSION_S))
        if method != "GET":
            raise HTTPException(401, "the session has ended: sign in again")
        query = self._scope["query_string"].decode("latin-1")
        target = self._query.get("next", "") if path == SIGN_IN else f"{ROOT}/{path}" + (f"?{query}" if query else "")
        return self._ask_for_key(200 if path == SIGN_IN else 401, wrong=False, target=target)

    def _ask_for_key(self, status: int, *, wrong: bool, target: str) -> Response:
        content = {"wrong": wrong, "next": _inside(target)}
        body = self._render("sign_in.html", "", self._view((), {}), content)
        return status, {"content-type": "text/html; charset=utf-8"}, body

    async def _form(self, path: str) -> dict[str, str]:
        """Return the fields of a form of this site.

        Raises:
            HTTPException: it is of another site, or too large.
        """
        origin, host = self._headers.get("origin", ""), self._headers.get("host", "")
        if origin.partition("://")[2] != host:
            raise HTTPException(403, "the form was sent by another site: use the pages of this console")
        body = b""
        while True:
            message = await self._receive()
            body += message.get("body", b"")
            if len(body) > MAX_FORM_BYTES:
                raise HTTPException(413, f"the form is larger than {MAX_FORM_BYTES} bytes")
            if not message.get("more_body", False):
                break
        fields = _fields(body)
        if self._key is not None and path != SIGN_IN:
            check_form_token(self._key, self._session, fields.pop("token", ""))
        return fields

    def _check_host(self) -> None:
        """Refuse a call without keys under a name that is not this machine's: a page elsewhere may have made it."""
        name = re.sub(r":\d+$", "", self._headers.get("host", ""))
        if not is_loopback(name.strip("[]")):
            raise HTTPException(403, "without keys the console is for this machine alone: open it at 127.0.0.1")

    def _cookie(self, name: str, value: str, seconds: int) -> dict[str, str]:
        is_encrypted = "https" in (self._scope.get("scheme"), self._headers.get("x-forwarded-proto"))
        secure = "; Secure" if is_encrypted else ""
        flags = f"Path={ROOT}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
        return {"set-cookie": f"{name}={value}; {flags}"}

    def error(self, error: Exception) -> Response:
        """Return the page that states an error."""
        failure = failure_of(error)
        content = {"problem": failure.problem, "phrase": HTTPStatus(failure.problem.status).phrase}
        body = self._render("error.html", "", self._view((), {}), content)
        return failure.problem.status, {"content-type": "text/html; charset=utf-8", **_lower(failure.headers)}, body

    def _render(self, template: str, tab: str, view: View, content: Mapping[str, Any]) -> bytes:
        others = [each for each in LANGUAGES if each != view.words.language]
        here = {name: value for name, value in self._query.items() if name != "lang"}
        path = raw_path(self._scope).decode("latin-1")
        shared = {
            "t": view.words,
            "view": view,
            "tab": tab,
            "tabs": TABS,
            "root": ROOT,
            "static": STATIC.url,
            "has_keys": self._app_context.keys is not None,
            "other_language": others[0],
            "other_url": f"{path}?{urlencode({**here, 'lang': others[0]})}",
            "charts": charts,
        }
        return _templates().get_template(template).render(**shared, **content).encode()


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("serving.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["path"] = lambda text: quote(str(text), safe="")
    return environment


def _find(path: str, method: str) -> tuple[Page, tuple[str, ...]]:
    allowed = []
    for page in PAGES:
        pattern = re.escape(page.path).replace(r"\{\}", "([^/]+)")
        if found := re.fullmatch(pattern, path):
            if page.method == method:
                return page, tuple(map(unquote, found.groups()))
            allowed.append(page.method)
    if allowed:
        raise HTTPException(405, f"use {', '.join(allowed)}", {"Allow": ", ".join(allowed)})
    raise HTTPException(404, "the console has no such page")


def _fields(encoded: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(encoded.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise HTTPException(422, f"the fields cannot be read: expected at most {MAX_FIELDS}, in UTF-8") from None


def _cookies(text: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(text).items()}
    except CookieError:
        return {}


def _inside(target: str) -> str:
    """Return a path of the console, and the console itself for every other one."""
    is_inside = target == ROOT or target.startswith((ROOT + "/", ROOT + "?"))
    return target if is_inside and "\\" not in target and target.isprintable() else ROOT


def _redirect(path: str, headers: Mapping[str, str] | None = None) -> Response:
    return 303, {"location": path, **(headers or {})}, b""


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
