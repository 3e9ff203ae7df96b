"""Where errors turn into words for the user, once."""

import functools
import html
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar, cast

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.ui.environment import log_file

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)


def border(happens: Callable[P, R]) -> Callable[P, R]:
    """Let a handler raise WorkbenchError freely: the user sees its sentences.

    Everything else is a bug: it goes to the log whole, and the user is told where. Serves functions and generators.
    """
    if inspect.isgeneratorfunction(happens):

        @functools.wraps(happens)
        def stream(*args: P.args, **kwargs: P.kwargs) -> Iterator[Any]:
            try:
                yield from happens(*args, **kwargs)
            except Exception as error:
                raise as_gradio_error(error, happens.__name__) from error

        return cast("Callable[P, R]", stream)

    @functools.wraps(happens)
    def once(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return happens(*args, **kwargs)
        except Exception as error:
            raise as_gradio_error(error, happens.__name__) from error

    return once


def as_gradio_error(error: Exception, where: str) -> gr.Error:
    """What the user reads about an error that `where` raised.

    Gradio shows the text of gr.Error as HTML, and problems quote file names and data: so each one is escaped.
    """
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, WorkbenchError):
        text = "<br>".join(html.escape(problem) for problem in error.problems)
        return gr.Error(text, title="That did not work", duration=None, print_exception=False)
    logger.error("%s failed", where, exc_info=error)
    text = f"Something went wrong inside the workbench. The details are in {html.escape(str(log_file()))}."
    return gr.Error(text, title="That did not work", duration=None, print_exception=False)
