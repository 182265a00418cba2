"""What a model folder says of turning text into weighted terms. Only JSON files are read here.

A masked language model alone is read as SPLADE: the largest logit of each term over all tokens, log(1 + max(0, x)). A
folder of sentence-transformers' SparseEncoder may say otherwise, and may have a table that weighs the tokens of
queries without the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from rag.core.errors import SpecError
from rag.core.our_plugins import where_it_is
from rag.core.registry import Registry
from retrievers.encoders.sentence_folder import Role, json_object, length_limit, modules_of

if TYPE_CHECKING:
    from torch import Tensor

Pooling = Literal["max", "sum"]
Activation = Literal["log1p_relu", "log1p_log1p_relu", "elu1p"]

_ACTIVATIONS: Mapping[str, Activation] = {"relu": "log1p_relu", "log1p_relu": "log1p_log1p_relu"}
_READERS = ("Transformer", "MLMTransformer")

SPARSE_LAYOUTS = Registry("sparse_layout", {})
"""Folders that hold no masked language model: of each a function that is given a folder and its `config.json`, and gives
`TwoEncoders`, or None where the layout is another."""


class Terms(Protocol):
    """The product of states with a vocabulary."""

    def logits(self, states: Tensor) -> Iterator[Tensor]:
        """[texts, tokens, width] -> [texts, tokens, terms], some terms after the others."""
        ...


class TwoEncoders(Protocol):
    """An encoder of queries and one of documents. Documents keep the words that they say beside the highest terms."""

    @property
    def activation(self) -> Activation: ...

    @property
    def terms(self) -> int:
        """Of the vocabulary."""
        ...

    @property
    def before(self) -> int:
        """Terms in front of the first real word, which weigh nothing."""
        ...

    def max_length(self, role: Role) -> int:
        """Tokens of a text that are read."""
        ...

    def load(self, role: Role, *, compute: str, device: str) -> tuple[Any, Terms]:
        """A model, called as a masked language model is, which gives as `logits` the states that its terms take."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseFolder:
    """`transformer`: a masked language model. `table`: a folder with a weight for each token of a query; None without.

    `two`: the encoders that the folder has in place of one model.
    """

    transformer: Path
    pooling: Pooling
    activation: Activation
    table: Path | None
    max_length: int
    two: TwoEncoders | None = None


def read_sparse_folder(folder: Path) -> SparseFolder:
    """Read `folder`.

    Raises:
        SpecError: it has no masked language model, or asks for modules that are not here.
    """
    if not (folder / "modules.json").is_file():
        return _masked(folder, {}, table=None)
    modules = modules_of(folder)
    kinds = [kind for kind, _ in modules]
    if kinds == ["Router"]:
        return _routed(modules[0][1], folder)
    if len(kinds) == 2 and kinds[0] in _READERS and kinds[1] == "SpladePooling":
        return _masked(modules[0][1], json_object(modules[1][1] / "config.json"), table=None)
    raise _not_read(folder, kinds)


def _routed(router: Path, folder: Path) -> SparseFolder:
    """Documents by a masked language model; queries by the same, or by a table."""
    said = json_object(router / "router_config.json")
    kinds = {name: str(kind).rpartition(".")[2] for name, kind in (said.get("types") or {}).items()}
    structure = said.get("structure") or {}
    document, query = (list(structure.get(side) or ()) for side in ("document", "query"))
    found = [kinds.get(name, "") for name in document]
    if not (len(found) == 2 and found[0] in _READERS and found[1] == "SpladePooling"):
        raise _not_read(folder, found)
    table = None
    if query != document:
        if [kinds.get(name) for name in query] != ["SparseStaticEmbedding"]:
            raise _not_read(folder, [kinds.get(name, "") for name in query])
        table = _below(router, query[0], folder)
    pooling = json_object(_below(router, document[1], folder) / "config.json")
    return _masked(_below(router, document[0], folder), pooling, table=table)


def _masked(transformer: Path, pooling: Mapping[str, Any], *, table: Path | None) -> SparseFolder:
    config = json_object(transformer / "config.json")
    architectures = [str(name) for name in config.get("architectures") or ()]
    if not any(name.endswith("ForMaskedLM") for name in architectures):
        for name in SPARSE_LAYOUTS:
            read: Any = SPARSE_LAYOUTS.get(name)
            if two := read(transformer, config):
                return _of_two(transformer, two)
        vdr = f" (as VDR's it would be read: {where_it_is('sparse_layout.vdr')})" if "encoder_q" in config else ""
        raise SpecError(
            f"model folder '{transformer}': it is {', '.join(architectures) or 'of an unknown kind'}, and learned sparse "
            f"retrieval needs a masked language model (...ForMaskedLM). Choose another model for index.sparse{vdr}"
        )
    how, activation = pooling.get("pooling_strategy", "max"), pooling.get("activation_function", "relu")
    if how not in ("max", "sum") or activation not in _ACTIVATIONS:
        raise SpecError(
            f"model folder '{transformer}': pooling {how!r} with activation {activation!r} is not known; max and sum are, "
            f"and {', '.join(_ACTIVATIONS)}"
        )
    return SparseFolder(
        transformer=transformer,
        pooling=how,
        activation=_ACTIVATIONS[activation],
        table=table,
        max_length=length_limit(transformer, json_object(transformer / "sentence_bert_config.json")),
    )


def _of_two(folder: Path, two: TwoEncoders) -> SparseFolder:
    longest = two.max_length("document")
    return SparseFolder(
        transformer=folder, pooling="max", activation=two.activation, table=None, max_length=longest, two=two
    )


def _below(router: Path, name: str, folder: Path) -> Path:
    path = (router / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SpecError(f"model folder '{folder}': module '{name}' lies outside of it")
    return path


def _not_read(folder: Path, kinds: list[str]) -> SpecError:
    return SpecError(
        f"model folder '{folder}': its modules are {' + '.join(kinds) or 'none'}; a masked language model with "
        "SpladePooling is read, with SparseStaticEmbedding for queries"
    )
