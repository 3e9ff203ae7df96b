"""What happens to the trash of the home, and what is said of it."""

from workbench.core.memory.plan import in_gigabytes
from workbench.jobs import training
from workbench.store import trash
from workbench.store.runs import Run
from workbench.store.trash import Content


def restore(place: str) -> tuple[Run, str]:
    """Move a run out of the trash. Gives it, and what happened in words."""
    called = next((one.name for one in trash.content().runs if one.place == place), place)
    with training.starts():
        run = trash.take_back(place)
    if run.name == called:
        return run, f"{run.name} is among the runs again."
    return run, (
        f"{called} is among the runs again, as {run.name}: another run has its name by now, and runs that name {called} mean "
        "that one."
    )


def empty() -> str:
    """Delete all that is in the trash, for good. Says what it was."""
    with training.starts():
        was = trash.empty()
    return f"{content_label(was)} deleted." if was.runs or was.others else "The trash is empty already."


def content_label(content: Content) -> str:
    """ "3 runs and 1 other file, 1.20 GB" """
    parts = []
    if count := len(content.runs):
        parts.append(f"{count:,} run{'' if count == 1 else 's'}")
    if content.others:
        parts.append(f"{content.others:,} other file{'' if content.others == 1 else 's'}")
    return f"{' and '.join(parts)}, {in_gigabytes(content.bytes)}" if parts else "nothing"
