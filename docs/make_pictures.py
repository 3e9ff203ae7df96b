"""Make the pictures of these pages: `python docs/make_pictures.py [--home DIR] [NAME ...]`.

Opens the window on a copy of a home that holds the runs of the demo, clicks through it in Chromium (WORKBENCH_CHROMIUM names
it where it is not called chromium), 1280 pixels wide and light, and writes docs/pictures/*.png with a palette of colours.
What the home does not hold is trained first: about a quarter of an hour on two cores. It needs `pip install -e ".[test]"`.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser"), str(ROOT / "tests")]

from conftest import browser_program  # noqa: E402  the same Chromium as the tests'
from windows import Window  # noqa: E402

RUNS = {"demo": [], "demo-sft": ["--rlhf"]}  # the first run that a command makes -> what it is told
WIDE = 1280
SOON = 60_000  # milliseconds
COLOURS = 256
MARGIN = 12  # pixels around what is shown


def main() -> None:
    expect.set_options(timeout=SOON)
    parser = argparse.ArgumentParser(description="Make the pictures of docs/.")
    parser.add_argument(
        "--home", type=Path, help="a home with the runs of `workbench demo` and `workbench demo --rlhf`"
    )
    parser.add_argument("names", nargs="*", help=f"only these, of {', '.join(PAGES)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        if options.home:
            shutil.copytree(options.home, home)
        names = options.names or list(PAGES)
        make_ready(home)
        window = Window(home)
        try:
            window.start()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=browser_program(), args=["--no-sandbox", "--disable-gpu"]
                )
                for name in names:
                    page = browser.new_page(viewport={"width": WIDE, "height": 900}, color_scheme="light")
                    page.set_default_timeout(SOON)
                    page.goto(window.address)
                    expect(page.locator("#wb-status")).to_contain_text("Workbench")
                    PAGES[name](page)
                    page.close()
        finally:
            window.close()
    print(f"{sum(file.stat().st_size for file in PICTURES.glob('*.png')) / 1000:.0f} kB in all")


def make_ready(home: Path) -> None:
    """Train what is missing."""
    environment = os.environ | {"WORKBENCH_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    wanted = [["demo", *flags] for run, flags in RUNS.items() if not (home / "runs" / run / "result.json").is_file()]
    for command in wanted:
        subprocess.run([sys.executable, "-m", "workbench", *command], cwd=ROOT, env=environment, check=True)


def shoot(name: str, *shown: Locator, most: int = 1000) -> None:
    """A picture of what is shown, with all between; at most so many pixels high."""
    page = shown[0].page
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")  # the status line stays in view, and would lie across the picture
    page.wait_for_timeout(700)  # charts and pages are drawn a moment after they are there
    boxes = [
        one.evaluate(
            "e => { const r = e.getBoundingClientRect(); return [r.left, r.top + scrollY, r.right, r.bottom + scrollY] }"
        )
        for one in shown
    ]
    left, top = (max(0, min(box[side] for box in boxes) - MARGIN) for side in (0, 1))
    right, bottom = min(WIDE, max(box[2] for box in boxes) + MARGIN), max(box[3] for box in boxes) + MARGIN
    clip = {"x": left, "y": top, "width": right - left, "height": min(bottom - top, most)}
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip, animations="disabled"))).convert("RGB")
    file = PICTURES / f"{name}.png"
    PICTURES.mkdir(exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.name}: {picture.width} x {picture.height}, {file.stat().st_size / 1000:.0f} kB")


def open_page(page: Page, name: str) -> Locator:
    """Choose a page; gives the part of the window that it is."""
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel").filter(visible=True).first


def choose(page: Page, dropdown: str, words: str) -> None:
    field = page.locator(f"#{dropdown} input")
    field.click()
    page.get_by_role("option", name=re.compile(words)).first.click()


def start_page(page: Page) -> None:
    shoot("tour-start", page.locator("#wb-status"), page.locator("#wb-model-use"), most=760)


def model(page: Page) -> None:
    page.locator("#wb-model-load").click()
    expect(page.locator("#wb-model-meaning")).to_contain_text("Backend", timeout=3 * SOON)
    shoot("model", page.locator("#wb-model-source"), page.locator("#wb-model-meaning"), page.locator("#wb-model-use"))


def data(page: Page) -> None:
    open_page(page, "2 Data")
    expect(page.locator("#wb-data-verdict")).to_contain_text("Good")
    shoot(
        "data", page.locator("#wb-data-dataset"), page.locator("#wb-data-use"), page.locator("#wb-data-about"), most=860
    )


def row(page: Page) -> None:
    open_page(page, "2 Data")
    page.locator("#wb-data-views").get_by_role("tab", name="Rows", exact=True).click()
    expect(page.locator("#wb-data-row")).to_contain_text("chosen")
    shoot("tour-row", page.locator("#wb-data-row"), most=520)


def train(page: Page) -> None:
    page.locator("#wb-try-it").click()
    expect(page.locator("#wb-train-meaning")).to_contain_text("What will happen")
    shoot(
        "train",
        page.locator("#wb-train-recipe"),
        page.locator("#wb-train-meaning"),
        page.locator("#wb-train-start"),
        most=1000,
    )


def show_run(page: Page, run: str, chart: str) -> None:
    """The Watch page with a run whose charts are drawn."""
    open_page(page, "4 Watch")
    expect(page.locator("#wb-watch-run input")).not_to_have_value("")
    choose(page, "wb-watch-run", rf"^{run}(?![\w-])")
    expect(page.locator("#wb-watch-head")).to_contain_text(f"{run} is finished")
    expect(page.locator(f"#wb-chart-{chart} canvas")).to_have_attribute("aria-label", re.compile(r"\d"))


def watch(page: Page) -> None:
    show_run(page, "demo", "margin")
    shoot(
        "watch",
        page.locator("#wb-chart-sft-loss"),
        page.locator("#wb-chart-accuracy"),
        page.locator("#wb-chart-margin"),
    )


def samples(page: Page) -> None:
    show_run(page, "demo", "margin")
    page.get_by_role("button", name="Sample answers: before and now").click()
    expect(page.locator("#wb-watch-samples")).to_contain_text("step")
    shoot("tour-samples", page.locator("#wb-watch-samples"), most=560)


def compare(page: Page) -> None:
    open_page(page, "5 Compare")
    expect(page.locator("#wb-compare-right input")).not_to_have_value("")
    choose(page, "wb-compare-right", r"^demo(?![\w-])")
    page.get_by_role("button", name="What is a baby dog called?").click()
    for side in ("left", "right"):
        expect(page.locator(f"#wb-lane-{side} .wb-note")).to_contain_text("tok/s", timeout=3 * SOON)
    expect(page.locator("#wb-vote-right")).to_be_enabled()
    page.get_by_label("Show what alignment changed").check()
    expect(page.locator("#wb-compare-reading")).not_to_be_empty()
    page.wait_for_timeout(4000)
    shoot(
        "compare",
        page.locator("#wb-lane-left"),
        page.locator("#wb-lane-right"),
        page.locator("#wb-compare-reading"),
    )


def chart_of(run: str, chart: str, name: str) -> Callable[[Page], None]:
    def make(page: Page) -> None:
        show_run(page, run, chart)
        shoot(name, page.locator(f"#wb-chart-{chart}"))

    return make


PAGES: dict[str, Callable[[Page], None]] = {
    "tour-start": start_page,
    "model": model,
    "data": data,
    "tour-row": row,
    "train": train,
    "watch": watch,
    "tour-samples": samples,
    "compare": compare,
    "dpo-margin": chart_of("demo-dpo", "margin", "dpo-margin"),
    "dpo-rewards": chart_of("demo-dpo", "rewards", "dpo-rewards"),
    "reward-accuracy": chart_of("demo-reward", "accuracy", "reward-accuracy"),
    "rloo-reward": chart_of("demo-rloo", "reward", "rloo-reward"),
    "rloo-divergence": chart_of("demo-rloo", "divergence", "rloo-divergence"),
}


if __name__ == "__main__":
    main()
