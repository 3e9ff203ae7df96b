"""The choice of method, loss and start in a real browser: what is shown, and that hidden settings keep their values."""

import re
from collections.abc import Iterator

import pytest
from made_runs import finished, store_thumbs
from playwright.sync_api import Page, expect
from test_loop import SOON, open_advanced, open_page
from windows import Window


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """One window for both tests, over a home with thumbs and a finished run."""
    home = tmp_path_factory.mktemp("methods") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(home))
        store_thumbs()
        finished("first")
    one = Window(home)
    one.start()
    yield one
    one.close()


def choose(page: Page, dropdown: str, words: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.get_by_role("option", name=re.compile(words)).click()


def test_a_dataset_of_thumbs_leads_to_kto_with_its_own_settings_and_a_run_to_start_from(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "2 Data")
    choose(page, "wb-data-dataset", "thumbs")
    expect(page.locator("#wb-data-line")).to_contain_text("answers", timeout=SOON)
    page.locator("#wb-data-use").click()
    meaning = page.locator("#wb-train-meaning")
    expect(meaning).to_contain_text("the SFT model of this run, verified before the first step", timeout=SOON)
    expect(page.locator("#wb-setting-kto-beta")).to_be_hidden()
    expect(page.locator("#wb-train-thumbs-data")).to_be_hidden()
    page.locator("#wb-setting-dpo-beta input").fill("0.2")

    page.get_by_label("KTO", exact=True).check()
    expect(page.locator("#wb-setting-kto-beta")).to_be_visible(timeout=SOON)
    for hidden in ("wb-setting-dpo-beta", "wb-train-preference-data", "wb-train-sft-data"):
        expect(page.locator(f"#{hidden}")).to_be_hidden()
    expect(page.locator("#wb-train-thumbs-data input")).to_have_value(re.compile("thumbs", re.I))
    expect(meaning).to_contain_text("the base model, verified before the first step", timeout=SOON)
    choose(page, "wb-train-start-from", "first, as it ended")
    expect(meaning).to_contain_text("run first as it ended, verified before the first step", timeout=SOON)

    page.get_by_label("DPO", exact=True).check()
    expect(page.locator("#wb-setting-dpo-beta input")).to_have_value("0.2", timeout=SOON)
    open_advanced(page)
    choose(page, "wb-setting-dpo-loss", "Length-normalised")
    expect(meaning).to_contain_text("Its paper used beta 5; it is 0.2.", timeout=SOON)


def test_a_preset_is_chosen_for_a_purpose_and_a_card_and_says_for_which_models(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "3 Train")
    about = page.locator("#wb-train-about")
    expect(about).to_contain_text("the demo model", timeout=SOON)
    expect(page.locator("#wb-train-card")).to_be_hidden()
    choose(page, "wb-train-recipe", "Everyday")
    expect(page.locator("#wb-train-card input")).to_have_value(re.compile("this machine"), timeout=SOON)
    choose(page, "wb-train-card", "8 GB card")
    expect(page.locator("#wb-setting-max_length input")).to_have_value("1536", timeout=SOON)
    expect(about).to_contain_text("Llama 3.2 3B Instruct")
    expect(about).to_contain_text("Not made for the demo model")
    expect(page.locator("#wb-train-meaning")).to_contain_text("16 (1 at once × 16)", timeout=SOON)
    choose(page, "wb-train-recipe", "^Demo$")
    expect(page.locator("#wb-train-card")).to_be_hidden(timeout=SOON)
    expect(page.locator("#wb-train-meaning")).to_contain_text("60 steps on 1,200 examples", timeout=SOON)
    page.locator("#wb-train-advanced").scroll_into_view_if_needed()
    for beside in ("#wb-train-start", "#wb-train-meaning h3"):
        expect(page.locator(beside).first).to_be_in_viewport()
    fields = [page.locator(f"#wb-setting-{name} input").bounding_box() for name in ("dpo-learning_rate", "dpo-beta")]
    assert fields[0]["y"] == fields[1]["y"], "the longer help of one does not push it out of line"


def test_online_training_asks_for_a_reward_and_says_how_both_ways_would_run(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "3 Train")
    expect(page.locator("#wb-train-meaning")).to_contain_text("the SFT model of this run", timeout=SOON)
    expect(page.locator("#wb-train-try")).to_be_hidden()
    page.get_by_label("RLOO", exact=True).check()
    expect(page.locator("#wb-train-try")).to_be_visible(timeout=SOON)
    expect(page.locator("#wb-train-preference-data")).to_contain_text("Only the prompts are used")
    expect(page.locator("#wb-setting-rloo-reward_run")).to_contain_text("Train one first")
    meaning = page.locator("#wb-train-meaning")
    expect(meaning).to_contain_text("RLOO needs a reward, and none is chosen.", timeout=SOON)
    page.locator("#wb-setting-rloo-answer_tokens input").fill("40")
    page.locator("#wb-setting-rloo-rules textarea").fill("0.5 words: gladly, sure")
    expect(meaning).to_contain_text("0.5 × (words gladly, sure)", timeout=SOON)
    page.get_by_role("button", name="DPO against RLHF").click()
    expect(page.locator("#wb-train-both-plan")).to_contain_text(
        "judged by reward model demo-model-reward", timeout=SOON
    )
    page.get_by_label("Reward model", exact=True).first.check()
    expect(page.locator("#wb-train-try")).to_be_hidden(timeout=SOON)
    expect(page.locator("#wb-train-preference-data")).to_contain_text("Pairs of a better and a worse answer")
