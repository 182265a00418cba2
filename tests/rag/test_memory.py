from __future__ import annotations

from pathlib import Path

import pytest

from rag.core.errors import MissingModel, SpecError
from rag.core.memory import GIB, LIMIT, RAM, Need, TellsMemory, place, ram_limit, this_machine
from rag.models.sizes import count_parameters, read_shape

KIB = 1 << 10


def proc_of(folder: Path, groups: str, kib: int | None = 8_000) -> Path:
    """A /proc that shows these control groups and so much memory."""
    (folder / "self").mkdir(parents=True)
    (folder / "self" / "cgroup").write_text(groups)
    if kib is not None:
        (folder / "meminfo").write_text(f"MemTotal: {kib} kB\nMemFree: 1 kB\n")
    return folder


def limit(folder: Path, text: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text(text)


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {}, (8_000 * KIB, "the hardware")),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "5000000\n"}, (5_000_000, "the control group")),
        ("0::/a/b\n", {"a/b/memory.max": "7000000\n", "a/memory.max": "5000000\n"}, (5_000_000, "the control group")),
        ("0::/hidden\n", {"memory.max": "6000000\n"}, (6_000_000, "the control group")),  # as a container shows it
        ("4:cpu:/x\n3:memory:/x\n", {"memory/x/memory.limit_in_bytes": "4000000"}, (4_000_000, "the control group")),
        ("3:memory:/x\n", {"memory/x/memory.limit_in_bytes": str(2**63 - 4096)}, (8_000 * KIB, "the hardware")),
        ("1:name=systemd:/a:b\n", {"memory.max": "1"}, (8_000 * KIB, "the hardware")),
    ],
)
def test_the_tightest_limit_counts(
    tmp_path: Path, groups: str, limits: dict[str, str], expected: tuple[int, str]
) -> None:
    for name, text in limits.items():
        limit(tmp_path / "groups" / name, text)
    assert ram_limit(proc_of(tmp_path / "proc", groups), tmp_path / "groups") == expected


def test_this_machine_says_something_sensible() -> None:
    ram, _ = ram_limit()
    assert ram is not None
    assert 64 << 20 < ram < 1 << 50


def test_what_is_given_counts_before_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "3.5")
    found = this_machine()
    assert (found.ram, found.said_by) == (int(3.5 * GIB), LIMIT)
    given = this_machine(memory_gib=2.0, gpus=lambda: {"cuda:0": 5})
    assert (given.room(RAM), given.room("cuda:0"), given.room("cuda:1")) == (2 * GIB, 5, None)
    assert this_machine(memory_gib=float("inf")).ram is None


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan"])
def test_a_senseless_limit_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(SpecError, match=LIMIT):
        this_machine()


def test_devices_have_a_place() -> None:
    assert [place(device) for device in ("cpu", "cuda", "cuda:1")] == [RAM, "cuda:0", "cuda:1"]


def test_parts_are_known_by_their_method() -> None:
    class Part:
        def memory(self) -> list[Need]:
            return []

    assert isinstance(Part(), TellsMemory)
    assert not isinstance(object(), TellsMemory)


def test_parameters_are_counted_from_the_headers(tmp_path: Path) -> None:
    from generators.llm.transformers import TransformersLLM
    from tests.generators.llm.conftest import save_random_model

    folder = save_random_model(tmp_path / "model", num_hidden_layers=3, tie_word_embeddings=False)
    with TransformersLLM(model=str(folder), device="cpu", dtype="float32").weights() as lent:
        expected = sum(parameter.numel() for parameter in lent.model.parameters())
    assert count_parameters(folder) == expected
    shape = read_shape(folder)
    assert (shape.layers, shape.hidden, shape.inner, shape.keys) == (3, 32, 64, 16)
    assert shape.cache_numbers() == 2 * 3 * 2 * 8  # keys and values, layers, key heads, head size


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('{"n_layer": 2, "n_embd": 8, "n_head": 2, "n_positions": 64}', (2, 8, 32, 8)),
        ('{"text_config": {"num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 5}}', (2, 8, 5, 8)),
        (
            '{"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 4, "num_key_value_heads": 1}',
            (2, 8, 32, 2),
        ),
    ],
)
def test_shapes_are_read_by_the_names_of_the_families(tmp_path: Path, config: str, expected: tuple[int, ...]) -> None:
    (tmp_path / "config.json").write_text(config)
    shape = read_shape(tmp_path)
    assert (shape.layers, shape.hidden, shape.inner, shape.keys) == expected


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 4, b"\xff" * 8, (3).to_bytes(8, "little") + b"{}}", b"\x02" + b"\x00" * 7 + b"[]"]
)
def test_damaged_weights_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(MissingModel, match=r"model\.safetensors' is no safetensors file"):
        count_parameters(tmp_path)


@pytest.mark.parametrize("config", ["", "{}", '{"num_hidden_layers": 2}'])
def test_a_config_that_says_nothing_is_named(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(MissingModel, match=r"config\.json"):
        read_shape(tmp_path)
