"""A child process that is asked in lines of JSON and answers in them, within limits. What both say: `engine/lines.py`."""

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import inf
from typing import IO, Any

import psutil

from workbench.core.errors import WorkbenchError
from workbench.jobs import processes, warm
from workbench.jobs.environment import child_environment
from workbench.store.home import home, writing

Event = dict[str, Any]

Progress = Callable[[float, str], None]
"""Is given the fraction done and a text, many times a second even where there is no news. What it raises ends the work."""

GB = 1024**3
A_LITTLE = 0.05  # seconds between two looks at a child that says nothing


@dataclass(frozen=True)
class ProcessLimits:
    """What a piece of work may take.

    memory: bytes that are resident. seconds: from start to end. silence: seconds without a word.
    """

    memory: float = inf
    seconds: float = inf
    silence: float = inf


class OverLimit(Exception):
    """A child takes too much. The text says of what, as in "took longer than 20 seconds"."""


class Gone(Exception):
    """The child ended without a word."""


class Child:
    """A process that answers one request at a time. Whoever started it ends it, with all that it started.

    log: where what it prints goes, a file of the home or an open one. environment: what is set besides the usual. words:
    what it is doing, until it says so itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: IO[bytes] | str,
        environment: dict[str, str] | None = None,
        words: str = "starting",
    ):
        with ExitStack() as opened:
            if isinstance(log, str):
                opened.enter_context(writing(f"The file {log}"))
                log = opened.enter_context(open(home() / log, "wb"))
            taken = None if environment else warm.take(command, log, child_environment(), {}, talks=True)
            self._process = taken or processes.start_talking(command, log, environment)
        self.pid = self._process.pid
        self.fraction, self.words = 0.0, words
        self.why_ended = ""
        self.ended = threading.Event()  # set once it has said its last word
        self._created = processes.started(self.pid)
        self._said: queue.Queue[Event | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def has_news(self) -> bool:
        """Whether it has said something that nobody has taken yet."""
        return not self._said.empty()

    def send(self, request: dict[str, Any]) -> None:
        """Ask for something. Raises Gone where nobody is there to hear it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise Gone from None

    def events(self, last: str, limits: ProcessLimits | None = None) -> Iterator[Event | None]:
        """What it says, up to and with the event `last`. None now and then, while it says nothing.

        Raises WorkbenchError, MemoryError or RuntimeError with what it says is wrong; OverLimit; Gone.
        """
        limits = limits or ProcessLimits()
        began = heard = time.monotonic()
        while True:
            event: Event | None = None
            with suppress(queue.Empty):
                event = self._said.get(timeout=A_LITTLE)
                if event is None:
                    self._said.put(None)  # for whoever asks the next time
                    raise Gone
                heard = time.monotonic()
            if event and event["event"] == "error":
                raise _error(event)
            if event and event["event"] == "progress":
                self.fraction, self.words = event["fraction"], event["text"]
            if event and event["event"] == last:
                yield event
                return
            self._check(limits, began, heard)
            yield event

    def wait(self, last: str, limits: ProcessLimits | None = None, progress: Progress | None = None) -> Event:
        """The event `last`, as soon as it comes. Raises what `events` raises."""
        for event in self.events(last, limits):
            if event and event["event"] == last:
                return event
            if progress:
                progress(self.fraction, self.words)
        raise Gone

    def kill(self) -> None:
        """End it at once, from any thread. One that is gone is fine."""
        processes.end_tree(self.pid, self._created)

    def end(self, why: str = "") -> int:
        """End it, and let go of it. Gives its exit code, also of one that is gone. why: for whoever still waits for an answer."""
        self.why_ended = why
        # One that ended by itself is waited for first: psutil, which ends its family, would take its exit code away.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1 if self.ended.is_set() else 0)
        self.kill()
        code = self._process.wait(timeout=10)
        with suppress(OSError):  # a line that could not be sent any more is tried once again at closing
            assert self._process.stdin is not None
            self._process.stdin.close()
        return code

    def _listen(self) -> None:
        """Read what it says until it ends. Runs in a thread of its own."""
        assert self._process.stdout is not None
        with suppress(OSError, ValueError), self._process.stdout as lines:  # it may end in the middle of a line
            for line in lines:
                self._said.put(json.loads(line))
        self.ended.set()
        self._said.put(None)

    def _check(self, limits: ProcessLimits, began: float, heard: float) -> None:
        now = time.monotonic()
        if now - began > limits.seconds:
            raise OverLimit(f"took longer than {limits.seconds:g} seconds")
        if now - heard > limits.silence:
            raise OverLimit(f"made no progress for {limits.silence:g} seconds")
        if limits.memory < inf and self._resident() > limits.memory:
            raise OverLimit(memory_words(limits))

    def _resident(self) -> int:
        """Bytes of memory that it uses; 0 once it is gone."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0


def memory_words(limits: ProcessLimits) -> str:
    """What is said of a child that took more memory than that."""
    return f"needed more than {limits.memory / GB:,.1f} GB of memory"


def _error(event: Event) -> Exception:
    if event.get("memory"):
        return MemoryError()
    if trace := event.get("trace"):
        return RuntimeError(trace)
    return WorkbenchError(*event["problems"], asks=tuple(event.get("asks", ())))
