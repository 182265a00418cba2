"""Texts -> weighted terms, by a masked language model (SPLADE: Formal et al., SIGIR 2021, arXiv 2107.05720 and 2109.10086;
VDR: Zhou et al., ICLR 2024, arXiv 2212.07699). Knows no index.

Each token of a text has a logit for every term of the vocabulary. A term's weight is the largest of them over the text,
log(1 + max(0, x)); VDR has elu(x) + 1 and keeps the highest 768, and the words that the text says. So a text weighs words
that it does not say.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import ContractError, IndexProblem, SpecError
from rag.core.memory import Need, place
from rag.models import ModelFolder, resolve
from retrievers.encoders.batches import of_like_length
from retrievers.encoders.descriptions import folder_facts, require_same
from retrievers.encoders.sentence_folder import Role
from retrievers.legs.sparse.folder import SparseFolder, Terms, read_sparse_folder
from retrievers.legs.sparse.settings import SparseSettings
from retrievers.stores.sparse_rows import SparseRows

if TYPE_CHECKING:
    from torch import Tensor

    from retrievers.encoders.tokenizer import TextTokens

VERSION = 1
"""Raised when the same model weighs a text in another way than before."""

Means = Literal["model", "asked", "words", "table"]
"""Who weighs: the model; its encoder of queries, where it has one of its own (VDR); nobody, so that each token of the text
weighs 1; the folder's table, which reads no text."""

_PASS_TOKENS = 1024
"""Padded tokens of one pass: with 30,000 terms their logits are 125 MB."""
_KEPT = 768
_BYTES = {"float32": 4, "bfloat16": 2}


class SparseEncoder:
    """A masked language model, or a SparseEncoder folder of sentence-transformers. Weights load at the first text.

    It may be called from several threads.
    """

    def __init__(self, settings: SparseSettings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._models: dict[Role, tuple[Any, Terms]] = {}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> SparseEncoder:
        """The encoder that described itself so.

        Raises:
            IndexMismatch: the model's files here are not those described; names both sides.
            IndexProblem: this is no description of an encoder.
            MissingModel: the model is not here and cannot be fetched.
        """
        names = SparseSettings.model_fields
        try:
            encoder = cls(SparseSettings(**{name: description[name] for name in names}))
        except (KeyError, TypeError, ValueError) as cause:
            raise IndexProblem(f"the index does not say what weighed its terms ({cause!r}). Rebuild it.") from cause
        require_same(
            description,
            encoder.describe(),
            said="the index's sparse leg was built with another model than is here",
            cure="the model's files",
        )
        return encoder

    def describe(self) -> dict[str, Any]:
        """Everything that decides what a text weighs, as JSON. Loads no weights, but hashes them."""
        folder, how = self._folder, self._how
        return {
            "version": VERSION,
            **folder_facts(folder),
            "dtype": self.compute,
            "pooling": how.pooling,
            "activation": self.activation,
            "keep": self.keep,
            "text_tokens": self.text_tokens,
            "documents": self.settings.documents,
        }

    @property
    def activation(self) -> str:
        """From a logit to a weight."""
        return self._how.activation if self.settings.activation == "auto" else self.settings.activation

    @property
    def keep(self) -> int | None:
        """Most terms of a text; None for all above 0."""
        return self.settings.keep or (_KEPT if self.activation == "elu1p" else None)

    @property
    def text_tokens(self) -> int:
        """Tokens of a text that are read."""
        return min(self.settings.text_tokens, self._how.max_length)

    @cached_property
    def compute(self) -> Literal["float32", "bfloat16"]:
        """The data type of the products."""
        from retrievers.encoders.transformer import choose_compute

        return choose_compute(self.settings.dtype)

    @property
    def has_table(self) -> bool:
        """Whether the folder weighs the tokens of queries by a table."""
        return self._how.table is not None

    def encode(self, texts: Sequence[str], *, by: Means) -> SparseRows:
        """In order. A text without a token, such as a blank one, has no terms. Special tokens are no terms.

        Raises:
            SpecError: by table, and the folder has none.
            ContractError: the model gave numbers that are not finite.
        """
        if by in ("model", "asked"):
            return self._weighed(texts, "query" if by == "asked" else "document")
        rows = [sorted(set(ids).difference(self._special)) for ids in self._ids(texts)]
        if by == "words":
            return _rows_of([dict.fromkeys(row, 1.0) for row in rows])
        table = self._table
        return _rows_of([{id_: float(table[id_]) for id_ in row if table[id_] > 0} for row in rows])

    def names(self, ids: Sequence[int]) -> list[str]:
        """What terms are called."""
        with self._lock:
            return self._tokens.names(ids)

    def memory(self) -> list[Need]:
        """Weights, and one batch. Loads nothing.

        Raises:
            MissingModel: the model is not here yet.
        """
        from rag.models.sizes import count_parameters, read_shape
        from retrievers.encoders.transformer import device

        folder = read_sparse_folder(resolve(self.settings.model, revision=self.settings.revision, offline=True).path)
        where = place(device())
        terms = folder.two.terms if folder.two else read_shape(folder.transformer).vocabulary
        weights = count_parameters(folder.transformer) * _BYTES[self.compute]
        return [
            Need(what=f"sparse encoder in {self.compute}", n_bytes=weights, where=where),
            Need(what=f"weighing {_PASS_TOKENS:,} tokens", n_bytes=3 * 4 * _PASS_TOKENS * terms, where=where),
        ]

    def release(self) -> None:
        """Let go of the weights. The next text loads them again."""
        with self._lock:
            loaded = bool(self._models)
            self._models.clear()
        if loaded:
            gc.collect()

    def _weighed(self, texts: Sequence[str], role: Role) -> SparseRows:
        from retrievers.encoders.batch_threads import run_batches

        special, two = self._special, self._how.two
        rows = self._ids(texts)
        if two and role == "query":  # which reads less: what is cut goes in front of the closing token
            longest = min(self.text_tokens, two.max_length(role))
            rows = [ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]] for ids in rows]
        read = [(place, ids) for place, ids in enumerate(rows) if not special.issuperset(ids)]

        def weigh(batch: Sequence[int]) -> list[dict[int, float]]:
            found = self._pass([read[at][1] for at in batch], role)
            found[:, sorted(special)] = 0.0
            return [
                _kept(row, self.keep, said=read[at][1] if two else ()) for at, row in zip(batch, found, strict=True)
            ]

        weighed: dict[int, dict[int, float]] = {}
        for batch, kept in run_batches(weigh, list(of_like_length([len(ids) for _, ids in read], _PASS_TOKENS))):
            weighed |= {read[at][0]: row for at, row in zip(batch, kept, strict=True)}
        return _rows_of([weighed.get(place, {}) for place in range(len(texts))])

    def _pass(self, rows: Sequence[Sequence[int]], role: Role) -> NDArray[np.float32]:
        """float32 [rows, terms]."""
        import torch

        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self._tokens.pad_id] * (longest - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        model, vocabulary = self._model(role)
        with torch.inference_mode():
            states = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
            outside = ~mask.bool().unsqueeze(-1).to(model.device)
            if self._how.pooling == "max":  # what fills a text up counts as its first token once more, so not at all
                states = torch.where(outside, states[:, :1], states)
            parts = [self._weights(logits, outside) for logits in vocabulary.logits(states)]
            weights = torch.cat(parts, dim=1)
            if not bool(states.isfinite().all() and weights.isfinite().all()):
                raise ContractError(
                    f"sparse encoder '{self.settings.model}' gave a number that is not finite, in {self.compute}. Its weights "
                    "may be damaged; with bfloat16, try dtype: float32."
                )
            found: NDArray[np.float32] = weights.cpu().numpy()
            return found

    def _weights(self, logits: Tensor, outside: Tensor) -> Tensor:
        """[texts, tokens, terms] -> float32 [texts, terms]. `outside`: tokens that are none, [texts, tokens, 1]."""
        if self._how.pooling == "max":  # every activation rises, so the largest weight is that of the largest logit
            above_zero = self.activation != "elu1p"
            return activated(largest(logits, above_zero=above_zero).float(), self.activation)
        return activated(logits.float(), self.activation).masked_fill_(outside, 0.0).sum(dim=1)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        with self._lock:
            return self._tokens.ids(texts)

    @cached_property
    def _special(self) -> frozenset[int]:
        """Tokens that are no terms; of two encoders all before the first real word."""
        before = range(self._how.two.before) if self._how.two else ()
        with self._lock:
            return frozenset([*self._tokens.special_ids, *before])

    @cached_property
    def _folder(self) -> ModelFolder:
        with self._lock:
            return resolve(self.settings.model, revision=self.settings.revision)

    @cached_property
    def _how(self) -> SparseFolder:
        return read_sparse_folder(self._folder.path)

    @cached_property
    def _tokens(self) -> TextTokens:
        from retrievers.encoders.tokenizer import TextTokens

        with self._lock:
            return TextTokens.load(self._how.transformer, max_length=self.text_tokens, lower_case=False)

    def _model(self, role: Role) -> tuple[Any, Terms]:
        """The model without its last layer, and that; of two encoders that of the role."""
        from retrievers.encoders.transformer import device, load_transformer
        from retrievers.legs.sparse.vocabulary import Vocabulary

        own: Role = role if self._how.two else "document"
        with self._lock:
            if own not in self._models:
                if self._how.two:
                    self._models[own] = self._how.two.load(own, compute=self.compute, device=device())
                else:
                    model = load_transformer(self._how.transformer, compute=self.compute, masked=True)
                    self._models[own] = (model, Vocabulary(model))
            return self._models[own]

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        if self._how.table is None:
            raise SpecError(
                f"model folder '{self._folder.path}' has no table of weights for queries. Use query: model or words"
            )
        from safetensors.numpy import load_file

        try:
            return np.asarray(load_file(self._how.table / "model.safetensors")["weight"], dtype=np.float32)
        except (OSError, KeyError) as cause:
            raise SpecError(f"'{self._how.table}': its table of weights cannot be read ({cause!r})") from cause


def largest(logits: Tensor, *, above_zero: bool) -> Tensor:
    """[texts, tokens, terms] -> [texts, terms]: the largest over the tokens, none of which is NaN.

    Args:
        above_zero: where no token is above 0, any of them will do. Then the bits are compared as whole numbers, which order
            numbers above 0 as they are, and any of them after one below: eight times as fast.
    """
    import torch

    if not above_zero:
        return logits.amax(dim=1)
    whole = torch.int16 if logits.element_size() == 2 else torch.int32
    return logits.contiguous().view(whole).amax(dim=1).view(logits.dtype)


def activated(logits: Tensor, activation: str) -> Tensor:
    """From logits to weights, 0 or above. Of minus infinity it is 0.

    Worked: log1p_relu of .5, 2, 7.3 is .4055, 1.0986, 2.1163; elu1p of -1, 0, .5 is .3679, 1, 1.5.
    """
    import torch

    if activation == "elu1p":
        return torch.nn.functional.elu(logits) + 1
    weights = logits.relu().log1p()
    return weights.log1p() if activation == "log1p_log1p_relu" else weights


def _kept(weights: NDArray[np.float32], keep: int | None, *, said: Sequence[int] = ()) -> dict[int, float]:
    """Term -> weight of the highest, above 0; of equal ones the lower term. Those of `said` stay whatever they weigh."""
    ids = np.flatnonzero(weights > 0)
    if keep is not None and len(ids) > keep:
        highest = ids[np.lexsort((ids, -weights[ids]))[:keep]]
        ids = np.union1d(highest, np.intersect1d(ids, np.asarray(said, dtype=ids.dtype)))
    return dict(zip(ids.tolist(), weights[ids].tolist(), strict=True))


def _rows_of(rows: Sequence[Mapping[int, float]]) -> SparseRows:
    return SparseRows(
        tokens=np.array([token for row in rows for token in row], dtype=np.int32),
        weights=np.array([weight for row in rows for weight in row.values()], dtype=np.float32),
        starts=np.cumsum([0, *map(len, rows)], dtype=np.int64),
    )
