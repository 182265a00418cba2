"""Rows of the generation before, by the digest of the text that they were computed of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrievers.stores.computed import digest_of


class RowsByText:
    """sha256 of a text -> its row. Holds 40 bytes per text."""

    def __init__(self, texts: Sequence[str]) -> None:
        digests = np.fromiter((digest_of(text) for text in texts), dtype="S32", count=len(texts))
        self._rows = np.argsort(digests, kind="stable")
        self._digests = digests[self._rows]

    def __contains__(self, digest: bytes) -> bool:
        return self.row(digest) is not None

    def row(self, digest: bytes) -> int | None:
        """The first row of this text; None where there is none."""
        wanted = np.bytes_(digest.rstrip(b"\0"))  # as numpy keeps it: zeros at the end are not told from none
        place = int(np.searchsorted(self._digests, wanted))
        if place < len(self._digests) and self._digests[place] == wanted:
            return int(self._rows[place])
        return None
