"""How fast the chat answers: two lanes in one batch, the first token, a second turn, and weights that are unpacked once.

python tests/benchmarks/chat_speed.py [--run demo] [--rounds 7] [--json]

The demo model in NF4, with the adapter of a finished run of WORKBENCH_HOME, or a made-up one of the same size. In each round both
ways are taken, in turns; what is shown are medians and their ratio. Exit status 1 where a limit does not hold: two lanes in one
batch take at most as long as one after the other, the first token comes within a second, answers are the same in both ways.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.chat import Sampling
from workbench.core.training.config import ModelRef
from workbench.engine.chat import Lanes
from workbench.engine.loaded_adapters import Lane
from workbench.store.home import shipped
from workbench.store.runs import open_run

SAMPLING = Sampling(max_new_tokens=64, seed=5)
FIRST_TOKEN = 1.0  # seconds
Talk = list[dict[str, str]]
Way = Callable[[Talk], tuple[list[str], float]]
"""Gives the answers of all lanes to a conversation, and the seconds that count."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {"load of the machine before": os.getloadavg()[0]}
    lanes = loaded()
    from workbench.engine.unpacked import unpacked  # not before the libraries it needs

    who = [Lane(None), Lane(str(open_run(options.run).adapter) if options.run else made_up(lanes))]
    texts = [json.loads(line)["prompt"] for line in (_demo() / "prompts.jsonl").read_text("utf-8").splitlines()]
    prompts = [[{"role": "user", "content": text}] for text in texts]
    found["first question: first token, s"] = ask(lanes, [prompts[0]] * 2, who).first

    def together(prompt: Talk) -> tuple[list[str], float]:
        asked = ask(lanes, [prompt] * 2, who)
        return asked.said, asked.seconds

    def apart(prompt: Talk) -> tuple[list[str], float]:
        one, other = (ask(lanes, [prompt], [lane]) for lane in who)
        return one.said + other.said, one.seconds + other.seconds

    def packed(prompt: Talk) -> tuple[list[str], float]:
        lanes._unpacked.close()
        said = together(prompt)
        lanes._unpacked.enter_context(unpacked(lanes.loaded.model))
        return said

    ways = {"one batch": together, "one after the other": apart}
    found |= compared("two lanes", ways, prompts[1:], options.rounds)
    found |= compared("weights", {"unpacked once": together, "per token": packed}, prompts[1:], options.rounds)
    turns: dict[str, Way] = {
        "kept": second_turn(lanes, who, prompts, False),
        "read anew": second_turn(lanes, who, prompts, True),
    }
    found |= compared("first token of a second turn", turns, prompts[40:], options.rounds)
    limits = {
        "two lanes in one batch: at most 1.00": found["two lanes: ratio"] <= 1,
        f"first token within {FIRST_TOKEN:.0f} s": found["first question: first token, s"] <= FIRST_TOKEN,
        "the same answers in both ways": all(
            value == 1 for name, value in found.items() if name.endswith("same answers")
        ),
    }
    print(json.dumps({"found": found, "limits": limits}) if options.json else table(found, limits))
    return 0 if all(limits.values()) else 1


def compared(what: str, ways: dict[str, Way], prompts: Sequence[Talk], rounds: int) -> dict[str, float]:
    """Medians of two ways, taken in turns, the ratio of the first to the second, and the share of rounds with the same answers."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    same = []
    for number in range(rounds + 1):
        said = []
        for name in list(ways)[:: 1 if number % 2 else -1]:
            answers, took = ways[name](prompts[number % len(prompts)])
            said.append(answers)
            seconds[name].append(took)
        same.append(said[0] == said[1])
    medians = [statistics.median(times[1:]) for times in seconds.values()]  # the first round warms up
    found = {f"{what}: {name}, s": median for name, median in zip(ways, medians, strict=True)}
    return found | {f"{what}: ratio": medians[0] / medians[1], f"{what}: same answers": statistics.fmean(same)}


def second_turn(lanes: Lanes, who: Sequence[Lane], prompts: Sequence[Talk], forgets: bool) -> Way:
    """A question after a long conversation, of some 500 tokens."""
    told = " ".join(prompt[0]["content"] for prompt in prompts[:40])

    def turn(prompt: Talk) -> tuple[list[str], float]:
        before = [*prompts[0], {"role": "assistant", "content": told}, *prompt]
        said = ask(lanes, [before] * 2, who).said
        talks = [[*before, {"role": "assistant", "content": one}, *prompts[1]] for one in said]
        if forgets:
            lanes._read = []
        second = ask(lanes, talks, who)
        return second.said, second.first

    return turn


class Asked(NamedTuple):
    """What all lanes said; seconds until the first token came, and until all was said."""

    said: list[str]
    first: float
    seconds: float


def ask(lanes: Lanes, talks: Sequence[Talk], who: Sequence[Lane]) -> Asked:
    asks = [{"messages": talk, "adapter": lane.folder} for talk, lane in zip(talks, who, strict=True)]
    said, heard, began = [""] * len(asks), [], time.perf_counter()

    def say(event: dict[str, Any]) -> None:
        heard.append(time.perf_counter() - began)
        said[event["lane"]] += event["text"]

    lanes.ask(asks, SAMPLING, say, threading.Event())
    return Asked(said, heard[0], time.perf_counter() - began)


def loaded() -> Lanes:
    from workbench.engine.device import this_device
    from workbench.engine.imports import FOR_A_CHAT, import_for
    from workbench.engine.load import load_base

    import_for(FOR_A_CHAT)
    return Lanes(load_base(ModelRef(), "nf4", this_device(), lambda words: None))


def made_up(lanes: Lanes) -> str:
    """The folder of an adapter that changes little."""
    from peft import LoraConfig, get_peft_model

    folder = Path(tempfile.mkdtemp()) / "made-up" / "adapter"
    model = get_peft_model(lanes.adapters.model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.01)
    model.save_pretrained(folder)
    lanes.adapters.model = model.unload()
    return str(folder)


def table(found: dict[str, float], limits: dict[str, bool]) -> str:
    lines = [f"{name:<52} {value:8.3f}" for name, value in found.items()]
    return "\n".join(
        [*lines, "", *[f"{name:<52} {'holds' if holds else 'DOES NOT HOLD'}" for name, holds in limits.items()]]
    )


def _demo() -> Path:
    return shipped("assets") / "demo"


if __name__ == "__main__":
    sys.exit(main())
