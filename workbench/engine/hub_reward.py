"""A reward model that is a model of its own: a sequence classifier with one score, from the Hub or from a folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, pstdev

import torch

from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import parse_model
from workbench.core.training.recipe import Device, compute_dtype
from workbench.engine import load
from workbench.store.home import read_json, write_json


class HubReward:
    """Loaded beside the base model, with a tokenizer and a chat template of its own. Raises WorkbenchError where it has no one score."""

    def __init__(self, name: str, device: Device, max_length: int, say: Callable[[str], None]):
        from transformers import AutoModelForSequenceClassification

        ref = parse_model(name)
        folder = load.fetch(ref, say)
        say(f"loading the reward model {ref.title}")
        self.title, self.max_length = ref.title, max_length
        self.tokenizer = load.load_tokenizer(folder, ref.title)
        try:
            self.model = AutoModelForSequenceClassification.from_pretrained(
                folder,
                dtype=getattr(torch, compute_dtype(device)),
                device_map={"": 0 if device.is_cuda else "cpu"},
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
            ).eval()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise WorkbenchError(
                f"{ref.title} could not be loaded as a reward model: {str(error).splitlines()[0][:200]} It must be a sequence "
                "classifier with one score."
            ) from error
        if self.model.config.num_labels != 1:
            raise WorkbenchError(
                f"{ref.title} gives {self.model.config.num_labels} numbers for a text, and a reward model gives one. Choose a model "
                "that was trained to score answers."
            )
        self.mean, self.std = 0.0, 1.0

    def set_scale(self, file: Path, answers: Sequence[list[Message]]) -> None:
        """Its scores get the mean and the standard deviation of these answers as their scale, kept in a file for the next life."""
        known = read_json(file)
        if not isinstance(known, dict) or known.get("model") != self.title:
            raw = self._raw(answers)
            known = {"model": self.title, "mean": fmean(raw), "std": pstdev(raw) or 1.0, "pairs": len(raw)}
            write_json(file, known)
        self.mean, self.std = float(known["mean"]), float(known["std"])

    def scores(self, conversations: Sequence[list[Message]]) -> list[float]:
        """Rewards of conversations that end with an answer: 0 is the mean of held-out answers, 1 a standard deviation."""
        return [(value - self.mean) / self.std for value in self._raw(conversations)]

    def _raw(self, conversations: Sequence[list[Message]]) -> list[float]:
        found: list[float] = []
        with torch.no_grad():
            for (
                one
            ) in conversations:  # by itself: where a model names no padding token, its own code reads a wrong place
                text = self.tokenizer.apply_chat_template(one, tokenize=False)
                batch = self.tokenizer(text, return_tensors="pt", add_special_tokens=False)
                ids = {name: value[:, -self.max_length :].to(self.model.device) for name, value in batch.items()}
                found.append(float(self.model(**ids).logits[0, 0]))
        return found
