"""What teaches a module: questions that pick their passage among others near it, and words of a language that are hidden.

A lesson is a function of the step to a loss. Each step draws by itself, so that equal seeds give equal lessons in any order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rag.errors import SpecError

Lesson = Callable[[int], Tensor]
Article = Mapping[str, Sequence[str]]
"""Passage -> questions that it answers. Passages of one article are near each other."""
_HIDDEN, _MASKED, _SWAPPED = 0.15, 0.8, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Each question of a batch picks its passage; the others are the batch's, most of them of the same article.

    Args:
        model: of sentence-transformers, with `prompts` for either role.
        articles: passages with their questions.
        batch: passages of a step.
        max_tokens: of a text.
        temperature: by which cosines are divided.
    """

    model: Any
    articles: Sequence[Article]
    prompts: Mapping[str, str]
    batch: int = 16
    max_tokens: int = 96
    temperature: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 2 or sum(map(len, self.articles)) < self.batch:
            raise SpecError(
                f"a step of ranking has {self.batch} passages that a question asks for, at least 2; there are"
                f" {sum(map(len, self.articles))}"
            )

    def pairs(self, step: int) -> list[tuple[str, str]]:
        """Questions and their passages, whole articles at a time."""
        chance = random.Random(f"{self.seed}:{step}")
        drawn: list[tuple[str, str]] = []
        for article in chance.sample(self.articles, len(self.articles)):
            drawn += [(chance.choice(list(questions)), passage) for passage, questions in article.items()]
            if len(drawn) >= self.batch:
                break
        return drawn[: self.batch]

    def __call__(self, step: int) -> Tensor:
        questions, passages = zip(*self.pairs(step), strict=True)
        asked, told = self._vectors(questions, "query"), self._vectors(passages, "document")
        return F.cross_entropy(asked @ told.T / self.temperature, torch.arange(len(asked)))

    def _vectors(self, texts: Sequence[str], role: str) -> Tensor:
        read = cut(self.model.preprocess([f"{self.prompts.get(role, '')}{text}" for text in texts]), self.max_tokens)
        return F.normalize(self.model(read)["sentence_embedding"], dim=-1)


class MaskedHead(nn.Module):
    """States [n, dim] to the logits of words, by the words' own vectors. An encoder has lost its own head, so this one is new."""

    def __init__(self, words: Tensor, table: Tensor) -> None:
        super().__init__()
        self.dense, self.norm = nn.Linear(table.shape[1], table.shape[1]), nn.LayerNorm(table.shape[1])
        self.bias = nn.Parameter(torch.zeros(len(words)))
        self.words: Tensor
        self.table: Tensor
        self.register_buffer("words", words)
        self.register_buffer("table", table[words].detach().clone())

    def forward(self, states: Tensor) -> Tensor:
        """[n, words]."""
        logits: Tensor = self.norm(F.gelu(self.dense(states))) @ self.table.T + self.bias
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """Words that are hidden are guessed from those around them, among all that the texts of `head` have.

    Args:
        model: of sentence-transformers.
        head: taught beforehand, and with all modules the same.
        texts: plain, of one language.
        batch: texts of a step.
    """

    model: Any
    head: MaskedHead
    texts: Sequence[str]
    batch: int = 16
    max_tokens: int = 64
    seed: int = 0

    def __call__(self, step: int) -> Tensor:
        """Mean cross-entropy over hidden words."""
        chance = random.Random(f"{self.seed}:{step}")
        texts = [_somewhere(text, chance) for text in chance.sample(self.texts, min(self.batch, len(self.texts)))]
        read = cut(self.model.preprocess(texts), self.max_tokens)
        shown, hidden = hide(
            read["input_ids"], words=self.head.words, mask=mask_of(self.model.tokenizer), seed=chance.getrandbits(32)
        )
        states = self.model.transformers_model(input_ids=shown, attention_mask=read["attention_mask"]).last_hidden_state
        return F.cross_entropy(
            self.head(states[hidden]), torch.searchsorted(self.head.words, read["input_ids"][hidden])
        )


def hide(ids: Tensor, *, words: Tensor, mask: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ids with some of `words` hidden, and which: .15 of them; of these .8 by a mask, .1 by another word, and .1 as they are.

    One is hidden in any case.
    """
    chance = torch.Generator().manual_seed(seed)
    known = torch.isin(ids, words)
    drawn = torch.rand(ids.shape, generator=chance).masked_fill(~known, 2.0)
    hidden = known & (drawn <= max(_HIDDEN, float(drawn.min())))
    how = torch.rand(ids.shape, generator=chance)
    others = words[torch.randint(len(words), ids.shape, generator=chance)]
    shown = torch.where(hidden & (how < _MASKED), mask, ids)
    shown = torch.where(hidden & (how >= _MASKED) & (how < _MASKED + _SWAPPED), others, shown)
    return shown, hidden


def head_for(model: Any, texts: Sequence[str], *, seed: int = 0) -> MaskedHead:
    """A head for all words of texts, sorted by id, but for those that are none."""
    tokenizer = model.tokenizer
    found = {each for ids in tokenizer(list(texts), truncation=False)["input_ids"] for each in ids}
    words = torch.tensor(sorted(found - set(tokenizer.all_special_ids)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MaskedHead(words, model.transformers_model.get_input_embeddings().weight)


def mask_of(tokenizer: Any) -> int:
    """What stands for a hidden word: the tokenizer's own mask, or the unknown word where it has none."""
    return int(tokenizer.unk_token_id if tokenizer.mask_token_id is None else tokenizer.mask_token_id)


def cut(read: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
    """Features with the first tokens of each text."""
    return {name: each[:, :max_tokens] if isinstance(each, Tensor) else each for name, each in read.items()}


def _somewhere(text: str, chance: random.Random) -> str:
    """A text from one of its words on, where it has blanks: long ones are read from all places in time."""
    begins = [at + 1 for at, letter in enumerate(text[: len(text) // 2]) if letter == " "]
    return text[chance.choice([0, *begins]) :]
