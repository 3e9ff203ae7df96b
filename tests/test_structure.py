"""The arrows between the rooms, read from the imports."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench
from workbench.core.training.methods import METHODS

PACKAGE = Path(workbench.__file__).parent
MAY_IMPORT = {
    "core": set(),
    "store": {"core"},
    "jobs": {"store", "core"},
    "engine": {"store", "core"},
    "ui": {"jobs", "store", "core"},
}
CORE_MAY_IMPORT = {
    "data/formats": {"data"},
    "data/doctor": {"data", "data/formats"},
    "data": set(),
    "training": set(),
    "memory": {"training"},
    "monitoring": {"training"},
    "report": {"data", "training", "votes", "chat"},
    "export": {"training", "chat"},
    "chat": {"data", "training"},
    "votes": {"data", "chat"},
}
"""Folders of core, most particular first, and the one file that stands on two of them. Every one may also import the other
files that lie in core itself, which import no folder."""
NAME_METHODS = {"core/training/methods.py", "core/training/settings.py"}
"""The table of training methods and their settings: the only files that may name a stage by its id."""
NAME_KINDS = {"core/data/", "store/datasets/"}
"""Where "sft" is a kind of data, as datasets on disk name it."""
ONLY_IN_ENGINE = {"torch", "transformers", "trl", "peft", "bitsandbytes", "unsloth", "accelerate"}


def imports(file: Path) -> set[str]:
    """Dotted names of every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_of(file: Path) -> set[str]:
    parts = [name.split(".") for name in imports(file) if name.startswith("workbench.")]
    return {part[1] for part in parts if part[1] in MAY_IMPORT}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_before_it(room):
    files = list((PACKAGE / room).glob("**/*.py"))
    assert files
    for file in files:
        assert rooms_of(file) <= MAY_IMPORT[room] | {room}, file


def core_folder_of(dotted: str) -> str | None:
    """The folder of core that a module lies in; None for a file in core itself."""
    path = dotted.removeprefix("workbench.core.").replace(".", "/") + "/"
    return next((folder for folder in CORE_MAY_IMPORT if path.startswith(folder + "/")), None)


def test_folders_of_core_import_only_what_stands_before_them():
    seen = set()
    for file in (PACKAGE / "core").glob("**/*.py"):
        here = core_folder_of("workbench.core." + file.relative_to(PACKAGE / "core").with_suffix("").as_posix())
        seen.add(here)
        used = {core_folder_of(name) for name in imports(file) if name.startswith("workbench.core.")}
        assert used - {here, None} <= CORE_MAY_IMPORT.get(here or "", set()), file
    assert seen == {*CORE_MAY_IMPORT, None}


# Words that mean other things too, such as the key of a number: these are not looked for.
EVERYDAY = {"reward"}


def named_methods(file: Path) -> set[str]:
    """What in a file names a stage: a text that is its id, begins a dotted setting or a chain with it, or an attribute."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            found |= (set(METHODS) - EVERYDAY) & set(re.split(r"[.+]", node.value))
        elif isinstance(node, ast.Attribute) and node.attr in set(METHODS) - EVERYDAY:
            found.add(node.attr)
    return found


def test_only_the_table_of_methods_and_their_settings_name_a_method():
    seen = set()
    for file in PACKAGE.glob("**/*.py"):
        place = file.relative_to(PACKAGE).as_posix()
        named = named_methods(file)
        if place in NAME_METHODS:
            seen.add(place)
            assert named, place
        elif any(place.startswith(folder) for folder in NAME_KINDS):
            assert named <= {"sft"}, place
        else:
            assert not named, place
    assert seen == NAME_METHODS


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if room != "engine"])
def test_the_training_stack_stays_in_the_engine(room):
    for file in [*(PACKAGE / room).glob("**/*.py"), *(PACKAGE / "cli").glob("*.py")]:
        assert not {name.split(".")[0] for name in imports(file)} & ONLY_IN_ENGINE, file


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if room != "ui"])
def test_gradio_stays_in_the_ui(room):
    for file in (PACKAGE / room).glob("**/*.py"):
        assert "gradio" not in {name.split(".")[0] for name in imports(file)}, file


def test_no_page_imports_itself_by_way_of_others():
    """Imports for types alone count too: what crosses pages is wired by the shell, which no page knows."""
    ui = {
        f"workbench.{file.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}": file
        for file in (PACKAGE / "ui").glob("**/*.py")
    }
    assert len(imports(ui["workbench.ui.shell"]) & ui.keys()) > 5
    try:
        graphlib.TopologicalSorter({name: imports(file) & ui.keys() for name, file in ui.items()}).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of the package, with its file and name."""
    for file in PACKAGE.glob("**/*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{file.relative_to(PACKAGE)}:{node.name}", node


def test_no_function_is_longer_than_a_screen():
    assert [name for name, node in functions() if (node.end_lineno or 0) - node.lineno >= 80] == []


def test_functions_take_few_arguments():
    """More than seven, self aside, in three at most."""
    many = []
    for name, node in functions():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if len([one for one in arguments if one.arg not in ("self", "cls")]) > 7:
            many.append(name)
    assert len(many) <= 3, many


def test_the_core_needs_nothing_but_the_standard_library_and_pydantic():
    for file in (PACKAGE / "core").glob("**/*.py"):
        outside = {name.split(".")[0] for name in imports(file)} - set(sys.stdlib_module_names) - {"workbench"}
        assert outside <= {"pydantic"}, file


def test_no_file_switches_remote_code_on():
    for file in PACKAGE.glob("**/*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, file
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "trust_remote_code":
                        assert isinstance(value, ast.Constant) and value.value is False, file


def test_the_command_line_loads_neither_gradio_nor_torch_to_list_runs(tmp_path):
    program = (
        "import sys; from workbench.cli import main; main(['runs', '--json']);"
        "print(sorted({'gradio', 'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={"WORKBENCH_HOME": str(tmp_path), "PATH": ""},
        cwd=PACKAGE.parent,
    )
    assert done.stdout.splitlines() == ["[]", "[]"], done.stderr
