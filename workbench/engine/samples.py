"""Answers to fixed prompts at each evaluation: what the curves look like as text."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from trl.trainer.utils import use_adapter

from workbench.core.data.messages import Message, message
from workbench.core.monitoring.health import SAMPLE_SHARE, Sample, repetition, sample_facts
from workbench.core.training.config import Stage
from workbench.core.training.recipe import SAMPLE_TOKENS
from workbench.engine.generate import encode, end_tokens
from workbench.engine.journal import log_samples
from workbench.engine.scoring import log_probs, written
from workbench.engine.unpacked import unpacked
from workbench.store.runs import Run

# Of the time of a stage; held-out passes have theirs (core/training/evaluating.py), together at most a tenth. Where they would
# take more, some evaluations are not answered; the first and the last always are.
MOST_OF_TIME = 0.04


Score = Callable[[Sequence[list[Message]]], list[float]]


class Samples:
    """The fixed prompts of one stage, answered again and again with the likeliest tokens."""

    def __init__(
        self,
        run: Run,
        stage: Stage,
        prompts: Sequence[list[Message]],
        score: Score | None = None,
        beta: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """score: gives the rewards of conversations that end with an answer. beta: of a method whose policy is a change of its
        reference, the model with its adapter "ref" or with none; such a method rewards answers by itself."""
        self.score = score
        self.beta = beta
        self.clock = clock
        self.began, self.took = clock(), list[float]()  # seconds
        self.run = run
        self.stage = stage
        self.prompts = list(prompts)
        self.known: dict[int, list[Any]] = {}  # step -> its answers, those of an earlier life of the run too
        for line in run.samples():
            if line.get("stage") == stage:
                self.known.setdefault(line["step"], []).append(line)

    def facts_at(self, step: int, model: Any, tokenizer: Any, is_last: bool = False) -> dict[str, float]:
        """The answers after a step in numbers, see `sample_facts`, and what share of the time such answers have taken. They are written
        to samples.jsonl.

        Nothing where they would take more than MOST_OF_TIME, or cannot be had: the reason is printed once, and training goes on
        without them. is_last: the stage ends after this step.
        """
        if not self.prompts:
            return {}
        try:
            spent = {}
            if not self._has(step):
                if step and not is_last and self._is_dear():
                    return {}
                began = self.clock()
                answered = self._answered(step, model, tokenizer)
                self._add_implicit_rewards(answered, model, tokenizer)
                self.took.append(self.clock() - began)
                self.known[step], spent = answered, {SAMPLE_SHARE: round(self._share(), 4)}
                log_samples(self.run, answered)
            return sample_facts(self.known[step], self.known.get(0, ()) if step else ()) | spent
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

    def _share(self, more: float = 0.0) -> float:
        """What answers have taken of the time, from 0 to 1; more: seconds that others would take now."""
        passed = self.clock() - self.began + more
        return min(1.0, (sum(self.took) + more) / passed) if passed > 0 else 0.0

    def _is_dear(self) -> bool:
        """Whether answers that take as long as the last ones did would be more than their share of the time until then."""
        return bool(self.took) and self._share(self.took[-1]) > MOST_OF_TIME

    def _answered(self, step: int, model: Any, tokenizer: Any) -> list[Sample]:
        ends = end_tokens(model, tokenizer)
        with undisturbed(model), unpacked(model):
            batch = encode(tokenizer, self.prompts, model.device)
            found = model.generate(
                **batch,
                do_sample=False,
                max_new_tokens=SAMPLE_TOKENS,
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

    def _add_implicit_rewards(self, answered: list[Sample], model: Any, tokenizer: Any) -> None:
        """What the policy of now gives its own answers and those of the start, against its reference."""
        start = self.known.get(0, [])
        if self.beta is None or not start or [one["prompt"] for one in start] != [one["prompt"] for one in answered]:
            return
        ends = end_tokens(model, tokenizer)
        for key, given in (("implicit_reward", answered), ("implicit_reward_of_start", start)):
            rows = [written(tokenizer, one["prompt"], one["answer"], not one["hit_limit"], ends, None) for one in given]
            if not all(row.answer for row in rows):
                continue
            with undisturbed(model):
                policy = log_probs(model, tokenizer.pad_token_id, rows)
                with use_adapter(model, "ref" if "ref" in model.peft_config else None):
                    reference = log_probs(model, tokenizer.pad_token_id, rows)
            for one, now, before in zip(answered, policy, reference, strict=True):
                one[key] = round(self.beta * (sum(now) - sum(before)), 4)  # type: ignore[literal-required]

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
    return min(max_length, places - SAMPLE_TOKENS + 1) if places else max_length


def fixed_prompts(
    rows: Any, tokenizer: Any, most: int, max_length: int, own: Sequence[str] = ()
) -> list[list[Message]]:
    """A person's own prompts, then the first `most` different prompts of held-out rows; of both, those that leave room for an answer."""
    asked = [[message("user", one)] for one in own]
    held_out = ([message(one["role"], one["content"]) for one in row["prompt"]] for row in rows)
    mine = _different(asked, tokenizer, len(asked), max_length, [])
    if len(mine) < len(asked):
        print(f"{len(asked) - len(mine)} of your own prompts are left out: said twice, or without room for an answer.")
    return mine + _different(held_out, tokenizer, most, max_length, mine)


def _different(
    prompts: Iterable[list[Message]], tokenizer: Any, most: int, max_length: int, known: list[list[Message]]
) -> list[list[Message]]:
    found: list[list[Message]] = []
    for prompt in prompts:
        if len(found) == most:
            break
        ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=False)
        if prompt not in found and prompt not in known and len(ids) < max_length:
            found.append(prompt)
    return found
