"""ProtST: proteins found by what texts say of them. Documents are sequences of residues, questions are words.

A folder has `config.json` with `"layout": "protst"`, `tokenizer.json` of the text side, and `model.safetensors` with the weights
under the names that they were published with: `protein_model.` as fair-esm names those of ESM, `text_model.` as transformers
names those of BERT, and a network of two layers above each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.indexes import unit
from rag.types import Need
from ragline_media.tower.published import said_by

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYOUT = "protst"
RESIDUES = "LAGVSERTIDPKQNFYMHWCXBUZO"
"""In the order in which ESM counts them, the first with number 4."""
LONGEST = 1022
"""Residues of a protein that ESM reads; what comes after is left out."""
_FIRST, _PAD, _END, _RESIDUE, _MASK = 0, 1, 2, 4, 32
_SEQUENCE = re.compile(rf"(?<!\S)[{RESIDUES}.*-]{{10,}}(?!\S)")
"""A word of residues alone, and signs of gaps and ends, which are left out; a shorter one is a name. Several are one sequence."""
_WORDS = 512
_BATCH = 8
_ESM = {
    "embed_tokens.weight": "embeddings.word_embeddings.weight",
    "embed_positions.weight": "embeddings.position_embeddings.weight",
    "emb_layer_norm_before.{p}": "embeddings.layer_norm.{p}",
    "emb_layer_norm_after.{p}": "encoder.emb_layer_norm_after.{p}",
    "layers.{n}.self_attn.q_proj.{p}": "encoder.layer.{n}.attention.self.query.{p}",
    "layers.{n}.self_attn.k_proj.{p}": "encoder.layer.{n}.attention.self.key.{p}",
    "layers.{n}.self_attn.v_proj.{p}": "encoder.layer.{n}.attention.self.value.{p}",
    "layers.{n}.self_attn.out_proj.{p}": "encoder.layer.{n}.attention.output.dense.{p}",
    "layers.{n}.self_attn_layer_norm.{p}": "encoder.layer.{n}.attention.LayerNorm.{p}",
    "layers.{n}.fc1.{p}": "encoder.layer.{n}.intermediate.dense.{p}",
    "layers.{n}.fc2.{p}": "encoder.layer.{n}.output.dense.{p}",
    "layers.{n}.final_layer_norm.{p}": "encoder.layer.{n}.LayerNorm.{p}",
}
"""Names of fair-esm -> those of transformers. What is none of them predicts residues or contacts, and is left."""
_NAMES = [
    (re.compile(re.escape(key).replace(r"\{n\}", r"(?P<n>\d{1,3})").replace(r"\{p\}", "(?P<p>weight|bias)")), to)
    for key, to in _ESM.items()
]


class ProteinEncoder:
    """ProtST (Xu et al., ICML 2023, arXiv 2301.12040): vectors of sequences and of texts, made to be near where one tells of the
    other. The mean of ESM's residues, or of BERT's words, goes through two layers.

    Of a document those words are read that are ten residues or more and nothing else, so that names and titles beside a
    sequence are left out. A document without one has no vector, and is found by its words alone.
    """

    reads: ClassVar[str] = f'a folder whose config.json says "layout": "{LAYOUT}"'

    def __init__(self, folder: Path, *, requested: Literal["auto", "float32", "bfloat16"]) -> None:
        if requested == "bfloat16":
            raise SpecError(f"model folder '{folder}': ProtST is computed in float32; leave `compute` out")
        self._folder, self._lock = folder, Lock()
        self._sides: Sides | None = None

    @staticmethod
    def refuses(folder: Path) -> str | None:
        """Why this is no such folder.

        Raises:
            SpecError: its config cannot be read.
        """
        return (
            None
            if said_by(folder / "config.json").get("layout") == LAYOUT
            else f'its config.json has no "layout": "{LAYOUT}".'
        )

    @property
    def dim(self) -> int:
        return int(self._shapes["text_model.text_mlp.layers.1.weight"][0])

    @property
    def compute(self) -> Literal["float32", "bfloat16"]:
        return "float32"

    def facts(self) -> Mapping[str, Any]:
        """What decides a vector beside the weights."""
        heads = {name: self._heads(name) for name in ("protein", "text")}
        return {"layout": LAYOUT, "heads": heads, "residues": LONGEST, "dim": self.dim, "compute": self.compute}

    def batches(
        self, texts: Sequence[str], role: Literal["query", "document"]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """Of like length together. Rows without residues, or without a word, are left out."""
        import torch

        read = [self._words(text) if role == "query" else residues(text) for text in texts]
        order = sorted((row for row, ids in enumerate(read) if ids), key=lambda row: (-len(read[row]), row))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            with torch.inference_mode():
                vectors = self._loaded().vectors([read[row] for row in rows], role)
            yield np.array(rows), unit(vectors).astype(np.float32)

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Each residue by itself."""
        return [
            [(at, at + 1) for word in _SEQUENCE.finditer(text) for at in range(*word.span()) if text[at] in RESIDUES]
            for text in texts
        ]

    def memory(self) -> list[Need]:
        """Weights of both sides, and a batch of long sequences."""
        n_numbers = sum(int(np.prod(shape)) for shape in self._shapes.values())
        return [Need(what=f"weights of {self._folder.name}", n_bytes=4 * n_numbers + (512 << 20))]

    def release(self) -> None:
        self._sides = None

    def _words(self, text: str) -> list[int]:
        """Of a text, as it was taught: the first token of BERT, and no last one."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids[: _WORDS - 1]
        return [self._tokenizer.token_to_id("[CLS]"), *ids] if ids else []

    def _heads(self, name: str) -> int:
        said = said_by(self._folder / "config.json").get(f"{name}_heads")
        key = {
            "protein": "protein_model.model.embed_tokens.weight",
            "text": "text_model.model.bert.embeddings.word_embeddings.weight",
        }
        width = int(self._shapes[key[name]][1])
        heads = width // 64 if said is None else said
        if not isinstance(heads, int) or heads < 1 or width % heads:
            raise SpecError(
                f"model folder '{self._folder}': config.json says {name}_heads: {heads!r}, and the width is {width}"
            )
        return heads

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        try:
            return Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        except Exception as cause:  # the library raises nothing narrower
            raise SpecError(f"'{self._folder / 'tokenizer.json'}' cannot be read ({cause})") from cause

    @cached_property
    def _shapes(self) -> Mapping[str, Sequence[int]]:
        from safetensors import SafetensorError, safe_open

        file = self._folder / "model.safetensors"
        try:
            with safe_open(file, "pt") as opened:
                shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as cause:
            raise SpecError(
                f"'{file}' cannot be read ({cause}). Pickled weights are not read: write them as safetensors"
            ) from cause
        wanted = ("protein_model.graph_mlp.layers.1.weight", "text_model.text_mlp.layers.1.weight")
        if lacking := [name for name in (*wanted, "protein_model.model.embed_tokens.weight") if name not in shapes]:
            raise SpecError(f"model folder '{self._folder}' has no weights of ProtST: '{lacking[0]}' is not among them")
        return shapes

    def _loaded(self) -> Sides:
        from safetensors.torch import load_file

        with self._lock:
            if self._sides is None:
                heads = {name: self._heads(name) for name in ("protein", "text")}
                try:
                    self._sides = Sides(load_file(self._folder / "model.safetensors"), heads)
                except (RuntimeError, KeyError, IndexError) as cause:
                    raise SpecError(
                        f"model folder '{self._folder}' has no weights of ProtST ({str(cause)[:300]})"
                    ) from cause
            return self._sides


class Sides:
    """Both networks, by transformers' classes."""

    def __init__(self, weights: Mapping[str, Tensor], heads: Mapping[str, int]) -> None:
        own = {name.removeprefix("protein_model.model."): each.float() for name, each in weights.items()}
        self._protein = _esm({to: each for name, each in own.items() if (to := _name(name))}, heads["protein"])
        bert = "text_model.model.bert."
        text = {name.removeprefix(bert): each.float() for name, each in weights.items() if name.startswith(bert)}
        self._text = _bert({name: each for name, each in text.items() if "pooler" not in name}, heads["text"])
        self._heads = {
            "document": _layers(weights, "protein_model.graph_mlp."),
            "query": _layers(weights, "text_model.text_mlp."),
        }

    def vectors(self, ids: Sequence[Sequence[int]], role: Literal["query", "document"]) -> NDArray[np.float32]:
        """[n, dim], not of length 1 yet."""
        import torch

        length, pad = max(map(len, ids)), _PAD if role == "document" else 0
        rows = torch.tensor([[*each, *[pad] * (length - len(each))] for each in ids])
        mask = torch.tensor([[1] * len(each) + [0] * (length - len(each)) for each in ids])
        network = self._protein if role == "document" else self._text
        states = network(input_ids=rows, attention_mask=mask).last_hidden_state
        own = mask.clone()
        own[:, 0] = 0  # the mean is over residues, or words, alone
        if role == "document":
            own[torch.arange(len(ids)), torch.tensor([len(each) - 1 for each in ids])] = 0
        mean = (states * own[:, :, None]).sum(dim=1) / own.sum(dim=1, keepdim=True)
        return np.asarray(self._heads[role](mean))


def residues(text: str) -> list[int]:
    """Ids of a sequence as ESM wants them, with a first and a last; empty where the text has none.

    >>> residues("INS, chain A: GIVEQCCTS- *GIVEQCCTSI")[:5], len(residues("INS, chain A: GIVEQCCTS- *GIVEQCCTSI"))
    ([0, 6, 12, 7, 9], 21)
    """
    words = [found[0] for found in _SEQUENCE.finditer(text)]
    found = [_RESIDUE + RESIDUES.index(each) for word in words for each in word if each in RESIDUES]
    return [_FIRST, *found[:LONGEST], _END] if found else []


def _name(name: str) -> str | None:
    for pattern, to in _NAMES:
        if found := pattern.fullmatch(name):
            return to.format(**found.groupdict())
    return None


def _esm(weights: dict[str, Tensor], heads: int) -> nn.Module:
    from transformers import EsmConfig, EsmModel

    from ragline_media.tower.library_sides import bert_sizes

    placed = "embeddings.position_embeddings.weight" in weights
    config = EsmConfig(
        **{"max_position_embeddings": 1026, **bert_sizes(weights, heads)},
        position_embedding_type="absolute" if placed else "rotary",
        emb_layer_norm_before="embeddings.layer_norm.weight" in weights,
        token_dropout=True,
        pad_token_id=_PAD,
        mask_token_id=_MASK,
        layer_norm_eps=1e-5,
    )
    made: Any = EsmModel
    return _with(made(config, add_pooling_layer=False), weights)


def _bert(weights: dict[str, Tensor], heads: int) -> nn.Module:
    from transformers import BertConfig, BertModel

    from ragline_media.tower.library_sides import bert_sizes

    made: Any = BertModel
    return _with(made(BertConfig(**bert_sizes(weights, heads)), add_pooling_layer=False), weights)


def _with(network: Any, weights: Mapping[str, Tensor]) -> nn.Module:
    """With all of its weights, and nothing else."""
    lacking, others = network.load_state_dict(
        {name: each for name, each in weights.items() if not name.endswith("position_ids")}, strict=False
    )
    computed = ("position_ids", "inv_freq", "regression.weight", "regression.bias")  # or of no use here: contacts
    if lacking := [name for name in lacking if not name.endswith(computed)]:
        raise KeyError(f"no {lacking[0]}")
    if others:
        raise KeyError(f"no place for {others[0]}")
    made: nn.Module = network.eval().requires_grad_(False)
    return made


def _layers(weights: Mapping[str, Tensor], prefix: str) -> nn.Module:
    """Two layers with what is below 0 cut off between them."""
    from torch import nn

    parts: list[nn.Module] = []
    for number in (0, 1):
        weight, bias = (weights[f"{prefix}layers.{number}.{part}"].float() for part in ("weight", "bias"))
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias})
        parts += [linear] if number else [linear, nn.ReLU()]
    return nn.Sequential(*parts).eval().requires_grad_(False)
