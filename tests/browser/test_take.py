"""A run taken along in a real browser: its options, what was written, the archive, a merge that is cancelled."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_runs import finished
from playwright.sync_api import Page, expect
from test_loop import SOON, open_page
from windows import Window


@pytest.fixture
def window(home: Path) -> Iterator[Window]:
    home.mkdir()
    finished("kind").write_result("finished", "Finished.")
    one = Window(home)
    one.start()
    yield one
    one.close()


def test_a_run_is_exported_downloaded_and_a_merge_is_cancelled(page: Page, window: Window, home: Path, tmp_path: Path):
    page.goto(window.address)
    open_page(page, "4 Watch")
    section, precision = page.locator("#wb-take"), page.locator("#wb-take-precision")
    section.get_by_role("button", name="Take it along").click(timeout=SOON)
    expect(page.locator("#wb-take-strength")).to_be_visible(timeout=SOON)
    expect(precision).to_be_hidden()
    expect(page.locator("#wb-take-download")).to_be_hidden()
    page.locator("#wb-take-export").click()
    written = page.locator("#wb-take-written")
    expect(written).to_contain_text("Byte for byte those of the run", timeout=SOON)
    page.locator("#wb-take-download").click()
    with page.expect_download() as downloaded:
        page.locator("#wb-take-download").get_by_text("Download kind-adapter.zip").click(timeout=SOON)
    file = tmp_path / "kind.zip"
    downloaded.value.save_as(file)
    with zipfile.ZipFile(file) as archive:
        assert "kind-adapter/adapter_model.safetensors" in archive.namelist()

    section.get_by_label("Merged model", exact=True).check()
    expect(precision).to_be_visible(timeout=SOON)
    page.locator("#wb-take-export").click()
    section.get_by_role("button", name="Cancel").click(timeout=SOON)
    expect(page.get_by_text("Cancelled. Nothing was stored.")).to_be_visible(timeout=SOON)
    expect(section.get_by_role("button", name="Cancel")).to_be_hidden(timeout=SOON)
    assert [one.name for one in (home / "exports").iterdir()] == ["kind-adapter"]
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
