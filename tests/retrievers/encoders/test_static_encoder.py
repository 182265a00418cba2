"""Folders in model2vec's layout, against model2vec itself."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model2vec import StaticModel
from tokenizers import Tokenizer, models, pre_tokenizers

from rag.core.errors import IndexMismatch, SpecError
from rag.core.types import Query
from rag.indexing import build_index
from rag.models import weights_sha256
from retrievers.encoders.kinds import kind_of
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.static_encoder import StaticEncoder
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.dense.settings import DenseSettings
from tests.retrievers.tiny_encoders import write_json

WORDS = ["[PAD]", "[UNK]", "the", "bicycle", "frame", "warranty", "of", "laptop", "lost", "##s", "日", "é"]
TEXTS = [
    "the bicycle frame",
    "",
    "the laptops of the lost warranty, unknown zebra",
    "zebra",
    "\n\t 日 é \u200b",
    "frame " * 700,
    "x" * 9000,
]
DIM = 8


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordPiece({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.enable_padding(pad_id=0, pad_token="[PAD]", length=6)  # as folders in the wild have it
    return made


def saved(folder: Path, made: Tokenizer | None = None, **options: Any) -> Path:
    """A folder that model2vec writes, with random vectors."""
    made = made or tokenizer()
    random = np.random.default_rng(5)
    rows = options.pop("rows", made.get_vocab_size())
    vectors = random.normal(size=(rows, DIM)).astype(np.float32)
    if (dtype := options.pop("dtype", None)) is not None:
        vectors = (vectors * (30 if dtype == "int8" else 1)).astype(dtype)
    StaticModel(vectors, made, **options).save_pretrained(folder)
    return folder


def both(folder: Path, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    ours = SentenceEncoder(model=str(folder)).encode(texts, role="document")
    return ours, np.asarray(StaticModel.from_pretrained(folder).encode(texts), dtype=np.float32)


def shared_rows() -> dict[str, Any]:
    """As vocabulary quantisation leaves it: fewer rows than tokens, and a weight for each token."""
    mapping = np.arange(len(WORDS)) % 4
    return {"rows": 4, "token_mapping": mapping, "weights": np.linspace(0.1, 2, len(WORDS)).astype(np.float32)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize": True},
        {"normalize": True, "max_length": 3},
        {"max_length": None},
        {"weights": np.linspace(2, 0.5, len(WORDS)).astype(np.float32), "normalize": True},
        {"normalize": True, **shared_rows()},
        {"dtype": "float64", "normalize": True},
        {"dtype": "int8", "normalize": True},
    ],
    ids=str,
)
def test_vectors_are_those_of_model2vec(tmp_path: Path, options: dict[str, Any]) -> None:
    ours, theirs = both(saved(tmp_path, **options), TEXTS)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert (ours.shape, ours.dtype) == ((len(TEXTS), DIM), np.float32)


def test_half_precision_is_added_up_in_float32(tmp_path: Path) -> None:
    """model2vec rounds its sums to what the file keeps, so they are equal to that much alone."""
    ours, theirs = both(saved(tmp_path, dtype="float16", normalize=True), TEXTS)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    norms = np.linalg.norm(ours, axis=1)
    np.testing.assert_allclose(norms[norms > 0], 1, atol=1e-6)


def test_a_vocabulary_without_an_unknown_token_and_one_by_scores(tmp_path: Path) -> None:
    silent = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    ours, theirs = both(saved(tmp_path / "bpe", silent), ["abba", "c", "ab c"])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    scored = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("ab", -1.5)], unk_id=0))
    ours, theirs = both(saved(tmp_path / "unigram", scored), ["abba", "c", "ab c"])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("static") / "unit", normalize=True)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([*"abs日é \n,", *WORDS[2:9], "\ud800"]), max_size=40).map("".join),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_gets_the_vector_of_model2vec(unit: Path, texts: list[str]) -> None:
    readable = [text.encode("utf-8", "replace").decode() for text in texts]
    ours = SentenceEncoder(model=str(unit)).encode(texts, role="query")
    theirs = StaticModel.from_pretrained(unit).encode(readable)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_spans_are_characters_and_nothing_is_cut(unit: Path) -> None:
    encoder = SentenceEncoder(model=str(unit))
    assert encoder.spans(["the 日 frames", ""]) == [[(0, 3), (4, 5), (6, 11), (11, 12)], []]
    assert len(encoder.spans(["frame " * 700])[0]) == 700


def test_what_decides_a_vector_is_described(unit: Path, tmp_path: Path) -> None:
    described = SentenceEncoder(model=str(unit)).describe()
    assert {key: described[key] for key in ("kind", "dim", "normalise", "max_length", "compute")} == {
        "kind": "static",
        "dim": DIM,
        "normalise": True,
        "max_length": 512,
        "compute": "float32",
    }
    assert SentenceEncoder.from_description(json.loads(json.dumps(described))).describe() == described
    with pytest.raises(IndexMismatch, match=r"tokenizer_sha256: the index has [0-9a-f]+, the model here"):
        SentenceEncoder.from_description(described | {"tokenizer_sha256": "0" * 64})


def test_memory_is_told_from_headers_alone(unit: Path) -> None:
    (need,) = StaticEncoder(unit, requested="auto").memory()
    assert need.n_bytes == 4 * len(WORDS) * DIM


def test_an_index_is_built_and_searched_with_it(unit: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"_id": str(row), "text": text}) for row, text in enumerate((TEXTS[0], TEXTS[2]))]
    corpus.write_text("\n".join(lines), encoding="utf-8")
    index = IndexSettings(dense=DenseSettings(encoder=str(unit)))
    build_index(corpus, tmp_path / "index", settings=index, legs=("dense",))
    with LocalIndex.open(tmp_path / "index") as opened:
        (ranking,) = DenseRetriever(index=opened).retrieve([Query(qid="q", text="a bicycle")], k=1)
        assert [hit.document.doc_id for hit in ranking.hits] == ["0"]


@pytest.mark.filterwarnings("ignore")
def test_an_index_that_sentence_transformers_made_goes_on_with_it(unit: Path) -> None:
    """Before there was this kind, model2vec's folders were read so; their vectors count unknown tokens too."""
    before = SentenceEncoder(model=str(unit), kind="library")
    described = before.describe()
    assert described["kind"] == "library"
    again = SentenceEncoder.from_description(described)
    np.testing.assert_array_equal(again.encode(["zebra the"], role="query"), before.encode(["zebra the"], role="query"))
    assert kind_of(unit)[0] == "static"


def test_bfloat16_is_refused_in_words(unit: Path) -> None:
    with pytest.raises(SpecError, match="Leave compute at auto"):
        SentenceEncoder(model=str(unit), compute="bfloat16").encode(["the"], role="query")


def _rename(folder: Path, old: str, new: str) -> None:
    file = folder / "model.safetensors"
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + length].replace(old.encode(), new.encode())
    file.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "renamed", config={"model_type": "model2vec"})
    _rename(folder, '"embeddings"', '"something_"')
    with pytest.raises(SpecError, match="a tensor 'embeddings' of 2 axes; it has something_"):
        kind_of(folder)
    folder = saved(tmp_path / "cut")
    (folder / "model.safetensors").write_bytes(b"\x10\0\0")
    with pytest.raises(SpecError, match=r"model.safetensors' cannot be read as safetensors"):
        kind_of(folder)
    folder = saved(tmp_path / "short")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-20])
    with pytest.raises(SpecError, match="cannot be read as safetensors"):
        SentenceEncoder(model=str(folder)).encode(["the"], role="query")
    folder = saved(tmp_path / "silent")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(SpecError, match="static vectors need its"):
        kind_of(folder)
    folder = saved(tmp_path / "odd")
    write_json(folder / "config.json", {"model_type": "model2vec", "max_length": "long"})
    with pytest.raises(SpecError, match="max_length must be a positive number or null, got 'long'"):
        kind_of(folder)
    folder = saved(tmp_path / "garbled")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(SpecError, match="cannot be read as a tokenizer"):
        SentenceEncoder(model=str(folder)).encode(["the"], role="query")


def test_files_of_two_models_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    larger = Tokenizer(models.WordLevel({str(row): row for row in range(40)}, unk_token="0"))
    larger.save(str(folder / "tokenizer.json"))
    with pytest.raises(SpecError, match=r"has vectors for 12 tokens, and tokenizer.json numbers them up to 39"):
        SentenceEncoder(model=str(folder)).encode(["the"], role="query")


def test_rows_outside_of_the_table_are_refused(tmp_path: Path) -> None:
    options = shared_rows()
    folder = saved(tmp_path, **options | {"token_mapping": np.full(len(WORDS), 4)})
    with pytest.raises(SpecError, match="'mapping' points outside of the 4 rows"):
        SentenceEncoder(model=str(folder)).encode(["the"], role="query")


def test_weights_have_their_hash(unit: Path) -> None:
    assert SentenceEncoder(model=str(unit)).describe()["weights_sha256"] == weights_sha256(unit)
