"""The choice of a preset on the Train page: what for, on which card, for which models, and where its values come from."""

import gradio as gr

from workbench.core.training.config import ModelRef, RunConfig
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import Device
from workbench.jobs.planning import machine
from workbench.store import choices, presets
from workbench.store.presets import Recipe
from workbench.ui.parts import Html, facts, join, notice
from workbench.ui.updates import Updates

DEMO = "demo"
FIRST_TRY = "first-try"


class PresetView:
    """card: for which size of card; shown where a preset is another one on another card."""

    def __init__(self) -> None:
        device, _ = machine()
        own_card = presets.card_of(device).id
        self.preset = gr.Dropdown(
            preset_choices(), value=DEMO, label="Preset", info=preset_summary(DEMO, own_card), elem_id="wb-train-recipe"
        )
        self.card = gr.Dropdown(
            card_choices(device), value=own_card, label="For which card", visible="hidden", elem_id="wb-train-card",
            info="A preset sets for each card what fits: models, length, batch, optimizer.",
        )  # fmt: skip
        self.about = gr.HTML(about_html(DEMO, own_card, ModelRef()), elem_id="wb-train-about")

    @property
    def all(self) -> list[gr.Dropdown | gr.HTML]:
        return [self.preset, self.card, self.about]

    def updates(self, preset: str | None, card: str) -> Updates:
        """What the chosen preset is for, whether the card matters, and what it sets."""
        return {
            self.preset: gr.Dropdown(value=preset, info=preset_summary(preset, card)),
            self.card: gr.Dropdown(value=card, visible=depends_on_card(preset) or "hidden"),
            self.about: about_html(preset, card, choices.read().model),
        }


def preset_choices() -> list[tuple[str, str]]:
    """Title and id of what can be chosen: for the demo model, then the purposes, then published recipes."""
    single = [(one.title, one.id, one.models == (DEMO,)) for one in presets.single_recipes()]
    of_demo, others = ([(title, name) for title, name, demo in single if demo == wanted] for wanted in (True, False))
    return [*of_demo, *[(one.title, one.id) for one in presets.purposes()], *others]


def card_choices(device: Device) -> list[tuple[str, str]]:
    """Title and id of the sizes of card, with the one of this machine marked."""
    own = presets.card_of(device).id
    return [(f"{card.title} · this machine" if card.id == own else card.title, card.id) for card in presets.cards()]


def depends_on_card(preset: str | None) -> bool:
    """Whether a preset is another one on another card."""
    return preset in [purpose.id for purpose in presets.purposes()]


def fitting_choice(preset: str | None, model: ModelRef) -> str | None:
    """The preset to begin with where the model was changed: what is made for the demo model alone harms any other."""
    if preset and model.source != "demo" and not depends_on_card(preset) and presets.recipe(preset).models == (DEMO,):
        return FIRST_TRY
    return preset


def preset_summary(preset: str | None, card: str) -> str:
    """What a preset is for, in a sentence."""
    return (
        presets.recipe(preset, card).summary if preset else "The settings of an earlier run. Choose one to start over."
    )


def about_html(preset: str | None, card: str, model: ModelRef) -> Html:
    """What a preset sets, for which models and by which source; and whether the chosen model is one of them."""
    if not preset:
        return Html("")
    recipe = presets.recipe(preset, card)
    pairs = [("Made for", _models_label(recipe)), ("Sets", recipe_summary(recipe)), ("Source", recipe.source)]
    return join(facts(pairs), *_mismatch(recipe, model))


def recipe_summary(recipe: Recipe) -> str:
    """What a recipe sets, in a line."""
    config = RunConfig.model_validate(recipe.apply({"name": "any"}))
    method = METHODS[config.stages[-1]]
    owns = [config.own(stage) for stage in config.stages]
    rates = " then ".join(_short(own.learning_rate) for own in owns)
    length = " then ".join(f"{own.max_steps} steps" if own.max_steps else f"{own.epochs:g} epoch" for own in owns)
    words = [
        f"{config.batch_size} × {config.accumulation} {method.noun} of at most {config.max_length:,} tokens",
        length,
        f"learning rate {rates}",
        f"rank {config.adapter.rank}",
        f"optimizer {config.optimizer}",
        f"gradient checkpointing {config.gradient_checkpointing}",
    ]
    if method.has_reference:
        words.append(f"reference {config.reference}")
    return ", ".join(words)


def _short(rate: float) -> str:
    """0.000005 as 5e-6, as papers write it."""
    return f"{rate:.1e}".replace(".0e", "e").replace("e-0", "e-")


def _models_label(recipe: Recipe) -> str:
    titles = {model.id: model.title for model in presets.models()} | {DEMO: "the demo model"}
    return ", ".join(titles[model] for model in recipe.models)


def _mismatch(recipe: Recipe, model: ModelRef) -> list[Html]:
    """A sentence where the chosen model is none of those that a preset is made for."""
    if recipe.is_made_for(model):
        return []
    if model.source == "demo":
        words = (
            "The demo model is far smaller than these and hardly learns at such learning rates. Choose the Demo preset."
        )
        return [notice("warning", "Not made for the demo model", words)]
    if recipe.models == (DEMO,):
        words = f"{model.title} would be harmed by the demo's learning rate. Choose another preset, such as First try."
        return [notice("warning", f"Not made for {model.title}", words)]
    sizes = {one.id: one.parameters for one in presets.models()}
    if sizes.get(model.name, 0) > max(sizes[name] for name in recipe.models):
        words = "Choose one of its models on the Model page, or change what the memory forecast suggests."
        return [notice("warning", f"{model.title} is larger than the models of this preset", words)]
    words = "It may do as well: the memory forecast says whether it fits, the first evaluations whether it learns."
    return [notice("info", f"Not tested with {model.title}", words)]
