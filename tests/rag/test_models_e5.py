"""A small file of the form is written here by its description, and read as the packaged one is."""

from __future__ import annotations

import hashlib
import json
import random
import struct
import unicodedata
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.errors import MissingModel
from rag.models import resolve
from rag.models.e5_file import convert

WIDTH, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 16
PIECES = [
    ("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁query", -3.0), (":", -3.0), ("▁fi", -4.0),
    ("sh", -4.0), ("▁fish", -5.0), ("s", -6.0), ("h", -6.0), ("f", -6.0), ("i", -6.0), ("▁passage", -3.0),
]  # fmt: skip
CHARACTERS = {"ﬁ": "fi", "\u3000": " ", "\u200b": "", "\t": " "}
REFERENCE = Path(__file__).with_name("e5_reference.json")
"""What the C engine of the wheel gave: see `test_the_packaged_model_reads_and_answers_as_the_engine_does`."""


def packed_blocks(weights: NDArray[np.float32]) -> bytes:
    """Blocks of 32 weights, each a whole number from -8 to 7 times the scale 0.25."""
    out = bytearray()
    for block in weights.reshape(-1, 32):
        nibbles = np.round(block / 0.25).astype(int) + 8
        out += np.float16(0.25).tobytes()
        out += bytes(int(low) | int(high) << 4 for low, high in zip(nibbles[:16], nibbles[16:], strict=True))
    return bytes(out)


def write_file(path: Path, *, leave_out: str = "", cut: int | None = None) -> dict[str, NDArray[np.float32]]:
    """Write a file of random weights, and return what they are."""
    drawn = np.random.default_rng(5)
    tensors: dict[str, NDArray[np.float32]] = {}

    def blocks(name: str, *shape: int) -> None:
        tensors[name] = (drawn.integers(-8, 8, shape) * 0.25).astype(np.float32)

    def numbers(name: str, *shape: int) -> None:
        tensors[name] = drawn.normal(size=shape).astype(np.float32)

    blocks("emb.word", len(PIECES), WIDTH)
    numbers("emb.pos", POSITIONS, WIDTH)
    numbers("emb.type", 2, WIDTH)
    numbers("emb.ln.w", WIDTH)
    numbers("emb.ln.b", WIDTH)
    for layer in range(LAYERS):
        for short in ("q", "k", "v", "ao"):
            blocks(f"l{layer}.{short}.w", WIDTH, WIDTH)
            numbers(f"l{layer}.{short}.b", WIDTH)
        blocks(f"l{layer}.fi.w", INNER, WIDTH)
        numbers(f"l{layer}.fi.b", INNER)
        blocks(f"l{layer}.fo.w", WIDTH, INNER)
        numbers(f"l{layer}.fo.b", WIDTH)
        for short in ("aln", "oln"):
            numbers(f"l{layer}.{short}.w", WIDTH)
            numbers(f"l{layer}.{short}.b", WIDTH)
    names = [piece.encode() for piece, _ in PIECES]
    head = b"E5S1" + struct.pack("<8i", 1, WIDTH, LAYERS, HEADS, INNER, len(PIECES), POSITIONS, 2)
    head += struct.pack("<fi", 1e-12, 32) + struct.pack("<5i", len(PIECES), 0, 2, 1, 3)
    head += struct.pack("<Q", sum(map(len, names))) + struct.pack("<I", 0)
    head += b"".join(struct.pack("<I", end) for end in np.cumsum([len(name) for name in names]).tolist())
    head += np.array([score for _, score in PIECES], np.float32).tobytes() + b"".join(names)
    mapped = b"".join(
        struct.pack(f"<IB{len(text)}I", ord(character), len(text), *map(ord, text))
        for character, text in sorted(CHARACTERS.items())
    )
    head += struct.pack("<iI", len(CHARACTERS), len(mapped)) + mapped
    kept = {name: tensor for name, tensor in tensors.items() if name != leave_out}
    data = {
        name: packed_blocks(tensor) if tensor.ndim == 2 and name not in ("emb.pos", "emb.type") else tensor.tobytes()
        for name, tensor in kept.items()
    }
    at = len(head) + 4 + sum(2 + len(name) + 21 for name in kept)
    directory = struct.pack("<i", len(kept))
    for name, tensor in kept.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", 0, tensor.size, at, len(data[name]))
        at += len(data[name])
    path.write_bytes((head + directory + b"".join(data.values()))[:cut])
    return tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_file(tmp_path / "tiny.bin")
    (made := tmp_path / "model").mkdir()
    convert(tmp_path / "tiny.bin", made)
    return made


def test_a_block_is_a_scale_and_nibbles_less_eight_low_halves_first() -> None:
    from gguf import GGMLQuantizationType, dequantize

    block = np.frombuffer(np.float16(0.5).tobytes() + bytes([0xF0, 0x08] + [0x88] * 14), np.uint8)
    weights = dequantize(block, GGMLQuantizationType.Q4_0)
    assert weights[:3].tolist() == [-4.0, 0.0, 0.0]  # low nibbles 0, 8, 8
    assert weights[16:19].tolist() == [3.5, -4.0, 0.0]  # high nibbles 15, 0, 8
    assert weights.dtype == np.float32
    assert weights.shape == (32,)


def test_the_folder_holds_the_weights_of_the_file(tmp_path: Path) -> None:
    from transformers import AutoModel

    tensors = write_file(tmp_path / "tiny.bin")
    (folder := tmp_path / "model").mkdir()
    convert(tmp_path / "tiny.bin", folder)
    model: Any = AutoModel.from_pretrained(folder)
    assert model.embeddings.word_embeddings.weight.tolist() == tensors["emb.word"].tolist()
    layer = model.encoder.layer[1]
    assert layer.attention.self.value.weight.tolist() == tensors["l1.v.w"].tolist()
    assert layer.attention.output.LayerNorm.bias.tolist() == tensors["l1.aln.b"].tolist()
    assert layer.intermediate.dense.weight.tolist() == tensors["l1.fi.w"].tolist()
    assert layer.output.dense.bias.tolist() == tensors["l1.fo.b"].tolist()
    assert model.config.layer_norm_eps == 1e-12


def test_the_tokenizer_has_the_file_s_pieces_and_its_map_of_characters(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("ﬁsh") == ["▁fish"]
    assert tokenizer.tokenize("f\u200bish\t\u3000  s") == ["▁fish", "▁", "s"]
    assert tokenizer.encode("query: z") == [0, 5, 6, 4, 3, 2]
    assert tokenizer("ﬁsh", return_offsets_mapping=True)["offset_mapping"][1] == (0, 3)
    assert tokenizer.model_max_length == POSITIONS


def test_sentence_transformers_and_the_light_path_read_the_same_vectors(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from retrievers.encoders.light_bert import LightBert
    from retrievers.encoders.sentence_encoder import SentenceEncoder
    from retrievers.encoders.sentence_folder import read_sentence_folder

    texts = [
        "fish",
        "ﬁs  h",
        "unknown ☃ text",
        "☃",
        "☃ ☃☃ ☃",
        "fish " * 40,
        "",
    ]  # unknown alone; more than there is room for
    theirs = SentenceTransformer(str(folder), device="cpu").encode(texts, prompt_name="document")
    ours = SentenceEncoder(model=str(folder), compute="float32").encode(texts, role="document")
    assert np.abs(ours - theirs).max() < 1e-5
    assert LightBert.reads(read_sentence_folder(folder))
    one = SentenceEncoder(model=str(folder), compute="float32").encode(texts[:1], role="document")
    assert np.abs(one - theirs[:1]).max() < 1e-5


@pytest.mark.parametrize("cut", [3, 20, 100, 400, 700])
def test_a_file_that_ends_too_early_is_refused(tmp_path: Path, cut: int) -> None:
    write_file(tmp_path / "tiny.bin", cut=cut)
    with pytest.raises(MissingModel, match=r"'tiny.bin' cannot be converted"):
        convert(tmp_path / "tiny.bin", tmp_path)


def test_a_file_of_another_form_or_without_a_tensor_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"GGUF" + bytes(200))
    with pytest.raises(MissingModel, match="does not begin with E5S1"):
        convert(tmp_path / "other.bin", tmp_path)
    write_file(tmp_path / "tiny.bin", leave_out="l1.fo.w")
    with pytest.raises(MissingModel, match="lacks a part"):
        convert(tmp_path / "tiny.bin", tmp_path)


def made_texts(pieces: list[str], n: int) -> list[str]:
    """Texts of twenty scripts, each of pieces of one, drawn by a seed."""
    drawn, by_script = random.Random(7), dict[str, list[str]]()
    for piece in pieces:
        scripts = {unicodedata.name(character, "?").split()[0] for character in piece if character.isalpha()}
        if len(scripts) == 1:
            by_script.setdefault(scripts.pop(), []).append(piece)
    most = sorted(by_script, key=lambda script: (-len(by_script[script]), script))[:20]
    chosen = [drawn.choices(by_script[most[number % 20]], k=drawn.randint(3, 40)) for number in range(n)]
    return ["".join(each).replace("▁", " ") for each in chosen]


@pytest.mark.models
def test_the_packaged_model_reads_and_answers_as_the_engine_does() -> None:
    """Token ids of 2,000 texts are the engine's, and vectors are near its own: it multiplies in eight bits.

    Recorded by compiling the C file that the wheel carries, and calling it on the same texts.
    """
    from transformers import AutoTokenizer

    from retrievers.encoders.sentence_encoder import SentenceEncoder

    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve("multilingual-e5-small").path)
    pieces = [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    texts = made_texts(pieces, 2_000)
    for number, digest in enumerate(reference["ids_sha256"]):
        ids = [tokenizer(text, truncation=False, verbose=False)["input_ids"] for text in texts[number * 100 :][:100]]
        assert hashlib.sha256(json.dumps(ids).encode()).hexdigest() == digest, f"texts {number * 100} and after"
    vectors = np.frombuffer(b64decode(reference["vectors"]), np.float16).reshape(-1, 384).astype(np.float32)
    encoder = SentenceEncoder(model="multilingual-e5-small")
    ours = np.concatenate([encoder.encode(texts[:10], role="document"), encoder.encode(texts[10:20], role="query")])
    assert ((ours * vectors).sum(axis=1) > 0.999).all()
