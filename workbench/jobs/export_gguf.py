"""A run as GGUF for llama.cpp, LM Studio and Ollama: merged, converted in a child process within limits, and read back.

The converter is somebody else's program that the user has or asked for (`store/gguf_converter.py`). Whatever the format cannot
say is refused with the reason; what was not tried stands in the notes.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import ASKED, Check
from workbench.core.export.modelfile import LEARNT, TRIED, WITH_SPACE, Template, Turns, modelfile, ollama_template
from workbench.core.export.serving import LORA_ENDING
from workbench.core.export.targets import ExportOptions
from workbench.jobs.child import GB, Child, Gone, OverLimit, ProcessLimits, Progress, memory_words
from workbench.jobs.merging import fixed_prompts, write_merged
from workbench.jobs.processes import engine
from workbench.store.adapter_files import SETTINGS, check_adapter, more_than_lora
from workbench.store.gguf_converter import Converter, find_converter
from workbench.store.home import home, write_text
from workbench.store.model_files import chat_template, read_object
from workbench.store.runs import Run

WORKER = engine("gguf")

CONVERTED = ("f16", "bf16", "q8_0")
"""What the converter writes by itself."""

HOURS = 6

LOG = "export.log"
"""Of the home."""

PROMPTS = 8
"""So many it is asked."""


Found = tuple[list[Check], list[str]]


def write_gguf(run: Run, options: ExportOptions, folder: Path, say: Progress) -> Found:
    """The merged model as one GGUF, and Ollama's Modelfile beside it."""
    ready(options, say)
    # In half precision at once, so that every weight is rounded once; the others begin as bf16, as most base models are stored.
    merged = options.model_copy(update={"precision": "fp16" if options.quantization == "f16" else "bf16"})
    # Within the draft of the export, so that it goes with it where this is killed.
    with tempfile.TemporaryDirectory(dir=folder, prefix="merged-") as place:
        model = Path(place) / "model"
        model.mkdir()
        checked, notes = write_merged(run, merged, model, say)
        found = model_as_gguf(run.name, model, options, folder, say, fixed_prompts(run)[:PROMPTS])
    return [*checked, *found[0]], [*notes, *found[1]]


def ready(options: ExportOptions, say: Progress) -> tuple[Converter, str]:
    """The converter, and the program that quantises where one is needed. Raises WorkbenchError for what is missing."""
    converter = find_converter(options.download_converter, say)
    return converter, "" if options.quantization in CONVERTED else _quantizer(converter, options.quantization)


def model_as_gguf(
    name: str, model: Path, options: ExportOptions, folder: Path, say: Progress, prompts: Sequence[list[Message]]
) -> Found:
    """The whole model in a folder as a GGUF called after `name`, with a Modelfile, read back and compared.

    prompts: what it is asked where llama-cpp-python is installed.
    """
    kind, (converter, quantizer) = options.quantization, ready(options, say)
    file = folder / f"{name}-{kind}.gguf"
    whole = file if kind in CONVERTED else model / "whole.gguf"
    told = {"root": str(converter.root), "model": str(model)}
    with _child(say, _bytes_of(model)) as ask:
        template, ends = _template(ask, model)
        adds_bos = template.begins_with_bos
        written = {"out": str(whole), "kind": kind if kind in CONVERTED else "bf16", "name": name}
        notes = ask("convert", **told, **written, adds_bos=adds_bos)
        if whole != file:
            ask("quantize", source=str(whole), out=str(file), kind=kind, program=quantizer)
        compared = {"file": str(file), "kind": kind, "adds_bos": adds_bos, "prompts": list(prompts)}
        checked = [Check(*one) for one in ask("check", **told, **compared)]
    write_text(folder / "Modelfile", modelfile(file.name, template, ends))
    checked.append(_template_check(template))
    if not any(one.what == ASKED for one in checked):
        notes.append(
            "The file was read back but not asked: llama-cpp-python is not installed, or memory did not hold both models."
        )
    return checked, [f"Converted by {converter.title}.", *notes, *_notes(template)]


def write_gguf_lora(run: Run, options: ExportOptions, folder: Path, say: Progress) -> Found:
    """The adapter alone as GGUF, for llama-server --lora."""
    source, title = run.adapter, f"The adapter of {run.name}"
    if run.is_reward:
        raise WorkbenchError(
            f"{run.name} is a reward model, whose scores llama.cpp has no place for. Export it as an adapter."
        )
    check_adapter(source, title)
    if why := more_than_lora(source, title):
        raise WorkbenchError(
            f"{title} {why}. llama.cpp's format for adapters has the two matrices of a LoRA and nothing else, and its converter "
            "drops the rest in silence. Export the run as gguf, which is merged, or as adapter."
        )
    settings = read_object(source / SETTINGS, title)
    if settings.get("use_rslora") or settings.get("rank_pattern") or settings.get("alpha_pattern"):
        raise WorkbenchError(
            f"{title} scales its layers by something else than alpha / rank, which a GGUF cannot say. Export the run as gguf, "
            "which is merged."
        )
    converter = find_converter(options.download_converter, say, lora=True)
    file = folder / f"{run.name}{LORA_ENDING}"
    with _child(say, 0) as ask:
        base = run.config().model.model_dump(mode="json")
        told = {"root": str(converter.root), "adapter": str(source), "base": base, "out": str(file)}
        checked = [Check(*one) for one in ask("lora", **told)]
    return checked, [f"Converted by {converter.title}.", "It was not loaded on a model."]


def _quantizer(converter: Converter, kind: str) -> str:
    """The program that quantises; "" where llama-cpp-python does. Raises WorkbenchError where there is neither."""
    own = converter.root / "build" / "bin" / "llama-quantize"
    if found := shutil.which("llama-quantize") or (str(own) if own.is_file() else None):
        return found
    if importlib.util.find_spec("llama_cpp"):
        return ""
    raise WorkbenchError(
        f"{kind} is written by llama.cpp itself, and neither its program llama-quantize (on PATH, or built in "
        f"{own.parent.parent}) nor the package llama-cpp-python is here. Install one of them, or take one of {', '.join(CONVERTED)}."
    )


@contextmanager
def _child(say: Progress, size: int) -> Iterator[Any]:
    """Gives what asks a child process for a task and gives the result. size: bytes of the weights."""
    # The converter holds one tensor at a time, but maps the whole file; what asks llama.cpp holds the model twice.
    limits = ProcessLimits(memory=6 * GB + 4 * size, seconds=HOURS * 3600)
    child = Child(WORKER, LOG, {"HF_HUB_OFFLINE": "1"}, words="starting the converter")

    def ask(task: str, **arguments: Any) -> Any:
        try:
            child.send({"do": task, **arguments})
            return child.wait("done", limits, say)["result"]
        except (OverLimit, MemoryError) as error:
            why = f"{str(error) or memory_words(limits)} and was stopped"
        except Gone:
            why = f"ended unexpectedly (exit code {child.end()})"
        except RuntimeError as error:  # somebody else's program, so also somebody else's errors
            why = f"failed: {str(error).strip().splitlines()[-1]}"
        raise WorkbenchError(
            f"The converter to GGUF {why}. Nothing was written. What it printed is in {LOG} in {home()}."
        )

    try:
        child.wait("ready", ProcessLimits(seconds=120))
        yield ask
    finally:
        child.end()


def _template(ask: Any, model: Path) -> tuple[Template, list[str]]:
    """The template of training for Ollama, and the tokens that end an answer."""
    found = chat_template(model, "the merged model")
    assert found, "it is written with the model"
    conversations = [*LEARNT, *TRIED, WITH_SPACE]
    messages = [[{"role": role, "content": content} for role, content in turns] for turns in conversations]
    texts = ask("render", text=found.text, tokens=found.tokens, conversations=messages)
    made = dict(zip(map(tuple, conversations), texts, strict=True))

    def render(turns: Turns) -> str | None:
        text: str | None = made[tuple(turns)]
        return text

    end = found.tokens.get("eos_token", "")
    return ollama_template(found.text, render, found.tokens.get("bos_token", ""), end), [end] if end else []


def _template_check(template: Template) -> Check:
    if not template.text:
        return Check("Ollama's template", f"none was written: {template.why}", None)
    return Check("Ollama's template", f"writes {template.tried} conversations as the one of training does", True)


def _notes(template: Template) -> list[str]:
    notes = list(template.notes)
    if template.why:
        notes.append(
            "The Modelfile has no TEMPLATE, so that Ollama looks for one of its own that is like the one in the GGUF: compare what "
            "`ollama show --template` says with chat_template.jinja of the merged model."
        )
    notes.append("Neither Ollama nor llama-server was started for this.")
    return notes


def _bytes_of(model: Path) -> int:
    return sum(file.stat().st_size for file in model.glob("*.safetensors"))
