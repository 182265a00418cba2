"""SPTAR: a few vectors, learnt from some dozens of judged pairs, that make a frozen model write queries for documents.

Peng et al., Knowledge-Based Systems 2025 (arXiv 2307.08303). What the model reads is the vectors, an example (a document and
its query), and the document that wants a query. The vectors begin as the words of an instruction; nothing else is taught, and
the loss is of the query's tokens alone. Of several examples the one is kept with which the loss on pairs kept apart is lowest.
What is written is kept where BM25 finds the document by it (`round_trip`), and then teaches a retriever.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rag.errors import SpecError
from rag.indexes import Index, resolve
from rag.types import Query
from rag.writing import first_words, require_positive
from ragline_train.teaching.loop import on_threads
from retrievers import RETRIEVERS

INSTRUCTION = "Write a search query that the document answers."
_WORD = re.compile(r"\w+")
_MOST_TOKENS = 32
"""Of a query."""

Pair = tuple[str, str]
"""A document's text and a query that it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSettings:
    """How much is taught.

    Args:
        virtual: vectors.
        examples: examples that are tried, one after the other.
        epochs: at most; it ends where the loss kept apart has not fallen for `patience` of them.
        words: of a document that are read.
        threads: of torch.
    """

    virtual: int = 10
    examples: int = 2
    epochs: int = 5
    patience: int = 1
    learning_rate: float = 3e-2
    words: int = 80
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        require_positive("soft_prompt", virtual=self.virtual, examples=self.examples, epochs=self.epochs)
        require_positive("soft_prompt", patience=self.patience, words=self.words, threads=self.threads)
        if not self.learning_rate > 0:
            raise ValueError(f"soft_prompt: learning_rate must be above 0, got {self.learning_rate:g}")


@dataclass(frozen=True, slots=True)
class Learnt:
    """`vectors`: float32 [virtual, width]. `example`: what is shown. `losses`: kept apart, before teaching and after each epoch."""

    vectors: Tensor
    example: Pair
    losses: tuple[float, ...]


class FrozenWriter:
    """A language model of which nothing is taught, by a packaged name or a folder of transformers.

    Raises:
        MissingModel: it is not here and cannot be fetched.
    """

    def __init__(self, model: str | Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = resolve(str(model)).path
        kept: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **kept)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **kept).eval()
        self._model.requires_grad_(False)
        self._table: Any = self._model.get_input_embeddings()

    def words(self, text: str, n: int) -> Tensor:
        """The first `n` vectors of a text's tokens, said again where it has fewer."""
        ids = self._ids(text)
        rows: Tensor = self._table(torch.tensor([ids[at % len(ids)] for at in range(n)]))
        return rows.detach().clone()

    def loss(self, vectors: Tensor, example: Pair, pair: Pair, *, words: int) -> Tensor:
        """The mean surprise of the query's tokens, and of the line's end."""
        before, query = self._ids(_shown(example, pair[0], words)), self._ids(f" {_in_a_line(pair[1])}\n")
        rows = torch.cat([vectors, self._table(torch.tensor([*before, *query]))])
        logits = self._model(inputs_embeds=rows[None]).logits[0, -len(query) - 1 : -1]
        return F.cross_entropy(logits, torch.tensor(query))

    @torch.inference_mode()
    def write(self, vectors: Tensor | None, example: Pair, documents: Sequence[str], *, words: int) -> list[str]:
        """A query for each document, the likeliest word after the other until the line's end; "" where none came of it.

        Args:
            vectors: what was learnt; None reads the instruction in words.
        """
        instruction = self._table(torch.tensor(self._ids(f"{INSTRUCTION}\n\n"))) if vectors is None else vectors
        ends = self._ids("\n")
        written = []
        for document in documents:
            rows = torch.cat([instruction, self._table(torch.tensor(self._ids(_shown(example, document, words))))])
            found = self._model.generate(
                inputs_embeds=rows[None],
                attention_mask=torch.ones(1, len(rows), dtype=torch.long),
                max_new_tokens=_MOST_TOKENS,
                do_sample=False,
                eos_token_id=[*ends[-1:], self._tokenizer.eos_token_id],
                pad_token_id=self._tokenizer.eos_token_id,
            )
            said = self._tokenizer.decode(found[0], skip_special_tokens=True)
            written.append(_in_a_line(next(iter(said.strip().splitlines()), "")))
        return [text if _WORD.search(text) else "" for text in written]

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def teach_prompt(writer: FrozenWriter, pairs: Sequence[Pair], settings: PromptSettings) -> Learnt:
    """Learn the vectors; three quarters of the pairs teach, but for the example, and the rest tells when to stop.

    Raises:
        SpecError: there are fewer than eight pairs; or the loss is no number any more.
    """
    if len(pairs) < 8:
        raise SpecError(
            f"a soft prompt is learnt from at least 8 pairs of a document and a query; there are {len(pairs)}"
        )
    order = random.Random(settings.seed).sample(list(pairs), len(pairs))
    cut = max(settings.examples + 2, len(order) * 3 // 4)
    with torch.random.fork_rng(devices=[]), on_threads(settings.threads):
        tried = [
            _with_example(writer, example, [each for each in order[:cut] if each is not example], order[cut:], settings)
            for example in order[: settings.examples]
        ]
    return min(tried, key=lambda each: min(each.losses))


def _with_example(
    writer: FrozenWriter, example: Pair, taught: Sequence[Pair], apart: Sequence[Pair], settings: PromptSettings
) -> Learnt:
    vectors = nn.Parameter(writer.words(INSTRUCTION, settings.virtual))
    optimiser = torch.optim.AdamW([vectors], lr=settings.learning_rate)
    steps = settings.epochs * len(taught)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1 - step / steps))

    def told() -> float:
        with torch.inference_mode():
            losses = [float(writer.loss(vectors, example, pair, words=settings.words)) for pair in apart]
        return sum(losses) / len(losses)

    losses, best = [told()], vectors.detach().clone()
    chance = random.Random(settings.seed)
    for _ in range(settings.epochs):
        for pair in chance.sample(list(taught), len(taught)):
            loss = writer.loss(vectors, example, pair, words=settings.words)
            if not torch.isfinite(loss):
                raise SpecError("the loss of a soft prompt is no number any more. A lower learning rate may help")
            optimiser.zero_grad()
            cast(Any, loss).backward()
            optimiser.step()
            schedule.step()
        losses.append(told())
        if losses[-1] == min(losses):
            best = vectors.detach().clone()
        if len(losses) - 1 - losses.index(min(losses)) > settings.patience:
            break
    return Learnt(vectors=best, example=example, losses=tuple(losses))


def round_trip(
    index: Index, queries: Sequence[str], doc_ids: Sequence[str], *, k: int = 30
) -> Iterator[tuple[str, str]]:
    """Queries with their documents, where the document is among the first `k` that BM25 finds by it; an empty one never is."""
    asked = [(text, doc_id) for text, doc_id in zip(queries, doc_ids, strict=True) if text]
    found = RETRIEVERS.get("bm25")(index=index).retrieve(
        [Query(qid=str(number), text=text) for number, (text, _) in enumerate(asked)], k=k
    )
    for (text, doc_id), ranking in zip(asked, found, strict=True):
        if doc_id in ranking.doc_ids:
            yield text, doc_id


def _shown(example: Pair, document: str, words: int) -> str:
    shown = f"Document: {first_words(_in_a_line(example[0]), words)}\nQuery: {_in_a_line(example[1])}\n\n"
    return f"{shown}Document: {first_words(_in_a_line(document), words)}\nQuery:"


def _in_a_line(text: str) -> str:
    return " ".join(text.split())
