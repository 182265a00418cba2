"""Checks by an encoder, a model and a classifier: what they weigh, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from generators.llm.scripted import ScriptedLLM
from rag.core.errors import SpecError
from rag.core.types import Document, Prompt
from rag.stages.checks.claims import Claim
from ragline_recipes.checks.encoder import EncoderChecker
from ragline_recipes.checks.model import ModelChecker
from ragline_recipes.checks.nli import NLIChecker
from tests.rag.stages.test_sentence_checks import TEXT, answer
from tests.rerankers.tiny_classifier import tiny_classifier
from tests.tiny_models import tiny_sentence_model


class TestEncoder:
    def test_a_sentence_is_nearest_to_itself(self, tmp_path: Path) -> None:
        checker = EncoderChecker(encoder=str(tiny_sentence_model(tmp_path / "encoder")), threshold=0.999)
        same = answer("A bb cc. K ll mm.", ["X yy zz. A bb cc.", "K ll mm. Q rr ss."], question="")
        [told] = checker.check([same])
        assert [(v.kind, v.marker) for v in told.verdicts] == [("similar", 1), ("similar", 2)]
        assert [v.score for v in told.verdicts] == pytest.approx([1.0, 1.0], abs=1e-5)
        checker.release()
        assert checker.check([same]) == [told]


class Judge(ScriptedLLM):
    """Says yes to what has the word steel, no to what has pigs, unknown to the rest; breaks down at thirty."""

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        super().choose(prompts, choices)
        assert [choice.strip() for choice in choices] == ["Yes", "No", "Unknown"]
        return np.array(
            [self._row(prompt[1].content.rpartition("Answer: ")[2]) for prompt in prompts], dtype=np.float32
        )

    def _row(self, said: str) -> list[float]:
        if "Thirty" in said:
            return [math.nan] * 3
        weights = [8, 1, 1] if "steel" in said else [1, 6, 3] if "Pigs" in said else [1, 1, 8]
        return [math.log(weight / 10) for weight in weights]


class TestModel:
    def test_shares_of_yes_and_no_decide(self) -> None:
        llm = Judge()
        [told] = ModelChecker(llm=llm, threshold=0.5, against=0.5, trusted=True).check([answer(f"{TEXT} So it is.")])
        assert [v.kind for v in told.verdicts] == ["supported", "contradicted", "unsupported"]
        assert [v.score for v in told.verdicts] == pytest.approx([0.8, 0.1, 0.1])
        assert [v.marker for v in told.verdicts] == [1, 1, None]
        assert told.outcome.counts["unjudged"] == 1
        assert told.usage.calls == 4, "what was not judged was paid for"
        assert llm.batches == [4]

    def test_the_prompt_holds_question_passage_and_sentence_on_lines_of_their_own(self) -> None:
        llm = Judge()
        ModelChecker(llm=llm).check([answer("Frames are\nmade of steel [1].", ["One.\n\nTwo."], question="Of\nwhat?")])
        [prompt] = llm.seen
        assert "Passage: One. Two.\n\nQuestion: Of what?\nAnswer: Frames are made of steel.\n" in prompt[1].content

    def test_every_passage_costs_a_call(self) -> None:
        llm = Judge()
        ModelChecker(llm=llm, passages=2).check([answer("So it is.")])
        assert len(llm.seen) == 2

    def test_without_passages_nobody_is_asked(self) -> None:
        llm = Judge()
        [told] = ModelChecker(llm=llm).check([answer("So it is.", [])])
        assert [v.kind for v in told.verdicts] == ["unsupported"]
        assert llm.seen == []


class TestNLI:
    def test_labels_go_by_their_names(self, tmp_path: Path) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        names = ("contradiction", "entailment", "neutral")
        folder = tiny_classifier(tmp_path / "model", labels=3, names=names)
        checker = NLIChecker(checkpoint=str(folder), device="cpu", threshold=0)
        claim = Claim(question="", text="a b", passages=(Document(doc_id="d", text="c d e"),))
        [found] = checker.weigh([claim])
        kind: Any = AutoModelForSequenceClassification
        with torch.inference_mode():
            logits = kind.from_pretrained(folder)(
                **AutoTokenizer.from_pretrained(folder)("c d e", "a b", return_tensors="pt")
            ).logits[0]
        no, yes, neither = logits.softmax(-1).tolist()
        assert found.judged
        assert found.support == pytest.approx({0: yes}, abs=1e-5)
        assert found.against == pytest.approx({0: no / (no + neither)}, abs=1e-5)
        assert (found.usage.calls, found.usage.prompt_tokens) == (1, 8)

    @pytest.mark.parametrize("names", [("LABEL_0", "LABEL_1", "LABEL_2"), ("entailment",), ("entails", "entailment")])
    def test_other_labels_are_refused_by_name(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        folder = tiny_classifier(tmp_path / "model", labels=len(names), names=names)
        with pytest.raises(SpecError, match=f"has the labels {', '.join(names)}; one must begin with entail"):
            NLIChecker(checkpoint=str(folder)).warm_up()
