"""Does a passage say what a sentence says? Precision and recall of the checks of answers, on wice and ramdocs.

    python -m benchmarks.verdicts words encoder[:NAME] attention model:NAME nli:FOLDER [--wice N] [--ramdocs N] [--record]

wice: claims of Wikipedia against six sentences of the cited article, those that share most words with the claim, for
articles are too long for small models. "partially supported" counts as not supported. ramdocs: the question and an
answer, put into one sentence, against one document; `benchmarks.verdicts_cases` says how and which. Wrong answers there
name another thing, seldom with words of the document, which is easy for words.

A means gives each claim a number for support; those that can also give one for what speaks against it. A fixed seed puts
claims into two halves. On one half of both sets, each set weighing the same, the threshold is chosen that gives the best
mean of the recalls of supported and of not supported, then the one of against that does the same for contradicted and
unsupported among what is left. The other half is judged with them, and the other way round. Figures are of all claims
so judged, with 95% bootstrap intervals over groups: the cases of a question of ramdocs are one group. A means passes the
bar, so that its checker may be `trusted`, where precision of supported is at least 0.8 on both sets. Beside the figures
stand the thresholds that all claims together choose.

`model:NAME` takes llm.llama_cpp for a name that ends in .gguf, else llm.transformers. `attention` is rerank.attention
with the claim as the query: the best score of a sentence. Every judgement is a line of `--lines`; a run that was stopped
goes on. Needs the folder that RAGLINE_EVAL_DATA names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.graphs import llm_part
from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from benchmarks.verdicts_cases import Case, ramdocs, wice
from benchmarks.work_lines import Component, Line, Setup, Work, timed
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.ingest.sentences import sentences
from rag.models import GGUF
from rag.stages.checks.checker import Weighed
from rag.stages.checks.claims import Claim
from rag.stages.checks.words import WordsChecker
from ragline_recipes.checks.encoder import EncoderChecker
from ragline_recipes.checks.model import ModelChecker
from ragline_recipes.checks.nli import NLIChecker
from rerankers.attention.reranker import AttentionReranker

BAR = 0.8
KINDS = ("supported", "contradicted", "unsupported")
Weigh = Callable[[Sequence[Claim]], list[Weighed]]
Floats = NDArray[np.float64]


def means(name: str) -> Component:
    """What weighs claims."""
    kind, _, model = name.partition(":")
    if kind == "words":
        return Component(WordsChecker)
    if kind == "encoder":
        return Component(EncoderChecker, **({"encoder": model} if model else {}))
    if kind == "attention":
        return Component(AttentionReranker, llm=llm_part("smollm2-135m-instruct", "transformers"))
    if kind == "nli":
        return Component(NLIChecker, checkpoint=model)
    in_llama_cpp = {"use": "llm.llama_cpp", "with": {"model": model, "slots": 1}}
    return Component(ModelChecker, llm=in_llama_cpp if model.endswith(GGUF) else llm_part(model, "transformers"))


def by_attention(reranker: AttentionReranker) -> Weigh:
    """The best score of a sentence, the claim as the query."""

    def weigh(claims: Sequence[Claim]) -> list[Weighed]:
        rankings = []
        for number, claim in enumerate(claims):
            texts = [p.text[start:end] for p in claim.passages for start, end in sentences(p.text)]
            texts += ["-"] * (len(texts) < 2)  # a list of one is not read
            hits = [ScoredDocument(document=Document(doc_id=str(i), text=t), score=-i) for i, t in enumerate(texts)]
            query = Query(qid=str(number), text=f"{claim.question} {claim.text}".strip())
            rankings.append(Ranking(query=query, hits=tuple(hits)))
        return [Weighed(support={0: found.hits[0].score}) for found in reranker.rerank(rankings, k=1)]

    return weigh


def run(name: str, cases: Sequence[Case], work: Work) -> list[Line]:
    """A line for each case; those that are there are not asked again."""
    component = means(name)
    setup = Setup.of(component, data=[data_folder() / case.set for case in cases[:1]])
    part = component.make()
    weigh: Weigh = by_attention(part) if isinstance(part, AttentionReranker) else part.weigh
    for case in cases:
        if work.get(name, case.set, case.qid, setup) is None:
            begun = perf_counter()
            [found] = weigh([case.claim])
            seconds = perf_counter() - begun
            line: Line = {"method": name, "set": case.set, "qid": case.qid, "gold": case.gold}
            line |= {"seconds": round(seconds, 4), "support": None, "against": None}
            if found.judged:
                line["support"] = max(found.support.values())
                line["against"] = max(found.against.values(), default=None)
                line["tokens"] = found.usage.prompt_tokens
            work.add(line, setup)
    return [line for case in cases if (line := work.get(name, case.set, case.qid, setup))]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Cases of one set as arrays: what is true, the two numbers, the group, and whether it is of the first half."""

    gold: NDArray[np.str_]
    support: Floats
    against: Floats
    groups: NDArray[np.str_]
    first: NDArray[np.bool_]

    @classmethod
    def of(cls, cases: Sequence[Case], lines: Sequence[Line]) -> Scored:
        """A case that could not be judged counts as one without support."""
        return cls(
            gold=np.array([case.gold for case in cases]),
            support=np.array([_number(line["support"]) for line in lines]),
            against=np.array([_number(line["against"]) for line in lines]),
            groups=np.array([case.group for case in cases]),
            first=np.array([case.first for case in cases]),
        )

    def only(self, rows: NDArray[Any]) -> Scored:
        return Scored(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def said(self, threshold: float, against: float) -> NDArray[np.str_]:
        no = np.where(self.against >= against, "contradicted", "unsupported")
        return np.where(self.support >= threshold, "supported", no)


def _number(value: float | None) -> float:
    return -np.inf if value is None else float(value)


def precision_recall(gold: NDArray[np.bool_], said: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Precision, recall and F1; a share of nothing is nan."""
    right, n_said, n_gold = float((gold & said).sum()), float(said.sum()), float(gold.sum())
    precision = right / n_said if n_said else float("nan")
    recall = right / n_gold if n_gold else float("nan")
    return precision, recall, 2 * right / (n_said + n_gold) if n_said + n_gold else float("nan")


def auroc(gold: NDArray[np.bool_], score: Floats) -> float:
    """The chance that a true case scores above a false one, ties counting half (Mann and Whitney); nan without both."""
    true, false = score[gold], score[~gold]
    if not len(true) or not len(false):
        return float("nan")
    ranks = rankdata(score)[gold]
    return float((ranks.sum() - len(true) * (len(true) + 1) / 2) / (len(true) * len(false)))


def balanced(true: NDArray[np.bool_], said: NDArray[np.bool_]) -> float:
    """The mean of the recalls of true and of false; nan where there is only one of them."""
    return float((said[true].mean() + (~said[~true]).mean()) / 2) if true.any() and not true.all() else float("nan")


def chosen(halves: Sequence[Scored]) -> tuple[float, float]:
    """The thresholds of support and against that are most often right, kinds and sets weighing the same."""
    threshold = _best(
        np.concatenate([half.support for half in halves]),
        lambda least: [balanced(half.gold == "supported", half.support >= least) for half in halves],
    )
    left = [half.only(half.support < threshold) for half in halves if np.isfinite(half.against).any()]
    left = [half for half in left if (half.gold == "contradicted").any()]
    if not left:
        return threshold, float("inf")
    return threshold, _best(
        np.concatenate([half.against for half in left]),
        lambda least: [balanced(half.gold == "contradicted", half.against >= least) for half in left],
    )


def _best(candidates: Floats, of: Callable[[float], list[float]]) -> float:
    """The candidate with the best mean over sets; a set with one kind alone has no say."""
    finite = np.unique(candidates[np.isfinite(candidates)])
    return float(max(finite, key=lambda least: np.mean([one for one in of(float(least)) if np.isfinite(one)] or [0.0])))


def crossed(sets: Sequence[Scored]) -> list[NDArray[np.str_]]:
    """What is said of every case, with the thresholds that the other half chose."""
    by_half = {half: chosen([scored.only(scored.first != half) for scored in sets]) for half in (True, False)}
    return [np.where(scored.first, scored.said(*by_half[True]), scored.said(*by_half[False])) for scored in sets]


def figures(scored: Scored, said: NDArray[np.str_]) -> dict[str, dict[str, Any]]:
    """Name -> value and 95% interval; a share of nothing is left out."""
    rows = [np.flatnonzero(scored.groups == group) for group in np.unique(scored.groups)]
    random = np.random.default_rng(0)
    draws = [np.concatenate([rows[i] for i in random.integers(0, len(rows), len(rows))]) for _ in range(2000)]
    three = bool(np.isfinite(scored.against).any() and (scored.gold == "contradicted").any())
    values = _figures(scored, said, three)
    sampled = [_figures(scored.only(drawn), said[drawn], three) for drawn in draws]
    told: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        seen = np.array([sample[name] for sample in sampled])
        seen = seen[np.isfinite(seen)]
        if np.isfinite(value):
            low, high = np.percentile(seen, [2.5, 97.5])
            told[name] = {"value": value, "low": float(low), "high": float(high)}
    return told


def _figures(scored: Scored, said: NDArray[np.str_], three: bool) -> dict[str, float]:
    gold = scored.gold
    found = {
        "auroc supported": auroc(gold == "supported", scored.support),
        "balanced supported": balanced(gold == "supported", said == "supported"),
    }
    if three:
        rest = gold != "supported"
        found["auroc contradicted"] = auroc(gold[rest] == "contradicted", scored.against[rest])
    pairs = {kind: (gold == kind, said == kind) for kind in (KINDS if three else ("supported",))}
    pairs["not supported"] = (gold != "supported", said != "supported")
    for kind, (true, told) in pairs.items():
        for measure, value in zip(("precision", "recall", "F1"), precision_recall(true, told), strict=True):
            found[f"{measure} {kind}"] = value
    return found


def report(name: str, by_set: dict[str, tuple[list[Case], list[Line]]]) -> dict[str, Any]:
    """Figures with thresholds of the other half each, and the thresholds that all cases choose, for a graph."""
    scored = {set_: Scored.of(cases, lines) for set_, (cases, lines) in by_set.items()}
    threshold, against = chosen(list(scored.values()))
    sets = {
        set_: {
            "n": len(one.gold),
            "gold": {kind: int((one.gold == kind).sum()) for kind in KINDS},
            "seconds": float(np.median(seconds)) if (seconds := timed(by_set[set_][1])) else None,
            "figures": figures(one, said),
        }
        for (set_, one), said in zip(scored.items(), crossed(list(scored.values())), strict=True)
    }
    precisions = [told["figures"].get("precision supported", {"value": 0.0})["value"] for told in sets.values()]
    passes = min(precisions) >= BAR
    settings = next((line["settings"] for _, lines in by_set.values() for line in lines), "")
    told = {"means": name, "settings": settings, "threshold": threshold}
    return told | {"against": against if np.isfinite(against) else None, "passes": bool(passes), "sets": sets}


def table(reports: Sequence[dict[str, Any]]) -> str:
    """The figures as Markdown, a table for each set."""
    lines = []
    for set_ in reports[0]["sets"]:
        first = reports[0]["sets"][set_]
        names = [
            name
            for name in max((r["sets"][set_]["figures"] for r in reports), key=len)
            if not name.startswith(("F1", "balanced"))
        ]
        gold = ", ".join(f"{n} {kind}" for kind, n in first["gold"].items() if n)
        lines += [f"{set_}, {first['n']} claims: {gold}", "", f"| means | {' | '.join(names)} | s |"]
        lines += [f"| --- |{' ---: |' * (len(names) + 1)}"]
        for told in reports:
            part = told["sets"][set_]
            cells = [_cell(part["figures"].get(name)) for name in names]
            seconds = "-" if part["seconds"] is None else f"{part['seconds']:.2g}"
            lines.append(f"| {told['means']} | {' | '.join(cells)} | {seconds} |")
        lines.append("")
    for told in reports:
        against = "" if told["against"] is None else f", against {told['against']:.4f}"
        lines.append(f"{told['means']}: threshold {told['threshold']:.4f}{against}, passes: {told['passes']}")
    return "\n".join(lines)


def _cell(figure: dict[str, float] | None) -> str:
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]" if figure else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("means", nargs="+", help="words, encoder[:NAME], attention, model:NAME, nli:FOLDER")
    parser.add_argument("--wice", type=int, default=70, help="claims; 0 takes all")
    parser.add_argument("--ramdocs", type=int, default=40, help="questions; 0 takes all")
    parser.add_argument("--lines", type=Path, default=Path("runs/verdicts.jsonl"))
    parser.add_argument("--record", action=Record, help="append to results/verdicts.jsonl")
    given = parser.parse_args()
    sets = {"ramdocs": ramdocs(given.ramdocs or None), "wice": wice(given.wice or None)}
    work = Work(given.lines)
    reports = []
    for name in given.means:
        reports.append(report(name, {set_: (cases, run(name, cases, work)) for set_, cases in sets.items()}))
        if given.record:
            record("verdicts", reports[-1])
    print(table(reports))


if __name__ == "__main__":
    main()
