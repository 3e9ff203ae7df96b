"""Whatever a program sends to an endpoint of the window, the answer is in words.

Every endpoint is called over HTTP, the private ones too: none is named here, so that a new one is walked as well.
"""

import asyncio
import inspect
import json
import typing
from collections.abc import Iterator
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio.routes import App
from gradio.state_holder import SessionState
from gradio_client import Client
from gradio_client.exceptions import AppError
from starlette.testclient import TestClient

from workbench.core.errors import WorkbenchError
from workbench.jobs import situation
from workbench.jobs.app_state import AppState
from workbench.ui import environment
from workbench.ui.inputs import Window, checked, described, what_is_wrong
from workbench.ui.launch import launch_kwargs
from workbench.ui.shell import build
from workbench.ui.train_form import config_from

FOREIGN_FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
# As they stand in a body, because Python's own JSON would not write all of them.
HOSTILE = {
    "null": "null",
    "true": "true",
    "huge": "1" + "0" * 400,
    "negative": "-5",
    "NaN": "NaN",
    "infinite": "1e999",
    "text": '"<b>x</b>"',
    "1 MB": json.dumps("x" * 1_000_000),
    "half a character": '"\\ud800"',
    "NUL": '"a\\u0000b"',
    "list": "[1, [2]]",
    "object": '{"a": {"b": [null]}}',
    "foreign file": json.dumps(FOREIGN_FILE),
}


def refuse(*_: Any, **__: Any) -> Any:
    raise WorkbenchError("Not in this test.")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """The real window behind the real launch arguments, in which no child starts and nobody outside is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_DISABLE_TELEMETRY"):
            patch.setenv(name, "")
        environment.prepare()
        patch.setattr("workbench.jobs.processes.start_talking", refuse)
        patch.setattr("workbench.store.hub_data.configs_and_splits", refuse)
        patch.setattr("workbench.jobs.queue.add", refuse)
        app = AppState()
        patch.setattr(app, "start", refuse)
        blocks = typing.cast("Window", build(app))
        blocks.launch(**launch_kwargs(), prevent_thread_lock=True)
        yield blocks
        blocks.close()
        app.close()


def open_fields(fn: Any) -> list[int]:
    """The places of the inputs that a caller fills; what a session remembers is not one."""
    return [place for place, field in enumerate(fn.inputs) if not field.stateful]


def cases_of(fn: Any, number: int, is_new: bool) -> Iterator[list[str]]:
    """Values that an endpoint is called with: as drawn, one kind in all fields, and one kind in each field by itself.

    is_new: no earlier endpoint asks for the same fields. Its later kin are asked whether they are wired like it.
    """
    drawn = [json.dumps(None if field.stateful else field.value) for field in fn.inputs]
    places = open_fields(fn)
    kinds = list(HOSTILE.values())
    yield drawn
    if not places:
        return
    for kind in ("null", kinds[1 + number % (len(kinds) - 1)]):
        yield [kind if place in places else value for place, value in enumerate(drawn)]
    for place in places if is_new else ():
        yield [*drawn[:place], kinds[(number + place) % len(kinds)], *drawn[place + 1 :]]


def words_of(answer: httpx.Response) -> str:
    """What an answer that is no success says. Raises AssertionError where it says nothing, or that it is a bug."""
    said = answer.json()
    words = str(said.get("error") or said.get("detail") or "")
    assert words and "went wrong inside" not in words and "could not answer" not in words, answer.text[:500]
    assert len(words) < 20_000
    return words


def test_every_endpoint_answers_in_words_whatever_it_is_sent(window: Window) -> None:
    met, asked, refused = set(), 0, 0
    with httpx.Client(base_url=window.local_url, timeout=60, headers={"Content-Type": "application/json"}) as client:
        for number, fn in window.fns.items():
            fields = tuple(field._id for field in fn.inputs)
            for values in cases_of(fn, number, fields not in met):
                body = f'{{"fn_index": {number}, "session_hash": "walk", "data": [{", ".join(values)}]}}'
                answer = client.post("/gradio_api/run/any", content=body)
                asked += 1
                if answer.status_code != 200:
                    refused += 1
                    assert words_of(answer), (number, fn.api_name, [value[:40] for value in values])
            met.add(fields)
    assert len(window.fns) > 100 and asked > 400 and refused > 250, (asked, refused)


def test_too_few_values_and_an_event_that_says_nothing_are_named(window: Window) -> None:
    by_name = {fn.api_name: number for number, fn in window.fns.items()}

    def ask(name: str, data: list[Any], **more: Any) -> str:
        body = {"fn_index": by_name[name], "data": data, **more}
        return words_of(httpx.post(f"{window.local_url}gradio_api/run/any", json=body, timeout=60))

    needed = len(window.fns[by_name["start"]].inputs)
    assert ask("start", ["sft"]).startswith(f"1 values were sent, and {needed} are needed: “Method”, ")
    row = [None, "conversation", 1024, False]
    assert ask("pick", row).startswith("The call says nothing of what was chosen on the page: event_data is empty.")
    for cells in (None, [], ["x"], [[1]], ["9" * 400], ["-1"]):
        event = {"index": [0, 0], "value": "x", "row_value": cells}
        assert ask("pick", row, event_data=event) == "The click names no row of the list. Click one of its rows."
    assert ask("release", [], event_data="x").endswith("It needs an object.")


def test_a_file_of_this_machine_is_no_upload(window: Window) -> None:
    """Gradio hands on what lies in its upload folder, and the message says so."""
    look = next(fn for fn in window.fns.values() if fn.api_name == "look")
    values = [field.value for field in look.inputs]
    values[1] = FOREIGN_FILE
    answer = httpx.post(f"{window.local_url}gradio_api/run/look", json={"data": values}, timeout=60)
    said = words_of(answer)
    assert "no file that was uploaded here" in said and "root:" not in answer.text


def test_a_program_that_uses_gradios_client_reads_the_same_words(window: Window) -> None:
    client = Client(window.local_url, verbose=False)
    given = [field.value for field in next(fn for fn in window.fns.values() if fn.api_name == "start").inputs]
    given[6] = [1]
    label = typing.cast("gr.Number", next(fn for fn in window.fns.values() if fn.api_name == "start").inputs[6]).label
    with pytest.raises(AppError, match=f"“{label}” is a list of 1; it must be a number."):
        client.predict(*given, api_name="/start")


def test_every_field_of_train_names_what_it_was_sent(window: Window) -> None:
    """Each field and 13 kinds: each is named at the border, or by the check of the settings, or is a value like any."""
    start = next(fn for fn in window.fns.values() if fn.api_name == "start")
    names = inspect.getclosurevars(inspect.unwrap(start.fn)).nonlocals["names"]
    assert len(names) == len(start.inputs) >= 68
    named = 0
    for place, name in enumerate(names):
        for kind, text in HOSTILE.items():
            values = [field.value for field in start.inputs]
            values[place] = json.loads(text)
            try:
                config_from(dict(zip(names, checked(start.inputs, values, [True] * len(names)), strict=True)))
            except WorkbenchError as error:
                assert all(0 < len(problem) < 1_000 for problem in error.problems), (name, kind)
                named += 1
    assert named > 10 * len(names)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (gr.Textbox(), 7, "is 7; it must be text."),
        (gr.Textbox(), [1, 2], "is a list of 2; it must be text."),
        (gr.Textbox(), "a\ud800", "holds half a character (at place 2), which no text has."),
        (gr.Textbox(max_lines=1), "x" * 10_001, "has 10,001 characters; a line has at most 10,000."),
        (gr.Textbox(max_lines=6), "x" * 10_001, None),
        (gr.Number(), "7", "is the text '7'; it must be a number."),
        (gr.Number(), True, "is true; it must be a number."),
        (gr.Number(), float("nan"), "is nan; it must be a number that can be counted with."),
        (gr.Number(), 10**400, "is a number of more digits than can be held, larger than any that a page can send."),
        (gr.Number(), -5.5, None),
        (gr.Number(minimum=8), 3, "is 3; the least is 8."),
        (gr.Slider(1, 50), 51, "is 51; the most is 50."),
        (gr.Checkbox(), 1, "is 1; it is either true or false."),
        (gr.Checkbox(), None, "is empty."),
        (gr.Radio(["a", "b"]), "c", "is the text 'c'. There is to choose: a, b."),
        (gr.Radio(["a", "b"]), ["a"], "is a list of 1. There is to choose: a, b."),
        (gr.Dropdown([("one", 1)]), True, "is true. There is to choose: 1."),
        (gr.Dropdown([]), None, "has no choice made in it. Choose one."),
        (gr.Dropdown(["a", "b"], multiselect=True), [], None),
        (gr.Dropdown(["a", "b"], multiselect=True), ["b", "a"], None),
        (
            gr.Dropdown(["a", "b"], multiselect=True),
            ["a", [1]],
            "has a choice that is a list of 1. There is to choose: a, b.",
        ),
        (gr.Dropdown(["a", "b"], multiselect=True), "a", "is the text 'a'; it must be a list of choices."),
        (gr.Dropdown(["a"], allow_custom_value=True), "b", None),
        (gr.Dropdown(["a"], allow_custom_value=True), {"b": 1}, "is an object; it must be text."),
    ],
)
def test_a_field_says_what_it_was_given_and_what_it_takes(field: Any, value: Any, words: str | None) -> None:
    assert what_is_wrong(field, value) == words


def test_a_value_is_described_briefly() -> None:
    assert [described(one) for one in (None, False, 2.5, "x" * 50, {})] == [
        "empty", "false", "2.5", f"the text '{'x' * 40}'...", "an object",
    ]  # fmt: skip


def test_what_a_handler_takes_stands_in_its_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says `str` is never given None; all that is wrong is said at once."""
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")

    def act(name: str, count: float | None, request: gr.Request, *more: Any) -> str:
        return f"{name} {count} {more}"

    with Window() as blocks:
        fields = [gr.Radio(["a"], label="Letter"), gr.Number(label="Count"), gr.Radio(["b"]), gr.Number(label="More")]
        gr.Button().click(act, fields, gr.Textbox(), api_name="act")
    client = TestClient(App.create_app(blocks), base_url="http://localhost")

    def ask(*data: Any) -> Any:
        return client.post("/gradio_api/run/act", json={"data": data}).json()

    assert ask("a", None, None, 3)["data"] == ["a None (None, 3)"]
    assert ask(None, "x", "z", None)["error"] == (
        "“Letter” has no choice made in it. Choose one.<br>“Count” is the text &#x27;x&#x27;; it must be a number.<br>"
        "Field 3 is the text &#x27;z&#x27;. There is to choose: b."
    )


def test_a_space_reads_no_file_of_its_machine_over_the_api_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may do everything on a Space may not read its machine; the radio without the choice is only half of it."""
    environment.prepare()
    monkeypatch.setenv("SPACE_ID", "me/app")
    monkeypatch.setenv("SPACE_HOST", "me-bench.hf.space")
    monkeypatch.setattr(situation, "privacy", situation.Privacy(lambda: True))
    situation.privacy.ask()
    monkeypatch.setattr("workbench.jobs.processes.start_talking", refuse)
    blocks = build(AppState())
    app = App.create_app(blocks, app_kwargs=launch_kwargs()["app_kwargs"])
    client = TestClient(app, base_url="http://me-bench.hf.space")

    def ask(name: str, *data: Any) -> str:
        return words_of(client.post(f"/gradio_api/run/{name}", json={"data": data}))

    where = [None, "/etc/passwd", "Anthropic/hh-rlhf", "", None, None]
    assert "There is to choose: file, preset, hub, votes" in ask("look", "path", *where)
    assert "There is to choose: demo, preset, hub" in ask("load", "folder", "any", "", "/etc", "auto")
    assert "passwd" not in client.get("/config").text
    from workbench.ui.data.bring_source import source_of
    from workbench.ui.model_tab import chosen_model

    with pytest.raises(WorkbenchError, match="files of its machine are not read"):
        source_of("path", None, "/etc/passwd", "", None, None, None)
    with pytest.raises(WorkbenchError, match="folders of its machine are not read"):
        chosen_model("folder", "", "", "/etc")
    monkeypatch.delenv("SPACE_ID")
    assert source_of("path", None, "/etc/passwd", "", None, None, None)


def test_what_a_session_holds_for_a_page_is_not_taken_for_a_field():
    """A tick is given the state that the tick before it left."""
    with Window() as window:
        field, held = gr.Textbox(label="Name"), gr.State(("", 0))

        def tick(name: str, before: tuple[str, int]) -> tuple[str, int]:
            return name, before[1] + 1

        field.change(tick, [field, held], held)
    session = SessionState(window)
    for count in (1, 2, 3):
        asyncio.run(window.process_api(window.fns[0], ["Robin", None], state=session))
        assert session[held._id] == ("Robin", count)


def test_what_a_handler_yields_later_takes_nothing_from_what_it_yielded_before():
    """Gradio's page works a difference into the update that it holds, which may not be drawn yet."""
    with Window() as window:
        vote, note, lines = gr.Button("Left"), gr.HTML(), gr.Dropdown([])
        vote.click(lambda: None, None, [vote, note, lines])
    handler = window.fns[0]

    def told(*data: Any, final: bool = False) -> list[Any]:
        return window.handle_streaming_diffs(handler, list(data), "session", "run", final)

    enabled = {"interactive": True, "__type__": "update"}
    assert told(enabled, "one", {"choices": [["a", "a"]]}) == [enabled, "one", {"choices": [["a", "a"]]}]
    later = told(gr.skip(), "one two", {"choices": []})
    assert later == [[["replace", [], gr.skip()]], [["append", [], " two"]], [["replace", [], {"choices": []}]]]
    assert told(gr.skip(), "one two", {"choices": []}) == [[], [], []]
    assert told(None, None, None, final=True) == [gr.skip(), "one two", {"choices": []}]
    assert "run" not in window.pending_diff_streams["session"]
