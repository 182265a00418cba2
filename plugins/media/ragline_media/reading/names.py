"""Names of files -> words."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_MACHINES = re.compile(
    r"(?:img|dsc|dscn|dscf|pxl|mvi|image|photo|picture|scan|screenshot|wa|p|rec|recording|audio|voice|memo|track)?[\W_\d]*",
    re.IGNORECASE,
)
"""What cameras and recorders call their files."""


def words_of(name: str) -> str:
    """What the name of a file says in words; empty where a camera or a program gave it.

    >>> words_of("trip/red_bus-at night.jpg"), words_of("IMG_2034.JPG"), words_of("REC_0012.wav")
    ('red bus at night', '', '')
    """
    stem = PurePosixPath(name).stem
    words = " ".join(re.sub(r"[\W_]+", " ", stem).split())
    letters = sum(each.isalpha() for each in words)
    if _MACHINES.fullmatch(stem) or 2 * letters < len(words):
        return ""
    return words[:200]
