"""RunConfig -> what the libraries are given."""

import pytest
from configs import demo_config

from workbench.core.monitoring.duration import duration_range_label, forecast_stage, tokens_label
from workbench.core.training.recipe import (
    Device,
    compute_dtype,
    planned_steps,
    quantization_arguments,
    trainer_arguments,
)

CPU = Device("cpu", "a CPU", bf16=False)
T4 = Device("cuda", "Tesla T4", bf16=False)
RTX = Device("cuda", "RTX 4060", bf16=True)


def test_cards_without_bf16_compute_in_fp16_and_a_cpu_in_fp32():
    assert [compute_dtype(device) for device in (CPU, T4, RTX)] == ["float32", "float16", "bfloat16"]
    assert quantization_arguments(RTX)["bnb_4bit_use_double_quant"] is True


@pytest.mark.parametrize(
    ("rows", "batch", "accumulation", "epochs", "most", "steps"),
    [
        (100, 8, 1, 1, 0, 13),  # 12.5 batches
        (100, 8, 4, 1, 0, 4),  # 13 batches in groups of 4
        (100, 8, 4, 2.5, 0, 10),
        (100, 8, 4, 10, 7, 7),
        (3, 8, 4, 1, 0, 1),
    ],
)
def test_steps_are_counted_as_the_trainer_counts_them(rows, batch, accumulation, epochs, most, steps):
    config = demo_config(batch_size=batch, accumulation=accumulation, dpo={"epochs": epochs, "max_steps": most})
    assert planned_steps(config, "dpo", rows) == steps


def test_what_differs_between_sft_and_dpo_is_little():
    config = demo_config(warmup=0.1)
    sft = trainer_arguments(config, "sft", CPU, 40, "scratch")
    dpo = trainer_arguments(config, "dpo", CPU, 40, "scratch")
    assert {key for key in sft | dpo if sft.get(key) != dpo.get(key)} == {
        "learning_rate",
        "completion_only_loss",
        "beta",
        "loss_type",
        "label_smoothing",
    }
    assert (dpo["use_cpu"], dpo["bf16"], dpo["fp16"], dpo["warmup_steps"]) == (True, False, False, 4)
    assert dpo["logging_nan_inf_filter"] is False
    assert dpo["eval_on_start"] is True, "the reference is checked by the evaluation before the first step"


def test_time_is_measured_where_there_was_a_run_and_guessed_where_there_was_none():
    config = demo_config(batch_size=4, dpo={"max_steps": 10})
    measured = forecast_stage(config, "dpo", 1000, 800, None, "cpu", seconds_per_example=0.5)
    assert measured.measured and measured.seconds == (16.0, 26.0)  # 40 pairs at .5 s, from 20 % under to 30 % over
    guessed = forecast_stage(config, "dpo", 1000, 800, 10**6, "cpu", None)
    assert guessed.seconds == pytest.approx((40 * 200 * 1e6 * 6 / 2e11, 40 * 200 * 1e6 * 6 / 1.5e10))
    unknown = forecast_stage(config, "dpo", 1000, 800, None, "cpu", None)
    assert unknown.seconds is None
    assert tokens_label(unknown.tokens) == "about 8,000 tokens"  # 40 pairs of 800 characters, at 4 a token


def test_times_read_as_a_person_says_them():
    assert [tokens_label(some) for some in (7, 86_400, 1_234_567)] == [
        "about 7 tokens",
        "about 86,000 tokens",
        "about 1,200,000 tokens",
    ]
    assert duration_range_label((31, 52)) == "30 to 50 seconds"
    assert duration_range_label((150, 600)) == "2 to 10 minutes"
    assert duration_range_label((60, 600)) == "60 seconds to 10 minutes"
