"""What files say, made safe to stand in a page: names of folders, systems, sets and commands may be anything."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from urllib.parse import quote

from rag.writing import printed_line


def escaped(text: str) -> str:
    """Text for an element or a quoted attribute. What cannot be printed, or turns text round, becomes U+FFFD.

    >>> escaped('<b onclick="x">')
    '&lt;b onclick=&quot;x&quot;&gt;'
    """
    return escape(printed_line(text), quote=True)


def link(target: Path, page: Path) -> str:
    """The address of a file or folder, relative to the folder of a page; never one of another scheme or host.

    >>> link(Path("/runs/a b/c:d"), Path("/runs/page.html"))
    './a%20b/c%3Ad'
    """
    relative = os.path.relpath(target.absolute(), page.absolute().parent)
    return "./" + quote(os.fsencode(relative.replace(os.sep, "/")), safe="/")
