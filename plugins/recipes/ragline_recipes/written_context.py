"""Lets legs find a chunk by a line that a model writes about it: where it stands in its document, and what it is about."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import prompts
from rag.files import text_sha256
from rag.graphs import model_identity
from rag.protocols import LLM
from rag.types import Document, Prompt, SamplingParams
from rag.writing import begins_document, parse_passage, require_positive, sentences, with_line, write
from ragline_recipes.kept_texts import KeptTexts

logger = logging.getLogger(__name__)

_BY = "transform.written_context"


class WrittenContextTransform:
    """Puts a line that a model writes before what legs index of a chunk (contextual retrieval: Anthropic, 2024).

    The line stands behind title and headings. Text and prompts do not change. The first chunk of a document and a unit
    that is a whole document stay as they are. Costs a call per chunk, once: what was written is kept by the content,
    the prompt, the parameters and the model's weights. A chunk for which nothing usable was written is indexed as it
    is, and how many is logged.

    Not here, of the original: the model reads the beginning of the document, its first chunk, and not all of it.

    Args:
        llm: the model that writes; in a graph, a name from `models`.
        prompt: name or path of a prompt with the variables title, beginning and text.
        max_characters: of the beginning and of the chunk, each, that the model reads.
        max_tokens: most tokens of a reply, of which the first sentence is taken.
        cache: folder of what was written; none is a folder in ragline's home.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        prompt: str = "chunk_context",
        max_characters: int = 2000,
        max_tokens: int = 60,
        cache: str | None = None,
    ) -> None:
        require_positive(_BY, max_characters=max_characters, max_tokens=max_tokens)
        self.llm, self.max_characters, self.prompt = llm, max_characters, prompts.load(prompt)
        self.prompt.require("title", "beginning", "text", by=_BY)
        self._sampling = SamplingParams(max_tokens=max_tokens)
        self._kept = KeptTexts(cache, name="chunk-contexts")
        self._description: dict[str, Any] | None = None
        self._parent, self._beginning = "", ""

    def describe(self) -> dict[str, Any]:
        """All that its lines depend on beside the documents and its parameters; asks for the weights' digest."""
        if self._description is None:
            self._description = {"model": model_identity(self.llm), "prompt": self.prompt.sha256}
        return self._description

    def transform(self, documents: Sequence[Document]) -> list[Document]:
        """One document per document, in order. Chunks of a document come in their order, over several calls too."""
        wanted = [self._prompt(document) for document in documents]
        keys = ["" if prompt is None else self._key(prompt) for prompt in wanted]
        waiting = {key: prompt for key, prompt in zip(keys, wanted, strict=True) if prompt is not None}
        texts = self._kept.filled(waiting, self._written, keep=self.describe()["model"] is not None)
        lines = {key: "".join(found) for key, found in texts.items()}
        if bad := sum(not lines[key] for key in keys if key):
            logger.warning("%s: nothing usable was written for %d of %d chunks", _BY, bad, sum(map(bool, keys)))
        return [with_line(each, lines.get(key, "")) for each, key in zip(documents, keys, strict=True)]

    def _prompt(self, document: Document) -> Prompt | None:
        """What is asked about a chunk; nothing about one that begins a document, which is remembered."""
        if begins_document(document):
            self._parent, self._beginning = document.parent, document.text[: self.max_characters]
            return None
        if document.parent != self._parent or not document.text.strip():
            return None
        text = document.text[: self.max_characters]
        return self.prompt.render(title=document.title, beginning=self._beginning, text=text)

    def _key(self, prompt: Prompt) -> str:
        messages = [(message.role, message.content) for message in prompt]
        return text_sha256(json.dumps([messages, repr(self._sampling), self.describe()], sort_keys=True))

    def _written(self, wanted: Sequence[Prompt]) -> list[Sequence[str]]:
        return [each.texts for each in write(self.llm, [[prompt] for prompt in wanted], self._sampling, read=_line)]


def _line(reply: str) -> str:
    """The first sentence: small models go on, and say the same again."""
    passage = parse_passage(reply)
    return next((passage[start:end] for start, end in sentences(passage)), "")
