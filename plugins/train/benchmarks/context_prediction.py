"""CCP: questions in one language over passages in another, and over passages in three.

    all-minilm-l6-v2        reads English; pieces of other languages it has seen in passing
    multilingual-e5-small   reads a hundred languages

    plain                 vectors as they are
    calibrated            by the mean and variance of each language (`ragline_train.calibrated`)
    context               taught to pick a sentence of the neighbourhood (`ragline_train.context_prediction`)
    context, calibrated   both, which is CCP
    across, calibrated    taught with negatives of all languages, which the paper warns of, and calibrated

Both read xquad's passages, 240 of each language: they are what is searched, and in the three languages they say the same. No
question is used, nor which passages belong together: what teaches and calibrates is of one language each time. Over `all` three
the relevant passages are those of all languages, so that a space in which a language lies together puts its own first: `own` is
the share of the first ten hits that are in the question's language, where a third would be even.

nDCG@10 with 95% intervals, and the paired difference to plain, p corrected over an encoder's pairs and ways (Holm). The
encoder multilingual-e5-small is packaged in blocks of four bits, and is not taught.
Needs the folder that RAGLINE_EVAL_DATA names.

    python -m plugins.train.benchmarks.context_prediction [ENCODER ...] [--seeds 0 1 2] [--steps 300] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.evaluate import Evaluation, compare_runs, evaluate, holm, load_beir, mean_interval
from rag.indexes import SentenceEncoder
from ragline_train.calibrated import LEAST_TEXTS, write_folder
from ragline_train.context_prediction import ContextSettings, in_sentences, teach_context
from ragline_train.teaching.recipes.opened import KEPT, encoder_folder

ENCODERS = ("all-minilm-l6-v2", "multilingual-e5-small")
NOT_TAUGHT = ("multilingual-e5-small",)
LANGUAGES = ("de", "en", "zh")
ALL = "all"
_SHORT = 160
"""Characters of a passage where it is only tried."""
MEASURE = "nDCG@10"
Pair = tuple[str, str]
"""The languages of questions and of passages."""
Run = Mapping[Pair, Mapping[str, Sequence[str]]]
"""Of each pair qid -> doc_ids in order."""


class Texts:
    """Passages, questions and judgements of each language, passages under ids that say which it is."""

    def __init__(self, limit: int | None) -> None:
        sets = {language: load_beir(data_folder() / "xquad" / language) for language in LANGUAGES}
        self.questions = {
            language: {query.qid: query.text for query in list(dataset.queries)[:limit]}
            for language, dataset in sets.items()
        }
        self._relevant = {language: dataset.qrels() for language, dataset in sets.items()}
        self.passages = {
            language: self._kept(language, {each.doc_id: each.index_text for each in dataset.documents()}, limit)
            for language, dataset in sets.items()
        }

    def _kept(self, language: str, passages: Mapping[str, str], limit: int | None) -> dict[str, str]:
        """All; of a limit the beginnings of those that answer its questions, and of as many as a calibration needs."""
        if limit is not None:
            answers = {doc_id for qid in self.questions[language] for doc_id in self._relevant[language].get(qid, ())}
            some = dict.fromkeys([*(each for each in passages if each in answers), *list(passages)[:LEAST_TEXTS]])
            passages = {doc_id: passages[doc_id][:_SHORT] for doc_id in some}
        return {f"{language}-{doc_id}": text for doc_id, text in passages.items()}

    def qrels(self, pair: Pair) -> dict[str, dict[str, int]]:
        """Of the questions over the passages of a pair."""
        asked, searched = pair
        found: dict[str, dict[str, int]] = {qid: {} for qid in self.questions[asked]}
        for language in LANGUAGES if searched == ALL else (searched,):
            for qid in found:
                grades = self._relevant[language].get(qid, {})
                found[qid] |= {f"{language}-{doc_id}": grade for doc_id, grade in grades.items()}
        return found


def pairs() -> list[Pair]:
    """All that are not of one language, and each over all passages."""
    return [(asked, searched) for asked in LANGUAGES for searched in (*LANGUAGES, ALL) if asked != searched]


def rankings(encoder: SentenceEncoder, texts: Texts) -> dict[Pair, dict[str, list[str]]]:
    """Of each pair the hundred passages that are nearest to each question."""
    ids = {language: list(each) for language, each in texts.passages.items()}
    rows = {language: encoder.encode(list(each.values()), role="document") for language, each in texts.passages.items()}
    ids[ALL] = [doc_id for language in LANGUAGES for doc_id in ids[language]]
    rows[ALL] = np.concatenate([rows[language] for language in LANGUAGES])
    asked = {language: encoder.encode(list(each.values()), role="query") for language, each in texts.questions.items()}
    found: dict[Pair, dict[str, list[str]]] = {}
    for pair in pairs():
        places = np.argsort(-(asked[pair[0]] @ rows[pair[1]].T), axis=1, kind="stable")[:, :100]
        names = ids[pair[1]]
        found[pair] = {
            qid: [names[place] for place in each] for qid, each in zip(texts.questions[pair[0]], places, strict=True)
        }
    return found


def measured(texts: Texts, run: Run) -> dict[Pair, Evaluation]:
    """Of each pair."""
    return {pair: evaluate(each, texts.qrels(pair), [MEASURE]) for pair, each in run.items()}


def taught(name: str, texts: Texts, settings: ContextSettings, out: Path) -> Path:
    """A folder of the encoder, taught by the passages of each language."""
    from sentence_transformers import SentenceTransformer

    folder = encoder_folder(name)
    model = SentenceTransformer(str(folder.path), **KEPT)
    passages = {language: in_sentences(list(each.values())) for language, each in texts.passages.items()}
    losses = teach_context(model, passages, settings, prompt=folder.how.prompts.get("document", ""))
    first, last = fmean(losses[: len(losses) // 10 or 1]), fmean(losses[-(len(losses) // 10 or 1) :])
    print(f"{out.name}: loss {first:.3f} -> {last:.3f} over {settings.steps} steps, seed {settings.seed}", flush=True)
    model.save_pretrained(str(out), create_model_card=False)
    return out


def runs(name: str, texts: Texts, settings: ContextSettings | None, room: Path) -> Iterator[tuple[str, Run]]:
    """Ways and what they find: the two that teach nothing, or those that do."""
    passages = {language: list(each.values()) for language, each in texts.passages.items()}
    bases = {"plain": name}
    if settings is not None:
        bases = {
            way: str(taught(name, texts, replace(settings, across=way == "across"), room / way))
            for way in ("context", "across")
        }
    for way, base in bases.items():
        if way != "across":
            yield way, rankings(SentenceEncoder(model=base), texts)
        folder = room / f"{way}-calibrated"
        write_folder(base, folder, passages)
        calibrated = "calibrated" if way == "plain" else f"{way}, calibrated"
        yield calibrated, rankings(SentenceEncoder(model=str(folder)), texts)


def lines(name: str, texts: Texts, taught_by: Sequence[ContextSettings]) -> Iterator[dict[str, Any]]:
    """A line for each pair, way and seed."""
    found: dict[tuple[str, int | None], Run] = {}
    for settings in (None, *taught_by):
        with TemporaryDirectory(prefix="context-") as room:
            seed = None if settings is None else settings.seed
            found |= {(way, seed): run for way, run in runs(name, texts, settings, Path(room))}
    of = {key: measured(texts, run) for key, run in found.items()}
    plain = of.pop(("plain", None))
    tests = {
        (pair, key): compare_runs(plain[pair], {"other": each[pair]}, measures=[MEASURE])["other"][0].test
        for key, each in of.items()
        for pair in plain
    }
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    for pair in plain:
        yield line_of(name, pair, "plain", None, plain[pair], found["plain", None][pair])
        for way, seed in of:
            test = tests[pair, (way, seed)]
            told = line_of(name, pair, way, seed, of[way, seed][pair], found[way, seed][pair])
            yield {
                **told,
                "gain": test.difference,
                "low": test.low,
                "high": test.high,
                "p": corrected[pair, (way, seed)],
            }


def line_of(
    name: str, pair: Pair, way: str, seed: int | None, evaluation: Evaluation, run: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Without what it is compared with."""
    asked, searched = pair
    interval = mean_interval([*evaluation.per_query[MEASURE].values()])
    line = {
        "encoder": name,
        "way": way,
        "seed": seed,
        "asked": asked,
        "searched": searched,
        "queries": evaluation.n_queries,
        MEASURE: evaluation.measures[MEASURE],
        "low_of_mean": interval.low,
        "high_of_mean": interval.high,
    }
    if searched == ALL:
        line["own"] = fmean(doc_id.startswith(f"{asked}-") for each in run.values() for doc_id in each[:10])
    return line


def show(line: Mapping[str, Any]) -> None:
    """A line in words."""
    way = line["way"] if line["seed"] is None else f"{line['way']} ({line['seed']})"
    mean = f"{line[MEASURE]:.4f} [{line['low_of_mean']:.4f}, {line['high_of_mean']:.4f}]"
    own = f"  own {line['own']:.3f}" if "own" in line else ""
    gain = (
        f"  {line['gain']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}] p {line['p']:.4f}" if "gain" in line else ""
    )
    print(f"{line['encoder']} {line['asked']} over {line['searched']:3} {way:24} {mean}{own}{gain}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every encoder, pair, way and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "encoders", nargs="*", default=list(ENCODERS), metavar="ENCODER", help="packaged names or folders"
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], help="of teaching; none teaches nothing")
    parser.add_argument("--steps", type=int, default=300, help="of teaching (300)")
    parser.add_argument("--limit", type=int, help="questions of each language, over few passages; all when left out")
    parser.add_argument("--record", action=Record, help="append to results/context_prediction.jsonl")
    options = parser.parse_args(arguments)
    texts = Texts(options.limit)
    for name in options.encoders:
        seeds = [] if name in NOT_TAUGHT else options.seeds
        for line in lines(name, texts, [ContextSettings(steps=options.steps, seed=seed) for seed in seeds]):
            show(line)
            if options.record:
                record("context_prediction", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
