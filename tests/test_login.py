"""A window with a password: what a stranger sees, how fast one can guess, and what is left after logging out."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.routes import App
from starlette.testclient import TestClient

from workbench.core.errors import WorkbenchError
from workbench.ui import environment, login
from workbench.ui.launch import launch_kwargs
from workbench.ui.login import SlowLogin, wait_before

RIGHT = {"username": "me", "password": "three words here"}
WRONG = RIGHT | {"password": "another one"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A small window behind the real launch arguments of one that is open to others."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("SPACE_ID", raising=False)
    environment.prepare()
    with gr.Blocks() as blocks:
        said, heard = gr.Textbox(), gr.Textbox()
        said.submit(lambda text: text.upper(), said, heard, api_name="shout")
    kwargs = launch_kwargs(host="0.0.0.0", user="me", password=RIGHT["password"])
    blocks.auth, blocks.auth_message = [kwargs["auth"]], kwargs["auth_message"]
    return TestClient(App.create_app(blocks, app_kwargs=kwargs["app_kwargs"]), base_url="http://127.0.0.1")


def statuses(client: TestClient) -> dict[str, int]:
    """What each way to the window's inside answers."""
    upload = client.post("/gradio_api/upload", files={"files": ("a.jsonl", b"{}")})
    return {
        "config": client.get("/config").status_code,
        "info": client.get("/gradio_api/info").status_code,
        "call": client.post("/gradio_api/run/shout", json={"data": ["a"]}).status_code,
        "upload": upload.status_code,
        "file": client.get(f"/gradio_api/file={environment.uploads()}/none").status_code,
        "join": client.post("/gradio_api/queue/join", json={"data": ["a"], "fn_index": 99}).status_code,
    }


def test_a_stranger_gets_nothing_and_who_logs_out_is_a_stranger_again(client: TestClient) -> None:
    """The cookie of the session that was ended opens nothing either, wherever it was kept."""
    assert set(statuses(client).values()) == {401}
    assert client.post("/login", data=RIGHT).status_code == 200
    inside = statuses(client)
    assert (inside["config"], inside["info"], inside["call"]) == (200, 200, 200)
    assert 401 not in inside.values()
    kept = dict(client.cookies)
    assert client.get("/logout", follow_redirects=False).status_code == 302
    client.cookies.update(kept)
    assert set(statuses(client).values()) == {401}


def test_the_sixth_wrong_password_waits_and_the_right_one_still_opens(client: TestClient) -> None:
    began = time.monotonic()
    assert [client.post("/login", data=WRONG).status_code for _ in range(5)] == [400] * 5
    assert time.monotonic() - began < 60
    began = time.monotonic()
    assert client.post("/login", data=RIGHT).status_code == 200
    assert time.monotonic() - began >= 1.0
    assert client.get("/config").status_code == 200


def test_waits_double_up_to_half_a_minute() -> None:
    assert [wait_before(n) for n in (6, 7, 8, 9, 10, 11, 99)] == [1, 2, 4, 8, 16, 30, 30]


class Doors:
    """`SlowLogin` before a login that knows no right password, with a clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept, self.looked_at = 0.0, [], 0  # type: ignore[var-annotated]
        self.slow = SlowLogin(self._refuse, clock=lambda: self.now, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds

    async def _refuse(self, scope: Any, receive: Any, send: Any) -> None:
        self.looked_at += 1
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 400, "headers": []})

    async def knock(self, address: str) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/login", "client": (address, 1)}
        await self.slow(scope, None, send)  # type: ignore[arg-type]
        return int(sent[0]["status"])

    def knocks(self, addresses: list[str]) -> list[int]:
        async def all_at_once() -> list[int]:
            return await asyncio.gather(*[self.knock(address) for address in addresses])

        return asyncio.run(all_at_once())


def test_a_hundred_tries_at_once_are_a_hundred_tries() -> None:
    """Five are looked at, one waits, and the others are told to."""
    doors = Doors()
    assert sorted(doors.knocks(["10.0.0.1"] * 100)) == [400] * 6 + [429] * 94
    assert doors.looked_at == 6 and doors.slept == [1.0]


@pytest.mark.parametrize(
    "address", [lambda n: f"10.0.{n // 250}.{n % 250}", lambda n: f"2001:db8::{n:x}"], ids=["many", "one network"]
)
def test_made_up_addresses_gain_a_hundred_tries_and_no_more(address: Callable[[int], str]) -> None:
    """20 addresses with five each, then all others together; of IPv6 a whole /64 is one machine."""
    doors = Doors()
    doors.knocks([address(n) for n in range(400) for _ in range(5)])
    assert doors.looked_at <= 20 * 5 + 6


def test_an_owner_is_not_kept_out_for_good() -> None:
    doors = Doors()
    doors.knocks(["10.0.0.1"] * 6)
    doors.now += login.FORGOTTEN_AFTER
    doors.knocks(["10.0.0.1"])
    assert doors.slept == [1.0]


def test_a_short_password_does_not_open_the_window_to_others(home: Path) -> None:
    for opened in ({"share": True}, {"host": "0.0.0.0"}):
        with pytest.raises(WorkbenchError, match="The password has 4 characters"):
            launch_kwargs(**opened, password="1234")  # type: ignore[arg-type]
    assert launch_kwargs(password="1234")["auth"] == ("workbench", "1234"), "nobody else can reach it"
