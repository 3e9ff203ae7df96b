"""A model's chat template, tried once within limits before anything renders it: it is a program that came with the model.

`python -m workbench.engine.templates` answers one request: {"text": ..., "file": ..., "title": ..., "tokens": {...}} on
standard input, and whether that template has a switch for thoughts, as JSON, on standard output.
"""

import hashlib
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from workbench.core.errors import WorkbenchError
from workbench.core.training.thinking import switched
from workbench.store.home import folder_in_home, write_json

SECONDS = 2  # of computing; an ordinary template takes some thousandths of one
MEMORY = 512 * 1024**2  # bytes beyond those at the start
PATIENCE = 60.0  # seconds by the clock, on a machine that is busy with other things
LONGEST = 1_000_000  # characters, of a template and of what it may make of a conversation of a few words
A_LITTLE = 0.1  # seconds between two looks at the process

_COMMAND = (sys.executable, "-m", "workbench.engine.render")

_SYSTEM = {"role": "system", "content": "Answer in one sentence."}
_QUESTION = {"role": "user", "content": "What is snow?"}
_ANSWER = {"role": "assistant", "content": "Snow is frozen rain."}
_TRIES: list[dict[str, Any]] = [
    {"messages": [_QUESTION], "add_generation_prompt": True},
    {"messages": [_QUESTION, _ANSWER], "add_generation_prompt": False},
    {"messages": [_QUESTION, _ANSWER, _QUESTION], "add_generation_prompt": True},
    {"messages": [_SYSTEM, _QUESTION], "add_generation_prompt": True},
    {"messages": [_SYSTEM, _QUESTION, _ANSWER], "add_generation_prompt": False},
]
# A template may refuse a system message or a second turn: a row with one is named when it is rendered. Not these two.
_MUST = {0: "a question of three words", 1: "a question of three words and its answer"}

# A template that reads a token which the tokenizer does not have is no danger.
_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


_SWITCHES = [switched(True), switched(False)]


def check_template(text: str, file: str, title: str, tokens: Mapping[str, str]) -> bool:
    """Whether the template has a switch for thoughts: the same conversation reads otherwise with it on, off or left out.

    Raises WorkbenchError, with what the template did, where it cannot be rendered safely.

    file: where it stands; title: of the model; tokens: the tokenizer's special tokens by name. What was found to be well is
    kept in the home and not tried again.
    """
    if len(text) > LONGEST:
        raise _refused(title, file, f"has {len(text):,} characters, which is too long for one")
    limits = {"longest": LONGEST, "memory": MEMORY, "seconds": SECONDS}
    asked = {"template": text, "tokens": _TOKENS | dict(tokens), "tries": _TRIES, "switches": _SWITCHES} | limits
    # Without the tokens: those in the files are fewer than those of the tokenizer that is made of them.
    what = [text, _TRIES, _SWITCHES, limits, sys.version, importlib.metadata.version("jinja2")]
    digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
    kept = folder_in_home("cache") / f"template-{digest}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # there is none yet, or a damaged one
        return bool(json.loads(kept.read_text(encoding="utf-8"))["switch"])
    found = _run(asked)
    wrong = _wrong(found)
    if wrong:
        raise _refused(title, file, wrong)
    with suppress(OSError):  # on a full disk it is tried again the next time
        write_json(kept, {"title": title, "file": file, "made": found["made"], "switch": found["switch"]})
    return bool(found["switch"])


def rendered(text: str, tokens: Mapping[str, str], conversations: list[Any]) -> list[str | None]:
    """What a template makes of conversations that end with a question, up to where the answer begins; None where it refuses
    one. Within the same limits; raises WorkbenchError where they are not enough."""
    tries = [{"messages": messages, "add_generation_prompt": True} for messages in conversations]
    asked = {"template": text, "tokens": dict(tokens), "tries": tries, "switches": [], "texts": True}
    found = _run(asked | {"longest": LONGEST, "memory": MEMORY, "seconds": SECONDS})
    if wrong := _wrong(found | {"made": []}):
        raise _refused("the model", "as it was written for the export", wrong)
    texts: list[str | None] = found["texts"]
    return texts


def _wrong(found: Mapping[str, Any]) -> str:
    """What is wrong with a template, by what came of trying it; "" where all is well."""
    failed, words = found.get("failed"), found.get("words", "")
    if failed == "time":
        return f"took longer than {SECONDS} seconds to write a conversation of a few words"
    if failed == "memory":
        return f"needed more than {MEMORY // 1024**2} MB of memory to write a conversation of a few words"
    if failed == "forbidden":
        return f"uses what no chat template may use: {words}"
    if failed == "broken":
        return f"is no template that can be read: {words}"
    if failed:
        return f"ended the process that tried it ({words})"
    for number, made in enumerate(found["made"]):
        if isinstance(made, int) and made > LONGEST:
            return f"makes {made:,} characters of a conversation of a few words"
        if isinstance(made, str) and number in _MUST:
            return f"cannot write {_MUST[number]}: {made}"
    return ""


def _refused(title: str, file: str, wrong: str) -> WorkbenchError:
    return WorkbenchError(
        f"The chat template of {title} ({file}) {wrong.rstrip('.')}. It is a program that came with the model, and without it no "
        "conversation can be given to the model. Choose another model, or put the template in that file right."
    )


def _run(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the child says of a request, or {"failed": how it ended, "words": ...}."""
    process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    begun = time.monotonic()
    text: str | None = json.dumps(asked)
    try:
        while True:
            try:
                said, _ = process.communicate(text, timeout=A_LITTLE)
                break
            except subprocess.TimeoutExpired:
                text = None  # it has been sent
                if too_much := _too_much(process.pid, time.monotonic() - begun):
                    return {"failed": too_much}
    finally:
        process.kill()
        process.wait()
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        return _ended(process.returncode)
    return answer


def _too_much(pid: int, seconds: float) -> str:
    """What the child takes too much of, where the system's own limits did not end it; "" where it is within them."""
    if seconds > PATIENCE:
        return "time"
    try:
        child = psutil.Process(pid)
        times = child.cpu_times()
        if times.user + times.system > SECONDS + 2:  # the start has its part in it
            return "time"
        return "memory" if child.memory_info().rss > 2 * MEMORY else ""
    except psutil.Error:
        return ""


def _ended(code: int) -> dict[str, Any]:
    import signal

    if code == -getattr(signal, "SIGXCPU", 0):
        return {"failed": "time"}
    return {"failed": "died", "words": f"signal {-code}" if code < 0 else f"exit code {code}"}


if __name__ == "__main__":
    print(json.dumps(check_template(**json.load(sys.stdin))))
