"""A run is a folder, and the folder is all the state. Every file in it can be opened by a person."""

import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.core.config import ModelRef, RunConfig, read_config
from workbench.core.errors import WorkbenchError
from workbench.core.health import Sample
from workbench.core.metrics import Row, as_trained
from workbench.core.names import check_name
from workbench.core.run_log import RunLog
from workbench.store.checked_lines import answered_once, checked_row, checked_sample
from workbench.store.home import append_line, folder_in_home, read_json, write_json, writing
from workbench.store.json_lines import read_lines
from workbench.store.metrics_file import read_digest

Outcome = Literal["finished", "stopped", "paused", "failed"]

PAUSE = "pause"

# A token in a log line, whoever printed it, is not for the page.
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")


@dataclass(frozen=True)
class Result:
    """How a run ended, and why, in words."""

    outcome: Outcome
    why: str


@dataclass(frozen=True)
class Run:
    """One run's folder and the files in it."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def adapter(self) -> Path:
        """The result: an adapter that loads alone on the base model."""
        return self.folder / "adapter"

    def stage_adapter(self, stage: str) -> Path:
        """The adapter as it was after an earlier stage."""
        return self.folder / f"adapter-after-{stage}"

    @property
    def start_adapter(self) -> Path:
        """A copy of the adapter that training started from, where that was another run's result."""
        return self.folder / "adapter-at-start"

    @property
    def has_adapter(self) -> bool:
        return (self.adapter / "adapter_model.safetensors").is_file()

    @property
    def config_file(self) -> Path:
        return self.folder / "config.json"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def log_file(self) -> Path:
        return self.folder / "worker.log"

    @property
    def stop_file(self) -> Path:
        """Exists: please stop and save. Holds "pause" where the run is to go on later."""
        return self.folder / "stop"

    @property
    def is_to_pause(self) -> bool:
        """Whether the run was asked to pause rather than to stop."""
        try:
            return self.stop_file.read_text(encoding="utf-8") == PAUSE
        except OSError:
            return False

    def config(self) -> RunConfig:
        """Raises WorkbenchError where the run has no readable config."""
        values = read_json(self.config_file)
        if values is None:
            raise WorkbenchError(f"The run {self.name} has no readable config.json. Its folder is {self.folder}.")
        return read_config(values)

    def write_config(self, config: RunConfig) -> None:
        write_json(self.config_file, config.model_dump(mode="json"))

    def adjustments(self) -> list[dict[str, Any]]:
        """What was changed on the way where memory ran out: {"changes": settings, "words": ..., "time": ...}."""
        found = read_json(self.folder / "adjustments.json")
        return found if isinstance(found, list) else []

    def adjust(self, changes: dict[str, Any], words: str) -> None:
        """Write down another change of settings. config.json stays what was asked for."""
        row = {"changes": changes, "words": words, "time": time.time()}
        write_json(self.folder / "adjustments.json", [*self.adjustments(), row])

    def chosen(self) -> dict[str, Any]:
        """What was decided of the settings that the config leaves open: {"changes": settings, "paths": ..., "words": [...]}."""
        found = read_json(self.folder / "chosen.json")
        return found if isinstance(found, dict) else {}

    def write_chosen(self, values: dict[str, Any]) -> None:
        write_json(self.folder / "chosen.json", values)

    def adjusted_config(self) -> RunConfig:
        """The config with what was decided at its start and what was changed on the way."""
        config = self.config().model_copy(update=self.chosen().get("changes", {}))
        for one in self.adjustments():
            config = config.model_copy(update=one["changes"])
        return config

    def environment(self) -> dict[str, Any]:
        """Versions, device, backend and plan; empty until the worker has written it."""
        return read_json(self.folder / "environment.json") or {}

    def write_environment(self, values: dict[str, Any]) -> None:
        write_json(self.folder / "environment.json", values)

    def add_to_environment(self, values: dict[str, Any]) -> None:
        """What became known on the way."""
        self.write_environment(self.environment() | values)

    def worker(self) -> dict[str, Any]:
        """`pid` and `created` (start time in seconds, see store/alive.py) of the worker; empty before it started."""
        return read_json(self.folder / "worker.json") or {}

    def write_worker(self, pid: int, created: float) -> None:
        write_json(self.folder / "worker.json", {"pid": pid, "created": created})

    def exit_code(self) -> int | None:
        """How the worker's process ended, where a window was there to see it."""
        values = read_json(self.folder / "exit.json") or {}
        # A run that goes on has a new worker, while the end of the one before may just be written down.
        return values.get("code") if values.get("pid") == self.worker().get("pid") else None

    def write_exit_code(self, pid: int, code: int) -> None:
        write_json(self.folder / "exit.json", {"pid": pid, "code": code})

    def result(self) -> Result | None:
        """None while the run has not ended by itself."""
        values = read_json(self.folder / "result.json")
        return None if values is None else Result(values["outcome"], values["why"])

    def write_result(self, outcome: Outcome, why: str) -> None:
        write_json(self.folder / "result.json", {"outcome": outcome, "why": why})

    def note_finding(self, finding: dict[str, Any]) -> None:
        """Write down what a rule about the run's health said, when it first said it."""
        with open(self.folder / "findings.jsonl", "ab+") as file:
            append_line(file, json.dumps(finding))

    @property
    def samples_file(self) -> Path:
        return self.folder / "samples.jsonl"

    def samples(self) -> list[Sample]:
        """The lines of samples.jsonl: answers to the fixed prompts at each evaluation. What was answered again counts once."""
        return answered_once(read_lines(self.samples_file, checked_sample))

    def forget_end(self) -> None:
        """Make the run one that has not ended: it goes on."""
        for file in (self.folder / "result.json", self.folder / "exit.json", self.stop_file):
            file.unlink(missing_ok=True)

    def metrics(self) -> list[Row]:
        """All lines of metrics.jsonl that can be used and belong to what the weights went through: see `checked_row`."""
        return as_trained(read_lines(self.metrics_file, checked_row))

    def log(self) -> RunLog:
        """The same in bounded room, however long the run."""
        return read_digest(self.metrics_file).log()

    def log_tail(self, lines: int = 12) -> str:
        """The last lines that the worker printed."""
        try:
            with open(self.log_file, "rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - 64_000))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        # A progress bar rewrites its line with carriage returns; only its last state counts.
        shown = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
        return _TOKEN.sub("hf_(hidden)", "\n".join([line for line in shown if line.strip()][-lines:]))


def runs_folder() -> Path:
    return folder_in_home("runs")


def all_runs() -> list[Run]:
    """Every run there is, newest first."""
    found = [Run(path.parent) for path in runs_folder().glob("*/config.json")]
    return sorted(found, key=lambda run: run.config_file.stat().st_mtime, reverse=True)


def open_run(name: str) -> Run:
    """The run called `name`. Raises WorkbenchError with the names there are."""
    run = Run(runs_folder() / check_name(name, "run"))
    if run.config_file.is_file():
        return run
    known = ", ".join(one.name for one in all_runs()[:8]) or "none yet"
    raise WorkbenchError(f"There is no run called {name}. Runs: {known}.")


def runs_to_start_from(model: ModelRef) -> list[Run]:
    """Every run whose result is an adapter of a base model, newest first."""
    return [run for run in all_runs() if run.has_adapter and model_of(run) == model]


def starting_run(config: RunConfig) -> Run | None:
    """The run whose adapter a config starts from; None where it starts from the base model.

    Raises WorkbenchError, with all that stands against it, where that adapter does not fit.
    """
    if not config.start_from:
        return None
    run = open_run(config.start_from)
    earlier = run.config()
    found = []
    if not run.has_adapter:
        found.append(
            f"{run.name} has no adapter to start from. Choose a run that is finished, or start from the base model."
        )
    if earlier.model != config.model:
        found.append(
            f"{run.name} was trained on {earlier.model.title}, and the model is {config.model.title}. An adapter fits its own "
            "base model only: choose that one on the Model page, or another run."
        )
    # Alpha scales what the adapter adds, so that another one would make another model of the same weights.
    for title, now, then in (
        ("Rank", config.adapter.rank, earlier.adapter.rank),
        ("Alpha", config.adapter.alpha, earlier.adapter.alpha),
    ):
        if now != then:
            found.append(f"{title} is {now}, and {run.name} was trained with {then}. Set {title.lower()} to {then}.")
    if found:
        raise WorkbenchError(*found)
    return run


def create_run(config: RunConfig) -> Run:
    """A new folder with the config in it. Raises WorkbenchError where the name is taken, with a free one."""
    run = claim_folder(config.name)
    try:
        with writing(f"The run {config.name}"):
            run.write_config(config)
    except WorkbenchError:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return run


def claim_folder(name: str) -> Run:
    """An empty folder for a new run. It is no run before its config is in it. Raises WorkbenchError as `create_run`."""
    run = Run(runs_folder() / check_name(name, "run"))
    with writing(f"The run {name}"):
        try:
            run.folder.mkdir()
        except FileExistsError:
            raise WorkbenchError(
                f"There is a run called {name} already. Runs are never overwritten: take {free_name(name)}."
            ) from None
    return run


def free_name(wanted: str) -> str:
    """`wanted`, or the first of wanted-2, wanted-3, ... that no run has."""
    taken = {path.name for path in runs_folder().iterdir()}
    if wanted not in taken:
        return wanted
    stem = re.sub(r"-\d+$", "", wanted)[:58]
    return next(name for n in range(2, len(taken) + 3) if (name := f"{stem}-{n}") not in taken)


def model_of(run: Run) -> ModelRef | None:
    """The base model of a run; None where its settings cannot be read."""
    try:
        return run.config().model
    except WorkbenchError:
        return None
