"""How soon a new number is on the screen, how soon a reload shows everything, and what hours of watching cost the window.

    python tests/benchmarks/live_page.py [--numbers 60] [--reloads 10] [--hours 8] [--seconds 300]

A window in a process of its own, a run whose rows this program writes, and a headless Chromium on Watch. A number counts from the
moment when its line is in metrics.jsonl to the moment when the legend of the chart tells it; it is asked for every 50 ms. A
reload counts until every chart of the run is drawn. The hours are those of a run that logs a row a second, written in
--seconds with three tabs open: as many rows and redrawings per tick, not as many ticks. The exit status is 1 where a limit is
passed.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import psutil  # noqa: E402
from browser.conftest import _QUIET, browser_program  # noqa: E402
from browser.windows import Window  # noqa: E402
from configs import demo_config  # noqa: E402
from made_runs import create_run  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from workbench.engine.journal import log_numbers  # noqa: E402
from workbench.jobs import processes  # noqa: E402
from workbench.store.runs import Run  # noqa: E402

MOST_DELAY, MOST_RELOAD, MOST_GROWTH = 2.5, 3.0, 50.0  # seconds (95th percentile), seconds (median), MB
STEPS = 10**6
PREFERENCE = ("dpo-loss", "margin", "accuracy", "rewards")
TOLD = "wanted => document.querySelector('#wb-chart-dpo-loss .wb-chart-line b')?.textContent === wanted"
DRAWN = "ids => ids.every(id => document.querySelector(`#wb-chart-${id} .wb-chart-line b`)?.textContent)"


class Writer:
    """A run that this program pretends to train."""

    def __init__(self) -> None:
        config = demo_config("live", method="dpo", sft_data=None, dpo={"max_steps": STEPS})
        self.run: Run = create_run(config)
        self.run.add_to_environment({"plan": {"dpo": STEPS}})
        self.run.write_worker(os.getpid(), processes.started(os.getpid()) or 0.0)
        self.step = 0

    def row(self) -> str:
        """Log one more step; gives the loss as a legend tells it."""
        self.step += 1
        loss = round(0.2 + (self.step * 7919 % 4999) / 10_000, 4)
        reward = math.log1p(self.step) / 10
        log_numbers(
            self.run, "dpo", self.step, STEPS,
            {"loss": loss, "rewards/margins": reward, "rewards/accuracies": 0.75, "rewards/chosen": reward / 3,
             "rewards/rejected": -reward, "learning_rate": 1e-5, "grad_norm": 1.0, "num_tokens": 900.0 * self.step},
        )  # fmt: skip
        return f"{loss:.4g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=60)
    parser.add_argument("--reloads", type=int, default=10)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seconds", type=float, default=300.0, help="in which the rows of those hours are written")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="live-page-")) / "home"
    os.environ["WORKBENCH_HOME"] = str(home)
    writer, window = Writer(), Window(home)
    for _ in range(200):
        writer.row()
    window.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_program(), args=list(_QUIET))
            page = watching(browser, window)
            delays = sorted(delay(page, writer) for _ in range(options.numbers))
            reloads = [reload(page) for _ in range(options.reloads)]
            late = delays[math.ceil(0.95 * len(delays)) - 1]
            middle = statistics.median(reloads)
            print(f"a new number on the screen: median {statistics.median(delays):.2f} s, 95th percentile {late:.2f} s")
            print(f"a reload shows all charts: median {middle:.2f} s, longest {max(reloads):.2f} s", flush=True)
            grown = growth(browser, window, writer, options)
            browser.close()
    finally:
        (writer.run.folder / "worker.json").unlink()  # the window would take this program for a worker to be ended
        window.close()
    return int(late > MOST_DELAY or middle > MOST_RELOAD or grown > MOST_GROWTH)


def watching(browser: Browser, window: Window) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.goto(window.address)
    page.get_by_role("tab", name="4 Watch").click()
    page.wait_for_function(DRAWN, arg=list(PREFERENCE))
    return page


def delay(page: Page, writer: Writer) -> float:
    """Seconds from a written row to its number on the page. Rows come at any time between two ticks."""
    time.sleep(0.2 + writer.step * 0.618 % 1)
    wanted = writer.row()
    began = time.monotonic()
    page.wait_for_function(TOLD, arg=wanted, polling=50)
    return time.monotonic() - began


def reload(page: Page) -> float:
    began = time.monotonic()
    page.reload()
    page.wait_for_function(DRAWN, arg=list(PREFERENCE), polling=50)
    return time.monotonic() - began


def growth(browser: Browser, window: Window, writer: Writer, options: argparse.Namespace) -> float:
    """MB that the window takes more after the hours than before, with three tabs open."""
    pages = [watching(browser, window) for _ in range(3)]
    time.sleep(30)
    rows = round(3600 * options.hours)
    before, began = memory_of(window), time.monotonic()
    print(f"{'hours':>6}{'rows':>8}{'window MB':>11}")
    for number in range(1, rows + 1):
        writer.row()
        time.sleep(max(0.0, began + number / rows * options.seconds - time.monotonic()))
        if number % max(1, rows // 8) == 0:
            print(f"{number / 3600:>6.1f}{number:>8,}{memory_of(window):>11.1f}", flush=True)
    time.sleep(10)
    after = memory_of(window)
    print(f"the window's memory: {before:.1f} MB before, {after:.1f} MB after ({after - before:+.1f})")
    for page in pages:
        page.context.close()
    return after - before


def memory_of(window: Window) -> float:
    assert window.process
    return float(psutil.Process(window.process.pid).memory_info().rss) / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
