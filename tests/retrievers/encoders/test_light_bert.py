"""A few short texts without torch: the same tokens, and the same vectors to the last bits that the data type has."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.cli import main
from rag.models import resolve
from retrievers.encoders.light_bert import MOST_TEXTS, LightBert
from retrievers.encoders.plain_encoder import PlainEncoder
from retrievers.encoders.sentence_folder import read_sentence_folder
from tests.tiny_models import tiny_sentence_model

TEXTS = ["abc de f", "x", "", "Über-maß, naïve?\n\t12 34 \x00 end", "日本語 [SEP] [MASK] <s>"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "tiny", dim=32)


def by_torch(folder: Path, texts: Sequence[str], compute: str) -> NDArray[np.float32]:
    encoder = PlainEncoder(folder, requested=compute)  # type: ignore[arg-type]
    encoder._load()
    return vectors(encoder, texts)


def vectors(encoder: PlainEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
    out = np.zeros((len(texts), encoder.dim), np.float32)
    for rows, encoded in encoder.batches(texts, "query"):
        out[rows] = encoded
    return out


@pytest.mark.parametrize(("compute", "tolerance"), [("float32", 1e-6), ("bfloat16", 2e-2)])
def test_vectors_are_those_of_torch(tiny: Path, compute: str, tolerance: float) -> None:
    encoder = PlainEncoder(tiny, requested=compute)  # type: ignore[arg-type]
    for text in TEXTS:
        light = vectors(encoder, [text])
        assert "_transformer" not in encoder.__dict__
        np.testing.assert_allclose(light, by_torch(tiny, [text], compute), atol=tolerance)
    np.testing.assert_allclose(vectors(encoder, TEXTS[:3]), by_torch(tiny, TEXTS[:3], compute), atol=tolerance)


def test_tokens_are_those_of_transformers(tiny: Path) -> None:
    from transformers import AutoTokenizer

    how = read_sentence_folder(tiny)
    theirs = AutoTokenizer.from_pretrained(tiny)
    long = "a b " * 500
    assert LightBert(how, compute="float32").ids([*TEXTS, long]) == [
        theirs(text, truncation=True, max_length=how.max_length)["input_ids"] for text in [*TEXTS, long]
    ]


@pytest.mark.parametrize("texts", [["a b"] * (MOST_TEXTS + 1), ["a b", " a" * 15]])
def test_many_or_long_texts_go_to_torch(tiny: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrievers.encoders.plain_encoder.MOST_TOKENS", 16)
    encoder = PlainEncoder(tiny, requested="float32")
    vectors(encoder, texts)
    assert "_transformer" in encoder.__dict__


def test_what_torch_has_loaded_is_used(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(LightBert, "encode", refuse)
    by_torch(tiny, ["a b"], "float32")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"model_type": "roberta"}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("config.json", {"is_decoder": True}),
        ("tokenizer_config.json", {"tokenizer_class": "MPNetTokenizer"}),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"include_prompt": False}),
        ("sentence_bert_config.json", {"do_lower_case": True, "max_seq_length": 64}),
    ],
)
def test_other_folders_are_left_to_torch(tmp_path: Path, file: str, change: dict[str, object]) -> None:
    folder = tiny_sentence_model(tmp_path / "tiny")
    assert LightBert.reads(read_sentence_folder(folder))
    path = folder / file
    said = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**said, **change}))
    assert not LightBert.reads(read_sentence_folder(folder))


def test_one_search_from_the_command_line_loads_no_torch(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a b c")
    (tmp_path / "g.yaml").write_text(
        "version: 1\n"
        f"index: {{dense: {{encoder: {tiny}}}}}\n"
        "nodes:\n"
        "  bm25: {use: retrieve.bm25, k: 5}\n"
        "  dense: {use: retrieve.dense, k: 5}\n"
        "  fused: {use: fuse.rrf, in: [bm25, dense], k: 5}\n"
        "output: fused\n"
    )
    script = """
        import sys
        import rag.cli
        assert rag.cli.main(["search", "a b", *sys.argv[1:]]) == 0
        print(sorted({"torch", "transformers", "scipy", "langchain_core"} & set(sys.modules)))
    """
    given = ["--index", str(tmp_path / "idx"), "--graph", str(tmp_path / "g.yaml")]
    assert main(["index", str(tmp_path / "notes"), *given]) == 0
    command = [sys.executable, "-c", textwrap.dedent(script), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "a.txt" in done.stdout


@pytest.mark.models
@pytest.mark.parametrize(("compute", "least"), [("float32", 1 - 1e-6), ("bfloat16", 0.9995)])
def test_the_default_encoder_gives_the_same_vectors(compute: str, least: float) -> None:
    folder = resolve("all-minilm-l6-v2").path
    encoder = PlainEncoder(folder, requested=compute)  # type: ignore[arg-type]
    texts = ["When does the certificate expire?", "wing flutter at mach 2", "Wie viele Urlaubstage habe ich?", *TEXTS]
    for text in texts:
        light, torch = vectors(encoder, [text])[0], by_torch(folder, [text], compute)[0]
        assert float(light @ torch) >= least
