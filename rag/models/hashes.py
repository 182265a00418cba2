"""sha256 of large files, remembered for as long as a file is the one that was hashed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rag.core.digests import file_sha256
from rag.core.files import write_atomically

log = logging.getLogger(__name__)

HASHES = "hashes.json"


def remembered_sha256(paths: Iterable[Path], home: Path) -> list[str]:
    """Of the bytes of each file, in order. A file is read when its size, its times or its inode are not those of before.

    The time of the last change of the inode is among them: no program can set it back, so that bytes cannot change
    unseen.

    Args:
        home: the folder with the memory. One that cannot be written costs time, nothing else.
    """
    memory = home / HASHES
    known = read_json(memory)
    known = known if isinstance(known, dict) else {}
    digests, new = list[str](), dict[str, list[Any]]()
    for path in paths:
        real = path.resolve()
        status = real.stat()
        key, state = str(real), [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        entry = known.get(key)
        if not isinstance(entry, list) or entry[:-1] != state:
            entry = new[key] = [*state, file_sha256(real)]
        digests.append(str(entry[-1]))
    if new:
        kept = {name: each for name, each in known.items() if os.path.exists(name)}
        try:
            write_atomically(memory, json.dumps({**kept, **new}, indent=1))
        except OSError as cause:
            log.debug("hashes of %s are not remembered: %s", ", ".join(new), cause)
    return digests


def read_json(path: Path) -> Any:
    """The file's content; None when it is absent or not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
