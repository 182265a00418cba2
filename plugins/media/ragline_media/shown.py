"""`assemble.pictures`: the pictures of passages for a model that sees, with their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from rag.indexes import ContentStore, Index, contents_of
from rag.types import NO_USAGE, OK, Content, Context, Outcome
from rag.writing import require_positive
from ragline_media.questions import address_of

KIND = "picture"
LARGEST = 2_000_000
"""Bytes of a picture that is shown whole; of a larger one the small one is."""


class PicturesAssembler:
    """The same passages, with the bytes of their pictures, those of the first passages first.

    It stands before a generator whose model sees, such as `generate.cited` with an `llm.server` with `vision: true`; one whose
    model does not is refused when the graph is read. Answers, logs, saved runs and replies have none of these bytes. A picture that
    several passages hold is shown once. One of more than 2 MB is shown as its small one.

    Args:
        most: most pictures of a question that are shown; a model may take 800 tokens and more for each.
        index: the index that the pipeline is bound to.
    """

    shows: ClassVar[frozenset[str]] = frozenset({KIND})

    def __init__(self, *, most: int = 3, index: Index) -> None:
        require_positive("assemble.pictures", most=most)
        self.most, self.index = most, index

    def assemble(self, contexts: Sequence[Context]) -> list[Context]:
        """One context per context, in order. Outcome counts: pictures `shown`."""
        return [self._with_pictures(context) for context in contexts]

    def _with_pictures(self, context: Context) -> Context:
        store, shown = contents_of(self.index), dict[str, Content]()
        passages = []
        for hit in context.passages:
            contents = tuple(self._each(hit.document.contents, store, shown))
            passages.append(replace(hit, document=replace(hit.document, contents=contents)) if contents else hit)
        outcome = Outcome(counts={"shown": len(shown)}) if shown else OK
        return replace(
            context, passages=tuple(passages) if shown else context.passages, outcome=outcome, usage=NO_USAGE
        )

    def _each(self, contents: Sequence[Content], store: ContentStore, shown: dict[str, Content]) -> Iterator[Content]:
        for each in contents:
            wanted = each.kind == KIND and each.sha256 not in shown and each.sha256 in store
            if wanted and len(shown) < self.most:
                each = replace(each, data=_address(each, store))
                if each.data:
                    shown[each.sha256] = each
            yield each


def _address(picture: Content, store: ContentStore) -> str:
    """Its bytes, or those of the small one, as an address that holds them; empty where neither can be shown."""
    data, media_type = store.read(picture.sha256), picture.media_type
    if len(data) > LARGEST or not media_type.startswith("image/"):
        data, media_type = store.thumbnail(picture.sha256), "image/webp"
    return address_of(data, media_type) if data else ""
