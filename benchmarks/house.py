"""How large the house is: lines, long files and functions, modules that one other module imports.

    python -m benchmarks.house

The centre is `rag`, `retrievers`, `rerankers`, `generators` and `prompts`; plug-ins stand beside it. Tests, benchmarks and
examples do not count.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

HOUSE = Path(__file__).parents[1]
CENTRE = ("rag", "retrievers", "rerankers", "generators", "prompts")
PLUGINS = "plugins"

LONG_FILE, LONG_FUNCTION, SMALL_MODULE = 500, 60, 60
"""Lines."""
_NO_CODE = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)


@dataclass(frozen=True)
class Source:
    """A file of Python. `path`: in the checkout, with slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """What it says."""
        return ast.parse(self.text)

    @property
    def module(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def n_lines(self) -> int:
        """All of its lines."""
        return self.text.count("\n")

    @property
    def n_code_lines(self) -> int:
        """Lines that hold code: no blank ones, comments and docstrings."""
        lines = set[int]()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in _NO_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
        return len(lines - set(self._docstring_lines()))

    @property
    def long_functions(self) -> list[str]:
        """Functions of more than `LONG_FUNCTION` lines, without their decorators."""
        return [
            f"{self.path}:{node.lineno} {node.name}"
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or node.lineno) - node.lineno + 1 > LONG_FUNCTION
        ]

    def _docstring_lines(self) -> Iterator[int]:
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def sources(*rooms: str) -> list[Source]:
    """The files of these folders of the checkout, in the order of their names; of plug-ins without their tests."""
    files = sorted(file for room in rooms for file in (HOUSE / room).rglob("*.py"))
    paths = [(file.relative_to(HOUSE).as_posix(), file) for file in files]
    inner = re.compile(rf"{PLUGINS}/[^/]+/(tests|benchmarks)/")
    return [Source(path, file.read_text()) for path, file in paths if not inner.match(path)]


def importers(files: Sequence[Source]) -> dict[str, set[str]]:
    """Module -> the modules that import it or a name of it; a registry that names one by text imports it too."""
    known = {each.module for each in files}
    found: dict[str, set[str]] = {module: set() for module in known}
    for each in files:
        for name in _imported(each):
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name and name != each.module:
                found[name].add(each.module)
    return found


def _imported(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.]+:\w+", node.value):
            yield node.value.partition(":")[0]


def measured() -> dict[str, int]:
    """Every number of the table, by its name."""
    centre, plugins = sources(*CENTRE), sources(PLUGINS)
    by_module = {each.module: each for each in centre}
    alone = [module for module, others in importers(centre).items() if len(others) == 1]
    return {
        "lines of the centre": sum(each.n_lines for each in centre),
        "lines of centre and plug-ins": sum(each.n_lines for each in [*centre, *plugins]),
        "lines of centre and plug-ins that hold code": sum(each.n_code_lines for each in [*centre, *plugins]),
        f"files over {LONG_FILE} lines": sum(each.n_lines > LONG_FILE for each in [*centre, *plugins]),
        f"functions over {LONG_FUNCTION} lines": sum(len(each.long_functions) for each in [*centre, *plugins]),
        f"modules with one importer, under {SMALL_MODULE} lines": sum(
            by_module[module].n_lines < SMALL_MODULE for module in alone
        ),
        "pages of docs beside the reference": len(list((HOUSE / "docs").glob("*.md"))),
    }


def main() -> int:
    """Print the table, and what is long."""
    for name, number in measured().items():
        print(f"{name:48} {number:8,}")
    files = sources(*CENTRE, PLUGINS)
    rooms = Counter[str]()
    for each in files:
        rooms["/".join(each.path.split("/")[:2])] += each.n_lines
    print("\nby folder: " + ", ".join(f"{room} {n:,}" for room, n in rooms.most_common(24)))
    print("\n".join([f"{each.path} {each.n_lines}" for each in files if each.n_lines > LONG_FILE]))
    print("\n".join(name for each in files for name in each.long_functions))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
