"""One real step on the longest batch, before the first one counts: what a run needs at its worst, known at once."""

import copy
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from workbench.engine.order import row_lengths
from workbench.engine.reference import Reference

Tell = Callable[[dict[str, Any]], None]

_LOOKED_AT = 64  # prompts, of which the longest are taken
# What TRL's trainers count besides Transformers' own state.
_COUNTED = ("_total_train_tokens", "_step", "_buffered_inputs", "_current_train_step_time")


class ProbeCallback(TrainerCallback):
    """Tries the longest batch when all is in place, and puts everything back: the run goes on as if it had not been.

    Where the batch does not fit, the error that it raises is the one of a step. On a card the room of the optimizer's state,
    which the first step makes, is taken meanwhile. tell: gets {"rows", "tokens" of the longest
    sequence, "seconds" of a batch, "peak" in bytes of what passes on a card, of the whole process without one; None where
    this system does not say}.
    """

    def __init__(self, trainer: Any, reference: Reference | None, max_length: int, tell: Tell):
        self._trainer, self._reference, self._max_length, self._tell = trainer, reference, max_length, tell

    def _state_of_optimizer(self) -> torch.Tensor:
        """As many bytes on the card as two moments of all that trains will take, in 8 bits or in fp32."""
        trained = sum(weight.numel() for weight in self._trainer.model.parameters() if weight.requires_grad)
        moments = 2 * (1 if "8bit" in self._trainer.args.optim else 4)
        return torch.empty(trained * moments, dtype=torch.uint8, device="cuda" if torch.cuda.is_available() else "meta")

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        with _nothing_happened(self._trainer, self._reference):
            batch, tokens = self._longest(args.per_device_train_batch_size)
            room = self._state_of_optimizer()
            peak = _Peak()
            begun = time.monotonic()
            self._trainer.current_gradient_accumulation_steps = args.gradient_accumulation_steps
            rows = self._take(batch, args.per_device_train_batch_size)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds = time.monotonic() - begun
            highest = peak.bytes()
            del room
        self._tell({"rows": rows, "tokens": tokens, "seconds": round(seconds, 3), "peak": highest})

    def _longest(self, size: int) -> tuple[list[Any], int]:
        """The longest rows, as many as a batch has, and the tokens of the longest sequence that they make."""
        rows = self._trainer.train_dataset
        lengths = row_lengths(rows, self._max_length)
        longest = sorted(range(len(lengths)), key=lambda row: -lengths[row])[:size]
        return [rows[row] for row in longest], lengths[longest[0]]

    def _take(self, rows: list[Any], size: int) -> int:
        """Train on them, without the optimizer's step. Returns how many there were."""
        self._trainer.training_step(self._trainer.model_wrapped, self._trainer.data_collator(rows))
        return len(rows)


class OwnAnswersProbe(ProbeCallback):
    """Of a method that learns from answers of its own: the longest prompts, each with a group of the longest answers.

    They are written, scored, read by policy and reference, and one batch of them is trained on.
    """

    def _longest(self, size: int) -> tuple[list[Any], int]:
        trainer = self._trainer
        prompts = trainer.train_dataset["prompt"]
        # Counting the tokens of each would take long; many characters are many tokens.
        longest = sorted(prompts, key=lambda turns: -sum(len(turn["content"]) for turn in turns))[:_LOOKED_AT]
        lengths = [len(ids) for ids in trainer._tokenize_prompts(longest)[0]]
        order = sorted(range(len(longest)), key=lambda place: -lengths[place])[: -(-size // trainer.num_generations)]
        rows = [{"prompt": longest[place]} for place in order for _ in range(trainer.num_generations)]
        return rows, lengths[order[0]] + trainer.max_completion_length

    def _take(self, rows: list[Any], size: int) -> int:
        trainer = self._trainer
        trainer.model.train()
        written = trainer.generation_config
        before, written.min_new_tokens = written.min_new_tokens, trainer.max_completion_length
        try:
            answered = trainer._generate_and_score_completions(rows)
            trainer._prepare_inputs = lambda _: {
                name: part[:size] if part.ndim else part for name, part in answered.items()
            }
            trainer.training_step(trainer.model_wrapped, rows, None)
        finally:
            written.min_new_tokens = before
            vars(trainer).pop("_prepare_inputs", None)
        return min(size, len(rows))


@contextmanager
def _nothing_happened(trainer: Any, reference: Reference | None) -> Iterator[None]:
    """Random numbers, gradients and what is known of the reference are afterwards as they were; nothing was counted yet."""
    states = random.getstate(), torch.get_rng_state()
    on_card = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    counted = {name: copy.copy(getattr(trainer, name)) for name in _COUNTED if hasattr(trainer, name)}
    logs, seen = copy.deepcopy(getattr(trainer, "_logs", None)), trainer.state.num_input_tokens_seen
    if reference:
        reference.keeps = False
    try:
        yield
    finally:
        if reference:
            reference.keeps = True
        trainer.model_wrapped.zero_grad()
        # TRL's experimental trainers call it otherwise.
        logged = trainer._metrics if hasattr(trainer, "_metrics") else trainer._stored_metrics
        logged["train"].clear()
        trainer.state.num_input_tokens_seen = seen
        for name, value in counted.items():
            setattr(trainer, name, value)
        if logs is not None:  # the last answers and their rewards
            trainer._logs = logs
        random.setstate(states[0])
        torch.set_rng_state(states[1])
        if on_card:
            torch.cuda.set_rng_state_all(on_card)


class _Peak:
    """The most memory that was taken since this was made."""

    def __init__(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            with suppress(OSError):  # Linux begins to count anew
                Path("/proc/self/clear_refs").write_text("5")

    def bytes(self) -> int | None:
        """On a card, what PyTorch took beyond what was there before; without one, the whole process at its highest."""
        if torch.cuda.is_available():
            return int(torch.cuda.max_memory_allocated() - self._before)
        with suppress(OSError, StopIteration):
            lines = Path("/proc/self/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
        return getattr(psutil.Process().memory_info(), "peak_wset", None)  # Windows, since the process began
