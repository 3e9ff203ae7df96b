"""python -m workbench.engine.chat MODEL: questions in, two streams of text out, by the lines of `engine/lines.py`.

MODEL is a JSON object {"model": ModelRef, "precision": Precision}.

    in    {"do": "ask", "lanes": [{"messages": [...], "adapter": folder or null}, ...], "sampling": {...}}
    out   {"event": "ready", "facts": {...}}
          {"event": "part", "lane": n, "text": what is new, "tokens": n, "first_token": s, "per_second": x, "ended": ...}
          {"event": "done", "result": {"verified": true or false or null}}
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from workbench.core.chat import Sampling
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.engine.imports import FOR_A_CHAT, import_for
from workbench.engine.lines import Answer, Event, Request, Say, serve
from workbench.engine.load import Loaded, load_base
from workbench.engine.trouble import explain
from workbench.store.adapter_files import check_adapter
from workbench.store.home import home

# How far apart the logits of the same model may lie when they were computed in batches of different size.
SAME_LOGITS = {"fp32": 1e-3, "nf4": 1e-3, "bf16": 0.2, "fp16": 0.05}
PROBE = [{"role": "user", "content": "Hello"}]


class Lanes:
    """A base model and the adapters that were asked for, answering two conversations in one batch."""

    def __init__(self, loaded: Loaded):
        self.loaded = loaded
        self.model = loaded.model.eval()
        self.names: dict[str, str] = {}  # adapter folder -> PEFT's name of it
        self.base_logits = self._probe(None)
        self.verified: bool | None = None  # whether "adapter off" was seen to be the base model; None before an adapter

    def ask(self, lanes: list[dict[str, Any]], sampling: Sampling, say: Say, stop: threading.Event) -> None:
        """Answer every lane, calling `say` with an event per piece of text."""
        from workbench.engine.generate import NO_ADAPTER, stream

        for lane in lanes:
            if lane["adapter"]:
                self._add(Path(lane["adapter"]))
        adapters = [self.names[lane["adapter"]] if lane["adapter"] else NO_ADAPTER for lane in lanes]
        started = time.perf_counter()
        first: dict[int, float] = {}

        def on_text(row: int, text: str, tokens: int, ended: str) -> None:
            now = time.perf_counter() - started
            first.setdefault(row, now)
            pace = (tokens - 1) / (now - first[row]) if tokens > 1 and now > first[row] else None
            outcome = "stopped" if ended == "limit" and stop.is_set() else ended
            say({"event": "part", "lane": row, "text": text, "tokens": tokens, "first_token": first[row],
                 "per_second": pace, "ended": outcome})  # fmt: skip

        conversations = [lane["messages"] for lane in lanes]
        stream(
            self.model, self.loaded.tokenizer, conversations, adapters if self.names else None, sampling, on_text, stop
        )

    def _add(self, folder: Path) -> None:
        """Load an adapter beside the ones that are there. Only safetensors."""
        from peft import PeftModel

        if str(folder) in self.names:
            return
        check_adapter(folder, f"the adapter of {folder.parent.name}")
        name = f"adapter{len(self.names)}"
        try:
            if self.names:
                self.model.load_adapter(str(folder), adapter_name=name)
            else:
                self.model = PeftModel.from_pretrained(self.model, str(folder), adapter_name=name).eval()
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise WorkbenchError(
                f"The adapter of {folder.parent.name} does not fit this base model: {str(error).splitlines()[0][:200]}"
            ) from error
        self.names[str(folder)] = name
        difference = (self._probe("__base__") - self.base_logits).abs().max().item()
        self.verified = difference <= SAME_LOGITS[self.loaded.precision]

    def _probe(self, adapter: str | None) -> Any:
        """Logits of the next token of a short question."""
        import torch

        from workbench.engine.generate import encode

        batch = encode(self.loaded.tokenizer, [PROBE], self.model.device)
        with torch.inference_mode():
            extra = {} if adapter is None else {"adapter_names": [adapter]}
            return self.model(**batch, **extra).logits[0, -1].float()


def main(argument: str) -> int:
    """Serve questions until standard input ends. 1 where the model could not be loaded."""
    wanted = json.loads(argument)

    def load(say: Say) -> tuple[Answer, Event]:
        from workbench.engine.device import this_device

        def progress(text: str) -> None:
            say({"event": "progress", "fraction": 0.0, "text": text})

        import_for(FOR_A_CHAT)
        loaded = load_base(ModelRef.model_validate(wanted["model"]), wanted["precision"], this_device(), progress)
        lanes = Lanes(loaded)

        def answer(request: Request, say: Say, stop: threading.Event) -> dict[str, Any]:
            lanes.ask(request["lanes"], Sampling.model_validate(request["sampling"]), say, stop)
            return {"verified": lanes.verified}

        return answer, {"facts": loaded.facts}

    return serve(load, _explain)


def _explain(error: BaseException) -> str:
    return explain(
        error,
        "The process with the model",
        f"chat.log in {home()}",
        "for this model. Take a smaller model, or the precision auto, or close other programs.",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
