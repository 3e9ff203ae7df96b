"""A run as one file, and the workbench as a Space: `workbench archive`, `unarchive` and `deploy-space`."""

import argparse
import sys
from pathlib import Path

from workbench.cli.printing import answer
from workbench.core.errors import WorkbenchError
from workbench.jobs import archives, deploy


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


def deploy_space(options: argparse.Namespace) -> int:
    """Create or update a Space of your own with the workbench: private, and with all that it costs told before."""
    asked = options.space, options.hardware, options.sleep, options.public, options.run
    with deploy.prepared(*asked) as plan:
        if not options.json:
            print_plan(plan)
        if options.dry_run:
            return answer(options, plan.as_json(), lambda: print("Nothing was sent."))
        if not options.yes and not _agreed(options.json):
            raise WorkbenchError("Nothing was sent. Say --yes to create the Space without being asked, or --dry-run.")
        address = deploy.deploy(plan)
        return answer(options, plan.as_json() | {"address": address}, lambda: print(f"Sent. {address}"))


def print_plan(plan: deploy.Plan) -> None:
    for one in plan.uploads:
        print(f"{one.bytes:>12,}  {one.path}")
    print("\n".join(plan.words))


def _agreed(is_quiet: bool) -> bool:
    """Whether the person at the terminal says yes; False where there is none."""
    return not is_quiet and sys.stdin.isatty() and input("Send it? [y/N] ").strip().lower() in ("y", "yes")
