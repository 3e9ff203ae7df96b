"""How fast a stage goes and what memory it takes, row by row."""

import os
import time

import psutil
import torch

from workbench.core.monitoring.run_log import MEMORY, SPEED


class Meter:
    """Measures from the beginning of a step to its row in the log, which waits for a card to be done with the step.

    Evaluations, samples and checkpoints lie between a row and the next step, so that they do not count.
    """

    def __init__(self) -> None:
        self._process = psutil.Process(os.getpid())
        self._begun: float | None = None
        self._tokens: float | None = None  # counted until the row before

    def begin(self) -> None:
        """A step begins. Of several steps between two rows the first one counts."""
        if self._begun is None:
            self._begun = time.perf_counter()

    def measure(self, tokens: float | None) -> dict[str, float]:
        """The numbers of a row. tokens: that the trainer has counted so far; None where it counts none.

        The first row of a worker has no speed: what was counted before it belongs to another one, or to nothing.
        """
        seconds = time.perf_counter() - self._begun if self._begun is not None else 0.0
        before, self._begun, self._tokens = self._tokens, None, tokens
        found = {MEMORY: float(self._memory())}
        if tokens is not None and before is not None and tokens > before and seconds > 0:
            found[SPEED] = (tokens - before) / seconds
        return found

    def _memory(self) -> int:
        """Bytes: of a card the most that tensors took since the row before, as it is forecast; otherwise what the process has now."""
        if not torch.cuda.is_available():
            return int(self._process.memory_info().rss)
        most = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return int(most)
