"""The chat of the Compare page in a real browser: a model that repeats what it is asked answers in it."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import strings
from made_runs import finished
from playwright.sync_api import Page, expect
from test_loop import SOON, open_page
from windows import Window

from workbench.store import conversations


@pytest.fixture
def window(home: Path) -> Iterator[Window]:
    home.mkdir()
    finished("kind")
    one = Window(home, ("tests/browser/talking_window.py",))
    one.start()
    yield one
    one.close()


def asked_in(page: Page, *expected: str) -> None:
    expect(page.locator("#wb-lane-right .wb-asked .wb-words")).to_have_text(list(expected), timeout=SOON)


def ask(page: Page, question: str) -> None:
    page.locator("#wb-compare-question textarea").fill(question)
    page.locator("#wb-compare-send").click()
    expect(page.locator("#wb-lane-right .wb-said").last).to_contain_text(question.split("\n")[0], timeout=SOON)


def answered(page: Page) -> None:
    expect(page.locator("#wb-vote-right")).to_be_enabled(timeout=SOON)


def test_a_conversation_is_edited_dialled_coloured_copied_kept_and_opened_again(page: Page, window: Window):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(window.address)
    open_page(page, "5 Compare")
    ask(page, "one")
    answered(page)
    expect(page.locator("#wb-lane-right .wb-note")).to_contain_text("10 of 4,096 tokens of context")
    page.locator("#wb-compare-edit").click()
    expect(page.locator("#wb-compare-question textarea")).to_have_value("one", timeout=SOON)
    ask(page, "two")
    asked_in(page, "two")
    answered(page)

    hostile = "\n".join(one for one in strings("http://127.0.0.1:9") if "\ud800" not in one and "\0" not in one)
    ask(page, hostile)
    answered(page)
    page.locator("#wb-compare-changed input").check()
    shown = page.locator("#wb-lane-left .wb-scored")
    expect(shown).to_have_count(2, timeout=SOON)
    assert shown.first.text_content() == hostile.strip() and shown.first.get_attribute("title") == "+0.69 nats"
    expect(page.locator("#wb-lane-left .wb-changed-fact").first).to_contain_text("with kind: +0.69 nats")
    page.locator("#wb-compare-copy").click()
    expect(page.locator("#wb-compare-copy")).to_have_attribute("data-done", "yes")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("You: two\n\nbase · adapter off, verified: two\n\naligned · kind: two\n\nYou: ")
    assert copied.endswith(f"aligned · kind: {hostile.strip()}") and page.evaluate("window.ran") is None

    strength = page.locator("#wb-compare-right-strength input[type=number]")
    strength.fill("0.5")
    strength.press("Tab")
    expect(page.locator("#wb-lane-right h4")).to_have_text("aligned · kind × 0.5", timeout=SOON)
    expect(page.locator("#wb-lane-left .wb-changed-fact").first).to_contain_text("with kind × 0.5", timeout=SOON)
    asked_in(page, "two", hostile.strip())

    page.reload()
    asked_in(page, "two", hostile.strip())
    expect(page.locator("#wb-lane-right h4")).to_have_text("aligned · kind × 0.5")
    expect(strength).to_have_value("0.5", timeout=SOON)
    page.locator("#wb-compare-clear").click()
    expect(page.locator("#wb-lane-right .wb-asked")).to_have_count(0, timeout=SOON)
    page.reload()
    expect(page.locator("#wb-lane-right")).to_contain_text("Its answer appears here", timeout=SOON)
    page.locator("#wb-compare-earlier input").click()
    page.get_by_role("option").first.click()
    asked_in(page, "two", hostile.strip())
    page.locator("#wb-compare-delete").click()
    expect(page.locator("#wb-lane-right .wb-asked")).to_have_count(0, timeout=SOON)
    assert conversations.listed() == [] and page.evaluate("window.ran") is None


def test_stop_ends_both_lanes_at_once_and_what_was_said_is_kept(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "5 Compare")
    ask(page, "slowly now")
    stop, notes = page.locator("#wb-compare-stop"), page.locator(".wb-lanes .wb-note")
    began = time.monotonic()
    stop.dispatch_event("click")  # a click would wait until the answers above it no longer grow
    expect(notes.first).to_contain_text("stopped", timeout=SOON)
    expect(notes.last).to_contain_text("stopped", timeout=SOON)
    took = time.monotonic() - began
    print(f"both lanes stopped on the page after {took:.2f} s")
    assert took < 10, "far less on an idle machine; the answer alone would go on for twenty"
    answered(page)
    assert [conversations.read(id).turns[0].answers.right.ended for _, id in conversations.listed()] == ["stopped"]


def test_thoughts_that_were_opened_stay_open_while_the_answer_grows(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "5 Compare")
    page.locator("#wb-compare-question textarea").fill("<think>Why?</think> slowly")
    page.locator("#wb-compare-send").click()
    thoughts, said = page.locator("#wb-lane-left .wb-thoughts"), page.locator("#wb-lane-left .wb-said")
    expect(thoughts).not_to_have_attribute("open", "", timeout=SOON)
    thoughts.locator("summary").dispatch_event("click")
    expect(thoughts).to_have_attribute("open", "")
    length = len(said.inner_text())
    page.wait_for_function(
        "n => document.querySelector('#wb-lane-left .wb-said').innerText.length > n + 200", arg=length
    )
    expect(thoughts).to_have_attribute("open", "")
    assert page.locator("#wb-lane-right .wb-thoughts[open]").count() == 0
    thoughts.locator("summary").dispatch_event("click")
    page.wait_for_timeout(1000)
    expect(thoughts).not_to_have_attribute("open", "")
    page.locator("#wb-compare-stop").dispatch_event("click")
    answered(page)


def test_answers_to_many_prompts_are_there_after_a_reload(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "5 Compare")
    page.get_by_role("tab", name="Many prompts").click()
    page.get_by_label("A list", exact=True).check()
    page.locator("#wb-many-list textarea").fill("one\n<b>two</b>")
    page.locator("#wb-many-ask").click()
    vote, answers = page.locator("#wb-many-vote"), page.locator("#wb-many-answers")
    expect(vote).to_be_visible(timeout=SOON)
    shown = answers.inner_text()
    page.reload()
    page.get_by_role("tab", name="Many prompts").click()
    expect(answers).to_contain_text("<b>two</b>", timeout=SOON)
    expect(answers).to_have_text(shown, use_inner_text=True, timeout=SOON)
    vote.click()
    expect(page.get_by_role("tab", name="Blind votes")).to_have_attribute("aria-selected", "true", timeout=SOON)


def test_five_strengths_are_there_after_a_reload_beside_the_answers(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "5 Compare")
    page.get_by_role("tab", name="Many prompts").click()
    page.get_by_label("A list", exact=True).check()
    page.locator("#wb-many-list textarea").fill("one\ntwo")
    page.locator("#wb-many-ask").click()
    expect(page.locator("#wb-many-vote")).to_be_visible(timeout=SOON)
    page.locator("#wb-many-sweep").click()
    strengths = page.locator("#wb-many-strengths")
    expect(strengths).to_contain_text("+0.07", timeout=SOON)  # 0.1 * 0.69
    expect(page.locator("#wb-many-stop")).to_be_hidden(timeout=SOON)
    shown = strengths.inner_text()
    page.reload()
    page.wait_for_timeout(2000)  # what this tab had is there before a person opens the view
    page.get_by_role("tab", name="Many prompts").click()
    expect(strengths).to_contain_text("kind at 5 strengths, 2 prompts each", timeout=SOON)
    expect(strengths).to_have_text(shown, use_inner_text=True, timeout=SOON)
    expect(page.locator("#wb-many-answers")).to_contain_text("two", timeout=SOON)
    pictured(page, "strengths")


def test_two_answers_to_each_prompt_of_a_pasted_list_are_voted_on(page: Page, window: Window):
    page.goto(window.address)
    open_page(page, "5 Compare")
    page.get_by_role("tab", name="Blind votes").click()
    source, listed = page.locator("#wb-blind-source"), page.locator("#wb-blind-list textarea")
    expect(page.locator("#wb-blind-count")).to_be_visible(timeout=SOON)
    expect(source).to_be_hidden()
    page.get_by_label("Teach: votes to train on").check()
    source.get_by_label("A list").check(timeout=SOON)
    expect(listed).to_be_visible(timeout=SOON)
    page.get_by_label("Measure: which is better?").check()
    expect(listed).to_be_hidden(timeout=SOON)
    page.get_by_label("Teach: votes to train on").check()
    page.get_by_label("Two answers of the right side").check()
    listed.fill("<b>one</b>\n\ntwo\n", timeout=SOON)
    pictured(page, "sitting")
    page.locator("#wb-blind-start").click()
    expect(page.locator("#wb-blind-progress")).to_contain_text("0 of 2 pairs", timeout=SOON)
    asked = page.locator("#wb-blind-prompt .wb-words")
    expect(asked).to_have_text(re.compile("^(<b>one</b>|two)$"), timeout=SOON)
    prompt = asked.inner_text()
    lanes = [page.locator(f"#wb-blind-lane-{side} .wb-words") for side in ("left", "right")]
    for lane in lanes:
        expect(lane).to_contain_text(prompt, timeout=SOON)
    assert {lane.inner_text() for lane in lanes} == {prompt, f"{prompt} 18"}
    page.keyboard.press("1")
    expect(page.locator("#wb-blind-progress")).to_contain_text("1 of 2 pairs", timeout=SOON)
    expect(page.get_by_role("button", name="Train the next round on these votes")).to_be_visible(timeout=SOON)
    pictured(page, "voting")


def test_thoughts_are_folded_in_what_alignment_changed_and_are_not_copied(page: Page, window: Window):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(window.address)
    open_page(page, "5 Compare")
    page.locator("#wb-compare-question textarea").fill("<think>Why would it?</think> It is so.")
    page.locator("#wb-compare-send").click()
    answered(page)
    copied_is(page, "It is so.")
    page.locator("#wb-compare-changed input").check()
    thought = page.locator("#wb-lane-right .wb-thoughts .wb-scored")
    expect(thought).to_have_count(1, timeout=SOON)
    expect(thought).to_be_hidden()
    fact = page.locator("#wb-lane-right .wb-changed-fact").first
    expect(fact).to_have_text("log ratio of the answer without its thoughts: +0.69 nats")
    copied_is(page, "It is so.")
    pictured(page, "thoughts")
    page.locator("#wb-lane-right .wb-thoughts summary").click()
    expect(thought).to_have_text("<think>Why would it?</think> ")
    expect(thought).to_have_attribute("title", "+0.69 nats")
    pictured(page, "thoughts-opened")


def copied_is(page: Page, answer: str) -> None:
    """What is copied of both lanes, whose question is not looked at."""
    copy = page.locator("#wb-compare-copy")
    copy.click()
    expect(copy).to_have_attribute("data-done", "yes")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.split("\n\n")[1:] == [f"base · adapter off, verified: {answer}", f"aligned · kind: {answer}"]
    expect(copy).not_to_have_attribute("data-done", "yes")


def pictured(page: Page, name: str) -> None:
    if folder := os.environ.get("WORKBENCH_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
