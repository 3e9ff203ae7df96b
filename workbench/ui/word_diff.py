"""Which words of two answers are not in the other one, and how that is shown."""

import difflib
import re
from collections.abc import Sequence

from workbench.ui.parts import Html, escape

Spans = Sequence[tuple[int, int]]
"""Where words begin and end in a text, in order."""

_WORD = re.compile(r"\S+")


def differing_words(left: str, right: str) -> tuple[Spans, Spans]:
    """Places of the words of each text that are not in the other one, in its order."""
    words = [list(_WORD.finditer(one)) for one in (left, right)]
    ours, theirs = ([word.group() for word in one] for one in words)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    found: tuple[list[tuple[int, int]], list[tuple[int, int]]] = [], []
    for tag, *ends in matcher.get_opcodes():
        if tag != "equal":
            for place, spans in enumerate(found):
                spans += [word.span() for word in words[place][ends[2 * place] : ends[2 * place + 1]]]
    return found


def marked_words(text: str, spans: Spans) -> Html:
    """A text with some of its words marked."""
    parts, end = [], 0
    for begin, until in spans:
        parts += [escape(text[end:begin]), f'<span class="wb-differs">{escape(text[begin:until])}</span>']
        end = until
    return Html("".join([*parts, escape(text[end:])]))
