"""One base model in a child process, answering through its adapters: start, ask, ask many, score, reward, close."""

import copy
import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal

from workbench.core.chat import Answered, Answerer, Answers, Ask, Sampling, Score, TokenScore, ToScore
from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef, Precision
from workbench.jobs.child import A_LITTLE, Child, Event, Gone, OverLimit, ProcessLimits
from workbench.jobs.processes import engine
from workbench.store.answerers import adapter_folder, beta_of, thinks
from workbench.store.home import home
from workbench.store.reward_models import RewardModel

ChatState = Literal["closed", "loading", "ready", "failed"]

# A question that brings no word in this time has met a process that hangs.
PATIENCE = 300.0  # seconds
STOPPING = 30.0  # seconds without a word, of an answer that was asked to stop

NOT_LOADED = "No model is loaded. Load one on the Model page."


class Chat:
    """What is loaded to talk to. One for the whole window; every browser tab shares it."""

    def __init__(
        self,
        worker: Sequence[str] = engine("chat"),
        log: str = "chat.log",
        environment: dict[str, str] | None = None,
    ):
        self._worker = worker
        self._log = log
        self._environment = environment
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
        self._child = Child([*self._worker, argument], self._log, self._environment)
        threading.Thread(target=self._follow, args=(self._child,), daemon=True).start()

    def wait(self, seconds: float = PATIENCE) -> None:
        """Until the model is loaded. Raises WorkbenchError with the reason where it could not be."""
        until = time.monotonic() + seconds
        while self.state == "loading" and time.monotonic() < until:
            time.sleep(A_LITTLE)
        if self.state != "ready":
            raise WorkbenchError(self.word or NOT_LOADED)

    def ask(self, left: Ask, right: Ask | None, sampling: Sampling) -> Iterator[Answers]:
        """Both answers, again and again as they grow; the last one is complete. Without `right`, the left one alone.

        Raises WorkbenchError where no model is loaded, another question is being answered, or the answer fails.
        """
        asks = [left] if right is None else [left, right]
        lanes = [{"messages": ask.messages, **_who(ask.answerer)} for ask in asks]
        answers = Answers()
        for event in self._exchange({"do": "ask", "lanes": lanes, "sampling": sampling.model_dump()}):
            _take(event, answers)
            # Several pieces that came together are one picture.
            if event["event"] == "done" or not (self._child and self._child.has_news):
                yield copy.deepcopy(answers)

    def ask_many(
        self,
        prompts: Sequence[list[Message]],
        answerers: Sequence[Answerer],
        sampling: Sampling,
        seeds: Sequence[int] | None = None,
    ) -> Iterator[Answered]:
        """Every prompt to all of them, in batches: each answer as soon as it is finished, in no order.

        seeds: one for each prompt, in place of the one of `sampling`: the same prompt with two seeds has two answers. An
        answer depends on its prompt, answerer, sampling and seed alone, not on what else is asked. `stop` ends it: what was
        begun comes as "stopped", what was not does not come. Raises as `ask`.
        """
        drawn = list(seeds) if seeds is not None else [sampling.seed] * len(prompts)
        assert len(drawn) == len(prompts)
        request = {
            "do": "ask_many",
            "prompts": list(prompts),
            "seeds": drawn,
            "answerers": [_who(one) for one in answerers],
            "sampling": sampling.model_dump(),
        }
        for event in self._exchange(request):
            if event["event"] == "part":
                yield Answered(**event["answered"])

    def score(self, messages: list[Message], answer: str, answerer: Answerer, ended: bool = True) -> Score:
        """What an adapter changed of an answer, token by token. Raises as `ask`, and where it was stopped."""
        found = dict(self.score_many([ToScore(messages, answer, answerer, ended)]))
        if not found:
            raise WorkbenchError("There is nothing to show of this answer: it is empty, or was stopped.")
        return found[0]

    def score_many(self, items: Sequence[ToScore]) -> Iterator[tuple[int, Score]]:
        """The same of many answers, as (place in `items`, score), as soon as each is known. Empty answers have none."""
        betas = [beta_of(item.answerer) if item.answerer.name else None for item in items]
        asked = [
            {"messages": one.messages, "answer": one.answer, "ended": one.ended, **_who(one.answerer)} for one in items
        ]
        for event in self._exchange({"do": "score", "items": asked}):
            if event["event"] == "part":
                place = event["item"]
                yield place, Score([TokenScore(*token) for token in event["tokens"]], betas[place])

    def reward_many(self, reward: RewardModel, conversations: Sequence[list[Message]]) -> Iterator[tuple[int, float]]:
        """Standardised rewards of conversations that end with an answer, as (place, reward), as soon as each is known.

        `stop` ends it: what was not scored by then does not come. Raises as `ask`, and for a reward model of another base
        model than the loaded one, or one that gives something else than numbers.
        """
        if self.model is not None and self.model != reward.model:
            raise WorkbenchError(
                f"The reward model {reward.name} was trained on {reward.model.title}, and {self.model.title} is loaded: it reads "
                "other tokens and other weights. Load its own base model to score with it."
            )
        request = {
            "do": "reward",
            "adapter": str(reward.folder),
            "max_length": reward.max_length,
            "conversations": list(conversations),
        }
        for event in self._exchange(request):
            if event["event"] != "part":
                continue
            if not math.isfinite(event["reward"]):
                raise WorkbenchError(
                    f"The reward model {reward.name} gave an answer the score {event['reward']}, which is no number: its "
                    "weights are damaged, or its training went wrong. Train it again, with a lower learning rate."
                )
            yield event["item"], event["reward"]

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
    def is_answering(self) -> bool:
        return self._asking.locked()

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def _exchange(self, request: dict[str, Any]) -> Iterator[Event]:
        """What is answered to a request, piece by piece, up to and with "done". One at a time."""
        child = self._child
        if self.state != "ready" or child is None:
            raise WorkbenchError(self.word or NOT_LOADED)
        if not self._asking.acquire(blocking=False):
            raise WorkbenchError("Another question is being answered. Wait for it, or stop it.")
        finished = False
        try:
            _send(child, request)
            for event in child.events("done", ProcessLimits(silence=PATIENCE)):
                if event is not None:
                    finished = event["event"] == "done"
                    yield event
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
            self._asking.release()

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


def _take(event: Event, answers: Answers) -> None:
    """Add one event to the answers."""
    if event["event"] == "done":
        answers.verified = event["result"]["verified"]
    elif event["event"] == "part":
        answer = answers.right if event["lane"] else answers.left
        answer.text += event["text"]
        answer.tokens, answer.first_token = event["tokens"], event["first_token"]
        answer.per_second, answer.ended = event["per_second"], event["ended"]
        answer.asked, answer.context = event.get("asked", 0), event.get("context")


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


def _who(answerer: Answerer) -> dict[str, Any]:
    """As the child is told. Raises WorkbenchError where the adapter is gone."""
    folder = adapter_folder(answerer)
    return {"adapter": str(folder) if folder else None, "strength": answerer.strength, "thinking": thinks(answerer)}
