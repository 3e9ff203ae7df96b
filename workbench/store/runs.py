"""A run is a folder, and the folder is all the state. Every file in it can be opened by a person."""

import json
import os
import re
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.masking import masked, masked_values
from workbench.core.monitoring.health import Sample
from workbench.core.monitoring.metrics import Row, as_trained
from workbench.core.monitoring.run_log import RunLog
from workbench.core.monitoring.time_spent import TITLES, Work
from workbench.core.names import NAME_RULE, check_name, is_name
from workbench.core.training.config import ModelRef, RunConfig, Stage, checked
from workbench.core.training.methods import METHODS
from workbench.store import run_files
from workbench.store.adapter_files import check_adapter
from workbench.store.checked_lines import answered_once, checked_finding, checked_row, checked_sample
from workbench.store.home import append_line, folder_in_home, write_json, writing
from workbench.store.json_lines import read_lines
from workbench.store.metrics_file import read_digest
from workbench.store.records import Damaged, Record
from workbench.store.run_files import Outcome, Result

PAUSE = "pause"


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
    def best_folder(self) -> Path:
        """Holds the adapter of the best step, where that was not the last (see store/best.py)."""
        return self.folder / "best"

    @property
    def last_adapter(self) -> Path:
        """The adapter of the last step, where the best one is the result."""
        return self.folder / "adapter-last"

    @property
    def held_out_file(self) -> Path:
        """The newest evaluation, batch by batch."""
        return self.folder / "held_out.json"

    @property
    def clock_file(self) -> Path:
        """Seconds by kind of work, of all its workers together (engine/clock.py)."""
        return self.folder / "clock.json"

    def seconds(self) -> dict[Work, float]:
        """What is in it, of what this version counts; empty where nobody counted, and where it cannot be read."""
        try:
            found = run_files.CLOCK.read(self.clock_file) or {}
        except Damaged:  # `notes` says so
            found = {}
        return {work: found[work] for work in TITLES if work in found}

    @property
    def has_adapter(self) -> bool:
        return (self.adapter / "adapter_model.safetensors").is_file()

    @property
    def reward_file(self) -> Path:
        """Of a reward model: the mean and standard deviation of its scores on held-out answers, and how good it is."""
        return self.folder / "reward.json"

    def reward_facts(self) -> run_files.RewardFacts | None:
        """What is in it; None before the first evaluation, and where it cannot be read."""
        try:
            # Of a step that is the result and not the last one, what lies beside its adapter.
            is_best = (self.adapter / "step.json").is_file()
            return run_files.REWARD.read(self.adapter / "reward.json" if is_best else self.reward_file)
        except Damaged:  # `notes` says so
            return None

    @property
    def reward_adapter(self) -> Path:
        """A copy of the reward model that an online method trains against, where that was another run's result."""
        return self.folder / "reward"

    @property
    def is_reward(self) -> bool:
        """Whether its result scores answers and writes none. False where its settings cannot be read."""
        try:
            return METHODS[self.config().stages[-1]].scores
        except WorkbenchError:
            return False

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
        """Its settings. Raises WorkbenchError where config.json is missing or cannot be read."""
        return self._settings().config

    def unknown_settings(self) -> tuple[str, ...]:
        """The settings in config.json that this version of the workbench does not know, as "name = value"."""
        return self._settings().unknown

    def _settings(self) -> run_files.Settings:
        found = run_files.CONFIG.read(self.config_file)
        if found is None:
            raise WorkbenchError(f"The run {self.name} has no config.json. Its folder is {self.folder}.")
        if found.config.name == self.name:
            return found
        # Somebody renamed or copied the folder: then it is another run, which must not be taken for the first.
        return found.model_copy(update={"config": found.config.model_copy(update={"name": self.name})})

    def problems(self) -> list[str]:
        """Why the run cannot be read: what is wrong with the files that say what it is. Empty where nothing is.

        Of such a run nothing should be asked but its name, its folder, and whether a file is there.
        """
        found = (
            [] if is_name(self.name) else [f"A run's name has {NAME_RULE}; this folder's has not. Rename the folder."]
        )
        found += _problems_in(self.folder, run_files.NEEDED)
        if not os.path.lexists(self.config_file):
            found.append("config.json is missing.")
        if not found:
            try:
                self.adjusted_config()
            except WorkbenchError as error:
                found += [f"chosen.json or adjustments.json: {one}" for one in error.problems]
        return found

    def notes(self) -> list[str]:
        """What is wrong with files that only tell about the run, and the settings that this version does not know."""
        found = _problems_in(self.folder, run_files.TELLING)
        if unknown := self.unknown_settings():
            found.append(
                f"config.json has settings that this version of the workbench does not know: {', '.join(unknown)}. They stay "
                "in the file, and nothing else uses them. Another version of the workbench wrote it."
            )
        return found

    def write_config(self, config: RunConfig) -> None:
        write_json(self.config_file, config.model_dump(mode="json"))

    def adjustments(self) -> list[dict[str, Any]]:
        """What was changed on the way where memory ran out: {"changes": settings, "words": ..., "time": ...}."""
        return [one.model_dump() for one in run_files.ADJUSTMENTS.read(self.folder / "adjustments.json") or ()]

    def adjust(self, changes: dict[str, Any], words: str) -> None:
        """Write down another change of settings. config.json stays what was asked for."""
        row = {"changes": changes, "words": words, "time": time.time()}
        write_json(self.folder / "adjustments.json", [*self.adjustments(), row])

    def chosen(self) -> dict[str, Any]:
        """What was decided of the settings that the config leaves open: {"changes": settings, "paths": ..., "words": [...]}.

        Empty until that was done.
        """
        found = run_files.DECIDED.read(self.folder / "chosen.json")
        return found.model_dump() if found else {}

    def write_chosen(self, values: dict[str, Any]) -> None:
        write_json(self.folder / "chosen.json", values)

    def adjusted_config(self) -> RunConfig:
        """The config with what was decided at its start and what was changed on the way.

        Raises WorkbenchError where one of the files that say so cannot be read.
        """
        decided = run_files.DECIDED.read(self.folder / "chosen.json")
        changes = dict(decided.changes) if decided else {}
        for one in self.adjustments():
            changes |= one["changes"]
        # Of what did not change the values stay, which were checked as they were read.
        return checked(RunConfig, dict(self.config()) | changes) if changes else self.config()

    def environment(self) -> dict[str, Any]:
        """Versions, device, backend and plan; empty until the worker has written it, and where it cannot be read."""
        found = self._environment()
        return found.model_dump(exclude_unset=True) if found else {}

    def scaled(self) -> run_files.Scaled | None:
        """Which adapter its own is, and how strongly; None for a run that was trained."""
        found = self._environment()
        return found.scaled if found else None

    def _environment(self) -> run_files.Environment | None:
        try:
            return run_files.ENVIRONMENT.read(self.folder / "environment.json")
        except Damaged:  # `notes` says so
            return None

    def write_environment(self, values: dict[str, Any]) -> None:
        write_json(self.folder / "environment.json", masked_values(values))

    def add_to_environment(self, values: dict[str, Any]) -> None:
        """What became known on the way."""
        self.write_environment(self.environment() | values)

    def worker(self) -> dict[str, Any]:
        """`pid` and `created` (start time in seconds, see store/alive.py) of the worker; empty before it started."""
        found = run_files.WORKER.read(self.folder / "worker.json")
        return found.model_dump() if found else {}

    def write_worker(self, pid: int, created: float) -> None:
        write_json(self.folder / "worker.json", {"pid": pid, "created": created})

    def exit_code(self) -> int | None:
        """How the worker's process ended, where a window was there to see it."""
        try:
            found = run_files.ENDED.read(self.folder / "exit.json")
        except Damaged:  # `notes` says so
            return None
        # A run that goes on has a new worker, while the end of the one before may just be written down.
        return found.code if found and found.pid == self.worker().get("pid") else None

    def write_exit_code(self, pid: int, code: int) -> None:
        write_json(self.folder / "exit.json", {"pid": pid, "code": code})

    def result(self) -> Result | None:
        """None while the run has not ended by itself."""
        return run_files.RESULT.read(self.folder / "result.json")

    def write_result(self, outcome: Outcome, why: str) -> None:
        write_json(self.folder / "result.json", {"outcome": outcome, "why": masked(why)})

    def note_finding(self, finding: dict[str, Any]) -> None:
        """Write down what a rule about the run's health said, when it first said it."""
        with open(self.folder / "findings.jsonl", "ab+") as file:
            append_line(file, json.dumps(finding))

    def first_said(self) -> dict[tuple[str, Stage], int]:
        """By rule and stage, the step at which the worker first wrote a finding down."""
        found = read_lines(self.folder / "findings.jsonl", checked_finding)
        return {(one["rule"], one["stage"]): one["step"] for one in reversed(found)}

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
        except OSError as error:
            return f"worker.log cannot be opened: {error.strerror or error}."
        # A progress bar rewrites its line with carriage returns; only its last state counts.
        shown = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
        return masked("\n".join([line for line in shown if line.strip()][-lines:]))


def runs_folder() -> Path:
    return folder_in_home("runs")


def all_runs() -> list[Run]:
    """Every run there is, newest first; also those that cannot be read (`Run.problems`)."""
    found = []
    for entry in os.scandir(runs_folder()):
        run = Run(Path(entry.path))
        put_adapter_back(run)
        if (made := made_at(run)) is not None:
            found.append((made, run.name, run))
    return [run for *_, run in sorted(found, key=lambda one: one[:2], reverse=True)]


def made_at(run: Run) -> float | None:
    """When a run was made, in seconds since the epoch; None for a folder that is none, or not yet."""
    for made_of in (run.config_file, run.folder / "result.json", run.folder / "worker.json", run.adapter):
        try:
            return os.stat(made_of).st_mtime
        except OSError:  # not there; with one of the later ones, a run whose config was lost
            continue
    return None


def moved_aside(adapter: Path) -> Path:
    """Where an adapter lies while another one takes its place."""
    return adapter.with_name(f".{adapter.name}.old")


def put_adapter_back(run: Run) -> None:
    """Give a run its result again that was moved aside by a process that was killed before the other one took its place."""
    if not os.path.lexists(f"{run.folder}{os.sep}adapter") and os.path.isdir(old := moved_aside(run.adapter)):
        with suppress(OSError):  # another one was faster, or the disk cannot be written to, as is told elsewhere
            os.replace(old, run.adapter)


def open_run(name: str) -> Run:
    """The run called `name`. Raises WorkbenchError with the names there are."""
    runs = runs_folder()
    if not is_name(name):  # of a folder that somebody put there by hand, which is listed all the same
        if found := next((run for run in all_runs() if run.name == name), None):
            return found
        check_name(name, "run")
    run = Run(runs / name)
    put_adapter_back(run)
    if made_at(run) is not None:
        return run
    known = ", ".join(one.name for one in all_runs()[:8]) or "none yet"
    raise WorkbenchError(f"There is no run called {name}. Runs: {known}.")


def runs_to_start_from(model: ModelRef) -> list[Run]:
    """Every run whose result is an adapter of a base model, newest first. A reward model is none that anything but another
    reward model could start from."""
    return [run for run in all_runs() if run.has_adapter and model_of(run) == model and not run.is_reward]


def reward_runs(model: ModelRef | None = None) -> list[Run]:
    """Every run whose result is a reward model, newest first; on one base model where that is given."""
    found = [run for run in all_runs() if run.has_adapter and run.is_reward]
    return [run for run in found if model is None or model_of(run) == model]


def starting_run(config: RunConfig, coming: Collection[str] = ()) -> Run | None:
    """The run whose adapter a config starts from; None where it starts from the base model.

    coming: runs that will have ended before this one begins. Raises WorkbenchError, with all that stands against it, where that
    adapter does not fit.
    """
    if not config.start_from:
        return None
    run = open_run(config.start_from)
    earlier = run.config()
    found = []
    if not run.has_adapter and run.name not in coming:
        found.append(
            f"{run.name} has no adapter to start from. Choose a run that is finished, or start from the base model."
        )
    elif run.has_adapter:
        try:
            check_adapter(run.adapter, f"the adapter of {run.name}")
        except WorkbenchError as error:
            found += error.problems
    if earlier.model != config.model:
        found.append(
            f"{run.name} was trained on {earlier.model.title}, and the model is {config.model.title}. An adapter fits its own "
            "base model only: choose that one on the Model page, or another run."
        )
    if run.is_reward and not METHODS[config.stages[-1]].scores:
        found.append(
            f"{run.name} is a reward model, which scores answers and writes none, so nothing that answers can start from it. "
            "Choose another run, or start from the base model."
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


def reward_run(name: str, config: RunConfig, coming: Collection[str] = ()) -> Run:
    """The run whose reward model scores the answers of a config. coming: see `starting_run`. Raises WorkbenchError where it cannot."""
    run = open_run(name)
    if not run.is_reward:
        raise WorkbenchError(f"{name} is no reward model. Choose a run of the method reward model, or train one first.")
    if not run.has_adapter and name not in coming:
        raise WorkbenchError(
            f"The reward model {name} has not finished, so it cannot score yet. Choose another one, or wait."
        )
    if run.has_adapter:
        check_adapter(run.adapter, f"the reward model of {name}")
    model = run.config().model
    if model != config.model:
        raise WorkbenchError(
            f"The reward model {name} was trained on {model.title}, and the model is {config.model.title}. It scores on its own "
            "base model only: train a reward model on this one, or name one of the Hub."
        )
    return run


def check_reward(config: RunConfig, coming: Collection[str] = ()) -> None:
    """Raises WorkbenchError where a config names a reward model of another run that cannot be used."""
    for name in _rewards_of(config):
        reward_run(name, config, coming)


def needed_runs(config: RunConfig) -> set[str]:
    """The names of the runs that must have ended before a config can be trained: where it starts from, and what judges."""
    return {*_rewards_of(config), *([config.start_from] if config.start_from else [])}


def _rewards_of(config: RunConfig) -> list[str]:
    return [name for stage in config.stages if (name := config.own(stage).reward_run_name())]


def claim_folder(name: str) -> Run:
    """An empty folder for a new run. It is no run before its config is in it.

    Raises WorkbenchError where the name is taken, with a free one.
    """
    run = Run(runs_folder() / check_name(name, "run"))
    with writing(f"The run {name}"):
        try:
            run.folder.mkdir()
        except FileExistsError:
            raise WorkbenchError(
                f"There is a run called {name} already. Runs are never overwritten: take {free_name(name)}."
            ) from None
    return run


def readable_runs() -> list[Run]:
    """Every run whose settings can be read, newest first."""
    return [run for run in all_runs() if model_of(run) is not None]


def free_name(wanted: str) -> str:
    """`wanted`, or the first of wanted-2, wanted-3, ... that no run has."""
    taken = {path.name for path in runs_folder().iterdir()}
    if wanted not in taken:
        return wanted
    stem = re.sub(r"-\d+$", "", wanted)[:58]
    return next(name for n in range(2, len(taken) + 3) if (name := f"{stem}-{n}") not in taken)


def round_before(run_name: str) -> str | None:
    """The run that a run went on from, where it is still there; None for a first one, and where nobody can say."""
    try:
        before = open_run(run_name).config().start_from
        return before if before and open_run(before).has_adapter else None
    except WorkbenchError:
        return None


def model_of(run: Run) -> ModelRef | None:
    """The base model of a run; None where its settings cannot be read."""
    try:
        return run.config().model
    except WorkbenchError:
        return None


def _problems_in(folder: Path, files: dict[str, Record[Any]]) -> list[str]:
    """What is wrong with some files of a folder, in their order."""
    found: list[str] = []
    try:
        there = set(os.listdir(folder))  # one look instead of one for each
    except OSError:  # each file says by itself what is wrong
        there = set(files)
    for name, record in files.items():
        if name not in there:
            continue
        try:
            record.read(f"{folder}{os.sep}{name}")
        except Damaged as damaged:
            found += damaged.problems
    return found
