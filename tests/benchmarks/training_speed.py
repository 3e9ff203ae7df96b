"""Training speed of the workbench's worker against a plain TRL script with the same settings.

    python tests/benchmarks/training_speed.py [--steps 40] [--rounds 5] [--checkpointing]

Each round runs them in turns, each in a process of its own, on the demo model and data in NF4; what is compared is the
median of the seconds per step, the first five steps left out. The plain script runs twice: as TRL leaves it, with an
adapter in bf16, and with the adapter back in fp32, which is the same setting as the workbench's. The workbench runs
twice as well: in a home where nothing is known of the reference, and then with another beta on the same pairs, where
all of it is. The last lines give the ratios.
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


def plain_trl(steps: int, in_fp32: bool, checkpointing: bool) -> None:
    """What a person would write by hand: TRL's trainer with the recipe's values and nothing else."""
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
        def on_step_end(self, *_args, **_kwargs):
            times.append(time.time())

    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=tempfile.mkdtemp(),
            max_steps=steps,
            per_device_train_batch_size=16,
            learning_rate=2e-4,
            lr_scheduler_type="cosine",
            warmup_steps=steps // 10,
            beta=0.1,
            max_length=192,
            gradient_checkpointing=checkpointing,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
            seed=17,
        ),
        train_dataset=Dataset.from_parquet(str(demo / "preferences" / "train.parquet")),
        processing_class=AutoTokenizer.from_pretrained(demo / "model"),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[Clock()],
    )
    for weight in trainer.model.parameters():
        if in_fp32 and weight.requires_grad:
            weight.data = weight.data.float()
    trainer.train()
    print(json.dumps(times))


def workbench(steps: int, checkpointing: bool, beta: float) -> list[float]:
    """The same through a run of the workbench, its evaluations and files included; wall times of the steps."""
    from workbench.core.training.config import read_config
    from workbench.jobs import training

    config = read_config(
        {
            "name": f"speed-{time.time_ns()}",
            "method": "dpo",
            "preference_data": "demo-preferences",
            "precision": "nf4",
            "batch_size": 16,
            "accumulation": 1,
            "max_length": 192,
            "gradient_checkpointing": checkpointing,
            "evaluations": 1,
            "held_out_limit": 8,
            "dpo": {"learning_rate": 2e-4, "max_steps": steps, "beta": beta},
        }
    )
    run = training.start(config)
    while training.state_of(run) == "running":
        time.sleep(5)  # looking takes time from the worker, and nobody looks at the plain script
    result = run.result()
    assert result and result.outcome == "finished", training.summary(run)
    return [row["time"] for row in run.metrics() if "loss" in row]


def pace(times: list[float]) -> float:
    """Median seconds between two steps."""
    return statistics.median(
        after - before for before, after in zip(times[WARM_UP:], times[WARM_UP + 1 :], strict=False)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkpointing", action="store_true", help="with gradient checkpointing")
    parser.add_argument("--plain", choices=("bf16", "fp32"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        return plain_trl(options.steps, options.plain == "fp32", options.checkpointing)

    sys.path.insert(0, str(ROOT))
    from workbench.jobs.environment import child_environment

    def plain(adapter: str) -> float:
        command = [sys.executable, __file__, "--plain", adapter, "--steps", str(options.steps)]
        command += ["--checkpointing"] if options.checkpointing else []
        # The same environment for all, so that the waiting of threads is not what is compared.
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=child_environment())
        return pace(json.loads(done.stdout.strip().splitlines()[-1]))

    def first_run() -> float:
        os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp()
        return pace(workbench(options.steps, options.checkpointing, beta=0.1))

    def second_run() -> float:
        return pace(workbench(options.steps, options.checkpointing, beta=0.3))

    os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp()
    runners = {
        "TRL, bf16": lambda: plain("bf16"),
        "TRL, fp32": lambda: plain("fp32"),
        "first run": first_run,
        "second run": second_run,
    }
    found: dict[str, list[float]] = {name: [] for name in runners}
    print(f"{'round':<8}" + "".join(f"{name:>14}" for name in runners) + "   seconds per step")
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
