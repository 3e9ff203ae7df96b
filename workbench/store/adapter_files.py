"""An adapter's files looked at before PEFT opens them."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.store.model_files import read_object
from workbench.store.weights import Tensor, read_tensors

WEIGHTS = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"

# With it PEFT imports the module that the file names.
_NAMES_CODE = "megatron_config"
_LARGEST_RANK = 10_000

_NOT_LINEAR = {
    "use_dora": "is a DoRA, which also changes the length of the weights",
    "modules_to_save": "trained whole modules beside the LoRA",
    "trainable_token_indices": "trained whole tokens beside the LoRA",
    "target_parameters": "changes parameters that are no linear layers",
    "alora_invocation_tokens": "is an aLoRA, which acts on a part of the text only",
}

_ANOTHER = "Train the run again, or choose another one."


def check_adapter(folder: Path, title: str) -> None:
    """Raises WorkbenchError, with the file and what was found in it, where an adapter cannot be loaded.

    title: of the adapter, such as "the adapter of my-run".
    """
    missing = [name for name in (SETTINGS, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise WorkbenchError(
            f"{title[0].upper()}{title[1:]} has no {' and no '.join(missing)}, so it cannot be loaded. {_ANOTHER}"
        )
    settings = read_object(folder / SETTINGS, title)
    rank = _rank(settings, title)
    tensors = read_tensors(folder / WEIGHTS, title)
    # Some layers may have ranks of their own; those of the workbench's runs have none.
    looked_at = {} if settings.get("rank_pattern") else tensors
    wrong = next((name for name, tensor in looked_at.items() if not _fits(name, tensor, rank)), None)
    if wrong or not tensors:
        found = f"{wrong} is {list(tensors[wrong].shape)}" if wrong else "it holds no tensor"
        raise WorkbenchError(
            f"The {WEIGHTS} of {title} does not fit its {SETTINGS}, which says rank {rank}: {found}. The files are of two "
            "adapters: train the run again, or choose another one."
        )


def _rank(settings: Mapping[str, Any], title: str) -> int:
    """The rank of an adapter, of settings that are safe and those of a LoRA."""
    if settings.get(_NAMES_CODE):
        raise WorkbenchError(
            f"The {SETTINGS} of {title} names program code to run ({_NAMES_CODE}). It was not loaded, for safety."
        )
    rank, kind = settings.get("r"), settings.get("peft_type")
    if kind != "LORA" or type(rank) is not int or not 0 < rank <= _LARGEST_RANK:
        raise WorkbenchError(
            f"The {SETTINGS} of {title} is damaged: peft_type is {str(kind)[:40]!r} and r is {str(rank)[:40]!r}, and must be "
            f"'LORA' and a whole number from 1 to {_LARGEST_RANK:,}. {_ANOTHER}"
        )
    return rank


def _fits(name: str, tensor: Tensor, rank: int) -> bool:
    """Whether a matrix of LoRA has the rank: rows of A, columns of B. Of other tensors nothing is known."""
    side = re.search(r"\.lora_([AB])\.weight$", name)
    if not side:
        return True
    return len(tensor.shape) == 2 and tensor.shape[0 if side[1] == "A" else 1] == rank


def adapter_bytes(folder: Path, title: str) -> int:
    """Memory of an adapter once it is loaded: PEFT makes fp32 of all that is less. Raises WorkbenchError as `check_adapter`."""
    if not (folder / WEIGHTS).is_file():
        check_adapter(folder, title)
    return sum(4 * math.prod(tensor.shape) for tensor in read_tensors(folder / WEIGHTS, title).values())


def more_than_lora(folder: Path, title: str) -> str:
    """What an adapter has beside the two matrices of a LoRA, as the end of a sentence about it; "" where that is all."""
    settings = read_object(folder / SETTINGS, title)
    return next((words for name, words in _NOT_LINEAR.items() if settings.get(name)), "")


def why_alone(folder: Path, title: str) -> str:
    """Why an adapter can neither be scaled nor share a batch, as the end of a sentence about it; "" where it can.

    What a LoRA adds is linear in its factor. What these settings add is not, and PEFT refuses them in mixed batches.
    """
    found = more_than_lora(folder, title)
    return found and f"{found}, so its strength cannot be changed: take strength 1, or 0 for the base model."
