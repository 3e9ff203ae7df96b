"""A canary in place of a token: through each way out of the workbench, and none of them lets it pass."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio.routes import App
from starlette.testclient import TestClient

from workbench import cli
from workbench.core import masking
from workbench.core.errors import WorkbenchError
from workbench.core.masking import Masked, masked, masked_values
from workbench.jobs.app_state import AppState
from workbench.store import secrets
from workbench.store.runs import Run
from workbench.ui import environment, parts
from workbench.ui.launch import launch_kwargs, private_paths
from workbench.ui.shell import build

CANARY = "hf_CanaryCanaryCanaryCanaryCanary1234"
SHAPELESS = "my own gateway, 7 words!"


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A login of its own, which holds nothing yet. Returns the file of its token."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_STORED_TOKENS_PATH", "WORKBENCH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(masking, "_known", [secrets.known])
    monkeypatch.setattr(secrets, "_read", None)
    (tmp_path / "hub").mkdir()
    return tmp_path / "hub" / "token"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"not JSON: {CANARY}.", "not JSON: hf_(hidden)."),
        ("hf_Abc12345...", "hf_(hidden)..."),
        ("x=hf_abcdefghijklmnopqrstuvwxyz", "x=hf_(hidden)"),
        ("hf_oauth_eyJhbGciOi.eyJzdWIi.abc-def_1", "hf_(hidden)"),
        ("api_org_AbCdEfGhIj", "api_org_(hidden)"),
        ("Authorization: Bearer abc.def-1234567890", "Authorization: Bearer (hidden)"),
        ("'authorization': 'Basic dXNlcjpwYXNz'", "'authorization': 'Basic (hidden)'"),
        ("HF_TOKEN=anything-at-all set", "HF_TOKEN=(hidden) set"),
        ("https://h/f?X-Amz-Signature=ab12&X-Amz-Date=2", "https://h/f?X-Amz-Signature=(hidden)&X-Amz-Date=2"),
        ("GET /a?b=1&token=xyz HTTP/1.1", "GET /a?b=1&token=(hidden) HTTP/1.1"),
        ("proxy http://me:pa55@proxy:3128/ refused", "proxy http://(hidden)@proxy:3128/ refused"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIx.SflKxwRJSM", "(hidden)"),
        ("ghp_abcdefghijklmnopqrstuvwx12", "ghp_(hidden)"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\nbnNz", "(hidden)"),
    ],
)
def test_a_secret_is_known_by_its_shape(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "hf_hub_download and hf_transformers are functions", "the bearer of bad news", "Bearer tokens are explained here",
        "a basic understanding of authorization", "eos_token: <|endoftext|>", "EOS_TOKEN = </s>", "what token=1 means",
        "see https://huggingface.co/a/b?revision=main", "at http://localhost:7860/", "sk-learn", "step 3 of 10: loss=0.69",
    ],
)  # fmt: skip
def test_ordinary_words_stay(text: str) -> None:
    assert masked(text) == text


def test_a_secret_of_this_process_is_known_whatever_it_looks_like(monkeypatch: pytest.MonkeyPatch, login: Path) -> None:
    monkeypatch.setattr(secrets, "_FRESH", 0.0)
    assert masked(f"with {SHAPELESS}") == f"with {SHAPELESS}"
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "WORKBENCH_PASSWORD"):
        with monkeypatch.context() as now:
            now.setenv(name, SHAPELESS)
            assert masked(f"with {SHAPELESS}") == "with (hidden)"
    monkeypatch.setenv("HF_TOKEN", "true")
    monkeypatch.setenv("SSH_ACCESS_KEY", "/home/me/key")
    assert masked("it is true of /home/me/key") == "it is true of /home/me/key", "too short, and a path"


def test_a_login_while_the_window_is_open_counts(monkeypatch: pytest.MonkeyPatch, login: Path) -> None:
    monkeypatch.setattr(secrets, "_FRESH", 0.0)
    assert masked("of-another-hub-1") == "of-another-hub-1"
    login.write_text("of-another-hub-1\n")
    login.with_name("stored_tokens").write_text("[work]\nhf_token = of-another-hub-2\n")
    assert masked("of-another-hub-1 of-another-hub-2") == "(hidden) (hidden)"
    assert {str(login), str(login.parent)} <= set(private_paths())


def test_every_way_out_hides_it(tmp_path: Path) -> None:
    """Message, page, log, result, environment, what a worker printed: each says the words around it."""
    said = f"401 for Bearer {CANARY}"
    error = WorkbenchError(said, "and more")
    assert str(error) == "401 for Bearer hf_(hidden)\nand more" and error.problems[0] == "401 for Bearer hf_(hidden)"
    assert parts.notice("blocker", "Not loaded", said).count("hf_(hidden)") == 1
    environment.prepare()
    logging.getLogger("workbench.test").error("met %s", said)
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    run.write_result("failed", said)
    run.write_environment({"why": said, "versions": {"trl": "1"}, "refused": [said, 3]})
    run.log_file.write_text(said)
    result = run.result()
    assert result and result.why == run.log_tail() == "401 for Bearer hf_(hidden)"
    assert run.environment()["refused"] == ["401 for Bearer hf_(hidden)", 3]
    written = [environment.log_file(), run.folder / "result.json", run.folder / "environment.json"]
    assert all("hf_(hidden)" in file.read_text() and CANARY not in file.read_text() for file in written)
    assert masked_values({"a": (CANARY, None)}) == {"a": ["hf_(hidden)", None]}
    stream = io.StringIO()
    print(said, file=Masked(stream))  # type: ignore[arg-type]
    assert stream.getvalue() == "401 for Bearer hf_(hidden)\n"


def test_a_worker_prints_none_and_its_answers_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model says is a person's data; what libraries print, tracebacks too, is not."""
    code = (
        "from workbench.engine.lines import speaker; import os; say = speaker(); say({'text': os.environ['HF_TOKEN']})\n"
        "print(os.environ['HF_TOKEN']); raise ValueError(os.environ['HF_TOKEN'])"
    )
    monkeypatch.setenv("HF_TOKEN", SHAPELESS)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == {"text": SHAPELESS}
    assert SHAPELESS not in done.stderr and done.stderr.count("(hidden)") == 2, done.stderr


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, login: Path) -> Iterator[tuple[TestClient, AppState]]:
    """The whole window as it is opened, with a token in its environment and in its login."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HF_TOKEN", CANARY)
    login.write_text(CANARY)
    environment.prepare()
    app = AppState()
    served = App.create_app(build(app), app_kwargs=launch_kwargs()["app_kwargs"])
    yield TestClient(served, base_url="http://127.0.0.1"), app
    app.close()


def test_no_answer_and_no_file_holds_the_token(
    served: tuple[TestClient, AppState], home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link to the token's file is followed, as any file of its owner; what it says is not quoted."""
    client, app = served
    two_lines = tmp_path / "two.csv"
    two_lines.write_text(f"{CANARY}\nsecond\nthird\n")
    kept, link = tmp_path / "kept.jsonl", tmp_path / "link.jsonl"
    kept.write_text(CANARY)
    link.symlink_to(kept)
    heard = [
        *[
            hear(client, "look", ["path", None, str(file), "Anthropic/hh-rlhf", "", None, None])
            for file in (link, two_lines)
        ],
        hear(client, "look_up", [CANARY]),
        hear(client, "start", ["sft", CANARY]),
        client.get("/config").text,
        client.get("/gradio_api/info").text,
        client.get("/").text,
    ]
    assert "is not valid JSON" in heard[0] and "(hidden)" in heard[0], heard[0]
    assert "looks like an access token" in heard[1], heard[1]
    app.chat.state, app.chat.word = "failed", f"The Hub refused {CANARY}."
    number, values = tick_of(client)
    body = {"fn_index": number, "data": values, "session_hash": "canary"}
    heard.append(client.post("/gradio_api/run/any", json=body).text)
    assert "The Hub refused (hidden)." in heard[-1]
    assert cli.main(["check", str(link)]) == 1
    heard.append("".join(capsys.readouterr()))
    assert "(hidden)" in heard[-1]
    assert not [text for text in heard if "Canary" in text]
    assert not [file for file in home.rglob("*") if file.is_file() and b"Canary" in file.read_bytes()]


def tick_of(client: TestClient) -> tuple[int, list[Any]]:
    """The number of the endpoint that a page asks each second, and the values that a page just opened sends it."""
    config = client.get("/config").json()
    drawn = {one["id"]: one["props"].get("value") for one in config["components"] if one["type"] != "state"}
    return next(
        (number, [drawn.get(id) for id in one["inputs"]])
        for number, one in enumerate(config["dependencies"])
        if one["api_name"] == "tick"
    )


def hear(client: TestClient, name: str, data: list[Any]) -> str:
    """All that an endpoint says to a call."""
    return client.post(f"/gradio_api/run/{name}", json={"data": data}).text
