"""attention heads that rank well: those that are known, and finding more"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from rag.commands import positive, progress_bar, say, warn, writable
from rag.errors import SpecError

_BAR = 40


def options(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|find")
    actions.add_parser("list", help="head sets in the package")
    find = actions.add_parser("find", help="find a model's heads, from an index alone or with judgements")
    find.add_argument("--model", required=True, metavar="M", help="packaged name, folder or hub id")
    find.add_argument("--index", required=True, metavar="DIR", help="index with a lexical leg: questions and negatives")
    find.add_argument("--out", required=True, metavar="F.json", help="head set to write")
    asked = find.add_mutually_exclusive_group()
    asked.add_argument("--qrels", metavar="DATASET", help="BEIR-layout folder: use its queries and judgements")
    asked.add_argument(
        "--queries",
        metavar="F.jsonl",
        help="what people asked, without judgements, in the forms of `rag batch`: the index's two legs grade what is found",
    )
    find.add_argument(
        "--questions",
        choices=("keywords", "titles", "generated"),
        default="keywords",
        help="without either: salient words of documents (default), their titles and first sentences, or what the model asks",
    )
    find.add_argument(
        "--teacher",
        choices=("auto", "index", "source"),
        default="auto",
        help="of such questions, what grades candidates: the index's lexical and dense leg together (auto: where it has both), "
        "or only that one is the question's source",
    )
    find.add_argument("--split", default="test", help="which judgements of --qrels (default: test)")
    find.add_argument("--cases", type=positive, default=200, metavar="N", help="queries to use (default: 200)")
    find.add_argument("--candidates", type=positive, default=20, metavar="N", help="documents per query (default: 20)")
    find.add_argument("--depth", type=int, nargs="+", metavar="L", help="deepest layers to try, from 0")
    layout_help = "every document alone, or all in one prompt, as the reranker's (default: blocks)"
    find.add_argument("--layout", choices=("blocks", "prompt"), default="blocks", help=layout_help)
    find.add_argument(
        "--max-tokens", type=positive, default=128, metavar="N", help="of a document, as the reranker's (default: 128)"
    )
    find.add_argument("--method", nargs="+", choices=("qr", "core", "ndcg", "sparse", "joint"))
    find.add_argument("--seed", type=int, default=0)


def run(given: Namespace) -> int:
    """Show the head sets that are there, or find one for a model."""
    return _list() if given.action == "list" else _find(given)


def _list() -> int:
    from rag.writing import named_head_sets

    for name, heads in named_head_sets().items():
        tried = f"weights {heads.weight_hash[:12]}" if heads.weight_hash else "not tried here"
        depth = f"{heads.deepest + 1} of {heads.layers} layers"
        say(f"{name:<44} {len(heads.weights):>3} heads, {depth:<18} {heads.layout:<7} {tried:<22} {heads.source}")
    return 0


def _find(given: Namespace) -> int:
    from rag.indexes import open_index
    from rag.writing import LLMS
    from ragline_train.heads.search_heads import find_heads
    from ragline_train.heads.weighings import NothingFound
    from ragline_train.taught import head_cases

    out = writable(given.out)
    llm = LLMS.get("transformers")(model=given.model)
    with open_index(given.index) as index, progress_bar() as progress:
        cases, found_on = head_cases(
            index,
            n=given.cases,
            depth=given.candidates,
            seed=given.seed,
            judged=given.qrels and (given.qrels, given.split),
            asked=given.queries and Path(given.queries),
            questions=given.questions,
            teacher=given.teacher,
            llm=llm,
        )
        try:
            search = find_heads(
                llm,
                cases,
                model=given.model,
                found_on=found_on,
                methods=given.method or (["joint"] if given.layout == "blocks" else ["core"]),
                depths=given.depth,
                layout=given.layout,
                max_tokens=given.max_tokens,
                progress=progress,
            )
        except NothingFound as cause:
            raise SpecError(
                f"rag heads find: {cause}; this index gave {len(cases)} for {given.cases} asked for"
            ) from cause
    search.heads.save(out)
    for depth, found in sorted(search.by_depth.items()):
        kept = int((found.weights > 0).sum())
        say(f"layers 0-{depth:<3} {found.method:<7} {kept:>3} heads  nDCG@10 {found.ndcg:.4f} ± {found.error:.4f}")
    for line in _layers(search.by_head):
        warn(line)
    if search.skipped:
        warn(
            f"layers {', '.join(map(str, search.skipped))} do not attend to the whole prompt; their heads were not tried"
        )
    names = ", ".join(search.heads.weights)
    prior = ", ".join(search.heads.prior)
    taken_off = f"of the prior {prior}" if prior else f"null strength {search.heads.null_strength}"
    say(f"{out}: {names}; {taken_off}; found on {found_on}")
    if len(cases) < 50:
        warn(f"{len(cases)} queries are few; heads found on fewer than 50 vary")
    return 0


def _layers(by_head: dict[tuple[int, int], float]) -> Iterator[str]:
    """The best head of every layer, as bars."""
    for layer in sorted({layer for layer, _ in by_head}):
        value, head = max((value, head) for (its, head), value in by_head.items() if its == layer)
        yield f"  layer {layer:>3} best head {head:>3} {value:.3f} {'#' * round(value * _BAR)}"
