"""The list of all runs: found, filtered and sorted, a page at a time. A click shows the run."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.masking import masked
from workbench.core.monitoring.run_list import SORTS, RunRow, family, fitting, sorted_by, tags_of
from workbench.jobs.app_state import AppState
from workbench.store import choices, trash
from workbench.store.runs import open_run
from workbench.ui.frame import Frame
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import Html, card, outline, text
from workbench.ui.run_actions import STATE_LABELS
from workbench.ui.updates import LATEST, Updates

PAGE = 50
ALL = ""
NEWEST = "made"

_COLUMNS = [
    ("Run", "str", "190px"), ("State", "str", "95px"), ("Method", "str", "115px"), ("Beta", "number", "70px"),
    ("Accuracy %", "number", "90px"), ("Margin", "number", "80px"), ("Win rate", "str", "140px"),
    ("Minutes", "number", "80px"), ("MB", "number", "80px"), ("Base", "str", "150px"), ("Data", "str", "170px"),
    ("Tags", "str", "140px"), ("Note", "str", "260px"),
]  # fmt: skip


class RunTable:
    def __init__(self) -> None:
        with gr.Row():
            self.words = gr.Textbox(
                label="Find", placeholder="words of a name, title, method, data, tag or note", max_lines=1, scale=3,
                elem_id="wb-runs-words",
            )  # fmt: skip
            self.state = gr.Dropdown(
                [("Any", ALL), *[(label, state) for state, label in STATE_LABELS.items()]],
                value=ALL, label="State", min_width=140, elem_id="wb-runs-state",
            )  # fmt: skip
            self.tag = open_dropdown([("Any", ALL)], value=ALL, label="Tag", min_width=140, elem_id="wb-runs-tag")
            orders = [(title, order) for order, (title, *_) in SORTS.items()]
            self.order = gr.Dropdown(orders, value=NEWEST, label="Sort by", min_width=200, elem_id="wb-runs-order")
        self.found = gr.HTML(elem_id="wb-runs-found")
        self.rows = gr.Dataframe(
            headers=[name for name, *_ in _COLUMNS], datatype=[kind for _, kind, _ in _COLUMNS], interactive=False,
            column_widths=[width for *_, width in _COLUMNS], show_label=False, wrap=True, max_height=460, pinned_columns=1,
            elem_id="wb-runs-table", buttons=[],
        )  # fmt: skip
        with gr.Row(elem_classes="wb-actions"):
            self.earlier = gr.Button("‹ Back", size="sm", visible="hidden", elem_id="wb-runs-earlier")
            self.later = gr.Button("More runs ›", size="sm", visible="hidden", elem_id="wb-runs-later")

    def wire(self, run: gr.Dropdown, family_of: gr.HTML, is_open: gr.State, frame: Frame, app: AppState) -> None:
        """run: the choice of it. family_of: where its family is told."""
        filters = [self.words, self.state, self.tag, self.order]
        start, seen = gr.State(0), gr.State(())
        outputs = [self.rows, self.found, self.tag, self.earlier, self.later, start, seen, family_of]

        def refresh(
            shown: bool, run_name: str | None, at: int, before: tuple[Any, ...], *wanted: str | None
        ) -> Updates:
            """One tick: what is shown of the runs, or nothing where nothing changed."""
            if not shown:
                return {}
            listing = app.run_rows.now(app.survey())
            asked = (listing.version, run_name, at, wanted)
            if before[:1] == (asked,):
                return {}
            words, state, tag, order = (one or "" for one in wanted)
            rows = sorted_by(fitting(listing.rows, words, state, tag), order if order in SORTS else NEWEST)
            at = min(at, max(0, (len(rows) - 1) // PAGE * PAGE))
            page = rows[at : at + PAGE]
            tags = tuple(tags_of(listing.rows))
            html = family_html(listing.rows, run_name)
            now = (
                tuple(cells(row) for row in page),
                found_summary(at, len(page), len(rows), len(listing.rows)),
                tags,
                html,
            )
            updates: Updates = {seen: (asked, now), start: at}
            if before[1:] != (now,):
                updates |= {
                    self.rows: [list(one) for one in now[0]], self.found: text(now[1]), family_of: html,
                    self.tag: gr.update(choices=[("Any", ALL), *[(one, one) for one in tags]]),
                    self.earlier: gr.update(visible=at > 0 or "hidden"),
                    self.later: gr.update(visible=at + PAGE < len(rows) or "hidden"),
                }  # fmt: skip
            return updates

        def turn(by: int) -> Callable[[int], int]:
            def page(at: int) -> int:
                return max(0, at + by)

            return page

        def choose(event: gr.SelectData) -> str:
            name = clicked_run(event)
            choices.update(run=name)
            return name

        asked = [is_open, run, start, seen, *filters]
        frame.clock.each_second(refresh, asked, outputs)
        for field in filters:
            field.change(refresh, asked, outputs, **LATEST)
        is_open.change(refresh, asked, outputs, **LATEST)  # whoever opens the list does not wait for the next tick
        self.earlier.click(turn(-PAGE), start, start, **LATEST).then(refresh, asked, outputs, **LATEST)
        self.later.click(turn(PAGE), start, start, **LATEST).then(refresh, asked, outputs, **LATEST)
        self.rows.select(choose, None, run, **LATEST)


def cells(row: RunRow) -> tuple[str | float | None, ...]:
    """A run as a line of the list. Its name is the last word of the first cell."""
    facts, won = row.facts, row.win_rate
    accuracy, margin = facts.results.get("accuracy"), facts.results.get("margin")
    return (
        masked(row.label),
        STATE_LABELS[row.state],
        facts.method,
        facts.beta,
        None if accuracy is None else round(100 * accuracy, 1),
        None if margin is None else round(margin, 3),
        f"{won.rate:.0%} ({won.low:.0%} to {won.high:.0%})" if won else "",
        None if facts.seconds is None else round(facts.seconds / 60, 1 if facts.seconds < 600 else None),
        round(facts.bytes / 1e6, 1),
        masked(facts.base),
        facts.data,
        masked(", ".join(facts.tags)),
        masked(_short(facts.note)),
    )


def _short(note: str, most: int = 100) -> str:
    words = " ".join(note[: 4 * most].split())
    return words if len(words) <= most else f"{words[: most - 1]}…"


def found_summary(start: int, shown: int, fit: int, total: int) -> str:
    if not total:
        return "No run yet. Start one on the Train page."
    if not fit:
        return f"None of the {total:,} runs fits. Change the words or the filters."
    of = f"{fit:,} of {total:,} runs" if fit < total else f"{total:,} run{'' if total == 1 else 's'}"
    page = f"{start + 1:,} to {start + shown:,} of " if shown < fit else ""
    return f"{page}{of}. Click one to look at it."


def family_html(rows: Sequence[RunRow], run_name: str | None) -> Html:
    """What a run came from and what came of it; nothing where it stands alone."""
    known = {row.name for row in rows}
    related = {one.run for row in rows for one in row.facts.relations}
    branches = family(rows, run_name or "", trash.names() if related - known else ())
    return card("Family of this run", outline(branches)) if branches else Html("")


def clicked_run(event: gr.SelectData) -> str:
    """The run that was clicked, from its first cell. It comes from a browser, so it can be anything."""
    row = event.row_value
    words = str(row[0]).split() if isinstance(row, list) and row else []
    if not words:
        raise WorkbenchError("The click names no run of the list. Click one of its lines.")
    return open_run(words[-1]).name
