"""Against sentence-transformers itself, on a random BERT."""

from __future__ import annotations

import importlib
import json
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.errors import ContractError, IndexMismatch, IndexProblem, SpecError
from retrievers.encoders.batches import by_length
from retrievers.encoders.sentence_encoder import SentenceEncoder
from tests.retrievers.tiny_encoders import (
    DENSE,
    MAX_LENGTH,
    NORMALIZE,
    WIDTH,
    sentence_modules,
    tiny_bert,
    tiny_transformer,
)

TEXTS = [
    "the bicycle frame",
    "",
    "warranty of a lost laptop",
    "a",
    "days of paid leave. " * 12,
    "the wheel was in the frame",
    "a ride, a day: unknown words zebra",
]
MEAN = {"pooling_mode": "mean"}
Make = Callable[..., Path]


def ours(folder: Path, **options: Any) -> SentenceEncoder:
    return SentenceEncoder(model=str(folder), **{"compute": "float32", **options})


def theirs(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@pytest.mark.filterwarnings("ignore")  # of sentence-transformers, about old keys
@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True},
        {"pooling_mode_mean_sqrt_len_tokens": True},
        {"pooling_mode_weightedmean_tokens": True},
        {"pooling_mode_lasttoken": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True, "pooling_mode_max_tokens": True},
        {"pooling_mode": "lasttoken"},
        {"pooling_mode": ["weightedmean", "cls"]},
    ],
    ids=lambda pooling: "+".join(map(str, pooling)),
)
@pytest.mark.parametrize("unit", [True, False])
def test_same_vectors_as_sentence_transformers(sentence_folder: Make, pooling: dict[str, Any], unit: bool) -> None:
    folder = sentence_folder(pooling, rest=[("2_Normalize", NORMALIZE)] if unit else [])
    found = ours(folder).encode(TEXTS, role="document")
    np.testing.assert_allclose(found, theirs(folder).encode(TEXTS), atol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("family", "pooling"),
    [
        ("Roberta", "cls"),
        ("MPNet", "mean"),
        ("DistilBert", "mean"),
        ("Electra", "max"),
        ("ModernBert", "cls"),
        ("T5", "mean"),
        ("Qwen3", "lasttoken"),
    ],
)
def test_other_families_of_models(tmp_path: Path, family: str, pooling: str) -> None:
    folder = sentence_modules(tiny_transformer(tmp_path, family), {"pooling_mode": pooling})
    expected = theirs(folder).encode(TEXTS)
    np.testing.assert_allclose(ours(folder).encode(TEXTS, role="document"), expected, atol=1e-5)
    close = ours(folder, compute="bfloat16").encode(TEXTS, role="document")
    assert (close * expected).sum(axis=1).min() > 0.98


@pytest.mark.parametrize("pooling", ["cls", "mean", "weightedmean", "max", "lasttoken"])
@pytest.mark.parametrize("include", [True, False])
def test_prompts_are_put_in_front_and_left_out_of_pooling_where_told(
    sentence_folder: Make, pooling: str, include: bool
) -> None:
    options = {"prompts": {"query": "the lost day: ", "document": "note: "}}
    folder = sentence_folder({"pooling_mode": pooling, "include_prompt": include}, options=options)
    encoder, reference = ours(folder), theirs(folder)
    np.testing.assert_allclose(encoder.encode(TEXTS, role="query"), reference.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS, role="document"), reference.encode_document(TEXTS), atol=1e-5)


@pytest.mark.parametrize("old_format", [True, False])
def test_dense_layers_saved_by_sentence_transformers(plain_bert: Path, tmp_path: Path, old_format: bool) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    models: Any = importlib.import_module("sentence_transformers.models")
    torch.manual_seed(1)
    first, pooling = models.Transformer(str(plain_bert)), models.Pooling(WIDTH, pooling_mode="mean")
    dense = models.Dense(WIDTH, 6), models.Dense(6, 4, bias=False, activation_function=torch.nn.GELU())
    SentenceTransformer(modules=[first, pooling, *dense, models.Normalize()], device="cpu").save(str(tmp_path))
    if old_format:
        from safetensors.torch import load_file

        for weights in tmp_path.glob("*_Dense/model.safetensors"):
            torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
            weights.unlink()
    encoder = ours(tmp_path)
    np.testing.assert_allclose(encoder.encode(TEXTS, role="document"), theirs(tmp_path).encode(TEXTS), atol=1e-5)
    assert encoder.describe()["after"] == ["dense 32 -> 6, Tanh", "dense 6 -> 4, GELU"]


def test_a_truncated_model_gives_shorter_unit_vectors(sentence_folder: Make) -> None:
    folder = sentence_folder(MEAN, rest=[], options={"truncate_dim": 8, "similarity_fn_name": "cosine"})
    expected = theirs(folder).encode(TEXTS, normalize_embeddings=True)
    assert expected.shape[1] == 8
    np.testing.assert_allclose(ours(folder).encode(TEXTS, role="query"), expected, atol=1e-5)


def test_a_plain_folder_says_that_it_is_averaged(plain_bert: Path) -> None:
    encoder = ours(plain_bert)
    described = encoder.describe()
    assert (described["pooling"], described["pooling_is_declared"]) == (["mean"], False)
    expected = theirs(plain_bert).encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode(TEXTS, role="document"), expected, atol=1e-5)


def test_no_texts_give_no_vectors(mean_bert: Path) -> None:
    assert ours(mean_bert).encode([], role="query").shape == (0, WIDTH)
    assert ours(mean_bert).spans([]) == []


def test_results_are_in_input_order_whatever_the_batch(mean_bert: Path) -> None:
    encoder = ours(mean_bert)
    texts = [f"{'the day of ' * (i * 7 % 11)}{i}" for i in range(300)]
    together = encoder.encode(texts, role="document")
    alone = np.vstack([encoder.encode([text], role="document") for text in texts[::25]])
    np.testing.assert_allclose(together[::25], alone, atol=1e-5)


def test_progress_counts_every_text_once(mean_bert: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    ours(mean_bert).encode(TEXTS, role="document", progress=lambda *step: seen.append(step))
    assert seen[-1] == ("encode", len(TEXTS), len(TEXTS))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "\ud800", "lost \udfff laptop", "\u202e\ufeff", "day " * 25_000, "x" * 100_000]
)
def test_hostile_texts_get_a_vector(mean_bert: Path, text: str) -> None:
    vector = ours(mean_bert).encode([text], role="query")
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_a_text_that_gets_no_token_has_a_zero_vector(sentence_folder: Make) -> None:
    folder = sentence_folder(MEAN)
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    tokenizer["post_processor"] = None  # such a tokenizer adds nothing to an empty text
    file.write_text(json.dumps(tokenizer), encoding="utf-8")
    found = ours(folder).encode(["", "the day"], role="document")
    assert not found[0].any()
    assert found[1].any()


def test_spans_cover_the_whole_text_and_hold_no_special_tokens(mean_bert: Path) -> None:
    text = "The Frame, a frame.\n\nzq " + "day " * 100
    (spans,) = ours(mean_bert).spans([text])
    assert [text[start:end] for start, end in spans[:8]] == ["The", "Frame", ",", "a", "frame", ".", "z", "q"]
    assert len(spans) == 8 + 100 > MAX_LENGTH
    assert spans[-1] == (len(text) - 4, len(text) - 1)


def test_spans_count_characters_where_a_lone_surrogate_stands(mean_bert: Path) -> None:
    assert ours(mean_bert).spans(["\ud800 day", ""]) == [[(0, 1), (2, 5)], []]


def test_bfloat16_stays_close_to_float32(mean_bert: Path) -> None:
    exact = ours(mean_bert).encode(TEXTS, role="document")
    close = ours(mean_bert, compute="bfloat16").encode(TEXTS, role="document")
    cosines = (exact * close).sum(axis=1)
    assert cosines.min() > 0.995
    assert not np.array_equal(exact, close)


def test_threads_share_an_encoder(mean_bert: Path) -> None:
    encoder = ours(mean_bert)
    expected = ours(mean_bert).encode(TEXTS, role="document")
    found: list[NDArray[np.float32]] = []

    def work() -> None:
        encoder.spans(TEXTS)
        found.append(encoder.encode(TEXTS, role="document"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for vectors in found:
        np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_a_description_is_json_and_gives_the_same_encoder(mean_bert: Path) -> None:
    encoder = ours(mean_bert)
    described = json.loads(json.dumps(encoder.describe()))
    assert described == encoder.describe()
    again = SentenceEncoder.from_description(described)
    np.testing.assert_array_equal(again.encode(TEXTS, role="query"), encoder.encode(TEXTS, role="query"))


def test_other_weights_are_refused_and_both_hashes_named(sentence_folder: Make, tmp_path: Path) -> None:
    folder = sentence_folder(MEAN)
    described = ours(folder).describe()
    other = tiny_bert(tmp_path / "other", seed=1)
    shutil.copy(other / "model.safetensors", folder / "model.safetensors")
    hashes = described["weights_sha256"], ours(other).describe()["weights_sha256"]
    with pytest.raises(IndexMismatch, match=rf"{hashes[0]}.*{hashes[1]}"):
        SentenceEncoder.from_description(described)


def test_another_pooling_is_refused(sentence_folder: Make) -> None:
    folder = sentence_folder(MEAN)
    described = {**ours(folder).describe(), "pooling": ["cls"]}
    with pytest.raises(IndexMismatch, match=r"pooling: the index has \['cls'\], the model here \['mean'\]"):
        SentenceEncoder.from_description(described)


@pytest.mark.parametrize("described", [{}, {"name": "", "revision": None, "compute": "float32"}])
def test_what_describes_no_encoder_is_an_index_problem(described: dict[str, Any]) -> None:
    with pytest.raises(IndexProblem, match="does not say which encoder"):
        SentenceEncoder.from_description(described)


def test_numbers_that_are_not_finite_are_an_error(sentence_folder: Make) -> None:
    from safetensors.torch import load_file, save_file

    folder = sentence_folder(MEAN)
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][5] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ContractError, match="not finite, in float32, for text number 2 of 3"):
        ours(folder).encode(["a", "of", "the"], role="document")


@pytest.mark.parametrize("promised", [WIDTH + 1, WIDTH - 1])
def test_a_folder_whose_files_disagree_about_the_size_is_refused(sentence_folder: Make, promised: int) -> None:
    folder = sentence_folder({**MEAN, "word_embedding_dimension": promised})
    with pytest.raises(SpecError, match=f"promise {promised} numbers per vector, the model gives 32"):
        ours(folder).encode(["the"], role="document")


def test_dense_weights_of_another_shape_are_refused(sentence_folder: Make) -> None:
    import torch
    from safetensors.torch import save_file

    folder = sentence_folder(MEAN, rest=[("2_Dense", DENSE)])
    (folder / "2_Dense/config.json").write_text('{"in_features": 32, "out_features": 5}', encoding="utf-8")
    save_file(
        {"linear.weight": torch.zeros(4, 32), "linear.bias": torch.zeros(4)}, folder / "2_Dense/model.safetensors"
    )
    with pytest.raises(SpecError, match=r"not those that config\.json promises"):
        ours(folder).encode(["the"], role="document")


def test_parameters_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match="model must name"):
        SentenceEncoder(model="")
    with pytest.raises(ValueError, match="auto, float32 or bfloat16, got 'int4'"):
        SentenceEncoder(model="x", compute="int4")  # type: ignore[arg-type]


def test_an_unknown_role_is_refused(mean_bert: Path) -> None:
    with pytest.raises(ValueError, match="query or document, got 'passage'"):
        ours(mean_bert).encode(["a"], role="passage")  # type: ignore[arg-type]


def test_batches_hold_like_lengths_within_the_budget() -> None:
    lengths = [3, 0, 10, 3, 25, 1]
    assert by_length(lengths, budget=20) == [[4], [2, 0], [3, 5]]


def test_loading_draws_no_progress_bar(mean_bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ours(mean_bert).encode(["the day"], role="query")
    assert capfd.readouterr().err == ""


@pytest.mark.models
@pytest.mark.filterwarnings("ignore")
def test_the_default_model_equals_sentence_transformers(caplog: pytest.LogCaptureFixture) -> None:
    from rag.models import resolve

    texts = [*TEXTS, "A claim about vitamin D.", "Ärzte 你好 🎉", "word " * 600]
    expected = theirs(resolve("all-minilm-l6-v2").path).encode(texts)
    with caplog.at_level(logging.WARNING):
        exact = SentenceEncoder(model="all-minilm-l6-v2", compute="float32").encode(texts, role="document")
    np.testing.assert_allclose(exact, expected, atol=1e-5)
    assert caplog.text == ""
    close = SentenceEncoder(model="all-minilm-l6-v2", compute="bfloat16").encode(texts, role="document")
    assert (close * expected).sum(axis=1).min() > 0.999
