"""The shipped presets are read, are complete, and say only what the rest of the program understands."""

import math
import shutil
import tomllib

import pytest

from workbench.core.data.formats import FORMATS
from workbench.core.errors import WorkbenchError
from workbench.core.memory.architectures import shape_of
from workbench.core.memory.forecast import LIBRARIES
from workbench.core.memory.plan import plan
from workbench.core.monitoring.duration import forecast_stage
from workbench.core.training.config import parse_model, read_config
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import Device
from workbench.store import model_configs, presets
from workbench.store.home import shipped
from workbench.store.model_configs import config_of

READERS = {
    "models.toml": presets.models,
    "datasets.toml": presets.datasets,
    "recipes.toml": presets.single_recipes,
}

DESKTOP = 2**30  # bytes of a card that other windows take
LAPTOP = 4 * 2**30 - LIBRARIES  # bytes that are free for a run on a laptop with 8 GiB, of which half is in use


def run_of(recipe: presets.Recipe) -> dict:
    """The least that a run needs beside a recipe."""
    values = recipe.apply({"name": "a-run", "preference_data": "pairs", "thumbs_data": "thumbs"})
    if METHODS[values["method"].split("+")[-1]].online:  # a reward model, which only a person can choose
        values[values["method"]] = {**values[values["method"]], "reward_run": "judge"}
    return values


def test_every_file_in_presets_is_read_and_holds_more_than_nothing():
    """A new file without a reader fails here, as does a reader that finds nothing."""
    readers = READERS | {"configs.toml": model_configs.preset_configs}
    files = sorted(path.name for path in shipped("presets").iterdir() if not path.name.startswith("."))
    assert files == sorted(readers)
    for name, read in readers.items():
        entries = tomllib.loads((shipped("presets") / name).read_text(encoding="utf-8"))
        assert len(read()) == len(entries[name.removesuffix(".toml")]) > 0


def test_a_file_that_was_written_anew_is_read_anew_and_what_was_read_can_be_changed(tmp_path, monkeypatch):
    shutil.copytree(shipped("presets"), tmp_path / "presets")
    monkeypatch.setattr(presets, "shipped", tmp_path.joinpath)
    first = presets.models()[0].title
    presets.single_recipes()[0].settings.clear()
    assert presets.single_recipes()[0].settings
    file = tmp_path / "presets" / "models.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(first, "Another"), encoding="utf-8")
    assert presets.models()[0].title == "Another"


@pytest.mark.parametrize("read", list(READERS.values()), ids=list(READERS))
def test_no_two_presets_share_an_id_or_a_title(read):
    found = read()
    assert len({preset.id for preset in found}) == len(found)
    assert len({preset.title for preset in found}) == len(found)


def test_at_least_twelve_models_from_135_million_to_8_billion():
    sizes = [model.parameters for model in presets.models()]
    assert sizes == sorted(sizes)
    assert len([size for size in sizes if 134e6 < size < 8.2e9]) >= 12
    assert round(sizes[0] / 1e6) == 135
    assert round(sizes[-1] / 1e9) == 8


@pytest.mark.parametrize("model", presets.models(), ids=lambda model: model.id)
def test_a_model_is_on_the_hub_and_its_numbers_agree(model):
    """bf16 takes 2 bytes per weight; a repository may store a tied output layer a second time, but never less."""
    assert parse_model(model.id).source == "hub"
    assert 2 * model.parameters / 1e9 == pytest.approx(model.download_gb, abs=0.7)
    assert model.download_gb >= 2 * model.parameters / 1e9 - 0.006
    assert model.card_gb in (0, 6, 8, 12, 16)


def test_transformers_knows_every_model_without_remote_code():
    auto = pytest.importorskip("transformers.models.auto.configuration_auto")
    unknown = {model.architecture for model in presets.models()} - set(auto.CONFIG_MAPPING_NAMES)
    assert unknown == set()


@pytest.mark.parametrize("dataset", presets.datasets(), ids=lambda dataset: dataset.id)
def test_a_dataset_is_on_the_hub_in_a_format_that_is_recognised(dataset):
    assert parse_model(dataset.id).source == "hub"
    assert dataset.format in {format.id for format in FORMATS}
    assert (dataset.kind == "preference") == dataset.format.endswith("-pairs")


def test_there_are_datasets_for_both_stages():
    kinds = [dataset.kind for dataset in presets.datasets()]
    assert kinds.count("preference") >= 5
    assert kinds.count("sft") >= 2


@pytest.mark.parametrize("recipe", presets.recipes(), ids=lambda recipe: recipe.id)
def test_a_recipe_makes_a_run(recipe):
    """Through the real check: a misspelt or unbounded setting is an error there."""
    config = read_config(run_of(recipe))
    assert config.method == recipe.settings["method"]
    assert config.effective_batch >= 8


@pytest.mark.parametrize("recipe", presets.recipes(), ids=lambda recipe: recipe.id)
def test_a_recipe_chooses_neither_the_name_nor_the_data_nor_the_model(recipe):
    assert recipe.settings.keys().isdisjoint({"name", "model", "sft_data", "preference_data", "seed"})


def test_the_recipes_cover_every_method():
    assert {recipe.settings["method"] for recipe in presets.recipes()} == {
        "sft",
        "dpo",
        "sft+dpo",
        "kto",
        "reward",
        "rloo",
    }


def test_there_is_a_preset_for_every_card_and_every_purpose():
    assert [card.memory_gb for card in presets.cards()] == [0, 6, 8, 12, 16, 24]
    assert [purpose.id for purpose in presets.purposes()] == [
        "first-try",
        "everyday",
        "careful",
        "reward-model",
        "rlhf",
    ]
    found = {presets.recipe(purpose.id, card.id).id for card in presets.cards() for purpose in presets.purposes()}
    assert len(found) == 30
    for card in presets.cards():
        for purpose in presets.purposes():
            own = presets.recipe(purpose.id, card.id)
            named = read_config(run_of(own)).model_fields_set
            assert {"batch_size", "accumulation", "max_length", "adapter", "optimizer"} <= named, own.id
            assert ("reference" in named) == (own.settings["method"] == "dpo"), own.id
            assert own.source.startswith(purpose.source) and len(own.source) > len(purpose.source)


@pytest.mark.parametrize("bf16", [True, False], ids=["bf16", "fp16"])
@pytest.mark.parametrize("recipe", presets.recipes(), ids=lambda recipe: recipe.id)
def test_a_recipe_fits_with_every_model_that_it_names(recipe, bf16):
    """On a card of its size less what a desktop takes, along the path that every system has; forecast, as the page does."""
    kind = Device("cuda", "a card", bf16) if recipe.memory_gb else Device("cpu", "a laptop", False)
    free = recipe.memory_gb * 2**30 - DESKTOP if recipe.memory_gb else LAPTOP
    # A reference that answers beside the trained model takes more than one that is kept; it fits with either.
    config = read_config(run_of(recipe) | {"reference": "beside"})
    for model in recipe.models:
        found = plan(shape_of(config_of(parse_model(model))), config, kind, free)
        assert found.verdict == "fits", f"{recipe.id} with {model}: {found.total / 1e9:.2f} of {free / 1e9:.2f} GB"


def test_a_model_that_has_a_preset_for_rlhf_has_one_for_its_reward_model_on_the_same_card():
    for card in presets.cards():
        reward, online = (presets.recipe(name, card.id) for name in ("reward-model", "rlhf"))
        assert reward.models == online.models


def test_transformers_can_make_a_reward_model_of_every_model_that_has_a_preset_for_it():
    auto = pytest.importorskip("transformers.models.auto.modeling_auto")
    architectures = {model.id: model.architecture for model in presets.models()}
    for card in presets.cards():
        for model in presets.recipe("reward-model", card.id).models:
            assert architectures[model] in auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES, model


def test_every_model_has_a_preset_and_every_card_models_of_its_size():
    named = {model for recipe in presets.recipes() for model in recipe.models}
    assert named == {model.id for model in presets.models()} | {"demo"}
    sizes = {model.id: model.parameters for model in presets.models()}
    largest = [
        max(sizes[model] for model in presets.recipe("everyday", card.id).models) / 1e9 for card in presets.cards()
    ]
    assert [round(size, 1) for size in largest] == [0.4, 3.4, 4.0, 8.2, 8.2, 8.2]


def test_a_first_try_without_a_card_is_over_in_twenty_minutes():
    """20 steps of 8 pairs, twice 192 tokens each: 61,440 tokens, times 134.5 million weights, times 6 operations, is 5.0e13.

    The rates that the forecast takes for a CPU go from 1.5e10 to 2e11 a second; in the middle, 5.5e10, that is 905 s.
    """
    recipe = presets.recipe("first-try", "cpu")
    weights = presets.models()[0].parameters
    found = forecast_stage(read_config(run_of(recipe)), "dpo", 2000, 1e6, weights, "cpu", None)
    fast, slow = found.seconds
    middle = math.sqrt(fast * slow)
    assert middle == pytest.approx(905, rel=0.01)
    # The held-out pairs, measured before, halfway and after, take no way back: 4 of the 6 operations.
    evaluations = 3 * 16 / (20 * 8) * 4 / 6 * middle
    assert middle + evaluations < 20 * 60


@pytest.mark.parametrize(
    ("memory", "card"),
    [
        (4 * 2**30, "6gb"),
        (6144 * 2**20, "6gb"),
        (8188 * 2**20, "8gb"),
        (11264 * 2**20, "8gb"),
        (12282 * 2**20, "12gb"),
        (15360 * 2**20, "16gb"),
        (23028 * 2**20, "24gb"),
        (80 * 2**30, "24gb"),
    ],
    ids=["4 GB", "RTX 2060", "RTX 4060", "GTX 1080 Ti", "RTX 4070", "T4", "A10G", "H100"],
)
def test_a_machine_gets_the_size_of_card_that_it_has(memory, card):
    """Bytes as the driver tells them: cards with error correction show less than they are sold as."""
    assert presets.card_of(Device("cuda", "a card", True, memory)).id == card


def test_a_machine_without_a_card_gets_the_presets_for_a_cpu():
    assert presets.card_of(Device("cpu", "a laptop", False, 64 * 2**30)).id == "cpu"


def test_a_recipe_lies_over_what_was_chosen_and_leaves_the_rest():
    """beta .2 becomes the recipe's .3; epochs of SFT, which it does not name, stay 2."""
    chosen = {"name": "a-run", "dpo": {"beta": 0.2}, "sft": {"epochs": 2.0}, "seed": 5}
    laid = presets.recipe("careful", "12gb").apply(chosen)
    assert laid["dpo"]["beta"] == 0.3
    assert (laid["sft"], laid["seed"], laid["name"]) == ({"epochs": 2.0}, 5, "a-run")
    assert chosen["dpo"] == {"beta": 0.2}


def test_what_apply_returns_can_be_changed_without_changing_the_recipe():
    recipe = presets.recipe("careful", "12gb")
    recipe.apply({})["dpo"]["beta"] = 9.0
    assert recipe.settings["dpo"]["beta"] == 0.3


def test_the_zephyr_recipe_has_the_published_values():
    config = read_config(run_of(presets.recipe("zephyr-qlora")))
    assert (config.adapter.rank, config.adapter.alpha, config.adapter.dropout) == (128, 128, 0.05)
    assert (config.dpo.beta, config.dpo.learning_rate, config.dpo.epochs) == (0.01, 5e-6, 1.0)
    assert (config.batch_size, config.accumulation, config.max_length) == (4, 4, 1024)


def test_an_unknown_recipe_is_refused_with_the_names_there_are():
    with pytest.raises(WorkbenchError, match="no recipe called 'evryday'.*demo, .*first-try-cpu, everyday-cpu"):
        presets.recipe("evryday")


def test_an_unknown_key_in_a_preset_is_an_error():
    with pytest.raises(ValueError, match="licnce"):
        presets.ModelPreset.model_validate(presets.models()[0].model_dump() | {"licnce": "MIT"})
