"""Learned sparse retrieval: weights beside sentence-transformers and by hand, the leg on disk, search and explanations."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rag.core.errors import ContractError, IndexMismatch, IndexProblem, SpecError
from rag.core.types import Document, Query
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers.encoders.transformer import load_transformer
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.sparse import vocabulary
from retrievers.legs.sparse.encoder import SparseEncoder, activated, largest
from retrievers.legs.sparse.retriever import SparseRetriever
from retrievers.legs.sparse.settings import SparseSettings
from tests.retrievers.tiny_encoders import tiny_bert
from tests.tiny_models import tiny_masked_model, tiny_sentence_model, tiny_splade

KNOWN = ("frames of steel tubes", "a b c", "leave of thirty days, 30 days", "\x00 [SEP] [MASK]")
TEXTS = [*KNOWN, "", "x" * 300, "ключ 钥匙"]


def settings_of(folder: Path, **changes: Any) -> SparseSettings:
    return SparseSettings(**{"model": str(folder), "dtype": "float32", **changes})


def weights(encoder: SparseEncoder, texts: Sequence[str], by: Any = "model") -> list[dict[int, float]]:
    made = encoder.encode(texts, by=by)
    rows = (made.row(place) for place in range(len(made)))
    return [dict(zip(row["tokens"].tolist(), row["weights"].tolist(), strict=True)) for row in rows]


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_masked_model(tmp_path_factory.mktemp("models") / "masked")


class TestWeights:
    @pytest.mark.parametrize("pooling", [{}, {"pooling_strategy": "sum"}, {"activation_function": "log1p_relu"}])
    def test_they_are_those_of_sentence_transformers(self, pooling: dict[str, str], tmp_path: Path) -> None:
        library = pytest.importorskip("sentence_transformers")
        folder = tiny_splade(tmp_path / "splade", **pooling)
        theirs = library.SparseEncoder(str(folder), device="cpu", local_files_only=True)
        expected = theirs.encode(TEXTS, convert_to_sparse_tensor=False, convert_to_tensor=True).cpu().numpy()
        encoder = SparseEncoder(settings_of(folder))
        special = sorted(encoder._special)
        expected[:, special] = 0.0
        for text, row, found in zip(TEXTS, expected, weights(encoder, TEXTS), strict=True):
            if text in KNOWN:
                assert found == pytest.approx({int(i): float(row[i]) for i in np.flatnonzero(row)}, abs=1e-5)
                assert found
            else:
                assert found == {}, "a text without a token of the vocabulary weighs nothing here"

    def test_a_table_weighs_queries_without_the_model(self, tmp_path: Path) -> None:
        library = pytest.importorskip("sentence_transformers")
        folder = tiny_splade(tmp_path / "routed", table=True)
        theirs = library.SparseEncoder(str(folder), device="cpu", local_files_only=True)
        expected = theirs.encode_query(TEXTS[:4], convert_to_sparse_tensor=False, convert_to_tensor=True).cpu().numpy()
        encoder = SparseEncoder(settings_of(folder))
        assert encoder.has_table
        found = weights(encoder, TEXTS[:4], by="table")
        special = encoder._special
        for row, one in zip(expected, found, strict=True):
            assert one == pytest.approx({int(i): float(row[i]) for i in np.flatnonzero(row) if i not in special})
        assert not encoder._models, "no weights were loaded"

    def test_values_are_those_worked_by_hand(self) -> None:
        logits = torch.tensor([0.5, 2.0, 7.3, 12.9, -1.0, -torch.inf])
        assert activated(logits, "log1p_relu").tolist() == pytest.approx([0.405465, 1.098612, 2.116256, 2.631889, 0, 0])
        assert activated(torch.tensor([-1.0, 0.0, 0.5, -torch.inf]), "elu1p").tolist() == pytest.approx(
            [0.3679, 1, 1.5, 0], abs=1e-4
        )

    def test_vdr_keeps_the_highest_and_words_weigh_one_each(self, masked: Path) -> None:
        encoder = SparseEncoder(settings_of(masked, activation="elu1p", keep=5))
        every = weights(SparseEncoder(settings_of(masked, activation="elu1p")), ["frames of steel"])[0]
        [kept] = weights(encoder, ["frames of steel"])
        assert len(every) == 72, "without a limit that bites nothing is 0: all but the four special ones"
        assert sorted(kept.values()) == sorted(every.values())[-5:]
        [words] = weights(encoder, ["a b a"], by="words")
        assert encoder.names(list(words)) == ["a", "b"]
        assert set(words.values()) == {1.0}

    def test_company_does_not_change_them(self, masked: Path) -> None:
        encoder = SparseEncoder(settings_of(masked))
        for alone, together in zip(
            (weights(encoder, [text])[0] for text in TEXTS), weights(encoder, TEXTS), strict=True
        ):
            assert together == pytest.approx(alone, abs=1e-5)


class TestFolders:
    def test_one_without_a_head_for_masked_words_is_refused(self, tmp_path: Path) -> None:
        folder = tiny_sentence_model(tmp_path / "sentences")
        with pytest.raises(SpecError, match=r"its modules are Transformer \+ Pooling \+ Normalize"):
            SparseEncoder(settings_of(folder)).describe()
        (folder / "modules.json").unlink()
        with pytest.raises(SpecError, match="BertModel, and learned sparse retrieval needs a masked language model"):
            SparseEncoder(settings_of(folder)).describe()

    def test_a_pooling_that_is_not_known_is_refused(self, tmp_path: Path) -> None:
        folder = tiny_splade(tmp_path / "splade")
        said = {"pooling_strategy": "max", "activation_function": "softplus"}
        (folder / "1_SpladePooling" / "config.json").write_text(json.dumps(said))
        with pytest.raises(SpecError, match="pooling 'max' with activation 'softplus' is not known"):
            SparseEncoder(settings_of(folder)).describe()

    def test_a_module_outside_of_it_is_refused(self, tmp_path: Path) -> None:
        folder = tiny_splade(tmp_path / "routed", table=True)
        said = json.loads((folder / "router_config.json").read_text())
        said["structure"]["query"] = ["../../elsewhere"]
        said["types"]["../../elsewhere"] = "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding"
        (folder / "router_config.json").write_text(json.dumps(said))
        with pytest.raises(SpecError, match="lies outside of it"):
            SparseEncoder(settings_of(folder)).describe()

    def test_a_tokenizer_of_another_model_is_said(self, masked: Path, tmp_path: Path) -> None:
        folder, other = Path(shutil.copytree(masked, tmp_path / "mixed")), tiny_bert(tmp_path / "other")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(other / name, folder / name)
        told = r"its tokenizer gave token \d+ \('.*'\), and the model knows 76 tokens \(config.json, vocab_size\)"
        with pytest.raises(SpecError, match=told):
            SparseEncoder(settings_of(folder)).encode(["a frame, of steel."], by="model")

    def test_no_table_is_said(self, masked: Path) -> None:
        with pytest.raises(SpecError, match=r"has no table of weights for queries\. Use query: model or words"):
            SparseEncoder(settings_of(masked)).encode(["a"], by="table")


def write_corpus(folder: Path, documents: Sequence[Document]) -> Path:
    records = [{"_id": d.doc_id, "title": d.title, "text": d.text, "n": i} for i, d in enumerate(documents)]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    return folder / "corpus.jsonl"


def built(folder: Path, documents: Sequence[Document], model: Path, **changes: Any) -> Any:
    settings = IndexSettings(sparse=settings_of(model, **changes))
    return build_index([write_corpus(folder, documents)], folder / "index", settings=settings, legs=("sparse",))


@pytest.fixture(scope="module")
def index(
    masked: Path, tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]
) -> Iterator[LocalIndex]:
    folder = tmp_path_factory.mktemp("sparse")
    built(folder, documents, masked)
    with LocalIndex.open(folder / "index") as opened:
        yield opened


class TestSearching:
    @pytest.mark.parametrize("by", ["model", "words"])
    def test_scores_are_the_products_of_weights_by_brute_force(self, index: LocalIndex, by: Any) -> None:
        encoder = SparseEncoder(settings_of(Path(index.facts("sparse")["encoder"]["model"])))
        documents = list(index.documents)
        rows = weights(encoder, [document.full_text for document in documents])
        for text in ("days of leave", "frames", "weekly assembly"):
            [query] = weights(encoder, [text], by=by)
            expected = {
                document.doc_id: sum(query[term] * row[term] for term in query.keys() & row.keys())
                for document, row in zip(documents, rows, strict=True)
            }
            [ranking] = SparseRetriever(index=index, query=by).retrieve([Query(qid="q", text=text)], k=50)
            found = {hit.doc_id: hit.score for hit in ranking.hits}
            assert found == pytest.approx({doc_id: score for doc_id, score in expected.items() if score > 0}, rel=1e-5)

    def test_an_explanation_sums_to_the_score(self, index: LocalIndex) -> None:
        retriever, query = SparseRetriever(index=index), Query(qid="q", text="days of leave")
        [ranking] = retriever.retrieve([query], k=3)
        for hit, parts in zip(ranking.hits, retriever.explain_hits(query, ranking.hits), strict=True):
            assert sum(part.score for part in parts) == pytest.approx(hit.score)
            assert [part.score for part in parts] == sorted((part.score for part in parts), reverse=True)
            assert all(part.of_query == part.of_document and " x " in part.how for part in parts)

    def test_a_query_without_a_term_is_empty_and_others_are_answered(self, index: LocalIndex) -> None:
        blank, asked = SparseRetriever(index=index).retrieve(
            [Query(qid="1", text=" "), Query(qid="2", text="days")], k=2
        )
        assert (blank.hits, blank.outcome.kind) == ((), "empty")
        assert len(asked.hits) == 2

    def test_documents_may_be_words_that_no_model_read(
        self, masked: Path, tmp_path: Path, documents: tuple[Document, ...]
    ) -> None:
        settings = IndexSettings(sparse=settings_of(masked, documents="words"))
        build_index([write_corpus(tmp_path, documents)], tmp_path / "index", settings=settings, legs=("sparse",))
        with LocalIndex.open(tmp_path / "index") as opened:
            leg: Any = opened.leg("sparse")
            assert set(leg.rows.weights.tolist()) == {1.0}
            [ranking] = SparseRetriever(index=opened).retrieve([Query(qid="q", text="days of leave")], k=3)
        assert ranking.hits


class TestOnDisk:
    def test_another_model_of_that_name_is_refused(
        self, masked: Path, tmp_path: Path, documents: tuple[Document, ...]
    ) -> None:
        model = tmp_path / "model"
        shutil.copytree(masked, model)
        built(tmp_path, documents, model)
        shutil.rmtree(model)
        tiny_masked_model(model, seed=1)
        with LocalIndex.open(tmp_path / "index") as opened, pytest.raises(IndexMismatch, match="weights_sha256"):
            SparseRetriever(index=opened).retrieve([Query(qid="q", text="days")], k=1)

    def test_another_vocabulary_under_the_same_weights_is_refused(
        self, masked: Path, tmp_path: Path, documents: tuple[Document, ...]
    ) -> None:
        """Its tokens would have the numbers of other terms."""
        model = Path(shutil.copytree(masked, tmp_path / "model"))
        built(tmp_path, documents, model)
        file = model / "tokenizer.json"
        said = json.loads(file.read_text())
        numbers = said["model"]["vocab"]
        numbers["a"], numbers["z"] = numbers["z"], numbers["a"]
        file.write_text(json.dumps(said))
        with (
            LocalIndex.open(tmp_path / "index") as opened,
            pytest.raises(
                IndexMismatch, match=r"sparse leg .* tokenizer_sha256: the index has \w{64}, here is \w{64}\. Rebuild"
            ),
        ):
            SparseRetriever(index=opened).retrieve([Query(qid="q", text="days")], k=1)

    def test_an_index_that_does_not_say_its_tokenizer_is_searched_as_before(self, masked: Path) -> None:
        said = SparseEncoder(settings_of(masked)).describe()
        assert len(said.pop("tokenizer_sha256")) == 64
        assert SparseEncoder.from_description(said).describe().keys() - said.keys() == {"tokenizer_sha256"}

    def test_a_file_that_does_not_fit_is_refused(
        self, masked: Path, tmp_path: Path, documents: tuple[Document, ...]
    ) -> None:
        built(tmp_path, documents, masked)
        with LocalIndex.open(tmp_path / "index") as opened:
            facts = {**opened.facts("sparse"), "n_weights": 3}
            folder = opened.file("sparse/tokens.npy").parent
        from retrievers.legs.protocol import Opening
        from retrievers.legs.sparse.kind import SparseKind

        with pytest.raises(IndexProblem, match=r"not int32 \[3\]. Build the index again"):
            SparseKind().open(Opening.of(folder, facts, lambda where: None))

    def test_a_graph_that_asks_for_other_weights_is_refused(self, index: LocalIndex) -> None:
        spec = {
            "version": 1,
            "index": {"sparse": {"keep": 7}},
            "nodes": {"found": {"use": "retrieve.sparse", "k": 3}},
            "output": "found",
        }
        with pytest.raises(IndexMismatch, match=r"sparse.keep None; the graph asks for 7"):
            load_pipeline(spec, index=index)


class TestTheProductWithTheVocabulary:
    @pytest.mark.parametrize("compute", ["float32", "bfloat16"])
    def test_some_terms_at_a_time_are_all_terms(
        self, masked: Path, compute: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(vocabulary, "_TERMS", 7)
        ids = torch.tensor([[4, 5, 6, 7], [8, 9, 4, 4]])
        model: Any = load_transformer(masked, compute=compute, masked=True)
        with torch.inference_mode():
            whole = model(input_ids=ids).logits
            product = vocabulary.Vocabulary(model)
            states = model(input_ids=ids).logits
            parts = list(product.logits(states))
        assert states.shape[-1] != whole.shape[-1]
        assert len(parts) == -(-whole.shape[-1] // 7)
        assert torch.allclose(torch.cat(parts, dim=-1).float(), whole.float(), rtol=0, atol=1e-6)

    def test_a_model_that_does_more_after_its_last_layer_stays_as_it_is(self, masked: Path) -> None:
        model: Any = load_transformer(masked, compute="float32", masked=True)
        model.register_forward_hook(lambda model, given, out: type(out)(logits=out.logits * 2))
        ids = torch.tensor([[4, 5, 6]])
        with torch.inference_mode():
            whole = model(input_ids=ids).logits
            product = vocabulary.Vocabulary(model)
            [logits] = product.logits(model(input_ids=ids).logits)
        assert torch.equal(logits, whole)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_the_largest_above_zero(self, dtype: torch.dtype) -> None:
        logits = torch.randn(3, 5, 200, generator=torch.Generator().manual_seed(0)).sub(0.7).to(dtype)
        true = logits.amax(dim=1)
        assert bool((true < 0).any())
        assert torch.equal(largest(logits, above_zero=False), true)
        assert torch.equal(largest(logits, above_zero=True).relu(), true.relu())

    def test_a_state_that_is_not_finite_is_told_whatever_its_sign(self, masked: Path) -> None:
        encoder = SparseEncoder(SparseSettings(model=str(masked), dtype="float32"))
        encoder.encode(["a b c"], by="model")
        model, _ = encoder._model("encoder_p")
        model.register_forward_hook(lambda model, given, out: type(out)(logits=out.logits * -torch.nan))
        with pytest.raises(ContractError, match="not finite"):
            encoder.encode(["a b c"], by="model")
