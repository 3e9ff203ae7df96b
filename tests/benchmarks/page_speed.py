"""How long a page is busy at rest, and how long a click on Train takes, with the page's index and with Gradio's own search.

    python tests/benchmarks/page_speed.py [--rounds 5] [--seconds 10]

A window in a process of its own and a headless Chromium, both ways in turns (workbench/ui/page_tree.py). Busy is the sum of the
tasks of 50 ms and more in which a page answers to nothing; a click counts until the fields of the method that was chosen are there.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser.conftest import _QUIET, browser_program  # noqa: E402
from browser.windows import Window  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from workbench.ui.page_tree import ASSETS  # noqa: E402

PAGES = ("1 Model", "2 Data", "3 Train", "4 Watch", "5 Compare")
LISTEN = """() => {
    window.busy = 0;
    new PerformanceObserver(tasks => { for (const task of tasks.getEntries()) window.busy += task.duration })
        .observe({entryTypes: ['longtask']});
}"""
SETTLE = 3000  # ms, for what a page asks when it is opened


def opened(browser: Browser, address: str, with_index: bool) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    if not with_index:
        [script] = [file.read_text(encoding="utf-8") for file in ASSETS.glob("core-*.js")]
        page.route("**/assets/core-*.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
    page.goto(address)
    page.get_by_role("tab", name=PAGES[0]).wait_for()
    page.evaluate(LISTEN)
    return page


def measure(page: Page, seconds: float) -> dict[str, float]:
    """Share of the time that each page is busy at rest, in percent, and the seconds of a choice of method."""
    found = {}
    for title in PAGES:
        page.get_by_role("tab", name=title).click()
        page.wait_for_timeout(SETTLE)
        page.evaluate("() => { window.busy = 0 }")
        page.wait_for_timeout(1000 * seconds)
        found[f"busy, {title}, %"] = page.evaluate("window.busy") / seconds / 10
    page.get_by_role("tab", name="3 Train").click()
    page.wait_for_timeout(SETTLE)
    for method, field in (("KTO", "kto"), ("DPO", "dpo")):
        begun = time.perf_counter()
        page.get_by_label(method, exact=True).check()
        page.locator(f"#wb-setting-{field}-beta").wait_for()
        found[f"choose {method}, s"] = time.perf_counter() - begun
        page.wait_for_timeout(SETTLE)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="that each page is watched at rest")
    options = parser.parse_args()
    window = Window(Path(tempfile.mkdtemp()) / "home")
    window.start()
    taken: dict[str, dict[bool, list[float]]] = defaultdict(lambda: {False: [], True: []})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=list(_QUIET))
        for _ in range(options.rounds):
            for with_index in (False, True):
                page = opened(browser, window.address, with_index)
                for what, value in measure(page, options.seconds).items():
                    taken[what][with_index].append(value)
                page.context.close()
        browser.close()
    window.close()
    print(f"medians of {options.rounds} rounds; load {os.getloadavg()[0]:.1f}")
    print(f"{'':<24}{'search':>9}{'index':>9}")
    for what, by in taken.items():
        print(f"{what:<24}{statistics.median(by[False]):>9.2f}{statistics.median(by[True]):>9.2f}")


if __name__ == "__main__":
    main()
