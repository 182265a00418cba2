"""The network: three rounds over a tree, each summed up and then thinned out, and their summaries beside the text's vector."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ragline_train.code_graphs.trees import KINDS, CodeGraph

ROUNDS, KEPT = 3, 0.6
_EPS = 0.1
_NONE = -1e9


@dataclass(frozen=True, slots=True)
class Graphs:
    """A batch, padded. Shapes: `features` [B, N, dim], `below` [B, N, N], 1.0 where the second is a child of the first, `nodes`
    [B, N], 1.0 where there is a node."""

    features: Tensor
    below: Tensor
    nodes: Tensor


def batched(graphs: Sequence[CodeGraph], vectors: Mapping[str, NDArray[np.float32]]) -> Graphs:
    """Of a node the vector of its text, and which kind it is, one of `KINDS`."""
    n, dim = max(len(each.texts) for each in graphs), len(next(iter(vectors.values())))
    features = torch.zeros(len(graphs), n, dim + len(KINDS))
    below, nodes = torch.zeros(len(graphs), n, n), torch.zeros(len(graphs), n)
    for row, graph in enumerate(graphs):
        size = len(graph.texts)
        features[row, :size, :dim] = torch.from_numpy(np.stack([vectors[text] for text in graph.texts]))
        features[row, torch.arange(size), dim + torch.tensor(graph.kinds)] = 1.0
        nodes[row, :size] = 1.0
        for place, parent in enumerate(graph.parents):
            if parent >= 0:
                below[row, parent, place] = 1.0
    return Graphs(features, below, nodes)


class Convolution(nn.Module):
    """A node is a tenth of what it was at first, and what its children say, weighed from -1 to 1 (FAConv: Bo et al., AAAI 2021,
    eq. 5), by the degrees of both."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_parent, self.of_child = nn.Linear(dim, 1, bias=False), nn.Linear(dim, 1, bias=False)

    def forward(self, x: Tensor, first: Tensor, below: Tensor) -> Tensor:
        """[B, N, dim]."""
        weights = torch.tanh(self.of_parent(x) + self.of_child(x).transpose(1, 2)) * below
        degrees = (below.sum(dim=2) + below.sum(dim=1)).clamp(min=1.0)
        weights = weights / torch.sqrt(degrees[:, :, None] * degrees[:, None, :])
        return _EPS * first + x + weights @ x


class CodeNetwork(nn.Module):
    """Graphs and the encoder's vectors of whole texts -> unit vectors [B, dim].

    After each round the largest of every number over the nodes is the round's summary, and of each tree the nodes with most
    children stay. A recurrent layer reads the summaries. What it says and the text's own vector are added by a share that is
    learnt, and begins small: the network begins as the encoder that it mends.

    Args:
        of_texts: numbers of a node's text; of_whole: of the encoder's vector.
    """

    def __init__(self, of_texts: int, of_whole: int, *, width: int = 128) -> None:
        super().__init__()
        self.enter = nn.Linear(of_texts + len(KINDS), width)
        self.rounds = nn.ModuleList([Convolution(width) for _ in range(ROUNDS)])
        self.reader = nn.GRU(width, width, batch_first=True)
        self.leave = nn.Linear(width, of_whole)
        self.of_text = nn.Linear(of_whole, of_whole, bias=False)
        self.share = nn.Parameter(torch.tensor(-2.0))
        nn.init.eye_(self.of_text.weight)

    def forward(self, graphs: Graphs | None, wholes: Tensor) -> Tensor:
        """Without graphs: what is learnt of the text alone, as of code that cannot be parsed."""
        text = F.normalize(self.of_text(wholes), dim=-1)
        if graphs is None:
            return text
        share = torch.sigmoid(self.share)
        said = F.normalize(self.leave(self._read(graphs)), dim=-1)
        return F.normalize(share * said + (1 - share) * text, dim=-1)

    def _read(self, graphs: Graphs) -> Tensor:
        first = x = F.relu(self.enter(graphs.features))
        nodes, summaries = graphs.nodes, []
        for number, convolution in enumerate(self.rounds):
            below = graphs.below * nodes[:, :, None] * nodes[:, None, :]
            x = F.relu(convolution(x, first, below))
            summaries.append(x.masked_fill(nodes[:, :, None] == 0, _NONE).amax(dim=1))
            if number < ROUNDS - 1:
                nodes = thinned(nodes, below)
        _, last = self.reader(torch.stack(summaries, dim=1))
        found: Tensor = last[0]
        return found


def thinned(nodes: Tensor, below: Tensor) -> Tensor:
    """Of each tree the share `KEPT` of its nodes that have most children by now; of equals those nearer to the root [B, N]."""
    n = nodes.shape[1]
    scores = below.sum(dim=2) - torch.arange(n) / n
    order = scores.masked_fill(nodes == 0, _NONE).argsort(dim=1, descending=True, stable=True)
    places = torch.empty_like(order).scatter_(1, order, torch.arange(n).expand_as(order))
    kept = torch.tensor([max(1, math.ceil(KEPT * float(size))) for size in nodes.sum(dim=1)])
    return nodes * (places < kept[:, None])
