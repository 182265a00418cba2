"""Prompts that torch reads for llama.cpp: what comes of them is what llama.cpp itself would have written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from generators.llm.llama_cpp import LlamaCppLLM
from generators.llm.llama_engine import LlamaEngine
from generators.llm.plain_decoder import PlainDecoder
from generators.llm.slot_states import SlotStates
from generators.llm.slots import Slots
from generators.llm.torch_reader import Reader, TorchReader, reader_of
from rag.core.memory import LIMIT
from rag.core.stopping import Stop, stopping
from rag.core.types import Completion, Message, SamplingParams
from rag.models.gguf import convert
from tests.rag.test_models_gguf import write

pytest.importorskip("xllamacpp")

TWELVE = SamplingParams(max_tokens=12)
READERS: tuple[Reader, Reader] = ("llama.cpp", "torch")
PLAIN = "qwen2.5-coder-1.5b-instruct.gguf"


class Both:
    """A small random model in float32, as llama.cpp reads it alone, and with torch beside it."""

    def __init__(self, folder: Path, architecture: str, slots: int) -> None:
        gguf = write(folder / "tiny.gguf", floats=True, architecture=architecture, window=1024)
        (folder / "converted").mkdir()
        convert(gguf, folder / "converted")
        self.speeds: list[float] = []
        self.architecture = architecture
        self.folder = folder / "converted"
        self.reader = self.new_reader()
        self.alone = LlamaEngine(gguf, window=1024, slots=slots, threads=1)
        self.helped = LlamaEngine(
            gguf, window=1024, slots=slots, threads=1, read=self.speeds.append, reader=self.reader
        )

    def new_reader(self) -> TorchReader:
        return TorchReader(lambda: self.folder, dtype="float32")


@pytest.fixture(scope="module", params=[("qwen2", 1), ("llama", 3)], ids=["halves", "pairs"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(tmp_path_factory.mktemp("models"), *request.param)


def prompt(seed: int, n: int) -> list[int]:
    found: list[int] = np.random.default_rng(seed).integers(3, 250, n).tolist()
    return found


def written(engine: LlamaEngine, ids: list[int]) -> Completion:
    return engine.write(ids, TWELVE, stop=(), told=lambda _: None)


def test_what_it_reads_is_written_on_as_llama_cpp_would(both: Both) -> None:
    assert both.helped.try_reader() is both.reader
    before, n_speeds = both.helped.tokens()[0], len(both.speeds)
    for seed, n in enumerate((150, 600, 700)):  # the last is read in two pieces
        ids = prompt(seed, n)
        ours, theirs = written(both.helped, ids), written(both.alone, ids)
        assert (ours.text, ours.prompt_tokens, ours.finish_reason) == (theirs.text, n, theirs.finish_reason)
        assert ours.cached_tokens == 0, "nothing of it was there before"
        assert written(both.helped, ids).cached_tokens == n - 1
    assert both.helped.tokens()[0] - before == 6, "llama.cpp read the last token of each alone"
    assert len(both.speeds) - n_speeds == 2, "of those of two hundred tokens and more"


def test_it_reads_as_transformers_does(both: Both) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ids = prompt(5, 90)
    with torch.inference_mode():
        model = AutoModelForCausalLM.from_pretrained(both.folder, dtype=torch.float32)
        cache = model(torch.tensor([ids]), use_cache=True).past_key_values
        plain = PlainDecoder(both.folder, "float32")
        ours = plain.read(ids[60:], plain.read(ids[:60]))
    for (key, value), layer in zip(ours, cache.layers, strict=True):
        torch.testing.assert_close(key, layer.keys[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(value, layer.values[0], rtol=1e-4, atol=1e-4)


def test_scores_are_those_of_llama_cpp(both: Both) -> None:
    ids, tail = prompt(11, 300), [7, 8, 9]
    ours, theirs = both.helped.score(ids, tail)[0], both.alone.score(ids, tail)[0]
    assert ours == pytest.approx(theirs, rel=0.03)


def test_a_short_prompt_and_one_that_is_mostly_there_are_read_by_llama_cpp(both: Both) -> None:
    both.helped.try_reader()
    ids = prompt(21, 400)
    written(both.helped, ids)
    before = both.helped.tokens()[0]
    written(both.helped, ids + prompt(22, 140))
    assert both.helped.tokens()[0] - before >= 140
    written(both.helped, prompt(23, 100))
    assert both.helped.tokens()[0] - before >= 240


def test_the_file_of_a_slot_is_as_llama_cpp_writes_it(both: Both) -> None:
    n, states = both.helped._slots.n, both.reader.read(prompt(31, 40))
    assert states is not None
    for slot in range(n):
        both.helped._door.restore(slot, states.packed(slot, n))
        assert both.helped._door.save(slot) == states.packed(slot, n)
    with pytest.raises(ValueError, match=r"another form|buffer"):
        SlotStates.unpacked(states.packed(slot, n)[:-2], slot, n)
    assert not list(both.helped._door.folder.glob("*.states"))


def test_work_that_is_not_wanted_is_not_read(both: Both) -> None:
    both.helped.try_reader()
    stop = Stop()
    stop.say()
    with stopping(stop):
        assert both.reader.read(prompt(41, 30)) is None
        assert written(both.helped, prompt(41, 300)).finish_reason == "abort"


def test_a_reader_of_other_weights_is_told_of_and_not_used(
    tmp_path: Path, both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    gguf = write(tmp_path / "other.gguf", architecture="qwen2", window=1024)  # in four bits, and so not the same
    engine = LlamaEngine(gguf, window=1024, slots=1, threads=1, reader=both.new_reader())
    written(engine, prompt(51, 300))
    written(engine, prompt(52, 300))
    assert caplog.text.count("llama.cpp reads its prompts itself") == 1
    assert engine.tokens()[0] >= 600


def test_a_reader_that_does_not_load_is_told_of_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gguf = write(tmp_path / "tiny.gguf", floats=True, architecture="qwen2", window=1024)
    engine = LlamaEngine(gguf, window=1024, slots=1, threads=1, reader=TorchReader(lambda: tmp_path / "none"))
    written(engine, prompt(61, 300))
    assert "none' is not as it is written here" in caplog.text
    assert engine.try_reader() is None


@pytest.mark.parametrize("what", ["no room on the disk", "one that llama.cpp refuses"])
def test_a_hand_over_that_fails_costs_a_warning_and_no_answer(
    what: str, tmp_path: Path, both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    reader = both.new_reader()
    gguf = write(tmp_path / "tiny.gguf", floats=True, architecture=both.architecture, window=1024)
    engine = LlamaEngine(gguf, window=1024, slots=1, threads=1, reader=reader)
    assert engine.try_reader() is reader
    if what == "no room on the disk":
        shutil.rmtree(engine._door.folder)
    else:
        read = reader.read(prompt(71, 299))
        assert read is not None
        vars(reader)["read"] = lambda _: SlotStates(ids=read.ids, keys=read.keys[:1], values=read.values[:1])
    for seed in (71, 72):
        assert written(engine, prompt(seed, 300)).text == written(both.alone, prompt(seed, 300)).text
    assert caplog.text.count("llama.cpp reads its prompts itself") == 1
    assert engine.try_reader() is None


def test_a_folder_is_left_open_for_a_reader_alone(both: Both) -> None:
    assert not both.alone._door.folder.exists()
    assert both.helped._door.folder.stat().st_mode & 0o077 == 0


def test_a_prompt_gets_the_slot_that_begins_most_like_it() -> None:
    slots = Slots(3)
    for ids in ([1, 2, 3, 4], [5, 6], [7]):
        with slots.taken(ids):
            pass
    with slots.taken([5, 6, 7]) as near, slots.taken([1, 2, 9]) as far:
        assert near is not None
        assert far is not None
        assert (near[1], far[1]) == (2, 2)
        assert near[0] != far[0]
        assert slots.load().busy == 2
    with slots.taken([9]) as any_of_them:
        assert any_of_them is not None
        assert any_of_them[1] == 0
        assert any_of_them[0] not in (near[0], far[0]), "that which is free the longest"


def test_who_reads_is_asked_for_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"reader must be one of auto, torch, llama\.cpp"):
        LlamaCppLLM(reader="bert")  # type: ignore[arg-type]
    assert reader_of(PLAIN, "llama.cpp") is None
    assert reader_of("/models/own.gguf", "torch") is None
    assert reader_of("smollm2-135m-instruct.gguf", "auto") is None, "it is read fast enough"
    assert isinstance(reader_of(PLAIN, "torch"), TorchReader)
    monkeypatch.setenv(LIMIT, "4")
    assert reader_of(PLAIN, "auto") is None, "there is no room for its weights"
    plain, helped = (LlamaCppLLM(reader=reader).memory() for reader in ("llama.cpp", "torch"))
    assert helped[:-1] == plain
    assert helped[-1].mapped
    assert helped[-1].n_bytes > 3_000_000_000


@pytest.mark.models
def test_real_weights_in_four_bits_are_read_alike() -> None:
    """Products of quantised weights are not those of bfloat16, so a text may turn: its first words do not."""
    plain, helped = (LlamaCppLLM(model="smollm2-135m-instruct", slots=1, reader=reader) for reader in READERS)
    asked = [Message(role="user", content="Tell where the river Rhine begins. " + "It is long. " * 60)]
    few = SamplingParams(max_tokens=8)
    [ours], [theirs] = helped.complete([asked], few), plain.complete([asked], few)
    assert ours.text == theirs.text
    assert ours.prompt_tokens > 200
    [read], [alone] = (llm.choose([asked], ["Yes", "No", "Switzerland"]) for llm in (helped, plain))
    assert read == pytest.approx(alone, abs=1.0)
    assert helped._loaded.try_reader() is not None
