"""Python code -> its syntax tree, kept to statements and calls, each node with its text."""

from __future__ import annotations

import ast
import textwrap
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

MOST_NODES = 48
"""Of a tree, the nearest to its root: what lies deeper is in the text of what is above it."""
_LONGEST = 160
"""Characters of a node's text."""
_DEEPEST = 200
"""Levels of a tree, and so of calls within calls; a tree that is deeper was made to be."""
KINDS = (
    *("Module", "FunctionDef", "AsyncFunctionDef", "ClassDef", "arguments", "Return", "Delete", "Assign", "AugAssign"),
    *("AnnAssign", "For", "AsyncFor", "While", "If", "With", "AsyncWith", "Match", "Raise", "Try", "Assert", "Import"),
    *("ImportFrom", "Global", "Nonlocal", "Expr", "Pass", "Break", "Continue", "Call", "ExceptHandler", "Lambda"),
)
"""Names of `ast` that are nodes; what is none of them hangs its own nodes on the nearest that is."""
_NUMBER = {name: number for number, name in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class CodeGraph:
    """A tree, the root first. `kinds`: places in `KINDS`. `parents`: of each node, -1 of the root, always of an earlier place."""

    texts: tuple[str, ...]
    kinds: tuple[int, ...]
    parents: tuple[int, ...]


def graph_of(code: str) -> CodeGraph | None:
    """The graph of a snippet of Python; None where it cannot be parsed, as where it is cut off, or another language.

    >>> graph_of("def f(a):\\n    return g(a)").parents
    (-1, 0, 1, 1, 3)
    """
    text = textwrap.dedent(code)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the code says, such as an escape that is none
            root = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = text.splitlines(keepends=True)
    texts, kinds, parents = [" ".join(text[:_LONGEST].split())], [_NUMBER["Module"]], [-1]
    waiting: deque[tuple[ast.AST, int, int]] = deque((child, 0, 1) for child in ast.iter_child_nodes(root))
    while waiting and len(texts) < MOST_NODES:
        node, parent, depth = waiting.popleft()
        number = _NUMBER.get(type(node).__name__)
        if number is not None:
            texts.append(_text(node, lines))
            kinds.append(number)
            parents.append(parent)
            parent = len(texts) - 1
        if depth < _DEEPEST:
            waiting.extend((child, parent, depth + 1) for child in ast.iter_child_nodes(node))
    return CodeGraph(tuple(texts), tuple(kinds), tuple(parents)) if len(texts) > 1 else None


def _text(node: ast.AST, lines: list[str]) -> str:
    """What stands there, on one line, its beginning alone."""
    if isinstance(node, ast.arguments):
        return " ".join(each.arg for each in _arguments(node))[:_LONGEST]
    if not isinstance(node, (ast.stmt, ast.expr, ast.excepthandler)):
        return type(node).__name__
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    said = b"".join(line.encode() for line in lines[first : min(last, first + 8) + 1])
    ended = node.end_col_offset if first == last else None
    return " ".join(said[node.col_offset : ended].decode(errors="ignore").split())[:_LONGEST]


def _arguments(node: ast.arguments) -> Iterator[ast.arg]:
    yield from (*node.posonlyargs, *node.args)
    yield from (each for each in (node.vararg, *node.kwonlyargs, node.kwarg) if each is not None)
