"""The command line: every command with its options and defaults; what several share is in `rag.cli.options`."""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentError, RawDescriptionHelpFormatter
from argparse import ArgumentParser as StandardParser
from pathlib import Path
from typing import Any, NoReturn

from rag.cli.cluster_parser import add_options as add_cluster_options
from rag.cli.console import plain
from rag.cli.front import front_page
from rag.cli.lab_parser import add_actions
from rag.cli.options import (
    GRAPH_HELP,
    PATIENCE_S,
    add_plugins,
    asking,
    calibrated,
    consenting,
    filtered,
    indexed,
    logged,
    patient,
    positive,
    traceable,
    walled,
    written,
)
from rag.cli.shadow_parser import add_options as add_shadow_options
from rag.core.errors import did_you_mean

EXTENSIBLE = (
    "index",
    "search",
    "ask",
    "chat",
    "batch",
    "mcp",
    "serve",
    "eval",
    "calibrate",
    "weigh",
    "check",
    "draw",
    "list",
    "doctor",
    "models",
)
"""Commands that read graphs."""

NO_SERVER_HELP = "do the work here, though a `rag serve` of this index and graph runs"
LANGUAGE_HELP = (
    "ISO 639-1 language of the documents; each: every document in its own; auto, the default: as the texts are"
)


class ArgumentParser(StandardParser):
    """The standard one; what a wrong command line holds is told in plain characters, with the nearest name that there is."""

    def error(self, message: str) -> NoReturn:
        super().error(plain(message))

    def _check_value(self, action: Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise ArgumentError(action, f"there is no {value!r}. {did_you_mean(str(value), map(str, action.choices))}")


def parser() -> ArgumentParser:
    """The parser of the `rag` command."""
    from rag.core.version import VERSION

    root = ArgumentParser(
        prog="rag",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        epilog="exit codes: 0 ok · 1 a gate was not passed, or a run no longer holds · 2 usage or configuration · "
        "3 missing dependency or model · 4 bad or mismatched index · 5 a stage failed",
        formatter_class=RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"ragline {VERSION}")
    commands = root.add_subparsers(
        dest="command", metavar="COMMAND", prog="rag", help=SUPPRESS
    )  # the description has them
    said: dict[str, str] = {}

    def command(name: str, help: str, module: str | None = None) -> ArgumentParser:
        said[name] = help
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(module=module or name)
        if name in EXTENSIBLE:
            add_plugins(sub)
        else:
            sub.set_defaults(plugin=[])
        sub.set_defaults(wants_index="no", index=None)
        loudness = sub.add_mutually_exclusive_group()
        loudness.add_argument("-q", "--quiet", action="store_true", help="results and errors alone")
        loudness.add_argument(
            "-v", "--verbose", action="store_true", help="also what is logged, and where errors came from"
        )
        return sub

    index = command("index", "files, folders or a BEIR folder -> an index directory, made or added to")
    index.add_argument("sources", nargs="*", metavar="SRC", help="files and folders; none for all that the index has")
    indexed(index, needed=True)
    index.add_argument(
        "--graph",
        metavar="G",
        help=f"whose index settings and legs (default: as the index has them, else hybrid): {GRAPH_HELP}",
    )
    index.add_argument("--name", metavar="NAME", help="what to call the one SRC; known: that source lies at SRC now")
    prune_help = "drop sources that are not named; with none named, those that are no longer there"
    index.add_argument("--prune", action="store_true", help=prune_help)
    consenting(index)
    index.add_argument("--language", metavar="CODE", help=LANGUAGE_HELP)
    ocr_help = "also read pages of PDF that are pictures; slow (needs the extra ocr)"
    index.add_argument("--ocr", action="store_true", help=ocr_help)
    labels_help = "JSONL file that says who may read which document; once given, the index keeps what it says"
    index.add_argument("--labels", metavar="FILE", help=labels_help)
    access_help = "key of the documents' metadata that says who may read them"
    index.add_argument("--access-key", metavar="KEY", help=access_help)
    own_help = "score words for whoever asks as if there were nothing but what they may read; the index keeps to it"
    index.add_argument("--own-statistics", action="store_true", help=own_help)
    index.add_argument(
        "--states",
        action="store_true",
        help="also let the graph's attention reranker read every document now, if it keeps states on disk",
    )
    watch_help = "go on: whenever files of the sources change, bring the index up to date (needs the extra watch)"
    index.add_argument("--watch", action="store_true", help=watch_help)
    index.add_argument("--json", action="store_true", help="print one JSON document")
    add_cluster_options(index)
    add_shadow_options(index)

    add = command("add", "documents of JSON lines -> an index, without reading what it has")
    add.add_argument(
        "files", nargs="+", metavar="FILE", help="an object a line: id, text, title; all else is metadata; -: stdin"
    )
    indexed(add, needed=True)
    add.add_argument("--update", action="store_true", help="in the place of those that have the same ids")
    add.add_argument("--json", action="store_true", help="print one JSON document")

    sources = command("sources", "where the documents of an index come from")
    indexed(sources, needed=True)
    sources.add_argument("--json", action="store_true", help="print one JSON document")

    remove = command("remove", "take sources or documents out of an index")
    remove.add_argument("targets", nargs="+", metavar="WHAT", help="a source, a file or a document, by name or id")
    indexed(remove, needed=True)
    consenting(remove)
    receipt_help = (
        "also out of kept states, cached indexes and --also; then look for them everywhere, and write that down"
    )
    remove.add_argument("--receipt", type=Path, metavar="FILE", help=receipt_help)
    also_help = "with --receipt: conversations of `rag serve`, a folder of `rag batch`, traces, or any other place"
    remove.add_argument(
        "--also", action="append", type=Path, default=[], metavar="PATH", help=f"{also_help}; again: one more"
    )
    remove.add_argument("--json", action="store_true", help="print one JSON document")

    listing_documents = command("ls", "the documents of an index")
    listing_documents.add_argument("beginning", nargs="?", default="", metavar="ID", help="only ids that begin so")
    indexed(listing_documents, needed=True)
    listing_documents.add_argument("--limit", type=positive, metavar="N", help="only the first N")
    listing_documents.add_argument("--json", action="store_true", help="a JSON document a line")

    show = command("show", "a document, as the index holds it")
    show.add_argument("doc_id", metavar="ID", help="of a document or a passage")
    indexed(show, needed=True)
    asking(show)
    show.add_argument("--json", action="store_true", help="print one JSON document")

    init = command("init", "write a commented graph to begin with")
    init.add_argument("file", nargs="?", default="graph.yaml", metavar="FILE", help="default: graph.yaml")
    init.add_argument("--graph", default="ask", metavar="G", help="built-in graph to begin with (default: ask)")

    completion = command("completion", "a script that completes commands in your shell")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))

    search = command("search", "ranked passages for a query")
    search.add_argument("query", nargs="?", help="unset, or -: what stdin says")
    indexed(search, needed=True, several=True)
    search.add_argument("-k", type=positive, default=10, help="passages to show (default: 10)")
    search.add_argument("--graph", default="hybrid", metavar="G", help=GRAPH_HELP)
    filtered(search)
    asking(search)
    calibrated(search, answers=False)
    search.add_argument("--explain", action="store_true", help="also say of what parts each score is the sum")
    search.set_defaults(model=None, url=None, patience=PATIENCE_S)  # for a server that has the same graph
    search.add_argument("--json", action="store_true", help="print one JSON document")
    search.add_argument("--no-server", action="store_true", help=NO_SERVER_HELP)
    search.add_argument("--offline", action="store_true", help="fail rather than fetch a model")
    traceable(search)

    ask = command("ask", "an answer with numbered citations")
    ask.add_argument("question", nargs="?", help="unset, or -: what stdin says")
    indexed(ask, needed=False, several=True)
    written(ask)
    patient(ask)
    calibrated(ask)
    ask.add_argument("--graph", default="ask", metavar="G", help=GRAPH_HELP)
    filtered(ask)
    asking(ask)
    logged(ask)
    ask.add_argument("--json", action="store_true", help="print one JSON document instead of streaming")
    ask.add_argument("--no-server", action="store_true", help=NO_SERVER_HELP)
    ask.add_argument("--offline", action="store_true", help="fail rather than fetch a model")
    traceable(ask)

    chat = command("chat", "a conversation: questions that follow one another, each answered as ask does")
    indexed(chat, needed=False, several=True)
    written(chat)
    patient(chat)
    calibrated(chat)
    chat.add_argument("--graph", default="chat", metavar="G", help=GRAPH_HELP)
    filtered(chat)
    asking(chat)
    logged(chat)
    chat.add_argument("--offline", action="store_true", help="fail rather than fetch a model")
    traceable(chat)

    batch = command("batch", "a file of questions -> a file of answers, durably")
    questions_help = ".jsonl: a JSON object a line, id and question; .txt: a question a line"
    batch.add_argument("questions", metavar="QUESTIONS", help=questions_help)
    batch.add_argument("--graph", default="ask", metavar="G", help=GRAPH_HELP)
    indexed(batch, needed=False, several=True)
    written(batch)
    calibrated(batch)
    batch.add_argument("--out", required=True, metavar="DIR", help="run folder to write")
    batch.add_argument("--resume", action="store_true", help="go on with the run in --out; repeats nothing")
    batch.add_argument("--retry-failed", action="store_true", help="as --resume, and ask what failed again")
    batch.add_argument("--workers", type=positive, metavar="N", help="batches at a time (default: 2; by stage 1)")
    batch.add_argument("--batch", type=positive, metavar="N", help="questions a batch (default: 64; by stage 1,024)")
    batch.add_argument("--by-stage", action="store_true", help="each stage alone in memory: only the largest must fit")
    batch.add_argument(
        "--ray", metavar="ADDRESS", help="work on this Ray cluster, or 'local'; --workers actors a stage"
    )
    batch.add_argument("--ray-gpus", type=float, default=0, metavar="N", help="GPUs of an actor that runs a model")
    batch.add_argument("--limit", type=positive, metavar="N", help="only the first N questions")
    filtered(batch)
    asking(batch)
    batch.add_argument("--json", action="store_true", help="print one JSON document")
    batch.add_argument("--offline", action="store_true", help="fail rather than fetch a model")
    traceable(batch)

    mcp = command("mcp", "search and answer as tools of the Model Context Protocol")
    mcp.add_argument("--graph", default="ask", metavar="G", help=GRAPH_HELP)
    indexed(mcp, needed=False, several=True)
    written(mcp)
    patient(mcp)
    asking(mcp, "who asks on stdin, where documents say who may read them")
    mcp.add_argument("--http", action="store_true", help="streamable HTTP instead of stdin and stdout")
    mcp.add_argument("--host", default="127.0.0.1", help="address to listen at, with --http (default: 127.0.0.1)")
    mcp.add_argument(
        "--port", type=int, default=8765, help="port to listen at, with --http; 0: a free one (default: 8765)"
    )
    mcp.add_argument("--keys", type=Path, metavar="FILE", help="keys that may ask, with --http; or in RAGLINE_KEYS")
    logged(mcp)
    walled(mcp)
    mcp.add_argument("--offline", action="store_true", help="fail rather than fetch a model")
    traceable(mcp)

    serve = command("serve", "chat, search, reranking and embeddings over HTTP (needs the extra serve)")
    serve.add_argument(
        "--graph", action="append", metavar="G", help=f"{GRAPH_HELP} (default: chat); again: another model"
    )
    indexed(serve, needed=False, several=True)
    written(serve)
    patient(serve)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    serve.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    serve.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="NAME",
        help="what clients call a model (default: its graph's name)",
    )
    serve.add_argument("--allow-system", action="store_true", help="put system messages above the graph's prompt")
    serve.add_argument("--batch", type=positive, default=32, metavar="N", help="requests in a batch (default: 32)")
    serve.add_argument("--streams", type=positive, default=16, metavar="N", help="answers streamed at a time (16)")
    serve.add_argument(
        "--waiting", type=positive, default=64, metavar="N", help="requests that may wait; else 429 (64)"
    )
    serve.add_argument("--max-tokens", type=positive, metavar="N", help="most tokens asked for (default: the graph's)")
    serve.add_argument("--keys", type=Path, metavar="FILE", help="keys that may ask, of `rag keys`; or in RAGLINE_KEYS")
    serve.add_argument("--uploads", type=Path, metavar="FOLDER", help="take files for the index, and keep them there")
    serve.add_argument("--sessions", type=Path, metavar="FILE", help="keep conversations there; unset keeps none")
    logged(serve)
    walled(serve)
    serve.add_argument("--offline", action="store_true", help="fail rather than fetch a model")
    traceable(serve)

    log = command("log", "what was asked and answered, where --log kept it: shown, rated, taken out")
    log.add_argument("file", metavar="FILE", help="the file that --log named")
    log.add_argument("-n", type=positive, metavar="N", help="the last N entries (default: all)")
    log.add_argument("--since", metavar="DATE", help="entries since then, such as 2026-11-01")
    log.add_argument("--rate", nargs=2, metavar=("ID", "VALUE"), help="say of an answer that it is good, bad or none")
    log.add_argument("--forget", nargs="+", default=[], metavar="ID", help="take entries out, for good")
    asking(log, "whose entries; unset: everybody's")
    log.add_argument("--json", action="store_true", help="print one JSON document a line")

    evaluate = command("eval", "a BEIR-layout folder and a graph -> measures", module="evaluate")
    evaluate.add_argument("dataset", metavar="DATASET")
    evaluate.add_argument("--graph", required=True, metavar="G", help=GRAPH_HELP)
    calibrated(evaluate)
    evaluate.add_argument("--split", default="test")
    evaluate.add_argument("--measures", help="in one string: of ir_measures, AllRelevant@k, EM, F1, ROUGE-L, ...")
    evaluate.add_argument("--baseline", metavar="RUN", help="TREC run or run folder to compare with, paired")
    evaluate.add_argument("--run", metavar="FILE", help="TREC run to use as first stage")
    evaluate.add_argument("--within", metavar="FIELD", help="a query searches only documents that share its FIELD")
    evaluate.add_argument("--limit", type=positive, metavar="N", help="only the first N questions")
    evaluate.add_argument("--language", metavar="CODE", help=LANGUAGE_HELP)
    evaluate.add_argument("--max-failures", type=float, metavar="SHARE", help="exit 5 above this share of bad outcomes")
    evaluate.add_argument("--out", required=True, metavar="DIR", help="run folder to write")
    evaluate.add_argument("--json", action="store_true", help="print one JSON document")

    compare = command("compare", "runs over the same queries -> which is better, by how much, and on which queries")
    runs_help = (
        "the baseline, then the others: folders of `rag eval` or `rag batch`, TREC runs, tables of values per query"
    )
    compare.add_argument("runs", nargs="+", metavar="RUN", help=runs_help)
    dataset_help = "BEIR-layout folder that TREC runs and batches are measured by"
    compare.add_argument("--dataset", metavar="DIR", help=dataset_help)
    compare.add_argument("--split", default="test")
    compare.add_argument("--measures", help="in one string; unset takes all that the runs have in common")
    compare.add_argument("--common", action="store_true", help="over the queries that both have")
    compare.add_argument("--queries", type=int, default=3, metavar="N", help="queries that gained and lost most (3)")
    compare.add_argument("--language", default="en", metavar="CODE", help="ISO 639-1 language of answers (en)")
    compare.add_argument("--json", action="store_true", help="print one JSON document")

    weigh = command("weigh", "questions without judgements -> how far each list of a fusion is to be trusted")
    weigh.add_argument("questions", metavar="QUESTIONS", help="JSONL, or a question a line in a .txt file")
    weigh.add_argument("--graph", required=True, metavar="G", help=GRAPH_HELP)
    indexed(weigh, needed=True)
    weigh.add_argument("--node", metavar="NAME", help="the fusion (default: the only one)")
    weigh.add_argument(
        "--judge", metavar="NAME", help="the list that judges (default: that of retrieve.late_interaction)"
    )
    weigh.add_argument("--limit", type=positive, metavar="N", help="only the first N questions")
    weigh.add_argument("--json", action="store_true", help="print one JSON document")
    weigh.add_argument("--offline", action="store_true", help="fail rather than fetch a model")

    bitext = command("bitext", "texts in two languages -> pairs that say the same, by an encoder that knows both")
    texts_help = ".jsonl: a JSON object a line, id and text; .txt: a text a line"
    bitext.add_argument("left", metavar="LEFT", help=texts_help)
    bitext.add_argument("right", metavar="RIGHT", help="the same in the other language")
    encoder_help = "packaged name, folder or hub id of an encoder that was trained on both languages"
    bitext.add_argument("--encoder", required=True, metavar="NAME", help=encoder_help)
    bitext.add_argument("--revision", metavar="REV", help="hub revision")
    bitext.add_argument("--out", required=True, metavar="F.jsonl", help="pairs to write, the best first")
    by_help = "margin: cosine by that of both texts' neighbours (default); cosine: that of the pair alone"
    bitext.add_argument("--by", choices=("margin", "cosine"), default="margin", help=by_help)
    bitext.add_argument("--least", type=float, metavar="X", help="what a pair has to reach (margin: 1.06; cosine: 0.8)")
    bitext.add_argument("--mutual", action="store_true", help="only pairs of texts that are each other's best")
    bitext.add_argument(
        "--neighbours", type=positive, default=4, metavar="K", help="of a text, for margins (default: 4)"
    )
    role_help = "prompt of the model that texts get, where it has any; of E5 models: query (default: document)"
    bitext.add_argument("--role", choices=("query", "document"), default="document", help=role_help)
    bitext.add_argument("--limit", type=positive, metavar="N", help="only the first N texts of each file")
    bitext.add_argument("--json", action="store_true", help="print one JSON document")

    made = command("dictionary", "pairs of texts in two languages -> a dictionary for reformulate.code_switch")
    made.add_argument("pairs", metavar="PAIRS", help="JSONL with left_text and right_text, as rag bitext writes it")
    made.add_argument("--language", required=True, metavar="CODE", help="ISO 639-1 language of the right texts")
    made.add_argument("--out", required=True, metavar="F.tsv", help="entries to write, the surest first")
    pairs_help = "pairs that two phrases have to come in together (default: 2)"
    made.add_argument("--least-pairs", type=positive, default=2, metavar="N", help=pairs_help)
    made.add_argument(
        "--least", type=float, default=0.5, metavar="X", help="least share of pairs in common (default: 0.5)"
    )
    made.add_argument("--json", action="store_true", help="print one JSON document")

    board = command("leaderboard", "a folder of runs -> a page: sets by systems, with tests and pictures")
    board.add_argument(
        "folder", metavar="DIR", help="SET/SYSTEM, each as `rag compare` takes runs; or one set's systems"
    )
    board.add_argument("-o", "--output", metavar="FILE", help="page to write (default: leaderboard.html in DIR)")
    board.add_argument("--title", help="of the page (default: the folder's name)")
    board.add_argument("--baseline", metavar="SYSTEM", help="test the others against it; unset tests nothing")
    measures_help = "in one string, the one that is drawn first; unset takes all that the runs have in common"
    board.add_argument("--measures", help=measures_help)
    datasets_help = "what TREC runs and batches are measured by: a BEIR-layout folder, or a folder of one for each set"
    board.add_argument("--dataset", metavar="DIR", help=datasets_help)
    board.add_argument("--split", default="test")
    qrels_help = "or TREC judgements of a set, SET=FILE; may be repeated"
    board.add_argument("--qrels", action="append", default=[], metavar="SET=FILE", help=qrels_help)
    published_help = "JSON list of figures to show beside: system, set, measure, value, source"
    board.add_argument("--published", metavar="FILE", help=published_help)
    board.add_argument("--common", action="store_true", help="test over the queries that both have")
    board.add_argument("--language", default="en", metavar="CODE", help="ISO 639-1 language of answers (en)")
    board.add_argument("--json", action="store_true", help="print the data as JSON; the page only with --output")

    calibrate = command("calibrate", "questions -> what a graph's scores are worth, and which answers it may give")
    calibrate.add_argument(
        "questions",
        nargs="?",
        metavar="QUESTIONS",
        help=".jsonl: id, question, and what is known: answers, answerable, supporting_ids; unset estimates without labels",
    )
    calibrate.add_argument("--graph", default="ask", metavar="G", help=GRAPH_HELP)
    indexed(calibrate, needed=True)
    written(calibrate)
    other_help = "without labels: an index of another corpus, whose questions have no answer here"
    calibrate.add_argument("--other", metavar="DIR", help=other_help)
    log_help = "without labels: what people asked, in the forms of `rag batch`; how many would be answered is counted"
    calibrate.add_argument("--log", metavar="FILE", help=log_help)
    calibrate.add_argument(
        "--risk", type=float, default=0.1, metavar="A", help="most wrong answers of those given (0.1)"
    )
    calibrate.add_argument("--confidence", type=float, default=0.95, metavar="C", help="that the risk is kept (0.95)")
    coverage_help = "share of the questions that must get an answer at the least (0.1)"
    calibrate.add_argument("--least-coverage", type=float, default=0.1, metavar="S", help=coverage_help)
    calibrate.add_argument("--min-relevance", type=float, default=0.0, metavar="R", help="hits must be worth that (0)")
    calibrate.add_argument(
        "--right",
        choices=("auto", "contains", "f1", "passage", "answerable"),
        default="auto",
        help="what makes an answer right (default: it contains a reference, where there are some)",
    )
    limit_help = "only the first N questions; without labels, how many (200)"
    calibrate.add_argument("--limit", type=positive, metavar="N", help=limit_help)
    calibrate.add_argument("--seed", type=int, default=0, help="of dealing out the questions")
    calibrate.add_argument("-o", "--out", required=True, metavar="FILE", help="calibration to write")
    calibrate.add_argument("--json", action="store_true", help="print one JSON document")
    calibrate.add_argument("--offline", action="store_true", help="fail rather than fetch a model")
    traceable(calibrate)

    check = command("check", "validate a graph without loading weights", module="graphs")
    check.add_argument("graph", nargs="?", metavar="G", help=GRAPH_HELP)
    check.add_argument("--index", metavar="DIR", help="also check it against this index")
    check.add_argument("--memory", action="store_true", help="also print what each part will need of the memory")
    check.add_argument("--by-stage", action="store_true", help="the same for `rag batch --by-stage`, stage by stage")
    check.add_argument("--connect", action="store_true", help="ask the graph's servers what they can read")
    check.add_argument("--schema", action="store_true", help="print the JSON Schema of graph files, for editors")

    draw = command("draw", "a picture of a graph", module="graphs")
    draw.add_argument("graph", metavar="G", help=GRAPH_HELP)
    draw.add_argument(
        "-o", "--output", metavar="F", help="file to write: .svg, .mmd or .html; unset draws in the terminal"
    )

    listing = command("list", "components with parameters and sources", module="graphs")
    listing.add_argument(
        "stage", nargs="?", help="one stage, 'graph' for built-in graphs, 'recipes' for those of papers"
    )
    listing.add_argument("--json", action="store_true", help="print one JSON document")

    doctor = command("doctor", "what is installed and works")
    doctor.add_argument("--index", metavar="DIR", help="also verify every file of this index")
    doctor.add_argument("--graph", metavar="G", help=f"also try its engines: {GRAPH_HELP}")
    doctor.add_argument("--connect", action="store_true", help="also ask the graph's servers, with the keys it names")
    doctor.add_argument("--port", type=int, metavar="N", help="a server is to listen there: fail if it cannot")
    doctor.add_argument("--keys", type=Path, metavar="FILE", help="also look at this file of keys")

    heads = command("heads", "attention heads that rank well: those that are known, and finding more")
    actions = heads.add_subparsers(dest="action", required=True, metavar="list|find")
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

    keys = command("keys", "a key for `rag serve`, printed once")
    keys.add_argument("file", nargs="?", metavar="FILE", help="file that its hash is added to; unset only prints it")
    asking(keys, "whom the key is for: whoever holds it reads what they may read")
    keys.add_argument("--write", action="store_true", help="it may also add, update and remove documents")
    keys.add_argument("--name", default="first", help="what the key is called in the file (default: first)")

    models = command("models", "the model cache")
    actions = models.add_subparsers(dest="action", required=True, metavar="list|pull|distil")
    listed = actions.add_parser("list", help="packaged models and their state")
    listed.add_argument("--graph", metavar="G", help=f"the models that it loads: {GRAPH_HELP}")
    listed.add_argument("--index", metavar="DIR", help="also those of this index")
    pull = actions.add_parser("pull", help="fetch a model now")
    pull.add_argument("name", nargs="?", metavar="NAME", help="packaged name or hub id")
    pull.add_argument("--revision", metavar="REV", help="hub revision")
    pull.add_argument("--graph", metavar="G", help=f"all models that it loads: {GRAPH_HELP}")
    pull.add_argument("--index", metavar="DIR", help="also those of this index")
    distil = actions.add_parser("distil", help="make static vectors of an encoder: fast, and less exact")
    distil.add_argument("name", metavar="NAME", help="packaged name, folder or hub id of the encoder")
    distil.add_argument("--out", required=True, metavar="DIR", help="folder to write, to be named as an encoder")
    distil.add_argument("--revision", metavar="REV", help="hub revision")
    distil.add_argument("--dim", type=positive, default=256, metavar="N", help="numbers per vector (default: 256)")
    numbers_help = "what a number is kept as (default: float16)"
    distil.add_argument("--numbers", choices=("float32", "float16", "int8"), default="float16", help=numbers_help)

    add_actions(command("lab", "where a run loses, and what would gain"))
    root.description = front_page(said)
    return root
