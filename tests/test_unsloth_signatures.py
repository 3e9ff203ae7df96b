"""Whether the installed Unsloth knows every keyword that the workbench passes to it.

Read from its source, never imported: importing Unsloth needs a card and patches the libraries of the whole process.
Both of its functions also take **kwargs, so a keyword that it has renamed would be swallowed without a word.
"""

import ast
import importlib.util
from pathlib import Path

import pytest

from workbench.core.config import AdapterSettings
from workbench.core.recipe import unsloth_adapter_arguments, unsloth_load_arguments


def source_folder() -> Path | None:
    """Where the installed Unsloth lies, without importing it."""
    spec = importlib.util.find_spec("unsloth")
    return Path(spec.origin).parent if spec and spec.origin else None


FOLDER = source_folder()
needs_unsloth = pytest.mark.skipif(
    FOLDER is None, reason="Unsloth is not installed here; `pip install .[gpu]` brings it"
)


def keywords_of(file: str, owner: str, function: str) -> set[str]:
    """The parameters that a method names, without **kwargs."""
    tree = ast.parse((FOLDER / "models" / file).read_text(encoding="utf-8"))
    methods = [
        method
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name == owner
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == function
    ]
    assert len(methods) == 1, f"{owner}.{function} is not in {file} any more"
    arguments = methods[0].args
    return {argument.arg for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}


@needs_unsloth
def test_every_keyword_of_loading_is_one_that_unsloth_names():
    passed = unsloth_load_arguments("folder", 1024, True).keys()
    # Handed on to Transformers through **kwargs, and read by name on the way.
    handed_on = {"local_files_only"}
    assert passed - keywords_of("loader.py", "FastLanguageModel", "from_pretrained") - handed_on == set()


@needs_unsloth
@pytest.mark.parametrize(("file", "owner"), [("llama.py", "FastLlamaModel"), ("vision.py", "FastBaseModel")])
def test_every_keyword_of_the_adapter_is_one_that_unsloth_names(file, owner):
    """FastLanguageModel hands on to the first, and to the second for models that it has no fast path for."""
    passed = unsloth_adapter_arguments(AdapterSettings(), True, 17).keys()
    assert passed - keywords_of(file, owner, "get_peft_model") == set()


def test_loading_through_unsloth_never_runs_code_from_a_model():
    assert unsloth_load_arguments("folder", 1024, True)["trust_remote_code"] is False
