"""Wrong passwords are slow, so that nobody can try them all."""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A person mistypes a few times; after that a try waits, and longer each time.
FREE = 5
LONGEST_WAIT = 30.0  # seconds
FORGOTTEN_AFTER = 900.0  # seconds without a wrong password
MOST_ADDRESSES = 20

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

_TOO_MANY = "Too many wrong passwords. Wait half a minute and try again."


@dataclass
class _Tries:
    """wrong: those that were not found right, with the ones that are being looked at."""

    wrong: int = 0
    last: float = 0.0
    waiting: bool = False


class SlowLogin:
    """ASGI middleware that looks at what is answered to POST /login: 200 is the right password.

    After five wrong ones from an address each try waits, twice as long as the one before, and a second one beside it is
    refused. Through a share link everybody may come from one address. Who is logged in notices nothing.
    """

    def __init__(self, app: ASGIApp, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep):
        self.app = app
        self._clock = clock
        self._sleep = sleep
        self._tries: dict[str, _Tries] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"].rstrip("/") != "/login":
            await self.app(scope, receive, send)
            return
        tries = self._of(scope)
        if tries.waiting:
            await PlainTextResponse(_TOO_MANY, 429, {"Retry-After": f"{LONGEST_WAIT:.0f}"})(scope, receive, send)
            return
        # Counted before it is answered: a hundred at once are a hundred.
        tries.wrong, tries.last = tries.wrong + 1, self._clock()

        async def look(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                tries.wrong = 0
            await send(message)

        if tries.wrong > FREE:
            tries.waiting = True
            try:
                await self._sleep(wait_before(tries.wrong))
            finally:
                tries.waiting = False
        await self.app(scope, receive, look)

    def _of(self, scope: Scope) -> _Tries:
        """The tries of an address; those that are long over are forgotten."""
        now = self._clock()
        self._tries = {
            place: tries
            for place, tries in self._tries.items()
            if tries.waiting or (tries.wrong and now - tries.last < FORGOTTEN_AFTER)
        }
        place = _place_of((scope.get("client") or ("",))[0])
        # More addresses than a household has are one attacker, who may make them up in a header.
        if place not in self._tries and len(self._tries) >= MOST_ADDRESSES:
            place = "others"
        return self._tries.setdefault(place, _Tries())


def wait_before(wrong: int) -> float:
    """Seconds that the so manieth try in a row waits: the sixth one second, then 2, 4, 8, 16 and at last 30."""
    return min(LONGEST_WAIT, 2.0 ** min(max(0, wrong - FREE - 1), 10))


def _place_of(address: str) -> str:
    """An IPv4 address, or the /64 network that one IPv6 machine has all of."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
