"""Training speed of the workbench's worker against a plain TRL script with the same settings.

    python tests/benchmarks/training_speed.py [--steps 40] [--rounds 5] [--checkpointing]
    python tests/benchmarks/training_speed.py --data PAIRS.jsonl --length 512 [--rows 120]

Each round runs them in turns, each in a process of its own, on the demo model in NF4; what is compared is the median over
the rounds. Of the demo data, whose rows are about as long, that is of the median seconds per step, the first five steps left
out. Of a file of pairs it is of the seconds of a whole epoch over its first --rows usable rows, since the batches of one way
are not those of the other.

The plain script runs twice: as TRL leaves it, with an adapter in bf16, and with the adapter back in fp32, which is the same
setting as the workbench's. The workbench runs twice as well: in a home where nothing is known of the reference, and then with
another beta on the same pairs, where all of it is. The last lines give the ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
WARM_UP = 5  # steps


def plain_trl(rows: Path, length: int, steps: int, in_fp32: bool, checkpointing: bool) -> None:
    """What a person would write by hand: TRL's trainer with the recipe's values and nothing else.

    rows: a parquet file of pairs. steps: 0 for one epoch. Prints when training began and when each step ended.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    demo = ROOT / "assets" / "demo"
    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(demo / "model", quantization_config=four_bit, dtype=torch.float32)
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, *_args, **_kwargs):
            times.append(time.time())

        def on_step_end(self, *_args, **_kwargs):
            times.append(time.time())

    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=tempfile.mkdtemp(),
            max_steps=steps or -1,
            num_train_epochs=1,
            per_device_train_batch_size=16,
            learning_rate=2e-4,
            lr_scheduler_type="cosine",
            warmup_steps=(steps or 100) // 10,
            beta=0.1,
            max_length=length,
            gradient_checkpointing=checkpointing,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
            seed=17,
        ),
        train_dataset=Dataset.from_parquet(str(rows)),
        processing_class=AutoTokenizer.from_pretrained(demo / "model"),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[Clock()],
    )
    for weight in trainer.model.parameters():
        if in_fp32 and weight.requires_grad:
            weight.data = weight.data.float()
    trainer.train()
    print(json.dumps(times))


def store_pairs(file: Path, count: int) -> None:
    """The first `count` rows of a file that can be used, as the dataset of this home."""
    from workbench.jobs import preparing
    from workbench.store.sources import FileSource

    source = FileSource(path=str(file), uploaded=False).model_dump(mode="json")
    preparing.run({"do": "import", "source": source, "name": "pairs", "take": {"how": "first", "n": count, "seed": 17}})


def workbench(data: str, length: int, steps: int, checkpointing: bool, beta: float) -> list[float]:
    """The same through a run of the workbench, its files included; when its training began, and when each step ended."""
    from workbench.core.training.config import read_config
    from workbench.jobs import training

    config = read_config(
        {
            "name": f"speed-{time.time_ns()}",
            "method": "dpo",
            "preference_data": data,
            "precision": "nf4",
            "batch_size": 16,
            "accumulation": 1,
            "max_length": length,
            "gradient_checkpointing": checkpointing,
            "evaluations": 1,
            "held_out_limit": 8,
            "samples": 0,
            "dpo": {"learning_rate": 2e-4, "max_steps": steps, "epochs": 1, "beta": beta},
        }
    )
    run = training.start(config)
    while training.state_of(run) == "running":
        time.sleep(5)  # looking takes time from the worker, and nobody looks at the plain script
    result = run.result()
    assert result and result.outcome == "finished", training.summary(run)
    rows = run.metrics()
    begun = next(row["time"] for row in rows if row.get("step") == 0 and "eval_loss" in row)
    return [begun, *(row["time"] for row in rows if "loss" in row)]


def pace(times: list[float]) -> float:
    """Median seconds between two steps."""
    steps = times[1 + WARM_UP :]
    return statistics.median(after - before for before, after in zip(steps, steps[1:], strict=False))


def whole(times: list[float]) -> float:
    """Seconds from the first step's beginning to the last one's end."""
    return times[-1] - times[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkpointing", action="store_true", help="with gradient checkpointing")
    parser.add_argument(
        "--data", type=Path, help="a file of pairs; one epoch over it in place of --steps of the demo data"
    )
    parser.add_argument("--rows", type=int, default=120, help="of --data, its first ones")
    parser.add_argument("--length", type=int, default=192, help="max length in tokens")
    parser.add_argument("--plain", choices=("bf16", "fp32"), help=argparse.SUPPRESS)
    parser.add_argument("--stored", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    steps = 0 if options.data or options.stored else options.steps
    if options.plain:
        rows = options.stored or ROOT / "assets" / "demo" / "preferences" / "train.parquet"
        return plain_trl(rows, options.length, steps, options.plain == "fp32", options.checkpointing)

    sys.path.insert(0, str(ROOT))
    from workbench.jobs.environment import child_environment
    from workbench.store.datasets import folders

    measured = whole if options.data else pace
    data = "pairs" if options.data else "demo-preferences"

    def new_home() -> None:
        os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp()
        if options.data:
            store_pairs(options.data, options.rows)

    def plain(adapter: str) -> float:
        command = [
            sys.executable,
            __file__,
            "--plain",
            adapter,
            "--steps",
            str(options.steps),
            "--length",
            str(options.length),
        ]
        command += ["--stored", str(folders.path(data, "train"))] if options.data else []
        command += ["--checkpointing"] if options.checkpointing else []
        # The same environment for all, so that the waiting of threads is not what is compared.
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=child_environment())
        return measured(json.loads(done.stdout.strip().splitlines()[-1]))

    def first_run() -> float:
        new_home()
        return measured(workbench(data, options.length, steps, options.checkpointing, beta=0.1))

    def second_run() -> float:
        return measured(workbench(data, options.length, steps, options.checkpointing, beta=0.3))

    new_home()
    runners = {
        "TRL, bf16": lambda: plain("bf16"),
        "TRL, fp32": lambda: plain("fp32"),
        "first run": first_run,
        "second run": second_run,
    }
    found: dict[str, list[float]] = {name: [] for name in runners}
    unit = "seconds an epoch" if options.data else "seconds per step"
    print(f"{'round':<8}" + "".join(f"{name:>14}" for name in runners) + f"   {unit}; load {os.getloadavg()[0]:.1f}")
    for number in range(1, options.rounds + 1):
        for name, measure in runners.items():
            found[name].append(measure())
        print(f"{number:<8}" + "".join(f"{found[name][-1]:>14.4f}" for name in runners), flush=True)
    medians = {name: statistics.median(values) for name, values in found.items()}
    print(f"{'median':<8}" + "".join(f"{value:>14.4f}" for value in medians.values()))
    for ours in ("first run", "second run"):
        for name in ("TRL, bf16", "TRL, fp32"):
            print(f"speed of the {ours}: {medians[name] / medians[ours]:.3f} x {name}")


if __name__ == "__main__":
    main()
