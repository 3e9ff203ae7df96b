"""How likely an answer is, token by token, with an adapter and without: read once, not written again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from workbench.core.data.messages import Message
from workbench.engine.generate import asking, token_ids

# Logits of so many places are made at once: with a vocabulary of 150,000, 300 MB in fp32 and as they are computed.
PLACES = 256


@dataclass(frozen=True)
class Written:
    """An answer in tokens, after the tokens of its prompt. texts: see `core.chat.TokenScore`. ended: the last one is its end."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    texts: tuple[str, ...]
    ended: bool

    @property
    def is_end(self) -> list[bool]:
        return [self.ended and place == len(self.answer) - 1 for place in range(len(self.answer))]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


def written(
    tokenizer: Any, messages: Sequence[Message], answer: str, ended: bool, ends: set[int], thinking: bool | None = False
) -> Written:
    """An answer as a model would have written it. ends: the tokens that end an answer. thinking: see `asking`."""
    before = asking(tokenizer, messages, thinking)
    prompt = token_ids(tokenizer, before)
    whole = token_ids(tokenizer, before + answer)
    # Some tokenizers put a space before a text, which does not belong there; others join what meets at the border.
    ids = whole[len(prompt) :] if whole[: len(prompt)] == prompt else token_ids(tokenizer, answer)
    texts, shown = [], ""
    for count in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:count], skip_special_tokens=True)
        if text.endswith("\ufffd") and count < len(ids):
            texts.append("")
            continue
        texts.append(text[len(shown) :])
        shown = text
    if ended:
        end = _end_of_turn(tokenizer, messages, ends)
        ids, texts = [*ids, end], [*texts, tokenizer.convert_ids_to_tokens(end)]
    return Written(tuple(prompt), tuple(ids), tuple(texts), ended)


def log_probs(model: Any, pad: int, rows: Sequence[Written]) -> list[list[float]]:
    """The log-probability of each token of each answer, in nats, in one pass over the batch.

    The answers are read in pieces after what was read before them, so that no logits are made of a prompt, and never those of
    whole answers at once. Laid out as they were written: prompts padded on the left, answers on the right.
    """
    begin, longest = max(len(row.prompt) for row in rows), max(len(row.answer) for row in rows)
    ids = torch.full((len(rows), begin + longest), pad, dtype=torch.long)
    there = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        here = slice(begin - len(row.prompt), begin + len(row.answer))
        ids[place, here] = torch.tensor([*row.prompt, *row.answer])
        there[place, here] = 1
    ids, there = ids.to(model.device), there.to(model.device)
    positions = (there.cumsum(-1) - 1).clamp(min=0)
    cache: Any = DynamicCache(config=model.config)
    piece = max(1, PLACES // len(rows))
    ends = [begin, *range(begin + piece, begin + longest - 1, piece), begin + longest - 1]
    found, read = [], 0
    with torch.no_grad():  # not inference_mode: a model in the middle of its training keeps tables that it makes here
        for end in dict.fromkeys(ends):
            seen = model(
                input_ids=ids[:, read:end],
                attention_mask=there[:, :end],
                position_ids=positions[:, read:end],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=0 if read else 1,
            )
            # Unsloth leaves the one that it is given empty, and gives back its own.
            cache, logits = seen.past_key_values, seen.logits.float()
            next_ids = ids[:, max(read + 1, begin) : end + 1].unsqueeze(-1)
            found.append(logits.gather(-1, next_ids).squeeze(-1) - logits.logsumexp(-1))
            read = end
    values = torch.cat(found, dim=1).tolist()
    return [values[place][: len(row.answer)] for place, row in enumerate(rows)]


def _end_of_turn(tokenizer: Any, messages: Sequence[Message], ends: set[int]) -> int:
    """The token that the template writes behind an answer: of several that end one, training has seen this one."""
    mark = "@@@@"
    text = tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": mark}], tokenize=False)
    behind = token_ids(tokenizer, text.rpartition(mark)[2])
    return next((token for token in behind if token in ends), tokenizer.eos_token_id)
