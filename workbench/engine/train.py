"""python -m workbench.engine.train RUN: the whole recipe, top to bottom.

Reads RUN/config.json, trains stage after stage, leaves RUN/adapter and, last of all, RUN/result.json.
"""

import contextlib
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.errors import WorkbenchError
from workbench.core.memory.architectures import shape_of
from workbench.core.memory.auto_settings import choose
from workbench.core.memory.forecast import Companions
from workbench.core.memory.oom_fallback import next_rung
from workbench.core.monitoring.metrics import closing_message, latest_step
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.evaluating import settle_evaluations
from workbench.core.training.methods import METHODS, stage_title
from workbench.core.training.recipe import Device, planned_steps
from workbench.core.training.run_state import BEGIN, WAITS_FOR_WORD
from workbench.core.training.thinking import no_switch_message, with_default
from workbench.engine import adapters, load
from workbench.engine.clock import RunClock
from workbench.engine.device import this_device
from workbench.engine.imports import FOR_A_RUN, import_for
from workbench.engine.journal import log_phase
from workbench.engine.lines import print_no_secrets
from workbench.engine.place import Place, PlaceGone, named_pid
from workbench.engine.trouble import Diverged, StaleReference, explain, is_out_of_memory
from workbench.store import best, checkpoints, model_configs, run_data
from workbench.store.alive import started
from workbench.store.checkpoints import Checkpoint
from workbench.store.device import hand_on, hold, note_holder
from workbench.store.installed import companions_of
from workbench.store.runs import Outcome, Run

if TYPE_CHECKING:
    from workbench.engine.mirror import MirrorThread
    from workbench.engine.stage import Work

# Held back at the start and given up when the disk is full, so that there is room to say so.
RESERVE = 64 * 1024  # bytes

PACKAGES = (
    "torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate", "huggingface_hub", "unsloth",
    "unsloth_zoo",
)  # fmt: skip


def main(folder: str, watch: bool = False) -> int:
    """Train one run. 0 where it finished or was stopped as asked; 1 where it failed, with the reason in result.json.

    A run that loses its place gets no result, as nothing is written there any more: 1, with the reason in the home.
    watch: look for that each second, besides at each step, and end this process where it is so.
    """
    run = Run(Path(folder))
    place = Place(run)
    if watch:
        place.watch()
    try:
        place.check()
        return _in_place(run, place)
    except BaseException as error:  # whatever could not be written in a place that is gone is for nobody
        why = str(error) if isinstance(error, PlaceGone) else place.lost()
        if not why:
            raise
        place.leave(why)
        return 1


def _in_place(run: Run, place: Place) -> int:
    """Train a run, say how it ended. Raises PlaceGone, or what follows from a place that is gone, such as FileNotFoundError."""
    folder = str(run.folder)
    reserve = run.folder / "reserve"
    signal.signal(signal.SIGTERM, lambda *_: run.stop_file.touch())
    try:
        reserve.write_bytes(bytes(RESERVE))
        clock = RunClock(run, place)
        try:
            outcome, why = train(run, place, clock)
        finally:
            clock.write()
    except PlaceGone:
        raise
    except load.UnslothRefused as refused:
        os.environ[load.WITHOUT_UNSLOTH] = str(refused)
        return restart_worker(folder)
    except StaleReference:
        return restart_worker(folder)
    except BaseException as error:  # whatever ended the run, its folder must say so
        if place.lost():
            raise
        reserve.unlink(missing_ok=True)
        if is_out_of_memory(error) and (rung := next_rung(run.adjusted_config())):
            words = rung.words.removesuffix(".")
            run.adjust(dict(rung.changes), words)
            log_phase(run, f"memory ran out, so: {words}")
            return restart_worker(folder)
        with contextlib.suppress(OSError):  # the log is on the disk that may be full
            traceback.print_exc()
        outcome, why = "failed", explain(error)
        if isinstance(error, Diverged) and (kept := adapters.save_last_finite_adapter(run)):
            why += f" The adapter of {kept} is kept."
    place.check()
    reserve.unlink(missing_ok=True)
    shutil.rmtree(run.folder / "scratch", ignore_errors=True)
    run.write_result(outcome, why)
    if outcome == "finished":
        # The adapter is the result. Not before that is told: a run that is killed meanwhile would begin again.
        shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    return 0 if outcome != "failed" else 1


def restart_worker(folder: str) -> int:
    """Go on with the same run in a fresh process: this one's libraries are patched, or its memory is torn."""
    command = [sys.executable, "-m", "workbench.engine.train", folder]
    lock = hand_on()
    if os.name == "nt":  # where exec makes a new process, and this run would read as lost
        return subprocess.call(command)
    close_files_on_exec(lock)
    os.execv(sys.executable, command)


def close_files_on_exec(lock: int | None) -> None:
    """Have all open files but the three standard ones and the lock of the device closed as the next program begins.

    A card's memory is held by its open device files, and not every library closes its own at an exec.
    """
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the one that listed them is closed by now
            os.set_inheritable(number, number <= 2 or number == lock)


def train(run: Run, place: Place, clock: RunClock) -> tuple[Outcome, str]:
    """All stages of a run. Returns how it ended and why, in words."""
    import_for(FOR_A_RUN)
    device = this_device()
    companions = decide(run, device)
    config = run.adjusted_config()
    shutil.rmtree(run.folder / "scratch", ignore_errors=True)  # of a worker that was killed while it saved
    last = METHODS[config.stages[-1]]
    scores = last.scores
    # Unsloth's kernels know neither a head that scores nor three adapters on one base.
    with_unsloth = load.find_unsloth(device, config.precision)[0] and not (scores or last.online)

    begun = checkpoints.newest(run)
    with clock.counting("data"):
        data, changed = run_data.settle(run, config, begun)
    for words in changed:
        log_phase(run, words)

    log_phase(run, "starting")
    loaded = load.load_base(
        config.model,
        config.precision,
        device,
        lambda text: log_phase(run, text),
        config.max_length,
        with_unsloth,
        scores,
    )
    if loaded.facts["thinking_switch"]:
        loaded.tokenizer.chat_template = with_default(loaded.tokenizer.get_chat_template(), config.thinking)
    elif config.thinking:
        raise WorkbenchError(no_switch_message(config.model.title))
    model = load.add_adapter(loaded, config.adapter, config.gradient_checkpointing != "off", config.seed)
    # An absolute path of this machine has no place in a file that is meant to be shared.
    model.peft_config["default"].base_model_name_or_path = config.model.name
    if config.start_from:
        adapters.keep_start(run, config)
        adapters.load_adapter_weights(model, run.start_adapter)

    plan = {stage: planned_steps(config, stage, one.train_rows) for stage, one in data.items()}
    run.add_to_environment(_environment(config, loaded, plan))  # what an earlier life found out stays
    run_data.note_change(run, data, changed)

    # Not before the model is loaded: it imports TRL, which Unsloth patches where it is imported first.
    from workbench.engine.stage import Work

    with mirrored(run, config, place) as mirror:
        return train_stages(Work(run, config, loaded, model, companions, place, clock, mirror), begun)


def train_stages(work: "Work", begun: Checkpoint | None) -> tuple[Outcome, str]:
    """Stage after stage, each with its adapter on disk before the next one begins. begun: where the run goes on."""
    from workbench.engine.stage import train_stage

    run, config, model, place = work.run, work.config, work.model, work.place
    for number, stage in enumerate(config.stages):
        is_last = number == len(config.stages) - 1
        if not is_last and run.stage_adapter(stage).is_dir():
            adapters.load_adapter_weights(
                model, run.stage_adapter(stage)
            )  # this stage was finished before the run was interrupted
            continue
        log_phase(run, f"preparing the data for {stage_title(stage)}")
        work.clock.begin("data")
        resume = begun if begun and begun.stage == stage else None
        fresh = number == 0 and not config.start_from
        ended = train_stage(work, stage, fresh, resume)
        if ended == "paused":
            kept = checkpoints.newest(run)
            assert kept, "a run that paused has just written its checkpoint"
            return ended, f"Paused, as you asked. Resume continues from {kept.words}."
        place.check()  # saving would make the folder anew
        work.clock.begin("checkpoints")
        if ended or is_last:
            adapters.save_adapter(run, model, run.adapter, config)
            best.forget_where_last(run, latest_step(run.log().rows, stage))
        else:
            adapters.save_adapter(run, model, run.stage_adapter(stage), config)
        if ended:
            return (
                ended,
                f"Stopped during {stage_title(stage)}, as you asked. The adapter as it was then is saved and can be compared.",
            )
    return "finished", " ".join(["Finished.", closing_message(run.log().rows, config)]).rstrip()


@contextlib.contextmanager
def mirrored(run: Run, config: RunConfig, place: Place) -> Iterator["MirrorThread | None"]:
    """What the numbers of the run are sent to besides; None where nothing was asked for."""
    if config.mirror == "none":
        yield None
        return
    from workbench.engine.mirror import MirrorThread

    mirror = MirrorThread(run, config)
    try:
        yield mirror
    finally:
        mirror.close()
        if not place.lost():
            mirror.tell()


def decide(run: Run, device: Device) -> Companions:
    """Decide what the config leaves open, once for the whole run, and write it down. Returns what it holds beside its model."""
    if not run.chosen():
        config = run.config()
        try:
            shape = shape_of(model_configs.config_of(config.model))
        except WorkbenchError:  # where the model cannot be had at all, loading it says so
            shape = None
        found = choose(shape, config, device, companions_of(config, device))
        noted = {stage: about.train_rows for stage in config.stages if (about := run_data.noted(run, stage))}
        evaluations, why = settle_evaluations(config, noted)
        words = [*found.words, *([why] if why else [])]
        run.write_chosen({"changes": found.changes | evaluations, "paths": asdict(found.companions), "words": words})
    return Companions.of(run.chosen()["paths"])


def _environment(config: RunConfig, loaded: load.Loaded, plan: dict[Stage, int]) -> dict[str, Any]:
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "plan": plan,
        "backend": loaded.backend,
        "precision": loaded.precision,
        "why": loaded.why,
        "device": loaded.device.name if loaded.device.is_cuda else "CPU",
        "model": loaded.facts,
        "versions": installed,
        "seed": config.seed,
    }


def may_begin() -> bool:
    """Whether whoever started this worker has written down its pid, where it was told to wait for that."""
    return os.environ.pop(WAITS_FOR_WORD, None) is None or sys.stdin.readline().strip() == BEGIN


def worker(folder: str) -> int:
    """This very process: told to begin, known by its pid, and the owner of the device from here to its end."""
    if not may_begin():
        return 1
    run = Run(Path(folder))
    if not hold():
        run.write_result(
            "failed", "Another run has the device. Nothing was trained: resume this one when that has ended."
        )
        return 1
    with contextlib.suppress(FileNotFoundError):  # of a folder that is gone, which `main` tells
        if not named_pid(run):  # started by hand: so that it can be seen and stopped
            run.write_worker(os.getpid(), started(os.getpid()))
            note_holder(run.name, os.getpid(), started(os.getpid()))
    return main(folder, watch=True)


if __name__ == "__main__":
    print_no_secrets()
    sys.exit(worker(sys.argv[1]))
