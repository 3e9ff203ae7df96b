"""A merged model served by an engine that exists, asked as any OpenAI client asks it."""

import importlib.util
import os
import shlex
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from workbench.core.chat import BASE, Ask, Sampling
from workbench.core.data.messages import message
from workbench.core.export.serving import TRANSFORMERS
from workbench.core.export.targets import ExportOptions
from workbench.core.training.config import ModelRef
from workbench.jobs import exports
from workbench.jobs.chat import Chat

QUESTIONS = ("What is the capital of France?", "Hello", "Why do leaves turn yellow in autumn?")


def free_port() -> int:
    with socket.socket() as listens:
        listens.bind(("127.0.0.1", 0))
        return int(listens.getsockname()[1])


@contextmanager
def served(command: list[str], port: int, log: Path):
    """The engine, from the moment when it answers."""
    command[0] = str(Path(sys.executable).with_name(command[0]))
    with open(log, "wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    try:
        until = time.monotonic() + 120
        while True:
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def completion(port: int, model: str, question: str) -> str:
    """The greedy answer, by the API that OpenAI's clients use."""
    body = {
        "model": model, "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 64,
    }  # fmt: skip
    said = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, timeout=120)
    assert said.status_code == 200, said.text
    return str(said.json()["choices"][0]["message"]["content"])


def compared(folder: Path, question: str, chat: Chat) -> str:
    """The greedy answer of the Compare page."""
    ask = Ask([message("user", question)], BASE)
    *_, last = chat.ask(ask, None, Sampling(temperature=0, max_new_tokens=64))
    return last.left.text


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="transformers serve needs the package openai")
def test_transformers_serve_gives_an_openai_client_the_answers_of_compare(first_run, tmp_path):
    """By the very command that the export tells, but for the port."""
    found = exports.export("first", "merged", tmp_path / "merged", ExportOptions(), lambda fraction, words: None)
    serving = next(one for one in found.serving if one.engine == TRANSFORMERS)
    assert serving.installed and found.agrees
    with closing(Chat()) as chat:
        chat.start(ModelRef(source="folder", name=found.folder), "bf16")
        chat.wait()
        wanted = [compared(Path(found.folder), question, chat) for question in QUESTIONS]
    port = free_port()
    command = shlex.split(serving.commands[0].replace("--port 8000", f"--port {port}"))
    with served(command, port, tmp_path / "serve.log"):
        given = [completion(port, found.folder, question) for question in QUESTIONS]
    assert given == wanted
    assert all(len(answer) > 10 for answer in given)
