"""The reference's log-probabilities: computed when a pair is first seen, kept, and read by every later epoch and run.

They follow from the base model, the adapter that training starts from and the ids of the tokens; not from the seed, the
rank, the loss or beta. So a second run on the same pairs pays nothing for its reference. Their last digits are those of
the batch in which an answer was first seen: padding is rounded away differently.
"""

import hashlib
import importlib.metadata
import time
from typing import Any

import torch

from workbench.core.names import to_name
from workbench.engine.load import Loaded
from workbench.store.reference import LogProbCache, sweep
from workbench.store.weights import fingerprint

# Another release may compute in another way, and a loss that starts beside ln 2 would look like a wrong reference.
_COMPUTES = (
    "torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "unsloth", "unsloth_zoo", "triton",
)  # fmt: skip

_WAY = "without logits"  # to the log-probabilities: another one rounds in another manner


class Reference:
    """The reference of one stage: what is known of it, and how often that was enough."""

    def __init__(self, kept: LogProbCache):
        self.kept = kept
        self.keeps = True  # off for a batch that is only tried
        self.read = 0  # answers whose log-probability was known
        self.computed = 0
        self.seconds = 0.0  # that computing took

    def facts(self) -> dict[str, int]:
        """For environment.json: answers that were read and computed, and what computing took. The start of a stage that was
        paused is not in them."""
        return {"read": self.read, "computed": self.computed, "milliseconds": round(1000 * self.seconds)}

    def add_ref_logps(self, trainer: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        """A batch of a DPO or KTO trainer with the columns that its loss reads instead of asking the reference."""
        if "KL_input_ids" in inputs:
            answers, mismatched = self._of(trainer, inputs, ("", "KL_"))
            return inputs | {"ref_logps": answers, "ref_KL_logps": mismatched}
        [both] = self._of(trainer, inputs, ("",))
        chosen, rejected = both.chunk(2)  # TRL's collator puts the chosen answers first
        return inputs | {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}

    def _of(self, trainer: Any, inputs: dict[str, Any], kinds: tuple[str, ...]) -> list[torch.Tensor]:
        """The summed log-probabilities of the answers of each kind of input, shape (rows,) each, in nats."""
        digests = [digests_of(inputs, kind) for kind in kinds]
        every = [digest for of_kind in digests for digest in of_kind]
        known = {digest: value for digest in every if (value := self.kept.get(digest)) is not None}
        missing = sum(digest not in known for digest in every)
        began = _now(inputs["input_ids"].device) if missing else 0.0
        if missing:
            computed = [part for part in trainer.compute_ref_log_probs(trainer.model, inputs) if part is not None]
            known = dict(zip(every, torch.cat(computed).float().tolist(), strict=True)) | known
        if self.keeps:
            self.kept.add(known)
            self.computed += missing
            self.seconds += time.perf_counter() - began if missing else 0.0
            self.read += len(every) - missing
        device = inputs["input_ids"].device
        return [torch.tensor([known[digest] for digest in part], device=device) for part in digests]


def with_cached_reference(trainer_class: type, reference: Reference) -> type:
    """A DPO or KTO trainer that asks its reference model for what is not known yet, and for nothing else."""

    class Keeping(trainer_class):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any):
            super().__init__(*arguments, **named)
            # TRL's own precomputing would run here, over all rows, before the first step can be seen.
            self.precompute_ref_logps = True

        def compute_loss(self, model: Any, inputs: dict[str, Any], *arguments: Any, **named: Any) -> Any:
            return super().compute_loss(model, reference.add_ref_logps(self, inputs), *arguments, **named)

    return Keeping


def open_reference(loaded: Loaded, model: Any, fresh: bool) -> Reference:
    """What is known of the model as it is now, before it trains.

    fresh: its adapter changes nothing yet, so the base model itself is the reference.
    """
    digest = hashlib.sha256(fingerprint(loaded.folder).encode())
    for package in _COMPUTES:
        digest.update(f"{package} {_version(package)}\n".encode())
    digest.update(f"{loaded.backend} {loaded.precision} {loaded.device.name} {_WAY}".encode())
    if not fresh:
        _add_adapter(digest, model)
    name = f"{to_name(loaded.facts['title'], 'model')[:40]}-{digest.hexdigest()[:24]}"
    kept = LogProbCache(name)
    sweep(keep=name)
    return Reference(kept)


def digests_of(inputs: dict[str, Any], kind: str = "") -> list[str]:
    """A digest for each row: of the ids of its tokens and of where its answer begins.

    inputs: `{kind}input_ids`, `{kind}attention_mask` and `{kind}completion_mask`, shape (rows, tokens).
    """
    columns = [inputs[f"{kind}{name}"].cpu() for name in ("input_ids", "attention_mask", "completion_mask")]
    return [
        hashlib.blake2b(torch.stack([ids, answer])[:, there.bool()].numpy().tobytes(), digest_size=12).hexdigest()
        for ids, there, answer in zip(*columns, strict=True)
    ]


def _add_adapter(digest: Any, model: Any) -> None:
    settings = model.peft_config["default"]
    digest.update(f"adapter {settings.r} {settings.lora_alpha}".encode())
    for name, weight in sorted(model.named_parameters()):
        if weight.requires_grad:
            digest.update(name.encode())
            digest.update(weight.detach().float().cpu().numpy().tobytes())


def _now(device: torch.device) -> float:
    """A moment by which the device has done all that it was told: what comes next is timed alone."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
