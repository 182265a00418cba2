"""Modules of E5: ranking taught in English, a language by hidden words, put together for German and Chinese passages of xquad.

    first       multilingual-E5-small as it is, whose first 40 of 240 passages all others put in order
    full        all its weights taught to rank in English, and asked in other languages (zero-shot transfer)
    adapters    ranking adapters on the frozen English ones; told alone, and on those of a text's own language
    masks       as many weights as such adapters have, those that move most; told alone, and with a language's

Of xquad's 48 articles half teaches and half tells. Of the half that teaches a quarter of the articles is kept apart, and chose the
learning rates (`--choose`). Ranking sees English alone: questions pick their passage within a batch of whole articles. A language
sees its own passages and questions of the articles that teach, as plain text. Passages and questions are each read with the
module of their own language; products are in bfloat16. Language modules are one size, as adapters of half of a layer's width.

nDCG@10 with 95% intervals, paired differences to `first` and to `full`, p corrected over all lines of a seed (Holm); numbers that
were taught for ranking and for a language, and their seconds. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m plugins.train.benchmarks.modular [--steps 16] [--seeds 0] [--limit N] [--choose RATE ...] [--record]
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.evaluate import Evaluation, compare_runs, evaluate, holm, load_beir, mean_interval
from ragline_train.modular.adapters import Adapters
from ragline_train.modular.differences import Difference
from ragline_train.modular.lessons import Masked, MaskedHead, Ranking, head_for
from ragline_train.modular.teaching import (
    ModuleSettings,
    Teachable,
    teach_adapters,
    teach_all,
    teach_head,
    teach_masks,
)
from ragline_train.teaching.recipes.opened import encoded

ENCODER, MEASURE = "multilingual-e5-small", "nDCG@10"
LANGUAGES = ("en", "de", "zh")
PAIRS = (("en", "de"), ("en", "zh"))
"""Languages of questions and of passages."""
DEPTH = 40
_SHORT = 60
"""Characters of a passage where it is only tried."""
REDUCTIONS = (2, 16)
OF_LANGUAGE = 2
"""Reduction of language adapters, and by it the size of language masks."""
_TEMPERATURE = 0.01
"""By which E5 itself was taught."""
RATES = {"full": 2e-4, "adapters": 2e-3, "masks": 2e-4}
RATES_OF_WORDS = {"head": 1e-3, "adapters": 2e-4, "masks": 2e-5}
Vectors = NDArray[np.float32]
T = TypeVar("T")


class Texts:
    """Passages and questions of each language, and which articles teach, are kept apart, and tell."""

    def __init__(self, limit: int | None, seed: int) -> None:
        sets = {language: load_beir(data_folder() / "xquad" / language) for language in LANGUAGES}
        documents = {
            language: {each.doc_id: each for each in dataset.documents()} for language, dataset in sets.items()
        }
        articles: dict[str, list[str]] = {}
        for doc_id, document in documents["en"].items():  # titles are in English alone; ids are those of all languages
            articles.setdefault(document.title, []).append(doc_id)
        drawn = random.Random(seed).sample(list(articles.values()), len(articles))
        if limit is not None:
            drawn = drawn[:8]
        half = len(drawn) // 2
        self.articles, apart, tell = drawn[: half * 3 // 4], drawn[half * 3 // 4 : half], drawn[half:]
        kept = {doc_id for article in drawn for doc_id in article}
        self.passages = {
            language: {doc_id: each.text[: _SHORT if limit else None] for doc_id, each in of.items() if doc_id in kept}
            for language, of in documents.items()
        }
        self.relevant = sets["en"].qrels()
        self.questions = {
            language: {query.qid: query.text for query in dataset.queries} for language, dataset in sets.items()
        }
        self.apart, self.tell = (
            [qid for qid in self.questions["en"] if any(self.relevant[qid].keys() & {*article} for article in part)][
                :limit
            ]
            for part in (apart, tell)
        )

    def asked(self, language: str) -> list[dict[str, list[str]]]:
        """Of each article that teaches, its passages with their questions."""
        of: dict[str, list[str]] = {}
        for qid, grades in self.relevant.items():
            for doc_id in grades:
                of.setdefault(doc_id, []).append(self.questions[language][qid])
        return [
            {self.passages[language][doc_id]: of[doc_id] for doc_id in article if doc_id in of}
            for article in self.articles
        ]

    def plain(self, language: str) -> list[str]:
        """Passages and questions of these, as texts that nothing is known of."""
        asked = self.asked(language)
        return [text for article in asked for passage, questions in article.items() for text in (passage, *questions)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """`put`: what the model has while it reads a language. `taught`, `of_language`: numbers; `seconds`: of both."""

    name: str
    put: Callable[[str], AbstractContextManager[None]]
    size: int | None = None
    with_language: bool = False
    taught: int = 0
    of_language: int = 0
    seconds: float = 0.0


class School:
    """What is taught, and how long it takes."""

    def __init__(self, texts: Texts, settings: ModuleSettings, encoder: str, *, tokens: int) -> None:
        self.texts, self.settings = texts, settings
        self.teachable = Teachable(encoder)
        self.base = self.teachable.base
        transformer = self.teachable.model.transformers_model
        transformer.forward = torch.autocast("cpu", dtype=torch.bfloat16)(transformer.forward)
        self.ranking = Ranking(
            model=self.teachable.model,
            articles=texts.asked("en"),
            prompts=self.teachable.prompts,
            batch=min(16, sum(map(len, texts.articles))),
            max_tokens=tokens,
            temperature=_TEMPERATURE,
            seed=settings.seed,
        )

    def rate(self, rate: float) -> ModuleSettings:
        """The settings with another learning rate."""
        return replace(self.settings, learning_rate=rate)

    def words(self, head: MaskedHead, language: str) -> Masked:
        """The lesson of a language."""
        texts = self.texts.plain(language)
        return Masked(model=self.teachable.model, head=head, texts=texts, batch=8, seed=self.settings.seed)

    def head(self) -> MaskedHead:
        """For words of all languages, taught in turns; nothing below it is."""
        plain = {language: self.texts.plain(language) for language in LANGUAGES}
        head = head_for(self.teachable.model, [text for of in plain.values() for text in of], seed=self.settings.seed)
        lessons = [self.words(head, language) for language in LANGUAGES]
        teach_head(self.base, head, lambda step: lessons[step % 3](step), self.rate(RATES_OF_WORDS["head"]))
        return head

    def full(self, rate: float) -> Difference:
        """All weights, by ranking."""
        return said("full", *teach_all(self.base, self.ranking, self.rate(rate)))

    def language_adapters(self, head: MaskedHead, rate: float) -> dict[str, Adapters]:
        """Of each language."""
        found = {}
        for language in LANGUAGES:
            adapters = self.teachable.sockets.new(reduction=OF_LANGUAGE, seed=self.settings.seed)
            lesson = self.words(head, language)
            losses = teach_adapters(self.base, self.teachable.sockets, adapters, lesson, self.rate(rate))
            found[language] = said(f"adapters, {language}", adapters, losses)
        return found

    def ranking_adapters(self, reduction: int, english: Adapters, rate: float) -> Adapters:
        """On those of English."""
        adapters = self.teachable.sockets.new(reduction=reduction, seed=self.settings.seed)
        losses = teach_adapters(
            self.base, self.teachable.sockets, adapters, self.ranking, self.rate(rate), on=[english]
        )
        return said(f"adapters, {adapters.size}", adapters, losses)

    def language_masks(self, head: MaskedHead, size: int, rate: float) -> dict[str, Difference]:
        """Of each language."""
        return {
            language: said(f"masks, {language}", *mask)
            for language in LANGUAGES
            for mask in teach_masks(self.base, self.words(head, language), self.rate(rate), sizes=[size])
        }

    def ranking_masks(self, sizes: Sequence[int], english: Difference, rate: float) -> list[Difference]:
        """On that of English."""
        with self.base.added(english):
            found = teach_masks(self.base, self.ranking, self.rate(rate), sizes=sizes)
        return [said(f"masks, {size}", *each) for size, each in zip(sizes, found, strict=True)]

    def sizes(self) -> list[int]:
        """Of adapters, by reduction, and so of masks."""
        return [self.teachable.sockets.new(reduction=reduction).size for reduction in REDUCTIONS]


def said(name: str, module: T, losses: Sequence[float]) -> T:
    """The module; its losses are told."""
    few = max(1, len(losses) // 5)
    print(f"  {name}: loss {np.mean(losses[:few]):.3f} -> {np.mean(losses[-few:]):.3f}", flush=True)
    return module


def taught(school: School) -> Iterator[Way]:
    """All ways, the first stage first."""
    base, sockets, clock = school.base, school.teachable.sockets, perf_counter
    yield Way(name="first", put=lambda language: nullcontext())
    begun = clock()
    full = school.full(RATES["full"])
    yield Way(name="full", put=lambda language: base.added(full), taught=full.size, seconds=clock() - begun)
    head = school.head()
    begun = clock()
    adapters = school.language_adapters(head, RATES_OF_WORDS["adapters"])
    of_language = clock() - begun
    for reduction in REDUCTIONS:
        begun = clock()
        ranking = school.ranking_adapters(reduction, adapters["en"], RATES["adapters"])
        way = Way(name="adapters", put=_stack(sockets.added, ranking), size=reduction, taught=ranking.size)
        way = replace(way, seconds=clock() - begun)
        yield way
        yield _with(way, _stack(sockets.added, ranking, adapters), adapters["de"].size, of_language)
    sizes = school.sizes()
    begun = clock()
    masks = school.language_masks(head, sizes[REDUCTIONS.index(OF_LANGUAGE)], RATES_OF_WORDS["masks"])
    of_language = clock() - begun
    begun = clock()
    found = school.ranking_masks(sizes, masks["en"], RATES["masks"])
    for reduction, mask in zip(REDUCTIONS, found, strict=True):
        way = Way(name="masks", put=_stack(base.added, mask), size=reduction, taught=mask.size)
        way = replace(way, seconds=(clock() - begun) / len(sizes))
        yield way
        yield _with(way, _stack(base.added, mask, masks), masks["de"].size, of_language)


def _stack(
    added: Callable[..., AbstractContextManager[None]], ranking: Any, languages: Mapping[str, Any] | None = None
) -> Callable[[str], AbstractContextManager[None]]:
    return lambda language: added(*([languages[language]] if languages else []), ranking)


def _with(way: Way, put: Callable[[str], AbstractContextManager[None]], n: int, seconds: float) -> Way:
    return replace(way, put=put, with_language=True, of_language=n, seconds=way.seconds + seconds)


class Bed:
    """Questions, and what the first stage finds for each."""

    def __init__(self, school: School, qids: Sequence[str], pairs: Sequence[tuple[str, str]] = PAIRS) -> None:
        self._school, self._qids, self.pairs = school, qids, pairs
        self._first = self._read(lambda language: nullcontext())
        self._found = {pair: np.argsort(-self._scores(self._first, pair), axis=1, kind="stable") for pair in pairs}

    def told(self, way: Way) -> dict[tuple[str, str], Evaluation]:
        """Of each pair of languages: the first stage's first passages, in the way's order."""
        read = self._first if way.name == "first" else self._read(way.put)
        texts, found = self._school.texts, {}
        doc_ids = list(texts.passages["en"])
        for pair in self.pairs:
            scores = self._scores(read, pair)
            run = {}
            for row, qid in enumerate(self._qids):
                first = self._found[pair][row][:DEPTH]
                run[qid] = [doc_ids[at] for at in first[np.argsort(-scores[row][first], kind="stable")]]
            found[pair] = evaluate(run, {qid: texts.relevant[qid] for qid in self._qids}, [MEASURE])
        return found

    def _read(self, put: Callable[[str], AbstractContextManager[None]]) -> dict[tuple[str, str], Vectors]:
        texts, teachable = self._school.texts, self._school.teachable
        read = {}
        for role, languages in (("query", {a for a, _ in self.pairs}), ("document", {b for _, b in self.pairs})):
            for language in sorted(languages):
                of = texts.passages[language] if role == "document" else texts.questions[language]
                wanted = [*of.values()] if role == "document" else [of[qid] for qid in self._qids]
                with put(language):
                    read[role, language] = encoded(teachable.model, wanted, teachable.prompts.get(role, ""))
        return read

    def _scores(self, read: Mapping[tuple[str, str], Vectors], pair: tuple[str, str]) -> Vectors:
        scores: Vectors = read["query", pair[0]] @ read["document", pair[1]].T
        return scores


def lines(school: School, encoder: str) -> Iterator[dict[str, Any]]:
    """A line for each way and pair of languages."""
    bed = Bed(school, school.texts.tell)
    of = [(way, bed.told(way)) for way in taught(school)]
    first, full = of[0][1], of[1][1]
    tests = {}
    for at, (_, told) in enumerate(of):
        for pair in bed.pairs:
            for name, base in (("first", first), ("full", full))[: min(at, 2)]:
                tests[at, pair, name] = compare_runs(base[pair], {"it": told[pair]}, measures=[MEASURE])["it"][0].test
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    for at, (way, told) in enumerate(of):
        for pair in bed.pairs:
            interval = mean_interval([*told[pair].per_query[MEASURE].values()])
            line: dict[str, Any] = {
                "encoder": encoder,
                "way": way.name,
                "reduction": way.size,
                "language": way.with_language,
                "asked": pair[0],
                "searched": pair[1],
                "queries": told[pair].n_queries,
                MEASURE: told[pair].measures[MEASURE],
                "low_of_mean": interval.low,
                "high_of_mean": interval.high,
                "taught": way.taught,
                "of_language": way.of_language,
                "seconds": round(way.seconds),
                "steps": school.settings.steps if way.taught else 0,
                "seed": school.settings.seed,
            }
            for name in ("first", "full"):
                if (at, pair, name) in tests:
                    test = tests[at, pair, name]
                    line |= {f"to_{name}": test.difference, f"{name}_low": test.low, f"{name}_high": test.high}
                    line[f"{name}_p"] = corrected[at, pair, name]
            yield line


def choose(school: School, rates: Sequence[float]) -> None:
    """Print what the questions kept apart say of each learning rate, in English over German.

    Masks take the rate of `full`, as they begin by it; adapters ten times as much.
    """
    bed = Bed(school, school.texts.apart, PAIRS[:1])

    def tell(name: str, put: Callable[[str], AbstractContextManager[None]]) -> None:
        [told] = bed.told(Way(name=name, put=put)).values()
        print(f"{name}: {told.measures[MEASURE]:.4f}", flush=True)

    base, sockets = school.base, school.teachable.sockets
    tell("first", lambda language: nullcontext())
    head = school.head()
    for rate in rates:
        full = school.full(rate)
        tell(f"full {rate:g}", lambda language, full=full: base.added(full))
        ten = rate * 10
        ranking = school.ranking_adapters(REDUCTIONS[-1], sockets.new(reduction=OF_LANGUAGE), ten)
        tell(f"adapters {ten:g}", _stack(sockets.added, ranking))
        adapters = school.language_adapters(head, ten)
        tell(f"adapters of languages alone {ten:g}", lambda language, some=adapters: sockets.added(some[language]))


def show(line: Mapping[str, Any]) -> None:
    """A line in words."""
    beside = "".join(
        f"  to {base} {line[f'to_{base}']:+.4f} [{line[f'{base}_low']:+.4f}, {line[f'{base}_high']:+.4f}]"
        for base in ("first", "full")
        if f"to_{base}" in line
    )
    name = f"{line['way']} {line['reduction'] or ''}{' with language' if line['language'] else ''}"
    print(
        f"{line['asked']} over {line['searched']} {name:26} {line[MEASURE]:.4f} [{line['low_of_mean']:.4f},"
        f" {line['high_of_mean']:.4f}]{beside}  {line['taught']:,} + {line['of_language']:,}, {line['seconds']} s",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every way and pair of languages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default=ENCODER, metavar="NAME", help=f"a packaged name or a folder ({ENCODER})")
    parser.add_argument("--steps", type=int, default=16, help="of each module (16)")
    parser.add_argument("--tokens", type=int, default=96, help="of a text that ranking is taught by (96)")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="of teaching, and of the halves")
    parser.add_argument("--limit", type=int, help="questions, over few articles; all when left out")
    parser.add_argument("--choose", nargs="+", type=float, metavar="RATE", help="only tell what rates do, kept apart")
    parser.add_argument("--record", action=Record, help="append to results/modular.jsonl")
    options = parser.parse_args(arguments)
    for seed in options.seeds:
        settings = ModuleSettings(steps=options.steps, seed=seed)
        school = School(Texts(options.limit, seed), settings, options.encoder, tokens=options.tokens)
        if options.choose:
            choose(school, options.choose)
            continue
        for line in lines(school, options.encoder):
            show(line)
            if options.record:
                record("modular", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
