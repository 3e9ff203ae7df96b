"""Tokens of rows and datasets, counted in a child process: it runs the chat template, which came with the model."""

import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.data.messages import Row
from workbench.core.data.token_counts import TemplateFacts, TokenCounts, View
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.jobs import processes
from workbench.store import datasets
from workbench.store.home import folder_in_home, home, writing

WORKER = (sys.executable, "-m", "workbench.engine.tokens")

Progress = Callable[[float, str], None]
Heard = Callable[[dict[str, Any] | None], None]

PATIENCE = 3.0  # seconds for one row, or for some rows to check a template with
LOADING = 300.0  # seconds without a word while the tokenizer is loaded, or downloaded
COUNTING = 60.0  # seconds without a word while a dataset is counted
BUSY = 20.0  # seconds to wait for somebody else's question
IDLE = 300.0  # seconds after which the child that shows rows is closed
A_LITTLE = 0.2  # seconds between two looks at whether somebody cancelled


class Tokens:
    """What a model's tokenizer makes of rows. One for the whole window; every browser tab shares it.

    worker, patience, idle: other ones for tests.
    """

    def __init__(self, worker: Sequence[str] = WORKER, patience: float = PATIENCE, idle: float = IDLE):
        self._worker = worker
        self._patience = patience
        self._idle = idle
        self._using = threading.Lock()
        self._child: _Child | None = None
        self._timer: threading.Timer | None = None

    def counts(self, model: ModelRef, dataset: str, progress: Progress | None = None) -> TokenCounts:
        """A dataset in tokens, from its file where it was counted before.

        progress: called several times a second with the fraction done and a text; it may raise to cancel.
        Raises WorkbenchError for a model without a tokenizer, and for a row that its chat template refuses.
        """
        report = progress or _quiet
        about = datasets.about(dataset)
        files = [datasets.path(dataset, split, about.version) for split in ("train", "held_out")]
        with self._alone():
            opened = self._opened(model, report)
            key = sha256(f"{opened.fingerprint} {about.fingerprint}".encode()).hexdigest()[:20]
        stored = _counts_folder(dataset, files[0]) / f"tokens-{key}.parquet"
        counts = _read(stored, about.kind, about.train_rows + about.held_out_rows)
        if counts is None:
            self._count(model, {"kind": about.kind, "files": [str(file) for file in files], "out": str(stored)}, report)
            counts = _read(stored, about.kind, about.train_rows + about.held_out_rows)
        if counts is None:
            raise WorkbenchError(f"The tokens of {dataset} were counted but could not be stored. Is the disk full?")
        return counts

    def view(self, model: ModelRef, row: Row, max_length: int) -> View:
        """A row as the model gets it. Raises WorkbenchError where the chat template refuses the row or hangs."""
        return View.model_validate(self._ask(model, {"do": "view", "row": row, "max_length": max_length}))

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
            child = self._opened(model, _quiet)
            try:
                return child.ask(request, self._patience)
            except _Hangs:
                self._close()
                raise WorkbenchError(
                    f"The tokenizer of {model.title} did not answer within {self._patience:g} seconds, so it was "
                    "stopped. The row is very long, or the model's chat template goes in circles. Look at another row, "
                    "or choose another model."
                ) from None

    def _count(self, model: ModelRef, request: dict[str, Any], report: Progress) -> None:
        """In a child of its own, so that rows can be looked at meanwhile."""
        fraction, words = 0.0, "counting"

        def heard(event: dict[str, Any] | None) -> None:
            nonlocal fraction, words
            if event:
                fraction = event["rows"] / max(event["of"], 1)
                words = f"{event['rows']:,} of {event['of']:,} rows counted"
            report(fraction, words)

        child = _Child(self._worker, model, "tokens-count.log")
        try:
            child.load(report)
            child.ask({"do": "count"} | request, COUNTING, heard)
        except _Hangs:
            raise WorkbenchError(
                f"Counting with the chat template of {model.title} stood still for {COUNTING:.0f} seconds, so it was "
                f"stopped ({words}). The next row is very long, or the template goes in circles."
            ) from None
        finally:
            child.close()

    def _opened(self, model: ModelRef, report: Progress) -> "_Child":
        """The child that shows rows, with this model's tokenizer. To be called by the one who is using it."""
        if self._child is None or self._child.model != model or not self._child.is_alive:
            self._close()
            self._child = _Child(self._worker, model, "tokens.log")
            try:
                self._child.load(report)
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
            child.close()


class _Hangs(Exception):
    """The child said nothing for too long."""


class _Child:
    """A process with one model's tokenizer. One request at a time."""

    def __init__(self, worker: Sequence[str], model: ModelRef, log_name: str):
        self.model = model
        self._log_name = log_name
        self.fingerprint = ""
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        with writing(f"The file {log_name}"), open(home() / log_name, "wb") as log:
            self._process = processes.start_talking([*worker, model.model_dump_json()], log)
        self._started = processes.started(self._process.pid)
        threading.Thread(target=self._listen, daemon=True).start()

    def load(self, report: Progress) -> None:
        """Wait for the tokenizer. Raises WorkbenchError where it cannot be loaded."""
        words = "loading the tokenizer"

        def heard(event: dict[str, Any] | None) -> None:
            nonlocal words
            words = event["text"] if event else words
            report(0.0, words)

        try:
            self.fingerprint = self._wait("ready", LOADING, heard)["fingerprint"]
        except _Hangs:
            raise WorkbenchError(
                f"The tokenizer of {self.model.title} was not loaded within {LOADING / 60:.0f} minutes, so it was given "
                "up. Check the network, or choose a model that is on this machine."
            ) from None

    def ask(self, request: dict[str, Any], patience: float, heard: Heard | None = None) -> Any:
        """The result of a request. patience: seconds without a word.

        Raises _Hangs after them, WorkbenchError with what the child says is wrong.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._gone() from None
        return self._wait("done", patience, heard or (lambda event: None))["result"]

    def close(self) -> None:
        """End the process. One that is gone is fine."""
        processes.end_tree(self._process.pid, self._started)
        self._process.wait(timeout=10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                _close_pipe(pipe)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _wait(self, wanted: str, patience: float, heard: Heard) -> dict[str, Any]:
        """The event that was waited for. `heard` gets every other one, and None now and then while there is none."""
        until = time.monotonic() + patience
        while True:
            try:
                event = self._events.get(timeout=A_LITTLE)
            except queue.Empty:
                if time.monotonic() > until:
                    raise _Hangs from None
                heard(None)
                continue
            if event is None:
                raise self._gone()
            if event["event"] in ("trouble", "over"):
                raise WorkbenchError(event["text"])
            if event["event"] == wanted:
                return event
            until = time.monotonic() + patience
            heard(event)

    def _gone(self) -> WorkbenchError:
        return WorkbenchError(
            f"The process with the tokenizer of {self.model.title} ended unexpectedly, most often because its chat "
            "template or a row wanted too much memory. Choose another model, or look at another row. "
            f"What it printed is in {self._log_name} in {home()}."
        )

    def _listen(self) -> None:
        """Read what the child says until it ends. Runs in a thread of its own."""
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._events.put(json.loads(line))
        except ValueError:
            pass  # the pipe was closed, or the child ended in the middle of a line
        self._events.put(None)


def _quiet(fraction: float, text: str) -> None:
    """Progress that nobody looks at."""


def _close_pipe(pipe: Any) -> None:
    try:
        pipe.close()
    except OSError:
        return


def _counts_folder(dataset: str, file: Path) -> Path:
    """Beside the rows. The demo's own may belong to an installed program, where nothing can be written."""
    if dataset not in datasets.DEMO_FOLDERS:
        return file.parent
    return folder_in_home("cache")


def _read(file: Path, kind: Any, rows: int) -> TokenCounts | None:
    """Stored counts, or None where there are none that can be read and are complete."""
    try:
        with pq.ParquetFile(file) as stored:
            columns = stored.read().to_pydict()
        counts = TokenCounts.from_columns(kind, columns)
    except (OSError, pa.ArrowException, KeyError, OverflowError, TypeError):
        return None
    return counts if len(counts) == rows else None
