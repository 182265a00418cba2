"""ProtST in its published layout, with random weights, beside the classes of transformers asked text by text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rag import build_index
from rag.errors import SpecError
from rag.indexes import IndexSettings, LocalIndex, SentenceEncoder
from rag.types import Query
from ragline_media.proteins import ProteinEncoder, residues
from retrievers import RETRIEVERS
from tests.retrievers.tiny_encoders import tiny_bert

INSULIN, GLUCAGON = "MALWMRLLPLLALLALWGPDPAAA", "HSQGTFTSDYSKYLDSRRAQDFVQWLMNT"
WIDTH, DIM = 32, 16
PLACES = {  # transformers' word -> fair-esm's
    "embeddings.word_embeddings.": "embed_tokens.",
    "embeddings.position_embeddings.": "embed_positions.",
    "embeddings.layer_norm.": "emb_layer_norm_before.",
    "encoder.emb_layer_norm_after.": "emb_layer_norm_after.",
    "encoder.layer.": "layers.",
    ".attention.self.query.": ".self_attn.q_proj.",
    ".attention.self.key.": ".self_attn.k_proj.",
    ".attention.self.value.": ".self_attn.v_proj.",
    ".attention.output.dense.": ".self_attn.out_proj.",
    ".attention.LayerNorm.": ".self_attn_layer_norm.",
    ".intermediate.dense.": ".fc1.",
    ".output.dense.": ".fc2.",
    ".LayerNorm.": ".final_layer_norm.",
}


def published(name: str) -> str:
    for ours, theirs in PLACES.items():
        name = name.replace(ours, theirs)
    return name


def esm(family: str) -> Any:
    from transformers import EsmConfig, EsmModel

    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=33,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        position_embedding_type="absolute" if family == "esm1b" else "rotary",
        emb_layer_norm_before=family == "esm1b",
        token_dropout=True,
        pad_token_id=1,
        mask_token_id=32,
        layer_norm_eps=1e-5,
        initializer_range=0.5,
    )
    return EsmModel(config, add_pooling_layer=False).eval()


def head(seed: int) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, DIM))


def protst(folder: Path, family: str) -> Path:
    tiny_bert(folder)
    text = load_file(folder / "model.safetensors")
    weights = {f"text_model.model.bert.{name}": each for name, each in text.items()}
    weights |= {f"protein_model.model.{published(name)}": each for name, each in esm(family).state_dict().items()}
    weights["protein_model.model.lm_head.weight"] = torch.ones(3)  # what predicts residues is left
    weights["logit_scale"] = torch.tensor(2.0)
    for prefix, seed in (("protein_model.graph_mlp.", 1), ("text_model.text_mlp.", 2)):
        for ours, theirs in (("0", "0"), ("2", "1")):
            for part in ("weight", "bias"):
                weights[f"{prefix}layers.{theirs}.{part}"] = head(seed).state_dict()[f"{ours}.{part}"]
    save_file({name: each.contiguous() for name, each in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"layout": "protst", "protein_heads": 4, "text_heads": 4}))
    return folder


@pytest.fixture(params=["esm1b", "esm2"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, str]:
    return protst(tmp_path / "protst", request.param), request.param


def test_a_protein_is_the_mean_of_its_residues_through_two_layers(folder: tuple[Path, str]) -> None:
    place, family = folder
    network = esm(family)
    expected = []
    for sequence in (INSULIN, GLUCAGON):
        ids = torch.tensor([[0, *(4 + "LAGVSERTIDPKQNFYMHWCXBUZO".index(each) for each in sequence), 2]])
        with torch.inference_mode():
            states = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0, 1:-1]
            expected.append(torch.nn.functional.normalize(head(1)(states.mean(dim=0)), dim=0).numpy())
    found = SentenceEncoder(model=str(place)).encode([f"Insulin\n{INSULIN}", GLUCAGON], role="document")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_text_is_the_mean_of_its_words_through_two_layers(folder: tuple[Path, str], tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from transformers import AutoModel

    place, _ = folder
    bert = AutoModel.from_pretrained(tiny_bert(tmp_path / "bert"), local_files_only=True).eval()
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    expected = []
    for text in ("the day of leave", "bicycle"):
        ids = torch.tensor([[2, *tokenizer.encode(text, add_special_tokens=False).ids]])
        with torch.inference_mode():
            states = bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0, 1:]
            expected.append(torch.nn.functional.normalize(head(2)(states.mean(dim=0)), dim=0).numpy())
    found = SentenceEncoder(model=str(place)).encode(["the day of leave", "bicycle"], role="query")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_index_of_proteins_is_asked_in_words(folder: tuple[Path, str], tmp_path: Path) -> None:
    place, _ = folder
    corpus = tmp_path / "corpus.jsonl"
    texts = {"P01308": INSULIN, "P01275": GLUCAGON, "note": "No sequence is here."}
    corpus.write_text(
        "".join(json.dumps({"_id": doc_id, "title": doc_id, "text": text}) + "\n" for doc_id, text in texts.items())
    )
    settings = IndexSettings.model_validate({"dense": {"encoder": str(place), "storage": "float32"}})
    build_index([corpus], tmp_path / "index", settings=settings, legs=("lexical", "dense"))
    encoder = SentenceEncoder(model=str(place))
    with LocalIndex.open(tmp_path / "index") as index:
        [found] = RETRIEVERS.get("dense")(index=index).retrieve([Query(qid="q", text="the day of leave")], k=3)
    [asked] = encoder.encode(["the day of leave"], role="query")
    cosines = dict(zip(texts, encoder.encode([*texts.values()], role="document") @ asked, strict=True))
    assert cosines.pop("note") == 0
    for hit in found.hits:
        if hit.doc_id != "note":
            assert hit.score == pytest.approx(cosines[hit.doc_id], abs=1e-4)


@pytest.mark.parametrize(
    ("text", "n"),
    [
        *[("", 0), ("INS DNA", 0), ("malwmrllpllall", 0), ("MALWMRLLPL.", 12), ("M" * 3_000, 1_024)],
        (">sp|P01308|INS_HUMAN\nMALWMRLLPL\nLALLALWGPDPAAA*\n", 26),
    ],
)
def test_residues_are_told_from_what_stands_beside_them(text: str, n: int) -> None:
    assert len(residues(text)) == n


def test_what_is_no_such_folder_is_left_or_told(tmp_path: Path) -> None:
    assert ProteinEncoder.refuses(tmp_path) == 'its config.json has no "layout": "protst".'
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(SpecError, match="it holds no object"):
        ProteinEncoder.refuses(tmp_path)


def test_other_weights_are_told(tmp_path: Path) -> None:
    place = protst(tmp_path / "protst", "esm2")
    weights = load_file(place / "model.safetensors")
    lacking = "protein_model.model.layers.1.fc2.bias"
    save_file({name: each for name, each in weights.items() if name != lacking}, place / "model.safetensors")
    with pytest.raises(SpecError, match=r"has no weights of ProtST .*encoder\.layer\.1\.output\.dense\.bias"):
        SentenceEncoder(model=str(place)).encode([INSULIN], role="document")
    (place / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(SpecError, match="Pickled weights are not read"):
        SentenceEncoder(model=str(place)).encode([INSULIN], role="document")
    place = protst(tmp_path / "heads", "esm2")
    (place / "config.json").write_text(json.dumps({"layout": "protst", "protein_heads": 5}))
    with pytest.raises(SpecError, match=r"config\.json says protein_heads: 5, and the width is 32"):
        SentenceEncoder(model=str(place)).encode([INSULIN], role="document")
