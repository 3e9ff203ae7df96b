"""Tokens of rows and datasets, counted in a child process: it runs the chat template, which came with the model."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from workbench.core.data.messages import Row
from workbench.core.data.token_counts import TemplateFacts, TokenCounts, View
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.jobs.child import Child, Gone, OverLimit, ProcessLimits, Progress
from workbench.jobs.processes import engine
from workbench.store import datasets
from workbench.store.home import folder_in_home, home
from workbench.store.token_counts import has_counts, read_counts

# Seconds without a word
ONE_ROW = 3.0  # or some rows to check a template with
LOADING = 300.0  # while the tokenizer is loaded, or downloaded
COUNTING = 60.0  # while a dataset is counted

BUSY = 20.0  # seconds to wait for somebody else's question
IDLE = 300.0  # seconds after which the child that shows rows is closed


class Tokens:
    """What a model's tokenizer makes of rows. One for the whole window; every browser tab shares it.

    worker, patience, idle: other ones for tests.
    """

    def __init__(self, worker: Sequence[str] = engine("tokens"), patience: float = ONE_ROW, idle: float = IDLE):
        self._worker = worker
        self._patience = patience
        self._idle = idle
        self._using = threading.Lock()
        self._child: _Tokenizer | None = None
        self._timer: threading.Timer | None = None

    def counted(self, model: ModelRef, dataset: str, progress: Progress | None = None, thinking: bool = False) -> Path:
        """The file with a dataset in tokens (`store/token_counts.py`), counted unless it was counted before.

        thinking: as in a run's settings. progress: it may raise to cancel. Raises WorkbenchError for a model without a tokenizer, and for a row that its
        chat template refuses.
        """
        about = datasets.about(dataset)
        files = [datasets.path(dataset, split, about.version) for split in ("train", "held_out")]
        with self._alone():
            opened = self._opened(model, progress)
            key = sha256(f"{opened.fingerprint} {about.fingerprint} {thinking}".encode()).hexdigest()[:20]
        stored = _counts_folder(dataset, files[0]) / f"tokens-{key}.parquet"
        if not has_counts(stored, about.kept):
            request: dict[str, Any] = {
                "do": "count",
                "kind": about.kind,
                "files": [str(file) for file in files],
                "out": str(stored),
            }
            request |= {"thinking": thinking}
            self._count(model, request, progress)
            if not has_counts(stored, about.kept):
                raise WorkbenchError(f"The tokens of {dataset} were counted but could not be stored. Is the disk full?")
        return stored

    def counts(self, model: ModelRef, dataset: str, progress: Progress | None = None) -> TokenCounts:
        """What is in that file. Raises WorkbenchError as `counted` does."""
        about = datasets.about(dataset)
        counts = read_counts(self.counted(model, dataset, progress), about.kind, about.kept)
        if counts is None:
            raise WorkbenchError(f"{dataset} was changed or deleted while its tokens were counted. Count them again.")
        return counts

    def view(self, model: ModelRef, row: Row, max_length: int, thinking: bool = False) -> View:
        """A row as the model gets it. Raises WorkbenchError where the chat template refuses the row or hangs."""
        request = {"do": "view", "row": row, "max_length": max_length, "thinking": thinking}
        return View.model_validate(self._ask(model, request))

    def template(self, model: ModelRef, rows: Sequence[Row]) -> TemplateFacts:
        """What the model's chat template makes of some rows. Raises WorkbenchError as `view` does."""
        return TemplateFacts.model_validate(self._ask(model, {"do": "template", "rows": list(rows)}))

    def close(self) -> None:
        """End the child that shows rows. The next question starts another."""
        with self._using:
            self._close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The child that shows rows answers one at a time."""
        if not self._using.acquire(timeout=BUSY):
            raise WorkbenchError("A tokenizer is being loaded for somebody else. Try again in a minute.")
        try:
            yield
        finally:
            self._using.release()

    def _ask(self, model: ModelRef, request: dict[str, Any]) -> Any:
        with self._alone():
            child = self._opened(model)
            try:
                return child.ask(request, self._patience)
            except OverLimit:
                self._close()
                raise WorkbenchError(
                    f"The tokenizer of {model.title} did not answer within {self._patience:g} seconds, so it was "
                    "stopped. The row is very long, or the model's chat template goes in circles. Look at another row, "
                    "or choose another model."
                ) from None

    def _count(self, model: ModelRef, request: dict[str, Any], progress: Progress | None) -> None:
        """In a child of its own, so that rows can be looked at meanwhile."""
        child = _Tokenizer(self._worker, model, "tokens-count.log")
        try:
            child.load(progress)
            child.ask(request, COUNTING, progress)
        except OverLimit:
            raise WorkbenchError(
                f"Counting with the chat template of {model.title} stood still for {COUNTING:.0f} seconds, so it was "
                f"stopped ({child.words}). The next row is very long, or the template goes in circles."
            ) from None
        finally:
            child.end()

    def _opened(self, model: ModelRef, progress: Progress | None = None) -> "_Tokenizer":
        """The child that shows rows, with this model's tokenizer. To be called by the one who is using it."""
        if self._child is None or self._child.model != model or not self._child.is_alive:
            self._close()
            self._child = _Tokenizer(self._worker, model, "tokens.log")
            try:
                self._child.load(progress)
            except BaseException:
                self._close()
                raise
        self._close_later()
        return self._child

    def _close_later(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = threading.Timer(self._idle, self.close)
        self._timer.daemon = True
        self._timer.start()

    def _close(self) -> None:
        if self._timer:
            self._timer.cancel()
        child, self._child, self._timer = self._child, None, None
        if child:
            child.end()


class _Tokenizer(Child):
    """A process with one model's tokenizer."""

    def __init__(self, worker: Sequence[str], model: ModelRef, log: str):
        super().__init__([*worker, model.model_dump_json()], log, words="loading the tokenizer")
        self.model = model
        self.fingerprint = ""
        self._log = log

    def load(self, progress: Progress | None) -> None:
        """Wait for the tokenizer. Raises WorkbenchError where it cannot be loaded."""
        try:
            self.fingerprint = self.wait("ready", ProcessLimits(silence=LOADING), progress)["fingerprint"]
        except OverLimit:
            raise WorkbenchError(
                f"The tokenizer of {self.model.title} was not loaded within {LOADING / 60:.0f} minutes, so it was given "
                "up. Check the network, or choose a model that is on this machine."
            ) from None
        except Gone:
            raise self._gone() from None

    def ask(self, request: dict[str, Any], silence: float, progress: Progress | None = None) -> Any:
        """The result of a request. Raises OverLimit, or WorkbenchError with what the child says is wrong."""
        self.fraction, self.words = 0.0, "counting"
        try:
            self.send(request)
            return self.wait("done", ProcessLimits(silence=silence), progress)["result"]
        except Gone:
            raise self._gone() from None

    def _gone(self) -> WorkbenchError:
        return WorkbenchError(
            f"The process with the tokenizer of {self.model.title} ended unexpectedly, most often because its chat "
            "template or a row wanted too much memory. Choose another model, or look at another row. "
            f"What it printed is in {self._log} in {home()}."
        )


def _counts_folder(dataset: str, file: Path) -> Path:
    """Beside the rows. The demo's own may belong to an installed program, where nothing can be written."""
    if dataset not in datasets.DEMO_FOLDERS:
        return file.parent
    return folder_in_home("cache")
