"""Pictures of passages for a model that sees: with their bytes, at the end of the prompt, each by the number of its passage."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rag.core.contents import TEXT_ALONE, Content
from rag.core.powers import reads_of
from rag.core.protocols import LLM
from rag.core.types import Context, Message
from retrievers.index.contents import contents_of
from retrievers.index_protocol import Index

KIND = "picture"
LARGEST = 2_000_000
"""Bytes of a picture; of a larger one the small one is shown."""
_TOKENS = 800
"""That a picture takes of a model's window: a cautious estimate."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model is shown beside text: at most `most` pictures.

    Raises:
        ValueError: the model does not see, or the number is below 0.
    """

    index: Index | None
    most: int
    llm: LLM

    def __post_init__(self) -> None:
        if self.most < 0:
            raise ValueError(f"generate.cited: pictures must be 0 or more, got {self.most}")
        if self.most and KIND not in reads_of(self.llm):
            raise ValueError(
                "generate.cited: pictures needs a model that sees, and this one reads text alone. Use llm.server with vision: true"
                " and a server whose model sees, or leave pictures out"
            )

    @property
    def reads(self) -> frozenset[str]:
        """Text, and pictures where some are shown."""
        return TEXT_ALONE | {KIND} if self.most else TEXT_ALONE

    @property
    def room(self) -> int:
        """Tokens that they may take."""
        return self.most * _TOKENS

    def beside(self, turns: Sequence[Message], context: Context) -> Sequence[Message]:
        """The prompt, with the pictures of a context in its last turn of the user."""
        pictures = tuple(self._pictures(context)) if self.most else ()
        if not pictures:
            return turns
        last = max(place for place, turn in enumerate(turns) if turn.role == "user")
        return [replace(turn, contents=pictures) if place == last else turn for place, turn in enumerate(turns)]

    def _pictures(self, context: Context) -> Iterator[Content]:
        store, shown = contents_of(self.index), set[str]()
        for number, hit in enumerate(context.passages, start=1):
            for each in hit.document.contents:
                if each.kind != KIND or each.sha256 in shown or each.sha256 not in store or len(shown) == self.most:
                    continue
                shown.add(each.sha256)
                data, media_type = store.read(each.sha256), each.media_type
                if len(data) > LARGEST:
                    data, media_type = store.thumbnail(each.sha256), "image/webp"
                uri = f"data:{media_type};base64,{b64encode(data).decode('ascii')}"
                yield replace(each, uri=uri, media_type=media_type, text=f"Picture of passage [{number}]:")
