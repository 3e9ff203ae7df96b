"""Commands on runs: train, plan, list, queue, notes, trash; and on presets."""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.cli.printing import (
    answer,
    print_notes,
    print_plan,
    print_presets,
    print_queue,
    print_runs,
    print_trash,
    row_facts,
    run_facts,
    to_stderr,
)
from workbench.cli.wanted import wanted_config
from workbench.core.chat import Answerer
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.progress import progress
from workbench.core.training.config import RunConfig
from workbench.core.training.forks import Fork, parse_fork
from workbench.jobs import queue, result_step, training
from workbench.jobs import trash as trash_of_home
from workbench.jobs.pace import earlier_paces
from workbench.jobs.planning import machine, plan_run
from workbench.jobs.run_rows import RunRows
from workbench.jobs.survey import survey
from workbench.store import presets
from workbench.store.forks import fork_of, forks_of
from workbench.store.metrics_file import MetricsFile
from workbench.store.run_notes import notes_of, write_notes
from workbench.store.runs import Run, open_run
from workbench.store.scaled import save_scaled
from workbench.store.trash import content


def train(options: argparse.Namespace) -> int:
    """Train a config file or a preset to its end, here or until Ctrl+C asks it to stop and save; or add it to the queue."""
    config, fork = wanted_config(options), _fork(options.branch_off)
    began = fork_of(Run(Path(options.config).resolve().parent)) if options.config else None
    if began and not fork:
        to_stderr(
            f"This run branched off at {began.words}, and begins from the beginning now. --branch-off {began.written} continues from there."
        )
    if options.queue:
        run = queue.add(config, fork)
        return answer(options, run_facts(run), lambda: print(f"{run.name}: {training.summary(run)}"))
    run = follow(config, to_stderr if options.json else print, fork)
    if not run.config_file.is_file():
        raise WorkbenchError(training.wait_for_gone_message(run))
    result = run.result()
    answer(options, run_facts(run), lambda: print(training.summary(run)))
    return 0 if result and result.outcome != "failed" else 1


def plan(options: argparse.Namespace) -> int:
    """Forecast whether a config file or a preset fits into the free memory, part by part; needs no weights."""
    found = plan_run(wanted_config(options))
    return answer(options, found.as_json(), lambda: print_plan(found))


def runs(options: argparse.Namespace) -> int:
    """List the runs, newest first."""
    queue.look()
    found = [row_facts(row) for row in RunRows().now(survey()).rows]
    return answer(options, found, lambda: print_runs(found))


def list_presets(options: argparse.Namespace) -> int:
    """List the presets: settings that go together, for a purpose and a size of card."""
    known = [recipe.model_dump() for recipe in presets.recipes()]
    return answer(options, known, lambda: print_presets(presets.card_of(machine()[0]).id))


def note(options: argparse.Namespace) -> int:
    """Write a note or tags on a run, or print what is written on it."""
    run = open_run(options.run)
    tags = None
    if options.tag or options.untag:
        gone = {tag.casefold() for tag in options.untag}
        tags = [tag for tag in (*notes_of(run).tags, *options.tag) if tag.casefold() not in gone]
    written = write_notes(run, note=options.note, tags=tags)
    return answer(options, {"name": run.name, **written.model_dump(mode="json")}, lambda: print_notes(run, written))


def rename(options: argparse.Namespace) -> int:
    """Give a run a title, which the lists show; its name, which other runs and votes say, stays."""
    run = open_run(options.run)
    written = write_notes(run, title=options.title)
    return answer(options, {"name": run.name, **written.model_dump(mode="json")}, lambda: print_notes(run, written))


def trash(options: argparse.Namespace) -> int:
    """Move a run to the trash, list what is there, take a run back, or empty it."""
    if options.run and (options.restore or options.empty) or options.restore and options.empty:
        raise WorkbenchError("Name a run to throw away, or one to --restore, or say --empty: one of the three.")
    if options.restore:
        run, words = trash_of_home.restore(options.restore)
        return answer(options, {"restored": run.name}, lambda: print(words))
    if options.empty:
        words = trash_of_home.empty() if options.yes or _may_empty() else "Nothing was deleted."
        return answer(options, {"emptied": words}, lambda: print(words))
    if options.run:
        words = training.move_to_trash(open_run(options.run))
        return answer(options, {"moved": words}, lambda: print(words))
    found = content()
    listed = {**asdict(found), "runs": [asdict(one) for one in found.runs]}
    return answer(options, listed, lambda: print_trash(found))


def _may_empty() -> bool:
    """Ask whoever sits at the terminal. Raises WorkbenchError where nobody does."""
    if not sys.stdin.isatty():
        raise WorkbenchError("To empty the trash without being asked, add --yes. Nothing was deleted.")
    return input(f"Delete {trash_of_home.content_label(content())}, for good? [y/N] ").strip().lower() in ("y", "yes")


def best(options: argparse.Namespace) -> int:
    """Make the step with the best held-out loss the result of a run; --last takes the last step again."""
    words = result_step.use_last(options.run) if options.last else result_step.use_best(options.run)
    return answer(options, run_facts(open_run(options.run)), lambda: print(words))


def scale(options: argparse.Namespace) -> int:
    """Save a run at another strength as a run of its own; nothing is trained."""
    run = save_scaled(Answerer(options.run, options.strength), options.name or "")
    return answer(options, run_facts(run), lambda: print(f"{run.name}: {training.summary(run)}"))


_OF_RUN = {"remove": queue.remove, "front": queue.to_front}
_HOLD = {"hold": queue.hold, "go-on": queue.go_on}


def queued(options: argparse.Namespace) -> int:
    """List the runs that wait for the device, or change the queue."""
    queue.look()
    if options.do in _OF_RUN and not options.run:
        raise WorkbenchError(f"Name the run: workbench queue {options.do} NAME.")
    if options.do != "list":
        words = _OF_RUN[options.do](options.run) if options.do in _OF_RUN else _HOLD[options.do]()
        if not options.json:
            print(words)
            return 0
    held, busy = queue.held(), training.running()
    found = {
        "running": busy and busy.name,
        "held": held and held.why,
        "waiting": [run.name for run in queue.waiting()],
    }
    return answer(options, found, lambda: print_queue(found))


def _fork(text: str | None) -> Fork | None:
    """Where a run is to branch off another one, as `--branch-off` names it."""
    if not text:
        return None
    if fork := parse_fork(text):
        return fork
    if found := forks_of(open_run(text)):
        return found[0]
    raise WorkbenchError(f"{text} has no checkpoint to continue from. A finished run keeps none.")


def follow(config: RunConfig, say: Any, fork: Fork | None = None) -> Run:
    """Start a run and follow it to its end. Ctrl+C asks it to stop and save; a second one ends it."""
    run = training.start(config, fork=fork)
    say(f"Training {run.name}. Everything it writes is in {run.folder}.")
    shown = None
    earlier, metrics = earlier_paces(config), MetricsFile(run.metrics_file)
    while training.state_of(run) == "running":
        try:
            metrics.read()
            now = progress(metrics.digest.rows, run.environment().get("plan", {}), earlier, config.evaluations)
            if (now.phase, now.step // 10) != shown:
                shown = (now.phase, now.step // 10)
                left = "" if now.seconds_left is None else f", about {now.seconds_left:.0f} s left"
                say(f"{now.phase}: step {now.step} of {now.steps}{left}" if now.step else f"{now.phase} ...")
            time.sleep(0.3)
        except KeyboardInterrupt:
            say(training.stop(run))
    return run
