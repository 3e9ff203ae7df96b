"""The section of the Watch page that exports a run: for whom it is there, what it asks, what it shows of what was written."""

import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from configs import demo_config
from drawn import watch, watch_page
from made_runs import create_run, finished

from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import Check, Differing, Exported
from workbench.core.export.targets import TARGETS, ExportOptions
from workbench.jobs import exports
from workbench.jobs.app_state import AppState
from workbench.store.home import home
from workbench.ui.export.take_view import free_folder, options_of, packed
from workbench.ui.export.written_html import size_label, written_html

TAB: Any = SimpleNamespace(session_hash="tab")
USUAL = tuple(field.default for field in ExportOptions.model_fields.values())


def with_one(name: str, value: Any) -> tuple[Any, ...]:
    return tuple(value if one == name else usual for one, usual in zip(ExportOptions.model_fields, USUAL, strict=True))


def test_a_run_that_ended_with_an_adapter_can_be_taken_along():
    run = finished("done")
    run.write_result("stopped", "Stopped as asked.")
    assert watch_page("done")["wb-take"]["visible"] is True
    create_run(demo_config("bare")).write_result("failed", "It failed.")
    assert watch_page("bare")["wb-take"]["visible"] == "hidden"
    run.forget_end()
    assert watch_page("done")["wb-take"]["visible"] == "hidden", "it is not over"
    assert watch_page(None)["wb-take"]["visible"] == "hidden"


def test_each_way_out_shows_the_options_that_it_reads_and_no_other():
    take = watch().take
    assert take.options.keys() == ExportOptions.model_fields.keys()
    for target in TARGETS.values():
        updates = take._options_of(target.id)
        shown = {name: updates[field]["visible"] for name, field in take.options.items()}
        assert {name for name, visible in shown.items() if visible is True} == set(target.options) - {"dry_run"}
        assert set(shown.values()) <= {True, "hidden"}, "hidden ones keep what was set"


def test_what_a_way_out_does_not_read_keeps_its_default_and_what_is_wrong_is_told():
    assert options_of("adapter", with_one("precision", "fp16")).precision == "bf16"
    assert options_of("merged", with_one("precision", "fp16")).precision == "fp16"
    assert options_of("merged", with_one("strength", None)).strength == 1
    with pytest.raises(WorkbenchError, match=r"Strength is 2.0; it must be at most 1\.5"):
        options_of("merged", with_one("strength", 2.0))


def test_an_export_of_the_page_goes_into_the_home_and_comes_as_one_archive(first_run):
    take, bars = watch().take, []
    for update in take.exported(AppState(), TAB, first_run, "adapter", USUAL):
        bars.append(update)
    last = bars[-1]
    folder = home() / "exports" / "first-adapter"
    assert last[take._folder] == str(folder) and folder.is_dir()
    assert "adapter_model.safetensors" in last[take.written] and last[take.download]["visible"] is True
    assert free_folder("first", "adapter").name == "first-adapter-2"
    archive = packed(folder)
    assert archive.is_relative_to(home() / "uploads"), "the one folder that the window hands files out from"
    with zipfile.ZipFile(archive) as opened:
        names = sorted(opened.namelist())
        assert names == [f"first-adapter/{name}" for name in exports.listed(folder)]
        inside = opened.read("first-adapter/adapter_model.safetensors")
    assert inside == (folder / "adapter_model.safetensors").read_bytes()
    made = archive.stat().st_mtime_ns
    assert packed(folder) == archive and archive.stat().st_mtime_ns == made, (
        "packed once, however often it is asked for"
    )
    time.sleep(0.02)
    (folder / "README.md").write_text("Another one.")
    packed(folder)
    with zipfile.ZipFile(archive) as opened:
        assert opened.read("first-adapter/README.md") == b"Another one."


@pytest.mark.parametrize("folder", ["", "/gone"])
def test_only_an_export_that_is_there_is_packed(folder):
    with pytest.raises(WorkbenchError, match="nothing to pack"):
        packed(Path(folder))


def test_an_export_that_fails_leaves_the_page_as_before_it(first_run):
    take = watch().take
    (first_run.adapter / "adapter_model.safetensors").write_bytes(b"damaged")
    given = []
    with pytest.raises(WorkbenchError, match="adapter_model.safetensors of the adapter of first"):
        for update in take.exported(AppState(), TAB, first_run, "adapter", USUAL):
            given.append(update)
    assert given[-1][take.work.bar] == "" and given[-1][take.work.cancel]["visible"] == "hidden"
    assert list((home() / "exports").iterdir()) == []


def test_what_was_written_is_shown_with_every_figure_and_safely(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    evil = "<img src=x onerror=alert(1)>"
    checks = (
        Check("Greedy answers", "1 of 2 are identical", True, (Differing(evil, "A.", "B."),)),
        Check("Logits", "differ by 9", False),
        Check("As it was trained", "KL 0.1", None),
    )
    shown = written_html(Exported("mine", "merged", str(tmp_path), ("config.json",), checks, ("A note.",)))
    assert "2 bytes" in shown and "A note." in shown and "differ" in shown
    assert shown.count("wb-notice wb-good") == 1 and shown.count("wb-notice wb-blocker") == 1
    assert evil not in shown and "&lt;img" in shown


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (7_730_000, "7.7 MB"), (15e9, "15.0 GB")]
)
def test_sizes_are_told_as_file_managers_do(size, words):
    assert size_label(int(size)) == words


def test_another_run_begins_with_nothing_written():
    finished("done").write_result("finished", "Finished.")
    run = watch_page("done", before=("other", "finished"))
    assert run["wb-take-written"] == "" and run["wb-take-download"].value is None
    assert "wb-take-written" not in watch_page("done", before=("done", "finished", "1")), "what was written of it stays"
