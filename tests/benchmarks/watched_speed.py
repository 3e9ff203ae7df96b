"""Steps per second of a real run with ten tabs open on Watch, against none.

    python tests/benchmarks/watched_speed.py [--rounds 5] [--seconds 20] [--tabs 10] [--threads 1]

A window in a process of its own, a DPO run on the demo model that goes on for as long as this takes, and pages of a headless
Chromium. Both ways are measured in turn, in each round the other one first; the median of the tabs is to be at
least LEAST of the median without. The worker gets its own core (--threads), so that on two cores it shares none with the
browser, which on a machine with a card it would not notice either. The exit status is 1 where the tabs cost more.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser.conftest import _QUIET, browser_program  # noqa: E402
from browser.windows import Window  # noqa: E402
from configs import demo_config  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from workbench.jobs import training  # noqa: E402
from workbench.store.runs import Run  # noqa: E402

LEAST = 0.97
SETTLING = 3.0  # seconds from opening or closing the tabs to the first step that counts
PLENTY = 100_000  # steps; more than there is time for


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--tabs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1, help="of the worker")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="watched-speed-")) / "home"
    os.environ |= {"WORKBENCH_HOME": str(home), "OMP_NUM_THREADS": str(options.threads)}
    print(f"The run is in {home}.", flush=True)
    run = endless_run()
    window = Window(home)
    try:
        wait_for_steps(run)
        window.start()
        with chromium() as browser:
            found = measured(run, browser, window.address, options)
    finally:
        training.end(run)
        window.close()
    return told(found)


def endless_run() -> Run:
    """Trains, and does nothing else: no evaluation, sample or checkpoint falls into a measurement."""
    return training.start(
        demo_config(
            "endless", method="dpo", sft_data=None, batch_size=4, max_length=128, evaluations=1, held_out_limit=8,
            checkpoint_steps=PLENTY, dpo={"learning_rate": 1e-6, "epochs": 50, "max_steps": PLENTY},
        )
    )  # fmt: skip


def wait_for_steps(run: Run) -> None:
    until = time.monotonic() + 600
    while steps_of(run) < 5:
        assert training.state_of(run) == "running" and time.monotonic() < until, training.in_words(run) + run.log_tail()
        time.sleep(0.2)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=list(_QUIET))
        yield browser
        browser.close()


def measured(run: Run, browser: Browser, address: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Steps per second, by way; one of each in every round."""
    found: dict[str, list[float]] = {"none": [], "tabs": []}
    print(f"{'round':<8}{'no tab':>12}{f'{options.tabs} tabs':>12}{'share':>8}")
    for number in range(options.rounds):
        for way in ("none", "tabs") if number % 2 == 0 else ("tabs", "none"):
            with on_watch(browser, address, options.tabs if way == "tabs" else 0):
                time.sleep(SETTLING)
                found[way].append(steps_per_second(run, options.seconds))
        none, tabs = found["none"][-1], found["tabs"][-1]
        print(f"{number + 1:<8}{none:>12.2f}{tabs:>12.2f}{tabs / none:>8.3f}", flush=True)
    return found


@contextmanager
def on_watch(browser: Browser, address: str, tabs: int) -> Iterator[None]:
    """Pages that show the run as it trains."""
    contexts = [browser.new_context() for _ in range(tabs)]
    for context in contexts:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.get_by_role("tab", name="4 Watch").click()
        page.locator("#wb-watch-head", has_text="step").wait_for()
    yield
    for context in contexts:
        context.close()


def steps_per_second(run: Run, seconds: float) -> float:
    """By the steps that were logged meanwhile, and the time between the first and the last of them."""
    began = time.time()
    time.sleep(seconds)
    rows = [row for row in run.metrics() if "loss" in row and row["time"] >= began]
    assert len(rows) > 1, f"too few steps in {seconds} s: {run.log_tail()}"
    return float((rows[-1]["step"] - rows[0]["step"]) / (rows[-1]["time"] - rows[0]["time"]))


def steps_of(run: Run) -> int:
    return sum("loss" in row for row in run.metrics())


def told(found: dict[str, list[float]]) -> int:
    none, tabs = (statistics.median(found[way]) for way in ("none", "tabs"))
    enough = tabs / none >= LEAST
    print(f"{'median':<8}{none:>12.2f}{tabs:>12.2f}{tabs / none:>8.3f}   at least {LEAST}: {'yes' if enough else 'NO'}")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
