"""The best step of a run, which is kept beside its checkpoints and outlives them, and which of its steps is the result.

`best/STAGE-STEP` holds the adapter of that step with what was measured of it, whole or not there as a checkpoint is. `adapter` is the
result: the last step, or a copy of the best one, of which `step.json` in it says so; then `adapter-last` holds the last one.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.best import Gain, HeldOut, gain
from workbench.core.monitoring.metrics import Row
from workbench.core.training.config import Stage
from workbench.core.training.forks import Fork
from workbench.core.training.methods import stages_after
from workbench.store import checkpoints, run_files
from workbench.store.adapter_files import SETTINGS, WEIGHTS, check_adapter
from workbench.store.checkpoints import Checkpoint
from workbench.store.home import read_json, write_json, writing
from workbench.store.records import Damaged
from workbench.store.runs import Run, moved_aside

STEP = "step.json"
_FILES = (WEIGHTS, SETTINGS, "README.md", "reward.json")


def draft_of(run: Run) -> Path:
    """An empty place for the adapter that is to be kept next."""
    draft = run.folder / ".best.draft"
    shutil.rmtree(draft, ignore_errors=True)  # of a worker that was killed here
    return draft


def keep(run: Run, draft: Path, measured: HeldOut) -> None:
    """Make a folder with an adapter the best one. The one before goes once this one is there.

    Raises OSError where the disk is full; the one before stays.
    """
    try:
        checkpoints.seal(draft, measured.model_dump(mode="json"))
        folder = checkpoints.folder_of(run.best_folder, measured.stage, measured.step)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for old in checkpoints.by_age(run.best_folder):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)


def note_last(run: Run, measured: HeldOut) -> None:
    """Write down the newest evaluation, which the best one is compared with."""
    write_json(run.held_out_file, measured.model_dump(mode="json"))


def forget(run: Run) -> None:
    """Nothing is the best of it any more."""
    shutil.rmtree(run.best_folder, ignore_errors=True)
    run.held_out_file.unlink(missing_ok=True)


def forget_other_stages(run: Run, stage: Stage) -> None:
    """A stage begins: only its own steps can be the best of it."""
    found, last = best_of(run), last_of(run)
    if (found and found[0].stage != stage) or (last and last.stage != stage):
        forget(run)


def forget_where_last(run: Run, step: int) -> None:
    """The run has ended at this step: where that is the best one, the result is it already."""
    shutil.rmtree(run.last_adapter, ignore_errors=True)  # of an earlier end of the run
    found = best_of(run)
    if found and found[0].step == step:
        shutil.rmtree(run.best_folder, ignore_errors=True)


def take(source: Run, run: Run, fork: Fork) -> None:
    """Copy the best step of another run into one that branches off it, where it comes before that."""
    found = best_of(source)
    if found and found[0].stage == fork.stage and found[0].step <= fork.step:
        shutil.copytree(found[0].folder, run.best_folder / found[0].folder.name)


def best_of(run: Run, at_a_glance: bool = True) -> tuple[Checkpoint, HeldOut] | None:
    """The best step, where one is kept, and what was measured of it. at_a_glance: see `checkpoints.whole`."""
    known: list[tuple[Checkpoint, HeldOut]] = []
    for folder in checkpoints.by_age(run.best_folder):
        found = checkpoints.read(folder, at_a_glance)
        try:
            measured = run_files.HELD_OUT.read(folder / checkpoints.MANIFEST)
        except Damaged:
            continue
        if (
            found
            and measured
            and (found.stage, found.step) == (measured.stage, measured.step)
            and (folder / WEIGHTS).is_file()
        ):
            known.append((found, measured))
    # Two where the worker was killed before the older one went, which was never the better one.
    return known[-1] if known else None


def last_of(run: Run) -> HeldOut | None:
    """The newest evaluation; None where there is none, and where it cannot be read."""
    try:
        return run_files.HELD_OUT.read(run.held_out_file)
    except Damaged:  # `Run.notes` says so
        return None


def compared(run: Run) -> tuple[HeldOut, HeldOut, Gain] | None:
    """The best step, the last one that was measured, and how much better the best one is; None where it is not."""
    found, last = best_of(run), last_of(run)
    better = gain(found[1], last) if found and last else None
    return (found[1], last, better) if found and last and better else None


def step_of_result(run: Run) -> Fork | None:
    """Which step the result is; None where it is the last one."""
    found = read_json(run.adapter / STEP)
    try:
        return Fork(run.name, str(found["stage"]), int(found["step"]))
    except (TypeError, KeyError, ValueError):
        return None


def rows_of_result(run: Run, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows of a run up to the step that its result is."""
    at = step_of_result(run)
    if at is None:
        return rows
    after = stages_after(at.stage)

    def counts(row: Row) -> bool:
        own = row.get("stage") == at.stage and row.get("step", 0) > at.step
        return not own and row.get("stage") not in after

    return [row for row in rows if counts(row)]


def use_best(run: Run) -> HeldOut:
    """Make the best step the result; the last one is kept, for `use_last`. Each step of this leaves a whole result behind.

    Raises WorkbenchError where no step is kept, where it is damaged and where the disk is full.
    """
    found = best_of(run, at_a_glance=False)
    if found is None:
        raise WorkbenchError(
            f"{run.name} keeps no better step: its last one was the best, or it ended before steps were kept."
        )
    kept, measured = found
    if step_of_result(run) is not None:
        raise WorkbenchError(f"The result of {run.name} is {measured.words} already.")
    check_adapter(kept.folder, f"the adapter of {measured.words} of {run.name}")
    with writing(f"The adapter of {run.name}"):
        if run.has_adapter:  # one that failed may have none
            _copy(run.adapter, run.last_adapter)
        _copy(kept.folder, run.adapter, {"stage": measured.stage, "step": measured.step})
    return measured


def use_last(run: Run) -> None:
    """Make the last step the result again. Raises WorkbenchError where it is, and where it is not there any more."""
    if step_of_result(run) is None:
        raise WorkbenchError(f"The result of {run.name} is its last step already.")
    check_adapter(run.last_adapter, f"the adapter of the last step of {run.name}")
    with writing(f"The adapter of {run.name}"):
        _copy(run.last_adapter, run.adapter)
        shutil.rmtree(run.last_adapter, ignore_errors=True)


def _copy(source: Path, target: Path, step: dict[str, object] | None = None) -> None:
    """An adapter into another place. step: which one it is, where that is not the last."""
    draft, old = target.with_name(f".{target.name}.draft"), moved_aside(target)
    for left in (draft, old):  # of a window that was killed here
        shutil.rmtree(left, ignore_errors=True)
    try:
        draft.mkdir()
        for name in _FILES:
            if (source / name).is_file():
                shutil.copy2(source / name, draft / name)
        if step:
            write_json(draft / STEP, step)
        try:
            _take_place(draft, target, old)
        except OSError:
            if not target.is_dir():
                raise
            _take_place(draft, target, old)  # somebody looked at the run between the two, and put the old one back
    finally:
        if old.is_dir() and not target.exists():
            os.replace(old, target)
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)


def _take_place(draft: Path, target: Path, old: Path) -> None:
    """Killed between the two, this leaves the old one where `put_adapter_back` finds it."""
    if target.is_dir():
        os.replace(target, old)
    os.replace(draft, target)
