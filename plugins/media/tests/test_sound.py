"""Sounds: what is decoded, where it is cut, what a reader makes of it, and real speech through an index."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from plugins.media.tests.spoken import talk, wav
from rag import build_index, load_pipeline
from rag.indexes import contents_of
from rag.reading import Beside, ParsedDocument, ReadError
from ragline_media.reading import sound
from ragline_media.sound import speech, waves
from ragline_media.sound.speech import Segment
from ragline_media.sound.waves import RATE, format_of, pieces

TONE = 0.5 * np.sin(np.arange(3 * RATE, dtype=np.float32) / RATE * 2 * np.pi * 440)


def all_of(data: bytes) -> np.ndarray:
    return np.concatenate([piece.samples for piece in pieces(data)])


def encoded(samples: np.ndarray, form: str, codec: str) -> bytes:
    """By the same library that decodes it."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=form) as container:
        track = container.add_stream(codec, rate=RATE, layout="mono")
        levels = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        levels.sample_rate = RATE
        fitting = av.AudioResampler(
            format=track.format.name, layout="mono", rate=RATE, frame_size=track.frame_size or 1024
        )
        for frame in [*fitting.resample(levels), *fitting.resample(None)]:
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return stream.getvalue()


def test_a_wav_comes_out_as_it_went_in() -> None:
    assert np.abs(all_of(wav(TONE)) - TONE).max() < 2 / 32768
    [piece] = pieces(wav(TONE))
    assert (piece.start, piece.end) == (0.0, 3.0)


def test_two_channels_and_another_rate_become_one_of_sixteen_thousand() -> None:
    slow = TONE[::2]
    both = all_of(wav(np.stack([slow, -slow], 1), rate=RATE // 2))
    assert abs(len(both) - len(TONE)) < RATE / 100
    assert np.abs(both).max() < 1e-3, "opposite channels are silence together"
    one = all_of(wav(np.stack([slow, slow], 1), rate=RATE // 2))
    assert 0.3 < np.abs(one[RATE : 2 * RATE]).mean() < 0.33, "2 / pi of one half"


@pytest.mark.parametrize(
    ("form", "codec", "media_type"),
    [
        ("flac", "flac", "audio/flac"),
        ("ogg", "libopus", "audio/ogg"),
        ("mp3", "libmp3lame", "audio/mpeg"),
        ("ipod", "aac", "audio/mp4"),
    ],
)
def test_formats_are_told_by_their_bytes(form: str, codec: str, media_type: str) -> None:
    data = encoded(TONE, form, codec)
    assert format_of(data)[1] == media_type
    found = all_of(data)
    assert abs(len(found) - len(TONE)) < RATE / 4
    assert abs(np.abs(found[RATE : 2 * RATE]).mean() - 1 / np.pi) < 0.02


@pytest.mark.parametrize(
    "data",
    [
        b"<html>no sound</html>",
        b"#EXTM3U\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_is_no_sound_is_refused_by_its_first_bytes(data: bytes) -> None:
    with pytest.raises(ReadError, match="no sound that is read here"):
        list(pieces(data))


def test_damage_is_told_and_what_comes_before_it_is_read() -> None:
    with pytest.raises(ReadError, match="damaged"):
        list(pieces(b"fLaC" + bytes(100)))
    flac = encoded(TONE, "flac", "flac")
    half = all_of(flac[: len(flac) // 2])
    assert 0 < len(half) < len(TONE)


def test_a_long_sound_comes_in_pieces_that_end_where_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waves, "PIECE", 10 * RATE)
    monkeypatch.setattr(waves, "_SEARCHED", 3 * RATE)
    loud = np.tile(TONE, 8)[: 23 * RATE].copy()
    loud[int(8.2 * RATE) : int(8.6 * RATE)] = 0
    found = list(pieces(wav(loud)))
    assert 8.2 < found[0].end < 8.6
    assert [later.start for later in found[1:]] == pytest.approx([earlier.end for earlier in found[:-1]])
    assert len(found) == 3
    assert np.abs(np.concatenate([piece.samples for piece in found]) - loud).max() < 2 / 32768


def test_what_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waves, "PIECE", 2 * RATE)
    monkeypatch.setattr(waves, "MOST_SECONDS", 1)
    with pytest.raises(ReadError, match="split it"):
        list(pieces(wav(np.tile(TONE, 4))))


def told(segments: list[Segment], *, seconds: float = 3.0, caption: str = "") -> tuple[ParsedDocument, int, list[str]]:
    """What the reader makes of a tone in which the model hears these segments."""
    begun, notes = [0], list[str]()

    def begins() -> None:
        begun[0] += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech, "transcribed", lambda piece, language: (segments, "en" if segments else ""))
        data = wav(np.tile(TONE, int(seconds / 3)))
        beside = Beside(caption=caption, begins=begins)
        [document] = sound.parse(data, "talks/board.wav", lambda reason, lost=False: notes.append(reason), beside)
    return document, begun[0], notes


def test_each_stretch_stands_where_its_words_do() -> None:
    heard = [Segment(start=0.5, end=2.0, text="Two buses were bought."), Segment(start=2.0, end=2.9, text="In May.")]
    document, begun, notes = told(heard, caption="The board meets")
    assert document.text == "The board meets\n\nTwo buses were bought. In May."
    spans = [document.text[block.start : block.end] for block in document.blocks]
    assert spans == ["The board meets", "Two buses were bought. In May."]
    assert all(document.text[place:].startswith(each.text) for place, each in document.contents)
    seconds = [(each.metadata["start"], each.metadata["end"]) for _, each in document.contents]
    assert seconds == [(0.5, 2.0), (2.0, 2.9)]
    assert {each.sha256 for _, each in document.contents} == {document.kept[0].sha256}
    assert (document.title, document.metadata["spoken"], begun, notes) == ("board", "en", 1, [])


def test_time_is_asked_for_by_how_long_it_is() -> None:
    assert told([], seconds=93.0)[1] == 4


def test_where_nobody_speaks_the_whole_sound_is_kept_and_that_is_told() -> None:
    document, _, notes = told([])
    assert (document.text, len(document.contents), len(document.kept)) == ("", 1, 1)
    assert "nobody speaks" in notes[0]


# --- real speech ---


@pytest.mark.data
@pytest.mark.models
def test_speech_is_found_by_its_words_with_its_seconds(eval_data: Path, tmp_path: Path) -> None:
    track, recording = talk(eval_data)
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "timbres.wav").write_bytes(recording)
    (tmp_path / "talks" / "quiet.wav").write_bytes(wav(np.zeros(4 * RATE, np.float32)))
    report = build_index(tmp_path / "talks", tmp_path / "idx", legs=("lexical",))
    assert ["nobody speaks" in str(problem) for problem in report.problems] == [True]
    graph = {"version": 1, "nodes": {"best": {"use": "retrieve.bm25", "in": "query", "k": 3}}, "output": "best"}
    with load_pipeline(graph, index=tmp_path / "idx") as pipeline:
        [hit, *_] = pipeline.search("une chaussure pour la randonnée").hits
        assert hit.document.metadata["spoken"] == "fr"
        [stretch] = [each for each in hit.document.contents if "chaussure" in each.text]
        begins = next(start for start, words in track if "chaussure" in words)
        assert abs(stretch.metadata["start"] - begins) < 2.0
        assert pipeline.index is not None
        assert contents_of(pipeline.index).read(stretch.sha256) == recording
