"""The whole loop in a real browser, by clicks, with real training; and what goes wrong on the way."""

import os
import re
import signal
import time

import pytest
from playwright.sync_api import Page, expect
from windows import Window

from workbench.jobs import processes
from workbench.store.runs import Run

TRAINING = 480_000  # milliseconds; the demo takes about a minute and a half on two idle cores
SOON = 20_000


@pytest.fixture
def window(tmp_path):
    """A window with an empty home. What it started is ended with it."""
    home = tmp_path / "home"
    home.mkdir()
    one = Window(home)
    one.start()
    yield one
    one.close()


def open_page(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    settled(page)


def open_advanced(page: Page) -> None:
    """The settings that are rarely changed, on the Train page."""
    page.get_by_role("button", name="Advanced").click()
    settled(page)


def settled(page: Page) -> None:
    """Wait until the page has nothing to do.

    A value that was sent for a field which the page did not have yet is written twice: where the field appears, and some
    milliseconds later (`register_component` in Gradio's init.svelte.ts). What a test typed between the two is gone.
    """
    page.evaluate("() => new Promise(done => requestIdleCallback(done, { timeout: 5000 }))")


def set_number(page: Page, setting: str, value: str) -> None:
    field = page.locator(f"#wb-setting-{setting} input")
    field.fill(value)
    field.press("Tab")


def try_it(page: Page, window: Window, sft_steps: int | None = None, dpo_steps: int | None = None) -> None:
    """From the first page to a run that trains."""
    page.goto(window.address)
    page.locator("#wb-try-it").click()
    expect(page.locator("#wb-train-meaning")).to_contain_text("What will happen", timeout=SOON)
    if sft_steps and dpo_steps:
        open_advanced(page)
        set_number(page, "sft-epochs", "50")
        set_number(page, "dpo-epochs", "50")
        set_number(page, "held_out_limit", "32")
        set_number(page, "evaluations", "2")
        set_number(page, "sft-learning_rate", "0.001")  # so few steps must change the answers
        set_number(page, "dpo-learning_rate", "0.0005")
        set_number(page, "sft-max_steps", str(sft_steps))
        set_number(page, "dpo-max_steps", str(dpo_steps))
        expect(page.locator("#wb-train-meaning")).to_contain_text(f"{dpo_steps} steps", timeout=SOON)
    page.locator("#wb-train-start").click()
    expect(page.locator("#wb-watch-head")).to_contain_text("demo", timeout=SOON)


def aria(page: Page, chart: str) -> str:
    return page.locator(f"#wb-chart-{chart} canvas").get_attribute("aria-label") or ""


def run_of(window: Window, name: str = "demo") -> Run:
    return Run(window.home / "runs" / name)


def test_the_whole_loop_by_clicks_with_a_reload_and_a_second_tab(page: Page, window: Window):
    try_it(page, window, sft_steps=20, dpo_steps=15)
    expect(page.locator("#wb-status")).to_contain_text("training demo", timeout=SOON)
    expect(page.locator("#wb-watch-head")).to_contain_text("step", timeout=60_000)

    page.reload()
    expect(page.locator("#wb-status")).to_contain_text("training demo", timeout=SOON)
    open_page(page, "4 Watch")
    expect(page.locator("#wb-watch-head")).to_contain_text("step", timeout=SOON)

    second = page.context.new_page()
    second.goto(window.address)
    open_page(second, "4 Watch")
    expect(second.locator("#wb-watch-head")).to_contain_text("demo", timeout=SOON)
    open_page(second, "3 Train")
    expect(second.locator("#wb-train-meaning")).to_contain_text("demo is training", timeout=SOON)
    expect(second.locator("#wb-train-queue")).to_be_visible(timeout=SOON)
    expect(second.locator("#wb-train-start")).to_be_hidden()
    second.close()
    assert [path.name for path in (window.home / "runs").iterdir()] == ["demo"]

    expect(page.locator("#wb-watch-head")).to_contain_text("is finished", timeout=TRAINING)
    assert "held-out" in aria(page, "margin")
    rows = run_of(window).metrics()
    first = next(row for row in rows if row.get("stage") == "dpo" and "eval_loss" in row)
    assert abs(first["eval_loss"] - 0.6931) < 0.002

    page.locator("#wb-watch-compare").click()
    expect(page.locator("#wb-lane-right")).to_contain_text("aligned · demo", timeout=SOON)
    page.get_by_role("button", name="What is a baby dog called?").click()
    for lane in ("left", "right"):
        expect(page.locator(f"#wb-lane-{lane} .wb-said").last).to_contain_text(re.compile(r"\w+"), timeout=60_000)
        expect(page.locator(f"#wb-lane-{lane} .wb-note")).to_contain_text("tok/s", timeout=60_000)
    expect(page.locator("#wb-lane-right")).to_contain_text("puppy", timeout=SOON)
    expect(page.locator("#wb-lane-left")).to_contain_text("adapter off, verified", timeout=SOON)
    expect(page.locator("#wb-vote-right")).to_be_enabled(timeout=60_000)  # the answer is at its end

    page.locator("#wb-compare-question textarea").fill("What colour is the clear sky?")
    page.locator("#wb-compare-send").click()
    expect(page.locator("#wb-lane-right .wb-said")).to_have_count(2, timeout=60_000)
    expect(page.locator("#wb-lane-right .wb-note")).to_contain_text("tok/s", timeout=60_000)
    expect(page.locator("#wb-compare-voted")).to_contain_text(
        "A vote needs two whole answers to the same", timeout=60_000
    )
    expect(page.locator("#wb-vote-right")).to_be_disabled()
    expect(page.locator("#wb-status")).to_contain_text("demo model", timeout=SOON)

    for number, question in enumerate(("What is a baby cat called?", "What do bees make?"), start=1):
        page.locator("#wb-compare-clear").click()
        expect(page.locator("#wb-vote-right")).to_be_disabled(timeout=SOON)
        page.locator("#wb-compare-question textarea").fill(question)
        page.locator("#wb-compare-send").click()
        expect(page.locator("#wb-vote-right")).to_be_enabled(timeout=60_000)
        page.locator("#wb-vote-right").click()
        expect(page.locator("#wb-compare-voted")).to_contain_text(f"{number} vote", timeout=SOON)
    open_page(page, "2 Data")
    page.locator("#wb-data-bring").click()
    page.get_by_label("Votes from Compare").check()
    expect(page.locator("#wb-data-meaning")).to_contain_text("Become pairs", timeout=SOON)
    page.locator("#wb-data-look").click()
    expect(page.locator("#wb-data-meaning")).to_contain_text("What is a baby cat called?", timeout=SOON)
    page.locator("#wb-data-store").click()
    expect(page.locator("#wb-data-line")).to_contain_text("2 pairs · votes from the Compare page", timeout=SOON)
    page.locator("#wb-data-use").click()
    expect(page.locator("#wb-train-preference-data input")).to_have_value("votes", timeout=SOON)


@pytest.mark.slow
def test_a_killed_window_is_back_with_its_run_and_a_killed_worker_is_explained(page: Page, window: Window):
    try_it(page, window, sft_steps=300, dpo_steps=300)
    expect(page.locator("#wb-watch-head")).to_contain_text(re.compile(r"step [1-9]"), timeout=90_000)
    run = run_of(window)
    window.kill()
    assert processes.alive(**{"pid": run.worker()["pid"], "created": run.worker()["created"]})
    before = len(run.metrics())
    window.start()
    page.goto(window.address, timeout=60_000)  # the window has only just begun, and the worker keeps the machine busy
    open_page(page, "4 Watch")
    expect(page.locator("#wb-watch-head")).to_contain_text(re.compile(r"step [1-9]"), timeout=SOON)
    until = time.monotonic() + 30
    while len(run.metrics()) <= before and time.monotonic() < until:
        time.sleep(0.2)
    assert len(run.metrics()) > before

    os.kill(run.worker()["pid"], signal.SIGKILL)
    expect(page.locator("#wb-watch-head")).to_contain_text("was lost", timeout=SOON)
    expect(page.locator("#wb-watch-head")).to_contain_text("Resume", timeout=SOON)
    page.locator("#wb-watch-resume").click()
    expect(page.locator("#wb-watch-head")).to_contain_text(re.compile(r"step [1-9]"), timeout=90_000)
    page.locator("#wb-watch-pause").click()
    # The step that was just seen may be one of the life before: then the worker loads, measures and takes a step first.
    expect(page.locator("#wb-watch-head")).to_contain_text("is paused", timeout=150_000)
    page.locator("#wb-watch-again").click()
    expect(page.locator("#wb-train-name input, #wb-train-name textarea")).to_have_value("demo-2", timeout=SOON)
    open_advanced(page)
    expect(page.locator("#wb-setting-sft-max_steps input")).to_have_value("300", timeout=SOON)

    page.locator("#wb-train-start").click()
    expect(page.locator("#wb-watch-head")).to_contain_text("demo-2", timeout=SOON)
    expect(page.locator("#wb-watch-head")).to_contain_text(re.compile(r"step [1-9]"), timeout=90_000)
    page.locator("#wb-watch-stop").click()
    expect(page.locator("#wb-watch-head")).to_contain_text("was stopped", timeout=60_000)
    assert run_of(window, "demo-2").has_adapter
