"""python -m workbench.engine.tokens MODEL: rows in, tokens out, exactly as TRL would train on them.

MODEL is a ModelRef as JSON. Only its tokenizer is loaded. The chat template is a program that came with the model, so
it runs here, with a limit on memory, under a parent that ends this process when it does not answer. The lines are those of
`engine/lines.py`:

    in    {"do": "count", "kind": Kind, "files": [Parquet files of canonical rows], "out": Parquet file to write,
           "thinking": as in a run's settings}
          {"do": "view", "row": {...}, "max_length": n, "thinking": the same}
          {"do": "template", "rows": [{...}, ...]}
    out   {"event": "ready", "fingerprint": ...}
"""

import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from workbench.core.data.messages import PARTS, Kind, Message, Row
from workbench.core.data.thoughts import has_thoughts, split_thoughts
from workbench.core.data.token_counts import (
    CHOSEN_STOPS,
    PROMPT_DIFFERS,
    CountedRow,
    Part,
    TemplateFacts,
    ThoughtsFate,
    TokenCounts,
    TokenLane,
    TokenPiece,
    View,
    common_prefix,
    count_row,
    kind_at,
    shown_ranges,
)
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.core.training.model_files import PLAIN_TEMPLATE
from workbench.core.training.thinking import switched
from workbench.engine.limits import limit_process
from workbench.engine.lines import Answer, Event, Request, Say, serve
from workbench.engine.load import fetch, has_switch, load_tokenizer
from workbench.store.token_counts import write_counts

MEMORY = 4 * 1024**3  # bytes of addresses; a tokenizer with 260,000 words takes a quarter of it
MOST_RENDERED = 50_000_000  # characters that a template may make of a row
_THOUGHT = "The sky is on my mind."
_THINKING = re.compile(r"<\|?[^<>]*(?:think|thought|channel)[^<>]*>.*", re.S)
_ROWS_PER_BATCH = 256
_CHARACTERS_PER_BATCH = 1_000_000


class Encoder:
    """A tokenizer that sees rows as TRL's trainers do."""

    def __init__(self, tokenizer: Any, title: str, stops: set[int]):
        self.tokenizer = tokenizer
        self.title = title
        self.stops = stops
        self.thinking = False
        self._special = stops | set(tokenizer.added_tokens_decoder) | {tokenizer.unk_token_id}
        self._blank: dict[int, bool] = {}

    def rendered(self, row: Row, where: str) -> list[str]:
        """The prompt, then the prompt with each answer, as the chat template writes them. where: names the row."""
        answers = [row["chosen"], row["rejected"]] if "chosen" in row else [row["completion"]]
        texts = [self._render(row["prompt"], where, add_generation_prompt=True)]
        return texts + [self._render([*row["prompt"], *answer], where) for answer in answers]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of rendered texts. A template writes the special tokens itself, so that none are added."""
        encoded = self.tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
        )
        return encoded["input_ids"]

    def counted(self, ids: Sequence[Sequence[int]]) -> CountedRow:
        """A row in tokens, from the ids of what `rendered` made of it."""
        return count_row(ids[0], ids[1], ids[2] if len(ids) > 2 else None, self.stops.__contains__, self.is_blank)

    def is_blank(self, token: int) -> bool:
        """Whether a token is nothing but white space."""
        if token not in self._blank:
            self._blank[token] = self.tokenizer.decode([token]).isspace()
        return self._blank[token]

    def is_special(self, token: int) -> bool:
        """Whether a token stands for itself and not for a piece of text: the end of a turn, a role, an unknown word."""
        return token in self._special

    def names(self, tokens: Sequence[int]) -> list[str]:
        return [str(name) for name in self.tokenizer.convert_ids_to_tokens(list(tokens))]

    def _render(self, messages: list[Any], where: str, add_generation_prompt: bool = False) -> str:
        from jinja2.exceptions import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt, **switched(self.thinking)
            )
        except MemoryError:
            raise WorkbenchError(self._too_much(where)) from None
        except (
            TemplateError,
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise WorkbenchError(
                f"The chat template of {self.title} cannot write {where}: {_first_line(error)} Training would end here. "
                "Change or delete the row, or choose another model."
            ) from error
        if len(text) > MOST_RENDERED:
            raise WorkbenchError(self._too_much(where))
        return text

    def tried(self, messages: list[Any], add_generation_prompt: bool = False) -> str | None:
        """Messages as the template writes them, or None where it refuses them."""
        try:
            return self._render(messages, "a question and its answer", add_generation_prompt)
        except WorkbenchError:
            return None

    def _too_much(self, where: str) -> str:
        return (
            f"The chat template of {self.title} makes more than {MOST_RENDERED // 1_000_000} million characters of "
            f"{where}, so it was stopped. Choose another model."
        )


def count(encoder: Encoder, kind: Kind, files: Sequence[str], out: str, say: Say) -> None:
    """Count every row of these files, one after the other, and write the columns of TokenCounts."""
    counts = TokenCounts(kind)
    total = sum(pq.read_metadata(file).num_rows for file in files)
    for texts in _batches(encoder, kind, files):
        for row in _count_batch(encoder, texts, len(counts)):
            counts.add(row)
        words = f"{len(counts):,} of {total:,} rows counted"
        say({"event": "progress", "fraction": len(counts) / max(total, 1), "text": words})
    write_counts(Path(out), counts)


def view(encoder: Encoder, row: Row, max_length: int) -> View:
    """A row as the model gets it."""
    prompt_text, *texts = encoder.rendered(row, "this row")
    prompt_ids, *sequences = _encoded(encoder, [prompt_text, *texts], "This row")
    prompt = min(common_prefix(prompt_ids, ids) for ids in sequences)
    parts: tuple[Part, ...] = ("chosen", "rejected")
    answers = [row["chosen"], row["rejected"]] if "chosen" in row else [row["completion"]]
    return View(
        lanes=tuple(
            _lane(encoder, part, text, ids, prompt, max_length).model_copy(
                update={"thoughts": thoughts_fate(answer[-1]["content"], prompt_text, text)}
            )
            for part, answer, text, ids in zip(parts, answers, texts, sequences, strict=False)
        ),
        max_length=max_length,
        forgets=any(_thoughts_of(one) not in prompt_text for one in row["prompt"]),
    )


def _thoughts_of(message: Message) -> str:
    return split_thoughts(message["content"])[0] if message["role"] == "assistant" else ""


def thoughts_fate(answer: str, prompt: str, whole: str) -> ThoughtsFate:
    """What a chat template made of the thoughts of an answer. prompt, whole: as it wrote them, without and with the answer."""
    thoughts = split_thoughts(answer)[0]
    if not thoughts:
        written = whole[len(os.path.commonprefix([prompt, whole])) :]
        return "none" if has_thoughts(answer) or not has_thoughts(written) else "an empty one added"
    if thoughts not in whole:
        return "deleted"
    return "after a closed one" if prompt.rstrip().endswith("</think>") else "kept"


def template(encoder: Encoder, rows: Sequence[Row]) -> TemplateFacts:
    """What the chat template makes of some rows."""
    encoded = [
        _encoded(encoder, encoder.rendered(row, f"row {number} of those tried"), f"Row {number} of those tried")
        for number, row in enumerate(rows, start=1)
    ]
    counted = [encoder.counted(ids) for ids in encoded]
    ends = [bool(row.flags & CHOSEN_STOPS) for row in counted]
    last = [ids[1][row.chosen_end - 1] for ids, row in zip(encoded, counted, strict=True) if row.chosen_end]
    shown = last[ends.index(False) :][:1] if False in ends else last[:1]
    begin = encoder.tokenizer.bos_token_id
    written = str(encoder.tokenizer.chat_template)
    return TemplateFacts(
        ends_with_eos=all(ends),
        last_token="".join(encoder.names(shown)),
        eos=tuple(encoder.names(sorted(encoder.stops))),
        double_bos=begin is not None and any(ids[1][:2] == [begin, begin] for ids in encoded),
        prefix_mismatches=sum(bool(row.flags & PROMPT_DIFFERS) for row in counted),
        checked=len(rows),
        template=hashlib.sha256(written.encode()).hexdigest()[:12],
        deletes_thoughts=_deletes_thoughts(encoder),
        opening=_opening(encoder),
        switch=has_switch(encoder.tokenizer, encoder.title),
        adds_empty=_adds_empty(encoder),
    )


def _deletes_thoughts(encoder: Encoder) -> bool:
    """Whether the template writes an answer without the thoughts before it."""
    answer = {"role": "assistant", "content": f"<think>\n{_THOUGHT}\n</think>\n\nBlue."}
    text = encoder.tried([{"role": "user", "content": "Which colour?"}, answer])
    return text is not None and "Blue." in text and _THOUGHT not in text


def _adds_empty(encoder: Encoder) -> bool:
    """Whether the template writes a thought that is not there before an answer."""
    text = encoder.tried([{"role": "user", "content": "Which colour?"}, {"role": "assistant", "content": "Blue."}])
    return text is not None and "</think>" in text.partition("Which colour?")[2].partition("Blue.")[0]


def _opening(encoder: Encoder) -> str:
    """What the template writes of thoughts where an answer is to begin: nothing for most models."""
    asked = [{"role": "user", "content": "Which colour?"}]
    prompt, before = encoder.tried(asked, add_generation_prompt=True), encoder.tried(asked)
    if prompt is None or before is None or not prompt.startswith(before):
        return ""
    found = _THINKING.search(prompt[len(before) :])
    return found.group().strip()[:80] if found else ""


def stop_tokens(tokenizer: Any, folder: Path) -> set[int]:
    """Ids of the tokens that end an answer: the tokenizer's own, and those that generation stops at."""
    known = None
    for name in ("generation_config.json", "config.json"):
        file = folder / name
        settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        known = known if known is not None else settings.get("eos_token_id")
    ids = known if isinstance(known, list) else [known]
    return {token for token in [*ids, tokenizer.eos_token_id] if isinstance(token, int)}


def fingerprint(folder: Path) -> str:
    """sha256 over all that decides which tokens a text gives: the same files and the same Transformers, the same one."""
    import transformers

    digest = hashlib.sha256(f"{transformers.__version__}\n{PLAIN_TEMPLATE}".encode())
    for file in sorted(folder.iterdir()):
        if file.suffix in (".json", ".jinja", ".model", ".txt") and not file.name.endswith(".index.json"):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _batches(encoder: Encoder, kind: Kind, files: Sequence[str]) -> Iterator[list[list[str]]]:
    """Rendered rows, as many at a time as make a batch of a bounded size."""
    parts = [part for part in PARTS[kind] if part != "label"]
    batch: list[list[str]] = []
    characters = number = 0
    for file in files:
        for rows in pq.ParquetFile(file).iter_batches(batch_size=_ROWS_PER_BATCH, columns=parts):
            for row in rows.to_pylist():
                batch.append(encoder.rendered(row, f"row {number}"))
                characters += sum(map(len, batch[-1]))
                number += 1
                if len(batch) >= _ROWS_PER_BATCH or characters >= _CHARACTERS_PER_BATCH:
                    yield batch
                    batch, characters = [], 0
    if batch:
        yield batch


def _count_batch(encoder: Encoder, batch: list[list[str]], first: int) -> Iterator[CountedRow]:
    """first: number of the first row."""
    ids = _encoded(encoder, [text for texts in batch for text in texts], f"A row from {first} on")
    each = len(batch[0])
    return (encoder.counted(ids[place : place + each]) for place in range(0, len(ids), each))


def _encoded(encoder: Encoder, texts: Sequence[str], where: str) -> list[list[int]]:
    try:
        return encoder.ids(texts)
    except (TypeError, ValueError) as error:
        raise WorkbenchError(
            f"{where} holds text that the tokenizer of {encoder.title} cannot read, such as half of a character. "
            "Change or delete the row."
        ) from error


def _lane(encoder: Encoder, part: Part, text: str, ids: list[int], prompt: int, max_length: int) -> TokenLane:
    seen = min(len(ids), max_length)
    return TokenLane(
        part=part,
        pieces=tuple(_pieces(encoder, text, ids, prompt, max_length)),
        prompt=min(prompt, seen),
        trained=max(seen - prompt, 0),
        cut=len(ids) - seen,
        stops=any(token in encoder.stops for token in ids[prompt:seen]),
    )


def _pieces(encoder: Encoder, text: str, ids: list[int], prompt: int, max_length: int) -> Iterator[TokenPiece]:
    """The tokens to show. Those that make up one character together are one piece."""
    reached = _reached(encoder, text, len(ids))
    names = encoder.names(ids)
    before = 0
    for span in shown_ranges(len(ids), prompt, max_length):
        if span.start > before:
            yield TokenPiece(text="", kind="skipped", tokens=span.start - before)
        before = span.stop
        yield from _grouped(encoder, text, ids, names, reached, span, prompt, max_length)


def _grouped(
    encoder: Encoder,
    text: str,
    ids: list[int],
    names: list[str],
    reached: list[int] | None,
    span: range,
    prompt: int,
    max_length: int,
) -> Iterator[TokenPiece]:
    """One piece for each token of a span that reaches further into the text than the token before it."""
    place = span.start
    while place < span.stop:
        kind = kind_at(place, prompt, max_length)
        special = encoder.is_special(ids[place])
        after = place + 1
        while (
            reached and not special and after < span.stop and reached[after] <= reached[place]
            and kind_at(after, prompt, max_length) == kind and not encoder.is_special(ids[after])
        ):  # fmt: skip
            after += 1
        words = names[place]
        if reached and not special:
            begin = reached[place - 1] if place else 0
            words = text[begin : reached[place]] or "\ufffd"
        yield TokenPiece(text=words, kind=kind, special=special, tokens=after - place)
        place = after


def _reached(encoder: Encoder, text: str, tokens: int) -> list[int] | None:
    """How far into the text each token reaches, or None where the tokenizer does not know.

    Where a token begins is of no use: many tokenizers leave the space before a word out of it.
    """
    if not encoder.tokenizer.is_fast:
        return None
    offsets = encoder.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    furthest = 0
    reached = []
    for _, end in offsets[:tokens]:
        furthest = max(furthest, end)
        reached.append(furthest)
    return reached


def _first_line(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def main(argument: str) -> int:
    """Serve requests until standard input ends. Returns 1 where the tokenizer could not be loaded."""
    # Transformers takes torch along where it finds it, which costs seconds and no tokenizer needs.
    sys.modules["torch"] = None  # type: ignore[assignment]
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # nothing forks here
    model = ModelRef.model_validate_json(argument)

    def load(say: Say) -> tuple[Answer, Event]:
        try:
            progress = {"event": "progress", "fraction": 0.0}
            folder = fetch(model, lambda text: say(progress | {"text": text}), with_weights=False)
            tokenizer = load_tokenizer(folder, model.title)
            encoder = Encoder(tokenizer, model.title, stop_tokens(tokenizer, folder))
            limit_process(MEMORY)  # a template that wants gigabytes is refused them
        except WorkbenchError:
            raise
        except Exception as error:
            raise WorkbenchError(f"The tokenizer of {model.title} could not be loaded: {_first_line(error)}") from error
        return partial(_result, encoder), {"fingerprint": fingerprint(folder)}

    def in_words(error: BaseException) -> str:
        return f"The tokenizer of {model.title} failed: {type(error).__name__}: {_first_line(error)}"

    return serve(load, in_words)


def _result(encoder: Encoder, request: Request, say: Say, stop: threading.Event) -> Any:
    encoder.thinking = request.get("thinking", False)
    if request["do"] == "count":
        return count(encoder, request["kind"], request["files"], request["out"], say)
    if request["do"] == "view":
        return view(encoder, request["row"], request["max_length"]).model_dump()
    return template(encoder, request["rows"]).model_dump()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
