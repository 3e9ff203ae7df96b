"""The page's search for a component, answered from an index; the same answers in a real browser: tests/browser/test_at_rest.py."""

import re

import gradio as gr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from workbench.jobs.app_state import AppState
from workbench.ui.page_tree import ASSETS, IndexedTree, with_index
from workbench.ui.shell import build

ATTACHED = (
    "find_attached_events(e,t){let n=t.filter(t=>t.targets.find(([t])=>t===e.id)).map(t=>{let n=t.targets.find(([t])=>t===e.id);"
    "return n?n[1]:null}).filter(Boolean);return e.props.shared_props.attached_events=n,e}"
)
SEARCH = "function Z(e,t){if(e.id===t)return e;if(e.children)for(let n of e.children){let e=Z(n,t);if(e)return e}return null}"


def asked(path, **headers):
    app = Starlette(
        routes=[Route("/{path:path}", lambda _: PlainTextResponse("Gradio's own"))],
        middleware=[Middleware(IndexedTree)],
    )
    return TestClient(app).get(path, headers=headers)


def core():
    """The script of the release that is installed."""
    [file] = ASSETS.glob("core-*.js")
    return file


def test_the_page_of_this_release_is_given_the_index():
    """Where this fails after an update of Gradio, the page is slow again: see whether it still searches, and how."""
    script = core().read_text(encoding="utf-8")
    changed = with_index(script)
    assert changed and "workbenchIndex" in changed
    name = re.search(r"function ([\w$]+)\(root,id\)", changed)[1]
    assert len(re.findall(rf"\b{re.escape(name)}\(this\.root", script)) > 3, "it is what the page asks for components"


def test_of_another_text_nothing_is_changed():
    assert with_index(f"a();{SEARCH}b();{ATTACHED}").startswith("a();var workbenchIndex")
    assert with_index(SEARCH.replace("return null", "return e") + ATTACHED) is None
    assert with_index(SEARCH + ATTACHED.replace("n[1]", "n[0]")) is None
    assert with_index(SEARCH + SEARCH.replace("Z(", "Y(") + ATTACHED) is None, "which of the two is it?"


def test_only_that_script_is_answered_for_gradio_and_no_cache_keeps_it_for_another_program():
    found = asked(f"/assets/{core().name}")
    assert "workbenchIndex" in found.text and found.headers["content-type"].startswith("text/javascript")
    assert found.headers["cache-control"] == "no-cache"
    again = asked(f"/proxied/assets/{core().name}", **{"if-none-match": found.headers["etag"]})
    assert (again.status_code, again.text) == (304, "")
    for path in ("/assets/core-of-tomorrow.js", "/assets/index-1.js", "/assets/..%2Fcore-1.js", "/", "/core-1.js"):
        assert asked(path).text == "Gradio's own", path


def test_the_tree_of_this_window_never_changes():
    """What the index relies on."""
    window = build(AppState())
    assert not any(fn.rendered_in for fn in window.fns.values()) and not window.renderables


def test_no_event_of_a_component_has_two_listeners_that_wait_for_the_last():
    """Gradio sends an event that one of them missed to all of them again: two keep each other busy for ever (see updates.LATEST).

    A state tells each of its listeners by itself.
    """
    window = build(AppState())
    waiting = {}
    for fn in window.fns.values():
        for target, event in fn.targets:
            if (
                fn.trigger_mode == "always_last"
                and target is not None
                and not isinstance(window.blocks[target], gr.State)
            ):
                waiting.setdefault((window.blocks[target].elem_id or target, event), []).append(fn.name)
    assert waiting and not {event: names for event, names in waiting.items() if len(names) > 1}
