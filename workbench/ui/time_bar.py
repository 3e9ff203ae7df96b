"""Where the time of a run went, as a bar and as the table that says the same."""

from collections.abc import Mapping

from workbench.core.monitoring.time_spent import Work, seconds_label, spent_summary, time_spent
from workbench.ui.parts import Html, escape

# As on the bar of the memory: indigo for what trains, slate for what has to be there first, hatched for what only looks on.
_LOOKS: dict[Work, str] = {
    "loading": "base",
    "data": "base-light",
    "steps": "aligned",
    "evaluation": "passing",
    "samples": "passing-light",
    "checkpoints": "context",
}


def time_bar(seconds: Mapping[Work, float]) -> Html:
    """Seconds by kind of work; nothing where nobody counted."""
    spent = time_spent(seconds)
    if not spent:
        return Html("")
    pieces = "".join(
        f'<span class="wb-memory-part wb-memory-{_LOOKS[one.work]}" style="width:{100 * one.share:.3f}%"></span>'
        for one in spent
    )
    rows = "".join(
        f'<tr><th scope="row"><span class="wb-memory-key wb-memory-{_LOOKS[one.work]}" aria-hidden="true"></span>'
        f"{escape(one.title)}</th><td>{escape(seconds_label(one.seconds))}</td><td>{escape(f'{one.share:.0%}')}</td></tr>"
        for one in spent
    )
    return Html(
        f'<section class="wb-time"><h4>Where its time went</h4>'
        f'<div class="wb-memory-bar" role="img" aria-label="{escape(spent_summary(spent))}">{pieces}</div>'
        f'<table><thead><tr><th scope="col">Work</th><th scope="col">Time</th><th scope="col">Share</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )
