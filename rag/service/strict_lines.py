"""Heads of requests whose lines end as the standard says, for the parser h11."""

from __future__ import annotations

import re

from h11 import LocalProtocolError
from h11._receivebuffer import ReceiveBuffer

_LOOSE = re.compile(rb"(?<!\r)\n|\n[ \t]")


class StrictLines(ReceiveBuffer):
    """What came of a connection: a line of a head that ends without CR, or goes on in the next line, is refused.

    Both are read differently by different programs, so a proxy in front may have seen another request (RFC 9112, 2.2 and
    5.2). The parser itself takes both, and has no setting for it.
    """

    _in_head = False

    def maybe_extract_lines(self) -> list[bytearray] | None:
        self._in_head = True
        try:
            return super().maybe_extract_lines()
        finally:
            self._in_head = False

    def _extract(self, count: int) -> bytearray:
        taken = super()._extract(count)
        if self._in_head and _LOOSE.search(taken):
            raise LocalProtocolError("a line of a head ends with CR LF, and is whole")
        return taken
