"""Steps per second of a real run with ten tabs open on Watch, against none.

    python tests/benchmarks/watched_speed.py [--rounds 5] [--seconds 20] [--tabs 10] [--visible 1] [--shared]

A window in a process of its own, a DPO run on the demo model that goes on for as long as this takes, and pages of a headless
Chromium. Both ways are measured in turn, in each round the other one first; the median of the tabs is to be at
least LEAST of the median without. The exit status is 1 where the tabs cost more.

The worker has a core of its own, and the window and the browser the others: so the figure says what the tabs cost the run
itself, through files and locks. What they take of the machine stands beside it, in cores. --shared gives all of them all
cores: on a machine with two, ten pages that draw without a graphics card leave little for anybody.

Of the tabs of one browser window one is visible, and Gradio's timer rests in the others. A headless Chromium takes all of its
pages for visible, so the hidden ones are told that they are hidden. --visible 10 measures ten windows side by side.
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

import psutil  # noqa: E402
from browser.conftest import _QUIET, browser_program  # noqa: E402
from browser.windows import Window  # noqa: E402
from configs import demo_config  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from workbench.jobs import training  # noqa: E402
from workbench.store.runs import Run  # noqa: E402

LEAST = 0.97
SETTLING = 6.0  # seconds from opening or closing the tabs to the first step that counts
HIDE = """() => {
  Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
  Object.defineProperty(document, "hidden", { get: () => true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
PLENTY = 100_000  # steps; more than there is time for


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--tabs", type=int, default=10)
    parser.add_argument(
        "--visible", type=int, default=1, help="how many of the tabs are visible; the others are in the background"
    )
    parser.add_argument("--shared", action="store_true", help="no core is kept for the worker")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="watched-speed-")) / "home"
    os.environ |= {"WORKBENCH_HOME": str(home), "OMP_NUM_THREADS": "1"}
    print(f"The run is in {home}.", flush=True)
    run = endless_run()
    window = Window(home)
    try:
        wait_for_steps(run)
        if not options.shared:
            keep_a_core_for(run)
        window.start()
        with chromium() as browser:
            found = measured(run, browser, window, options)
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
        assert training.state_of(run) == "running" and time.monotonic() < until, training.summary(run) + run.log_tail()
        time.sleep(0.2)


def keep_a_core_for(run: Run) -> None:
    """The last core for the run's worker, the others for this program and all that it starts from now on."""
    worker = psutil.Process(run.worker()["pid"])
    *others, last = sorted(os.sched_getaffinity(0))
    for process in (worker, *worker.children(recursive=True)):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {last})
    os.sched_setaffinity(0, set(others))


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=list(_QUIET))
        yield browser
        browser.close()


def measured(run: Run, browser: Browser, window: Window, options: argparse.Namespace) -> dict[str, list[float]]:
    """Steps per second, by way; one of each in every round."""
    found: dict[str, list[float]] = {"none": [], "tabs": []}
    print(f"{'round':<8}{'no tab':>12}{f'{options.tabs} tabs':>12}{'share':>8}{'browser':>12}{'window':>12}")
    for number in range(options.rounds):
        for way in ("none", "tabs") if number % 2 == 0 else ("tabs", "none"):
            with on_watch(browser, window.address, options.tabs if way == "tabs" else 0, options.visible):
                time.sleep(SETTLING)
                before, began = cores_used(window), time.monotonic()
                found[way].append(steps_per_second(run, options.seconds))
                if way == "tabs":
                    used = [
                        (now - then) / (time.monotonic() - began)
                        for now, then in zip(cores_used(window), before, strict=True)
                    ]
        none, tabs = found["none"][-1], found["tabs"][-1]
        cores = "".join(f"{one:>6.2f} cores" for one in used)
        print(f"{number + 1:<8}{none:>12.2f}{tabs:>12.2f}{tabs / none:>8.3f}{cores}", flush=True)
    return found


def cores_used(window: Window) -> tuple[float, float]:
    """Seconds of CPU that the browser and the window have taken so far."""
    assert window.process
    mine = psutil.Process().children(recursive=True)
    browsers = [process for process in mine if "chrom" in process.name()]
    return sum(map(_seconds, browsers)), _seconds(psutil.Process(window.process.pid))


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def on_watch(browser: Browser, address: str, tabs: int, visible: int) -> Iterator[None]:
    """Pages that show the run as it trains; all but `visible` of them go to the background once they show it."""
    contexts = [browser.new_context() for _ in range(tabs)]
    for index, context in enumerate(contexts):
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.get_by_role("tab", name="4 Watch").click()
        page.locator("#wb-watch-head", has_text="step").wait_for()
        if index >= visible:
            page.evaluate(HIDE)
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
