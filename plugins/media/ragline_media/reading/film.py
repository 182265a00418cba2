"""Films: mp4, webm and mkv -> what is said in them, and one picture of each scene. Runs in the process that parses, which is
bounded in memory and in the processor's time.

The bytes are kept as they are. What is said is a document as a recording's is; each scene is one of its own, with its picture and
its second, so that words find the scene and the film plays from there. Key frames are looked at: those that need no other one to
be drawn. Encoders put them where the picture changes, and every few seconds. A scene begins with one whose small grey picture is
unlike that with which the scene before began.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.reading import Beside, Content, Kept, Note, ParsedDocument, ReadError
from ragline_media.reading import lines, sound
from ragline_media.reading.names import words_of
from ragline_media.reading.picture import thumbnail_of
from ragline_media.sound.speech import Segment, Speech, speech_of
from ragline_media.sound.waves import MOST_SECONDS, format_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL.Image import Image

MOST_SCENES = 60
"""Of one film. Where there are more, those that are most like the one before go."""
UNLIKE = 0.1
"""Mean difference of two grey pictures from which on they show two scenes; that of black and white is 1."""
MOST_PIXELS = 40_000_000
"""Of a frame."""
LONGEST_SIDE = 1280
"""Pixels of what is kept of a frame."""

_SMALL = (32, 18)
_STRETCH_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A scene: the second at which it begins, its first key frame as JPEG with a thumbnail, and that one's pixels across and down.

    `grey`: the frame as float32 [18, 32] from 0 to 1. `unlike`: the mean difference to that of the scene before.
    """

    start: float
    frame: Kept
    size: tuple[int, int]
    grey: NDArray[np.float32]
    unlike: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """What a film holds, and how many seconds it says that it is long."""

    sound: bool
    pictures: bool
    seconds: float


def tracks_of(data: bytes) -> Tracks:
    """What is in a film. Pictures of a cover are none.

    Raises:
        ReadError: it is no film of these formats, damaged from its beginning on, or holds neither.
    """
    import av

    try:
        with av.open(io.BytesIO(data), "r", format=format_of(data)[0], metadata_errors="ignore") as container:
            sound, pictures = bool(container.streams.audio), _video(container) is not None
            seconds = (container.duration or 0) / av.time_base
    except av.error.FFmpegError as cause:
        raise ReadError(f"damaged: {str(cause)[:200]}") from None
    if not sound and not pictures:
        raise ReadError("neither sound nor pictures in it")
    return Tracks(sound=sound, pictures=pictures, seconds=seconds)


def scenes_of(data: bytes, *, begins: Callable[[], None] = lambda: None) -> list[Scene]:
    """The scenes of a film, in order, at most `MOST_SCENES`; as far as it can be read, where it is damaged further on.

    Args:
        begins: called before every half minute of it.
    Raises:
        ReadError: not one picture of it can be read, or they are too large, or it is too long.
    """
    import av

    scenes = list[Scene]()
    stretches = 0
    with suppress(av.error.FFmpegError), av.open(io.BytesIO(data), "r", format=format_of(data)[0]) as container:
        for frame in _key_frames(container):
            second = float(frame.time or 0.0)
            while second >= stretches * _STRETCH_S:
                begins()
                stretches += 1
            if second > MOST_SECONDS:
                raise ReadError(f"longer than {MOST_SECONDS // 3600} hours; split it")
            grey = _grey(frame)
            unlike = float(np.abs(grey - scenes[-1].grey).mean()) if scenes else 1.0
            if unlike >= UNLIKE:
                kept, size = _kept(frame)
                scenes.append(Scene(start=round(second, 2), frame=kept, size=size, grey=grey, unlike=unlike))
            if len(scenes) > MOST_SCENES:
                del scenes[1 + int(np.argmin([each.unlike for each in scenes[1:]]))]
    if not scenes:
        raise ReadError("damaged: not one of its pictures can be read")
    return scenes


def _video(container: InputContainer) -> VideoStream | None:
    from av.stream import Disposition

    streams = container.streams.video
    return next((each for each in streams if not each.disposition & Disposition.attached_pic), None)


def _key_frames(container: InputContainer) -> Iterator[VideoFrame]:
    """As far as they can be decoded: what is damaged is left out."""
    import av

    video = _video(container)
    if video is None:
        return
    video.codec_context.skip_frame = "NONKEY"
    video.codec_context.thread_count = 1
    for packet in container.demux(video):
        with suppress(av.error.InvalidDataError):
            yield from packet.decode()


def _grey(frame: VideoFrame) -> NDArray[np.float32]:
    if frame.width * frame.height > MOST_PIXELS:
        raise ReadError(f"{frame.width:,} x {frame.height:,} pixels a frame, more than {MOST_PIXELS:,}; a bomb?")
    small = frame.reformat(width=_SMALL[0], height=_SMALL[1], format="gray").to_ndarray()
    return small.astype(np.float32) / np.float32(255)


def _kept(frame: VideoFrame) -> tuple[Kept, tuple[int, int]]:
    """A frame as it is to be seen, for phones film lying."""
    scale = min(1.0, LONGEST_SIDE / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    untyped: Any = frame  # the library does not say what type its pictures have
    picture: Image = untyped.to_image(width=width, height=height).rotate(frame.rotation, expand=True)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=88)
    return Kept(data=stream.getvalue(), thumbnail=thumbnail_of(picture)), picture.size


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
