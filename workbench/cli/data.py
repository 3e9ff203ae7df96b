"""Commands on preference data: check, convert, import, pairs."""

import argparse
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from workbench.cli.printing import answer, print_converted, print_import, print_report, progress_of, to_stderr
from workbench.core.chat import Answerer
from workbench.core.data.formats import AS_RECOGNISED, Columns, ReadOptions
from workbench.core.errors import WorkbenchError
from workbench.core.names import to_name
from workbench.core.training.config import checked, parse_model
from workbench.jobs import best_of, preparing
from workbench.jobs.app_state import AppState
from workbench.jobs.best_of import PairSettings, PairsWanted
from workbench.jobs.examining import examine
from workbench.jobs.ranking import rank
from workbench.jobs.tokens import Tokens
from workbench.store import datasets
from workbench.store.datasets import About
from workbench.store.sources import FileSource

# What a person says of their data with a flag, where the window has a field for it.
FLAGS = {
    "columns": "On the command line: --map PART=COLUMN for each part, such as --map prompt=question --map chosen=good "
    "--map rejected=bad, or --map prompt=question --map completion=answer.",
    "prompt": "On the command line: --map input=COLUMN (below the prompt), --map system=COLUMN, --map history=COLUMN, or "
    "--ignore COLUMN.",
    "option": "On the command line: --option ID.",
    "format": "On the command line: --format ID; `workbench import --help` lists them.",
}


def check_data(options: argparse.Namespace) -> int:
    """Say what is wrong with preference data, without storing it."""
    report = _checked(options)
    return answer(options, report, lambda: print_report(report))


def _checked(options: argparse.Namespace) -> dict[str, Any]:
    """What `check --json` prints: of a file, or of a stored dataset under its name."""
    say = progress_of(options)
    if options.data in datasets.names() and not Path(options.data).exists():
        return _stored_report(options, say)
    for flag, does in (("model", "counts the tokens"), ("reward", "ranks the pairs")):
        if getattr(options, flag):
            raise WorkbenchError(f"--{flag} {does} of a stored dataset. Store the file first: workbench import.")
    request: dict[str, Any] = {
        "do": "check",
        "source": _source(options.data).model_dump(mode="json"),
        "options": to_jsonable_python(read_options(options)),
    }
    if options.held_out:
        request["held_out"] = _source(options.held_out).model_dump(mode="json")
    checked: dict[str, Any] = preparing.run(request, progress=say)
    return checked


def _stored_report(options: argparse.Namespace, say: Any) -> dict[str, Any]:
    if options.held_out or read_options(options) != AS_RECOGNISED:
        raise WorkbenchError(
            f"{options.data} is a stored dataset: its format is known and its held-out rows are its own. Leave out "
            "--held-out, --format, --option, --map and --ignore, or give a file."
        )
    about = datasets.about(options.data)
    if options.reward:
        with closing(AppState()) as app:
            rank(app, about.name, options.reward, say)
    if options.model:
        with closing(Tokens()) as tokens:
            report, missing = examine(tokens, about.name, parse_model(options.model), options.max_length, say)
        if missing:
            raise WorkbenchError(missing)
    else:
        report = datasets.examine(about.name, say)
    return datasets.checked(about, report).as_json()


def convert_data(options: argparse.Namespace) -> int:
    """Write preference data in its canonical form, as TRL takes it."""
    request = {
        "do": "convert",
        "source": _source(options.data).model_dump(mode="json"),
        "target": os.path.abspath(_expanded(options.out)),
        "options": to_jsonable_python(read_options(options)),
        "replace": options.replace,
    }
    account = preparing.run(request, progress=progress_of(options))
    return answer(options, account, lambda: print_converted(account, options.out))


def import_data(options: argparse.Namespace) -> int:
    """Store a data file under a name, so that runs can use it."""
    about = stored(options, request_of(options, options.file) | ({"name": options.name} if options.name else {}))
    return answer(options, about.model_dump(mode="json"), lambda: print_import(about))


def make_pairs(options: argparse.Namespace) -> int:
    """Make preference pairs: a model answers each prompt several times, and a reward model takes the best and the worst."""
    settings = checked(PairSettings, {name: getattr(options, name) for name in PairSettings.model_fields})
    name = options.name or datasets.free_name(to_name(f"{options.data}-by-{options.reward}")[:56])
    wanted = PairsWanted(options.data, Answerer(options.answerer), options.reward, name, settings)
    with closing(AppState()) as app, _stopped_by_ctrl_c() as stop:
        made = best_of.make_pairs(app, wanted, progress_of(options), stop)
    found = {**made.about.model_dump(mode="json"), "prompts": made.prompts, "asked": made.asked}
    return answer(options, found, lambda: print(f"{made.about.name}: {made.words}"))


@contextmanager
def _stopped_by_ctrl_c() -> Iterator[threading.Event]:
    """Ctrl+C sets the event, so that what was made is kept; a second one ends the command."""
    stop = threading.Event()

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        to_stderr("\nStopping: what was answered is scored and stored. Ctrl+C once more ends without storing anything.")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def request_of(options: argparse.Namespace, file: str) -> dict[str, Any]:
    """What is asked of the process that imports a file: its rows as the flags say, under its own name."""
    return {
        "do": "import",
        "source": _source(file).model_dump(mode="json"),
        "name": to_name(Path(file).name.split(".")[0], "data"),
        "options": to_jsonable_python(read_options(options)),
    }


def stored(options: argparse.Namespace, request: dict[str, Any]) -> About:
    """Store what was asked for."""
    return About.model_validate(preparing.run(request, progress=progress_of(options)))


def _source(path: str) -> FileSource:
    """A file as the command line names it: relative to where the command is given."""
    return FileSource(path=os.path.abspath(_expanded(path)), uploaded=False)


def _expanded(path: str) -> Path:
    """A path with home in the place of ~. A link is left to whoever opens it: it may lead nowhere, or to itself."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~name, of somebody whom this machine does not know
        return Path(path)


def read_options(options: argparse.Namespace) -> ReadOptions:
    """What the flags say of the rows of a file."""
    mapping: dict[str, str] = {}
    for part, column in options.map or ():
        if part in mapping:
            raise WorkbenchError(f"--map names two columns for the {part}: {mapping[part]!r} and {column!r}. Name one.")
        mapping[part] = column
    columns = Columns(**mapping) if mapping else None
    return ReadOptions(columns, options.format, options.option, tuple(options.ignore or ()))
