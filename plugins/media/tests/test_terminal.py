"""Pictures in a terminal, behind a real pseudo-terminal that answers as terminals do."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import threading
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from rag import build_index
from rag.graphs import load_spec
from ragline_media.reading.picture import thumbnail_of
from ragline_media.terminal import drawn, way_of
from tests.scripted_graph import graph

KITTY = b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c"
SIXEL = b"\x1b[?62;4;22c"
PLAIN = b"\x1b[?62;22c"


def unkitty(said: str) -> Image.Image:
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", said)
    assert [keys.rpartition("m=")[2] for keys, _ in pieces] == ["1"] * (len(pieces) - 1) + ["0"]
    assert all(len(letters) <= 4096 for _, letters in pieces)
    return Image.open(io.BytesIO(b64decode("".join(letters for _, letters in pieces))))


def unsixel(said: str) -> np.ndarray:
    """What a terminal draws of sixels, by the manual of the VT330."""
    [(width, height, body)] = re.findall(r"\x1bPq\"1;1;(\d+);(\d+)(.*?)\x1b\\", said, re.DOTALL)
    pixels, colours = np.zeros((int(height) + 6, int(width), 3)), dict[str, list[int]]()
    top, left, now = 0, 0, ""
    for number, red, green, blue, times, sign in re.findall(
        r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|(?:!(\d+))?([?-~$-])", body
    ):
        if number:
            now = number
            if red:
                colours[number] = [int(red), int(green), int(blue)]
        elif sign == "$":
            left = 0
        elif sign == "-":
            top, left = top + 6, 0
        else:
            for bit in (bit for bit in range(6) if (ord(sign) - 63) >> bit & 1):
                pixels[top + bit, left : left + int(times or 1)] = colours[now]
            left += int(times or 1)
    return pixels[: int(height)] * 2.55


@pytest.mark.parametrize("number", [0, 4, 11])
def test_what_is_written_is_the_picture(number: int) -> None:
    picture = drawings(1)[number].picture(300)
    small = thumbnail_of(picture)
    seen = Image.open(io.BytesIO(small)).convert("RGB")
    assert np.array_equal(np.asarray(unkitty(drawn(small, "kitty"))), np.asarray(seen))
    seen.thumbnail((640, 160))
    assert np.abs(unsixel(drawn(small, "sixel")) - np.asarray(seen)).mean() < 3


def test_what_is_no_thumbnail_is_not_drawn() -> None:
    assert [drawn(data, "sixel") for data in (b"", b"<html>", encoded(drawings(1)[0].picture()))] == [""] * 3


def answering(master: int, answer: bytes, seen: list[bytes]) -> threading.Thread:
    """A terminal that answers once it is asked what it is, and keeps what it is told until the other side closes."""

    def run() -> None:
        answered = False
        while select.select([master], [], [], 120)[0]:
            try:
                seen.append(os.read(master, 1 << 16))
            except OSError:
                return
            if not answered and b"\x1b[c" in b"".join(seen):
                answered = True
                os.write(master, answer)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(("answer", "way"), [(KITTY, "kitty"), (SIXEL, "sixel"), (PLAIN, ""), (b"", "")])
def test_a_terminal_says_what_it_can(answer: bytes, way: str) -> None:
    master, slave = pty.openpty()
    thread = answering(master, answer, [])
    try:
        assert way_of(slave) == way
    finally:
        os.close(slave)
        thread.join(10)
        os.close(master)


def test_what_is_no_terminal_is_asked_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = os.open(tmp_path / "file", os.O_RDWR)
    try:
        assert way_of(file) == ""
    finally:
        os.close(file)
    assert (tmp_path / "file").read_bytes() == b""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("terminal")
    (home / "photos").mkdir()
    (home / "photos" / "IMG_0001.png").write_bytes(encoded(drawings(1)[0].picture()))
    (home / "photos" / "IMG_0001.txt").write_text("A red disc.\n")
    models = {"tower": str(random_tower(home / "m" / "tower")), "encoder": str(random_encoder(home / "m" / "encoder"))}
    settings = load_spec(graph() | {"index": {"pictures": models}}).graph.index
    build_index(home / "photos", home / "idx", settings=settings, legs=("lexical",))
    return home / "idx"


def search(index: Path) -> list[str]:
    asked = ["red disc", "--graph", "bm25", "--no-server", "--index", str(index)]
    return [sys.executable, "-m", "rag", "search", *asked]


def searched(index: Path, answer: bytes) -> str:
    """What `rag search` writes to a terminal of its own."""
    master, slave = pty.openpty()
    seen = list[bytes]()
    thread = answering(master, answer, seen)
    command = search(index)
    lines = "os.setsid()", "fcntl.ioctl(0, termios.TIOCSCTTY, 0)", "os.execv(sys.argv[1], sys.argv[1:])"
    script = "\n".join(["import fcntl, os, sys, termios", *lines])
    try:
        done = subprocess.Popen(
            [sys.executable, "-c", script, *command], stdin=slave, stdout=slave, stderr=subprocess.PIPE, close_fds=True
        )
        os.close(slave)
        _, errors = done.communicate(timeout=120)
        assert done.returncode == 0, errors.decode()
    finally:
        thread.join(10)
        os.close(master)
    return b"".join(seen).decode()


def test_a_search_shows_the_picture_below_its_hit(index: Path) -> None:
    said = searched(index, KITTY)
    assert said.index("photos/IMG_0001.png") < said.index("\x1b_Ga=T")
    picture = unkitty(said[said.index("\x1b_Ga=T") :])
    assert picture.size == (96, 96)


def test_a_terminal_that_cannot_is_spared(index: Path) -> None:
    said = searched(index, PLAIN)
    assert "photos/IMG_0001.png" in said
    assert "\x1b_Ga=T" not in said
    assert "\x1bPq" not in said


def test_no_terminal_no_picture(index: Path) -> None:
    command = search(index)
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    assert b"\x1b" not in done.stdout
