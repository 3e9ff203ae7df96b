"""Pieces of pages as HTML, made from plain data.

Everything here ends up in `gr.HTML`, which runs whatever it is given. So text from models, datasets and files enters
HTML in this module only, and always through `escape`.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NewType

from workbench.core.data.thoughts import split_thoughts
from workbench.core.data.token_counts import TokenPiece
from workbench.core.masking import masked
from workbench.core.severity import SEVERITY_LABELS, Severity

Html = NewType("Html", str)
NoticeKind = Severity | Literal["good"]
Lane = Literal["chosen", "rejected", "base", "aligned"]

_KINDS: dict[NoticeKind, tuple[str, str]] = {
    "info": ("i", SEVERITY_LABELS["info"]),
    "good": ("✓", "Good"),
    "warning": ("!", SEVERITY_LABELS["warning"]),
    "blocker": ("×", SEVERITY_LABELS["blocker"]),
}
_NUMBERS = ' class="wb-number"'
_NUMBER = re.compile(r"[-+−]?\d[\d,.\u2009]*\s?%?")
_LANE_MARKS: dict[Lane, str] = {"chosen": "✓", "rejected": "✗", "base": "", "aligned": ""}
_SPEAKERS = {"user": "You", "assistant": "Answer", "system": "System", "tool": "Tool"}


def escape(text: object) -> Html:
    """Any value as text that HTML shows and never reads, with secrets hidden.

    NUL and lone surrogates, which no page can carry, become the replacement character.
    """
    whole = masked(str(text)).replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return Html(html.escape(whole, quote=True))


def join(*pieces: Html) -> Html:
    """Pieces one below the other."""
    return Html("".join(pieces))


def page_head(question: str, text: str = "") -> Html:
    """The head of a page: the question that it answers, and a sentence on how."""
    more = f"<p>{escape(text)}</p>" if text else ""
    return Html(f'<header class="wb-head"><h2>{escape(question)}</h2>{more}</header>')


def card(title: str, *body: Html) -> Html:
    """Pieces that belong together, under a title."""
    return Html(f'<section class="wb-card"><h3>{escape(title)}</h3>{"".join(body)}</section>')


def text(words: str) -> Html:
    """A paragraph."""
    return Html(f'<p class="wb-text">{escape(words)}</p>')


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """What is known of something, as label and value."""
    rows = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in pairs)
    return Html(f'<dl class="wb-facts">{rows}</dl>')


def notice(kind: NoticeKind, title: str, text: str = "", action_text: str | None = None) -> Html:
    """Something to know, with its severity as a word, a sign and a colour.

    action_text: what to do about it, set apart on a last line.
    """
    sign, word = _KINDS[kind]
    body = f"<p>{escape(text)}</p>" if text else ""
    action = f'<p class="wb-action">{escape(action_text)}</p>' if action_text else ""
    return Html(
        f'<div class="wb-notice wb-{kind}" role="note"><span class="wb-sign" aria-hidden="true">{sign}</span>'
        f'<div><p class="wb-notice-title"><b>{word}</b> {escape(title)}</p>{body}{action}</div></div>'
    )


def empty(title: str, text: str) -> Html:
    """What stands where nothing is yet: what will be here, and how it comes."""
    return Html(f'<div class="wb-empty"><p class="wb-empty-title">{escape(title)}</p><p>{escape(text)}</p></div>')


def bar(fraction: float, label: str) -> Html:
    """How much is done. fraction: 0 to 1; anything outside is drawn as the nearer end."""
    percent = round(100 * min(max(fraction, 0.0), 1.0)) if fraction == fraction else 0
    return Html(
        f'<div class="wb-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}" '
        f'aria-label="{escape(label)}"><span class="wb-bar-label">{escape(label)}</span>'
        f'<span class="wb-bar-track"><span class="wb-bar-done" style="width:{percent}%"></span></span></div>'
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Html:
    """Rows under column names. A column of numbers is set to the right, so that its digits line up."""
    shown = list(rows)
    styles = [_NUMBERS if shown and all(_is_number(row[i]) for row in shown) else "" for i in range(len(columns))]
    head = _row('th scope="col"', "th", columns, styles)
    body = "".join(_row("td", "td", row, styles) for row in shown)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Html(
        f'<div class="wb-table" tabindex="0"><table>{title}<thead>{head}</thead><tbody>{body}</tbody></table></div>'
    )


def conversation(
    messages: Iterable[Mapping[str, object]],
    lane: Lane,
    title: str = "",
    note: str = "",
    writing: bool = False,
) -> Html:
    """Messages as a chat, in the colour of their lane. The text is shown as it is, line breaks and all; thoughts are folded.

    messages: mappings with `role` and `content`. title: what the lane is called; its own name if empty.
    note: a last line, such as the speed. writing: the last message is still being written.
    """
    shown = list(messages)
    bubbles = "".join(
        _bubble(message, writing=writing and place == len(shown)) for place, message in enumerate(shown, start=1)
    )
    return _lane(lane, title or lane, f'<div class="wb-messages">{bubbles}</div>', note)


def token_strip(pieces: Iterable[TokenPiece], lane: Lane, title: str, cut_words: str, note: str = "") -> Html:
    """Tokens as a model gets them, one after the other, in the colour of their lane.

    cut_words: stands before the first token that is cut. note: a last line.
    """
    shown, is_cut = [], False
    for piece in pieces:
        if piece.kind == "cut" and not is_cut:
            shown.append(f'<span class="wb-cut-here">{escape(cut_words)}</span>')
            is_cut = True
        shown.append(_token(piece))
    return _lane(lane, title, f'<div class="wb-tokens">{"".join(shown)}</div>', note)


def _lane(lane: Lane, title: str, body: str, note: str) -> Html:
    mark = f'<span class="wb-mark" aria-hidden="true">{_LANE_MARKS[lane]}</span>' if _LANE_MARKS[lane] else ""
    last = f'<p class="wb-note">{escape(note)}</p>' if note else ""
    return Html(f'<section class="wb-lane wb-{lane}"><h4>{mark}{escape(title)}</h4>{body}{last}</section>')


def _token(piece: TokenPiece) -> str:
    if piece.kind == "skipped":
        return f'<span class="wb-token-skipped">{escape(piece.text or f"… {piece.tokens:,} more tokens …")}</span>'
    special = " wb-token-special" if piece.special else ""
    several = f' title="{piece.tokens} tokens make this up"' if piece.tokens > 1 else ""
    words = escape(piece.text.replace("\n", "↵\n"))
    return f'<span class="wb-token wb-token-{piece.kind}{special}"{several}>{words}</span>'


def folded_thoughts(text: str, writing: bool = False) -> tuple[Html, str]:
    """The thoughts of an answer, folded, and the rest of the answer, which is not escaped; nothing is folded where it has none.

    writing: the answer still grows, so that thoughts without an end may find one.
    """
    thoughts, rest, finished = split_thoughts(text)
    if rest == text:
        return Html(""), text
    how = "" if finished else (" so far" if writing else ", unfinished: no answer follows")
    body = escape(thoughts or "(empty)")
    fold = f'<details class="wb-thoughts"><summary>Thoughts{how}</summary><div class="wb-words">{body}</div></details>'
    return Html(fold), rest


def _bubble(message: Mapping[str, object], writing: bool) -> str:
    role = str(message.get("role", ""))
    words = str(message.get("content", ""))
    thoughts, words = folded_thoughts(words, writing) if role == "assistant" else (Html(""), words)
    side = "wb-asked" if role == "user" else "wb-said"
    caret = '<span class="wb-caret" aria-hidden="true"></span>' if writing else ""
    return (
        f'<div class="wb-bubble {side}"><span class="wb-role">{escape(_SPEAKERS.get(role, role))}</span>'
        f'{thoughts}<div class="wb-words">{escape(words)}{caret}</div></div>'
    )


def _row(start: str, end: str, values: Sequence[object], styles: Sequence[str]) -> str:
    """Cells between these tags; every column has its style."""
    cells = (f"<{start}{style}>{escape(value)}</{end}>" for value, style in zip(values, styles, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _is_number(value: object) -> bool:
    """Whether a value reads as a number: 12, 1,985, 0.6 %."""
    return _NUMBER.fullmatch(str(value)) is not None
