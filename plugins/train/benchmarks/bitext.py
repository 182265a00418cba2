"""Bitext mining on xquad: which questions, and which passages, are translations of each other? Gold pairs are those of one id.

Each side has texts without a partner: of n texts the left side has the first two thirds, the right side the last two, so
that half of each have one. `all` leaves none out, which is easier: every text has its partner somewhere.

For every way to choose pairs: precision, recall and F1 at the default threshold, and at the one that is best on these very
texts, which nobody knows beforehand. `apart`: at the threshold that is best on every other text, told on the texts between.
WebFAQ's rule is the mutual cosine, CCMatrix' the margin; both are told. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m plugins.train.benchmarks.bitext [de | zh] [--encoder NAME] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.evaluate import load_beir
from rag.indexes import SentenceEncoder
from rag.types import Query
from ragline_train.bitext import LEAST, By, pairs

LANGUAGES = ("de", "zh")
KINDS = ("questions", "passages")
WAYS: tuple[tuple[By, bool], ...] = (("margin", False), ("margin", True), ("cosine", False), ("cosine", True))
"""What pairs are judged by, and whether both sides have to propose them."""


def texts(language: str, kind: str, *, limit: int | None) -> list[Query]:
    """Texts of one language, in an order that both languages share."""
    dataset = load_beir(data_folder() / "xquad" / language)
    if kind == "questions":
        found = dataset.queries_of(dataset.qrels())
    else:
        found = [Query(qid=each.doc_id, text=each.text) for each in dataset.documents()]
    return found[:limit]


def scores(right: Sequence[bool], n_gold: int) -> dict[str, float]:
    """Precision, recall and F1 of pairs that are right or not."""
    n_right = sum(right)
    return {
        "pairs": len(right),
        "precision": n_right / len(right) if right else 0.0,
        "recall": n_right / n_gold,
        "F1": 2 * n_right / (len(right) + n_gold),
    }


def at(least: float, values: Sequence[float], right: Sequence[bool], n_gold: int) -> dict[str, float]:
    """The pairs of a threshold. `values`: of all, descending."""
    return {
        "least": least,
        **scores([good for value, good in zip(values, right, strict=True) if value >= least], n_gold),
    }


def apart(
    vectors: Sequence[NDArray[np.float32]], sides: tuple[slice, slice], n: int, *, by: By, mutual: bool
) -> dict[str, float]:
    """The odd texts at the threshold that is best on the even ones. `sides`: which texts the left and the right side have."""
    told: list[tuple[list[float], list[bool], int]] = []
    for parity in (0, 1):
        left, right = ([place for place in range(n)[side] if place % 2 == parity] for side in sides)
        found = pairs(vectors[0][left], vectors[1][right], by=by, mutual=mutual)
        good = [left[pair.left] == right[pair.right] for pair in found]
        told.append(([pair.worth(by) for pair in found], good, len({*left} & {*right})))
    (values, good, n_gold), others = told
    cuts = [at(value, values, good, n_gold) for value in sorted({*values})]
    chosen = max(cuts, key=lambda cut: cut["F1"], default=at(LEAST[by], values, good, n_gold))["least"]
    return {**at(chosen, *others), "gold": others[2]}


def measured(language: str, encoder: str, *, limit: int | None) -> Iterator[dict[str, Any]]:
    """A line for every kind of text, share of texts that have a partner, and way to choose."""
    model = SentenceEncoder(model=encoder)
    for kind in KINDS:
        english, other = (texts(code, kind, limit=limit) for code in ("en", language))
        vectors = [model.encode([each.text for each in side], role="document") for side in (english, other)]
        ids = [[each.qid for each in side] for side in (english, other)]
        n = len(english)
        for name, first, last in (
            ("half", slice(2 * n // 3), slice(n - 2 * n // 3, None)),
            ("all", slice(n), slice(n)),
        ):
            left, right = ids[0][first], ids[1][last]
            n_gold = len({*left} & {*right})
            for by, mutual in WAYS:
                begun = perf_counter()
                found = pairs(vectors[0][first], vectors[1][last], by=by, mutual=mutual)
                seconds = perf_counter() - begun
                values = [pair.worth(by) for pair in found]
                good = [left[pair.left] == right[pair.right] for pair in found]
                cuts = [at(value, values, good, n_gold) for value in sorted({*values})]
                yield {
                    "apart": apart(vectors, (first, last), n, by=by, mutual=mutual),
                    "languages": f"en-{language}",
                    "texts": kind,
                    "with_partner": name,
                    "left": len(left),
                    "right": len(right),
                    "gold": n_gold,
                    "by": by,
                    "mutual": mutual,
                    "encoder": encoder,
                    "seconds": seconds,
                    "default": at(LEAST[by], values, good, n_gold),
                    "best": max(cuts, key=lambda cut: cut["F1"], default=at(0.0, values, good, n_gold)),
                }


def show(line: Mapping[str, Any]) -> None:
    """One way in a line."""
    told = ", ".join(
        f"{name} {at['least']:.3f}: {at['pairs']:4} pairs, P {at['precision']:.3f} R {at['recall']:.3f} F1 {at['F1']:.3f}"
        for name, at in (("default", line["default"]), ("apart", line["apart"]), ("best", line["best"]))
    )
    way = f"{line['by']}{', mutual' if line['mutual'] else ''}"
    sizes = f"{line['left']} x {line['right']}, {line['gold']} gold"
    print(f"{line['languages']} {line['texts']:9} {sizes:24} {way:15} {told}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every pair of languages, kind of text and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(LANGUAGES)}; both when left out"
    )
    parser.add_argument("--encoder", default="all-minilm-l6-v2", metavar="NAME")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N texts")
    parser.add_argument("--record", action=Record, help="append to results/bitext.jsonl")
    options = parser.parse_args(arguments)
    if unknown := set(options.languages) - set(LANGUAGES):
        parser.error(f"not one of the languages: {', '.join(sorted(unknown))}")
    for language in options.languages or LANGUAGES:
        for line in measured(language, options.encoder, limit=options.limit):
            show(line)
            if options.record:
                record("bitext", line | {"limit": options.limit})
    return 0


if __name__ == "__main__":
    sys.exit(main())
