"""The pages in docs/ say what is true: the workbench's words that they quote, their links, their table of recipes."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from workbench.core.errors import TROUBLE_PAGE
from workbench.store import presets

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PICTURES = 1_500_000  # bytes, in all

_FENCED = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# Somebody's home, a temporary folder, a drive of Windows. What a placeholder stands for is in capitals.
_PATH_OF_A_MACHINE = re.compile(r"(?<![\w.~])/(?:home|Users|root|tmp|work|mnt|var)/|\b[A-Za-z]:\\")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def quotes(page: Path) -> list[str]:
    """What stands behind a bar: each block of it in one line."""
    blocks = re.findall(r"(?:^ *> ?.*\n?)+", prose(page), re.MULTILINE)
    return [" ".join(re.sub(r"^ *> ?", "", block, flags=re.MULTILINE).split()) for block in blocks]


@cache
def sentences() -> tuple[str, ...]:
    """Every text in the package's source; what is filled in stands as a NUL."""
    found = set()
    for file in (ROOT / "workbench").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(" ".join(node.value.split()))
            elif isinstance(node, ast.JoinedStr):
                parts = [one.value if isinstance(one, ast.Constant) else "\0" for one in node.values]
                found.add(" ".join("".join(map(str, parts)).split()))
    return tuple(found)


def is_said(quote: str) -> bool:
    """Whether one text of the source has all parts of a quote, in their order. Between them anything may be filled in."""
    parts = [re.escape(part.strip()) for part in quote.split("...") if part.strip(" .()")]
    pattern = re.compile(".*?".join(parts))
    return bool(parts) and any(pattern.search(text) for text in sentences())


def test_every_message_that_the_trouble_page_quotes_is_in_the_source():
    said = quotes(ROOT / TROUBLE_PAGE)
    assert len(said) > 30
    assert [quote for quote in said if not is_said(quote)] == []


def test_a_message_that_nobody_says_would_be_found():
    assert not is_said("The worker is ... and happy.")
    assert not is_said("...")


def test_the_trouble_page_has_fifteen_errors_with_a_thread_and_what_to_do_about_each():
    sections = re.split(r"^## ", (ROOT / TROUBLE_PAGE).read_text(encoding="utf-8"), flags=re.MULTILINE)
    errors = [section for section in sections if re.match(r"\d+\. ", section)]
    assert len(errors) == 15
    for section in errors:
        assert re.search(r"https://github\.com/[\w-]+/[\w-]+/(?:issues|pull)/\d+", section), section[:60]
        assert all(f"**{part}:**" in section for part in ("Elsewhere", "Here", "Do")), section[:60]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(page: Path):
    broken = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or anchor and anchor not in anchors(target):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_path_of_a_machine(page: Path):
    assert _PATH_OF_A_MACHINE.findall(page.read_text(encoding="utf-8")) == []


def test_every_page_is_in_the_index_and_every_picture_on_a_page():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in DOCS.glob("*.md") if page.name != "README.md" and f"({page.name})" not in index] == []
    shown = {link for page in PAGES for link in _LINK.findall(prose(page))}
    pictures = list((DOCS / "pictures").glob("*"))
    assert pictures and [one.name for one in pictures if f"pictures/{one.name}" not in shown] == []
    assert sum(one.stat().st_size for one in pictures) < PICTURES


def recipes_by_card() -> str:
    """The tables that belong between the two marks of recipes.md."""
    titles = {one.id: one.title for one in presets.models()}
    order = list(titles)
    lines = []
    for card in presets.cards():
        lines += [
            f"### {card.title}",
            "",
            "| for | models, smallest first | tokens | at once x accumulation | optimizer | checkpointing |",
        ]
        lines.append("|---|---|---|---|---|---|")
        for purpose in presets.purposes():
            one = next((entry for entry in presets.recipes() if entry.id == f"{purpose.id}-{card.id}"), None)
            if one is None:
                continue
            models = ", ".join(titles.get(name, name) for name in sorted(one.models, key=order.index))
            values = one.settings
            lines.append(
                f"| {purpose.title} | {models} | {values['max_length']:,} | {values['batch_size']} x {values['accumulation']} | "
                f"`{values['optimizer']}` | {values['gradient_checkpointing']} |"
            )
        lines.append("")
    return "\n".join(lines).strip()


def purposes_and_others() -> str:
    """The list that belongs between the other two marks of recipes.md."""
    lines = ["| recipe | what for | where its values come from |", "|---|---|---|"]
    for one in [*presets.purposes(), *presets.single_recipes()]:
        lines.append(f"| **{one.title}** (`{one.id}`) | {one.summary} | {one.source} |")
    return "\n".join(lines)


def between(mark: str) -> str:
    page = (DOCS / "recipes.md").read_text(encoding="utf-8")
    return page.split(f"<!-- {mark} -->")[1].split(f"<!-- /{mark} -->")[0].strip()


def test_the_recipes_are_those_of_the_presets():
    assert between("recipes") == purposes_and_others(), f"put this between the marks:\n\n{purposes_and_others()}"


def test_the_recipes_by_card_are_those_of_the_presets():
    assert between("cards") == recipes_by_card(), f"put this between the marks:\n\n{recipes_by_card()}"
