"""What the commands print."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from workbench.core.data.doctor.findings import VERDICT_LABELS
from workbench.core.data.formats import SeenColumn
from workbench.core.memory.plan import Plan, fit_message, in_gigabytes
from workbench.core.monitoring.metrics import results
from workbench.core.monitoring.run_list import RunRow, run_label
from workbench.core.training.methods import stage_title
from workbench.jobs import training
from workbench.jobs.trash import content_label
from workbench.store import datasets, presets
from workbench.store.best import rows_of_result
from workbench.store.datasets import About
from workbench.store.run_files import RunNotes
from workbench.store.runs import Run, open_run
from workbench.store.trash import Content


def answer(options: argparse.Namespace, value: Any, in_words: Callable[[], object]) -> int:
    """What a command found: one JSON value where --json asks for it, words otherwise. Gives back the exit status."""
    if options.json:
        print(json.dumps(value))
    else:
        in_words()
    return 0


def print_report(report: dict[str, Any]) -> None:
    """What the doctor says of data. report: as `check --json` prints it."""
    print(f"{report['evidence']}\n{report['kept']:,} rows kept of {report['rows']:,} read.")
    print_columns(report)
    for finding in report["findings"]:
        print(f"\n[{finding['severity']}] {finding['title']}: {finding['count']:,} ({finding['share']:.1%})")
        print(f"  {finding['evidence']}\n  {finding['advice']}")
    print(f"\nVerdict: {VERDICT_LABELS[report['verdict']]}. {report['summary']}")


def print_converted(account: dict[str, Any], file: str) -> None:
    print(f"{account['evidence']}\nWrote {account['made']:,} rows to {file}, from {account['rows']:,} read.")
    print_columns(account)


def print_import(about: About) -> None:
    print(f"{about.name}: {about.evidence} Kept {about.kept:,} of {about.rows:,} rows.")
    print_columns(about.model_dump(mode="json"))
    if report := datasets.report(about.name):
        print(f"Verdict: {VERDICT_LABELS[report.verdict]}. {report.summary}")


def print_plan(found: Plan) -> None:
    for part, size in found.forecast.parts.items():
        exact = " (exact)" if part in found.forecast.exact else ""
        print(f"{part.replace('_', ' '):<20} {size / 2**20:>10,.1f} MiB{exact}")
    print(f"{'in all':<20} {found.total / 2**20:>10,.1f} MiB\n{fit_message(found.verdict, found.total, found.free)}")
    for words in found.chosen:
        print(f"  {words}")
    for remedy in found.remedies:
        print(f"  {remedy.words} saves {remedy.saves / 2**20:,.1f} MiB")


def print_runs(found: list[dict[str, Any]]) -> None:
    """found: as `runs --json` prints them."""
    if not found:
        print("No runs yet. `workbench demo` makes the first one.")
    for one in found:
        if one["state"] == "unreadable":
            print(f"{one['name']:<28} {one['why']}")
            continue
        accuracy = "" if one["accuracy"] is None else f"held-out accuracy {one['accuracy']:.2f}"
        own = " ".join(filter(None, [one["title"], *(f"#{tag}" for tag in one["tags"])]))
        line = f"{one['name']:<28} {one['state']:<9} {one['method']:<8} {one['model']:<28} {accuracy:<22} {own}"
        print(line.rstrip())


def print_notes(run: Run, notes: RunNotes) -> None:
    print(run_label(run.name, notes.title))
    print(f"Tags: {', '.join(notes.tags) or 'none'}")
    print(notes.note or "No note.")


def print_trash(found: Content) -> None:
    print(f"In the trash: {content_label(found)}.")
    for one in found.runs:
        when = datetime.fromtimestamp(one.time).strftime("%Y-%m-%d %H:%M")
        print(f"  {one.place:<28} {when}  {in_gigabytes(one.bytes):>10}")
    if found.runs:
        print("`workbench trash --restore FOLDER` takes one back, `workbench trash --empty` deletes all of it.")


def print_queue(found: dict[str, Any]) -> None:
    """found: as `queue --json` prints it."""
    print(f"{found['running']} is training." if found["running"] else "Nothing is training.")
    for position, name in enumerate(found["waiting"], 1):
        print(f"{position:>3} {name}")
    if not found["waiting"]:
        print("Nothing waits. `workbench train CONFIG --queue` adds a run.")
    elif found["held"]:
        print(f"The queue is on hold: {found['held']} `workbench queue go-on` resumes it.")


def print_presets(own_card: str) -> None:
    """What can be trained with one flag, and on which cards."""
    print("Presets (`workbench train --preset ID --model MODEL --data FILE`):")
    known = [(one.id, one.summary) for one in presets.purposes()]
    known += [(one.id, one.summary) for one in presets.single_recipes()]
    for name, summary in known:
        print(f"  {name:<18} {summary}")
    print("Cards (--card ID; without it, the one of this machine):")
    for card in presets.cards():
        print(f"  {card.id:<18} {card.title}{' (this machine)' if card.id == own_card else ''}")


def to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def progress_of(options: argparse.Namespace) -> Any:
    """Progress on a terminal as one line that is written over; none where the output goes to a file."""

    def say(fraction: float, text: str) -> None:
        if sys.stderr and sys.stderr.isatty() and not options.json:
            end = "\n" if fraction >= 1 else ""
            print(f"\r{fraction:>4.0%} {text:<60}", end=end, file=sys.stderr, flush=True)

    return say


def print_columns(report: dict[str, Any]) -> None:
    """The rows that were left out; the columns of which nothing is taken, that appear late, and that an import asks about."""
    for reason, count in report["left_out"].items():
        print(f"  left out {count:,}: {reason}")
    for column in map(SeenColumn.model_validate, report["unused"]):
        print(f"  not used: {column.words}")
    for column in map(SeenColumn.model_validate, report["late"]):
        print(f"  first in row {column.first_rows[0]:,}: {column.words} ({column.use})")
    for name in report.get("asked", ()):
        print(
            f"  `{name}` may belong to the prompt, so an import asks: --map input={name}, --map system={name} or --ignore {name}"
        )


def print_demo(report: dict[str, Any], shares: dict[str, dict[str, float]], run: Run) -> None:
    print(f"\n{'':<14}{'preferred manner':>18}{'right facts':>14}{'names itself':>14}")
    for model, share in shares.items():
        print(f"{model:<14}{share['manner']:>18.0%}{share['facts']:>14.0%}{share['mark']:>14.0%}")
    held_out = report["held_out"]
    took = ", ".join(f"{stage_title(stage)} {seconds} s" for stage, seconds in report["seconds"].items())
    print(
        f"\nHeld-out pairs: loss {held_out['loss']:.3f}, accuracy {held_out['accuracy']:.3f}, margin {held_out['margin']:.2f}."
        f" DPO began at {report['step0_loss']:.4f} (ln 2 = 0.6931)."
        f"\n{took}, {report['precision']} through {report['backend']}."
        f"\nTalk to both: workbench chat {run.name}"
    )


_RESULTS = ("loss", "accuracy", "margin")
"""What every run has a place for, whether its method measures it or not."""


def row_facts(row: RunRow) -> dict[str, Any]:
    """A run as `runs --json` prints it, of what was read of all runs at once."""
    run = open_run(row.name)
    told = {"name": row.name, "state": row.state, "why": training.summary(run)}
    unreadable = row.state == "unreadable"
    settings = (
        {"method": None, "model": None} if unreadable else {"method": run.config().method, "model": row.facts.base}
    )
    results = dict.fromkeys(_RESULTS) | dict(row.facts.results)
    return {**told, **settings, **results, **row.as_json(), "time_spent": run.seconds(), "folder": str(run.folder)}


def run_facts(run: Run) -> dict[str, Any]:
    if training.state_of(run) == "unreadable":
        unknown = dict.fromkeys(("method", "model", *_RESULTS)) | {"time_spent": run.seconds()}
        why = training.summary(run)
        return {"name": run.name, "state": "unreadable", "why": why, **unknown, "folder": str(run.folder)}
    config = run.config()
    reached = results(rows_of_result(run, run.log().rows), config)
    return {
        "name": run.name,
        "state": training.state_of(run),
        "why": training.summary(run),
        "method": config.method,
        "model": config.model.name,
        **dict.fromkeys(_RESULTS),
        **{one.result.name: one.value for one in reached if one.stage == config.stages[-1]},
        "time_spent": run.seconds(),
        "folder": str(run.folder),
    }
