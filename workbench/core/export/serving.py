"""How engines that exist serve what was exported. The workbench has no server of its own."""

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from workbench.core.export.exported import Serving

TRANSFORMERS, VLLM, LLAMA, OLLAMA = "transformers serve", "vLLM", "llama-server", "Ollama"

LORA_ENDING = "-lora.gguf"
"""Of a GGUF that holds an adapter alone."""

_INDEX = "model.safetensors.index.json"


def serving(name: str, folder: Path, files: Sequence[str], installed: Collection[str]) -> tuple[Serving, ...]:
    """The commands for what lies in a folder; none where no engine serves that.

    name: what a client is to call the model. files: in the folder. installed: engines that are on this machine.
    """
    ggufs = [file for file in files if file.endswith(".gguf")]
    if "config.json" in files and ("model.safetensors" in files or _INDEX in files):
        found = _of_whole_model(name, folder)
    elif ggufs:
        found = _of_gguf(name, folder, ggufs[0], "Modelfile" in files)
    else:
        return ()
    return tuple(Serving(one.engine, one.engine in installed, one.commands, one.words) for one in found)


def _of_whole_model(name: str, folder: Path) -> list[Serving]:
    path = shlex.quote(str(folder))
    gguf = f"workbench export {name} gguf --out {shlex.quote(f'{folder}-gguf')}"
    # It reads what follows an @ as a revision, and a colon as a file.
    misread = "" if not set("@:") & set(str(folder)) else " It takes no folder with @ or : in its path: move it first."
    return [
        Serving(
            TRANSFORMERS, False, (f"transformers serve {path} --port 8000", ask(8000, str(folder))),
            f"Needs pip install 'transformers[serving]'. Clients call the model by the path of its folder.{misread}",
        ),
        Serving(
            VLLM, False, (f"vllm serve {path} --served-model-name {name} --port 8000", ask(8000, name)),
            "Needs pip install vllm and a card. It takes temperature and top-p from generation_config.json where a client sends none.",
        ),
        Serving(LLAMA, False, (gguf,), "Reads GGUF: export that, and its command is told there."),
        Serving(OLLAMA, False, (gguf,), "Reads GGUF: export that, and its command is told there."),
    ]  # fmt: skip


def _of_gguf(name: str, folder: Path, file: str, has_modelfile: bool) -> list[Serving]:
    path = shlex.quote(str(folder / file))
    if file.endswith(LORA_ENDING):
        return [
            Serving(
                LLAMA, False, (f"llama-server -m BASE.gguf --lora {path} --jinja --port 8080", ask(8080, name)),
                "BASE.gguf stands for a GGUF of the very model that the run started from.",
            )
        ]  # fmt: skip
    found = [
        Serving(
            LLAMA, False, (f"llama-server -m {path} --jinja --port 8080", ask(8080, name)),
            "--jinja takes the chat template that is in the file: the one of training.",
        )
    ]  # fmt: skip
    if has_modelfile:
        modelfile = shlex.quote(str(folder / "Modelfile"))
        found.append(
            Serving(
                OLLAMA, False, (f"ollama create {name} -f {modelfile}", f"ollama run {name}", ask(11434, name)),
                "The Modelfile holds the template of training and where an answer ends.",
            )
        )  # fmt: skip
    return found


def ask(port: int, model: str) -> str:
    """A question as any OpenAI client asks it, greedy, so that the answer can be held against the one on the Compare page."""
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}], "temperature": 0, "max_tokens": 128}}'
    header = "-H 'Content-Type: application/json'"
    return f"curl http://localhost:{port}/v1/chat/completions {header} -d {shlex.quote(body)}"
