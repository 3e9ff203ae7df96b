"""What a handler raises, and what the user reads of it."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from workbench.core.errors import WorkbenchError
from workbench.ui.environment import log_file, prepare
from workbench.ui.inputs import Window


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    prepare()


def asked(handler: Callable[..., Any], iterator: Any = None) -> dict[str, Any]:
    """What a page gets that asks for something, the way every request goes."""
    with Window() as window:
        gr.Button().click(handler, None, gr.Textbox())
    return asyncio.run(window.process_api(window.fns[0], [], iterator=iterator))


def test_every_problem_is_on_its_own_line_and_shown_as_text() -> None:
    def start() -> None:
        raise WorkbenchError("beta is <b>12</b>.", 'No data called "x&y".')

    with pytest.raises(gr.Error) as caught:
        asked(start)
    assert caught.value.message == "beta is &lt;b&gt;12&lt;/b&gt;.<br>No data called &quot;x&amp;y&quot;."
    assert caught.value.title == "That did not work"
    assert not caught.value.print_exception
    assert not log_file().exists()


def test_a_bug_goes_to_the_log_whole_and_the_user_is_told_where() -> None:
    def start() -> None:
        raise KeyError("<secret> hf_abcdefghijklmnopqrstuvwxyz")

    with pytest.raises(gr.Error) as caught:
        asked(start)
    assert caught.value.message == (
        f"Something went wrong inside the workbench. The details are in {log_file()}. What is met most often: docs/trouble.md."
    )
    log = log_file().read_text(encoding="utf-8")
    assert "start failed" in log and "Traceback" in log and "KeyError" in log
    assert "hf_(hidden)" in log and "hf_abc" not in log


def test_a_stream_keeps_what_it_gave_before_it_failed() -> None:
    def answer() -> Iterator[str]:
        yield "one"
        raise WorkbenchError("The model was closed.")

    given = asked(answer)
    assert given["data"] == ["one"] and given["is_generating"]
    with pytest.raises(gr.Error, match="The model was closed"):
        asked(answer, given["iterator"])


def test_an_error_of_gradios_own_passes_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    own = gr.Error("Pick one.")

    def pick() -> None:
        raise own

    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught:
        asked(pick)
    assert caught.value is own
    assert not caplog.records
