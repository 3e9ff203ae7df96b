"""The rows of a dataset in a list that can be searched and filtered, a page at a time."""

import re
from collections.abc import Callable
from typing import Any

import gradio as gr

from workbench.core.data.messages import Row
from workbench.core.errors import WorkbenchError
from workbench.core.masking import masked
from workbench.store import datasets
from workbench.store.datasets import About
from workbench.ui.data.seen import Shown, about_of, report_of
from workbench.ui.parts import text
from workbench.ui.updates import LATEST, InOrder, Updates

PAGE = 20
ALL = ""
SIDES = [("All rows", ALL), ("Training", "train"), ("Held out", "held_out")]


class RowList:
    """start: how many rows come before the page that is shown."""

    def __init__(self) -> None:
        self.words = gr.Textbox(
            label="Search", placeholder="words in a prompt or an answer", max_lines=1, elem_id="wb-rows-search"
        )
        self.side = gr.Radio(SIDES, value=ALL, label="Side", elem_id="wb-rows-side")
        self.check = gr.Dropdown([("Any", ALL)], value=ALL, label="With a finding", elem_id="wb-rows-check")
        self.found = gr.HTML(elem_id="wb-rows-found")
        self.rows = gr.Dataframe(
            headers=["#", "prompt", "answers"], datatype="str", interactive=False, show_label=False, wrap=True, max_chars=240,
            column_widths=["12%", "38%", "50%"], max_height=460, elem_id="wb-rows-table", buttons=[],
        )  # fmt: skip
        with gr.Row(elem_classes="wb-actions"):
            self.earlier = gr.Button("‹ Earlier rows", size="sm", elem_id="wb-rows-earlier")
            self.later = gr.Button("Later rows ›", size="sm", elem_id="wb-rows-later")
        self.start = gr.State(0)

    def wire(self, shown: Shown) -> None:
        filters = [self.words, self.side, self.check]
        listed = [self.rows, self.found, self.start]

        def show(seen: str, words: str, side: str | None, check: str | None, start: int) -> Updates:
            """A dataset that was chosen or changed: its list, from where it stood."""
            about = about_of(seen)
            options = check_options(about)
            check = check if check in [value for _, value in options] else ALL
            start = start if start < about.kept else 0
            return {self.check: gr.Dropdown(options, value=check), **self.updates(about, (words, side, check), start)}

        def search(seen: str, words: str, side: str | None, check: str | None) -> Updates:
            return self.updates(about_of(seen), (words, side, check), 0)

        def turn(by: int) -> Callable[..., Updates]:
            def page(seen: str, words: str, side: str | None, check: str | None, start: int) -> Updates:
                return self.updates(about_of(seen), (words, side, check), max(0, start + by))

            return page

        order, given = InOrder(), [shown.seen, *filters]
        shown.seen.change(**order.of(show, [*given, self.start], [self.check, *listed]), **LATEST)
        for field in filters:
            field.change(**order.of(search, given, listed), **LATEST)
        for button, by in ((self.earlier, -PAGE), (self.later, PAGE)):
            button.click(**order.of(turn(by), [*given, self.start], listed), **LATEST)

    def updates(self, about: About, filters: tuple[str | None, str | None, str | None], start: int) -> Updates:
        """A page of the rows that fit; the last one where there are fewer. filters: words, side, finding.

        A filter that was never drawn, because the view was not opened yet, is None.
        """
        words, side, check = filters
        wanted: dict[str, Any] = {"text": (words or "").strip(), "check": check or None, "split": side or None}
        found, total = datasets.search(about.name, **wanted, start=start, limit=PAGE)
        if start and start >= total:
            start = max(0, (total - 1) // PAGE * PAGE)
            found, total = datasets.search(about.name, **wanted, start=start, limit=PAGE)
        return {
            self.rows: [[str(number + 1), _last(row["prompt"], 140), _answers(row)] for number, row in found],
            self.found: text(_found_summary(start, len(found), total)),
            self.start: start,
        }


def chosen_row(event: gr.SelectData) -> float:
    """The number of the row that was clicked, from its first cell. It comes from a browser, so it can be anything."""
    cells = event.row_value
    if isinstance(cells, list) and cells and re.fullmatch(r"[0-9]{1,12}", str(cells[0])):
        return float(cells[0])
    raise WorkbenchError("The click names no row of the list. Click one of its rows.")


def check_options(about: About) -> list[tuple[str, str]]:
    """The findings by which rows can be filtered."""
    report = report_of(about)
    found = report.findings if report else ()
    return [("Any", ALL), *[(f"{one.title} · {len(one.rows):,}", one.check) for one in found if one.rows]]


def _found_summary(start: int, shown: int, total: int) -> str:
    if not total:
        return "No row fits. Change the words or the filters."
    return f"{start + 1:,} to {start + shown:,} of {total:,} rows. Click one to look at it."


def _last(messages: list[dict[str, str]], most: int) -> str:
    """The beginning of the last message, in one line."""
    words = masked(" ".join(messages[-1]["content"][: 4 * most].split()))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _answers(row: Row) -> str:
    """The beginnings of the answers, each with its mark; a list must show both."""
    if "chosen" in row:
        return f"✓ {_last(row['chosen'], 70)}\n✗ {_last(row['rejected'], 70)}"
    mark = ("✓ " if row["label"] else "✗ ") if row.get("label") is not None else ""
    return mark + _last(row["completion"], 140)
