"""Answers to fixed prompts at each evaluation: what the curves look like as text."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from workbench.core.data.messages import Message, message
from workbench.core.monitoring.health import Sample, repetition, sample_facts
from workbench.core.training.config import Stage
from workbench.engine.generate import encode, end_tokens
from workbench.engine.journal import log_samples
from workbench.store.runs import Run

# Enough to see manner, length and an end; a long answer is cut, and counted as one that hit the limit.
MOST_TOKENS = 96


Score = Callable[[Sequence[list[Message]]], list[float]]


class Samples:
    """The fixed prompts of one stage, answered again and again with the likeliest tokens."""

    def __init__(self, run: Run, stage: Stage, prompts: Sequence[list[Message]], score: Score | None = None):
        """score: gives the rewards of conversations that end with an answer."""
        self.score = score
        self.run = run
        self.stage = stage
        self.prompts = list(prompts)
        self.known: dict[int, list[Any]] = {}  # step -> its answers, those of an earlier life of the run too
        for line in run.samples():
            if line.get("stage") == stage:
                self.known.setdefault(line["step"], []).append(line)

    def facts_at(self, step: int, model: Any, tokenizer: Any) -> dict[str, float]:
        """The answers after a step in numbers; see `sample_facts`. They are written to samples.jsonl.

        Nothing where they cannot be had: the reason is printed once, and training goes on without them.
        """
        if not self.prompts:
            return {}
        try:
            if not self._has(step):
                self.known[step] = self._answered(step, model, tokenizer)
                log_samples(self.run, self.known[step])
            return sample_facts(self.known[step], self.known.get(0, ()) if step else ())
        except Exception as error:  # memory, a library, a full disk: none of them is worth a run
            self.prompts = []
            print(f"No more sample answers in this stage: {type(error).__name__}: {error}")
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return {}

    def _has(self, step: int) -> bool:
        """Whether a run that was resumed has answered at this step before: the same weights give the same answers."""
        answered = [sample["prompt"] for sample in self.known.get(step, ())]
        return answered == self.prompts

    def _answered(self, step: int, model: Any, tokenizer: Any) -> list[Sample]:
        ends = end_tokens(model, tokenizer)
        with undisturbed(model):
            batch = encode(tokenizer, self.prompts, model.device)
            found = model.generate(
                **batch,
                do_sample=False,
                max_new_tokens=MOST_TOKENS,
                use_cache=True,
                eos_token_id=sorted(ends),
                pad_token_id=tokenizer.pad_token_id,
            )
        written = found[:, batch["input_ids"].shape[1] :].tolist()
        found = [
            self._sample(step, prompt, ids, ends, tokenizer) for prompt, ids in zip(self.prompts, written, strict=True)
        ]
        if self.score:
            rewards = self.score([[*one["prompt"], message("assistant", one["answer"])] for one in found])
            for one, reward in zip(found, rewards, strict=True):
                one["reward"] = round(reward, 4)
        return found

    def _sample(self, step: int, prompt: list[Message], ids: list[int], ends: set[int], tokenizer: Any) -> Sample:
        length = next((place for place, token in enumerate(ids) if token in ends), len(ids))
        return {
            "stage": self.stage,
            "step": step,
            "prompt": prompt,
            "answer": tokenizer.decode(ids[:length], skip_special_tokens=True),
            "tokens": length,
            "hit_limit": length == len(ids),
            "repetition": round(repetition(ids[:length]), 4),
        }


@contextlib.contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Let a model answer in the middle of its training, and leave all that training depends on as it was.

    Dropout is off meanwhile, and with it gradient checkpointing, which would forbid the cache of a generation.
    """
    trained, cached = model.training, model.config.use_cache
    checkpointing = {
        module: module.gradient_checkpointing for module in model.modules() if "gradient_checkpointing" in vars(module)
    }
    model.eval()
    try:
        # Not inference_mode: what a model keeps from there, such as its table of positions, could train no more.
        with torch.random.fork_rng(), torch.no_grad():
            yield
    finally:
        # Unsloth's generate leaves a model that was in eval mode made for inference: with copies of the adapter, which
        # the next answers would come from, and without gradient checkpointing.
        if hasattr(model, "for_training"):
            model.for_training()
        model.train(trained)
        model.config.use_cache = cached
        for module, mode in checkpointing.items():
            module.gradient_checkpointing = mode


def room_for_prompt(model: Any, max_length: int) -> int:
    """Tokens that a prompt must stay below: of a longer one Unsloth refuses to answer, and the others with it."""
    places = getattr(model.config, "max_position_embeddings", None)
    return min(max_length, places - MOST_TOKENS + 1) if places else max_length


def fixed_prompts(rows: Any, tokenizer: Any, most: int, max_length: int) -> list[list[Message]]:
    """The first `most` different prompts of held-out rows that leave room for an answer."""
    found: list[Any] = []
    for row in rows:
        if len(found) == most:
            break
        prompt = [{"role": message["role"], "content": message["content"]} for message in row["prompt"]]
        ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=False)
        if prompt not in found and len(ids) < max_length:
            found.append(prompt)
    return found
