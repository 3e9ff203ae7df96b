"""Who may do what on a Space that others visit. Everything is closed to visitors that is not opened here by name.

Two borders ask `is_owner`: `Window.process_api` for every handler, by whichever route it is called, and `Visitors` for every
route of Gradio's server. On a machine of one's own, and on a Space that strangers cannot open, nobody is a visitor.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from workbench.core.situation import Situation
from workbench.jobs import situation
from workbench.store.space import on_space

Handler = TypeVar("Handler", bound=Callable[..., Any])

CLOSED = "This is for the owner of this Space. Sign in as the owner, or duplicate the Space to have one of your own."

# What a page needs to be drawn, to ask open handlers and to sign in. Files, uploads and all else are the owner's.
_PAGES = (
    "/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json", "/login/huggingface", "/login/callback",
    "/logout", "/gradio_api/theme.css", "/gradio_api/info", "/gradio_api/app_id", "/gradio_api/user",
    "/gradio_api/login_check", "/gradio_api/startup-events", "/gradio_api/queue/data", "/gradio_api/queue/status",
)  # fmt: skip
_PARTS_OF_PAGES = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/", "/gradio_api/call/")
# /login is for the password of a window that has one; it makes nobody the owner.
_ASKING = ("/login", "/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset")
_ASKING_BY_NAME = ("/gradio_api/run/", "/gradio_api/api/", "/gradio_api/call/")


def for_visitors(handler: Handler) -> Handler:
    """Open a handler to visitors: it changes nothing that is stored, and tells nothing that is the owner's."""
    handler.open_to_visitors = True  # type: ignore[attr-defined]
    return handler


def draws_roles(handler: Handler) -> Handler:
    """Of the one handler that locks what visitors may not use: it reaches the blocks that are closed to them."""
    handler.draws_roles = True  # type: ignore[attr-defined]
    return handler


def reaches_all(handler: Callable[..., Any] | None) -> bool:
    return bool(getattr(handler, "draws_roles", False))


def is_open(handler: Callable[..., Any] | None) -> bool:
    return bool(getattr(handler, "open_to_visitors", False))


def is_owner(scope: Mapping[str, Any] | None, here: Situation | None = None) -> bool:
    """Whether whoever sent a request may do everything. scope: of the request, as ASGI gives it; None for no request."""
    if not on_space():
        return True
    return (here or situation.now()).is_owner(signed_in(scope))


def signed_in(scope: Mapping[str, Any] | None) -> str | None:
    """The name on the Hub of whoever sent a request; None where nobody is signed in, or not any more."""
    info = ((scope or {}).get("session") or {}).get("oauth_info")
    if not isinstance(info, dict) or not isinstance(info.get("userinfo"), dict):
        return None
    until, name = info.get("expires_at"), info["userinfo"].get("preferred_username")
    if not isinstance(until, int | float) or until <= time.time():
        return None
    return name if isinstance(name, str) and name else None


def scope_of(request: Any) -> Mapping[str, Any] | None:
    """The scope of what Gradio gives as a request; None for anything else, such as a batch."""
    scope = getattr(getattr(request, "request", None), "scope", None)
    return scope if isinstance(scope, Mapping) else None


def may(handler: Callable[..., Any] | None, request: Any) -> Literal["all", "look", "nothing"]:
    """What whoever sent a request may have of a handler: the owner all, a visitor what is open and told to visitors."""
    if is_owner(scope_of(request)):
        return "all"
    return "look" if is_open(handler) else "nothing"


def may_pass(method: str, path: str) -> bool:
    """Whether visitors may use a route of the server. What a handler behind it does is asked again when it is called."""
    place = path.rstrip("/") or "/"
    if method in ("GET", "HEAD"):
        return place in _PAGES or path.startswith(_PARTS_OF_PAGES)
    return method == "OPTIONS" or (method == "POST" and (place in _ASKING or path.startswith(_ASKING_BY_NAME)))


class Visitors:
    """ASGI middleware that lets visitors of a Space use the routes of `may_pass` and no other."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] in ("http", "websocket")
        if not asks or may_pass(scope.get("method", ""), scope["path"]) or is_owner(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse(CLOSED, 403)(scope, receive, send)
