"""Other runs beside the one that is shown on the Watch page: in every chart, and their settings side by side."""

from collections.abc import Sequence

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.overlay import MOST_RUNS
from workbench.core.training.config import RunConfig
from workbench.core.training.differences import Setting, side_by_side
from workbench.jobs.survey import Survey
from workbench.store.runs import Run
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import Html, escape, folded, join, text
from workbench.ui.updates import Updates


class Beside:
    """The choice of runs. `draw_settings` draws their settings, elsewhere on the page and for the owner alone: they hold paths."""

    def __init__(self) -> None:
        self.runs = open_dropdown(
            [],
            label="Show beside",
            info=f"Up to {MOST_RUNS - 1} more runs, drawn in every chart, with their settings side by side below.",
            multiselect=True,
            max_choices=MOST_RUNS - 1,
            value=[],
            elem_id="wb-watch-beside",
            filterable=True,
        )

    def draw_settings(self) -> gr.Accordion:
        """Where they are shown."""
        with gr.Accordion("Settings side by side", open=True, visible="hidden") as self.fold:
            self.table = gr.HTML(elem_id="wb-watch-settings")
        return self.fold

    def updates(self, run: Run, others: Sequence[Run]) -> Updates:
        """The settings of all runs that are shown; hidden where there is only one."""
        words = settings_html([run, *others]) if others else ""
        return {self.table: words, self.fold: gr.update(visible=bool(others) or "hidden")}

    def nothing(self) -> Updates:
        return {self.table: "", self.fold: gr.update(visible="hidden")}


def chosen(names: Sequence[str] | None, run: Run, now: Survey) -> list[Run]:
    """The runs to be shown beside one: those that are there and can be read, once each."""
    known = {
        other.name: other for other in now.runs if now.states[other.name] != "unreadable" and other.name != run.name
    }
    return [known[name] for name in dict.fromkeys(names or ()) if name in known][: MOST_RUNS - 1]


def settings_html(runs: Sequence[Run]) -> Html:
    """What differs between runs, marked; folded below it what all of them share."""
    known: list[tuple[Run, RunConfig]] = []
    for run in runs:
        try:
            known.append((run, run.config()))
        except WorkbenchError:
            continue
    settings = side_by_side([config for _, config in known])
    names = [run.name for run, _ in known]
    differing, same = [one for one in settings if one.differs], [one for one in settings if not one.differs]
    head = _table(names, differing) if differing else text("All settings of these runs are the same.")
    return join(head, folded(f"{len(same)} settings are the same", _table(names[:1], same)) if same else Html(""))


def _table(names: Sequence[str], settings: Sequence[Setting]) -> Html:
    """A row for each setting. What is other than in the first run is marked by weight, by a sign and to a screen reader."""
    head = "".join(
        f'<th scope="col"><span class="wb-run-mark" style="--wb-hue:var(--wb-run{place})"></span>{escape(name)}</th>'
        for place, name in enumerate(names, start=1)
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(one.title)}</th>'
        + "".join(_cell(value, other) for value, other in zip(one.values, one.others[: len(names)], strict=False))
        + "</tr>"
        for one in settings
    )
    return Html(
        f'<div class="wb-table wb-beside" tabindex="0"><table><thead><tr><th scope="col">Setting</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(value: str, other: bool) -> str:
    shown = escape(value or "–")
    return f'<td class="wb-other" title="differs from the first run">{shown}</td>' if other else f"<td>{shown}</td>"
