"""an index -> a model taught on its texts: encoders, sparse terms, token vectors, rerankers"""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from rag.commands import asker_of, indexed, permitted, positive, progress_bar, say, say_json, warn
from rag.errors import SpecError
from rag.evaluate import load_beir, read_questions
from rag.filters import asked_by
from rag.indexes import open_index
from ragline_train.teaching.recipes import RECIPES
from ragline_train.teaching.recipes.reranker import FIRST_STAGE
from ragline_train.teaching.run_folder import Told
from ragline_train.teaching.task import Settings
from ragline_train.teaching.training import Ahead, Data, Result, train


def options(parser: ArgumentParser) -> None:
    what = "; ".join(f"{name}: {gives}" for name, gives in RECIPES.items())
    parser.add_argument("recipe", choices=list(RECIPES), metavar="RECIPE", help=what)
    indexed(parser, needed=True)
    parser.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: taught-RECIPE)")
    parser.add_argument(
        "--teach", metavar="DATASET", help="judged questions that may teach, in BEIR layout; see --split"
    )
    parser.add_argument("--split", default="train", help="which judgements of --teach (train)")
    parser.add_argument(
        "--writer", metavar="MODEL", help="a model that writes questions, such as qwen2.5-coder-1.5b-instruct"
    )
    parser.add_argument("--written", type=positive, default=200, metavar="N", help="passages that it writes for (200)")
    parser.add_argument("--own", type=int, default=1200, metavar="N", help="questions of the corpus itself (1200)")
    parser.add_argument("--model", metavar="NAME", help="what is taught (default: as the recipe and the index say)")
    parser.add_argument("--teacher-model", metavar="NAME", help="of align: the encoder that is fitted to")
    by_help = "the legs' shares of all candidates, or the source of a question against hard negatives (shares)"
    parser.add_argument("--by", choices=("shares", "source"), default="shares", help=by_help)
    parser.add_argument("--minutes", type=float, default=40.0, metavar="M", help="of teaching (40)")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="questions of a step (8)")
    parser.add_argument("--ways", type=int, default=5, metavar="N", help="candidates of a question (5)")
    parser.add_argument("--learning-rate", type=float, metavar="X", help="at its highest (default: as the recipe says)")
    parser.add_argument(
        "--max-tokens", type=positive, default=128, metavar="N", help="of a text while it is taught (128)"
    )
    taught_and_judged(parser)


def taught_and_judged(parser: ArgumentParser) -> None:
    """What commands that teach share: whose questions and texts, for how long, and what judges."""
    log_help = (
        "what people asked, in the forms of `rag batch`, without judgements; beside what the corpus asks of itself"
    )
    parser.add_argument("--questions", metavar="FILE", help=log_help)
    judged_help = "questions that the model will be judged by, a file or a folder in BEIR layout: none of them teaches"
    parser.add_argument("--judged", metavar="FILE", help=judged_help)
    parser.add_argument("--second", metavar="NAME", help="another encoder, which has half a say in what is taught")
    steps_help = "in place of minutes; equal steps give equal weights"
    parser.add_argument("--steps", type=positive, metavar="N", help=steps_help)
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="one gives equal weights (1)")
    parser.add_argument("--seed", type=int, default=0)
    permitted(parser, "whose texts may teach, where the index has labels")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, where it was stopped")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: Namespace) -> int:
    """Teach, say what is gained, and how a graph names what came of it."""
    out = Path(given.out or f"taught-{given.recipe}")
    settings = settings_of(given)
    with open_index(given.index) as index, progress_bar() as progress:
        result = train(
            given.recipe,
            index=index,
            out=out,
            data=data_of(given),
            settings=settings,
            resume=given.resume,
            command=f"rag {shlex.join(sys.argv[1:])}",
            ahead=say_ahead,
            say=say_told,
            progress=progress,
        )
    if given.json:
        say_json({"folder": str(out), **{name: each for name, each in result.facts.items() if name not in _LONG}})
        return 0
    show(result)
    return 0


_LONG = ("question_digests", "documents")


def settings_of(given: Namespace) -> Settings:
    """Of the options, which have the names of settings."""
    said = vars(given)
    try:
        return Settings(**{each.name: said[each.name] for each in fields(Settings) if each.name in said})
    except ValueError as error:
        raise SpecError(str(error)) from None


def data_of(given: Namespace) -> Data:
    """What may teach, and what must not."""
    from rag.writing import LLMS

    teaching = None if given.teach is None else load_beir(Path(given.teach))
    return replace(
        shared_data(given),
        queries=() if teaching is None else teaching.queries,
        qrels=None if teaching is None else teaching.qrels(given.split),
        writer=None if given.writer is None else LLMS.get("transformers")(model=given.writer),
        written=given.written,
    )


def shared_data(given: Namespace) -> Data:
    """What the options of `taught_and_judged`, and `--own`, say of it."""
    asker = asker_of(given.asker)
    return Data(
        log=list(read_questions(Path(given.questions))) if given.questions else (),
        own=given.own,
        judged=judged_questions(given.judged),
        where=None if asker is None else asked_by(asker),
        second=given.second,
        seed=given.seed,
        place=str(given.questions or "the log of questions"),
    )


def judged_questions(given: str | None) -> Mapping[str, str]:
    """qid -> question: of a folder in BEIR layout all of them, whatever their split."""
    if given is None:
        return {}
    path = Path(given)
    queries = load_beir(path).queries if path.is_dir() else read_questions(path)
    return {query.qid: query.text for query in queries}


def say_told(told: Told) -> None:
    """A line for each time the gain is told."""
    loss = "" if told.loss is None else f", loss {told.loss:.4f}"
    warn(f"step {told.step}: nDCG@10 {told.ndcg:.4f} on questions kept apart{loss}")


def show(result: Result) -> None:
    facts = result.facts
    measured = facts["ndcg@10 of questions kept apart"]
    if facts["stopped"]:
        warn(f"rag train: {facts['stopped']}")
    if not result.gained:
        say(
            f"Nothing gained over {facts['steps']['done']} steps, so no model is written. {result.folder} has the card."
        )
        return
    say(
        f"{result.folder}: nDCG@10 of {measured['questions']} questions kept apart {measured['before']:.4f} ->"
        f" {measured['after']:.4f} ({measured['gain']:+.4f} [{measured['low']:+.4f}, {measured['high']:+.4f}])"
    )
    say(f"In a graph: {_named(facts['named_by'], result.folder)}")


def _named(key: str, folder: Path) -> str:
    first, second, *rest = key.split(".")
    if first == "rerank":
        return f"ranked: {{use: {key}, in: fused, k: 10, with: {{model: {folder}, depth: 40, first_stage: {FIRST_STAGE:g}}}}}"
    return f"index: {{{second}: {{{rest[0]}: {folder}}}}}"


def say_ahead(ahead: Ahead) -> None:
    minutes = ahead.steps * ahead.trial.seconds / 60
    warn(
        f"{ahead.questions} questions teach, {ahead.apart} are kept apart; {ahead.steps} steps, about {minutes:.0f} minutes;"
        f" at most {ahead.trial.n_bytes / 1e6:,.0f} MB"
    )
