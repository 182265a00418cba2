"""Lets questions of one language find texts of another: what a dictionary knows of a text is indexed in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from rag.core.digests import file_sha256
from rag.core.errors import SpecError
from rag.core.inputs import input_file
from rag.core.replies import folded
from rag.core.types import Document
from rag.stages.reformulate.names import Dictionary, read_dictionary

_BY = "transform.code_switch"


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
            raise ValueError(f"{_BY}: languages must name at least one language, such as [en]")
        self._path = input_file(dictionary, what="dictionary", by=_BY)
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
                f"{_BY}: dictionary '{self._path}' has no name in {', '.join(self.languages)}; it has "
                f"{', '.join(there) or 'no names at all'}. It must lead from the documents' language to the questions'"
            )
        return dictionary
