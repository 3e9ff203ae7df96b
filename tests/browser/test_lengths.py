"""The lengths, in a real window: the line is dragged, the numbers beside it follow, and Python learns where it stands."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import Locator, Page, expect

from workbench.core.data.token_counts import TokenCounts
from workbench.ui.chart import packed, picture
from workbench.ui.launch import launch_kwargs
from workbench.ui.lengths import lengths_value, released_length


def counts_of(kind: str = "preference") -> TokenCounts:
    """100 rows with prompts of 10, 20, ... 1,000 tokens, chosen answers of 50 tokens, rejected ones of 40.

    The two answers are the same for their first 8 tokens. So at 500 tokens the prompts of 500 and more fill it: 51 of
    100; those of 460 to 490 lose their end: 4 more; and that of 490 has 10 tokens of answer left, so none is equal.
    """
    prompts = list(range(10, 1001, 10))
    pair = kind == "preference"
    columns = {
        "prompt": prompts,
        "chosen": [50] * 100,
        "rejected": [40 if pair else 0] * 100,
        "shared": [prompt + 8 if pair else 0 for prompt in prompts],
        "chosen_end": [prompt + 50 for prompt in prompts],
        "rejected_end": [prompt + 40 if pair else 0 for prompt in prompts],
        "flags": [3] * 100,
    }
    return TokenCounts.from_columns(kind, columns)  # type: ignore[arg-type]


class Feed:
    """What the next tick shows, and the lengths at which the line was let go."""

    def __init__(self) -> None:
        self.value: dict[str, Any] | None = None
        self.released: list[int] = []


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Feed]]:
    """A window with the component and a timer that shows what is fed."""
    feed = Feed()

    def take(event: gr.EventData) -> None:
        feed.released.append(released_length(event))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        with gr.Blocks() as blocks:
            shown = picture("lengths", "lengths")
            shown.release(take, trigger_mode="always_last")
            timer = gr.Timer(0.2)
            timer.tick(lambda: packed(feed.value), None, shown, show_progress="hidden", queue=False)
        _, url, _ = blocks.launch(prevent_thread_lock=True, **launch_kwargs())
        yield url, feed
        blocks.close()


@pytest.fixture
def feed(window: tuple[str, Feed], page: Page) -> Feed:
    """The page is open and shows the counts at 500 tokens."""
    url, feed = window
    feed.value = lengths_value(counts_of(), 500, "demo model")
    feed.released.clear()
    page.goto(f"{url}?__theme=light")
    expect(slider(page)).to_have_attribute("aria-valuenow", "500")
    return feed


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Longest example in tokens")


def losses(page: Page) -> Locator:
    return page.locator("#lengths .wb-lengths-losses")


def drag(page: Page, start: int, end: int) -> None:
    """Drag over the picture, from one length to another. Its axis has room of 4 and 14 pixels at its sides."""
    box = page.locator("#lengths .wb-lengths-plot").bounding_box()
    assert box is not None
    top = lengths_value(counts_of(), 500, "demo model")["top"]
    x = lambda tokens: box["x"] + 4 + tokens / top * (box["width"] - 18)  # noqa: E731
    page.mouse.move(x(start), box["y"] + 100)
    page.mouse.down()
    page.mouse.move(x(end), box["y"] + 100, steps=5)


def test_it_says_what_is_cut_at_the_length_that_is_set(page: Page, feed: Feed) -> None:
    expect(losses(page)).to_contain_text("At 500 tokens, of 100 pairs")
    expect(losses(page).locator("li").nth(0)).to_have_text("4.0 %lose the end of an answer (4)")
    expect(losses(page).locator("li").nth(1)).to_have_text("51.0 %have a prompt that fills it: left out (51)")
    expect(losses(page).locator("li").nth(2)).to_have_text("0 %become equal: they teach nothing")


def test_the_numbers_follow_the_line_and_python_learns_where_it_is_let_go(page: Page, feed: Feed) -> None:
    """At 800: prompts of 800 to 1,000 fill it, 21; those of 760 to 790 lose their end, 4."""
    drag(page, 500, 800)
    expect(losses(page)).to_contain_text("At 800 tokens")
    expect(losses(page).locator("li").nth(0)).to_contain_text("4.0 %")
    expect(losses(page).locator("li").nth(1)).to_contain_text("21.0 %")
    assert feed.released == []  # not before it is let go
    page.mouse.up()
    expect(slider(page)).to_have_attribute("aria-valuenow", "800")
    page.wait_for_timeout(300)
    assert feed.released == [800]


def test_pairs_that_become_equal_are_counted(page: Page, feed: Feed) -> None:
    """At 488 the prompt of 480 has 8 tokens of answer left, which both answers share. 52 prompts, from 490 on, fill it."""
    drag(page, 500, 488)
    page.mouse.up()
    expect(losses(page).locator("li").nth(2)).to_have_text("1.0 %become equal: they teach nothing (1)")
    expect(losses(page).locator("li").nth(1)).to_contain_text("52.0 %")


def test_keys_move_the_line(page: Page, feed: Feed) -> None:
    """The axis ends at 1,216, so that a key is worth 8 tokens, and a page 64."""
    slider(page).focus()
    page.keyboard.press("ArrowLeft")
    expect(slider(page)).to_have_attribute("aria-valuenow", "492")
    page.keyboard.press("PageUp")
    expect(slider(page)).to_have_attribute("aria-valuenow", "556")
    page.keyboard.press("Home")
    expect(slider(page)).to_have_attribute("aria-valuenow", "16")
    page.wait_for_timeout(600)
    assert feed.released[-1] == 16


def test_it_is_spoken(page: Page, feed: Feed) -> None:
    expect(slider(page)).to_have_attribute(
        "aria-valuetext",
        "500 tokens: 4.0 % lose the end of an answer, 51.0 % have a prompt that fills it: left out, "
        "0 % become equal: they teach nothing",
    )


def test_a_finger_drags_it(page: Page, feed: Feed) -> None:
    page.locator("#lengths .wb-lengths-plot").evaluate(
        """(plot) => {
            const box = plot.getBoundingClientRect();
            const at = (share) => ({ pointerId: 7, pointerType: 'touch', isPrimary: true, button: 0, bubbles: true,
                clientX: box.left + 4 + share * (box.width - 18), clientY: box.top + 80 });
            plot.setPointerCapture = () => {};
            plot.dispatchEvent(new PointerEvent('pointerdown', at(0.4)));
            plot.dispatchEvent(new PointerEvent('pointermove', at(0.5)));
            plot.dispatchEvent(new PointerEvent('pointerup', at(0.5)));
        }"""
    )
    expect(slider(page)).to_have_attribute("aria-valuenow", "608")  # half of 1,216


def test_the_reading_says_which_answer_is_longer(page: Page, feed: Feed) -> None:
    expect(page.locator("#lengths .wb-chart-reading").nth(1)).to_have_text(
        "In 100 % of the pairs the chosen answer is the longer one, in 0 % the rejected one."
    )


def test_examples_for_sft_have_no_cloud_and_no_pairs(page: Page, feed: Feed) -> None:
    feed.value = lengths_value(counts_of("sft"), 500, "demo model")
    expect(losses(page)).to_contain_text("of 100 examples")
    expect(losses(page).locator("li")).to_have_count(2)
    expect(page.get_by_text("Is the longer answer preferred?")).to_be_hidden()


def test_before_the_rows_are_counted_it_says_that_it_will_appear(page: Page, feed: Feed) -> None:
    before = page.locator("#lengths").bounding_box()
    feed.value = None
    expect(page.get_by_text("Appears when the rows are counted in tokens.")).to_be_visible()
    expect(slider(page)).to_be_hidden()
    feed.value = lengths_value(TokenCounts("preference"), 500, "demo model")
    page.wait_for_timeout(300)
    expect(slider(page)).to_be_hidden()
    assert before is not None


def test_on_a_narrow_page_nothing_sticks_out(page: Page, feed: Feed) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    expect(slider(page)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_hostile_message_from_a_browser_is_held_to_the_bounds() -> None:
    for sent, taken in [
        (5, 16),
        (1e9, 131072),
        ("1; drop", 131072),
        (None, 131072),
        (float("nan"), 131072),
        (512.7, 512),
    ]:
        assert released_length(gr.EventData(None, {"max_length": sent})) == taken
    assert released_length(gr.EventData(None, {})) == 131072
