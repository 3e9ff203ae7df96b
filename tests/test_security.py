"""SECURITY.md: each promise names tests, and each of them exists."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "SECURITY.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="an installed wheel has no SECURITY.md beside it")


def test_every_promise_is_held_by_tests_that_exist():
    named = re.findall(r"`tests/([\w/]+\.py)::(\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 60
    missing = []
    for file, test in named:
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        if test not in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{file}::{test}")
    assert missing == []


def test_no_row_of_promises_is_without_a_test():
    """A table of promises has two columns, and the second one names at least one test."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    heads = {"promise", "threat or fault", "who"}
    of_tests, held = False, 0
    for row in rows:
        first, second = (cell.strip() for cell in row.strip("|").split("|", 1))
        if first in heads:
            of_tests = "held by" in second
        elif of_tests:
            assert "`tests/" in second, first
            held += 1
    assert held > 40
