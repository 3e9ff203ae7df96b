"""What happens once a second on every page, in one request for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from workbench.ui import who_may
from workbench.ui.border import as_gradio_error
from workbench.ui.updates import Updates


@dataclass(frozen=True)
class _Part:
    """What one page keeps up to date. happens: takes the values of inputs, gives updates of some of the outputs."""

    happens: Callable[..., Updates]
    inputs: Sequence[Component]
    outputs: Sequence[Block]


class Clock:
    """Collects what pages do each second, and does all of it in one request.

    A request costs Gradio far more than what is in it: one per page would keep a core busy with a few open tabs. timer: on
    every page, because one inside a page that was never opened would not tick.
    """

    def __init__(self, timer: gr.Timer):
        self._timer = timer
        self._parts: list[_Part] = []
        self._told: set[str] = set()

    def each_second(
        self, happens: Callable[..., Updates], inputs: Sequence[Component], outputs: Sequence[Block]
    ) -> None:
        """Have something happen from now on. It gives updates of those `outputs` that changed; {} where none did."""
        self._parts.append(_Part(happens, list(inputs), list(outputs)))

    def wire(self) -> None:
        """Wire all that was collected. Nobody waits for a tick, and another one comes in a second."""
        self._timer.tick(
            self.tick,
            [one for part in self._parts for one in part.inputs],
            list(dict.fromkeys(one for part in self._parts for one in part.outputs)),
            show_progress="hidden",
            queue=False,
            concurrency_limit=None,
            api_visibility="private",
        )

    @who_may.for_visitors
    def tick(self, *values: Any) -> Updates:
        """The updates of all parts. One that fails keeps what its page shows; the same failure is told once, not each second."""
        updates: Updates = {}
        given = iter(values)
        for part in self._parts:
            own = [next(given) for _ in part.inputs]
            try:
                updates |= part.happens(*own)
            except Exception as error:
                seen = f"{type(error).__name__}: {error}"
                if seen not in self._told:
                    self._told.add(seen)
                    raise as_gradio_error(error, part.happens.__name__) from error
        return updates
