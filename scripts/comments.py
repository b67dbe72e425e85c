"""Take comments, internal docstrings and an internal `__all__` out of a module, and leave its code and its lines.

The wheel for devices is made of such modules (`runtime_wheel.py`). What goes becomes empty lines, so that a traceback
names the lines of the repository.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Collection

__all__ = ["without_comments"]

CALLED = ("__call__", "__init__")
Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code(source: str) -> str:
    """The syntax tree as text, without docstrings and `__all__`: what must not change."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not is_list_of_names(node)]
    for node in ast.walk(tree):
        if isinstance(node, Documented) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)


def exported(tree: ast.Module) -> set[str]:
    """The names in `__all__`."""
    lists = (node.value for node in tree.body if isinstance(node, ast.Assign) and is_list_of_names(node))
    return {name for value in lists for name in ast.literal_eval(value)}


def is_list_of_names(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets)


def internal_docstrings(tree: ast.Module, public: Collection[str]) -> list[ast.stmt]:
    """The docstrings of `tree` that are not public: not of a name in `public`, nor of a public method of one.

    The module's docstring stays if such a name is in its `__all__`. A class or function with nothing else in its body
    keeps its own.
    """
    found: list[ast.stmt] = []

    def visit(node: ast.AST, shown: bool) -> None:
        internal = isinstance(node, Documented) and not shown
        if internal and len(node.body) > 1 and ast.get_docstring(node, clean=False) is not None:
            found.append(node.body[0])
        for child in ast.iter_child_nodes(node):
            name = getattr(child, "name", "")
            of_module = isinstance(node, ast.Module) and name in public
            of_class = isinstance(node, ast.ClassDef) and shown and (not name.startswith("_") or name in CALLED)
            visit(child, of_module or of_class)

    visit(tree, not set(public).isdisjoint(exported(tree)))
    return found


def without_comments(source: str, public: Collection[str] = ()) -> str:
    """`source` without comments, and without docstrings except those of what `public` names. A module that has none of
    these names loses its `__all__`."""
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
    tree = ast.parse(source)
    needless = internal_docstrings(tree, public)
    if set(public).isdisjoint(exported(tree)):
        needless += filter(is_list_of_names, tree.body)
    for statement in needless:
        for row in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1):
            lines[row - 1] = "\n"
    lean = "".join(lines)
    if code(lean) != code(source):
        raise ValueError("a docstring shares its line with code; put it on a line of its own")
    return lean
