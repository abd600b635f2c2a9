"""The pages of the demo shop: home, product and basket, made on the server, filled by the widget."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as Page

from serving.demo_shop.products import departments, find_products, picture
from serving.http.static import PAGE_HEADERS, StaticFolder
from serving.problems import NotReadyError
from serving.runtime.app_context import AppContext
from serving.runtime.snapshot import Snapshot

FOLDER: Final = Path(__file__).parent
HOME: Final = "/demo-shop"
MAX_FORM_BYTES: Final = 8192
MAX_COOKIE_CHARS: Final = 3000
"""Of a basket: browsers keep 4 KB of a cookie."""

CONSENTS: Final = ("unasked", "granted", "denied")
OTHER_LANGUAGE: Final = {"en": "zh", "zh": "en"}
PICTURE_HEADERS: Final = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}

Respond = Callable[[Request], Awaitable[Response]]


class DemoShop:
    """The demo shop of one server.

    Args:
        app_context: of the server.
        widget: URL of the widget.
    """

    def __init__(self, app_context: AppContext, widget: str) -> None:
        self._app_context, self._widget = app_context, widget
        self._static = StaticFolder(f"{HOME}/static/", FOLDER / "static")
        self._texts: dict[str, dict[str, str]] = json.loads((FOLDER / "texts.json").read_text(encoding="utf-8"))
        self._departments: tuple[str, tuple[str, ...]] = ("", ())

    def routes(self) -> list[BaseRoute]:
        """Return the routes of all pages."""
        return [
            self._static,
            Page(HOME, self._guarded(self._home)),
            Page(f"{HOME}/products/{{item_id:path}}", self._guarded(self._product)),
            Page(f"{HOME}/pictures/{{item_id:path}}", self._guarded(self._picture)),
            Page(f"{HOME}/basket", self._guarded(self._basket)),
            Page(f"{HOME}/basket", self._change_basket, methods=["POST"]),
            Page(f"{HOME}/consent", self._set_consent, methods=["POST"]),
        ]

    def _guarded(self, respond: Respond) -> Respond:
        async def answer(request: Request) -> Response:
            try:
                return await respond(request)
            except NotReadyError:
                return self._page(request, "message.jinja", 503, message=self._text(request)["unavailable"])

        return answer

    async def _home(self, request: Request) -> Response:
        snapshot = await self._snapshot()
        if self._departments[0] != snapshot.version:
            self._departments = snapshot.version, departments(snapshot.recommender.engine.items_table)
        department = request.query_params.get("department")
        known = self._departments[1]
        chosen = department if department in known else None
        condition = f"category = {quoted(chosen)}" if chosen else None
        return self._page(request, "home.jinja", departments=known, department=chosen, filter=condition)

    async def _product(self, request: Request) -> Response:
        found = find_products((await self._snapshot()).recommender, [request.path_params["item_id"]])
        if not found:
            return self._page(request, "message.jinja", 404, message=self._text(request)["missing"])
        others = f"item_id <> {quoted(found[0].item_id)}"
        return self._page(request, "product.jinja", product=found[0], others=others)

    async def _picture(self, request: Request) -> Response:
        found = find_products((await self._snapshot()).recommender, [request.path_params["item_id"]])
        if not found:
            raise HTTPException(404)
        return Response(picture(found[0]), 200, PICTURE_HEADERS, "image/svg+xml")

    async def _basket(self, request: Request) -> Response:
        products = find_products((await self._snapshot()).recommender, basket_of(request))
        priced = all(each.price is not None for each in products)
        is_bought = "bought" in request.query_params
        return self._page(request, "basket.jinja", products=products, priced=priced, is_bought=is_bought)

    async def _change_basket(self, request: Request) -> Response:
        form = await _form(request)
        basket = [item for item in basket_of(request) if item not in (form.get("add"), form.get("remove"))]
        if "add" in form:
            basket.append(form["add"])
        response = RedirectResponse(f"{HOME}/basket" + ("?bought=1" if "buy" in form else ""), 303)
        _set_cookie(response, "basket", _basket_cookie([] if "buy" in form else basket))
        return response

    async def _set_consent(self, request: Request) -> Response:
        form = await _form(request)
        response = RedirectResponse(HOME, 303)
        if form.get("consent") in CONSENTS:
            _set_cookie(response, "consent", form["consent"])
        return response

    async def _snapshot(self) -> Snapshot:
        return await self._app_context.lists.run(self._app_context.watcher.snapshot)

    def _text(self, request: Request) -> Mapping[str, str]:
        return self._texts[language_of(request)]

    def _page(self, request: Request, template: str, status: int = 200, **given: Any) -> Response:
        language = language_of(request)
        consent = request.cookies.get("consent")
        html = self._environment.get_template(template).render(
            **given,
            text=self._texts[language],
            language=language,
            other=OTHER_LANGUAGE[language],
            other_language=self._texts[OTHER_LANGUAGE[language]]["language"],
            consent=consent if consent in CONSENTS else "unasked",
            basket=basket_of(request),
            widget=self._widget,
            css=self._static.url("shop.css"),
            script=self._static.url("shop.js"),
        )
        headers = {**PAGE_HEADERS, "Cache-Control": "no-store", "Content-Language": language}
        response = Response(html, status, headers, "text/html; charset=utf-8")
        if "lang" in request.query_params:
            _set_cookie(response, "lang", language)
        return response

    @cached_property
    def _environment(self) -> Environment:
        loader = FileSystemLoader(FOLDER / "templates")
        environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        environment.filters["segment"] = partial(quote, safe="")
        environment.filters["tojson_text"] = partial(json.dumps, ensure_ascii=False)
        environment.filters["money"] = money
        return environment


def language_of(request: Request) -> str:
    """Return `en` or `zh`: as asked for, else as chosen before, else the first that the browser prefers."""
    asked = (request.query_params.get("lang"), request.cookies.get("lang"))
    preferred = [part.strip()[:2].lower() for part in request.headers.get("accept-language", "").split(",")]
    return next((each for each in (*asked, *preferred) if each in OTHER_LANGUAGE), "en")


def basket_of(request: Request) -> list[str]:
    """Return the ids in a visitor's basket, oldest first; a cookie that somebody else wrote is an empty one."""
    found = parse_qs(request.cookies.get("basket", ""), errors="replace")
    return list(dict.fromkeys(found.get("i", ())))


def _basket_cookie(basket: list[str]) -> str:
    """Return the basket as a cookie; the oldest items leave one that is too long."""
    parts = [f"i={quote(item, safe='')}" for item in basket]
    while len("&".join(parts)) > MAX_COOKIE_CHARS:
        parts.pop(0)
    return "&".join(parts)


def _set_cookie(response: Response, name: str, value: str) -> None:
    response.set_cookie(name, value, max_age=30 * 86_400, path=HOME, httponly=True, samesite="lax")


def quoted(text: str) -> str:
    """Return a text as filters write it.

    >>> quoted("men's")
    "'men''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def money(price: float | None, currency: str | None) -> str:
    """Return a price in plain form, such as `2.50 USD`; empty if it is not known."""
    return "" if price is None else f"{price:,.2f} {currency or ''}".strip()


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form that was sent by one of these pages.

    Raises:
        HTTPException: 403 for a page of another site, 413 for a large form.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "this form was sent by a page of another site")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, f"the form is larger than {MAX_FORM_BYTES} bytes")
    return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}
