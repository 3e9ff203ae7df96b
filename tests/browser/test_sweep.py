"""A sweep in a real browser: from the values that are written on Train to its card on Watch."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from test_loop import SOON, open_page
from windows import Window

from workbench.jobs import queue


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """The queue is on hold, so that nothing is trained."""
    home = tmp_path_factory.mktemp("sweep") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(home))
        queue.hold()
    one = Window(home)
    one.start()
    yield one
    one.close()


@pytest.mark.slow
def test_values_become_runs_that_wait_and_watch_shows_them_as_a_sweep(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "3 Train")
    expect(page.locator("#wb-train-meaning")).to_contain_text("the SFT model of this run", timeout=SOON)
    page.get_by_label("DPO", exact=True).check()
    page.get_by_role("button", name="Sweep: try several values").click()
    values, plan = (
        page.locator("#wb-train-sweep-values input, #wb-train-sweep-values textarea"),
        page.locator("#wb-train-sweep-plan"),
    )
    expect(values).not_to_have_value("", timeout=SOON)
    values.fill("3e-4, 5, <i>")
    expect(plan).to_contain_text("'<i>' is no number", timeout=SOON)
    values.fill("3e-4, 5")
    expect(plan).to_contain_text("With DPO learning rate 5: ", timeout=SOON)
    values.fill("3e-4, 1e-4")
    expect(plan).to_contain_text("Shared: the first run asks it once", timeout=SOON)
    page.locator("#wb-train-sweep-add").click()
    card = page.locator("#wb-watch-sweep")
    expect(card).to_contain_text("Sweep over DPO learning rate", timeout=SOON)
    expect(card.locator("tbody tr")).to_have_count(2)
    expect(card.locator("tbody tr").first).to_contain_text("1e-4")
    expect(page.locator("#wb-watch-sweep-best")).to_be_hidden()
