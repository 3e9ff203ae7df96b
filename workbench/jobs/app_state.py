"""Everything that is going on: the loaded model, the run that trains, the memory in use. One for the whole window."""

import contextlib
import threading
import time

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.progress import NextCheckpoint, Progress, next_checkpoint, progress
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.forks import Fork
from workbench.core.training.recipe import checkpoint_steps
from workbench.jobs import queue, training, warm
from workbench.jobs.card import read_card
from workbench.jobs.chat import Chat
from workbench.jobs.logs import Logs, Reading
from workbench.jobs.meter import Meter, read_meter
from workbench.jobs.pace import earlier_paces
from workbench.jobs.room import fits_beside_run
from workbench.jobs.run_rows import RunRows
from workbench.jobs.survey import Survey, survey
from workbench.jobs.tokens import Tokens
from workbench.jobs.visits import Visits
from workbench.store import checkpoints, gone
from workbench.store.runs import Run

NEWS = 600.0  # seconds

Running = tuple[str, str, int, int, float | None]
"""Name of the run, stage or phase in words, step, steps, seconds left (None where not known yet)."""


# Pages ask each second, several times over.
GOOD_FOR = 0.4  # seconds

METER_GOOD_FOR = 2.5  # seconds; a line that changes faster is not read


class AppState:
    """What the pages share. It holds the chat's child process, and what it has read of the runs on disk."""

    def __init__(self) -> None:
        self.chat = Chat()
        self.beside = Chat(log="chat-beside.log")  # for a lane with another base model, where both fit
        self.tokens = Tokens()
        self.visits = Visits()
        self.working: dict[str, threading.Event] = {}  # what each browser tab has at work; set to end it
        self.untold = ""  # what became of such work when its tab went away; told until there is new work
        self.stop_report = threading.Event()  # set while the report that is being made is to end
        self.run_rows = RunRows()
        self._logs = Logs()
        self._room_for: tuple[str, object] | None = None  # run and pid of the worker that the chat last made room for
        self._paces: dict[str, dict[Stage, float]] = {}  # of earlier runs, by the run that asked
        self._surveying = threading.Lock()
        self._survey: tuple[float, Survey] | None = None  # with the moment when it was made
        self._metering = threading.Lock()
        self._meter: tuple[float, Meter] | None = None

    def survey(self) -> Survey:
        """All runs, as they were less than `GOOD_FOR` seconds ago: all pages and all tabs share one look at the disk."""
        with self._surveying:
            now = time.monotonic()
            if self._survey is None or now - self._survey[0] > GOOD_FOR:
                self._survey = (now, survey())
            return self._survey[1]

    def look_again(self) -> None:
        """The next survey is a new one: something was done with the runs."""
        with self._surveying:
            self._survey = None

    def start(self, config: RunConfig, fork: Fork | None = None) -> Run:
        """Start a run; close the chat, with a word, where both would want the card."""
        run = training.start(config, fork=fork)
        self._make_room(run)
        return run

    def poll(self) -> None:
        """See to it that the queue goes on, that the chat makes room for a run that it started, and that a worker is warm
        while nothing is going on."""
        now = self.survey()
        if now.waiting:
            with contextlib.suppress(OSError, WorkbenchError):  # it is tried again in a second
                queue.look()
        run = now.running
        if not run and not now.waiting and self.chat.state != "loading":
            warm.keep(only_torch=has_card())
        if run and _life_of(run) != self._room_for:
            self._make_room(run)

    def resume(self, run: Run) -> None:
        """Let a run go on, as `start` begins one."""
        training.resume(run)
        self._make_room(run)

    def _make_room(self, run: Run) -> None:
        """Once for each start: a model that is loaded afterwards is there because a person wants it."""
        self._room_for = _life_of(run)
        if not has_card():
            return
        self.beside.close()
        if self.chat.is_open and not (self.chat.model and fits_beside_run(run, self.chat.model)):
            self.chat.close(
                f"The model was closed to make room: {run.name} trains on the card. Load it again afterwards."
            )

    def read(self, run: Run) -> Reading:
        """What a run has logged. Only what is new since the last call is read from disk."""
        return self._logs.read(run)

    def progress(self, run: Run) -> Progress:
        """How far a run is."""
        plan = run.environment().get("plan", {})
        try:
            config = run.adjusted_config()
        except WorkbenchError:  # its settings cannot be read, as its details say
            return progress(self.read(run).log.rows, plan)
        if run.name not in self._paces:
            self._paces[run.name] = earlier_paces(config)
        return progress(self.read(run).log.rows, plan, self._paces[run.name], config.evaluations)

    def next_checkpoint(self, run: Run) -> NextCheckpoint | None:
        """When a run that trains will save itself next; None where that is not known yet, or it ends before."""
        rows, config = self.read(run).log.rows, run.adjusted_config()
        last = next((row for row in reversed(rows) if "loss" in row), None)
        if last is None:
            return None
        kept = checkpoints.newest(run, at_a_glance=True)
        saved_at = kept.step if kept and kept.stage == last["stage"] else None
        every = checkpoint_steps(config, last["steps"])
        return next_checkpoint(rows, last["stage"], every, saved_at, config.evaluations)

    def loaded(self) -> str | None:
        """The loaded model in a few words; None where there is none."""
        if self.chat.state == "ready":
            facts = self.chat.facts
            return f"{facts['title']} {short_count(facts['parameters'])} · {facts['precision'].upper()} · {facts['device']}"
        if self.chat.state == "loading" and self.chat.model:
            return f"{self.chat.model.title}: {self.chat.word} ..."
        return None

    def running(self) -> Running | None:
        """The run that trains, if any."""
        run = self.survey().running
        if run is None:
            return None
        now = self.progress(run)
        return run.name, now.stage or now.phase, now.step, now.steps, now.seconds_left

    def gone(self) -> str:
        """That a run lost its folder while it trained, for as long as that is news; "" otherwise."""
        told = gone.newest(NEWS)
        return f"{told.run} ended: its folder is gone" if told else ""

    def meter(self) -> Meter:
        """How full and how busy the card is, or the machine where there is none, less than `METER_GOOD_FOR` seconds ago."""
        with self._metering:
            now = time.monotonic()
            if self._meter is None or now - self._meter[0] > METER_GOOD_FOR:
                self._meter = (now, read_meter(self._at_work()))
            return self._meter[1]

    def _at_work(self) -> dict[int, str]:
        """The processes that have a model in memory, and what they are called in the line at the top."""
        run = self.survey().running
        worker = run.worker().get("pid") if run else None
        chats = [(chat.pid, "chat") for chat in (self.chat, self.beside) if chat.pid]
        return dict([*chats, *([(worker, "the run")] if worker else [])])

    def unload(self) -> None:
        """Give the memory of every loaded model back."""
        self.chat.close()
        self.beside.close()

    def close(self) -> None:
        """The window goes: the chat goes with it, a run that trains goes on."""
        self.unload()
        self.tokens.close()
        self.visits.close()
        warm.end()
        for cancelled in list(self.working.values()):
            cancelled.set()


def _life_of(run: Run) -> tuple[str, object]:
    """A run from a start of its worker to its end: another one may have its name afterwards."""
    return run.name, run.worker().get("pid")


def short_count(count: int) -> str:
    """4600000 -> "4.6M"."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def has_card() -> bool:
    """Whether this machine has an NVIDIA card that its driver knows."""
    return read_card() is not None
