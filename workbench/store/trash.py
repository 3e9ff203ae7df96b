"""The trash: folders of runs that a person has thrown away, whole, beside the folder of the runs."""

import os
from pathlib import Path

from workbench.store.home import folder_in_home, writing
from workbench.store.runs import Run


def throw_away(run: Run) -> Path:
    """Move a run's folder, as it is, to the trash, in one step. Returns where it lies now.

    Raises WorkbenchError where the system does not let it be moved.
    """
    with writing(f"The run {run.name} in the trash"):
        place = _free(folder_in_home("trash"), run.name)
        os.rename(run.folder, place)
    return place


def _free(trash: Path, name: str) -> Path:
    taken = {path.name for path in trash.iterdir()}
    numbered = (f"{name}-{n}" for n in range(2, len(taken) + 3))
    return trash / (name if name not in taken else next(one for one in numbered if one not in taken))
