"""One base model in a child process, answering two lanes: start, ask (a stream of both answers), close."""

import copy
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal

from workbench.core.chat import Answers, Ask, Sampling
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef, Precision
from workbench.jobs.child import A_LITTLE, Child, Event, Gone, OverLimit, ProcessLimits
from workbench.jobs.processes import engine
from workbench.store.home import home
from workbench.store.runs import open_run

ChatState = Literal["closed", "loading", "ready", "failed"]

# A question that brings no word in this time has met a process that hangs.
PATIENCE = 300.0  # seconds
STOPPING = 30.0  # seconds without a word, of an answer that was asked to stop

NOT_LOADED = "No model is loaded. Load one on the Model page."


class Chat:
    """What is loaded to talk to. One for the whole window; every browser tab shares it."""

    def __init__(self, worker: Sequence[str] = engine("chat")):
        self._worker = worker
        self._asking = threading.Lock()
        self._child: Child | None = None
        self.state: ChatState = "closed"
        self.word = ""  # progress while loading, the reason when failed or closed by the workbench
        self.model: ModelRef | None = None
        self.facts: dict[str, Any] = {}

    def start(self, model: ModelRef, precision: Precision = "auto") -> None:
        """Begin to load a base model, in place of the one that is loaded. Returns at once; look at `state`."""
        self.close()
        self.state, self.word, self.model, self.facts = "loading", "starting", model, {}
        argument = json.dumps({"model": model.model_dump(), "precision": precision})
        self._child = Child([*self._worker, argument], "chat.log")
        threading.Thread(target=self._follow, args=(self._child,), daemon=True).start()

    def wait(self, seconds: float = PATIENCE) -> None:
        """Until the model is loaded. Raises WorkbenchError with the reason where it could not be."""
        until = time.monotonic() + seconds
        while self.state == "loading" and time.monotonic() < until:
            time.sleep(A_LITTLE)
        if self.state != "ready":
            raise WorkbenchError(self.word or NOT_LOADED)

    def ask(self, left: Ask, right: Ask, sampling: Sampling) -> Iterator[Answers]:
        """Both answers, again and again as they grow; the last one is complete.

        Raises WorkbenchError where no model is loaded, another question is being answered, or the answer fails.
        """
        child = self._child
        if self.state != "ready" or child is None:
            raise WorkbenchError(self.word or NOT_LOADED)
        if not self._asking.acquire(blocking=False):
            raise WorkbenchError("Another question is being answered. Wait for it, or stop it.")
        try:
            lanes = [{"messages": ask.messages, "adapter": _adapter_folder(ask.adapter)} for ask in (left, right)]
            _send(child, {"do": "ask", "lanes": lanes, "sampling": sampling.model_dump()})
            yield from self._answers(child)
        finally:
            self._asking.release()

    def stop(self) -> None:
        """End the answers that are being given; what was said until then stays."""
        if self._child is not None:
            _send(self._child, {"do": "stop"})

    def close(self, why: str = "") -> None:
        """Give the memory back. `why` is what people read who had it open."""
        child, self._child = self._child, None
        self.state, self.word, self.facts, self.model = "closed", why, {}, None
        if child is not None:
            child.end(why or "The model was unloaded.")

    @property
    def is_open(self) -> bool:
        """Whether a model is loaded or being loaded."""
        return self.state in ("loading", "ready")

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def _answers(self, child: Child) -> Iterator[Answers]:
        answers = Answers()
        finished = False
        try:
            for event in child.events("done", ProcessLimits(silence=PATIENCE)):
                if event is None:
                    continue
                finished = _take(event, answers)
                # Several pieces that came together are one picture.
                if finished or not child.has_news:
                    yield copy.deepcopy(answers)
        except Gone:
            finished = True
            self._fail(child, _gone_words())
            raise WorkbenchError(child.why_ended or self.word) from None
        except OverLimit:
            finished = True
            self.close("The model did not answer for five minutes, so it was closed. Load it again on the Model page.")
            raise WorkbenchError(self.word) from None
        except WorkbenchError:
            finished = True  # the child said why, and waits for the next question
            raise
        finally:
            if not finished:
                self._abandon(child)

    def _abandon(self, child: Child) -> None:
        """Nobody reads on (a closed tab): stop the answer and take what is left of it off the line."""
        if self.state != "ready":
            return
        try:
            with suppress(Gone, WorkbenchError):
                _send(child, {"do": "stop"})
                child.wait("done", ProcessLimits(silence=STOPPING))
        except OverLimit:
            self.close("The model did not stop answering, so it was closed. Load it again on the Model page.")

    def _follow(self, child: Child) -> None:
        """Know how the child is, from its start to its end. Runs in a thread of its own."""

        def heard(fraction: float, words: str) -> None:
            if self._child is child:
                self.word = words

        try:
            facts = child.wait("ready", progress=heard)["facts"]
        except (Gone, WorkbenchError) as error:
            self._fail(child, str(error) or _gone_words())
            return
        if self._child is child:
            self.facts, self.word, self.state = facts, "", "ready"
        child.ended.wait()
        self._fail(child, _gone_words())

    def _fail(self, child: Child, words: str) -> None:
        if self._child is child and self.is_open:
            self.state, self.word = "failed", words


def _take(event: Event, answers: Answers) -> bool:
    """Add one event to the answers. True with the last one."""
    if event["event"] == "done":
        answers.verified = event["result"]["verified"]
        return True
    answer = answers.right if event["lane"] else answers.left
    answer.text += event["text"]
    answer.tokens, answer.first_token = event["tokens"], event["first_token"]
    answer.per_second, answer.ended = event["per_second"], event["ended"]
    return False


def _send(child: Child, request: dict[str, Any]) -> None:
    try:
        child.send(request)
    except Gone:
        raise WorkbenchError("The loaded model is gone. Load it again on the Model page.") from None


def _gone_words() -> str:
    return (
        "The loaded model's process ended unexpectedly, most often because memory ran out. "
        "Load it again on the Model page, or choose a smaller model. "
        f"What it printed is in chat.log in {home()}."
    )


def _adapter_folder(run_name: str | None) -> str | None:
    if run_name is None:
        return None
    run = open_run(run_name)
    if not run.has_adapter:
        raise WorkbenchError(f"The run {run_name} has no adapter yet. Choose a run that finished or was stopped.")
    return str(run.adapter)
