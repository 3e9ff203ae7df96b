"""A real browser for the pages. Without one these tests are skipped, but never where CI is set."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import windows
from playwright.sync_api import Browser, Page, sync_playwright

_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name of somebody else that leads to this machine, as DNS rebinding makes one: for test_hostile.py.
    "--host-resolver-rules=MAP evil.example 127.0.0.1",
)


def browser_program() -> str | None:
    """Chromium's path: named by WORKBENCH_CHROMIUM, or found under its usual names.

    First its headless shell, the same engine without the window around it: a fifth faster, and what Playwright itself starts.
    """
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return os.environ.get("WORKBENCH_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


# Gradio's page can lose an update where window, browser and another test share two cores. One more try keeps such a loss from hiding
# what else a change broke; `-rR` names each test that needed it, and each is a fault to look for.
TRIES_MORE = 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=TRIES_MORE))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Function) -> None:
    """A second try has a window and a home of its own: in those of the module is what the first one left behind.

    pytest-rerunfailures sets up anew what a test has for itself, and keeps what the tests of a module share.
    """
    if getattr(item, "execution_count", 1) > 1:
        for definitions in item._fixtureinfo.name2fixturedefs.values():
            for one in definitions:
                if one.scope == "module":
                    one.finish(item._request)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The process that windows are forked from ends before tests that look at what this one began."""
    here = Path(__file__).parent
    if nextitem is None or here not in nextitem.path.parents:
        windows.close_nursery()


# Not for the whole session: while Playwright runs, no other test could run an event loop of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = browser_program()
    if program is None:
        missing = "no Chromium was found; install it or name it in WORKBENCH_CHROMIUM"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(_QUIET))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page; a script error on it fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors
