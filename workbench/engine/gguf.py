"""python -m workbench.engine.gguf: a model or an adapter written as GGUF by llama.cpp's converter, and read back.

What can be asked for is the table TASKS; the arguments of a request are those of the function. The converter is a program of
somebody else that is found by `store/gguf_converter.py`; it is used here through the package `conversion` that it is.
"""

import importlib
import json
import logging
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import Check
from workbench.core.export.pretokenizers import pretokenizer
from workbench.core.training.config import ModelRef
from workbench.engine import gguf_asked, gguf_check, templates
from workbench.engine.lines import Request, Say, serve

Found = tuple[str, str, bool | None]
"""A `Check` on its way to the window."""


def render(say: Say, text: str, tokens: dict[str, str], conversations: list[Any]) -> list[str | None]:
    """What a chat template makes of each conversation, up to the answer; None where it refuses it."""
    return templates.rendered(text, tokens, conversations)


def convert(say: Say, root: str, model: str, out: str, kind: str, name: str, adds_bos: bool) -> list[str]:
    """Write the model in a folder as GGUF. Gives notes.

    root: the converter's folder. kind: f16, bf16 or q8_0. name: what the file says it is. adds_bos: whether an engine has to
    put the token for the beginning before every text.
    """
    say({"event": "progress", "fraction": 0.1, "text": "converting"})
    conversion, gguf = _import_converter(root)
    import torch

    kinds = {"f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    hparams = conversion.ModelBase.load_hparams(Path(model), False)
    architecture = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
    try:
        of_model = conversion.get_model_class(architecture)
    except NotImplementedError:
        raise WorkbenchError(
            f"The converter does not know models of the kind {architecture}. Take a newer llama.cpp, or export the merged model."
        ) from None
    notes: list[str] = []
    with torch.inference_mode(), _known_by_structure(conversion, Path(model), notes), _tokens_added(gguf, adds_bos):
        of_model(Path(model), getattr(gguf.LlamaFileType, kinds[kind]), Path(out), model_name=name).write()
    return notes


def lora(say: Say, root: str, adapter: str, base: ModelRef, out: str) -> list[Found]:
    """Write an adapter as GGUF, in fp32 as it is. Gives what was found on reading it back."""
    from workbench.engine.load import fetch

    folder = fetch(base, lambda words: say({"event": "progress", "fraction": 0.1, "text": words}), with_weights=False)
    say({"event": "progress", "fraction": 0.3, "text": "converting"})
    _import_converter(root)
    script = str(Path(root) / "convert_lora_to_gguf.py")
    told = [script, "--base", str(folder), "--outfile", out, "--outtype", "f32", adapter]
    known, sys.argv = sys.argv, told
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError("llama.cpp's converter of adapters refused this one.") from None
    finally:
        sys.argv = known
    say({"event": "progress", "fraction": 0.8, "text": "reading it back"})
    return _found(gguf_check.lora_checks(Path(out), Path(adapter), folder))


def quantize(say: Say, source: str, out: str, kind: str, program: str) -> None:
    """Write a GGUF of 16 bits in fewer. program: llama-quantize; "" for llama-cpp-python."""
    say({"event": "progress", "fraction": 0.6, "text": f"quantizing to {kind}"})
    if program:
        done = subprocess.run([program, source, out, kind.upper()], stdin=subprocess.DEVNULL, check=False)
        code = done.returncode
    else:
        import llama_cpp

        settings = llama_cpp.llama_model_quantize_default_params()
        settings.ftype = gguf_check.FILE_TYPES[kind]
        code = llama_cpp.llama_model_quantize(source.encode(), out.encode(), settings)
    if code:
        raise WorkbenchError(
            f"{program or 'llama-cpp-python'} could not quantize to {kind} (code {code}). Take f16 or q8_0."
        )


def check(
    say: Say, root: str, file: str, model: str, kind: str, adds_bos: bool, prompts: list[list[Message]]
) -> list[Found]:
    """Compare a GGUF with the model that it was made of, and ask it where llama-cpp-python works."""
    say({"event": "progress", "fraction": 0.8, "text": "reading it back"})
    _import_converter(root)
    found = gguf_check.model_checks(Path(file), Path(model), kind, adds_bos)
    try:
        importlib.import_module("llama_cpp")
    except (ImportError, OSError, RuntimeError):  # not installed, or its library is not there or does not fit
        return _found(found)
    say({"event": "progress", "fraction": 0.9, "text": "asking it"})
    return _found(found + gguf_asked.answer_checks(Path(file), Path(model), kind, prompts))


def _found(checks: list[Check]) -> list[Found]:
    return [(one.what, one.found, one.ok) for one in checks]


def _import_converter(root: str) -> tuple[Any, Any]:
    """The packages `conversion` and `gguf` of a converter: llama.cpp's folder has a `gguf` of its own, which alone fits it."""
    logging.basicConfig(level=logging.INFO)
    own = Path(root) / "gguf-py"
    if own.is_dir() and str(own) not in sys.path:
        sys.path.insert(0, str(own))
    if root not in sys.path:
        sys.path.append(root)  # the last: it is full of modules with everyday names
    return importlib.import_module("conversion"), importlib.import_module("gguf")


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    known = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, known)


def _known_by_structure(conversion: Any, model: Path, notes: list[str]) -> AbstractContextManager[None]:
    """A tokenizer that is not on the converter's list is known by its rule. notes: gets a line where that was needed."""
    text_model = importlib.import_module(f"{conversion.__name__}.base").TextModel
    by_hash = text_model.get_vocab_base_pre

    def known(self: Any, tokenizer: Any) -> str:
        try:
            return str(by_hash(self, tokenizer))
        except NotImplementedError:
            name = pretokenizer(json.loads((model / "tokenizer.json").read_text(encoding="utf-8")))
        if not name:
            raise WorkbenchError(
                "The converter does not know how this model's tokenizer cuts text into words, and it is none of the rules that the "
                "workbench knows llama.cpp to have. With a wrong rule the model would read other tokens than in training, so "
                "nothing was written. Take a newer llama.cpp, or export the merged model."
            )
        notes.append(
            f"The tokenizer is not on the converter's list; its rule for cutting text is the one that llama.cpp calls {name}."
        )
        return name

    return _replaced(text_model, "get_vocab_base_pre", known)


def _tokens_added(gguf: Any, adds_bos: bool) -> AbstractContextManager[None]:
    """The file says what an engine adds to a text: the beginning only where the template of training writes it (engines take a
    second one away again), the end never."""
    written = gguf.SpecialVocab.add_to_gguf

    def add_to_gguf(self: Any, writer: Any, quiet: bool = False) -> None:
        self.add_special_token = {"bos": adds_bos, "eos": False}
        written(self, writer, quiet)

    return _replaced(gguf.SpecialVocab, "add_to_gguf", add_to_gguf)


TASKS = {"render": render, "convert": convert, "lora": lora, "quantize": quantize, "check": check}


def answer(request: Request, say: Say, stop: threading.Event) -> Any:
    task = TASKS[request.pop("do")]
    if "base" in request:
        request["base"] = ModelRef.model_validate(request["base"])
    return task(say, **request)


if __name__ == "__main__":
    sys.exit(serve(lambda say: (answer, {})))
