"""RLHF by clicks on the demo model: a reward tried on real answers, a policy trained against it, and a report on what came of it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from test_circle import choose
from test_loop import SOON, TRAINING, open_advanced, open_page
from windows import Window


@pytest.fixture
def window(home: Path, home_of_judge: Path) -> Iterator[Window]:
    """A window over a home with a reward model."""
    shutil.copytree(home_of_judge, home)
    one = Window(home)
    one.start()
    yield one
    one.close()


@pytest.mark.slow
def test_a_reward_is_tried_a_policy_trained_against_it_and_a_report_made(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "3 Train")
    page.get_by_label("RLOO", exact=True).check()
    meaning = page.locator("#wb-train-meaning")
    expect(meaning).to_contain_text("RLOO needs a reward, and none is chosen.", timeout=SOON)
    choose(page, "wb-setting-rloo-reward_run", "^judge")
    for name, value in {"answer_tokens": "12", "learning_rate": "0.001", "group_size": "2"}.items():
        page.locator(f"#wb-setting-rloo-{name} input").fill(value)
    page.locator("#wb-setting-batch_size input").fill("8")
    open_advanced(page)
    page.locator("#wb-setting-rloo-max_steps input").fill("3")
    page.locator("#wb-train-name input, #wb-train-name textarea").fill("online")
    expect(meaning).to_contain_text("3 steps", timeout=SOON)
    page.locator("#wb-train-try").click()
    expect(page.locator("#wb-train-tried")).to_contain_text("These four answers get", timeout=TRAINING)

    page.locator("#wb-train-start").click()
    expect(page.locator("#wb-watch-head")).to_contain_text("online is finished", timeout=TRAINING)
    told = page.locator("#wb-watch-reward")
    expect(told).to_contain_text("reward model judge", timeout=SOON)
    expect(told).to_contain_text("are the same, byte for byte", timeout=SOON)

    page.locator("#wb-watch-compare").click()
    page.get_by_role("tab", name="Report").click()
    expect(page.locator("#wb-report-runs")).to_contain_text("online", timeout=SOON)
    choose(page, "wb-report-reward", "^judge")
    page.locator("#wb-report-count").get_by_label("32").check()
    page.locator("#wb-report-start").click()
    shown = page.locator("#wb-report-shown")
    expect(shown).to_contain_text("What the reward cost: reward over KL", timeout=2 * TRAINING)
    expect(shown).to_contain_text(re.compile("online against base"), timeout=SOON)
