"""What is written down of speech, held against what was said: the share of words that are wrong, and how fast.

The sounds are the French captions of `multimodal/tux` that people spoke, one by one and one after the other, a second between
them; nobody listened to all of them, so the truth is the written caption. Where espeak-ng is installed, it reads paragraphs of
xquad and poquad in three languages: a machine's voice, and a strange one. Words count without case and punctuation; wrong are
those put in, left out or changed (counted by jiwer), over those that were said (WER), with the middle 95% over sounds drawn again.

    RAGLINE_EVAL_DATA=... python -m plugins.media.benchmarks.speech [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

import jiwer
import numpy as np

from benchmarks.record import Record, record
from plugins.media.benchmarks.bed import folder
from plugins.media.tests.spoken import captions, talk, wav
from rag.indexes import resolve
from ragline_media.sound.packaged import SPEECH
from ragline_media.sound.speech import speech_of
from ragline_media.sound.waves import RATE

VOICES = {"en": "xquad/en", "de": "xquad/de", "pl": "poquad"}
"""Language -> the set whose paragraphs espeak-ng reads."""
PARAGRAPHS, WORDS, FEW = 10, 60, 8
"""So many of each, and so many words of each: all, or where it is only tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One sound: what was said, what was written down, in which language, and its seconds and those of the processor."""

    said: str
    heard: str
    language: str
    seconds: float
    work_s: float


def listen(said: str, data: bytes) -> Heard:
    """Write down a sound as an index does."""
    begun, speech = process_time(), speech_of(data)
    heard = " ".join(each.text for each in speech.segments)
    return Heard(
        said=said, heard=heard, language=speech.language, seconds=speech.seconds, work_s=process_time() - begun
    )


def wrong(said: Sequence[str], heard: Sequence[str]) -> int:
    """Words put in, left out or changed."""
    counted = jiwer.process_words(" ".join(said), " ".join(heard))
    return counted.insertions + counted.deletions + counted.substitutions


def words(text: str) -> list[str]:
    """Without case and punctuation."""
    return re.findall(r"\w+", text.casefold())


def measured(name: str, language: str, sounds: Sequence[Heard]) -> dict[str, object]:
    """A line of the table."""
    n = np.array([len(words(each.said)) for each in sounds])
    errors = np.array([wrong(words(each.said), words(each.heard)) for each in sounds])
    again = np.random.default_rng(0).integers(0, len(sounds), (2000, len(sounds)))
    drawn = errors[again].sum(1) / n[again].sum(1)
    seconds, work = sum(each.seconds for each in sounds), sum(each.work_s for each in sounds)
    return {
        "sounds": name,
        "language": language,
        "n": len(sounds),
        "words": int(n.sum()),
        "WER": round(float(errors.sum() / n.sum()), 3),
        "interval": [round(float(end), 3) for end in np.quantile(drawn, (0.025, 0.975))],
        "told the language": sum(each.language == language for each in sounds),
        "seconds": round(seconds, 1),
        "seconds a CPU second": round(seconds / work, 2),
        "model": SPEECH,
    }


def spoken_by_a_machine(language: str, limit: int, n_words: int) -> list[Heard]:
    """Paragraphs as espeak-ng reads them."""
    with gzip.open(folder().parent / VOICES[language] / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(next(lines))["text"] for _ in range(limit)]
    return [listen(text, _espeak(text, language)) for text in (" ".join(text.split()[:n_words]) for text in texts)]


def _espeak(text: str, language: str) -> bytes:
    said = ["espeak-ng", "-v", language, "--stdout", "--stdin"]
    return subprocess.run(said, input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and keep a line for each kind of sound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--limit", type=int, help="sounds of each kind, to try it: a machine says the first words of a paragraph"
    )
    parser.add_argument("--record", action=Record, help="append to results/speech.jsonl")
    options = parser.parse_args(arguments)
    resolve(SPEECH)
    data = folder().parent
    spoken = captions(data)[: options.limit]
    listen("", wav(np.zeros(RATE, np.float32)))  # loads the model
    lines = [measured("captions one by one", "fr", [listen(said, wav(samples)) for said, samples in spoken])]
    track, recording = talk(data, options.limit)
    lines.append(
        measured("captions one after the other", "fr", [listen(" ".join(said for _, said in track), recording)])
    )
    if shutil.which("espeak-ng"):
        for language in VOICES:
            heard = spoken_by_a_machine(
                language, min(options.limit or PARAGRAPHS, PARAGRAPHS), FEW if options.limit else WORDS
            )
            lines.append(measured("espeak-ng", language, heard))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for line in lines:
        print({**line, "peak MiB": peak})
        if options.record:
            record("speech", {**line, "peak MiB": peak})
    return 0


if __name__ == "__main__":
    sys.exit(main())
