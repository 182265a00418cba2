"""Teaches the network by pairs of a question and the code that answers it; the encoder of both stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from rag.errors import SpecError
from rag.writing import require_positive
from ragline_train.code_graphs.network import CodeNetwork, batched
from ragline_train.code_graphs.trees import CodeGraph
from ragline_train.teaching.loop import on_threads

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
