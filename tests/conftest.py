"""What tests share: a home of their own, a base model that is loaded once, and a run that is trained once."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

os.environ["WORKBENCH_WARM"] = "0"  # for each of the many windows one that imports torch would be too much
# The demo model is so small that a second thread mostly waits for the first one, and where the machine is busy it burns
# three times the processor time. Set before anything imports torch; the workers that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What is imported and collected stays to the end: looking through it for garbage, again and again, is a tenth of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why a test needed a second try: `-rR` gives its name only, and what failed is seldom seen again."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first try of {report.nodeid}")
        terminalreporter.line(report.longreprtext[-6000:])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own folder."""
    folder = tmp_path / "home"
    monkeypatch.setenv("WORKBENCH_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def base():
    """The demo model in 4 bits, as a worker loads it."""
    from configs import demo_config

    from workbench.engine import load
    from workbench.engine.device import this_device

    return load.load_base(demo_config().model, "nf4", this_device(), lambda words: None)


@contextmanager
def _sharing(base, patch: pytest.MonkeyPatch) -> Iterator[None]:
    from workbench.engine import load

    add, added = load.add_adapter, []

    def take_off(*_args, **_kwargs):
        """The base as it was loaded: a run leaves it training, and its layers without their cache where they save memory."""
        while added:
            added.pop().unload()
        base.model.gradient_checkpointing_disable()
        base.model.eval()
        return base

    def add_and_remember(*arguments):
        added.append(add(*arguments))
        return added[-1]

    patch.setattr(load, "load_base", take_off)
    patch.setattr(load, "add_adapter", add_and_remember)
    yield
    take_off()


@pytest.fixture
def one_base(base, monkeypatch) -> Iterator[None]:
    """The base model is loaded once for all; each run takes the adapter of the one before off it.

    By the test's own monkeypatch: two would be undone in an order that leaves what one of them found of the other.
    """
    with _sharing(base, monkeypatch):
        yield


@pytest.fixture(scope="session")
def home_of_first_run(base, tmp_path_factory) -> Path:
    """A home with the run `first`: two steps of DPO on few rows, trained once for the whole test session. Copied, never used."""
    from made_runs import first_settings

    with pytest.MonkeyPatch.context() as patch, _sharing(base, patch):
        return _home_with("first", first_settings, tmp_path_factory)


@pytest.fixture(scope="session")
def home_of_both(base, tmp_path_factory) -> Path:
    """A home with the run `both`: three steps of SFT, then three of DPO, trained once for the whole test session. Copied, never used."""
    from made_runs import both_settings

    with pytest.MonkeyPatch.context() as patch, _sharing(base, patch):
        return _home_with("both", both_settings, tmp_path_factory)


def _home_with(name: str, settings: Callable[[], dict], tmp_path_factory) -> Path:
    """A home with one run, trained here."""
    from configs import demo_config
    from made_runs import create_run

    from workbench.engine import train

    folder: Path = tmp_path_factory.mktemp("trained") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(folder))
        run = create_run(demo_config(name, **settings()))
        assert train.main(str(run.folder)) == 0, run.result()
    return folder


@pytest.fixture(scope="session")
def home_of_judge(tmp_path_factory) -> Path:
    """A home with the run `judge`: a reward model of ten steps, trained once for the whole test session. Copied, never used."""
    from made_runs import judge_settings

    return _home_with("judge", judge_settings, tmp_path_factory)


@pytest.fixture
def judge(home_of_judge: Path, home: Path):
    """A finished reward model in the test's own home."""
    from workbench.store.runs import open_run

    shutil.copytree(home_of_judge, home, dirs_exist_ok=True)
    return open_run("judge")


@pytest.fixture
def first_run(home_of_first_run: Path, home: Path):
    """A finished run in the test's own home, with its rows and what was kept of its reference."""
    from workbench.store.runs import open_run

    shutil.copytree(home_of_first_run, home, dirs_exist_ok=True)
    return open_run("first")


@pytest.fixture
def in_this_process(monkeypatch):
    """What an export asks of a child process is done in the test's own, which has imported the libraries already. The answers
    that are compared are short."""
    import threading
    from types import SimpleNamespace

    from workbench.engine import merge
    from workbench.jobs import merging

    monkeypatch.setattr(merge, "NEW_TOKENS", 12)

    def child(command, log):
        asked: list[dict] = []

        def wait(last, limits, say):
            if last == "ready":
                return {}
            report = lambda event: say(event["fraction"], event["text"])  # noqa: E731
            return {"result": merge.answer(asked.pop(), report, threading.Event())}

        return SimpleNamespace(wait=wait, send=asked.append, end=lambda: 0, words="")

    monkeypatch.setattr(merging, "Child", child)


@pytest.fixture
def after_step(monkeypatch):
    """Has the trainer of this process do something once, after a step, with its model."""
    from workbench.engine import report

    known, left = report.ReportCallback.on_step_end, []

    def on_step_end(self, args, state, control, model=None, **_):
        if left and state.global_step == left[-1][0]:
            left.pop()[1](model)
        known(self, args, state, control)

    monkeypatch.setattr(report.ReportCallback, "on_step_end", on_step_end)
    return lambda step, do: left.append((step, do))
