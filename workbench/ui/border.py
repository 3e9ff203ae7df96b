"""Where errors turn into words for the user, once: `Window` asks it for whatever a handler raised, the clock for its parts."""

import html
import logging

import gradio as gr

from workbench.core.errors import TROUBLE_PAGE, WorkbenchError
from workbench.ui.environment import log_file

logger = logging.getLogger(__name__)


def as_gradio_error(error: Exception, where: str) -> gr.Error:
    """What the user reads about an error that `where` raised: the sentences of a WorkbenchError.

    Everything else is a bug: it goes to the log whole, and the user is told where. Gradio shows the text of gr.Error as
    HTML, and problems quote file names and data: so each one is escaped.
    """
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, WorkbenchError):
        text = "<br>".join(html.escape(problem) for problem in error.problems)
    else:
        logger.error("%s failed", where, exc_info=error)
        text = (
            f"Something went wrong inside the workbench. The details are in {html.escape(str(log_file()))}. "
            f"What is met most often: {TROUBLE_PAGE}."
        )
    return gr.Error(text, title="That did not work", duration=None, print_exception=False)
