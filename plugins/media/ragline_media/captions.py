"""`transform.captions`: a caption for pictures that have none, the nearest of given ones or what a model that sees writes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from hashlib import sha256 as digest
from typing import Any

import numpy as np
from numpy.typing import NDArray

import prompts
from rag.errors import SpecError, StageError
from rag.files import data_sha256, file_sha256
from rag.graphs import model_identity
from rag.indexes import SentenceEncoder
from rag.protocols import LLM, ReadsKinds
from rag.types import Content, Document, SamplingParams
from rag.writing import first_words, input_file, parse_passage, require_positive, with_line
from ragline_media.leg.kind import AUTO, ENGLISH, KIND, PicturesMaker, PicturesSettings, reads_its_own
from ragline_media.questions import address_of
from ragline_media.reading.picture import thumbnail_of
from ragline_media.shown import LARGEST
from ragline_media.tower.joint import tower_of
from ragline_media.tower.packaged import TOWER
from ragline_media.tower.space import Space
from ragline_media.tower.tower import opened_picture

logger = logging.getLogger(__name__)

_BY = "transform.captions"
_BLOCK, _AT_ONCE = 64, 8
"""Pictures that are looked at together, and that a model is asked about at a time."""
_LONGEST = 60
"""Words of a caption."""
_MOST = 100_000
"""Captions of a file."""

_Said = Mapping[str, tuple[str, str]]
"""sha256 of a picture -> a caption, and by whom that is."""


class CaptionsTransform:
    """Gives a caption to each picture of the index that has none: words find it by that, and it is shown as nobody's own.

    Of a file of captions the one whose vector is nearest to that of the picture is taken (as ZeroCap and CIReVL name what they
    cannot write), where it is near enough; else a model that sees writes one. A caption is kept with the picture, as its text,
    and `caption_by` of its metadata says where it is from; what is new alone is looked at by an update. A document without text
    gets it as its text; to another it is added for what legs index. A request that fails leaves its picture without one.

    Args:
        captions: a file with a caption a line.
        least: the least cosine between a picture and a caption that is taken.
        tower: what sees pictures, as of the leg `pictures`.
        projector: as of the leg.
        encoder: what reads the captions, as of the leg; auto is the tower itself where it reads texts, else an English one.
        llm: a model that sees, in a graph a name from `models`: an llm.server with vision: true.
        prompt: name or path of a prompt without variables.
        max_tokens: most tokens of a reply.
    """

    def __init__(
        self,
        *,
        captions: str | None = None,
        least: float = 0.0,
        tower: str = TOWER,
        projector: str | None = None,
        encoder: str = AUTO,
        llm: LLM | None = None,
        prompt: str = "picture_caption",
        max_tokens: int = 60,
    ) -> None:
        require_positive(_BY, max_tokens=max_tokens)
        if not -1 <= least <= 1:
            raise ValueError(f"{_BY}: least is a cosine from -1 to 1, got {least}")
        if captions is None and llm is None:
            raise ValueError(f"{_BY}: name a file of captions, or a model that sees as llm, or both")
        if llm is not None and not (isinstance(llm, ReadsKinds) and KIND in llm.reads):
            raise ValueError(
                f"{_BY}: llm must be a model that sees, and this one reads text alone. Use llm.server with vision: true and a"
                " server whose model sees, or a file of captions"
            )
        self.llm, self.least, self.prompt = llm, least, prompts.load(prompt)
        self.prompt.require(by=_BY)
        self._file = None if captions is None else input_file(captions, what="captions", by=_BY)
        self._said = PicturesSettings(tower=tower, projector=projector, encoder=encoder)
        self._sampling = SamplingParams(max_tokens=max_tokens)
        self._read: Callable[[str], bytes] | None = None
        self._before: Callable[[str], Sequence[Content]] = lambda sha256: ()
        self._counted = Counter[str]()

    @property
    def counts(self) -> dict[str, int]:
        """Captions that are the `nearest`, were `written` or `kept` from the index before, and requests that `failed`."""
        return dict(+self._counted)

    def look(self, read: Callable[[str], bytes], before: Callable[[str], Sequence[Content]]) -> None:
        """Where pictures are, and what the index before says of them."""
        self._read, self._before = read, before

    def describe(self) -> dict[str, Any]:
        """All that captions depend on beside the pictures; asks for digests of weights."""
        return self._made_by

    @cached_property
    def _made_by(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if self._file is not None:
            made |= {"captions": file_sha256(self._file), "least": self.least, "seen": self._maker.describe()}
        if self.llm is not None:
            made |= {"model": model_identity(self.llm), "prompt": self.prompt.sha256, "sampling": repr(self._sampling)}
        return made

    @cached_property
    def _key(self) -> str:
        return data_sha256(self._made_by)

    def transform(self, documents: Sequence[Document]) -> list[Document]:
        """One document per document, in order."""
        wanted = {each.sha256: each for document in documents for each in document.contents if _lacks(each)}
        said = {sha256: found for sha256 in wanted if (found := self._of_before(sha256))}
        self._counted.update(kept=len(said))
        asked = [sha256 for sha256 in wanted if sha256 not in said]
        for start in range(0, len(asked), _BLOCK):
            said |= self._captioned([wanted[sha256] for sha256 in asked[start : start + _BLOCK]])
        return [_with_captions(document, said, self._key) for document in documents]

    def _bytes(self, sha256: str) -> bytes | None:
        """Those of a picture; None where the index keeps none."""
        try:
            return None if self._read is None else self._read(sha256)
        except KeyError:
            return None

    def _of_before(self, sha256: str) -> tuple[str, str] | None:
        """What this said of the picture in the index before."""
        held = (each for each in self._before(sha256) if each.metadata.get("caption_of") == self._key)
        return next(((each.text, str(each.metadata["caption_by"])) for each in held), None)

    def _captioned(self, pictures: Sequence[Content]) -> _Said:
        data = {each.sha256: found for each in pictures if (found := self._bytes(each.sha256)) is not None}
        said = dict(self._nearest(data)) if self._file is not None else {}
        self._counted.update(nearest=len(said))
        if self.llm is not None:
            left = [each for each in pictures if each.sha256 in data and each.sha256 not in said]
            written = self._written(left, data)
            self._counted.update(written=len(written), failed=len(left) - len(written))
            said |= written
        return said

    def _nearest(self, data: Mapping[str, bytes]) -> _Said:
        """Of each picture the given caption that is nearest, where that is near enough."""
        texts, vectors = self._given
        cosines = self._space(self._maker.tower.features([*data.values()])) @ vectors.T
        best = zip(data, cosines.argmax(axis=1), cosines.max(axis=1), strict=True)
        by = f"the nearest of {self._file.name if self._file else ''}"
        return {
            sha256: (texts[place], f"{by}, cosine {cosine:.2f}")
            for sha256, place, cosine in best
            if cosine >= self.least
        }

    def _written(self, pictures: Sequence[Content], data: Mapping[str, bytes]) -> _Said:
        """What a model writes of each; of one for which that fails, nothing."""
        name = (model_identity(self.llm) or {}).get("model") if self.llm is not None else None
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            texts = [*pool.map(lambda each: self._asked(data[each.sha256], each.media_type), pictures)]
        by = f"the model {name}" if name else "a model"
        return {each.sha256: (text, by) for each, text in zip(pictures, texts, strict=True) if text}

    def _asked(self, data: bytes, media_type: str) -> str:
        """What the model writes of a picture; empty where that fails, after a warning."""
        assert self.llm is not None
        if len(data) > LARGEST:
            data, media_type = thumbnail_of(opened_picture(data)), "image/webp"
        key = digest(data).hexdigest()
        picture = Content(kind=KIND, uri=address_of(data, media_type), sha256=key, media_type=media_type)
        *before, last = self.prompt.render()
        try:
            [completion] = self.llm.complete([[*before, replace(last, contents=(picture,))]], self._sampling)
        except (StageError, ValueError) as cause:  # another picture may go well; what meets all of them is raised
            logger.warning("%s: nothing is written of a picture: %s", _BY, cause)
            return ""
        return first_words(parse_passage(completion.text), _LONGEST)

    @cached_property
    def _maker(self) -> PicturesMaker:
        said = self._said
        english = said.tower if reads_its_own(said) else ENGLISH
        encoder = SentenceEncoder(model=english if said.encoder == AUTO else said.encoder)
        return PicturesMaker(said, encoder, tower_of(said.tower), kind=KIND)

    @cached_property
    def _space(self) -> Space:
        return self._maker.space()

    @cached_property
    def _given(self) -> tuple[list[str], NDArray[np.float32]]:
        """The captions of the file, and their vectors, as those of questions are."""
        assert self._file is not None
        lines = self._file.read_text(encoding="utf-8", errors="replace").splitlines()
        texts = [*dict.fromkeys(first_words(line, _LONGEST) for line in lines if line.strip())]
        if not 0 < len(texts) <= _MOST:
            raise SpecError(
                f"{_BY}: '{self._file}' has {len(texts):,} captions, and may have 1 to {_MOST:,}, a line each"
            )
        return texts, self._maker.encoder.encode(texts, role="query")


def _lacks(content: Content) -> bool:
    return content.kind == KIND and not content.text.strip()


def _with_captions(document: Document, said: _Said, key: str) -> Document:
    """A document with what is said of its pictures, where nobody said anything."""
    new = {each.sha256: said[each.sha256] for each in document.contents if _lacks(each) and each.sha256 in said}
    if not new:
        return document

    def captioned(content: Content) -> Content:
        text, by = new[content.sha256]
        return replace(content, text=text, metadata={**content.metadata, "caption_by": by, "caption_of": key})

    contents = tuple(captioned(each) if _lacks(each) and each.sha256 in new else each for each in document.contents)
    document, line = replace(document, contents=contents), " ".join(text for text, _ in new.values())
    if document.text.strip() or "index_text" in document.metadata:
        return with_line(document, line)
    return replace(document, text=line)
