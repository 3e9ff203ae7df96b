"""RunConfig -> widgets -> RunConfig, by name: no list of settings is written a second time."""

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

import gradio as gr
from gradio.components import Component
from pydantic.fields import FieldInfo

from workbench.core.training.config import RunConfig, fields, nested, value_of
from workbench.core.training.methods import DATA_SETTINGS, METHODS
from workbench.ui.open_dropdown import open_dropdown

UP_FRONT = (
    # A run that imitates first and then compares is judged by the second.
    *[
        f"{stage}.{setting}"
        for stage, method in sorted(METHODS.items(), key=lambda one: one[1].imitates)
        for setting in method.up_front
    ],
    "batch_size",
    "accumulation",
    "max_length",
)
"""The settings that matter most, in the order in which they are drawn; all others are under Advanced."""

DRAWN_ELSEWHERE = ("name", "method", "model", "start_from", *DATA_SETTINGS)


def advanced() -> list[str]:
    """The settings that are drawn under Advanced."""
    return [name for name in fields() if name.split(".")[0] not in DRAWN_ELSEWHERE and name not in UP_FRONT]


def draw_field(name: str, value: Any, visible: bool | str = True) -> Component:
    """The widget of one setting, with its title, help and first value. visible: as Gradio takes it, "hidden" keeps the value.

    Bounds are left to `read_config`, which names all problems at once and in plain words.
    """
    return draw(name, fields()[name], value, f"wb-setting-{name.replace('.', '-')}", visible)


def draw(name: str, field: FieldInfo, value: Any, elem_id: str, visible: bool | str = True) -> Component:
    """The widget of a setting of any kind."""
    look: dict[str, Any] = {
        "label": field.title or name,
        "info": field.description,
        "value": value,
        "elem_id": elem_id,
        "visible": visible,
    }
    kind = _without_none(field.annotation)
    more: Any = field.json_schema_extra or {}
    if chooses(field):  # the page fills it in
        return open_dropdown([("none", "")], **look)
    if get_origin(kind) is Literal:
        titles = more.get("titles", {})
        return gr.Dropdown(choices=[(titles.get(value, value), value) for value in get_args(kind)], **look)
    if kind is bool:
        return gr.Checkbox(**look)
    if kind is int:
        return gr.Number(precision=0, **look)
    if kind is float:
        return gr.Number(**look)
    return gr.Textbox(lines=more.get("lines", 1), max_lines=more.get("lines", 1), **look)


def chooses(field: FieldInfo) -> str:
    """What lies on disk of which a setting names one; "" where it is no such setting."""
    more: Any = field.json_schema_extra or {}
    return str(more.get("choose", ""))


def to_values(named: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names -> nested values, as `read_config` takes them. An empty widget leaves its setting out."""
    return nested({name: value for name, value in named.items() if value is not None})


def from_config(config: RunConfig, names: Iterable[str]) -> dict[str, Any]:
    """The value of each named setting."""
    return {name: value_of(config, name) for name in names}


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation
