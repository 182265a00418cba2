"""Corpus of code -> the same code, indexed together with programs that a model writes for its purpose."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import prompts
from rag.files import text_sha256
from rag.graphs import model_identity
from rag.protocols import LLM
from rag.types import Document, SamplingParams
from rag.writing import parse_code, parse_passage, require_positive, require_sampling, write
from ragline_recipes.kept_texts import KeptTexts
from ragline_recipes.mean_of_parts import PART

logger = logging.getLogger(__name__)

_BY = "transform.rewrite_code"


class RewriteCodeTransform:
    """Every program rewritten in the model's own style, for the index alone (ReCo: ACL 2024, arXiv 2401.04514).

    The model says what a program is for, then writes `n` programs for that purpose, with the prompt that
    `reformulate.code` uses. Legs index the original, repeated, and the rewrites behind it, with a mark between. The dense
    form, the mean of the vectors of original and rewrites, is that of an encoder of the kind `mean_of_parts`
    (`ragline_recipes.mean_of_parts`); any other reads the joined text up to its limit. Text and prompts do not change.
    Costs 1 + n calls per document, once: what was written is kept by the content, the prompts, the parameters and the
    model's weights. A document for which nothing usable was written is indexed as it is.

    Not here, of what the paper has: fine-tuning. Its four demonstrations before a program is summed up are drawn from
    training pairs; here they are four fixed ones of our own.

    Args:
        llm: the model that writes; in a graph, a name from `models`.
        n: programs per document.
        repeat: how often the original stands before the rewrites; none means n, which gives both half the weight.
        prompt: name or path of a prompt with the variable query: purpose to program.
        purpose_prompt: name or path of a prompt with the variable code: program to purpose.
        max_characters: of a program, that the model reads.
        max_tokens: most tokens of a program.
        purpose_tokens: most tokens of a purpose.
        temperature: above 0 if n is above 1.
        top_p: sample from the likeliest tokens that make up this share.
        seed: of the first program; the others count up from it.
        cache: folder of what was written; none is a folder in ragline's home.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        n: int = 4,
        repeat: int | None = None,
        prompt: str = "code_example",
        purpose_prompt: str = "code_purpose",
        max_characters: int = 4000,
        max_tokens: int = 256,
        purpose_tokens: int = 128,
        temperature: float = 1.0,
        top_p: float = 0.99,
        seed: int = 0,
        cache: str | None = None,
    ) -> None:
        self.repeat = n if repeat is None else repeat
        require_positive(_BY, n=n, repeat=self.repeat, max_characters=max_characters)
        require_positive(_BY, max_tokens=max_tokens, purpose_tokens=purpose_tokens)
        require_sampling(_BY, temperature=temperature, top_p=top_p, samples=n)
        self.llm, self.n, self.max_characters = llm, n, max_characters
        self.prompt, self.purpose_prompt = prompts.load(prompt), prompts.load(purpose_prompt)
        self.prompt.require("query", by=_BY)
        self.purpose_prompt.require("code", by=_BY)
        sampling: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "seed": seed}
        self._programs = SamplingParams(max_tokens=max_tokens, **sampling)
        self._purposes = SamplingParams(max_tokens=purpose_tokens, **sampling)
        self._kept = KeptTexts(cache, name="rewrites")
        self._description: dict[str, Any] | None = None

    def describe(self) -> dict[str, Any]:
        """All that its texts depend on beside the documents and its parameters; asks for the weights' digest."""
        if self._description is None:
            self._description = {
                "model": model_identity(self.llm),
                "prompts": [self.prompt.sha256, self.purpose_prompt.sha256],
            }
        return self._description

    def transform(self, documents: Sequence[Document]) -> list[Document]:
        """One document per document, in order, with the rewrites in what legs index."""
        keys = [self._key(document) for document in documents]
        wanted = dict(zip(keys, documents, strict=True))
        known = self._kept.filled(wanted, self._rewritten, keep=self.describe()["model"] is not None)
        if bad := sum(not known[key] for key in keys):
            logger.warning("%s: nothing usable was written for %d of %d documents", _BY, bad, len(documents))
        return [self._with(document, known[key]) for document, key in zip(documents, keys, strict=True)]

    def _rewritten(self, documents: Sequence[Document]) -> list[Sequence[str]]:
        prompts = [[self.purpose_prompt.render(code=document.text[: self.max_characters])] for document in documents]
        purposes = write(self.llm, prompts, self._purposes, read=parse_passage)
        wanted = [[self.prompt.render(query=text) for text in purpose.texts] for purpose in purposes]
        programs = write(self.llm, wanted, self._programs, read=parse_code, samples=self.n)
        return [written.texts for written in programs]

    def _with(self, document: Document, rewrites: Sequence[str]) -> Document:
        if not rewrites:
            return document
        parts = [document.index_text] * self.repeat + list(rewrites)
        index_text = f"\n{PART}".join(part.replace(PART, " ") for part in parts)
        return replace(document, metadata={**document.metadata, "index_text": index_text})

    def _key(self, document: Document) -> str:
        made_of = [document.text[: self.max_characters], self.n, repr(self._programs), repr(self._purposes)]
        return text_sha256(json.dumps([*made_of, self.describe()], sort_keys=True))
