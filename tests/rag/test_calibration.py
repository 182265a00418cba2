"""A calibration in a graph: what it refuses, and what it is refused for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import SpecError
from rag.core.types import Query
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from rag.pipeline.calibrated import made_for
from rag.stages.risk.bounds import Curve, Step
from rag.stages.risk.calibration import Calibration, load_calibration
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.settings import DenseSettings
from tests.calibrations import GATE, calibration, saved
from tests.tiny_models import tiny_sentence_model


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, documents: Any) -> LocalIndex:
    return _index(tmp_path_factory.mktemp("calibrated"), documents)


def _index(folder: Path, documents: Any, **settings: Any) -> LocalIndex:
    texts = folder / "texts"
    texts.mkdir()
    for document in documents:
        (texts / f"{document.doc_id}.md").write_text(f"# {document.title}\n\n{document.text}\n")
    dense = DenseSettings(encoder=str(tiny_sentence_model(folder / "encoder")))
    build_index([texts], folder / "idx", settings=IndexSettings(dense=dense, **settings), legs=("lexical", "dense"))
    return LocalIndex.open(folder / "idx")


def graph(reply: str = "Thirty days of paid leave [1].", **with_: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "models": {"writer": {"use": "llm.scripted", "with": {"replies": [reply]}}},
        "nodes": {
            "first": {"use": "retrieve.bm25", "in": "query", "k": 5},
            "context": {"use": "assemble.token_budget", "in": "first", "with": {"llm": "writer", "max_passages": 2}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "writer", **with_}},
        },
        "output": "answer",
    }


@pytest.fixture
def file(index: LocalIndex, tmp_path: Path) -> Path:
    with load_pipeline(graph(), index=index) as pipeline:
        return saved(tmp_path / "calibration.json", made_for=made_for(pipeline.graph, index))


HELD, NOT_HELD = "how many days of paid leave", "who painted the ceiling of a chapel"


class TestAGraphWithACalibration:
    def test_answers_that_are_sure_enough_are_given_and_others_not(self, index: LocalIndex, file: Path) -> None:
        with load_pipeline(graph(), index=index, calibration=file) as pipeline:
            sure, unsure = pipeline.ask(HELD), pipeline.ask(f"{NOT_HELD} days")
        assert (sure.status, sure.text) == ("answered", "Thirty days of paid leave [1].")
        assert sure.confidence is not None
        assert unsure.confidence is not None
        assert unsure.confidence < 0.5 <= sure.confidence
        assert (unsure.status, unsure.text, unsure.citations) == ("no_answer", "I don't know.", ())
        assert unsure.outcome.counts["refused_by_risk"] == 1

    def test_a_stream_says_no_word_that_is_not_given(self, index: LocalIndex, file: Path) -> None:
        with load_pipeline(graph(), index=index, calibration=file) as pipeline:
            pieces = list(pipeline.stream(f"{NOT_HELD} days"))
        assert "".join(piece.text for piece in pieces) == "I don't know."

    def test_another_risk_is_another_threshold(self, index: LocalIndex, file: Path) -> None:
        with load_pipeline(graph(), index=index, calibration=file, risk=0.5) as pipeline:
            assert pipeline.ask(f"{NOT_HELD} days").status == "answered"

    def test_a_risk_that_cannot_be_kept_is_refused_with_the_one_that_can(self, index: LocalIndex, file: Path) -> None:
        with pytest.raises(
            SpecError, match=r"no threshold keeps .* at 0\.01 .*least risk that this file can keep is 0\.049"
        ):
            load_pipeline(graph(), index=index, calibration=file, risk=0.01)

    def test_hits_have_their_relevance(self, index: LocalIndex, file: Path) -> None:
        with load_pipeline(graph(), index=index, calibration=file) as pipeline:
            hits = pipeline.search(HELD).hits
        worth = [hit.relevance for hit in hits]
        assert None not in worth
        assert worth == sorted(worth, reverse=True)  # type: ignore[type-var]

    def test_too_little_relevance_leaves_nothing_to_answer_from_and_costs_no_call(
        self, index: LocalIndex, tmp_path: Path
    ) -> None:
        with load_pipeline(graph(), index=index) as pipeline:
            made = made_for(pipeline.graph, index).model_copy(update={"min_relevance": 0.9})
        file = saved(tmp_path / "calibration.json", made_for=made)
        with load_pipeline(graph(), index=index, calibration=file, min_relevance=0.9) as pipeline:
            answer = pipeline.ask("days")
        assert (answer.status, answer.usage.calls, answer.context.passages) == ("no_answer", 0, ())

    def test_risk_without_a_calibration_is_no_promise(self, index: LocalIndex) -> None:
        with pytest.raises(SpecError, match="need a calibration"):
            load_pipeline(graph(), index=index, risk=0.1)


class TestAGate:
    def test_a_question_that_is_stopped_costs_no_call_and_others_are_answered(
        self, index: LocalIndex, tmp_path: Path
    ) -> None:
        with load_pipeline(graph(), index=index) as pipeline:
            file = saved(tmp_path / "calibration.json", made_for=made_for(pipeline.graph, index), gate=GATE)
        with load_pipeline(graph(), index=index, calibration=file) as pipeline:
            answers = pipeline.ask_batch([Query(qid="1", text=HELD), Query(qid="2", text=f"{NOT_HELD} days")])
            hits = pipeline.search(f"{NOT_HELD} days").hits
        assert [(a.status, a.usage.calls, len(a.context.passages)) for a in answers] == [
            ("answered", 1, 2),
            ("no_answer", 0, 0),
        ]
        assert hits, "what is searched is not stopped"

    def test_its_node_tells_how_many_it_stopped(self, index: LocalIndex, tmp_path: Path) -> None:
        with load_pipeline(graph(), index=index) as pipeline:
            file = saved(tmp_path / "calibration.json", made_for=made_for(pipeline.graph, index), gate=GATE)
        with load_pipeline(graph(), index=index, calibration=file) as pipeline:
            told = pipeline.run([f"{NOT_HELD} days"])
        [report] = [node for node in told.nodes if node.use == "assemble.gate"]
        assert report.counts == {"stopped_by_gate": 1}

    def test_a_file_without_one_is_refused_by_the_node(self, index: LocalIndex, file: Path) -> None:
        spec = graph()
        spec["nodes"]["gate"] = {"use": "assemble.gate", "in": "context", "with": {"calibration": str(file)}}
        spec["nodes"]["answer"]["in"] = "gate"
        with pytest.raises(SpecError, match="has no gate: leave the node out"):
            load_pipeline(spec, index=index)

    def test_one_of_another_graph_is_refused_by_the_name_of_its_node(self, index: LocalIndex, tmp_path: Path) -> None:
        file = saved(tmp_path / "calibration.json", gate=replace(GATE, node="passages"))
        with pytest.raises(SpecError, match=r"another graph: this one has no node 'passages'"):
            load_pipeline(graph(), index=index, calibration=file)


class TestItIsRefused:
    def test_for_another_graph_by_its_nodes(self, index: LocalIndex, file: Path) -> None:
        with pytest.raises(SpecError, match=r"another graph or index, '.*': node 'answer' is another.*rag calibrate"):
            load_pipeline(graph(max_tokens=9), index=index, calibration=file)

    def test_for_an_index_of_other_settings(
        self, file: Path, documents: Any, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        from retrievers.analysis.settings import AnalyzerSettings

        other = _index(tmp_path_factory.mktemp("german"), documents, analyzer=AnalyzerSettings(language="de"))
        spec = {**graph(), "index": {"analyzer": {"language": "de"}}}
        with pytest.raises(SpecError, match=r"leg 'lexical' is another"):
            load_pipeline(spec, index=other, calibration=file)

    def test_other_documents_are_told_and_taken(
        self, file: Path, documents: Any, index: LocalIndex, caplog: pytest.LogCaptureFixture
    ) -> None:
        known = load_calibration(file)
        known.model_copy(update={"made_for": known.made_for.model_copy(update={"index": "x"})}).save(file)
        load_pipeline(graph(), index=index, calibration=file).close()
        assert "other documents" in caplog.text

    def test_an_index_that_grew_is_told_and_taken(
        self, documents: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = _index(tmp_path, documents[:-1])
        with load_pipeline(graph(), index=before) as pipeline:
            file = saved(tmp_path / "calibration.json", made_for=made_for(pipeline.graph, before))
        before.close()
        (tmp_path / "texts" / "new.md").write_text("# New\n\nWhat was not there before.\n")
        settings = IndexSettings(dense=DenseSettings(encoder=str(tmp_path / "encoder")))
        build_index([tmp_path / "texts"], tmp_path / "idx", settings=settings, legs=("lexical", "dense"))
        with LocalIndex.open(tmp_path / "idx") as grown:
            load_pipeline(graph(), index=grown, calibration=file).close()
        assert "other documents" in caplog.text

    def test_for_another_least_relevance(self, index: LocalIndex, file: Path) -> None:
        with pytest.raises(SpecError, match=r"tried with hits of relevance 0 or more, and 0\.5 is asked for"):
            load_pipeline(graph(), index=index, calibration=file, min_relevance=0.5)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("{}", "made_for"),
            ("[]", "no calibration"),
            ('{"version": 2}', "version"),
            ("\x00", "no calibration"),
            (calibration().model_dump_json().replace('"threshold":0.5', '"threshold":-1'), "thresholds do not fall"),
            (calibration().model_dump_json().replace('"wrong":30', '"wrong":3000'), "counts more than there are"),
            (calibration().model_dump_json().replace('"spreads":[0.25]', '"spreads":[0]'), "spread is not above 0"),
            (calibration().model_dump_json().replace('"weights":[2.0]', '"weights":[]'), "not equally many"),
            (calibration().model_dump_json().replace('"scores":[2.0', '"scores":[20.0'), "scores or relevance fall"),
        ],
    )
    def test_for_what_it_holds(self, text: str, why: str, tmp_path: Path) -> None:
        path = tmp_path / "calibration.json"
        path.write_text(text)
        with pytest.raises(SpecError, match=why):
            load_calibration(path)

    def test_where_there_is_none(self, index: LocalIndex, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="cannot read the calibration"):
            load_pipeline(graph(), index=index, calibration=tmp_path / "none.json")


def test_a_curve_in_a_file_is_plain_data() -> None:
    data = json.loads(calibration().model_dump_json())
    assert data["answers"]["curve"]["steps"][0] == {
        "threshold": 0.5,
        "fit_given": 60,
        "fit_wrong": 0,
        "given": 60,
        "wrong": 0,
    }
    assert Calibration.model_validate(data).answers == calibration().answers
    assert Curve(steps=(Step(threshold=0.5, fit_given=1, fit_wrong=0, given=1, wrong=0),), n=1, n_fit=1)
