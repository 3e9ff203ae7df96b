"""A stored dataset examined with all that there is: its text, and its tokens as the chosen model counts them."""

from workbench.core.data.doctor.findings import Report
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.jobs import preparing
from workbench.jobs.child import Progress
from workbench.jobs.tokens import Tokens
from workbench.store import datasets

# So many rows show what a template does; it does the same to all of them.
TEMPLATE_ROWS = 50

_COUNTING = 0.5  # of the work


def examine(tokens: Tokens, name: str, model: ModelRef, max_length: int, progress: Progress) -> tuple[Report, str]:
    """The doctor's report, which is stored as well, and why no tokens were counted: "" where they were.

    Without the model's tokenizer (not downloaded, no network) everything else is examined all the same.
    """
    request: dict[str, object] = {"do": "examine", "name": name}
    missing = ""
    try:
        counted = tokens.counted(model, name, lambda fraction, text: progress(fraction * _COUNTING, text))
        template = tokens.template(model, datasets.read(name, "train", TEMPLATE_ROWS))
        request |= {
            "tokens": str(counted),
            "template": template.model_dump(),
            "max_length": max_length,
            "model": model.title,
        }
    except preparing.Cancelled:
        raise
    except WorkbenchError as error:
        missing = str(error)
    begun = 0.0 if missing else _COUNTING
    answer = preparing.run(request, progress=lambda fraction, text: progress(begun + fraction * (1 - begun), text))
    return Report.model_validate(answer), missing
