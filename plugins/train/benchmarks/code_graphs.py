"""GNN-Coder on cosqa: questions of people over 6,267 functions of Python, by their text and by their syntax trees.

    plain      all-MiniLM's vectors of questions and of whole functions
    static     half of it, half by static vectors of whole functions; nothing is learnt
    weighted   half of it, half by static vectors of a tree's nodes, each weighed by its children and one more (the stand-in
               that needs no teaching)
    text       a map of the functions' vectors, taught by the pairs of the split dev: the encoder and questions stay
    graph      the same with the network over trees, which is GNN-Coder on a frozen encoder

Nodes' texts are read by static vectors of all-MiniLM. The pairs of dev teach, those of test tell; no function of a test question
teaches. nDCG@10 and reciprocal rank with 95% intervals; the paired difference to plain, and of graph to text of the same seed.
Needs the folder that RAGLINE_EVAL_DATA names.

    python -m plugins.train.benchmarks.code_graphs [--seeds 0 1 2] [--nodes ENCODER] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.evaluate import Evaluation, compare_runs, evaluate, load_beir, mean_interval
from rag.indexes import SentenceEncoder, unit
from ragline_train.code_graphs.encoder import node_vectors
from ragline_train.code_graphs.network import Code, CodeNetwork, CodeSettings, read, teach_code
from ragline_train.code_graphs.trees import CodeGraph, graph_of
from ragline_train.static_vectors import distil_static

SET, ENCODER, MEASURE, RANK = "cosqa", "all-minilm-l6-v2", "nDCG@10", "RR"
Vectors = NDArray[np.float32]


class Functions:
    """The set, with what both encoders make of it. `limit`: questions of each split, over their functions alone."""

    def __init__(self, limit: int | None, static: SentenceEncoder) -> None:
        dataset = load_beir(data_folder() / SET)
        splits = {split: dataset.qrels(split) for split in ("dev", "test")}
        self.qrels = splits["test"]
        if limit is not None:
            splits = {split: dict(list(qrels.items())[:limit]) for split, qrels in splits.items()}
            self.qrels = splits["test"]
        wanted = {doc_id for qrels in splits.values() for grades in qrels.values() for doc_id in grades}
        texts = {each.doc_id: each.index_text for each in dataset.documents() if limit is None or each.doc_id in wanted}
        self.doc_ids = list(texts)
        self.codes = list(texts.values())
        asked = {query.qid: query.text for query in dataset.queries}
        encoder = SentenceEncoder(model=ENCODER)
        self.graphs = [graph_of(code) for code in self.codes]
        self.nodes = node_vectors(static, self.graphs)
        wholes = encoder.encode(self.codes, role="document")
        self.read = [Code(graph, whole) for graph, whole in zip(self.graphs, wholes, strict=True)]
        self.wholes, self.static = wholes, static.encode(self.codes, role="document")
        self.qids = list(self.qrels)
        self.asked = encoder.encode([asked[qid] for qid in self.qids], role="query")
        self.asked_static = static.encode([asked[qid] for qid in self.qids], role="query")
        row = {doc_id: place for place, doc_id in enumerate(self.doc_ids)}
        told = {doc_id for grades in self.qrels.values() for doc_id, grade in grades.items() if grade > 0}
        pairs = [
            (qid, row[doc_id])
            for qid, grades in splits["dev"].items()
            for doc_id, grade in grades.items()
            if grade > 0 and doc_id not in told
        ]
        self.taught = [place for _, place in pairs]
        self.teaching = encoder.encode([asked[qid] for qid, _ in pairs], role="query")

    def measured(self, scores: Vectors) -> Evaluation:
        """Of scores [questions of test, functions]."""
        places = np.argsort(-scores, axis=1, kind="stable")[:, :100]
        run = {qid: [self.doc_ids[place] for place in each] for qid, each in zip(self.qids, places, strict=True)}
        return evaluate(run, self.qrels, [MEASURE, RANK])


def tree_weighted(graph: CodeGraph, vectors: Mapping[str, Vectors]) -> Vectors:
    """What nothing is learnt for: the mean of the nodes' vectors, each weighed by its children and one more."""
    counts = Counter(graph.parents)
    weights = np.array([counts[place] + 1 for place in range(len(graph.texts))], dtype=np.float32)
    rows = np.stack([vectors[text] for text in graph.texts])
    mean: Vectors = (weights[:, None] * rows).sum(axis=0) / weights.sum()
    return mean


def learned(functions: Functions, settings: CodeSettings) -> tuple[Vectors, list[float]]:
    """Scores by a network that was taught so, and the loss of each epoch."""
    torch.manual_seed(settings.seed)
    network = CodeNetwork(len(next(iter(functions.nodes.values()))), functions.asked.shape[1])
    taught = [functions.read[place] for place in functions.taught]
    losses = teach_code(network, functions.teaching, taught, functions.nodes, settings)
    with torch.inference_mode():
        parts = [
            np.asarray(read(network.eval(), functions.read[at : at + 256], functions.nodes, graphs=settings.graphs))
            for at in range(0, len(functions.read), 256)
        ]
    scores: Vectors = functions.asked @ np.concatenate(parts).T
    return scores, losses


def evaluations(functions: Functions, seeds: Sequence[int]) -> Iterator[tuple[str, int | None, Evaluation]]:
    """Ways, seeds and what they find."""
    plain = functions.asked @ functions.wholes.T
    trees = unit(
        np.stack(
            [
                whole if graph is None else tree_weighted(graph, functions.nodes)
                for graph, whole in zip(functions.graphs, functions.static, strict=True)
            ]
        )
    )
    yield "plain", None, functions.measured(plain)
    yield "static", None, functions.measured((plain + functions.asked_static @ functions.static.T) / 2)
    yield "weighted", None, functions.measured((plain + functions.asked_static @ trees.T) / 2)
    for seed in seeds:
        for way in ("text", "graph"):
            scores, losses = learned(functions, CodeSettings(graphs=way == "graph", seed=seed))
            print(f"{way} ({seed}): loss {losses[0]:.3f} -> {losses[-1]:.3f}", flush=True)
            yield way, seed, functions.measured(scores)


def lines(functions: Functions, seeds: Sequence[int], nodes: str) -> Iterator[dict[str, Any]]:
    """A line for each way and seed."""
    of: dict[tuple[str, int | None], Evaluation] = {}
    for way, seed, evaluation in evaluations(functions, seeds):
        of[way, seed] = evaluation
        interval = mean_interval([*evaluation.per_query[MEASURE].values()])
        line: dict[str, Any] = {
            "set": SET,
            "encoder": ENCODER,
            "nodes": nodes,
            "way": way,
            "seed": seed,
            "queries": evaluation.n_queries,
            "functions": len(functions.codes),
            "parsed": sum(graph is not None for graph in functions.graphs),
            "pairs": len(functions.taught),
            MEASURE: evaluation.measures[MEASURE],
            RANK: evaluation.measures[RANK],
            "low_of_mean": interval.low,
            "high_of_mean": interval.high,
        }
        if way != "plain":
            line |= difference("plain", of["plain", None], evaluation)
        if way == "graph":
            line |= difference("text", of["text", seed], evaluation)
        yield line


def difference(name: str, base: Evaluation, other: Evaluation) -> dict[str, float]:
    """Of nDCG@10, paired."""
    test = compare_runs(base, {"other": other}, measures=[MEASURE])["other"][0].test
    return {f"to_{name}": test.difference, f"{name}_low": test.low, f"{name}_high": test.high, f"{name}_p": test.p}


def show(line: Mapping[str, Any]) -> None:
    """A line in words."""
    way = line["way"] if line["seed"] is None else f"{line['way']} ({line['seed']})"
    beside = "".join(
        f"  to {name} {line[f'to_{name}']:+.4f} [{line[f'{name}_low']:+.4f}, {line[f'{name}_high']:+.4f}]"
        for name in ("plain", "text")
        if f"to_{name}" in line
    )
    mean = f"{line[MEASURE]:.4f} [{line['low_of_mean']:.4f}, {line['high_of_mean']:.4f}]"
    print(f"{way:10} {mean}  {RANK} {line[RANK]:.4f}{beside}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every way and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], help="of teaching (0 1 2)")
    parser.add_argument("--limit", type=int, help="questions of each split, over their functions alone")
    parser.add_argument("--nodes", metavar="ENCODER", help="of nodes' texts; static vectors are made when left out")
    parser.add_argument("--record", action=Record, help="append to results/code_graphs.jsonl")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="nodes-") as room:
        nodes = options.nodes or str(distil_static(ENCODER, Path(room) / "nodes", numbers="float32"))
        functions = Functions(options.limit, SentenceEncoder(model=nodes))
    for line in lines(functions, options.seeds, options.nodes or f"static vectors of {ENCODER}"):
        show(line)
        if options.record:
            record("code_graphs", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
