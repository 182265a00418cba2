"""Films: their scenes, what a reader makes of them, and what is told of those that are none."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.media.tests.drawn import random_encoder, random_tower
from plugins.media.tests.filmed import SIDE, filmed
from plugins.media.tests.spoken import wav
from rag import build_index, remove_from_index
from rag.graphs import load_spec
from rag.indexes import LocalIndex, contents_of
from rag.reading import Beside, ParsedDocument, ReadError
from ragline_media.reading import film, sound
from ragline_media.reading import film as module
from ragline_media.reading.film import scenes_of, tracks_of
from ragline_media.sound.speech import Segment, Speech
from ragline_media.sound.waves import RATE

TONE = (0.3 * np.sin(np.arange(3 * RATE) / RATE * 2 * np.pi * 440)).astype(np.float32)
THREE = [(20, 2.0), (220, 3.0), (120, 2.0)]
MP4 = {"form": "mp4", "codecs": ("mpeg4", "aac")}
MKV = {"form": "matroska", "codecs": ("libvpx", "libopus")}


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written down: what is said is another test's."""
    speech = Speech(segments=(Segment(start=0.5, end=2.5, text="a tone"),), language="en", seconds=3.0)
    for reader in (film, sound):
        monkeypatch.setattr(reader, "speech_of", lambda data, begins: speech)


def read(data: bytes, name: str = "a/red bus.mp4", caption: str = "") -> tuple[list[ParsedDocument], list[str]]:
    notes = list[str]()
    found = film.parse(data, name, lambda reason, lost=False: notes.append(reason), Beside(caption=caption))
    return [*found], notes


@pytest.mark.parametrize("how", [{}, MP4, MKV])
def test_a_scene_begins_where_the_picture_changes(how: dict[str, object]) -> None:
    found = scenes_of(filmed(THREE, **how))  # type: ignore[arg-type]
    assert [scene.start for scene in found] == pytest.approx([0, 2, 5], abs=0.01)
    seen = [np.asarray(Image.open(io.BytesIO(scene.frame.data)).convert("L"))[80, 100] for scene in found]
    assert np.abs(np.array(seen, int) - [20, 220, 120]).max() < 12
    assert [scene.size for scene in found] == [SIDE] * 3


def test_of_many_scenes_those_most_unlike_the_one_before_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SCENES", 2)
    found = scenes_of(filmed([(20, 1.0), (70, 1.0), (250, 1.0)]))
    assert [scene.start for scene in found] == pytest.approx([0, 2], abs=0.01)


def test_time_is_asked_for_each_half_minute() -> None:
    begun = list[int]()
    scenes_of(filmed([(20, 61.0)]), begins=lambda: begun.append(1))
    assert len(begun) == 3


def test_a_film_is_what_is_said_and_its_scenes(silent: None) -> None:
    data = filmed(THREE, samples=TONE)
    documents, notes = read(data, caption="at noon")
    spoken, *shown = documents
    assert (spoken.doc_id, spoken.text, notes) == ("a/red bus.mp4", "at noon\n\na tone", [])
    [(offset, said)] = spoken.contents
    assert (offset, said.kind, said.media_type, said.metadata) == (9, "video", "video/webm", {"start": 0.5, "end": 2.5})
    assert spoken.kept[0].data == data
    assert [each.doc_id for each in shown] == ["a/red bus.mp4@0", "a/red bus.mp4@2", "a/red bus.mp4@5"]
    for each, (start, end) in zip(shown, [(0.0, 2.0), (2.0, 5.0), (5.0, 7.0)], strict=True):
        (_, picture), (_, plays) = each.contents
        assert (each.title, each.text, picture.kind, plays.sha256) == ("red bus", "", "picture", said.sha256)
        assert picture.metadata["start"] == plays.metadata["start"] == pytest.approx(start, abs=0.01)
        assert plays.metadata["end"] == pytest.approx(end, abs=0.25)
        assert each.kept[0].sha256 == picture.sha256


def test_a_film_without_sound_is_found_by_its_pictures() -> None:
    documents, notes = read(filmed(THREE, **MP4))  # type: ignore[arg-type]
    assert notes == ["no sound in it: it is found by its pictures, by its name, and by what a file beside it says"]
    assert len(documents) == 4
    assert documents[0].contents[0][1].metadata == {"start": 0.0, "end": 7.0}


def test_a_film_without_pictures_is_a_recording(silent: None) -> None:
    [document], notes = read(filmed([], samples=TONE, **MP4))  # type: ignore[arg-type]
    assert notes == ["no pictures in it: it is read as a recording"]
    [(_, said)] = document.contents
    assert (said.kind, said.media_type, document.text) == ("sound", "audio/mp4", "a tone")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: b"<html>no film</html>", "no sound that is read here"),
        (lambda: b"#EXTM3U\nfile:///etc/passwd\n", "no sound that is read here"),
        (lambda: bytes.fromhex("1a45dfa3") + b"webm" + bytes(100), "damaged"),
        (lambda: b"\0\0\0\x18ftypmp42" + bytes(200), "damaged|neither sound nor pictures"),
        (lambda: filmed(THREE)[:300], "damaged|neither sound nor pictures"),
    ],
)
def test_what_is_no_film_is_told(made: Callable[[], bytes], said: str) -> None:
    with pytest.raises(ReadError, match=said):
        read(made())


def test_of_a_film_that_is_cut_off_the_beginning_is_read() -> None:
    whole = filmed([(20, 4.0), (220, 4.0), (20, 4.0)], **MKV)  # type: ignore[arg-type]
    found = scenes_of(whole[: len(whole) * 2 // 3])
    assert 1 <= len(found) < 4
    assert found[0].start == 0


def test_a_frame_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PIXELS", 100)
    with pytest.raises(ReadError, match="a bomb"):
        scenes_of(filmed(THREE))


def test_a_cover_is_no_film() -> None:
    assert tracks_of(filmed([], samples=TONE, **MP4)).pictures is False  # type: ignore[arg-type]


@pytest.mark.models
def test_words_find_a_scene_of_an_index_and_its_bytes_are_kept_once(tmp_path: Path) -> None:
    """A folder of a silent film: the leg of pictures comes by itself, and each scene is a document."""
    (tmp_path / "films").mkdir()
    data = filmed(THREE, **MP4)  # type: ignore[arg-type]
    (tmp_path / "films" / "MVI_0001.mp4").write_bytes(data)
    (tmp_path / "films" / "notes.txt").write_text("What was filmed.", encoding="utf-8")
    settings = {"tower": str(random_tower(tmp_path / "tower")), "encoder": str(random_encoder(tmp_path / "encoder"))}
    nodes = {"best": {"use": "retrieve.pictures", "in": "query", "k": 3}}
    spec = load_spec({"version": 1, "index": {"pictures": settings}, "nodes": nodes, "output": "best"})
    build_index(tmp_path / "films", tmp_path / "idx", settings=spec.graph.index, legs=("lexical",))
    with LocalIndex.open(tmp_path / "idx") as index:
        assert index.legs == ("lexical", "pictures")
        assert len(index.leg("pictures").rows) == 3
        assert index.kinds == {"video", "picture"}
        assert len([*contents_of(index)]) == 4
        ids = [document.doc_id for document in index.documents]
    film_and_scenes = ["films/MVI_0001.mp4", *(f"films/MVI_0001.mp4@{second}" for second in (0, 2, 5))]
    assert ids == [*film_and_scenes, "films/notes.txt#1"]
    remove_from_index(["films/MVI_0001.mp4"], tmp_path / "idx", rewrite=True, most_lost=1.0)
    with LocalIndex.open(tmp_path / "idx") as index:
        assert [document.doc_id for document in index.documents] == ["films/notes.txt#1"], "scenes go with their film"
        assert [*contents_of(index)] == []


@pytest.mark.models
def test_recordings_alone_get_no_leg_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "tone.wav").write_bytes(wav(TONE))
    report = build_index(tmp_path / "talks", tmp_path / "idx", legs=("lexical",))
    assert report.legs == ("lexical",)
    with LocalIndex.open(tmp_path / "idx") as index:
        assert (index.kinds, len([*contents_of(index)])) == ({"sound"}, 1)
    (tmp_path / "talks" / "more.wav").write_bytes(wav(TONE[::-1]))
    assert build_index(tmp_path / "talks", tmp_path / "idx").n_documents == 2, "it goes on reading recordings"
