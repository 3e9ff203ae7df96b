"""What stands beside an exported script: what it is, how to run it here, on several cards and as a Job."""

from collections.abc import Mapping, Sequence

from workbench.core.export.hf_job import job_section
from workbench.core.export.launch import LAUNCHES, launch_command
from workbench.core.export.script import Repeated
from workbench.core.training.methods import METHODS, stage_title


def script_readme(
    run: Repeated, counts: Mapping[str, Sequence[int]], needed: float | None, notes: Sequence[str]
) -> str:
    """Markdown. counts: stage -> rows to train on and to measure on. needed: bytes on a card, None where not known."""
    on_hub = run.config.model.source == "hub"
    model = "" if on_hub else " --model FOLDER_OF_THE_BASE_MODEL"
    stages = " then ".join(stage_title(stage) for stage in run.stages)
    lines = [
        f"# {run.config.name}: {stages} of {run.model}",
        "",
        "`train.py` repeats this run with plain TRL and PEFT. Its settings stand at its top; it needs nothing of the workbench.",
        "",
        "```bash",
        f"uv run train.py{model}",
        "```",
        "",
        "`uv` installs the packages that its header names, in the versions of the run; or install them yourself and take `python`. "
        "It writes `out/metrics.jsonl`, a line for each step, and `out/adapter`.",
        "",
        "| file | what it is |",
        "|---|---|",
        *[
            f"| `data/{stage}/` | {rows[0]:,} rows to train on, {rows[1]:,} held out, as TRL takes them ({stage_title(stage)}) |"
            for stage, rows in counts.items()
        ],
        *(["| `start/` | the adapter that the run started from |"] if run.config.start_from else []),
        *(["| `accelerate/` | several cards, see below |"] if run.can_be_shared else []),
    ]
    commands = [stage for stage in run.stages if METHODS[stage].command]
    if commands:
        lines.append("| `trl/` | the same for TRL's command line, as far as it can say it |")
    lines += [
        "",
        "On the same machine and versions its curve is that of the run; on another one it differs as another run would.",
    ]
    lines += [f"- {words}" for words in notes]
    if commands:
        lines += ["", "## With TRL's command line", "", "```bash"]
        lines += [f"trl {METHODS[stage].command} --config trl/{stage}.yaml" for stage in commands]
        lines += ["```", "", "What is different from the run stands at the top of each file."]
    lines += ["", *_several_cards(run, model), "", *_job(run, needed, on_hub), ""]
    return "\n".join(lines)


def _several_cards(run: Repeated, model: str) -> list[str]:
    if not run.can_be_shared:
        return [
            "## On several cards",
            "",
            "A reward model is measured on all held-out pairs together, so it trains in one process.",
        ]
    within = [stage_title(stage) for stage in run.stages if METHODS[stage].smallest_batch > 1]
    besides = (
        f"{within[0]} compares answers within the batch of a process, so several processes train on other mismatches than one."
        if within
        else "Two processes give the curve of one up to rounding (tried on a CPU with DDP, 2e-6 at most over six steps), as long as the rows "
        "of an epoch fill whole batches and dropout is 0."
    )
    lines = [
        "## On several cards",
        "",
        "BATCH_SIZE rows are shared by all cards, so that the effective batch, the order of the rows and the learning rate stay as "
        f"they were; raise it to use the cards better. {besides}",
        "",
    ]
    for one in LAUNCHES:
        lines += [f"**{one.title}**. {one.when}", "", "```bash", launch_command(one.file, model), "```", ""]
    if len(run.stages) > 1:
        first, *later = run.stages
        chain = [launch_command("fsdp.yaml", f"{model} --stage {first} --out out/{first}")]
        for before, stage in zip(run.stages, later, strict=False):
            chain.append(
                launch_command("fsdp.yaml", f"{model} --stage {stage} --start out/{before}/adapter --out out/{stage}")
            )
        lines += ["FSDP and DeepSpeed take one stage at a time:", "", "```bash", *chain, "```", ""]
    return [*lines, "FSDP and DeepSpeed were not run here: their files were read by accelerate, no more."]


def _job(run: Repeated, needed: float | None, on_hub: bool) -> list[str]:
    device = str(run.environment.get("device", "an unknown device"))
    return job_section(needed, run.seconds, f"on {device}", bool(run.config.start_from), on_hub)
