"""python -m workbench.engine.chat MODEL: questions in, streams of text out, by the lines of `engine/lines.py`.

MODEL is a JSON object {"model": ModelRef, "precision": Precision}. WHO is {"adapter": folder or null, "strength": 0 to 1.5,
"thinking": whether it is to think first}.

    in    {"do": "ask", "lanes": [{"messages": [...], WHO}, ...], "sampling": {...}}
    out   {"event": "ready", "facts": {...}}
          {"event": "part", "lane": n, "text": what is new, "tokens": n, "first_token": s, "per_second": x, "ended": ...,
           "asked": tokens of the conversation, "context": tokens that the model can read, or null}
          {"event": "done", "result": {"verified": true or false or null}}

    in    {"do": "ask_many", "prompts": [[...], ...], "seeds": [...], "answerers": [WHO, ...], "sampling": {...}}
    out   {"event": "part", "answered": the fields of core.chat.Answered}, as soon as each is finished

    in    {"do": "score", "items": [{"messages": [...], "answer": ..., "ended": ..., WHO}, ...]}
    out   {"event": "part", "item": n, "tokens": [[text, log-probability with the adapter, without, whether it is the end]]}

    in    {"do": "reward", "adapter": folder of a reward model, "max_length": tokens, "conversations": [[...], ...]}
    out   {"event": "part", "item": n, "reward": standardised}
"""

import gc
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psutil

from workbench.core.chat import Answered, Sampling
from workbench.core.errors import WorkbenchError
from workbench.core.memory.answering import A_TALK, row_bytes, rows_at_once
from workbench.core.memory.architectures import Shape, shape_of
from workbench.core.monitoring.health import repetition
from workbench.core.training.config import ModelRef
from workbench.engine.imports import FOR_A_CHAT, import_for
from workbench.engine.lines import Answer, Event, Request, Say, serve
from workbench.engine.load import Loaded, load_base
from workbench.engine.loaded_adapters import Adapters, Lane, Who
from workbench.engine.trouble import explain, is_out_of_memory
from workbench.store.home import home
from workbench.store.model_configs import config_of
from workbench.store.model_files import read_config

if TYPE_CHECKING:
    from workbench.engine.kept_reading import Reading

# How far apart the logits of the same model may lie when they were computed in batches of different size.
SAME_LOGITS = {"fp32": 1e-3, "nf4": 1e-3, "bf16": 0.2, "fp16": 0.05}
Cell = tuple[int, int]
"""A prompt of a grid and who answers it, by their places."""

_TEMPLATE = 32  # tokens that a chat template may add to a turn
_SORTED = 256  # conversations that are sorted by length: what stands first is scored first, as far as that goes
PROBE = [{"role": "user", "content": "Hello"}]


class Lanes:
    """A base model and the adapters that were asked for, which answer in one batch as far as they can."""

    def __init__(self, loaded: Loaded):
        from workbench.engine.unpacked import unpacked

        self.loaded = loaded
        self.tokenizer = loaded.tokenizer
        self.shape = _shape(loaded)
        self._unpacked = ExitStack()
        self._unpacked.enter_context(unpacked(loaded.model))
        self.adapters = Adapters(loaded.model.eval(), self._room_for_adapters)
        self.base_logits = self._probe()
        self.verified: bool | None = None  # whether "adapter off" was seen to be the base model; None before an adapter
        self._read: list[tuple[Who, Reading]] = []  # of the conversations that were asked last

    def answer(self, request: Request, say: Say, stop: threading.Event) -> dict[str, Any]:
        """Do what is asked, saying each piece of it as it comes."""
        if request["do"] == "score":
            self.score(request["items"], say, stop)
        elif request["do"] == "reward":
            self.reward(request, say, stop)
        elif request["do"] == "ask_many":
            self._read = []  # the memory is for larger batches
            lanes = [_lane(one) for one in request["answerers"]]
            sampling = Sampling.model_validate(request["sampling"])
            self.ask_many(Grid(request["prompts"], request["seeds"], lanes), sampling, say, stop)
        else:
            self.ask(request["lanes"], Sampling.model_validate(request["sampling"]), say, stop)
        return {"verified": self.verified}

    def ask(self, asks: Sequence[dict[str, Any]], sampling: Sampling, say: Say, stop: threading.Event) -> None:
        """Answer every lane. Raises WorkbenchError where a conversation leaves no room for an answer."""
        from workbench.engine.generate import ToAnswer, context_of, stream

        lanes = [_lane(one) for one in asks]
        self._load(lanes)
        context = context_of(self.adapters.model)
        asked = [self._length(one["messages"], lane.thinking) for one, lane in zip(asks, lanes, strict=True)]
        if context and max(asked) >= context:
            raise WorkbenchError(
                f"The conversation no longer fits: it has {max(asked):,} tokens with this question, and "
                f"the model can read {context:,}. Clear the chat and ask again, or ask something shorter."
            )
        about = [{"lane": lane, "asked": length, "context": context} for lane, length in enumerate(asked)]
        read, self._read = self._known(), []
        for places in self.adapters.parts(lanes):
            there = [lanes[place] for place in places]
            known = [[reading for who, reading in read if who == self.adapters.who(lane)] for lane in there]
            questions = [
                ToAnswer(asks[place]["messages"], lanes[place].thinking, known=own)
                for place, own in zip(places, known, strict=True)
            ]
            grows = self._tells_growth([about[place] for place in places], say)
            model, through = self.adapters.model, self._through(there)
            found = stream(model, self.tokenizer, questions, sampling, grows, stop, through)
            self._read += [(self.adapters.who(lane), reading) for lane, reading in zip(there, found, strict=True)]

    def ask_many(self, grid: "Grid", sampling: Sampling, say: Say, stop: threading.Event) -> None:
        """Every prompt to every answerer, in batches that fit into memory, in the order of the prompts.

        A prompt that leaves no room for an answer is answered with nothing, as "full".
        """
        from workbench.engine.generate import ToAnswer, context_of, stream

        self._load(grid.lanes)
        model, context = self.adapters.model, context_of(self.adapters.model)
        ways = {lane.thinking for lane in grid.lanes}
        asked = [max(self._length(prompt, thinking) for thinking in ways) for prompt in grid.prompts]
        fits = [place for place, length in enumerate(asked) if not context or length < context]
        for prompt in sorted(set(range(len(asked))) - set(fits)):
            for answerer in range(len(grid.lanes)):
                say(_answered(Answered(prompt, answerer, "", 0, "full", 0.0, asked[prompt])))
        given: set[Cell] = set()

        def give(batch: Sequence[Cell]) -> None:
            cells = [cell for cell in batch if cell not in given]  # of a batch that ran out of memory some were
            if not cells:
                return
            lanes, ends = [grid.lanes[answerer] for _, answerer in cells], self._tells_ends(cells, asked, given, say)
            questions = [
                ToAnswer(grid.prompts[prompt], lane.thinking, grid.seeds[prompt])
                for (prompt, _), lane in zip(cells, lanes, strict=True)
            ]
            stream(model, self.tokenizer, questions, sampling, ends, stop, self._through(lanes))

        longest = max((asked[place] for place in fits), default=0) + sampling.max_new_tokens
        for places in self.adapters.parts(grid.lanes):
            cells = [(prompt, answerer) for prompt in fits for answerer in places]
            for batch in self._batches(cells, longest, len(places)):
                if stop.is_set():
                    return
                _in_halves(give, batch)

    def score(self, items: Sequence[dict[str, Any]], say: Say, stop: threading.Event) -> None:
        """What adapters changed of answers: each is read with its adapter and without, both in one batch."""
        from workbench.engine.generate import end_tokens, stopping
        from workbench.engine.scoring import Written, log_probs, written

        lanes = [_lane(one) for one in items]
        self._load(lanes)
        model = self.adapters.model
        ends = end_tokens(model, self.tokenizer)
        texts = [
            written(self.tokenizer, one["messages"], one["answer"], one["ended"], ends, lane.thinking)
            for one, lane in zip(items, lanes, strict=True)
        ]
        base: dict[Written, list[float]] = {}  # several strengths are compared with the same

        def read(batch: Sequence[int]) -> None:
            fresh = [text for text in dict.fromkeys(texts[item] for item in batch) if text not in base]
            rows = [*[(texts[item], lanes[item]) for item in batch], *[(text, Lane(None)) for text in fresh]]
            found: dict[int, list[float]] = {}
            for places in self.adapters.parts([lane for _, lane in rows]):
                with self.adapters.through([rows[place][1] for place in places]):
                    read = log_probs(model, self.tokenizer.pad_token_id, [rows[place][0] for place in places])
                found |= dict(zip(places, read, strict=True))
            base.update({text: found[len(batch) + place] for place, text in enumerate(fresh)})
            for place, item in enumerate(batch):
                text = texts[item]
                columns = zip(text.texts, found[place], base[text], text.is_end, strict=True)
                say({"event": "part", "item": item, "tokens": [list(one) for one in columns]})

        longest = max((text.length for text in texts), default=1)
        with stopping(model, stop):
            for batch in self._batches([item for item, text in enumerate(texts) if text.answer], longest, 1, rows=2):
                _in_halves(read, batch)

    def reward(self, request: Request, say: Say, stop: threading.Event) -> None:
        """What a reward model says of conversations, those of like length together, so that little of a batch is padding."""
        from workbench.engine.generate import stopping
        from workbench.engine.rewards import BATCH

        conversations = request["conversations"]
        scorer = self.adapters.reward(request["adapter"], self.tokenizer, request["max_length"])
        # No token is less than a byte.
        lengths = [
            sum(len(turn["content"].encode("utf-8", "replace")) + _TEMPLATE for turn in one) for one in conversations
        ]
        longest = min(request["max_length"], max(lengths, default=1))

        def read(batch: Sequence[int]) -> None:
            for item, found in zip(batch, scorer.scores([conversations[item] for item in batch]), strict=True):
                say({"event": "part", "item": item, "reward": found})

        windows = (range(start, min(start + _SORTED, len(lengths))) for start in range(0, len(lengths), _SORTED))
        order = [item for window in windows for item in sorted(window, key=lambda item: lengths[item])]
        size = min(BATCH, rows_at_once(self.shape, longest, self.loaded.device, self._free()))
        with stopping(self.adapters.model, stop):
            for start in range(0, len(order), size):
                if stop.is_set():
                    return
                _in_halves(read, order[start : start + size])

    def _tells_growth(self, about: Sequence[Event], say: Say) -> Any:
        """Says each piece of the answers of one batch. about: what else is said of each row."""
        from workbench.engine.generate import Pieces

        pieces, started = Pieces(self.tokenizer), time.perf_counter()
        first: dict[int, float] = {}

        def on_tokens(row: int, tokens: list[int], ended: str) -> None:
            now = time.perf_counter() - started
            text = pieces.next(row, tokens, bool(ended))
            if text is None:
                return
            began = first.setdefault(row, now)
            pace = (len(tokens) - 1) / (now - began) if len(tokens) > 1 and now > began else None
            say({"event": "part", "text": text, "tokens": len(tokens), "first_token": began, "per_second": pace,
                 "ended": ended, **about[row]})  # fmt: skip

        return on_tokens

    def _tells_ends(self, cells: Sequence[Cell], asked: Sequence[int], given: set[Cell], say: Say) -> Any:
        """Says each answer of one batch when it is finished. What was not begun when it was stopped is no answer."""

        def on_tokens(row: int, tokens: list[int], ended: str) -> None:
            if not ended or (ended == "stopped" and not tokens):
                return
            given.add(cells[row])
            prompt, answerer = cells[row]
            text = self.tokenizer.decode(tokens, skip_special_tokens=True)
            repeats = round(repetition(tokens), 4)
            say(_answered(Answered(prompt, answerer, text, len(tokens), ended, repeats, asked[prompt])))

        return on_tokens

    def _load(self, lanes: Sequence[Lane]) -> None:
        if self.adapters.load(lanes):
            difference = (self._probe() - self.base_logits).abs().max().item()
            self.verified = difference <= SAME_LOGITS[self.loaded.precision]

    def _length(self, messages: Any, thinking: bool) -> int:
        from workbench.engine.generate import asking, token_ids

        return len(token_ids(self.tokenizer, asking(self.tokenizer, messages, thinking)))

    def _through(self, lanes: Sequence[Lane]) -> Any:
        """See `Through` in engine/generate.py."""
        return lambda rows: self.adapters.through([lanes[row] for row in rows])

    def _known(self) -> list[tuple[Who, "Reading"]]:
        """What was read of the conversations that were asked last, where a copy of it has room beside it."""
        fits = 2 * sum(reading.bytes for _, reading in self._read) <= self._free()
        return self._read if fits else []

    def _batches(self, cells: Sequence[Any], tokens: int, together: int, rows: int = 1) -> Iterator[Sequence[Any]]:
        """Cells in batches of which the memory is free; those of one prompt stay together as far as that goes.

        tokens: of the longest one. rows: that a cell takes.
        """
        most = max(1, rows_at_once(self.shape, tokens, self.loaded.device, self._free()) // rows)
        size = max(1, most // together) * together if most >= together else most
        for start in range(0, len(cells), size):
            yield cells[start : start + size]

    def _free(self) -> int:
        """Bytes that are free where the model is."""
        import torch

        if not self.loaded.device.is_cuda:
            return int(psutil.virtual_memory().available)
        held_back = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0] + held_back)

    def _room_for_adapters(self) -> int:
        """What two lanes of a long conversation leave."""
        wanted = 2 * row_bytes(self.shape, A_TALK, self.loaded.device) if self.shape else 0
        return self._free() - wanted

    def _probe(self) -> Any:
        """The base model's logits of the next token of a short question."""
        import torch

        from workbench.engine.generate import encode

        batch = encode(self.tokenizer, [PROBE], self.adapters.model.device)
        with torch.inference_mode(), self.adapters.through([Lane(None)]):
            return self.adapters.model(**batch).logits[0, -1].float()


@dataclass(frozen=True)
class Grid:
    """Prompts, the seed of each, and who answers them."""

    prompts: Sequence[Any]
    seeds: Sequence[int]
    lanes: Sequence[Lane]


def _in_halves(give: Callable[[Sequence[Any]], None], batch: Sequence[Any]) -> None:
    """Give a batch, and where memory runs out, one half of it after the other."""
    import torch

    try:
        give(batch)
        return
    except Exception as error:
        if not is_out_of_memory(error) or len(batch) == 1:
            raise
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
        _in_halves(give, half)


def _lane(who: dict[str, Any]) -> Lane:
    return Lane(who["adapter"], who.get("strength", 1.0), who.get("thinking", False))


def _answered(one: Answered) -> Event:
    return {"event": "part", "answered": asdict(one)}


def _shape(loaded: Loaded) -> Shape | None:
    """None for an architecture of which no memory is known: then it is answered in small batches."""
    try:
        return shape_of(read_config(loaded.folder, loaded.facts["title"]))
    except WorkbenchError:
        return None


def main(argument: str) -> int:
    """Serve questions until standard input ends. 1 where the model could not be loaded."""
    wanted = json.loads(argument)

    def load(say: Say) -> tuple[Answer, Event]:
        from workbench.engine.device import this_device

        def progress(text: str) -> None:
            say({"event": "progress", "fraction": 0.0, "text": text})

        model = ModelRef.model_validate(wanted["model"])
        config_of(model)  # a model that cannot be had is refused at once, and not after seconds of importing
        import_for(FOR_A_CHAT)
        loaded = load_base(model, wanted["precision"], this_device(), progress)
        return Lanes(loaded).answer, {"facts": loaded.facts}

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
