"""The live chart: a JSON value in, a canvas out.

A chart is drawn once; after that its value is updated like that of any other component. Gradio's own plots draw the
whole figure again at each update and lose the zoom; this one keeps it, and costs a few milliseconds per tick.
"""

import json
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from workbench.ui.parts import Html

# The class of a column whose charts stand two per row, and stack where there is no room.
CHARTS_CLASS = "wb-charts"


def packed(value: dict[str, Any] | None) -> str | None:
    """A chart's value as an update should send it: as text.

    Gradio copies and compares a value several times, list by list; with six charts of 1,000 points each that kept a
    browser busy for a third of the time. Text is one piece. A plain dict works too.
    """
    if value is None:
        return None
    # No "<" leaves here as such, although the browser would only show it: Gradio warns of tags in a value.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


# What Gradio gives to the function that it makes of a component's script.
_GIVEN = "element, trigger, props, server, upload, watch"
_SCRIPTS = {"chart": ("chart_numbers", "chart_files", "chart"), "lengths": ("lengths",)}


def picture_scripts() -> str:
    """The scripts of all pictures, once for the page, as HTML for its head.

    Not with each component: Gradio looks through a component's script for every attribute that it lacks, at every update, which
    took two thirds of what a tick costs the server; and the page would carry the same text twenty times.
    """
    folder = Path(__file__).parent
    bodies = {kind: "\n".join((folder / f"{one}.js").read_text("utf-8") for one in _SCRIPTS[kind]) for kind in _SCRIPTS}
    functions = ",\n".join(f"{kind}({_GIVEN}) {{\n{body}\n}}" for kind, body in bodies.items())
    return f"<script>window.wbPictures = {{\n{functions}\n}};</script>"


def picture(
    kind: Literal["chart", "lengths"],
    elem_id: str | None = None,
    value: dict[str, Any] | None = None,
    explanation: Html | None = None,
) -> gr.HTML:
    """A picture that a script of this folder draws; without a value it says how it comes.

    value: of a length picture see `lengths_value`, of a chart {"id", "title", "measure", "unit", "x", "log", "lines": [{"name",
    "role", "style", "weight", "points": [[x, y or None]], "run", "band": [[x, low, high]]}], "references": [{"y", "label"}],
    "marks": [{"x", "label", "severity"}], "reading"}; points go up in x. log: a log scale makes sense. run: of several. id:
    what the browser remembers hidden lines by. explanation: what is folded below a chart; it never changes.
    """
    # The template must not hold the value: Gradio would put it into the page as HTML, and would draw it anew each time.
    return gr.HTML(
        packed(value),
        html_template=f'<div class="wb-{kind}">{explanation or ""}</div>',
        js_on_load=f"const begin = () => window.wbPictures ? window.wbPictures.{kind}({_GIVEN}) : setTimeout(begin, 20); begin();",
        apply_default_css=False,
        elem_id=elem_id,
    )
