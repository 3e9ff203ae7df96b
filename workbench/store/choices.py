"""What the user chose last: model, data, run. It is there again when the window is."""

import threading
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.core.training.config import ModelRef
from workbench.store.home import home, read_json, write_json

# Two windows may choose at the same moment.
_writing = threading.Lock()


class Choices(BaseModel):
    """The model, the datasets and the run that the pages speak of. None: nothing is chosen yet.

    dataset: the one that the Data page shows; the other three are those to train on.
    """

    # A newer version may have remembered more: that is no reason to forget the rest.
    model_config = ConfigDict(extra="ignore", frozen=True)

    model: ModelRef = ModelRef()
    sft_data: str | None = None
    preference_data: str | None = None
    thumbs_data: str | None = None
    run: str | None = None
    dataset: str | None = None


def read() -> Choices:
    """The stored choices; the first ones of a new user where the file is missing or damaged."""
    try:
        return Choices.model_validate(read_json(_path()) or {})
    except ValidationError:
        return Choices()


def update(**changes: Any) -> Choices:
    """The choices with `changes` made, stored as a whole."""
    with _writing:
        choices = Choices.model_validate({**read().model_dump(), **changes})
        write_json(_path(), choices.model_dump())
    return choices


def _path() -> Path:
    return home() / "choices.json"
