"""VDR's own layout (Zhou et al., ICLR 2024, arXiv 2212.07699): a BERT for queries and one for passages in one folder.

The states of its last layer go through a layer norm and are multiplied by the word vectors that its first layer has, from the
first real word on. `config.json` has `encoder_q` and `encoder_p`, each a BERT's with `max_len` and `shift_vocab_num`;
`model.safetensors` has `encoder_q.bert_model.*`, `encoder_q.ln.*` and the same of `encoder_p`, or of one where both are one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rag.errors import SpecError

if TYPE_CHECKING:
    from torch import Tensor

Side = Literal["encoder_q", "encoder_p"]
Role = Literal["query", "document"]
_SIDES: Mapping[Role, Side] = {"query": "encoder_q", "document": "encoder_p"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VdrFolder:
    """What the folder says."""

    activation: ClassVar[Literal["elu1p"]] = "elu1p"

    folder: Path
    configs: Mapping[Side, Mapping[str, Any]]
    shared: bool

    def max_length(self, role: Role) -> int:
        """Tokens of a text that are read."""
        return int(self.configs[_SIDES[role]].get("max_len", 256))

    @property
    def terms(self) -> int:
        """Of the vocabulary."""
        return int(self.configs["encoder_p"]["vocab_size"])

    @property
    def before(self) -> int:
        """Terms in front of the first real word, which weigh nothing."""
        return int(self.configs["encoder_p"]["shift_vocab_num"])

    def load(self, role: Role, *, compute: str, device: str) -> tuple[Any, VdrTerms]:
        """The encoder of a role, which gives normed states as `logits`, and its product with the vocabulary.

        Raises:
            SpecError: the weights are not those of such an encoder.
        """
        import torch
        from safetensors import safe_open
        from transformers import BertConfig, BertModel

        side = _SIDES[role]
        file, own = self.folder / "model.safetensors", "encoder_q" if self.shared else side
        said = {name: value for name, value in self.configs[side].items() if name not in _OWN}
        try:
            with safe_open(file, "pt") as weights:
                names = [name for name in list(weights.keys()) if name.startswith(f"{own}.")]
                found = {name.removeprefix(f"{own}."): weights.get_tensor(name) for name in names}
            bert: Any = BertModel(BertConfig(**said), add_pooling_layer=False)
            norm = torch.nn.LayerNorm(bert.config.hidden_size)
            parts = {"bert_model.": bert, "ln.": norm}
            for prefix, part in parts.items():
                part.load_state_dict({n.removeprefix(prefix): w for n, w in found.items() if n.startswith(prefix)})
        except (OSError, RuntimeError, TypeError, ValueError, KeyError) as cause:
            raise SpecError(f"'{file}': the weights of {own} cannot be read as VDR's ({cause})") from cause
        kind = getattr(torch, compute)
        model = _Normed(bert.to(kind).eval().to(device), norm.to(kind).eval().to(device))
        return model, VdrTerms(bert.embeddings.word_embeddings.weight, self.before)


_OWN = ("type", "model_id", "max_len", "norm", "shift_vocab_num", "topk", "pooling", "pooling_topk")


def read_vdr(folder: Path, config: Mapping[str, Any]) -> VdrFolder | None:
    """What `config.json` says of such a layout; None where it is another.

    Raises:
        SpecError: it is one that is not read here: of pictures, pooled by a mean, or normed at its end.
    """
    sides: dict[Side, Mapping[str, Any]] = {}
    for side in ("encoder_q", "encoder_p"):
        said = config.get(side)
        if not isinstance(said, Mapping):
            return None
        known = said.get("type", "vdr") == "vdr" and said.get("pooling", "max") == "max" and not said.get("norm")
        if not known or not isinstance(said.get("vocab_size"), int):
            raise SpecError(
                f"model folder '{folder}': {side} is of type {said.get('type')!r} with pooling {said.get('pooling')!r} and norm "
                f"{said.get('norm')!r}; read are VDR's text encoders, 'vdr' with 'max' and without norm, that say vocab_size"
            )
        sides[side] = {"shift_vocab_num": 999, **said}
    return VdrFolder(folder=folder, configs=sides, shared=bool(config.get("shared_encoder")))


class _Normed:
    """A BERT whose states are normed, called as a masked language model is."""

    def __init__(self, bert: Any, norm: Any) -> None:
        self._bert, self._norm = bert, norm
        self.device = bert.device

    def __call__(self, **given: Tensor) -> _Normed.Given:
        return _Normed.Given(self._norm(self._bert(**given).last_hidden_state))

    @dataclass(frozen=True, slots=True)
    class Given:
        """In the place of logits the states that are multiplied by the vocabulary."""

        logits: Tensor


class VdrTerms:
    """The product with the word vectors. Terms before the first real word are minus infinity, which weighs nothing."""

    def __init__(self, words: Tensor, before: int) -> None:
        self._words, self._before = words, before

    def logits(self, states: Tensor) -> Iterator[Tensor]:
        """[texts, tokens, width] -> [texts, tokens, terms], some terms after the others."""
        yield states.new_full((*states.shape[:2], self._before), float("-inf"))
        for start in range(self._before, len(self._words), _TERMS):
            yield states @ self._words[start : start + _TERMS].t()


_TERMS = 512
