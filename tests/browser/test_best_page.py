"""The better step by one click, and a notification of the browser, in a window of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from configs import demo_config
from made_runs import create_run
from playwright.sync_api import Page, expect
from test_best import past_its_best
from windows import Window

from workbench.jobs import processes
from workbench.store import best

# Headless Chromium shows no notification, so the page's own word for it notes what it was asked to show.
NOTES = """
window.told = [];
window.Notification = class {
    static permission = 'default';
    static async requestPermission() { return (Notification.permission = 'granted'); }
    constructor(title, more) { told.push([title, more.body]); }
};
"""
LOOKS_ELSEWHERE = "Object.defineProperty(document, 'hidden', {get: () => true})"


@pytest.fixture
def window(home: Path) -> Iterator[Window]:
    home.mkdir(exist_ok=True)
    one = Window(home)
    yield one
    one.close()


@pytest.mark.slow
def test_one_click_makes_the_better_step_the_result_and_a_run_that_ends_is_told_of(page: Page, window: Window) -> None:
    run = past_its_best()
    ends = create_run(demo_config("ends"))
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])  # the window's end ends it
    ends.write_worker(worker.pid, processes.started(worker.pid))
    os.utime(ends.config_file, (1, 1))  # the older one, so that the page opens with the other
    window.start()
    page.add_init_script(NOTES)
    page.goto(window.address)
    page.get_by_role("tab", name="4 Watch").click()
    head = page.locator("#wb-watch-head")
    expect(head).to_contain_text("It was better at step 80 of DPO")
    page.get_by_role("button", name="Use step 80 instead").click()
    expect(head).to_contain_text("The result is step 80 of DPO")
    at = best.step_of_result(run)
    assert at and at.step == 80

    page.get_by_role("button", name="Notify me when a run ends").click()
    expect(page.get_by_role("button", name="Notifications are on")).to_be_visible()
    page.evaluate(LOOKS_ELSEWHERE)
    expect(page.locator("#wb-status")).to_contain_text("ends")
    ends.write_result("finished", "Finished. <b>All</b> is well.")
    page.wait_for_function("told.length > 0")
    assert page.evaluate("told") == [["ends is finished", "Finished. <b>All</b> is well."]]
    worker.kill()
    worker.wait()
