"""Rewards: the scores of a reward model, which is an adapter with a head on a base model that other adapters use too."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.memory.forecast import REWARD_BATCH
from workbench.store.adapter_files import check_adapter
from workbench.store.home import read_json

NAME = "reward"
HEAD = "score.weight"
ABOUT = "reward.json"
"""Beside a reward model's weights: mean and standard deviation of its raw scores on held-out answers, and how good it is."""

BATCH = REWARD_BATCH  # conversations that are read at once


def scored(
    base: Any, ids: torch.Tensor, mask: torch.Tensor, head: Any = None, read: Callable[..., torch.Tensor] | None = None
) -> torch.Tensor:
    """Raw scores of conversations, shape (rows,), in fp32: of the last token that is there, whatever token that is.

    base: the model with its head as `score`, or without one, and then a head of its own. ids, mask: shape (rows, tokens),
    padded on the right. read: how hidden states are found with the body of the model, as `engine.reading` has it.
    """
    body = getattr(base, base.base_model_prefix)
    if read:
        hidden = read(body, ids, mask)
    else:
        hidden = body(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    last = hidden[torch.arange(len(ids), device=hidden.device), mask.sum(1) - 1]
    with torch.autocast(hidden.device.type, enabled=False):
        found: torch.Tensor = (head or base.score)(last.float())
    return found.squeeze(-1)


class RewardAdapter:
    """A reward model on a base model that is loaded already.

    model: a causal language model, or a PeftModel around one, which gets the adapter of the reward beside its own; `model` is
    the PeftModel afterwards. batch: conversations that are read at once, BATCH at most. Raises WorkbenchError where the adapter
    is no reward model, or none of this base model.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        folder: Path,
        max_length: int,
        name: str = NAME,
        batch: int = BATCH,
    ):
        self.tokenizer, self.max_length, self.name = tokenizer, max_length, name
        self.batch = min(batch, BATCH)
        self.title = f"the reward model of {folder.parent.name}"
        about = read_json(folder / ABOUT)
        try:
            self.mean, self.std = float(about["mean"]), float(about["std"])
        except (TypeError, KeyError, ValueError) as error:
            raise WorkbenchError(
                f"{self.title.capitalize()} has no {ABOUT} with the mean and the standard deviation of its scores, so what it says "
                "has no scale. Choose a run of the method reward model that has finished."
            ) from error
        self.model = self._load(model, folder)

    def scores(self, conversations: Sequence[list[Message]]) -> list[float]:
        """Rewards of conversations that end with an answer: 0 is the mean of held-out answers, 1 a standard deviation.

        What is longer than the reward model has read is cut at its beginning. Raises WorkbenchError where one is no number.
        """
        rows = [self._tokens(conversation) for conversation in conversations]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        found = [0.0] * len(rows)
        with self.acting(), torch.no_grad():
            for start in range(0, len(order), self.batch):
                places = order[start : start + self.batch]
                values = self._raw([rows[place] for place in places])
                for place, value in zip(places, values, strict=True):
                    found[place] = (value - self.mean) / (self.std or 1.0)
        wrong = sum(not math.isfinite(value) for value in found)
        if wrong:
            raise WorkbenchError(
                f"{self.title.capitalize()} gave {wrong:,} of {len(found):,} answers a score that is no number. Its weights are "
                "damaged, or they ran away while it trained: choose another one, or train it again at half the rate."
            )
        return found

    @contextmanager
    def acting(self) -> Iterator[None]:
        """The adapter of the reward alone acts; afterwards all is as it was, training mode and what trains included.

        PEFT changes what trains wherever an adapter is chosen (its issue 3580).
        """
        model = self.model
        active, trained = model.active_adapter, model.training
        trains = {name: weight.requires_grad for name, weight in model.named_parameters()}
        checkpointed = [
            module for module in model.modules() if getattr(module, "gradient_checkpointing", False) is True
        ]
        try:
            model.set_adapter(self.name)
            model.eval()
            for module in checkpointed:
                module.gradient_checkpointing = False
            yield
        finally:
            model.set_adapter(active)
            model.train(trained)
            for module in checkpointed:
                module.gradient_checkpointing = True
            for name, weight in model.named_parameters():
                weight.requires_grad_(trains[name])

    def weights(self) -> dict[str, torch.Tensor]:
        """All that must not change while something else trains."""
        own = {name: weight for name, weight in self.model.named_parameters() if f".{self.name}." in name}
        return own | {HEAD: self.head.weight}

    def _load(self, model: Any, folder: Path) -> Any:
        from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
        from safetensors.torch import load_file

        check_adapter(folder, self.title)
        settings = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        weights = load_file(folder / "adapter_model.safetensors")
        heads = [name for name in weights if name.endswith(HEAD)]
        if len(heads) != 1:
            raise WorkbenchError(
                f"{self.title.capitalize()} has no head that scores: it is an adapter that answers. Choose a run of the method "
                "reward model."
            )
        head = weights.pop(heads[0]).float()
        config = LoraConfig(
            r=settings["r"], lora_alpha=settings["lora_alpha"], target_modules=settings["target_modules"], bias="none",
            task_type="CAUSAL_LM", inference_mode=True,
        )  # fmt: skip
        trains = {name for name, weight in model.named_parameters() if weight.requires_grad}
        try:
            if isinstance(model, PeftModel):
                model.add_adapter(self.name, config)
            else:
                model = get_peft_model(model, config, adapter_name=self.name)
            there = dict(model.named_parameters())
            wanted = {name.replace(".weight", f".{self.name}.weight"): value for name, value in weights.items()}
            if any(name not in there or there[name].shape != value.shape for name, value in wanted.items()) or any(
                f".{self.name}." in name and name not in wanted for name in there
            ):
                raise ValueError("its weights have other names or shapes")
            set_peft_model_state_dict(model, weights, adapter_name=self.name)
            hidden = model.get_base_model().config.get_text_config().hidden_size
            if head.shape != (1, hidden):
                raise ValueError(f"its head reads {head.shape[-1]} features, and the base model gives {hidden}")
        except (RuntimeError, ValueError, KeyError) as error:
            self._take_off(model)
            raise WorkbenchError(
                f"{self.title.capitalize()} does not fit this base model: {str(error).splitlines()[0][:200]}. A reward model scores "
                "on the base model that it was trained on."
            ) from error
        for name, weight in model.named_parameters():
            weight.requires_grad_(name in trains)
        device = next(model.parameters()).device
        self.head = torch.nn.Linear(hidden, 1, bias=False, device=device).requires_grad_(False)
        self.head.weight.data.copy_(head)
        return model

    def _take_off(self, model: Any) -> None:
        """What did not fit must not act on what others ask."""
        from peft import PeftModel

        if not isinstance(model, PeftModel) or self.name not in model.peft_config:
            return
        others = [name for name in model.peft_config if name != self.name]
        if not others:
            model.unload()
            return
        active = model.active_adapter
        model.delete_adapter(self.name)
        model.set_adapter(active if active in others else others[0])

    def _tokens(self, conversation: list[Message]) -> list[int]:
        ids = self.tokenizer.apply_chat_template(conversation, tokenize=True, return_dict=False)
        return list(ids)[-self.max_length :]

    def _raw(self, rows: Sequence[list[int]]) -> list[float]:
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        device = self.head.weight.device
        return list(scored(self.model.get_base_model(), ids.to(device), mask.to(device), self.head).tolist())
