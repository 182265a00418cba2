"""Likeness of two programs in style: names, calls and shape. A measure of what rewriting a corpus changes.

Code Style Similarity of ReCo (ACL 2024, arXiv 2401.04514) for Python. Programs are parsed, never run. The paper parses
with tree-sitter, here it is Python's own parser: the trees are others, so its figures are not comparable.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeStyle:
    """What is compared of a program: distinct names of variables, distinct names that are called, and the tree."""

    variables: frozenset[str]
    calls: frozenset[str]
    tree: Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree in post-order: the label of each node, and the place of the leftmost leaf below it."""

    labels: tuple[str, ...]
    leftmost: tuple[int, ...]


def code_style_similarity(one: str, other: str, *, idf: Mapping[str, float] | None = None) -> float | None:
    """From 0 to 1: the mean of the similarities of variable names, of called names, and of tree shape.

    Args:
        idf: weight of each name, from `name_idf`; a name left out weighs 1.
    Returns:
        None where a text is no Python that can be parsed.
    >>> code_style_similarity("total = sum(rows)", "total = sum(rows)")
    1.0
    """
    first, second = code_style(one), code_style(other)
    if first is None or second is None:
        return None
    weights = idf or {}
    parts = (
        names_similarity(first.variables, second.variables, weights),
        names_similarity(first.calls, second.calls, weights),
        1.0 - tree_distance(first.tree, second.tree) / max(len(first.tree.labels), len(second.tree.labels)),
    )
    return sum(parts) / len(parts)


def name_idf(programs: Iterable[str]) -> dict[str, float]:
    """Name -> log(programs / programs that have it), over those programs that can be parsed."""
    styles = [style for program in programs if (style := code_style(program)) is not None]
    having = Counter(name for style in styles for name in style.variables | style.calls)
    return {name: math.log(len(styles) / count) for name, count in having.items()}


def code_style(program: str) -> CodeStyle | None:
    """The style of a program; None where it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful escapes and the like are no concern of ours
            root = ast.parse(program)
        nodes = list(ast.walk(root))
        variables = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        variables |= {n.arg for n in nodes if isinstance(n, ast.arg)}
        called = [n.func for n in nodes if isinstance(n, ast.Call)]
        names = {f.attr if isinstance(f, ast.Attribute) else f.id for f in called if isinstance(f, _NAMED)}
        return CodeStyle(variables=frozenset(variables), calls=frozenset(names), tree=_tree(root))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


_NAMED = (ast.Attribute, ast.Name)


def names_similarity(one: Iterable[str], other: Iterable[str], idf: Mapping[str, float]) -> float:
    """How well the names of each side are met on the other, the worse of both directions; 1 where neither has names."""
    first, second = sorted(one), sorted(other)
    if not first or not second:
        return float(not first and not second)
    return min(_met(first, second, idf), _met(second, first, idf))


def edit_similarity(one: str, other: str) -> float:
    """1 - Levenshtein distance / length of the longer.

    >>> edit_similarity("rows", "row")
    0.75
    """
    previous = list(range(len(other) + 1))
    for row, left in enumerate(one, start=1):
        current = [row]
        for column, right in enumerate(other, start=1):
            current.append(min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (left != right)))
        previous = current
    return 1.0 - previous[-1] / max(len(one), len(other), 1)


def tree_distance(one: Tree, other: Tree) -> int:
    """Fewest insertions, deletions and relabellings of nodes (Zhang and Shasha, SIAM J. Computing 1989)."""
    distance = [[0] * len(other.labels) for _ in one.labels]
    for root in _key_roots(one):
        for against in _key_roots(other):
            _fill(one, other, root, against, distance)
    return distance[-1][-1]


def _fill(one: Tree, other: Tree, i: int, j: int, distance: list[list[int]]) -> None:
    """Distances of all pairs of subtrees whose leftmost leaf is that of `i` and `j`, by way of forests."""
    first, second = one.leftmost[i], other.leftmost[j]
    forest = [[0] * (j - second + 2) for _ in range(i - first + 2)]
    for x in range(1, i - first + 2):
        forest[x][0] = x
    for y in range(1, j - second + 2):
        forest[0][y] = y
    for x in range(1, i - first + 2):
        for y in range(1, j - second + 2):
            node, other_node = first + x - 1, second + y - 1
            without = min(forest[x - 1][y], forest[x][y - 1]) + 1
            if one.leftmost[node] == first and other.leftmost[other_node] == second:
                kept = forest[x - 1][y - 1] + (one.labels[node] != other.labels[other_node])
                forest[x][y] = distance[node][other_node] = min(without, kept)
            else:
                before = forest[one.leftmost[node] - first][other.leftmost[other_node] - second]
                forest[x][y] = min(without, before + distance[node][other_node])


def _key_roots(tree: Tree) -> list[int]:
    """The highest node of each leftmost leaf, ascending."""
    return sorted({leaf: node for node, leaf in enumerate(tree.leftmost)}.values())


def _tree(root: ast.AST) -> Tree:
    """Post-order without recursion; the context of a name (loaded, stored) is no node."""
    labels: list[str] = []
    leftmost: list[int] = []
    waiting: list[tuple[ast.AST, int]] = [(root, -1)]
    while waiting:
        node, first = waiting.pop()
        if first >= 0:  # all below it is done, and began at `first`
            leftmost.append(first)
            labels.append(type(node).__name__)
            continue
        waiting.append((node, len(labels)))
        children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
        waiting += [(child, -1) for child in reversed(children)]
    return Tree(labels=tuple(labels), leftmost=tuple(leftmost))


def _met(names: Sequence[str], others: Sequence[str], idf: Mapping[str, float]) -> float:
    """Mean over names of the best edit similarity among the others, by weight; plain where all weights are 0."""
    best = [max(edit_similarity(name, other) for other in others) for name in names]
    weights = [idf.get(name, 1.0) for name in names]
    if not sum(weights):
        weights = [1.0] * len(names)
    return sum(weight * value for weight, value in zip(weights, best, strict=True)) / sum(weights)
