"""What is named, said in other languages: in queries, or in what is indexed of texts. One of the two is enough."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from rag.errors import SpecError
from rag.files import file_sha256
from rag.types import NO_USAGE, OK, Document, Outcome, Query
from rag.writing import Recipe, folded, input_file, require_positive
from ragline_recipes.names import Dictionary, Entity, read_dictionary

_ENGLISH = "en"


class CodeSwitchReformulator:
    """Entities of a query replaced by their names in other languages (EntityCS at inference, arXiv 2210.12540).

    For encoders and indexes of several languages; English is no language to switch to unless it is named. The paper
    switches the sentences of a corpus and trains on them, entities marked by tags of their language; here queries are
    switched and nothing is trained, links are names of a dictionary, and names stay in their basic form.

    The dictionary is a file: JSON, `{"Germany": {"de": "Deutschland", ...}}`, or `.tsv` or `.jsonl` with source, target and
    language; `rag dictionary` makes one from pairs of texts. Entities are found as whole words in any letter case, longest
    first; in text without spaces between words, wherever their letters stand. A version is in one language and switches all
    entities, so only languages that every entity of the query has are used. A disambiguator such as "(film)" is no part of a
    name. A query without a known entity stays alone, outcome `empty`.

    Args:
        dictionary: path of the file; read at the first call.
        languages: codes that may be used; none named means all of the dictionary but English.
        n: versions, at most; drawn with `seed` where there are more languages.
        keep_original: the query as it came is the first of the queries.
        seed: of the draw.
    """

    recipe: ClassVar[Recipe] = Recipe(
        system="EntityCS", source="Whitehouse et al., Findings of EMNLP 2022, arXiv 2210.12540"
    )

    def __init__(
        self,
        *,
        dictionary: str,
        languages: tuple[str, ...] = (),
        n: int = 5,
        keep_original: bool = True,
        seed: int = 0,
    ) -> None:
        require_positive("reformulate.code_switch", n=n)
        self._path = input_file(dictionary, what="dictionary", by="reformulate.code_switch")
        self.languages, self.n, self.keep_original, self.seed = frozenset(languages), n, keep_original, seed
        self._dictionary: Dictionary | None = None
        self._lock = threading.Lock()

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """The queries of each query, one after another, under its qid, languages in alphabetical order.

        Raises:
            SpecError: the dictionary is not of that form.
        """
        return [variant for query in queries for variant in self._family(query)]

    def _family(self, query: Query) -> list[Query]:
        spans = self._loaded().entities(query.text)
        texts = [switched(query.text, spans, language) for language in self._drawn(spans, query.qid)]
        texts = [text for text in dict.fromkeys(texts) if text != query.text]
        if not texts:
            detail = "no language has a name for every entity" if spans else "the query names no known entity"
            return [replace(query, outcome=Outcome(kind="empty", detail=detail), usage=NO_USAGE)]
        kept = [query] if self.keep_original else []
        variants = [replace(query, text=text, original=query.asked, parts=(), terms={}) for text in texts]
        return [replace(each, outcome=OK, usage=NO_USAGE) for each in (*kept, *variants)]

    def _drawn(self, spans: Sequence[Entity], qid: str) -> list[str]:
        """Languages that all entities have, at most n of them."""
        if not spans:
            return []
        shared = set.intersection(*(set(names) for _, _, names in spans))
        allowed = sorted(shared & self.languages if self.languages else shared - {_ENGLISH})
        if len(allowed) <= self.n:
            return allowed
        return sorted(random.Random(f"{self.seed} {qid}").sample(allowed, self.n))

    def _loaded(self) -> Dictionary:
        with self._lock:
            if self._dictionary is None:
                self._dictionary = read_dictionary(self._path)
            return self._dictionary


def switched(text: str, spans: Sequence[Entity], language: str) -> str:
    """The text with every entity in the language; with a space where it stood in text without any, to be a word there."""
    for start, end, names in reversed(spans):
        before = " " if text[:start][-1:].isalnum() else ""
        behind = " " if text[end : end + 1].isalnum() else ""
        text = f"{text[:start]}{before}{names[language]}{behind}{text[end:]}"
    return text


class CodeSwitchTransform:
    """Adds what a document names, in other languages, to what legs index of it (EntityCS on a corpus, arXiv 2210.12540).

    Every time that a name of the dictionary stands in the text, its counterparts are added behind the text, so that a word
    which comes often comes as often in the other language. Text and prompts do not change. A document that names nothing of
    the dictionary stays as it is. No model is asked. `reformulate.code_switch` does the same for queries: take one of the two.
    This one costs nothing when somebody asks.

    The paper writes each sentence anew with its entities switched, in up to five languages that are drawn, and trains an
    encoder on them. Here the text is indexed once, in its own words, with the names behind it. An encoder that reads only
    the beginning of a long text may not see them.

    Args:
        dictionary: path of the file, from the language of the documents, as `reformulate.code_switch` reads it.
        languages: codes of the languages that questions come in, at least one.
    """

    def __init__(self, *, dictionary: str, languages: tuple[str, ...]) -> None:
        if not languages:
            raise ValueError("transform.code_switch: languages must name at least one language, such as [en]")
        self._path = input_file(dictionary, what="dictionary", by="transform.code_switch")
        self.languages = tuple(dict.fromkeys(languages))

    def describe(self) -> dict[str, Any]:
        """The content of the dictionary, by its digest."""
        return {"dictionary": file_sha256(self._path)}

    def transform(self, documents: Sequence[Document]) -> list[Document]:
        """One document per document, in order, with the names in what legs index.

        Raises:
            SpecError: the dictionary is not of that form, or has no name in any of the languages.
        """
        return [self._with_names(document) for document in documents]

    def _with_names(self, document: Document) -> Document:
        text = document.index_text
        added = [
            name
            for start, end, counterparts in self._dictionary.entities(text)
            for name in self._names(text[start:end], counterparts)
        ]
        if not added:
            return document
        return replace(document, metadata={**document.metadata, "index_text": f"{text} {' '.join(added)}"})

    def _names(self, surface: str, counterparts: Mapping[str, str]) -> list[str]:
        """Its names in the languages, less one that is spelt alike: that stands in the text already."""
        names = dict.fromkeys(counterparts[language] for language in self.languages if language in counterparts)
        return [name for name in names if folded(name) != folded(surface)]

    @cached_property
    def _dictionary(self) -> Dictionary:
        dictionary = read_dictionary(self._path)
        there = sorted({language for counterparts in dictionary.names.values() for language in counterparts})
        if not set(there) & set(self.languages):
            raise SpecError(
                f"transform.code_switch: dictionary '{self._path}' has no name in {', '.join(self.languages)}; it has "
                f"{', '.join(there) or 'no names at all'}. It must lead from the documents' language to the questions'"
            )
        return dictionary
