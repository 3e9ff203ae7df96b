"""How long steps took in earlier runs on this machine."""

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.progress import seconds_per_step
from workbench.core.training.config import RunConfig, Stage
from workbench.store.metrics_file import glance
from workbench.store.runs import all_runs

# How many earlier runs are asked how long a step took.
RUNS_TO_LEARN_FROM = 6


def seconds_per_example(config: RunConfig, stage: Stage) -> float | None:
    """Of a stage in the newest earlier run of this model that came to it; None where there was none."""
    for run in all_runs()[:RUNS_TO_LEARN_FROM]:
        try:
            earlier = run.adjusted_config()
        except WorkbenchError:
            continue
        if earlier.model == config.model and stage in earlier.stages and run.name != config.name:
            pace = seconds_per_step(glance(run.metrics_file).rows, stage, earlier.evaluations)
            if pace is not None:
                return pace / earlier.effective_batch
    return None


def earlier_paces(config: RunConfig) -> dict[Stage, float]:
    """Seconds per step of the stages of a run that an earlier run came to, for this one's effective batch."""
    known = {stage: seconds_per_example(config, stage) for stage in config.stages}
    return {stage: seconds * config.effective_batch for stage, seconds in known.items() if seconds is not None}
