"""What a method that answers by itself needs besides rows: its reward, prompts that leave room, and proof of what stayed as it was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from workbench.core.data.messages import Message, message
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.reward_rules import parse_rules
from workbench.core.training.settings import RlooSettings
from workbench.engine import adapters
from workbench.engine.hub_reward import HubReward
from workbench.engine.journal import log_phase
from workbench.engine.load import Loaded
from workbench.engine.rewards import RewardAdapter
from workbench.engine.rloo import Conversations, Part, Reward, digest_of, frozen_weights, rule_part
from workbench.store import datasets
from workbench.store.runs import Run, reward_run

SCALED_ON = 64  # held-out answers by which a reward model of the Hub gets a scale


def settings_of(config: RunConfig, stage: Stage) -> RlooSettings:
    own = config.own(stage)
    assert isinstance(own, RlooSettings), "asked of methods that answer by themselves"
    return own


def keep_reward(run: Run, config: RunConfig, stage: Stage) -> Path:
    """Copy the reward model into the run's folder, once: training goes on with it, whatever becomes of the other run."""
    if not run.reward_adapter.is_dir():
        adapters.copy_adapter(reward_run(settings_of(config, stage).reward_run, config).adapter, run.reward_adapter)
    return run.reward_adapter


class Online:
    """A stage that answers by itself: what its answers are worth, which prompts leave room for them, and what stayed as it was.

    Raises WorkbenchError where a part of its reward cannot be had.
    """

    def __init__(self, run: Run, config: RunConfig, stage: Stage, loaded: Loaded, model: Any):
        self._run, self._model, self._tokenizer = run, model, loaded.tokenizer
        self._room = config.max_length - config.own(stage).longest_own_answer()
        self.reward, self._frozen = _reward(run, config, stage, loaded, model)

    def score(self, conversations: Conversations) -> list[float]:
        return self.reward.of(conversations)[0]

    def prompts(self, rows: Any) -> Any:
        """Those of the rows that leave room for the longest answer."""
        return _with_room(rows, self._tokenizer, self._room)

    def begin(self) -> None:
        """Once the reference is there: write digests of base model, reference and reward into environment.json."""
        if "frozen" not in self._run.environment():
            self._run.add_to_environment({"frozen": {"before": self._now()}})

    def end(self) -> None:
        """Raises WorkbenchError where one of them is another one than before."""
        before, now = self._run.environment()["frozen"]["before"], self._now()
        changed = [part for part in before if before[part] != now.get(part)]
        self._run.add_to_environment({"frozen": {"before": before, "after": now, "unchanged": not changed}})
        if changed:
            raise WorkbenchError(
                f"While the policy trained, what must stay as it is has changed: {', '.join(changed)}. The rewards and the "
                "divergence of this run mean nothing. This is a fault of the workbench or of a library: please report it, with "
                "the run's folder."
            )

    def _now(self) -> dict[str, str]:
        return {part: digest_of(weights) for part, weights in frozen_weights(self._model, self._frozen).items()}


def _reward(
    run: Run, config: RunConfig, stage: Stage, loaded: Loaded, model: Any
) -> tuple[Reward, dict[str, torch.Tensor]]:
    """The reward of a stage, and the weights in it that must not change."""
    own = settings_of(config, stage)
    parts: dict[str, Part] = {}
    weights: list[float] = []
    frozen: dict[str, torch.Tensor] = {}
    if own.reward_run:
        judge = RewardAdapter(model, loaded.tokenizer, keep_reward(run, config, stage), config.max_length)
        parts["reward model"], frozen = judge.scores, judge.weights()
        weights.append(1.0)
    if own.reward_model:
        other = HubReward(own.reward_model, loaded.device, config.max_length, lambda text: log_phase(run, text))
        other.set_scale(run.reward_file, _answers_of(config, stage))
        parts["reward model of the Hub"] = other.scores
        weights.append(1.0)
    for rule in parse_rules(own.rules):
        parts[rule.name] = rule_part(rule)
        weights.append(rule.weight)
    return Reward(parts, weights), frozen


def _with_room(rows: Any, tokenizer: Any, room: int) -> Any:
    """The prompts that are at most so many tokens long, with what comes before an answer."""
    lengths = [
        len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=False))
        for prompt in rows["prompt"]
    ]
    return rows.select([place for place, length in enumerate(lengths) if length <= room])


def _answers_of(config: RunConfig, stage: Stage) -> list[list[Message]]:
    """Conversations with held-out answers of the data, of whatever kind it is."""
    name = config.data_of(stage)
    assert name, "read_config refuses a config without the data that its stages need"
    found: list[list[Message]] = []
    for row in datasets.read(name, "held_out", SCALED_ON) or datasets.read(name, "train", SCALED_ON):
        for part in ("chosen", "rejected", "completion"):
            if row.get(part):
                found.append(_messages([*row["prompt"], *row[part]]))
    return found


def _messages(turns: Sequence[Any]) -> list[Message]:
    return [message(turn["role"], turn["content"]) for turn in turns]
