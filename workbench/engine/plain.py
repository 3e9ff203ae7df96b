"""A run in plain TRL and PEFT: what `workbench export RUN script` writes as `train.py`.

`core/export/script.py` puts the settings of a run in the places of those below, and what is imported of the workbench
into the file itself. So nothing here knows a folder of the workbench.
"""

import argparse
import gc
import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from huggingface_hub import HfApi
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from peft.utils.other import fsdp_auto_wrap_policy
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PrinterCallback,
    TrainerCallback,
)

from workbench.core.training.model_files import PLAIN_TEMPLATE
from workbench.core.training.thinking import with_default
from workbench.engine.adapters import restore_fp32
from workbench.engine.load import keep_four_bit_weights_as_they_are
from workbench.engine.order import length_grouped

MODEL = ""
REVISION: str | None = None
PRECISION = ""
THINKING: bool | None = None
STARTS_FROM_ADAPTER = False
SCORES = False
SEED = 0
BATCH_SIZE = 1
GROUP_BY_LENGTH = 0
LORA: dict[str, Any] = {}
EVERY_STAGE: dict[str, Any] = {}
STAGES: dict[str, dict[str, Any]] = {}
START_LOSS: dict[str, float] = {}
TRAINERS: dict[str, tuple[Any, Any]] = {}

HERE = Path(__file__).resolve().parent
WEIGHTS = "adapter_model.safetensors"


def main() -> None:
    """All stages of the run, one after the other, with the same adapter."""
    options = read_options()
    # Before the model: DeepSpeed splits it while it is loaded, and only where these arguments have been made.
    stages = {stage: arguments_of(stage, options.out) for stage in ([options.stage] if options.stage else STAGES)}
    if len(stages) > 1 and is_sharded():
        sys.exit(
            f"Sharded training takes one stage at a time: --stage {', then --stage '.join(stages)} --start OUT/adapter."
        )
    is_main = next(iter(stages.values())).process_index == 0
    if is_main:
        count = int(os.environ.get("WORLD_SIZE", "1"))
        print(f"{count} process{'es' if count > 1 else ''}, {BATCH_SIZE // count} rows at once in each")
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "metrics.jsonl").write_text("")
        if options.push_to:  # a token that may not write is known now, and not after hours
            HfApi().create_repo(options.push_to, private=True, exist_ok=True)

    tokenizer = load_tokenizer(options.model)
    model = add_adapter(load_base(options.model), options.model)
    if options.start:
        load_adapter(model, options.start)
    for number, (stage, arguments) in enumerate(stages.items()):
        fresh = number == 0 and not options.start
        trainer = make_trainer(model, tokenizer, stage, arguments, options, fresh)
        with disable_input_dtype_casting(model, active=torch.cuda.is_available() and PRECISION == "bf16"):
            trainer.train()
        is_last = number == len(stages) - 1
        folder = options.out / ("adapter" if is_last else stage)
        save_adapter(trainer, model, folder)
        if is_main and options.push_to:
            push(options, folder, "" if is_last else stage)
        del trainer
        gc.collect()
    if is_main:
        shutil.rmtree(options.out / "scratch", ignore_errors=True)  # empty, made by TRL


def read_options() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=MODEL, help="the base model: a Hub id, or its folder")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="the folder with the rows of each stage")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where metrics.jsonl and the adapter are written")
    parser.add_argument("--stage", choices=list(STAGES), help="only this stage")
    parser.add_argument("--start", type=Path, help="the folder of an adapter to start from")
    parser.add_argument(
        "--push-to", metavar="OWNER/NAME", help="a model repository for the result, private where it is new"
    )
    options = parser.parse_args()
    if options.model == MODEL and "/" not in MODEL:
        parser.error(f"the run was trained on the {MODEL}, which is not on the Hub: name its folder with --model")
    if options.stage not in (None, next(iter(STAGES))) and not options.start:
        parser.error(f"{options.stage} goes on with the adapter of the stage before: name its folder with --start")
    if STARTS_FROM_ADAPTER and not options.start:
        options.start = HERE / "start"
    return options


def is_sharded() -> bool:
    """Whether `accelerate launch` spreads the model over the cards (FSDP, DeepSpeed) instead of copying it to each."""
    return any(os.environ.get(f"ACCELERATE_USE_{how}", "") == "true" for how in ("FSDP", "DEEPSPEED"))


def compute_dtype() -> torch.dtype:
    """The type in which layers compute: bf16 on cards that have it, fp16 on older ones, fp32 on a CPU."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def arguments_of(stage: str, out: Path) -> Any:
    """TRL's arguments of a stage on this machine. Several processes share the rows of a batch."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if BATCH_SIZE % processes:
        sys.exit(f"{processes} processes cannot share batches of {BATCH_SIZE} rows equally. Change BATCH_SIZE.")
    if SCORES and processes > 1:
        sys.exit("A reward model is measured on all held-out pairs together, so it trains in one process.")
    on_card, dtype = torch.cuda.is_available(), compute_dtype()
    arguments = EVERY_STAGE | STAGES[stage]
    if not on_card:
        arguments.pop("use_liger_kernel", None)
    return TRAINERS[stage][1](
        output_dir=str(out / "scratch"),
        per_device_train_batch_size=BATCH_SIZE // processes,
        per_device_eval_batch_size=BATCH_SIZE // processes,
        seed=SEED,
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        use_cpu=not on_card,
        dataloader_pin_memory=on_card,
        **arguments,
    )


def load_tokenizer(source: str) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(source, revision=REVISION, trust_remote_code=False)
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if THINKING is not None:
        tokenizer.chat_template = with_default(tokenizer.get_chat_template(), THINKING)
    return tokenizer


def load_base(source: str) -> Any:
    """The base model in the precision of the run; in 4 bits a copy for each process, unless it is sharded."""
    on_card = torch.cuda.is_available()
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}.get(PRECISION, compute_dtype())
    arguments: dict[str, Any] = {
        "dtype": dtype,
        "revision": REVISION,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if not is_sharded():
        arguments["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0")) if on_card else "cpu"}
    if PRECISION == "nf4":
        # What is sharded must be stored in the type that it computes in: FSDP cannot cut bytes of 4-bit weights apart.
        storage = {"bnb_4bit_quant_storage": dtype} if is_sharded() else {}
        arguments["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            **storage,
        )
    if SCORES:
        model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, **arguments)
    else:
        model = AutoModelForCausalLM.from_pretrained(source, **arguments)
    if PRECISION == "nf4" and not on_card:
        keep_four_bit_weights_as_they_are(model)
    return model


def add_adapter(model: Any, source: str) -> Any:
    """A fresh adapter in fp32 on the base model."""
    torch.manual_seed(SEED)  # it starts at random
    if SCORES:  # the head too, which was made at random while the model was loaded
        model.score.weight.data.normal_(std=model.config.get_text_config().initializer_range)
    model = get_peft_model(model, LoraConfig(**LORA))
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    if Path(source).is_dir():  # a path of this machine has no place in a file that is meant to be shared
        model.peft_config["default"].base_model_name_or_path = MODEL
    return model


def load_adapter(model: Any, folder: Path) -> None:
    """Give the adapter the weights of one on disk, which must have the same shapes: PEFT passes over what it does not find."""
    weights = load_file(folder / WEIGHTS)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    head = [weight for name, weight in trained.items() if ".score." in name]
    if head:  # a reward model may start from an adapter that answers, with a head of its own
        weights.setdefault("base_model.model.score.weight", head[0].detach())
    if sorted(weight.shape for weight in weights.values()) != sorted(weight.shape for weight in trained.values()):
        sys.exit(f"The adapter in {folder} is another one than LORA makes.")
    set_peft_model_state_dict(model, weights, adapter_name="default")


def make_trainer(
    model: Any, tokenizer: Any, stage: str, arguments: Any, options: argparse.Namespace, fresh: bool
) -> Any:
    """The trainer of a stage. fresh: the adapter changes nothing yet, so that the base model is the reference."""
    rows = {split: read_rows(options.data / stage / f"{split}.jsonl") for split in ("train", "test")}
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    make = TRAINERS[stage][0]
    if GROUP_BY_LENGTH:
        make = length_grouped(make, GROUP_BY_LENGTH, arguments.max_length, SEED)
    trainer = make(
        model=model,
        args=arguments,
        train_dataset=rows["train"],
        eval_dataset=rows["test"],
        processing_class=tokenizer,
        callbacks=[Metrics(options.out / "metrics.jsonl", stage)],
    )
    trainer.remove_callback(PrinterCallback)
    restore_fp32(model, before)
    if fresh and "ref" in model.peft_config:  # TRL's copy of an adapter that changes nothing
        model.delete_adapter("ref")
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.auto_wrap_policy = fsdp_auto_wrap_policy(model)
    return trainer


def read_rows(file: Path) -> Any:
    with open(file, encoding="utf-8") as lines:
        return Dataset.from_list([json.loads(line) for line in lines])


class Metrics(TrainerCallback):
    """Writes each number that is logged as a line of JSON, and looks whether a stage starts where its reference is."""

    def __init__(self, file: Path, stage: str):
        self.file, self.stage = file, stage

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        numbers = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in (logs or {}).items()
        }
        with open(self.file, "a", encoding="utf-8") as file:
            print(
                json.dumps({"stage": self.stage, "step": state.global_step, "steps": state.max_steps} | numbers),
                file=file,
            )

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        expected = START_LOSS.get(self.stage)
        found = metrics.get("eval_loss", math.nan)
        if state.global_step == 0 and expected is not None and not abs(found - expected) <= 0.002 * max(1, expected):
            sys.exit(
                f"{self.stage} starts at a loss of {found}, not at {expected}: its reference is not where it starts."
            )


def save_adapter(trainer: Any, model: Any, folder: Path) -> None:
    """The adapter that trained, and nothing else: TRL's copy as the reference and pickled arguments stay behind."""
    if is_sharded():  # every process takes part in putting it together
        trainer.save_model(str(folder))
        if trainer.is_world_process_zero():
            (folder / "training_args.bin").unlink(missing_ok=True)
            shutil.rmtree(folder / "ref", ignore_errors=True)
        return
    if trainer.is_world_process_zero():
        model.save_pretrained(folder, selected_adapters=["default"], save_embedding_layers=False)
        if SCORES:  # the scale of its scores, and how good they are on held-out pairs
            (folder / "reward.json").write_text(json.dumps(trainer.quality.as_dict()))
    if "ref" in model.peft_config:
        model.delete_adapter("ref")


def push(options: argparse.Namespace, folder: Path, path: str) -> None:
    """An adapter and all numbers so far to the Hub. The token is HF_TOKEN's, or that of `hf auth login`."""
    HfApi().upload_folder(
        repo_id=options.push_to,
        folder_path=folder,
        path_in_repo=path or None,
        allow_patterns=["adapter_*", "README.md", "reward.json"],
        commit_message=f"Adapter of {path or 'the last stage'}",
    )
    HfApi().upload_file(
        repo_id=options.push_to, path_or_fileobj=options.out / "metrics.jsonl", path_in_repo="metrics.jsonl"
    )


if __name__ == "__main__":
    main()
