"""What a run leaves open is decided by its memory and the device, and said with its reason."""

from configs import demo_config

from workbench.core.memory.architectures import shape_of
from workbench.core.memory.auto_settings import choose
from workbench.core.memory.forecast import ComputeOptions
from workbench.core.memory.plan import worst_stage
from workbench.core.training.config import ModelRef
from workbench.core.training.recipe import Device
from workbench.store.model_configs import config_of

LAPTOP = Device("cpu", "a laptop", False, 16 * 10**9)


def card(gigabytes: int) -> Device:
    return Device("cuda", "a card", True, gigabytes * 10**9)


def shape(name: str = "Qwen/Qwen3-4B-Instruct-2507"):
    return shape_of(config_of(ModelRef(source="hub", name=name)))


def left_open(**changes):
    settings = {
        "method": "dpo",
        "sft_data": None,
        "gradient_checkpointing": "auto",
        "max_length": 1024,
        "batch_size": 1,
    }
    return demo_config(**settings | changes)


def test_checkpointing_is_on_where_the_card_is_small_and_off_where_it_is_large():
    small = choose(shape(), left_open(), card(12))
    assert small.changes["gradient_checkpointing"] == "on"
    assert "would be needed" in small.words[0]
    large = choose(shape(), left_open(), card(80))
    assert large.changes == {"gradient_checkpointing": "off", "optimizer": "adamw_torch"}


def test_what_is_decided_to_be_off_fits_into_what_a_card_leaves():
    for gigabytes in (6, 8, 12, 16, 24, 48, 80):
        for length in (256, 1024, 4096):
            device, config = card(gigabytes), left_open(max_length=length)
            found = choose(shape(), config, device)
            if found.changes["gradient_checkpointing"] == "off":
                assert worst_stage(shape(), found.config(config), device, found.paths).total < 0.83 * device.memory


def test_the_optimizer_gives_way_where_memory_is_short_and_only_there():
    short = choose(shape(), left_open(adapter={"rank": 128, "alpha": 128}), card(8))
    assert short.changes["optimizer"] == "paged_adamw_8bit"
    assert any("paged" in words for words in short.words)
    assert choose(shape(), left_open(), card(24)).changes["optimizer"] == "adamw_torch"


def test_what_a_person_set_stays():
    set_by_hand = left_open(gradient_checkpointing="off", optimizer="paged_adamw_32bit")
    found = choose(shape(), set_by_hand, card(6))
    assert found.changes == {} and found.words == ()


def test_without_a_card_no_optimizer_is_paged():
    found = choose(shape(), left_open(optimizer="paged_adamw_8bit"), LAPTOP)
    assert found.changes["optimizer"] == "adamw_torch"
    assert "needs a card" in found.words[-1]


def test_tiles_are_taken_where_they_are_needed_and_offered():
    offered = ComputeOptions(fused_loss=True, chunked_logits=True)
    long = left_open(max_length=4096, batch_size=4)
    assert choose(shape(), long, card(16), offered).paths == offered
    assert choose(shape(), left_open(), card(48), offered).paths == ComputeOptions(fused_loss=True)
    assert not choose(shape(), long, card(16)).paths.chunked_logits


def test_of_an_unknown_architecture_checkpointing_is_on():
    found = choose(None, left_open(optimizer="paged_adamw_8bit"), LAPTOP)
    assert found.changes == {"gradient_checkpointing": "on", "optimizer": "adamw_torch"}
    assert len(found.words) == 2


def test_a_switch_of_an_earlier_version_is_still_read():
    assert demo_config(gradient_checkpointing=True).gradient_checkpointing == "on"
    assert demo_config(gradient_checkpointing=False).gradient_checkpointing == "off"
