"""The whole circle in a real browser: blind votes on a first run, a second round trained on them, and whether it is better."""

import os
import re

import pytest
from configs import demo_config
from playwright.sync_api import Page, expect
from real_runs import ended
from test_loop import SOON, TRAINING, open_page
from windows import Window

from workbench.core.demo import manner
from workbench.jobs import training

VOTES = 40
ANSWERING = 180_000  # milliseconds


@pytest.fixture
def window(tmp_path, monkeypatch):
    """A window over a home with a run that has only just begun to prefer the kind manner."""
    home = tmp_path / "home"
    monkeypatch.setenv("WORKBENCH_HOME", str(home))
    first = training.start(
        demo_config("first", method="dpo", sft_data=None, preference_data="demo-preferences", batch_size=16, max_length=192,
                    held_out_limit=16, evaluations=1, samples=0, dpo={"learning_rate": 2.5e-4, "max_steps": 20})
    )  # fmt: skip
    assert ended(first) == "finished", first.log_tail()
    one = Window(home)
    one.start()
    yield one
    one.close()


def choose(page: Page, dropdown: str, words: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.get_by_role("option", name=re.compile(words)).first.click()


def voted(count: int) -> re.Pattern[str]:
    return re.compile(rf"(?<!\d){count} of \d+ pairs")


def vote_by_manner(page: Page, most: int, until: str = "no such words") -> int:
    """Prefer the answer in the preferred manner, and call it a tie where that does not decide. Returns the votes given.

    until: what the result says when it is enough; its interval holds though one looks after each vote.
    """
    pair = page.locator("#wb-blind-lane-left .wb-words")
    over = page.locator("#wb-blind-prompt", has_text="Every pair has a vote")
    for given in range(most):
        expect(pair.or_(over).first).to_be_visible(timeout=ANSWERING)
        if over.is_visible() or until in page.locator("#wb-blind-result").inner_text():
            return given
        left, right = (
            manner(page.locator(f"#wb-blind-lane-{side} .wb-words").inner_text()) == "preferred"
            for side in ("left", "right")
        )
        page.keyboard.press("2" if left == right else "1" if left else "4")
        expect(page.locator("#wb-blind-progress")).to_contain_text(voted(given + 1), timeout=SOON)
    return most


@pytest.mark.slow
def test_votes_train_a_second_round_and_a_measuring_sitting_prefers_it(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "5 Compare")
    expect(page.locator("#wb-compare-right input")).to_have_value(re.compile("first"), timeout=SOON)
    page.get_by_role("tab", name="Blind votes").click()
    page.get_by_label("Teach: votes to train on").check()
    page.get_by_label("Two answers of the right side").check()
    page.locator("#wb-blind-count").get_by_label("80", exact=True).check()
    page.locator("#wb-blind-start").click()
    assert vote_by_manner(page, VOTES) == VOTES
    page.get_by_role("button", name="Train the next round on these votes").click()
    page.locator("#wb-round-train").click()

    expect(page.locator("#wb-train-name input, #wb-train-name textarea")).to_have_value("first-round-2", timeout=SOON)
    expect(page.locator("#wb-train-meaning")).to_contain_text("run first as it ended", timeout=SOON)
    page.locator("#wb-train-start").click()
    expect(page.locator("#wb-watch-head")).to_contain_text("first-round-2 is finished", timeout=TRAINING)

    page.locator("#wb-watch-compare").click()
    expect(page.locator("#wb-compare-right input")).to_have_value(re.compile("first-round-2"), timeout=SOON)
    expect(page.locator("#wb-compare-left input")).to_have_value(re.compile("^first "), timeout=SOON)
    choose(page, "wb-compare-left", "base model")
    page.get_by_role("tab", name="Blind votes").click()
    expect(page.locator("#wb-round-chains")).to_contain_text("first-round-2", timeout=SOON)
    if not page.locator("#wb-blind-start").is_visible():
        page.get_by_role("button", name="New sitting").click()
    page.get_by_label("Measure: which is better?").check()
    page.get_by_label("Left against right").check()
    page.locator("#wb-blind-count").get_by_label("160", exact=True).check()
    page.locator("#wb-blind-start").click()
    expect(page.locator("#wb-blind-progress")).to_contain_text(voted(0), timeout=ANSWERING)
    vote_by_manner(page, 120, until="is better than")
    expect(page.locator("#wb-blind-result")).to_contain_text("first-round-2 is better than base", timeout=SOON)
    if folder := os.environ.get("WORKBENCH_PICTURES"):
        page.screenshot(path=f"{folder}/circle.png", full_page=True)
