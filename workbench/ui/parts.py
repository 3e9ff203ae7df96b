"""Pieces of pages as HTML, made from plain data.

Everything here ends up in `gr.HTML`, which runs whatever it is given. So text from models, datasets and files enters
HTML in this module only, and always through `escape`.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, NewType

from workbench.core.data.thoughts import split_thoughts
from workbench.core.data.token_counts import TokenPiece
from workbench.core.masking import masked
from workbench.core.severity import SEVERITY_LABELS, Severity

Html = NewType("Html", str)
NoticeKind = Severity | Literal["good"]
Lane = Literal["chosen", "rejected", "base", "aligned"]


class ScoredPiece(NamedTuple):
    """A piece of an answer, with what an adapter changed of its log-probability, in nats.

    tokens: how many make it up. differs: it is not in the other answer. special: a token that is no text, such as the end.
    """

    text: str
    ratio: float
    tokens: int = 1
    differs: bool = False
    special: bool = False


_KINDS: dict[NoticeKind, tuple[str, str]] = {
    "info": ("i", SEVERITY_LABELS["info"]),
    "good": ("✓", "Good"),
    "warning": ("!", SEVERITY_LABELS["warning"]),
    "blocker": ("×", SEVERITY_LABELS["blocker"]),
}
_NUMBERS = ' class="wb-number"'
_NUMBER = re.compile(r"[-+−]?\d[\d,.\u2009]*\s?%?")
_LANE_MARKS: dict[Lane, str] = {"chosen": "✓", "rejected": "✗", "base": "", "aligned": ""}
# Of a change in log-probability, in nats: what is drawn as one, and what has the deepest colour (three times e: 20-fold).
LEAST_SHOWN, DEEPEST = 0.1, 3.0
UNFINISHED = ", unfinished: no answer follows"
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


def interval(label: str, rate: float, low: float, high: float) -> Html:
    """A share with its interval, all from 0 to 1, drawn on a line on which the middle is marked."""
    words = f"{label}: {rate:.0%}, interval {low:.0%} to {high:.0%}"
    left, right, at = (100 * min(max(value, 0.0), 1.0) for value in (low, high, rate))
    return Html(
        f'<div class="wb-interval" role="img" aria-label="{escape(words)}"><span class="wb-interval-label">{escape(words)}</span>'
        f'<span class="wb-interval-line"><span class="wb-interval-half"></span>'
        f'<span class="wb-interval-range" style="left:{left:.1f}%;width:{right - left:.1f}%"></span>'
        f'<span class="wb-interval-at" style="left:{at:.1f}%"></span></span></div>'
    )


Branch = tuple[str, "list[Branch]"]
"""A line of an outline, and those below it."""


def outline(branches: Sequence[Branch]) -> Html:
    """Lines with lines below them, to any depth."""
    rows = "".join(f"<li>{escape(words)}{outline(later) if later else ''}</li>" for words, later in branches)
    return Html(f'<ul class="wb-outline">{rows}</ul>')


def folded(title: str, *body: Html) -> Html:
    """Pieces that are shown when their title is clicked."""
    return Html(f'<details class="wb-folded"><summary>{escape(title)}</summary>{"".join(body)}</details>')


def commands(lines: Iterable[str]) -> Html:
    """Commands for a terminal, each selected whole by a click."""
    return Html("".join(f'<pre class="wb-command"><code>{escape(line)}</code></pre>' for line in lines))


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


def answer_table(
    sides: Sequence[tuple[Lane, str]],
    rows: Iterable[tuple[str, Sequence[tuple[str, str] | None]]],
    numbers: tuple[str, Sequence[Sequence[str]]] | None = None,
) -> Html:
    """Prompts with what each side answered; a card for each prompt where the page is narrow.

    sides: the lane and title of each. rows: a prompt, and the answers with a note on each; None for what is still to come.
    numbers: title of a last column, and for each row a number of each side, "" for what is still to come.
    """
    head = "".join(f'<th scope="col" class="wb-{lane}">{escape(title)}</th>' for lane, title in sides)
    shown = list(rows)
    title, of_rows = numbers or ("", [()] * len(shown))
    head += f'<th scope="col" class="wb-numbers">{escape(title)}</th>' if title else ""
    body = "".join(
        f'<tr><th scope="row"><div class="wb-words">{escape(prompt)}</div></th>'
        f"{''.join(_answer_cell(*side, cell) for side, cell in zip(sides, cells, strict=True))}"
        f"{_numbers_cell(title, sides, own) if title else ''}</tr>"
        for (prompt, cells), own in zip(shown, of_rows, strict=True)
    )
    return Html(
        f'<div class="wb-answers"><table><thead><tr><th scope="col">Prompt</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def conversation(
    messages: Iterable[Mapping[str, object]],
    lane: Lane,
    title: str = "",
    note: str = "",
    writing: bool = False,
    scored: Html | None = None,
) -> Html:
    """Messages as a chat, in the colour of their lane. The text is shown as it is, line breaks and all; thoughts are folded.

    messages: mappings with `role` and `content`. title: what the lane is called; its own name if empty.
    note: a last line, such as the speed. writing: the last message is still being written. scored: the last message as
    `scored_answer` shows it.
    """
    shown = list(messages)
    last = len(shown) if scored else 0
    bubbles = "".join(
        _bubble(message, writing and place == len(shown), scored if place == last else None)
        for place, message in enumerate(shown, start=1)
    )
    return _lane(lane, title or lane, f'<div class="wb-messages">{bubbles}</div>', note)


def scored_answer(
    pieces: Iterable[ScoredPiece], facts: Sequence[str], thoughts: Sequence[ScoredPiece] = (), finished: bool = True
) -> Html:
    """An answer in the colours of what an adapter changed, each piece with its number. facts: lines below it.

    thoughts: before the answer, folded. finished: whether they came to an end.
    """
    lines = "".join(f'<span class="wb-changed-fact">{escape(fact)}</span>' for fact in facts)
    fold = _fold("" if finished else UNFINISHED, _changed(thoughts)) if thoughts else ""
    return Html(f"{fold}{_changed(pieces)}{lines}")


def _changed(pieces: Iterable[ScoredPiece]) -> str:
    return f'<span class="wb-changed">{"".join(map(_scored, pieces))}</span>'


def scored_legend(reading: str) -> Html:
    """What the colours of `scored_answer` mean. reading: how to read them, in a sentence."""
    ends = (("less likely than from the base model", (-3, -2, -1)), ("more likely", (1, 2, 3)))
    less, more = (
        "".join(_scored(ScoredPiece(f"{ratio:+d}".replace("-", "−"), ratio)) for ratio in ratios) for _, ratios in ends
    )
    words = [escape(word) for word, _ in ends]
    return Html(
        f'<p class="wb-changed-legend"><span>{words[0]}</span><span class="wb-changed">{less}'
        f'<span class="wb-scored">0</span>{more}</span><span>{words[1]}</span></p>'
        f'<p class="wb-quiet wb-small">{escape(reading)}</p>'
    )


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


def _answer_cell(lane: Lane, name: str, cell: tuple[str, str] | None) -> str:
    if cell is None:
        inside = '<p class="wb-note">not answered yet</p>'
    else:
        answer, note = cell
        inside = f'<div class="wb-words">{escape(answer)}</div><p class="wb-note">{escape(note)}</p>'
    return f'<td class="wb-{lane}"><span class="wb-side">{escape(name)}</span>{inside}</td>'


def _numbers_cell(title: str, sides: Sequence[tuple[Lane, str]], numbers: Sequence[str]) -> str:
    """A number of each side, one below the other, in the colours of the sides; their names are read out with them."""
    lines = "".join(
        f'<span class="wb-{lane}" title="{escape(name)}">{escape(number or "–")}</span>'
        for (lane, name), number in zip(sides, numbers, strict=True)
    )
    return f'<td class="wb-numbers"><b class="wb-side">{escape(title)}</b>{lines}</td>'


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
    how = "" if finished else (" so far" if writing else UNFINISHED)
    return Html(_fold(how, escape(thoughts or "(empty)"))), rest


def _fold(how: str, body: str) -> str:
    return f'<details class="wb-thoughts"><summary>Thoughts{how}</summary><div class="wb-words">{body}</div></details>'


def _scored(piece: ScoredPiece) -> str:
    """Colour, a line below (solid or dashed) and the number say the same."""
    several = f", {piece.tokens} tokens" if piece.tokens > 1 else ""
    more = "" if piece.ratio != piece.ratio else " wb-raised" if piece.ratio >= LEAST_SHOWN else ""
    more += " wb-lowered" if piece.ratio <= -LEAST_SHOWN else ""
    more += (" wb-differs" if piece.differs else "") + (" wb-token-special" if piece.special else "")
    depth = round(100 * min(abs(piece.ratio) / DEEPEST, 1)) if piece.ratio == piece.ratio else 0
    title = f"{escape(signed(piece.ratio))} nats{several}"
    return f'<span class="wb-scored{more}" style="--wb-depth:{depth}%" title="{title}">{escape(piece.text)}</span>'


def signed(number: float) -> str:
    """ "+1.20", "−0.03" """
    return f"{round(number, 2) + 0.0:+.2f}".replace("-", "−")  # no minus before a zero


def _bubble(message: Mapping[str, object], writing: bool, scored: Html | None = None) -> str:
    role = str(message.get("role", ""))
    words = str(message.get("content", ""))
    thoughts = Html("")
    if role == "assistant" and not scored:  # what is scored holds its thoughts itself
        thoughts, words = folded_thoughts(words, writing)
    side = "wb-asked" if role == "user" else "wb-said"
    caret = '<span class="wb-caret" aria-hidden="true"></span>' if writing else ""
    return (
        f'<div class="wb-bubble {side}"><span class="wb-role">{escape(_SPEAKERS.get(role, role))}</span>'
        f'{thoughts}<div class="wb-words">{scored or escape(words)}{caret}</div></div>'
    )


def _row(start: str, end: str, values: Sequence[object], styles: Sequence[str]) -> str:
    """Cells between these tags; every column has its style."""
    cells = (f"<{start}{style}>{escape(value)}</{end}>" for value, style in zip(values, styles, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _is_number(value: object) -> bool:
    """Whether a value reads as a number: 12, 1,985, 0.6 %."""
    return _NUMBER.fullmatch(str(value)) is not None
