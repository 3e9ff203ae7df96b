"""What comes in from outside, checked once before any handler sees it.

A page sends what its fields hold. A program that calls the same endpoints can send anything, and Gradio lets much of it
through: a list in a text field, NaN in a number, nothing where a choice is needed. So each value is held against the kind
of its field, and against what the handler says of it: a parameter of type `str` is never given None, one of `str | None` is.
"""

import copy
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.blocks import Block
from gradio.components import Component
from gradio.exceptions import ComponentProcessingError, InvalidPathError
from pydantic import ValidationError

from workbench.core.errors import WorkbenchError
from workbench.ui import who_may
from workbench.ui.border import as_gradio_error

# The largest whole number that a page can send: JavaScript holds no larger one exactly.
MOST = 2**53
# No name, path or id is longer.
LONGEST_LINE = 10_000

_GIVEN_BY_GRADIO = (gr.Request, gr.EventData, gr.Progress)


class Window(gr.Blocks):
    """Blocks whose handlers are given what their fields can hold, and raise WorkbenchError freely: every error is in words.

    This includes what Gradio refuses before or after a handler, and what visitors of a Space may not ask for (`who_may`).
    """

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], state: Any = None, request: Any = None, **named: Any
    ) -> dict[str, Any]:
        called = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        try:
            allowed = who_may.may(called.fn, request)
            if allowed == "nothing":
                return _refused(called)
            if called.fn is None:
                raise WorkbenchError("Nothing is behind this endpoint: it only tells a page what to cancel.")
            check_event(called.fn, named.get("event_data"))
            answer: dict[str, Any] = await super().process_api(block_fn, inputs, state, request, **named)
        except Exception as error:
            raise as_gradio_error(error, str(called.api_name)) from error
        if allowed == "look" and not who_may.reaches_all(called.fn):
            closed = self.closed_to_visitors
            told = zip(called.outputs, answer["data"], strict=False)
            answer["data"] = [gr.skip() if block._id in closed else value for block, value in told]
        return answer

    @functools.cached_property
    def closed_to_visitors(self) -> frozenset[int]:
        """Ids of the blocks that tell visitors nothing new: those in a part of the page that is closed as a whole, and those that
        only closed handlers read or begin with."""
        whole = frozenset(one._id for block in self.blocks.values() if is_closed(block) for one in _with_all_in(block))
        used: dict[bool, set[int]] = {True: set(), False: set()}
        for fn in self.fns.values():
            if fn.fn is None:
                continue  # it happens in the browser alone
            begun_by = [id for id, _ in fn.targets if id is not None]
            used[who_may.is_open(fn.fn)] |= {*begun_by, *[field._id for field in fn.inputs]}
        return whole | (used[False] - used[True])

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        fields = [_as_in_session(block, state) for block in block_fn.inputs]
        accepted = checked(fields, inputs, _may_be_empty(block_fn.fn, len(fields)))
        try:
            taken: list[Any] = await super().preprocess_data(block_fn, accepted, state, explicit_call)
        except (InvalidPathError, ValidationError, ComponentProcessingError, OSError):
            raise WorkbenchError(_no_upload(block_fn.inputs, accepted)) from None
        return taken

    async def postprocess_data(self, block_fn: BlockFunction, predictions: Any, state: Any) -> list[Any]:
        """Handlers give updates by component; what they do not name keeps what it shows.

        Gradio builds a new component for each output, also where nothing of it changes: 72 ms a tick. So it is asked for those
        that were named, and answers for the others as it would.
        """
        if not isinstance(predictions, dict) or not all(isinstance(key, Block) for key in predictions):
            given: list[Any] = await super().postprocess_data(block_fn, predictions, state)
            return given
        named = copy.copy(block_fn)
        named.outputs = [block for block in block_fn.outputs if block in predictions]
        if unknown := predictions.keys() - set(named.outputs):
            raise ValueError(f"{block_fn.name} gave updates of {unknown}, which are none of its outputs")
        values = [predictions[block] for block in named.outputs]
        found = (
            await super().postprocess_data(named, values[0] if len(values) == 1 else values, state) if values else []
        )
        by_block = dict(zip(named.outputs, found, strict=True))
        return [by_block.get(block, None if block.stateful else gr.skip()) for block in block_fn.outputs]

    def handle_streaming_diffs(
        self,
        block_fn: BlockFunction,
        data: list[Any],
        session_hash: str | None,
        run: str | None,
        final: bool,
        simple_format: bool = False,
    ) -> list[Any]:
        """What a handler that yields says next, as a whole wherever it differs from what it said before.

        Gradio sends the difference, and its page works that into the update it holds: one that came just before and was not
        drawn yet is lost by it. With two yields in quick succession buttons stayed disabled.
        """
        sent: list[Any] = super().handle_streaming_diffs(block_fn, data, session_hash, run, final, simple_format)
        held = self.pending_diff_streams.get(session_hash or "", {}).get(run or "")
        if final or held is None:
            return sent
        return [
            [["replace", [], whole]] if one and one is not whole and isinstance(whole, dict | list) else one
            for one, whole in zip(sent, held, strict=False)
        ]


def _refused(called: BlockFunction) -> dict[str, Any]:
    """What a closed handler gives a visitor without being begun: no update where the page itself asked, words after a click.

    Raises WorkbenchError with them.
    """
    if {event for _, event in called.targets} & {"click", "submit", "upload"}:
        raise WorkbenchError(who_may.CLOSED)
    nothing = [gr.skip()] * len(called.outputs)
    times = {"duration": 0.0, "average_duration": 0.0}
    return {
        "data": nothing,
        "is_generating": False,
        "iterator": None,
        "render_config": None,
        "changed_state_ids": [],
        **times,
    }


def close(*blocks: Block) -> None:
    """Keep what blocks show, and all that lies in them, from visitors of a Space, whichever handler tells it."""
    for block in blocks:
        block.closed_to_visitors = True


def is_closed(block: Block) -> bool:
    return bool(getattr(block, "closed_to_visitors", False))


def _with_all_in(block: Block) -> list[Block]:
    return [block, *[one for child in getattr(block, "children", ()) for one in _with_all_in(child)]]


def _as_in_session(block: Any, state: Any) -> Any:
    """A field as a session knows it: it may have got other choices than it was drawn with.

    Of a State a session holds the value itself, not the component.
    """
    is_field = not getattr(block, "stateful", False)
    return state[block._id] if is_field and state and block._id in state else block


def checked(fields: list[Any], values: list[Any], may_be_empty: list[bool]) -> list[Any]:
    """The values as the handler may have them. may_be_empty: for each field, whether the handler takes None.

    Raises WorkbenchError with all that is wrong.
    """
    if len(values) < len(fields):
        raise WorkbenchError(
            f"{len(values)} values were sent, and {len(fields)} are needed: {', '.join(_named(fields)) or 'none'}. "
            "/gradio_api/info?all_endpoints=true lists what each endpoint takes."
        )
    found: list[str] = []
    accepted = []
    # Gradio leaves out what is sent beyond the fields.
    for name, field, value, optional in zip(_named(fields), fields, values, may_be_empty, strict=False):
        if getattr(field, "stateful", False):
            accepted.append(value)  # Gradio puts the session's own value in its place.
            continue
        if value is None and isinstance(field, gr.Textbox):
            value = ""  # As a field reads whose view was never opened.
        wrong = None if value is None and optional else what_is_wrong(field, value)
        if wrong:
            found.append(f"{name} {wrong}")
        accepted.append(value)
    if found:
        raise WorkbenchError(*found)
    return accepted


def what_is_wrong(field: Component, value: Any) -> str | None:
    """What stands against a value in a field, as the rest of a sentence that begins with the field's name."""
    if isinstance(field, gr.Radio | gr.Dropdown):
        return _wrong_choice(field, value)
    if value is None:
        return "is empty."
    if isinstance(field, gr.Number | gr.Slider):
        return _wrong_number(field, value)
    if isinstance(field, gr.Checkbox):
        return None if isinstance(value, bool) else f"is {described(value)}; it is either true or false."
    if isinstance(field, gr.Textbox | gr.Button):
        return _wrong_text(field, value)
    return None


def described(value: Any) -> str:
    """A value in a few words, for a message about it."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return (
            f"{value:g}"
            if isinstance(value, float) or abs(value) < MOST
            else "a number of more digits than can be held"
        )
    if isinstance(value, str):
        return f"the text {value[:40]!r}{'...' if len(value) > 40 else ''}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def check_event(handler: Callable[..., Any], event: gr.EventData | None) -> None:
    """Raises WorkbenchError where a handler needs to know what a person did on the page, and the call does not say it."""
    wanted = next((hint for hint in _hints(handler).values() if _is(hint, gr.EventData)), None)
    if wanted is None:
        return
    data = getattr(event, "_data", None)
    needed = ("index", "value") if _is(wanted, gr.SelectData) else ()
    if not isinstance(data, dict) or any(name not in data for name in needed):
        raise WorkbenchError(
            f"The call says nothing of what was chosen on the page: event_data is {described(data)}. It needs an object"
            f"{' with ' + ' and '.join(needed) if needed else ''}."
        )


def _wrong_choice(field: gr.Radio | gr.Dropdown, value: Any) -> str | None:
    if value is None:
        return "has no choice made in it. Choose one."
    if getattr(field, "multiselect", False):
        if not isinstance(value, list):
            return f"is {described(value)}; it must be a list of choices."
        return next((f"has a choice that {wrong}" for one in value if (wrong := _wrong_one(field, one))), None)
    return _wrong_one(field, value)


def _wrong_one(field: gr.Radio | gr.Dropdown, value: Any) -> str | None:
    if getattr(field, "allow_custom_value", False):
        return _wrong_text(field, value)
    known = [choice for _, choice in field.choices]
    # Not `in`: True equals 1, and a list or an object can be no choice.
    if any(type(value) is type(choice) and value == choice for choice in known):
        return None
    offered = ", ".join(str(choice) for choice in known[:12] if choice != "") or "nothing yet"
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return f"is {described(value)}. There is to choose: {offered}{more}."


def _wrong_number(field: Any, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"is {described(value)}; it must be a number."
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}; it must be a number that can be counted with."
    if abs(value) > MOST:
        return f"is {described(value)}, larger than any that a page can send."
    if field.minimum is not None and value < field.minimum:
        return f"is {value:g}; the least is {field.minimum:g}."
    if field.maximum is not None and value > field.maximum:
        return f"is {value:g}; the most is {field.maximum:g}."
    return None


def _wrong_text(field: Any, value: Any) -> str | None:
    if not isinstance(value, str):
        return f"is {described(value)}; it must be text."
    if getattr(field, "max_lines", None) == 1 and len(value) > LONGEST_LINE:
        return f"has {len(value):,} characters; a line has at most {LONGEST_LINE:,}."
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"holds half a character (at place {error.start + 1:,}), which no text has."
    return None


def _no_upload(fields: list[Any], values: list[Any]) -> str:
    """What is wrong with a file that Gradio refused: it hands on nothing but what was uploaded to this window."""
    found = [
        f"{name} is {described(value)}"
        for name, field, value in zip(_named(fields), fields, values, strict=True)
        if isinstance(field, gr.File) and value is not None
    ]
    return f"{' and '.join(found) or 'A value'}, and no file that was uploaded here. Upload the file first."


def _named(fields: list[Any]) -> list[str]:
    """The fields as a person knows them."""
    return [
        f"“{label}”" if (label := getattr(field, "label", None)) else f"Field {place}"
        for place, field in enumerate(fields, 1)
    ]


def _may_be_empty(handler: Callable[..., Any] | None, count: int) -> list[bool]:
    """For each input, whether the handler's signature lets it be None; a handler that says nothing takes it."""
    if handler is None:
        return [True] * count
    hints = _hints(handler)
    takes: list[bool] = []
    for name, parameter in inspect.signature(handler).parameters.items():
        hint = hints.get(name, Any)
        if _is(hint, _GIVEN_BY_GRADIO):
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            return [*takes, *[_takes_none(hint)] * (count - len(takes))]
        takes.append(_takes_none(hint))
    return [*takes, *[True] * (count - len(takes))][:count]


@functools.cache
def _hints(handler: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(handler)


def _takes_none(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_takes_none(part) for part in typing.get_args(hint))
    return hint in (Any, None, type(None))


def _is(hint: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(hint, type) and issubclass(hint, kinds)
