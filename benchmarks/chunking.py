"""How documents are cut, measured by the documents that are found: nDCG@10 and R@10 of the built-in hybrid.

Ways to index long documents with their headings. "text alone": as `rag index` cuts, and only the text of a chunk is
indexed. "headings": as it is by default, title and heading path before the text. "context": the same and the first
sentence of the document (`transform.context`). "semantic": `chunking: {cut: meaning}`, by the default encoder, within
the same number of tokens; headings as before. "written", when it is asked for: headings and a line that the packaged
model of 135M parameters writes about each chunk (`transform.written_context`). A document counts where its best chunk
does. Intervals are of the mean, and of the difference from "headings".

    python -m benchmarks.chunking [SET ...] [--limit N] [--ways WAY ...] [--work FOLDER] [--record]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from textwrap import dedent

from benchmarks.make_samples import data_folder, take_sets
from benchmarks.record import Record, record
from generators.llm.transformers import TransformersLLM
from rag.core.protocols import Transform
from rag.core.types import Document, Query, Ranking
from rag.evaluate import Evaluation, compare, evaluate, mean_interval
from rag.evaluate.beir import Dataset, load_beir
from rag.indexing import build_index
from rag.ingest import ParsedDocument, chunk
from rag.ingest.layout import Layout
from rag.ingest.settings import ChunkSettings
from rag.pipeline import load_pipeline
from rag.stages.transform.context import ContextTransform
from ragline_recipes.written_context import WrittenContextTransform
from retrievers.encoders.sentence_encoder import SentenceEncoder

MEASURES = ("nDCG@10", "R@10")
WAYS = ("text alone", "headings", "context", "semantic", "written")
USUAL = WAYS[:-1]
"""Without the one that asks a model about every chunk."""
CUTS, MEANING = ChunkSettings(), ChunkSettings(cut="meaning")
TRANSFORMS: Mapping[str, Callable[[], Transform]] = {
    "context": ContextTransform,
    "written": lambda: WrittenContextTransform(llm=TransformersLLM()),
}

Qrels = Mapping[str, Mapping[str, int]]


def manual_pages(dataset: Dataset) -> Iterator[ParsedDocument]:
    """Pages under the headings that begin at the margin."""
    for page in dataset.documents():
        layout = Layout()
        layout.heading(1, page.title)
        for block in re.split(r"\n\s*\n|\n(?=\S)", page.text):
            first, _, rest = block.partition("\n")
            if first.isupper() and not first.startswith(" ") and "(" not in first:
                layout.heading(2, first)
                block = rest
            layout.block(dedent(block))
        yield layout.document(page.doc_id, title=page.title)


def textbook_modules(dataset: Dataset) -> Iterator[ParsedDocument]:
    """The sections of a module as one document."""
    for module, sections in groupby(dataset.documents(), key=lambda section: module_of(section.doc_id)):
        layout = Layout()
        for section in sections:
            layout.heading(1, section.title)
            for paragraph in section.text.split("\n"):
                layout.block(paragraph)
        yield layout.document(module)


def articles(dataset: Dataset) -> Iterator[ParsedDocument]:
    """Texts without headings."""
    for article in dataset.documents():
        layout = Layout()
        layout.block(article.text)
        yield layout.document(article.doc_id, title=article.title or " ".join(article.text.split()[:8]))


def module_of(doc_id: str) -> str:
    return doc_id.rpartition("-")[0]


SETS: Mapping[str, tuple[Callable[[Dataset], Iterator[ParsedDocument]], Callable[[str], str]]] = {
    "docs-manpages": (manual_pages, str),
    "openstax-medical": (textbook_modules, module_of),
    "time": (articles, str),
}
"""Set -> its long documents, and which of them an id of its judgements means."""


def units(way: str, documents: Sequence[ParsedDocument], encoder: SentenceEncoder) -> Iterator[Document]:
    """The units of all documents; what is indexed of each is its full text."""
    settings = MEANING if way == "semantic" else CUTS
    encode = partial(encoder.encode, role="document")
    transform = TRANSFORMS.get(way, lambda: None)()
    for document in documents:
        chunks = chunk(document, settings=settings, spans=encoder.spans, encode=encode)
        if transform:
            chunks = transform.transform(chunks)
        for each in chunks:
            text = each.text if way == "text alone" else each.index_text
            yield Document(doc_id=each.doc_id if "#" in each.doc_id else f"{each.doc_id}#1", text=text)


def write_units(way: str, documents: Sequence[ParsedDocument], encoder: SentenceEncoder, folder: Path) -> int:
    """Write the units as a corpus, each a document of its own. Returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    n = 0
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as out:
        for unit in units(way, documents, encoder):
            out.write(json.dumps({"_id": unit.doc_id, "title": unit.title, "text": unit.text}) + "\n")
            n += 1
    return n


def by_document(ranking: Ranking) -> list[str]:
    """Ids of the documents, by their best chunk."""
    return list(dict.fromkeys(doc_id.rpartition("#")[0] for doc_id in ranking.doc_ids))


def measure(
    way: str,
    documents: Sequence[ParsedDocument],
    queries: Sequence[Query],
    qrels: Qrels,
    encoder: SentenceEncoder,
    work: Path,
) -> tuple[int, Evaluation]:
    """Number of units, and how the documents are found."""
    n = write_units(way, documents, encoder, work / "corpus")
    build_index(work / "corpus", work / "index")
    with load_pipeline("hybrid", index=work / "index") as pipeline:
        rankings = pipeline.search_batch(queries, k=100)
    return n, evaluate({ranking.qid: by_document(ranking) for ranking in rankings}, qrels, MEASURES)


def run_set(
    name: str, data: Path, encoder: SentenceEncoder, work: Path, limit: int | None, ways: Sequence[str]
) -> list[dict[str, object]]:
    """These ways over a set, printed and as records. `limit`: documents, and the queries judged with them."""
    dataset = load_beir(data / name)
    make, meant = SETS[name]
    documents = list(islice(make(dataset), limit))
    here = {document.doc_id for document in documents}
    qrels = {
        qid: grades_here
        for qid, grades in dataset.qrels("test").items()
        if any((grades_here := {meant(i): grade for i, grade in grades.items() if meant(i) in here}).values())
    }
    queries = dataset.queries_of(qrels)
    results = {}
    for way in dict.fromkeys(("headings", *ways)):
        print(f"{name}: {way}", file=sys.stderr, flush=True)
        results[way] = measure(way, documents, queries, qrels, encoder, work / name / way.replace(" ", "-"))
    lines = []
    print(f"\n{name}: {len(documents)} documents, {len(queries)} queries")
    for way, (n, evaluation) in results.items():
        line: dict[str, object] = {"set": name, "way": way, "units": n, "queries": len(queries), "limit": limit}
        shown = f"{way:12}{n:8} units"
        for each in MEASURES:
            interval = mean_interval(list(evaluation.per_query[each].values()))
            gain = compare(evaluation, results["headings"][1])[each]
            line[each] = {
                "mean": evaluation.measures[each],
                "interval": [interval.low, interval.high],
                "gain": [gain.difference, gain.low, gain.high, gain.p],
            }
            shown += f"   {each} {evaluation.measures[each]:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
            shown += f" {gain.difference:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        print(shown, flush=True)
        lines.append(line)
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--limit", type=int, help="only the first N documents, and the queries that they answer")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=USUAL, help="beside headings; all but written")
    parser.add_argument("--work", type=Path, default=Path("build/chunking"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/chunking.jsonl")
    options = parser.parse_args(arguments)
    data = data_folder()
    encoder = SentenceEncoder(model="all-minilm-l6-v2")
    work = options.work / ("all" if options.limit is None else str(options.limit))
    for name in options.sets or SETS:
        for line in run_set(name, data, encoder, work, options.limit, options.ways):
            if options.record:
                record("chunking", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
