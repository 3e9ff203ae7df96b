"""Answers of handlers packed for the wire: a tick in which nothing changed says so of a hundred fields, in the same words each."""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_PATH = "/gradio_api/run/"
_LEAST = 500  # bytes
# Of charts it is a quarter that is left, in a few milliseconds; more thorough levels take five times as long for a tenth.
_LEVEL = 1


class Packed:
    """ASGI middleware that packs what handlers answer at once. Streams, files and pages pass as they are."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self._packing = GZipMiddleware(app, minimum_size=_LEAST, compresslevel=_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_answer = scope["type"] == "http" and _PATH in scope["path"]
        await (self._packing if is_answer else self.app)(scope, receive, send)
