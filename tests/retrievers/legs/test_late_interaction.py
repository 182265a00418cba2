"""Late interaction: token vectors beside a reference by hand, folders, the leg on disk, search and explanations, reranking."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rag.core.errors import IndexMismatch, IndexProblem, MissingModel, SpecError
from rag.core.ranking import ranked
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from rerankers.late_interaction import LateInteractionReranker
from retrievers.encoders.sentence_folder import Role
from retrievers.encoders.token_encoder import TokenEncoder
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.late_interaction.retriever import LateInteractionRetriever
from retrievers.legs.late_interaction.settings import LateInteractionSettings
from retrievers.stores.token_vectors import max_sim
from tests.retrievers.tiny_encoders import SPECIAL, sentence_modules, tiny_bert, tiny_colbert, write_json

TEXTS = ["the frame of a bicycle", "lost laptop", "paid leave, days: the note.", "ride"]
LANGUAGES = ["en_XX", "de_DE"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_bert(tmp_path_factory.mktemp("models") / "plain")
    return sentence_modules(folder, {"pooling_mode_mean_tokens": True})


def by_hand(folder: Path, text: str, role: Role, *, attend: bool, language: int | None = None) -> NDArray[np.float32]:
    """ColBERT as its paper and code describe it: marker behind [CLS], queries filled up with [MASK], which count and which
    others see or not; documents without punctuation; a linear layer, and unit length."""
    import transformers
    from safetensors.torch import load_file

    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    model = library.AutoModel.from_pretrained(folder).eval()
    marker, longest = ("ride", 12) if role == "query" else ("note", 16)
    pieces = tokenizer.tokenize(text)[: longest - 3]
    tokens = ["[CLS]", marker, *pieces, "[SEP]"]
    real = len(tokens)
    if role == "query":
        tokens += ["[MASK]"] * (longest - real)
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(tokens)])
    mask = torch.ones_like(ids)
    if not attend:
        mask[0, real:] = 0
    more = {} if language is None else {"lang_ids": torch.tensor([language])}
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask, **more).last_hidden_state[0]
        vectors = hidden @ load_file(folder / "model.safetensors")["linear.weight"].T
    unit = torch.nn.functional.normalize(vectors, dim=-1).numpy()
    counts = [at for at, token in enumerate(tokens) if role == "query" or token not in ",.:"]
    found: NDArray[np.float32] = unit[counts]
    return found


class TestColbert:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("sentence_transformers")

    @pytest.mark.parametrize("attend", [False, True])
    @pytest.mark.parametrize("role", ["query", "document"])
    def test_vectors_are_those_of_the_paper(self, tmp_path: Path, role: Role, attend: bool) -> None:
        folder = tiny_colbert(tmp_path / "colbert", attend=attend)
        made = TokenEncoder(model=str(folder)).encode(TEXTS, role=role)
        for place, text in enumerate(TEXTS):
            assert made.row(place) == pytest.approx(by_hand(folder, text, role, attend=attend), abs=1e-5)

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_an_adapter_is_chosen_by_language(self, tmp_path: Path, language: str) -> None:
        """ColBERT-XM: XMOD with an adapter for each language, masks seen."""
        folder = tiny_colbert(
            tmp_path / "xm",
            "Xmod",
            attend=True,
            languages=LANGUAGES,
            default_language="en_XX",
            adapter_reduction_factor=2,
        )
        encoder = TokenEncoder(model=str(folder), language=language)
        number = LANGUAGES.index(language)
        for role in ("query", "document"):
            made = encoder.encode(TEXTS, role=role)
            for place, text in enumerate(TEXTS):
                expected = by_hand(folder, text, role, attend=True, language=number)
                assert made.row(place) == pytest.approx(expected, abs=1e-5)

    def test_a_language_without_an_adapter_is_refused(self, tmp_path: Path) -> None:
        folder = tiny_colbert(tmp_path / "xm", "Xmod", languages=LANGUAGES, default_language="en_XX")
        with pytest.raises(SpecError, match=r"no adapter for language 'tlh'\. It has en_XX, de_DE"):
            TokenEncoder(model=str(folder), language="tlh").describe()
        bert = tiny_colbert(tmp_path / "bert")
        with pytest.raises(SpecError, match=r"has no adapters for languages\. Leave language out"):
            TokenEncoder(model=str(bert), language="de_DE").describe()

    def test_one_without_its_projection_is_refused(self, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        folder = tiny_colbert(tmp_path / "colbert")
        weights = load_file(folder / "model.safetensors")
        del weights["linear.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(SpecError, match=r"without its projection: no linear\.weight, and no Dense module"):
            TokenEncoder(model=str(folder)).describe()

    def test_a_folder_that_the_library_saved_is_read(self, tmp_path: Path) -> None:
        import sentence_transformers

        theirs: Any = sentence_transformers.MultiVectorEncoder(
            str(tiny_colbert(tmp_path / "colbert")), device="cpu", local_files_only=True
        )
        theirs.save_pretrained(str(tmp_path / "saved"))
        encoder = TokenEncoder(model=str(tmp_path / "saved"))
        assert encoder.describe()["dim"] == 8
        made = encoder.encode(TEXTS, role="query")
        for place, expected in enumerate(theirs.encode_query(TEXTS, convert_to_numpy=True)):
            assert made.row(place) == pytest.approx(expected, abs=1e-6)

    def test_pylate_without_a_projection_is_refused(self, tmp_path: Path) -> None:
        folder = tiny_bert(tmp_path / "pylate")
        modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
        write_json(folder / "modules.json", modules)
        write_json(folder / "config_sentence_transformers.json", {"model_type": "ColBERT"})
        with pytest.raises(SpecError, match="without its projection"):
            TokenEncoder(model=str(folder)).describe()

    def test_a_projection_that_is_named_and_not_there_is_said(self, tmp_path: Path) -> None:
        import sentence_transformers

        theirs: Any = sentence_transformers.MultiVectorEncoder(
            str(tiny_colbert(tmp_path / "colbert")), device="cpu", local_files_only=True
        )
        theirs.save_pretrained(str(tmp_path / "saved"))
        [weights] = (tmp_path / "saved").glob("*Dense/model.safetensors")
        weights.unlink()
        told = f"without its projection: '{weights.parent.name}' has no model.safetensors"
        with pytest.raises(SpecError, match=told):
            TokenEncoder(model=str(tmp_path / "saved")).describe()

    def test_code_of_the_folders_own_is_never_run(self, tmp_path: Path) -> None:
        folder = tiny_bert(tmp_path / "evil")
        write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}])
        write_json(folder / "config_sentence_transformers.json", {"model_type": "MultiVectorEncoder"})
        with pytest.raises(SpecError, match="code of the folder's own"):
            TokenEncoder(model=str(folder)).describe()

    def test_a_blank_text_has_no_tokens(self, tmp_path: Path) -> None:
        made = TokenEncoder(model=str(tiny_colbert(tmp_path / "colbert"))).encode(["", " ", "ride"], role="query")
        assert [len(made.row(place)) for place in range(3)] == [0, 0, 12]


class TestPlain:
    def test_vectors_are_states_of_the_last_layer(self, plain: Path) -> None:
        import transformers

        library: Any = transformers
        tokenizer, model = library.AutoTokenizer.from_pretrained(plain), library.AutoModel.from_pretrained(plain).eval()
        encoder = TokenEncoder(model=str(plain), dtype="float32")
        for role in ("query", "document"):
            made, named = encoder.encode_named(TEXTS, role=role)
            for place, text in enumerate(TEXTS):
                given = tokenizer(text, return_tensors="pt")
                with torch.no_grad():
                    hidden = torch.nn.functional.normalize(model(**given).last_hidden_state[0], dim=-1).numpy()
                tokens = tokenizer.convert_ids_to_tokens(given["input_ids"][0])
                uncounted = {*SPECIAL, ",", ".", ":"} if role == "document" else set()
                kept = [at for at, token in enumerate(tokens) if token not in uncounted]
                assert made.row(place) == pytest.approx(hidden[kept], abs=1e-5)
                assert named[place] == [tokens[at] for at in kept]

    def test_a_question_or_two_are_read_without_torch_and_come_out_the_same(self, plain: Path) -> None:
        light, heavy = (TokenEncoder(model=str(plain), dtype="float32") for _ in range(2))
        heavy.encode(["ride"] * 9, role="query")  # more texts than are read without it: from now on it is loaded
        for role in ("query", "document"):
            assert light.encode(TEXTS[:2], role=role).values == pytest.approx(
                heavy.encode(TEXTS[:2], role=role).values, abs=1e-5
            )
        loaded: Any = light._kind
        assert "_transformer" not in vars(loaded._encoder)

    def test_odd_texts_are_read(self, plain: Path) -> None:
        """Empty, very long, five scripts in one, signs alone, half a surrogate."""
        texts = ["", "the " * 65_536, "ключ 钥匙 مفتاح κλειδί key", "...", "\udc80 ride", "\x00"]
        made = TokenEncoder(model=str(plain), dtype="float32").encode(texts, role="document")
        counts = [len(made.row(place)) for place in range(len(texts))]
        assert counts[0] == 0
        assert counts[1] == 22, "all that the model reads, less the special ones"
        assert counts[3] == 0
        assert np.linalg.norm(made.values, axis=1) == pytest.approx(1, abs=1e-5)

    def test_a_folder_that_is_neither_is_refused_with_both_reasons(self, tmp_path: Path) -> None:
        folder = tiny_bert(tmp_path / "clip")
        write_json(folder / "modules.json", [{"path": "", "type": "sentence_transformers.models.CLIPModel"}])
        with pytest.raises(SpecError, match=r"as a multi-vector folder: .* as a plain sentence encoder: "):
            TokenEncoder(model=str(folder)).describe()

    def test_a_model_that_is_not_here_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(MissingModel):
            TokenEncoder(model=str(tmp_path / "absent")).describe()


def write_corpus(folder: Path, documents: Sequence[Document]) -> Path:
    records = [{"_id": d.doc_id, "title": d.title, "text": d.text, "n": i} for i, d in enumerate(documents)]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    return folder / "corpus.jsonl"


def built(folder: Path, documents: Sequence[Document], model: Path, **changes: Any) -> Any:
    said = LateInteractionSettings(**{"model": str(model), "dtype": "float32", "bits": 8, **changes})
    return build_index(
        [write_corpus(folder, documents)],
        folder / "index",
        settings=IndexSettings(late_interaction=said),
        legs=("late_interaction",),
    )


@pytest.fixture(scope="module")
def index(
    plain: Path, tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]
) -> Iterator[LocalIndex]:
    folder = tmp_path_factory.mktemp("late")
    built(folder, documents, plain)
    with LocalIndex.open(folder / "index") as opened:
        yield opened


class TestSearching:
    def test_scores_are_late_interaction_by_brute_force(self, index: LocalIndex, plain: Path) -> None:
        encoder = TokenEncoder(model=str(plain), dtype="float32")
        documents = list(index.documents)
        said = encoder.encode([document.full_text for document in documents], role="document")
        for text in ("days of leave", "frames", "weekly assembly"):
            query = encoder.encode([text], role="query").row(0)
            expected = {document.doc_id: max_sim(query, said.row(row)) for row, document in enumerate(documents)}
            [ranking] = LateInteractionRetriever(index=index).retrieve([Query(qid="q", text=text)], k=50)
            found = {hit.doc_id: hit.score for hit in ranking.hits}
            assert found == pytest.approx(expected, abs=0.05)
            assert [hit.doc_id for hit in ranking.hits] == [hit.doc_id for hit in ranked(ranking.hits, k=50)]

    def test_an_explanation_sums_to_the_score(self, index: LocalIndex) -> None:
        retriever, query = LateInteractionRetriever(index=index), Query(qid="q", text="days of leave")
        [ranking] = retriever.retrieve([query], k=3)
        for hit, parts in zip(ranking.hits, retriever.explain_hits(query, ranking.hits), strict=True):
            assert sum(part.score for part in parts) == pytest.approx(hit.score, abs=0.05)
            assert {"days", "of", "leave"} < {part.of_query for part in parts}
            assert len(parts) == 5
            assert all(part.of_document for part in parts)

    def test_a_query_without_a_token_is_empty_and_others_are_answered(self, index: LocalIndex) -> None:
        blank, asked = LateInteractionRetriever(index=index).retrieve(
            [Query(qid="1", text=" "), Query(qid="2", text="days")], k=2
        )
        assert (blank.hits, blank.outcome.kind) == ((), "empty")
        assert len(asked.hits) == 2

    def test_reranking_gives_the_scores_that_searching_gives(self, index: LocalIndex, plain: Path) -> None:
        query = Query(qid="q", text="days of leave")
        [found] = LateInteractionRetriever(index=index).retrieve([query], k=50)
        turned = Ranking(
            query=query,
            hits=ranked((ScoredDocument(document=h.document, score=-h.score) for h in found.hits), k=50),
            source="turned",
        )
        reranker = LateInteractionReranker(model=str(plain), dtype="float32")
        [made] = reranker.rerank([turned], k=50)
        scores = {hit.doc_id: hit.score for hit in made.hits}
        assert scores == pytest.approx({hit.doc_id: hit.score for hit in found.hits}, abs=0.05)
        [few] = LateInteractionReranker(model=str(plain), depth=2).rerank([turned], k=3)
        assert {hit.doc_id for hit in few.hits[:2]} == {hit.doc_id for hit in turned.hits[:2]}
        assert few.hits[2].doc_id == turned.hits[2].doc_id
        reranker.release()


class TestOnDisk:
    def test_only_what_changed_is_read_again_and_the_codec_stays(
        self, plain: Path, tmp_path: Path, documents: tuple[Document, ...]
    ) -> None:
        first = built(tmp_path, documents, plain)
        with LocalIndex.open(tmp_path / "index") as opened:
            centroids = opened.leg("late_interaction").store.codec.centroids
            kept = opened.leg("late_interaction").store.vectors(0)
        changed = [*documents[:-1], Document(doc_id=documents[-1].doc_id, text="the ride of a lost laptop")]
        second = built(tmp_path, changed, plain)
        assert [r.counts["late_interaction"]["n_read"] for r in (first, second)] == [len(documents), 1]
        with LocalIndex.open(tmp_path / "index") as opened:
            store: Any = opened.leg("late_interaction").store
            assert (store.codec.centroids == centroids).all()
            assert (store.vectors(0) == kept).all()
            text = "lost laptop ride"
            [ranking] = LateInteractionRetriever(index=opened).retrieve([Query(qid="q", text=text)], k=50)
            encoder = opened.leg("late_interaction").encoder
            query = encoder.encode([text], role="query").row(0)
            said = encoder.encode(["the ride of a lost laptop"], role="document").row(0)
            scores = {hit.doc_id: hit.score for hit in ranking.hits}
            assert scores[documents[-1].doc_id] == pytest.approx(max_sim(query, said), abs=0.3)

    def test_a_corpus_of_another_size_gets_another_codec(
        self, plain: Path, tmp_path: Path, documents: tuple[Document, ...]
    ) -> None:
        built(tmp_path, documents[:3], plain)
        second = built(tmp_path, documents, plain)
        assert second.counts["late_interaction"]["n_read"] == len(documents)

    def test_other_bits_are_another_leg(self, plain: Path, tmp_path: Path, documents: tuple[Document, ...]) -> None:
        built(tmp_path, documents, plain)
        second = built(tmp_path, documents, plain, bits=2, dim=8)
        assert second.counts["late_interaction"]["n_read"] == len(documents)
        with LocalIndex.open(tmp_path / "index") as opened:
            facts = opened.facts("late_interaction")
            assert (facts["bits"], facts["dim"], facts["turned"]) == (2, 8, True)
            [ranking] = LateInteractionRetriever(index=opened).retrieve([Query(qid="q", text="leave")], k=2)
            assert len(ranking.hits) == 2

    def test_empty_documents_are_no_hits(self, plain: Path, tmp_path: Path) -> None:
        some = [Document(doc_id="a", text="..."), Document(doc_id="b", text="!")]
        built(tmp_path, some, plain)
        with LocalIndex.open(tmp_path / "index") as opened:
            [ranking] = LateInteractionRetriever(index=opened).retrieve([Query(qid="q", text="leave")], k=2)
            assert ranking.hits == ()

    def test_another_model_of_that_name_is_refused(self, tmp_path: Path, documents: tuple[Document, ...]) -> None:
        model = tmp_path / "model"
        sentence_modules(tiny_bert(model), {"pooling_mode_mean_tokens": True})
        built(tmp_path, documents, model)
        shutil.rmtree(model)
        sentence_modules(tiny_bert(model, seed=1), {"pooling_mode_mean_tokens": True})
        with LocalIndex.open(tmp_path / "index") as opened, pytest.raises(IndexMismatch, match="weights_sha256"):
            LateInteractionRetriever(index=opened).retrieve([Query(qid="q", text="days")], k=1)

    def test_a_file_that_does_not_fit_is_refused(
        self, plain: Path, tmp_path: Path, documents: tuple[Document, ...]
    ) -> None:
        built(tmp_path, documents, plain)
        with LocalIndex.open(tmp_path / "index") as opened:
            facts = {**opened.facts("late_interaction"), "rows": 3}
            folder = opened.file("late_interaction/starts.npy").parent
        from retrievers.legs.late_interaction.kind import LateInteractionKind
        from retrievers.legs.protocol import Opening

        with pytest.raises(IndexProblem, match="do not fit together"):
            LateInteractionKind().open(Opening.of(folder, facts, lambda where: None))

    @pytest.mark.parametrize("said", [{"dim": 16}, {"bits": 4}])
    def test_a_manifest_that_says_other_numbers_is_refused_with_both(
        self, plain: Path, tmp_path: Path, documents: tuple[Document, ...], said: dict[str, int]
    ) -> None:
        from retrievers.legs.late_interaction.kind import LateInteractionKind
        from retrievers.legs.protocol import Opening

        built(tmp_path, documents, plain)
        with LocalIndex.open(tmp_path / "index") as opened:
            facts = {**opened.facts("late_interaction"), **said}
            folder = opened.file("late_interaction/starts.npy").parent
        wanted = {"dim": 32, "bits": 8} | said
        told = f"keeps 32 numbers of a vector in 8 bits each, and the manifest says {wanted['dim']} in {wanted['bits']}"
        with pytest.raises(IndexProblem, match=told):
            LateInteractionKind().open(Opening.of(folder, facts, lambda where: None))

    def test_a_graph_that_asks_for_other_vectors_is_refused(self, index: LocalIndex) -> None:
        spec = {
            "version": 1,
            "index": {"late_interaction": {"bits": 4}},
            "nodes": {"found": {"use": "retrieve.late_interaction", "k": 3}},
            "output": "found",
        }
        with pytest.raises(IndexMismatch, match=r"late_interaction.bits 8; the graph asks for 4"):
            load_pipeline(spec, index=index)

    def test_recall_of_the_usual_search_is_told(self, index: LocalIndex) -> None:
        assert index.facts("late_interaction")["recall_at_10"] == 1.0
