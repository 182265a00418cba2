"""multilingual-e5-small in one file of four bits a weight -> a folder in sentence-transformers format.

The file begins with `E5S1`; then come dimensions, the pieces of a Unigram vocabulary with their scores, a map of
characters, and a directory of tensors. Matrices are in blocks of 32 weights as GGUF's Q4_0: a scale in half precision, and 32
nibbles less 8, those of the low halves first. The folder holds what these stand for in float32, which is exact.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import MissingModel
from rag.models.character_map import compiled_map

MAGIC = b"E5S1"
_WEIGHTS_OF_A_BLOCK, _BYTES_OF_A_BLOCK = 32, 18
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    width: int
    n_layers: int
    n_heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    bos: int
    eos: int
    pad: int
    unk: int


class _Reading:
    """Goes through the bytes of a file from the beginning."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, len(MAGIC)

    def numbers(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return values

    def array(self, dtype: str, n: int) -> NDArray[Any]:
        values = np.frombuffer(self._data, dtype, n, self._at).copy()
        self._at += values.nbytes
        return values

    def bytes(self, n: int) -> bytes:
        self._at += n
        return self._data[self._at - n : self._at]


def convert(file: Path, folder: Path) -> None:
    """Write configuration, weights, tokenizer, and how vectors are made, into `folder`.

    Raises:
        MissingModel: this is no such file.
    """
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[: len(MAGIC)] != MAGIC:
            raise MissingModel(f"'{file.name}' cannot be converted: it does not begin with {MAGIC.decode()}")
        try:
            _convert(data, folder)
        except (struct.error, ValueError, KeyError) as cause:
            raise MissingModel(f"'{file.name}' cannot be converted: it ends too early, or lacks a part") from cause


def _convert(data: mmap.mmap, folder: Path) -> None:
    reading = _Reading(data)
    _version, width, n_layers, n_heads, inner, vocabulary, positions, types = reading.numbers("8i")
    epsilon, _block = reading.numbers("fi")
    n_pieces, bos, eos, pad, unk = reading.numbers("5i")
    header = _Header(
        width=width, n_layers=n_layers, n_heads=n_heads, inner=inner, vocabulary=vocabulary, positions=positions, types=types,
        epsilon=float(str(np.float32(epsilon))), bos=bos, eos=eos, pad=pad, unk=unk,
    )  # fmt: skip
    (n_bytes,) = reading.numbers("Q")
    ends = reading.array("<u4", n_pieces + 1)
    scores = reading.array("<f4", n_pieces)
    blob = reading.bytes(n_bytes)
    pieces = [
        (blob[start:end].decode(), float(score)) for start, end, score in zip(ends, ends[1:], scores, strict=False)
    ]
    _write_tokenizer(header, pieces, _character_map(reading), folder)
    _write_weights(header, data, _directory(reading), folder)
    _write_settings(header, folder)


def _character_map(reading: _Reading) -> dict[str, str]:
    n_characters, _n_bytes = reading.numbers("iI")
    replacements = {}
    for _ in range(n_characters):
        character, n_out = reading.numbers("IB")
        replacements[chr(character)] = "".join(map(chr, reading.numbers(f"{n_out}I")))
    return replacements


def _directory(reading: _Reading) -> dict[str, int]:
    """Where each tensor begins."""
    places = {}
    (n_tensors,) = reading.numbers("i")
    for _ in range(n_tensors):
        (length,) = reading.numbers("H")
        name = reading.bytes(length).decode()
        _kind, _n_numbers, places[name], _n_bytes = reading.numbers("BIQQ")
    return places


def _write_weights(header: _Header, data: mmap.mmap, places: Mapping[str, int], folder: Path) -> None:
    from gguf import GGMLQuantizationType, dequantize
    from safetensors.numpy import save_file

    def numbers(name: str, *shape: int) -> NDArray[np.float32]:
        return np.frombuffer(data, "<f4", int(np.prod(shape)), places[name]).reshape(shape).astype(np.float32)

    def blocks(name: str, rows: int, columns: int) -> NDArray[np.float32]:
        row_bytes = columns // _WEIGHTS_OF_A_BLOCK * _BYTES_OF_A_BLOCK
        packed = np.frombuffer(data, np.uint8, rows * row_bytes, places[name]).reshape(rows, row_bytes)
        matrix: NDArray[np.float32] = dequantize(packed, GGMLQuantizationType.Q4_0)
        return matrix

    width, inner = header.width, header.inner
    weights = {
        "word_embeddings.weight": blocks("emb.word", header.vocabulary, width),
        "position_embeddings.weight": numbers("emb.pos", header.positions, width),
        "token_type_embeddings.weight": numbers("emb.type", header.types, width),
        "LayerNorm.weight": numbers("emb.ln.w", width),
        "LayerNorm.bias": numbers("emb.ln.b", width),
    }
    weights = {f"embeddings.{name}": tensor for name, tensor in weights.items()}
    shapes = {"fi": (inner, width), "fo": (width, inner)}
    for layer in range(header.n_layers):
        for short, name in _LAYER.items():
            rows, columns = shapes.get(short, (width, width))
            at = f"encoder.layer.{layer}.{name}"
            norm = short.endswith("ln")
            weights[f"{at}.weight"] = (
                numbers(f"l{layer}.{short}.w", width) if norm else blocks(f"l{layer}.{short}.w", rows, columns)
            )
            weights[f"{at}.bias"] = numbers(f"l{layer}.{short}.b", rows)
    # The file has no pooler, and no vector is made by one; transformers would make up a random one, and warn of it.
    weights["pooler.dense.weight"] = np.zeros((width, width), np.float32)
    weights["pooler.dense.bias"] = np.zeros(width, np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes for the owner alone


def _write_tokenizer(
    header: _Header, pieces: list[tuple[str, float]], characters: Mapping[str, str], folder: Path
) -> None:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    bos, eos = pieces[header.bos][0], pieces[header.eos][0]
    backend = Tokenizer(models.Unigram(pieces, unk_id=header.unk))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(compiled_map(characters)), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, header.bos), (eos, header.eos)],
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=bos,
        eos_token=eos,
        cls_token=bos,
        sep_token=eos,
        pad_token=pieces[header.pad][0],
        unk_token=pieces[header.unk][0],
        model_max_length=header.positions,
        clean_up_tokenization_spaces=False,
    )
    wrapped.save_pretrained(folder)


def _write_settings(header: _Header, folder: Path) -> None:
    """What a vector is made of: the mean of the tokens, at unit length, with a prompt for each role (Wang et al., 2024)."""
    library = "sentence_transformers.models"
    modules = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    settings: dict[str, Any] = {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": header.width,
            "intermediate_size": header.inner,
            "layer_norm_eps": header.epsilon,
            "max_position_embeddings": header.positions,
            "num_attention_heads": header.n_heads,
            "num_hidden_layers": header.n_layers,
            "pad_token_id": header.pad,
            "torch_dtype": "float32",
            "transformers_version": "5.0.0",  # without one transformers takes a large vocabulary for one it warns of
            "type_vocab_size": header.types,
            "vocab_size": header.vocabulary,
        },
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": f"{library}.{name}"}
            for number, (path, name) in enumerate(modules)
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": header.width, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": header.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "document": "passage: "},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }
    for name, content in settings.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "2_Normalize").mkdir()
