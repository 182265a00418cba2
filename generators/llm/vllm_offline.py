"""A decoder run by vLLM, engine and all, from this process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from generators.llm.loading import DType, load_tokenizer
from generators.llm.loading import context_window as window_of
from generators.llm.params import FORMS, LastScores, require_choices, require_pairs, require_room, require_valid
from generators.llm.vllm_engine import (
    Engine,
    completion,
    forms,
    logprobs,
    prepare_environment,
    require_loadable,
    tail_scores,
)
from rag.core.memory import GIB, RAM, Need, gpu_memory, ram_limit
from rag.core.optional import need
from rag.core.types import Completion, Prompt, SamplingParams
from rag.models.chat import encode_prompt, encode_text, end_of_turn, turn_stops
from rag.models.identity import weights_signature

_ENGINE_BYTES = 1 << 30  # Python, torch and vLLM in the engine's process, with its buffers
_BATCH_TOKENS = 4096  # that vLLM reads at a time on a processor, where no window is longer
_BLOCK = 32  # tokens that vLLM's cache keeps or forgets together on a processor; left alone it takes 128
_AT_ONCE = 128  # tokens whose log-probabilities vLLM gives for one place


class VLLMOfflineLLM:
    """Any decoder that vLLM runs, engine included (Kwon et al., SOSP 2023, arXiv 2309.06180).

    Prompts are laid out by the model's own chat template and reach the engine as token ids, so no text inside a message
    can open or close a turn (`rag.models.chat`). Requests of all threads share one running batch, and the key/value cache of
    what prompts have in common is kept (prefix caching). vLLM's sums depend a little on the company a prompt has, so
    greedy completions may differ between batches where two tokens are nearly equally likely.

    Args:
        model: a packaged name, a folder, or a hub id.
        revision: commit, branch or tag of a hub model.
        dtype: float32 or bfloat16; auto takes what the model was saved in.
        max_model_len: tokens for prompt and completion together; unset takes the model's own window.
        kv_cache_gib: memory for the key/value cache; unset takes what the GPU, or vLLM's default for processors, leaves.
        gpu_memory_utilization: share of the GPU's memory that the engine may take.
        compiled: compile the model first; starts later, runs faster. Unset compiles on a GPU alone.
        offline: true never touches the network; unset asks HF_HUB_OFFLINE.
    """

    def __init__(
        self,
        *,
        model: str = "smollm2-135m-instruct",
        revision: str | None = None,
        dtype: DType = "auto",
        max_model_len: int | None = None,
        kv_cache_gib: float | None = None,
        gpu_memory_utilization: float = 0.9,
        compiled: bool | None = None,
        offline: bool | None = None,
    ) -> None:
        if not model:
            raise ValueError("llm.vllm_offline: model must name a packaged model, a folder or a hub id")
        if dtype not in get_args(DType):
            raise ValueError(f"llm.vllm_offline: dtype must be auto, float32 or bfloat16, got {dtype!r}")
        if max_model_len is not None and max_model_len < 1:
            raise ValueError(f"llm.vllm_offline: max_model_len must be at least 1, got {max_model_len}")
        if kv_cache_gib is not None and not 0 < kv_cache_gib < float("inf"):
            raise ValueError(f"llm.vllm_offline: kv_cache_gib must be above 0, got {kv_cache_gib}")
        if not 0 < gpu_memory_utilization <= 1:
            raise ValueError(
                f"llm.vllm_offline: gpu_memory_utilization must be from 0 to 1, got {gpu_memory_utilization}"
            )
        need("vllm", by="llm.vllm_offline", extra="vllm")
        self.model_name, self.revision, self.offline = model, revision, offline
        self.dtype, self.max_model_len, self.compiled = dtype, max_model_len, compiled
        self.kv_cache_gib, self.gpu_memory_utilization = kv_cache_gib, gpu_memory_utilization
        self._lock = threading.RLock()
        self._last = LastScores()
        self._path: Path | None = None
        self._only_tokenizer: Any = None
        self._running: Engine | None = None

    @property
    def context_window(self) -> int:
        """Tokens for prompt and completion together. Starts and fetches nothing.

        Raises:
            MissingModel: the model is not here yet, and its window is not known beforehand.
        """
        return self.max_model_len or self._read_window()

    @property
    def keeps_forms(self) -> frozenset[str]:
        """All of them: the engine masks every token that would leave the form."""
        return frozenset(FORMS)

    def warm_up(self) -> None:
        """Start the engine now instead of at the first call."""
        _ = self._engine

    def state(self) -> str:
        """One line on the engine that runs, or on one that can be loaded and whether its model is here. Starts nothing.

        Raises:
            MissingDependency: vLLM is installed, but does not load.
        """
        from rag.models import locate

        running = self._running
        if running is not None and not running.dead:
            return f"vLLM's engine runs the model {self.model_name}"
        here = "is here" if locate(self.model_name, revision=self.revision) else "is not here yet"
        return f"{require_loadable()}; the model {self.model_name} {here}"

    def close(self) -> None:
        """Stop the engine and give its memory back. The next call starts another."""
        with self._lock:
            engine, self._running = self._running, None
        if engine is not None:
            engine.close()

    def forget_prefixes(self) -> None:
        """Let go of what was kept of earlier prompts, for whoever measures what the next ones cost alone."""
        self._engine.forget_prefixes()

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
        """The data type and the device of the engine that runs."""
        running = self._running
        return "" if running is None else running.computes_in

    def release(self) -> None:
        """Stop the engine, as `close`: its sleep mode needs a GPU, and a stopped engine gives everything back anywhere."""
        self.close()

    def memory(self) -> list[Need]:
        """Weights and key/value cache; where the cache's size is not set, the share of the device that the engine takes.

        Raises:
            MissingModel: the model is not here yet.
        """
        where = next(iter(gpu_memory()), RAM)
        kv_cache = self._kv_cache_bytes(on_gpu=where != RAM)
        if kv_cache is None:
            whole = gpu_memory()[where] if where != RAM else ram_limit()[0] or 0
            what = f"engine, {self.gpu_memory_utilization:.0%} of all"
            smaller = "set kv_cache_gib, or lower gpu_memory_utilization"
            return [Need(what=what, n_bytes=int(whole * self.gpu_memory_utilization), where=where, smaller=smaller)]
        return [
            Need(what="engine's weights", n_bytes=self._weight_bytes(), where=where),
            Need(what="engine's key/value cache", n_bytes=kv_cache, where=where, smaller="lower kv_cache_gib"),
            Need(what="engine's own process", n_bytes=_ENGINE_BYTES),
        ]

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each prompt, with those of the chat template. Loads the tokenizer alone."""
        return [len(encode_prompt(self._tokenizer, prompt)) for prompt in prompts]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        """One completion per prompt, in order. `completion_tokens` counts the end-of-turn token too.

        Raises:
            ValueError: a prompt and `max_tokens` do not fit the context window; nothing was written then.
            MissingModel: the engine does not start, or has died.
        """
        require_valid(params, by="llm.vllm_offline", keeps_forms=True)
        if not prompts:
            return []
        heads = self._heads(prompts, more=params.max_tokens)
        sampling = self._sampling(params, streamed=False)
        return [completion(output, params) for output in self._engine.complete([(head, sampling) for head in heads])]

    @property
    def streams_together(self) -> bool:
        """The engine batches all that is open at a time."""
        return True

    @property
    def joins_calls(self) -> bool:
        """The engine has one running batch for all that is asked of it."""
        return True

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        """The pieces of one completion; the generator's return value is the Completion. Closing it stops the engine.

        Raises:
            As `complete`, before the first piece.
        """
        require_valid(params, by="llm.vllm_offline", keeps_forms=True)
        [head] = self._heads([prompt], more=params.max_tokens)
        return self._pieces(head, params)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Natural-log probability of every token of `continuations[i]` after `prompts[i]`.

        Raises:
            ValueError: the lists differ in length, or a pair does not fit the context window.
        """
        require_pairs(prompts, continuations)
        tails = [encode_text(self._tokenizer, text) for text in continuations]
        scores: list[list[float]] = [[] for _ in tails]
        scored = [position for position, tail in enumerate(tails) if tail]
        cached = [0] * len(tails)
        self._last.cached = cached
        if not scored:
            return scores
        # The engine writes at least one token, so a pair may fill the window but for one.
        heads = self._heads([prompts[position] for position in scored], more=1 + max(map(len, tails)))
        sampling = self._reading(prompt_logprobs=0)
        pairs = [(head + tails[position], sampling) for position, head in zip(scored, heads, strict=True)]
        for position, output in zip(scored, self._engine.complete(pairs), strict=True):
            scores[position] = tail_scores(output, tails[position])
            cached[position] = output.num_cached_tokens or 0
        return scores

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_prompts, n_choices]: log-probability of each whole choice, summed over its tokens.

        The engine gets one request for each place where choices part, of all prompts together. The first of a prompt reads
        it; the others find it in the cache, but for the last block that it does not fill.

        Raises:
            ValueError: no choices, an empty one, or one that does not fit the context window.
        """
        require_choices(choices)
        table = np.zeros((len(prompts), len(choices)), dtype=np.float32)
        cached: list[int] = []
        self._last.cached = cached
        if not prompts:
            return table
        tails = [tuple(encode_text(self._tokenizer, choice)) for choice in choices]
        heads = self._heads(prompts, more=max(map(len, tails)))
        branches = _branches(tails)
        readings = [(list(begun), self._reading(logprob_token_ids=ids)) for begun, ids in branches]
        # Prompt by prompt: the cache need not hold more of them than are read at a time.
        outputs = self._engine.complete([(head + more, sampling) for head in heads for more, sampling in readings])
        for row in range(len(heads)):
            own = outputs[row * len(branches) : (row + 1) * len(branches)]
            cached.append(own[0].num_cached_tokens or 0)
            known: dict[tuple[int, ...], float] = {}
            for (begun, ids), output in zip(branches, own, strict=True):
                token_logprobs = output.outputs[0].logprobs[0]
                known.update({(*begun, id_): token_logprobs[id_].logprob for id_ in ids})
            table[row] = [sum(known[tail[: position + 1]] for position in range(len(tail))) for tail in tails]
        return table

    @property
    def last_cached(self) -> tuple[int, ...]:
        """Tokens of each prompt of this thread's last `score` or `choose` that the engine had kept of earlier ones."""
        return tuple(self._last.cached)

    def _pieces(self, head: list[int], params: SamplingParams) -> Generator[str, None, Completion]:
        pieces: list[str] = []
        noted: list[dict[str, float]] = []
        written, last = 0, None
        for last in self._engine.stream((head, self._sampling(params, streamed=True))):
            written += len(last.outputs[0].token_ids)
            noted += logprobs(last.outputs[0])
            if piece := last.outputs[0].text:
                pieces.append(piece)
                yield piece
        if last is None:  # nobody wanted it any more before the engine wrote
            return Completion(text="", prompt_tokens=len(head), completion_tokens=0, finish_reason="abort")
        return completion(last, params, text="".join(pieces), written=written, noted=noted)

    def _sampling(self, params: SamplingParams, *, streamed: bool) -> Any:
        from vllm import SamplingParams as Sampling
        from vllm.sampling_params import RequestOutputKind

        tokenizer = self._tokenizer
        return Sampling(
            max_tokens=params.max_tokens,
            temperature=params.temperature,
            top_p=params.top_p,
            seed=params.seed,
            stop=[*params.stop, *turn_stops(tokenizer)],
            stop_token_ids=sorted(end_of_turn(tokenizer)),
            logprobs=params.logprobs or None,
            structured_outputs=forms(params),
            output_kind=RequestOutputKind.DELTA if streamed else RequestOutputKind.FINAL_ONLY,
        )

    def _reading(self, **options: Any) -> Any:
        """Parameters of a request that wants numbers, no text."""
        from vllm import SamplingParams as Sampling
        from vllm.sampling_params import RequestOutputKind

        return Sampling(
            max_tokens=1, temperature=0.0, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY, **options
        )

    def _heads(self, prompts: Sequence[Prompt], *, more: int) -> list[list[int]]:
        heads = [encode_prompt(self._tokenizer, prompt) for prompt in prompts]
        require_room(heads, more, model=self.model_name, window=self.context_window)
        return heads

    def _kv_cache_bytes(self, *, on_gpu: bool) -> int | None:
        """Bytes of the key/value cache, if anybody set them."""
        if self.kv_cache_gib is not None:
            return int(self.kv_cache_gib * GIB)
        said = "" if on_gpu else os.environ.get("VLLM_CPU_KVCACHE_SPACE", "")
        return int(said) * GIB if said.isdecimal() else None

    def _weight_bytes(self) -> int:
        from rag.models import resolve, weight_files
        from rag.models.sizes import count_parameters

        folder = self._path or resolve(self.model_name, revision=self.revision, offline=True).path
        if self.dtype == "auto":
            return sum(file.stat().st_size for file in weight_files(folder))
        return count_parameters(folder) * (4 if self.dtype == "float32" else 2)

    def _read_window(self) -> int:
        from rag.models import resolve, window_beforehand

        if known := window_beforehand(self.model_name):
            return known
        return window_of(self._path or resolve(self.model_name, revision=self.revision, offline=True).path)

    @property
    def _folder(self) -> Path:
        from rag.models import resolve

        with self._lock:
            if self._path is None:
                self._path = resolve(self.model_name, revision=self.revision, offline=self.offline).path
            return self._path

    @property
    def _tokenizer(self) -> Any:
        with self._lock:
            if self._only_tokenizer is None:
                self._only_tokenizer = load_tokenizer(self._folder)
            return self._only_tokenizer

    @property
    def _engine(self) -> Engine:
        with self._lock:
            if self._running is not None and self._running.dead:
                self.close()
            if self._running is None:
                self._running = Engine(self._settings())
                # Not at the end of the program: the engine sees to that itself, sooner.
                weakref.finalize(self, self._running.close).atexit = False
            return self._running

    def _settings(self) -> dict[str, Any]:
        prepare_environment()
        from vllm.platforms import current_platform

        settings: dict[str, Any] = {
            "model": str(self._folder),
            "dtype": self.dtype,
            "max_model_len": self.context_window,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "enforce_eager": current_platform.is_cpu() if self.compiled is None else not self.compiled,
            "enable_prefix_caching": True,
            "generation_config": "vllm",  # the defaults of the model's folder would count beside ours
            "trust_remote_code": False,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            "max_logprobs": _AT_ONCE,
            # Held by xgrammar a batch of cited answers takes more than twice as long. A small model that may put blanks
            # between JSON's tokens does so until it is cut off.
            "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
        }
        if current_platform.is_cpu():
            # A prompt that is read in pieces ends the engine on a processor where its sampling has a seed (vLLM 0.32).
            settings |= {
                "enable_chunked_prefill": False,
                "block_size": _BLOCK,
                "max_num_batched_tokens": max(_BATCH_TOKENS, self.context_window),
            }
        if self.kv_cache_gib is not None:
            settings["kv_cache_memory_bytes"] = int(self.kv_cache_gib * 2**30)
        return settings


def _branches(tails: Sequence[tuple[int, ...]]) -> list[tuple[tuple[int, ...], list[int]]]:
    """Beginnings of choices and the tokens that may follow each, at most as many as one request can ask for.

    >>> _branches([(1, 2), (1, 3), (4,)])
    [((), [1, 4]), ((1,), [2, 3])]
    """
    followers: dict[tuple[int, ...], dict[int, None]] = {}
    for tail in tails:
        for depth, id_ in enumerate(tail):
            followers.setdefault(tail[:depth], {})[id_] = None
    branches = []
    for begun, ids in followers.items():
        listed = list(ids)
        branches += [(begun, listed[start : start + _AT_ONCE]) for start in range(0, len(listed), _AT_ONCE)]
    return branches
