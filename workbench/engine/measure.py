"""python -m workbench.engine.measure RUN [RUN ...] [--reward RUN]: how the models of demo runs answer held-out prompts.

Prints one JSON object as the last line of standard output: "shares", model -> {"manner": share, "facts": share, "mark": share};
with a reward model also the best of four answers of the first adapter as a model of its own, and "reward", its mean score of
answers with right and with wrong facts. Writes every answer to measured.jsonl of the first run.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from workbench.core.chat import Sampling
from workbench.core.data.messages import message
from workbench.core.demo import fact_is_right, has_sft_mark, manner
from workbench.engine.device import this_device
from workbench.engine.load import load_base
from workbench.store.home import shipped, write_text
from workbench.store.runs import Run

# The same for every model that is measured, and the same in the demo's README.
SAMPLING = Sampling(temperature=0.7, top_p=0.95, max_new_tokens=80, seed=5)

BEST_OF = 4


def main(folders: list[str], reward: str = "") -> int:
    from peft import PeftModel

    from workbench.engine.generate import answers
    from workbench.engine.rewards import RewardAdapter

    runs = [Run(Path(folder)) for folder in folders]
    run, config = runs[0], runs[0].config()
    prompts = [
        json.loads(line) for line in (shipped("assets") / "demo" / "prompts.jsonl").read_text("utf-8").splitlines()
    ]
    conversations: Any = [[{"role": "user", "content": one["prompt"]}] for one in prompts]
    loaded = load_base(config.model, config.precision, this_device(), print)
    model = loaded.model.eval()
    found = {"base": answers(model, loaded.tokenizer, conversations, SAMPLING)}
    adapters = {stage: one.stage_adapter(stage) for one in runs for stage in one.config().stages[:-1]}
    adapters |= {one.config().stages[-1]: one.adapter for one in runs}
    for stage, adapter in adapters.items():
        if found.keys() == {"base"}:
            model = PeftModel.from_pretrained(model, str(adapter), adapter_name=stage).eval()
        else:
            model.load_adapter(str(adapter), adapter_name=stage)
        model.set_adapter(stage)
        found[stage] = answers(model, loaded.tokenizer, conversations, SAMPLING)
    about: dict[str, Any] = {}
    if reward:
        first = next(iter(adapters))
        model.set_adapter(first)
        drawn = [found[first]]
        for seed in range(SAMPLING.seed + 1, SAMPLING.seed + BEST_OF):
            drawn.append(answers(model, loaded.tokenizer, conversations, SAMPLING.model_copy(update={"seed": seed})))
        judge = RewardAdapter(model, loaded.tokenizer, Run(Path(reward)).adapter, config.max_length)

        def score(said: list[str]) -> list[float]:
            return judge.scores(
                [[*asked, message("assistant", answer)] for asked, answer in zip(conversations, said, strict=True)]
            )

        scores = [score(said) for said in drawn]
        best = [max(range(BEST_OF), key=lambda draw: scores[draw][place]) for place in range(len(prompts))]
        found[f"best_of_{BEST_OF}"] = [drawn[draw][place] for place, draw in enumerate(best)]
        right: dict[bool, list[float]] = {True: [], False: []}
        for asked, answer, value in zip(prompts, drawn[0], scores[0], strict=True):
            right[fact_is_right(answer, asked["fact"])].append(value)
        about = {
            name: round(fmean(values), 4)
            for name, values in (("right", right[True]), ("wrong", right[False]))
            if values
        }
    samples = [
        {
            "model": name,
            "prompt": asked["prompt"],
            "answer": answer,
            "manner": manner(answer),
            "fact": fact_is_right(answer, asked["fact"]),
        }
        for name, given in found.items()
        for asked, answer in zip(prompts, given, strict=True)
    ]
    write_text(
        run.folder / "measured.jsonl", "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
    )
    shares = {name: _shares([s for s in samples if s["model"] == name]) for name in found}
    print(json.dumps({"shares": shares, "reward": about}))
    return 0


def _shares(samples: list[dict[str, Any]]) -> dict[str, float]:
    count = len(samples)
    return {
        "manner": round(sum(sample["manner"] == "preferred" for sample in samples) / count, 4),
        "facts": round(sum(sample["fact"] for sample in samples) / count, 4),
        "mark": round(sum(has_sft_mark(sample["answer"]) for sample in samples) / count, 4),
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("runs", nargs="+")
    options.add_argument("--reward", default="")
    given = options.parse_args()
    sys.exit(main(given.runs, given.reward))
