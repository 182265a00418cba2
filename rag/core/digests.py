"""sha256 of files, texts and plain data, in hexadecimal: equal content gives equal digests on every machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def file_sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """Of a text's UTF-8; a lone surrogate counts as itself."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def data_sha256(content: Any) -> str:
    """Of JSON data, whatever the order of its keys."""
    return text_sha256(json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":")))
