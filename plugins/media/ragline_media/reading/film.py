"""Films: mp4, webm and mkv -> what is said in them, and one picture of each scene. Runs in the process that parses, which is
bounded in memory and in the processor's time.

The bytes are kept as they are. What is said is a document as a recording's is; each scene is one of its own, with its picture and
its second, so that words find the scene and the film plays from there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise

from rag.reading import Beside, Content, Kept, Note, ParsedDocument
from ragline_media.film.scenes import Scene, scenes_of, tracks_of
from ragline_media.reading import lines, sound
from ragline_media.reading.names import words_of
from ragline_media.sound.speech import Segment, Speech, speech_of
from ragline_media.sound.waves import format_of

KIND = "video"
KINDS = frozenset({KIND, "picture"})
"""What its documents hold."""

require = sound.require


def parse(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """What is said, as `ragline_media.reading.sound` has it, and then a document for each scene, `name@12.5` by its second. A file
    without pictures is a recording.

    Raises:
        ReadError: it is no film of these formats, holds neither pictures nor sound, is damaged, or too long.
    """
    tracks = tracks_of(data)
    if not tracks.pictures:
        note("no pictures in it: it is read as a recording")
        yield from sound.parse(data, name, note, beside)
        return
    scenes = scenes_of(data, begins=beside.begins)
    silence = Speech(segments=(), language="", seconds=tracks.seconds)
    speech = speech_of(data, begins=beside.begins) if tracks.sound else silence
    if not speech.segments:
        what = "nobody speaks in it" if tracks.sound else "no sound in it"
        note(f"{what}: it is found by its pictures, by its name, and by what a file beside it says")
    kept, media_type = Kept(data=data), format_of(data)[1].replace("audio/", "video/")
    yield sound.recording(kept, media_type, speech, name, kind=KIND, caption=beside.caption)
    ends = [later.start for _, later in pairwise(scenes)] + [max(speech.seconds, tracks.seconds, scenes[-1].start)]
    for scene, end in zip(scenes, ends, strict=True):
        yield _document(scene, round(end, 2), kept.sha256, media_type, name, beside, note)


def _document(
    scene: Scene, end: float, film: str, media_type: str, name: str, beside: Beside, note: Note
) -> ParsedDocument:
    from PIL import Image

    width, height = scene.size
    with Image.open(io.BytesIO(scene.frame.data), formats=("JPEG",)) as frame:
        on_it = lines.read(frame, "", beside, note)
    picture = Content(
        kind="picture",
        uri=f"sha256:{scene.frame.sha256}",
        sha256=scene.frame.sha256,
        media_type="image/jpeg",
        metadata={"width": width, "height": height, "start": scene.start, **on_it.places},
    )
    plays = sound.stretch(film, media_type, Segment(start=scene.start, end=end, text=""), kind=KIND)
    return ParsedDocument(
        doc_id=f"{name}@{scene.start:g}",
        title=words_of(name),
        text=on_it.text,
        blocks=on_it.blocks,
        metadata={"source": name, "media_type": media_type, "second": scene.start, **on_it.metadata},
        whole=True,
        contents=((0, picture), (0, plays)),
        kept=(scene.frame,),
    )
