"""`index.dense.encoding`: language models as encoders, against the same done by hand on transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from rag.core.errors import IndexMismatch, IndexProblem, SpecError
from rag.indexing import build_index
from rag.models import locate
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.settings import Encoding
from retrievers.encoders.tokenizer import BEFORE, BETWEEN
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.protocol import Difference, differences_of
from tests.retrievers.tiny_encoders import WIDTH, sentence_modules, tiny_transformer, write_json

TEXTS = ["the bicycle frame", "a wheel of the lost bicycle", "", "days of paid leave. " * 12]
DECODERS = ("Llama", "Qwen2")
LIMIT = 200


@pytest.fixture(scope="module", params=DECODERS)
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder's folder, as language models come: no modules.json, nothing about vectors."""
    folder = tiny_transformer(tmp_path_factory.mktemp("decoder") / request.param, request.param)
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        write_json(folder / name, content | {key: LIMIT})
    return folder


def encoded(folder: Path, texts: list[str], role: Any = "document", **asked: Any) -> np.ndarray:
    encoder = SentenceEncoder(model=str(folder), compute="float32", encoding=Encoding(**asked))
    return encoder.encode(texts, role=role)


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def states(folder: Path, ids: list[int], *, mask: torch.Tensor | None = None) -> torch.Tensor:
    """What the last layer holds of each token."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        hidden: torch.Tensor = model(input_ids=torch.tensor([ids]), attention_mask=mask).last_hidden_state[0]
    return hidden


def unit(vector: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vector, dim=-1).numpy()


def test_the_last_token_of_a_bare_decoder(decoder: Path) -> None:
    ids = tokenizer_of(decoder)(TEXTS[1])["input_ids"]
    (vector,) = encoded(decoder, TEXTS[1:2], pooling="lasttoken")
    np.testing.assert_allclose(vector, unit(states(decoder, ids)[-1]), atol=1e-5)


def test_an_echo_is_the_mean_over_the_second_copy(decoder: Path) -> None:
    tokenizer = tokenizer_of(decoder)

    def piece(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    vectors = encoded(decoder, TEXTS[:2], echo=True)
    for text, vector in zip(TEXTS[:2], vectors, strict=True):
        copy = piece(f" {text}")
        before = [tokenizer.cls_token_id, *piece(BEFORE), *copy, *piece(BETWEEN)]
        by_hand = states(decoder, [*before, *copy])[len(before) :].mean(dim=0)
        np.testing.assert_allclose(vector, unit(by_hand), atol=1e-5)


def test_both_copies_are_cut_alike_and_fit_the_limit(decoder: Path) -> None:
    from retrievers.encoders.tokenizer import TextTokens, echoed

    tokens = TextTokens.load(decoder, max_length=90, lower_case=False)
    ids, skipped = echoed(tokens, TEXTS, prompt="note: ")
    for one, skip in zip(ids, skipped, strict=True):
        assert len(one) <= 90
        copy = one[skip:]
        assert not copy or one.count(copy[0]) >= 2
    assert ids[2] == []
    fixed = skipped[0] - len(ids[0][skipped[0] :])
    assert len(ids[3]) - skipped[3] == (90 - fixed) // 2


def test_an_empty_text_has_nothing_to_echo(decoder: Path) -> None:
    assert not encoded(decoder, [""], echo=True).any()


def test_a_limit_that_leaves_no_room_for_an_echo_is_named(decoder: Path) -> None:
    with pytest.raises(SpecError, match=r"of 24 tokens an echo needs \d+ for its words"):
        encoded(decoder, TEXTS, echo=True, max_tokens=24)


def test_an_instruction_stands_before_queries_alone_and_is_not_pooled(decoder: Path) -> None:
    tokenizer = tokenizer_of(decoder)
    prompt = "note of the day: "
    asked = {"query_prompt": prompt}
    (query,) = encoded(decoder, TEXTS[:1], "query", **asked)
    ids = tokenizer(prompt + TEXTS[0])["input_ids"]
    skip = len(tokenizer(prompt)["input_ids"]) - 1  # without what closes a text
    np.testing.assert_allclose(query, unit(states(decoder, ids)[skip:].mean(dim=0)), atol=1e-5)
    np.testing.assert_array_equal(encoded(decoder, TEXTS, **asked), encoded(decoder, TEXTS))


def test_another_instruction_is_another_vector(decoder: Path) -> None:
    one, other = (encoded(decoder, TEXTS[:1], "query", query_prompt=p) for p in ("ride: ", "lost: "))
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_bidirectional_attention_is_that_of_an_open_mask(decoder: Path, compute: Any) -> None:
    """Against the model as it is, with a mask of four axes by hand: alone, and in a batch with padding."""
    encoder = SentenceEncoder(
        model=str(decoder), compute=compute, encoding=Encoding(attention="bidirectional", pooling="mean")
    )
    vectors = encoder.encode(TEXTS[:2], role="document")
    for text, vector in zip(TEXTS[:2], vectors, strict=True):
        ids = tokenizer_of(decoder)(text)["input_ids"]
        by_hand = unit(states(decoder, ids, mask=torch.zeros(1, 1, len(ids), len(ids))).mean(dim=0))
        np.testing.assert_allclose(vector, by_hand, atol=1e-5 if compute == "float32" else 0.03)
    causal = encoded(decoder, TEXTS[:1], pooling="mean")
    assert np.abs(vectors[:1] - causal).max() > 0.05


def test_an_encoder_whose_tokens_see_each_other_has_no_such_switch(plain_bert: Path) -> None:
    with pytest.raises(SpecError, match="this one's tokens see each other already"):
        encoded(plain_bert, TEXTS, attention="bidirectional")


def test_a_model_that_keeps_its_mask_is_refused(tmp_path: Path) -> None:
    """A state space model has no mask to take off."""
    folder = tiny_transformer(tmp_path / "mamba", "Mamba")
    with pytest.raises(SpecError, match="see each other already"):
        encoded(folder, TEXTS, attention="bidirectional")


def test_what_is_unset_is_left_out_of_every_description(decoder: Path) -> None:
    plain = SentenceEncoder(model=str(decoder)).describe()
    assert "encoding" not in plain
    assert SentenceEncoder(model=str(decoder), encoding=Encoding(echo=False)).describe() == plain
    assert "encoding" not in DenseSettings().model_dump(mode="json")
    assert "encoding" not in IndexSettings(dense=DenseSettings(encoder=str(decoder))).model_dump(mode="json")["dense"]
    said = DenseSettings(encoding=Encoding(echo=True)).model_dump(mode="json")
    assert DenseSettings.model_validate(said).encoding == Encoding(echo=True)


@pytest.mark.parametrize(
    "asked",
    [
        {"pooling": "lasttoken"},
        {"echo": True},
        {"attention": "bidirectional"},
        {"query_prompt": "ride: "},
        {"document_prompt": "note: "},
        {"max_tokens": 9},
    ],
    ids=str,
)
def test_what_is_set_is_described_and_gives_the_same_encoder(decoder: Path, asked: dict[str, Any]) -> None:
    encoder = SentenceEncoder(model=str(decoder), encoding=Encoding(**asked))
    described = json.loads(json.dumps(encoder.describe()))
    assert described["encoding"] == asked
    assert SentenceEncoder.from_description(described).describe() == described
    with pytest.raises(IndexMismatch):
        SentenceEncoder.from_description(
            {key: value for key, value in described.items() if key != "encoding"} | {"dim": 7}
        )


def test_an_encoding_that_nobody_knows_is_an_index_problem(decoder: Path) -> None:
    described = SentenceEncoder(model=str(decoder)).describe()
    with pytest.raises(IndexProblem, match="does not say which encoder made it"):
        SentenceEncoder.from_description(described | {"encoding": {"sideways": True}})


def test_an_index_keeps_how_it_was_encoded(decoder: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"_id": str(row), "text": text}) for row, text in enumerate(TEXTS[:2])]
    corpus.write_text("\n".join(lines), encoding="utf-8")
    asked = Encoding(pooling="lasttoken", attention="bidirectional", query_prompt="ride: ")

    def built(encoding: Encoding) -> Any:
        dense = DenseSettings(encoder=str(decoder), compute="float32", encoding=encoding)
        return build_index(corpus, tmp_path / "index", settings=IndexSettings(dense=dense), legs=("dense",))

    assert not built(asked).unchanged
    assert built(asked).unchanged
    with LocalIndex.open(tmp_path / "index") as index:
        leg: Any = index.leg("dense")
        np.testing.assert_allclose(
            leg.encoder.encode(["a ride"], role="query"),
            encoded(decoder, ["a ride"], "query", **asked.said()),
            atol=1e-6,
        )
    assert not built(Encoding()).unchanged


def test_a_server_and_static_vectors_take_no_encoding(tmp_path: Path) -> None:
    from tests.retrievers.encoders.test_static_encoder import saved

    with pytest.raises(ValidationError, match="encoding is for a model that runs here"):
        DenseSettings.model_validate(
            {"encoder": {"url": "http://localhost:1", "model": "m"}, "encoding": {"echo": True}}
        )
    folder = saved(tmp_path)
    with pytest.raises(
        SpecError, match=r"is a folder of static vectors, which does what its files say. Leave echo out"
    ):
        SentenceEncoder(model=str(folder), encoding=Encoding(echo=True)).encode(["the"], role="query")


def test_several_poolings_of_a_folder_are_not_replaced(decoder: Path, tmp_path: Path) -> None:
    folder = sentence_modules(tiny_transformer(tmp_path / "two", "Llama"), {"pooling_mode": ["mean", "max"]})
    with pytest.raises(SpecError, match="pools by mean and max together"):
        encoded(folder, TEXTS, pooling="cls")


@pytest.mark.models
@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
@pytest.mark.parametrize(
    "asked",
    [{"pooling": "lasttoken"}, {"echo": True}, {"attention": "bidirectional", "query_prompt": "Query: "}],
    ids=str,
)
def test_packaged_decoders_give_unit_vectors(name: str, asked: dict[str, Any]) -> None:
    if locate(name) is None and name != "smollm2-135m-instruct":
        pytest.skip("half a gigabyte, which no test fetches")
    encoder = SentenceEncoder(model=name, encoding=Encoding(**asked))
    vectors = encoder.encode(["How many days of leave do I have?", "Leave is thirty days a year."], role="query")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert vectors.shape[1] > WIDTH
    assert vectors[0] @ vectors[1] < 0.9999


def test_a_graph_that_asks_for_another_encoding_is_told_which(decoder: Path) -> None:
    built = DenseSettings(encoder=str(decoder), encoding=Encoding(pooling="lasttoken"))
    wanted = DenseSettings(encoder=str(decoder), encoding=Encoding(echo=True))
    assert list(differences_of("dense", wanted, built)) == [Difference("dense.encoding.echo", True, False)]
    assert list(differences_of("dense", DenseSettings(encoder=str(decoder)), built)) == []
