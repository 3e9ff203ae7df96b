"""A public Space over HTTP: a visitor tries every handler and every route, and the owner passes."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio.routes import App
from pretended_space import HOST, become_space, cookie
from starlette.testclient import TestClient

from workbench.core.chat import Answer
from workbench.core.errors import WorkbenchError
from workbench.jobs.app_state import AppState
from workbench.jobs.visits import Visits
from workbench.ui import environment, who_may
from workbench.ui.inputs import Window
from workbench.ui.launch import launch_kwargs
from workbench.ui.shell import build
from workbench.ui.who_may import CLOSED, for_visitors, is_owner, may_pass, signed_in

# What a visitor may call: to look at runs, to ask the demo, and to have the page drawn. Whoever opens more adds it here.
OPEN = {
    "look_at_run", "last_shown", "draw_run", "tick", "ask_demo", "draw_roles", "status_now", "meaning_now", "_check_login_status",
}  # fmt: skip


def refuse(*_: Any, **__: Any) -> Any:
    raise WorkbenchError("Not in this test.")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Window, TestClient]]:
    """The real window of a public Space behind its real arguments. The owner has a dataset and a conversation of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_DISABLE_TELEMETRY"):
            patch.setenv(name, "")
        become_space(patch, hidden=False)
        environment.prepare()
        patch.setattr("workbench.jobs.processes.start_talking", refuse)
        app = AppState()
        window = build(app)
        window.api_open = True  # Gradio closes /run on a Space; it is asked here too
        window.max_file_size = None  # set when a window is launched
        # What Gradio answers once the window is launched.
        served = App.create_app(window, app_kwargs=launch_kwargs()["app_kwargs"])
        with TestClient(served, base_url=f"https://{HOST}") as client:
            assert client.get("/gradio_api/startup-events").json() is True, "the queue begins to work"
            window._queue.sleep_when_free = 0.001
            window._queue.ANAYLTICS_CACHE_FREQUENCY = 10**9  # a table of all calls after each of them
            yield window, client  # type: ignore[misc]
        app.close()


@pytest.fixture
def visitor(space: tuple[Window, TestClient]) -> TestClient:
    space[1].cookies.clear()
    return space[1]


def as_(client: TestClient, name: str, **more: Any) -> TestClient:
    client.cookies.set("session", cookie(name, **more))
    return client


def spied(window: Window, patch: pytest.MonkeyPatch) -> list[str]:
    """The handlers that are begun from now on. None of them does anything."""
    begun: list[str] = []

    def spy(fn: Any) -> Any:
        name = str(fn.fn.__name__)

        def handler(*_: Any) -> None:
            begun.append(name)
            raise WorkbenchError("It was begun.")

        handler.__dict__ |= {name: True for name in ("open_to_visitors", "draws_roles") if getattr(fn.fn, name, False)}
        return handler

    for fn in window.fns.values():
        if fn.fn is not None:
            patch.setattr(fn, "fn", spy(fn))
    return begun


def drawn(fn: Any) -> list[Any]:
    return [None if field.stateful else field.value for field in fn.inputs]


def ways(client: TestClient, number: int, fn: Any) -> Iterator[httpx.Response]:
    """Every way to call a handler that a program has: by number and by name, at once and through the queue."""
    data, session = drawn(fn), "walk"
    yield client.post("/gradio_api/run/any", json={"fn_index": number, "data": data, "session_hash": session})
    yield client.post(f"/gradio_api/api/{fn.api_name}", json={"data": data, "session_hash": session})
    if number % 20 == 0:  # takes long; the same border stands behind all
        yield client.post("/gradio_api/run/any", json={"fn_index": number, "data": [data], "batched": True})
    body = {"fn_index": number, "data": data, "session_hash": session, "trigger_id": 1, "event_data": {"index": 0}}
    yield client.post("/gradio_api/queue/join", json=body)
    if number % 5 == 0:
        yield client.post(f"/gradio_api/call/{fn.api_name}", json={"data": data})


def wait_for_queue(window: Window) -> None:
    queue = window._queue
    for _ in range(100):
        if not any(one.queue for one in queue.event_queue_per_concurrency_id.values()) and not any(queue.active_jobs):
            return
        asyncio.run(asyncio.sleep(0.05))


def test_a_visitor_who_tries_every_handler_in_every_way_begins_none_that_is_not_open(space, visitor, monkeypatch):
    window, _ = space
    begun = spied(window, monkeypatch)
    tried = 0
    for number, fn in window.fns.items():
        for answer in ways(visitor, number, fn):
            tried += 1
            assert answer.status_code in (200, 400, 404, 405, 422, 500), (number, fn.api_name, answer.text)
        if number % 40 == 0:
            wait_for_queue(window)  # it takes a bounded number
    wait_for_queue(window)
    assert set(begun) <= OPEN, set(begun) - OPEN
    assert len(window.fns) > 200 and tried > 680
    print(f"handlers {len(window.fns)}, calls {tried}, begun by a visitor {sorted(set(begun))}")


def test_the_owner_begins_every_handler(space, visitor, monkeypatch):
    window, _ = space
    begun = spied(window, monkeypatch)
    behind = [fn for fn in window.fns.values() if fn.fn is not None]
    for number, fn in window.fns.items():
        as_(visitor, "me").post(
            "/gradio_api/run/any", json={"fn_index": number, "data": drawn(fn), "session_hash": "own"}
        )
    # What a choice or an event is missing for is refused by the border, for the owner too.
    assert len(begun) > 0.6 * len(behind), (len(begun), len(behind))


def test_what_is_open_is_named_here_and_nothing_else_is(space):
    named = {str(fn.fn.__name__) for fn in space[0].fns.values() if who_may.is_open(fn.fn)}
    assert named == OPEN


def files_in(folder: Path) -> dict[str, tuple[int, float]]:
    found = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (one.st_size, one.st_mtime) for name, one in found.items() if not name.endswith(".log")}


def test_nothing_that_is_stored_changes_whatever_a_visitor_calls(space, visitor):
    window, _ = space
    home = environment.uploads().parent
    before = files_in(home)
    for number, fn in window.fns.items():
        body = {"fn_index": number, "data": drawn(fn), "session_hash": "walk"}
        answer = visitor.post("/gradio_api/run/any", json=body)
        if answer.status_code != 200 and not who_may.is_open(fn.fn):
            assert CLOSED in answer.json()["error"], (number, fn.api_name)
    assert files_in(home) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/upload"), ("POST", "/gradio_api/component_server"), ("POST", "/gradio_api/component_server/"),
        ("POST", "/gradio_api/process_recording"), ("POST", "/gradio_api/vibe-edit"), ("POST", "/gradio_api/vibe-code"),
        ("POST", "/gradio_api/run-history/connect"), ("POST", "/gradio_api/stream/1"),
        ("GET", "/gradio_api/file={uploads}/any"), ("GET", "/gradio_api/file/any"), ("GET", "/gradio_api/proxy=http://127.0.0.1"),
        ("GET", "/gradio_api/deep_link?session_hash=walk"), ("GET", "/gradio_api/deep_link"), ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"), ("GET", "/gradio_api/upload_progress"), ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/vibe-code"), ("GET", "/gradio_api/dev/reload"), ("PUT", "/gradio_api/run/any"),
        ("DELETE", "/gradio_api/queue/join"), ("GET", "/custom_component/1/client/x/y.js"), ("GET", "/anything"),
        ("GET", "/gradio_api/token"), ("GET", "/gradio_api/openapi.json"),
    ],
)  # fmt: skip
def test_no_other_route_is_there_for_a_visitor(visitor, method, path):
    path = path.format(uploads=environment.uploads())
    answer = visitor.request(method, path)
    assert (answer.status_code, answer.text) == (403, CLOSED)
    assert "content-security-policy" in answer.headers


def all_routes(routes: Any) -> Iterator[Any]:
    """With those of the routers in them, under their whole paths."""
    for route in routes:
        inside = getattr(getattr(route, "original_router", None), "routes", None)
        yield from all_routes(inside) if inside else [route]


def test_every_route_of_gradio_is_decided_on(space):
    """Each that writes is closed, but for those that ask handlers: a new one of Gradio's is closed too."""
    open_posts = set()
    for route in all_routes(space[1].app.routes):
        for method in getattr(route, "methods", None) or ():
            if method not in ("GET", "HEAD", "OPTIONS") and may_pass(method, route.path):
                open_posts.add(route.path.rstrip("/"))
    asking = (
        "queue/join",
        "cancel",
        "reset",
        "run/{api_name}",
        "api/{api_name}",
        "call/{api_name}",
        "call/v2/{api_name}",
    )
    assert open_posts == {"/login", *(f"/gradio_api/{one}" for one in asking)}


def test_the_owner_uploads_and_a_visitor_cannot_fetch_it(visitor):
    sent = {"files": ("canary.jsonl", b'{"a": "of the owner"}')}
    path = as_(visitor, "me").post("/gradio_api/upload", files=sent).json()[0]
    assert visitor.get(f"/gradio_api/file={path}").text == '{"a": "of the owner"}'
    visitor.cookies.clear()
    assert visitor.get(f"/gradio_api/file={path}").status_code == 403


@pytest.mark.parametrize(
    "session",
    [
        cookie("stranger"), cookie("me", lasts=-1), cookie("me", secret=""), cookie("me", secret="guessed"), cookie("ME"),
        "x" + cookie("me")[1:], "", "{}",
    ],
)  # fmt: skip
def test_only_the_owners_own_cookie_that_still_holds_is_taken(visitor, session):
    """Somebody else, one that ran out, signed with no secret or another one, another spelling, a changed one."""
    visitor.cookies.set("session", session)
    assert visitor.post("/gradio_api/upload", files={"files": ("a.jsonl", b"{}")}).status_code == 403


@pytest.mark.parametrize(
    "info", [None, {}, {"oauth_info": "me"}, {"oauth_info": {"userinfo": {"preferred_username": "me"}}}]
)
def test_a_session_without_an_end_is_nobodys(info):
    assert signed_in({"session": info}) is None
    assert signed_in(None) is None


def test_the_sign_in_is_the_hubs_and_never_a_pretended_one(space, visitor, monkeypatch):
    """The callback asks the Hub for the token; the mock of Gradio, which signs in whoever calls it, is not there."""
    answer = visitor.get("/login/callback?code=any&state=any", follow_redirects=False)
    assert "oauth_info" not in str(answer.headers)
    assert visitor.post("/gradio_api/upload", files={"files": ("a.jsonl", b"{}")}).status_code == 403
    assert space[0].expects_oauth
    for name in ("SPACE_ID", "SYSTEM"):
        monkeypatch.delenv(name)
    app = AppState()
    try:
        assert not build(app).expects_oauth, "on a machine of one's own nobody signs in"
    finally:
        app.close()


def test_on_a_machine_of_ones_own_and_on_a_private_space_nobody_is_a_visitor(monkeypatch):
    assert not is_owner({})
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert is_owner({}) and is_owner(None)
    with pytest.MonkeyPatch.context() as patch:
        become_space(patch, hidden=True)
        assert is_owner({}) and is_owner(None)
        become_space(patch, hidden=None)
        assert not is_owner({}) and not is_owner(None)


@pytest.fixture(autouse=True)
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    become_space(monkeypatch, hidden=False)


def test_a_handler_that_nobody_opened_is_closed():
    with Window() as window:
        import gradio as gr

        gr.Button().click(lambda: "done", None, gr.Textbox(), api_name="act")
        gr.Button().click(for_visitors(lambda: "looked"), None, gr.Textbox(), api_name="look")
    window.api_open = True
    client = TestClient(App.create_app(window), base_url=f"https://{HOST}")
    assert client.post("/gradio_api/run/look", json={"data": []}).json()["data"] == ["looked"]
    assert CLOSED in client.post("/gradio_api/run/act", json={"data": []}).json()["error"]


def test_what_is_the_owners_is_told_to_no_visitor(space, visitor, first_run_named):
    """The page, its configuration and each second's news: the run is seen; log, samples, folder and other names are not."""
    window, _ = space
    tick = next(number for number, fn in window.fns.items() if fn.api_name == "tick")
    dropdown = next(place for place, field in enumerate(window.fns[tick].inputs) if field.elem_id == "wb-watch-run")
    data = drawn(window.fns[tick])
    data[dropdown] = "seen"
    body = {"fn_index": tick, "data": data, "session_hash": "look"}
    told = visitor.post("/gradio_api/run/any", json=body).text
    assert "seen" in told and "canary-of-the-log" not in told and str(first_run_named) not in told
    owner = as_(visitor, "me").post("/gradio_api/run/any", json=body | {"session_hash": "own"}).text
    assert "canary-of-the-log" in owner


def test_what_two_visitors_ask_does_not_cross_and_is_written_nowhere(space, visitor, monkeypatch, home):
    window, _ = space
    monkeypatch.setattr(
        Visits, "ask", lambda self, session, question: iter([(Answer(f"{question} for {session}"), None)])
    )
    number, fn = next((number, fn) for number, fn in window.fns.items() if fn.api_name == "ask_demo")
    for session in ("one", "two"):
        body = {"fn_index": number, "data": [f"canary-{session}", None], "session_hash": session}
        assert visitor.post("/gradio_api/queue/join", json=body).status_code == 200
    wait_for_queue(window)
    talked = fn.inputs[1]._id
    kept = {session: window.state_holder[session][talked] for session in ("one", "two", "three")}
    assert kept == {
        "one": [("canary-one", "canary-one for one", "")],
        "two": [("canary-two", "canary-two for two", "")],
        "three": [],
    }
    written = [file for file in home.rglob("*") if file.is_file() and b"canary-" in file.read_bytes()]
    assert written == []


def drawn_for(window: Window, client: TestClient, session: str) -> dict[str, dict[str, Any]]:
    """What the page is told when it opens, by the elem_id or the label of what is told."""
    number, fn = next((number, fn) for number, fn in window.fns.items() if fn.api_name == "draw_roles")
    body = {"fn_index": number, "data": [], "session_hash": session}
    told = client.post("/gradio_api/run/any", json=body).json()["data"]
    named = [str(block.elem_id or getattr(block, "label", None)) for block in fn.outputs]
    return dict(zip(named, told, strict=True))


def test_a_visitor_finds_what_is_closed_hidden_or_locked_and_is_told_why(space, visitor):
    window, _ = space
    seen = drawn_for(window, visitor, "look")
    assert "Sign in as the owner to train, bring data, compare, export or change anything" in str(seen["wb-space"])
    for page in ("2 Data", "3 Train", "5 Compare", "Worker log", "Sample answers: before and now"):
        assert seen[page]["visible"] is False, page
    for locked in (
        "wb-model-load",
        "wb-model-use",
        "wb-model-source",
        "wb-watch-trash",
        "wb-watch-stop",
        "wb-watch-hold",
    ):
        assert seen[locked]["interactive"] is False, locked
    assert seen["wb-visit"]["visible"] is True and seen["wb-runs"]["visible"] is False
    own = drawn_for(window, as_(visitor, "me"), "own")
    assert "You are signed in as me, its owner" in str(own["wb-space"]) and "Runs end with this Space" in str(
        own["wb-space"]
    )
    assert all(own[page]["visible"] is True for page in ("2 Data", "3 Train", "5 Compare"))
    assert own["wb-visit"]["visible"] is False and "interactive" not in own["wb-model-load"]
    visitor.cookies.clear()
    visitor.cookies.set("session", cookie("stranger"))
    other = str(drawn_for(window, visitor, "other")["wb-space"])
    assert "You are signed in as stranger, and the owner is me." in other


@pytest.fixture
def first_run_named(home: Path) -> Path:
    from configs import demo_config

    folder = home / "runs" / "seen"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(demo_config("seen").model_dump(mode="json")))
    (folder / "result.json").write_text('{"outcome": "stopped", "why": "enough"}')
    (folder / "worker.log").write_text("canary-of-the-log\n")
    return folder


def test_looking_at_a_run_chooses_it_for_the_owner_alone(space, visitor, first_run_named):
    from workbench.store import choices

    window, _ = space
    pick = next(number for number, fn in window.fns.items() if fn.fn is not None and fn.fn.__name__ == "look_at_run")
    body = {"fn_index": pick, "data": ["seen"], "session_hash": "look"}
    listing = next(number for number, fn in window.fns.items() if fn.api_name == "tick")
    news = {"fn_index": listing, "data": drawn(window.fns[listing]), "session_hash": "look"}
    visitor.post("/gradio_api/run/any", json=news)  # lists the run in this session
    assert visitor.post("/gradio_api/run/any", json=body).status_code == 200
    assert choices.read().run is None
    assert as_(visitor, "me").post("/gradio_api/run/any", json=body).status_code == 200
    assert choices.read().run == "seen"
