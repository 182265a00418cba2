"""A GGUF file in this process, run by llama.cpp."""

from __future__ import annotations

import json
import queue
import secrets
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from generators.llm.llama_engine import LlamaEngine
from generators.llm.loading import load_tokenizer
from generators.llm.params import LastScores, require_choices, require_pairs, require_room, require_valid
from generators.llm.reading_speed import ReadingSpeed, measured
from generators.llm.torch_reader import Reader, TorchReader, bfloat16_bytes, reader_of
from rag.core.arguments import require_one_of
from rag.core.load import Load
from rag.core.memory import Need
from rag.core.optional import need, need_system_library
from rag.core.side_by_side import side_by_side
from rag.core.stopping import Stop, stopping, when_unwanted
from rag.core.types import Completion, Message, Prompt, SamplingParams
from rag.models import GGUF, packaged_model, resolve, window_beforehand
from rag.models.chat import encode_prompt, encode_text, turn_stops
from rag.models.gguf_facts import GGUFFacts, read_facts
from rag.models.light_tokenizer import light_tokenizer
from rag.models.processor import usable_cores

_READ_BYTES = 96
"""As hexadecimal digits some two hundred tokens: a shorter prompt is read faster a token than those that are to be timed."""


class LlamaCppLLM:
    """Any GGUF file in this process, run by llama.cpp (Gerganov and others, github.com/ggml-org/llama.cpp).

    Quantised weights are used as they are, and so a model takes a third of its memory in bfloat16. Prompts are laid out by
    the file's chat template, and no text inside a message can open or close a turn (`rag.models.chat`). Prompts of a batch
    and open streams take turns in `slots` places; what a prompt begins with is not read again where its slot still holds
    it. Greedy unless a temperature is given. No port is opened. Many threads may call it.

    Long prompts of a packaged model are read by torch where the processor multiplies bfloat16 (`generators.llm.torch_reader`):
    several times as fast, with the weights in bfloat16 beside the file, on disk and in memory.

    Args:
        model: a packaged name, or the path of a .gguf file.
        context_window: most tokens of a prompt and its answer; each slot keeps memory for so many. The model's own window
            bounds it.
        slots: requests that are worked on at a time.
        threads: of the processor; unset takes the cores that this process may use. More than are free slow it down much.
        reader: `torch` or `llama.cpp` reads long prompts; `auto` takes torch where that pays and memory has room.
        offline: true never touches the network; unset asks HF_HUB_OFFLINE.
    """

    def __init__(
        self,
        *,
        model: str = "qwen2.5-coder-1.5b-instruct",
        context_window: int = 8192,
        slots: int = 4,
        threads: int | None = None,
        reader: Reader = "auto",
        offline: bool | None = None,
    ) -> None:
        if not model:
            raise ValueError("llm.llama_cpp: model must name a packaged model or a .gguf file")
        for name, value in (("context_window", context_window), ("slots", slots), ("threads", threads)):
            if value is not None and value < 1:
                raise ValueError(f"llm.llama_cpp: {name} must be at least 1, got {value}")
        require_one_of("llm.llama_cpp", get_args(Reader), reader=reader)
        need("xllamacpp", by="llm.llama_cpp")
        if sys.platform == "linux":  # its wheel brings all but this along
            need_system_library("libgomp.so.1", by="llm.llama_cpp", package="libgomp1")
        need("transformers", by="llm.llama_cpp")
        self.model_name = model if model.endswith(GGUF) else f"{model}{GGUF}"
        self.slots, self.threads, self.offline = slots, threads, offline
        self.reader = reader
        self._asked_window = context_window
        self._last = LastScores()
        self._lock = threading.RLock()
        self._loading = threading.Lock()  # of its own: tokens are counted meanwhile
        self._known: GGUFFacts | None = None
        self._own_tokenizer: Any = None
        self._engine: LlamaEngine | None = None

    @property
    def context_window(self) -> int:
        """Tokens for prompt and completion together. Loads and fetches nothing.

        Raises:
            MissingModel: the model is not here yet, and its window is not known beforehand.
        """
        known = self._known.window if self._known else window_beforehand(self.model_name)
        return min(self._asked_window, known or read_facts(self._here()).window)

    @property
    def model_names(self) -> tuple[tuple[str, str | None], ...]:
        """Its file's name; it has no revision."""
        return ((self.model_name, None),)

    @property
    def keeps_forms(self) -> frozenset[str]:
        """All of them."""
        return frozenset({"choices", "regex", "json_schema"})

    @property
    def streams_together(self) -> bool:
        """Streams that are open at a time share the slots."""
        return True

    @property
    def joins_calls(self) -> bool:
        """Each prompt takes a slot, whoever calls."""
        return True

    @property
    def kept_prompts(self) -> int:
        """One a slot."""
        return self.slots

    @property
    def last_cached(self) -> tuple[int, ...]:
        """Tokens of each prompt of this thread's last `score` or `choose` that a slot still held."""
        return tuple(self._last.cached)

    def reading_speed(self) -> float:
        """Tokens a second of a prompt that it reads alone, for a file, a processor and so many threads.

        Measured at first use. Then it is the middle one of the last three prompts, whoever asked them.
        """
        return self._speed.kept(lambda: measured(self._read_some))

    @cached_property
    def _speed(self) -> ReadingSpeed:
        return ReadingSpeed(json.dumps(self.signature()), self.threads or usable_cores())

    @cached_property
    def _torch(self) -> TorchReader | None:
        return reader_of(self.model_name, self.reader)

    def _read_some(self) -> int:
        """Read a prompt that no slot holds; how many tokens it has."""
        prompt = (Message(role="user", content=secrets.token_hex(_READ_BYTES)),)
        [n] = self.count_tokens([prompt])
        self.complete([prompt], SamplingParams(max_tokens=1))
        return n

    def signature(self) -> dict[str, str]:
        """The digest of its file, and who reads for it. Fetches it if need be."""
        return {"file": self._facts.sha256} | ({"reader": "torch"} if self._torch else {})

    def memory(self) -> list[Need]:
        """The file, which is mapped and read in full, and the slots.

        Raises:
            MissingModel: the model is not here yet, and is none of those that are known beforehand.
        """
        packaged = packaged_model(self.model_name)
        if packaged and packaged.gguf:
            file_bytes, token_bytes = packaged.gguf.n_bytes, packaged.token_bytes
        else:
            path = self._here()
            file_bytes, token_bytes = path.stat().st_size, read_facts(path).token_bytes
        slots = Need(
            what=f"{self.slots} slots of {self.context_window:,} tokens",
            n_bytes=self.slots * self.context_window * token_bytes,
            smaller=f"lower context_window or slots of {self.model_name}",
        )
        needs = [Need(what=f"weights of {Path(self.model_name).name}", n_bytes=file_bytes), slots]
        if packaged and self._torch:
            read, n_bytes = f"weights of {packaged.name} in bfloat16, to read by", bfloat16_bytes(packaged)
            needs.append(Need(what=read, n_bytes=n_bytes, mapped=True, smaller="set reader: llama.cpp"))
        return needs

    def warm_up(self) -> None:
        """Load now instead of at the first call, what counts tokens with it."""
        self.count_tokens([(Message(role="user", content="warm"),)])
        self._loaded.try_reader()

    def load_beside(self) -> None:
        """Begin to load in threads of their own: llama.cpp lays the weights out anew, which takes seconds, as torch does."""
        if self._engine is None:
            readers = (self._torch.load,) if self._torch else ()
            for load in (*readers, lambda: self._loaded.try_reader()):
                threading.Thread(target=_quietly, args=(load,), name="llama-load").start()

    def load(self) -> Load:
        """Requests in its slots, and those that wait for one."""
        engine = self._engine
        return engine.load() if engine is not None else Load(busy=0, waiting=0, places=self.slots)

    def release(self) -> None:
        """Let go of the weights and slots. The next call loads them again."""
        with self._loading:
            self._engine = None

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each prompt, with those of the chat template. Loads the tokenizer alone."""
        return [len(encode_prompt(self._tokenizer, prompt)) for prompt in prompts]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        """One completion per prompt, in order. Ctrl-C ends all of them at their next token.

        Raises:
            ValueError: a prompt and `max_tokens` do not fit the context window; nothing was written then.
        """
        require_valid(params, by="llm.llama_cpp", keeps_forms=True)
        heads = self._fitting(prompts, params.max_tokens)
        if not heads:
            return []
        engine, stop = self._loaded, self._stop(params)

        def write(ids: list[int]) -> Completion:
            return engine.write(ids, params, stop=stop, told=lambda _: None)

        return side_by_side(write, heads, threads=self.slots)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        """The pieces of one completion, as they are settled; joined they are `complete`'s text.

        The generator's return value is the Completion. Closing it ends the work: at once where it waits for a slot, else
        at the next token, or the next 512 of the prompt. So does what makes the reader's work unwanted
        (`rag.core.stopping`).

        Raises:
            ValueError: as `complete`, before the first piece.
        """
        require_valid(params, by="llm.llama_cpp", keeps_forms=True)
        [head] = self._fitting([prompt], params.max_tokens)
        return self._stream(head, params)

    def _stream(self, head: list[int], params: SamplingParams) -> Generator[str, None, Completion]:
        pieces: queue.SimpleQueue[str | Completion | BaseException] = queue.SimpleQueue()
        engine, stop, closed = self._loaded, self._stop(params), Stop()

        def work() -> None:
            try:
                with stopping(closed):
                    pieces.put(engine.write(head, params, stop=stop, told=pieces.put))
            except BaseException as error:  # told to whoever reads the stream
                pieces.put(error)

        threading.Thread(target=work, name="llama-stream").start()
        try:
            with when_unwanted(closed.say):
                while isinstance(piece := pieces.get(), str):
                    if piece:
                        yield piece
        finally:
            closed.say()
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Natural-log probability of every token of `continuations[i]` after `prompts[i]`. Each token costs a step.

        Raises:
            ValueError: the lists differ in length, or a pair does not fit the context window.
        """
        require_pairs(prompts, continuations)
        tails = [encode_text(self._tokenizer, text) for text in continuations]
        heads = self._fitting(prompts, 0)
        self._require_room([head + tail for head, tail in zip(heads, tails, strict=True)], 0)
        engine = self._loaded if any(tails) else None

        def one(pair: tuple[list[int], list[int]]) -> tuple[list[float], int]:
            head, tail = pair
            return engine.score(head, tail) if engine and tail else ([], 0)

        scored = side_by_side(one, list(zip(heads, tails, strict=True)), threads=self.slots)
        self._last.cached = tuple(cached for _, cached in scored)
        return [scores for scores, _ in scored]

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_prompts, n_choices]: log-probability of each whole choice, summed over its tokens.

        A prompt is read once: its choices follow one another in its slot.

        Raises:
            ValueError: no choices, an empty one, or one that does not fit the context window.
        """
        require_choices(choices)
        tails = [encode_text(self._tokenizer, choice) for choice in choices]
        heads = self._fitting(prompts, max(map(len, tails)))
        self._last.cached = (0,) * len(heads)
        if not heads:
            return np.zeros((0, len(choices)), dtype=np.float32)
        engine = self._loaded

        def row(head: list[int]) -> tuple[list[float], int]:
            scored = [engine.score(head, tail) for tail in tails]
            return [sum(scores) for scores, _ in scored], scored[0][1]

        rows = side_by_side(row, heads, threads=self.slots)
        self._last.cached = tuple(cached for _, cached in rows)
        return np.array([scores for scores, _ in rows], dtype=np.float32)

    def _fitting(self, prompts: Sequence[Prompt], more: int) -> list[list[int]]:
        heads = [encode_prompt(self._tokenizer, prompt) for prompt in prompts]
        self._require_room(heads, more)
        return heads

    def _require_room(self, rows: list[list[int]], more: int) -> None:
        cure = ", or raise context_window"
        require_room(rows, more, model=self.model_name, window=self.context_window, cure=cure)

    def _stop(self, params: SamplingParams) -> tuple[str, ...]:
        return (*params.stop, *turn_stops(self._tokenizer))

    def _here(self) -> Path:
        return resolve(self.model_name, offline=True).path

    @property
    def _facts(self) -> GGUFFacts:
        with self._lock:
            if self._known is None:
                self._known = read_facts(resolve(self.model_name, offline=self.offline).path)
            return self._known

    @property
    def _tokenizer(self) -> Any:
        with self._lock:
            if self._own_tokenizer is None:
                self._own_tokenizer = light_tokenizer(folder := self._facts.tokenizer) or load_tokenizer(folder)
            return self._own_tokenizer

    @property
    def _loaded(self) -> LlamaEngine:
        with self._loading:
            if self._engine is None:
                path, window = resolve(self.model_name, offline=self.offline).path, self.context_window
                self._engine = LlamaEngine(
                    path,
                    window=window,
                    slots=self.slots,
                    threads=self.threads or usable_cores(),
                    read=lambda speed: self._speed.note(speed),
                    reader=self._torch,
                )
            return self._engine


def _quietly(load: Callable[[], object]) -> None:
    with suppress(Exception):  # told by the call that needs it
        load()
