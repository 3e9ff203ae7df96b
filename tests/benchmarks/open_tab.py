"""What an open window costs while nothing happens: processor seconds per second, of the window and of the page in the browser.

    python tests/benchmarks/open_tab.py [--seconds 10]

A window in a process of its own with an empty home, and one page of a headless Chromium, which goes from page to page. The first
line is the window without any page.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import psutil  # noqa: E402
from browser.conftest import _QUIET, browser_program  # noqa: E402
from browser.windows import Window  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

PAGES = ("1 Model", "2 Data", "3 Train", "4 Watch", "5 Compare")
SETTLING = 4.0  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    seconds = parser.parse_args().seconds
    home = Path(tempfile.mkdtemp(prefix="open-tab-")) / "home"
    home.mkdir()
    window = Window(home)
    window.start()
    print(f"{'':<12}{'window':>10}{'page':>10}")
    try:
        time.sleep(SETTLING)
        show("no page", window, seconds)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_program(), args=list(_QUIET))
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(window.address)
            for name in PAGES:
                page.get_by_role("tab", name=name).click()
                page.wait_for_timeout(1000 * SETTLING)
                show(name, window, seconds, page.wait_for_timeout)
            browser.close()
    finally:
        window.close()
    return 0


def show(name: str, window: Window, seconds: float, wait=None) -> None:
    """Print what a while of doing nothing took. wait: in milliseconds, so that the browser is served meanwhile."""
    before, began = taken(window), time.monotonic()
    if wait:
        wait(1000 * seconds)
    else:
        time.sleep(seconds)
    passed, after = time.monotonic() - began, taken(window)
    print(
        f"{name:<12}" + "".join(f"{(after[one] - before[one]) / passed:>10.3f}" for one in ("window", "page")),
        flush=True,
    )


def taken(window: Window) -> dict[str, float]:
    """Processor seconds until now."""
    assert window.process
    found = {"window": 0.0, "page": 0.0}
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
            if process.pid == window.process.pid:
                found["window"] += times.user + times.system
            elif "--type=renderer" in process.cmdline():
                found["page"] += times.user + times.system
        except psutil.Error:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
