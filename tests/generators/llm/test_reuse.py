"""What prompts begin with is read once over several calls, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generators.llm.transformers import TransformersLLM
from rag.core.types import Document, Message, Prompt, Query, Ranking
from rerankers.pairwise import PairwiseReranker
from rerankers.query_likelihood import QueryLikelihoodReranker
from rerankers.setwise import SetwiseReranker
from rerankers.yes_no import YesNoReranker
from tests.generators.llm.conftest import save_random_model
from tests.generators.llm.test_transformers import CHOICES, FAMILIES

START = "the city of France is the capital of France numbered which city is it "


def asked(text: str) -> Prompt:
    return [Message(role="user", content=text)]


STEPS = [
    [asked(START + "anything else or 0")],
    [asked(START + "anything else or the capital"), asked("0")],
    [asked(START + "is it numbered"), asked(START + "anything else or the capital of the city"), asked("which city")],
]


def make(folder: Path, **arguments: Any) -> TransformersLLM:
    return TransformersLLM(model=str(folder), device="cpu", dtype="float32", **arguments)


@contextmanager
def tokens_read(llm: TransformersLLM) -> Iterator[list[int]]:
    """Tokens, padding left out, of every pass within."""
    read: list[int] = []

    def note(_: Any, __: Any, given: dict[str, Any]) -> None:
        new = given["input_ids"].shape[1]
        read.append(int(given["attention_mask"][:, -new:].sum()))

    with llm.weights() as lent:
        hook = lent.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield read
    finally:
        hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_later_calls_give_what_a_first_call_gives(tmp_path: Path, family: str) -> None:
    folder = save_random_model(tmp_path, family, **FAMILIES[family])
    reusing, plain = make(folder), make(folder, share_prefixes=False)
    reused = []
    for step in STEPS:
        np.testing.assert_allclose(reusing.choose(step, CHOICES), plain.choose(step, CHOICES), rtol=1e-5, atol=1e-5)
        reused.append(sum(reusing.last_cached))
        texts = [CHOICES[at] for at in range(len(step))]
        for one, other in zip(reusing.score(step, texts), plain.score(step, texts), strict=True):
            assert one == pytest.approx(other, rel=1e-5, abs=1e-5)
        reused.append(sum(reusing.last_cached))
    able = family in ("llama", "qwen3")  # the others slide or are recurrent
    assert reused[0] == 0
    assert all(reused[1:]) if able else not any(reused)


def test_cached_tokens_are_exactly_those_that_were_not_read(tiny_folder: Path) -> None:
    llm = make(tiny_folder)
    for step in STEPS:
        whole = sum(llm.count_tokens(step))
        with tokens_read(llm) as read:
            llm.choose(step, ["0"])
        assert sum(read) == whole - sum(llm.last_cached)
    assert sum(llm.last_cached) > 0.4 * whole


def test_without_room_or_wish_nothing_is_kept(tiny_folder: Path) -> None:
    for arguments in ({"keep_prefixes_mb": 0}, {"share_prefixes": False}):
        llm = make(tiny_folder, **arguments)
        for step in STEPS[:2]:
            llm.choose(step, ["0"])
            assert sum(llm.last_cached) == 0
    with pytest.raises(ValueError, match="keep_prefixes_mb must be at least 0, got -1"):
        make(tiny_folder, keep_prefixes_mb=-1)


def test_threads_share_what_is_kept_and_get_their_own_answers(tiny_folder: Path) -> None:
    reusing, plain = make(tiny_folder), make(tiny_folder, share_prefixes=False)
    prompts = [asked(START + "0 " * n) for n in range(8)]
    expected = [plain.choose([prompt], CHOICES) for prompt in prompts]

    def work(seed: int) -> bool:
        order = [(seed * 3 + at) % len(prompts) for at in range(len(prompts))]
        found = [(at, reusing.choose([prompts[at]], CHOICES)) for at in order]
        return all(np.allclose(table, expected[at], rtol=1e-5, atol=1e-5) for at, table in found)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_completions_do_not_depend_on_what_was_read_before(tiny_folder: Path) -> None:
    from rag.core.types import SamplingParams

    params, llm = SamplingParams(max_tokens=12), make(tiny_folder)
    before = [llm.complete(step, params) for step in STEPS]
    for step in STEPS:
        llm.choose(step, CHOICES)
    assert [llm.complete(step, params) for step in STEPS] == before


RERANKERS: dict[str, Any] = {
    "setwise heapsort": lambda llm: SetwiseReranker(llm=llm, top=4, max_words=12),
    "setwise insertion": lambda llm: SetwiseReranker(llm=llm, top=2, max_words=12, method="insertion"),
    "pairwise sliding": lambda llm: PairwiseReranker(llm=llm, top=3, max_words=12),
    "yes_no": lambda llm: YesNoReranker(llm=llm, max_words=12),
    "query_likelihood": lambda llm: QueryLikelihoodReranker(llm=llm, max_words=12),
}


@pytest.mark.parametrize("name", RERANKERS)
def test_rerankers_rank_the_same_and_read_less(
    tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...], name: str
) -> None:
    from rag.core.ranking import in_this_order

    folder = save_random_model(tmp_path_factory.mktemp("wide"), max_position_embeddings=1024)
    ranking = Ranking(query=Query(qid="q", text="how many days of paid leave a year"), hits=in_this_order(documents))
    within, across, plain = make(folder, keep_prefixes_mb=0), make(folder), make(folder, share_prefixes=False)
    made = {}
    for kind, llm in (("within", within), ("across", across), ("plain", plain)):
        [made[kind]] = RERANKERS[name](llm).rerank([ranking], k=12)
    assert made["across"].doc_ids == made["within"].doc_ids == made["plain"].doc_ids
    [again] = RERANKERS[name](across).rerank([ranking], k=12)
    assert again.doc_ids == made["plain"].doc_ids
    cached = {kind: one.usage.cached_tokens for kind, one in (*made.items(), ("again", again))}
    assert cached["plain"] == 0
    assert cached["within"] <= cached["across"] < cached["again"] < again.usage.prompt_tokens
    if name.startswith(("setwise", "pairwise")):  # many calls for one query
        assert cached["across"] > cached["within"] + 0.1 * again.usage.prompt_tokens
