"""python -m workbench.engine.train RUN: the whole recipe, top to bottom.

Reads RUN/config.json, trains stage after stage, leaves RUN/adapter and, last of all, RUN/result.json.
"""

import contextlib
import gc
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from workbench.core.architectures import shape_of
from workbench.core.card import model_card
from workbench.core.choosing import choose
from workbench.core.config import EXPERIMENTAL, OF_PAIRS, WITH_REFERENCE, RunConfig, Stage, stage_title
from workbench.core.errors import WorkbenchError
from workbench.core.ladder import next_rung
from workbench.core.lifecycle import BEGIN, WAITS_FOR_WORD
from workbench.core.memory import Paths, forecast, needed
from workbench.core.messages import PARTS
from workbench.core.metrics import Row, latest
from workbench.core.recipe import Device, checkpoint_steps, planned_steps, start_loss, trainer_arguments
from workbench.engine import load
from workbench.engine.device import this_device
from workbench.engine.journal import log_begun_again, log_numbers, log_phase, log_resumed
from workbench.engine.trouble import Diverged, Forgotten, explain, is_out_of_memory
from workbench.store import checkpoints, datasets, model_configs
from workbench.store.checkpoints import Checkpoint
from workbench.store.forks import fork_of
from workbench.store.home import write_text
from workbench.store.installed import offered_paths
from workbench.store.runs import Outcome, Run, starting_run

# Held back at the start and given up when the disk is full, so that there is room to say so.
RESERVE = 64 * 1024  # bytes

# Which rows are held out for measuring, and KTO's neighbours, stay the same from run to run: so that runs with different
# seeds can be compared, and share what is known of their reference.
ORDER_SEED = 17

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "unsloth")


def main(folder: str) -> int:
    """Train one run. 0 where it finished or was stopped as asked; 1 where it failed, with the reason in result.json."""
    run = Run(Path(folder))
    reserve = run.folder / "reserve"
    signal.signal(signal.SIGTERM, lambda *_: run.stop_file.touch())
    try:
        reserve.write_bytes(bytes(RESERVE))
        outcome, why = train(run)
    except load.UnslothRefused as refused:
        os.environ[load.WITHOUT_UNSLOTH] = str(refused)
        return again(folder)
    except Forgotten:
        return again(folder)
    except BaseException as error:  # whatever ended the run, its folder must say so
        reserve.unlink(missing_ok=True)
        if is_out_of_memory(error) and (rung := next_rung(run.adjusted_config())):
            run.adjust(rung.changes, rung.words)
            log_phase(run, f"memory ran out, so: {rung.words}")
            return again(folder)
        with contextlib.suppress(OSError):  # the log is on the disk that may be full
            traceback.print_exc()
        outcome, why = "failed", explain(error)
        if isinstance(error, Diverged) and (kept := keep_last_good(run)):
            why += f" The adapter of {kept} is kept."
    reserve.unlink(missing_ok=True)
    shutil.rmtree(run.folder / "scratch", ignore_errors=True)
    run.write_result(outcome, why)
    return 0 if outcome != "failed" else 1


def again(folder: str) -> int:
    """Go on with the same run in a fresh process: this one's libraries are patched, or its memory is torn."""
    command = [sys.executable, "-m", "workbench.engine.train", folder]
    if os.name == "nt":  # where exec makes a new process, and this run would read as lost
        return subprocess.call(command)
    _let_go_of_files()
    os.execv(sys.executable, command)


def _let_go_of_files() -> None:
    """Have all open files but the three standard ones closed as the next program begins.

    A card's memory is held by its open device files, and not every library closes its own at an exec.
    """
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the one that listed them is closed by now
            os.set_inheritable(number, number <= 2)


def train(run: Run) -> tuple[Outcome, str]:
    """All stages of a run. Returns how it ended and why, in words."""
    device = this_device()
    paths = decide(run, device)
    config = run.adjusted_config()
    shutil.rmtree(run.folder / "scratch", ignore_errors=True)  # of a worker that was killed while it saved
    with_unsloth, _ = load.find_unsloth(device, config.precision)

    log_phase(run, "starting")
    loaded = load.load_base(
        config.model, config.precision, device, lambda text: log_phase(run, text), config.max_length, with_unsloth
    )
    model = load.add_adapter(loaded, config.adapter, config.gradient_checkpointing != "off", config.seed)
    # An absolute path of this machine has no place in a file that is meant to be shared.
    model.peft_config["default"].base_model_name_or_path = config.model.name
    if config.start_from:
        keep_start(run, config)
        take_weights(model, run.start_adapter)

    plan = {
        stage: planned_steps(config, stage, datasets.about(_data(config, stage)).train_rows) for stage in config.stages
    }
    run.add_to_environment(_environment(config, loaded, plan))  # what an earlier life found out stays

    begun = checkpoints.newest(run)
    for number, stage in enumerate(config.stages):
        is_last = number == len(config.stages) - 1
        if not is_last and run.stage_adapter(stage).is_dir():
            take_weights(model, run.stage_adapter(stage))  # this stage was finished before the run was interrupted
            continue
        log_phase(run, f"preparing the data for {stage_title(stage)}")
        resume = begun if begun and begun.stage == stage else None
        fresh = number == 0 and not config.start_from
        ended = train_stage(run, config, loaded, model, stage, fresh, resume, paths)
        if ended == "paused":
            return ended, f"Paused, as you asked. Resume goes on from {words_of(checkpoints.newest(run))}."
        if ended or is_last:
            save_adapter(run, model, run.adapter, config)
        else:
            save_adapter(run, model, run.stage_adapter(stage), config)
        if ended:
            return (
                ended,
                f"Stopped during {stage_title(stage)}, as you asked. The adapter as it was then is saved and can be compared.",
            )
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)  # the adapter is the result
    return "finished", _closing_words(run, config)


def decide(run: Run, device: Device) -> Paths:
    """Decide what the config leaves open, once for the whole run, and write it down. Returns the paths to take."""
    if not run.chosen():
        config = run.config()
        try:
            shape = shape_of(model_configs.config_of(config.model))
        except WorkbenchError:  # where the model cannot be had at all, loading it says so
            shape = None
        found = choose(shape, config, device, offered_paths(config, device))
        run.write_chosen({"changes": found.changes, "paths": asdict(found.paths), "words": found.words})
    return Paths(**run.chosen()["paths"])


def keep_last_good(run: Run) -> str:
    """Make the newest adapter whose weights are all numbers the result. Says where it was; "" where there is none."""
    import torch
    from safetensors.torch import load_file

    for found in checkpoints.whole(run):
        weights = load_file(found.folder / "adapter_model.safetensors")
        if all(bool(torch.isfinite(weight).all()) for weight in weights.values()):
            copy_adapter(found.folder, run.adapter)
            return words_of(found)
    return ""


def keep_start(run: Run, config: RunConfig) -> None:
    """Copy the adapter that the run starts from into its folder, once: it is its reference, whatever becomes of the other run."""
    if run.start_adapter.is_dir():
        return
    earlier = starting_run(config)
    assert earlier, "only asked for where the config names a run to start from"
    copy_adapter(earlier.adapter, run.start_adapter)


def copy_adapter(source: Path, target: Path) -> None:
    """Weights and settings of an adapter, whole or not at all."""
    draft = target.with_name(f".{target.name}.draft")
    draft.mkdir(exist_ok=True)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copy2(source / name, draft / name)
    os.replace(draft, target)


def take_weights(model: Any, folder: Path) -> None:
    """Give the adapter that trains the weights of one on disk, in fp32 as they were saved.

    Raises WorkbenchError where they are not the weights of such an adapter.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(folder / "adapter_model.safetensors")
    wanted = [weight.shape for weight in model.parameters() if weight.requires_grad]
    # PEFT passes over in silence what it does not find.
    if sorted(wanted) != sorted(weight.shape for weight in weights.values()):
        raise WorkbenchError(
            f"The adapter in {folder.name} has {len(weights)} weights, which are not the {len(wanted)} of the one that is to "
            "be trained: it was made in another way. Start from another run, or from the base model."
        )
    set_peft_model_state_dict(model, weights, adapter_name="default")


def words_of(checkpoint: Checkpoint | None) -> str:
    assert checkpoint, "a run that paused has just written its checkpoint"
    return f"step {checkpoint.step:,} of {stage_title(checkpoint.stage)}"


def train_stage(
    run: Run,
    config: RunConfig,
    loaded: load.Loaded,
    model: Any,
    stage: Stage,
    fresh: bool,
    resume: Checkpoint | None,
    paths: Paths,
) -> Outcome | None:
    """One stage on `model`, in place. Returns "stopped" or "paused" where that was asked for.

    resume: where the stage goes on. fresh: the adapter is as it was made, so the reference of DPO and KTO is the base
    model; otherwise the reference is the model as the stage before, or the run that was started from, left it.
    """
    from peft.helpers import disable_input_dtype_casting
    from transformers import PrinterCallback

    from workbench.engine.probe import Probe
    from workbench.engine.reference import open_reference
    from workbench.engine.report import Report, WrongReference
    from workbench.engine.resuming import OwnLearningRate
    from workbench.engine.samples import fixed_prompts

    training, held_out = load_rows(config, stage)
    steps = planned_steps(config, stage, len(training))
    if resume and resume.step >= steps:
        # Ended between its last step and the end of the stage. A trainer that goes on from its end takes a step too many.
        log_resumed(run, stage, resume.step)
        take_weights(model, resume.folder)
        return None
    arguments = trainer_arguments(
        config, stage, loaded.device, steps, str(run.folder / "scratch"), paths.chunked_logits
    )
    if not resume and any(row.get("stage") == stage for row in run.metrics()):
        log_begun_again(run, stage)
    prompts = fixed_prompts(held_out, loaded.tokenizer, config.samples, config.max_length)
    beta = {"dpo": config.dpo.beta, "kto": config.kto.beta}.get(stage)
    report = Report(run, stage, checkpoint_steps(config, steps), beta, prompts)

    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    kept = stage in WITH_REFERENCE and config.reference == "kept"
    reference = open_reference(loaded, model, fresh, paths) if kept else None
    with load.unsloth_may_refuse(loaded.backend):
        make, settings = trainer_class(run.config(), stage, reference)
        trainer = make(
            model=model,
            args=settings(**arguments),
            train_dataset=training,
            eval_dataset=held_out,
            processing_class=loaded.tokenizer,
            callbacks=[OwnLearningRate(), report],
        )
    trainer.remove_callback(PrinterCallback)  # the report prints what a person can read
    if stage == "sft" and loaded.backend == "unsloth":
        trainer.train_dataset = with_something_to_learn(trainer.train_dataset)
        trainer.eval_dataset = with_something_to_learn(trainer.eval_dataset)
    _say_what_was_dropped(run, len(training), len(trainer.train_dataset))
    put_back(model, before)
    report.start_loss = start_loss(config, stage, trainer.eval_dataset["label"] if stage == "kto" else ())
    if stage in WITH_REFERENCE and fresh:
        # TRL copied the untouched adapter as the reference. It changes nothing, so the base model itself will do.
        model.delete_adapter("ref")

    log_phase(run, f"training {stage_title(stage)}")
    if resume:
        log_resumed(run, stage, resume.step)
        report.rows = run.metrics()  # without the steps that are taken once more
        trainer.args.eval_on_start = False  # its reference was verified at step 0, and is the same
    else:
        trainer.add_callback(
            Probe(trainer, reference, config.max_length, partial(note_probe, run, config, stage, loaded.device, paths))
        )
    # Beside weights in 16 bits PEFT would keep an fp32 copy of every input of the adapter, which autocast turns back.
    without_copies = loaded.device.is_cuda and loaded.precision in ("bf16", "fp16")
    try:
        with (
            load.unsloth_may_refuse(loaded.backend, lambda: not report.stepped),
            disable_input_dtype_casting(model, active=without_copies),
        ):
            # Evaluates after the last step as well.
            trainer.train(resume_from_checkpoint=str(resume.folder) if resume else None)
    except WrongReference:
        if not reference or not reference.read:
            raise
        reference.kept.forget()
        log_phase(run, "what was kept of the reference does not hold any more, so it is asked again")
        raise Forgotten from None
    log_numbers(run, stage, trainer.state.global_step, steps, {"trained_tokens": trainer.state.num_input_tokens_seen})
    if reference:
        run.add_to_environment({"reference": {"read": reference.read, "computed": reference.computed}})
    if "ref" in model.peft_config:
        model.delete_adapter("ref")
    del trainer
    gc.collect()
    return report.ended


def with_something_to_learn(rows: Any) -> Any:
    """The rows of SFT of which a part of the answer is left within the longest example.

    TRL drops the others. Unsloth, which prepares the rows in its stead, keeps them, and a batch of only those has a
    loss of 0 / 0.
    """
    learned: list[bool] = []
    for some in rows.select_columns("labels").iter(1000):
        learned += [any(label != -100 for label in labels) for labels in some["labels"]]
    return rows if all(learned) else rows.select([number for number, learns in enumerate(learned) if learns])


def note_probe(run: Run, config: RunConfig, stage: Stage, device: Device, paths: Paths, found: dict[str, Any]) -> None:
    """Write down what the longest batch took, beside what was forecast of it."""
    memory = {}
    with contextlib.suppress(WorkbenchError):  # of an architecture that is not known there is no forecast
        as_long = config.model_copy(update={"max_length": found["tokens"]})
        expected = forecast(shape_of(model_configs.config_of(config.model)), as_long, stage, device, paths)
        memory = {"forecast": needed(expected, device), "needed": needed(expected, device, found["peak"])}
    probes = run.environment().get("probes", {})
    run.add_to_environment({"probes": probes | {stage: found | memory}})
    print(
        f"{stage_title(stage)}: the longest batch ({found['rows']} x {found['tokens']} tokens) took {found['seconds']:.2f} s"
    )


def trainer_class(asked: RunConfig, stage: Stage, reference: Any) -> tuple[type, type]:
    """The trainer of a stage and the type of its arguments. reference: what is known of it, where that is kept.

    asked: the settings as they were asked for. A run that goes on with smaller batches must keep its order of rows.
    """
    import trl

    from workbench.engine.order import grouping
    from workbench.engine.reference import keeping

    if stage in EXPERIMENTAL:  # imported only here, so that the other methods do not hang on it
        from workbench.engine.experimental import TRAINERS

        make, settings = TRAINERS[stage]
    else:
        make, settings = {
            "sft": (trl.SFTTrainer, trl.SFTConfig),
            "dpo": (trl.DPOTrainer, trl.DPOConfig),
            "kto": (trl.KTOTrainer, trl.KTOConfig),
        }[stage]
    if reference:
        make = keeping(make, reference)
    if asked.group_by_length and stage != "kto":
        make = grouping(make, asked.batch_size, asked.max_length, asked.seed)
    return make, settings


def put_back(model: Any, before: dict[str, Any]) -> None:
    """Give the adapter the fp32 weights that it had before a trainer was built around it.

    TRL casts the adapter of a quantised model to bf16, in which small steps round away, and in which it is no longer
    equal to the reference that TRL copied before the cast.
    """
    for name, weight in model.named_parameters():
        if name in before:
            weight.data = before[name]


def load_rows(config: RunConfig, stage: Stage) -> tuple[Any, Any]:
    """Training and held-out rows of a stage in TRL's conversational form, as datasets.Dataset.

    A preference dataset lends SFT its chosen answers. A dataset too small to hold anything out is measured on its
    own first rows.
    """
    import pyarrow.parquet
    from datasets import Dataset

    name = _data(config, stage)
    # Numbers and scores that are stored beside the parts of a row are not for the trainer.
    described = datasets.about(name)
    columns = list(PARTS[described.kind])
    parts = {
        # Both sides of one version, whatever is changed on the Data page meanwhile.
        split: Dataset(pyarrow.parquet.read_table(datasets.path(name, split, described.version), columns=columns))
        for split in ("train", "held_out")
    }
    if stage == "sft" and "chosen" in parts["train"].column_names:
        parts = {
            split: rows.rename_column("chosen", "completion").remove_columns("rejected")
            for split, rows in parts.items()
        }
    training, held_out = parts["train"], parts["held_out"]
    if not len(training):
        raise WorkbenchError(f"The dataset {name} has no training rows. Look at it on the Data page.")
    if not len(held_out):
        held_out = training
    if stage == "kto":
        # TRL goes through them in order, and a batch with only one thumb teaches little.
        training = training.shuffle(seed=ORDER_SEED)
    return training, held_out.shuffle(seed=ORDER_SEED).select(range(min(len(held_out), config.held_out_limit)))


def save_adapter(run: Run, model: Any, folder: Path, config: RunConfig) -> None:
    """The adapter with its model card, whole or not at all."""
    draft = folder.with_name(f".{folder.name}.draft")
    try:
        write_adapter(run, model, draft, config)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # where the disk was full, it has room again to say so


def write_adapter(run: Run, model: Any, folder: Path, config: RunConfig) -> None:
    """Weights, settings and model card of the adapter."""
    model.save_pretrained(folder, safe_serialization=True, selected_adapters=["default"])
    rows = run.metrics()
    measured = {
        **_of_pairs(rows, config),
        "KTO loss": latest(rows, "eval_loss", "kto"),
        "Reward margin of liked over disliked": latest(rows, "eval_rewards/margins", "kto"),
        "SFT loss": latest(rows, "eval_loss", "sft"),
    }
    results = {label: value for label, value in measured.items() if value is not None}
    write_text(folder / "README.md", model_card(config, run.environment(), results, fork_of(run)))


def _of_pairs(rows: Sequence[Row], config: RunConfig) -> dict[str, float | None]:
    """What a stage that learns from pairs reached, by what a model card calls it."""
    stage = config.stages[-1]
    if stage not in OF_PAIRS:
        return {}
    return {
        f"{stage_title(stage)} loss": latest(rows, "eval_loss", stage),
        "Reward accuracy": latest(rows, "eval_rewards/accuracies", stage),
        "Reward margin": latest(rows, "eval_rewards/margins", stage),
    }


def _data(config: RunConfig, stage: Stage) -> str:
    name = config.data_of(stage)
    assert name, "read_config refuses a config without the data that its stages need"
    return name


def _environment(config: RunConfig, loaded: load.Loaded, plan: dict[Stage, int]) -> dict[str, Any]:
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "plan": plan,
        "backend": loaded.backend,
        "precision": loaded.precision,
        "why": loaded.why,
        "device": loaded.device.name if loaded.device.is_cuda else "CPU",
        "model": loaded.facts,
        "versions": installed,
        "seed": config.seed,
        "data": {stage: datasets.about(_data(config, stage)).model_dump(mode="json") for stage in config.stages},
    }


def _say_what_was_dropped(run: Run, before: int, after: int) -> None:
    if not after:
        raise WorkbenchError(
            f"All {before:,} examples are too long: the prompt alone fills the longest example. Raise it on the Train page."
        )
    if after < before:
        log_phase(
            run, f"{before - after:,} of {before:,} examples were left out: the prompt alone fills the longest example"
        )


def _closing_words(run: Run, config: RunConfig) -> str:
    rows = run.metrics()
    last = config.stages[-1]
    accuracy = latest(rows, "eval_rewards/accuracies", last) if last in OF_PAIRS else None
    if accuracy is not None:
        margin = latest(rows, "eval_rewards/margins", last) or 0.0
        return f"Finished. On held-out pairs it prefers the chosen answer in {accuracy:.0%} of cases, by a margin of {margin:.2f}."
    margin = latest(rows, "eval_rewards/margins", "kto")
    if margin is not None:
        return f"Finished. On held-out answers it prefers the liked ones by a margin of {margin:.2f}."
    loss = latest(rows, "eval_loss", "sft")
    return "Finished." if loss is None else f"Finished. The held-out loss is {loss:.3f} nats per token."


def may_begin() -> bool:
    """Whether whoever started this worker has written down its pid, where it was told to wait for that."""
    return os.environ.pop(WAITS_FOR_WORD, None) is None or sys.stdin.readline().strip() == BEGIN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if may_begin() else 1)
