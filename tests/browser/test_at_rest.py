"""A page on which nothing happens does nothing, and finds its components as Gradio's own search does."""

import json
import re
from collections import Counter

import pytest
from playwright.sync_api import Page, expect
from windows import Window

from workbench.ui.page_tree import ASSETS, with_index

PAGES = ("1 Model", "2 Data", "3 Train", "4 Watch", "5 Compare")
SECONDS = 1.5


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory):
    one = Window(tmp_path_factory.mktemp("rest") / "home")
    one.start()
    yield one
    one.close()


def test_a_page_at_rest_asks_for_nothing_but_its_tick(page: Page, window: Window):
    asked: Counter[int] = Counter()

    def note(request):
        if request.method == "POST":
            asked[json.loads(request.post_data or "{}").get("fn_index")] += 1

    page.goto(window.address)
    page.on("request", note)
    for title in PAGES:
        page.get_by_role("tab", name=title).click()
        expect(page.get_by_role("tab", name=title)).to_have_attribute("aria-selected", "true")
        page.wait_for_timeout(700)  # for what a page asks when it is opened
        asked.clear()
        page.wait_for_timeout(1000 * SECONDS)
        ticks = asked.pop(max(asked, key=lambda fn: asked[fn]))
        assert 1 <= ticks <= SECONDS + 2 and not asked, title


def test_the_index_finds_what_the_search_finds(page: Page):
    """In made trees: whatever is there, and nothing where there is none."""
    [script] = [file.read_text(encoding="utf-8") for file in ASSETS.glob("core-*.js")]
    start = (with_index(script) or "").index("var workbenchIndex")
    code = (with_index(script) or "")[start:]
    own = code[: code.index("return null}") + len("return null}")]
    name = own[own.index("function ") + 9 : own.index("(root,id)")]
    found = page.evaluate(
        """([code, name]) => {
            const search = new Function(code + ";return " + name)();
            const tree = {id: 1, children: [{id: 2}, {id: 3, children: [{id: 4}, {id: 5, children: []}]}]};
            const other = {id: 1, children: [{id: 4, mine: true}]};
            const ids = [1, 2, 3, 4, 5, 6, 4, 6, 1].map(id => search(tree, id)?.id ?? null);
            return [ids, search(other, 4).mine, search(tree, 4).mine ?? false, search(other, 5)];
        }""",
        [own, name],
    )
    assert found == [[1, 2, 3, 4, 5, None, 4, None, 1], True, False, None]


def test_each_component_has_the_events_that_gradios_own_page_gives_it(page: Page):
    """Of made events: with several targets, the same target twice, none at all, and an event without a name."""
    [script] = [file.read_text(encoding="utf-8") for file in ASSETS.glob("core-*.js")]
    own = with_index(script) or ""
    methods = [text[text.index("find_attached_events(") :].partition("traverse(")[0] for text in (script, own)]
    assert "workbenchAttached" in methods[1]
    theirs, ours = page.evaluate(
        """(methods) => methods.map(method => {
            const page = new (new Function(`return class { ${method.slice(method.indexOf("find_"))} }`)())();
            const lists = [
                [[[1, "click"], [2, "input"]], [[2, "change"], [2, "blur"]], [], [[3, null], [1, "submit"]], [[null, "load"]]],
                [[[1, "tick"]]],
            ].map(events => events.map(targets => ({targets})));
            return lists.flatMap(events => [1, 2, 3, 4, null].map(id =>
                page.find_attached_events({id, props: {shared_props: {}}}, events).props.shared_props.attached_events));
        })""",
        [
            re.sub(r"^.*?(?=find_attached_events\((?:\w|node),(?:\w|events)\)\{)", "", text, flags=re.S)
            for text in methods
        ],
    )
    assert ours == theirs and ours[:4] == [["click", "submit"], ["input", "change"], [], []]
