"""A new run from a finished one and a strength: its adapter is the other's, with what LoRA adds scaled by that."""

import json
import os
import shutil
from array import array
from pathlib import Path

from workbench.core.chat import Answerer
from workbench.core.errors import WorkbenchError
from workbench.core.names import to_name
from workbench.core.training.model_card import model_card
from workbench.store.adapter_files import SETTINGS, WEIGHTS, check_adapter, why_alone
from workbench.store.answerers import adapter_folder
from workbench.store.home import home, write_text, writing
from workbench.store.runs import Run, claim_folder, free_name, open_run
from workbench.store.weights import read_tensors

# Of what the other run's worker wrote down about itself, what holds for the scaled adapter too.
_HOLDS = ("versions", "backend", "precision", "why", "device", "model", "data")


def suggested_name(answerer: Answerer) -> str:
    """A free name for it."""
    return free_name(to_name(f"{answerer.run}-x{answerer.strength:g}"))


def save_scaled(answerer: Answerer, name: str = "") -> Run:
    """A finished run whose adapter at strength 1 is the answerer's at its strength. name: free one of its own where left out.

    lora_B is scaled and alpha left as it is, so that a run that starts from this one goes on with the same model. Raises
    WorkbenchError, with nothing left behind, for an adapter that cannot be scaled, a taken name and a full disk.
    """
    folder = adapter_folder(answerer)
    if folder is None or answerer.is_base:
        raise WorkbenchError("This is the base model itself, which needs no run. Take a run and a strength above 0.")
    source, title = open_run(answerer.run), f"the adapter of {answerer.run}"
    check_adapter(folder, title)
    refuse_where_not_linear(folder, title)
    weights = scaled_weights(folder / WEIGHTS, title, answerer.strength)
    run = claim_folder(name or suggested_name(answerer))
    draft = Run(home() / f".{run.name}.draft")  # not among the runs: half of one would be listed as damaged
    try:
        with writing(f"The run {run.name}"):
            shutil.rmtree(draft.folder, ignore_errors=True)  # of a window that was killed here
            draft.adapter.mkdir(parents=True)
            (draft.adapter / WEIGHTS).write_bytes(weights)
            shutil.copy2(folder / SETTINGS, draft.adapter / SETTINGS)
            _describe(draft, source, answerer, run.name)
            run.folder.rmdir()  # a folder takes no other's place on Windows
            os.replace(draft.folder, run.folder)
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(draft.folder, ignore_errors=True)
    return run


def _describe(draft: Run, source: Run, answerer: Answerer, name: str) -> None:
    """What the files of a finished run say besides its weights."""
    config = source.config().model_copy(update={"name": name})
    words = f"Made of {answerer.label}: nothing was trained."
    environment = {key: value for key, value in source.environment().items() if key in _HOLDS} | {
        "scaled": {"name": answerer.name, "strength": answerer.strength}
    }
    write_text(draft.adapter / "README.md", model_card(config, environment, ()))
    draft.write_environment(environment)
    write_text(draft.metrics_file, json.dumps({"phase": words}) + "\n")
    draft.write_result("finished", f"Finished. {words}")
    draft.write_config(config)


def refuse_where_not_linear(folder: Path, title: str) -> None:
    """Raises WorkbenchError for an adapter that cannot be scaled."""
    if why := why_alone(folder, title):
        raise WorkbenchError(f"{title[0].upper()}{title[1:]} {why}")


def scaled_weights(file: Path, title: str, strength: float) -> bytearray:
    """The bytes of an adapter's weights, with every B scaled: what LoRA adds is B A x, times a factor.

    Raises WorkbenchError for weights that are not stored in fp32.
    """
    data = bytearray(file.read_bytes())
    for name, tensor in read_tensors(file, title).items():
        if ".lora_B." not in name and ".lora_embedding_B" not in name:
            continue
        if tensor.dtype != "F32":
            raise WorkbenchError(
                f"The weights of {title} are stored as {tensor.dtype}, in which scaling would round them. Only F32, as the workbench "
                "writes them, can be saved with another strength."
            )
        entries = array("f", bytes(data[tensor.begin : tensor.end]))
        data[tensor.begin : tensor.end] = array("f", [strength * entry for entry in entries]).tobytes()
    return data
