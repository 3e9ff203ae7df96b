"""python -m workbench.engine.merge: an adapter merged into its base model, saved, and compared with the run.

A request of `engine/lines.py` is {"do": "merge", the fields of `Wanted`}; its result is a `Measured`. The base model comes from its
own files in full precision, never from 4 bits made into more.
"""

import gc
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic_core import to_jsonable_python

from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.exact import Exact
from workbench.core.export.agreement import AnswerPair, Comparison, Measured
from workbench.core.export.targets import WeightType
from workbench.core.memory.merging import arithmetic, check_disk, merging_bytes
from workbench.core.training.config import RunConfig
from workbench.core.training.thinking import with_default
from workbench.engine import load
from workbench.engine.imports import FOR_A_CHAT, import_for
from workbench.engine.lines import Answer, Event, Request, Say, serve
from workbench.engine.trouble import explain, is_out_of_memory, is_out_of_room
from workbench.store.home import home
from workbench.store.model_files import read_config
from workbench.store.runs import Run
from workbench.store.scaled import refuse_where_not_linear
from workbench.store.weights import count_parameters

NEW_TOKENS = 32  # of each answer that is compared
LONGEST = 1024  # tokens of a prompt with its answer
FILE = "5GB"  # of weights, the largest
ON_CARD = 2 * 1024**3  # bytes of a card that answering takes, besides the weights
TYPES: dict[WeightType, str] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}

Words = Callable[[float, str], None]


class Wanted(Exact):
    """run, out: folders; the second is there, and empty. prompts: conversations that answers are compared on."""

    run: Path
    out: Path
    precision: WeightType
    strength: float
    prompts: list[list[dict[str, Any]]]


@dataclass(frozen=True)
class Told:
    """What a model says of some prompts. answers: its greedy tokens with the one that ends them. logits: at each token of the
    run's own answers, which all models read, fp32, shape (tokens, vocabulary)."""

    answers: list[list[int]]
    logits: list[Any]


@dataclass(frozen=True)
class Comparing:
    """prompts: that all were asked. tokenizer: of what was written."""

    prompts: list[list[Message]]
    tokenizer: Any

    def with_answers(self, ours: Told, theirs: Told) -> Comparison:
        """The run, or the way it was trained, against the merged model."""
        largest, divergence = difference(ours.logits, theirs.logits)
        pairs = zip(self.prompts, ours.answers, theirs.answers, ours.logits, strict=True)
        return Comparison(logits=largest, kl=divergence, answers=[self._pair(*pair) for pair in pairs])

    def _pair(self, prompt: list[Message], ours: list[int], theirs: list[int], logits: Any) -> AnswerPair:
        place = next((at for at, (one, two) in enumerate(zip(ours, theirs, strict=False)) if one != two), None)
        gap = None
        if place is not None:
            # Where the way it was trained parted from the run before that place, it was read along other tokens.
            two = logits[min(place, len(logits) - 1)][[ours[place], theirs[place]]]
            gap = abs((two[0] - two[1]).item())
        text, other = (self.tokenizer.decode(one, skip_special_tokens=True) for one in (ours, theirs))
        return AnswerPair(prompt=str(prompt[-1]["content"]), of_run=text, of_export=other, gap=gap)


def merge(wanted: Wanted, words: Words) -> Measured:
    """Merge, save, load anew, compare. Raises WorkbenchError where that cannot be done here."""
    import torch

    from workbench.engine.generate import end_tokens

    run = Run(wanted.run)
    config, title = run.config(), run.config().model.title
    folder = load.fetch(config.model, lambda text: words(0.02, text))
    weights, computed_in = look_first(folder, wanted, title)
    tokenizer = as_trained(load.load_tokenizer(folder, title), config)
    wanted = wanted.model_copy(update={"prompts": that_fit(tokenizer, wanted.prompts, read_config(folder, title))})
    rows = rendered(tokenizer, wanted.prompts)

    words(0.1, f"loading the base model in {computed_in}")
    model = _with_adapter(_load(folder, computed_in, weights), run, wanted.strength)
    ends = end_tokens(model, tokenizer)
    words(0.2, "answering with the adapter beside the base model")
    answers = greedy(model, tokenizer, rows, ends)
    told = Told(answers, list(logits_of(model, rows, answers)))
    with model.disable_adapter():
        changed = difference(told.logits, logits_of(model, rows, answers))[1]

    words(0.4, "merging")
    model = model.merge_and_unload(safe_merge=True).to(getattr(torch, TYPES[wanted.precision]))
    refuse_infinite(model, wanted.precision, title)
    words(0.5, "writing the merged model")
    save(model, tokenizer, ends, wanted.out)
    del model
    free_memory()

    words(0.6, "loading the merged model anew")
    anew = load.load_tokenizer(wanted.out, title)
    templated = sum(one == two for one, two in zip(rows, rendered(anew, wanted.prompts), strict=True))
    merged = _load(wanted.out, wanted.precision, weights)
    words(0.7, "answering with the merged model")
    said = Told(greedy(merged, anew, rows, ends), list(logits_of(merged, rows, answers)))
    del merged
    free_memory()
    compared = Comparing(wanted.prompts, anew)
    trained, trained_in = None, run.environment().get("precision") or "nf4"
    if trained_in != "fp32":
        words(0.85, f"answering as it was trained, in {trained_in}")
        trained = compared.with_answers(_as_trained(run, wanted.strength, rows, answers), said)
    return Measured(
        prompts=len(rows), tokens=sum(map(len, answers)), templated=templated, changed=changed, arithmetic=computed_in,
        whole=compared.with_answers(told, said), trained=trained, trained_in=trained_in, weights=weights,
    )  # fmt: skip


def look_first(folder: Path, wanted: Wanted, title: str) -> tuple[int, WeightType]:
    """How many weights the base model has, and what its merge is computed in. Raises WorkbenchError where it cannot be merged
    from these files, or finds no room."""
    config = read_config(folder, title)
    if config.get("quantization_config"):
        kind = config["quantization_config"].get("quant_method", "some kind")
        raise WorkbenchError(
            f"The files of {title} are quantised themselves ({kind}), so there is no full-precision model here to merge into: what "
            "the merge wrote would keep their rounding and call it 16 bits. Export the adapter, or train on the original of this "
            "model (its card names it) and merge that."
        )
    weights = count_parameters(folder) or 0
    vocabulary = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size") or 0
    kept = 2 * 4 * len(wanted.prompts) * NEW_TOKENS * vocabulary
    check_disk(weights, wanted.precision, shutil.disk_usage(wanted.out).free)
    found = arithmetic(weights, wanted.precision, kept, psutil.virtual_memory().available, title)
    return weights, found  # type: ignore[return-value]


def as_trained(tokenizer: Any, config: RunConfig) -> Any:
    """A tokenizer that renders a conversation as training did, wherever it is given no switch."""
    if load.has_switch(tokenizer, config.model.title):
        tokenizer.chat_template = with_default(tokenizer.get_chat_template(), config.thinking)
    return tokenizer


def rendered(tokenizer: Any, prompts: Sequence[list[Message]]) -> list[list[int]]:
    """The tokens of conversations, up to where the answer begins."""
    from workbench.engine.generate import asking

    return [tokenizer(asking(tokenizer, one), add_special_tokens=False)["input_ids"] for one in prompts]


def that_fit(tokenizer: Any, prompts: list[list[Message]], config: Mapping[str, Any]) -> list[list[Message]]:
    """The prompts that leave room for an answer, and are not so long that comparing takes minutes."""
    context = config.get("max_position_embeddings") or LONGEST
    lengths = map(len, rendered(tokenizer, prompts))
    return [
        prompt for prompt, length in zip(prompts, lengths, strict=True) if length <= min(LONGEST, context) - NEW_TOKENS
    ]


def _load(folder: Path, precision: str, weights: int) -> Any:
    """A causal language model from safetensors, on the card where it finds room there."""
    import torch
    from transformers import AutoModelForCausalLM

    on_card = torch.cuda.is_available() and merging_bytes(weights, precision, ON_CARD) < torch.cuda.mem_get_info()[0]
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, TYPES[precision]),  # type: ignore[index]
        device_map={"": 0 if on_card else "cpu"},
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    ).eval()


def _with_adapter(base: Any, run: Run, strength: float) -> Any:
    """The base model with the adapter of a run around it, at some strength."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    if strength != 1:
        refuse_where_not_linear(run.adapter, f"the adapter of {run.name}")
    model = PeftModel.from_pretrained(base, str(run.adapter)).eval()
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            layer.scaling["default"] *= strength
    return model


def refuse_infinite(model: Any, precision: WeightType, title: str) -> None:
    """Raises WorkbenchError where a type cannot hold a weight."""
    import torch

    wrong = next((name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())), None)
    if wrong:
        raise WorkbenchError(
            f"The merged {wrong} of {title} holds a weight that {precision} cannot hold. "
            + (
                "Take bf16, which reaches as far as fp32."
                if precision == "fp16"
                else "The adapter's training ran away."
            )
        )


def save(model: Any, tokenizer: Any, ends: set[int], out: Path) -> None:
    """Weights, config, tokenizer, chat template, generation config: all that answering as in training needs."""
    settings = model.generation_config
    # Compare ends an answer at each of these, and other programs know no other place where they could stand.
    settings.eos_token_id = sorted(ends)
    if settings.pad_token_id is None:
        settings.pad_token_id = tokenizer.pad_token_id
    if not settings.do_sample and any(
        getattr(settings, name) is not None for name in ("temperature", "top_p", "top_k")
    ):
        settings.do_sample = (
            True  # what older models say of sampling means it; Transformers refuses to write it otherwise
        )
    model.save_pretrained(out, max_shard_size=FILE)
    tokenizer.save_pretrained(out)


def greedy(model: Any, tokenizer: Any, rows: list[list[int]], ends: set[int]) -> list[list[int]]:
    """The likeliest answer to each prompt, cut behind the token that ends it."""
    import torch

    with torch.inference_mode():
        batch = tokenizer.pad({"input_ids": rows}, padding=True, padding_side="left", return_tensors="pt")
        found = model.generate(
            **{name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")},
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            eos_token_id=sorted(ends),
            pad_token_id=tokenizer.pad_token_id,
        )
    written = found[:, batch["input_ids"].shape[1] :].tolist()
    return [one[: next((place for place, token in enumerate(one, 1) if token in ends), len(one))] for one in written]


def logits_of(model: Any, rows: list[list[int]], answers: list[list[int]]) -> Iterator[Any]:
    """The logits at each token of each answer, in fp32 on the processor, one answer after the other."""
    import torch

    for row, answer in zip(rows, answers, strict=True):
        ids = torch.tensor([[*row, *answer]], device=model.device)
        with torch.inference_mode():
            found = model(input_ids=ids, logits_to_keep=len(answer) + 1).logits
        yield found[0, -len(answer) - 1 : -1].float().cpu()


def difference(ours: Iterable[Any], theirs: Iterable[Any]) -> tuple[float, float]:
    """The largest difference of a logit, and the mean KL of ours from theirs, in nats per token."""
    largest, divergence, tokens = 0.0, 0.0, 0
    for one, other in zip(ours, theirs, strict=True):
        largest = max(largest, (one - other).abs().max().item())
        first, second = one.double().log_softmax(-1), other.double().log_softmax(-1)
        divergence += (first.exp() * (first - second)).sum().item()
        tokens += len(one)
    return largest, max(0.0, divergence / max(1, tokens))


def _as_trained(run: Run, strength: float, rows: list[list[int]], answers: list[list[int]]) -> Told:
    """What the base model says as it was loaded for training, with the adapter."""
    from workbench.engine.device import this_device
    from workbench.engine.generate import end_tokens

    config = run.config()
    loaded = load.load_base(config.model, config.precision, this_device(), lambda text: None)
    model = _with_adapter(loaded.model, run, strength)
    own = greedy(model, loaded.tokenizer, rows, end_tokens(model, loaded.tokenizer))
    told = Told(own, list(logits_of(model, rows, answers)))
    model.unload()
    return told


def free_memory() -> None:
    """Give back what a model took that nobody holds any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def answer(request: Request, say: Say, stop: threading.Event) -> Any:
    """What came of a request, as JSON."""
    request.pop("do")
    import_for(FOR_A_CHAT)

    def words(fraction: float, text: str) -> None:
        say({"event": "progress", "fraction": fraction, "text": text})

    words(0.0, "starting")
    return to_jsonable_python(merge(Wanted.model_validate(request), words))


def main() -> int:
    def ready(say: Say) -> tuple[Answer, Event]:
        return answer, {}

    return serve(ready, in_words)


def in_words(error: BaseException) -> str:
    """What a person reads of an error while merging."""
    if is_out_of_room(error):
        return "The disk is full: make room on it, or name a folder on another disk. Nothing was stored."
    if is_out_of_memory(error):
        return (
            "The machine has no memory left for merging. Close other programs and the loaded model, take bf16, or export "
            "the adapter, which needs none. Nothing was stored."
        )
    return explain(error, "The process that merges", f"export.log in {home()}")


if __name__ == "__main__":
    sys.exit(main())
