"""An encoder that reads code by its syntax tree too: a folder that an index names, as `dense: {encoder: my-code-encoder}`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rag.files import data_sha256, file_sha256
from rag.indexes import SentenceEncoder
from rag.types import Need
from ragline_train.around import AroundEncoder
from ragline_train.code_graphs.trees import CodeGraph, graph_of

if TYPE_CHECKING:
    from ragline_train.code_graphs.network import CodeNetwork

ROOM = "code_graph"
"""The folder within an encoder's folder that has what is more: `settings.json`, `network.safetensors`, and `nodes`, an encoder."""
_BATCH = 64


class CodeGraphEncoder(AroundEncoder):
    """An encoder's folder with `code_graph/` in it (GNN-Coder: Ye et al., 2025, arXiv 2502.15202).

    A document that is Python is read by the encoder and by a network over its syntax tree, whose nodes' texts an encoder of
    their own reads. Any other, and code that cannot be parsed, has what was learnt of texts alone. Queries are the encoder's.
    """

    name, file = "code_graph", f"{ROOM}/settings.json"
    shape = '{"kind": "plain", "width": 128}'
    reads: ClassVar[str] = f"an encoder's folder with {file}"

    @classmethod
    def is_whole(cls, said: Mapping[str, Any]) -> bool:
        return said.keys() == {"kind", "width"} and isinstance(said["width"], int) and said["width"] > 0

    def facts(self) -> Mapping[str, Any]:
        """What the encoder says of itself, but for where it is, and a digest of what is more."""
        room = self._folder / ROOM
        files = sorted(path for path in room.rglob("*") if path.is_file())
        digest = data_sha256({path.relative_to(room).as_posix(): file_sha256(path) for path in files})
        return {"with_trees": self._of_the_other(), "network": digest, "dim": self.dim, "compute": self.compute}

    def batches(
        self, texts: Sequence[str], role: Literal["query", "document"]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """Documents some dozens at a time; queries all at once."""
        if role == "query" or not texts:
            yield np.arange(len(texts)), self._encoder.encode(texts, role=role)
            return
        for start in range(0, len(texts), _BATCH):
            some = texts[start : start + _BATCH]
            yield np.arange(start, start + len(some)), self._read(some)

    def memory(self) -> list[Need]:
        return [*super().memory(), *self._nodes.memory()]

    def release(self) -> None:
        super().release()
        self._nodes.release()

    def _read(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import torch

        from ragline_train.code_graphs.network import Code, read

        wholes = self._encoder.encode(texts, role="document")
        graphs = [graph_of(text) for text in texts]
        nodes = node_vectors(self._nodes, graphs)
        with torch.inference_mode():
            codes = [Code(graph, whole) for graph, whole in zip(graphs, wholes, strict=True)]
            return np.asarray(read(self._network, codes, nodes), dtype=np.float32)

    @cached_property
    def _nodes(self) -> SentenceEncoder:
        return SentenceEncoder(model=str(self._folder / ROOM / "nodes"), compute="float32")

    @cached_property
    def _network(self) -> CodeNetwork:
        from safetensors.torch import load_file

        from ragline_train.code_graphs.network import CodeNetwork

        network = CodeNetwork(self._nodes.dim, self.dim, width=self.said(self._folder)["width"])
        network.load_state_dict(load_file(self._folder / ROOM / "network.safetensors"))
        return network.eval()


def node_vectors(encoder: SentenceEncoder, graphs: Sequence[CodeGraph | None]) -> dict[str, NDArray[np.float32]]:
    """The vector of each text of a node; a text that stands in many trees is read once."""
    texts = list(dict.fromkeys(text for graph in graphs if graph is not None for text in graph.texts))
    return dict(zip(texts, encoder.encode(texts, role="document"), strict=True))


def write_folder(encoder: str, nodes: Path, network: CodeNetwork, out: Path, *, width: int) -> None:
    """A copy of an encoder's folder with a taught network.

    Args:
        nodes: the folder of the encoder of nodes' texts, such as one of `rag distil`.
        out: a folder that is not there yet.
    Raises:
        MissingModel: the encoder is not here and cannot be fetched.
        SpecError: `out` is there already.
    """
    from safetensors.torch import save_file

    kind = CodeGraphEncoder.copied(encoder, out)
    shutil.copytree(nodes, out / ROOM / "nodes")
    save_file(
        {name: each.contiguous() for name, each in network.state_dict().items()}, out / ROOM / "network.safetensors"
    )
    (out / CodeGraphEncoder.file).write_text(json.dumps({"kind": kind, "width": width}), encoding="utf-8")
