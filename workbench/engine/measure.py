"""python -m workbench.engine.measure RUN: how base, SFT and final model of a demo run answer held-out prompts.

Prints one JSON object, model -> {"manner": share, "facts": share, "mark": share}, as the last line of standard output;
writes every answer to RUN/measured.jsonl.
"""

import json
import sys
from pathlib import Path
from typing import Any

from workbench.core.chat import Sampling
from workbench.core.demo import fact_is_right, has_sft_mark, manner
from workbench.engine.device import this_device
from workbench.engine.load import load_base
from workbench.store.home import shipped, write_text
from workbench.store.runs import Run

# The same for every model that is measured, and the same in the demo's README.
SAMPLING = Sampling(temperature=0.7, top_p=0.95, max_new_tokens=80, seed=5)


def main(folder: str) -> int:
    from peft import PeftModel

    from workbench.engine.generate import answers

    run = Run(Path(folder))
    config = run.config()
    prompts = [
        json.loads(line) for line in (shipped("assets") / "demo" / "prompts.jsonl").read_text("utf-8").splitlines()
    ]
    conversations: Any = [[{"role": "user", "content": one["prompt"]}] for one in prompts]
    loaded = load_base(config.model, config.precision, this_device(), print)
    model = loaded.model.eval()
    found = {"base": answers(model, loaded.tokenizer, conversations, SAMPLING)}
    adapters = {stage: run.stage_adapter(stage) for stage in config.stages[:-1]} | {config.stages[-1]: run.adapter}
    for stage, adapter in adapters.items():
        if found.keys() == {"base"}:
            model = PeftModel.from_pretrained(model, str(adapter), adapter_name=stage).eval()
        else:
            model.load_adapter(str(adapter), adapter_name=stage)
        model.set_adapter(stage)
        found[stage] = answers(model, loaded.tokenizer, conversations, SAMPLING)
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
    print(json.dumps({name: _shares([s for s in samples if s["model"] == name]) for name in found}))
    return 0


def _shares(samples: list[dict[str, Any]]) -> dict[str, float]:
    count = len(samples)
    return {
        "manner": round(sum(sample["manner"] == "preferred" for sample in samples) / count, 4),
        "facts": round(sum(sample["fact"] for sample in samples) / count, 4),
        "mark": round(sum(has_sft_mark(sample["answer"]) for sample in samples) / count, 4),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
