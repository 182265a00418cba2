"""CCP: an encoder taught on texts alone, each sentence to pick one of its own neighbourhood among many of its language.

    python -m ragline_train.context_prediction all-minilm-l6-v2 my-encoder INDEX [INDEX ...]

Wu et al., IJCAI 2022 (arXiv 2206.03281). Two sentences of a window are a pair; what they are to be told from are sentences of
the same language, from earlier batches, so that to know the language is of no help. The encoder is read through a head that is
left away afterwards: linear, batch norm, linear. One side of a batch is normalised by what was seen before, in turn with the
other, for by the batch's own numbers a pair could be told. A second step brings languages together (`ragline_train.calibrated`).
"""

from __future__ import annotations

import math
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rag.errors import SpecError
from rag.writing import require_positive
from ragline_train.around import require_new
from ragline_train.calibrated import texts_by_language
from ragline_train.teaching.loop import on_threads
from ragline_train.teaching.questions import sentences_of
from ragline_train.teaching.recipes.opened import KEPT, encoder_folder, prompts_of

Passages = Sequence[Sequence[str]]
"""Of each passage its sentences, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """How much is taught. Where the paper does not say a number, it is ours.

    Args:
        steps: updates of the weights.
        batch: pairs of a step, all of one language; languages in turn.
        window: how many sentences away the other of a pair may stand.
        bank: vectors of earlier batches that a language keeps as negatives.
        across: negatives come from all languages together, which is what the paper warns of.
        threads: of torch.
    """

    steps: int = 300
    batch: int = 16
    window: int = 2
    bank: int = 512
    across: bool = False
    temperature: float = 0.05
    learning_rate: float = 2e-5
    max_tokens: int = 64
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        require_positive("context", steps=self.steps, window=self.window, bank=self.bank, max_tokens=self.max_tokens)
        require_positive("context", threads=self.threads)
        if self.batch < 2:
            raise ValueError("context: batch must be at least 2: batch norm knows nothing of one alone")
        if not (self.temperature > 0 and self.learning_rate > 0):
            raise ValueError("context: temperature and learning_rate must be above 0")


class Head(nn.Module):
    """Vectors [n, dim] to unit vectors [n, dim]: linear, batch norm, linear."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(dim, dim), nn.BatchNorm1d(dim), nn.Linear(dim, dim)

    def forward(self, vectors: Tensor, *, by_batch: bool) -> Tensor:
        """`by_batch`: normalised by these vectors, which are remembered; else by what was remembered."""
        self.norm.train(by_batch)
        return F.normalize(self.last(self.norm(self.first(vectors))), dim=-1)


@dataclass(slots=True)
class Bank:
    """Unit vectors of earlier batches, the newest of each language; they teach nothing any more."""

    size: int
    _kept: dict[str, deque[Tensor]] = field(default_factory=dict)

    def add(self, language: str, vectors: Tensor) -> None:
        self._kept.setdefault(language, deque(maxlen=self.size)).extend(vectors.detach())

    def negatives(self, language: str, *, across: bool, dim: int) -> Tensor:
        """float32 [n, dim]: of the language, or of all."""
        of = [self._kept.get(language, deque())] if not across else list(self._kept.values())
        rows = [row for each in of for row in each]
        return torch.stack(rows) if rows else torch.empty(0, dim)


def context_loss(one: Tensor, other: Tensor, negatives: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy of each of `one` [n, dim] picking its partner in `other` among the batch's and the bank's [m, dim]."""
    logits = one @ torch.cat([other, negatives]).T / temperature
    return F.cross_entropy(logits, torch.arange(len(one)))


def context_pairs(
    passages: Mapping[str, Passages], settings: ContextSettings
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """For each step a language and its pairs, each of another passage: a sentence, and one within the window around it.

    Raises:
        SpecError: a language has too few passages of two sentences or more for a batch.
    """
    usable = {language: [each for each in of if len(each) > 1] for language, of in passages.items()}
    few = {language: len(of) for language, of in usable.items() if len(of) < settings.batch}
    if few or not usable:
        raise SpecError(
            f"a batch has {settings.batch} pairs of different passages of one language, and there are"
            f" {', '.join(f'{language}: {n}' for language, n in few.items()) or 'none'} with two sentences or more"
        )
    chance = random.Random(settings.seed)
    languages = sorted(usable)
    for step in range(settings.steps):
        language = languages[step % len(languages)]
        pairs = []
        for passage in chance.sample(usable[language], settings.batch):
            at = chance.randrange(len(passage))
            near = range(max(0, at - settings.window), min(len(passage), at + settings.window + 1))
            pairs.append((passage[at], passage[chance.choice([place for place in near if place != at])]))
        yield language, pairs


def teach_context(
    model: Any, passages: Mapping[str, Passages], settings: ContextSettings, *, prompt: str = ""
) -> list[float]:
    """Teach a model of sentence-transformers, in place, and give the loss of each step. Equal settings give equal weights.

    Args:
        prompt: what stands before each sentence, as the encoder reads documents.
    Raises:
        SpecError: a language has too few passages; or the loss is no number any more.
    """
    losses = list[float]()
    with torch.random.fork_rng(devices=[]), on_threads(settings.threads):
        torch.manual_seed(settings.seed)
        dim = int(model.get_embedding_dimension())
        head, bank = Head(dim), Bank(settings.bank)
        optimiser = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=settings.learning_rate)
        warm = max(1, settings.steps // 10)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min((step + 1) / warm, (settings.steps - step) / max(1, settings.steps - warm))
        )
        model.train()
        for step, (language, pairs) in enumerate(context_pairs(passages, settings)):
            one, other = (_vectors(model, [f"{prompt}{pair[side]}" for pair in pairs], settings) for side in (0, 1))
            first = step % 2 == 0
            one, other = head(one, by_batch=first), head(other, by_batch=not first)
            negatives = bank.negatives(language, across=settings.across, dim=dim)
            loss = context_loss(one, other, negatives, temperature=settings.temperature)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise SpecError(f"the loss is {losses[-1]} after {step} steps. A lower learning rate may help")
            optimiser.zero_grad()
            cast(Any, loss).backward()
            optimiser.step()
            schedule.step()
            bank.add(language, other)
        model.eval()
    return losses


def in_sentences(texts: Sequence[str]) -> list[list[str]]:
    return [[text[start:end] for start, end in sentences_of(text)] for text in texts]


def _vectors(model: Any, texts: Sequence[str], settings: ContextSettings) -> Tensor:
    features = model.preprocess(list(texts))
    cut = {name: each[:, : settings.max_tokens] for name, each in features.items() if isinstance(each, Tensor)}
    vectors: Tensor = model(cut)["sentence_embedding"]
    return vectors


def main(arguments: Sequence[str]) -> int:
    """Teach by the documents of indexes that say their language, and write the folder."""
    from sentence_transformers import SentenceTransformer

    encoder, out, *indexes = arguments
    require_new(Path(out))
    settings = ContextSettings()
    passages = {language: in_sentences(texts) for language, texts in texts_by_language(indexes).items()}
    enough = {code: of for code, of in passages.items() if sum(len(each) > 1 for each in of) >= settings.batch}
    folder = encoder_folder(encoder)
    model = SentenceTransformer(str(folder.path), **KEPT)
    prompts = prompts_of(folder)
    teach_context(model, enough, settings, prompt=prompts.get("document", ""))
    model.save_pretrained(out, create_model_card=False)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("python -m ragline_train.context_prediction ENCODER FOLDER INDEX [INDEX ...]")
    sys.exit(main(sys.argv[1:]))
