"""Two charts on a page, in a real window: looked at together, zoomed and panned, remembered, explained, and saved as files."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from workbench.ui.chart import CHARTS_CLASS, packed, picture
from workbench.ui.explained_view import explained_html
from workbench.ui.launch import launch_kwargs
from workbench.ui.theme import COLOURS

STEPS = range(10, 110, 10)
HELD_OUT = {"name": "held-out", "role": "aligned", "style": "dotted", "weight": "thick"}
TRAINING = HELD_OUT | {"name": "training", "style": "solid"}


def chart(ident: str, **parts: Any) -> dict[str, Any]:
    """Training from 1 down to .1 at step 100, held-out at each second step .05 higher."""
    down = [[step, round(1.1 - step / 100, 2)] for step in STEPS]
    lines = [TRAINING | {"points": down}, HELD_OUT | {"points": [[x, round(y + 0.05, 2)] for x, y in down[1::2]]}]
    return {
        "id": ident, "title": f"The {ident}?", "measure": ident, "unit": "", "x": "step", "log": True,
        "lines": lines, "references": [], "marks": [], "reading": "It falls.",
    } | parts  # fmt: skip


class Feed:
    values: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Feed]]:
    feed = Feed()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        with gr.Blocks() as blocks:
            with gr.Column(elem_classes=CHARTS_CLASS):
                shown = [
                    picture("chart", "loss", explanation=explained_html("dpo-loss")),
                    picture("chart", "margin"),
                ]
            timer = gr.Timer(0.2)
            timer.tick(
                lambda: [packed(feed.values[one]) for one in ("loss", "margin")],
                None, shown, show_progress="hidden", queue=False,
            )  # fmt: skip
        _, url, _ = blocks.launch(prevent_thread_lock=True, **launch_kwargs())
        yield f"{url}?__theme=light", feed
        blocks.close()


@pytest.fixture
def feed(window: tuple[str, Feed], page: Page) -> Feed:
    url, feed = window
    feed.values = {one: chart(one) for one in ("loss", "margin")}
    page.goto(url)
    expect(canvas(page, "margin")).to_have_attribute(
        "aria-label", "The margin? Last values: training 0.1, held-out 0.15."
    )
    return feed


def canvas(page: Page, which: str = "loss") -> Locator:
    return page.locator(f"#{which} canvas")


def point_at(page: Page, share: float, which: str = "loss") -> None:
    box = canvas(page, which).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + share * box["width"], box["y"] + 100)


def drag(page: Page, start: float, end: float) -> None:
    point_at(page, start)
    page.mouse.down()
    point_at(page, (start + end) / 2)
    point_at(page, end)
    page.mouse.up()


def tip(page: Page, which: str = "loss") -> Locator:
    return page.locator(f"#{which} .wb-chart-tip")


def test_both_charts_tell_of_the_step_that_one_is_pointed_at(page: Page, feed: Feed) -> None:
    point_at(page, 0.99)
    expect(tip(page)).to_have_text("step 100training0.1held-out0.15")
    expect(tip(page, "margin")).to_have_text("step 100training0.1held-out0.15")
    feed.values["margin"] = chart("margin", x="step of DPO")
    expect(tip(page, "margin")).to_contain_text("step of DPO 100")
    point_at(page, 0.2)
    expect(tip(page)).to_contain_text("step 20")
    expect(tip(page, "margin")).to_be_hidden()  # another axis counts other steps
    page.mouse.move(2, 2)
    expect(tip(page)).to_be_hidden()


def test_hidden_lines_and_the_log_scale_are_remembered_for_each_chart(page: Page, feed: Feed) -> None:
    page.locator("#loss").get_by_role("button", name="held-out").click()
    page.locator("#loss").get_by_role("button", name="log scale").click()
    page.reload()
    loss, margin = page.locator("#loss"), page.locator("#margin")
    expect(loss.get_by_role("button", name="held-out")).to_have_attribute("aria-pressed", "false")
    expect(loss.get_by_role("button", name="log scale")).to_have_attribute("aria-pressed", "true")
    expect(margin.get_by_role("button", name="held-out")).to_have_attribute("aria-pressed", "true")
    expect(margin.get_by_role("button", name="log scale")).to_have_attribute("aria-pressed", "false")
    below = chart("loss")
    below["lines"][0]["points"][3][1] = -0.1
    feed.values["loss"] = below
    expect(loss.get_by_role("button", name="log scale")).to_be_hidden()  # no place for what is below 0


def test_on_a_log_scale_the_same_ratio_is_the_same_height(page: Page, feed: Feed) -> None:
    """Of the points .1, 1 and 10 the middle one lies halfway."""
    feed.values["loss"] = chart("loss", lines=[TRAINING | {"points": [[1, 0.1], [50, 1], [100, 10]]}])
    expect(page.locator("#loss .wb-chart-line b").first).to_have_text("10")
    page.locator("#loss").get_by_role("button", name="log scale").click()
    with page.expect_download() as saved:
        page.locator("#loss").get_by_role("button", name="Save this chart as SVG").click()
    text = Path(saved.value.path()).read_text()
    line = next(
        one
        for one in ElementTree.fromstring(text).iter()
        if one.get("stroke") == COLOURS["aligned"][0] and one.get("d", "").count("L") == 2
    )
    heights = [float(pair.split(" ")[1]) for pair in line.get("d", "")[1:].split("L")]
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2, abs=0.02)


def test_a_zoom_is_panned_by_mouse_wheel_and_keys(page: Page, feed: Feed) -> None:
    drag(page, 0.5, 0.75)
    whole = page.locator("#loss").get_by_role("button", name="whole run")
    expect(whole).to_be_visible()
    page.keyboard.down("Shift")
    drag(page, 0.2, 0.9)
    page.keyboard.up("Shift")
    point_at(page, 0.98)
    expect(tip(page)).to_contain_text("step 50")
    canvas(page).focus()
    for _ in range(20):
        page.keyboard.press("Shift+ArrowRight")
    point_at(page, 0.98)
    expect(tip(page)).to_contain_text("step 100")  # it stops at the end of the run
    page.keyboard.press("0")
    expect(whole).to_be_hidden()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    expect(whole).to_be_visible()
    assert page.evaluate("window.devicePixelRatio") == 1


def test_a_finding_is_a_mark_in_its_colour_with_its_words_where_it_is_pointed_at(page: Page, feed: Feed) -> None:
    feed.values["loss"] = chart("loss", marks=[{"x": 60, "label": "A step exploded", "severity": "blocker"}])
    expect(page.locator("#loss .wb-unseen").first).to_contain_text("A step exploded at step 60.")
    drawn = canvas(page).evaluate(
        """(canvas, [r, g, b]) => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let at = 0; at < data.length; at += 4) found += data[at] === r && data[at + 1] === g && data[at + 2] === b;
            return found;
        }""",
        [int(COLOURS["blocker"][0][place : place + 2], 16) for place in (1, 3, 5)],
    )
    assert drawn > 60, "a filled circle of radius 7, less its sign"
    canvas(page).focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    # The first press goes from the end of the axis to step 90; the fifth comes to step 50.
    expect(tip(page)).to_contain_text("step 50")
    expect(tip(page)).not_to_contain_text("exploded")
    page.keyboard.press("ArrowRight")
    expect(tip(page)).to_contain_text("× A step exploded")
    expect(page.locator("#loss [aria-live]")).to_have_text("step 60; training 0.5; held-out 0.55; A step exploded")


def test_a_chart_is_saved_as_numbers_and_as_pictures(page: Page, feed: Feed) -> None:
    hostile = "<script>window.ran=1</script>\"'"
    band = [[step, 0.2, 0.9] for step in (20, 40)]
    lines = [
        TRAINING | {"name": "=1+1", "points": [[10, 0.5], [20, None], [40, 0.25]]},
        HELD_OUT | {"points": [[20, 0.4]], "band": band},
    ]
    feed.values["loss"] = chart(
        "loss", title=hostile, lines=lines, marks=[{"x": 20, "label": hostile, "severity": None}]
    )
    expect(page.locator("#loss h3")).to_have_text(hostile)
    found = {}
    for kind in ("CSV", "SVG", "PNG"):
        with page.expect_download() as saved:
            page.locator("#loss").get_by_role("button", name=f"Save this chart as {kind}").click()
        assert saved.value.suggested_filename == f"loss.{kind.lower()}"
        found[kind] = Path(saved.value.path())
    assert found["CSV"].read_text("utf-8-sig").splitlines() == [
        '"step","\'=1+1","held-out","held-out, low","held-out, high"',
        "10,0.5,,,",
        "20,,0.4,0.2,0.9",
        "40,0.25,,0.2,0.9",
    ]
    svg = ElementTree.fromstring(found["SVG"].read_text())
    assert {one.tag.split("}")[1] for one in svg.iter()} == {"svg", "path", "text", "clipPath", "g"}
    assert hostile in [one.text for one in svg.iter() if one.text]
    with Image.open(found["PNG"]) as image:
        assert image.format == "PNG" and image.width == 1800
        assert image.convert("RGB").getpixel((5, 5)) == (255, 255, 255)
    assert page.evaluate("window.ran") is None


def test_of_several_runs_each_is_switched_off_as_a_whole(page: Page, feed: Feed) -> None:
    plain = chart("loss")
    lines = [
        copy.deepcopy(line) | {"run": run, "role": f"run{place}"}
        for place, run in enumerate(("first", "second"), start=1)
        for line in plain["lines"]
    ]
    feed.values["loss"] = plain | {"lines": lines}
    buttons = page.locator("#loss .wb-chart-line")
    expect(buttons).to_have_text(["first0.15", "second0.15", "training", "held-out"])
    point_at(page, 0.99)
    expect(tip(page)).to_have_text("step 100training · held-outfirst0.1 · 0.15second0.1 · 0.15")
    buttons.nth(1).click()
    point_at(page, 0.99)
    expect(tip(page)).to_have_text("step 100training · held-outfirst0.1 · 0.15")
    buttons.nth(3).click()
    point_at(page, 0.99)
    expect(tip(page)).to_have_text("step 100first0.1")


def test_what_a_chart_shows_is_explained_and_stays_open(page: Page, feed: Feed) -> None:
    expect(page.locator("#margin summary")).to_have_text(["show as table"])
    page.locator("#loss").get_by_text("what is this?").click()
    feed.values["loss"] = chart("loss", reading="It falls on.")
    expect(page.locator("#loss .wb-chart-reading")).to_have_text("It falls on.")
    expect(page.locator("#loss .wb-explained")).to_contain_text("Rafailov et al. 2023, eq. 7")
    expect(page.locator("#loss .wb-explained svg")).to_have_count(2)
