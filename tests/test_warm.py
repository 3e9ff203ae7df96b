"""A process that has imported all and waits: it is nobody's run until it is told to be one, and then it is like any other."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from configs import demo_config

from workbench.core.chat import Ask, Sampling
from workbench.core.training.config import ModelRef
from workbench.jobs import processes, training, warm
from workbench.jobs.chat import Chat
from workbench.store import device

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows hands on no descriptors")


@pytest.fixture(autouse=True)
def wanted(monkeypatch):
    monkeypatch.setenv("WORKBENCH_WARM", "")
    monkeypatch.setattr(warm, "ROOM", 0)
    monkeypatch.setattr(warm, "_not_before", 0.0)
    yield
    warm.end()


def kept() -> psutil.Process:
    """The process that waits; there is one."""
    warm.keep()
    assert warm._waiting
    return psutil.Process(warm._waiting.process.pid)


@pytest.mark.slow
def test_a_run_is_trained_by_the_process_that_waited_and_has_the_device_from_its_start(home):
    waiting = kept()
    assert device.holder() is None and training.running() is None
    assert not list(home.rglob("worker.json"))
    run = training.start(demo_config())
    assert run.worker()["pid"] == waiting.pid
    holder = device.holder()
    assert holder and (holder.run, holder.pid) == (run.name, waiting.pid)
    assert warm._waiting is None
    while training.state_of(run) == "running":
        time.sleep(0.2)
    assert (result := run.result()) and result.outcome == "finished", training.in_words(run)
    assert "step" in run.log_tail()
    until = time.monotonic() + 15
    while device.holder() and time.monotonic() < until:
        time.sleep(0.05)
    assert device.holder() is None


def test_a_chat_is_answered_by_the_process_that_waited():
    waiting = kept()
    chat = Chat()
    try:
        chat.start(ModelRef())
        assert chat.pid == waiting.pid
        chat.wait(120)
        question = Ask([{"role": "user", "content": "Where is the harbour?"}])
        *_, last = chat.ask(question, question, Sampling(max_new_tokens=3))
        assert last.left.tokens > 0 and last.left.text == last.right.text
    finally:
        chat.close()
    assert not waiting.is_running()


def test_it_ends_with_a_window_that_is_killed(home):
    program = "import time; from workbench.jobs import warm; warm.ROOM = warm._not_before = 0; warm.keep(); print(warm._waiting.process.pid, flush=True); time.sleep(600)"
    window = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    waiting = psutil.Process(int(window.stdout.readline()))
    window.send_signal(signal.SIGKILL)
    window.wait()
    window.stdout.close()
    assert psutil.wait_procs([waiting], timeout=120)[0]


def test_one_that_dies_is_not_used_and_after_a_while_replaced(monkeypatch):
    first = kept()
    first.kill()
    assert warm._waiting and warm._waiting.process.wait() == -signal.SIGKILL
    assert warm.take(processes.engine("chat"), sys.__stderr__.buffer, {}, {}, talks=True) is None
    warm.keep()
    assert warm._waiting is None  # what dies at once would otherwise be started again each second
    monkeypatch.setattr(warm, "_not_before", 0.0)
    assert kept().pid != first.pid


def test_one_that_began_with_other_settings_is_not_used(monkeypatch):
    waiting = kept()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert warm.take(processes.engine("chat"), sys.__stderr__.buffer, {}, {}, talks=True) is None
    assert not waiting.is_running()


@pytest.mark.parametrize(
    "refusal", [{"SPACE_ID": "me/bench"}, {"WORKBENCH_WARM": "0"}, {}], ids=["Space", "0", "memory"]
)
def test_there_is_none_where_it_is_not_wanted_or_memory_is_short(monkeypatch, refusal):
    for name, value in refusal.items():
        monkeypatch.setenv(name, value)
    if not refusal:
        monkeypatch.setattr(warm, "ROOM", psutil.virtual_memory().total)
    warm.keep()
    assert warm._waiting is None


def test_another_worker_than_those_of_the_engine_is_started_as_ever():
    waiting = kept()
    assert warm.take((sys.executable, "-c", "pass"), sys.__stderr__.buffer, {}, {}, talks=True) is None
    assert warm.take(processes.engine("tokens"), sys.__stderr__.buffer, {}, {}, talks=True) is None
    assert waiting.is_running()
