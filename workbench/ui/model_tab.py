"""Page 1: which model do you want to align?"""

from __future__ import annotations

from typing import Any, get_args

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef, Precision, parse_model
from workbench.jobs import training
from workbench.jobs.app_state import AppState, has_card, short_count
from workbench.store import choices, presets
from workbench.store.space import on_space
from workbench.ui.deploy_view import DeployView
from workbench.ui.frame import Frame, go_to
from workbench.ui.parts import Html, card, empty, escape, facts, join, notice, page_head, text
from workbench.ui.updates import QUIET, Updates, shown_if
from workbench.ui.who_may import for_visitors

SOURCES = [("Demo model", "demo"), ("A known model", "preset"), ("Hugging Face id", "hub"), ("A folder", "folder")]

PRECISION_HELP = (
    "auto keeps the model in 4 bits (NF4), which is what QLoRA trains on and what fits on small cards. "
    "bf16 and fp32 take four and eight times the memory."
)


class ModelTab:
    def __init__(self, app: AppState) -> None:
        @for_visitors
        def meaning_now() -> Html:
            return meaning_html(app)

        gr.HTML(
            page_head(
                "Which model do you want to align?",
                "A base model is where you start. Training adds a small adapter to it; the model itself is never changed.",
            )
        )
        with gr.Group(elem_classes="wb-welcome") as self.welcome:
            gr.HTML(_welcome())
            self.try_it = gr.Button("Try it", variant="primary", elem_id="wb-try-it")
        with gr.Row(elem_classes="wb-two"):
            with gr.Column():
                self.source = gr.Radio(
                    sources(), value="demo", label="Where the model comes from", elem_id="wb-model-source"
                )
                self.preset = gr.Dropdown(
                    [(_preset_label(one), one.id) for one in presets.models()],
                    value=presets.models()[0].id,
                    label="Model",
                    info="Open models from 135 million to 8 billion parameters, smallest first.",
                    visible=False,
                    elem_id="wb-model-preset",
                )
                self.preset_facts = gr.HTML(visible=False)
                self.hub_id = gr.Textbox(
                    label="Hugging Face id",
                    info="owner/name, as in the address of the model's page. It needs safetensors files.",
                    placeholder="HuggingFaceTB/SmolLM2-135M-Instruct",
                    max_lines=1,
                    visible=False,
                    elem_id="wb-model-hub",
                )
                self.folder = gr.Textbox(
                    label="Folder",
                    info="The full path of a folder with config.json and safetensors files, on the machine that runs the workbench.",
                    placeholder="C:\\models\\my-model or /home/me/models/my-model",
                    max_lines=1,
                    visible=False,
                    elem_id="wb-model-folder",
                )
                self.precision = gr.Dropdown(
                    list(get_args(Precision)),
                    value="auto",
                    label="Precision",
                    info=PRECISION_HELP,
                    elem_id="wb-model-precision",
                )
                with gr.Row():
                    self.load = gr.Button("Load this model", elem_id="wb-model-load")
                    self.unload = gr.Button("Unload", visible=False, elem_id="wb-model-unload")
            with gr.Column():
                self.meaning = gr.HTML(meaning_now, elem_id="wb-model-meaning")
                self.use = gr.Button("Use this model → Data", elem_id="wb-model-use")
        self.deploy = None if on_space() else DeployView()

    def wire(self, frame: Frame, app: AppState) -> None:
        def which_source(source: str, preset: str) -> Updates:
            """Only the field of the chosen source is shown."""
            return {
                self.preset: shown_if(source == "preset"),
                self.preset_facts: gr.HTML(preset_html(preset), visible=source == "preset"),
                self.hub_id: shown_if(source == "hub"),
                self.folder: shown_if(source == "folder"),
            }

        def load(source: str, preset: str, hub_id: str, folder: str, precision: Precision) -> None:
            model = chosen_model(source, preset, hub_id, folder)
            busy = training.running()
            if busy and has_card():
                raise WorkbenchError(
                    f"{busy.name} is training and has the card. Load a model for chat when it has ended, or stop it."
                )
            choices.update(model=model)
            app.chat.start(model, precision)

        def use(source: str, preset: str, hub_id: str, folder: str) -> gr.Tabs:
            choices.update(model=chosen_model(source, preset, hub_id, folder))
            return go_to("data")

        chosen = [self.source, self.preset, self.hub_id, self.folder]
        self.source.change(
            which_source,
            [self.source, self.preset],
            [self.preset, self.preset_facts, self.hub_id, self.folder],
            **QUIET,
        )
        self.preset.change(preset_html, self.preset, self.preset_facts, **QUIET)
        self.load.click(load, [*chosen, self.precision], None, **QUIET)
        self.unload.click(lambda: app.unload(), None, None, **QUIET)
        self.use.click(use, chosen, frame.tabs, **QUIET)

        if self.deploy:
            self.deploy.wire()
        shown = gr.State("")

        def refresh(before: str) -> Updates:
            now = meaning_html(app)
            return {} if now == before else {self.meaning: now, self.unload: shown_if(app.chat.is_open), shown: now}

        frame.clock.each_second(refresh, [shown], [self.meaning, self.unload, shown])


def sources() -> list[tuple[str, str]]:
    """Where a model can come from. On a Space, whose machine is not the visitor's, none of its folders."""
    return [one for one in SOURCES if one[1] != "folder" or not on_space()]


def chosen_model(source: str, preset: str, hub_id: str, folder: str) -> ModelRef:
    """The model that the fields speak of. Raises WorkbenchError where they name none."""
    if source == "demo":
        return ModelRef()
    if source == "preset":
        return ModelRef(source="hub", name=preset)
    if source == "folder" and on_space():
        raise WorkbenchError("This is a Space: folders of its machine are not read. Take a model of the Hub instead.")
    typed = (hub_id if source == "hub" else folder).strip().strip('"')
    if not typed:
        wanted = (
            "the id of a model, such as HuggingFaceTB/SmolLM2-135M-Instruct"
            if source == "hub"
            else "the path of a folder"
        )
        raise WorkbenchError(f"The field is empty. Write {wanted}.")
    return ModelRef(source="folder", name=typed) if source == "folder" else parse_model(typed)


def meaning_html(app: AppState) -> Html:
    """What is loaded, being loaded, or went wrong with loading."""
    chat = app.chat
    if chat.state == "loading" and chat.model:
        return join(
            card(f"Loading {chat.model.title}", text(f"{chat.word[:1].upper()}{chat.word[1:]} ...")),
            _patience(chat.model),
        )
    if chat.state == "failed":
        return notice("blocker", "The model was not loaded", chat.word)
    if chat.state == "ready":
        return card(f"{chat.facts['title']} is loaded", facts(_facts_of(chat.facts)))
    if chat.word:
        return notice("info", "No model is loaded", chat.word)
    return empty(
        "No model is loaded",
        "Loading shows what a model is and lets you talk to it. Training loads its own copy, so you can also skip this.",
    )


def preset_html(preset: str) -> Html:
    """What is known of a preset before it is downloaded."""
    one = next(model for model in presets.models() if model.id == preset)
    suits = "a CPU, with patience" if not one.card_gb else f"a card with {one.card_gb} GB or more"
    pairs: list[tuple[str, object]] = [
        ("Id", one.id),
        ("Parameters", short_count(one.parameters)),
        ("Licence", one.licence),
        ("Download", f"{one.download_gb:g} GB"),
        ("Trains on", suits),
        ("Good for", one.good_for),
    ]
    gate = notice(
        "warning", "Its makers ask for a login",
        f"Accept their licence at huggingface.co/{one.id}, then run `hf auth login` on this machine.",
    )  # fmt: skip
    return join(facts(pairs), gate) if one.gated else facts(pairs)


def _preset_label(one: presets.ModelPreset) -> str:
    suits = "CPU" if not one.card_gb else f"{one.card_gb} GB card"
    return f"{one.title} · {suits} · {one.licence}"


def _facts_of(loaded: dict[str, Any]) -> list[tuple[str, object]]:
    return [
        ("Name", loaded["name"]),
        ("Architecture", loaded["architecture"]),
        ("Parameters", f"{loaded['parameters']:,}"),
        ("Precision", loaded["precision"].upper()),
        ("Device", loaded["device"]),
        ("Memory of its weights", _size(loaded["memory"])),
        ("Context", f"{loaded['context']:,} tokens" if loaded["context"] else "not stated"),
        ("Licence", loaded["licence"]),
        ("Chat template", loaded["chat_template"]),
        ("Backend", loaded["why"]),
    ]


def _patience(model: ModelRef) -> Html:
    if model.source != "hub":
        return Html("")
    return notice(
        "info",
        "A first download takes a while",
        "Several gigabytes at the speed of your line. It is kept for the next time.",
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _welcome() -> Html:
    return Html(
        '<div class="wb-welcome-text"><p class="wb-welcome-title">New here? See the whole loop in a few minutes.</p><p>'
        + escape(
            "A small demo model answers most questions curtly. Train it to prefer the kind way, watch it learn, "
            "then compare before and after. It runs on this machine, needs no graphics card and no network, and changes nothing else."
        )
        + "</p></div>"
    )
