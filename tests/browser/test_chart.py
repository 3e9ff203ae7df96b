"""The chart, in a real window with its guard and content policy, seen through a real browser."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import Locator, Page, expect

from workbench.ui.chart import CHARTS_CLASS, packed, picture
from workbench.ui.launch import launch_kwargs
from workbench.ui.theme import COLOURS

LOSS = {
    "id": "loss",
    "title": "Does it fit the data?",
    "measure": "loss",
    "unit": "nats",
    "x": "step",
    "lines": [
        {"name": "training", "role": "aligned", "style": "solid", "weight": "thick",
         "points": [[10, 0.6931], [20, 0.62], [30, None], [40, 0.48], [50, 0.41]]},
        {"name": "held-out", "role": "chosen", "style": "dotted", "weight": "thin",
         "points": [[20, 0.65], [40, 0.52]]},
    ],
    "references": [{"y": 0.6931, "label": "ln 2"}],
    "marks": [{"x": 20, "label": "DPO starts"}],
    "reading": "Lower is better.",
}  # fmt: skip


class Feed:
    """What the next tick shows."""

    value: dict[str, Any] | None = None

    def changed(self, **parts: Any) -> None:
        """Give LOSS with other parts."""
        self.value = copy.deepcopy(LOSS) | parts

    def grown(self, step: int, loss: float) -> None:
        """Log one more training step."""
        value = copy.deepcopy(self.value)
        assert value is not None
        value["lines"][0]["points"].append([step, loss])
        self.value = value


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Feed]]:
    """A window with a chart on its second page, and a timer that shows what is fed."""
    feed = Feed()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        with gr.Blocks() as blocks:
            with gr.Tabs():
                with gr.Tab("First"):
                    gr.Markdown("Nothing here.")
                with gr.Tab("Watch"), gr.Column(elem_classes=CHARTS_CLASS):
                    shown = picture("chart", "loss")
            timer = gr.Timer(0.2)
            timer.tick(lambda: packed(feed.value), None, shown, show_progress="hidden", queue=False)
        options = launch_kwargs()
        _, url, _ = blocks.launch(prevent_thread_lock=True, **options)
        yield url, feed
        blocks.close()


@pytest.fixture
def feed(window: tuple[str, Feed], page: Page) -> Feed:
    """The page is open at the chart, which shows LOSS."""
    url, feed = window
    feed.changed()
    page.goto(f"{url}?__theme=light")
    page.get_by_role("tab", name="Watch").click()
    expect(canvas(page)).to_have_attribute(
        "aria-label", "Does it fit the data? Last values: training 0.41, held-out 0.52."
    )
    return feed


def canvas(page: Page) -> Locator:
    return page.locator("#loss canvas")


def pixels_of(page: Page, colour: str) -> int:
    """How many pixels of the canvas have exactly this colour, written #rrggbb."""
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return canvas(page).evaluate(
        """(canvas, [r, g, b]) => {
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let found = 0;
            for (let at = 0; at < data.length; at += 4) {
                found += data[at] === r && data[at + 1] === g && data[at + 2] === b && data[at + 3] === 255;
            }
            return found;
        }""",
        wanted,
    )


def drag(page: Page, start: float, end: float) -> None:
    """Drag over the chart, from one share of its width to another."""
    box = canvas(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + start * box["width"], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], box["y"] + 100, steps=4)
    page.mouse.up()


def tip_at(page: Page, share: float) -> Locator:
    box = canvas(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + share * box["width"], box["y"] + 60)
    return page.locator("#loss .wb-chart-tip")


def test_a_chart_in_a_tab_that_opens_later_is_drawn_in_full_size(page: Page, feed: Feed) -> None:
    width = canvas(page).evaluate("canvas => canvas.clientWidth")
    assert width > 400
    assert canvas(page).evaluate("canvas => canvas.width") == width
    assert pixels_of(page, COLOURS["aligned"][0]) > 100
    expect(page.locator("#loss .wb-chart-measure")).to_have_text("loss (nats)")
    expect(page.locator("#loss .wb-chart-reading")).to_have_text("Lower is better.")


def test_a_new_step_reaches_legend_and_description(page: Page, feed: Feed) -> None:
    feed.grown(60, 2e-4)
    expect(canvas(page)).to_have_attribute(
        "aria-label", "Does it fit the data? Last values: training 2e-4, held-out 0.52."
    )
    expect(page.locator("#loss .wb-chart-line").first).to_have_text("training2e-4")


@pytest.mark.parametrize("value", [None, LOSS | {"lines": []}], ids=["nothing", "no lines"])
def test_before_the_first_step_it_says_that_it_will_appear(
    page: Page, feed: Feed, value: dict[str, Any] | None
) -> None:
    feed.value = value
    expect(page.locator("#loss .wb-chart-empty")).to_have_text("Appears with the first logged step.")
    expect(page.locator("#loss .wb-chart-empty")).to_be_visible()
    expect(page.locator("#loss .wb-chart-table")).to_be_hidden()
    assert pixels_of(page, COLOURS["aligned"][0]) == 0


def test_a_single_point_is_a_dot(page: Page, feed: Feed) -> None:
    feed.changed(lines=[LOSS["lines"][0] | {"points": [[1, 0.6931]]}], references=[], marks=[])
    expect(page.locator("#loss .wb-chart-line")).to_have_count(1)
    # A dot of radius 3 and its edge of 0.75: pi * 3.75 ** 2 = 44, less the pixels that its round edges only touch.
    assert 12 <= pixels_of(page, COLOURS["aligned"][0]) <= 44


def test_the_tip_shows_the_values_of_the_nearest_step(page: Page, feed: Feed) -> None:
    expect(tip_at(page, 0.79)).to_have_text("step 40training0.48held-out0.52")
    # Step 30 has no value; 50 is the last, where only training was measured.
    expect(tip_at(page, 0.98)).to_have_text("step 50training0.41")


def test_arrow_keys_walk_from_step_to_step(page: Page, feed: Feed) -> None:
    canvas(page).focus()
    page.keyboard.press("ArrowLeft")
    tip = page.locator("#loss .wb-chart-tip")
    expect(tip).to_contain_text("step 40")
    page.keyboard.press("ArrowLeft")
    expect(tip).to_contain_text("step 20")


def test_a_zoom_outlives_ticks_until_the_whole_run_is_asked_for(page: Page, feed: Feed) -> None:
    whole = page.get_by_role("button", name="whole run")
    expect(whole).to_be_hidden()
    drag(page, 0.3, 0.55)
    expect(whole).to_be_visible()
    feed.grown(60, 0.4)
    expect(canvas(page)).to_have_attribute(
        "aria-label", "Does it fit the data? Last values: training 0.4, held-out 0.52."
    )
    expect(whole).to_be_visible()
    # From about step 13 to 26, so that the far right is still nearest to step 20.
    expect(tip_at(page, 0.98)).to_contain_text("step 20")
    whole.click()
    expect(whole).to_be_hidden()
    expect(tip_at(page, 0.98)).to_contain_text("step 60")


def test_a_zoom_outlives_a_look_at_another_page(page: Page, feed: Feed) -> None:
    drag(page, 0.3, 0.55)
    page.get_by_role("tab", name="First").click()
    expect(canvas(page)).to_be_hidden()
    page.get_by_role("tab", name="Watch").click()
    expect(page.get_by_role("button", name="whole run")).to_be_visible()


def test_a_double_click_shows_the_whole_run(page: Page, feed: Feed) -> None:
    drag(page, 0.3, 0.55)
    expect(page.get_by_role("button", name="whole run")).to_be_visible()
    canvas(page).dblclick()
    expect(page.get_by_role("button", name="whole run")).to_be_hidden()


def test_another_run_with_nothing_in_the_zoom_is_shown_whole(page: Page, feed: Feed) -> None:
    drag(page, 0.6, 0.95)
    expect(page.get_by_role("button", name="whole run")).to_be_visible()
    feed.changed(lines=[LOSS["lines"][0] | {"points": [[1, 0.69], [2, 0.68]]}])
    expect(page.get_by_role("button", name="whole run")).to_be_hidden()


def test_a_second_stage_is_not_pushed_to_the_right(page: Page, feed: Feed) -> None:
    """DPO after 60 steps of SFT: the middle between 61 and 81 is 71. Counted from 0, nothing would be left of 61."""
    feed.changed(
        lines=[LOSS["lines"][0] | {"points": [[step, 0.5] for step in range(61, 82)]}], marks=[], references=[]
    )
    expect(page.locator("#loss .wb-chart-line")).to_have_count(1)
    expect(tip_at(page, 0.5)).to_contain_text("step 71")


def test_a_line_that_was_switched_off_stays_off_and_keeps_the_focus(page: Page, feed: Feed) -> None:
    button = page.get_by_role("button", name="training")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "false")
    feed.grown(60, 0.33)
    expect(button).to_contain_text("0.33")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(button).to_be_focused()
    assert pixels_of(page, COLOURS["aligned"][0]) == 0
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(50)
    assert pixels_of(page, COLOURS["aligned"][0]) > 100


def noisy_line(points: int) -> dict[str, Any]:
    return LOSS["lines"][0] | {"points": [[step, 1 / step + 0.1 * (-1) ** step] for step in range(1, points + 1)]}


def test_only_a_long_and_noisy_line_is_offered_to_be_smoothed(page: Page, feed: Feed) -> None:
    smooth = page.get_by_role("button", name="smooth")
    expect(smooth).to_be_hidden()
    learning_rate = noisy_line(100) | {"points": [[step, 2e-4 * math.cos(step / 100)] for step in range(1, 101)]}
    feed.changed(lines=[learning_rate])
    expect(page.locator("#loss .wb-chart-line")).to_have_count(1)
    expect(page.locator("#loss .wb-chart-line")).to_contain_text("1.08e-4")
    expect(smooth).to_be_hidden()
    feed.changed(lines=[noisy_line(61)])
    expect(smooth).to_have_attribute("aria-pressed", "true")
    smooth.click()
    feed.changed(lines=[noisy_line(62)])
    expect(page.locator("#loss .wb-chart-line")).to_contain_text("0.1161")
    expect(smooth).to_have_attribute("aria-pressed", "false")


def test_the_table_has_the_numbers_of_the_chart(page: Page, feed: Feed) -> None:
    expect(page.locator("#loss td")).to_have_count(0)
    page.get_by_text("show as table").click()
    rows = page.locator("#loss tr")
    expect(rows).to_have_count(6)
    assert [row.locator("th, td").all_inner_texts() for row in rows.all()] == [
        ["step", "training", "held-out"],
        ["10", "0.6931", ""],
        ["20", "0.62", "0.65"],
        ["30", "", ""],
        ["40", "0.48", "0.52"],
        ["50", "0.41", ""],
    ]


def test_the_table_of_a_long_run_says_that_it_leaves_rows_out(page: Page, feed: Feed) -> None:
    feed.changed(lines=[noisy_line(1000)])
    page.get_by_text("show as table").click()
    expect(page.locator("#loss tbody tr")).to_have_count(200)
    expect(page.locator("#loss tbody tr").last).to_contain_text("1000")
    expect(page.locator("#loss .wb-chart-note")).to_have_text("200 of 1,000 logged steps, evenly spaced.")


def test_dark_mode_draws_again_in_its_own_colours(page: Page, feed: Feed) -> None:
    light, dark = COLOURS["aligned"]
    assert pixels_of(page, light) > 100
    page.evaluate("document.body.classList.add('dark')")
    page.wait_for_timeout(100)
    assert pixels_of(page, light) == 0
    assert pixels_of(page, dark) > 100


def test_a_narrower_window_draws_again_without_a_sideways_scroll(page: Page, feed: Feed) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(200)
    width = canvas(page).evaluate("canvas => canvas.clientWidth")
    assert 250 < width < 390
    assert canvas(page).evaluate("canvas => canvas.width") == width
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_names_are_only_text(page: Page, feed: Feed) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    hostile = "<img src=https://evil.example/x.png onerror='window.ran=1'>${window.ran=2}{{constructor}}`<script>window.ran=3</script>"
    feed.changed(
        title=hostile,
        measure=hostile,
        unit=hostile,
        reading=hostile,
        lines=[line | {"name": hostile} for line in LOSS["lines"]],
        references=[{"y": 0.6931, "label": hostile}],
        marks=[{"x": 20, "label": hostile}],
    )
    expect(page.locator("#loss .wb-chart-title")).to_have_text(hostile)
    page.get_by_text("show as table").click()
    tip_at(page, 0.79)
    expect(page.locator("#loss th").nth(1)).to_have_text(hostile)
    assert page.locator("#loss img, #loss script").count() == 0
    assert page.evaluate("window.ran") is None
    assert requests
    assert not [url for url in requests if "evil.example" in url]
