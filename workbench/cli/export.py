"""A run taken along: `workbench export`."""

import argparse
import sys
from pathlib import Path

from workbench.cli.printing import answer, to_stderr
from workbench.core.export.exported import Exported, Upload
from workbench.core.export.targets import ExportOptions
from workbench.core.training.config import checked
from workbench.jobs import exports
from workbench.jobs.child import Progress

_MARKS = {True: "ok", False: "DIFFERS", None: "to know"}


def export(options: argparse.Namespace) -> int:
    """Write a run as something that leaves the workbench, compared with the run. Exit 1 where they do not agree."""
    asked = checked(ExportOptions, {name: getattr(options, name) for name in ExportOptions.model_fields})
    out = Path(options.out or f"{options.run}-{options.target}")
    found = exports.export(options.run, options.target, out, asked, _say())
    answer(options, found.as_json(), lambda: print_exported(found))
    return 1 if found.agrees is False else 0


def print_exported(found: Exported) -> None:
    if found.folder:
        print(f"Wrote {len(found.files)} files to {found.folder}.")
    if found.upload:
        _print_upload(found.upload)
    for check in found.checked:
        print(f"  [{_MARKS[check.ok]}] {check.what}: {check.found}")
        for one in check.differing:
            print(f"      {one.prompt!r}\n        run:      {one.of_run!r}\n        exported: {one.of_export!r}")
    for words in found.notes:
        print(words)
    for engine in found.serving:
        print(f"Serve with {engine.engine} ({'installed' if engine.installed else 'not installed'}). {engine.words}")
        for command in engine.commands:
            print(f"    {command}")


def _print_upload(upload: Upload) -> None:
    seen = "private" if upload.private else "public"
    print(f"{'Pushed' if upload.url else 'Would go'} to {upload.repo} ({seen}): {upload.size:,} bytes")
    for name, size in upload.files:
        print(f"  {size:>15,}  {name}")
    if upload.kept:
        print(f"Stay here: {', '.join(upload.kept)}.")


def _say() -> Progress:
    """Progress on standard error: a line for each new text."""
    told = ""

    def say(fraction: float, words: str) -> None:
        nonlocal told
        if words != told and sys.stderr.isatty():
            to_stderr(f"{words} ...")
        told = words

    return say
