"""Thirty questions to a folder that nobody prepared: right, refused, and how long until something shows.

The folder is of what a Debian system has lying about: notes of packages, manual pages, release notes of CMake, and tables of
releases. `--gather` copies them from this machine. 24 questions have an answer there, told by a pattern, and 6 have none. They
are asked as `rag ask` asks, one by one. The first sign is what is shown first, the passages found; the first word is that of
the answer.

    python -m benchmarks.first_hour [--folder FOLDER] [--gather] [--patience 15] [--model NAME] [--n N] [--record]
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.record import Record, record
from rag.core.report import RunResult
from rag.indexing import build_index
from rag.pipeline import Pipeline, load_pipeline

MANUALS = (
    *("createdb", "curl", "dropdb", "getent", "iconv", "jar", "jarsigner", "keytool", "ldd", "locale", "localedef"),
    *("pg_amcheck", "pg_archivecleanup", "pg_basebackup", "pg_checksums", "pg_controldata", "pg_ctl", "pg_dump"),
    *("pg_dumpall", "pg_isready", "pg_receivewal", "pg_recvlogical", "pg_resetwal", "pg_restore", "pg_rewind"),
    *("pg_test_fsync", "pg_test_timing", "pg_upgrade", "pg_verifybackup", "pg_waldump", "psql", "wcurl", "xdg-open"),
)
GATHERED = {
    "notes": ("/usr/share/doc/*/README.Debian*", "/usr/share/doc/*/NEWS.Debian*", "/usr/share/doc/zlib1g-dev/*.gz"),
    "manuals": tuple(f"/usr/share/man/man1/{name}.1.gz" for name in MANUALS),
    "releases": ("/usr/share/cmake*/Help/release/3.2*.rst",),
    "tables": ("/usr/share/distro-info/*.csv",),
}
"""Folder -> what is copied there."""
ANSWERED = {
    "Since which version does tzdata no longer create /etc/timezone?": r"2024b-5",
    "Which command reconfigures the time zone interactively?": r"dpkg-reconfigure tzdata",
    "Which package has the legacy time zones such as US/*?": r"tzdata-legacy",
    "How do I set the time zone to Europe/Paris with systemd?": r"timedatectl set-timezone Europe/Paris",
    "By how many seconds does the right version of the time zones differ from International Atomic Time?": r"-?10\b",
    "Which file do I remove to get bitmapped fonts?": r"70-no-bitmaps\.conf",
    "What do I set SSH_AUTH_SOCK to for the gpg-agent?": r"S\.gpg-agent\.ssh",
    "How do I keep systemd from managing my gpg-agent?": r"mask",
    "Are modelines enabled in vim on Debian?": r"disabled|not enabled|no\b",
    "How do I enable modelines in vim?": r"set modeline",
    "Where are the CA certificates installed?": r"/usr/share/ca-certificates",
    "What is the greatest length of a match in the deflate algorithm?": r"258",
    "How far back may distances go in deflate?": r"32\s?K",
    "Where does SASL log debug information?": r"auth\.debug|syslog",
    "Which options does passwd not support any more?": r"-f.*-s.*-g",
    "Which packages must be installed for SASL to work with server programs?": r"libsasl2-modules",
    "What does pg_isready return when the server rejects connections?": r"\b1\b",
    "Which option makes curl follow redirects?": r"-L\b|--location",
    "Which option of pg_dump dumps only the schema?": r"-s\b|--schema-only",
    "Which option of iconv lists all character sets?": r"-l\b|--list",
    "How many Ubuntu releases are there?": r"\b45\b",
    "When was Jammy Jellyfish released?": r"2022-04-21|21 April 2022|April 21",
    "What is the codename of Debian 8?": r"Jessie",
    "How many rows of ubuntu were created in 2010?": r"\b2\b",
}
"""Question -> what a right answer holds, in the files of Debian 13."""
REFUSED = (
    "How many employees does the company have?",
    "Who is the chief executive of Acme?",
    "What is the password of the office network?",
    "What does a support contract for Debian cost a year?",
    "When was the last meeting of the board?",
    "Which dentists does the health insurance cover?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What became of a question. Seconds are from asking on."""

    right: bool
    text: str
    sign_s: float
    word_s: float
    whole_s: float


def gather(folder: Path) -> None:
    """Copy what lies about on this machine."""
    for name, patterns in GATHERED.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for pattern in patterns:
            for path in sorted(Path("/").glob(pattern[1:])):
                shutil.copy(path, place / (path.name if name != "notes" else f"{path.parent.name}-{path.name}"))


def ask(pipeline: Pipeline, question: str, pattern: str | None) -> Asked:
    """Ask, and look at the clock. `pattern`: of a right answer; None where it is to be refused."""
    begun, sign, word, answer = perf_counter(), 0.0, 0.0, None
    for step in pipeline.follow(question):
        now = perf_counter() - begun
        if isinstance(step, RunResult):
            sign = sign or now
        else:
            word = word or (now if step.text else 0.0)
            answer = step.answer or answer
    if answer is None:
        raise RuntimeError(f"no answer to {question!r}")
    whole = perf_counter() - begun
    right = bool(answer.status == "answered" and re.search(pattern, answer.text, re.DOTALL)) if pattern else False
    return Asked(
        right=right if pattern else answer.status == "no_answer",
        text=answer.text,
        sign_s=sign or whole,
        word_s=word or whole,
        whole_s=whole,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each question, and how many are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/first_hour"), help="what is asked")
    parser.add_argument("--gather", action="store_true", help="first copy what lies about on this machine into it")
    parser.add_argument("--patience", type=float, default=15.0, help="0: however long it takes")
    parser.add_argument("--model", help="another model that writes")
    parser.add_argument("--n", type=int, help="questions of either kind, at most")
    parser.add_argument("--record", action=Record, help="append to results/first_hour.jsonl")
    options = parser.parse_args(arguments)
    if options.gather:
        gather(options.folder)
    answered, refused = list(ANSWERED.items())[: options.n], REFUSED[: options.n]
    with tempfile.TemporaryDirectory() as work:
        build_index([options.folder], Path(work) / "index")
        with load_pipeline(
            "ask", index=Path(work) / "index", model=options.model, patience=options.patience or None
        ) as pipeline:
            pipeline.warm_up()
            asked = {
                question: ask(pipeline, question, pattern)
                for question, pattern in [*answered, *((each, None) for each in refused)]
            }
    for question, found in asked.items():
        verdict = "" if found.right else "WRONG "
        print(
            f"{verdict}{question}\n    {found.text[:200]!r}  {found.sign_s:.2f} {found.word_s:.1f} {found.whole_s:.1f} s"
        )
    line = {
        "right": sum(asked[question].right for question, _ in answered),
        "of": len(answered),
        "refused": sum(asked[question].right for question in refused),
        "of_none": len(refused),
        "patience": options.patience,
    }
    for name in ("sign_s", "word_s", "whole_s"):
        seconds = sorted(getattr(each, name) for each in asked.values())
        line |= {name: round(median(seconds), 2), f"{name} at most": round(seconds[-1], 2)}
    print(line)
    if options.record:
        record("first_hour", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
