"""Publication, locks and removal, with real processes and real SIGKILLs."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.core.errors import IndexBusy, IndexProblem
from retrievers.index.generations import CURRENT, HOLD, building, hold_current


def publish(home: Path, content: str) -> None:
    with building(home) as new:
        (new.folder / HOLD).write_text(content)
        (new.folder / "leg").mkdir()
        (new.folder / "leg" / "data").write_text(content)


def fail(home: Path) -> None:
    """A build that stops half-way, with something in its work folder."""
    with suppress(ZeroDivisionError), building(home) as new:
        (new.folder / HOLD).write_text("half")
        (new.work / "shard").write_text("expensive")
        raise ZeroDivisionError


def current(home: Path) -> str:
    held = hold_current(home)
    try:
        return (held.folder / HOLD).read_text() + (held.folder / "leg" / "data").read_text()
    finally:
        held.close()


def generations(home: Path) -> list[str]:
    return sorted(entry.name for entry in home.iterdir() if entry.is_dir())


def test_a_build_becomes_the_current_generation_and_the_one_before_goes(tmp_path: Path) -> None:
    publish(tmp_path / "index", "a")
    publish(tmp_path / "index", "b")
    assert current(tmp_path / "index") == "bb"
    assert generations(tmp_path / "index") == ["generation-000002"]


def test_a_failed_build_leaves_the_current_generation_and_no_draft(tmp_path: Path) -> None:
    publish(tmp_path, "a")
    fail(tmp_path)
    assert current(tmp_path) == "aa"
    assert generations(tmp_path) == ["generation-000001", "work"]


def test_work_survives_a_failed_build_and_goes_with_a_successful_one(tmp_path: Path) -> None:
    fail(tmp_path)
    with building(tmp_path) as new:
        assert (new.work / "shard").read_text() == "expensive"
        (new.folder / HOLD).write_text("a")
    assert not (tmp_path / "work").exists()


def test_a_generation_that_a_reader_holds_stays_until_it_is_let_go(tmp_path: Path) -> None:
    publish(tmp_path, "a")
    reader = hold_current(tmp_path)
    publish(tmp_path, "b")
    assert (reader.folder / "leg" / "data").read_text() == "a"
    assert generations(tmp_path) == ["generation-000001", "generation-000002"]
    reader.close()
    publish(tmp_path, "c")
    assert generations(tmp_path) == ["generation-000003"]


def test_a_reader_that_is_forgotten_lets_go(tmp_path: Path) -> None:
    publish(tmp_path, "a")
    reader = hold_current(tmp_path)
    del reader
    publish(tmp_path, "b")
    assert generations(tmp_path) == ["generation-000002"]


def test_a_second_builder_is_refused_and_told_who_builds(tmp_path: Path) -> None:
    publish(tmp_path, "a")
    with building(tmp_path) as new:
        with pytest.raises(IndexBusy, match=f"being built by another process .pid {os.getpid()}"):
            publish(tmp_path, "b")
        assert new.folder.is_dir()
        (new.folder / HOLD).write_text("c")


def test_the_lock_of_a_killed_builder_is_free(tmp_path: Path) -> None:
    code = f"""
        import os, signal
        from pathlib import Path
        from retrievers.index.generations import building
        with building(Path({str(tmp_path)!r})) as new:
            (new.folder / "half").write_text("written")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert generations(tmp_path) == ["building-000001", "work"]
    publish(tmp_path, "a")
    assert current(tmp_path) == "aa"
    assert generations(tmp_path) == ["generation-000001"]


def test_what_is_replaced_goes_only_once_the_next_is_published(tmp_path: Path) -> None:
    """It may be the last that can be read, if the disk has damaged the current one."""
    publish(tmp_path, "a")
    reader = hold_current(tmp_path)
    publish(tmp_path, "b")
    reader.close()
    fail(tmp_path)
    assert {"generation-000001", "generation-000002"} <= {*generations(tmp_path)}
    publish(tmp_path, "c")
    assert generations(tmp_path) == ["generation-000003"]


def test_what_a_kill_left_before_it_was_published_goes_at_once(tmp_path: Path) -> None:
    publish(tmp_path, "a")
    (tmp_path / "generation-000002").mkdir()
    (tmp_path / "generation-000002" / HOLD).write_text("never current")
    fail(tmp_path)
    assert current(tmp_path) == "aa"
    assert generations(tmp_path) == ["generation-000001", "work"]


def test_a_generation_that_cannot_be_asked_for_its_readers_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "a")
    reader, real = hold_current(tmp_path), os.open

    def refused(path: Path, *given: int, **named: Any) -> int:
        if str(path).endswith(f"generation-000001/{HOLD}"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refused)
        publish(tmp_path, "b")
    assert "Too many open files" in caplog.text
    assert (reader.folder / HOLD).read_text() == "a"
    reader.close()
    publish(tmp_path, "c")
    assert generations(tmp_path) == ["generation-000003"]


def test_a_build_that_leaves_nothing_leaves_no_folder_that_it_made(tmp_path: Path) -> None:
    for home in (tmp_path / "a" / "b", tmp_path):
        with suppress(ZeroDivisionError), building(home):
            raise ZeroDivisionError
        assert [*tmp_path.iterdir()] == []


def test_builders_that_come_and_go_never_write_under_a_lock_that_was_removed(tmp_path: Path) -> None:
    """Each of them removes what it made, or publishes; a lock that is gone holds nobody off."""
    inside, most, errors, gate = 0, 0, list[Exception](), threading.Lock()

    def build() -> None:
        nonlocal inside, most
        for _ in range(60):
            try:
                with suppress(IndexBusy, ZeroDivisionError), building(tmp_path / "index"):
                    with gate:
                        inside += 1
                        most = max(most, inside)
                    with gate:
                        inside -= 1
                    raise ZeroDivisionError
            except Exception as error:
                errors.append(error)

    builders = [threading.Thread(target=build) for _ in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert not errors
    assert most == 1
    publish(tmp_path / "index", "a")
    assert current(tmp_path / "index") == "aa"


KILLED_AT_EACH_STEP = """
    import os, signal, sys
    from pathlib import Path
    from retrievers.index import generations
    sys.path.insert(0, sys.argv[2])
    from test_generations import current, publish

    home = Path(sys.argv[1])
    publish(home, "old")
    CALLS = ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir", "open", "pwrite", "ftruncate")
    REAL = {name: getattr(os, name) for name in CALLS}

    def die_at(step):
        count = 0
        def counted(name):
            def call(*args, **kwargs):
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return REAL[name](*args, **kwargs)
            return call
        for name in CALLS:
            setattr(os, name, counted(name))

    step, seen = 0, []
    while True:
        step += 1
        before = current(home)
        child = os.fork()
        if child == 0:
            die_at(step)
            publish(home, f"new{step}")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        seen.append(current(home) == f"new{step}" * 2)
        assert seen[-1] or current(home) == before, (step, before, current(home))
        if not os.WIFSIGNALED(status):
            break
    print(step, sum(seen), sorted(os.listdir(home)))
"""


def test_a_kill_at_any_system_call_leaves_the_old_generation_or_the_new_one(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_AT_EACH_STEP), str(tmp_path / "index"), here],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps, new, left = done.stdout.split(maxsplit=2)
    # Some kills came after the publication, most before it, and what they left was tidied up.
    assert int(steps) > 20
    assert 2 <= int(new) < int(steps) / 2
    assert left.count("generation-") == 1
    assert "building-" not in left


def test_readers_always_find_a_whole_generation_while_others_build(tmp_path: Path) -> None:
    publish(tmp_path, "0")
    stop, seen, errors = threading.Event(), set[str](), list[Exception]()

    def read() -> None:
        while not stop.is_set():
            try:
                content = current(tmp_path)
                assert content[: len(content) // 2] * 2 == content
                seen.add(content)
            except Exception as error:
                errors.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(1, 20):
        publish(tmp_path, str(n))
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert len(seen) > 1


def test_a_folder_of_something_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("precious")
    with pytest.raises(IndexProblem, match="not empty and is no index"):
        publish(tmp_path, "a")
    assert [p.name for p in tmp_path.rglob("*")] == ["work", "thesis.txt"]


def test_a_file_in_the_place_of_the_index_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(IndexProblem, match="cannot write an index at"):
        publish(tmp_path / "file", "a")


def test_an_absent_index_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(IndexProblem, match=r"no index at .*rag index SRC --index"):
        hold_current(tmp_path / "nothing")


def test_a_folder_of_documents_is_no_index_and_what_is_advised_works(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "keys.txt").write_text("Keys are lent for three days.")
    with pytest.raises(IndexProblem, match=r"Make one: rag index \S+/notes --index NEWDIR$") as said:
        hold_current(tmp_path / "notes")
    advised = str(said.value).partition("Make one: rag ")[2].replace("NEWDIR", str(tmp_path / "new")).split()
    assert main([*advised, "--graph", "bm25"]) == 0
    assert (tmp_path / "new" / CURRENT).is_file()


@pytest.mark.parametrize("name", ["../../etc", "/etc", "generation-000001/..", "", "generation-1", "\xff\0"])
def test_a_damaged_current_is_refused_and_a_build_mends_it(tmp_path: Path, name: str) -> None:
    publish(tmp_path, "a")
    (tmp_path / CURRENT).write_text(name, encoding="latin-1")
    with pytest.raises(IndexProblem, match="CURRENT is damaged"):
        hold_current(tmp_path)
    publish(tmp_path, "b")
    assert current(tmp_path) == "bb"


def test_a_current_that_names_a_missing_generation_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, "a")
    (tmp_path / CURRENT).write_text("generation-000009\n")
    with pytest.raises(IndexProblem, match="'generation-000009', which cannot be opened"):
        hold_current(tmp_path)
