"""Whether a model's chat template has a switch for thoughts: asked of the template, in a child within limits."""

import json
import subprocess
from functools import lru_cache

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.core.training.thinking import may_switch
from workbench.jobs.environment import child_environment
from workbench.jobs.processes import engine
from workbench.store.home import home
from workbench.store.model_configs import folder_of
from workbench.store.model_files import chat_template

PATIENCE = 90.0  # seconds; what tries the template gives up before that


def has_switch(model: ModelRef) -> bool | None:
    """None where the model's files are not on this machine, or its template cannot be rendered."""
    try:
        folder = folder_of(model)
        written = chat_template(folder, model.title) if folder else None
    except WorkbenchError:
        return None
    if written is None:
        # Of a model of the Hub no more than its config.json may be here.
        return False if folder and (folder / "tokenizer_config.json").is_file() else None
    return may_switch(written.text) and _asked(written.text, written.file, model.title, json.dumps(written.tokens))


@lru_cache(maxsize=16)
def _asked(text: str, file: str, title: str, tokens: str) -> bool | None:
    request = {"text": text, "file": file, "title": title, "tokens": json.loads(tokens)}
    try:
        told = subprocess.run(
            engine("templates"), input=json.dumps(request), capture_output=True, encoding="utf-8", timeout=PATIENCE,
            cwd=home(), env=child_environment(), check=True,
        )  # fmt: skip
        return bool(json.loads(told.stdout))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
