"""A home that an earlier version of the workbench wrote: what it made must be read for good."""

from pathlib import Path

OLD_HOME = Path(__file__).parent / "homes" / "0.1.0"
RUNS = {path.name for path in (OLD_HOME / "runs").iterdir()}
