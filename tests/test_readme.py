"""The README says what is true: its commands, its table of settings, its front matter."""

import re
from pathlib import Path

import yaml

from workbench.core.training.config import fields
from workbench.store import presets

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def settings_table() -> str:
    """The table that belongs between the two marks of the README."""
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    for name, field in fields().items():
        if name == "name" or name.startswith("model."):
            continue
        default = (
            ""
            if field.is_required() or field.default is None
            else f"{field.default:g}"
            if isinstance(field.default, float)
            else field.default
        )
        lines.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(lines)


def test_the_table_of_settings_is_that_of_the_fields():
    inside = README.split("<!-- settings -->")[1].split("<!-- /settings -->")[0].strip()
    assert inside == settings_table(), f"put this between the marks:\n\n{settings_table()}"


def test_every_setting_has_a_title_and_a_sentence():
    for name, field in fields().items():
        if not name.startswith("model."):
            assert field.title and field.description and field.description.endswith("."), name


def test_ci_finds_the_test_command_where_it_looks_for_it():
    block = re.search(r"<!-- test command -->\n```bash\n(.+)\n```", README)
    assert block and block[1] == 'pip install -e ".[test,gguf]" && pytest'
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()


def test_the_front_matter_runs_the_app_on_a_space():
    front = yaml.safe_load(README.split("---")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert (ROOT / front["app_file"]).is_file()
    assert front["python_version"] in ("3.11", "3.12", "3.13")
    assert len(front["short_description"]) <= 60


def test_what_the_readme_counts_is_there():
    assert f"one of {len(presets.models())} known models" in README
    for file in re.findall(r"\]\(([a-zA-Z/_.]+)\)", README):
        assert (ROOT / file).is_file(), file
