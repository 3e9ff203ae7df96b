"""Answers of a model with adapters: streamed for two lanes at once, or in bulk for measuring."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper
from transformers.generation.streamers import BaseStreamer

from workbench.core.chat import Sampling
from workbench.core.data.messages import Message

NO_ADAPTER = "__base__"
"""PEFT's name for a row of a batch that no adapter touches."""

OnText = Callable[[int, str, int, str], None]
"""Called with the row, the text that is new, the row's tokens so far, and how its answer ended: "" while it grows,
else "end" or "limit"."""


class SharedNoise(LogitsProcessor):
    """Makes taking the likeliest token the same as sampling, with one draw of randomness for all rows.

    argmax(log p + Gumbel noise) is a sample from p (Gumbel 1954; Maddison et al. 2014, "A* Sampling", section 2).
    Rows that share the noise differ only where their models differ, so that two lanes are compared fairly.
    """

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = torch.rand(scores.shape[-1], generator=self.generator).clamp(1e-9, 1 - 1e-7)
        return scores.float() - torch.log(-torch.log(uniform)).to(scores.device)


class RowStreamer(BaseStreamer):
    """Turns the token that each row gains at each step into text.

    Transformers' own text streamers refuse a batch of more than one row.
    """

    def __init__(self, tokenizer: Any, rows: int, end_tokens: set[int], on_text: OnText):
        self.tokenizer = tokenizer
        self.end_tokens = end_tokens
        self.on_text = on_text
        self.tokens: list[list[int]] = [[] for _ in range(rows)]
        self.shown = [0] * rows
        self.open = [True] * rows
        self.prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        if not self.prompt_seen:
            self.prompt_seen = True
            return
        for row, token in enumerate(value.flatten().tolist()):
            if not self.open[row]:
                continue
            if token in self.end_tokens:
                self.open[row] = False
                self._emit(row, "end")
            else:
                self.tokens[row].append(token)
                self._emit(row, "")

    def end(self) -> None:
        for row, is_open in enumerate(self.open):
            if is_open:
                self._emit(row, "limit")

    def _emit(self, row: int, ended: str) -> None:
        text = self.tokenizer.decode(self.tokens[row], skip_special_tokens=True)
        # A character of several tokens is unfinished until its last one; it decodes to a replacement mark.
        if text.endswith("\ufffd") and not ended:
            return
        self.on_text(row, text[self.shown[row] :], len(self.tokens[row]), ended)
        self.shown[row] = len(text)


class StopAsked(StoppingCriteria):
    """Ends all rows as soon as somebody asked for it."""

    def __init__(self, asked: threading.Event):
        self.asked = asked

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self.asked.is_set(), device=input_ids.device)


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Ids of the tokens that end an answer."""
    known = model.generation_config.eos_token_id
    ids = known if isinstance(known, list) else [known]
    return {token for token in [*ids, tokenizer.eos_token_id] if token is not None}


def encode(tokenizer: Any, conversations: Sequence[list[Message]], device: Any) -> dict[str, torch.Tensor]:
    """Conversations as a batch, padded on the left so that all answers begin at the same place."""
    texts = [tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=False) for one in conversations]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    return {key: batch[key].to(device) for key in ("input_ids", "attention_mask")}


def stream(
    model: Any,
    tokenizer: Any,
    conversations: Sequence[list[Message]],
    adapters: Sequence[str] | None,
    sampling: Sampling,
    on_text: OnText,
    stop: threading.Event,
) -> None:
    """One batch, a row per conversation, each row through its adapter; `adapters` None where none is loaded."""
    processors: list[Any] = []
    if sampling.temperature > 0:
        processors = [
            TemperatureLogitsWarper(sampling.temperature),
            TopPLogitsWarper(sampling.top_p),
            SharedNoise(sampling.seed),
        ]
    ends = end_tokens(model, tokenizer)
    with torch.inference_mode():
        model.generate(
            **encode(tokenizer, conversations, model.device),
            do_sample=False,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([StopAsked(stop)]),
            streamer=RowStreamer(tokenizer, len(conversations), ends, on_text),
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=sorted(ends),
            pad_token_id=tokenizer.pad_token_id,
            **({} if adapters is None else {"adapter_names": list(adapters)}),
        )


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
