from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from generators.llm import together
from generators.llm.together import Together
from generators.llm.transformers import TransformersLLM
from generators.llm.writing import Writer
from rag.core.errors import StageError
from rag.core.load import Load
from rag.core.stopping import Stop, stopping
from rag.core.types import Message, SamplingParams
from rag.models.chat import encode_prompt
from tests.generators.llm.conftest import save_random_model
from tests.generators.llm.test_transformers import FAMILIES, PROMPTS

TOKENS = 24
LONG = SamplingParams(max_tokens=TOKENS)
DEADLINE_S = 180
MANY = [[Message(role="user", content=f"Which city {'is it ' * at}?")] for at in range(16)]


@contextmanager
def watched(llm: TransformersLLM) -> Iterator[list[tuple[int, int]]]:
    """Every pass of the model: its rows, and the positions that it attends to."""
    passes: list[tuple[int, int]] = []

    def note(_: Any, __: Any, given: dict[str, Any]) -> None:
        passes.append((len(given["input_ids"]), given["attention_mask"].shape[1]))

    with llm.weights() as lent:
        hook = lent.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield passes
    finally:
        hook.remove()


def texts(llm: TransformersLLM, params: SamplingParams = LONG) -> list[str]:
    """What each of MANY is answered alone."""
    return [llm.complete([prompt], params)[0].text for prompt in MANY]


def test_16_streams_share_their_passes(tiny_llm: TransformersLLM) -> None:
    wanted, begin = texts(tiny_llm), Barrier(len(MANY))

    def read(prompt: Any) -> str:
        begin.wait(DEADLINE_S)
        return "".join(tiny_llm.stream(prompt, LONG))

    with watched(tiny_llm) as passes, ThreadPoolExecutor(len(MANY)) as pool:
        assert list(pool.map(read, MANY, timeout=DEADLINE_S)) == wanted
    # Alone they take 16 * 24. How near to 24 they come is up to the threads: a busy machine starts some of them late.
    assert TOKENS <= len(passes) <= len(MANY) * TOKENS / 2
    assert len(set(wanted)) > len(MANY) / 2  # texts tell prompts apart


def test_streams_begun_in_turn_take_about_one_pass_for_a_token(tiny_llm: TransformersLLM) -> None:
    """In one thread, so that nothing is up to chance."""
    wanted = texts(tiny_llm)
    with watched(tiny_llm) as passes:
        streams = [tiny_llm.stream(prompt, LONG) for prompt in MANY]
        begun = [next(stream) for stream in streams]
        assert [first + "".join(stream) for first, stream in zip(begun, streams, strict=True)] == wanted
    # A pass for each token, and at most two more for each that came later; alone they take 16 * 24.
    assert TOKENS <= len(passes) <= TOKENS + 2 * len(MANY)


def test_streams_of_unlike_sampling_share_passes_too(tiny_llm: TransformersLLM) -> None:
    asked = [LONG, SamplingParams(max_tokens=TOKENS, temperature=1.2, seed=4), SamplingParams(max_tokens=5)]
    wanted = [tiny_llm.complete([prompt], params)[0].text for prompt, params in zip(PROMPTS, asked, strict=True)]
    with watched(tiny_llm) as passes:
        streams = [tiny_llm.stream(prompt, params) for prompt, params in zip(PROMPTS, asked, strict=True)]
        begun = [next(stream) for stream in streams]
        assert [first + "".join(stream) for first, stream in zip(begun, streams, strict=True)] == wanted
    assert len(passes) <= TOKENS + 2 * len(asked)


@pytest.mark.parametrize("family", FAMILIES)
def test_who_comes_later_and_who_leaves_change_no_text(tmp_path: Path, family: str) -> None:
    folder = save_random_model(tmp_path, family, **FAMILIES[family])
    llm = TransformersLLM(model=str(folder), device="cpu", dtype="float32")
    prompts = [MANY[12], MANY[0], MANY[7], MANY[3]]
    wanted = [llm.complete([prompt], LONG)[0].text for prompt in prompts]
    longest = llm.stream(prompts[0], LONG)
    told = [next(longest) for _ in range(4)]
    streams = [llm.stream(prompt, LONG) for prompt in prompts[1:]]
    begun = [next(streams[0]), next(streams[1])]
    longest.close()
    begun.append(next(streams[2]))
    assert [first + "".join(stream) for first, stream in zip(begun, streams, strict=True)] == wanted[1:]
    assert wanted[0].startswith("".join(told))


@pytest.mark.parametrize("family", FAMILIES)
def test_who_comes_later_shares_the_passes(tmp_path: Path, family: str) -> None:
    folder = save_random_model(tmp_path, family, **FAMILIES[family])
    llm = TransformersLLM(model=str(folder), device="cpu", dtype="float32")
    wanted = texts(llm)[:4]
    with watched(llm) as passes:
        early = llm.stream(MANY[0], LONG)
        begun = next(early)
        assert read_all([llm.stream(prompt, LONG) for prompt in MANY[1:4]]) == wanted[1:]
        assert begun + "".join(early) == wanted[0]
    # Alone they take 4 * 24. A cache with a recurrent state cannot be joined: there the later ones wait for the first and
    # are written together. Threads that start late may cost up to a stream's passes more.
    batches = 3 if family == "qwen3_next" else 2
    assert len(passes) <= batches * TOKENS + 2 * 4


def test_a_closed_stream_costs_nothing_from_the_next_pass_on(tiny_llm: TransformersLLM) -> None:
    wanted = texts(tiny_llm)
    with watched(tiny_llm) as passes:
        streams = [tiny_llm.stream(prompt, LONG) for prompt in MANY[:3]]
        begun = [next(stream) for stream in streams]
        assert passes[-1][0] <= 2  # two rows go on and one was read, in a pass of its own
        next(streams[0])
        while passes[-1][0] != 3:
            next(streams[0])
        streams[1].close()
        seen = len(passes)
        assert begun[2] + "".join(streams[2]) == wanted[2]
        assert {rows for rows, _ in passes[seen:]} <= {1, 2}
        streams[0].close()
        seen = len(passes)
        assert list(streams[0]) == list(streams[1]) == []
        assert len(passes) == seen


def test_a_row_that_nobody_wants_ends_at_the_next_pass_though_it_says_nothing(tiny_llm: TransformersLLM) -> None:
    unwanted = Stop()

    def silent(ids: list[int]) -> str:
        if len(ids) == 5:
            unwanted.say()
        return ""

    stream = Streams(tiny_llm).open(0, silent)
    with watched(tiny_llm) as passes, stopping(unwanted), pytest.raises(StopIteration) as end:
        next(stream)
    assert len(passes) == 5
    assert (end.value.value.finish_reason, end.value.value.completion_tokens) == ("abort", 5)


def test_streams_that_nobody_wants_any_more_are_never_read(
    tiny_llm: TransformersLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 wait for the model, one of them with its prompt in hand, when their readers leave: that one is read, no other."""
    monkeypatch.setattr(together, "_READ_AT_ONCE", 1)
    stops = [Stop() for _ in MANY]

    def read(at: int) -> None:
        with stopping(stops[at]):
            list(tiny_llm.stream(MANY[at], LONG))

    tiny_llm.warm_up()
    with watched(tiny_llm) as passes, ThreadPoolExecutor(len(MANY)) as pool:
        with tiny_llm.weights():
            reading = [pool.submit(read, at) for at in range(len(MANY))]
            while tiny_llm.load().waiting < len(MANY):
                assert not any(one.done() for one in reading)
            for stop in stops:
                stop.say()
        for one in reading:
            one.result(DEADLINE_S)
    assert len(passes) <= 1
    assert all(rows == 1 for rows, _ in passes)
    assert tiny_llm.load() == Load(busy=0, waiting=0)


def test_a_batch_of_completions_that_nobody_wants_any_more_ends_at_the_next_token(tiny_llm: TransformersLLM) -> None:
    unwanted = Stop()
    with watched(tiny_llm) as passes, stopping(unwanted):
        unwanted.say()
        with pytest.raises(StageError, match="nobody wants"):
            tiny_llm.complete(MANY, LONG)
    assert passes == []


def test_closed_streams_let_go_of_their_batch(tiny_folder: Path) -> None:
    llm = TransformersLLM(model=str(tiny_folder), device="cpu", dtype="float32")
    streams = [llm.stream(prompt, LONG) for prompt in MANY[:3]]
    for stream in streams:
        next(stream)
    assert llm._together._cohort() is not None
    gc.disable()  # the weights of a model that is released must not wait for it
    try:
        for stream in streams:
            stream.close()
        assert llm._together._cohort() is None
    finally:
        gc.enable()


def test_no_batch_is_wider_than_it_may_be(tiny_folder: Path, tiny_llm: TransformersLLM) -> None:
    limit = 200
    narrow = TransformersLLM(model=str(tiny_folder), device="cpu", dtype="float32", max_batch_tokens=limit)
    with watched(narrow) as passes, ThreadPoolExecutor(len(MANY)) as pool:
        said = pool.map(lambda prompt: "".join(narrow.stream(prompt, LONG)), MANY, timeout=DEADLINE_S)
        assert list(said) == texts(tiny_llm)
    assert max(rows for rows, _ in passes) > 1
    assert all(rows * width <= limit for rows, width in passes)


class Streams:
    """Streams whose parts can be made to fail."""

    def __init__(self, llm: TransformersLLM, *, bad: int | None = None) -> None:
        self.llm = llm
        self.fails = False
        with llm.weights() as lent:
            self.rows = [encode_prompt(lent.tokenizer, prompt) for prompt in MANY[:3]]
        self.bad = None if bad is None else self.rows[bad]
        self.together = Together(self._start, tokens=16384)

    def open(self, at: int, decode: Callable[[list[int]], str] | None = None) -> Iterator[str]:
        with self.llm.weights() as lent:
            writer = Writer(LONG, prompt_tokens=0, decode=decode or lent.decode, ends=lent.ends, stop=())
        return self.together.write(self.rows[at], writer, most=TOKENS)

    def _start(self, rows: list[list[int]]) -> Any:
        if self.bad in rows:
            raise RuntimeError("this prompt cannot be read")
        return self.llm._batch(rows)


def read_all(streams: list[Iterator[str]]) -> list[str]:
    """The text of each, or its error's; all are begun at a time."""
    begin = Barrier(len(streams))

    def read(stream: Iterator[str]) -> str:
        begin.wait(DEADLINE_S)
        try:
            return "".join(stream)
        except RuntimeError as error:
            return f"error: {error}"

    with ThreadPoolExecutor(len(streams)) as pool:
        return list(pool.map(read, streams, timeout=DEADLINE_S))


@pytest.mark.parametrize("bad", range(3))
def test_a_prompt_that_cannot_be_read_fails_alone(tiny_llm: TransformersLLM, bad: int) -> None:
    streams = Streams(tiny_llm, bad=bad)
    wanted = texts(tiny_llm)[:3]
    wanted[bad] = "error: this prompt cannot be read"
    assert read_all([streams.open(at) for at in range(3)]) == wanted


def test_a_row_that_fails_while_it_is_written_fails_alone(tiny_llm: TransformersLLM) -> None:
    streams = Streams(tiny_llm)

    def breaking(ids: list[int]) -> str:
        if len(ids) > 3:
            raise RuntimeError("this token cannot be told")
        return ""

    wanted = texts(tiny_llm)[:3]
    said = read_all([streams.open(0), streams.open(1, breaking), streams.open(2)])
    assert said == [wanted[0], "error: this token cannot be told", wanted[2]]


def test_a_pass_that_fails_ends_those_that_share_it_and_nobody_after_them(tiny_llm: TransformersLLM) -> None:
    streams = Streams(tiny_llm)
    with tiny_llm.weights() as lent:
        model = lent.model

    def breaking(*_: Any) -> None:
        raise RuntimeError("out of memory")

    first, second = streams.open(0), streams.open(1)
    next(first), next(second)
    hook = model.register_forward_pre_hook(breaking)
    try:
        for stream in (first, second):
            with pytest.raises(RuntimeError, match="out of memory"):
                list(stream)
    finally:
        hook.remove()
    assert "".join(streams.open(2)) == texts(tiny_llm)[2]
