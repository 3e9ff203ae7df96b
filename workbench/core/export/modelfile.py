"""Ollama's Modelfile, with the chat template of training as a template in Go.

The template of training is a program in Jinja. What it writes around the messages is learnt from what it makes of some
conversations, written in the small part of Go's text/template that `render_go` runs, and held against the first on others.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os.path import commonprefix

Turns = Sequence[tuple[str, str]]
"""Role and content of each message."""

Render = Callable[[Turns], str | None]
"""What a template makes of a conversation that ends with a question, up to where the answer begins; None where it refuses it."""

_ASK, _ANSWER, _AGAIN, _SYSTEM = "qqzfirstqq", "qqzanswerqq", "qqzsecondqq", "qqzsystemqq"

LEARNT: tuple[Turns, ...] = (
    (("user", _ASK),),
    (("user", _ASK), ("assistant", _ANSWER), ("user", _AGAIN)),
    (("system", _SYSTEM), ("user", _ASK)),
)
"""What the pieces are read from."""

TRIED: tuple[Turns, ...] = (
    (("user", "What is snow?"),),
    (("user", 'Write {{ .Content }} and {% if %} and """ and \\ and \'it\'.'),),
    (("user", "One\n\ntwo lines,\nthree: äöü 雪 🙂"), ("assistant", "Yes.\nNo."), ("user", "Why?")),
    (("user", "A?"), ("assistant", "B."), ("user", "C?"), ("assistant", "D."), ("user", "E?")),
    (("system", "Answer in one sentence."), ("user", "What is snow?")),
    (("system", "Be brief.\nBe kind."), ("user", "A?"), ("assistant", "B."), ("user", "C?")),
)
"""What a template in Go is tried on: other words, other lengths, signs that mean something to Go or Jinja."""

WITH_SPACE: Turns = (("user", " What is snow? \n"),)
"""Many templates strip what stands around a message; Go's cannot."""


@dataclass(frozen=True)
class Pieces:
    """What is written around messages. start: before the first where there is no system message; before_system,
    after_system: around one, None where the template refuses them; then what stands around each role's words."""

    start: str
    before_system: str | None
    after_system: str
    before_user: str
    after_user: str
    before_answer: str
    after_answer: str
    generation: str


def pieces(render: Render, end: str = "") -> Pieces | None:
    """What a template writes around messages, from three conversations; None where it does not hold each message once.

    end: the token that ends an answer. What stands between two messages could belong to either; up to this it is the answer's.
    """
    one, three, system = (_cut(render(turns), [content for _, content in turns]) for turns in LEARNT)
    if one is None or three is None or one[0] != three[0] or one[1] != three[3]:
        return None
    before_user = _common_end([three[0], three[2], *(system[1:2] if system else [])])
    if end and end in before_user:
        before_user = before_user.rpartition(end)[2].lstrip("\n")
    after_user = commonprefix([three[1], three[3]])
    cut = len(before_user)
    return Pieces(
        start=three[0][: len(three[0]) - cut],
        before_system=system[0] if system else None,
        after_system=system[1][: len(system[1]) - cut] if system else "",
        before_user=before_user,
        after_user=after_user,
        before_answer=three[1][len(after_user) :],
        after_answer=three[2][: len(three[2]) - cut],
        generation=three[3][len(after_user) :],
    )


def _cut(text: str | None, contents: Sequence[str]) -> list[str] | None:
    """What stands before, between and after the contents; None where one of them is not there exactly once, in its order."""
    if text is None or any(text.count(content) != 1 for content in contents):
        return None
    places = [0, *(text.index(content) for content in contents)]
    if any(after < before for before, after in pairwise(places)):
        return None
    found = []
    for content in contents:
        before, text = text.split(content)
        found.append(before)
    return [*found, text]


def _common_end(texts: Sequence[str]) -> str:
    return commonprefix([text[::-1] for text in texts])[::-1]


def go_template(found: Pieces) -> str:
    """The pieces as a template in Go. Every text stands in quotes, so that no sign in it means anything."""
    start = _text(found.start)
    if found.before_system is not None:
        with_system = _text(found.before_system) + "{{ .System }}" + _text(found.after_system)
        start = f"{{{{ if .System }}}}{with_system}{'{{ else }}' if start else ''}{start}{{{{ end }}}}"
    user = _text(found.before_user) + "{{ .Content }}" + _text(found.after_user)
    answer = _text(found.before_answer) + "{{ .Content }}" + _text(found.after_answer)
    return "\n{{- ".join(
        (
            start + "{{ range .Messages }}",
            f'if eq .Role "user" }}}}{user}',
            f'else if eq .Role "assistant" }}}}{answer}',
            "end }}",
            "end }}" + _text(found.generation),
        )
    )


def _text(text: str) -> str:
    """A text as an action that writes it. JSON's quotes are Go's too, as long as no sign is written as half a pair."""
    quoted = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{{{{ {quoted} }}}}" if text else ""


_ACTION = re.compile(r'\{\{(-\s)?\s*((?:"(?:[^"\\]|\\.)*"|[^"}])*?)\s*\}\}', re.DOTALL)


def render_go(template: str, turns: Turns) -> str:
    """What Go's text/template makes of a template of `go_template`, given what Ollama gives it.

    Knows texts in quotes, {{- }}, if, else, else if eq .Role "...", range .Messages, end, .System, .Content, and nothing else:
    raises ValueError for what it does not know.
    """
    system = "\n\n".join(content for role, content in turns if role == "system")
    nodes = _parsed(template)
    written, rest = _run(nodes, 0, {"System": system}, turns, True)
    if rest != len(nodes):
        raise ValueError("an end without a beginning")
    return written


def _parsed(template: str) -> list[tuple[str, str]]:
    """Texts and actions in their order, as ("text", ...) and ("action", ...)."""
    nodes, place = [], 0
    for found in _ACTION.finditer(template):
        text = template[place : found.start()]
        nodes.append(("text", text.rstrip(" \t\r\n") if found[1] else text))
        nodes.append(("action", found[2].strip()))
        place = found.end()
    nodes.append(("text", template[place:]))
    if any("{{" in text or "}}" in text for kind, text in nodes if kind == "text"):
        raise ValueError("an action that does not end")
    return [node for node in nodes if node != ("text", "")]


def _run(nodes: list[tuple[str, str]], at: int, names: dict[str, str], turns: Turns, writes: bool) -> tuple[str, int]:
    """What is written up to an end or else that belongs to no part begun here, and the place of that."""
    written = ""
    while at < len(nodes):
        kind, text = nodes[at]
        if kind == "text":
            written += text
        elif text.startswith('"'):
            written += json.loads(text)
        elif text in (".System", ".Content"):
            written += names[text[1:]]
        elif text == "range .Messages":
            inside, end = "", at + 1
            for role, content in turns or [("", "")]:
                one, end = _run(nodes, at + 1, names | {"Role": role, "Content": content}, (), writes)
                inside += one
            written, at = written + (inside if turns else ""), end
        elif text.startswith("if "):
            one, at = _branches(nodes, at, names, turns, writes)
            written += one
        elif text == "end" or text.startswith("else"):
            break
        else:
            raise ValueError(f"an action that is not known: {text}")
        at += 1
    return (written if writes else ""), at


def _branches(
    nodes: list[tuple[str, str]], at: int, names: dict[str, str], turns: Turns, writes: bool
) -> tuple[str, int]:
    """What the first branch that holds writes, and the place of the end."""
    written, done = "", False
    while nodes[at] != ("action", "end"):
        condition = nodes[at][1].removeprefix("else").strip().removeprefix("if ").strip()
        holds = not done and _holds(condition, names)
        one, at = _run(nodes, at + 1, names, turns, writes and holds)
        if at == len(nodes):
            raise ValueError("an if without an end")
        written, done = written + one, done or holds
    return written, at


def _holds(condition: str, names: dict[str, str]) -> bool:
    if not condition:
        return True
    if condition == ".System":
        return bool(names["System"])
    if condition.startswith("eq .Role "):
        return names["Role"] == str(json.loads(condition.removeprefix("eq .Role ")))
    raise ValueError(f"a condition that is not known: {condition}")


@dataclass(frozen=True)
class Template:
    """A template in Go. text: "" where there is none, and why: the reason, as a sentence. tried: conversations that both
    templates wrote alike. notes: what it does not do that the one of training does. begins_with_bos: whether that writes the
    token for the beginning."""

    text: str = ""
    why: str = ""
    tried: int = 0
    notes: tuple[str, ...] = ()
    begins_with_bos: bool = False


def ollama_template(source: str, render: Render, bos: str, end: str) -> Template:
    """The template of training, as Ollama runs it. source: its text. bos, end: the tokens that begin a text and end an answer;
    "" where there is none.

    Where every conversation begins with bos it is left out of the text: the GGUF then has the engine put it there.
    """
    if "strftime_now" in source:
        return Template(why="It writes the date of the day, which Ollama's templates do not know.")
    has_bos = bool(bos) and all((render(turns) or bos).startswith(bos) for turns in LEARNT)

    def wanted(turns: Turns) -> str | None:
        text = render(turns)
        return text.removeprefix(bos) if text is not None and has_bos else text

    found = pieces(wanted, end)
    if found is None:
        why = "What it writes around a message depends on more than the role and the place of the message."
        return Template(why=why, begins_with_bos=has_bos)
    text = go_template(found)
    tried = [turns for turns in TRIED if turns[0][0] != "system" or found.before_system is not None]
    for turns in tried:
        if wanted(turns) != render_go(text, turns):
            why = (
                f"A template in Go was found, but a conversation of {len(turns)} messages comes out otherwise with it."
            )
            return Template(why=why, begins_with_bos=has_bos)
    notes = []
    if found.before_system is None:
        notes.append("The template of training knows no system message: Ollama leaves one out.")
    if wanted(WITH_SPACE) != render_go(text, WITH_SPACE):
        notes.append("The template of training strips the space around a message, Ollama's does not.")
    return Template(text, "", len(tried), tuple(notes), has_bos)


def modelfile(file: str, template: Template, ends: Sequence[str]) -> str:
    """The Modelfile. ends: the tokens that end an answer."""
    lines = [f"FROM ./{file}", ""]
    if template.text:
        lines += [f'TEMPLATE """{template.text}"""', ""]
    lines += [f"PARAMETER stop {json.dumps(end, ensure_ascii=False)}" for end in ends]
    return "\n".join(lines).rstrip() + "\n"
