"""Cross-encoder reranking: a trained classifier reads query and passage together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rag.core.arguments import require_positive
from rag.core.errors import MissingModel, SpecError
from rag.core.memory import RAM, Need, gpu_memory, place
from rag.core.optional import need
from rag.core.ranking import require_k
from rag.core.types import Ranking, Usage
from rerankers.work import Work, warn

if TYPE_CHECKING:
    from torch import Tensor


class CrossEncoderReranker:
    """Any sequence-classification checkpoint of transformers (monoBERT: Nogueira and Cho, 2019, arXiv 1901.04085).

    Query and passage are read as one pair; where it would be too long, the longer of the two is cut. The score is the
    logit of a model with one label, and the log-odds of the second label of a model with two. Pairs of all rankings are
    batched by length. Weights load at the first call; code that a folder brings along is never run. Tests run it
    with random weights of small sizes; no figure of a trained checkpoint is given here.

    Args:
        model: a folder, or a hub id.
        revision: commit, branch or tag of a hub model.
        device: auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.
        max_tokens: tokens of query and passage together, or the model's own limit where that is less.
        max_batch_tokens: most tokens, padding included, that one batch holds.
        depth: how many of a ranking's first hits are reranked; the others follow with falling scores. None: all.
    """

    def __init__(
        self,
        *,
        model: str,
        revision: str | None = None,
        device: str = "auto",
        max_tokens: int = 512,
        max_batch_tokens: int = 8192,
        depth: int | None = None,
    ) -> None:
        if not model:
            raise ValueError("rerank.cross_encoder: model must name a folder or a hub id")
        if device not in ("auto", "cpu", "cuda") and not device.removeprefix("cuda:").isdigit():
            raise ValueError(f"rerank.cross_encoder: device must be auto, cpu, cuda or cuda:N, got {device!r}")
        require_positive("rerank.cross_encoder", max_tokens=max_tokens, max_batch_tokens=max_batch_tokens, depth=depth)
        need("transformers", by="rerank.cross_encoder")
        need("torch", by="rerank.cross_encoder")
        self.model_name, self.revision, self.device, self.depth = model, revision, device, depth
        self.max_tokens, self.max_batch_tokens = max_tokens, max_batch_tokens
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by the model's score, at most `k`, best first."""
        require_k(k, by="rerank.cross_encoder")
        works = [Work.of(ranking, self.depth) for ranking in rankings]
        pairs = [(work, document.full_text) for work in works for document in work.documents]
        started = perf_counter()
        scored = self._scores([(work.ranking.query.text, text) for work, text in pairs]) if pairs else []
        seconds = (perf_counter() - started) / max(1, len(pairs))
        scores: dict[Work, list[float]] = {work: [] for work in works}
        for (work, _), (score, tokens) in zip(pairs, scored, strict=True):
            scores[work].append(score)
            work.note("ok")
            work.usage += Usage(calls=1, prompt_tokens=tokens, seconds=seconds)
        reranked = [work.by_score(scores[work], k=k) for work in works]
        warn(works, by="rerank.cross_encoder")
        return reranked

    @property
    def model_names(self) -> tuple[tuple[str, str | None], ...]:
        """Its name and hub revision."""
        return ((self.model_name, self.revision),)

    def warm_up(self) -> None:
        """Load now instead of at the first call."""
        self._load()

    def memory(self) -> list[Need]:
        """Weights and the largest batch.

        Raises:
            MissingModel: the model is not here yet.
        """
        from rag.models import resolve
        from rag.models.sizes import count_parameters, read_shape

        folder = resolve(self.model_name, revision=self.revision, offline=True).path
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

    def _scores(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, int]]:
        """Score and number of tokens of each pair."""
        model, tokenizer = self._load()
        encoded = [self._encoded(tokenizer, *pair) for pair in pairs]
        lengths = [len(one["input_ids"]) for one in encoded]
        scores = [0.0] * len(pairs)
        for batch in _batches(lengths, self.max_batch_tokens):
            for position, score in zip(
                batch, self._forward(model, tokenizer, [encoded[position] for position in batch]), strict=True
            ):
                scores[position] = score
        return list(zip(scores, lengths, strict=True))

    def _encoded(self, tokenizer: Any, query: str, passage: str) -> dict[str, list[int]]:
        """A pair within the limit: the longer of the two is cut first. No special token in a text takes effect."""
        limit = min(self.max_tokens, tokenizer.model_max_length)
        query, passage = (text.encode("utf-8", "replace").decode("utf-8") for text in (query, passage))
        return dict(tokenizer(query, passage, truncation="longest_first", max_length=limit, split_special_tokens=True))

    def _forward(self, model: Any, tokenizer: Any, rows: Sequence[dict[str, list[int]]]) -> list[float]:
        import torch

        padded = tokenizer.pad(list(rows), return_tensors="pt").to(model.device)
        with self._lock, torch.inference_mode():
            logits: Tensor = model(**padded).logits.float()
        if logits.shape[1] == 2:
            logits = logits[:, 1:] - logits[:, :1]
        return [float(score) for score in logits[:, 0]]

    def _load(self) -> tuple[Any, Any]:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._read()
            return self._loaded

    def _read(self) -> tuple[Any, Any]:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from rag.models import resolve

        folder = resolve(self.model_name, revision=self.revision).path
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        kind: Any = AutoModelForSequenceClassification
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as cause:
            raise MissingModel(f"model folder '{folder}' does not load as a classifier: {cause}") from cause
        if model.config.num_labels not in (1, 2):
            raise SpecError(
                f"rerank.cross_encoder: '{self.model_name}' has {model.config.num_labels} labels; a reranker has one, "
                "or two of which the second says relevant"
            )
        return model.to(device).eval(), tokenizer


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
