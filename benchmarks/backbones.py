"""Backbones as encoders on the six axes of Luo et al. (EMNLP 2024, arXiv 2408.12194): three decoders, and MiniLM beside them.

The study tunes whole models on MS MARCO. Here a backbone stays as it is, and one affine map over its vectors, the same for
questions and passages, is learnt by contrast against the batch. So `taught` says what a layer over frozen states can do, and
the tuning of a whole model is not measured. In-domain is clapnq, whose questions are divided.

    in-domain       clapnq's other questions, over passages of both parts
    data            the same, taught on an eighth, a quarter and a half of the pairs
    zero-shot       scifact and codebase-chunks, as clapnq taught it
    long            articles of `time`, read 64 and 256 tokens far, as clapnq taught it on 64
    instructions    passages of xquad in English and German, and a question with an instruction that asks for either
    multitask       clapnq and codebase-chunks, taught on each alone and on both

Decoders give the weighted mean of their states, which costs nothing. Every result is a line in a work file, a question each;
a run that was stopped goes on with the axes that are missing. Smaller models come first.

    RAGLINE_EVAL_DATA=... python -m benchmarks.backbones [MODEL ...] [--axes in-domain ...] [--minutes N] [--size 1.0]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from benchmarks.backbones_map import Map, Pairs, learnt, unchanged
from benchmarks.backbones_tasks import Task, in_two_languages, task
from benchmarks.encoded import MEASURE
from benchmarks.make_samples import data_folder
from benchmarks.record import RESULTS
from benchmarks.ways import mean_cell
from benchmarks.work_lines import Component, Setup, Work
from rag.evaluate import evaluate
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.sentence_folder import Role
from retrievers.encoders.settings import Encoding

WORK = RESULTS / "backbones.jsonl"
MODELS = (
    "all-minilm-l6-v2",
    "smollm2-135m-instruct",
    "qwen2.5-coder-0.5b-instruct",
    "qwen2.5-coder-1.5b-instruct",
)
TRAINED = MODELS[0]
SHORT, LONG = 64, 256
SHARES = (1 / 8, 1 / 4, 1 / 2)
INSTRUCTIONS = {
    "en": "Given a question, find the passage in English that answers it.\nQuestion: ",
    "de": "Given a question, find the passage in German that answers it.\nQuestion: ",
}
Vectors = NDArray[np.float32]
Values = Mapping[str, float]
"""qid -> what was measured of it."""


class Backbone:
    """A model that gives vectors. Those of a task are made once."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._made: dict[tuple[str, str, int], Vectors] = {}
        self._open: tuple[Encoding, SentenceEncoder] | None = None

    def encoding(self, tokens: int = SHORT, prompt: str | None = None) -> Encoding:
        pooling = None if self.model == TRAINED else "weightedmean"
        return Encoding(pooling=pooling, max_tokens=tokens, query_prompt=prompt)

    def documents(self, of: Task, tokens: int = SHORT) -> Vectors:
        return self._of(of.name, "document", [each.index_text for each in of.documents], tokens)

    def queries(self, of: Task) -> Vectors:
        """Those that are asked, then those that teach."""
        return self._of(of.name, "query", [each.text for each in (*of.asked, *of.taught)], SHORT)

    def _of(self, name: str, role: Role, texts: Sequence[str], tokens: int) -> Vectors:
        if (name, role, tokens) not in self._made:
            self._made[name, role, tokens] = self.encode(texts, role, self.encoding(tokens))
        return self._made[name, role, tokens]

    def encode(self, texts: Sequence[str], role: Role, encoding: Encoding) -> Vectors:
        if self._open is None or self._open[0] != encoding:
            self.release()
            self._open = encoding, SentenceEncoder(model=self.model, encoding=encoding)
        return self._open[1].encode(texts, role=role)

    def release(self) -> None:
        """Let go of the weights: there is room for one model at a time."""
        if self._open is not None:
            self._open[1].release()
            self._open = None

    def pairs(self, of: Task, share: float = 1.0) -> Pairs:
        """Vectors of the questions that teach, and of a passage that answers each."""
        n = max(8, round(share * len(of.taught)))
        return Pairs(queries=self.queries(of)[len(of.asked) :][:n], documents=self.documents(of)[of.answers[:n]])

    def asked(self, of: Task, by: Map, tokens: int = SHORT) -> Values:
        """nDCG@10 of each question that is asked."""
        scores = by(self.queries(of)[: len(of.asked)]) @ by(self.documents(of, tokens)).T
        ids = [each.doc_id for each in of.documents]
        order = {
            query.qid: [ids[row] for row in np.argsort(-row_scores, kind="stable")]
            for query, row_scores in zip(of.asked, scores, strict=True)
        }
        return evaluate(order, {query.qid: of.qrels[query.qid] for query in of.asked}, [MEASURE]).per_query[MEASURE]


Measured = Iterator[tuple[str, str, Values]]
"""Set, way, and what was measured."""


def in_domain(backbone: Backbone, size: float) -> Measured:
    home = task("clapnq", size)
    yield home.name, "as it is", backbone.asked(home, unchanged)
    yield home.name, "taught", backbone.asked(home, learnt(backbone.pairs(home)))


def data(backbone: Backbone, size: float) -> Measured:
    home = task("clapnq", size)
    for share in SHARES:
        pairs = backbone.pairs(home, share)
        yield home.name, f"taught on {share:.3g}", backbone.asked(home, learnt(pairs))


def zero_shot(backbone: Backbone, size: float) -> Measured:
    by = learnt(backbone.pairs(task("clapnq", size)))
    for name in ("scifact", "codebase-chunks"):
        other = task(name, size)
        yield name, "as it is", backbone.asked(other, unchanged)
        yield name, "taught", backbone.asked(other, by)


def long(backbone: Backbone, size: float) -> Measured:
    by, articles = learnt(backbone.pairs(task("clapnq", size))), task("time", size)
    for tokens in (SHORT, LONG):
        yield articles.name, f"as it is, {tokens} tokens", backbone.asked(articles, unchanged, tokens)
        yield articles.name, f"taught, {tokens} tokens", backbone.asked(articles, by, tokens)


def instructions(backbone: Backbone, size: float) -> Measured:
    both = in_two_languages(size)
    texts = [each.text for each in both.queries]
    passages = {
        language: backbone.encode([each.index_text for each in documents], "document", backbone.encoding())
        for language, documents in both.documents.items()
    }
    asked = {
        language: backbone.encode(texts, "query", backbone.encoding(prompt=prompt))
        for language, prompt in INSTRUCTIONS.items()
    }
    leans = {language: leaning(asked[language], passages["en"], passages["de"]) for language in INSTRUCTIONS}
    qids = [each.qid for each in both.queries]
    yield "xquad", "leans the way it is told", dict(zip(qids, (leans["de"] > leans["en"]).astype(float), strict=True))
    obeys = (leans["de"] > 0) & (leans["en"] < 0)
    yield "xquad", "puts the language first", dict(zip(qids, obeys.astype(float), strict=True))


def leaning(queries: Vectors, english: Vectors, german: Vectors) -> Vectors:
    """How much nearer each question is to its German passage than to its English one. Rows belong together.

    >>> leaning(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), np.zeros((2, 2), dtype=np.float32)).tolist()
    [-1.0, -1.0]
    """
    near: Vectors = np.einsum("nd,nd->n", queries, german) - np.einsum("nd,nd->n", queries, english)
    return near


def multitask(backbone: Backbone, size: float) -> Measured:
    tasks = [task(name, size) for name in ("clapnq", "codebase-chunks")]
    pairs = [backbone.pairs(each) for each in tasks]
    together = learnt(*pairs)
    for each, own in zip(tasks, pairs, strict=True):
        yield each.name, "taught on its own", backbone.asked(each, learnt(own))
        yield each.name, "taught on both", backbone.asked(each, together)


AXES: Mapping[str, Callable[[Backbone, float], Measured]] = {
    "in-domain": in_domain,
    "data": data,
    "zero-shot": zero_shot,
    "instructions": instructions,
    "multitask": multitask,
    "long": long,
}
"""What costs most comes last."""
SETS = {
    "in-domain": ("clapnq",),
    "data": ("clapnq",),
    "zero-shot": ("clapnq", "scifact", "codebase-chunks"),
    "instructions": ("xquad",),
    "multitask": ("clapnq", "codebase-chunks"),
    "long": ("clapnq", "time"),
}


@cache
def setup_of(axis: str, model: str, size: float) -> Setup:
    """What the lines of an axis are made with."""
    encoder = Component(SentenceEncoder, model=model)
    folders = [data_folder() / name for name in SETS[axis]]
    parts = (encoder, AXES[axis], Backbone, task, in_two_languages, learnt)
    return Setup.of(*parts, data=folders, settings=f"{model}, frozen, size {size:g}")


def measure(work: Work, backbone: Backbone, axis: str, size: float) -> None:
    """Lines of an axis, where there are none yet."""
    setup = setup_of(axis, backbone.model, size)
    found = list(AXES[axis](backbone, size))  # all or nothing: an axis that has one line is done
    for name, way, values in found:
        for qid, value in values.items():
            line = {"method": f"{axis}: {way}", "set": name, "qid": qid, "model": backbone.model}
            work.add({**line, "value": round(float(value), 6)}, setup)


def is_done(work: Work, axis: str, model: str, size: float) -> bool:
    setup = setup_of(axis, model, size)
    return any(work.of(method, SETS[axis][-1], setup) for method in work.methods if method.startswith(f"{axis}:"))


def rows(work: Work, models: Sequence[str], size: float) -> Iterator[str]:
    """Markdown: a row for each axis, set and way."""
    yield f"| axis | set | way | {' | '.join(models)} |"
    yield f"| --- | --- | --- | {' | '.join('---' for _ in models)} |"
    for method in work.methods:
        axis, _, way = method.partition(": ")
        for name in SETS[axis]:
            found = [work.of(method, name, setup_of(axis, model, size)) for model in models]
            if any(found):
                cells = [mean_cell([line["value"] for line in lines]) if lines else "" for lines in found]
                yield f"| {axis} | {name} | {way} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=list(MODELS))
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no axis after this time")
    parser.add_argument(
        "--size", type=float, default=1.0, help="of every task: 1 is 40 questions, 200 passages at most"
    )
    parser.add_argument("--work", type=Path, default=WORK)
    given = parser.parse_args()
    work, until = Work(given.work), monotonic() + 60 * given.minutes
    for model in given.models:
        backbone = Backbone(model)
        for axis in given.axes:
            if is_done(work, axis, model, given.size):
                continue
            if monotonic() > until:
                print(f"time is up before {model}: {axis}", file=sys.stderr, flush=True)
                break
            begun = monotonic()
            measure(work, backbone, axis, given.size)
            print(f"{model}: {axis}, {monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
        backbone.release()
    print(*rows(work, given.models, given.size), sep="\n")


if __name__ == "__main__":
    main()
