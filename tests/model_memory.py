"""Small random models of every known architecture, and what a real step on them takes."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from workbench.core.training.config import RunConfig
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import (
    Device,
    adapter_arguments,
    compute_dtype,
    quantization_arguments,
    trainer_arguments,
)

CPU = Device("cpu", "CPU", False)

_LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 250,
    "tie_word_embeddings": False,
}
_HEADS = {"head_dim": 24}
# Odd sizes on purpose: blocks of 64 that are not full, heads that do not share the hidden size evenly, biases.
SIZES: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True, "mlp_bias": True, "hidden_size": 72, "intermediate_size": 90},
    "mistral": _HEADS,
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": _HEADS,
    "olmo2": {},
    "gemma": _HEADS | {"tie_word_embeddings": True},
    "gemma2": _HEADS | {"tie_word_embeddings": True},
    "gemma3_text": _HEADS | {"tie_word_embeddings": True},
    "phi3": {"pad_token_id": 0},
    "granite": {"mlp_bias": True},
    "granitemoehybrid": {
        "shared_intermediate_size": 96,
        "num_local_experts": 0,
        "layer_types": ["attention", "attention"],
    },
    "smollm3": {"tie_word_embeddings": True, "pad_token_id": 0},
    "gpt_neox": {},
}


def tiny_config(architecture: str) -> dict[str, Any]:
    """A config.json of a model with about 100,000 weights."""
    return {"model_type": architecture} | _LLAMA | SIZES[architecture]


def tiny_model(
    values: Mapping[str, Any],
    precision: str,
    device: Device = CPU,
    place: int | str | None = None,
    scores: bool = False,
) -> Any:
    """A random model of that config, loaded as the workbench loads one. place: where, if not on the device.

    scores: with the head of a reward model in place of the output layer.
    """
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        BitsAndBytesConfig,
    )

    from workbench.engine.load import keep_four_bit_weights_as_they_are

    torch.manual_seed(1)
    dtype = {"bf16": "bfloat16", "fp32": "float32"}.get(precision, compute_dtype(device))
    arguments: dict[str, Any] = {
        "dtype": getattr(torch, dtype),
        "device_map": {"": place if place is not None else 0 if device.is_cuda else "cpu"},
    }
    if precision == "nf4":
        arguments["quantization_config"] = BitsAndBytesConfig(**quantization_arguments(device))
    with tempfile.TemporaryDirectory() as folder:
        AutoModelForCausalLM.from_config(AutoConfig.for_model(**values), dtype=arguments["dtype"]).save_pretrained(
            folder
        )
        kind = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
        model = kind.from_pretrained(folder, **arguments | ({"num_labels": 1} if scores else {}))
    if place == "cpu" or not device.is_cuda:
        keep_four_bit_weights_as_they_are(model)
    return model


def with_adapter(model: Any, config: RunConfig) -> Any:
    """The model with the adapter that a run would train, in fp32."""
    from peft import LoraConfig, get_peft_model

    found = get_peft_model(model, LoraConfig(**adapter_arguments(config.adapter, hasattr(model, "score"))))
    for weight in found.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return found


def judge_for(values: Mapping[str, Any], config: RunConfig, model: Any, tokenizer: Any) -> Any:
    """A reward model of random weights on the same base, as a run of the method reward model leaves one."""
    from workbench.engine.rewards import ABOUT, RewardAdapter

    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "judge" / "adapter"
        with_adapter(tiny_model(values, "nf4", scores=True), config).save_pretrained(folder)
        (folder / ABOUT).write_text('{"mean": 0.0, "std": 1.0}')
        return RewardAdapter(model, tokenizer, folder, config.max_length, batch=config.batch_size)


def trainer_for(
    values: Mapping[str, Any],
    config: RunConfig,
    stage: str,
    device: Device = CPU,
    base: Any = None,
    from_adapter: bool = False,
    judge: Callable[[Any, Any], Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    shared: float = 0.0,
) -> Any:
    """TRL's trainer on a random model, built as engine/train.py builds it for a fresh adapter; two steps to train.

    Every second row is an eighth shorter than the longest, so that there is padding. base: a model of these values that is
    loaded already. from_adapter: as where training starts from a trained adapter, of which the reference is a copy. judge: makes the
    reward model that scores answers, from the model and its tokenizer. changes: of the arguments of the trainer. shared: how much
    of the longest row the two answers of a pair have in common, which is then read once.
    """
    from datasets import Dataset

    from workbench.engine.adapters import restore_fp32
    from workbench.engine.load import load_tokenizer
    from workbench.engine.reference import Reference
    from workbench.engine.rloo import Reward
    from workbench.engine.stage import trainer_class
    from workbench.store.home import shipped
    from workbench.store.reference import LogProbCache

    method, tokenizer = METHODS[stage], load_tokenizer(shipped("assets") / "demo" / "model")
    model = with_adapter(base or tiny_model(values, "nf4", device, scores=method.scores), config)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    reference = Reference(LogProbCache("measured")) if stage == "dpo" and config.reference == "kept" else None
    if reference:
        reference.keeps = False  # so that each step asks for it
    make, settings = trainer_class(config, stage, reference)  # type: ignore[arg-type]
    more: dict[str, Any] = {}
    if method.online:
        judge = judge or partial(judge_for, values, config)
        more["reward_funcs"] = Reward({"judge": judge(model, tokenizer).scores}, [1.0]).functions()
    with tempfile.TemporaryDirectory() as folder:
        arguments = trainer_arguments(config, stage, device, 2, folder)  # type: ignore[arg-type]
        trainer = make(
            model=model,
            args=settings(**arguments | {"eval_strategy": "no", "eval_on_start": False} | (changes or {})),
            train_dataset=Dataset.from_list(_rows(config, stage, tokenizer, shared)),
            processing_class=tokenizer,
            **more,
        )
    restore_fp32(model, before)
    if config.gradient_checkpointing != "off":  # as Trainer.train() does where it begins
        trainer.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if "ref" in model.peft_config and not from_adapter:
        model.delete_adapter("ref")
    if method.online:  # so that no answer is shorter than the longest
        trainer.generation_config.min_new_tokens = trainer.max_completion_length
    return trainer


def passing_peak(values: Mapping[str, Any], config: RunConfig, stage: str, from_adapter: bool = False) -> int:
    """Bytes that one real step of TRL takes at most beyond what was there before it, on the CPU."""
    from torch.profiler import ProfilerActivity, profile

    trainer = trainer_for(values, config, stage, from_adapter=from_adapter)
    step, batch = steps_of(trainer)
    step()  # makes gradients and moments, which are counted elsewhere
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    assert longest(trainer, batch) == config.max_length
    return highest(record)


def steps_of(trainer: Any) -> tuple[Callable[[], None], Any]:
    """What takes a step on the first batch, as often as it is called; and that batch."""
    trainer.current_gradient_accumulation_steps = 1
    trainer.create_optimizer()
    trainer.model.train()
    batch = next(iter(trainer.get_train_dataloader()))

    def step() -> None:
        trainer.training_step(trainer.model, copied(batch), 1)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad(set_to_none=False)

    return step, batch


def copied(batch: Any) -> Any:
    """A batch of a step: the prompts of answers that are to be written, or tensors."""
    return (
        batch
        if isinstance(batch, list)
        else {name: part.clone() for name, part in batch.items() if hasattr(part, "clone")}
    )


def longest(trainer: Any, batch: Any) -> int:
    """Tokens of the longest sequence of a step that was taken, its padding counted."""
    if isinstance(batch, list):
        written = trainer._buffered_inputs[0]
        return int(written["prompt_ids"].shape[1] + written["completion_ids"].shape[1])
    return int(batch["input_ids" if "input_ids" in batch else "chosen_input_ids"].shape[1])


def _rows(config: RunConfig, stage: str, tokenizer: Any, shared: float) -> list[dict[str, Any]]:
    long, short = " the" * 2 * config.max_length, " the" * (config.max_length * 7 // 8)
    answers = [(short if number % 2 else long) + str(number) for number in range(config.batch_size)]
    if stage == "sft":
        return [{"prompt": "a", "completion": answer} for answer in answers]
    if stage == "kto":
        return [{"prompt": "a", "completion": answer, "label": bool(n % 2)} for n, answer in enumerate(answers)]
    if METHODS[stage].online or METHODS[stage].scores:
        return _exact_rows(config, stage, tokenizer, shared)
    prompt = "a" + " the" * int(shared * config.max_length)
    return [{"prompt": prompt, "chosen": "b" + answer, "rejected": "c" + answer} for answer in answers]


def _exact_rows(config: RunConfig, stage: str, tokenizer: Any, shared: float) -> list[dict[str, Any]]:
    """Rows of methods that leave out what is too long: every second one fills max length to the last token."""
    answers_itself = METHODS[stage].online

    def conversation(words: int) -> dict[str, Any]:
        before = words if answers_itself else int(shared * config.max_length)
        asked = {"role": "user", "content": "a" + " the" * before}
        if answers_itself:
            return {"prompt": [asked]}
        said = [{"role": "assistant", "content": word + " the" * words} for word in ("b", "c")]
        return {"prompt": [asked], "chosen": said[:1], "rejected": said[1:]}

    def tokens(row: dict[str, Any]) -> int:
        turns = [*row["prompt"], *row.get("rejected", ())]
        return len(tokenizer.apply_chat_template(turns, add_generation_prompt=answers_itself, return_dict=False))

    room = config.max_length - config.own(stage).longest_own_answer()
    words = next(count for count in range(room, -1, -1) if tokens(conversation(count)) <= room)
    assert tokens(conversation(words)) == room
    rows = config.effective_batch // config.own(stage).answers_per_row() if answers_itself else config.batch_size
    return [conversation(words // 4 if number % 2 else words) for number in range(rows)]


def highest(record: Any) -> int:
    """The most bytes alive at once, from the record's allocations and frees in their order."""
    changes = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    alive = most = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        most = max(most, alive)
    return most
