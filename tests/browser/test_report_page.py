"""The report in a real browser, of a model that repeats what it is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_runs import finished
from playwright.sync_api import Page, expect
from test_loop import SOON, open_page
from windows import Window


@pytest.fixture
def window(home: Path) -> Iterator[Window]:
    home.mkdir()
    finished("kind")
    one = Window(home, ("tests/browser/talking_window.py",))
    one.start()
    yield one
    one.close()


def open_report(page: Page) -> None:
    open_page(page, "5 Compare")
    page.get_by_role("tab", name="Report").click()


@pytest.mark.slow
def test_a_report_is_made_read_downloaded_and_opened_again(page: Page, window: Window, tmp_path: Path):
    """Base and run both repeat the question, so that nothing differs; every token of the run is as likely again."""
    page.goto(window.address)
    open_report(page)
    expect(page.locator("#wb-report-shown")).to_contain_text("No report yet", timeout=SOON)
    expect(page.locator("#wb-compare-left")).to_be_hidden()
    page.locator("#wb-report-count").get_by_label("32").check()
    page.locator("#wb-report-start").click()
    shown = page.locator("#wb-report-shown")
    expect(shown).to_contain_text("No difference found", timeout=3 * SOON)
    expect(page.locator("#wb-report-html")).to_be_visible(timeout=SOON)
    expect(page.locator("#wb-report-stop")).to_be_hidden()
    assert "KL from the base" in (shown.text_content() or "")
    shown.get_by_text("What it cannot say").first.click()
    expect(shown.get_by_text("Which one you would prefer: there are 0 blind votes")).to_be_visible()
    shown.get_by_text("Answers to 12 of 32 prompts").click()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width

    with page.expect_download() as downloaded:
        page.locator("#wb-report-html").click()
    file = tmp_path / "report.html"
    downloaded.value.save_as(file)
    alone = page.context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(file.as_uri())
    expect(alone.get_by_text("No difference found")).to_be_visible()
    assert alone.evaluate("document.documentElement.scrollWidth") <= 1280 and asked == [file.as_uri()]
    alone.close()

    page.reload()
    open_report(page)
    page.locator("#wb-report-earlier input").click()
    page.get_by_role("option", name="32 prompts").click()
    expect(shown).to_contain_text("No difference found", timeout=3 * SOON)
    page.get_by_role("tab", name="Chat").click()
    expect(page.locator("#wb-compare-left")).to_be_visible(timeout=SOON)
