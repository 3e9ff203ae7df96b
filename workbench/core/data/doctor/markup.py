"""Markup that was left in texts: tokens of chat templates, HTML, turns of a dialogue. Code is never touched.

What is code and what only looks like a tag (a < b, List<int>, <name@example.org>) is told apart by narrow patterns:
only names of HTML that are common in scraped text count as tags.
"""

import html
import re
from typing import Literal

MarkupKind = Literal["template", "html", "turn"]


def find_markup(text: str, is_answer: bool, prompt: str = "") -> set[MarkupKind]:
    """Which kinds of markup a text holds outside of code.

    prompt: the question before it. Where question or text speak of HTML, tags are what it is about; where the
    question asks for a dialogue, turns are.
    """
    if not _might_hold(text):
        return set()
    prose = _CODE.sub(" ", text) if "`" in text else text
    found: set[MarkupKind] = set()
    if _TEMPLATE.search(prose):
        found.add("template")
    if ("<" in prose or "&" in prose) and _HTML.search(prose) and not _about_html(text, prompt):
        found.add("html")
    if is_answer and _TURN.search(prose) and not _ASKS_FOR_DIALOGUE.search(prompt):
        found.add("turn")
    return found


def has_media_mark(text: str) -> bool:
    """Whether a text holds the place of a picture, sound or video, as ms-swift, LLaVA and Qwen-VL mark it.

    The first two look like tags of HTML: they count at an end of a line or text that does not speak of HTML.
    """
    if "<" not in text:
        return False
    return bool(_MEDIA_TOKEN.search(text) or (_MEDIA_TAG.search(text) and not _SPEAKS_OF_HTML.search(text)))


def without_markup(text: str, is_answer: bool, prompt: str = "") -> str:
    """The text without what `find_markup` finds in it. An answer ends where another turn begins in it."""
    found = find_markup(text, is_answer, prompt)
    if not found:
        return text
    pieces = _CODE.split(text)
    codes = [match.group() for match in _CODE.finditer(text)]
    cleaned = []
    for place, piece in enumerate(pieces):
        piece, ended = _cut_at_next_turn(piece, found, place == 0) if is_answer else (piece, False)
        cleaned.append(_cleaned(piece, found))
        if ended:
            break
        cleaned.extend(codes[place : place + 1])
    return re.sub(r"\n{3,}", "\n\n", "".join(cleaned)).strip()


def _might_hold(text: str) -> bool:
    """A quick look that lets most texts pass."""
    return any(mark in text for mark in _MARKS)


def _about_html(text: str, prompt: str) -> bool:
    return bool(_SPEAKS_OF_HTML.search(prompt) or _SPEAKS_OF_HTML.search(_TAG.sub(" ", text)))


def _cut_at_next_turn(piece: str, found: set[MarkupKind], first: bool) -> tuple[str, bool]:
    """A piece up to where somebody else begins to speak, and whether somebody does.

    The mark of the answer itself, at the very start, is no next turn.
    """
    ends = [match.start() for match in _NEXT_TURN.finditer(piece)] if "template" in found else []
    ends += [match.start() for match in _HUMAN.finditer(piece)] if "turn" in found else []
    ends = [end for end in ends if not first or _TEMPLATE_PARTS.sub("", piece[:end]).strip()]
    return (piece[: min(ends)], True) if ends else (piece, False)


def _cleaned(piece: str, found: set[MarkupKind]) -> str:
    if "template" in found:
        piece = _TEMPLATE_PARTS.sub("", piece)
    if "html" in found:
        piece = html.unescape(_TAG.sub("", _BREAK.sub("\n", piece))).replace("\xa0", " ")
    if "turn" in found:
        piece = _TURN.sub("", piece)
    return piece


_MARKS = ("<", "&", "INST]", "###", "Human", "Assistant", "HUMAN", "ASSISTANT", "USER")
_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|``[^\n]+?``|`[^`\n]+`", re.S)

_ROLE = r"(?:system|user|assistant|model|tool)\b[ \t]*\n?"
_TOKENS = (
    rf"<\|im_start\|>(?:{_ROLE})?|<\|start_header_id\|>\s*\w+\s*<\|end_header_id\|>\s*|<start_of_turn>(?:{_ROLE})?"
    r"|<\|/?[A-Za-z][\w ]{0,40}\|>|<｜[^｜<>\n]{1,40}｜>|</?s>|<(?:bos|eos|pad|unk|end_of_turn|end_of_utterance)>"
    r"|\[/?INST\]|<</?SYS>>|\[/?SYSTEM_PROMPT\]"
)
_HEADS = "Instruction|Response|Human|Assistant|User|System"
_TEMPLATE = re.compile(rf"{_TOKENS}|(?<!#)###[ \t]*(?:{_HEADS})[ \t]*:")
# "### Input:" alone is a heading of many a programming exercise; beside the others it belongs to the template.
_TEMPLATE_PARTS = re.compile(
    rf"{_TOKENS}|(?:^[ \t]*|(?<!#))###[ \t]*(?:{_HEADS})[ \t]*:[ \t]*|^[ \t]*###[ \t]*Input[ \t]*:[ \t]*", re.M
)
_NEXT_TURN = re.compile(
    r"(?:<\|im_start\|>|<start_of_turn>|<\|start_header_id\|>\s*)(?:user|system)\b|<\|(?:user|system|prompter|human)\|>"
    r"|\[INST\]|(?<!#)###[ \t]*(?:Instruction|Human|User)[ \t]*:|^[ \t]*###[ \t]*Input[ \t]*:",
    re.M,
)

# Names that also stand for what a reader should fill in, such as <input> or <section>, are not among them.
_NAMES = (
    "p|br|hr|div|span|strong|em|ul|ol|li|h[1-6]|table|thead|tbody|tr|td|th|img|pre|code|blockquote|font|center|script"
    "|style|sup|sub|html|body|iframe"
)
_LONG_TAG = rf"</?(?:{_NAMES})(?:\s[^<>]*)?/?>|<a\s+href[^<>]*>"
# A single letter may be a type or a number to fill in, so it takes both ends to be a tag.
_SHORT_PAIR = r"(?<!\w)<(?P<letter>[abiuq])(?:\s[^<>]*)?>[^<>]+</(?P=letter)>"
_ENTITY = (
    r"&(?:nbsp|lt|gt|amp|quot|apos|mdash|ndash|hellip|lsquo|rsquo|ldquo|rdquo|bull|copy|reg|trade|deg|eacute|#\d{2,5}"
    r"|#x[0-9a-fA-F]{2,4});"
)
_TAG = re.compile(rf"{_LONG_TAG}|</?[abiuq](?:\s[^<>]*)?>", re.I)
_HTML = re.compile(rf"{_LONG_TAG}|{_SHORT_PAIR}|{_ENTITY}", re.I)
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li|tr|h[1-6]|ul|ol|table|blockquote|section|article)>", re.I)
_SPEAKS_OF_HTML = re.compile(r"\b(?:x?html5?|css|xml|svg|jsx|tags?|entit(?:y|ies)|web ?pages?|web ?sites?)\b", re.I)

_MEDIA_TOKEN = re.compile(r"<\|(?:image|video|audio)(?:_pad|_\d+)?\|>|<\|vision_start\|>")
_MEDIA_TAG = re.compile(r"^[ \t]*<(?:image|video|audio)>|<(?:image|video|audio)>[ \t]*$", re.M)

# Of the speakers that a line may begin with, "User:" is left out, and "USER:" at the start of a text: they are fields of
# many a listing.
_ASKING = r"GPT4 Correct User|Human|HUMAN|(?<=\n)USER"
_ANSWERING = "GPT4 Correct Assistant|Assistant|ASSISTANT"
_HUMAN = re.compile(rf"^[^\S\n]*\*{{0,2}}(?:{_ASKING})\*{{0,2}}[ \t]*:", re.M)
_TURN = re.compile(rf"^[^\S\n]*\*{{0,2}}(?:{_ASKING}|{_ANSWERING})\*{{0,2}}[ \t]*:\*{{0,2}}[ \t]*", re.M)
_ASKS_FOR_DIALOGUE = re.compile(
    r"\b(?:dialog(?:ue)?s?|conversations?|role-?\s?play|screenplay|script|transcript|chat ?bot|assistant|scene)\b", re.I
)
