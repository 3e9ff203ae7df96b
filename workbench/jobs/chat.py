"""One base model in a child process, answering two lanes: start, ask (a stream of both answers), close."""

import copy
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from workbench.core.chat import Answers, Ask, Sampling
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef, Precision
from workbench.jobs import processes
from workbench.store.home import home, writing
from workbench.store.runs import open_run

WORKER = (sys.executable, "-m", "workbench.engine.chat")

ChatState = Literal["closed", "loading", "ready", "failed"]

A_LITTLE = 0.2  # seconds between two looks at a model that loads

# A question that brings no word in this time has met a process that hangs.
PATIENCE = 300.0  # seconds


class Chat:
    """What is loaded to talk to. One for the whole window; every browser tab shares it."""

    def __init__(self, worker: Sequence[str] = WORKER):
        self._worker = worker
        self._asking = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._started = 0.0
        self.state: ChatState = "closed"
        self.word = ""  # progress while loading, the reason when failed or closed by the workbench
        self.model: ModelRef | None = None
        self.facts: dict[str, Any] = {}

    def start(self, model: ModelRef, precision: Precision = "auto") -> None:
        """Begin to load a base model, in place of the one that is loaded. Returns at once; look at `state`."""
        self.close()
        self.state, self.word, self.model, self.facts = "loading", "starting", model, {}
        argument = json.dumps({"model": model.model_dump(), "precision": precision})
        with writing("The file chat.log"), open(home() / "chat.log", "wb") as log:
            process = processes.start_talking([*self._worker, argument], log)
        self._process, self._started = process, processes.started(process.pid)
        self._events = queue.Queue()
        threading.Thread(target=self._listen, args=(process, self._events), daemon=True).start()

    def wait(self, seconds: float = PATIENCE) -> None:
        """Until the model is loaded. Raises WorkbenchError with the reason where it could not be."""
        until = time.monotonic() + seconds
        while self.state == "loading" and time.monotonic() < until:
            time.sleep(A_LITTLE)
        if self.state != "ready":
            raise WorkbenchError(self.word or "No model is loaded. Load one on the Model page.")

    def ask(self, left: Ask, right: Ask, sampling: Sampling) -> Iterator[Answers]:
        """Both answers, again and again as they grow; the last one is complete.

        Raises WorkbenchError where no model is loaded, another question is being answered, or the answer fails.
        """
        if self.state != "ready" or self._process is None:
            raise WorkbenchError(self.word or "No model is loaded. Load one on the Model page.")
        if not self._asking.acquire(blocking=False):
            raise WorkbenchError("Another question is being answered. Wait for it, or stop it.")
        try:
            lanes = [{"messages": ask.messages, "adapter": _adapter_folder(ask.adapter)} for ask in (left, right)]
            self._send({"do": "ask", "lanes": lanes, "sampling": sampling.model_dump()})
            yield from self._answers()
        finally:
            self._asking.release()

    def stop(self) -> None:
        """End the answers that are being given; what was said until then stays."""
        if self._process is not None:
            self._send({"do": "stop"})

    def close(self, why: str = "") -> None:
        """Give the memory back. `why` is what people read who had it open."""
        process, self._process = self._process, None
        self.state, self.word, self.facts, self.model = "closed", why, {}, None
        if process is not None:
            processes.end_tree(process.pid, self._started)
            process.wait(timeout=10)
            # Whoever waits for an answer learns that none will come.
            self._events.put({"event": "over", "text": why or "The model was unloaded."})

    @property
    def is_open(self) -> bool:
        """Whether a model is loaded or being loaded."""
        return self.state in ("loading", "ready")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def _answers(self) -> Iterator[Answers]:
        answers = Answers()
        finished = False
        try:
            while not finished:
                finished = self._take(self._events.get(timeout=PATIENCE), answers)
                # Several pieces that came together are one picture.
                while not finished and not self._events.empty():
                    finished = self._take(self._events.get(), answers)
                yield copy.deepcopy(answers)
        except WorkbenchError:
            finished = True  # the child said why, and waits for the next question
            raise
        except queue.Empty:
            finished = True
            self.close("The model did not answer for five minutes, so it was closed. Load it again on the Model page.")
            raise WorkbenchError(self.word) from None
        finally:
            if not finished:
                self._abandon()

    def _take(self, event: dict[str, Any], answers: Answers) -> bool:
        """Add one event to the answers. True with the last one."""
        if event["event"] == "text":
            answer = answers.right if event["lane"] else answers.left
            answer.text += event["text"]
            answer.tokens, answer.first_token = event["tokens"], event["first_token"]
            answer.per_second, answer.ended = event["per_second"], event["ended"]
            return False
        if event["event"] == "done":
            answers.verified = event["verified"]
            return True
        raise WorkbenchError(event["text"])

    def _abandon(self) -> None:
        """Nobody reads on (a closed tab): stop the answer and take what is left of it off the line."""
        if self.state != "ready":
            return
        self.stop()
        try:
            while self._events.get(timeout=30)["event"] not in ("done", "trouble", "over"):
                continue
        except queue.Empty:
            self.close("The model did not stop answering, so it was closed. Load it again on the Model page.")

    def _send(self, request: dict[str, Any]) -> None:
        try:
            assert self._process is not None and self._process.stdin is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise WorkbenchError("The loaded model is gone. Load it again on the Model page.") from error

    def _listen(self, process: subprocess.Popen[str], events: queue.Queue[dict[str, Any]]) -> None:
        """Read what the child says until it ends. Runs in a thread of its own."""
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if self._process is not process:
                return
            if event["event"] == "progress":
                self.word = event["text"]
            elif event["event"] == "ready":
                self.facts, self.word, self.state = event["facts"], "", "ready"
            elif event["event"] == "over":
                self.state, self.word = "failed", event["text"]
            else:
                events.put(event)
        if self._process is process and self.state in ("loading", "ready"):
            self.word = (
                "The loaded model's process ended unexpectedly, most often because memory ran out. "
                "Load it again on the Model page, or choose a smaller model. "
                f"What it printed is in chat.log in {home()}."
            )
            self.state = "failed"
            events.put({"event": "over", "text": self.word})


def _adapter_folder(run_name: str | None) -> str | None:
    if run_name is None:
        return None
    run = open_run(run_name)
    if not run.has_adapter:
        raise WorkbenchError(f"The run {run_name} has no adapter yet. Choose a run that finished or was stopped.")
    return str(run.adapter)
