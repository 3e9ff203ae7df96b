"""RunConfig -> keyword arguments for TRL, PEFT, bitsandbytes and Unsloth, as plain dictionaries.

No library is imported here, so that the window, the command line and the tests can read what a worker will do.
"""

import math
from dataclasses import dataclass
from typing import Any

from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS
from workbench.core.training.settings import AdapterSettings

# What LoRA is attached to: every linear layer but the head ("LoRA Without Regret": all linear layers matter).
ALL_LINEAR = "all-linear"

CHECKPOINTS_PER_STAGE = 10

USUAL_EVALUATIONS = 8
"""Of a stage, where it is left open; see core/training/evaluating.py."""

SAMPLE_TOKENS = 96
"""Of an answer to a fixed prompt at an evaluation: enough to see manner, length and an end. A longer one is cut, and counted as
one that hit the limit."""

EVALUATED_ANSWERS = 2
"""Answers to each held-out prompt in an evaluation of a method that answers by itself."""


@dataclass(frozen=True)
class Device:
    """What the machine offers a worker."""

    kind: str  # "cuda" or "cpu"
    name: str
    bf16: bool
    memory: int = 0  # bytes; of the card, or of the machine where there is none

    @property
    def is_cuda(self) -> bool:
        return self.kind == "cuda"


def compute_dtype(device: Device) -> str:
    """The type in which layers compute: bf16 on cards that have it, fp16 on older ones, fp32 on a CPU.

    On a CPU fp32 runs everywhere at full speed; bf16 is fast on few of them.
    """
    if not device.is_cuda:
        return "float32"
    return "bfloat16" if device.bf16 else "float16"


def quantization_arguments(device: Device) -> dict[str, Any]:
    """For transformers.BitsAndBytesConfig: NF4 with double quantisation (Dettmers et al. 2023, section 3).

    `bnb_4bit_compute_dtype` is the name of a torch type.
    """
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": compute_dtype(device),
    }


def adapter_arguments(adapter: AdapterSettings, scores: bool = False) -> dict[str, Any]:
    """For peft.LoraConfig. scores: of a reward model, whose head trains with the adapter and is saved with it."""
    kind = {"task_type": "SEQ_CLS", "modules_to_save": ["score"]} if scores else {"task_type": "CAUSAL_LM"}
    return _lora(adapter) | kind


def unsloth_load_arguments(path: str, max_length: int, four_bit: bool, device: Device) -> dict[str, Any]:
    """For unsloth.FastLanguageModel.from_pretrained. `dtype` is the name of a torch type, the one that the trainer computes in."""
    return {
        "model_name": path,
        "max_seq_length": max_length,
        "dtype": compute_dtype(device),
        "load_in_4bit": four_bit,
        "trust_remote_code": False,
        # The folder that was checked, and no copy of the model that Unsloth keeps under its own name.
        "local_files_only": True,
        "use_exact_model_name": True,
    }


def unsloth_adapter_arguments(adapter: AdapterSettings, gradient_checkpointing: bool, seed: int) -> dict[str, Any]:
    """For unsloth.FastLanguageModel.get_peft_model."""
    return _lora(adapter) | {
        "use_gradient_checkpointing": "unsloth" if gradient_checkpointing else False,
        "random_state": seed,
    }


def _lora(adapter: AdapterSettings) -> dict[str, Any]:
    return {
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        "target_modules": ALL_LINEAR,
        "bias": "none",
    }


def planned_steps(config: RunConfig, stage: Stage, rows: int) -> int:
    """Optimizer steps of a stage on `rows` training rows."""
    own = config.own(stage)
    batches = math.ceil(rows * own.answers_per_row() / config.batch_size)
    steps = max(1, math.ceil(own.epochs * math.ceil(batches / config.accumulation)))
    return min(steps, own.max_steps) if own.max_steps else steps


def steps_between_evaluations(evaluations: int, steps: int) -> int:
    """Optimizer steps from one evaluation to the next, in a stage of so many. evaluations: 0 where nothing was settled yet."""
    return max(1, math.ceil(steps / (evaluations or USUAL_EVALUATIONS)))


def checkpoint_steps(config: RunConfig, steps: int) -> int:
    """Optimizer steps from one checkpoint to the next, in a stage of so many."""
    return config.checkpoint_steps or max(1, math.ceil(steps / CHECKPOINTS_PER_STAGE))


def trainer_arguments(
    config: RunConfig, stage: Stage, device: Device, steps: int, folder: str, chunked_logits: bool = False
) -> dict[str, Any]:
    """For the class that the table of methods names as its trainer_config.

    steps: optimizer steps of the stage; folder: where TRL may write; chunked_logits: take how log-probabilities are computed
    of DPO and KTO that never builds all logits.
    """
    own = config.own(stage)
    dtype = compute_dtype(device)
    arguments: dict[str, Any] = {
        "output_dir": folder,
        "max_steps": steps,
        "learning_rate": own.learning_rate,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": round(config.warmup * steps),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": "adamw_torch" if config.optimizer == "auto" else config.optimizer,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulation,
        "gradient_checkpointing": config.gradient_checkpointing != "off",
        "max_length": config.max_length,
        "seed": config.seed,
        "bf16": dtype == "bfloat16",
        "fp16": dtype == "float16",
        "use_cpu": not device.is_cuda,
        "dataloader_pin_memory": device.is_cuda,
        "eval_strategy": "steps",
        "eval_steps": steps_between_evaluations(config.evaluations, steps),
        # Before the first step: where SFT's curve begins, and the check that DPO starts from its reference.
        "eval_on_start": True,
        "logging_steps": 1,
        # The trainer's default replaces a NaN loss by the mean before it, which hides that a run has died.
        "logging_nan_inf_filter": False,
        # When to save is said by engine/report.py, step by step; the trainer only needs to be able to.
        "save_strategy": "steps",
        "save_steps": steps + 1,
        "report_to": "none",
        "disable_tqdm": True,
    }
    method = METHODS[stage]
    if not method.experimental and not method.scores:
        # A model of a family with experts that has none, such as Granite 4.0 Micro, has no load to balance, and TRL fails
        # where it tries. Where there are experts, those of the frozen model are balanced already.
        arguments["router_aux_loss_coef"] = 0.0
    if method.online:
        # Prompts that are too long are left out before; an evaluation answers each prompt once or twice, group by group.
        del arguments["max_length"]
        arguments["num_generations_eval"] = EVALUATED_ANSWERS
        arguments["per_device_eval_batch_size"] = max(1, config.batch_size // EVALUATED_ANSWERS) * EVALUATED_ANSWERS
    if chunked_logits and method.has_reference and not method.online:
        arguments["use_liger_kernel"] = True  # TRL's name for it; liger's own kernels are not used there
    return arguments | own.trainer_arguments()
