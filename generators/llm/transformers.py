"""A decoder in this process, run by transformers."""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from generators.llm.decoding import Batch, chosen, forward, forward_after, forward_shared, groups, pad_left
from generators.llm.loading import DType, Loaded, choose_device, choose_dtype, copy_mark, load, load_tokenizer, one_copy
from generators.llm.loading import context_window as window_of
from generators.llm.params import LastScores, require_choices, require_pairs, require_room, require_valid
from generators.llm.prefixes import BLOCK, PrefixStore
from generators.llm.sharing import Portion, portions
from generators.llm.together import Together
from generators.llm.writing import Writer, write_all
from rag.core.errors import StageError
from rag.core.load import Load
from rag.core.memory import Need, place
from rag.core.optional import need
from rag.core.stopping import unwanted
from rag.core.types import Completion, Prompt, SamplingParams
from rag.models.chat import encode_prompt, encode_text, turn_stops
from rag.models.identity import weights_signature

if TYPE_CHECKING:
    from torch import Tensor

    from rag.models.sizes import Shape

_LOGITS_AT_ONCE = 2**26  # float32 numbers: 256 MB


class TransformersLLM:
    """Any decoder that transformers loads, in this process (Wolf et al., EMNLP 2020, arXiv 1910.03771).

    Prompts are laid out by the model's own chat template, and no text inside a message can open or close a turn
    (`rag.models.chat`). Batches are true batches: like lengths together, and in float32 a prompt's completion does not
    depend on its company. Greedy unless a temperature is given; then every prompt is sampled with the seed of
    its request, so equal prompts under one seed give equal texts. Many threads may call it; passes go by turns.

    Args:
        model: a packaged name, a folder, or a hub id.
        revision: commit, branch or tag of a hub model.
        device: auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.
        dtype: float32 or bfloat16; auto takes bfloat16 where the processor or GPU is faster in it.
        max_batch_tokens: most tokens, padding and room for the answer included, that one batch holds.
        offline: true never touches the network; unset asks HF_HUB_OFFLINE.
        share_prefixes: what several prompts of `score` or `choose` begin with is read once. Results are the same up
            to rounding.
        keep_prefixes_mb: memory for what such prompts begin with, kept for later calls; 0 shares within a call alone.
    """

    def __init__(
        self,
        *,
        model: str = "smollm2-135m-instruct",
        revision: str | None = None,
        device: str = "auto",
        dtype: DType = "auto",
        max_batch_tokens: int = 16384,
        offline: bool | None = None,
        share_prefixes: bool = True,
        keep_prefixes_mb: int = 256,
    ) -> None:
        if not model:
            raise ValueError("llm.transformers: model must name a packaged model, a folder or a hub id")
        if device not in ("auto", "cpu", "cuda") and not device.removeprefix("cuda:").isdigit():
            raise ValueError(f"llm.transformers: device must be auto, cpu, cuda or cuda:N, got {device!r}")
        if dtype not in get_args(DType):
            raise ValueError(f"llm.transformers: dtype must be auto, float32 or bfloat16, got {dtype!r}")
        if max_batch_tokens < 1:
            raise ValueError(f"llm.transformers: max_batch_tokens must be at least 1, got {max_batch_tokens}")
        if keep_prefixes_mb < 0:
            raise ValueError(f"llm.transformers: keep_prefixes_mb must be at least 0, got {keep_prefixes_mb}")
        need("transformers", by="llm.transformers")
        need("torch", by="llm.transformers")
        self.model_name, self.revision, self.offline = model, revision, offline
        self.device, self.dtype = device, dtype
        self.max_batch_tokens, self.share_prefixes = max_batch_tokens, share_prefixes
        self.keep_prefixes_mb = keep_prefixes_mb if share_prefixes else 0
        self._last = LastScores()
        self._lock = threading.RLock()  # of what is below; the model has a lock of its own
        self._path: Path | None = None
        self._window: int | None = None
        self._only_tokenizer: Any = None
        self._all: Loaded | None = None
        self._kept = PrefixStore(self.keep_prefixes_mb << 20)
        self._together = Together(self._batch, tokens=max_batch_tokens)

    @property
    def context_window(self) -> int:
        """Tokens for prompt and completion together, from the model's config.json. Loads and fetches nothing.

        Raises:
            MissingModel: the model is not here yet, and its window is not known beforehand.
        """
        if self._window is None:
            self._window = self._read_window()
        return self._window

    @contextmanager
    def weights(self) -> Iterator[Loaded]:
        """Model and tokenizer, loaded if need be, with the lock held. Leave both as they were."""
        loaded = self._loaded
        with loaded.lock:
            yield loaded

    def warm_up(self) -> None:
        """Load now instead of at the first call."""
        with self.weights():
            pass

    @property
    def model_names(self) -> tuple[tuple[str, str | None], ...]:
        """Its name and hub revision."""
        return ((self.model_name, self.revision),)

    def signature(self) -> dict[str, str]:
        """Its weights, wherever they lie, and their data type. Fetches them if need be."""
        return weights_signature(
            type(self), self.model_name, revision=self.revision, offline=self.offline, dtype=self.dtype
        )

    def computes_in(self) -> str:
        """The data type and the device that `auto` stands for here."""
        device = choose_device(self.device)
        return f"{str(choose_dtype(self.dtype, device)).removeprefix('torch.')} on {device}"

    def release(self) -> None:
        """Let go of the weights, and of what was kept of prompts. The next call loads them again.

        What a running call, an open stream or another model of the same weights holds stays until they are done.
        """
        with self._lock:
            loaded, self._all = self._all is not None, None
        self.forget_prefixes()
        if loaded:  # to look for what is held in a circle takes a good part of a second
            gc.collect()  # the layers of a model hold each other

    def forget_prefixes(self) -> None:
        """Let go of what was kept of prompts: the next call reads all of its own."""
        self._kept = PrefixStore(self.keep_prefixes_mb << 20)

    def memory(self) -> list[Need]:
        """Weights, the largest batch, and kept prefixes. Weights that others name too are one copy.

        Raises:
            MissingModel: the model is not here yet.
            SpecError: the device is not here.
        """
        from rag.models.sizes import count_parameters, read_shape

        folder, where, dtype = self._here()
        size, name = dtype.itemsize, str(dtype).removeprefix("torch.")
        mark = copy_mark(folder, device=where, dtype=dtype)
        needs = [
            Need(what=f"weights in {name}", n_bytes=count_parameters(folder) * size, where=where, copy=mark),
            Need(
                what=f"batches of {self.max_batch_tokens:,} tokens",
                n_bytes=batch_bytes(read_shape(folder), tokens=self.max_batch_tokens, size=size),
                where=where,
                smaller=f"lower max_batch_tokens of {self.model_name}",
            ),
        ]
        if self.keep_prefixes_mb:
            needs.append(Need(what="kept prefixes", n_bytes=self.keep_prefixes_mb << 20, where=where))
        return needs

    def prompt_memory(self, tokens: int) -> Need:
        """What the keys and values of one prompt of so many tokens take, for those that read inside the model.

        Raises:
            MissingModel: the model is not here yet.
        """
        from rag.models.sizes import read_shape

        folder, where, dtype = self._here()
        n_bytes = batch_bytes(read_shape(folder), tokens=tokens, size=dtype.itemsize, logits=False)
        return Need(what=f"a prompt of {tokens:,} tokens", n_bytes=n_bytes, where=where)

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each prompt, with those of the chat template. Loads the tokenizer alone."""
        return [len(ids) for ids in self._encode(prompts)]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        """One completion per prompt, in order. `completion_tokens` counts the end-of-turn token too.

        Raises:
            ValueError: a prompt and `max_tokens` do not fit the context window; nothing was written then.
        """
        require_valid(params, by="llm.transformers")
        heads = self._encode(prompts)
        self._require_room(heads, params.max_tokens)
        done: dict[int, Completion] = {}
        for batch in groups(list(map(len, heads)), extra=params.max_tokens, tokens=self.max_batch_tokens):
            if unwanted():
                raise StageError("llm.transformers: nobody wants these completions any more")
            rows = [heads[position] for position in batch]
            written = write_all(self._batch(rows), [self._writer(row, params) for row in rows])
            done.update(zip(batch, written, strict=True))
        return [done[position] for position in range(len(heads))]

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        """The pieces of one completion, as they are settled; joined they are `complete`'s text.

        The generator's return value is the Completion. Streams that are open at a time share their passes
        (`generators.llm.together`): closing one takes its row out of the next pass, and nothing runs when nobody asks.

        Raises:
            ValueError: as `complete`, before the first piece.
        """
        require_valid(params, by="llm.transformers")
        heads = self._encode([prompt])
        self._require_room(heads, params.max_tokens)
        return self._together.write(heads[0], self._writer(heads[0], params), most=params.max_tokens)

    def load(self) -> Load:
        """Open streams: those that are written, and those whose prompt is not read yet."""
        return self._together.load()

    @property
    def streams_together(self) -> bool:
        """Streams that are open at a time share their passes."""
        return True

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Natural-log probability of every token of `continuations[i]` after `prompts[i]`.

        Raises:
            ValueError: the lists differ in length, or a pair does not fit the context window.
        """
        require_pairs(prompts, continuations)
        self._last.cached = (0,) * len(prompts)
        tails = [encode_text(self._tokenizer, text) for text in continuations]
        scored = [position for position, tail in enumerate(tails) if tail]
        scores: list[list[float]] = [[] for _ in tails]
        if not scored:
            return scores
        heads = self._encode(prompts)
        longest = max(map(len, tails))
        self._require_room([head + tail for head, tail in zip(heads, tails, strict=True)], 0)
        # The last token is predicted, never read.
        rows = [heads[position] + tails[position][:-1] for position in scored]
        cached = [0] * len(tails)
        for portion in self._portions([heads[position] for position in scored], rows, extra=0, kept=longest):
            keep = max(len(tails[scored[row]]) for row in portion.rows)
            own = [rows[row] for row in portion.rows]
            logits, cached_of_rows = self._forward(
                own, [heads[scored[row]] for row in portion.rows], portion, keep=keep
            )
            for row, row_logits, spared in zip(portion.rows, logits, cached_of_rows, strict=True):
                tail = tails[scored[row]]
                scores[scored[row]] = chosen(row_logits[-len(tail) :], tail)
                cached[scored[row]] = spared
        self._last.cached = tuple(cached)
        return scores

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_prompts, n_choices]: log-probability of each whole choice, summed over its tokens.

        Every prompt is read once; all choices are scored on its cache.

        Raises:
            ValueError: no choices, an empty one, or one that does not fit the context window.
        """
        require_choices(choices)
        table = np.zeros((len(prompts), len(choices)), dtype=np.float32)
        self._last.cached = (0,) * len(prompts)
        if not prompts:
            return table
        if not self._loaded.can_step_back:
            pairs = [(prompt, choice) for prompt in prompts for choice in choices]
            scores = self.score([prompt for prompt, _ in pairs], [choice for _, choice in pairs])
            table[:] = np.reshape([sum(tokens) for tokens in scores], table.shape)
            self._last.cached = (0,) * len(prompts)
            return table
        heads = self._encode(prompts)
        tails = [encode_text(self._tokenizer, choice) for choice in choices]
        longest = max(map(len, tails))
        self._require_room(heads, longest)
        cached = [0] * len(heads)
        for portion in self._portions(heads, heads, extra=longest, kept=longest):
            table[portion.rows], cached_of_rows = self._choose([heads[row] for row in portion.rows], portion, tails)
            for row, spared in zip(portion.rows, cached_of_rows, strict=True):
                cached[row] = spared
        self._last.cached = tuple(cached)
        return table

    @property
    def last_cached(self) -> tuple[int, ...]:
        """Tokens of each prompt of this thread's last `score` or `choose` that were not read for it: they were read for
        another prompt of the call, or kept of an earlier one."""
        return tuple(self._last.cached)

    def _choose(
        self, heads: list[list[int]], portion: Portion, tails: list[list[int]]
    ) -> tuple[NDArray[np.float32], list[int]]:
        """Log-probabilities [heads, tails], and how many tokens of each head were not read for it."""
        loaded = self._loaded
        longest = max(map(len, tails))
        can_share = self._can_share(max(map(len, heads)) + longest)
        begun = self._begun(portion.stems(heads)) if can_share else [[] for _ in heads]
        batch = Batch(
            loaded.model,
            _after(portion, heads),
            lock=loaded.lock,
            cache=loaded.cache(croppable=True) if can_share or longest > 1 else None,  # else nothing follows the pass
            prefixes=portion.prefixes,
            owners=portion.owners,
            begun=begun,
        )
        if can_share:
            batch.remember(self._kept, heads)
        # The whole vocabulary is summed once for all choices.
        firsts = batch.logits[:, [tail[0] for tail in tails]] - batch.logits.logsumexp(dim=-1, keepdim=True)
        table: NDArray[np.float32] = firsts.cpu().numpy()
        for column, (first, *rest) in enumerate(tails):
            if rest:
                logits = batch.peek([first, *rest[:-1]])
                table[:, column] += [sum(chosen(row, rest)) for row in logits]
        return table, portion.cached([BLOCK * len(blocks) for blocks in begun])

    def _read_window(self) -> int:
        from rag.models import resolve, window_beforehand

        if known := window_beforehand(self.model_name):
            return known
        folder = self._path or resolve(self.model_name, revision=self.revision, offline=True).path
        return window_of(folder)

    def _here(self) -> tuple[Path, str, Any]:
        """Folder, where the weights will be, and their data type. Loads and fetches nothing."""
        from rag.models import resolve

        folder = self._path or resolve(self.model_name, revision=self.revision, offline=True).path
        device = choose_device(self.device)
        return folder, place(device), choose_dtype(self.dtype, device)

    @property
    def _folder(self) -> Path:
        from rag.models import resolve

        with self._lock:
            if self._path is None:
                self._path = resolve(self.model_name, revision=self.revision, offline=self.offline).path
            return self._path

    # Whoever finds these two loaded does not wait for the lock, which a pass of another thread may hold.
    @property
    def _tokenizer(self) -> Any:
        if self._only_tokenizer is None:
            with self._lock:
                if self._only_tokenizer is None:
                    self._only_tokenizer = load_tokenizer(self._folder)
        return self._only_tokenizer

    @property
    def _loaded(self) -> Loaded:
        loaded = self._all
        if loaded is None:
            with self._lock:
                loaded = self._all = self._all or self._load()
        return loaded

    def _load(self) -> Loaded:
        folder, device = self._folder, choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        read = partial(load, folder, tokenizer=self._tokenizer, device=device, dtype=dtype)
        return one_copy(copy_mark(folder, device=device, dtype=dtype), read)

    def _encode(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        return [encode_prompt(self._tokenizer, prompt) for prompt in prompts]

    def _batch(self, rows: list[list[int]]) -> Batch:
        loaded = self._loaded
        return Batch(loaded.model, rows, lock=loaded.lock, cache=loaded.cache())

    def _portions(self, heads: list[list[int]], rows: list[list[int]], *, extra: int, kept: int) -> Iterator[Portion]:
        """Batches of rows of which `kept` positions' logits are wanted; their heads are read once where that pays."""
        lengths = list(map(len, rows))
        share = self._can_share(max(lengths) + extra)
        depths = [self._kept.depth(head[:-1]) if share else 0 for head in heads]
        limit = self.max_batch_tokens
        return portions(heads, lengths, depths, extra=extra, tokens=limit, rows=self._rows(kept), share=share)

    def _can_share(self, longest: int) -> bool:
        """Whether rows of so many tokens, padding aside, can begin with keys and values that are there already."""
        # A row may be padded in three places: before what was kept, before what is shared, and before its own.
        return self.share_prefixes and self._loaded.can_step_back and 3 * longest <= self._reach()

    def _begun(self, stems: list[list[int]]) -> list[list[Tensor]]:
        """What is kept of each, less its last token: that is read, to know what follows it."""
        return [self._kept.find(stem[:-1]) for stem in stems]

    def _forward(
        self, rows: list[list[int]], heads: list[list[int]], portion: Portion, *, keep: int
    ) -> tuple[Tensor, list[int]]:
        """Logits, float32 [rows, keep, vocabulary], of the rows' last positions; and how many tokens of each were not read
        for it."""
        loaded = self._loaded
        if not self._can_share(max(map(len, rows))):
            ids, mask = pad_left(rows)
            return forward(loaded.model, ids, mask, keep=keep, lock=loaded.lock), [0] * len(rows)
        cache = loaded.cache(croppable=True)
        begun = self._begun(portion.stems(heads))
        if portion.prefixes:
            logits, mask = forward_shared(
                loaded.model,
                portion.prefixes,
                portion.owners,
                _after(portion, rows),
                begun,
                keep=keep,
                lock=loaded.lock,
                cache=cache,
            )
        else:
            logits, mask = forward_after(loaded.model, rows, begun, keep=keep, lock=loaded.lock, cache=cache)
        self._kept.keep(heads, cache, mask)
        return logits, portion.cached([BLOCK * len(blocks) for blocks in begun])

    def _reach(self) -> float:
        """Tokens back that every layer attends to; without end where no layer has a window of its own."""
        layers = self._loaded.cache().layers
        return min((layer.sliding_window for layer in layers if layer.is_sliding), default=float("inf"))

    def _writer(self, row: list[int], params: SamplingParams) -> Writer:
        loaded = self._loaded
        stop = (*params.stop, *turn_stops(loaded.tokenizer))
        return Writer(params, prompt_tokens=len(row), decode=loaded.decode, ends=loaded.ends, stop=stop)

    def _rows(self, kept: int) -> int:
        """Rows whose logits over `kept` positions fit in memory."""
        return max(1, _LOGITS_AT_ONCE // (kept * self._loaded.vocabulary))

    def _require_room(self, rows: list[list[int]], more: int) -> None:
        require_room(rows, more, model=self.model_name, window=self.context_window)


def batch_bytes(shape: Shape, *, tokens: int, size: int, logits: bool = True) -> int:
    """What a batch takes at most: the keys and values of all its tokens, one layer's work on them, and logits.

    One layer's keys and values are there twice while they grow or rows leave. Logits are of one token in eight, as where
    a question of twenty tokens is weighed after passages of 140.
    """
    cache = shape.cache_numbers() * tokens * size
    work = (shape.pass_numbers() + 2 * shape.keys) * tokens * size
    # A cache that is written to has room for an eighth more (`generators.llm.growing`).
    return cache + work + (cache // 8 + 4 * min(_LOGITS_AT_ONCE, tokens * shape.vocabulary // 8) if logits else 0)


def _after(portion: Portion, rows: list[list[int]]) -> list[list[int]]:
    """What is left of each row behind its prefix."""
    if not portion.prefixes:
        return rows
    return [row[len(portion.prefixes[owner]) :] for row, owner in zip(rows, portion.owners, strict=True)]
