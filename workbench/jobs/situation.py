"""The situation that this process is in now. Whether a Space is private is asked again from time to time, in a thread."""

import os
import threading
import time
from collections.abc import Callable

from workbench.core.errors import WorkbenchError
from workbench.core.situation import Situation, recognise
from workbench.jobs.card import read_card
from workbench.store.space import is_hidden, on_space, status_as_stranger

UNKNOWN_FOR = 60.0  # seconds until it is asked again, where nobody could say
KNOWN_FOR = 300.0  # seconds until it is asked again: its owner may have made it public meanwhile
TRUSTED_FOR = 900.0  # seconds after which an answer that could not be had again counts for nothing


class Privacy:
    """What is known of whether strangers can open this Space. Asking takes seconds, so nobody waits for it."""

    def __init__(self, ask: Callable[[], bool | None], clock: Callable[[], float] = time.monotonic):
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: tuple[bool, float] | None = None  # with the time when it was given
        self._asked: float | None = None

    def known(self) -> bool | None:
        """The last answer, where it is fresh enough. Begins to ask again where it is time."""
        with self._lock:
            now = self._clock()
            fresh = self._answer is not None and now - self._answer[1] < TRUSTED_FOR
            every = KNOWN_FOR if fresh else UNKNOWN_FOR
            due = self._asked is None or now - self._asked >= every
            if due:
                self._asked = now
            answer = self._answer[0] if fresh and self._answer else None
        if due:
            threading.Thread(target=self.ask, daemon=True).start()
        return answer

    def ask(self) -> None:
        """Ask now, and wait for the answer. One that was not given leaves the last one to grow old."""
        found = self._ask()
        with self._lock:
            if found is not None:
                self._answer = found, self._clock()


def _ask_the_hub() -> bool | None:
    # With a domain of its own, a Space has several hosts.
    host = os.environ.get("SPACE_HOST", "").split(",")[0].strip()
    return is_hidden(os.environ.get("SPACE_ID", ""), host, status_as_stranger)


privacy = Privacy(_ask_the_hub)


def now() -> Situation:
    """Where this process runs, by its environment, its card and what is known of its Space."""
    if on_space():
        return recognise(os.environ, has_card=False, is_hidden=privacy.known())
    return recognise(os.environ, read_card() is not None)


def refuse_where_nothing_trains() -> None:
    """Raises WorkbenchError where a run could not train to its end in this place."""
    if on_space() and (why := now().no_training):
        raise WorkbenchError(why)
