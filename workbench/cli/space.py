"""A run as one file, and the workbench as a Space: `workbench archive`, `unarchive` and `deploy-space`."""

import argparse
from pathlib import Path

from workbench.cli.printing import answer
from workbench.jobs import archives


def archive(options: argparse.Namespace) -> int:
    """Write a run as one file, checkpoints included, to take to another machine."""
    out = Path(options.out or f"{options.run}.zip")
    names = archives.pack(options.run, out, options.logs)
    said = {"run": options.run, "file": str(out.absolute()), "bytes": out.expanduser().stat().st_size, "files": names}
    answer(options, said, lambda: print(f"Wrote {len(names)} files of {options.run} to {out}."))
    return 0


def unarchive(options: argparse.Namespace) -> int:
    """Store the run in an archive, under its name or a free one like it."""
    run = archives.unpack(Path(options.file).expanduser())
    answer(options, {"run": run.name, "folder": str(run.folder)}, lambda: print(f"Stored the run {run.name}."))
    return 0
