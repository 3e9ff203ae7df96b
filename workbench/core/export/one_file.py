"""A module of the workbench with all that it uses of other ones, as one file that needs no workbench."""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Read = Callable[[str], str]
"""The text of a module, by its dotted name."""

PACKAGE = "workbench"

_IGNORED = re.compile(r"  # type: ignore\[[\w-]+\]")


@dataclass(frozen=True)
class _Module:
    """What stands at the top of a module. own: name -> the statement that makes it. imported: name -> (module, name in it);
    of a whole module that is imported, the second one is ""."""

    name: str
    text: str
    body: list[ast.stmt]
    own: dict[str, ast.stmt]
    imported: dict[str, list[tuple[str, str]]]


@dataclass
class _File:
    """The file as it grows. parts: (module, name) -> its text, dependencies first. imports: of other packages."""

    read: Read
    modules: dict[str, _Module] = field(default_factory=dict)
    parts: dict[tuple[str, str], str] = field(default_factory=dict)
    imports: set[tuple[str, str]] = field(default_factory=set)

    def module(self, name: str) -> _Module:
        if name not in self.modules:
            self.modules[name] = _parsed(name, self.read(name))
        return self.modules[name]

    def need(self, module: str, name: str) -> None:
        """Take in a name of a module, after what it uses itself."""
        if not module.startswith(PACKAGE + "."):
            self.imports.add((module, name))
            return
        found = self.module(module)
        if name in found.imported:
            for origin in found.imported[name]:
                self.need(*origin)
        elif name in found.own and (module, name) not in self.parts:
            clash = next((other for other, taken in self.parts if taken == name), None)
            if clash:
                raise ValueError(f"{module} and {clash} both have {name}: one file holds only one of that name")
            statement = found.own[name]
            self.parts[module, name] = ""  # what uses itself ends here
            self.uses(found, statement)
            self.parts[module, name] = self.parts.pop((module, name)) or _text(found, statement)

    def uses(self, module: _Module, statement: ast.AST) -> None:
        for name in _names(statement):
            if name in module.own or name in module.imported:
                self.need(module.name, name)


def one_file(start: str, read: Read, given: Mapping[str, str], also: Mapping[str, str]) -> tuple[str, str, str]:
    """Its imports, what was taken from other modules, and the module `start` itself without its docstring and settings.

    given: names of `start` that are set elsewhere in the file, and left out here. also: names that those settings use ->
    the modules that they come from. Raises ValueError where two modules have a name for different things.
    """
    file = _File(read)
    module = file.module(start)
    kept = [one for one in module.body if not _is_import(one) and not (set(_made_by(one)) & given.keys())][1:]
    for name, origin in also.items():
        file.need(origin, name)
    for statement in kept:
        for name in _names(statement):
            if name in module.imported:
                for place in module.imported[name]:
                    file.need(*place)
    if twice := {name for _, name in file.parts} & module.own.keys():
        raise ValueError(f"{start} and what it uses both have {', '.join(sorted(twice))}")
    taken = "\n\n\n".join(text for text in file.parts.values())
    return _import_lines(file.imports), taken, "\n\n\n".join(_joined(module, kept))


def _parsed(name: str, text: str) -> _Module:
    body = ast.parse(text).body
    own: dict[str, ast.stmt] = {}
    imported: dict[str, list[tuple[str, str]]] = {}
    for statement in body:
        for made in _made_by(statement):
            own[made] = statement
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                imported.setdefault(alias.asname or alias.name, []).append((statement.module or "", alias.name))
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                imported.setdefault(alias.name.split(".")[0], []).append((alias.name, ""))
    return _Module(name, text, body, own, imported)


def _made_by(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a module makes."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        yield from (one.id for one in statement.targets if isinstance(one, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id


def _is_import(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Import | ast.ImportFrom)


def _names(statement: ast.AST) -> list[str]:
    """The names that it reads, in their order. Raises ValueError where it imports of the workbench by itself."""
    found = dict.fromkeys(node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
    for node in ast.walk(statement):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            raise ValueError(f"line {node.lineno} imports {node.module} inside a function")
    return list(found)


def _text(module: _Module, statement: ast.stmt) -> str:
    """A statement as it is written, with the comment above it and the sentence below it."""
    lines = module.text.splitlines()
    first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", []))]) - 1
    while first and lines[first - 1].startswith("#"):
        first -= 1
    last = statement.end_lineno or statement.lineno
    after = module.body[module.body.index(statement) + 1 : module.body.index(statement) + 2]
    if _made_by_assigning(statement) and after and _is_sentence(after[0]):
        last = after[0].end_lineno or last
    return _IGNORED.sub("", "\n".join(lines[first:last]))


def _made_by_assigning(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign | ast.AnnAssign)


def _is_sentence(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _joined(module: _Module, kept: list[ast.stmt]) -> Iterator[str]:
    """The statements of the module itself; constants that follow one another stand together."""
    constants: list[str] = []
    for statement in kept:
        if _made_by_assigning(statement):
            constants.append(_text(module, statement))
        elif not _is_sentence(statement):
            if constants:
                yield "\n".join(constants)
                constants = []
            yield _text(module, statement)


def _import_lines(imports: set[tuple[str, str]]) -> str:
    """As isort has them: the standard library first; whole modules before names."""
    by_module: dict[str, list[str]] = {}
    for module, name in imports:
        by_module.setdefault(module, []).extend([name] if name else [])
    whole = {module for module, name in imports if not name}
    groups: tuple[list[str], list[str]] = ([], [])
    for wholly in (True, False):
        for module in sorted(by_module, key=str.lower):
            group = groups[module.split(".")[0] not in sys.stdlib_module_names]
            names = sorted(set(by_module[module]), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
            if wholly and module in whole:
                group.append(f"import {module}")
            elif not wholly and names:
                line = f"from {module} import {', '.join(names)}"
                group.append(line if len(line) <= 120 else _wrapped(module, names))
    return "\n\n".join("\n".join(group) for group in groups if group)


def _wrapped(module: str, names: list[str]) -> str:
    return "\n".join([f"from {module} import (", *[f"    {name}," for name in names], ")"])
