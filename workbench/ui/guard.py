"""Who may talk to the window.

A page on any web site can send requests to a program on the visitor's own machine. So the window answers only to the
names that it is known by (against DNS rebinding), and changes something only for its own pages (against forged
requests). Programs such as curl send no Origin, and pass.
"""

import ipaddress
import logging
import os
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.store.space import on_space
from workbench.ui.environment import log_file

logger = logging.getLogger(__name__)

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

_READING = ("GET", "HEAD", "OPTIONS")
# Gradio logs out on a GET, which any page can make a browser send.
_ACTING_PATHS = ("/logout",)
# What a browser sends and nothing else: a name or an IPv4 address, or an IPv6 address in brackets; then a port.
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)(?::([0-9]{1,5}))?", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'none'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors "
)


@dataclass(frozen=True)
class Rules:
    """What the guard lets through.

    names: host names, lower case, without port. endings: a name may end in one of these.
    any_address: bare IP addresses pass too; rebinding needs a name, so they are safe.
    framed_by: other origins that may show the window in a frame.
    """

    names: frozenset[str] = LOCAL_NAMES
    endings: tuple[str, ...] = ()
    any_address: bool = False
    framed_by: tuple[str, ...] = ()


class Refusal(NamedTuple):
    status: int
    text: str


def rules_for(open_to_others: bool, share: bool) -> Rules:
    """The rules for this machine: a Space, a window that is open to others, or one that is not."""
    # With a domain of its own, a Space has several.
    hosts = [host.strip().lower() for host in os.environ.get("SPACE_HOST", "").split(",") if host.strip()]
    if on_space():
        return Rules(
            names=LOCAL_NAMES | frozenset(hosts),
            endings=() if hosts else (".hf.space",),
            any_address=True,
            framed_by=("https://huggingface.co", "https://*.hf.space"),
        )
    if open_to_others or share:
        machine = socket.gethostname().lower()
        return Rules(
            names=LOCAL_NAMES | {machine, f"{machine}.local"},
            endings=(".gradio.live",) if share else (),
            any_address=True,
        )
    return Rules()


def refusal(method: str, headers: list[tuple[bytes, bytes]], rules: Rules, path: str = "/") -> Refusal | None:
    """Why a request is turned away, or None to let it through.

    headers: as ASGI gives them, names in lower case.
    """
    hosts = _values(headers, b"host")
    if len(hosts) != 1 or not is_known(hosts[0], rules):
        return Refusal(400, "The workbench does not answer to this host name. Open it at the address that it printed.")
    # Reading too: Gradio lets any origin read what it answers under a name that is not localhost.
    if any(not same_place(origin, hosts[0]) for origin in _values(headers, b"origin")):
        return Refusal(403, "Another page sent this request, so the workbench did not act on it.")
    acts = method not in _READING or path.rstrip("/") in _ACTING_PATHS
    if acts and {"cross-site", "same-site"} & set(_values(headers, b"sec-fetch-site")):
        return Refusal(403, "Another page sent this request, so the workbench did not act on it.")
    return None


def is_known(host: str, rules: Rules) -> bool:
    """Whether a Host header, in lower case and with or without port, names this window."""
    name = _name_of(host)
    if name is None:
        return False
    if name in rules.names or name.endswith(rules.endings):
        return True
    return rules.any_address and _is_address(name)


def _name_of(host: str) -> str | None:
    """The name or address in a Host header; None for anything that no browser sends as one."""
    found = _HOST.fullmatch(host)
    if found is None or (found[2] and not 0 < int(found[2]) < 65_536):
        return None
    return found[1]


def same_place(origin: str, host: str) -> bool:
    """Whether an Origin header belongs to the pages of this Host. `null` belongs to nobody."""
    scheme, found, place = origin.partition("://")
    return bool(found) and host in (place, f"{place}:{_DEFAULT_PORTS.get(scheme)}")


def safety_headers(rules: Rules) -> list[tuple[bytes, bytes]]:
    """Headers for every answer. The content policy keeps hostile text from sending anything out."""
    ancestors = " ".join(("'self'", *rules.framed_by))
    headers = [
        (b"content-security-policy", f"{_CONTENT_POLICY}{ancestors}".encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    # X-Frame-Options knows no list of origins, so it would lock a Space out of its own page.
    return headers if rules.framed_by else [*headers, (b"x-frame-options", b"SAMEORIGIN")]


def went_wrong(error: Exception, path: str) -> Response:
    """The answer to a request that met a bug, or that no page of the workbench sends. What it met goes to the log."""
    logger.error("answering %s failed", path, exc_info=error)
    words = (
        f"The workbench could not answer this request. The details are in {log_file()}. "
        "What a program may ask for is listed under /gradio_api/info?all_endpoints=true."
    )
    return PlainTextResponse(words, 500)


class Guard:
    """The rules as plain ASGI middleware: it looks at what passes and buffers nothing, so answers still stream."""

    def __init__(self, app: ASGIApp, rules: Rules):
        self.app = app
        self.rules = rules
        self.headers = safety_headers(rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        # A WebSocket can do everything that a POST can.
        refused = refusal(scope.get("method", "POST"), scope["headers"], self.rules, scope.get("path", "/"))
        if refused and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": with_safety(message.get("headers", []), self.headers)}
            await send(message)

        answer = PlainTextResponse(refused.text, refused.status) if refused else self.app
        try:
            await answer(scope, receive, send_with_headers)
        except Exception as error:
            # Starlette answers errors outside of all middleware, without our headers and with no word on what to do.
            if begun or scope["type"] == "websocket":
                raise
            await went_wrong(error, scope["path"])(scope, receive, send_with_headers)


def error_handler(rules: Rules) -> Callable[[Request, Exception], Response]:
    """The answer to what fails outside of the guard, in Gradio's own middleware; it carries the safety headers too."""

    def answer(request: Request, error: Exception) -> Response:
        response = went_wrong(error, request.url.path)
        response.raw_headers = with_safety(response.raw_headers, safety_headers(rules))
        return response

    return answer


def with_safety(headers: Iterable[tuple[bytes, bytes]], safety: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with the safety headers in place of any others of their names."""
    ours = {name for name, _ in safety}
    return [*[pair for pair in headers if pair[0].lower() not in ours], *safety]


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1").strip().lower() for key, value in headers if key == name]


def _is_address(name: str) -> bool:
    try:
        if name.startswith("["):
            ipaddress.IPv6Address(name[1:-1])
        else:
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
