"""Formats for SFT: a prompt and the one answer to imitate."""

from collections.abc import Sequence
from typing import Any

from workbench.core.data.formats.column_names import (
    ADJECTIVES,
    ANSWER_PAIRS,
    COMPLETIONS,
    CONVERSATIONS,
    JUDGEMENTS,
    MEDIA,
    TWO_ANSWERS,
    Names,
    bare_text,
    holds_messages,
    is_sharegpt,
    is_text,
    is_text_or_messages,
    plain_name,
    with_system,
)
from workbench.core.data.formats.columns import Columns, Converted, Described, Format, Recognised
from workbench.core.data.formats.prompts import beside
from workbench.core.data.formats.rows import is_turns, sft_row
from workbench.core.data.formats.transcripts import transcript
from workbench.core.data.messages import LeftOut, RawRow, is_messages

# A number in a `target` or `output` is more often a class than an answer.
_MAY_BE_NUMBERS = ("answer", "response", "completion")

TEXTS = ("text", "content", "document", "body")
# What stands beside a plain text without saying anything of it.
ABOUT_TEXTS = ("id", "source", "url", "title", "date", "timestamp", "meta", "metadata", "language", "lang", "length")


def _messages(row: RawRow) -> Columns | None:
    """One column of whole conversations."""
    names = Names(row)
    messages = names.first(CONVERSATIONS, lambda value: holds_messages(value) or is_turns(value))
    return Columns(messages=messages, system=names.system()) if messages and not _has_answers(names) else None


def _sharegpt(row: RawRow) -> Columns | None:
    columns = _messages(row)
    return columns if columns and is_sharegpt(row[columns.messages or ""]) else None


def _alpaca(row: RawRow) -> Columns | None:
    """An instruction, sometimes with an input, and an output."""
    names = Names(row)
    if is_text(names.value("instruction")) and is_text(names.value("output")) and not _has_answers(names):
        return _answered(names, names.column("instruction"), names.column("output"))
    return None


def _dolly(row: RawRow) -> Columns | None:
    """An instruction, sometimes with a context, and a response."""
    names = Names(row)
    is_answered = is_text(names.value("instruction")) and is_text(names.value("response"))
    if "context" in names and is_answered and not _has_answers(names):
        return _answered(names, names.column("instruction"), names.column("response"))
    return None


def _prompt_completion(row: RawRow) -> Columns | None:
    """A prompt and its completion, each as text or messages."""
    names = Names(row)
    prompt, completion = names.prompt(), names.first(COMPLETIONS, _is_completion)
    completion = completion or names.first(_MAY_BE_NUMBERS, lambda value: bare_text(value) is not None)
    if prompt and completion and prompt != completion and not _has_answers(names):
        return _answered(names, prompt, completion)
    return None


def _plain_text(row: RawRow) -> Columns | None:
    """One column of text: with turns inside or, if nothing else can be meant, without."""
    names = Names(row)
    column = names.first(TEXTS, is_text)
    if not column or _has_answers(names):
        return None
    alone = all(plain_name(str(name)) in (*TEXTS, *ABOUT_TEXTS) for name in row)
    return Columns(messages=column, system=names.system()) if alone or transcript(row[column]) else None


def _answered(names: Names, prompt: str | None, completion: str | None) -> Columns:
    answers = [completion] if completion else []
    return Columns(prompt=prompt, completion=completion, **beside(names, prompt, answers))


def _is_completion(value: Any) -> bool:
    several = isinstance(value, Sequence) and bool(value) and all(isinstance(text, str) for text in value)
    return is_text_or_messages(value) or several


def _has_answers(names: Names) -> bool:
    """Whether there are several answers to choose from: then a column `answer` may only name one of them."""
    if next(names.pairs(ADJECTIVES, is_text), None) and not names.first(COMPLETIONS, is_text):
        return True
    pairs = [*ANSWER_PAIRS, *((one, other) for one, other, _ in TWO_ANSWERS)]
    return any(one in names and other in names for one, other in pairs) or "choices" in names or "options" in names


def _describe_messages(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    value = rows[0][columns.messages or ""]
    what = "messages with `from` and `value`" if is_sharegpt(value) else "messages"
    what = "texts, taken as the turns of user and assistant" if is_turns(value) else what
    written = " written as text" if isinstance(value, str) else ""
    return Described(
        f"`{columns.messages}` is a list of {what}{written}, and there is no rejected answer{_and(rows, columns)}."
    )


def _describe_answered(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    more = f", sometimes with `{columns.input}`," if columns.input else ""
    value = rows[0][columns.completion or ""]
    several = "" if isinstance(value, str) or is_messages(value) else " (the first of several)"
    return Described(
        f"`{columns.prompt}`{more} is answered by `{columns.completion}`{several}, and there is no rejected answer"
        f"{_and(rows, columns)}."
    )


def _describe_text(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    turns = sum(transcript(row[columns.messages or ""]) is not None for row in rows)
    if turns:
        found = f"all {turns}" if turns == len(rows) else f"{turns} of {len(rows)}"
        return Described(f"`{columns.messages}` is text with the turns of a conversation inside, in {found} rows.")
    return Described(
        f"`{columns.messages}` is plain text without turns, and a chat model learns from questions and answers: give each "
        "text a question, in columns such as `prompt` and `completion`."
    )


def _and(rows: Sequence[RawRow], columns: Columns) -> str:
    """The columns beside: what is used, and what says how good an answer is and is not used."""
    return f"{with_system(columns)}{Names(rows[0]).unused((*JUDGEMENTS, *MEDIA))}"


def _convert(row: RawRow, how: Recognised, seed: int) -> Converted:
    return sft_row(row, how.mapping)


def _convert_text(row: RawRow, how: Recognised, seed: int) -> Converted:
    value = row.get(how.mapping.messages or "")
    if isinstance(value, str) and value.strip() and transcript(value) is None:
        raise LeftOut("plain text without a question: not used for chat models")
    return sft_row(row, how.mapping)


LESSONS = (
    Format(
        "sharegpt", "SFT: ShareGPT conversations", "a list of messages with `from` and `value`",
        _sharegpt, _describe_messages, _convert,
    ),
    Format(
        "messages", "SFT: messages", "a list of messages with `role` and `content`",
        _messages, _describe_messages, _convert,
    ),
    Format(
        "alpaca", "SFT: instruction, input and output (Alpaca)", "`instruction` and `output` as text",
        _alpaca, _describe_answered, _convert,
    ),
    Format(
        "dolly", "SFT: instruction, context and response (Dolly)", "`instruction`, `context` and `response` as text",
        _dolly, _describe_answered, _convert,
    ),
    Format(
        "prompt-completion", "SFT: prompt and completion",
        "a prompt and an answer, each as text or messages",
        _prompt_completion, _describe_answered, _convert,
    ),
    Format(
        "plain-text", "SFT: conversations inside a text", "a `text` with turns such as \"Human:\" and \"Assistant:\"",
        _plain_text, _describe_text, _convert_text,
    ),
)  # fmt: skip
