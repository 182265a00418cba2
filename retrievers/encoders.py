"""Text -> vectors with any model in sentence-transformers format, as its own files say: `SentenceEncoder`."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import ContractError, IndexMismatch, IndexProblem, SpecError
from rag.core.memory import Need, place
from rag.core.progress import Progress, silent
from rag.models import ModelFolder, resolve, weights_sha256
from retrievers.sentence_folder import DenseLayer, Role, SentenceFolder, read_sentence_folder

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from retrievers.text_tokens import TextTokens

_Requested = Literal["auto", "float32", "bfloat16"]
# Texts that are tokenised and sorted by length together: enough to fill batches evenly, and 30 MB of token ids.
_TEXTS_AT_ONCE = 4096
_TEXTS_PER_SPAN_CALL = 256
_BYTES = {"float32": 4, "bfloat16": 2}


class SentenceEncoder:
    """A sentence-transformers model (Reimers and Gurevych, EMNLP 2019), run on transformers and torch alone.

    Pooling, normalisation, prompts and length limit are read from the model's folder. The folder is found, and fetched
    if need be, when it is first needed; weights load at the first text. It may be called from several threads.

    Args:
        model: a packaged name, a folder, or a hub id.
        revision: commit, branch or tag of a hub model.
        compute: float32 or bfloat16; auto takes bfloat16 where the processor or GPU multiplies in it.
    """

    def __init__(self, *, model: str, revision: str | None = None, compute: _Requested = "auto") -> None:
        if not model:
            raise ValueError("SentenceEncoder: model must name a packaged model, a folder or a hub id")
        if compute not in get_args(_Requested):
            raise ValueError(f"SentenceEncoder: compute must be auto, float32 or bfloat16, got {compute!r}")
        self.model = model
        self.revision = revision
        self._requested: _Requested = compute
        self._lock = threading.RLock()

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> SentenceEncoder:
        """The encoder that described itself so.

        Raises:
            IndexMismatch: the model's files here are not those described; names both sides.
            IndexProblem: this is no description of an encoder.
            MissingModel: the model is not here and cannot be fetched.
        """
        try:
            name, revision, compute = (description[key] for key in ("name", "revision", "compute"))
            encoder = cls(model=name, revision=revision, compute=compute)
        except (KeyError, TypeError, ValueError) as cause:
            raise IndexProblem(f"the index does not say which encoder made it ({cause!r}). Rebuild it.") from cause
        here = encoder.describe()
        differences = [
            f"{key}: the index has {description.get(key)}, the model here {here.get(key)}"
            for key in sorted({*here, *description})
            if here.get(key) != description.get(key)
        ]
        if differences:
            raise IndexMismatch(
                f"the index was built with another encoder than '{name}' is here: {'; '.join(differences)}."
                " Rebuild the index, or restore the model's files."
            )
        return encoder

    def describe(self) -> dict[str, Any]:
        """Everything that decides what vector a text gets, as JSON. Loads no weights, but hashes them."""
        folder, how = self._folder, self._how
        return {
            "name": str(folder.path) if folder.source == "path" else folder.name,
            "revision": folder.revision if folder.source == "hub" else None,
            "weights_sha256": weights_sha256(folder.path),
            "pooling": list(how.pooling),
            "pooling_is_declared": how.pooling_is_declared,
            "include_prompt": how.include_prompt,
            "after": [_describe_step(step) for step in how.after],
            "normalise": how.normalise,
            "dim": how.dim,
            "max_length": how.max_length,
            "lower_case": how.lower_case,
            "prompts": dict(how.prompts),
            "compute": self.compute,
        }

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._how.dim

    @cached_property
    def compute(self) -> Literal["float32", "bfloat16"]:
        """The data type of the transformer. Pooling and all that follows is float32."""
        from retrievers.transformer import choose_compute

        return choose_compute(self._requested)

    def encode(self, texts: Sequence[str], *, role: Role, progress: Progress = silent) -> NDArray[np.float32]:
        """Encode texts, each cut at the model's length limit.

        Args:
            role: chooses the model's prompt, which is put before each text.
            progress: called as ("encode", texts done, texts in all).
        Returns:
            float32 [n, dim] in input order, unit norm where the model says so. A text without any token gets zeros.
        Raises:
            ContractError: the model gave numbers that are not finite.
        """
        if role not in get_args(Role):
            raise ValueError(f"SentenceEncoder.encode: role must be query or document, got {role!r}")
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        done = 0
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = texts[start : start + _TEXTS_AT_ONCE]
            for rows, found in self._batches(part, role):
                damaged = rows[~np.isfinite(found).all(axis=1)]
                if len(damaged):
                    raise ContractError(
                        f"encoder '{self.model}' gave a number that is not finite, in {self.compute}, for text number"
                        f" {start + damaged.min()} of {len(texts)} (from 0). Its weights may be damaged; with bfloat16,"
                        " try compute: float32."
                    )
                vectors[start + rows] = found
                done += len(rows)
                progress("encode", done, len(texts))
        return vectors

    def memory(self) -> list[Need]:
        """Weights, and the batches that run side by side. Loads nothing.

        Raises:
            MissingModel: the model is not here yet.
        """
        from rag.models.sizes import count_parameters, read_shape
        from retrievers.batch_threads import usable_cores
        from retrievers.transformer import device, tokens_per_batch

        folder, size = resolve(self.model, revision=self.revision, offline=True).path, _BYTES[self.compute]
        where, tokens = place(device()), tokens_per_batch() * (usable_cores() if device() == "cpu" else 1)
        how = read_sentence_folder(folder)
        return [
            Need(what=f"encoder weights in {self.compute}", n_bytes=count_parameters(folder) * size, where=where),
            Need(
                what=f"encoding {tokens:,} tokens",
                n_bytes=read_shape(how.transformer).pass_numbers() * tokens * size,
                where=where,
            ),
        ]

    def release(self) -> None:
        """Let go of the weights. The next text loads them again; a running call keeps them until it is done."""
        with self._lock:
            for name in ("_transformer", "_after"):
                self.__dict__.pop(name, None)
        gc.collect()

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where each token of each text begins and ends, in characters; nothing is cut and no special tokens come in.

        Tokens that share a character, such as bytes of a rare one, have the same span.
        """
        return [
            found
            for start in range(0, len(texts), _TEXTS_PER_SPAN_CALL)
            for found in self._locked_spans(texts[start : start + _TEXTS_PER_SPAN_CALL])
        ]

    def _locked_spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        with self._lock:
            return self._tokens.spans(texts)

    def _batches(self, texts: Sequence[str], role: Role) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """Rows of `texts` and their vectors, a forward pass at a time."""
        from retrievers.batch_threads import run_batches
        from retrievers.transformer import tokens_per_batch

        how, prompt = self._how, self._how.prompts[role]
        with self._lock:
            ids = self._tokens.ids([prompt + text for text in texts])
            skip = 0 if how.include_prompt or not prompt else self._tokens.prompt_length(prompt)
            self._load()

        def forward(rows: list[int]) -> NDArray[np.float32]:
            return self._forward([ids[row] for row in rows], skip)

        for rows, found in run_batches(forward, list(by_length([len(i) for i in ids], budget=tokens_per_batch()))):
            yield np.asarray(rows), found

    def _load(self) -> None:
        """Load what `_forward` reads, before several threads do; they change none of it."""
        _ = self._transformer, self._after

    def _forward(self, ids: Sequence[Sequence[int]], skip: int) -> NDArray[np.float32]:
        import torch

        from retrievers.pooling import pool

        lengths = torch.tensor([len(i) for i in ids])
        longest = int(lengths.max())
        padded = torch.full((len(ids), longest), self._tokens.pad_id)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = torch.tensor(one)
        mask = (torch.arange(longest) < lengths[:, None]).long()
        with torch.inference_mode():
            model = self._transformer
            # Without a mask the attention needs no extra pass over its scores.
            given = None if bool((lengths == longest).all()) else mask.to(model.device)
            hidden = model(input_ids=padded.to(model.device), attention_mask=given).last_hidden_state.float()
            vectors = pool(hidden, lengths.to(model.device), self._how.pooling, skip=skip)
            for step in self._after:
                vectors = step(vectors)
            if vectors.shape[1] != self._how.full_dim:
                raise SpecError(
                    f"model folder '{self._folder.path}': its files promise {self._how.full_dim} numbers per vector,"
                    f" the model gives {vectors.shape[1]}"
                )
            vectors = vectors[:, : self.dim]
            if self._how.normalise:
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
        found: NDArray[np.float32] = vectors.cpu().numpy()
        return found

    @cached_property
    def _folder(self) -> ModelFolder:
        with self._lock:
            return resolve(self.model, revision=self.revision)

    @cached_property
    def _how(self) -> SentenceFolder:
        return read_sentence_folder(self._folder.path)

    @cached_property
    def _tokens(self) -> TextTokens:
        from retrievers.text_tokens import TextTokens

        return TextTokens(self._how.transformer, max_length=self._how.max_length, lower_case=self._how.lower_case)

    @cached_property
    def _transformer(self) -> PreTrainedModel:
        from retrievers.transformer import load_transformer

        return load_transformer(self._how.transformer, compute=self.compute)

    @cached_property
    def _after(self) -> list[Callable[[Tensor], Tensor]]:
        from retrievers.dense_layers import load_step

        return [load_step(step) for step in self._how.after]


def by_length(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Rows in batches of like length, longest first, each at most `budget` tokens with its padding, or one text.

    Longest first: if memory is short, that shows at once. Texts without a token are left out.
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if lengths[row] == 0:
            break
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _describe_step(step: DenseLayer | Literal["normalise"]) -> str:
    if isinstance(step, str):
        return step
    return f"dense {step.in_features} -> {step.out_features}, {step.activation}"
