"""What the pages do without a training, in a real browser: what is shown, what is brought, what is refused.

All tests share one window. Its home is empty until the last two, which store a dataset each.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect
from test_loop import SOON, open_page, settled
from windows import Window

HOSTILE = '<img src="http://127.0.0.1:9/x" onerror="window.hacked=1"><script>window.hacked=1</script>'


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    home = tmp_path_factory.mktemp("pages") / "home"
    home.mkdir()
    one = Window(home)
    one.start()
    yield one
    one.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_is_wider_than_the_screen_or_asks_the_outside(page: Page, window: Window, theme: str):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{window.address}?__theme={theme}")
    for name in ("1 Model", "2 Data", "3 Train", "4 Watch", "5 Compare"):
        open_page(page, name)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 844})
            page.wait_for_timeout(200)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
    assert asked
    assert [url for url in asked if not url.startswith((window.address, "data:", "blob:"))] == []


def bring(page: Page, file: Path) -> None:
    """Upload a file on the Data page."""
    open_page(page, "2 Data")
    page.locator("#wb-data-bring").click()
    page.locator("#wb-data-file input[type=file]").set_input_files(file)


BAD_FILES = {
    "broken.jsonl": (b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a", "cho\n', "line 2"),
    "empty.jsonl": (b"", "empty"),
    "picture.jsonl": (b"\x89PNG\r\n\x1a\n" + bytes(50), "picture"),
    "latin.csv": ("prompt,chosen,rejected\nä,b,c\n".encode("latin-1"), "UTF-8"),
}


def test_bad_files_are_explained_one_after_the_other_and_nothing_is_stored(page: Page, window: Window, tmp_path: Path):
    page.goto(window.address)
    open_page(page, "2 Data")
    page.locator("#wb-data-bring").click()
    for name, (content, words) in BAD_FILES.items():
        file = tmp_path / name
        file.write_bytes(content)
        page.locator("#wb-data-file input[type=file]").set_input_files(file)
        told = page.locator(".toast-body")
        expect(told).to_contain_text(words, timeout=SOON, ignore_case=True)
        assert "Traceback" not in told.inner_text()
        assert not [path for path in (window.home / "datasets").glob("*") if not path.name.startswith(".")]
        page.get_by_test_id("toast-close").click()
        expect(told).to_have_count(0)
        page.locator("#wb-data-file").get_by_label(re.compile("Remove|Clear")).first.click()


def test_a_wrong_model_and_a_name_that_leaves_its_folder_are_refused_in_words(page: Page, window: Window):
    page.goto(window.address)
    page.get_by_label("A folder").check()
    page.locator("#wb-model-folder input, #wb-model-folder textarea").fill("/nowhere/at/all")
    page.locator("#wb-model-load").click()
    expect(page.locator("#wb-model-meaning")).to_contain_text("There is no folder /nowhere/at/all", timeout=60_000)

    page.get_by_label("Hugging Face id").check()
    page.locator("#wb-model-hub input, #wb-model-hub textarea").fill("not an id")
    page.locator("#wb-model-load").click()
    expect(page.locator(".toast-body")).to_contain_text("owner/name", timeout=SOON)
    page.locator("#wb-model-hub input, #wb-model-hub textarea").fill("owner/nothing")
    page.locator("#wb-model-load").click()
    expect(page.locator("#wb-model-meaning")).to_contain_text("HF_HUB_OFFLINE is set", timeout=60_000)

    page.locator("#wb-try-it").click()
    name = page.locator("#wb-train-name input, #wb-train-name textarea")
    expect(name).to_have_value("demo", timeout=SOON)
    settled(page)
    name.fill("../../escape")
    page.locator("#wb-train-start").click()
    expect(page.locator(".toast-body").last).to_contain_text("Name of the run is '../../escape'", timeout=SOON)
    assert not list((window.home / "runs").glob("*")) if (window.home / "runs").exists() else True


def test_a_summary_of_a_half_filled_form_that_arrives_last_is_not_shown(page: Page, window: Window):
    """Try it fills one field after the other, and each asks for the summary: the request without data for DPO is held up here."""
    held: list[Route] = []

    def hold(route: Route, request: Request) -> None:
        sent = json.loads(request.post_data or "{}").get("data", [])
        half = "demo-sft" in sent and "demo-preferences" not in sent
        held.append(route) if half else route.continue_()

    page.route("**/queue/join*", hold)
    page.goto(window.address)
    page.locator("#wb-try-it").click()
    meaning = page.locator("#wb-train-meaning")
    expect(meaning).to_contain_text("What will happen", timeout=SOON)
    page.wait_for_timeout(1000)  # all others have arrived
    assert held
    for route in held:
        with page.expect_response(lambda response, late=route: response.request == late.request):
            route.continue_()
    page.wait_for_timeout(1000)  # as long as its answer takes, twice
    settled(page)
    expect(meaning).to_contain_text("What will happen")


def test_uploaded_data_is_recognised_shown_as_text_stored_and_used(page: Page, window: Window, tmp_path: Path):
    file = tmp_path / "My pairs.jsonl"
    rows = [
        {"prompt": f"Question {n} {HOSTILE}", "chosen": f"Better {n} {HOSTILE}", "rejected": "no"} for n in range(41)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page.goto(window.address)
    bring(page, file)
    expect(page.locator("#wb-data-meaning")).to_contain_text("preference pairs (for DPO)", timeout=SOON)
    expect(page.locator("#wb-data-name input, #wb-data-name textarea")).to_have_value("my-pairs", timeout=SOON)
    page.locator("#wb-data-store").click()
    expect(page.locator("#wb-data-about")).to_contain_text("41 read, 41 pairs kept", timeout=SOON)
    page.locator("#wb-data-views").get_by_role("tab", name="Rows", exact=True).click()
    page.locator("#wb-data-row-number input").fill("20")
    page.locator("#wb-data-row-number input").press("Tab")
    expect(page.locator("#wb-data-row")).to_contain_text("onerror", timeout=SOON)
    assert page.evaluate("window.hacked") is None
    page.locator("#wb-data-use").click()
    expect(page.locator("#wb-train-preference-data input")).to_have_value(re.compile("my-pairs|My pairs"), timeout=SOON)


def test_columns_that_are_not_known_are_mapped_by_hand(page: Page, window: Window, tmp_path: Path):
    file = tmp_path / "odd.csv"
    file.write_text("ask,good,bad\n" + "".join(f"question {n},better {n},worse {n}\n" for n in range(20)))
    page.goto(window.address)
    bring(page, file)
    expect(page.locator("#wb-data-meaning")).to_contain_text("ask, good, bad", timeout=SOON)
    for part, column in {"prompt": "ask", "chosen": "good", "rejected": "bad"}.items():
        field = page.locator(f"#wb-column-{part} input")
        field.click()
        page.get_by_role("option", name=column, exact=True).last.click()
        expect(field).to_have_value(column)
        page.wait_for_timeout(500)  # the list folds up; until then two lists have the option
    expect(page.locator("#wb-data-meaning")).to_contain_text("preference pairs (for DPO)", timeout=SOON)
    page.locator("#wb-data-store").click()
    expect(page.locator("#wb-data-about")).to_contain_text("20 read, 20 pairs kept", timeout=SOON)
