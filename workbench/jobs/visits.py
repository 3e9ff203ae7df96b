"""The demo model for visitors of a Space: a few short answers, in a process of their own that leaves the card alone.

Nothing of it is stored, and nothing that the owner has loaded or chosen is touched or read.
"""

import math
import threading
import time
from collections.abc import Iterator

from workbench.core.allowance import Allowance
from workbench.core.chat import Answer, Answerer, Ask, Sampling
from workbench.core.data.messages import Message, half_character
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.jobs.chat import Chat
from workbench.store.runs import model_of, readable_runs

EACH, ALL = 5, 30  # questions in a minute: of one session, and of all visitors together
LONGEST_QUESTION = 300  # characters
ANSWER = Sampling(max_new_tokens=64)
LONGEST_WAIT = 30.0  # seconds for an answer; what was said by then stays
LOADING = 120.0  # seconds

OFF_THE_CARD = {"CUDA_VISIBLE_DEVICES": ""}


class Visits:
    """One for the whole window."""

    def __init__(self, chat: Chat | None = None) -> None:
        self.chat = chat or Chat(log="chat-visitors.log", environment=OFF_THE_CARD)
        self._allowance = Allowance(EACH, ALL)
        self._asking = threading.Lock()

    def ask(self, session: str, question: str) -> Iterator[str | tuple[Answer, Answer | None]]:
        """What the demo model answers, and after it the newest run that was trained on it, as both grow; words until then.

        Raises WorkbenchError where the question is none, comes too soon after others, or another one is being answered.
        """
        asked = question.strip()
        if not asked:
            raise WorkbenchError("There is no question yet. Write one.")
        if len(asked) > LONGEST_QUESTION:
            raise WorkbenchError(
                f"The question has {len(asked):,} characters; a visitor's has at most {LONGEST_QUESTION}. Shorten it."
            )
        if half := half_character(asked):
            raise WorkbenchError(f"The question holds half a character ({half}), which no model can read. Delete it.")
        if not self._asking.acquire(blocking=False):
            raise WorkbenchError("Another visitor's question is being answered. Ask again in a few seconds.")
        try:
            if wait := self._allowance.take(session, time.monotonic()):
                raise WorkbenchError(
                    f"Visitors ask {EACH} questions a minute, and {ALL} all together. Ask again in {math.ceil(wait)} seconds."
                )
            yield from self._answers(asked)
        finally:
            self._asking.release()

    def _answers(self, asked: str) -> Iterator[str | tuple[Answer, Answer | None]]:
        if not self.chat.is_open:
            self.chat.start(ModelRef())
        if self.chat.state == "loading":
            yield "Loading the demo model ..."
            self.chat.wait(LOADING)
        messages: list[Message] = [{"role": "user", "content": asked}]
        trained = newest_demo_run()
        right = Ask(messages, Answerer(trained)) if trained else None
        until = time.monotonic() + LONGEST_WAIT
        for answers in self.chat.ask(Ask(messages), right, ANSWER):
            yield answers.left, answers.right if right else None
            if time.monotonic() > until:
                self.chat.stop()

    def close(self) -> None:
        self.chat.close()


def newest_demo_run() -> str:
    """The newest finished run that answers and was trained on the demo model; "" where there is none."""
    return next(
        (run.name for run in readable_runs() if run.has_adapter and not run.is_reward and model_of(run) == ModelRef()),
        "",
    )
