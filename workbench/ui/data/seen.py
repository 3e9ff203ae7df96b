"""Which dataset the Data page shows, and in which version: what every view of it is told."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

import gradio as gr
from gradio.blocks import Block

from workbench.core.data.doctor.findings import Report
from workbench.core.errors import WorkbenchError
from workbench.core.training.methods import DATA_KINDS
from workbench.store import datasets
from workbench.store.datasets import About
from workbench.store.datasets.changes import EXAMINED_AT_ONCE
from workbench.ui.updates import Updates

ViewId = Literal["check", "rows", "lengths", "write", "pairs", "out", "bring"]

DEMO = "demo-preferences"

_examining = threading.Lock()


@dataclass(frozen=True)
class Shown:
    """What the views of the Data page share.

    seen: "name@version" of the dataset that is shown; a view draws itself anew whenever it changes, and whoever changes
    the dataset sets it. length: the longest example in tokens that is thought of. views: the tabs of the views.
    """

    dataset: gr.Dropdown
    seen: gr.State
    length: gr.State
    views: gr.Tabs

    @property
    def outputs(self) -> list[Block]:
        """What `now` updates."""
        return [self.dataset, self.seen]

    def now(self, name: str) -> Updates:
        """After a dataset was chosen, made or changed."""
        return {self.dataset: gr.Dropdown(choices(), value=name), self.seen: seen_of(name)}

    def undone(self, seen: str) -> Updates:
        """After the last change of the dataset that is shown was undone."""
        return self.now(datasets.undo(about_to_change(seen).name).name)


def choices() -> list[tuple[str, str]]:
    """Every stored dataset, with what it holds."""
    known = [(f"{one.title} · {one.kept:,} {DATA_KINDS[one.kind].noun}", one.name) for one in datasets.all_abouts()]
    # Choosing one of these says why.
    return known + [(f"{name} · cannot be read", name) for name in datasets.damaged()]


def seen_of(name: str) -> str:
    about = datasets.about(name)
    # With the time, because a deleted dataset's name can be given to another one.
    return f"{about.name}@{about.version}@{about.created}"


def about_of(seen: str) -> About:
    """The dataset that is shown, whatever its version is by now."""
    return datasets.about(seen.split("@")[0] or DEMO)


def report_of(about: About) -> Report | None:
    """What the doctor says of a dataset as it is now. A small one that was not examined yet is examined at once."""
    with _examining:  # several views ask at the same moment
        report = datasets.report(about.name)
        if report is None and about.kept <= EXAMINED_AT_ONCE:
            return datasets.examine(about.name)
        return report


def about_to_change(seen: str) -> About:
    """The dataset that is shown, if it is still as it is shown.

    Raises WorkbenchError where another tab or a command changed it: a row's number may mean another row by now.
    """
    about = about_of(seen)
    if seen_of(about.name) != seen:
        raise WorkbenchError(
            f"{about.title} was changed in the meantime, in another tab or by a command. Choose it again above to see how "
            "it is now. Nothing was changed."
        )
    return about


def is_own(name: str) -> bool:
    """Whether a dataset can be changed: those that come with the workbench are copied first."""
    return name not in datasets.DEMO_FOLDERS


def go_to_view(view: ViewId) -> gr.Tabs:
    """The update of `Shown.views` that opens a view."""
    return gr.Tabs(selected=view)
