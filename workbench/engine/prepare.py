"""python -m workbench.engine.prepare: work on data, in a process that may be ended at any moment.

A request of `engine/lines.py` is {"do": name of a task, its arguments ..., "memory": bytes}. No task here needs torch.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from pydantic import validate_call
from pydantic_core import to_jsonable_python

from workbench.core.data.doctor.findings import Report
from workbench.core.data.formats import AS_RECOGNISED, ReadOptions
from workbench.core.data.formats.prompts_alone import prompt_in
from workbench.core.data.messages import Message, prompt_key
from workbench.core.data.token_counts import TemplateFacts
from workbench.core.errors import WorkbenchError
from workbench.core.export.script import HELD_OUT_ROWS, TRAIN_ROWS
from workbench.core.training.reward_rules import parse_rules
from workbench.engine.limits import limit_process
from workbench.engine.lines import Request, Say, serve
from workbench.engine.rows import load_rows
from workbench.store import datasets, hub_data, run_data
from workbench.store.datasets import About, Account, Preview, Progress, Provenance, Take
from workbench.store.runs import open_run
from workbench.store.sources import FileSource, HubSource, Source
from workbench.store.token_counts import read_counts

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
    with closing(source.open()) as rows:
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
    with closing(source.open()) as rows:
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
        rows = opened.enter_context(closing(source.open()))
        other = opened.enter_context(closing(held_out.open())) if held_out else None
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
    with closing(source.open()) as rows:
        return datasets.convert_file(rows, target, options=options, replace=replace, progress=progress)


def examine(
    name: str,
    tokens: Path | None = None,
    template: TemplateFacts | None = None,
    max_length: int | None = None,
    model: str | None = None,
    *,
    progress: Progress,
) -> Report:
    """Examine a stored dataset. tokens: the file of its TokenCounts."""
    about = datasets.about(name)
    counts = read_counts(tokens, about.kind, about.kept) if tokens else None
    if tokens and counts is None:
        raise WorkbenchError(f"The counted tokens of {name} were deleted or damaged meanwhile. Check it again.")
    return datasets.examine(name, progress, tokens=counts, template=template, max_length=max_length, model=model)


def prompts(source: FileSource, count: int, *, progress: Progress) -> list[list[Message]]:
    """The first prompts of a file, each once: of rows, or of a text with one per line."""
    found: dict[str, list[Message]] = {}
    columns: set[str] = set()
    with closing(source.open_as_prompts()) as rows:
        for _, row in rows:
            columns.update(map(str, row))
            if prompt := prompt_in(row):
                found.setdefault(prompt_key(prompt), prompt)
            if len(found) == count:
                break
    if not found:
        raise WorkbenchError(
            f"{source.title} holds no prompt that can be asked (columns found: {', '.join(sorted(columns)[:12])}). Name a column `prompt` "
            "or `messages`, or write one prompt per line in a .txt file."
        )
    return list(found.values())


def rules(text: str, answers: list[str], *, progress: Progress) -> list[list[float]]:
    """What each rule of a text says of each answer. Here, as a regular expression can take as long as it likes."""
    progress(0.0, "applying the rules")
    return [[rule.score(one) for one in answers] for rule in parse_rules(text)]


def write_rows(name: str, folder: Path, *, progress: Progress) -> dict[str, list[int]]:
    """Write the rows of each stage of a run, as its trainer took them, into folders named after the stages.

    Returns how many rows each stage trains on and is measured on. Raises WorkbenchError where its data have changed since.
    """
    run = open_run(name)
    config, counts = run.adjusted_config(), {}
    for number, stage in enumerate(config.stages):
        progress(number / len(config.stages), "writing the rows")
        described, _ = run_data.rows_of(run, config, stage, has_steps=True)
        parts = load_rows(config, stage, described)
        (folder / stage).mkdir(parents=True)
        for part, file in zip(parts, (TRAIN_ROWS, HELD_OUT_ROWS), strict=True):
            with open(folder / stage / file, "w", encoding="utf-8") as lines:
                lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in part)
        counts[stage] = [len(part) for part in parts]
    return counts


TASKS: dict[str, Callable[..., Any]] = {
    "preview": preview,
    "prompts": prompts,
    "import": import_source,
    "check": check,
    "convert": convert,
    "examine": examine,
    "rules": rules,
    "mix": datasets.mix,
    "remedy": datasets.apply_remedy,
    "split": datasets.split_again,
    "rows": write_rows,
}
"""What can be asked for. The arguments of a request are those of the function, checked against their types."""


def main() -> int:
    """Work on requests until whoever started this process ends it."""
    return serve(lambda say: (answer, {}))


def answer(request: Request, say: Say, stop: threading.Event) -> Any:
    """What came of a request, within its limits."""
    # The last resort: whoever started this process watches its memory more closely.
    limit_process(request.pop("memory") + ADDRESS_SPACE, CPU_SECONDS)
    return work(request, say)


def work(request: Request, say: Say) -> Any:
    """What came of a request, as JSON."""
    task = validate_call(TASKS[request.pop("do")], config={"arbitrary_types_allowed": True})
    return to_jsonable_python(task(**request, progress=_reporter(say)), inf_nan_mode="strings", fallback=str)


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


if __name__ == "__main__":
    sys.exit(main())
