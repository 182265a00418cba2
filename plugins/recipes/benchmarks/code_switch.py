"""English questions of xquad over its passages in German and Chinese: plain, with names switched by a dictionary, and both.

    plain      the question as it is
    switched   its words in the passages' language where the dictionary has them; the question as it is where it has none
    fused      both, fused: by RRF over one leg, by the weights of `hybrid` over both legs
    split      over both legs: BM25 by the switched question, vectors by the question as it is
    texts      the question as it is; passages indexed with their words in English behind them (`transform.code_switch`)
    two-tongued  the question as it is, vectors by an encoder of both languages, which needs no dictionary
    own        the question in the passages' language: the line above

Dictionaries:

    halves     made by `ragline_train.dictionary` from the parallel questions of half of the 48 articles, twice: the questions of
               each half are switched by the dictionary of the other. So no entry comes from a question that it is asked of,
               nor from one about the same article. Titles are no source: xquad has them in English alone
    entities   of these the names alone: what is written with a capital letter wherever it stands inside a question. The rest
               are words of questions, such as "how many", which the paper does not switch
    FILE       --dictionary: any that `reformulate.code_switch` reads

Passages are switched by the same dictionaries, read from their targets to their sources.

Ways of a leg are compared with its `plain` by paired randomisation, p corrected over the ways of all legs of a language (Holm).
Over both legs `texts` is compared with `split` too.
Needs the folder that RAGLINE_EVAL_DATA names.

    python -m plugins.recipes.benchmarks.code_switch [de | zh] [--dictionary FILE] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.graphs import hybrid_nodes
from benchmarks.make_samples import data_folder, records
from benchmarks.record import Record, record
from rag import load_pipeline
from rag.evaluate import Evaluation, cached_index, compare_runs, evaluate, holm, load_beir, mean_interval
from rag.graphs import load_spec
from rag.types import Query, Ranking
from ragline_recipes.code_switch import CodeSwitchReformulator
from ragline_recipes.names import read_dictionary
from ragline_train.dictionary import Made, dictionary_lines, dictionary_of

LANGUAGES = ("de", "zh")
LEGS = ("bm25", "dense", "hybrid")
WAYS = ("plain", "switched", "fused", "split", "texts", "two-tongued", "own")
ENCODERS = {"two-tongued": "multilingual-e5-small"}
NOT_BY = {"bm25": ("split", "two-tongued"), "dense": ("split",)}
"""Leg -> ways that it has not."""

FILES = Path("runs/code_switch")
MEASURE = "nDCG@10"
ENCODER = "all-minilm-l6-v2"
SEED = 20263

Halves = tuple[frozenset[str], frozenset[str]]


def halves() -> Halves:
    """The qids of the questions about one half of the articles, and of those about the other."""
    article = {item["_id"]: item["title"] for item in records("xquad/en/corpus")}
    titles = sorted(set(article.values()))
    first = set(random.Random(SEED).sample(titles, len(titles) // 2))
    of_first = {item["id"]: article[item["context_ids"][0]] in first for item in records("xquad/en/qa")}
    return (
        frozenset(qid for qid, inside in of_first.items() if inside),
        frozenset(qid for qid, inside in of_first.items() if not inside),
    )


def texts(language: str) -> dict[str, str]:
    """qid -> the question."""
    return {item["_id"]: item["text"] for item in records(f"xquad/{language}/queries")}


def learned(language: str, qids: frozenset[str]) -> Made:
    """The dictionary of the parallel questions of a half."""
    english, other = texts("en"), texts(language)
    return dictionary_of([(english[qid], other[qid]) for qid in sorted(qids)])


def names_alone(made: Made, questions: Sequence[str]) -> Made:
    """The entries whose source has a capital letter wherever it stands inside of a question, and stands so somewhere."""
    kept = []
    for entry in made.entries:
        inside = re.compile(rf"(?<=\w[ \-']){re.escape(entry.source)}(?!\w)", re.IGNORECASE)
        found = [match[0] for question in questions for match in inside.finditer(question)]
        if found and all(each[:1].isupper() for each in found):
            kept.append(entry)
    return replace(made, entries=tuple(kept))


def written(made: Made, language: str, path: Path) -> Path:
    """A dictionary as a file."""
    path.write_text(dictionary_lines(((each.source, each.target) for each in made.entries), language), encoding="utf-8")
    return path


@cache  # all legs ask for it
def turned(dictionary: Path, language: str) -> Path:
    """The dictionary the other way round, to English. Of several names with one counterpart the first is kept."""
    names: dict[str, str] = {}
    for name, counterparts in read_dictionary(dictionary).names.items():
        if language in counterparts:
            names.setdefault(counterparts[language], name)
    path = FILES / f"{dictionary.stem}-turned.tsv"
    path.write_text(dictionary_lines(names.items(), "en"), encoding="utf-8")
    return path


def graph(leg: str, way: str, language: str, dictionary: Path) -> dict[str, Any]:
    """A way over a leg."""
    nodes = hybrid_nodes(100)
    fused = nodes.pop("fused")
    index: dict[str, Any] = {"analyzer": {"language": language}, "dense": {"encoder": ENCODERS.get(way, ENCODER)}}
    if way in ("switched", "fused", "split"):
        params = {"dictionary": str(dictionary), "languages": [language], "keep_original": way == "fused"}
        switch = {"switch": {"use": "reformulate.code_switch", "with": params}}
        asked = ("bm25",) if way == "split" else ("bm25", "dense")
        nodes = {
            **switch,
            **{name: {**node, **({"in": "switch"} if name in asked else {})} for name, node in nodes.items()},
        }
    if way == "texts":
        params = {"dictionary": str(turned(dictionary, language)), "languages": ["en"]}
        index["transforms"] = [{"use": "code_switch", "with": params}]
    if leg == "hybrid":
        nodes["fused"] = fused
    else:
        nodes.pop({"bm25": "dense", "dense": "bm25"}[leg])
        nodes["fused"] = {"use": "fuse.rrf", "in": [leg], "k": 100}
    return {"version": 1, "index": index, "nodes": nodes, "output": "fused"}


def run(leg: str, way: str, language: str, folders: Mapping[Path, Sequence[Query]]) -> list[Ranking]:
    """What a way finds: the queries that each dictionary is for."""
    dataset = load_beir(data_folder() / "xquad" / language)
    found: list[Ranking] = []
    for dictionary, queries in folders.items():
        spec = load_spec(graph(leg, way, language, dictionary))
        index = cached_index(dataset, spec.graph, spec.graph.index)
        with load_pipeline(spec.graph, index=index) as pipeline:
            found += pipeline.search_batch(queries, k=100)
    return found


def coverage(queries: Mapping[Path, Sequence[Query]], language: str) -> dict[str, int]:
    """How many questions the dictionaries switch anything of."""
    switched = 0
    for dictionary, asked in queries.items():
        part = CodeSwitchReformulator(dictionary=str(dictionary), languages=(language,), keep_original=False)
        switched += sum(query.outcome.kind == "ok" for query in part.reformulate(asked))
    return {"questions": sum(map(len, queries.values())), "switched": switched}


def compared(
    language: str, dictionary: Path | None, limit: int | None, *, entities: bool = False, ways: Sequence[str] = WAYS
) -> Iterator[dict[str, Any]]:
    """A line on the dictionaries, and one for every leg and way. `limit`: questions that each dictionary is used for."""
    english, own = texts("en"), texts(language)
    name = ("entities" if entities else "halves") if dictionary is None else dictionary.name
    FILES.mkdir(parents=True, exist_ok=True)
    files: dict[Path, frozenset[str]] = {}
    if dictionary is not None:
        files[dictionary] = frozenset(english)
    else:
        one, other = halves()
        for number, (source, target) in enumerate(((one, other), (other, one))):
            made = learned(language, source)
            if entities:
                made = names_alone(made, [english[qid] for qid in sorted(source)])
            path = written(made, language, FILES / f"{language}-{name}-{number}.tsv")
            files[path] = target
            yield {
                "language": language,
                "dictionary": name,
                "made_from": len(source),
                "entries": len(made.entries),
                "ambiguous": made.ambiguous,
                "sample": [
                    f"{each.source} = {each.target}" for each in made.entries[:: max(1, len(made.entries) // 8)]
                ],
            }
    asked = {path: [Query(qid=qid, text=english[qid]) for qid in sorted(qids)[:limit]] for path, qids in files.items()}
    theirs = {path: [Query(qid=qid, text=own[qid]) for qid in sorted(qids)[:limit]] for path, qids in files.items()}
    yield {"language": language, "dictionary": name, **coverage(asked, language)}
    judged = {query.qid for queries in asked.values() for query in queries}
    everything = load_beir(data_folder() / "xquad" / language).qrels()
    qrels = {qid: grades for qid, grades in everything.items() if qid in judged}
    evaluations = {
        (leg, way): evaluate(run(leg, way, language, theirs if way == "own" else asked), qrels, [MEASURE])
        for leg in LEGS
        for way in ways
        if way not in NOT_BY.get(leg, ())
    }
    yield from lines(language, name, evaluations)


def lines(language: str, name: str, evaluations: Mapping[tuple[str, str], Evaluation]) -> Iterator[dict[str, Any]]:
    """A line for every leg and way. p is corrected over all ways of all legs that are compared."""
    others = [each for each in evaluations if each[1] not in ("plain", "own")]
    tests = {
        (leg, way): compare_runs(evaluations[leg, "plain"], {way: evaluations[leg, way]}, measures=[MEASURE])[way][
            0
        ].test
        for leg, way in others
    }
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    for (leg, way), evaluation in evaluations.items():
        values = list(evaluation.per_query[MEASURE].values())
        interval = mean_interval(values)
        line: dict[str, Any] = {
            "language": language,
            "dictionary": name,
            "leg": leg,
            "way": way,
            "queries": evaluation.n_queries,
            "encoder": ENCODERS.get(way, ENCODER),
            MEASURE: evaluation.measures[MEASURE],
            "low_of_mean": interval.low,
            "high_of_mean": interval.high,
        }
        if (leg, way) in tests:
            test = tests[leg, way]
            line |= {"to_plain": test.difference, "low": test.low, "high": test.high, "p": corrected[leg, way]}
        if (leg, way) == ("hybrid", "texts") and ("hybrid", "split") in evaluations:
            [beside] = compare_runs(evaluations[leg, "split"], {way: evaluation}, measures=[MEASURE])[way]
            line |= {"to_split": beside.test.difference, "split_low": beside.test.low, "split_high": beside.test.high}
        yield line


def show(line: Mapping[str, Any]) -> None:
    """A line in words."""
    if "entries" in line:
        print(
            f"{line['language']}: {line['entries']} entries from {line['made_from']} pairs: {'; '.join(line['sample'])}"
        )
    elif "leg" not in line:
        print(
            f"{line['language']} {line['dictionary']}: {line['switched']} of {line['questions']} questions are switched"
        )
    else:
        mean = f"{line[MEASURE]:.4f} [{line['low_of_mean']:.4f}, {line['high_of_mean']:.4f}]"
        beside = ""
        if "p" in line:
            beside = f"{line['to_plain']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}] p {line['p']:.4f}"
        if "to_split" in line:
            beside += f"  to split {line['to_split']:+.4f} [{line['split_low']:+.4f}, {line['split_high']:+.4f}]"
        print(f"{line['language']} {line['leg']:6} {line['way']:8} {mean}  {beside}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every language, leg and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(LANGUAGES)}; both when left out"
    )
    parser.add_argument("--dictionary", type=Path, metavar="FILE", help="a dictionary of another source")
    parser.add_argument(
        "--limit", type=int, help="questions that each dictionary is used for; all of them when left out"
    )
    parser.add_argument(
        "--ways", nargs="+", choices=WAYS, default=list(WAYS), help="plain among them; all when left out"
    )
    parser.add_argument("--record", action=Record, help="append to results/code_switch.jsonl")
    options = parser.parse_args(arguments)
    if unknown := set(options.languages) - set(LANGUAGES):
        parser.error(f"not one of the languages: {', '.join(sorted(unknown))}")
    if "plain" not in options.ways:
        parser.error("--ways: plain is what the others are compared with")
    kinds = (False,) if options.dictionary else (False, True)
    for language, entities in product(options.languages or LANGUAGES, kinds):
        for line in compared(language, options.dictionary, options.limit, entities=entities, ways=options.ways):
            show(line)
            if options.record:
                record("code_switch", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
