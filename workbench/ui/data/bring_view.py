"""The view of the Data page that brings data in: where from, what it is, how much of it, under which name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic_core import to_jsonable_python

from workbench.core.data.formats import AS_RECOGNISED, FORMATS, Columns, ReadOptions
from workbench.core.errors import WorkbenchError
from workbench.core.masking import masked
from workbench.core.names import to_name
from workbench.jobs import preparing
from workbench.jobs.app_state import AppState
from workbench.store import datasets, hub_data, presets, votes
from workbench.store.datasets import Preview, Take
from workbench.store.files import ENDINGS
from workbench.store.sources import FileSource, HubSource, RowsSource, Source, file_at
from workbench.ui.border import border
from workbench.ui.data import display
from workbench.ui.data.seen import Shown, go_to_view, now
from workbench.ui.environment import on_space
from workbench.ui.working import cancel, cancel_button, prepared, work

SOURCES = [
    ("A file", "file"),
    ("A path on this machine", "path"),
    ("A known public set", "preset"),
    ("Hugging Face id", "hub"),
    ("Votes from Compare", "votes"),
]
PARTS_TO_MAP = {
    "prompt": "Prompt",
    "chosen": "Chosen (better) answer",
    "rejected": "Rejected (worse) answer",
    "completion": "One answer (SFT, or with a thumb)",
    "label": "Thumb of that answer (up or down)",
    "messages": "Whole conversation (SFT)",
    "system": "System prompt",
    "input": "Text below the prompt",
    "history": "Turns before the prompt",
}
ANSWERS_TO_ASKED = (
    ("It goes below the prompt", "input"),
    ("It is the system message", "system"),
    ("It holds the turns before the prompt", "history"),
    ("It is not to be used", "ignore"),
)
NO_COLUMN = "(none)"
AS_SEEN = ""


@dataclass(frozen=True)
class BringView:
    source: gr.Radio
    groups: dict[str, gr.Column]
    file: gr.File
    path: gr.Textbox
    preset: gr.Dropdown
    preset_facts: gr.HTML
    hub_id: gr.Textbox
    look_up: gr.Button
    hub_config: gr.Dropdown
    hub_split: gr.Dropdown
    look: gr.Button
    override: gr.Accordion
    format: gr.Dropdown
    columns: dict[str, gr.Dropdown]
    ignore: gr.Dropdown
    asked: gr.Radio
    option: gr.Radio
    part: gr.Radio
    count: gr.Number
    seed: gr.Number
    name: gr.Textbox
    store: gr.Button
    cancel: gr.Button
    meaning: gr.HTML

    @property
    def where(self) -> list[Any]:
        """The fields that say where the data is: the arguments of `source_of`."""
        return [self.source, self.file, self.path, self.preset, self.hub_id, self.hub_config, self.hub_split]

    @property
    def what(self) -> list[Any]:
        """The fields that say what it is: the arguments of `read_options`."""
        return [self.format, self.option, self.ignore, *self.columns.values()]


def read_options(format: str | None, option: str | None, ignore: list[str] | None, *columns: str) -> ReadOptions:
    """How a person says that the rows are to be read."""
    return ReadOptions(mapping_of(columns), format or None, option or None, tuple(ignore or ()))


def draw() -> BringView:
    groups: dict[str, gr.Column] = {}
    with gr.Row(elem_classes="wb-two"):
        with gr.Column():
            source = gr.Radio(sources(), value="file", label="Where the data comes from", elem_id="wb-data-source")
            with gr.Column() as groups["file"]:
                file = gr.File(
                    label="A file: .jsonl, .json, .csv, .tsv, .parquet or .arrow, also with .gz or .zst",
                    file_types=list(ENDINGS), height=160, elem_id="wb-data-file",
                )  # fmt: skip
            with gr.Column(visible=False) as groups["path"]:
                path = gr.Textbox(
                    label="Path of a data file", info="On the machine that runs the workbench; nothing is uploaded.",
                    placeholder="/data/pairs.jsonl or C:\\data\\pairs.jsonl", max_lines=1, elem_id="wb-data-path",
                )  # fmt: skip
            with gr.Column(visible=False) as groups["preset"]:
                known = presets.datasets()
                preset = gr.Dropdown(
                    [(f"{one.title} · {one.rows:,} rows · {one.licence}", one.id) for one in known], value=known[0].id,
                    label="Public set", info="Downloaded from the Hugging Face Hub when it is stored.", elem_id="wb-data-preset",
                )  # fmt: skip
                preset_facts = gr.HTML(display.preset_html(known[0]))
            with gr.Column(visible=False) as groups["hub"]:
                hub_id = gr.Textbox(
                    label="Hugging Face id", info="owner/name, as in the address of the dataset's page.",
                    placeholder="trl-lib/ultrafeedback_binarized", max_lines=1, elem_id="wb-data-hub",
                )  # fmt: skip
                look_up = gr.Button("Look it up", elem_id="wb-data-look-up")
                with gr.Row():
                    hub_config = gr.Dropdown([], label="Configuration", interactive=True, visible=False)
                    hub_split = gr.Dropdown([], label="Split", interactive=True, visible=False)
            groups["votes"] = gr.Column(visible=False)
            look = gr.Button("Look at the first rows", visible=False, elem_id="wb-data-look")
            asked = gr.Radio([], label="", visible=False, elem_id="wb-data-asked")
            option = gr.Radio([], label="A choice that this format leaves", visible=False, elem_id="wb-data-option")
            with gr.Accordion("Not right? Say what it is", open=False, elem_id="wb-data-mapping") as override:
                format = gr.Dropdown(
                    [("As recognised", AS_SEEN), *[(one.title, one.id) for one in FORMATS]], value=AS_SEEN, label="Format",
                    elem_id="wb-data-format",
                )  # fmt: skip
                columns = {
                    part: gr.Dropdown(
                        [NO_COLUMN], value=NO_COLUMN, label=label, interactive=True, elem_id=f"wb-column-{part}"
                    )
                    for part, label in PARTS_TO_MAP.items()
                }
                ignore = gr.Dropdown([], value=[], multiselect=True, label="Not to be used", elem_id="wb-data-ignore")
            part = gr.Radio(
                [("All rows", "all"), ("The first", "first"), ("At random", "random")],
                value="all",
                label="How much of it",
            )
            with gr.Row():
                count = gr.Number(1000, label="Rows to take", precision=0, visible=False, elem_id="wb-data-count")
                seed = gr.Number(17, label="Seed", info="Of the choice and of the split.", precision=0, visible=False)
            name = gr.Textbox(label="Name for it here", max_lines=1, elem_id="wb-data-name")
            with gr.Row(elem_classes="wb-actions"):
                store = gr.Button("Store and check it", variant="primary", elem_id="wb-data-store")
                cancel = cancel_button()
        with gr.Column():
            meaning = gr.HTML(display.nothing_chosen_html(), elem_id="wb-data-meaning")
    return BringView(
        source, groups, file, path, preset, preset_facts, hub_id, look_up, hub_config, hub_split, look, override, format, columns,
        ignore, asked, option, part, count, seed, name, store, cancel, meaning,
    )  # fmt: skip


def sources() -> list[tuple[str, str]]:
    """Where data can come from. A Space's machine is not the visitor's, and its files are none of their business."""
    return [one for one in SOURCES if one[1] != "path" or not on_space()]


def wire(view: BringView, shown: Shown, app: AppState) -> None:
    columns = list(view.columns.values())
    looked = [view.meaning, view.name, view.option, view.override, view.format, view.ignore, view.asked, *columns]
    said = [view.meaning, view.option, view.asked]
    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}

    @border
    def which_source(source: str, preset: str) -> list[Any]:
        names = {"preset": free_name_of(preset), "votes": datasets.free_name("votes")}
        return [
            *[gr.Column(visible=source == one) for one in view.groups],
            gr.Button(visible=source != "file"),
            display.nothing_chosen_html()
            if source != "votes"
            else display.votes_html(votes.all_votes(), votes.unreadable()),
            names.get(source, gr.skip()),
        ]

    def which_preset(id: str) -> list[Any]:
        return [display.preset_html(_preset(id)), free_name_of(id)]

    @border
    def look(*where: Any) -> list[Any]:
        """A source that was chosen: what it is, with nothing said by hand yet."""
        source = source_of(*where)
        if source is None:
            return [display.nothing_chosen_html(), gr.skip(), *_unmapped()]
        preview = preview_of(source, AS_RECOGNISED)
        return [display.preview_html(preview), name_for(where), *mapping_updates(preview)]

    @border
    def look_again(*values: Any) -> list[Any]:
        """The preview after something was said by hand: what is missing in a mapping is said, and is no error yet."""
        source = source_of(*values[: len(view.where)])
        if source is None:
            return [gr.skip()] * 3
        how = read_options(*values[len(view.where) :])
        try:
            preview = preview_of(source, how)
        except WorkbenchError as error:
            if not how.mapping:
                raise
            plain = preview_of(source, AS_RECOGNISED)
            return [display.unfinished_html(error.problems, plain), gr.skip(), gr.skip()]
        return [display.preview_html(preview), option_update(preview), asked_update(preview)]

    @border
    def answer(said: str, ignore: list[str] | None, *chosen: str) -> list[Any]:
        """What a person says of a column that may belong to the prompt, as the fields for it hold it."""
        part, column = said.split(":", 1)
        if part == "ignore":
            return [[*(ignore or ()), column], *chosen]
        fields = dict(zip(PARTS_TO_MAP, chosen, strict=True))
        if fields[part] not in (NO_COLUMN, column):
            raise WorkbenchError(
                f"{PARTS_TO_MAP[part]} is {fields[part]} already. Choose another answer, or put both texts into one column."
            )
        return [ignore or [], *(fields | {part: column}).values()]

    @border
    def look_up(hub_id: str) -> list[Any]:
        found = hub_data.configs_and_splits(hub_id)
        config = next(iter(found))
        return [
            gr.Dropdown(list(found), value=config, visible=True),
            gr.Dropdown(found[config], value=found[config][0], visible=True),
            free_name_of(hub_data.parse_id(hub_id)),
        ]

    @border
    def splits_of(hub_id: str, config: str) -> gr.Dropdown:
        there = hub_data.configs_and_splits(hub_id)[config]
        return gr.Dropdown(there, value=there[0])

    @border
    def store(
        name: str, part: str, count: float | None, seed: float | None, request: gr.Request, *values: Any
    ) -> Iterator[list[Any]]:
        source = source_of(*values[: len(view.where)])
        if source is None:
            raise WorkbenchError("Nothing is chosen yet. Choose where the data comes from, and what.")
        name = name.strip()
        datasets.check_free(name)
        take = take_of(part, count, seed)
        how = read_options(*values[len(view.where) :])
        task = {
            "do": "import",
            "source": source.model_dump(mode="json"),
            "name": name,
            "take": take.__dict__,
            "options": to_jsonable_python(how),
        }
        for html in work(app, request, prepared(task), f"Storing {name}"):
            yield [html, gr.Button(visible=True), *[gr.skip()] * 3]
        yield [display.nothing_chosen_html(), gr.Button(visible=False), *now(name), go_to_view("check")]

    view.source.input(
        which_source, [view.source, view.preset], [*view.groups.values(), view.look, view.meaning, view.name], **quiet
    )
    view.file.change(look, view.where, looked)
    view.path.submit(look, view.where, looked)
    view.look.click(look, view.where, looked)
    for field in view.what:
        field.input(look_again, [*view.where, *view.what], said, **quiet)
    view.asked.input(answer, [view.asked, view.ignore, *columns], [view.ignore, *columns], **quiet).then(
        look_again, [*view.where, *view.what], said, **quiet
    )
    view.preset.input(
        which_preset,
        view.preset,
        [view.preset_facts, view.name],
        **quiet,
    )
    view.look_up.click(look_up, view.hub_id, [view.hub_config, view.hub_split, view.name])
    view.hub_config.input(splits_of, [view.hub_id, view.hub_config], view.hub_split, **quiet)
    view.part.change(
        lambda part: [gr.Number(visible=part != "all"), gr.Number(visible=part == "random")], view.part, [view.count, view.seed], **quiet
    )  # fmt: skip
    view.store.click(
        store, [view.name, view.part, view.count, view.seed, *view.where, *view.what],
        [view.meaning, view.cancel, *shown.outputs, shown.views], show_progress="hidden",
    )  # fmt: skip
    view.cancel.click(cancel(app), None, None, show_progress="hidden", queue=False)


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
        one = _preset(preset)
        return HubSource(id=one.id, config=one.config or "default", split=one.split)
    if kind == "votes":
        rows = [dict(row) for _, row in votes.rows()]
        if not rows:
            raise WorkbenchError(
                "There are no votes yet. On the Compare page, ask both and say which answer is better."
            )
        return RowsSource(words="votes from the Compare page", rows=rows)
    if not (hub_id or "").strip():
        return None
    if not config or not split:
        raise WorkbenchError("Look the dataset up first, then choose a configuration and a split.")
    return HubSource(id=hub_data.parse_id(hub_id or ""), config=config, split=split)


def preview_of(source: Source, how: ReadOptions) -> Preview:
    """A look at the first rows, in a process of its own: a hostile file cannot take the window down."""
    answer = preparing.run(
        {"do": "preview", "source": source.model_dump(mode="json"), "options": to_jsonable_python(how)}
    )
    preview = Preview.model_validate(answer)
    if any(masked(column) != column for column in preview.columns):
        raise WorkbenchError(
            "What stands where the names of columns are expected looks like an access token. Is it the right file?"
        )
    return preview


def name_for(where: tuple[Any, ...]) -> Any:
    """A name to store the data under, from the name of its file."""
    kind, file, path, *_ = where
    given = {"file": file, "path": (path or "").strip().strip('"')}.get(kind)
    return free_name_of(Path(given).name.split(".")[0]) if given else gr.skip()


def free_name_of(text: str) -> str:
    return datasets.free_name(to_name(text.split("/")[-1], "data"))


def mapping_of(chosen: tuple[str, ...]) -> Columns | None:
    """The columns as they were mapped by hand; None where none was."""
    named = {part: column for part, column in zip(PARTS_TO_MAP, chosen, strict=False) if column and column != NO_COLUMN}
    return Columns(**named) if named else None


def mapping_updates(preview: Preview) -> list[Any]:
    """The mapping opens where the columns are not known, and offers the columns that there are."""
    options = [NO_COLUMN, *preview.columns]
    return [
        option_update(preview),
        gr.Accordion(open=preview.recognised is None),
        gr.Dropdown(value=AS_SEEN),
        gr.Dropdown(list(preview.columns), value=[]),
        asked_update(preview),
        *[gr.Dropdown(options, value=NO_COLUMN) for _ in PARTS_TO_MAP],
    ]


def asked_update(preview: Preview) -> gr.Radio:
    """The question about the first column that may belong to the prompt; the next one follows its answer."""
    asked = preview.recognised.asked if preview.recognised else ()
    if not asked:
        return gr.Radio([], value=None, visible=False)
    choices = [(words, f"{part}:{asked[0]}") for words, part in ANSWERS_TO_ASKED]
    return gr.Radio(choices, value=None, label=f"Does the column {asked[0]} belong to the prompt?", visible=True)


def option_update(preview: Preview) -> gr.Radio:
    """The choice that the format leaves, where it leaves one."""
    known = preview.recognised
    if known is None or not known.options:
        return gr.Radio([], value=None, visible=False)
    return gr.Radio([(one.words, one.id) for one in known.options], value=known.option or None, visible=True)


def take_of(part: str, count: float | None, seed: float | None) -> Take:
    """Which rows to keep. Raises WorkbenchError for a count that is none."""
    if part == "all":
        return Take()
    if not count or count < 1:
        raise WorkbenchError(f"Rows to take is {count or 'empty'}; it must be 1 or more.")
    return Take("first" if part == "first" else "random", int(count), int(seed or 0))


def _preset(id: str) -> presets.DatasetPreset:
    return next(known for known in presets.datasets() if known.id == id)


def _unmapped() -> list[Any]:
    return [
        gr.Radio([], value=None, visible=False),
        gr.Accordion(open=False),
        gr.Dropdown(value=AS_SEEN),
        gr.Dropdown([], value=[]),
        gr.Radio([], value=None, visible=False),
        *[gr.skip()] * len(PARTS_TO_MAP),
    ]
