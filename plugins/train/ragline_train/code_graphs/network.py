"""The network: three rounds over a tree, each summed up and thinned out, beside the text's vector; and what teaches it by pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from rag.errors import SpecError
from rag.writing import require_positive
from ragline_train.code_graphs.trees import KINDS, CodeGraph
from ragline_train.teaching.loop import on_threads

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


Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSettings:
    """How much is taught.

    Args:
        epochs: times that each pair is seen.
        batch: pairs of a step, each the others' negatives.
        graphs: whether trees are read; without, the text's own map alone is taught, which is what to compare with.
        threads: of torch.
    """

    epochs: int = 15
    batch: int = 64
    learning_rate: float = 1e-3
    temperature: float = 0.05
    graphs: bool = True
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        require_positive("code_graph", epochs=self.epochs, threads=self.threads)
        if self.batch < 2:
            raise ValueError("code_graph: batch must be at least 2: one pair alone has nothing to be told from")
        if not (self.temperature > 0 and self.learning_rate > 0):
            raise ValueError("code_graph: temperature and learning_rate must be above 0")


@dataclass(frozen=True, slots=True)
class Code:
    """A snippet as it is read. `graph`: None where it cannot be parsed. `whole`: the encoder's vector of its text [dim]."""

    graph: CodeGraph | None
    whole: Vectors


def read(
    network: CodeNetwork, codes: Sequence[Code], nodes: Mapping[str, Vectors], *, graphs: bool = True
) -> torch.Tensor:
    """Unit vectors [n, dim], in the order given."""
    wholes = torch.from_numpy(np.stack([code.whole for code in codes]))
    parsed = [place for place, code in enumerate(codes) if graphs and code.graph is not None]
    vectors: torch.Tensor = network(None, wholes)
    if not parsed:
        return vectors
    trees = batched([graph for place in parsed if (graph := codes[place].graph) is not None], nodes)
    vectors = vectors.clone()
    vectors[parsed] = network(trees, wholes[parsed])
    return vectors


def teach_code(
    network: CodeNetwork, queries: Vectors, codes: Sequence[Code], nodes: Mapping[str, Vectors], settings: CodeSettings
) -> list[float]:
    """Teach in place, and give the mean loss of each epoch. Equal settings and seeds give equal weights.

    The loss is symmetric cross-entropy of cosines within a batch: each question picks its code, and each code its question.

    Args:
        queries: unit vectors [n, dim], each of the code at its place.
        nodes: the vector of each text of a node.
    Raises:
        SpecError: there are fewer pairs than two; or the loss is no number any more.
    """
    if len(codes) < 2:
        raise SpecError(
            f"a network of code is taught by pairs of a question and its code, at least 2; there are {len(codes)}"
        )
    asked, told = torch.from_numpy(queries), list[float]()
    with torch.random.fork_rng(devices=[]), on_threads(settings.threads):
        torch.manual_seed(settings.seed)
        optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.01)
        for _ in range(settings.epochs):
            losses = []
            for rows in cast(Any, torch.randperm(len(codes))).split(settings.batch):
                if len(rows) < 2:
                    continue
                found = read(network, [codes[row] for row in rows], nodes, graphs=settings.graphs)
                logits = asked[rows] @ found.T / settings.temperature
                right = torch.arange(len(rows))
                loss = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
                optimiser.zero_grad()
                cast(Any, loss).backward()
                optimiser.step()
                losses.append(float(loss.detach()))
            told.append(float(np.mean(losses)))
            if not np.isfinite(told[-1]):
                raise SpecError(f"the loss is {told[-1]} after {len(told)} epochs. A lower learning rate may help")
    return told
