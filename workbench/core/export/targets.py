"""The table of ways out. What writes each of them is in `jobs/exports.py`."""

from dataclasses import dataclass

from pydantic import Field

from workbench.core.chat import STRONGEST
from workbench.core.training.settings import Settings


class ExportOptions(Settings):
    """What can be chosen of an export. Each target reads those that its entry in the table names."""

    strength: float = Field(
        1.0,
        gt=0,
        le=STRONGEST,
        title="Strength",
        description="What the adapter's update is scaled by. 1 is the run as it was trained.",
    )


@dataclass(frozen=True)
class Target:
    """One way out. words: what it is for, one sentence. options: fields of `ExportOptions` that it reads."""

    id: str
    title: str
    words: str
    options: tuple[str, ...] = ()


TARGETS = {
    one.id: one
    for one in (
        Target(
            "adapter",
            "Adapter",
            "The LoRA adapter with its model card: small, for PEFT and for everything that loads adapters on the same base model.",
            ("strength",),
        ),
        Target(
            "script",
            "Script",
            "One Python file that repeats the run with plain TRL and PEFT, with its rows, for several cards and Hugging Face Jobs too.",
        ),
        Target(
            "notebook",
            "Notebook",
            "A notebook that trains the same recipe with Unsloth, with its rows.",
        ),
    )
}
