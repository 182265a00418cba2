"""Sources -> files to read, in an order and under names that do not depend on the machine."""

from __future__ import annotations

import errno
import os
import re
import stat
import zlib
from codecs import getincrementaldecoder
from dataclasses import dataclass, field, replace
from gzip import GzipFile
from pathlib import Path, PurePath

from rag.ingest.clean import Cleaner
from rag.ingest.corpora import is_corpus
from rag.ingest.formats import is_content, is_library, parser_of, suffix, unpacked_name
from rag.ingest.types import Discovery, Layout, Problem, SourceFile, distinct

_JUNK = frozenset({"node_modules", "__pycache__", "__MACOSX"})
_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")
_MAILDIR = ("cur", "new", "tmp")
_EXPORT = frozenset({"users.json", "channels.json"})
_LONGEST_NAME = 200
"""Bytes: file systems take 255, of which something may be put in front or behind."""
_LOOKED_AT = 65_536
"""Bytes of a file whose name does not say what it is."""
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
"""What plain text has none of; white space is no such character, the form feed of old manuals included."""
_IN_CAPITALS = re.compile(r"[A-Z_-]{4,40}")
_MAYBE_CORPUS = frozenset({".jsonl", ".jsonl.gz", ".json"})


def discover(source: Path, *, contents: bool = False) -> Discovery:
    """Files of a source, which is a file or a folder, by their path below it.

    Args:
        contents: also those that hold no text, such as pictures. `bus.jpg.txt` or `bus.txt` beside a `bus.jpg` is its
            caption, and no file of its own.

    - Hidden files and folders, virtual environments and the like are passed over, unless given as a source
      themselves.
    - A folder with `corpus.jsonl` or `corpus.jsonl.gz` is a BEIR folder: that file is read and nothing beside
      it, so that queries and judgements are never indexed.
    - A folder with `cur`, `new` and `tmp` is a Maildir: each file in the first two is a mail, and its folders that begin
      with a dot are read as well.
    - A symbolic link inside a source is not followed: what it points to is read under its own name if it is
      inside, and is a problem if it is outside, missing or a loop.
    """
    findings = _Findings(contents=contents)
    try:
        root = source.resolve(strict=True)
        mode = root.stat().st_mode
    except (OSError, RuntimeError) as cause:
        return Discovery(missing=_why(cause))
    if stat.S_ISDIR(mode):
        for path in _walk(root, findings):
            findings.add(path, path.relative_to(root).as_posix())
    elif stat.S_ISREG(mode):
        findings.add(root, source.name)
    else:
        return Discovery(missing="not a regular file")
    return Discovery(
        files=tuple(_captioned(findings.files) if contents else findings.files),
        problems=tuple(sorted(findings.problems, key=lambda problem: problem.name)),
        ignored=tuple(findings.ignored),
        unread=tuple(findings.unread),
    )


def is_file_name(name: str) -> bool:
    """Whether a file of this name, put into a folder, is read there and changes nothing in how the others are.

    >>> [is_file_name(name) for name in ("notes.md", "../notes.md", ".notes.md", "notes.exe", "corpus.jsonl")]
    [True, False, False, False, False]
    """
    return (
        name == printable(name)
        and not name.startswith(".")
        and set(name).isdisjoint("/\\:")
        and len(name.encode()) <= _LONGEST_NAME
        and name not in (*_CORPUS, *_EXPORT)
        and parser_of(name) is not None
    )


@dataclass(kw_only=True)
class _Findings:
    contents: bool = False
    files: list[SourceFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    mail: set[Path] = field(default_factory=set)
    """Folders of which every file is a mail."""

    def problem(self, name: str, reason: str, *, lost: bool = True) -> None:
        self.problems.append(Problem(name=printable(name), reason=reason, lost=lost))

    def unreadable(self, name: str, reason: str) -> None:
        self.problem(name, reason)
        self.unread.append(printable(name))

    def reads(self, name: str) -> bool:
        """Whether something here reads files of this name."""
        parser = parser_of(name)
        return parser is not None and (self.contents or not is_content(parser))

    def add(self, path: Path, name: str) -> None:
        name = distinct(printable(name), self.names)
        corpus = path.name in _CORPUS or (suffix(path.name) in _MAYBE_CORPUS and is_corpus(path))
        layout: Layout = "mail" if path.parent in self.mail else "corpus" if corpus else "file"
        try:
            size = path.stat().st_size
        except OSError as cause:  # gone since the folder was listed
            self.unreadable(name, _why(cause))
            return
        self.files.append(SourceFile(path=path, name=name, size=size, layout=layout))


def _walk(root: Path, findings: _Findings) -> list[Path]:
    """Readable files below a folder, sorted by relative posix name."""
    files: list[Path] = []
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = {entry.name: entry for entry in os.scandir(folder)}
        except OSError as cause:
            findings.unreadable(folder.relative_to(root).as_posix(), _why(cause))
            continue
        corpus = next((entries[name] for name in _CORPUS if name in entries), None)
        if corpus is not None:
            entries = {corpus.name: corpus}
        elif "pyvenv.cfg" in entries:
            continue
        if entries.keys() >= _EXPORT:
            findings.problem(
                folder.relative_to(root).as_posix(),
                "an export of Slack as a folder: each message is a document. Give it as the .zip that it came in, to have "
                "whole threads",
                lost=False,
            )
        mails = _is_maildir(folder)
        if mails:
            findings.mail |= {folder / "cur", folder / "new"}
            entries.pop("tmp", None)  # mails on their way in
        for entry in entries.values():
            if passed_over(entry.name) and not (mails and _is_maildir(folder / entry.name)):
                continue
            path = folder / entry.name
            name = path.relative_to(root).as_posix()
            if entry.is_symlink():
                _link(path, name, root, findings)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif not (findings.reads(entry.name) or folder in findings.mail or _is_bare_text(entry)):
                findings.ignored.append(printable(name))
            elif not entry.is_file(follow_symlinks=False):
                findings.problem(name, "not a regular file")
            else:
                files.append(path)
    findings.ignored.sort()
    return sorted(files, key=lambda path: path.relative_to(root).as_posix())


def _captioned(files: list[SourceFile]) -> list[SourceFile]:
    """Files that hold no text with their captions, which are no files of their own then."""
    at = {file.path: file for file in files}
    captions: dict[Path, Path] = {}
    for path in (path for path in at if is_content(parser_of(path.name))):
        beside = (path.with_name(f"{path.name}.txt"), path.with_suffix(".txt"))
        taken = next((each for each in beside if each in at and each not in captions.values()), None)
        if taken is not None:
            captions[path] = taken
    gone = frozenset(captions.values())
    return [
        replace(file, caption=captions[path]) if path in captions else file
        for path, file in at.items()
        if path not in gone
    ]


def passed_over(name: str) -> bool:
    """Whether a file or folder of this name is none that people wrote: hidden, a lock, or made by a tool."""
    return name.startswith((".", "~$")) or name in _JUNK or name.endswith(".egg-info")


def _is_maildir(folder: Path) -> bool:
    return all((folder / name).is_dir() and not (folder / name).is_symlink() for name in _MAILDIR)


def _is_bare_text(entry: os.DirEntry[str]) -> bool:
    """Whether a file that has an ending in no more than name begins as UTF-8 text, packed or not.

    `GPL-3` has none, `Apache-2.0` a number, and what is in capitals has what it is of: `README.Debian`, `NEWS.old`. A
    mailbox is none: it is read mail by mail, where it is called one.
    """
    name = PurePath(unpacked_name(entry.name))
    ending = name.suffix[1:]
    bare = not ending or (ending.isascii() and ending.isdigit()) or _IN_CAPITALS.fullmatch(name.stem)
    if not bare or parser_of(entry.name) or is_library(entry.name) or not entry.is_file(follow_symlinks=False):
        return False
    try:
        # Never waits, and follows no link, whatever is there by now.
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            opened = stream if name.name == entry.name else GzipFile(fileobj=stream)
            start = getincrementaldecoder("utf-8")().decode(opened.read(_LOOKED_AT))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return False
    return bool(start) and not start.startswith("From ") and _CONTROL.search(start) is None


def _link(path: Path, name: str, root: Path, findings: _Findings) -> None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as cause:
        missing = isinstance(cause, FileNotFoundError)
        findings.problem(name, "a symbolic link to something that is not there" if missing else _why(cause))
        return
    if not target.is_relative_to(root):
        findings.problem(name, "a symbolic link out of the source; give what it points to as a source of its own")
    elif path.is_relative_to(target):
        findings.problem(name, "a symbolic link to a folder that it lies in; not followed")


def printable(name: str) -> str:
    """A name without control characters, and with U+FFFD for bytes that are not UTF-8."""
    return Cleaner()(name).replace("\n", " ").replace("\t", " ")


def _why(cause: BaseException) -> str:
    if isinstance(cause, RuntimeError) or getattr(cause, "errno", None) == errno.ELOOP:
        return "a symbolic link that leads to itself"
    if isinstance(cause, FileNotFoundError):
        return "no such file or folder"
    return f"cannot be looked at: {getattr(cause, 'strerror', None) or cause}"
