"""The application: routes, templates, and what every answer carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapter.config import Config
from adapter.config_web import Web
from adapter.pipeline import Rulebook
from adapter.web.language import languages
from adapter.web.page import House, not_served
from adapter.web.pages import ROUTES

_HERE = Path(__file__).parent
# No inline script or style, nothing from elsewhere, no frame around it (CSP level 3; OWASP secure headers).
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def create_app(
    config: Callable[[], Config],
    book: Callable[[], Rulebook],
    now: Callable[[], datetime],
    wake: Callable[[], None] = lambda: None,
) -> Starlette:
    """The page of one configuration. ``wake`` is called when something is to be derived."""
    web = config().web
    assert web is not None
    routes: Sequence[BaseRoute] = [
        *ROUTES,
        Mount("/static", StaticFiles(directory=_HERE / "static"), name="static"),
    ]
    middleware = [
        Middleware(_Headers),
        Middleware(TrustedHostMiddleware, allowed_hosts=_hosts(web), www_redirect=False),
    ]
    app = Starlette(routes=routes, middleware=middleware, exception_handlers={HTTPException: not_served})
    app.state.house = House(config, book, now, wake, templates(), languages())
    return app


def templates() -> Environment:
    """How every page is made."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    return environment


def _hosts(web: Web) -> list[str]:
    """The names that the page answers to: a page of another name that points here is not this one."""
    host = web.host.strip("[]")
    return [*web.names, f"[{host}]" if ":" in host else host, "localhost", "127.0.0.1", "[::1]"]


class _Headers:
    """The headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = b"no-cache" if scope.get("path", "").startswith("/static/") else b"no-store"
        added = [*self._headers, (b"cache-control", kept)]
        if scope.get("scheme") == "https":
            added.append((b"strict-transport-security", b"max-age=31536000"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
