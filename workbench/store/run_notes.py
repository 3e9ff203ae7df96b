"""What a person writes about a run: a title, a note and tags, in notes.json of its folder.

The name of a run is its folder, and never changes: it stands in the settings of runs that went on from it, in votes, sittings,
reports, archives and model cards, also in ones that lie elsewhere or tell of the past. So to rename a run gives it a title,
which the lists show with the name, and everything that names the run stays true.
"""

import unicodedata
from collections.abc import Iterable

from filelock import FileLock

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.run_list import run_label
from workbench.store.home import home, write_json, writing
from workbench.store.records import Damaged
from workbench.store.run_files import NOTES, RunNotes
from workbench.store.runs import Run, all_runs

FILE = "notes.json"
LONGEST_TITLE, LONGEST_NOTE, LONGEST_TAG, MOST_TAGS = 80, 4000, 32, 12
_LOCK_SECONDS = 30


def notes_of(run: Run) -> RunNotes:
    """Empty where nobody wrote any, and where they cannot be read, of which `Run.notes` tells."""
    try:
        return NOTES.read(run.folder / FILE) or RunNotes()
    except Damaged:
        return RunNotes()


def label_of(run: Run) -> str:
    """What lists call a run: its title, if it has one, and its name."""
    return run_label(run.name, notes_of(run).title)


def write_notes(
    run: Run, title: str | None = None, note: str | None = None, tags: Iterable[str] | None = None
) -> RunNotes:
    """Store what is given; None leaves what is there. Gives all of it.

    Raises WorkbenchError, with nothing stored, for what is too long, a title that another run has, and notes that are there
    and cannot be read.
    """
    given = {"title": _line(title), "note": None if note is None else _text(note).strip(), "tags": _tags(tags)}
    with FileLock(home() / "notes.lock", timeout=_LOCK_SECONDS):
        try:
            before = NOTES.read(run.folder / FILE) or RunNotes()
        except Damaged as damaged:
            raise WorkbenchError(*damaged.problems, f"Fix or remove {run.folder / FILE}. Nothing was stored.") from None
        after = before.model_copy(update={key: value for key, value in given.items() if value is not None})
        if found := _problems(run, after, before.title):
            raise WorkbenchError(*found)
        if after != before:
            with writing(f"The notes on {run.name}"):
                write_json(run.folder / FILE, after.model_dump(mode="json"))
    return after


def _problems(run: Run, notes: RunNotes, title_before: str) -> list[str]:
    found = []
    if len(notes.title) > LONGEST_TITLE:
        found.append(f"The title has {len(notes.title)} characters, and {LONGEST_TITLE} is the most.")
    if len(notes.note) > LONGEST_NOTE:
        found.append(f"The note has {len(notes.note):,} characters, and {LONGEST_NOTE:,} is the most.")
    if len(notes.tags) > MOST_TAGS:
        found.append(f"There are {len(notes.tags)} tags, and {MOST_TAGS} is the most.")
    found += [
        f"The tag {tag[:40]!r}... is longer than {LONGEST_TAG} characters."
        for tag in notes.tags
        if len(tag) > LONGEST_TAG
    ]
    if notes.title and notes.title != title_before:
        for other in all_runs():
            if other != run and notes.title.casefold() in (other.name.casefold(), notes_of(other).title.casefold()):
                found.append(f"{other.name} is called {notes.title!r} already. Choose another title.")
    return found


def _tags(tags: Iterable[str] | None) -> tuple[str, ...] | None:
    """In their order, each once, whether written large or small."""
    if tags is None:
        return None
    found: dict[str, str] = {}
    for part in ",".join(tags).split(","):
        if tag := _line(part):
            found.setdefault(tag.casefold(), tag)
    return tuple(found.values())


def _line(text: str | None) -> str | None:
    return None if text is None else " ".join(_text(text).split())


def _text(text: str) -> str:
    """Without what no file of text holds, such as half a character, and without control characters."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(one for one in whole if one in "\n\t" or unicodedata.category(one) != "Cc")
