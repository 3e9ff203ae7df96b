"""Answers of a model with adapters: token by token for several conversations at once, or in bulk for measuring."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

import torch
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_layers import GradientCheckpointingLayer

from workbench.core.chat import Sampling
from workbench.core.data.messages import Message
from workbench.core.training.thinking import switched
from workbench.engine.kept_reading import NOTHING, Reading, laid_out, new_cache, readings_of

OnTokens = Callable[[int, list[int], str], None]
"""Called with the row, its tokens so far without the end token, and how its answer ended: "" while it grows, else as in
core.chat.Answer."""

Through = Callable[[Sequence[int]], AbstractContextManager[None]]
"""Called with rows: what the model computes inside goes through their adapters."""


class ToAnswer(NamedTuple):
    """What one row of a batch is asked. thinking: see `asking`. seed: in place of the one of the sampling.

    known: what the same weights have read before; then what they have read in the end is wanted too.
    """

    messages: list[Message]
    thinking: bool = False
    seed: int | None = None
    known: Sequence[Reading] | None = None


class Stopped(Exception):
    """Nothing more is wanted of the batch."""


class FewerRows(Exception):
    """Half of the rows of the batch have their answer, and only cost time."""


class SharedNoise(LogitsProcessor):
    """Makes taking the likeliest token the same as sampling, with one draw of randomness for all rows of one seed.

    argmax(log p + Gumbel noise) is a sample from p (Gumbel 1954; Maddison et al. 2014, "A* Sampling", section 2).
    Rows that share the noise differ only where their models differ, so that lanes are compared fairly; and what a row draws
    does not depend on which others are in the batch.
    """

    def __init__(self, seeds: Sequence[int], device: Any):
        self.seeds = seeds
        self.rows: Sequence[int] = range(len(seeds))  # that are in the batch
        self.generators = {seed: torch.Generator(device).manual_seed(seed) for seed in seeds}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise = {}
        for seed in {self.seeds[row] for row in self.rows}:
            generator = self.generators[seed]
            uniform = torch.rand(scores.shape[-1], generator=generator, device=scores.device).clamp(1e-9, 1 - 1e-7)
            noise[seed] = -torch.log(-torch.log(uniform))
        return scores.float() + torch.stack([noise[self.seeds[row]] for row in self.rows])


def seed_of(conversation: Sequence[Message], seed: int) -> int:
    """The seed of an answer, from the one that was set and the question: two questions draw different random numbers, and
    one draws the same wherever it is asked, by itself or among others."""
    asked = f"{seed} {conversation[-1]['content']}".encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(asked, digest_size=4).digest())


class RowStreamer(BaseStreamer):
    """Tells the tokens of each row as they come, and ends the batch when nobody waits for it any more.

    Transformers' own streamers refuse a batch of more than one row. room: tokens that each row may have; where that is less
    than `most`, the context is full then.
    """

    def __init__(
        self, room: Sequence[int], most: int, end_tokens: set[int], on_tokens: OnTokens, stop: threading.Event
    ):
        self.room = room
        self.most = most
        self.end_tokens = end_tokens
        self.on_tokens = on_tokens
        self.stop = stop
        self.tokens: list[list[int]] = [[] for _ in room]
        self.open = set(range(len(room)))
        self.rows: list[int] = []  # of the batch that is being computed
        self.may_shrink = False
        self.prompt_seen = False

    def begin(self, may_shrink: bool) -> list[int]:
        """A batch of the open rows begins. may_shrink: whether it may be broken off for a smaller one."""
        self.rows, self.may_shrink, self.prompt_seen = sorted(self.open), may_shrink, False
        return self.rows

    def put(self, value: torch.Tensor) -> None:
        if not self.prompt_seen:
            self.prompt_seen = True
            return
        for row, token in zip(self.rows, value.flatten().tolist(), strict=True):
            if row not in self.open:
                continue
            if token in self.end_tokens:
                self._close(row, "end")
                continue
            self.tokens[row].append(token)
            if len(self.tokens[row]) < self.room[row]:
                self.on_tokens(row, self.tokens[row], "")
            else:
                self._close(row, "limit" if self.room[row] == self.most else "full")
        if self.stop.is_set() or not self.open:
            raise Stopped
        if self.may_shrink and 2 * len(self.open) <= len(self.rows):
            raise FewerRows

    def end(self) -> None:
        """Transformers has nothing more to say of this batch."""

    def close(self) -> None:
        """Whatever is open was stopped."""
        for row in sorted(self.open):
            self._close(row, "stopped")

    def _close(self, row: int, ended: str) -> None:
        self.open.remove(row)
        self.on_tokens(row, self.tokens[row], ended)


class Pieces:
    """The text of answers that grow, piece by piece."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self.shown: dict[int, int] = {}

    def next(self, row: int, tokens: list[int], is_last: bool) -> str | None:
        """What is new in a row; None where nothing can be shown of it yet."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        # A character of several tokens is unfinished until its last one; it decodes to a replacement mark.
        if text.endswith("\ufffd") and not is_last:
            return None
        begin, self.shown[row] = self.shown.get(row, 0), len(text)
        return str(text[begin:])


@contextmanager
def stopping(model: Any, stop: threading.Event) -> Iterator[None]:
    """Leave the inside as soon as somebody asked for it: before the next layer, so also while a long prompt is read."""

    def check(*_: Any) -> None:
        if stop.is_set():
            raise Stopped

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    hooks = [layer.register_forward_pre_hook(check) for layer in layers]
    try:
        with suppress(Stopped):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Ids of the tokens that end an answer."""
    # A reward model has no settings of generation.
    known = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = known if isinstance(known, list) else [known]
    return {token for token in [*ids, tokenizer.eos_token_id] if token is not None}


def asking(tokenizer: Any, conversation: Sequence[Message], thinking: bool | None = None) -> str:
    """A conversation as the model reads it, up to where its answer begins.

    thinking: whether it is to think first; None for what is the tokenizer's default, as in training.
    """
    switch = {} if thinking is None else switched(thinking)
    text: str = tokenizer.apply_chat_template(list(conversation), add_generation_prompt=True, tokenize=False, **switch)
    return text


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """A text in tokens, with nothing added to it."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode(
    tokenizer: Any, conversations: Sequence[list[Message]], device: Any, thinking: Sequence[bool] | None = None
) -> dict[str, torch.Tensor]:
    """Conversations as a batch, padded on the left so that all answers begin at the same place. thinking: see `asking`."""
    thoughts = thinking or [None] * len(conversations)
    texts = [asking(tokenizer, one, think) for one, think in zip(conversations, thoughts, strict=True)]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    return {key: batch[key].to(device) for key in ("input_ids", "attention_mask")}


def context_of(model: Any) -> int | None:
    """Tokens that a model can read in all; None where it does not say."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def stream(
    model: Any,
    tokenizer: Any,
    questions: Sequence[ToAnswer],
    sampling: Sampling,
    on_tokens: OnTokens,
    stop: threading.Event,
    through: Through = lambda rows: nullcontext(),
) -> list[Reading]:
    """One batch, a row per question; each must leave room for a token in the model's context.

    Where half of its rows have their answer, the others go on in a smaller one. Returns what was read of each row, which is nothing
    where it cannot be kept, or is not wanted.
    """
    asked = [token_ids(tokenizer, asking(tokenizer, one.messages, one.thinking)) for one in questions]
    readings = [
        max(one.known or (), key=lambda reading, ids=ids: reading.shared(ids), default=NOTHING)
        for ids, one in zip(asked, questions, strict=True)
    ]
    wanted = [one.known is not None for one in questions]
    most, context = sampling.max_new_tokens, context_of(model)
    room = [min(most, context - len(one)) if context else most for one in asked]
    processors: list[Any] = []
    noise = None
    if sampling.temperature > 0:
        seeds = [sampling.seed if one.seed is None else one.seed for one in questions]
        drawn = [seed_of(one.messages, seed) for one, seed in zip(questions, seeds, strict=True)]
        noise = SharedNoise(drawn, model.device)
        processors = [TemperatureLogitsWarper(sampling.temperature), TopPLogitsWarper(sampling.top_p), noise]
    ends = end_tokens(model, tokenizer)
    streamer = RowStreamer(room, most, ends, on_tokens, stop)

    def grown(rows: Sequence[int]) -> list[list[int]]:
        return [[*asked[row], *streamer.tokens[row]] for row in rows]

    with torch.inference_mode(), stopping(model, stop):
        while streamer.open:
            cache = new_cache(model)
            rows = streamer.begin(may_shrink=cache is not None)
            texts = grown(rows)
            batch = laid_out(texts, [readings[row] for row in rows], cache, tokenizer.pad_token_id, model.device)
            # Of rows that have their answer, most often nothing more is wanted.
            readings = [kept if wants else NOTHING for kept, wants in zip(readings, wanted, strict=True)]
            if noise:
                noise.rows = rows
            try:
                with through(rows):
                    model.generate(
                        **batch,
                        do_sample=False,
                        logits_processor=LogitsProcessorList(processors),
                        streamer=streamer,
                        max_new_tokens=max(room[row] - len(streamer.tokens[row]) for row in rows),
                        eos_token_id=sorted(ends),
                        pad_token_id=tokenizer.pad_token_id,
                    )
                break
            except FewerRows:
                pass
            finally:
                if cache is not None:
                    longest = max(map(len, texts))
                    found = readings_of(cache, [longest - len(text) for text in texts], grown(rows))
                    for row, reading in zip(rows, found, strict=True):
                        readings[row] = reading
    streamer.close()
    return [kept if wants else NOTHING for kept, wants in zip(readings, wanted, strict=True)]


def answers(
    model: Any, tokenizer: Any, conversations: Sequence[list[Message]], sampling: Sampling, batch_size: int = 64
) -> list[str]:
    """One sampled answer for each conversation, through whatever adapter is active. For measuring."""
    found: list[str] = []
    torch.manual_seed(sampling.seed)
    for start in range(0, len(conversations), batch_size):
        batch = encode(tokenizer, conversations[start : start + batch_size], model.device)
        with torch.inference_mode():
            ids = model.generate(
                **batch,
                do_sample=sampling.temperature > 0,
                temperature=sampling.temperature or None,
                top_p=sampling.top_p,
                top_k=0,
                max_new_tokens=sampling.max_new_tokens,
                eos_token_id=sorted(end_tokens(model, tokenizer)),
                pad_token_id=tokenizer.pad_token_id,
            )
        found += tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return found
