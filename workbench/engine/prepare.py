"""python -m workbench.engine.prepare: one piece of work on data, in a process that may be ended at any moment.

One request comes on standard input, as a line of JSON: {"do": name of a task, its arguments ..., "memory": bytes}.
Standard output gets lines of JSON: {"event": "progress", "fraction": 0 to 1, "text": ...}, and one at the end:
{"event": "done", "result": ...}, {"event": "refused", "problems": [...]} for what a person can put right, {"event":
"memory"} where that ran out, or {"event": "bug", "trace": ...}. Where standard input closes, the window is gone, and
so is this process. No task here needs torch.
"""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any

from pydantic import validate_call
from pydantic_core import to_jsonable_python

from workbench.core.data.doctor.findings import Report
from workbench.core.data.formats import AS_RECOGNISED, ReadOptions
from workbench.core.data.token_counts import TemplateFacts, TokenCounts
from workbench.core.errors import WorkbenchError
from workbench.engine.limits import limit_process
from workbench.engine.lines import Say, speaker
from workbench.store import datasets, hub_data
from workbench.store.datasets import About, Account, Preview, Progress, Provenance, Take
from workbench.store.sources import HubSource, Source, open_source

SECONDS_BETWEEN_WORDS = 0.1

# Beyond what the rows take: the libraries, their threads' stacks, and address space that is reserved and never used.
ADDRESS_SPACE = 3 * 1024**3 // 2
CPU_SECONDS = 6 * 3600


def preview(
    source: Source,
    options: ReadOptions = AS_RECOGNISED,
    *,
    progress: Progress,
) -> Preview:
    """A look at the first rows; nothing is stored."""
    with closing(open_source(source)) as rows:
        return datasets.preview(rows, options)


def import_source(
    source: Source,
    name: str,
    options: ReadOptions = AS_RECOGNISED,
    take: Take | None = None,
    *,
    progress: Progress,
) -> About:
    """Store the rows of a source under a name."""
    if isinstance(source, HubSource):
        return hub_data.add_split(source, name, options=options, take=take, progress=progress)
    datasets.check_free(name)
    with closing(open_source(source)) as rows:
        return datasets.add(rows, name, source=Provenance(source.words), options=options, take=take, progress=progress)


def check(
    source: Source,
    held_out: Source | None = None,
    options: ReadOptions = AS_RECOGNISED,
    *,
    progress: Progress,
) -> dict[str, Any]:
    """What the doctor says of a source, with one to measure on beside it; nothing is stored."""
    with ExitStack() as opened:
        rows = opened.enter_context(closing(open_source(source)))
        other = opened.enter_context(closing(open_source(held_out))) if held_out else None
        return datasets.check(rows, options, held_out=other, progress=progress).as_json()


def convert(
    source: Source,
    target: Path,
    options: ReadOptions = AS_RECOGNISED,
    replace: bool = False,
    *,
    progress: Progress,
) -> Account:
    """Write the canonical form of a source to a file."""
    with closing(open_source(source)) as rows:
        return datasets.convert_file(rows, target, options=options, replace=replace, progress=progress)


def examine(
    name: str,
    tokens: dict[str, list[int]] | None = None,
    template: TemplateFacts | None = None,
    max_length: int | None = None,
    model: str | None = None,
    *,
    progress: Progress,
) -> Report:
    """Examine a stored dataset. tokens: the columns of its TokenCounts."""
    counts = TokenCounts.from_columns(datasets.about(name).kind, tokens) if tokens else None
    return datasets.examine(name, progress, tokens=counts, template=template, max_length=max_length, model=model)


TASKS: dict[str, Callable[..., Any]] = {
    "preview": preview,
    "import": import_source,
    "check": check,
    "convert": convert,
    "examine": examine,
    "remedy": datasets.apply_remedy,
    "split": datasets.split_again,
}
"""What can be asked for. The arguments of a request are those of the function, checked against their types."""


def main(lines: IO[str], say: Say) -> int:
    """Answer the one request on `lines`."""
    request = json.loads(lines.readline())
    threading.Thread(target=_end_with_the_window, args=(lines.fileno(),), daemon=True).start()
    # The last resort: whoever started this process watches its memory more closely.
    limit_process(request.pop("memory") + ADDRESS_SPACE, CPU_SECONDS)
    say(_answer(request, _reporter(say)))
    return 0


def _answer(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The last event: what came of the request."""
    try:
        task = validate_call(TASKS[request.pop("do")], config={"arbitrary_types_allowed": True})
        result = to_jsonable_python(task(**request, progress=progress), inf_nan_mode="strings", fallback=str)
        return {"event": "done", "result": result}
    except WorkbenchError as error:
        return {"event": "refused", "problems": list(error.problems), "asks": list(error.asks)}
    except MemoryError:
        return {"event": "memory"}
    except Exception:
        return {"event": "bug", "trace": traceback.format_exc()}


def _reporter(say: Say) -> Progress:
    """Passes progress on, a few times a second and not a thousand times."""
    last = float("-inf")

    def report(fraction: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_WORDS or fraction >= 1:
            last = now
            say({"event": "progress", "fraction": round(fraction, 4), "text": text})

    return report


def _end_with_the_window(lines: int) -> None:
    """The other end of the line is closed by the window or by the end of its process."""
    while os.read(lines, 1024):
        continue
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.stdin, speaker()))
