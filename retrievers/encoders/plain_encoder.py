"""A plain sentence-transformers folder (Transformer, Pooling, Dense, Normalize), run on transformers and torch alone.

It is here because it is faster: see docs/decisions/0006-ours-or-a-library.md.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.memory import Need, place
from retrievers.encoders.batches import by_length
from retrievers.encoders.kinds import Batch, Compute, Requested
from retrievers.encoders.light_bert import MOST_TEXTS, MOST_TOKENS, LightBert
from retrievers.encoders.sentence_folder import (
    DenseLayer,
    NotPlain,
    Role,
    SentenceFolder,
    hidden_size,
    read_sentence_folder,
)
from retrievers.encoders.settings import Encoding
from retrievers.encoders.states import Seen
from retrievers.encoders.tokenizer import BEFORE, BETWEEN, echoed, readable

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from retrievers.encoders.plain_bert import PlainBert
    from retrievers.encoders.tokenizer import TextTokens

_TEXTS_PER_SPAN_CALL = 256
_BYTES = {"float32": 4, "bfloat16": 2}


class PlainEncoder:
    """Pooling, normalisation, prompts and length limit are read from the folder; weights load at the first text.

    `encoding`: what is asked for instead.
    """

    reads: ClassVar[str] = "a plain folder"

    def __init__(self, folder: Path, *, requested: Requested, encoding: Encoding | None = None) -> None:
        self._folder, self._requested = folder, requested
        self._encoding = Encoding() if encoding is None else encoding
        self._lock = threading.RLock()

    @staticmethod
    def refuses(folder: Path) -> str | None:
        """Why this is no plain folder."""
        try:
            read_sentence_folder(folder)
        except NotPlain as reason:
            return str(reason)
        return None

    def as_asked(self, encoding: Encoding) -> PlainEncoder:
        """The same folder, read so."""
        return PlainEncoder(self._folder, requested=self._requested, encoding=encoding)

    def facts(self) -> Mapping[str, Any]:
        """What the folder's files say, or was asked for instead, and the data type."""
        how = self._how
        return {
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
            **({"echo": [BEFORE, BETWEEN]} if self._encoding.echo else {}),
        }

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._how.dim

    @property
    def width(self) -> int:
        """Numbers that the last layer holds of a token."""
        return hidden_size(self._how.transformer)

    @cached_property
    def compute(self) -> Compute:
        """The data type of the transformer. Pooling and all that follows is float32."""
        from retrievers.encoders.transformer import choose_compute

        return choose_compute(self._requested)

    def memory(self) -> list[Need]:
        """Weights, and the batches that run side by side."""
        from rag.models.processor import usable_cores
        from rag.models.sizes import count_parameters, read_shape
        from retrievers.encoders.transformer import device, tokens_per_batch

        size = _BYTES[self.compute]
        where, tokens = place(device()), tokens_per_batch() * (usable_cores() if device() == "cpu" else 1)
        return [
            Need(what=f"encoder weights in {self.compute}", n_bytes=count_parameters(self._folder) * size, where=where),
            Need(
                what=f"encoding {tokens:,} tokens",
                n_bytes=read_shape(self._how.transformer).pass_numbers() * tokens * size,
                where=where,
            ),
        ]

    def release(self) -> None:
        """Let go of the weights; a running call keeps them until it is done."""
        with self._lock:
            loaded = [self.__dict__.pop(name, None) is not None for name in ("_transformer", "_after", "_light")]
        if any(loaded):
            gc.collect()

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where each token of each text begins and ends, in characters; nothing is cut and no special tokens come in.

        Tokens that share a character, such as bytes of a rare one, have the same span.
        """
        return [
            spans
            for start in range(0, len(texts), _TEXTS_PER_SPAN_CALL)
            for spans in self._locked_spans(texts[start : start + _TEXTS_PER_SPAN_CALL])
        ]

    def _locked_spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        with self._lock:
            return self.tokens.spans(texts)

    def reading(self, role: Role) -> Mapping[str, Any] | None:
        """What decides the states of a text's tokens beside the folder; None where each text is read twice over."""
        if self._encoding.echo:
            return None
        how = self._how
        return {
            "prompt": how.prompts[role],
            "max_length": how.max_length,
            "lower_case": how.lower_case,
            "attention": self._encoding.attention,
            "compute": self.compute,
        }

    def batches(self, texts: Sequence[str], role: Role, seen: Seen | None = None) -> Iterator[Batch]:
        """Rows of `texts` and their vectors, a forward pass at a time."""
        prompt = self._how.prompts[role]
        light = self._light_ids([prompt + text for text in texts]) if self._as_declared else None
        if light is not None and self._light is not None:
            yield np.arange(len(texts)), self._light.encode(light)
            for row, one in enumerate(light if seen else ()):
                if one and seen:
                    seen(row, one, self._light.states(one))
            return
        from retrievers.encoders.batch_threads import run_batches
        from retrievers.encoders.transformer import tokens_per_batch

        with self._lock:
            ids, skipped = self._ids_and_skipped(texts, prompt)
            self._load()

        def forward(rows: list[int]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
            vectors, hidden = self._forward([ids[row] for row in rows], [skipped[row] for row in rows])
            return vectors, hidden.cpu().numpy() if seen else None

        lengths = [len(each) for each in ids]
        for rows, (vectors, hidden) in run_batches(forward, by_length(lengths, budget=tokens_per_batch())):
            if seen and hidden is not None:
                for row, states in zip(rows, hidden, strict=True):
                    seen(row, ids[row], states[: lengths[row]])
            yield np.asarray(rows), vectors

    def _ids_and_skipped(self, texts: Sequence[str], prompt: str) -> tuple[list[list[int]], list[int]]:
        """Token ids of each text, and how many of them pooling leaves out at the beginning."""
        if self._encoding.echo:
            return echoed(self.tokens, texts, prompt=prompt)
        skip = 0 if self._how.include_prompt or not prompt else self.tokens.prompt_length(prompt)
        return self.tokens.ids([prompt + text for text in texts]), [skip] * len(texts)

    def states(self, texts: Sequence[str], role: Role) -> Iterator[tuple[int, list[int], NDArray[np.float32]]]:
        """Place of each text that has a token, the ids of its tokens, special ones among them, and what the last layer holds
        of each: float32 [tokens, width]. The longest texts come first."""
        prompted = [self._how.prompts[role] + text for text in texts]
        light = self._light_ids(prompted)
        if light is not None and self._light is not None:
            for row, one in sorted(enumerate(light), key=lambda each: -len(each[1])):
                if one:
                    yield row, one, self._light.states(one)
            return
        from retrievers.encoders.batch_threads import run_batches
        from retrievers.encoders.transformer import tokens_per_batch

        with self._lock:
            ids = self.tokens.ids(prompted)
            self._load()

        def forward(rows: list[int]) -> NDArray[np.float32]:
            import torch

            with torch.inference_mode():
                hidden: NDArray[np.float32] = self._hidden([ids[row] for row in rows])[0].cpu().numpy()
            return hidden

        batches = by_length([len(each) for each in ids], budget=tokens_per_batch())
        for rows, hidden in run_batches(forward, batches):
            for row, states in zip(rows, hidden, strict=True):
                yield row, ids[row], states[: len(ids[row])]

    def n_around(self, role: Role) -> int:
        """Tokens that every text has: special ones, and those of the folder's prompt."""
        bare = [self._how.prompts[role]]
        light = self._light_ids(bare)
        return len((self.tokens.ids(bare) if light is None else light)[0])

    @property
    def _as_declared(self) -> bool:
        """Whether nothing is asked for that the folder does not say."""
        return not self._encoding.said()

    def _light_ids(self, texts: Sequence[str]) -> list[list[int]] | None:
        """The tokens of texts that are few and short, as long as nothing heavy is loaded; else None."""
        if len(texts) > MOST_TEXTS or "_transformer" in self.__dict__ or self._light is None:
            return None
        ids = self._light.ids(list(map(readable, texts)))
        return ids if max(map(len, ids), default=0) <= MOST_TOKENS else None

    @cached_property
    def _light(self) -> LightBert | None:
        """What encodes a query or two without torch, if the folder is one that it reads."""
        return LightBert(self._how, compute=self.compute) if LightBert.reads(self._how) else None

    def _load(self) -> None:
        """Load what `_forward` reads, before several threads do; they change none of it."""
        _ = self._transformer, self._after

    def _hidden(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """What the last layer holds, float32 [texts, most tokens, width], and how many tokens each text has."""
        import torch

        lengths = torch.tensor([len(i) for i in ids])
        longest = int(lengths.max())
        padded = torch.full((len(ids), longest), self.tokens.pad_id)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = torch.tensor(one)
        mask = (torch.arange(longest) < lengths[:, None]).long()
        model = self._transformer
        # Without a mask the attention needs no extra pass over its scores.
        attention_mask = None if bool((lengths == longest).all()) else mask.to(model.device)
        hidden = model(input_ids=padded.to(model.device), attention_mask=attention_mask).last_hidden_state.float()
        return hidden, lengths.to(model.device)

    def _forward(self, ids: Sequence[Sequence[int]], skipped: Sequence[int]) -> tuple[NDArray[np.float32], Tensor]:
        """The vectors, and the states that they were made of."""
        import torch

        from retrievers.encoders.pooling import pool

        with torch.inference_mode():
            hidden, lengths = self._hidden(ids)
            skip = torch.tensor(skipped, device=hidden.device)
            vectors = pool(hidden, lengths, self._how.pooling, skip=skip)
            for step in self._after:
                vectors = step(vectors)
            if vectors.shape[1] != self._how.full_dim:
                raise SpecError(
                    f"model folder '{self._folder}': its files promise {self._how.full_dim} numbers per vector,"
                    f" the model gives {vectors.shape[1]}"
                )
            vectors = vectors[:, : self.dim]
            if self._how.normalise:
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
        result: NDArray[np.float32] = vectors.cpu().numpy()
        return result, hidden

    @cached_property
    def _how(self) -> SentenceFolder:
        return _asked(read_sentence_folder(self._folder), self._encoding, folder=self._folder)

    @cached_property
    def tokens(self) -> TextTokens:
        """The folder's tokenizer. Not to be called by two threads at once."""
        from retrievers.encoders.tokenizer import TextTokens

        return TextTokens.load(self._how.transformer, max_length=self._how.max_length, lower_case=self._how.lower_case)

    @cached_property
    def _transformer(self) -> PreTrainedModel | PlainBert:
        from retrievers.encoders.plain_bert import PlainBert
        from retrievers.encoders.transformer import attend_both_ways, device, load_transformer

        if self._encoding.attention != "bidirectional" and device() == "cpu" and LightBert.reads(self._how):
            return PlainBert(self._how.transformer, compute=self.compute)
        model = load_transformer(self._how.transformer, compute=self.compute)
        if self._encoding.attention == "bidirectional":
            attend_both_ways(model, folder=self._folder)
        return model

    @cached_property
    def _after(self) -> list[Callable[[Tensor], Tensor]]:
        from retrievers.encoders.pooling import load_step

        return [load_step(step) for step in self._how.after]


def _asked(how: SentenceFolder, encoding: Encoding, *, folder: Path) -> SentenceFolder:
    """What the folder says, with what is asked for instead.

    Raises:
        SpecError: it pools in several ways, and another one is asked for: what follows would not fit.
    """
    if encoding.pooling is not None:
        if len(how.pooling) > 1:
            raise SpecError(
                f"model folder '{folder}' pools by {' and '.join(how.pooling)} together, so that index.dense.encoding cannot"
                " ask for another pooling. Leave pooling out."
            )
        how = replace(how, pooling=(encoding.pooling,), pooling_is_declared=True)
    asked: dict[Role, str | None] = {"query": encoding.query_prompt, "document": encoding.document_prompt}
    said = {role: prompt for role, prompt in asked.items() if prompt is not None}
    if said:
        how = replace(how, prompts={**how.prompts, **said}, include_prompt=False)
    if encoding.max_tokens is not None:
        how = replace(how, max_length=min(how.max_length, encoding.max_tokens))
    return how


def _describe_step(step: DenseLayer | Literal["normalise"]) -> str:
    if isinstance(step, str):
        return step
    return f"dense {step.in_features} -> {step.out_features}, {step.activation}"
