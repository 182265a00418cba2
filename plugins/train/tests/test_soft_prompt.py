"""SPTAR on a decoder of two layers: what is taught, what is not, and what is kept of what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rag import build_index
from rag.errors import SpecError
from rag.indexes import LocalIndex
from ragline_train.soft_prompt import (
    INSTRUCTION,
    FrozenWriter,
    PromptSettings,
    round_trip,
    teach_prompt,
)
from tests.generators.llm.conftest import save_random_model

WORDS = ("leave", "bicycle", "laptop", "warranty", "frame", "wheel", "safety", "note")
PAIRS = [(f"The {word} is paid of the day.", f"{word} paid") for word in WORDS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("decoder"))


@pytest.fixture
def writer(folder: Path) -> FrozenWriter:
    return FrozenWriter(folder)


def test_the_loss_is_that_of_the_query_alone(writer: FrozenWriter, folder: Path) -> None:
    """Asked of the model by its ids: the vectors of an instruction are those of its words, so that both are the same text."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    ids = tokenizer(INSTRUCTION, add_special_tokens=False)["input_ids"]
    found = writer.loss(writer.words(INSTRUCTION, len(ids)), PAIRS[0], PAIRS[1], words=4)
    shown = "Document: The leave is paid\nQuery: leave paid\n\nDocument: The bicycle is paid\nQuery:"
    before = [*ids, *tokenizer(shown, add_special_tokens=False)["input_ids"]]
    query = tokenizer(" bicycle paid\n", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        chances = torch.log_softmax(model(torch.tensor([[*before, *query]])).logits[0], dim=-1)
    by_hand = -sum(float(chances[len(before) + at - 1, token]) for at, token in enumerate(query)) / len(query)
    assert float(found) == pytest.approx(by_hand, abs=1e-4)


def test_vectors_alone_are_learnt_and_equal_seeds_learn_the_same(writer: FrozenWriter) -> None:
    before = [each.clone() for each in writer._model.parameters()]
    settings = PromptSettings(virtual=4, examples=2, epochs=6, patience=6, learning_rate=0.1)
    one, other = teach_prompt(writer, PAIRS, settings), teach_prompt(writer, PAIRS, settings)
    assert min(one.losses) < one.losses[0] - 0.05
    assert one.losses == other.losses
    assert torch.equal(one.vectors, other.vectors)
    assert one.vectors.shape == (4, before[0].shape[1])
    assert one.example in PAIRS
    assert all(torch.equal(a, b) for a, b in zip(before, writer._model.parameters(), strict=True))


def test_what_is_written_is_one_line_and_follows_the_vectors(writer: FrozenWriter) -> None:
    settings = PromptSettings(virtual=4, examples=1, epochs=8, patience=8, learning_rate=0.3)
    learnt = teach_prompt(writer, PAIRS, settings)
    documents = [document for document, _ in PAIRS[:3]]
    plain = writer.write(None, learnt.example, documents, words=10)
    taught = writer.write(learnt.vectors, learnt.example, documents, words=10)
    assert len(plain) == len(taught) == 3
    assert plain != taught
    for text in (*plain, *taught):
        assert "\n" not in text
        assert text == " ".join(text.split())


def test_queries_that_do_not_lead_back_go(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    rows = [{"_id": word, "text": f"The {word} is of the day."} for word in WORDS]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    build_index([corpus], tmp_path / "index", legs=("lexical",))
    with LocalIndex.open(tmp_path / "index") as index:
        written = ["paid leave", "", "the wheel", "unheard"]
        kept = list(round_trip(index, written, ["leave", "bicycle", "frame", "note"], k=1))
        assert kept == [("paid leave", "leave")]
        assert list(round_trip(index, [], [])) == []


def test_few_pairs_and_settings_that_teach_nothing_are_refused(writer: FrozenWriter) -> None:
    with pytest.raises(SpecError, match="at least 8 pairs of a document and a query; there are 7"):
        teach_prompt(writer, PAIRS[:7], PromptSettings())
    for given in ({"virtual": 0}, {"learning_rate": 0.0}):
        wrong: dict[str, Any] = given
        with pytest.raises(ValueError, match="soft_prompt"):
            PromptSettings(**wrong)
