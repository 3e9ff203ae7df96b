"""One real step on the longest batch, before the first one counts: what a run needs at its worst, known at once."""

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
        rows = self._trainer.train_dataset
        lengths = row_lengths(rows, self._max_length)
        longest = sorted(range(len(lengths)), key=lambda row: -lengths[row])[: args.per_device_train_batch_size]
        batch = self._trainer.data_collator([rows[row] for row in longest])
        with _nothing_happened(self._trainer, self._reference):
            state = self._state_of_optimizer()
            peak = _Peak()
            begun = time.monotonic()
            self._trainer.current_gradient_accumulation_steps = args.gradient_accumulation_steps
            self._trainer.training_step(self._trainer.model_wrapped, batch)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds = time.monotonic() - begun
            highest = peak.bytes()
            del state
        self._tell({"rows": len(longest), "tokens": lengths[longest[0]], "seconds": round(seconds, 3), "peak": highest})


@contextmanager
def _nothing_happened(trainer: Any, reference: Reference | None) -> Iterator[None]:
    """Random numbers, gradients and what is known of the reference are afterwards as they were; nothing was counted yet."""
    states = random.getstate(), torch.get_rng_state()
    on_card = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    tokens = getattr(trainer, "_total_train_tokens", None)
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
        if tokens is not None:
            trainer._total_train_tokens = tokens
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
