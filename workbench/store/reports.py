"""Reports on disk, one file each: what was measured, from which all that is shown is computed anew."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.report.material import VERSION, Material, problems
from workbench.store.home import folder_in_home, write_json, writing
from workbench.store.ids import checked_id, is_id, new_id
from workbench.store.records import Damaged, Record

MOST_LISTED = 100


class _OfDisk(Record[Material]):
    """A report as whichever version wrote it. Its version comes first: in a newer one the same names may mean something else."""

    def check(self, value: Any) -> Material:
        version = value.get("version", VERSION) if isinstance(value, dict) else VERSION
        if isinstance(version, int | float) and version > VERSION:
            raise Damaged("A newer version of the workbench wrote it, whose reports this one does not know.")
        found = super().check(value)
        if wrong := problems(found):
            raise Damaged(f"Its parts do not fit together: {'; '.join(wrong)}.")
        return found


_MATERIAL = _OfDisk(Material)


def save(material: Material) -> Material:
    """Write a report down whole. Returns it with its id and time, which it gets when it is kept first."""
    if not material.id:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        material = material.model_copy(update={"id": new_id(), "time": now})
    with writing("The report"):
        write_json(_file(material.id), material.model_dump(mode="json"))
    return material


def read(id: str) -> Material:
    """A stored report. Raises WorkbenchError where there is none, where its file is damaged, and where a newer version wrote it."""
    try:
        found = _MATERIAL.read(_file(id))
        if found is None:
            raise WorkbenchError(f"There is no report {id}. It may have been deleted.")
        return found.model_copy(update={"id": id})
    except Damaged as error:
        raise WorkbenchError(*[f"The report {id} cannot be read. {problem}" for problem in error.problems]) from None


def listed() -> list[tuple[str, str]]:
    """Reports as (label, id), the newest first. One that `read` refuses is listed as such."""
    found: list[tuple[float, str]] = []
    for file in folder_in_home("reports").glob("*.json"):
        if is_id(file.stem):
            with suppress(OSError):  # it went between the two looks
                found.append((file.lstat().st_mtime, file.stem))
    return [(_label(id, changed), id) for changed, id in sorted(found, reverse=True)[:MOST_LISTED]]


def _file(id: str) -> Path:
    return folder_in_home("reports") / f"{checked_id(id, 'report')}.json"


def _label(id: str, changed: float) -> str:
    """ "22 Nov 14:05 · first, second · 64 prompts" """
    when = f"{datetime.fromtimestamp(changed):%d %b %H:%M}".lstrip("0")
    try:
        found = read(id)
    except WorkbenchError:
        return f"{when} · {id} cannot be read"
    names = ", ".join(found.label(place) for place in range(1, len(found.subjects)))
    return f"{when} · {names} · {len(found.prompts)} prompts"
