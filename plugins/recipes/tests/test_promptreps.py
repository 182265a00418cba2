from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prompts
import ragline_recipes
from generators.llm.transformers import TransformersLLM
from rag import build_index, load_pipeline
from rag.cli import main
from rag.errors import IndexMismatch, IndexProblem
from rag.indexes import IndexSettings, LocalIndex, Opening
from rag.types import Document, Query
from rag.writing import encode_prompt
from ragline_recipes.promptreps.encoder import _STOP_WORDS, PromptRepsEncoder, allowed_tokens, sparse_weights
from ragline_recipes.promptreps.kind import PromptRepsKind
from ragline_recipes.promptreps.leg import open_leg, write_leg
from ragline_recipes.promptreps.retriever import Form, PromptRepsRetriever
from ragline_recipes.promptreps.settings import PromptRepsSettings
from retrievers.analysis.analyzer import LUCENE_STOP_WORDS
from tests.generators.llm.conftest import save_random_model


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> TransformersLLM:
    folder = save_random_model(tmp_path_factory.mktemp("decoder"))
    return TransformersLLM(model=str(folder), device="cpu", dtype="float32")


def settings_of(folder: Path, **changes: Any) -> IndexSettings:
    sizes: dict[str, Any] = {"model": str(folder), "dtype": "float32"}
    return IndexSettings(promptreps=PromptRepsSettings(**(sizes | changes)))


def write_corpus(folder: Path, documents: Sequence[Document]) -> Path:
    records = [{"_id": d.doc_id, "title": d.title, "text": d.text, "n": i} for i, d in enumerate(documents)]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    return folder / "corpus.jsonl"


@pytest.fixture(scope="module")
def index(
    llm: TransformersLLM, tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]
) -> Iterator[LocalIndex]:
    place = tmp_path_factory.mktemp("promptreps")
    build_index(
        [write_corpus(place, documents)],
        place / "index",
        settings=settings_of(Path(llm.model_name)),
        legs=("promptreps",),
    )
    with LocalIndex.open(place / "index") as opened:
        yield opened


def encoder(llm: TransformersLLM, **arguments: Any) -> PromptRepsEncoder:
    return PromptRepsEncoder(llm, **arguments)


def by_hand(llm: TransformersLLM, text: str, noun: str) -> tuple[np.ndarray, dict[int, int]]:
    """Vector and weights of one text, from one unpadded pass over all positions."""
    import torch

    with llm.weights() as lent, torch.inference_mode():
        ids = encode_prompt(lent.tokenizer, prompts.load("promptreps").render(noun=noun, text=text))
        out = lent.model(torch.tensor([ids]), output_hidden_states=True)
        state = out.hidden_states[-1][0, -1].numpy()
        logits = out.logits[0, -1].numpy()
        allowed = allowed_tokens(lent.tokenizer, text)
    return state / np.linalg.norm(state), sparse_weights(logits, allowed, keep=128)


def retrieve(index: LocalIndex, form: Form, *texts: str, k: int = 12, **more: Any) -> Any:
    retriever = PromptRepsRetriever(index=index, form=form, **more)
    return retriever.retrieve([Query(qid=str(i), text=text) for i, text in enumerate(texts)], k=k)


def test_the_weights_of_the_worked_example() -> None:
    logits = np.array([0.5, 2.0, 7.3, 12.9, -3.0, 2.0], dtype=np.float32)
    assert sparse_weights(logits, np.arange(6), keep=10) == {3: 263, 2: 212, 1: 110, 5: 110, 0: 41}
    assert sparse_weights(logits, np.array([1, 4, 5]), keep=1) == {1: 110}
    assert sparse_weights(logits, np.array([], dtype=np.int64), keep=3) == {}


@pytest.mark.parametrize("family", ["llama", "gpt2"])  # positions that are relative, and absolute ones
def test_vector_and_weights_are_those_of_one_unpadded_pass(tmp_path: Path, family: str) -> None:
    llm = TransformersLLM(model=str(save_random_model(tmp_path, family)), device="cpu", dtype="float32")
    texts = ["Frames are brazed.", "a", "Report a lost key or laptop to the duty officer at once. " * 3]
    made = encoder(llm).encode(texts, role="document")
    for at, text in enumerate(texts):
        vector, weights = by_hand(llm, text, "Passage")
        np.testing.assert_allclose(made.dense[at], vector, atol=1e-4)
        if weights:  # "a" is a stop word
            assert made.weights(at).keys() == weights.keys()
            assert all(abs(made.weights(at)[token] - weight) <= 1 for token, weight in weights.items())


def test_queries_and_passages_are_asked_for_by_their_noun(llm: TransformersLLM) -> None:
    made = encoder(llm).encode(["lost laptop"], role="query")
    np.testing.assert_allclose(made.dense[0], by_hand(llm, "lost laptop", "Query")[0], atol=1e-4)
    assert not np.allclose(made.dense[0], by_hand(llm, "lost laptop", "Passage")[0], atol=1e-3)


def test_stop_words_are_those_of_the_centre() -> None:
    assert _STOP_WORDS == LUCENE_STOP_WORDS


def test_words_are_lower_case_without_stop_words_and_spaces(llm: TransformersLLM) -> None:
    with llm.weights() as lent:
        same = allowed_tokens(lent.tokenizer, "The LOST laptop, lost!")
        assert same.tolist() == allowed_tokens(lent.tokenizer, "laptop lost").tolist()
        assert allowed_tokens(lent.tokenizer, "the of and ... !").tolist() == []


def test_a_text_without_words_has_the_likeliest_of_the_vocabulary(llm: TransformersLLM) -> None:
    made = encoder(llm).encode(["the ..."], role="query")
    found = made.weights(0)
    with llm.weights() as lent:
        names = lent.tokenizer.convert_ids_to_tokens(list(found))
    assert 0 < len(found) <= 10
    assert all(name.lstrip("Ġ▁")[0].islower() for name in names)


def test_a_long_text_is_read_as_far_as_asked_or_as_there_is_room(llm: TransformersLLM) -> None:
    text = "frame wheel fork " * 2000
    made = encoder(llm, text_tokens=7).encode([text, text + "other"], role="document")
    np.testing.assert_allclose(made.dense[0], made.dense[1], atol=1e-5)
    whole = encoder(llm, text_tokens=100_000).encode([text], role="document")
    assert whole.n_tokens < llm.context_window


def test_dense_and_sparse_scores_by_hand(
    llm: TransformersLLM, index: LocalIndex, documents: tuple[Document, ...]
) -> None:
    query = "lost laptop or frame"
    vector, weights = by_hand(llm, query, "Query")
    [dense] = retrieve(index, "dense", query)
    [sparse] = retrieve(index, "sparse", query)
    units = {d.doc_id: by_hand(llm, d.full_text, "Passage") for d in documents}
    assert {h.doc_id: h.score for h in dense.hits} == pytest.approx(
        {doc_id: float(unit @ vector) for doc_id, (unit, _) in units.items()}, abs=1e-3
    )
    products = {i: sum(w * weights.get(t, 0) for t, w in its.items()) for i, (_, its) in units.items()}
    assert {h.doc_id: h.score for h in sparse.hits} == pytest.approx(
        {doc_id: score for doc_id, score in products.items() if score}, rel=0.02
    )
    assert [h.score for h in dense.hits] == sorted((h.score for h in dense.hits), reverse=True)


def test_hybrid_is_half_and_half_of_both_lists(index: LocalIndex) -> None:
    for depth in (1000, 3):
        query = "lost laptop or frame"
        [hybrid] = retrieve(index, "hybrid", query, depth=depth)
        expected: dict[str, float] = {}
        for form in ("dense", "sparse"):
            [ranking] = retrieve(index, form, query, k=depth)
            scores = [h.score for h in ranking.hits]
            for hit in ranking.hits:
                share = (hit.score - min(scores)) / (max(scores) - min(scores))
                expected[hit.doc_id] = expected.get(hit.doc_id, 0.0) + share / 2
        assert {h.doc_id: h.score for h in hybrid.hits} == pytest.approx(expected, abs=1e-6)


def test_units_that_tie_where_a_list_is_cut_are_taken_by_doc_id(llm: TransformersLLM, tmp_path: Path) -> None:
    """Rows are in the order of the file; here it is the other way round."""
    corpus = [Document(doc_id=name, text="frame") for name in ("c", "b", "a")]
    build_index(
        [write_corpus(tmp_path, corpus)],
        tmp_path / "index",
        settings=settings_of(Path(llm.model_name)),
        legs=("promptreps",),
    )
    with LocalIndex.open(tmp_path / "index") as opened:
        for depth, expected in ((1, {"a"}), (2, {"a", "b"}), (3, {"a", "b", "c"})):
            [ranking] = retrieve(opened, "hybrid", "frame", depth=depth)
            assert set(ranking.doc_ids) == expected


def test_a_filter_applies_before_the_cut_and_blank_queries_are_empty(index: LocalIndex) -> None:
    retriever = PromptRepsRetriever(index=index)
    filtered, blank = retriever.retrieve(
        [Query(qid="f", text="frame", where={"n": (3, 4)}), Query(qid="b", text=" ")], k=5
    )
    assert set(filtered.doc_ids) == {"d04", "d05"}
    assert (blank.hits, blank.outcome.kind) == ((), "empty")
    assert (filtered.usage.calls, blank.usage.calls) == (1, 0)


def leg_files(index: Path) -> dict[str, bytes]:
    with LocalIndex.open(index) as opened:
        names = [name for name in opened.manifest.files if name.startswith("promptreps/")]
        return {name: opened.file(name).read_bytes() for name in names}


class Stopped(BaseException):
    """What a kill looks like from within."""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts the model was given, call by call. A number at the front stops the build before so many calls."""
    calls: list[int] = []
    original = PromptRepsEncoder.encode

    def encode(self: PromptRepsEncoder, texts: Any, *, role: Any) -> Any:
        if calls and calls[0] < 0 and len(calls) == -calls[0]:
            raise Stopped
        calls.append(len(texts))
        return original(self, texts, role=role)

    monkeypatch.setattr(PromptRepsEncoder, "encode", encode)
    monkeypatch.setattr("ragline_recipes.promptreps.kind.BLOCK", 5)
    return calls


def test_a_block_with_a_flipped_byte_is_made_again(
    llm: TransformersLLM, tmp_path: Path, documents: tuple[Document, ...], read: list[int]
) -> None:
    corpus, settings = write_corpus(tmp_path, documents), settings_of(Path(llm.model_name))
    read[:] = [-3]
    with pytest.raises(Stopped):
        build_index([corpus], tmp_path / "idx", settings=settings, legs=("promptreps",))
    first, second = sorted((tmp_path / "idx" / "work" / "promptreps").glob("*.block"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[:100])
    read.clear()
    build_index([corpus], tmp_path / "idx", settings=settings, legs=("promptreps",))
    assert sum(read) == len(documents)


def test_only_what_changed_is_read_again(
    llm: TransformersLLM, tmp_path: Path, documents: tuple[Document, ...], read: list[int]
) -> None:
    settings, place = settings_of(Path(llm.model_name)), tmp_path / "idx"
    build_index([write_corpus(tmp_path, documents)], place, settings=settings, legs=("promptreps",))
    before = leg_files(place)
    read.clear()
    changed = (Document(doc_id="new", text="A spare key hangs by the door."), *documents[1:])
    report = build_index([write_corpus(tmp_path, changed)], place, settings=settings, legs=("promptreps",))
    assert (read, report.n_represented) == ([1], 1)
    read.clear()
    assert build_index([write_corpus(tmp_path, changed)], place, settings=settings, legs=("promptreps",)).unchanged
    build_index([write_corpus(tmp_path, documents)], place, settings=settings, legs=("promptreps",))
    assert read == [1]  # the first document, which was gone meanwhile
    after = leg_files(place)
    assert after.keys() == before.keys()
    assert after["promptreps/tokens.npy"] == before["promptreps/tokens.npy"]


def test_the_manifest_says_what_made_the_leg(llm: TransformersLLM, index: LocalIndex) -> None:
    from rag.models import weights_sha256

    said: Any = index.manifest.legs["promptreps"]
    assert (said["rows"], said["dim"]) == (12, 32)
    assert said["encoder"]["weights_sha256"] == weights_sha256(Path(llm.model_name))
    assert said["encoder"]["prompt_sha256"] == prompts.load("promptreps").sha256
    assert (said["encoder"]["pooling"], said["encoder"]["dtype"]) == ("last token", "float32")
    assert (said["encoder"]["text_tokens"], said["encoder"]["sparse_tokens"]) == (512, 128)


@pytest.mark.parametrize("change", ["weights", "prompt"])
def test_another_model_or_prompt_at_the_same_place_is_refused(
    llm: TransformersLLM, tmp_path: Path, documents: tuple[Document, ...], change: str
) -> None:
    model = Path(shutil.copytree(llm.model_name, tmp_path / "model"))
    prompt = tmp_path / "own.yaml"
    text = (Path(ragline_recipes.__file__).parent / "prompts" / "promptreps.yaml").read_text()
    prompt.write_text(text)
    settings = settings_of(model, prompt=str(prompt))
    build_index([write_corpus(tmp_path, documents[:3])], tmp_path / "idx", settings=settings, legs=("promptreps",))
    if change == "prompt":
        prompt.write_text(text.replace("word", "term"))
    else:
        shutil.rmtree(model)
        save_random_model(model, "qwen2")
    with (
        LocalIndex.open(tmp_path / "idx") as opened,
        pytest.raises(IndexMismatch, match=f"{change}_sha256: the index has"),
    ):
        retrieve(opened, "dense", "frame")


def test_a_graph_gets_its_leg_and_is_refused_without_it(
    llm: TransformersLLM, tmp_path: Path, documents: tuple[Document, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, graph = write_corpus(tmp_path, documents), tmp_path / "graph.yaml"
    said = f"model: {llm.model_name}, dtype: float32"

    def graph_with(section: str) -> str:
        graph.write_text(
            f"version: 1\nindex: {{promptreps: {{{section}}}}}\n"
            "nodes: {found: {use: retrieve.promptreps, k: 3}}\noutput: found\n"
        )
        return str(graph)

    assert main(["index", str(corpus), "--index", str(tmp_path / "idx"), "--graph", graph_with(said)]) == 0
    with load_pipeline(graph_with(said), index=tmp_path / "idx") as pipeline:
        pipeline.warm_up()
        with pipeline.index.leg("promptreps").encoder.llm.weights() as lent, llm.weights() as also:  # type: ignore[union-attr]
            assert lent.model is also.model
        assert len(pipeline.search("lost laptop").hits) == 3
        pipeline.release()
        assert len(pipeline.search("lost laptop").hits) == 3
    with pytest.raises(IndexMismatch, match=r"built with promptreps.text_tokens 512; the graph asks for 9"):
        load_pipeline(graph_with(said + ", text_tokens: 9"), index=tmp_path / "idx")
    with load_pipeline(graph_with("dtype: float32"), index=tmp_path / "idx"):
        pass  # what a graph does not say is as the index was built
    build_index([corpus], tmp_path / "lexical", legs=("lexical",))
    assert main(["check", graph_with(said), "--index", str(tmp_path / "lexical")]) == 4
    assert "it has no promptreps leg" in capsys.readouterr().err


def test_a_leg_without_postings_is_searched_as_one_with_them(index: LocalIndex, queries: tuple[Query, ...]) -> None:
    """Indexes that were built before there were postings."""
    facts = {name: fact for name, fact in index.facts("promptreps").items() if name != "postings"}
    folder = index.file("promptreps/dense.npy").parent
    before = PromptRepsKind().open(Opening.of(folder, facts, index.mask))
    with_postings = index.leg("promptreps")
    encoded = with_postings.encoder.encode([query.text for query in queries], role="query")
    for place in range(len(queries)):
        weights = encoded.weights(place)
        both = [leg.sharing(weights, k=4, where={"n": (1, 2, 3, 5, 7)}) for leg in (before, with_postings)]
        assert [part.tolist() for part in both[0]] == [part.tolist() for part in both[1]]
    [units] = with_postings.units
    by_scan = [
        sum(weight * weights.get(token, 0) for token, weight in units.weights(row).items())
        for row in range(len(units.dense))
    ]
    found, scores = with_postings.sharing(weights, k=100)
    assert found.tolist() == np.flatnonzero(by_scan).tolist()
    assert scores.tolist() == [by_scan[row] for row in found]


def test_a_leg_without_postings_is_one_piece() -> None:
    assert PromptRepsKind().why_whole({"postings": True}) == ""
    assert PromptRepsKind().why_whole({}) == "a promptreps leg of an older version has no postings of its own"


def test_other_damage_to_the_leg_is_named(llm: TransformersLLM, tmp_path: Path) -> None:
    made = encoder(llm).encode(["Frames are brazed.", "a lost key"], role="document")
    facts = write_leg((made.row(at) for at in range(2)), tmp_path, n=2)
    opened = open_leg(tmp_path, facts)
    assert np.array_equal(opened.dense, made.dense)
    assert np.array_equal(opened.words.tokens, made.words.tokens)
    for wrong in ({"rows": 3}, {"dim": 31}, {"n_weights": 1}):
        with pytest.raises(IndexProblem, match="Build the index again"):
            open_leg(tmp_path, facts | wrong)
    np.save(tmp_path / "starts.npy", np.array([0, facts["n_weights"] + 1, facts["n_weights"]], dtype=np.int64))
    with pytest.raises(IndexProblem, match="do not fit together"):
        open_leg(tmp_path, facts)


@pytest.mark.parametrize("arguments", [{"form": "both"}, {"depth": 0}])
def test_senseless_arguments_are_refused(index: LocalIndex, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        PromptRepsRetriever(index=index, **arguments)
