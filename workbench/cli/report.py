"""The report card in the terminal, as JSON and as a file."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from workbench.cli.printing import answer, to_stderr
from workbench.core.chat import Sampling
from workbench.core.report.card import Card, card_of
from workbench.core.report.material import Material
from workbench.core.report.measures import KL, MEASURES
from workbench.core.training.config import checked, parse_model
from workbench.jobs import reports
from workbench.jobs.app_state import AppState
from workbench.store.home import write_text, writing
from workbench.ui.report.report_file import report_file


def report(options: argparse.Namespace) -> int:
    """Compare runs with their base model and each other on held-out prompts: what got better, what it cost, how sure that is."""
    drawn = {"temperature": options.temperature, "max_new_tokens": options.max_new_tokens, "seed": options.seed}
    wanted = reports.Wanted(
        options.runs, options.prompts, options.reward or "", parse_model(options.judge) if options.judge else None,
        checked(Sampling, drawn),
    )  # fmt: skip
    material = _made(wanted)
    if options.html:
        target = Path(options.html).expanduser()
        with writing(f"The report {target}"):
            write_text(target, report_file(material))
        to_stderr(f"Wrote {os.path.abspath(target)}.")
    card = card_of(material)
    return answer(options, report_json(material, card), lambda: print_report_card(card))


def report_json(material: Material, card: Card) -> dict[str, Any]:
    """What `report --json` prints: all that follows from what was measured, and what was measured."""
    found: dict[str, Any] = {"card": to_jsonable_python(card), "measured": material.model_dump(mode="json")}
    return found


def print_report_card(card: Card) -> None:
    for note in card.notes:
        print(f"{note}\n")
    if card.judge:
        print(f"{card.judge}\n")
    for one in card.judgements:
        print(f"{one.second} against {one.first}\n  {one.verdict.headline}")
        for finding in one.verdict.findings:
            print(f"  [{finding.severity}] {finding.title}. {finding.evidence} {finding.advice}")
        for words in one.verdict.reasons:
            print(f"  - {words}")
        print()
    print("It cannot say:")
    for words in dict.fromkeys(words for one in card.judgements for words in one.verdict.cannot):
        print(f"  - {words}")
    print()
    if card.blindness:
        print(f"{card.blindness.words}\n")
    width = max(26, *(len(side.label) + 2 for side in card.sides))
    print(f"{'':<30}" + "".join(f"{side.label:>{width}}" for side in card.sides))
    for measure in (*MEASURES, KL):
        cells = [side.estimates.get(measure.id) for side in card.sides]
        if any(cells):
            shown = [measure.text(one) if one else "–" for one in cells]
            print(f"{measure.title:<30}" + "".join(f"{text:>{width}}" for text in shown))


def _made(wanted: reports.Wanted) -> Material:
    """Make it. Ctrl+C stops it and keeps what there is by then; a second one ends the program."""
    app = AppState()
    say = _progress()

    def ask_to_stop(*_signal: object) -> None:
        signal.signal(signal.SIGINT, before)
        to_stderr("Stopping; what was measured is kept. Ctrl+C again ends it at once.")
        # In a thread: what was interrupted may be writing to the same process.
        threading.Thread(target=reports.stop, args=[app], daemon=True).start()

    before = signal.signal(signal.SIGINT, ask_to_stop)
    try:
        for now in reports.make(app, wanted):
            say(now)
        return now.material
    finally:
        signal.signal(signal.SIGINT, before)
        app.unload()


def _progress() -> Any:
    """Progress on a terminal as one line that is written over; elsewhere a line for each part."""
    told = ""

    def say(now: reports.Making) -> None:
        nonlocal told
        part = now.words.partition(":")[0]
        if sys.stderr.isatty():
            print(f"\r{now.words:<100}", end="" if now.words else "\n", file=sys.stderr, flush=True)
        elif part and part != told:
            to_stderr(f"{part} ...")
        told = part

    return say
