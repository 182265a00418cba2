"""CCP beside its formulae, and a model of two layers taught by it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from rag import build_index
from rag.errors import SpecError
from ragline_train.context_prediction import (
    Bank,
    ContextSettings,
    Head,
    context_loss,
    context_pairs,
    in_sentences,
    main,
    teach_context,
)

from .teachable import passages, tiny_encoder

PASSAGES = {
    "de": [[f"de {passage} {place}" for place in range(6)] for passage in range(4)],
    "en": [[f"en {passage} {place}" for place in range(6)] for passage in range(5)] + [["alone"]],
}


def test_a_sentence_is_told_from_the_batch_and_the_bank() -> None:
    one = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    other = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    bank = torch.tensor([[1.0, 0.0]])
    rows = [[0.6, 0.0, 1.0], [0.8, 1.0, 0.0]]  # cosines with both others and the bank
    by_hand = fmean(
        -math.log(math.exp(row[at] / 0.5) / sum(math.exp(each / 0.5) for each in row)) for at, row in enumerate(rows)
    )
    assert float(context_loss(one, other, bank, temperature=0.5)) == pytest.approx(by_hand, abs=1e-6)


def test_one_side_is_normalised_by_what_was_seen_before() -> None:
    torch.manual_seed(0)
    head, vectors, others = Head(4), torch.randn(8, 4), torch.randn(8, 4)
    seen = head.first(vectors)
    moved = 0.1 * seen.mean(dim=0)  # of nothing seen before, and a tenth of this
    spread = 0.9 + 0.1 * seen.var(dim=0)
    head(vectors, by_batch=True)
    expected = torch.nn.functional.normalize(
        head.last((head.first(others) - moved) / torch.sqrt(spread + 1e-5)), dim=-1
    )
    torch.testing.assert_close(head(others, by_batch=False), expected)
    torch.testing.assert_close(head(others, by_batch=False), expected)  # and nothing was remembered of these


def test_pairs_are_of_one_language_and_of_one_window() -> None:
    settings = ContextSettings(steps=20, batch=4, window=2)
    steps = list(context_pairs(PASSAGES, settings))
    assert [language for language, _ in steps] == ["de", "en"] * 10
    for language, pairs in steps:
        read = [(one.split(), other.split()) for one, other in pairs]
        assert len({one[1] for one, _ in read}) == 4
        for one, other in read:
            assert one[:2] == other[:2]
            assert one[0] == language
            assert 1 <= abs(int(one[2]) - int(other[2])) <= 2
    assert steps == list(context_pairs(PASSAGES, settings))


def test_a_bank_keeps_the_newest_of_each_language() -> None:
    bank = Bank(2)
    assert bank.negatives("de", across=False, dim=3).shape == (0, 3)
    rows = torch.eye(3)
    bank.add("de", rows)
    bank.add("en", rows[:1])
    torch.testing.assert_close(bank.negatives("de", across=False, dim=3), rows[1:])
    torch.testing.assert_close(bank.negatives("en", across=True, dim=3), torch.cat([rows[1:], rows[:1]]))


def opened(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def test_a_model_is_taught_and_equal_seeds_teach_equal_weights(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "tiny")
    texts = {"en": in_sentences([each["text"] for each in passages()])}
    assert len(texts["en"][0]) == 6
    settings = ContextSettings(steps=40, batch=8, learning_rate=3e-3, bank=64)
    one, other = opened(folder), opened(folder)
    losses = teach_context(one, texts, settings)
    assert fmean(losses[-8:]) < fmean(losses[8:16]) - 0.2  # the first are told from a bank that is not full
    assert losses == teach_context(other, texts, settings)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("of", [{}, {"de": PASSAGES["de"][:2], "en": PASSAGES["en"]}])
def test_too_few_passages_are_refused(of: dict[str, list[list[str]]]) -> None:
    with pytest.raises(SpecError, match="a batch has 4 pairs of different passages of one language, and there are"):
        list(context_pairs(of, ContextSettings(steps=1, batch=4)))


def test_a_rate_that_breaks_the_loss_is_told(tmp_path: Path) -> None:
    texts = {"en": in_sentences([each["text"] for each in passages()])}
    model = opened(tiny_encoder(tmp_path / "tiny"))
    with torch.no_grad():
        next(iter(model.parameters())).fill_(float("nan"))
    with pytest.raises(SpecError, match=r"the loss is nan after 0 steps\. A lower learning rate may help"):
        teach_context(model, texts, ContextSettings(steps=2, batch=4))


@pytest.mark.parametrize(
    ("given", "why"), [({"batch": 1}, "at least 2"), ({"temperature": 0.0}, "above 0"), ({"window": 0}, "window")]
)
def test_settings_that_teach_nothing_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ContextSettings(**given)


def test_an_index_that_says_its_languages_teaches(tmp_path: Path) -> None:
    rows = [{**each, "lang": "en"} for each in passages()] + [{"_id": "few", "text": "Eins. Zwei.", "lang": "de"}]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    build_index([corpus], tmp_path / "index", legs=("lexical",))
    encoder = tiny_encoder(tmp_path / "tiny")
    out = tmp_path / "taught"
    assert main([str(encoder), str(out), str(tmp_path / "index")]) == 0
    before, after = opened(encoder), opened(out)
    assert not all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    with pytest.raises(SpecError, match="is there already"):
        main([str(encoder), str(out), str(tmp_path / "index")])
