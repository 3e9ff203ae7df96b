"""The workbench as a Space, against a Hub of this machine that writes down what it is asked."""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import metadata_load
from made_runs import finished

import workbench
from workbench.cli import main
from workbench.core.errors import WorkbenchError
from workbench.core.hub_hardware import FOR_SPACES
from workbench.jobs import deploy
from workbench.store.runs import all_runs, runs_folder

TOKEN = "hf_" + "d3ploy" * 6
ROOT = Path(workbench.__file__).parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / "app.py").exists(), reason="an installed wheel has no app.py beside it")


class Hub(http.server.BaseHTTPRequestHandler):
    """What the Hub answers; the server holds `asked` (method, path, headers, body) and `space` (None where there is none)."""

    server: Any

    def do_GET(self) -> None:
        self._heard(b"")
        if self.path.startswith("/api/whoami"):
            return self._say({"name": "me", "type": "user"})
        if self.server.space is None:
            return self._say({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        self._say(
            {
                "id": "me/bench",
                "siblings": [{"rfilename": name} for name in self.server.space["files"]],
                **self.server.space,
            }
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._heard(body)
        if refusal := self.server.refuses.get(self.path):
            return self._say({"error": "no"}, refusal)
        if "/preupload/" in self.path:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            return self._say({"files": files})
        if "/commit/" in self.path:
            return self._say(
                {
                    "commitUrl": "https://huggingface.co/spaces/me/bench/commit/0",
                    "commitOid": "0" * 40,
                    "pullRequestUrl": None,
                }
            )
        if self.path.endswith("/hardware"):
            return self._say({"stage": "BUILDING", "hardware": {"requested": "t4-small"}})
        self._say({"url": "https://huggingface.co/spaces/me/bench", "name": "me/bench", "id": "1"})

    def _heard(self, body: bytes) -> None:
        self.server.asked.append((self.command, self.path, dict(self.headers), body))

    def _say(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (
            {"Content-Type": "application/json", "Content-Length": str(len(data))} | (headers or {})
        ).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import huggingface_hub

    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.space, server.refuses = [], None, {}
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}"
    api = huggingface_hub.HfApi
    # The library read HF_ENDPOINT when it was imported.
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api(endpoint=place, token=TOKEN))
    yield server
    server.shutdown()
    server.server_close()


def committed(hub: Any) -> dict[str, bytes | None]:
    """The files of the one commit, with what is in them; None for one that is deleted."""
    (body,) = [body for _, path, _, body in hub.asked if "/commit/" in path]
    files: dict[str, bytes | None] = {}
    for line in body.splitlines():
        one = json.loads(line)
        if one["key"] == "file":
            files[one["value"]["path"]] = base64.b64decode(one["value"]["content"])
        elif one["key"] == "deletedFile":
            files[one["value"]["path"]] = None
    return files


def bodies(hub: Any) -> bytes:
    """All that was sent, with the contents of files as they are."""
    plain = b"".join(one for one in committed(hub).values() if one)
    return b"".join(body for *_, body in hub.asked) + plain


def dry_run(capsys: Any, *flags: str) -> dict[str, Any]:
    assert main(["deploy-space", "bench", "--dry-run", "--json", *flags]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_goes_up_is_private_and_exactly_what_the_dry_run_says_without_the_token(hub, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    told = dry_run(capsys)
    assert hub.asked == [], "a dry run asks nobody"
    assert main(["deploy-space", "bench", "--yes", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["address"].endswith("/spaces/me/bench")
    (made,) = [json.loads(body) for _, path, _, body in hub.asked if path == "/api/repos/create"]
    assert (made["visibility"], made["type"], made["sdk"]) == ("private", "space", "gradio")
    assert "hardware" not in made
    files = committed(hub)
    assert {name: len(data or b"") for name, data in files.items()} == {
        one["path"]: one["bytes"] for one in told["files"]
    }
    assert all(
        files[name] == (ROOT / name).read_bytes() for name in ("app.py", "requirements.txt", "workbench/ui/shell.py")
    )
    assert TOKEN.encode() not in bodies(hub) and str(ROOT).encode() not in bodies(hub)
    assert all(
        TOKEN in headers.get("authorization", headers.get("Authorization", "")) for _, _, headers, _ in hub.asked
    )


def test_all_that_the_program_needs_goes_up_and_nothing_of_the_user():
    sent = {one.path for one in deploy.program_files()}
    assert {"app.py", "requirements.txt", "README.md", "LICENSE", "assets/demo/model/model.safetensors"} <= sent
    needed = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "workbench").rglob("*.*")
        if "__pycache__" not in path.parts
    }
    needed &= deploy._known_to_git(ROOT) or needed  # a new file goes up once it is committed
    assert needed - sent == set(), "a kind of file that deploy.py does not know"
    assert not [
        name for name in sent if name.startswith(("tests/", ".", "runs/")) or "/." in name or "__pycache__" in name
    ]


def test_what_git_does_not_know_hidden_files_and_links_stay_here(tmp_path):
    for name in ("app.py", "requirements.txt", "README.md", "workbench/a.py", "presets/a.toml", "assets/a.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in ("workbench/secret.env", "workbench/.token.json", "assets/my-model.bin", "workbench/__pycache__/a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("canary")
    (tmp_path / "assets" / "link.json").symlink_to("/etc/passwd")
    (tmp_path / "presets" / "away").symlink_to("/etc")
    expected = ["app.py", "requirements.txt", "README.md", "workbench/a.py", "presets/a.toml", "assets/a.md"]
    assert [one.path for one in deploy.program_files(tmp_path)] == expected
    with pytest.raises(WorkbenchError, match="not from an installed wheel"):
        deploy.program_files(tmp_path / "workbench")


def test_hardware_and_its_price_are_named_before(hub, capsys):
    told = dry_run(capsys, "--hardware", "t4-small", "--sleep", "1800")
    words = " ".join(told["words"])
    assert "$0.40 an hour" in words and "$9.60 a day and $288 in 30 days" in words and "30 minutes" in words
    assert "Pause this Space" in words and "prices of" in words
    assert main(["deploy-space", "bench", "--hardware", "t4-small", "--sleep", "1800", "--yes"]) == 0
    assert "$0.40 an hour" in capsys.readouterr().out
    (made,) = [json.loads(body) for _, path, _, body in hub.asked if path == "/api/repos/create"]
    assert (made["hardware"], made["sleepTimeSeconds"]) == ("t4-small", 1800)


def test_every_hardware_is_one_that_the_hubs_library_knows():
    from huggingface_hub import SpaceHardware

    assert set(FOR_SPACES) <= {one.value for one in SpaceHardware}


def test_without_a_yes_nothing_is_sent(hub, capsys):
    assert main(["deploy-space", "bench"]) == 1
    assert "Nothing was sent" in capsys.readouterr().err and hub.asked == []


def test_a_space_of_ours_is_updated_and_what_is_gone_from_the_program_goes(hub, capsys):
    hub.space = {
        "private": True,
        "files": ["README.md", "workbench/__init__.py", "workbench/old.py", "archives/mine.zip"],
    }
    assert main(["deploy-space", "me/bench", "--hardware", "t4-small", "--yes"]) == 0
    assert [name for name, data in committed(hub).items() if data is None] == ["workbench/old.py"]
    assert not [path for _, path, _, _ in hub.asked if path == "/api/repos/create"]
    assert [path for _, path, _, _ in hub.asked if path.endswith("/hardware")] == ["/api/spaces/me/bench/hardware"]


@pytest.mark.parametrize(
    ("space", "flags", "words"),
    [
        ({"private": True, "files": ["app.py", "my_own.py"]}, [], "is another program"),
        ({"private": False, "files": ["workbench/__init__.py"]}, [], "is public, and it is to be private"),
        ({"private": True, "files": ["workbench/__init__.py"]}, ["--public"], "is private, and it is to be public"),
    ],
)
def test_a_space_that_is_something_else_is_left_alone(hub, capsys, space, flags, words):
    hub.space = space
    assert main(["deploy-space", "me/bench", "--yes", *flags]) == 1
    assert words in capsys.readouterr().err
    assert all(method == "GET" for method, *_ in hub.asked)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "hf auth login"), (402, "paid plan"), (403, "may not write"), (500, "HTTP status 500")]
)
def test_what_the_hub_says_against_it_is_told_in_words(hub, capsys, status, words):
    hub.refuses = {"/api/repos/create": status}
    assert main(["deploy-space", "me/bench", "--yes"]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "a/b/c", "", "a b", "me/../x", "https://x", "-a"])
def test_only_a_name_of_a_space_is_taken(name):
    with pytest.raises(WorkbenchError, match="no name of a Space"):
        deploy.plan(name, "cpu-basic", 3600)


def test_a_run_goes_along_only_where_it_is_named_and_is_stored_by_the_space(hub, capsys, home, tmp_path, monkeypatch):
    finished("mine")
    (runs_folder() / "mine" / "worker.log").write_text("canary-of-the-log")
    assert not [one for one in dry_run(capsys)["files"] if "mine" in one["path"]]
    assert main(["deploy-space", "me/bench", "--run", "mine", "--yes"]) == 0
    sent = committed(hub)["archives/mine.zip"]
    assert sent and b"canary-of-the-log" not in sent
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "of-the-space"))
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "mine.zip").write_bytes(sent)
    (tmp_path / "archives" / "broken.zip").write_bytes(b"PK")
    assert deploy.bring_runs(tmp_path) == [], "only on a Space"
    monkeypatch.setenv("SPACE_ID", "me/bench")
    assert deploy.bring_runs(tmp_path) == ["mine"]
    assert deploy.bring_runs(tmp_path) == [], "it is there already"
    assert [run.name for run in all_runs()] == ["mine"]


def test_the_front_matter_of_the_readme_is_valid():
    front = metadata_load(ROOT / "README.md")
    assert (front["sdk"], front["app_file"], front["hf_oauth"], front["python_version"]) == (
        "gradio",
        "app.py",
        True,
        "3.12",
    )
    assert (ROOT / front["app_file"]).is_file() and front["suggested_hardware"] in FOR_SPACES
    assert len(front["short_description"]) <= 60, "the Hub takes no longer one"
    assert front["colorFrom"] in COLOURS and front["colorTo"] in COLOURS
    requirements = (ROOT / "requirements.txt").read_text()
    major, minor, _ = front["sdk_version"].split(".")
    assert f"gradio[oauth]>={major}.{minor},<{int(major) + 1}" in requirements


COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
