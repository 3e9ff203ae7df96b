"""Who may talk to the window, tried by hand-made HTTP against a window that really listens."""

import asyncio
import http.client
import json
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from workbench.core.errors import WorkbenchError
from workbench.ui import environment
from workbench.ui.guard import Guard, Refusal, Rules, is_known, refusal, rules_for, safety_headers, same_place
from workbench.ui.launch import launch_kwargs, private_paths

LIMIT = 100_000


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Space, no password, nothing of the user's."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    for name in ("SPACE_ID", "SPACE_HOST", "WORKBENCH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A small window behind the real launch arguments: its port, and the user's folder that it works in."""
    import gradio as gr

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_DISABLE_TELEMETRY"):
            patch.setenv(name, "")
        environment.prepare()
        home = environment.uploads().parent
        (home / "runs").mkdir()
        (home / "runs" / "secret.json").write_text("{}")
        with gr.Blocks() as blocks:
            said, heard = gr.Textbox(), gr.Textbox()
            said.submit(lambda text: text.upper(), said, heard, api_name="shout")
            said.submit(lambda text: 1 / 0, said, heard, api_name="fail")
            gr.File()
        blocks.launch(**launch_kwargs(upload_limit=f"{LIMIT // 1000}kb"), prevent_thread_lock=True)
        yield int(urlsplit(blocks.local_url).port or 0), home
        blocks.close()


@pytest.fixture
def port(served: tuple[int, Path]) -> int:
    return served[0]


def ask(
    port: int, method: str = "GET", path: str = "/", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request with exactly these headers; `_` in a name stands for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host="Host" in named)
    if body is not None:
        named["Content-Length"] = str(len(body))
    for name, value in named.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def shout(port: int, **headers: str) -> int:
    body = json.dumps({"data": ["hi"]}).encode()
    headers = {"Content_Type": "application/json", **headers}
    return ask(port, "POST", "/gradio_api/call/shout", body, **headers)[0]


def upload(port: int, size: int, **headers: str) -> int:
    edge = uuid.uuid4().hex
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a.jsonl"\r\n\r\n'
    body = head.encode() + b"x" * size + f"\r\n--{edge}--\r\n".encode()
    return ask(
        port, "POST", "/gradio_api/upload", body, Content_Type=f"multipart/form-data; boundary={edge}", **headers
    )[0]


def test_our_own_page_may_act(port: int) -> None:
    assert shout(port, Origin=f"http://127.0.0.1:{port}", Sec_Fetch_Site="same-origin") == 200


def test_a_program_without_a_page_may_act(port: int) -> None:
    assert shout(port) == 200


def test_our_own_page_under_its_other_name_may_act(port: int) -> None:
    assert shout(port, Host=f"localhost:{port}", Origin=f"http://localhost:{port}") == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost:{port}", "http://127.0.0.1"]
)
def test_a_page_from_elsewhere_may_not_act(port: int, origin: str) -> None:
    """Another site, a sandboxed frame, another program on this machine, another name of it, no port."""
    assert shout(port, Origin=origin.format(port=port)) == 403
    assert upload(port, 10, Origin=origin.format(port=port)) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_the_browser_says_of_the_sender_counts_too(port: int, site: str) -> None:
    assert shout(port, Sec_Fetch_Site=site) == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example"]
)
def test_another_name_for_this_address_is_turned_away(port: int, host: str) -> None:
    """DNS rebinding: the name is theirs, the address is ours. Reading is refused as well."""
    assert ask(port, Host=host)[0] == 400
    assert shout(port, Host=host, Origin=f"http://{host}") == 400


@pytest.mark.parametrize(
    "host",
    [
        "[::1]evil.example", "[::1].evil.example", "[::1]:80:80", "[::1", "::1", "[::1%lo]", "[127.0.0.1]",
        "127.0.0.1:evil.example", "localhost:80@evil.example", "localhost@evil.example", "evil.example#localhost",
        "localhost/evil.example", "localhost,evil.example", "localhost evil.example", "localhost:", "localhost:0",
        "localhost:99999", "localhost:-1", "localhost:+80", "localhost:\u0668\u0660", "localhost:\xb2", "localhost.",
        "127.0.0.1.", ".localhost", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "\uff11\uff12\uff17.0.0.1", "0.0.0.0",
        "[::ffff:127.0.0.1]", "", " ", "localhost\0", "localhost\n", "%6cocalhost",
    ],
)  # fmt: skip
def test_what_only_looks_like_this_machine_is_turned_away(host: str) -> None:
    """No browser sends any of these; a loose reader takes each for a name of this window."""
    assert not is_known(host, Rules())


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:7860", "localhost:1", "localhost:65535", "[::1]", "[::1]:80"])
def test_our_own_names_are_known_as_browsers_send_them(host: str) -> None:
    assert refusal("POST", [(b"host", host.encode())], Rules()) is None


def test_the_name_in_any_other_place_counts_for_nothing(port: int) -> None:
    """X-Forwarded-Host is for proxies; whoever can set headers needs no rebinding."""
    assert ask(port, Host="evil.example", X_Forwarded_Host="localhost", Forwarded="host=localhost")[0] == 400
    assert ask(port, path="/config", Host="localhost", X_Forwarded_Host="evil.example")[0] == 200


def test_another_page_may_not_read_either() -> None:
    """Gradio lets every origin read what is answered under an address of the network, with the visitor's cookies."""
    rules = rules_for(open_to_others=True, share=True)
    for host in (b"192.168.0.7:7860", b"abc.gradio.live"):
        foreign = [(b"host", host), (b"origin", b"https://evil.example")]
        assert refusal("GET", foreign, rules) == Refusal(403, refusal("POST", foreign, rules).text)  # type: ignore[union-attr]
        assert refusal("GET", [(b"host", host), (b"sec-fetch-site", b"cross-site")], rules) is None, (
            "a link is followed"
        )


def test_another_page_may_not_log_anybody_out(port: int) -> None:
    for site in ("cross-site", "same-site"):
        for path in ("/logout", "/logout/", "/logout?all_session=true"):
            assert ask(port, path=path, Sec_Fetch_Site=site)[0] == 403


def bodies() -> dict[str, tuple[str, bytes]]:
    """A request for each kind of error: its path, and a body to send to it."""
    large = b"x" * 2 * LIMIT
    form = b'--e\r\nContent-Disposition: form-data; name="files"; filename="a.jsonl"\r\n\r\n' + large + b"\r\n--e--\r\n"
    return {
        "404": ("/nowhere", b"{}"),
        "405": ("/config", b"{}"),
        "413": ("/gradio_api/upload", form),
        "422": ("/gradio_api/run/shout", b'{"data":'),
        "500 of a handler": ("/gradio_api/run/fail", b'{"data": ["x"]}'),
        "500 of Gradio": ("/gradio_api/queue/join", b'{"data": [], "fn_index": 9999, "session_hash": "a"}'),
        "500 of Gradio's other": ("/gradio_api/call/v2/nope", b"{}"),
    }


@pytest.mark.parametrize("kind", bodies())
def test_every_answer_carries_the_headers_and_says_something(port: int, kind: str) -> None:
    path, body = bodies()[kind]
    mime = "multipart/form-data; boundary=e" if kind == "413" else "application/json"
    status, headers, said = ask(port, "POST", path, body, Content_Type=mime)
    assert status == int(kind[:3])
    assert_safe(headers)
    assert said and said != b"Internal Server Error"


def test_an_error_in_gradios_own_middleware_carries_the_headers_too(port: int) -> None:
    """HTTP/1.0 has no Host, and what Gradio wraps around the guard asks for it."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(b"GET /config HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n")
        head, _, said = b"".join(iter(lambda: line.recv(65_536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500") and b"could not answer this request" in said
    assert_safe(dict(one.lower().split(": ", 1) for one in head.decode().split("\r\n")[1:]))


def assert_safe(headers: dict[str, str]) -> None:
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"].upper() == "SAMEORIGIN"
    assert headers["referrer-policy"] == "same-origin"


def test_every_page_and_file_carries_the_headers(port: int) -> None:
    for path in ("/", "/config", "/gradio_api/file=/etc/passwd", "/nowhere"):
        assert_safe(ask(port, path=path)[1])


def test_no_file_of_this_machine_is_handed_out(served: tuple[int, Path]) -> None:
    port, home = served
    here = Path.cwd()
    asked = [
        "/etc/passwd",
        str(here / "pyproject.toml"),
        str(Path(__file__)),
        f"{home}/uploads/../runs/secret.json",
        f"{home}/uploads/%2e%2e/runs/secret.json",
        str(home / "runs" / "secret.json"),
        str(home / "workbench.log"),
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%252e%252e/etc/passwd",
        "file:///etc/passwd",
        "/proc/self/environ",
        str(Path.home() / ".cache" / "huggingface" / "token"),
    ]
    for path in asked:
        for form in (path, quote(path, safe="/%")):
            assert ask(port, path=f"/gradio_api/file={form}")[0] in (403, 404), form
    for path in ("/etc/passwd", str(here / "pyproject.toml"), str(home / "runs" / "secret.json")):
        assert ask(port, path=f"/gradio_api/file={path}")[0] == 403


def test_what_was_uploaded_can_be_fetched_again_so_that_the_refusals_mean_something(served: tuple[int, Path]) -> None:
    """The positive control: the same route, the same headers, a path in the one folder that files are handed out from."""
    port, home = served
    body = b'--e\r\nContent-Disposition: form-data; name="files"; filename="a.jsonl"\r\n\r\n{"a": 1}\r\n--e--\r\n'
    said = ask(port, "POST", "/gradio_api/upload", body, Content_Type="multipart/form-data; boundary=e")[2]
    path = Path(json.loads(said)[0])
    assert path.is_relative_to(home / "uploads")
    status, headers, given = ask(port, path=f"/gradio_api/file={path}")
    assert (status, given) == (200, b'{"a": 1}')
    assert_safe(headers)
    assert ask(port, path=f"/gradio_api/file={path}", Host="evil.example")[0] == 400
    assert ask(port, path=f"/gradio_api/file={path}", Origin="https://evil.example")[0] == 403


def test_an_upload_within_the_limit_is_taken_and_one_over_it_is_not(port: int) -> None:
    assert upload(port, LIMIT // 2) == 200
    assert upload(port, LIMIT * 2) == 413


def test_the_history_page_of_gradio_is_off(port: int) -> None:
    config = json.loads(ask(port, path="/config")[2])
    assert "runs" not in config["footer_links"]


def test_a_host_is_known_with_any_port() -> None:
    assert is_known("127.0.0.1", Rules())
    assert is_known("localhost:9123", Rules())
    assert is_known("[::1]:7860", Rules())
    assert not is_known("192.168.0.7:7860", Rules())
    assert not is_known("", Rules())
    assert not is_known("[", Rules())


def test_an_open_window_answers_to_addresses_and_still_not_to_foreign_names() -> None:
    rules = rules_for(open_to_others=True, share=False)
    assert is_known("192.168.0.7:7860", rules)
    assert is_known("[fe80::1]:7860", rules)
    assert not is_known("[192.168.0.7]", rules)
    assert not is_known("192.168.0.7.evil.example", rules)
    assert not is_known("[fe80::1%25eth0]", rules)
    assert not is_known("evil.example:7860", rules)
    assert not is_known("abc.gradio.live", rules)
    assert is_known("abc.gradio.live", rules_for(open_to_others=False, share=True))


def test_an_origin_belongs_to_a_host_with_or_without_the_usual_port() -> None:
    assert same_place("http://localhost:7860", "localhost:7860")
    assert same_place("https://me-bench.hf.space", "me-bench.hf.space")
    assert same_place("https://me-bench.hf.space", "me-bench.hf.space:443")
    assert not same_place("null", "null")
    assert not same_place("http://x@localhost:7860", "localhost:7860")
    assert not same_place("http://localhost:7860.evil.example", "localhost:7860")


def test_two_host_headers_are_one_too_many() -> None:
    refused = refusal("GET", [(b"host", b"localhost"), (b"host", b"evil.example")], Rules())
    assert isinstance(refused, Refusal) and refused.status == 400


def test_a_space_answers_to_its_own_name_and_may_be_framed_by_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "me/app")
    monkeypatch.setenv("SPACE_HOST", "me-bench.hf.space")
    rules = rules_for(open_to_others=True, share=False)
    headers = dict(safety_headers(rules))
    assert is_known("me-bench.hf.space", rules)
    assert not is_known("other-bench.hf.space", rules)
    assert headers[b"content-security-policy"].endswith(
        b"frame-ancestors 'self' https://huggingface.co https://*.hf.space"
    )
    assert b"x-frame-options" not in headers
    assert launch_kwargs()["server_name"] == "0.0.0.0"
    assert launch_kwargs()["auth"] is None


def test_the_guard_passes_pieces_on_as_they_come() -> None:
    """Three pieces in, three out, each before the next is made; so chat and progress still stream."""
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"a", b"b", b"c"):
            order.append(f"made {piece.decode()}")
            await send({"type": "http.response.body", "body": piece, "more_body": piece != b"c"})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            order.append(f"sent {message['body'].decode()}")

    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost:1")]}
    asyncio.run(Guard(app, Rules())(scope, None, send))  # type: ignore[arg-type]
    assert order == ["made a", "sent a", "made b", "sent b", "made c", "sent c"]


def test_a_web_socket_from_another_page_is_closed() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("reached")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "headers": [(b"host", b"localhost"), (b"origin", b"https://evil.example")]}
    asyncio.run(Guard(app, Rules())(scope, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_window_listens_on_this_machine_only_whatever_gradios_variables_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GRADIO_SHARE", "True")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    environment.prepare()
    kwargs = launch_kwargs()
    assert (kwargs["server_name"], kwargs["share"], kwargs["allowed_paths"]) == ("127.0.0.1", False, [])
    assert not {"GRADIO_SHARE", "GRADIO_SERVER_NAME", "GRADIO_ALLOWED_PATHS"} & set(os.environ)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert Path(os.environ["GRADIO_TEMP_DIR"]) == environment.uploads()


@pytest.mark.parametrize("choice", [{"host": "0.0.0.0"}, {"host": "192.168.0.7"}, {"host": "::"}, {"share": True}])
def test_opening_the_window_to_others_needs_a_password(choice: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkbenchError, match="WORKBENCH_PASSWORD"):
        launch_kwargs(**choice)
    assert launch_kwargs(**choice, password="three words here")["auth"] == ("workbench", "three words here")
    monkeypatch.setenv("WORKBENCH_PASSWORD", "from outside")
    assert launch_kwargs(**choice, user="me")["auth"] == ("me", "from outside")


def test_gradios_vibe_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_VIBE_MODE", "1")
    with pytest.raises(WorkbenchError, match="GRADIO_VIBE_MODE"):
        environment.prepare()


def test_runs_data_and_the_hubs_token_are_never_files_to_hand_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/somewhere/hub")
    home = environment.uploads().parent
    assert {str(home / "runs"), str(home / "datasets"), str(home / "workbench.log"), "/somewhere/hub"} <= set(
        private_paths()
    )
    assert str(environment.uploads()) not in private_paths()
