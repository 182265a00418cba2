"""Which file is read by which parser, decided by its suffix alone."""

from __future__ import annotations

from pathlib import PurePath

PARSERS = {
    ".txt": "plain",
    ".text": "plain",
    ".log": "plain",
    ".rst": "plain",
    ".adoc": "plain",
    ".org": "plain",
    ".tex": "plain",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl",
}
"""Suffix -> parser. Every suffix of `LANGUAGES` goes to `code`."""

VERSIONS = {"csv": 2, "jsonl": 2}
"""Parsers that give other units than they first did, each with a number that is raised when that happens again.
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


def suffix(name: str) -> str:
    """The suffix that decides, lower case; `.jsonl.gz` counts as one."""
    path = PurePath(name.lower())
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


def parser_of(name: str) -> str | None:
    """The parser's name, or None where nothing here reads such files."""
    ending = suffix(name)
    return PARSERS.get(ending) or ("code" if ending in LANGUAGES else None)
