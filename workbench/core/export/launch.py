"""A run on more than one card: what `accelerate launch` is told, each with when to take it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """One way. file: in the folder accelerate. when: to take it, one sentence. settings: besides those of every way."""

    file: str
    title: str
    when: str
    settings: str


_FSDP = """\
distributed_type: FSDP
fsdp_config:
  fsdp_version: 1
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_backward_prefetch: BACKWARD_PRE
  fsdp_cpu_ram_efficient_loading: true
  fsdp_forward_prefetch: false
  fsdp_offload_params: true
  fsdp_reshard_after_forward: FULL_SHARD
  fsdp_state_dict_type: FULL_STATE_DICT
  fsdp_sync_module_states: true
  fsdp_use_orig_params: false
"""

_ZERO = """\
distributed_type: DEEPSPEED
deepspeed_config:
  zero_stage: {stage}
  offload_optimizer_device: none
  offload_param_device: none
  zero3_init_flag: {three}
  zero3_save_16bit_model: {three}
"""

LAUNCHES = (
    Launch(
        "ddp.yaml",
        "DDP",
        "Take it where the model fits on each card and the run should be faster: each card has a whole copy and a part of each batch.",
        "distributed_type: MULTI_GPU\n",
    ),
    Launch(
        "fsdp.yaml",
        "FSDP with QLoRA",
        "Take it where the 4-bit model does not fit on one card: the cards hold a part each, and what waits lies in main memory "
        "(settings of PEFT's documentation; train.py stores the 4 bits in the type that it computes in, bnb_4bit_quant_storage, as FSDP needs it).",
        _FSDP,
    ),
    Launch(
        "zero2.yaml",
        "DeepSpeed ZeRO-2",
        "Take it where the model fits on each card and its optimizer does not: with an adapter that is rare, so DDP first.",
        _ZERO.format(stage=2, three="false"),
    ),
    Launch(
        "zero3.yaml",
        "DeepSpeed ZeRO-3",
        "Take it instead of FSDP where DeepSpeed is what your machines run: the weights are split among the cards too.",
        _ZERO.format(stage=3, three="true"),
    ),
)


def accelerate_configs(mixed_precision: str) -> dict[str, str]:
    """Name of a file -> its text. mixed_precision: bf16, fp16 or no, as the run computed."""
    return {one.file: _config(one, mixed_precision) for one in LAUNCHES}


def launch_command(file: str, arguments: str = "") -> str:
    return f"accelerate launch --config_file accelerate/{file} train.py{arguments}"


def _config(launch: Launch, mixed_precision: str) -> str:
    return (
        f"# {launch.title}. {launch.when}\n"
        f"#   {launch_command(launch.file)}\n"
        "compute_environment: LOCAL_MACHINE\n"
        f"{launch.settings}"
        f'mixed_precision: "{mixed_precision}"\n'
        "num_machines: 1\n"
        "num_processes: 2  # one for each card\n"
        "machine_rank: 0\n"
        "main_training_function: main\n"
        "rdzv_backend: static\n"
        "same_network: true\n"
        "use_cpu: false\n"
        "debug: false\n"
    )
