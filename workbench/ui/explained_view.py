"""What a chart shows, folded below it: the quantity, its formula and source, and what good and bad look like."""

from workbench.core.monitoring.explained import EXPLAINED, Sketch
from workbench.ui.parts import Html, escape

_WIDE, _HIGH, _EDGE = 150, 56, 5


def explained_html(ident: str) -> Html | None:
    """The explanation of a chart, for its template; None where there is none."""
    found = EXPLAINED.get(ident)
    if found is None:
        return None
    sketches = _sketch("good", "Good", found.good, found.sketch_good) + _sketch(
        "bad", "Bad", found.bad, found.sketch_bad
    )
    return Html(
        f'<details class="wb-chart-what"><summary>what is this?</summary><div class="wb-explained">'
        f"<p>{_as_it_is(found.what)}</p><p><code>{_as_it_is(found.formula)}</code></p>"
        f'<p class="wb-explained-source">{_as_it_is(found.source)}</p><div class="wb-sketches">{sketches}</div></div></details>'
    )


def _sketch(kind: str, word: str, meaning: str, points: Sketch) -> str:
    line = " ".join(
        f"{_EDGE + x * (_WIDE - 2 * _EDGE):.0f},{_HIGH - _EDGE - y * (_HIGH - 2 * _EDGE):.0f}" for x, y in points
    )
    return (
        f'<figure class="wb-{kind}-sketch"><svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline vector-effect="non-scaling-stroke" points="{line}"/></svg>'
        f"<figcaption><b>{word}:</b> {_as_it_is(meaning)}</figcaption></figure>"
    )


def _as_it_is(words: str) -> str:
    """Text that HTML shows, and in which Gradio's template finds nothing to fill in."""
    return escape(words).replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;")
