"""Messages, rows, and what can be said of them: the canonical form that every dataset is stored in.

Canonical rows are TRL's conversational form. Preference: prompt, chosen, rejected; SFT: prompt, completion; unpaired:
prompt, completion and label (a thumb up or down, as KTO wants it). Each part but the label is a list of messages.
"""

import ast
import json
import re
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

Kind = Literal["preference", "sft", "unpaired"]
ROLES = ("system", "user", "assistant")


class Message(TypedDict):
    role: str
    content: str


RawRow = Mapping[str, Any]

Row = dict[str, Any]
"""A canonical row: its PARTS, and perhaps EXTRAS, which are stored beside them and never trained on."""

PARTS: dict[Kind, tuple[str, ...]] = {
    "preference": ("prompt", "chosen", "rejected"),
    "sft": ("prompt", "completion"),
    "unpaired": ("prompt", "completion", "label"),
}

# source_row: the row's number in its source, from 1. scores: {"chosen": x, "rejected": x} where the source has scores.
# provenance: JSON, where a row made of a vote is from.
EXTRAS = ("source_row", "scores", "provenance")

REASONS = {
    "chosen and rejected are identical": "identical",
    "both answers have the same score": "score_gap",
    "neither answer was preferred": "score_gap",
    "empty chosen answer": "empty",
    "empty rejected answer": "empty",
    "empty answer": "empty",
    "empty prompt": "empty",
    "an empty message in the prompt": "empty",
    "two messages in a row from the same role": "roles",
    "a system message that is not the first": "roles",
    "a role other than system, user and assistant": "roles",
    "no assistant answer at the end": "roles",
    "the prompt does not end with a user message": "roles",
    "the conversation begins with the assistant": "roles",
    "the conversations differ before the last answer": "unusable",
    "the prompt column and the prompt inside the answers differ": "unusable",
    "no prompt: the text is not a dialogue of Human and Assistant": "unusable",
    "plain text without a question: not used for chat models": "unusable",
    "not text": "unusable",
    "messages written as text that cannot be read: save them as JSON": "unusable",
    "no choice between the two answers": "unusable",
    "a choice that names neither answer": "unusable",
    "nobody has said which answer the numbers mean": "unusable",
    "not exactly two answers": "unusable",
    "fewer than two answers with a score": "unusable",
    "more than 50 answers, too many to pair all of them": "unusable",
    "no thumb up or down": "unusable",
    "a disliked answer": "unusable",
    "no liked answer to the same prompt to pair it with": "unusable",
    "no disliked answer to the same prompt to pair it with": "unusable",
    "no two answers to the same question that have ranks": "unusable",
    "an answer without a rank": "unusable",
    "the only answer to its prompt": "unusable",
    "an answer that is in none of the pairs": "unusable",
    "a question without two ranked answers": "unusable",
    "a deleted message": "unusable",
    "a message with an id that another one has": "unusable",
    "a message whose parent is missing": "unusable",
    "a message more than 100 turns deep": "unusable",
    "a rating without the chat that it is of": "unusable",
    "marked in the source as not to be trained on: loss false or weight 0": "unusable",
    "nobody has said which answer is the better one": "unusable",
    "a tool call, or what a tool answered": "tools",
    "a picture, sound or video inside a message": "media",
    "the head of a chat, which is no message": "unusable",
    "a message that was hidden from the model": "unusable",
}
"""Every reason why a row cannot be trained on -> the check of the doctor that it belongs to."""


TOOLS_DROPPED = "the separate list of tools is not in the prompt"
THOUGHTS_DROPPED = "thoughts in a column of their own were not used"
MEDIA_DROPPED = "a picture, sound or video was not used"
DOUBTFUL_TEN = "an answer was skipped: overall_score 10 with fine-grained ratings of 2 or less"

NOTED = {
    TOOLS_DROPPED: "tools",
    THOUGHTS_DROPPED: "thoughts_unused",
    MEDIA_DROPPED: "media",
    DOUBTFUL_TEN: "score_conflict",
    # What version 0.1.0 wrote into about.json for the same four.
    "the list of tools beside the messages is not in the prompt": "tools",
    "thoughts beside the answer were not used": "thoughts_unused",
    "a picture, sound or video beside the text was not used": "media",
    "an answer was passed over: overall_score 10 beside fine-grained ratings of 2 or less": "score_conflict",
}
"""Notes of a conversion that are findings too -> the check of the doctor that tells them."""


class LeftOut(Exception):
    """A row that cannot be trained on. `reason` is a key of REASONS, the same for all rows alike, so it can be counted.

    found: where it is, and what was found there, from a small set of words; it stands in brackets behind the reason.
    """

    def __init__(self, reason: str, found: str = ""):
        assert reason in REASONS, reason
        self.reason = f"{reason} ({found})" if found else reason
        super().__init__(self.reason)


def check_of(reason: str) -> str:
    """The check of the doctor that a reason belongs to, with or without what was found."""
    return REASONS.get(reason.partition(" (")[0], "unusable")


def dialogue(text: str) -> list[Message] | None:
    """The turns of a text such as "\\n\\nHuman: ...\\n\\nAssistant: ..." (hh-rlhf), or None for any other text."""
    before, *pieces = _TURN.split("\n\n" + text.strip())
    if before.strip() or not pieces:
        return None
    return [message(_SPEAKERS[who], said.strip()) for who, said in zip(pieces[::2], pieces[1::2], strict=True)]


def shared_turns(chosen: Sequence[Message], rejected: Sequence[Message]) -> int:
    """How many first messages two conversations share, not counting the last message of either."""
    most = min(len(chosen), len(rejected)) - 1
    return next((i for i in range(most) if not same(chosen[i : i + 1], rejected[i : i + 1])), max(most, 0))


def prompt_key(prompt: Sequence[Message]) -> str:
    """What makes two prompts the same one: their turns, whatever the case and the spaces.

    The system message does not count: the same question under another one is no fresh question.
    """
    return "\n".join(f"{m['role']}: {plain(m['content'])}" for m in prompt if m["role"] != "system")


def read_messages(value: Any) -> list[Message]:
    """Messages from whatever a cell holds: role and content, or from and value; one, a list, or either as JSON text.

    Raises LeftOut for anything else.
    """
    if isinstance(value, str):
        value = written_messages(value)
    if isinstance(value, Mapping):
        value = value.get("messages", [value])
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or not value:
        raise LeftOut("not text")
    return [_read_message(item) for item in value]


def written_messages(text: str) -> Any:
    """Messages that a table holds as text, as JSON or as Python writes them (pandas); None for any other text.

    Raises LeftOut for text that means to be messages and cannot be read, such as a list that NumPy wrote.
    """
    if not _WRITTEN.match(text):
        return None
    value = _parsed(text)
    if value is None:
        if _ROLE_KEY.search(text) and _CONTENT_KEY.search(text):
            raise LeftOut("messages written as text that cannot be read: save them as JSON")
        return None
    return value if is_messages(value) else None


def is_messages(value: Any) -> bool:
    """Whether a value that is no text looks like a message, or like a list of messages."""
    if isinstance(value, Mapping):
        return is_messages(value["messages"]) if "messages" in value else _is_message(value)
    return isinstance(value, Sequence) and not isinstance(value, str) and bool(value) and all(map(_is_message, value))


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and (
        ("role" in value and "content" in value) or ("from" in value and "value" in value)
    )


def _read_message(item: Any) -> Message:
    if not isinstance(item, Mapping):
        raise LeftOut("not text")
    role, content = item.get("role"), item.get("content")
    if role is None:
        role = item.get("from")
    if content is None:
        content = item.get("value", "" if "content" in item else None)
    if isinstance(role, str) and (role.strip().lower() in _TOOL_ROLES or any(item.get(key) for key in _TOOL_KEYS)):
        raise LeftOut("a tool call, or what a tool answered")
    if isinstance(content, Sequence) and not isinstance(content, str):
        if any(map(_is_media, content)):
            raise LeftOut("a picture, sound or video inside a message")
        content = text_of_parts(content)
    if not isinstance(role, str) or not isinstance(content, str):
        raise LeftOut("not text")
    known = role if role in ROLES else _ALIASES.get(role.strip().lower())
    if known is None:
        raise LeftOut("a role other than system, user and assistant")
    return message(known, content)


def text_of_parts(parts: Sequence[Any]) -> str | None:
    """The text of a content such as [{"type": "text", "text": "..."}], or None where a part is no text.

    Thoughts are no part of the answer; that they were there is noted at conversion.
    """
    texts = [_text_of_part(part) for part in parts if not (isinstance(part, Mapping) and "thinking" in part)]
    known = [text for text in texts if isinstance(text, str)]
    return "\n".join(known) if texts and len(known) == len(texts) else None


def _text_of_part(part: Any) -> Any:
    """The text of a part, which some exports hold under `value`, and the OpenAI Assistants below `text`."""
    if not isinstance(part, Mapping) or _is_media(part):
        return None
    kind = str(part.get("type", "")).lower()
    text = part.get("text", part.get("value") if kind in ("text", "input_text", "output_text") else None)
    return text.get("value") if isinstance(text, Mapping) else text


def _is_media(part: Any) -> bool:
    return isinstance(part, Mapping) and any(word in str(part.get("type", "")).lower() for word in _MEDIA_PARTS)


def _parsed(text: str) -> Any:
    """A list or object from JSON or a Python literal; None where it is neither, or holds half a character."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _python_literal(text)
    try:
        # json.loads makes half a character of an escape such as \ud800, which no file can store.
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, TypeError, RecursionError):
        return None
    return value


def _python_literal(text: str) -> Any:
    if len(text) > _MAX_LITERAL:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes such as "\d" in other people's texts
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None


def message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def half_character(text: str) -> str | None:
    """The half of a character that a text holds, as \\ud83d; None where it holds none, as all text should.

    Some programs copy an emoji so. No file, page or model can take it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(text[error.start]):04x}"
    return None


def same(first: Sequence[Message], second: Sequence[Message]) -> bool:
    """Whether messages are equal but for the white space around them."""
    return [(m["role"], m["content"].strip()) for m in first] == [(m["role"], m["content"].strip()) for m in second]


def plain(text: str) -> str:
    """Text without its case, its extra white space and what cannot be seen in it: what two texts are compared by."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _WIDTHLESS.sub("", text))
    return " ".join(text.casefold().split())


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value == []


_WIDTHLESS = re.compile(r"[\u200b-\u200d\u2060\ufeff\u00ad]+")
_TURN = re.compile(r"\n\n(Human|Assistant):")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
_ALIASES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "bing", "bard", "ai"), "assistant"),
}
_TOOL_ROLES = {
    "tool", "tools", "function", "function_call", "function_response", "function-call", "function-response", "tool_call",
    "tool_calls", "tool_response", "tool_result", "observation", "ipython",
}  # fmt: skip
_TOOL_KEYS = ("tool_calls", "function_call", "tool_call_id")
_MEDIA_PARTS = ("image", "audio", "video", "picture", "file")
# `*+` takes no white space back, so that a million spaces are passed over once and not once for each.
_WRITTEN = re.compile(r"""\s*+(?:array\()?\[?\s*+\{\s*+['"](?:role|from|content|value|messages)['"]\s*:""")
_ROLE_KEY = re.compile(r"""['"](?:role|from)['"]\s*:""")
_CONTENT_KEY = re.compile(r"""['"](?:content|value)['"]\s*:""")
# Characters: Python's parser takes a hundred times the memory of its text.
_MAX_LITERAL = 200_000
