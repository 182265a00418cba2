"""VDR's own layout, beside a second implementation of its card: no library that we keep has its class."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rag import build_index
from rag.core import plugins
from rag.errors import SpecError
from rag.indexes import IndexSettings, LocalIndex
from rag.types import Document, Query
from retrievers.legs.sparse.encoder import SparseEncoder
from retrievers.legs.sparse.folder import SPARSE_LAYOUTS
from retrievers.legs.sparse.retriever import SparseRetriever
from retrievers.legs.sparse.settings import SparseSettings
from tests.retrievers.tiny_encoders import tiny_bert

FIRST, KEPT = 8, 9
TEXTS = ("frames of steel tubes", "a b c z", "leave of thirty days, 30 days", "z")


def tiny_vdr(folder: Path, *, shared: bool = False, **changes: Any) -> Path:
    """Two random BERTs as VDR keeps them. Words begin behind the special tokens and "the a of"."""
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    bert = tiny_bert(folder.with_name(f"{folder.name}-bert"))
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bert / name, folder / name)
    said = json.loads((bert / "config.json").read_text())
    said = {"type": "vdr", "model_id": "bert-base-uncased", "pooling": "max", "shift_vocab_num": FIRST, **said}
    config = {
        "encoder_q": {**said, "max_len": 6, "topk": 768, **changes},
        "encoder_p": {**said, "max_len": 20, "topk": 768, **changes},
        "shared_encoder": shared,
    }
    (folder / "config.json").write_text(json.dumps(config))
    weights = {}
    for seed, side in enumerate(("encoder_q",) if shared else ("encoder_q", "encoder_p")):
        torch.manual_seed(seed)
        model = BertModel(BertConfig.from_dict(said), add_pooling_layer=False)
        model.embeddings.word_embeddings.weight.data.normal_(0, 0.5)
        weights |= {f"{side}.bert_model.{name}": value.clone() for name, value in model.state_dict().items()}
        width = model.config.hidden_size
        weights |= {f"{side}.ln.weight": torch.rand(width) + 0.5, f"{side}.ln.bias": torch.randn(width) / 3}
    save_file(weights, folder / "model.safetensors")
    return folder


def by_card(folder: Path, side: str, text: str, *, keep: int) -> dict[int, float]:
    """Term -> weight: layer norm, product with the tied word vectors from the first real word, elu(x) + 1, the largest over
    all tokens, and of these the highest and those of the text."""
    from safetensors.numpy import load_file
    from transformers import AutoTokenizer, BertConfig, BertModel

    config = json.loads((folder / "config.json").read_text())
    own = "encoder_q" if config["shared_encoder"] else side
    weights = load_file(folder / "model.safetensors")
    model = BertModel(BertConfig.from_dict(config[side]), add_pooling_layer=False).eval()
    prefix = f"{own}.bert_model."
    model.load_state_dict(
        {name.removeprefix(prefix): torch.tensor(value) for name, value in weights.items() if name.startswith(prefix)}
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, truncation=True, max_length=config[side]["max_len"])["input_ids"]
    with torch.no_grad():
        states: NDArray[np.float64] = model(torch.tensor([ids])).last_hidden_state[0].double().numpy()
    centred = states - states.mean(axis=1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    normed = normed * weights[f"{own}.ln.weight"] + weights[f"{own}.ln.bias"]
    logits = normed @ weights[f"{prefix}embeddings.word_embeddings.weight"][FIRST:].T.astype(np.float64)
    largest = np.where(logits > 0, logits + 1, np.exp(logits)).max(axis=0)
    wanted = {*np.argsort(-largest)[:keep].tolist(), *(id_ - FIRST for id_ in ids if id_ >= FIRST)}
    return {term + FIRST: float(largest[term]) for term in sorted(wanted)}


def weights(encoder: SparseEncoder, texts: Sequence[str], by: Any) -> list[Mapping[int, float]]:
    made = encoder.encode(texts, by=by)
    rows = (made.row(place) for place in range(len(made)))
    return [dict(zip(row["tokens"].tolist(), row["weights"].tolist(), strict=True)) for row in rows]


def settings_of(folder: Path, **changes: Any) -> SparseSettings:
    return SparseSettings(**{"model": str(folder), "dtype": "float32", "keep": KEPT, **changes})


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("by", "side"), [("model", "encoder_p"), ("asked", "encoder_q")])
def test_weights_are_those_of_the_card(tmp_path: Path, by: str, side: str, shared: bool) -> None:
    folder = tiny_vdr(tmp_path / "vdr", shared=shared)
    together = weights(SparseEncoder(settings_of(folder)), TEXTS, by)
    for text, found in zip(TEXTS, together, strict=True):
        assert found == pytest.approx(by_card(folder, side, text, keep=KEPT), abs=1e-5)
        assert min(found) >= FIRST
    assert any(len(found) > KEPT for found in together), "words that are said stay though others weigh more"


def test_each_side_has_its_own_encoder_and_length(tmp_path: Path) -> None:
    encoder = SparseEncoder(settings_of(tiny_vdr(tmp_path / "vdr")))
    [document], [query] = weights(encoder, TEXTS[2:3], "model"), weights(encoder, TEXTS[2:3], "asked")
    assert document != query
    [longer] = weights(encoder, [TEXTS[2] + " z z z z z z"], "asked")
    assert longer == query, "a query is read up to its own limit"
    [words] = weights(encoder, ["a z of"], "words")
    assert encoder.names(list(words)) == ["z"], "what stands before the first real word is no term"


def test_an_index_is_searched_by_the_encoder_of_queries(tmp_path: Path) -> None:
    folder = tiny_vdr(tmp_path / "vdr")
    documents = [Document(doc_id=f"d{n}", text=text) for n, text in enumerate(TEXTS)]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": d.doc_id, "text": d.text}) + "\n" for d in documents))
    settings = IndexSettings(sparse=settings_of(folder))
    build_index([corpus], tmp_path / "index", settings=settings, legs=("sparse",))
    query = by_card(folder, "encoder_q", "steel days", keep=KEPT)
    rows = [by_card(folder, "encoder_p", text, keep=KEPT) for text in TEXTS]
    expected = {f"d{n}": sum(query.get(t, 0) * w for t, w in row.items()) for n, row in enumerate(rows)}
    with LocalIndex.open(tmp_path / "index") as opened:
        for by in ("auto", "model"):
            [ranking] = SparseRetriever(index=opened, query=by).retrieve([Query(qid="q", text="steel days")], k=9)
            found = {hit.doc_id: hit.score for hit in ranking.hits}
            assert found == pytest.approx({d: score for d, score in expected.items() if score > 0}, rel=1e-5)
            assert len(found) > 1


@pytest.mark.parametrize("changes", [{"pooling": "mean"}, {"type": "vdr_cm_image"}, {"norm": True}])
def test_forms_that_are_not_read_are_refused(tmp_path: Path, changes: Mapping[str, Any]) -> None:
    folder = tiny_vdr(tmp_path / "vdr", **changes)
    with pytest.raises(SpecError, match=r"encoder_q is of type .* read are VDR's text encoders"):
        SparseEncoder(settings_of(folder)).describe()


def test_without_the_plugin_a_folder_says_which_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "all_shipped", dict)
    monkeypatch.setattr(SPARSE_LAYOUTS, "_table", {})
    plugins.shipped.cache_clear()
    try:
        with pytest.raises(SpecError, match=r"needs a masked language model.*pip install \./plugins/recipes"):
            SparseEncoder(settings_of(tiny_vdr(tmp_path / "vdr"))).describe()
    finally:
        plugins.shipped.cache_clear()


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_vdr(tmp_path / "vdr")
    kept = {name: value for name, value in load_file(folder / "model.safetensors").items() if ".ln." not in name}
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(SpecError, match="the weights of encoder_p cannot be read as VDR's"):
        SparseEncoder(settings_of(folder)).encode(["z"], by="model")
