"""What the Train page says before a run starts: method, loss, reference, and what stands against them."""

import pytest
from configs import demo_config
from drawn import starts
from made_runs import finished, store_thumbs

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef, parse_model
from workbench.core.training.recipe import Device
from workbench.store import datasets, presets
from workbench.store.datasets import Provenance
from workbench.ui import train_fields, train_form, train_presets, train_summary
from workbench.ui.form import from_config


def form_values(**changes):
    """The form as it stands with the demo preset, by the names of its widgets."""
    values = train_form.recipe_values("demo") | {
        "name": "",
        "sft_data": "demo-sft",
        "preference_data": "demo-preferences",
    }
    return values | {"thumbs_data": None, "start_from": train_fields.BASE_MODEL} | changes


def test_the_summary_names_the_reference_of_every_path():
    finished("first")
    store_thumbs()
    for changes, words in (
        ({}, "the SFT model of this run, verified before the first step"),
        ({"method": "dpo"}, "the base model, verified before the first step"),
        ({"method": "dpo", "start_from": "first"}, "run first as it ended, verified before the first step"),
        ({"method": "kto", "thumbs_data": "thumbs"}, "the base model, verified before the first step"),
    ):
        assert words in train_summary.summary_html(form_values(**changes))
    assert "Reference" not in train_summary.summary_html(form_values(method="sft"))


def test_a_run_keeps_only_the_data_that_its_method_uses():
    store_thumbs()
    kto = train_form.config_from(form_values(method="kto", thumbs_data="thumbs"))
    assert (kto.sft_data, kto.preference_data, kto.thumbs_data, kto.start_from) == (None, None, "thumbs", None)
    both = train_form.config_from(form_values(thumbs_data="thumbs"))
    assert (both.sft_data, both.preference_data, both.thumbs_data) == ("demo-sft", "demo-preferences", None)
    assert both.name == "demo-model-sft-dpo"


def test_a_start_that_does_not_fit_is_said_before_the_click():
    finished("first", adapter={"rank": 8, "alpha": 32})
    said = train_summary.summary_html(form_values(start_from="first"))
    assert "Not ready yet" in said and "Rank is 16, and first was trained with 8. Set rank to 8." in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "The one to begin with"),
        ({"dpo.loss": "sigmoid_norm"}, "Its paper used beta 5; it is 0.1."),
        ({"dpo.loss": "robust"}, "Without label smoothing it is no other than sigmoid; its paper used 0.1."),
        ({"dpo.sft_weight": 0.2}, "With the SFT loss of the chosen answers, times 0.2."),
    ],
)
def test_the_summary_says_when_to_use_a_loss_and_what_its_paper_used(changes, words):
    assert words in train_summary.summary_html(form_values(**changes))


def test_thumbs_that_weigh_unevenly_are_said_with_weights_that_fit():
    """60 prompts, each with a liked answer, and every third with a disliked one as well."""
    rows = [
        {"prompt": f"What is {n}?", "completion": f"It is {n}, {label}.", "label": label}
        for n in range(60)
        for label in ((True, False) if n % 3 == 0 else (True,))
    ]
    datasets.add(enumerate(rows, 1), "uneven", source=Provenance("a test"))
    liked, disliked = datasets.thumbs("uneven")
    assert liked > 2 * disliked
    said = train_summary.summary_html(form_values(method="kto", thumbs_data="uneven"))
    assert f"{liked} liked and {disliked} disliked answers weigh" in said
    balanced = {"kto.undesirable_weight": liked / disliked}
    assert "One side weighs more" not in train_summary.summary_html(
        form_values(method="kto", thumbs_data="uneven", **balanced)
    )


def test_settings_of_a_stage_are_shown_where_the_method_has_it():
    assert train_fields.visible(["dpo"], "sft+dpo") is True
    assert train_fields.visible(["kto"], "sft+dpo") == "hidden"
    assert train_fields.visible(["dpo"], "kto") == "hidden"
    assert train_fields.visible(["dpo", "orpo", "simpo"], "simpo") is True
    assert train_fields.stage_of("kto.beta") == "kto" and train_fields.stage_of("batch_size") is None


def test_a_run_again_fills_in_the_run_that_it_started_from():
    config = demo_config(method="dpo", start_from="first")
    assert from_config(config, ["start_from", "dpo.loss"]) == {"start_from": "first", "dpo.loss": "sigmoid"}
    finished("first")
    assert starts("first").value == "first"
    assert starts("gone").value == train_fields.BASE_MODEL


def test_kto_without_thumbs_is_refused_by_the_form():
    with pytest.raises(WorkbenchError, match="KTO needs answers with a thumb"):
        train_form.config_from(form_values(method="kto"))


def test_a_preset_is_chosen_by_what_it_is_for_and_the_card_of_this_machine_is_marked():
    ids = [name for _, name in train_presets.preset_choices()]
    assert ids == [
        "demo",
        "demo-kto",
        "demo-sft",
        "demo-dpo",
        "demo-reward",
        "demo-rloo",
        "first-try",
        "everyday",
        "careful",
        "reward-model",
        "rlhf",
        "kto",
        "zephyr-qlora",
        "zephyr-qlora-sft",
    ]
    titles = dict(train_presets.card_choices(Device("cuda", "a card", True, 8 * 2**30)))
    assert titles["8 GB card · this machine"] == "8gb" and titles["12 GB card"] == "12gb" and len(titles) == 6
    assert [train_presets.depends_on_card(name) for name in ("demo", "everyday", "kto", None)] == [
        False, True, False, False,
    ]  # fmt: skip


def test_the_page_says_what_a_preset_sets_for_which_models_and_by_which_source():
    said = train_presets.about_html("everyday", "8gb", parse_model("Qwen/Qwen2.5-1.5B-Instruct"))
    assert "Qwen2.5 1.5B Instruct, SmolLM2 1.7B Instruct" in said
    assert (
        "1 × 16 pairs of at most 1,536 tokens, 1 epoch, learning rate 5e-6, rank 16, optimizer paged_adamw_8bit, gradient "
        "checkpointing on, reference kept" in said
    )
    assert "LoRA Without Regret" in said and "For 8 GB one pair of 1,536 tokens at a time" in said
    assert 'role="note"' not in said, "nothing stands against this model"


@pytest.mark.parametrize(
    ("preset", "card", "model", "words"),
    [
        ("everyday", "8gb", "Qwen/Qwen3-8B", "Qwen3-8B is larger than the models of this preset"),
        ("everyday", "24gb", "Qwen/Qwen2.5-0.5B-Instruct", "Not tested with Qwen2.5-0.5B-Instruct"),
        ("first-try", "6gb", "owner/unheard-of", "Not tested with unheard-of"),
        ("demo", "6gb", "owner/unheard-of", "would be harmed by the demo&#x27;s learning rate"),
        ("careful", "cpu", "demo", "Not made for the demo model"),
    ],
)
def test_a_model_that_a_preset_was_not_made_for_is_said(preset, card, model, words):
    assert words in train_presets.about_html(preset, card, parse_model(model))


def test_the_demo_preset_gives_way_where_another_model_was_chosen():
    """Its learning rate is fifty times that of a model from the Hub."""
    other = parse_model("owner/other")
    assert train_presets.fitting_choice("demo", other) == "first-try"
    assert train_presets.fitting_choice("demo", ModelRef()) == "demo"
    assert train_presets.fitting_choice("careful", other) == "careful"
    assert train_presets.fitting_choice(None, other) is None, "the settings of an earlier run stay as they are"


def test_every_preset_on_every_card_fills_every_setting_of_the_form():
    for card in presets.cards():
        for _, name in train_presets.preset_choices():
            values = train_form.recipe_values(name, card.id)
            assert values.keys() == train_form.recipe_values("demo").keys()
            assert train_presets.recipe_summary(presets.recipe(name, card.id))


@pytest.mark.parametrize("method", ["orpo", "simpo"])
def test_a_method_without_a_reference_says_so_and_that_it_is_experimental(method):
    said = train_summary.summary_html(form_values(method=method))
    assert "none: nothing but a low learning rate holds the model to what it was" in said
    assert "experimental: may change or be removed in TRL" in said
    config = train_form.config_from(form_values(method=method))
    assert (config.sft_data, config.preference_data, config.thumbs_data) == (None, "demo-preferences", None)
