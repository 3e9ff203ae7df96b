"""The numbers of a run, sent to TensorBoard, Trackio or Weights & Biases besides: by a thread of its own, on which nothing waits.

The run's folder stays the truth. A mirror that fails, hangs or is too slow loses numbers, says so once, and never ends a run.
Settings and numbers are sent; no prompt, no answer, no path of this machine and no token.
"""

import os
import queue
import re
import threading
from collections.abc import Callable
from typing import Any

from workbench.core.masking import masked, masked_values
from workbench.core.monitoring.metrics import Row
from workbench.core.training.config import RunConfig
from workbench.core.training.mirror import MIRRORS
from workbench.store.runs import Run, made_at

PROJECT = "alignment-workbench"

# Rows that wait at most; what comes while so many wait is lost.
WAITING = 10_000

# At its end a run waits so long for what was not sent yet.
PATIENCE = 10.0  # seconds

_PLACE = re.compile(r"[/\\~]|\.{1,2}[/\\]|[A-Za-z]:[/\\]")

Send = Callable[[int, dict[str, float]], None]
Open = Callable[[Run, dict[str, Any], int], tuple[Send, Callable[[], None]]]
"""Begins a mirror at a step. Gives a function for the numbers of a step, and one that ends it."""

# Of a row, what is no number of the training.
_NOT_SENT = ("stage", "step", "steps", "time")


class MirrorThread:
    """trouble: why it stopped, in two sentences; "" while it works."""

    def __init__(self, run: Run, config: RunConfig, openers: dict[str, Open] | None = None):
        """openers: how each kind begins, by its name."""
        self.trouble, self._told = "", False
        self._run, self._config = run, config
        self._begin = (openers or OPENERS)[config.mirror]
        self._rows: queue.Queue[tuple[int, Row] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    @property
    def title(self) -> str:
        return MIRRORS[self._config.mirror].title

    def add(self, row: Row) -> None:
        """Take in a row of metrics.jsonl. Returns at once."""
        if self.trouble:
            return self.tell()
        try:
            self._rows.put_nowait((self._steps_before(row["stage"]) + int(row["step"]), row))
        except queue.Full:
            self._stop("it takes numbers more slowly than the run logs them")
        return None

    def tell(self) -> None:
        """Write down what went wrong, once. Called where the run's own files are written, which its thread never does."""
        if self.trouble and not self._told:
            self._told = True
            self._run.add_to_environment({"mirror": self.trouble})

    def close(self, patience: float = PATIENCE) -> None:
        """Wait a moment for what was not sent yet."""
        if self.trouble:
            return
        try:
            self._rows.put_nowait(None)
        except queue.Full:
            return self._stop("it takes numbers more slowly than the run logs them")
        self._thread.join(patience)
        if self._thread.is_alive():
            self._stop(f"it did not end within {patience:.0f} seconds")
        return None

    def _work(self) -> None:
        send, end = None, None
        try:
            while (taken := self._rows.get()) is not None and not self.trouble:
                step, row = taken
                if send is None:
                    send, end = self._begin(self._run, settings_of(self._config), step)
                numbers = {f"{row['stage']}/{key}": float(value) for key, value in row.items() if _is_sent(key, value)}
                if numbers:
                    send(step, numbers)
            if end:
                end()
        except (
            BaseException
        ) as error:  # also SystemExit, which a library may raise: it would end this thread without a word
            self._stop(
                f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'no reason given'}"
            )

    def _steps_before(self, stage: str) -> int:
        """Steps of the stages before: a mirror counts on from stage to stage."""
        plan = self._run.environment().get("plan", {})
        stages = self._config.stages
        return sum(plan.get(one, 0) for one in stages[: stages.index(stage)])

    def _stop(self, why: str) -> None:
        self.trouble = masked(
            f"{self.title} failed, and the run goes on without it: {why}. All numbers are in the run's folder."
        )
        print(self.trouble, flush=True)


def settings_of(config: RunConfig) -> dict[str, Any]:
    """The settings, with the last part alone of what names a place of this machine."""
    named: dict[str, Any] = masked_values(_without_places(config.model_dump(mode="json")))
    return named


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_places(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_places(inner) for inner in value]
    if isinstance(value, str) and _PLACE.match(value):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return value


def _is_sent(key: str, value: Any) -> bool:
    return key not in _NOT_SENT and isinstance(value, (int, float)) and not isinstance(value, bool)


def _tensorboard(run: Run, settings: dict[str, Any], step: int) -> tuple[Send, Callable[[], None]]:
    from torch.utils.tensorboard import SummaryWriter

    # Of a run that went back to a checkpoint, what came after it does not count any more.
    writer: Any = SummaryWriter(str(run.folder / "tensorboard"), purge_step=step)  # type: ignore[no-untyped-call]
    writer.add_text("settings", "\n".join(f"    {name}: {value}" for name, value in settings.items()), step)

    def send(at: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, at)
        writer.flush()

    return send, writer.close


def _trackio(run: Run, settings: dict[str, Any], step: int) -> tuple[Send, Callable[[], None]]:
    import trackio

    trackio.init(project=PROJECT, name=run.name, config=settings, resume="allow")
    return lambda at, numbers: trackio.log(numbers, step=at), trackio.finish


def _wandb(run: Run, settings: dict[str, Any], step: int) -> tuple[Send, Callable[[], None]]:
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")
    # A run that goes on is the same one there, and another one that has its name later is not.
    known_as = f"{run.name}-{int(made_at(run) or 0)}"
    quiet = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        save_code=False,
    )
    place = run.folder / "mirror"
    place.mkdir(exist_ok=True)
    begun = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or PROJECT,
        name=run.name, id=known_as, resume="allow", config=settings, dir=str(place), settings=quiet,
    )  # fmt: skip
    return lambda at, numbers: begun.log(numbers, step=at), begun.finish


OPENERS: dict[str, Open] = {"tensorboard": _tensorboard, "trackio": _trackio, "wandb": _wandb}
