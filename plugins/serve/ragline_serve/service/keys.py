"""Who may ask: keys kept as hashes, compared in constant time.

A key is 256 random bits that nobody thought up, so no dictionary holds it and a fast hash keeps it safe at rest. A slow
one would protect nothing and hand strangers a way to keep the processor busy: every wrong key costs a hash per known key.
Each hash has a salt of its own, so equal keys in two files look different. This file knows no HTTP but the one header.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rag import Asker
from rag.errors import SpecError
from rag.filters import asker_of_text

VARIABLE = "RAGLINE_KEYS"
WRITE = "write"
"""The word in the line of a key that may change documents."""
SHORTEST = 32
"""Characters of a key that somebody else made: 128 bits in hex."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedKey:
    """What is kept of a key: `name` is for people, who remove a key by deleting its line. `asker`: whom the key is for.

    `writes`: whether it may add documents to the index, change and remove them.
    """

    name: str
    salt: bytes
    digest: bytes = field(repr=False)
    asker: Asker | None = None
    writes: bool = False

    @property
    def owner(self) -> str:
        """Whose conversations and limits these are: the hash, never the key."""
        return self.digest.hex()

    def matches(self, key: bytes) -> bool:
        return hmac.compare_digest(_digest(key, self.salt), self.digest)


class Keys:
    """The keys that a server knows. Without any, it is open to all who reach it."""

    def __init__(self, known: Sequence[HashedKey] = ()) -> None:
        self._known = tuple(known)

    def __len__(self) -> int:
        return len(self._known)

    def known(self, key: bytes) -> HashedKey | None:
        """What is kept of a key; None if it is nobody's. Compares with all keys, so that its time tells nothing."""
        known = None
        for each in self._known:
            if each.matches(key):
                known = each
        return known


def load_keys(file: Path | None = None, *, environment: Mapping[str, str] | None = None) -> Keys:
    """The keys of a file of hashes and those in RAGLINE_KEYS (blanks or commas between them).

    Raises:
        SpecError: the file cannot be read, a line of it is no hashed key, or a key in the variable is too short. No
            message repeats a key.
    """
    known = [] if file is None else _read(file)
    if file is not None and not known:
        raise SpecError(f"{file} holds no key, which would leave the server open. Add one: rag keys {file}")
    listed = (os.environ if environment is None else environment).get(VARIABLE, "")
    for number, key in enumerate(re.split(r"[\s,]+", listed.strip()) if listed.strip() else (), start=1):
        if len(key) < SHORTEST or not key.isascii():
            raise SpecError(
                f"{VARIABLE}: key {number} is too short or not ASCII; a key has at least {SHORTEST} random characters. "
                "Make one: rag keys"
            )
        known.append(HashedKey(name=f"{VARIABLE}-{number}", salt=b"", digest=_digest(key.encode(), b"")))
    return Keys(known)


def add_key(file: Path, name: str, asker: Asker | None = None, *, writes: bool = False) -> str:
    """Make a key, add its hash to a file that only its owner may read, and return the key: it is kept nowhere else.

    Args:
        asker: whom the key is for; whoever holds it reads what they may read.
        writes: whether it may change the documents of the index.
    Raises:
        SpecError: the name is taken or is no name, or the file cannot be read or written.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(f"a key's name has up to 64 letters, digits, '.', '_' or '-', got {name[:80]!r}")
    before = _read(file) if file.exists() else []
    if any(known.name == name for known in before):
        raise SpecError(f"{file} has a key named '{name}' already; take another name, or delete its line first")
    key, salt = new_key(), secrets.token_bytes(16)
    whom = "" if asker is None else f" {json.dumps(asker.as_dict())}"
    right = f" {WRITE}" if writes else ""
    line = f"{name} {salt.hex()} {_digest(key.encode(), salt).hex()}{right}{whom}\n".encode()
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "a+b") as lines:
            lines.write(line if _ends_whole(lines) else b"\n" + line)
    except OSError as error:
        raise SpecError(f"{file} cannot be written: {error.strerror}") from None
    return key


def new_key() -> str:
    """A key of 256 random bits. The prefix is for tools that look for secrets in published files."""
    return f"ragline-{secrets.token_urlsafe(32)}"


def bearer(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """The key in a request's `Authorization: Bearer KEY`; None without exactly one such header."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, key = values[0].partition(b" ")
    return key.strip() or None if scheme.lower() == b"bearer" else None


def _read(file: Path) -> list[HashedKey]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise SpecError(f"{file} cannot be read as a file of keys. Make one: rag keys {file}") from None
    return [
        _parsed(line, f"{file}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()[:1] not in ("", "#")
    ]


def _parsed(line: str, where: str) -> HashedKey:
    """A line `NAME SALT HASH [write] [ASKER]`. What it says is never shown: somebody may have written a key there."""
    try:
        name, salt, digest, *more = line.split(maxsplit=3)
        said = "".join(more)
        writes = said.split(maxsplit=1)[:1] == [WRITE]
        whom = said.removeprefix(WRITE).strip() if writes else said
        asker = asker_of_text(whom) if whom else None
        known = HashedKey(name=name, salt=bytes.fromhex(salt), digest=bytes.fromhex(digest), asker=asker, writes=writes)
    except (ValueError, SpecError):
        known = None
    if known is None or len(known.salt) != 16 or len(known.digest) != 32 or not _NAME.fullmatch(known.name):
        raise SpecError(
            f"{where}: not a name, a salt and a hash, with or without whom the key is for. A file of keys holds hashes, "
            "never keys; add one: rag keys FILE"
        )
    return known


def _ends_whole(lines: BinaryIO) -> bool:
    """Whether a file is empty or ends in a whole line: an editor may have left out the last line's end."""
    if lines.seek(0, os.SEEK_END) == 0:
        return True
    lines.seek(-1, os.SEEK_END)
    return lines.read(1) == b"\n"


def _digest(key: bytes, salt: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=32, salt=salt, person=b"ragline key").digest()
