"""python -m workbench.engine.render: a chat template tried on some conversations, in a process that may be ended.

One request comes on standard input, as JSON: {"template": text, "tokens": {name: text}, "tries": [{"messages": [...],
"add_generation_prompt": bool}, ...], "switches": [what each is tried with besides, ...], "longest": characters after which
no more is tried, "memory": bytes beyond those at the start, "seconds": of computing}. Standard output gets one line of JSON:
{"made": [characters of each, or what the template said against it], "switch": whether the switches change any of them}, or
{"failed": "memory" | "forbidden" | "broken", "words": ...}.

A chat template is a program that came with a model. It runs here in the sandbox in which Transformers runs it, made again
from Jinja's own parts: importing Transformers would take seconds.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from workbench.engine.limits import addresses_in_use, limit_process

# What a program written in Jinja can meet.
_ERRORS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class Generation(Extension):
    """The tag around an assistant's words, which Transformers knows. It writes what is inside."""

    tags = {"generation"}

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

    def _write(self, caller: Any) -> Any:
        return caller()


class Folding(NodeTransformer):
    """Computes all constant parts of a template, as Jinja does when it compiles one, even those that no try would reach.

    Jinja passes over a part for which memory runs out. Where there is no limit, that part would take it.
    """

    def generic_visit(self, node: nodes.Node, *args: Any, **named: Any) -> nodes.Node:
        node = super().generic_visit(node, *args, **named)
        if not isinstance(node, nodes.Expr):
            return node
        try:
            return nodes.Const.from_untrusted(node.as_const(), lineno=node.lineno, environment=node.environment)
        except nodes.Impossible as error:
            if isinstance(error.__cause__, MemoryError):
                raise MemoryError from None
            return node


def environment() -> ImmutableSandboxedEnvironment:
    """The sandbox of chat templates, as transformers.utils.chat_template_utils makes it."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _raise
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return made


def tried(request: Mapping[str, Any]) -> dict[str, Any]:
    """What came of a request."""
    try:
        Folding().visit(environment().parse(request["template"]))
        template = environment().from_string(request["template"])
        if request.get("texts"):
            return {"texts": [text if isinstance(text, str) else None for text in _texts(template, request)]}
        made = [len(text) if isinstance(text, str) else _first_line(text) for text in _texts(template, request)]
        return {"made": made, "switch": _has_switch(template, request)}
    except SecurityError as error:
        return {"failed": "forbidden", "words": _first_line(error)}
    except MemoryError:
        return {"failed": "memory", "words": ""}
    except _ERRORS as error:
        where = f" (line {error.lineno})" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        return {"failed": "broken", "words": _first_line(error) + where}


def _texts(template: jinja2.Template, request: Mapping[str, Any]) -> Iterator[str | Exception]:
    """What each try made, or what the template said against it."""
    for one in request["tries"]:
        try:
            text = template.render(**request["tokens"], **one, tools=None, documents=None)
            yield text
            if len(text) > request["longest"]:
                return
        except SecurityError:
            raise
        except _ERRORS as error:
            yield error


def _has_switch(template: jinja2.Template, request: Mapping[str, Any]) -> bool:
    """Whether the text of any try is another one with a switch. A text that changes by itself says nothing."""
    for one in request["tries"]:
        try:
            texts = [
                template.render(**request["tokens"], **one, **switch, tools=None, documents=None)
                for switch in ({}, *request["switches"], {})
            ]
        except SecurityError:
            raise
        except _ERRORS:
            continue
        if texts[0] == texts[-1] and len(set(texts)) > 1:
            return True
    return False


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def main() -> int:
    """Answer the one request on standard input."""
    request = json.load(sys.stdin)
    limit_process(addresses_in_use() + request["memory"], request["seconds"])
    print(json.dumps(tried(request)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
