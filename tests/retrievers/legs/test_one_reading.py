"""One reading for several legs: vectors to the bit, tokens within rounding, each text read once, whatever else is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.indexing import build_index
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.settings import Encoding
from retrievers.encoders.token_encoder import TokenEncoder
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.beside import Beside
from retrievers.legs.late_interaction.kind import LateInteractionMaker
from retrievers.legs.late_interaction.settings import LateInteractionSettings
from retrievers.stores.computed import Computed, digest_of
from tests.retrievers.legs.test_every_leg import StopAt, Stopped, random_texts, write
from tests.small_legs import BLOCK, SmallModels, small_blocks
from tests.threads import one_thread

BOTH = ("dense", "late_interaction")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Files are compared to the byte."""
    with one_thread():
        yield


def settings_of(models: SmallModels, **dense: Any) -> IndexSettings:
    said = {"encoder": str(models.sentences), "compute": "float32", **dense}
    late = {"model": str(models.sentences), "dtype": "float32", "bits": 8}
    return IndexSettings.model_validate({"dense": said, "late_interaction": late})


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write(tmp_path / "texts", random_texts(3 * BLOCK))


def digest(place: Path, file: str) -> str:
    with LocalIndex.open(place) as index:
        return index.manifest.files[file].sha256


def tokens(place: Path) -> list[Any]:
    """The vectors of all rows on their own axes, turned back to the model's."""
    with LocalIndex.open(place) as index:
        leg: Any = index.leg("late_interaction")
        return [np.array(leg.store.vectors(row)) for row in range(len(index))]


def test_vectors_are_the_same_to_the_bit_and_tokens_within_rounding(
    small_models: SmallModels, corpus: Path, tmp_path: Path
) -> None:
    settings = settings_of(small_models)
    for legs in (BOTH[:1], BOTH[1:], BOTH):
        with small_blocks() as calls:
            build_index([corpus], tmp_path / "+".join(legs), settings=settings, legs=legs)
    assert {leg for leg, _ in calls} == {"dense"}, "late interaction read nothing of its own"
    assert digest(tmp_path / "dense+late_interaction", "dense/vectors.npy") == digest(
        tmp_path / "dense", "dense/vectors.npy"
    )
    alone, beside = tokens(tmp_path / "late_interaction"), tokens(tmp_path / "dense+late_interaction")
    assert [len(row) for row in alone] == [len(row) for row in beside]
    assert np.concatenate(beside) == pytest.approx(np.concatenate(alone), abs=0.02)


def test_a_build_that_is_stopped_anywhere_reads_each_text_once(
    small_models: SmallModels, corpus: Path, tmp_path: Path
) -> None:
    settings = settings_of(small_models)
    build_index([corpus], tmp_path / "whole", settings=settings, legs=BOTH)
    with small_blocks() as calls:
        for step in range(1, 99):
            try:
                build_index([corpus], tmp_path / "stopped", settings=settings, legs=BOTH, progress=StopAt(step))
            except Stopped:
                continue
            break
    assert calls == [("dense", BLOCK)] * 3
    assert digest(tmp_path / "stopped", "dense/vectors.npy") == digest(tmp_path / "whole", "dense/vectors.npy")
    assert np.concatenate(tokens(tmp_path / "stopped")) == pytest.approx(
        np.concatenate(tokens(tmp_path / "whole")), abs=0.02
    )


def test_what_changes_is_read_once_for_both(small_models: SmallModels, corpus: Path, tmp_path: Path) -> None:
    settings, texts = settings_of(small_models), random_texts(3 * BLOCK)
    build_index([corpus], tmp_path / "index", settings=settings, legs=BOTH)
    write(corpus.parent, texts | {"d03": "the ride of a lost wheel", "new": "note of safety"})
    with small_blocks() as calls:
        build_index([corpus], tmp_path / "index", settings=settings, legs=BOTH)
    assert calls == [("dense", 2)]


def test_a_leg_that_comes_later_reads_for_itself(small_models: SmallModels, corpus: Path, tmp_path: Path) -> None:
    settings = settings_of(small_models)
    build_index([corpus], tmp_path / "index", settings=settings, legs=BOTH[:1])
    with small_blocks() as calls:
        build_index([corpus], tmp_path / "index", settings=settings, legs=BOTH)
    assert calls == [("late_interaction", BLOCK)] * 3


@pytest.mark.parametrize("asked", [{"encoding": {"document_prompt": "say: "}}, {"encoding": {"max_tokens": 4}}])
def test_legs_that_read_otherwise_do_not_share(
    asked: Mapping[str, Any], small_models: SmallModels, corpus: Path, tmp_path: Path
) -> None:
    with small_blocks() as calls:
        build_index([corpus], tmp_path / "index", settings=settings_of(small_models, **asked), legs=BOTH)
    assert {leg for leg, _ in calls} == {*BOTH}


class TestWhatDecides:
    def test_two_names_of_one_model_are_one_reading(self, small_models: SmallModels, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(small_models.sentences)
        reading = SentenceEncoder(model=str(small_models.sentences), compute="float32").reading()
        assert reading is not None
        assert TokenEncoder(model=str(link), dtype="float32").reading() == reading
        assert TokenEncoder(model=str(link), dtype="bfloat16").reading() != reading

    def test_pooling_decides_nothing_of_states(self, small_models: SmallModels) -> None:
        alike = [Encoding(), Encoding(pooling="cls")]
        readings = [SentenceEncoder(model=str(small_models.sentences), encoding=each).reading() for each in alike]
        assert readings[0] == readings[1]

    def test_who_shows_no_states_says_so(self, small_models: SmallModels) -> None:
        assert SentenceEncoder(model=str(small_models.static)).reading() is None
        twice = SentenceEncoder(model=str(small_models.sentences), encoding=Encoding(echo=True))
        assert twice.reading() is None, "each text is read twice over"


class TestBeside:
    def beside(self, models: SmallModels, work: Path, **changes: Any) -> tuple[Beside, dict[str, Any]]:
        maker = LateInteractionMaker(LateInteractionSettings(model=str(models.sentences), dtype="float32"))
        said: dict[str, Any] = {
            "work": work,
            "made_by": maker.describe(),
            "block": 2,
            "row": lambda ids, states: maker.encoder.of_states(ids, states),
            "columns": lambda rows: {"n": np.array([len(row) for row in rows])},
        }
        return Beside(**said | changes), maker.describe()

    def test_it_keeps_small_blocks_of_what_is_wanted_blank_texts_too(
        self, small_models: SmallModels, tmp_path: Path
    ) -> None:
        texts = ["a lost laptop", "", "paid leave", "the ride", "known", "of the frame", "and a wheel"]
        beside, made_by = self.beside(small_models, tmp_path, known=lambda digest: digest == digest_of("known"))
        encoder = SentenceEncoder(model=str(small_models.sentences), compute="float32")
        for _ in range(2):  # the second time nothing is wanted
            with beside.seeing(texts) as seen:
                encoder.encode(texts, role="document", seen=seen)
        blocks = sorted(tmp_path.glob("*.block"))
        assert len(blocks) == 3
        store = Computed(tmp_path, made_by=made_by)
        own = TokenEncoder(model=str(small_models.sentences), dtype="float32").encode(texts, role="document")
        for place, text in enumerate(texts):
            assert (digest_of(text) in store) == (text != "known")
            if text != "known":
                assert store[digest_of(text)]["n"] == len(own.row(place))

    def test_what_is_interrupted_keeps_whole_blocks_alone(self, small_models: SmallModels, tmp_path: Path) -> None:
        beside, made_by = self.beside(small_models, tmp_path)
        states = np.ones((4, TokenEncoder(model=str(small_models.sentences)).dim), dtype=np.float32)

        def stopped() -> None:
            with beside.seeing(["one", "two", "three"]) as seen:
                for place in range(3):
                    seen(place, (7, 8, 9, 10), states)
                raise Stopped

        with pytest.raises(Stopped):
            stopped()
        kept = Computed(tmp_path, made_by=made_by)
        assert [digest_of(text) in kept for text in ("one", "two", "three")] == [True, True, False]


def test_seeing_states_changes_no_vector(small_models: SmallModels) -> None:
    encoder = SentenceEncoder(model=str(small_models.sentences), compute="float32")
    texts = list(random_texts(40).values())
    for some in (texts[:2], texts):  # few are read in a lighter way, as long as nothing is loaded
        seen: set[int] = set()
        with_states = encoder.encode(some, role="document", seen=lambda place, ids, states, at=seen: at.add(place))  # type: ignore[misc]
        assert seen == set(range(len(some)))
        assert (
            hashlib.sha256(with_states.tobytes()).digest()
            == hashlib.sha256(encoder.encode(some, role="document").tobytes()).digest()
        )
