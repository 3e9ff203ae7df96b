"""Where data comes from, on the Data page: a file, a path, a public set, the Hugging Face Hub, or the votes of Compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.core.errors import WorkbenchError
from workbench.core.names import to_name
from workbench.store import datasets, hub_data, presets, votes
from workbench.store.files import ENDINGS
from workbench.store.sources import FileSource, HubSource, RowsSource, Source, file_at
from workbench.store.space import on_space
from workbench.ui.data import display
from workbench.ui.updates import LATEST, Updates, shown_if

SOURCES = [
    ("A file", "file"),
    ("A path on this machine", "path"),
    ("A known public set", "preset"),
    ("Hugging Face id", "hub"),
    ("Votes from Compare", "votes"),
]


class SourceView:
    """where: the fields that say where the data is, by the names of the arguments of `source_of`.

    groups: what is shown for each of SOURCES. look: asks for the first rows, where choosing alone does not.
    """

    def __init__(self) -> None:
        self.groups: dict[str, gr.Column] = {}
        self.where: dict[str, Component] = {}
        self.where["kind"] = gr.Radio(
            sources(), value="file", label="Where the data comes from", elem_id="wb-data-source"
        )
        with gr.Column() as self.groups["file"]:
            self.where["file"] = gr.File(
                label="A file: .jsonl, .json, .csv, .tsv, .parquet or .arrow, also with .gz or .zst",
                file_types=list(ENDINGS), height=160, elem_id="wb-data-file",
            )  # fmt: skip
        with gr.Column(visible=False) as self.groups["path"]:
            self.where["path"] = gr.Textbox(
                label="Path of a data file", info="On the machine that runs the workbench; nothing is uploaded.",
                placeholder="/data/pairs.jsonl or C:\\data\\pairs.jsonl", max_lines=1, elem_id="wb-data-path",
            )  # fmt: skip
        with gr.Column(visible=False) as self.groups["preset"]:
            known = presets.datasets()
            self.where["preset"] = gr.Dropdown(
                [(f"{one.title} · {one.rows:,} rows · {one.licence}", one.id) for one in known], value=known[0].id,
                label="Public set", info="Downloaded from the Hugging Face Hub when it is stored.", elem_id="wb-data-preset",
            )  # fmt: skip
            self.preset_facts = gr.HTML(display.preset_html(known[0]))
        with gr.Column(visible=False) as self.groups["hub"]:
            self.where["hub_id"] = gr.Textbox(
                label="Hugging Face id", info="owner/name, as in the address of the dataset's page.",
                placeholder="trl-lib/ultrafeedback_binarized", max_lines=1, elem_id="wb-data-hub",
            )  # fmt: skip
            self.look_up = gr.Button("Look it up", elem_id="wb-data-look-up")
            with gr.Row():
                self.where["config"] = gr.Dropdown([], label="Configuration", interactive=True, visible=False)
                self.where["split"] = gr.Dropdown([], label="Split", interactive=True, visible=False)
        self.groups["votes"] = gr.Column(visible=False)
        self.look = gr.Button("Look at the first rows", visible=False, elem_id="wb-data-look")

    def source(self, values: Sequence[Any]) -> Source | None:
        """What the values of `where` name."""
        return source_of(**dict(zip(self.where, values, strict=True)))

    def wire(self, name: gr.Textbox, meaning: gr.HTML) -> None:
        """name: to store the data under. meaning: says what the chosen source holds."""
        where = self.where

        def which_source(source: str, preset: str) -> Updates:
            names = {"preset": free_name_of(preset), "votes": datasets.free_name("votes")}
            nothing = display.nothing_chosen_html()
            return {
                **{group: shown_if(source == one) for one, group in self.groups.items()},
                self.look: shown_if(source != "file"),
                meaning: display.votes_html(votes.all_votes(), votes.unreadable()) if source == "votes" else nothing,
                **({name: names[source]} if source in names else {}),
            }

        def which_preset(id: str) -> Updates:
            return {self.preset_facts: display.preset_html(preset_of(id)), name: free_name_of(id)}

        def look_up(hub_id: str) -> Updates:
            found = hub_data.configs_and_splits(hub_id)
            config = next(iter(found))
            return {
                where["config"]: gr.Dropdown(list(found), value=config, visible=True),
                where["split"]: gr.Dropdown(found[config], value=found[config][0], visible=True),
                name: free_name_of(hub_data.parse_id(hub_id)),
            }

        def splits_of(hub_id: str, config: str) -> gr.Dropdown:
            there = hub_data.configs_and_splits(hub_id)[config]
            return gr.Dropdown(there, value=there[0])

        where["kind"].input(
            which_source, [where["kind"], where["preset"]], [*self.groups.values(), self.look, meaning, name], **LATEST
        )
        where["preset"].input(which_preset, where["preset"], [self.preset_facts, name], **LATEST)
        self.look_up.click(look_up, where["hub_id"], [where["config"], where["split"], name])
        where["config"].input(splits_of, [where["hub_id"], where["config"]], where["split"], **LATEST)


def sources() -> list[tuple[str, str]]:
    """Where data can come from. A Space's machine is not the visitor's, and its files are none of their business."""
    return [one for one in SOURCES if one[1] != "path" or not on_space()]


def source_of(
    kind: str,
    file: str | None,
    path: str | None,
    preset: str,
    hub_id: str | None,
    config: str | None,
    split: str | None,
) -> Source | None:
    """Where the data is, as the fields say it; None where they say nothing yet.

    Raises WorkbenchError for a dataset of the Hub that was not looked up.
    """
    if kind == "file":
        return FileSource(path=file, original_name=Path(file).name, uploaded=True) if file else None
    if kind == "path":
        if on_space():
            raise WorkbenchError("This is a Space: files of its machine are not read. Upload the file instead.")
        return file_at(path or "") if (path or "").strip() else None
    if kind == "preset":
        one = preset_of(preset)
        return HubSource(id=one.id, config=one.config or "default", split=one.split)
    if kind == "votes":
        rows = [dict(row) for _, row in votes.rows()]
        if not rows:
            raise WorkbenchError(
                "There are no votes to train on yet. On the Compare page, ask both and say which answer is better, or begin a teaching sitting."
            )
        return RowsSource(words=votes.source_of(rows), rows=rows)
    if not (hub_id or "").strip():
        return None
    if not config or not split:
        raise WorkbenchError("Look the dataset up first, then choose a configuration and a split.")
    return HubSource(id=hub_data.parse_id(hub_id or ""), config=config, split=split)


def preset_of(id: str) -> presets.DatasetPreset:
    return next(known for known in presets.datasets() if known.id == id)


def file_name_of(source: Source) -> str | None:
    """A name to store the rows of a file under; None where they come from elsewhere."""
    return free_name_of(source.title.split(".")[0]) if isinstance(source, FileSource) else None


def free_name_of(text: str) -> str:
    return datasets.free_name(to_name(text.split("/")[-1], "data"))
