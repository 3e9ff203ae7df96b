"""The Data page in a real browser: what is found, seen, mended, written and taken out; and that nothing is lost."""

import json
import random
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from test_loop import open_page
from windows import Window

SOON = 30_000
HOSTILE = '<img src="http://127.0.0.1:9/x" onerror="window.hacked=1"><script>window.hacked=1</script>'
TOPICS = ("bread", "rain", "maps", "tides", "violins", "ferns", "bridges", "chess", "glaciers", "clocks")


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """One window for all tests of this file; each stores its data under a name of its own."""
    home = tmp_path_factory.mktemp("data") / "home"
    home.mkdir()
    one = Window(home)
    one.start()
    yield one
    one.close()


def pair(number: int) -> dict[str, str]:
    """A pair in which the chosen answer is as often the shorter one as the longer one."""
    topic = TOPICS[number % len(TOPICS)]
    answers = [
        f"The {topic} of kind {number} are best looked at slowly, with somebody who knows them.",
        f"Take an hour for {topic} of kind {number}.",
    ]
    chosen, rejected = answers if number % 2 else reversed(answers)
    return {"prompt": f"What should I know about {topic} number {number}?", "chosen": chosen, "rejected": rejected}


def file_of(folder: Path, name: str, rows: list[dict[str, str]]) -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def open_data(page: Page, window: Window) -> None:
    page.goto(window.address)
    open_page(page, "2 Data")
    expect(page.locator("#wb-data-line")).to_contain_text("·", timeout=SOON)


def view(page: Page, name: str) -> None:
    page.locator("#wb-data-views").get_by_role("tab", name=name, exact=True).click()


def bring(page: Page, file: Path, rows: int) -> None:
    """Upload a file, look at the preview, store it."""
    page.locator("#wb-data-bring").click()
    page.locator("#wb-data-file input[type=file]").set_input_files(file)
    expect(page.locator("#wb-data-meaning")).to_contain_text("Evidence", timeout=SOON)
    page.locator("#wb-data-store").click()
    expect(page.locator("#wb-data-line")).to_contain_text(f"{rows:,} pairs · upload: {file.name}", timeout=SOON)


def stored(window: Window) -> list[str]:
    return sorted(path.name for path in (window.home / "datasets").glob("*") if not path.name.startswith("."))


def test_the_demo_is_checked_and_good_and_its_views_open(page: Page, window: Window):
    open_data(page, window)
    expect(page.locator("#wb-data-line")).to_contain_text("comes with the workbench")
    expect(page.locator("#wb-data-verdict")).to_contain_text("Good", timeout=SOON)
    expect(page.locator("#wb-data-about")).to_contain_text("preference pairs")
    view(page, "Rows")
    expect(page.locator("#wb-rows-found")).to_contain_text("of 1,840 rows", timeout=SOON)
    expect(page.locator("#wb-data-row")).to_contain_text("chosen", timeout=SOON)
    view(page, "Split and export")
    expect(page.locator("#wb-out-size")).to_contain_text("240 held out", timeout=SOON)


def test_a_finding_is_shown_mended_and_undone(page: Page, window: Window, tmp_path: Path):
    rows = [pair(n) for n in range(400)]
    rows += [
        rows[5],
        rows[6],
        {"prompt": rows[7]["prompt"], "chosen": rows[7]["rejected"], "rejected": rows[7]["chosen"]},
    ]
    open_data(page, window)
    bring(page, file_of(tmp_path, "with-doubles.jsonl", rows), 403)
    expect(page.locator("#wb-data-verdict")).to_contain_text("Usable with care", timeout=SOON)
    page.locator("#wb-data-findings").get_by_text(re.compile("duplicate", re.I)).click()
    expect(page.locator("#wb-data-example-place")).to_contain_text("Example 1 of 2", timeout=SOON)
    page.locator("#wb-data-example-after").click()
    expect(page.locator("#wb-data-example-place")).to_contain_text("Example 2 of 2", timeout=SOON)
    page.locator("#wb-data-remedy").click()
    expect(page.locator("#wb-data-line")).to_contain_text("401 pairs", timeout=SOON)
    expect(page.locator("#wb-data-line")).to_contain_text("version 2")
    expect(page.locator("#wb-data-findings")).not_to_contain_text(re.compile("duplicate", re.I), timeout=SOON)
    page.locator("#wb-data-undo").click()
    expect(page.locator("#wb-data-line")).to_contain_text("403 pairs", timeout=SOON)
    expect(page.locator("#wb-data-findings")).to_contain_text(re.compile("duplicate", re.I), timeout=SOON)


def test_rows_are_searched_changed_taken_out_and_brought_back(page: Page, window: Window, tmp_path: Path):
    rows = [pair(n) for n in range(60)] + [{"prompt": f"Say {HOSTILE}", "chosen": HOSTILE, "rejected": "No."}]
    open_data(page, window)
    bring(page, file_of(tmp_path, "to-edit.jsonl", rows), 61)
    view(page, "Rows")
    expect(page.locator("#wb-rows-found")).to_contain_text("of 61 rows", timeout=SOON)
    page.locator("#wb-rows-search input, #wb-rows-search textarea").fill("onerror")
    expect(page.locator("#wb-rows-found")).to_contain_text("1 to 1 of 1", timeout=SOON)
    page.locator("#wb-rows-table").get_by_text("Say <img").last.click()
    expect(page.locator("#wb-data-row")).to_contain_text("onerror", timeout=SOON)
    assert page.evaluate("window.hacked") is None

    page.get_by_role("button", name="Change this row").click()
    page.locator("#wb-rows-edit-chosen textarea").fill("A picture that is not there.")
    page.locator("#wb-rows-save").click()
    expect(page.locator("#wb-data-line")).to_contain_text("version 2", timeout=SOON)
    expect(page.locator("#wb-data-row")).to_contain_text("A picture that is not there.", timeout=SOON)
    page.locator("#wb-rows-delete").click()
    expect(page.locator("#wb-data-line")).to_contain_text("60 pairs", timeout=SOON)
    page.locator("#wb-rows-undo").click()
    expect(page.locator("#wb-data-line")).to_contain_text("61 pairs", timeout=SOON)

    page.get_by_label("As the model sees it").check()
    expect(page.locator("#wb-data-row")).to_contain_text("<|", timeout=SOON)


def test_a_row_that_changed_in_another_tab_is_not_changed_blindly(page: Page, window: Window, tmp_path: Path):
    open_data(page, window)
    bring(page, file_of(tmp_path, "two-tabs.jsonl", [pair(n) for n in range(30)]), 30)
    second = page.context.new_page()
    open_data(second, window)
    expect(second.locator("#wb-data-line")).to_contain_text("30 pairs", timeout=SOON)
    view(page, "Rows")
    page.get_by_role("button", name="Change this row").click()
    page.locator("#wb-rows-delete").click()
    expect(page.locator("#wb-data-line")).to_contain_text("29 pairs", timeout=SOON)
    view(second, "Rows")
    second.get_by_role("button", name="Change this row").click()
    second.locator("#wb-rows-delete").click()
    expect(second.locator(".toast-body")).to_contain_text("changed in the meantime", timeout=SOON)
    second.close()


def test_a_pair_is_written_by_hand_with_drafts_from_the_model(page: Page, window: Window):
    open_data(page, window)
    view(page, "Write pairs")
    page.locator("#wb-write-prompt textarea").fill("What is a baby dog called?")
    page.locator("#wb-write-draft").click()
    for field in ("chosen", "rejected"):
        expect(page.locator(f"#wb-write-{field} textarea")).to_have_value(re.compile(r"\w{3}"), timeout=120_000)
    page.wait_for_timeout(2000)
    page.locator("#wb-write-chosen textarea").fill("A puppy. Congratulations, if it is yours.")
    page.locator("#wb-write-rejected textarea").fill("A puppy.")
    page.locator("#wb-write-add").click()
    expect(page.locator("#wb-write-said")).to_contain_text("It has 1 pair now", timeout=SOON)
    page.locator("#wb-write-prompt textarea").fill("And a baby cat?")
    page.locator("#wb-write-chosen textarea").fill("The same")
    page.locator("#wb-write-rejected textarea").fill("The same")
    page.locator("#wb-write-add").click()
    expect(page.locator(".toast-body").last).to_contain_text("Both answers are the same", timeout=SOON)
    page.locator("#wb-write-chosen textarea").fill("A kitten.")
    page.locator("#wb-write-add").click()
    expect(page.locator("#wb-write-said")).to_contain_text("It has 2 pairs now", timeout=SOON)
    page.locator("#wb-write-undo").click()
    expect(page.locator("#wb-write-said")).to_contain_text("1 pair again", timeout=SOON)


def test_the_split_is_made_anew_and_a_file_is_taken_out(page: Page, window: Window, tmp_path: Path):
    open_data(page, window)
    bring(page, file_of(tmp_path, "to-split.jsonl", [pair(n) for n in range(200)]), 200)
    view(page, "Split and export")
    page.locator("#wb-out-share input[type=number]").fill("25")
    page.locator("#wb-out-share input[type=number]").press("Tab")
    expect(page.locator("#wb-out-size")).to_contain_text("50 held out", timeout=SOON)
    expect(page.locator("#wb-out-size")).to_contain_text("±13 points")
    page.locator("#wb-out-split").click()
    expect(page.locator("#wb-data-line")).to_contain_text("version 2", timeout=SOON)
    page.locator("#wb-out-export").click()
    expect(page.locator("#wb-out-export")).to_contain_text("Download to-split-v2-train.jsonl", timeout=SOON)
    with page.expect_download() as started:
        page.locator("#wb-out-export").click()
    lines = Path(started.value.path()).read_text(encoding="utf-8").splitlines()
    assert set(json.loads(lines[0])) == {"prompt", "chosen", "rejected"}


def test_a_long_import_shows_how_far_it_is_and_is_cancelled_without_a_trace(page: Page, window: Window, tmp_path: Path):
    draw = random.Random(1)
    rows = [{**pair(n), "chosen": f"{draw.random()} " * 40} for n in range(60_000)]
    open_data(page, window)
    page.locator("#wb-data-bring").click()
    page.locator("#wb-data-file input[type=file]").set_input_files(file_of(tmp_path, "long.jsonl", rows))
    expect(page.locator("#wb-data-meaning")).to_contain_text("Evidence", timeout=60_000)
    before = stored(window)
    page.locator("#wb-data-store").click()
    expect(page.locator("#wb-data-meaning .wb-bar")).to_contain_text(re.compile(r"[1-9]\d* rows"), timeout=SOON)
    page.get_by_role("button", name="Cancel").last.click()
    expect(page.locator(".toast-body")).to_contain_text(re.compile("cancel", re.I), timeout=SOON)
    assert stored(window) == before
    assert not list((window.home / "datasets").glob(".draft-*"))


def test_a_choice_among_several_answers_is_shown_and_taken(page: Page, window: Window, tmp_path: Path):
    rows = [
        {
            "instruction": f"Tell me about {topic}.",
            "completions": [
                {"response": f"{topic} are {word}.", "overall_score": score}
                for word, score in (("lovely to know", 9.0), ("fine", 6.0), ("dull and grey", 2.0))
            ],
        }
        for topic in TOPICS
    ]
    open_data(page, window)
    page.locator("#wb-data-bring").click()
    page.locator("#wb-data-file input[type=file]").set_input_files(file_of(tmp_path, "scored.jsonl", rows))
    expect(page.locator("#wb-data-option")).to_be_visible(timeout=SOON)
    expect(page.locator("#wb-data-meaning")).to_contain_text("dull and grey", timeout=SOON)
    page.locator("#wb-data-option").get_by_text("next one below").click()
    expect(page.locator("#wb-data-meaning")).not_to_contain_text("dull and grey", timeout=SOON)
    page.locator("#wb-data-store").click()
    expect(page.locator("#wb-data-line")).to_contain_text("10 pairs · upload: scored.jsonl", timeout=SOON)
