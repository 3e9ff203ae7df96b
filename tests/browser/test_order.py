"""Requests of the page that overtake one another on their way, as they do where machine and network are slow."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect
from test_loop import SOON, settled
from windows import Window


@pytest.fixture
def window(home: Path) -> Iterator[Window]:
    home.mkdir()
    one = Window(home)
    one.start()
    yield one
    one.close()


def test_a_summary_of_a_half_filled_form_that_arrives_last_is_not_shown(page: Page, window: Window):
    """Try it fills one field after the other, and each asks for the summary: the request without data for DPO is held up here."""
    held: list[Route] = []

    def hold(route: Route, request: Request) -> None:
        sent = json.loads(request.post_data or "{}").get("data", [])
        half = "demo-sft" in sent and "demo-preferences" not in sent
        held.append(route) if half else route.continue_()

    page.route("**/queue/join*", hold)
    page.goto(window.address)
    page.locator("#wb-try-it").click()
    meaning = page.locator("#wb-train-meaning")
    expect(meaning).to_contain_text("What will happen", timeout=SOON)
    page.wait_for_timeout(1000)  # all others have arrived
    assert held
    for route in held:
        with page.expect_response(lambda response, late=route: response.request == late.request):
            route.continue_()
    page.wait_for_timeout(1000)  # as long as its answer takes, twice
    settled(page)
    expect(meaning).to_contain_text("What will happen")
