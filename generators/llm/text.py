"""Tokens -> text as they come, with nothing handed out that may still change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_HALF = "\ufffd"  # what a tokenizer decodes the first bytes of an unfinished character to


class TextTail:
    """The text of one completion while it is written.

    A character whose bytes are incomplete, and the beginning of what may become a stop string, are held back. All
    pieces joined are the text, cut before the first stop string.
    """

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stop = tuple(stop)
        self._ids: list[int] = []
        self._shown = 0  # ids[:_shown] are in the text; those from _context on are decoded again, as tokens
        self._context = 0  # may look different at the start of a text
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """What is settled after one more token; often empty. Sets `stopped` at a stop string."""
        self._ids.append(token)
        fresh = self._fresh()
        if not fresh or fresh.endswith(_HALF):
            return ""
        self._context, self._shown = self._shown, len(self._ids)
        return self._settle(fresh)

    def finish(self) -> str:
        """What was held back and will not change any more."""
        if self.stopped:
            return ""
        rest = self._settle(self._fresh())
        rest, self._held = rest + self._held, ""
        return rest

    def _fresh(self) -> str:
        """Text of the tokens that are not in the text yet."""
        before = self._decode(self._ids[self._context : self._shown])
        return self._decode(self._ids[self._context :])[len(before) :]

    def _settle(self, fresh: str) -> str:
        text = self._held + fresh
        ends = [start for start in (text.find(stop) for stop in self._stop) if start >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        settled = text[: len(text) - keep]
        self._held = text[len(settled) :]
        return settled


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
