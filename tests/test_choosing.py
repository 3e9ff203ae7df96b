"""What a run leaves open is decided by its memory and the device, and said with its reason."""

from configs import demo_config
from made_runs import create_run

from workbench.core.memory.architectures import shape_of
from workbench.core.memory.auto_settings import choose
from workbench.core.memory.plan import worst_stage
from workbench.core.training.config import ModelRef
from workbench.core.training.recipe import Device
from workbench.store.installed import companions_of
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
                assert worst_stage(shape(), found.config(config), device, found.companions).total < 0.83 * device.memory


def test_the_optimizer_gives_way_where_memory_is_short_and_only_there():
    short = choose(shape(), left_open(adapter={"rank": 128, "alpha": 128}), card(8))
    assert short.changes["optimizer"] == "paged_adamw_8bit"
    assert any("paged" in words for words in short.words)
    assert choose(shape(), left_open(), card(24)).changes["optimizer"] == "adamw_torch"


def answering(**own):
    settings = {"method": "rloo", "batch_size": 4, "rloo": {"answer_tokens": 256, "rules": "json"} | own}
    return left_open(**settings)


def test_a_reward_model_from_the_hub_is_counted_by_its_config_and_else_told(tmp_path):
    """The 135 million weights of a SmolLM2 in bf16; its output layer is its embeddings, and a head of 576 comes on top."""
    smallest = "HuggingFaceTB/SmolLM2-135M-Instruct"
    offered = companions_of(answering(reward_model=smallest), card(12))
    assert 2 * (134_515_008 + 576) < offered.reward_bytes < 2 * 134_515_008 + 30e6
    found = choose(shape(), answering(reward_model=smallest), card(12), offered)
    assert not any("not counted" in words for words in found.words)
    part = worst_stage(shape(), answering(reward_model=smallest), card(12), found.companions).parts["reward"]
    assert part == offered.reward_bytes

    unknown = answering(reward_model=str(tmp_path / "nowhere"))
    words = choose(shape(), unknown, card(12), companions_of(unknown, card(12))).words
    assert any("nowhere is not counted: what it is made of is not known here" in one for one in words)


def test_the_adapter_of_a_reward_run_has_the_rank_of_that_run():
    create_run(left_open(name="judge", method="reward", adapter={"rank": 4, "alpha": 8}))
    assert companions_of(answering(reward_run="judge"), card(12)).reward_rank == 4
    assert companions_of(answering(reward_run="gone"), card(12)).reward_rank == 0, "then as that of the policy"


def test_what_a_person_set_stays():
    set_by_hand = left_open(gradient_checkpointing="off", optimizer="paged_adamw_32bit")
    found = choose(shape(), set_by_hand, card(6))
    assert found.changes == {} and found.words == ()


def test_without_a_card_no_optimizer_is_paged():
    found = choose(shape(), left_open(optimizer="paged_adamw_8bit"), LAPTOP)
    assert found.changes["optimizer"] == "adamw_torch"
    assert "needs a card" in found.words[-1]


def test_of_an_unknown_architecture_checkpointing_is_on():
    found = choose(None, left_open(optimizer="paged_adamw_8bit"), LAPTOP)
    assert found.changes == {"gradient_checkpointing": "on", "optimizer": "adamw_torch"}
    assert len(found.words) == 2


def test_a_switch_of_an_earlier_version_is_still_read():
    assert demo_config(gradient_checkpointing=True).gradient_checkpointing == "on"
    assert demo_config(gradient_checkpointing=False).gradient_checkpointing == "off"
