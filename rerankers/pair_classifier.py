"""A sequence-classification checkpoint of transformers that reads two texts together: pairs -> logits."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.core.arguments import require_positive
from rag.core.errors import MissingModel
from rag.core.memory import RAM, Need, gpu_memory, place
from rag.core.optional import need
from rag.models.importing import import_transformers

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLogits:
    """Logits of one pair, one per label, and how many tokens were read for them."""

    logits: tuple[float, ...]
    tokens: int


class PairClassifier:
    """Where a pair would be too long, the longer of the two texts is cut. Pairs are batched by length. Weights load at the
    first call; code that a folder brings along is never run. Many threads may call it.

    Args:
        model: a folder, or a hub id.
        revision: commit, branch or tag of a hub model.
        device: auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.
        max_tokens: tokens of both texts together, or the model's own limit where that is less.
        max_batch_tokens: most tokens, padding included, that one batch holds.
        by: the component, as messages call it, and `parameter`, its name for `model`.
    """

    def __init__(
        self,
        *,
        model: str,
        revision: str | None,
        device: str,
        max_tokens: int,
        max_batch_tokens: int,
        by: str,
        parameter: str = "model",
    ) -> None:
        if not model:
            raise ValueError(f"{by}: {parameter} must name a folder or a hub id")
        if device not in ("auto", "cpu", "cuda") and not device.removeprefix("cuda:").isdigit():
            raise ValueError(f"{by}: device must be auto, cpu, cuda or cuda:N, got {device!r}")
        require_positive(by, max_tokens=max_tokens, max_batch_tokens=max_batch_tokens)
        need("transformers", by=by)
        need("torch", by=by)
        self.name, self.revision, self.device = model, revision, device
        self.max_tokens, self.max_batch_tokens = max_tokens, max_batch_tokens
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    def labels(self) -> list[str]:
        """Names of the labels, in the order of the logits. Loads the weights."""
        model, _ = self.load()
        return [str(model.config.id2label[number]) for number in range(model.config.num_labels)]

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[PairLogits]:
        """Of each pair, in order."""
        if not pairs:
            return []
        model, tokenizer = self.load()
        encoded = [self._encoded(tokenizer, *pair) for pair in pairs]
        lengths = [len(one["input_ids"]) for one in encoded]
        rows: list[tuple[float, ...]] = [()] * len(pairs)
        for batch in _batches(lengths, self.max_batch_tokens):
            forward = self._forward(model, tokenizer, [encoded[position] for position in batch])
            for position, row in zip(batch, forward, strict=True):
                rows[position] = row
        return [PairLogits(logits=row, tokens=tokens) for row, tokens in zip(rows, lengths, strict=True)]

    def load(self) -> tuple[Any, Any]:
        """Model and tokenizer.

        Raises:
            MissingModel: the folder holds no classifier.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self._read()
            return self._loaded

    def memory(self) -> list[Need]:
        """Weights and the largest batch.

        Raises:
            MissingModel: the model is not here yet.
        """
        from rag.models import resolve
        from rag.models.sizes import count_parameters, read_shape

        folder = resolve(self.name, revision=self.revision, offline=True).path
        where = next(iter(gpu_memory()), RAM) if self.device == "auto" else place(self.device)
        batch = read_shape(folder).pass_numbers() * self.max_batch_tokens * 4
        return [
            Need(what="weights in float32", n_bytes=count_parameters(folder) * 4, where=where),
            Need(
                what=f"batches of {self.max_batch_tokens:,} tokens",
                n_bytes=batch,
                where=where,
                smaller="lower max_batch_tokens",
            ),
        ]

    def release(self) -> None:
        """Let go of the weights; the next call loads them again."""
        with self._lock:
            self._loaded = None

    def _encoded(self, tokenizer: Any, first: str, second: str) -> dict[str, list[int]]:
        """A pair within the limit: the longer of the two is cut first. No special token in a text takes effect."""
        limit = min(self.max_tokens, tokenizer.model_max_length)
        first, second = (text.encode("utf-8", "replace").decode("utf-8") for text in (first, second))
        return dict(tokenizer(first, second, truncation="longest_first", max_length=limit, split_special_tokens=True))

    def _forward(self, model: Any, tokenizer: Any, rows: Sequence[dict[str, list[int]]]) -> list[tuple[float, ...]]:
        import torch

        padded = tokenizer.pad(list(rows), return_tensors="pt").to(model.device)
        with self._lock, torch.inference_mode():
            logits: Tensor = model(**padded).logits.float()
        return [tuple(row) for row in logits.tolist()]

    def _read(self) -> tuple[Any, Any]:
        import torch
        from safetensors import SafetensorError

        from rag.models import resolve

        transformers = import_transformers()

        folder = resolve(self.name, revision=self.revision).path
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = transformers.AutoModelForSequenceClassification
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as cause:
            raise MissingModel(f"model folder '{folder}' does not load as a classifier: {cause}") from cause
        return model.to(device).eval(), tokenizer


class ReadsPairs:
    """What components say of the classifier that they hold."""

    _classifier: PairClassifier

    @property
    def model_names(self) -> tuple[tuple[str, str | None], ...]:
        """Its name and hub revision."""
        return ((self._classifier.name, self._classifier.revision),)

    def memory(self) -> list[Need]:
        """Weights and the largest batch.

        Raises:
            MissingModel: the model is not here yet.
        """
        return self._classifier.memory()

    def release(self) -> None:
        """Let go of the weights; the next call loads them again."""
        self._classifier.release()


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Positions in batches of like length, longest first, at most `tokens` padded tokens each, one row at least."""
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
