"""What is installed with the workbench: one list of requirements, with bounds, and nothing used that is not named."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import workbench
from workbench.store.gguf_converter import FITS

ROOT = Path(workbench.__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"

pytestmark = pytest.mark.skipif(not PYPROJECT.exists(), reason="an installed wheel has no pyproject.toml beside it")

# Import name -> the requirement that brings it, where they differ. FastAPI is a layer over Starlette.
DISTRIBUTIONS = {"pynvml": "nvidia-ml-py", "starlette": "fastapi", "PIL": "pillow"}
# Asked for only where a card is or a GGUF is wanted, and imported only where it is found.
OPTIONAL = {"unsloth", "spaces", "gguf", "llama_cpp", "trackio", "wandb"}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines]
    return {canonical(requirement.name): requirement for requirement in found}


def test_spaces_and_pip_install_the_same(project):
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    stated = [line for line in lines if line and not line.startswith("#")]
    assert stated == project["dependencies"]


def test_every_requirement_has_a_floor(project):
    for requirement in requirements_of(project["dependencies"]).values():
        assert any(bound.operator in (">=", ">") for bound in requirement.specifier), str(requirement)


def test_every_requirement_says_why_it_is_there():
    """A comment behind each line of the list, so that a requirement without a reason is seen."""
    text = PYPROJECT.read_text(encoding="utf-8")
    lines = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)[1].splitlines()
    assert len(lines) > 10
    assert [line for line in lines if " # " not in line] == []


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("torch", "2.13.0", "2.14.0"),
        ("transformers", "5.17.0", "5.18.0"),
        ("transformers", "5.3.0", "5.2.0"),
        ("trl", "1.14.2", "1.15.0"),
        ("peft", "0.21.2", "0.22.0"),
        ("bitsandbytes", "0.50.2", "0.51.0"),
        ("datasets", "4.8.5", "5.0.0"),
        ("huggingface-hub", "1.16.0", "2.0.0"),
        ("gradio", "6.31.0", "6.30.0"),
        ("gradio", "6.31.0", "7.0.0"),
        ("fastapi", "0.132.0", "0.131.0"),
    ],
)
def test_the_versions_that_are_known_to_go_together_are_the_ones_that_are_asked_for(project, name, allowed, refused):
    bounds = requirements_of(project["dependencies"])[name].specifier
    assert bounds.contains(allowed)
    assert not bounds.contains(refused)


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("linux", "x86_64", {"unsloth"}),
        ("linux", "aarch64", set()),
        ("win32", "AMD64", {"unsloth"}),
        ("darwin", "arm64", set()),
    ],
)
def test_the_gpu_extra_asks_only_for_what_a_system_can_have(project, system, machine, expected):
    environment = {"sys_platform": system, "platform_machine": machine}
    extra = requirements_of(project["optional-dependencies"]["gpu"])
    assert {name for name, requirement in extra.items() if requirement.marker.evaluate(environment)} == expected


def test_unsloth_starts_at_the_release_without_its_vulnerability(project):
    bounds = requirements_of(project["optional-dependencies"]["gpu"])["unsloth"].specifier
    assert bounds.contains("2026.8.20")
    assert not bounds.contains("2026.8.19")


def test_the_gguf_extra_asks_for_the_versions_that_fit_each_other(project):
    extra = requirements_of(project["optional-dependencies"]["gguf"])
    assert {name: str(extra[name].specifier) for name in FITS} == {
        name: f"=={version}" for name, version in FITS.items()
    }
    assert str(requirements_of(project["optional-dependencies"]["test"])["gguf"].specifier) == f"=={FITS['gguf']}"


def test_the_version_is_the_packages_own(project):
    assert project["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", workbench.__version__)


def test_everything_that_is_imported_is_asked_for(project):
    named = requirements_of(project["dependencies"])
    unnamed = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*(ROOT / "workbench").rglob("*.py"), *ROOT.glob("app.py")]
        for name in third_party_imports(path) - OPTIONAL
        if canonical(DISTRIBUTIONS.get(name, name)) not in named
    }
    assert unnamed == set()


def third_party_imports(path: Path) -> set[str]:
    """Top-level names of the packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return {name.split(".")[0] for name in found} - sys.stdlib_module_names - {"workbench"}
