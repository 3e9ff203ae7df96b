"""One stage of a run, from its rows to the trained adapter."""

import contextlib
import gc
import importlib
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from peft.helpers import disable_input_dtype_casting
from transformers import PrinterCallback

from workbench.core.errors import WorkbenchError
from workbench.core.memory.architectures import shape_of
from workbench.core.memory.forecast import Companions, forecast, needed
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import MARGIN, METHODS, Method, stage_title
from workbench.core.training.recipe import checkpoint_steps, planned_steps, trainer_arguments
from workbench.engine import adapters, load, rows
from workbench.engine.best import KeepsBest
from workbench.engine.clock import RunClock
from workbench.engine.journal import log_begun_again, log_numbers, log_phase, log_resumed
from workbench.engine.keeping_place import KeepsPlace
from workbench.engine.mirror import MirrorThread
from workbench.engine.order import length_grouped
from workbench.engine.place import Place
from workbench.engine.probe import OwnAnswersProbe, ProbeCallback
from workbench.engine.reading import imitating_without_logits, scoring_prompts_once, without_logits
from workbench.engine.reference import Reference, open_reference, with_cached_reference
from workbench.engine.report import KeepsQuality, ReportCallback, WrongReference
from workbench.engine.resuming import OwnLearningRate
from workbench.engine.samples import fixed_prompts, room_for_prompt
from workbench.engine.spread import with_margin_error
from workbench.engine.trouble import StaleReference
from workbench.engine.unpacked import room_beside, unpacked
from workbench.store import model_configs, run_data
from workbench.store.checkpoints import Checkpoint
from workbench.store.metrics_file import read_digest
from workbench.store.runs import Outcome, Run


@dataclass(frozen=True)
class Work:
    """What all stages of a run share."""

    run: Run
    config: RunConfig  # with what was decided and changed on the way
    loaded: load.Loaded
    model: Any  # the base model with the adapter that trains
    companions: Companions
    place: Place
    clock: RunClock
    mirror: MirrorThread | None = None  # gets every number that is logged, where one is asked for
    beside: int = 0  # bytes of weights that are kept in fp32 beside those in 4 bits


def train_stage(work: Work, stage: Stage, fresh: bool, resume: Checkpoint | None) -> Outcome | None:
    """Train the model of `work`, in place. Returns "stopped" or "paused" where that was asked for.

    resume: where the stage goes on. fresh: the adapter is as it was made, so the reference of DPO and KTO is the base
    model; otherwise the reference is the model as the stage before, or the run that was started from, left it.
    """
    with unpacked(work.model, _room_to_unpack(work, stage)) as beside:
        return _train(replace(work, beside=beside), stage, fresh, resume)


def _room_to_unpack(work: Work, stage: Stage) -> int:
    """Bytes that weights may take a second time on a CPU: none where what the stage itself will need cannot be forecast."""
    try:
        shape = shape_of(model_configs.config_of(work.config.model))
    except WorkbenchError:
        return 0
    return room_beside(forecast(shape, work.config, stage, work.loaded.device, work.companions).passing)


def _train(work: Work, stage: Stage, fresh: bool, resume: Checkpoint | None) -> Outcome | None:
    """See `train_stage`."""
    run, config, model = work.run, work.config, work.model
    described, changed = run_data.rows_of(run, config, stage, resume is not None)
    training, held_out = rows.load_rows(config, stage, described)
    if changed:  # since the run began
        run_data.note_change(run, {stage: described}, [changed])
        log_phase(run, changed)
    steps = planned_steps(config, stage, len(training))
    if resume and resume.step >= steps:
        # Ended between its last step and the end of the stage. A trainer that goes on from its end takes a step too many.
        log_resumed(run, stage, resume.step)
        adapters.load_adapter_weights(model, resume.folder)
        return None
    if not resume and any(row.get("stage") == stage for row in run.log().rows):
        log_begun_again(run, stage)
    method = METHODS[stage]
    asked, own = (0, []) if method.scores else (config.samples, config.prompts_of_own)
    prompts = fixed_prompts(held_out, work.loaded.tokenizer, asked, room_for_prompt(model, config.max_length), own)
    online = _open_online(work, stage) if method.online else None
    report = ReportCallback(
        run, stage, checkpoint_steps(config, steps), prompts, online and online.score, work.mirror, work.clock
    )
    kept = method.has_reference and not method.online and config.reference == "kept"
    reference = open_reference(work.loaded, model, fresh) if kept else None

    callbacks = [KeepsPlace(work.place), OwnLearningRate(), report]
    trainer = make_trainer(work, stage, training, held_out, reference, callbacks, online)
    if method.scores:
        trainer.add_callback(KeepsQuality(trainer, run))
    trainer.add_callback(KeepsBest(trainer, run, stage, config, work.place, work.clock))
    if "label" in trainer.eval_dataset.column_names:
        report.thumbs = trainer.eval_dataset["label"]
    if method.has_reference and fresh:
        # TRL copied the untouched adapter as the reference. It changes nothing, so the base model itself will do.
        model.delete_adapter("ref")
    if online:
        online.begin()
    trainer.evaluate = work.clock.counted("evaluation", trainer.evaluate)
    trainer._save_checkpoint = work.clock.counted("checkpoints", trainer._save_checkpoint)
    work.clock.begin("loading")  # until the first step, which begins the steps

    log_phase(run, f"training {stage_title(stage)}")
    if resume:
        log_resumed(run, stage, resume.step)
        report.digest = read_digest(run.metrics_file)  # without the steps that are taken once more
        trainer.args.eval_on_start = False  # its reference was verified at step 0, and is the same
    else:
        probe = OwnAnswersProbe if online else ProbeCallback
        trainer.add_callback(probe(trainer, reference, config.max_length, partial(note_probe, work, stage)))
    try:
        with load.unsloth_may_refuse(work.loaded.backend, lambda: not report.stepped), _without_copies(work):
            # Evaluates after the last step as well.
            trainer.train(resume_from_checkpoint=str(resume.folder) if resume else None)
    except WrongReference:
        if not reference or not reference.read:
            raise
        reference.kept.forget()
        log_phase(run, "Cached reference log-probabilities are stale; recomputing, so it is asked again")
        raise StaleReference from None
    log_numbers(run, stage, trainer.state.global_step, steps, {"trained_tokens": trainer.state.num_input_tokens_seen})
    if reference:
        run.add_to_environment({"reference": reference.facts()})
    if reader := getattr(trainer, "reader", None):
        run.add_to_environment({"reading": run.environment().get("reading", {}) | {stage: reader.facts()}})
    if online:
        online.end()
    for name in {"ref", "reward"} & set(model.peft_config):
        model.delete_adapter(name)
    del trainer
    gc.collect()
    return report.ended


def _open_online(work: Work, stage: Stage) -> Any:
    """See engine/online.py, which is imported only here, so that the other methods do not hang on it."""
    from workbench.engine.online import Online

    return Online(work.run, work.config, stage, work.loaded, work.model)


def make_trainer(
    work: Work,
    stage: Stage,
    training: Any,
    held_out: Any,
    reference: Reference | None,
    callbacks: list[Any],
    online: Any = None,
) -> Any:
    """The trainer of a stage, with its rows in tokens and the adapter in fp32."""
    run, config, loaded, model = work.run, work.config, work.loaded, work.model
    steps = planned_steps(config, stage, len(training))
    arguments = trainer_arguments(config, stage, loaded.device, steps, str(run.folder / "scratch"))
    method = METHODS[stage]
    if method.smallest_batch > 1 and loaded.backend == "unsloth":
        # Left alone, Unsloth splits the rows among half of the CPUs, and mismatched pairs are made within a part:
        # another machine would train on others. TRL does not split them.
        arguments["dataset_num_proc"] = 1
    more: dict[str, Any] = {}
    count = len(training)
    if online:
        more["reward_funcs"], arguments["reward_weights"] = online.reward.functions(), online.reward.weights
        training, held_out = online.prompts(training), online.prompts(held_out)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    with load.unsloth_may_refuse(loaded.backend):
        make, settings = trainer_class(run.config(), stage, reference)
        trainer = make(
            model=model,
            args=settings(**arguments),
            train_dataset=training,
            eval_dataset=held_out,
            processing_class=loaded.tokenizer,
            callbacks=callbacks,
            **more,
        )
    trainer.remove_callback(PrinterCallback)  # the report prints what a person can read
    if method.imitates and loaded.backend == "unsloth":
        trainer.train_dataset = rows.with_something_to_learn(trainer.train_dataset)
        trainer.eval_dataset = rows.with_something_to_learn(trainer.eval_dataset)
    _say_what_was_dropped(run, count, len(trainer.train_dataset), method)
    adapters.restore_fp32(model, before)
    return trainer


def _without_copies(work: Work) -> Any:
    """Beside weights in 16 bits PEFT would keep an fp32 copy of every input of the adapter, which autocast turns back."""
    in_16_bits = work.loaded.device.is_cuda and work.loaded.precision in ("bf16", "fp16")
    return disable_input_dtype_casting(work.model, active=in_16_bits)


def note_probe(work: Work, stage: Stage, found: dict[str, Any]) -> None:
    """Write down what the longest batch took, beside what was forecast of it."""
    run, config, device = work.run, work.config, work.loaded.device
    memory = {}
    with contextlib.suppress(WorkbenchError):  # of an architecture that is not known there is no forecast
        as_long = config.model_copy(update={"max_length": found["tokens"]})
        expected = forecast(shape_of(model_configs.config_of(config.model)), as_long, stage, device, work.companions)
        memory = {"forecast": needed(expected, device) + work.beside, "needed": needed(expected, device, found["peak"])}
    probes = run.environment().get("probes", {})
    run.add_to_environment({"probes": probes | {stage: found | memory}})
    print(
        f"{stage_title(stage)}: the longest batch ({found['rows']} x {found['tokens']} tokens) took {found['seconds']:.2f} s"
    )


def trainer_class(asked: RunConfig, stage: Stage, reference: Reference | None) -> tuple[type, type]:
    """The trainer of a stage and the type of its arguments. reference: what is known of it, where that is kept.

    asked: the settings as they were asked for. A run that goes on with smaller batches must keep its order of rows.
    """
    method = METHODS[stage]
    # Imported only here, so that no other method hangs on it.
    library = importlib.import_module(method.module)
    names = asked.own(stage).trainer_names() or (method.trainer, method.trainer_config)
    make, settings = getattr(library, names[0]), getattr(library, names[1])
    if method.has_reference and not method.online:
        make = without_logits(make, method.answers == 2)
    elif method.experimental:
        make = imitating_without_logits(make)
    elif method.scores:
        make = scoring_prompts_once(make)
    if MARGIN in method.results and not method.scores:
        make = with_margin_error(make)
    if reference:
        make = with_cached_reference(make, reference)
    if asked.group_by_length and method.smallest_batch == 1 and not method.online:
        make = length_grouped(make, asked.batch_size, asked.max_length, asked.seed)
    return make, settings


def _say_what_was_dropped(run: Run, before: int, after: int, method: Method) -> None:
    why = "the prompt alone fills max length"
    if method.scores:  # it reads the end of an answer, so takes none that is cut
        why = "an answer with its prompt is longer than max length"
    elif method.online:
        why = "the prompt leaves no room for the longest answer within max length"
    if not after:
        raise WorkbenchError(f"All {before:,} examples are too long: {why}. Raise it on the Train page.")
    if after < before:
        log_phase(run, f"{before - after:,} of {before:,} examples were left out: {why}")
