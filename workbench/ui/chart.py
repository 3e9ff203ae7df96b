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


_SCRIPTS = {"chart": ("chart_numbers", "chart_files", "chart"), "lengths": ("lengths",)}
_GIVEN = "element, trigger, props, server, upload, watch"  # to a component's own script, by Gradio


def scripts() -> str:
    """For the head of the page: what draws all pictures. In each component, twenty charts made it a megabyte larger."""
    folder = Path(__file__).parent
    drawn = [
        f"{kind}({_GIVEN}) {{\n" + "\n".join((folder / f"{one}.js").read_text("utf-8") for one in files) + "\n}"
        for kind, files in _SCRIPTS.items()
    ]
    return f"<script>window.wbPictures = {{\n{','.join(drawn)}\n}};</script>"


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
        js_on_load=f"wbPictures.{kind}({_GIVEN});",
        apply_default_css=False,
        elem_id=elem_id,
    )
