"""Real runs in their worker processes: waiting for their end, and what to compare two of them by."""

import hashlib
import time

from workbench.jobs import training
from workbench.store.runs import Run


def ended(run: Run, seconds: float = 180) -> str:
    """The state of a run once its worker is gone."""
    until = time.monotonic() + seconds
    while training.state_of(run) == "running":
        assert time.monotonic() < until, run.log_tail()
        time.sleep(0.05)
    return training.state_of(run)


def weights(run: Run) -> str:
    """A fingerprint of the adapter."""
    return hashlib.sha256((run.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


def curve(run: Run) -> dict[tuple[str, int, str], float]:
    """Every logged loss, by stage, step and kind."""
    rows = run.metrics()
    return {(row["stage"], row["step"], key): row[key] for row in rows for key in ("loss", "eval_loss") if key in row}
