"""What other programs save: Gemini's tuning files, questions with answers in pairs, and the chats of three programs.

A chat that somebody kept has many answers, and each is worth learning: every one becomes a row, with what was said before it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.core.data.formats.column_names import CONVERSATIONS, Names, is_text, listed, number, with_more
from workbench.core.data.formats.columns import (
    Columns,
    Converted,
    Described,
    Format,
    Gathered,
    Numbered,
    Option,
    Recognised,
)
from workbench.core.data.formats.prompts import beside
from workbench.core.data.formats.rows import pair, sft_row
from workbench.core.data.messages import MEDIA_DROPPED, THOUGHTS_DROPPED, LeftOut, Message, RawRow, is_empty, message

OPTIONS = (
    Option("each", "every answer, with what was said before it"),
    Option("last", "only the last answer of each chat"),
)
GREETING = "a greeting before the first question was left out"
MERGED = "messages in a row from the same speaker were joined"
TOOL_TURNS = "the tool calls inside a chat were left out"

_TALK = Columns(messages="messages")
_EXCHANGES = (
    ("human", "assistant"), ("user", "assistant"), ("input", "output"), ("question", "answer"), ("query", "response"),
    ("instruction", "output"), ("prompt", "response"), ("prompt", "completion"), ("human", "gpt"), ("human", "bot"),
    ("user", "bot"),
)  # fmt: skip
_BEGIN = "<|BEGIN-VISIBLE-CHAT|>"


def _learned(said: Sequence[Message], option: str, notes: Iterable[str] = ()) -> Converted:
    """Rows from a chat: of every answer, or of the last one. Raises LeftOut where there is none."""
    noted = list(notes)
    turns: list[Message] = []
    for one in said:
        if turns and one["role"] == turns[-1]["role"]:
            turns[-1] = message(one["role"], f"{turns[-1]['content']}\n\n{one['content']}")
            noted.append(MERGED)
        else:
            turns.append(one)
    start = 1 if turns and turns[0]["role"] == "system" else 0
    if turns[start : start + 1] and turns[start]["role"] == "assistant":
        del turns[start]
        noted.append(GREETING)
    ends = [at for at, turn in enumerate(turns, 1) if turn["role"] == "assistant"]
    if not ends:
        raise LeftOut("no assistant answer at the end")
    rows = [sft_row({"messages": turns[:end]}, _TALK).rows[0] for end in (ends if option == "each" else ends[-1:])]
    return Converted(rows, tuple(dict.fromkeys(noted)))


# Gemini


def _gemini(row: RawRow) -> Columns | None:
    names = Names(row)
    contents = names.first(("contents",), _is_contents)
    if "completions" in names:
        return None
    system = names.column("systeminstruction") or names.column("system_instruction")
    return Columns(messages=contents, system=system) if contents else None


def _is_contents(value: Any) -> bool:
    found = listed(value)
    return bool(found) and all(isinstance(one, Mapping) and isinstance(one.get("parts"), list) for one in found or ())


def _convert_gemini(row: RawRow, how: Recognised, seed: int) -> Converted:
    contents = _with_instruction(row, how.mapping.messages, how.mapping.system)
    if not contents:
        raise LeftOut("empty answer")
    made = sft_row({"messages": [_of_gemini(one) for one in contents]}, _TALK)
    thinks = any(part.get("thought") for one in contents for part in one["parts"] if isinstance(part, Mapping))
    return Converted(made.rows, (*made.notes, *([THOUGHTS_DROPPED] if thinks else [])))


def _with_instruction(row: RawRow, contents: str | None, system: str | None) -> list[Any]:
    """The contents with the system instruction, which may be a text or parts, as the first of them."""
    said = row.get(system) if system else None
    parts = said.get("parts") if isinstance(said, Mapping) else [{"text": said}] if isinstance(said, str) else None
    first = [{"role": "system", "parts": parts}] if parts and parts != [{"text": ""}] else []
    return [*first, *(listed(row.get(contents or "")) or [])]


def _gemini_pairs(row: RawRow) -> Columns | None:
    """Preference tuning: two completions to the contents, each with a score."""
    names = Names(row)
    contents = names.first(("contents",), _is_contents)
    answers = names.first(("completions",), lambda value: _completions(value) is not None)
    system = names.column("systeminstruction") or names.column("system_instruction")
    return Columns(prompt=contents, answers=answers, score="score", system=system) if contents and answers else None


def _completions(value: Any) -> list[tuple[float, Any]] | None:
    """The two answers with their scores, the better first; None where they are not two with different scores."""
    items = listed(value) or []
    scored = [(number(one.get("score")), one.get("completion")) for one in items if isinstance(one, Mapping)]
    known = sorted(((score, said) for score, said in scored if score is not None), key=lambda one: -one[0])
    return known if len(known) == 2 and known[0][0] > known[1][0] else None


def _convert_gemini_pairs(row: RawRow, how: Recognised, seed: int) -> Converted:
    columns = how.mapping
    found = _completions(row.get(columns.answers or ""))
    if not found:
        raise LeftOut("fewer than two answers with a score")
    asked = [_of_gemini(one) for one in _with_instruction(row, columns.prompt, columns.system)]
    (high, better), (low, worse) = found
    told = {"prompt": asked, "chosen": [_of_gemini(better)], "rejected": [_of_gemini(worse)]}
    mapping = Columns(prompt="prompt", chosen="chosen", rejected="rejected")
    return pair(told, mapping, told["chosen"], told["rejected"], high, low)


def _describe_gemini_pairs(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    return Described(
        f"`{columns.answers}` holds two answers to `{columns.prompt}` (Gemini), of which the one with the higher score is "
        f"chosen{with_more(columns)}."
    )


def _of_gemini(content: Any) -> dict[str, Any]:
    parts = content.get("parts") if isinstance(content, Mapping) else None
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
        raise LeftOut("not text")
    if any(key in part for part in parts for key in ("functionCall", "functionResponse", "function_call")):
        raise LeftOut("a tool call, or what a tool answered")
    if any(key in part for part in parts for key in ("inlineData", "fileData", "inline_data", "file_data")):
        raise LeftOut("a picture, sound or video inside a message")
    # A conversation of one question may leave its role out.
    return {"role": content.get("role") or "user", "content": [part for part in parts if not part.get("thought")]}


def _describe_gemini(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    return Described(
        f"`{columns.messages}` holds messages with `role` and `parts` (Gemini), and there is no rejected answer"
        f"{with_more(columns)}."
    )


# Questions with their answers


def _exchanges(row: RawRow) -> Columns | None:
    """A list of objects with a question and its answer each, or both in columns of the row."""
    names = Names(row)
    column = names.first(CONVERSATIONS, lambda value: _keys(listed(value)) is not None)
    if column:
        return Columns(messages=column, system=names.system())
    pairs = [("human", "assistant"), ("user", "assistant"), ("human", "gpt"), ("human", "bot")]
    asked, answered = next(names.pairs(pairs, is_text), (None, None))
    if not asked or not answered:
        return None
    return Columns(prompt=asked, completion=answered, **beside(names, asked, [answered]))


def _keys(items: Sequence[Any] | None) -> tuple[str, str] | None:
    if not items or not all(isinstance(item, Mapping) and "role" not in item for item in items):
        return None
    return next((keys for keys in _EXCHANGES if all(is_text(item.get(key)) for item in items for key in keys)), None)


def _convert_exchanges(row: RawRow, how: Recognised, seed: int) -> Converted:
    columns = how.mapping
    if columns.completion:
        return sft_row(row, columns)
    value = row.get(columns.messages or "")
    if is_empty(value):
        raise LeftOut("empty answer")
    items = listed(value)
    keys = _keys(items)
    if not items or not keys:
        raise LeftOut("not text")
    asked, answered = keys
    said = [
        one
        for item in items
        for one in (message("user", item[asked].strip()), message("assistant", item[answered].strip()))
    ]
    if is_text(items[0].get("system")) and items[0]["system"].strip():
        said.insert(0, message("system", items[0]["system"].strip()))
    return sft_row({**row, _SAID: said}, columns.model_copy(update={"messages": _SAID}))


def _describe_exchanges(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    if columns.completion:
        said = f"`{columns.prompt}` is answered by `{columns.completion}`"
    else:
        asked, answered = _keys(listed(rows[0][columns.messages or ""])) or ("", "")
        said = f"`{columns.messages}` is a list of questions and answers (`{asked}`, `{answered}`)"
    return Described(f"{said}, and there is no rejected answer{with_more(columns)}.")


# text-generation-webui


def _webui(row: RawRow) -> Columns | None:
    return Columns(messages="internal") if _are_pairs(row.get("internal")) and "visible" in row else None


def _are_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, list) and len(one) == 2 for one in value)


def _convert_webui(row: RawRow, how: Recognised, seed: int) -> Converted:
    pairs = row.get("internal")
    if not pairs or not _are_pairs(pairs):
        raise LeftOut("not text")
    said = [one for pair in pairs for one in zip(("user", "assistant"), pair, strict=True)]
    if not all(isinstance(text, str) for _, text in said):
        raise LeftOut("not text")
    turns = [message(role, text.strip()) for role, text in said if text.strip() and text.strip() != _BEGIN]
    return _learned(turns, how.option)


# SillyTavern


def _tavern(row: RawRow) -> Columns | None:
    return Columns(messages="mes") if isinstance(row.get("mes"), str) and isinstance(row.get("is_user"), bool) else None


@dataclass
class _Chat:
    number: int
    said: list[RawRow] = field(default_factory=list)

    def gathered(self) -> Iterator[tuple[int, RawRow, int]]:
        if self.said:
            yield self.number, Gathered(said=self.said), len(self.said)


def _gather_tavern(rows: Iterable[tuple[int, RawRow]], how: Recognised) -> Numbered:
    """A row for each chat. A chat begins with a line that is no message and names its people."""
    chat = _Chat(0)
    for at, row in rows:
        if isinstance(row.get("mes"), str):
            chat = chat if chat.said else _Chat(at)
            chat.said.append(row)
        else:
            yield from chat.gathered()
            chat = _Chat(at)
            yield at, Gathered(head=dict(row)), 1
    yield from chat.gathered()


def _convert_tavern(row: RawRow, how: Recognised, seed: int) -> Converted:
    if "said" not in row:
        raise LeftOut("the head of a chat, which is no message")
    said: Sequence[RawRow] = row["said"]
    out = [_why_silent(one) for one in said]
    speaking = [at for at, why in enumerate(out) if why is None]
    first = next((at for at in speaking if said[at]["is_user"]), len(said))
    last = next((at for at in reversed(speaking) if not said[at]["is_user"]), -1)
    for at in speaking:
        out[at] = "the conversation begins with the assistant" if at < first else out[at]
        out[at] = "no assistant answer at the end" if at > last else out[at]
    turns = [
        message("user" if one["is_user"] else "assistant", one["mes"].strip())
        for one, why in zip(said, out, strict=True)
        if why is None
    ]
    extras = [one.get("extra") for one in said]
    thinks = any(isinstance(extra, Mapping) and extra.get("reasoning") for extra in extras)
    made = _learned(turns, how.option, [THOUGHTS_DROPPED] if thinks else [])
    return Converted(made.rows, made.notes, tuple(why for why in out if why))


def _why_silent(said: RawRow) -> str | None:
    if said.get("is_system") is True:
        return "a message that was hidden from the model"
    return None if said["mes"].strip() else "an empty message in the prompt"


# ChatGPT


def _chatgpt(row: RawRow) -> Columns | None:
    mapping = row.get("mapping")
    if not isinstance(mapping, Mapping) or not mapping:
        return None
    is_tree = all(isinstance(node, Mapping) and "message" in node and "children" in node for node in mapping.values())
    return Columns(messages="mapping") if is_tree else None


def _convert_chatgpt(row: RawRow, how: Recognised, seed: int) -> Converted:
    mapping = row.get("mapping")
    if not isinstance(mapping, Mapping):
        raise LeftOut("not text")
    said: list[Message] = []
    notes: list[str] = []
    for node in _branch(mapping, row.get("current_node")):
        spoken = _spoken(node, notes)
        if spoken:
            said.append(spoken)
    return _learned(said, how.option, notes)


def _branch(mapping: Mapping[str, Any], current: Any) -> list[Mapping[str, Any]]:
    """The messages of the branch that was shown last, from the first on."""
    here = current if current in mapping else _deepest(mapping)
    path: list[Mapping[str, Any]] = []
    seen: set[Any] = set()
    while isinstance(here, str) and here in mapping and here not in seen:
        seen.add(here)
        node = mapping[here]
        if isinstance(node, Mapping) and isinstance(node.get("message"), Mapping):
            path.append(node["message"])
        here = node.get("parent") if isinstance(node, Mapping) else None
    return path[::-1]


def _deepest(mapping: Mapping[str, Any]) -> str | None:
    """Without a word on which branch was shown last: the last message that nothing follows."""
    ends = [key for key, node in mapping.items() if isinstance(node, Mapping) and not node.get("children")]
    return ends[-1] if ends else None


def _spoken(said: Mapping[str, Any], notes: list[str]) -> Message | None:
    """A message as text; None, and perhaps a note, for one that nobody read."""
    author = said.get("author")
    role = author.get("role") if isinstance(author, Mapping) else None
    about = said.get("metadata")
    content = said.get("content")
    if role not in ("system", "user", "assistant", "tool") or not isinstance(content, Mapping):
        return None
    if isinstance(about, Mapping) and about.get("is_visually_hidden_from_conversation"):
        return None
    if role == "tool" or (role == "assistant" and said.get("recipient", "all") not in ("all", None)):
        notes.append(TOOL_TURNS)
        return None
    if content.get("content_type") in ("thoughts", "reasoning_recap"):
        notes.append(THOUGHTS_DROPPED)
        return None
    parts = content.get("parts")
    texts = [part.strip() for part in parts if isinstance(part, str)] if isinstance(parts, list) else []
    if isinstance(parts, list) and len(texts) < len(parts):
        notes.append(MEDIA_DROPPED)
    text = "\n".join(text for text in texts if text)
    return message(role, text) if text else None


def _describe_chats(what: str) -> Any:
    def describe(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
        return Described.taking(f"{what}, and there is no rejected answer", OPTIONS, option)

    return describe


# The list of messages made of a row.
_SAID = "said"

EXPORTS = (
    Format(
        "gemini", "SFT: Gemini's tuning files", "`contents`, a list of messages with `role` and `parts`",
        _gemini, _describe_gemini, _convert_gemini,
    ),
    Format(
        "gemini-pairs", "Gemini's preference tuning files", "`contents`, and two `completions` with a score each",
        _gemini_pairs, _describe_gemini_pairs, _convert_gemini_pairs,
    ),
    Format(
        "exchanges", "SFT: lists of questions and answers", "a conversation as a list such as [{human, assistant}]",
        _exchanges, _describe_exchanges, _convert_exchanges,
    ),
    Format(
        "webui-chat", "SFT: chats of text-generation-webui", "`internal` and `visible`, lists of [question, answer]",
        _webui, _describe_chats("`internal` is a chat of text-generation-webui"), _convert_webui,
    ),
    Format(
        "sillytavern", "SFT: chats of SillyTavern", "a message per row, with `mes` and `is_user`",
        _tavern, _describe_chats("Each row is a message of a SillyTavern chat, and `is_user` says whose"),
        _convert_tavern, _gather_tavern, ("mes", "is_user", "is_system", "extra"),
    ),
    Format(
        "chatgpt-export", "SFT: the export of ChatGPT", "a conversation per row, with its messages in `mapping`",
        _chatgpt, _describe_chats("`mapping` holds the messages of a ChatGPT conversation, of which the branch shown last counts"),
        _convert_chatgpt, reads=("mapping", "current_node"),
    ),
)  # fmt: skip
