"""Models, datasets and recipes that come with the program, from the TOML files in `presets/`."""

import tomllib
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from workbench.core.data.messages import Kind
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef, Stage, overlay
from workbench.core.training.methods import stages_of
from workbench.core.training.recipe import Device
from workbench.core.training.settings import Settings
from workbench.store.home import shipped

# A card that keeps some memory for error correction shows 94 % of what it is sold as; the next size down has 92 %.
SOLD_AS = 0.93


class ModelPreset(Settings):
    """An open model that is worth starting from."""

    id: str
    title: str
    parameters: int = Field(gt=0, description="Every weight once.")
    architecture: str = Field(description="`model_type` of the model's config.")
    licence: str
    gated: bool = Field(description="The owner asks for a login and accepted terms before the download.")
    download_gb: float = Field(gt=0, description="Size of the safetensors files in 10^9 bytes.")
    card_gb: int = Field(ge=0, description="Smallest usual card for QLoRA DPO at length 1,024. 0: a CPU will do.")
    chat_template: bool
    good_for: str


class DatasetPreset(Settings):
    """A public dataset that is worth starting with."""

    id: str
    title: str
    config: str | None = Field(None, description="Configuration on the Hub, where there is more than one.")
    split: str
    kind: Kind
    format: str = Field(description="Name of the rows' format in workbench.core.data.formats.")
    licence: str
    rows: int = Field(gt=0)
    good_for: str


class Recipe(Settings):
    """Settings of a run that go together."""

    id: str
    title: str
    summary: str
    source: str = Field(description="Where the values come from.")
    models: tuple[str, ...] = Field(min_length=1, description="Ids of the models that it is made for, or `demo`.")
    memory_gb: int = Field(0, ge=0, description="Of the card that it is made for. 0: a CPU will do.")
    settings: dict[str, Any] = Field(description="Some of RunConfig's settings, nested as they are there.")

    def apply(self, values: dict[str, Any]) -> dict[str, Any]:
        """`values` with the recipe's settings laid over them. Neither is changed."""
        return overlay(values, self.settings)

    def is_made_for(self, model: ModelRef) -> bool:
        """Whether its forecast was reckoned for this model."""
        return model.name in self.models


class Purpose(Settings):
    """What a run is for: settings that are the same on every card."""

    id: str
    title: str
    summary: str
    source: str
    settings: dict[str, Any]


class CardPreset(Settings):
    """What fits on a card, for some purposes."""

    purposes: tuple[str, ...] = Field(min_length=1)
    models: tuple[str, ...] = Field(min_length=1)
    changed: str = Field(description="What differs from the purpose's source, and why.")
    settings: dict[str, Any]


class Card(Settings):
    """A size of card that many people have."""

    id: str
    title: str
    memory_gb: int = Field(ge=0, description="As it is sold. 0: no card.")
    presets: tuple[CardPreset, ...]


def models() -> list[ModelPreset]:
    """The models, smallest first."""
    return [ModelPreset.model_validate(entry) for entry in _entries("models")]


def datasets() -> list[DatasetPreset]:
    """The datasets: preference sets, then sets for SFT."""
    return [DatasetPreset.model_validate(entry) for entry in _entries("datasets")]


def single_recipes() -> list[Recipe]:
    """The recipes that are the same on every card."""
    return [Recipe.model_validate(entry) for entry in _entries("recipes")]


def purposes() -> list[Purpose]:
    """What a run can be for, from the shortest to the most careful."""
    return [Purpose.model_validate(entry) for entry in _entries("recipes", "purposes")]


def cards() -> list[Card]:
    """The sizes of card, smallest first; before them, none."""
    return [Card.model_validate(entry) for entry in _entries("recipes", "cards")]


def recipes() -> list[Recipe]:
    """Every recipe: those that stand by themselves, and each purpose on each card."""
    known = {purpose.id: purpose for purpose in purposes()}
    return single_recipes() + [
        _on_card(known[purpose], card, preset)
        for card in cards()
        for preset in card.presets
        for purpose in preset.purposes
    ]


def recipe(name: str, card: str | None = None) -> Recipe:
    """The recipe called `name`: its id, or a purpose's on a card. Raises WorkbenchError that names the recipes there are."""
    known = {entry.id: entry for entry in recipes()}
    found = known.get(name) or known.get(f"{name}-{card}")
    if not found:
        raise WorkbenchError(f"There is no recipe called {name[:80]!r}. Choose one of {', '.join(known)}.")
    return found


def measured(model: ModelRef, stage: Stage) -> dict[str, Any]:
    """The nested settings of a recipe that was measured on this model alone, with this stage; {} where there is none."""
    for found in single_recipes():
        if found.models == (model.name,) and stage in stages_of(found.settings["method"]):
            return found.settings
    return {}


def card_of(device: Device) -> Card:
    """The size of card that comes nearest to a machine, and not above it.

    The smallest for a card that is smaller still: the forecast of memory then says what does not fit.
    """
    if not device.is_cuda:
        return next(card for card in cards() if not card.memory_gb)
    sizes = [card for card in cards() if card.memory_gb]
    reached = [card for card in sizes if device.memory >= SOLD_AS * card.memory_gb * 2**30]
    return reached[-1] if reached else sizes[0]


def _on_card(purpose: Purpose, card: Card, preset: CardPreset) -> Recipe:
    return Recipe(
        id=f"{purpose.id}-{card.id}",
        title=f"{purpose.title}, {card.title}",
        summary=purpose.summary,
        source=f"{purpose.source} {preset.changed}",
        models=preset.models,
        memory_gb=card.memory_gb,
        settings=overlay(purpose.settings, preset.settings),
    )


def _entries(file: str, kind: str = "") -> list[dict[str, Any]]:
    path = shipped("presets") / f"{file}.toml"
    entries: list[dict[str, Any]] = deepcopy(_parsed(path, path.stat().st_mtime_ns)[kind or file])
    return entries


@lru_cache(maxsize=8)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    """What a file says. A page that is built asks twenty times. changed: so that it is read anew once it was written."""
    with open(path, "rb") as opened:
        return tomllib.load(opened)
