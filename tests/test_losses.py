"""The losses of DPO and KTO: where each starts, worked by hand, and what is refused."""

import math
import re
from typing import get_args

import pytest
from configs import demo_config

from workbench.core.errors import WorkbenchError
from workbench.core.memory.oom_fallback import next_rung
from workbench.core.training.config import reference_label
from workbench.core.training.losses import LOSSES, LossId, find_loss, kto_start, kto_weights_advice
from workbench.core.training.recipe import Device, trainer_arguments
from workbench.core.training.settings import SFT_TERM
from workbench.engine.report import WrongReference, check_start

CPU = Device("cpu", "a CPU", bf16=False)


def kto_config(**changes):
    return demo_config(
        **{"method": "kto", "thumbs_data": "thumbs", "sft_data": None, "preference_data": None} | changes
    )


@pytest.mark.parametrize(
    ("ident", "beta", "smoothing", "start"),
    [
        ("sigmoid", 0.1, 0.0, 0.6931),  # -log 1/2
        ("sigmoid_norm", 5.0, 0.0, 0.6931),
        ("ipo", 0.1, 0.0, 25.0),  # (1 / .2) squared
        ("ipo", 0.5, 0.0, 1.0),
        ("robust", 0.1, 0.1, 0.6931),  # (.9 - .1) ln 2 / (1 - .2)
        ("apo_zero", 0.1, 0.0, 1.0),  # 1 - 1/2 + 1/2
        ("apo_down", 0.1, 0.0, 1.0),
        ("hinge", 0.1, 0.0, 1.0),
        ("exo_pair", 0.1, 0.1, 0.5108),  # 1/2 log(.5 / .9) + 1/2 log(.5 / .1) = (-.5878 + 1.6094) / 2
        ("nca_pair", 0.01, 0.0, 1.3863),  # 2 ln 2
        ("bco_pair", 0.01, 0.0, 1.3863),
        ("sppo_hard", 0.1, 0.0, 50.0),  # 25 for either answer
        ("aot", 0.1, 0.1, 0.6931),
        ("aot_unpaired", 0.1, 0.1, 0.6931),
        ("discopop", 0.05, 0.0, 0.8466),  # half of ln 2 and half of 1
    ],
)
def test_where_policy_and_reference_agree_a_loss_has_one_value(ident, beta, smoothing, start):
    assert find_loss(ident).start(beta, smoothing) == pytest.approx(start, abs=1e-4)


def test_every_loss_of_the_installed_trl_is_in_the_table_and_no_other():
    from trl import DPOConfig

    known = re.findall(r"`'(\w+)'`", DPOConfig.__dataclass_fields__["loss_type"].metadata["help"])
    assert {one.id for one in LOSSES} | {SFT_TERM} == set(known)
    assert tuple(one.id for one in LOSSES) == get_args(LossId)
    assert [one.id for one in LOSSES if one.up_front] == ["sigmoid", "sigmoid_norm", "ipo", "robust", "apo_zero"]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.id)
def test_what_its_paper_used_is_within_the_bounds_of_the_settings(loss):
    config = demo_config(dpo={"loss": loss.id, "beta": loss.beta or 0.1, "label_smoothing": loss.smoothing})
    assert config.dpo.start_loss() == loss.start(loss.beta or 0.1, loss.smoothing)
    assert loss.use.endswith(".") and loss.source


def test_an_sft_term_is_a_second_loss_with_its_weight_and_its_start_depends_on_the_data():
    config = demo_config(dpo={"loss": "ipo", "sft_weight": 0.5})
    arguments = trainer_arguments(config, "dpo", CPU, 4, "scratch")
    assert (arguments["loss_type"], arguments["loss_weights"]) == (["ipo", "sft"], [1.0, 0.5])
    assert config.dpo.start_loss() is None
    assert "loss_weights" not in trainer_arguments(demo_config(), "dpo", CPU, 4, "scratch")


def test_settings_that_a_loss_cannot_use_are_refused():
    with pytest.raises(WorkbenchError, match="Label smoothing is 0.1, and the ipo loss has none"):
        demo_config(dpo={"loss": "ipo", "label_smoothing": 0.1})
    with pytest.raises(WorkbenchError, match="exo_pair loss needs label smoothing above 0. Its paper takes 0.001"):
        demo_config(dpo={"loss": "exo_pair"})
    with pytest.raises(WorkbenchError, match="Label smoothing is 0.5; it must be less than 0.5"):
        demo_config(dpo={"loss": "robust", "label_smoothing": 0.5})


def test_a_start_is_judged_by_the_loss_that_was_chosen():
    still = {"eval_rewards/chosen": 0.0, "eval_rewards/rejected": 0.0}
    ipo, with_sft = (
        demo_config(dpo={"loss": loss, "sft_weight": weight}).dpo for loss, weight in (("ipo", 0), ("ipo", 1))
    )
    kto = kto_config().kto
    check_start({"eval_loss": 25.0} | still, "dpo", ipo)
    check_start({"eval_loss": 3.1} | still, "dpo", with_sft)
    check_start({"eval_loss": 0.5, "eval_rewards/chosen": 0.0}, "kto", kto, [True])  # held-out answers all liked
    with pytest.raises(WrongReference, match=r"DPO: Before the first step the loss is 0.6931, .* be 25.0000 and 0"):
        check_start({"eval_loss": math.log(2)} | still, "dpo", ipo)
    with pytest.raises(WrongReference, match="the loss is not a number"):
        check_start({"eval_loss": math.nan} | still, "dpo", with_sft)
    with pytest.raises(WrongReference, match=r"KTO: .* an unknown number of nats away"):
        check_start({"eval_loss": 0.5}, "kto", kto, [True, False])


def test_a_small_beta_does_not_hide_a_reference_that_is_far_away():
    """At beta .001 a log-ratio of 5 nats is a reward of .005; at beta 5 one of .01 nats is .05."""
    wide, narrow = (demo_config(dpo={"beta": beta}).dpo for beta in (5, 0.001))
    check_start({"eval_loss": 0.693, "eval_rewards/chosen": 0.05, "eval_rewards/rejected": 0.0}, "dpo", wide)
    with pytest.raises(WrongReference):
        check_start({"eval_loss": 0.693, "eval_rewards/chosen": 0.005, "eval_rewards/rejected": 0.0}, "dpo", narrow)


def test_kto_starts_at_half_the_mean_weight_of_its_answers():
    """3 liked at weight 1 and 1 disliked at weight 3: mean weight 6 / 4, half of it .75."""
    assert kto_start(1.0, 1.0, 5, 3) == 0.5
    assert kto_start(1.0, 3.0, 3, 1) == 0.75
    config = kto_config(kto={"undesirable_weight": 3.0})
    assert config.kto.start_loss([True, True, True, False]) == 0.75


def test_liked_and_disliked_answers_are_to_weigh_about_the_same():
    """300 liked and 100 disliked: the disliked ones need a weight of 300 / 100 / 1.33 = 2.25 to 3."""
    assert kto_weights_advice(1.0, 1.0, 100, 100) == ""
    assert kto_weights_advice(1.0, 2.5, 300, 100) == ""
    assert "weigh 3 to 1" in kto_weights_advice(1.0, 1.0, 300, 100)
    assert "disliked answers to 2.2 to 3" in kto_weights_advice(1.0, 1.0, 300, 100)
    assert "weight of liked answers to 2 to 2.7" in kto_weights_advice(1.0, 1.0, 50, 100)
    assert "no disliked answer" in kto_weights_advice(1.0, 1.0, 50, 0)


def test_kto_needs_thumbs_and_a_batch_of_two():
    with pytest.raises(WorkbenchError) as refused:
        kto_config(thumbs_data=None, batch_size=1)
    assert len(refused.value.problems) == 2
    assert "KTO needs answers with a thumb up or down" in refused.value.problems[0]
    assert "Batch size is 1; KTO needs at least 2" in refused.value.problems[1]
    config = kto_config(batch_size=3)
    assert next_rung(config).changes == {"batch_size": 2, "accumulation": 2}
    assert next_rung(kto_config(batch_size=2)).changes == {"gradient_checkpointing": "on"}


def test_the_reference_is_named_by_what_its_stage_starts_from():
    assert reference_label(demo_config()) == "the SFT model of this run"
    assert reference_label(demo_config(start_from="first")) == "the SFT model of this run"
    assert reference_label(demo_config(method="dpo")) == "the base model"
    assert reference_label(demo_config(method="dpo", start_from="first")) == "run first as it ended"
    assert reference_label(kto_config()) == "the base model"
