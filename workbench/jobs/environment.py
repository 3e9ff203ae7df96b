"""The environment of a child process: this very package first, libraries that keep quiet, threads that give way."""

import os

import workbench
from workbench.store.home import home

QUIET = {
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "BITSANDBYTES_NOWELCOME": "1",
}

# GNU OpenMP's threads wait for each other by spinning, by default some 300,000 rounds, and so take the core that another
# process needs: with two busy workers on two cores a training step took over ten times as long. With 1,000 rounds two
# workers share fairly (each at half its speed), and one alone is as fast as before.
GIVE_WAY = {"GOMP_SPINCOUNT": "1000"}


def child_environment() -> dict[str, str]:
    """For a process that runs a module of this package: a token for the Hub is passed on here and nowhere else."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(workbench.__file__)))
    path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH", "")) if part)
    # A child works in the user's folder, where a relative name of that folder would lead elsewhere.
    return GIVE_WAY | os.environ | QUIET | {"PYTHONPATH": path, "WORKBENCH_HOME": str(home())}
