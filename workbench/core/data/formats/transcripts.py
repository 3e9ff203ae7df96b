"""Conversations written as one text, with the marks of some template between the turns."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from workbench.core.data.messages import Message, dialogue, message


def transcript(text: str) -> list[Message] | None:
    """The turns of a conversation written as text, or None for any other text.

    Known: hh-rlhf ("\\n\\nHuman: "), ChatML, Llama 2 ("[INST]"), "### Instruction:" and "### Human:", Vicuna
    ("USER: ... ASSISTANT: ..."), and lines that begin with "User:" and "Assistant:". Both a question and an answer must be
    there, and nothing before the first turn but an introduction, which becomes the system message.
    """
    first = None
    for turns in _readings(text):
        if {"user", "assistant"} <= {one["role"] for one in turns}:
            if _is_in_turn(turns):
                return turns
            first = first or turns
    return first


def asked_turns(text: str) -> list[Message] | None:
    """The turns of a prompt that is written as a conversation, up to the question that is open; None for any other text.

    Such a prompt often ends with "Assistant:", the place where the answer goes.
    """
    spoken = dialogue(text) if "Human:" in text or "Assistant:" in text else None
    for turns in (*_readings(text, with_letters=False), spoken or []):
        is_open = bool(turns) and turns[-1] == message("assistant", "")
        asked = turns[:-1] if is_open else turns
        is_spoken = turns == spoken and not _LINES.search(turns[0]["content"])
        if asked and (is_spoken or _is_open_talk(asked, is_open, text)):
            return asked
    return None


def _is_open_talk(turns: Sequence[Message], is_open: bool, text: str) -> bool:
    """Whether turns go on with an answer. One line that begins with "User:" is no conversation yet."""
    is_marked = is_open or len(turns) > 1 or "<|im_start|>" in text
    return is_marked and turns[-1]["role"] == "user" and _is_in_turn(turns)


def _readings(text: str, with_letters: bool = True) -> Iterator[list[Message]]:
    """What each kind of mark makes of a text. with_letters: "Q:" and "A:" are marks too."""
    if not any(mark in text for mark in _ANSWERS):
        return
    yield dialogue(text) or []
    yield _chatml(text)
    yield _llama(text)
    for mark in (_HASHES, _LINES, *([_LETTERS] if with_letters else [])):
        yield _marked(text, mark)
    yield _vicuna(text)


def _is_in_turn(turns: Sequence[Message]) -> bool:
    """Whether user and assistant take turns from the user on, behind at most one system message."""
    roles = [one["role"] for one in turns]
    said = roles[1:] if roles[:1] == ["system"] else roles
    return said[:1] == ["user"] and "system" not in said and all(one != other for one, other in pairwise(said))


def _chatml(text: str) -> list[Message]:
    """None of the text is passed over: what stands outside of the turns makes it another text."""
    before, *pieces = _CHATML.split(text)
    turns = []
    for who, said in zip(pieces[::2], pieces[1::2], strict=True):
        role = _ROLES.get(who.lower())
        said, _, after = said.partition("<|im_end|>")
        if role is None or _SPECIAL.sub("", after).strip():
            return []
        turns.append(message(role, said.strip()))
    return [] if _SPECIAL.sub("", before).strip() else turns


def _llama(text: str) -> list[Message]:
    turns: list[Message] = []
    before, *pieces = text.split("[INST]")
    if _SPECIAL.sub("", before).strip():
        return []
    for piece in pieces:
        asked, end, answered = piece.partition("[/INST]")
        if not end:
            return []
        system = _LLAMA_SYSTEM.match(asked)
        if system:
            turns.append(message("system", system.group(1).strip()))
            asked = asked[system.end() :]
        turns += [message("user", asked.strip()), message("assistant", _SPECIAL.sub("", answered).strip())]
    return turns


def _vicuna(text: str) -> list[Message]:
    """ "USER: ... ASSISTANT: ...</s>", in one line, behind an introduction; only where the two take turns."""
    before, *pieces = _CAPITALS.split(text)
    turns = [message("system", before.strip())] if before.strip() else []
    turns += [
        message(_ROLES[who.lower()], _SPECIAL.sub("", said).strip())
        for who, said in zip(pieces[::2], pieces[1::2], strict=True)
    ]
    return turns if pieces and _is_in_turn(turns) else []


def _marked(text: str, mark: re.Pattern[str]) -> list[Message]:
    before, *pieces = mark.split(text)
    # Before lines there is no introduction: "User:" may begin any line of any text.
    if not pieces or (mark is not _HASHES and before.strip()):
        return []
    turns = [message("system", before.strip())] if before.strip() else []
    for who, said in zip(pieces[::2], pieces[1::2], strict=True):
        role = _ROLES[who.lower()]
        # "### Input:" goes on with the instruction above it.
        if who.lower() in ("input", "context") and turns and turns[-1]["role"] == "user":
            turns[-1] = message("user", f"{turns[-1]['content']}\n\n{said.strip()}".strip())
        else:
            turns.append(message(role, said.strip()))
    return turns


_ROLES = {
    **dict.fromkeys(("system",), "system"),
    **dict.fromkeys(("user", "human", "instruction", "question", "input", "context", "prompter", "q"), "user"),
    **dict.fromkeys(("assistant", "response", "answer", "output", "ai", "bot", "gpt", "a"), "assistant"),
}
_CHATML = re.compile(r"<\|im_start\|>[ \t]*(\w+)[ \t]*\n?")
# What every conversation with an answer, or with a place for one, holds.
_ANSWERS = ("ssistant:", "SSISTANT:", "###", "AI:", "Bot:", "A:", "[/INST]", "<|im_start|>")
_SPECIAL = re.compile(r"</?s>|<\|(?:endoftext|begin_of_text|end_of_text)\|>")
_LLAMA_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_HASHES = re.compile(
    r"###\s*(System|User|Human|Instruction|Question|Input|Context|Assistant|Response|Answer|Output)\s*:", re.IGNORECASE
)
_LINES = re.compile(r"^(System|User|Human|Assistant|AI|Bot):", re.MULTILINE)
_LETTERS = re.compile(r"^(Q|A):", re.MULTILINE)
_CAPITALS = re.compile(r"(?:^|(?<=\s)|(?<=</s>))(USER|ASSISTANT):")
