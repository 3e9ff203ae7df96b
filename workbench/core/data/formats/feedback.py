"""What people thought of answers in other programs: the ratings that Open WebUI exports, and the chats of AnythingLLM.

Open WebUI (Admin, Evaluations, Feedback history, Export) writes a list with an object per rating: `data.rating` is 1 or -1,
`meta.message_id` the answer, and `snapshot.chat.chat.history.messages` the whole chat by id, so that answers to the same
question stand beside the rated one. AnythingLLM (Settings, Workspace chats, Export) writes a row per answer with a `rating` of
GOOD, BAD or -- into JSON and CSV; an answer that is made anew replaces the old one there, and its JSONL has no ratings.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.core.data.formats.column_names import number
from workbench.core.data.formats.columns import (
    Columns,
    Converted,
    Described,
    Format,
    Gathered,
    Numbered,
    Option,
    Recognised,
    one_by_one,
)
from workbench.core.data.formats.rows import sft_row
from workbench.core.data.formats.thumbs import NO_RIVAL, THUMBS
from workbench.core.data.formats.thumbs import OPTIONS as THUMB_OPTIONS
from workbench.core.data.messages import THOUGHTS_DROPPED, LeftOut, Message, RawRow, Row, message, same

OPTIONS = (
    Option("thumbs", "every rated answer with its thumb, for training that needs no pairs", "unpaired"),
    Option(
        "pairs",
        "a liked answer against each other one to its question, each other one against a disliked",
        "preference",
    ),
    Option("liked", "only the liked answers, to be imitated", "sft"),
)
_TALK = Columns(messages="messages")
_DETAILS = re.compile(r'<details\b[^>]*\btype="(\w+)"[^>]*>.*?</details>\s*', re.S)


@dataclass
class _Rated:
    """A rated answer with what was said before it. asked: what tells its question from all others. rivals: the texts of the
    other answers to that question, by their ids."""

    id: str
    asked: str
    prompt: list[Message]
    answer: str
    liked: bool
    rivals: dict[str, str]
    notes: tuple[str, ...]


def _webui(row: RawRow) -> Columns | None:
    data, meta = row.get("data"), row.get("meta")
    rates = isinstance(data, Mapping) and "rating" in data and isinstance(meta, Mapping) and "message_id" in meta
    return Columns(messages="snapshot", label="data") if rates and "snapshot" in row else None


def _read(row: RawRow) -> _Rated:
    """Raises LeftOut."""
    data, meta = row.get("data"), row.get("meta")
    rating = number(data.get("rating")) if isinstance(data, Mapping) else None
    if rating not in (1, -1):
        raise LeftOut("no thumb up or down")
    chat = row.get("snapshot")
    for part in ("chat", "chat"):
        chat = chat.get(part) if isinstance(chat, Mapping) else None
    history = chat.get("history") if isinstance(chat, Mapping) else None
    said = history.get("messages") if isinstance(history, Mapping) else None
    id = meta.get("message_id") if isinstance(meta, Mapping) else None
    if not isinstance(said, Mapping) or not isinstance(id, str) or not isinstance(said.get(id), Mapping):
        raise LeftOut("a rating without the chat that it is of")
    notes: list[str] = []
    turns = [_turn(one, notes) for one in _branch(said, id)]
    if turns[-1]["role"] != "assistant":
        raise LeftOut("no assistant answer at the end")
    params = chat.get("params") if isinstance(chat, Mapping) else None
    system = str(params.get("system") or "").strip() if isinstance(params, Mapping) else ""
    first = [message("system", system)] if system else []
    rivals = {rival: text for rival in _others(said, id) if (text := _said(said[rival]))}
    chat_id = str(meta.get("chat_id")) if isinstance(meta, Mapping) else ""
    return _Rated(
        id, f"{chat_id}/{said[id].get('parentId')}", [*first, *turns[:-1]], turns[-1]["content"], rating > 0, rivals,
        tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _branch(said: Mapping[str, Any], id: str) -> list[Mapping[str, Any]]:
    """The messages from the first one of the chat to this one."""
    path: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    here: Any = id
    while isinstance(here, str) and here not in seen and isinstance(said.get(here), Mapping):
        seen.add(here)
        path.append(said[here])
        here = said[here].get("parentId")
    return path[::-1]


def _others(said: Mapping[str, Any], id: str) -> Iterator[str]:
    """The other answers to the same question: of other models, or made anew."""
    above = said[id].get("parentId")
    parent = said.get(above) if isinstance(above, str) else None
    children = parent.get("childrenIds") if isinstance(parent, Mapping) else None
    for one in children if isinstance(children, list) else ():
        if (
            one != id
            and isinstance(one, str)
            and isinstance(said.get(one), Mapping)
            and said[one].get("role") == "assistant"
        ):
            yield one


def _said(one: Mapping[str, Any]) -> str:
    """The text of an answer beside the rated one; "" where it is no text alone."""
    try:
        return _turn(one, [])["content"]
    except LeftOut:
        return ""


def _turn(one: Mapping[str, Any], notes: list[str]) -> Message:
    """A message without the blocks that Open WebUI folds. Raises LeftOut for one that is not text alone."""
    content, role = one.get("content"), one.get("role")
    if not isinstance(content, str) or not isinstance(role, str):
        raise LeftOut("not text")
    files = one.get("files")
    if isinstance(files, list) and any(isinstance(file, Mapping) and file.get("type") == "image" for file in files):
        raise LeftOut("a picture, sound or video inside a message")
    kinds = set(_DETAILS.findall(content)) if role == "assistant" else set()
    if kinds - {"reasoning"}:
        raise LeftOut("a tool call, or what a tool answered")
    if kinds:
        notes.append(THOUGHTS_DROPPED)
        content = _DETAILS.sub("", content)
    return message(role, content.strip())


def _row_of(rated: _Rated) -> Row:
    said = [*rated.prompt, message("assistant", rated.answer)]
    return sft_row({"messages": said}, _TALK).rows[0]


def _convert_webui(row: RawRow, how: Recognised, seed: int) -> Converted:
    if isinstance(row, Gathered):
        return _pairs([_Rated(**one) for one in row["rated"]])
    rated = _read(row)
    made = _row_of(rated)
    if how.option == "liked" and not rated.liked:
        raise LeftOut("a disliked answer")
    return Converted([made if how.option == "liked" else {**made, "label": rated.liked}], rated.notes)


@dataclass
class _Question:
    number: int
    rated: list[_Rated] = field(default_factory=list)


def _gather_webui(rows: Iterable[tuple[int, RawRow]], how: Recognised) -> Numbered:
    """For pairs: a row for each question, with the ratings of its answers; rows that cannot be used come as they are."""
    if how.option != "pairs":
        yield from one_by_one(rows, how)
        return
    questions: dict[str, _Question] = {}
    for position, row in rows:
        try:
            rated = _read(row)
            _row_of(rated)
        except LeftOut:
            yield position, row, 1
            continue
        questions.setdefault(rated.asked, _Question(position)).rated.append(rated)
    for question in questions.values():
        yield question.number, Gathered(rated=[asdict(one) for one in question.rated]), len(question.rated)


def _pairs(rated: Sequence[_Rated]) -> Converted:
    """As Open WebUI counts its own ranking: a liked answer won against every other one to its question, a disliked one lost."""
    liked = {one.id: one.liked for one in rated}
    rows: dict[tuple[str, str], Row] = {}
    used: set[str] = set()
    for one in rated:
        made = _row_of(one)
        for rival, text in one.rivals.items():
            if liked.get(rival) == one.liked or same([message("", text)], [message("", one.answer)]):
                continue
            both = [made["completion"], [message("assistant", text)]]
            chosen, rejected = both if one.liked else both[::-1]
            ids = (one.id, rival) if one.liked else (rival, one.id)
            rows[ids] = {"prompt": made["prompt"], "chosen": chosen, "rejected": rejected}
            used |= {one.id, rival}
    left_out = [
        NO_RIVAL[one.liked] if one.rivals else "the only answer to its prompt" for one in rated if one.id not in used
    ]
    notes = tuple(dict.fromkeys(note for one in rated for note in one.notes))
    if not rows:
        raise LeftOut(left_out[0])
    return Converted(list(rows.values()), notes, tuple(left_out))


def _describe_webui(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    found: list[_Rated] = []
    for row in rows:
        try:
            found.append(_read(row))
        except LeftOut:
            continue
    beside = sum(bool(one.rivals) for one in found)
    taken = option or ("pairs" if found and 2 * beside >= len(found) else "thumbs")
    words = next(one.words for one in OPTIONS if one.id == taken)
    up = sum(one.liked for one in found)
    told = f"{up} up and {len(found) - up} down in the first rows, {beside} of them beside other answers to the same question"
    return Described(
        f"`data` holds a rating of Open WebUI and `snapshot` the chat with the answer: {told}; taken: {words}.",
        OPTIONS,
        taken,
    )


def _anything(row: RawRow) -> Columns | None:
    is_export = {"prompt", "response", "sent_at", "rating"} <= set(row) and row["rating"] in ("GOOD", "BAD", "--")
    return Columns(prompt="prompt", completion="response", label="rating") if is_export else None


def _describe_anything(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    counts = [sum(row["rating"] == rating for row in rows) for rating in ("GOOD", "BAD", "--")]
    taken = option or "thumbs"
    words = next(one.words for one in THUMB_OPTIONS if one.id == taken)
    return Described(
        f"Each row is an answer of AnythingLLM and `rating` its thumb: {counts[0]} up, {counts[1]} down and {counts[2]} without "
        "one in the first rows. Earlier turns, system prompt, documents and answers that were made anew are not in the export; "
        f"taken: {words}.",
        THUMB_OPTIONS,
        taken,
    )


FEEDBACK = (
    Format(
        "open-webui-feedback", "Ratings exported from Open WebUI",
        "`data` with a `rating`, `meta` with a `message_id`, and the chat in `snapshot`",
        _webui, _describe_webui, _convert_webui, _gather_webui, reads=("meta", "type"),
    ),
    Format(
        "anythingllm", "Chats exported from AnythingLLM (JSON or CSV)",
        "`prompt`, `response`, `sent_at`, and a `rating` of GOOD, BAD or --",
        _anything, _describe_anything, THUMBS.convert, THUMBS.gather, reads=("sent_at",),
    ),
)  # fmt: skip
