"""A run as a Hugging Face Job: hardware with prices, a time-out, and the command, in which no secret stands."""

import math

from workbench.core.hub_hardware import FOR_JOBS, PRICES_OF, Hardware

GB = 1024**3

USUAL_TIMEOUT = 30
"""Minutes after which a Job ends by itself where nothing else is said, with all that was not pushed."""

SETTING_UP = 15
"""Minutes for packages and the base model, before the first step."""

SHARE_OF_A_CARD = 0.92
"""What of a card's memory a run can have."""


def cheapest(needed: float, bf16: bool = True) -> Hardware | None:
    """The cheapest hardware that a run fits on. needed: bytes that it takes on a card. None where none is large enough."""
    fitting = (one for one in FOR_JOBS if needed <= one.memory * GB * SHARE_OF_A_CARD)
    return next((one for one in fitting if one.bf16 or not bf16), None)


def timeout_minutes(seconds: float) -> int:
    """A time-out for a run that took so long elsewhere: three times that and setting up, in whole ten minutes.

    seconds: 0 where nothing was measured; then eight hours.
    """
    if not seconds:
        return 8 * 60
    return max(USUAL_TIMEOUT, math.ceil((SETTING_UP + 3 * seconds / 60) / 10) * 10)


def job_command(flavour: str, minutes: int, with_start: bool, repository: str = "OWNER/NAME") -> str:
    """What starts the Job. `hf` takes the folders along as a private bucket; --secrets HF_TOKEN reads the token where it is typed."""
    volumes = ["-v ./data:/rows"] + (["-v ./start:/start"] if with_start else [])
    arguments = f"--data /rows{' --start /start' if with_start else ''} --out /tmp/out --push-to {repository}"
    return " \\\n  ".join(
        [
            f"hf jobs uv run --flavor {flavour} --timeout {minutes}m --secrets HF_TOKEN",
            " ".join(volumes),
            f"train.py {arguments}",
        ]
    )


def job_section(needed: float | None, seconds: float, measured_on: str, with_start: bool, on_hub: bool) -> list[str]:
    """Lines of Markdown. needed: bytes on a card, None where not known. on_hub: whether a Job can get the base model."""
    minutes = timeout_minutes(seconds)
    chosen = cheapest(needed) if needed else None
    flavour = chosen or FOR_JOBS[2]
    lines = ["## As a Hugging Face Job", ""]
    if not on_hub:
        lines += [
            "The base model of this run is not on the Hub, so a Job cannot get it: push it to a private repository and name that with "
            "`--model OWNER/NAME` behind `train.py`.",
            "",
        ]
    lines += ["```bash", "hf auth login", job_command(flavour.id, minutes, with_start), "```", ""]
    if chosen:
        lines.append(
            f"It needs about {(needed or 0) / GB:.1f} GB on a card: `{chosen.id}` is the cheapest that has them."
        )
    elif needed:
        lines.append(
            f"It needs about {needed / GB:.0f} GB on a card, which none of these has: see several cards above."
        )
    else:
        lines.append("How much memory it needs on a card is not known here; choose by the size of the model.")
    took = f"The run took {_minutes(seconds)} ({measured_on}). " if seconds else "How long the run took is not known. "
    lines += [
        "",
        f"{took}Left alone a Job ends after {USUAL_TIMEOUT} minutes, and what was not pushed by then is lost; `--timeout {minutes}m` leaves "
        f"room to set up and for slower hardware. It costs {flavour.price:.2f} dollars an hour on `{flavour.id}`, "
        f"{flavour.price * minutes / 60:.2f} at most: you pay by the minute, until it ends.",
        "",
        "| `--flavor` | card | GB | dollars per hour |",
        "|---|---|---|---|",
        *[
            f"| `{one.id}` | {one.card}{'' if one.bf16 else ' (no bf16)'} | {one.memory} | {one.price:.2f} |"
            for one in FOR_JOBS
        ],
        "",
        f"Prices: T4 to A100 as Spaces had them on {PRICES_OF}, the last two as Jobs had them that year. `hf jobs hardware` prints today's.",
        "",
        "- The token is no part of any file: `--secrets HF_TOKEN` takes it from your environment or from `hf auth login` and hands it to "
        "the Job as a secret. It must be allowed to write to the repository of `--push-to`.",
        "- `--push-to` makes that repository private where it is new, before anything is loaded, and pushes the adapter and metrics.jsonl "
        "after each stage and before the Job ends. A stage that is cut off is lost.",
        "- The rows go into a private bucket of yours (`jobs-artifacts`) and stay there until you delete them.",
        "- `--dry-run` behind `run` shows the whole Job and starts nothing.",
        "- Not tried here: this command was held against what the installed `hf` sends, and no Job was paid for.",
    ]
    return lines


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
