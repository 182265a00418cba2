"""What teaches, what is kept apart, and what is left out or refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generators.llm.scripted import ScriptedLLM
from plugins.train.tests.teachable import passages, teachable_index, tiny_encoder
from rag import Asker
from rag.errors import ContractError, SpecError
from rag.filters import asked_by
from rag.indexes import LocalIndex, SentenceEncoder
from rag.types import Document, Query
from ragline_train.pseudo import Case, bare
from ragline_train.teaching.guard import LeakedQuestion
from ragline_train.teaching.lessons import Split, divided
from ragline_train.teaching.questions import Asked, judged_ones, own_questions, sentences_of
from ragline_train.teaching.task import in_batches, matching_temperature, ndcg, ways
from ragline_train.teaching.teacher import Teacher, contrasted, shares
from ragline_train.teaching.training import Data, lessons_of
from retrievers import RETRIEVERS


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    return teachable_index(tmp_path_factory.mktemp("own"), encoder)


def documents(n: int = 60) -> list[Document]:
    return [Document(doc_id=each["_id"], title=each["title"], text=each["text"]) for each in passages(n)]


def case(grades: dict[str, float], source: str, query: str = "q") -> Case:
    candidates = tuple(Document(doc_id=name, text=f"text of {name}") for name in grades)
    return Case(query=query, candidates=candidates, grades=tuple(grades.values()), taught=True, source=source)


def test_a_question_is_taken_out_of_its_passage() -> None:
    heading = Document(doc_id="h#1", title="Handbook › Days of leave", text=documents()[0].text)
    asked = own_questions([*documents(), heading], n=1000)
    assert {each.origin for each in asked} == {"title", "heading", "sentence"}
    by_id = {each.doc_id: each for each in documents()}
    for each in asked:
        assert each.source is not None
        assert each.source.title == ""
        if each.origin == "sentence":
            whole = by_id.get(each.source.doc_id, heading)
            assert each.text in whole.text
            assert len(each.source.text.split()) == len(whole.text.split()) - len(each.text.split())
    assert next(each.text for each in asked if each.origin == "heading") == "Days of leave"
    assert own_questions(documents(), n=9, seed=4) == own_questions(documents(), n=9, seed=4)


def test_each_passage_is_asked_once_before_any_is_asked_again() -> None:
    long = [replace(each, text=f"{each.text} {each.text.replace('.', ' again.')}") for each in documents(20)]
    once = own_questions(long, n=20)
    assert len({each.source.doc_id for each in once if each.source}) == 20
    assert {each.origin for each in once} == {"title", "sentence"}
    more = own_questions(long, n=1000)
    assert more[:20] == once
    of_each = Counter(each.source.doc_id for each in more if each.source)
    assert max(of_each.values()) <= 6
    assert min(of_each.values()) >= 2


def test_a_text_without_capitals_has_sentences_too() -> None:
    text = "the wing was tested in a tunnel . the drag of it fell by a third . no theory says why (see no. 3) ."
    assert [text[start:end] for start, end in sentences_of(text)][:2] == [
        "the wing was tested in a tunnel .",
        "the drag of it fell by a third .",
    ]
    cased = "The wing fell. the drag of it rose. No theory says why."
    assert [cased[start:end] for start, end in sentences_of(cased)] == [
        "The wing fell. the drag of it rose.",
        "No theory says why.",
    ]
    quiet = Document(doc_id="q", text=f"{text} {text.replace('wing', 'tail')}")
    assert [each.origin for each in own_questions([quiet], n=9)].count("sentence") >= 4


def test_what_is_kept_apart_teaches_in_no_place(index: Path) -> None:
    with LocalIndex.open(index) as opened:
        lessons = lessons_of(opened, Data(own=120))
        split = Split.of(list(opened.documents))
        assert lessons.digest == lessons_of(opened, Data(own=120)).digest
        assert lessons.digest != lessons_of(opened, Data(own=120, seed=1)).digest
    taught = {each.parent for one in lessons.taught for each in one.candidates}
    assert not taught & (split.choosing | split.telling)
    assert {one.source for one in lessons.choosing} <= split.choosing
    assert {one.source for one in lessons.telling} <= split.telling
    assert not split.choosing & split.telling
    assert lessons.doc_ids == sorted(taught)
    assert len(lessons.question_digests) == len({one.query for one in lessons.taught})


def test_copies_are_kept_apart_together() -> None:
    own = documents(40)
    twins = [replace(each, doc_id=f"twin-{each.doc_id}") for each in own]
    split = Split.of([*own, *twins])
    for each in own:
        assert split.has(each) == split.has(replace(each, doc_id=f"twin-{each.doc_id}"))
    assert 0 < len(split.choosing) < 40


def test_a_judged_question_in_the_log_is_refused(index: Path) -> None:
    log = [Query(qid="1", text="Days of paid leave!")]
    with LocalIndex.open(index) as opened, pytest.raises(LeakedQuestion, match=r"log.jsonl: 1 of 1 questions"):
        lessons_of(opened, Data(log=log, judged={"t7": "days of paid leave"}, place="log.jsonl"))


def test_what_the_corpus_asks_and_judges_is_left_out(index: Path) -> None:
    judged = {each["_id"]: each["title"].upper() for each in passages()[:20]}
    with LocalIndex.open(index) as opened:
        lessons = lessons_of(opened, Data(own=200, judged=judged))
    assert lessons.left_out["like a question that judges"] >= 1
    titles = {each["title"] for each in passages()[:20]}
    assert not titles & {one.query for one in (*lessons.taught, *lessons.choosing, *lessons.telling)}


def test_texts_of_other_readers_teach_only_where_it_is_said_whose(tmp_path: Path, encoder: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    lines = [
        {"_id": each["_id"], **({"public": True} if number % 2 else {"tenant": "n", "owner": "ann"})}
        for number, each in enumerate(passages(240))
    ]
    labels.write_text("".join(json.dumps(line) + "\n" for line in lines))
    index = teachable_index(tmp_path / "own", encoder, n=240, labels=labels)
    with LocalIndex.open(index) as opened:
        public = lessons_of(opened, Data(own=300))
        whole = lessons_of(opened, Data(own=300, where=asked_by(Asker(user="ann", tenant="n"))))
    odd = {f"d{number}" for number in range(1, 240, 2)}
    assert {*public.doc_ids} <= odd
    assert {each.parent for one in public.telling for each in one.candidates} <= odd
    assert not {*whole.doc_ids} <= odd


def test_judged_questions_teach_half_by_their_passage(index: Path) -> None:
    queries = [Query(qid=f"q{number}", text=f"ride {number}") for number in range(3)]
    qrels = {"q0": {"d1": 1, "gone": 2}, "q1": {"d2": 0}, "q2": {"d3": 3}}
    with LocalIndex.open(index) as opened:
        asked, left_out = judged_ones(opened, queries, qrels, rows=range(60))
        cases = Teacher(index=opened).cases(asked)
        with pytest.raises(SpecError, match="has none of the 1 documents that the judgements call relevant"):
            judged_ones(opened, queries, {"q0": {"gone": 1}}, rows=range(60))
        _, unreadable = judged_ones(opened, queries, qrels, rows={opened.documents.row("d1")})
    assert [(one.text, one.source and one.source.doc_id) for one in asked] == [("ride 0", "d1"), ("ride 2", "d3")]
    assert left_out == {"a judged document that the index lacks": 1}
    assert unreadable == {"a judged document that the index lacks": 1, "a judged document that may not teach": 1}
    for one in cases:
        assert sum(one.grades) == pytest.approx(1)
        assert max(zip(one.grades, one.candidates, strict=True), key=lambda pair: pair[0])[1].doc_id == one.source
        assert all(each.title for each in one.candidates), "nothing was taken out of them"


def test_a_passage_with_its_question_in_it_is_judged_without(tmp_path: Path, encoder: Path) -> None:
    """The legs hold the title; the second encoder reads the passage without it, and stands for the legs."""
    second = str(tiny_encoder(tmp_path / "second", seed=3))
    titled = documents()[7]
    one = Asked(text=titled.title, origin="title", source=bare(titled))
    with LocalIndex.open(teachable_index(tmp_path / "own", encoder)) as opened:
        teacher = Teacher(index=opened, second=second)
        [found], [leaking] = (teacher.cases([each]) for each in (one, replace(one, origin="written")))
        ids = [each.doc_id for each in found.candidates]
        query = Query(qid="0", text=one.text)
        legs = [RETRIEVERS.get(name)(index=opened).scores([query], [ids])[0] for name in ("bm25", "dense")]
    reads = SentenceEncoder(model=second)
    cosines = reads.encode([each.text for each in found.candidates], role="document") @ reads.encode(
        [one.text], role="query"
    )[0].astype(np.float64)
    words, vectors = (np.array(each, dtype=np.float64) for each in legs)
    own = ids.index(titled.doc_id)
    others = np.arange(len(ids)) != own
    first = np.empty(len(ids))
    first[others] = zscore(0.3 * zscore(words[others]) + 0.7 * zscore(vectors[others]))
    first[own] = zscore(cosines)[own]
    exponents = np.exp((zscore(first) + zscore(cosines)) / 2 / 0.5)
    assert found.first == pytest.approx(zscore(first), abs=1e-5)
    assert found.grades == pytest.approx(exponents / exponents.sum(), abs=1e-5)
    whole = zscore(0.3 * zscore(words) + 0.7 * zscore(vectors))
    assert leaking.first == pytest.approx(whole, abs=1e-5), "what a model wrote is in no passage, so the legs speak"


def test_scores_are_brought_to_the_spread_of_the_teacher() -> None:
    """Logarithms of .8 and .2 are .6931 from their mean, and scores of 10 and 4 are 3 from theirs."""
    graded = case({"a": 0.8, "b": 0.2}, "a")
    assert matching_temperature([graded], lambda _: np.array([10.0, 4.0])) == pytest.approx(3 / np.log(2))
    assert matching_temperature([graded], lambda _: np.array([4.0, 4.0])) == 1.0
    assert matching_temperature([case({"a": 0.5, "b": 0.5}, "a")], lambda _: np.array([10.0, 4.0])) == 1.0


def test_the_first_stage_goes_with_its_candidates(index: Path) -> None:
    with LocalIndex.open(index) as opened:
        lessons = lessons_of(opened, Data(own=120))
    for one in (*lessons.taught, *lessons.choosing, *lessons.telling):
        order = np.argsort(-np.array(one.first), kind="stable")
        assert len(one.first) == len(one.candidates)
        assert [one.grades[at] for at in order] == sorted(one.grades, reverse=True), "without a second they agree"


def zscore(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def test_a_writer_of_nothing_teaches_nothing_and_is_counted(index: Path) -> None:
    with LocalIndex.open(index) as opened:
        plain = lessons_of(opened, Data(own=120))
        empty = lessons_of(opened, Data(own=120, writer=ScriptedLLM(replies=("", "?", " \n")), written=9))
    assert empty.left_out["the model wrote no question"] == 9
    assert empty.taught == plain.taught


def test_written_questions_that_do_not_lead_back_go(index: Path) -> None:
    writer = ScriptedLLM(replies=("where is the bicycle frame",))
    with LocalIndex.open(index) as opened:
        lessons = lessons_of(opened, Data(own=120, writer=writer, written=30))
    n = sum(one.origin == "written" for one in (*lessons.taught, *lessons.choosing, *lessons.telling))
    lost = lessons.left_out["written, and does not lead back to its passage"]
    assert 0 < n <= 5, "one question leads back to five passages at most"
    assert n + lost <= 30


def test_one_document_is_refused(tmp_path: Path, encoder: Path) -> None:
    index = teachable_index(tmp_path / "one", encoder, n=1)
    with LocalIndex.open(index) as opened, pytest.raises(SpecError, match="of one document at most"):
        lessons_of(opened, Data())


def test_too_few_examples_are_refused() -> None:
    split = Split(frozenset(), frozenset())
    with pytest.raises(SpecError, match="1 questions are left to teach"):
        divided([case({"a": 1.0, "b": 0.0}, "a")], split, left_out={}, teacher="t")
    with pytest.raises(SpecError, match="0 and 0 questions are kept apart"):
        divided([case({"a": 1.0, "b": 0.0}, "a")] * 3, split, left_out={}, teacher="t")


def test_a_teacher_that_finds_all_alike_teaches_nothing() -> None:
    split = Split(frozenset(), frozenset())
    with pytest.raises(SpecError, match=r"3 are left out \(the teacher finds all alike\)"):
        divided([case({"a": 0.5, "b": 0.5}, "a")] * 3, split, left_out={}, teacher="t")


def test_a_teacher_without_numbers_is_refused(tmp_path: Path, index: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    broken = tiny_encoder(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    save_file({name: torch.full_like(each, torch.nan) for name, each in weights.items()}, broken / "model.safetensors")
    with LocalIndex.open(index) as opened, pytest.raises(ContractError, match="finite"):
        lessons_of(opened, Data(own=50, second=str(broken)))


def test_false_negatives_go_and_with_them_a_case_that_has_no_others() -> None:
    one = case({"a": 0.4, "b": 0.39, "c": 0.1, "d": 0.45}, "a")
    kept = contrasted(one)
    assert kept is not None
    assert [each.doc_id for each in kept.candidates] == ["a", "c"]
    assert kept.grades == (1.0, 0.0)
    assert contrasted(case({"a": 0.4, "b": 0.5}, "a")) is None
    assert contrasted(replace(one, source="z")) is None


def test_ndcg_worked_by_hand() -> None:
    # 1/log2(2) = 1, 1/log2(3) = .6309, 1/log2(4) = .5
    assert ndcg([0.1, 0.9, 0.5], [1.0, 0.0, 0.5]) == pytest.approx((0.5 * 0.6309 + 0.5) / (1 + 0.5 * 0.6309), abs=1e-4)
    assert ndcg([1.0, 1.0], [0.0, 1.0]) == pytest.approx(0.6309, abs=1e-4)
    assert ndcg([1.0], [0.0]) == 1.0


def test_shares_are_of_one_and_lead_by_half_deviations() -> None:
    import numpy as np

    found = shares(np.array([1.0, 0.5, -3.0]))
    assert found.sum() == pytest.approx(1)
    assert found[0] / found[1] == pytest.approx(np.e)


def test_batches_are_laid_out_once_and_hold_no_key_twice() -> None:
    examples = [{"query": str(number)} for number in range(10)]
    keys = [str(number // 2) for number in range(10)]
    laid = in_batches(examples, keys, n=4, batch=5, seed=3)
    assert laid == in_batches(examples, keys, n=4, batch=5, seed=3)
    assert laid != in_batches(examples, keys, n=4, batch=5, seed=4)
    for at in range(0, 20, 5):
        assert len({keys[int(str(each["query"]))] for each in laid[at : at + 5]}) == 5
    assert sorted(int(str(each["query"])) for each in laid[:10]) == list(range(10)), "each once before any comes again"
    few = in_batches(examples[:2], keys[:2], n=2, batch=4, seed=0)
    assert len(few) == 8, "fewer keys than places repeat"


def test_ways_takes_the_best_half_and_spreads_over_the_rest() -> None:
    graded = case(dict(zip("abcdef", (0.1, 0.3, 0.2, 0.15, 0.05, 0.2), strict=True)), "b")
    assert ways(graded, 4)[:2] == [1, 2]
    assert len({*ways(graded, 4)}) == 4
    assert ways(case({"a": 1.0, "b": 0.0}, "a"), 4) == [0, 1, 0, 1]


def test_an_index_of_words_alone_teaches_by_words(tmp_path: Path) -> None:
    with LocalIndex.open(teachable_index(tmp_path, None)) as opened:
        lessons = lessons_of(opened, Data(own=100))
    assert lessons.teacher == "lexical of the index"
    assert len(lessons.taught) > 20
