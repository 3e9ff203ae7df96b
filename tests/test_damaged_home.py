"""Nothing that lies in a run's folder keeps the window shut, or any page, tick or command from working."""

import contextlib
import io
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from damage import damages, put_back
from drawn import starts, watch_page
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from old_home import OLD_HOME, RUNS

from workbench import cli
from workbench.core.errors import WorkbenchError
from workbench.jobs import lanes, proposals
from workbench.jobs.app_state import AppState
from workbench.store.runs import all_runs, open_run
from workbench.ui import run_actions, shell, train_form, train_summary, train_tab, watch_tab
from workbench.ui.compare import who_answers
from workbench.ui.status import status_html

FILES = sorted(
    path for path in (OLD_HOME / "runs").rglob("*") if path.is_file() and path.suffix not in (".safetensors", ".jsonl")
)
"""Every file of every kept run, but weights: they are read by the engine only."""

COMMANDS = (["runs"], ["runs", "--json"], ["queue"], ["queue", "--json"], ["plan"])

FEW = 80
EXAMPLES = int(os.environ.get("WORKBENCH_DAMAGES", "500"))
THOROUGH = "WORKBENCH_DAMAGES" in os.environ
"""All looks and all commands after each damage; otherwise the slow ones take turns."""


@pytest.fixture(scope="module")
def app() -> Iterator[AppState]:
    one = AppState()
    yield one
    one.close()


@pytest.fixture(scope="module")
def turns():
    return itertools.count()


@pytest.fixture(scope="module")
def settings_of_a_fork():
    return train_form.recipe_values("demo") | {"name": "new"}


@pytest.fixture
def old_home(home: Path) -> Path:
    shutil.copytree(OLD_HOME, home)
    return home


def look_everywhere(app: AppState, name: str) -> None:
    """What the window does with a run each second, and when its pages are opened."""
    app.__init__()  # a window that was opened just now
    app.poll()
    status_html(app)
    run_actions.run_choices(app)
    before = watch_tab.signature(app, name)
    watch_page(name, app)
    watch_page(name, app, before)  # one that has seen the run before
    who_answers.who_choices()
    who_answers.newest_adapter()
    lanes.suggested_questions("", name)
    starts(name)
    train_tab.offer_now(app)


def ask_everything(app: AppState, name: str, values: dict[str, Any]) -> None:
    """What a person may do with a run; a refusal is in words."""
    for act in (
        lambda: lanes.base_of(name, ""),
        lambda: proposals.better_config(app, open_run(name)),
        lambda: train_summary.summary_html(values | {"start_from": name}),
        lambda: open_run(name).adjusted_config(),
    ):
        with contextlib.suppress(WorkbenchError):
            act()


def run_command(command: list[str], config: Path) -> None:
    asked = [*command, str(config)] if command == ["plan"] else command
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        assert cli.main(asked) in (0, 1)
    assert "Traceback" not in said.getvalue()


HOW = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # each damage is small already, and looking for a smaller one takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(HOW, max_examples=FEW)
@given(file=st.sampled_from(FILES), damage=damages())
def test_a_damaged_file_of_a_run_stops_nothing(old_home, app, settings_of_a_fork, turns, file, damage):
    damage_and_look(old_home, app, settings_of_a_fork, turns, file, damage)


@pytest.mark.slow
@settings(HOW, max_examples=EXAMPLES)
@given(file=st.sampled_from(FILES), damage=damages())
def test_none_of_hundreds_of_damages_to_the_files_of_runs_stops_anything(
    old_home, app, settings_of_a_fork, turns, file, damage
):
    damage_and_look(old_home, app, settings_of_a_fork, turns, file, damage)


def damage_and_look(old_home, app, settings_of_a_fork, turns, file, damage):
    path = old_home / file.relative_to(OLD_HOME)
    name = path.relative_to(old_home / "runs").parts[0]
    turn = next(turns)
    damage(path)
    try:
        look_everywhere(app, name)
        ask_everything(app, name, settings_of_a_fork)
        for command in COMMANDS if THOROUGH else [COMMANDS[turn % len(COMMANDS)]]:
            run_command(command, old_home / "runs" / name / "config.json")
        if THOROUGH or turn % 100 == 0:
            shell.build(app)
        others = {run.name for run in all_runs()} - {name}
        assert others == RUNS - {name}, "all other runs are listed"
        assert all(not open_run(other).problems() for other in others)
    finally:
        put_back(path, file.read_bytes())
