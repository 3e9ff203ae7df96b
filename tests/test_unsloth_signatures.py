"""Whether Unsloth knows every keyword that the workbench passes to it, and does what the workbench builds on.

Read from its source, never imported: importing Unsloth needs a card and patches the libraries of the whole process.
Both of its functions also take **kwargs, so a keyword that it has renamed would be swallowed without a word. The source
is the installed one, or that in the wheel that WORKBENCH_UNSLOTH_WHEEL names (`pip download --no-deps unsloth`).
"""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
from script_runs import repeated

from workbench.core.errors import WorkbenchError
from workbench.core.export import notebook
from workbench.core.training.config import AdapterSettings, ModelRef
from workbench.core.training.recipe import Device, unsloth_adapter_arguments, unsloth_load_arguments
from workbench.engine import load
from workbench.store.home import shipped

CARD = Device("cuda", "a card with bf16", True)
T4 = Device("cuda", "a card without bf16", False)
WHEEL = os.environ.get("WORKBENCH_UNSLOTH_WHEEL")


def source_folder() -> Path | None:
    """Where the installed Unsloth lies, without importing it."""
    spec = importlib.util.find_spec("unsloth")
    return Path(spec.origin).parent if spec and spec.origin else None


FOLDER = source_folder()
needs_unsloth = pytest.mark.skipif(
    not (WHEEL or FOLDER),
    reason="Unsloth is not installed here; `pip install .[gpu]` brings it, or WORKBENCH_UNSLOTH_WHEEL names its wheel",
)


def source(file: str) -> str:
    """A file of Unsloth, from the wheel where one is named."""
    if WHEEL:
        with zipfile.ZipFile(WHEEL) as wheel:
            return wheel.read(f"unsloth/{file}").decode()
    return (FOLDER / file).read_text(encoding="utf-8")


def keywords_of(file: str, owner: str, function: str) -> set[str]:
    """The parameters that a method names, without **kwargs."""
    methods = [
        method
        for node in ast.walk(ast.parse(source(file)))
        if isinstance(node, ast.ClassDef) and node.name == owner
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == function
    ]
    # FastLanguageModel may only hand on; its own version then takes *args and **kwargs.
    named = [method.args for method in methods if method.args.kwarg]
    assert len(named) == 1, f"{owner}.{function} is not in {file} any more"
    return {argument.arg for argument in [*named[0].posonlyargs, *named[0].args, *named[0].kwonlyargs]}


@needs_unsloth
def test_every_keyword_of_loading_is_one_that_unsloth_names():
    passed = unsloth_load_arguments("folder", 1024, True, CARD).keys()
    # Handed on to Transformers through **kwargs, and read by name on the way.
    handed_on = {"local_files_only"}
    assert passed - keywords_of("models/loader.py", "FastLanguageModel", "from_pretrained") - handed_on == set()


@needs_unsloth
@pytest.mark.parametrize(("file", "owner"), [("llama.py", "FastLlamaModel"), ("vision.py", "FastBaseModel")])
def test_every_keyword_of_the_adapter_is_one_that_unsloth_names(file, owner):
    """FastLanguageModel hands on to the first, and to the second for models that it has no fast path for."""
    passed = unsloth_adapter_arguments(AdapterSettings(), True, 17).keys()
    assert passed - keywords_of(f"models/{file}", owner, "get_peft_model") == set()


@needs_unsloth
def test_unsloth_names_every_argument_of_an_exported_notebook():
    run = repeated("dpo")
    assert (
        notebook.load_arguments(run).keys() - keywords_of("models/loader.py", "FastLanguageModel", "from_pretrained")
        == set()
    )
    assert (
        notebook.adapter_arguments(run).keys() - keywords_of("models/llama.py", "FastLlamaModel", "get_peft_model")
        == set()
    )


@needs_unsloth
def test_all_linear_layers_can_be_asked_for_in_one_word():
    """Where a list is expected, a word would be taken letter by letter."""
    assert unsloth_adapter_arguments(AdapterSettings(), True, 17)["target_modules"] == "all-linear"
    assert "if isinstance(target_modules, str):\n" in source("models/llama.py")
    assert 'target_modules == "all-linear"' in source("models/vision.py")


@needs_unsloth
def test_importing_unsloth_patches_the_trainers_and_leaves_out_their_cast_to_bf16():
    """So its PatchDPOTrainer has nothing left to do, and the adapter is in fp32 from the start."""
    trainers = source("models/rl.py")
    for patch in ("trl.{RLTrainer_name} =", "trl.{RLConfig_name} =", '"if _is_quantized_model:",\n        "if False:"'):
        assert patch in trainers, patch
    functions = [node for node in ast.parse(source("models/dpo.py")).body if isinstance(node, ast.FunctionDef)]
    patches = [node for node in functions if node.name.startswith("Patch")]
    assert {patch.name for patch in patches} == {"PatchDPOTrainer", "PatchKTOTrainer"}
    assert all(isinstance(patch.body[0], ast.Return) for patch in patches)


@needs_unsloth
def test_its_fused_layers_look_up_which_adapter_is_active():
    """TRL computes the reference with "ref" active, or with all adapters off."""
    kernels = source("kernels/utils.py")
    assert '"disable_adapters"' in kernels and '"active_adapters"' in kernels


@needs_unsloth
def test_a_model_can_be_made_for_training_again_without_a_word_on_how():
    """`undisturbed` calls `model.for_training()`: it must be there, take the model alone, and drop the stale copies."""
    trees = [ast.parse(source(f"models/{file}")) for file in ("llama.py", "vision.py")]
    methods = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "for_training"
    ]
    assert len(methods) == 2
    for method in methods:
        assert len(method.args.args) - len(method.args.defaults) <= 1 and not method.args.kwonlyargs
    assert "del param._fast_lora" in source("models/_utils.py")
    assert "model.for_training = functools.partial(FastLlamaModel.for_training, model)" in source("models/llama.py")


@needs_unsloth
def test_one_part_of_the_rows_can_be_asked_for():
    """An explicit 1 is read as "in this process", by trainers of preferences too."""
    assert "desired <= 1" in source("dataset_num_proc.py")
    assert "dataset_num_proc" in source("models/rl.py")


def test_unsloth_can_patch_the_libraries_before_the_worker_imports_them():
    """The worker's modules import none of them as they are loaded; they do so in their functions, after Unsloth."""
    program = (
        "import sys, workbench.engine.train\n"
        "print(sorted({'transformers', 'peft', 'trl', 'bitsandbytes', 'accelerate', 'datasets'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_through_unsloth_never_runs_code_from_a_model():
    assert unsloth_load_arguments("folder", 1024, True, CARD)["trust_remote_code"] is False


def test_weights_are_loaded_in_the_type_that_the_trainer_computes_in():
    """Unsloth refuses a trainer of another: fp16 for a model in bf16, and the other way round."""
    assert unsloth_load_arguments("folder", 1024, True, CARD)["dtype"] == "bfloat16"
    assert unsloth_load_arguments("folder", 1024, True, T4)["dtype"] == "float16"


def test_a_precision_that_unsloth_would_round_is_left_to_transformers(monkeypatch):
    monkeypatch.delenv(load.WITHOUT_UNSLOTH, raising=False)
    assert load.find_unsloth(CARD, "fp32") == (False, "Unsloth has no kernels for full precision")
    assert load.find_unsloth(T4, "bf16") == (False, "Unsloth computes in 16 bits, and this card has no bf16")


def test_unsloth_is_asked_for_no_more_tokens_than_the_model_has_places_for(monkeypatch, tmp_path):
    """It would stretch the places, which makes another model of it. Where there are more, a sample answer of 96 tokens has room
    behind the longest example: Unsloth cuts what is longer. Here it only writes down what it is asked for."""
    import torch

    folder = shutil.copytree(shipped("assets") / "demo" / "model", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": 512}
    (folder / "config.json").write_text(json.dumps(config))
    asked = {}

    class FastLanguageModel:
        @staticmethod
        def from_pretrained(**arguments):
            asked.update(arguments)
            raise NotImplementedError("Unsloth: no card here!")

    monkeypatch.setitem(sys.modules, "unsloth", types.SimpleNamespace(FastLanguageModel=FastLanguageModel))
    monkeypatch.setenv("UNSLOTH_DISABLE_STATISTICS", "")
    monkeypatch.setenv("UNSLOTH_COMPILE_LOCATION", "")
    model = ModelRef(source="folder", name=str(folder))
    for max_length, wanted in ((2048, 512), (480, 512), (256, 352)):
        with pytest.raises(load.UnslothRefused, match="no card here"):
            load.load_base(model, "auto", T4, print, max_length, with_unsloth=True)
        assert (asked["max_seq_length"], asked["dtype"], asked["load_in_4bit"]) == (wanted, torch.float16, True)
        assert os.environ["UNSLOTH_DISABLE_STATISTICS"] == "1"


def refused(error: BaseException, backend: str = "unsloth", still: bool = True) -> type[BaseException]:
    """What becomes of an error that is raised while Unsloth may refuse."""
    try:
        with load.unsloth_may_refuse(backend, lambda: still):
            raise error
    except BaseException as become:
        return type(become)


def test_what_unsloth_does_not_support_is_a_refusal_and_what_the_machine_lacks_is_not():
    unknown = NotImplementedError("Unsloth: phi9 is not yet implemented!")
    assert refused(unknown) is load.UnslothRefused
    assert refused(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")) is RuntimeError
    assert refused(OSError(28, "No space left on device")) is OSError
    assert refused(WorkbenchError("As it is.")) is WorkbenchError
    assert refused(unknown, backend="transformers") is NotImplementedError
    assert refused(unknown, still=False) is NotImplementedError
