"""What a child process hears from the window and says to it: one JSON object a line, on standard input and output.

A request is {"do": ..., its arguments}. {"do": "stop"} is heard at once, ends the answer that is being given, and is itself
not answered. The events:

    {"event": "progress", "fraction": 0 to 1, "text": ...}    while it loads, or while it works on a request
    {"event": "ready", what is known of what was loaded}      now it may be asked
    {"event": "part", what is new}                            of an answer that grows
    {"event": "done", "result": ...}                          the end of an answer
    {"event": "error", "problems": [...], "asks": [...]}      the end of one that failed, with what a person can put right; in
                      "memory": true                          place of the problems where memory ran out,
                      "trace": ...                            or where it is a bug

After an error before "ready" the process ends; after any other one the next request may be made. Where standard input
closes, the window is gone, and so is the process at once. The other end of the line is `jobs/child.py`.
"""

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

from workbench.core import masking
from workbench.core.errors import WorkbenchError
from workbench.store import secrets

Event = dict[str, Any]
Request = dict[str, Any]
Say = Callable[[Event], None]

Answer = Callable[[Request, Say, threading.Event], Any]
"""Gives the result of a request. The event is set when the window asks to stop."""

InWords = Callable[[BaseException], str]


def serve(load: Callable[[Say], tuple[Answer, Event]], in_words: InWords | None = None) -> int:
    """Load, then answer one request after the other until the window is gone. Returns 1 where loading failed.

    load: gives what answers, and what to say of it with "ready". in_words: what a person reads of an error that is no
    WorkbenchError; without it the window gets the error itself.
    """
    say = speaker()
    try:
        answer, facts = load(say)
    except BaseException as error:
        say(_error(error, in_words))
        return 1
    say({"event": "ready", **facts})
    stop = threading.Event()
    for request in _requests(stop):
        stop.clear()
        try:
            say({"event": "done", "result": answer(request, say, stop)})
        except Exception as error:
            say(_error(error, in_words))
    return 0


def _error(error: BaseException, in_words: InWords | None) -> Event:
    traceback.print_exc()
    if isinstance(error, WorkbenchError):
        return {"event": "error", "problems": list(error.problems), "asks": list(error.asks)}
    if in_words:
        return {"event": "error", "problems": [in_words(error)]}
    if isinstance(error, MemoryError):
        return {"event": "error", "memory": True}
    return {"event": "error", "trace": traceback.format_exc()}


def _requests(stop: threading.Event) -> Iterator[Request]:
    """Requests in the order they came."""
    waiting: queue.Queue[Request] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "stop":
                stop.set()
            else:
                waiting.put(request)
        os._exit(0)  # even while a chat template goes in circles

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield waiting.get()


def speaker() -> Say:
    """A function that writes one event a line to what was standard output.

    Whatever a library prints now goes to standard error, and so never comes between the events.
    """
    channel: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print_no_secrets()

    def say(event: Event) -> None:
        channel.write(json.dumps(event) + "\n")
        channel.flush()

    return say


def print_no_secrets() -> None:
    """From here on nothing that this process prints, or says in an error, holds a token or a password that can be known."""
    masking.know(secrets.known)
    sys.stdout, sys.stderr = (cast("TextIO", masking.Masked(stream)) for stream in (sys.stdout, sys.stderr))
