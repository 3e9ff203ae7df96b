"""What happens once a second on every page."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import gradio as gr

from workbench.ui.border import in_words

P = ParamSpec("P")

# A tick of a page: nobody waits for it, and another one comes in a second.
QUIET: dict[str, Any] = {
    "show_progress": "hidden",
    "queue": False,
    "concurrency_limit": None,
    "api_visibility": "private",
}


def ticking(happens: Callable[P, Any]) -> Callable[P, Any]:
    """A tick that fails keeps what the page shows. The same failure is told once, not each second."""
    told: set[str] = set()

    @functools.wraps(happens)
    def tick(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return happens(*args, **kwargs)
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
            if seen in told:
                return gr.skip()
            told.add(seen)
            raise in_words(error, happens.__name__) from error

    return tick
