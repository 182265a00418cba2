"""Which file is read by which parser, decided by its name alone. `discover` looks into files whose name says nothing."""

from __future__ import annotations

import re
from pathlib import PurePath

from rag.core.plugins import Shipped, shipped
from rag.ingest.types import Layout

READER = "reader"
"""Plug-ins name a suffix without its dot, and a module with `parse(data, name, note)`. Ours are asked first."""

CONTENT_READER = "content_reader"
"""The same of files that hold no text, such as pictures (`rag.reading.ContentReader`), read where an index keeps contents."""

FIGURES = "figures"
"""Plug-ins name a parser, and a module with `figures(data, name, note, beside)`: documents of pictures and tables in its files."""

PARSERS = {
    ".txt": "plain", ".text": "plain", ".log": "plain", ".adoc": "plain", ".org": "plain", ".debian": "plain",
    ".rst": "rst", ".tex": "tex",
    ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html",
    ".pdf": "pdf", ".doc": "doc", ".docx": "docx", ".pptx": "pptx", ".xlsx": "xlsx", ".odt": "odt", ".odp": "odt", ".epub": "epub",
    ".rtf": "rtf",
    ".eml": "mail", ".mbox": "mbox", ".msg": "msg", ".ipynb": "notebook",
    ".csv": "csv", ".tsv": "csv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".xml": "xml", ".docbook": "xml",
    ".zip": "zip",
    ".ini": "ini", ".cfg": "ini", ".conf": "ini",
    **{f".{section}{more}": "man" for section in range(1, 9) for more in ("", *["p", "pm", "perl", "posix", "ssl", "tcl", "x"])},
}  # fmt: skip
"""Suffix -> parser. Every suffix of `LANGUAGES` that is not here goes to `code`. With `.gz` behind it a suffix means
the same."""

NAMES = {
    "makefile": "code",
    "gnumakefile": "code",
    "dockerfile": "code",
    "mbox": "mbox",
    **dict.fromkeys(
        ("readme", "license", "licence", "copying", "copyright", "notice", "changelog", "changes", "news", "history",
         "authors", "contributors", "contributing", "install", "todo", "faq", "bugs", "thanks", "readme.debian"),
        "plain",
    ),
}  # fmt: skip
"""Names of files without a suffix, lower case -> parser."""

VERSIONS = {
    "csv": 3, "jsonl": 2, "json": 2, "xml": 2, "rst": 4, "tex": 2, "html": 5, "markdown": 3, "pdf": 4, "epub": 3, "mail": 3,
    "msg": 3, "notebook": 3, "docx": 2, "xlsx": 2, "odt": 2, "pptx": 2, "man": 2,
}  # fmt: skip
"""Parsers that give other units than their files first gave, each with a number that is raised when that happens again.
Only files that they read are read anew. `INGEST_VERSION` is for what changes the units of all."""

LANGUAGES = {
    ".bash": "bash", ".c": "c", ".cc": "c++", ".cpp": "c++", ".cs": "c#", ".css": "css", ".cu": "cuda",
    ".dart": "dart", ".ex": "elixir", ".exs": "elixir", ".go": "go", ".h": "c", ".hpp": "c++",
    ".hs": "haskell", ".java": "java", ".jl": "julia", ".js": "javascript", ".json": "json",
    ".jsx": "javascript", ".kt": "kotlin", ".lua": "lua", ".mjs": "javascript", ".ml": "ocaml",
    ".php": "php", ".pl": "perl", ".pm": "perl", ".proto": "protobuf", ".ps1": "powershell",
    ".py": "python", ".pyi": "python", ".r": "r", ".rb": "ruby", ".rs": "rust", ".scala": "scala",
    ".sh": "bash", ".sql": "sql", ".swift": "swift", ".toml": "toml", ".ts": "typescript",
    ".tsx": "typescript", ".vue": "vue", ".xml": "xml", ".yaml": "yaml", ".yml": "yaml", ".zig": "zig",
}  # fmt: skip

_READERS: dict[Layout, str] = {"corpus": "jsonl", "mail": "mail"}
"""What a file is read by where it is the folder or the text that says what it is."""

_LIBRARY = re.compile(r"\.so(?:\.\d{1,9})+\Z")
"""A library of a version, which ends as a manual page does. Libraries are not packed, pages are: `ld.so.8.gz` is one."""


def suffix(name: str) -> str:
    """The suffix that decides, lower case; `.jsonl.gz` counts as one."""
    path = PurePath(name.lower())
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


def reader_of(name: str, layout: Layout) -> str:
    """The parser of a file that is read, whoever found it."""
    return _READERS.get(layout) or parser_of(name) or "plain"


def version_of(parser: str) -> int | str:
    """What changes when a parser gives other units; of a plug-in's, its package with its version.

    An archive is read by any of them, so it goes with all.
    """
    if parser == "zip":
        others = [version_of(name) for name in sorted(of_plugins())]
        return " ".join(map(str, [sum(VERSIONS.values()), *others])) if others else sum(VERSIONS.values())
    if parser in VERSIONS or parser not in of_plugins():
        return VERSIONS.get(parser, 1)
    return f"{of_plugins()[parser].package} {of_plugins()[parser].version}"


def of_plugins() -> dict[str, Shipped]:
    """Parsers that installed packages bring, by suffix without its dot."""
    return {**shipped(CONTENT_READER), **shipped(READER)}


def is_content(parser: str | None) -> bool:
    """Whether what a parser reads is no text."""
    return parser in shipped(CONTENT_READER) and parser not in shipped(READER) and f".{parser}" not in PARSERS


def is_library(name: str) -> bool:
    """Whether a file is a shared library by its name, which ends in a number."""
    return _LIBRARY.search(name.lower()) is not None


def unpacked_name(name: str) -> str:
    """The name of what a file holds: without `.gz`."""
    return name[: -len(".gz")] if name.lower().endswith(".gz") else name


def parser_of(name: str) -> str | None:
    """The parser's name, or None where nothing here reads such files."""
    inner = PurePath(unpacked_name(name)).name.lower()
    ending = PurePath(inner).suffix
    if is_library(name):
        return None
    if own := NAMES.get(inner) or PARSERS.get(ending) or ("code" if ending in LANGUAGES else None):
        return own
    return ending[1:] if ending[1:] in of_plugins() else None
