from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.progress import Progress, silent
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.sentence_folder import Role
from retrievers.legs.dense.encode_units import encode_units
from retrievers.stores.computed import digest_of
from tests.stopped import killed
from tests.threads import one_thread

TEXTS = [f"day {i} of the ride" for i in range(20)]


class Watched(SentenceEncoder):
    """Remembers the texts that it was asked for."""

    def __init__(self, folder: Path, **options: str) -> None:
        super().__init__(model=str(folder), compute=options.get("compute", "float32"))  # type: ignore[arg-type]
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str], *, role: Role, progress: Progress = silent) -> NDArray[np.float32]:
        assert role == "document"
        self.asked.append(list(texts))
        return super().encode(texts, role=role, progress=progress)


def vectors_of(texts: Sequence[str], **given: Any) -> NDArray[np.float32]:
    return encode_units(texts, **given).vectors


@pytest.fixture
def encoder(mean_bert: Path) -> Watched:
    return Watched(mean_bert)


def test_vectors_are_those_of_the_encoder_and_mapped(encoder: Watched, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    found = vectors_of(TEXTS, encoder=encoder, work=tmp_path, shard=8, progress=lambda *step: seen.append(step))
    assert isinstance(found, np.memmap)
    np.testing.assert_allclose(found, encoder.encode(TEXTS, role="document"), atol=1e-5)
    assert [len(texts) for texts in encoder.asked[:-1]] == [8, 8, 4]
    assert seen == [("encode", 8, 20), ("encode", 16, 20), ("encode", 20, 20)]


def test_nothing_gives_nothing(encoder: Watched, tmp_path: Path) -> None:
    assert vectors_of([], encoder=encoder, work=tmp_path).shape == (0, encoder.dim)


def test_a_repeated_text_is_encoded_once(encoder: Watched, tmp_path: Path) -> None:
    found = vectors_of(["the day", "a ride", "the day", "the day"], encoder=encoder, work=tmp_path)
    assert encoder.asked == [["the day", "a ride"]]
    np.testing.assert_array_equal(found[[2, 3]], found[[0, 0]])
    assert not np.allclose(found[0], found[1])


def test_a_second_run_encodes_nothing_even_in_another_order(encoder: Watched, tmp_path: Path) -> None:
    first = np.array(vectors_of(TEXTS, encoder=encoder, work=tmp_path, shard=8))
    encoder.asked.clear()
    again = vectors_of(["a new one", *TEXTS[::-1]], encoder=encoder, work=tmp_path, shard=8)
    assert encoder.asked == [["a new one"]]
    np.testing.assert_array_equal(again[1:], first[::-1])


def test_vectors_of_unchanged_texts_are_taken_over(encoder: Watched, tmp_path: Path) -> None:
    old = np.full(encoder.dim, 0.5, dtype=np.float32)
    found = vectors_of(TEXTS[:3], encoder=encoder, work=tmp_path, reuse={digest_of(TEXTS[1]): old})
    assert encoder.asked == [[TEXTS[0], TEXTS[2]]]
    np.testing.assert_array_equal(found[1], old)


def test_shards_of_another_encoder_are_not_used(encoder: Watched, mean_bert: Path, tmp_path: Path) -> None:
    encode_units(TEXTS, encoder=encoder, work=tmp_path)
    other = Watched(mean_bert, compute="bfloat16")
    encode_units(TEXTS, encoder=other, work=tmp_path)
    assert other.asked == [TEXTS]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_shard_is_made_again(encoder: Watched, tmp_path: Path, damage: str) -> None:
    expected = np.array(vectors_of(TEXTS, encoder=encoder, work=tmp_path, shard=10))
    shard = sorted(tmp_path.glob("*-*.block"))[0]
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1
    shard.write_bytes({"flip": bytes(content), "cut": bytes(content[:-7]), "empty": b""}[damage])
    encoder.asked.clear()
    found = vectors_of(TEXTS, encoder=encoder, work=tmp_path, shard=10)
    assert [len(texts) for texts in encoder.asked] == [10]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_lone_surrogates_have_a_digest_and_a_vector(encoder: Watched, tmp_path: Path) -> None:
    found = vectors_of(["\ud800 day", "\ud801 day"], encoder=encoder, work=tmp_path)
    assert len(encoder.asked[0]) == 2
    assert np.isfinite(found).all()


def test_a_shard_holds_at_least_one_text(encoder: Watched, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shard must be at least 1, got 0"):
        encode_units(TEXTS, encoder=encoder, work=tmp_path, shard=0)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_goes_on_from_its_last_shard(encoder: Watched, mean_bert: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"

    def endless() -> None:
        many = [f"day {i} of the ride" for i in range(100_000)]
        encode_units(many, encoder=SentenceEncoder(model=str(mean_bert), compute="float32"), work=work, shard=16)

    with one_thread():  # a fork has none of the others
        assert killed(endless, once=lambda: len(list(work.glob("*-*.block"))) >= 3)
    finished = len(list(work.glob("*-*.block")))
    assert finished >= 3

    texts = [f"day {i} of the ride" for i in range(16 * (finished + 2))]
    found = vectors_of(texts, encoder=encoder, work=work, shard=16)
    assert [text for asked in encoder.asked for text in asked] == texts[16 * finished :]
    np.testing.assert_allclose(found, SentenceEncoder.encode(encoder, texts, role="document"), atol=1e-5)
    assert not list(work.glob("*.unfinished"))
