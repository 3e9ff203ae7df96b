"""Writes a run as something else, whole or not at all, and compares it with the run before it counts as written."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import Check, Exported
from workbench.core.export.serving import serving
from workbench.core.export.targets import HUB, ExportOptions
from workbench.core.export.uploading import upload_of
from workbench.core.training.config import ModelRef
from workbench.core.training.model_card import model_card
from workbench.jobs.child import Progress
from workbench.jobs.curves_picture import with_curves_of
from workbench.jobs.export_gguf import write_gguf, write_gguf_lora
from workbench.jobs.export_script import write_notebook, write_script
from workbench.jobs.merging import write_merged
from workbench.store import hub_push
from workbench.store.adapter_files import SETTINGS, WEIGHTS, check_adapter
from workbench.store.alive import alive, started
from workbench.store.home import write_text, writing
from workbench.store.installed import installed_engines
from workbench.store.runs import Run, open_run
from workbench.store.scaled import refuse_where_not_linear, scaled_weights

Found = tuple[list[Check], list[str]]

# The folder that it is to become, and the process that writes it.
_DRAFT = re.compile(r"\.(?P<of>.+)\.(?P<pid>\d+)-(?P<created>\d+\.\d+)\.draft", re.DOTALL)


@dataclass(frozen=True)
class Work:
    """One export. folder: where the files are to be written; it becomes the folder that was asked for once all is there."""

    run: Run
    options: ExportOptions
    folder: Path
    say: Progress = field(default=lambda fraction, words: None)


def export(run_name: str, target: str, out: Path, options: ExportOptions, say: Progress) -> Exported:
    """Write a run as `target` into the folder `out`, which must not be there yet or be empty.

    Raises WorkbenchError with nothing left behind: for a run without an adapter, a target that it cannot become, a folder
    in use, a full disk; and whatever `say` raises to end it.
    """
    if target not in WRITERS:
        raise WorkbenchError(f"There is no way out called {target[:40]!r}. There are {', '.join(WRITERS)}.")
    run = open_run(run_name)
    if not run.has_adapter:
        raise WorkbenchError(f"The run {run.name} has no adapter yet. Choose a run that finished or was stopped.")
    out = out.expanduser().absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WorkbenchError(f"{out} is there already and not empty. Name a folder that is not there yet.")
    if target == HUB:  # before a merge takes its time
        upload = upload_of(options.repo, options.private, ())
        options = options if options.dry_run else options.model_copy(update={"repo": hub_push.ready(upload).repo})
    with writing(f"The export {out}"):
        draft = _draft_of(out)
    try:
        with writing(f"The export {out}"):
            checked, notes = WRITERS[target](Work(run, options, draft, say))
        found = Exported(run.name, target, str(out), listed(draft), tuple(checked), tuple(notes))
        if target == HUB:
            found = to_be_pushed(found, draft, options)
            found = replace(found, folder="") if options.dry_run else push(found, draft, say)
        if found.folder:
            with writing(f"The export {out}"):
                if out.is_dir():
                    out.rmdir()  # a folder takes no other's place on Windows
                os.replace(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return replace(found, serving=serving(run.name, out, found.files, installed_engines())) if found.folder else found


def to_be_pushed(found: Exported, folder: Path, options: ExportOptions) -> Exported:
    """An export that lies in a folder, with what of it would go to the Hub. Nobody is asked. Raises WorkbenchError for files
    that hold what must not leave."""
    upload = upload_of(options.repo, options.private, [(name, (folder / name).stat().st_size) for name in found.files])
    hub_push.refuse_secrets(folder, upload)
    differs = ["Nothing was pushed, because what was written differs from the run."] if found.agrees is False else []
    return replace(found, upload=upload, notes=(*found.notes, *differs))


def push(found: Exported, folder: Path, say: Progress) -> Exported:
    """Push what lies in a folder as it was listed by `to_be_pushed`; not where it differs from the run.

    Raises WorkbenchError where the Hub says no.
    """
    if found.upload is None or found.agrees is False:
        return found
    upload, checked, notes = hub_push.push(found.upload, folder, say)
    return replace(
        found, upload=upload, checked=(*found.checked, *checked),
        notes=(*found.notes, f"Pushed to {upload.repo}: {upload.url}", *notes),
    )  # fmt: skip


def _draft_of(out: Path) -> Path:
    """A folder beside the one that is to be written, made here. What killed exports left of theirs goes.

    Raises WorkbenchError where another export is writing the same.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in list(out.parent.iterdir()):
        named = _DRAFT.fullmatch(left.name)
        if named is None or named["of"] != out.name:
            continue
        if alive(int(named["pid"]), float(named["created"])):
            raise WorkbenchError(
                f"{out} is being written by another export right now. Wait for it, or name another folder."
            )
        shutil.rmtree(left, ignore_errors=True)
    draft = out.with_name(f".{out.name}.{os.getpid()}-{started(os.getpid()):.2f}.draft")
    draft.mkdir()
    return draft


def listed(folder: Path) -> tuple[str, ...]:
    """The files in a folder and its folders, sorted."""
    return tuple(sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()))


def write_adapter(work: Work) -> Found:
    """The adapter at the strength that was asked for, with its card."""
    source, title, strength = work.run.adapter, f"the adapter of {work.run.name}", work.options.strength
    check_adapter(source, title)
    if strength == 1:
        shutil.copy2(source / WEIGHTS, work.folder / WEIGHTS)
        if (source / "reward.json").is_file():
            shutil.copy2(source / "reward.json", work.folder / "reward.json")
        if (source / "README.md").is_file():  # somebody may have written into it
            card = (source / "README.md").read_text(encoding="utf-8", errors="replace")
            write_text(work.folder / "README.md", with_curves_of(work.run, work.folder, card))
    else:
        refuse_where_not_linear(source, title)
        (work.folder / WEIGHTS).write_bytes(scaled_weights(source / WEIGHTS, title, strength))
        scaled = {"scaled": {"name": work.run.name, "strength": strength}}
        config = work.run.config()
        write_text(work.folder / "README.md", model_card(config, work.run.environment() | scaled, ()))
    settings = json.loads((source / SETTINGS).read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = public_name(work.run.config().model)
    write_text(work.folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
    check_adapter(work.folder, "what was written")
    if strength != 1:
        return [Check("Weights", f"B of every layer scaled by {strength:g}, A as trained", True)], []
    same = (source / WEIGHTS).read_bytes() == (work.folder / WEIGHTS).read_bytes()
    return [Check("Weights", "byte for byte those of the run" if same else "not those of the run", same)], []


def public_name(model: ModelRef) -> str:
    """A model's name for a file that is meant to be shared: no path of this machine."""
    return model.name if model.source == "hub" else model.title


WRITERS: dict[str, Callable[[Work], Found]] = {
    "adapter": write_adapter,
    "merged": lambda work: write_merged(work.run, work.options, work.folder, work.say),
    "gguf": lambda work: write_gguf(work.run, work.options, work.folder, work.say),
    "gguf-lora": lambda work: write_gguf_lora(work.run, work.options, work.folder, work.say),
    "script": lambda work: write_script(work.run, work.folder, public_name(work.run.config().model), work.say),
    "notebook": lambda work: write_notebook(work.run, work.folder, public_name(work.run.config().model), work.say),
    HUB: lambda work: WRITERS[work.options.content](work),
}
"""What writes each target of the table."""
