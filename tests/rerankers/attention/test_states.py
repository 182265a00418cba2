"""States come back as they were put in, or not at all: whatever happens to the files, the disk and the processes."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import re
import resource
import signal
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rerankers.attention.states import segments as state_segments
from rerankers.attention.states.layout import State, StateKind, StateLayout
from rerankers.attention.states.segments import ENTRY_BYTES, Entry, digest_of
from rerankers.attention.states.state_store import StateStore, document_digest
from tests.cpu_time import least_cpu_s

N_PAIRS, HEAD_SIZE = 3, 4
IDENTITY: Mapping[str, object] = {"weights": "ab" * 32, "pairs": [[17, 1], [18, 0]], "opening": "Passage:\n"}
TOKEN_BYTES = 2 * N_PAIRS * HEAD_SIZE
LENGTH = 16
RECORD_BYTES = LENGTH * TOKEN_BYTES + ENTRY_BYTES


def opened(
    folder: Path | None,
    *,
    identity: Mapping[str, object] = IDENTITY,
    kind: StateKind = "bfloat16",
    budget: int = 1 << 30,
) -> StateStore:
    return StateStore(folder, identity=identity, n_pairs=N_PAIRS, head_size=HEAD_SIZE, kind=kind, budget=budget)


def document(number: int) -> bytes:
    return document_digest([number, 5])


def state(number: int, length: int = LENGTH) -> torch.Tensor:
    return torch.randn(N_PAIRS, length, HEAD_SIZE, generator=torch.Generator().manual_seed(number)).bfloat16()


def fill(store: StateStore, numbers: range) -> None:
    put(store, ((document(i), state(i)) for i in numbers))


def put(store: StateStore, keys: Iterable[tuple[bytes, torch.Tensor]]) -> list[torch.Tensor]:
    """Keep states without a prior; gives back their keys."""
    return [each.keys for each in store.put((digest, State(each)) for digest, each in keys)]


def keys_of(store: StateStore, digests: Sequence[bytes]) -> list[torch.Tensor | None]:
    """The keys of states without a prior."""
    return [None if each is None else each.keys for each in store.get(digests)]


def found(store: StateStore, numbers: range) -> list[int]:
    """The documents of `numbers` that the store finds; what it finds must be right."""
    right = []
    for i, got in zip(numbers, keys_of(store, [document(i) for i in numbers]), strict=True):
        if got is not None:
            assert torch.equal(got, state(i)), i
            right.append(i)
    return right


def files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"*/*.{kind}"), key=lambda path: path.stat().st_mtime_ns)


# ---- what is kept


@pytest.mark.parametrize("on_disk", [True, False])
def test_states_of_any_length_come_back_bit_for_bit(on_disk: bool, tmp_path: Path) -> None:
    store = opened(tmp_path if on_disk else None)
    states = {document(i): state(i, length) for i, length in enumerate([0, 1, 7, 130])}
    put(store, states.items())
    for reader in [store, opened(tmp_path)] if on_disk else [store]:
        for got, given_in in zip(keys_of(reader, list(states)), states.values(), strict=True):
            assert got is not None
            assert got.dtype == torch.bfloat16
            assert torch.equal(got, given_in)


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
@pytest.mark.parametrize("on_disk", [True, False])
def test_a_prior_comes_back_bit_for_bit_beside_its_keys(kind: StateKind, on_disk: bool, tmp_path: Path) -> None:
    folder = tmp_path if on_disk else None

    def with_prior() -> StateStore:
        shape = {"n_pairs": N_PAIRS, "head_size": HEAD_SIZE}
        return StateStore(folder, identity=IDENTITY, **shape, kind=kind, with_prior=True, budget=1 << 20)

    store, plain = with_prior(), opened(None, kind=kind)
    states = {document(i): State(state(i, n), torch.linspace(-1, 1, n) / 3) for i, n in enumerate([0, 1, 7, 130])}
    store.put(states.items())
    keys = put(plain, ((digest, each.keys) for digest, each in states.items()))
    for reader in [store, with_prior()] if on_disk else [store]:
        for one, expected, found in zip(states.values(), keys, reader.get(list(states)), strict=True):
            assert found is not None
            assert found.prior is not None
            assert torch.equal(found.prior, one.prior)
            assert torch.equal(found.keys, expected)
    broken = State(state(1), torch.full((LENGTH,), torch.inf))
    store.put([(document(9), broken)])
    assert store.get([document(9)]) == [None]


@pytest.mark.parametrize(("prior", "given"), [(None, "none"), (torch.zeros(LENGTH + 1), r"\[17\]")])
def test_a_state_without_its_prior_is_refused(prior: torch.Tensor | None, given: str) -> None:
    layout = StateLayout(n_pairs=N_PAIRS, head_size=HEAD_SIZE, kind="int8", with_prior=True)
    with pytest.raises(ValueError, match=rf"prior must be \[16 tokens\], got {given}"):
        layout.pack(State(state(1), prior))
    with pytest.raises(ValueError, match=r"prior must be none, got \[16\]"):
        StateLayout(n_pairs=N_PAIRS, head_size=HEAD_SIZE, kind="int8").pack(State(state(1), torch.zeros(LENGTH)))


def test_a_kept_state_is_not_tied_to_the_tensor_it_came_from() -> None:
    store, given_away = opened(None), state(1)
    put(store, [(document(1), given_away)])
    given_away.zero_()
    assert found(store, range(1, 2)) == [1]


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
@pytest.mark.parametrize("room", [1, 2, 1000])
def test_a_state_is_given_back_rounded_whether_or_not_there_was_room_for_it(kind: StateKind, room: int) -> None:
    exact = [torch.randn(N_PAIRS, LENGTH, HEAD_SIZE, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    roomy, tight = opened(None, kind=kind), opened(None, kind=kind, budget=room)
    for store in (roomy, tight):
        rounded = put(store, [(document(i), each) for i, each in enumerate(exact)])
        expected = keys_of(roomy, [document(i) for i in range(4)])
        assert all(one is not None and torch.equal(got, one) for got, one in zip(rounded, expected, strict=True))


def test_a_state_that_is_not_finite_is_given_back_as_it_is_and_not_kept() -> None:
    store, broken = opened(None), state(1).fill_(torch.nan)
    assert put(store, [(document(1), broken)])[0] is broken
    assert keys_of(store, [document(1)]) == [None]


def dct(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The orthonormal DCT-II of every row, as its definition has it."""
    n = rows.shape[-1]
    sums = [sum(rows[..., j] * math.cos(math.pi * k * (2 * j + 1) / (2 * n)) for j in range(n)) for k in range(n)]
    return np.stack([each * math.sqrt((1 if k == 0 else 2) / n) for k, each in enumerate(sums)], axis=-1)


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6),
        elements=st.floats(-(2.0**120), 2.0**120, width=32),
    )
)
@settings(max_examples=80)
def test_int8_is_within_a_254th_of_the_largest_number_of_its_cosine_transform(exact: np.ndarray[Any, Any]) -> None:
    layout = StateLayout(n_pairs=exact.shape[0], head_size=exact.shape[2], kind="int8")
    data = layout.pack(State(torch.from_numpy(exact)))
    assert data is not None
    assert len(data) == exact.shape[1] * layout.bytes_per_token
    got, wanted = (dct(each) for each in (layout.unpack(data).keys.double().numpy(), exact.astype(float)))
    largest = np.abs(wanted).max(-1, keepdims=True)
    assert (np.abs(got - wanted) <= largest / 254 * (1 + 1e-3) + 1e-38).all()


def test_a_peak_costs_the_other_numbers_of_its_row_little() -> None:
    rows = torch.randn(1, 200, 64, generator=torch.Generator().manual_seed(0))
    rows[..., 5] = 40.0
    layout = StateLayout(n_pairs=1, head_size=64, kind="int8")
    data = layout.pack(State(rows))
    assert data is not None
    of_int8 = (layout.unpack(data).keys - rows).pow(2).mean().sqrt()
    scale = rows.abs().amax(-1, keepdim=True) / 127
    of_plain_rounding = ((rows / scale).round() * scale - rows).pow(2).mean().sqrt()
    assert of_int8 < 0.5 * of_plain_rounding


@pytest.mark.parametrize("on_disk", [True, False])
def test_int8_states_are_kept_in_a_little_more_than_half_the_bytes(on_disk: bool, tmp_path: Path) -> None:
    store = opened(tmp_path if on_disk else None, kind="int8")
    fill(store, range(4))
    exact = state(3).float()
    (got,) = keys_of(store, [document(3)])
    assert got is not None
    assert got.dtype == torch.float32
    largest = np.abs(dct(exact.double().numpy())).max(-1)
    assert (np.linalg.norm(got - exact, axis=-1) <= HEAD_SIZE**0.5 * largest / 254 * (1 + 1e-3)).all()
    states_only = store.report().bytes - (4 * ENTRY_BYTES if on_disk else 0)
    assert states_only == 4 * LENGTH * N_PAIRS * (HEAD_SIZE + 4)


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_state_that_is_not_finite_is_not_kept(bad: float, kind: StateKind) -> None:
    store, broken = opened(None, kind=kind), state(1)
    broken[1, 2, 3] = bad
    put(store, [(document(1), broken)])
    assert keys_of(store, [document(1)]) == [None]
    assert store.report().kept == 0


def test_wrong_parameters_and_states_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\[3 pairs, n_tokens, 4\], got \[3, 16, 5\]"):
        put(opened(None), [(document(1), torch.zeros(3, 16, 5))])
    with pytest.raises(ValueError, match="32 bytes"):
        put(opened(None), [(b"../../etc/passwd", state(1))])
    with pytest.raises(ValueError, match="at least 1"):
        opened(None, budget=0)
    with pytest.raises(ValueError, match="bfloat16, int8"):
        opened(None, kind="pickle")  # type: ignore[arg-type]
    for value in (b"bytes", float("nan"), {1: "a name that is no text"}, Path("x"), {"x": [object()]}):
        with pytest.raises(ValueError, match=r"identity\.extra.* must be a plain value"):
            opened(None, identity={"extra": value})
    assert list(tmp_path.iterdir()) == []


def test_the_report_counts_and_cannot_be_changed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    found(store, range(3))
    fill(store, range(3))
    fill(store, range(3))  # kept already
    found(store, range(4))
    report = store.report()
    assert (report.hits, report.misses, report.kept, report.damaged, report.evicted) == (3, 4, 3, 0, 0)
    assert report.bytes == sum(path.stat().st_size for path in tmp_path.glob("*/*") if path.suffix != ".json")
    assert report.disabled is None
    with pytest.raises(FrozenInstanceError):
        report.hits = 1  # type: ignore[misc]


# ---- identity


@pytest.mark.parametrize(
    "other",
    [
        {**IDENTITY, "weights": "ac" * 32},
        {**IDENTITY, "opening": "Passage: "},
        {**IDENTITY, "pairs": [[17, 1], [18, 1]]},
        {**IDENTITY, "truncation": 128},
    ],
)
def test_a_state_of_another_identity_is_never_found(other: dict[str, object], tmp_path: Path) -> None:
    fill(opened(tmp_path), range(3))
    store = opened(tmp_path, identity=other)
    assert found(store, range(3)) == []
    fill(store, range(1))
    (mine,) = [folder for folder in tmp_path.iterdir() if len(list(folder.glob("*.states"))) == 1 and other_of(folder)]
    assert mine.is_dir()


def other_of(folder: Path) -> bool:
    return bool(json.loads((folder / "identity.json").read_text())["identity"] != json.loads(json.dumps(IDENTITY)))


def test_kind_and_shape_are_part_of_the_identity(tmp_path: Path) -> None:
    fill(opened(tmp_path), range(3))
    assert found(opened(tmp_path, kind="int8"), range(3)) == []
    wider = StateStore(tmp_path, identity=IDENTITY, n_pairs=HEAD_SIZE, head_size=N_PAIRS, budget=1 << 20)
    assert keys_of(wider, [document(1)]) == [None]


def test_segments_moved_from_another_identity_do_not_fit(tmp_path: Path) -> None:
    fill(opened(tmp_path / "a", identity={"weights": "old"}), range(3))
    store = opened(tmp_path / "b")
    fill(store, range(3, 4))
    (home,) = (tmp_path / "b").iterdir()
    for path in (tmp_path / "a").glob("*/*"):
        if path.suffix != ".json":
            path.rename(home / path.name)
    assert found(store, range(4)) == [3]
    assert store.report().damaged == 3


def test_the_identity_is_told_beside_the_data_and_names_come_from_hashes(tmp_path: Path) -> None:
    identity = {"model": "../../hostile name\n", "weights": "ab"}
    fill(opened(tmp_path, identity=identity), range(2))
    fill(opened(tmp_path, identity=dict(reversed(identity.items()))), range(2, 3))
    (folder,) = tmp_path.iterdir()
    told = json.loads((folder / "identity.json").read_text())
    assert told["identity"] == identity
    assert (told["kind"], told["n_pairs"], told["head_size"], told["format"]) == ("bfloat16", N_PAIRS, HEAD_SIZE, 2)
    assert re.fullmatch("[0-9a-f]{64}", folder.name)
    assert {path.name for path in folder.iterdir() if not re.fullmatch(r"[0-9a-f]{32}\.(states|index)", path.name)} == {
        "identity.json"
    }


# ---- damage


def test_any_flipped_bit_costs_one_document_and_it_can_be_written_again(tmp_path: Path) -> None:
    choose = random.Random(7)
    for kind, flips in [
        ("index", range(0, 3 * ENTRY_BYTES, 3)),
        ("states", choose.sample(range(3 * LENGTH * TOKEN_BYTES), 40)),
    ]:
        for at in flips:
            home = tmp_path / f"{kind}{at}"
            fill(opened(home), range(3))
            (path,) = files(home, kind)
            damaged = bytearray(path.read_bytes())
            damaged[at] ^= 1 << choose.randrange(8)
            path.write_bytes(damaged)
            store = opened(home)
            hit = at // (ENTRY_BYTES if kind == "index" else LENGTH * TOKEN_BYTES)
            assert found(store, range(3)) == [i for i in range(3) if i != hit]
            assert store.report().damaged == 1
            fill(store, range(3))
            assert found(store, range(3)) == [0, 1, 2]
            assert found(opened(home), range(3)) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["index", "states"])
def test_a_file_cut_anywhere_gives_what_is_whole(kind: str, tmp_path: Path) -> None:
    each = ENTRY_BYTES if kind == "index" else LENGTH * TOKEN_BYTES
    for size in range(0, 3 * each, 17):
        home = tmp_path / str(size)
        fill(opened(home), range(3))
        (path,) = files(home, kind)
        os.truncate(path, size)
        store = opened(home)
        whole = size // each
        assert found(store, range(3)) == list(range(whole))
        assert store.report().damaged == (0 if kind == "index" else 3 - whole)
        fill(store, range(3))
        assert found(store, range(3)) == found(opened(home), range(3)) == [0, 1, 2]


@pytest.mark.parametrize("size", [0, LENGTH * TOKEN_BYTES + 5])
def test_a_file_cut_while_it_is_mapped_is_let_go_of(size: int, tmp_path: Path) -> None:
    fill(opened(tmp_path), range(3))
    store = opened(tmp_path)
    assert found(store, range(3)) == [0, 1, 2]
    (path,) = files(tmp_path, "states")
    os.truncate(path, size)
    assert found(store, range(3)) == ([0] if size else [])
    assert store.report().damaged == (2 if size else 3)
    fill(store, range(3))
    assert found(store, range(3)) == [0, 1, 2]


def test_what_was_good_is_checked_again_once_its_file_was_cut(tmp_path: Path) -> None:
    fill(opened(tmp_path), range(3))
    store = opened(tmp_path)
    assert found(store, range(3)) == [0, 1, 2]
    (path,) = files(tmp_path, "states")
    size = path.stat().st_size
    os.truncate(path, LENGTH * TOKEN_BYTES)
    assert found(store, range(1)) == [0]
    os.truncate(path, size)
    assert found(store, range(3)) == [0]
    assert store.report().damaged == 2


def test_what_a_kill_leaves_at_the_end_is_skipped_and_the_segment_carried_on(tmp_path: Path) -> None:
    first = opened(tmp_path)
    fill(first, range(2))
    del first
    with files(tmp_path, "states")[0].open("ab") as states, files(tmp_path, "index")[0].open("ab") as index:
        states.write(b"half a state")
        index.write(b"half an entry")
    store = opened(tmp_path)
    assert found(store, range(3)) == [0, 1]
    fill(store, range(2, 4))
    assert found(store, range(4)) == found(opened(tmp_path), range(4)) == [0, 1, 2, 3]
    assert store.report().damaged == 0
    assert len(files(tmp_path, "states")) == 1


def test_entries_that_lie_cost_nothing(tmp_path: Path) -> None:
    fill(opened(tmp_path), range(1))
    (path,) = files(tmp_path, "index")
    identity = bytes.fromhex(path.parent.name)
    true = Entry.unpacked(path.read_bytes())
    states = torch.tensor(list(files(tmp_path, "states")[0].read_bytes()), dtype=torch.uint8)
    assert true is not None
    lies = [
        Entry(0, 2**32 - 1, document(1), b"d" * 16),
        Entry(2**64 - 64, 2**32 - 1, document(2), b"d" * 16),
        Entry(2**64 - 64, 0, document(3), digest_of(identity, document(3), states[:0])),
        Entry(7, 1, document(4), digest_of(identity, document(4), states[7 : 7 + TOKEN_BYTES])),
        true._replace(document=document(5)),
        true._replace(n_tokens=LENGTH - 1, document=document(6)),
    ]
    with path.open("ab") as index:
        index.writelines(entry.packed() for entry in lies)
    store = opened(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert found(store, range(7)) == [0]
    assert store.report().damaged == len(lies)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_files_of_another_nature_are_left_alone(tmp_path: Path) -> None:
    fill(opened(tmp_path), range(1))
    (home,) = tmp_path.iterdir()
    for kind in ("index", "states"):
        os.mkfifo(home / f"{'a' * 32}.{kind}")
        (home / f"{'b' * 32}.{kind}").symlink_to(files(tmp_path, kind)[0])
        (home / f"{'c' * 32}.{kind}").mkdir()
        (home / f"notes.{kind}").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / f"{'d' * 32}.states").write_bytes(b"x" * 5000)
    store = opened(tmp_path, budget=3 * RECORD_BYTES)
    fill(store, range(1, 20))
    assert found(store, range(20)) == [17, 18, 19]
    assert {path.name for path in home.iterdir()} >= {"notes.index", f"{'a' * 32}.states", f"{'b' * 32}.index"}
    assert (tmp_path / "mine" / f"{'d' * 32}.states").exists()


# ---- budget


def age(folder: Path) -> None:
    """Spread the segments' times, so that the order does not hang on the clock's grain."""
    for seconds, path in enumerate(files(folder, "states")):
        os.utime(path, (1_000_000 + seconds, 1_000_000 + seconds))


def test_the_segment_used_longest_ago_goes_first(tmp_path: Path) -> None:
    budget = 4 * RECORD_BYTES  # less than 32 states: each has its own segment
    for i in range(4):
        fill(opened(tmp_path, budget=budget), range(i, i + 1))
        age(tmp_path)
    store = opened(tmp_path, budget=budget)
    assert found(store, range(1)) == [0]
    fill(store, range(4, 6))
    assert found(store, range(6)) == [0, 3, 4, 5]
    report = store.report()
    assert (report.evicted, report.kept) == (2, 4)
    assert report.bytes <= budget


def test_the_budget_holds_at_any_time(tmp_path: Path) -> None:
    budget = 100 * RECORD_BYTES
    store = opened(tmp_path, budget=budget)
    for i in range(0, 330, 11):
        fill(store, range(i, i + 11))
        on_disk = sum(path.stat().st_size for kind in ("states", "index") for path in files(tmp_path, kind))
        assert on_disk == store.report().bytes <= budget
    kept = found(store, range(330))
    assert kept[-1] == 329
    assert len(kept) >= 90
    assert store.report().evicted == 330 - len(kept)


def test_states_of_an_identity_that_nobody_uses_go_first(tmp_path: Path) -> None:
    budget = 8 * RECORD_BYTES
    old = opened(tmp_path, identity={"weights": "old"}, budget=budget)
    fill(old, range(8))
    age(tmp_path)
    store = opened(tmp_path, budget=budget)
    fill(store, range(5))
    assert found(store, range(5)) == [0, 1, 2, 3, 4]
    assert store.report().bytes <= budget
    assert found(old, range(8)) == [5, 6, 7]


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_fits_into_the_room_is_found_again_whatever_was_there_before(tmp_path: Path, on_disk: bool) -> None:
    """A store full of other documents, with a segment left unfinished; then as many of its own as have room."""
    folder, budget = tmp_path if on_disk else None, 100 * RECORD_BYTES
    store = opened(folder, budget=budget)
    fill(store, range(1_000, 1_200))
    if on_disk:
        age(tmp_path)
        store = opened(folder, budget=budget)
    n = store.room // store.n_bytes(LENGTH)
    assert n >= 96  # 31 parts of 32
    fill(store, range(n))
    assert found(store, range(n)) == list(range(n))
    assert store.report().bytes <= budget


def test_what_another_store_evicts_stays_readable_where_it_is_held(tmp_path: Path) -> None:
    budget = 4 * RECORD_BYTES
    reader, writer = opened(tmp_path, budget=budget), opened(tmp_path, budget=budget)
    fill(writer, range(4))
    held = keys_of(reader, [document(i) for i in range(4)])
    fill(writer, range(10, 14))
    assert all(got is not None and torch.equal(got, state(i)) for i, got in enumerate(held))
    assert found(reader, range(20, 21)) == []  # a look at the folder
    assert found(reader, range(4)) == []
    assert found(reader, range(10, 14)) == [10, 11, 12, 13]
    assert reader.report().damaged == 0


def test_a_writer_whose_segment_was_removed_begins_another(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, range(2))
    for path in [*files(tmp_path, "states"), *files(tmp_path, "index")]:
        path.unlink()
    fill(store, range(2))
    assert found(store, range(2)) == found(opened(tmp_path), range(2)) == [0, 1]


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_state_larger_than_the_budget_is_not_kept_and_moves_nothing(on_disk: bool, tmp_path: Path) -> None:
    store = opened(tmp_path if on_disk else None, budget=3 * RECORD_BYTES)
    fill(store, range(2))
    put(store, [(document(9), state(9, 5 * LENGTH))])
    assert found(store, range(2)) == [0, 1]
    assert keys_of(store, [document(9)]) == [None]
    assert store.report().evicted == 0


def test_in_memory_the_state_used_longest_ago_goes_first() -> None:
    store = opened(None, budget=3 * LENGTH * TOKEN_BYTES)
    fill(store, range(3))
    assert found(store, range(1)) == [0]
    fill(store, range(3, 4))
    assert found(store, range(4)) == [0, 2, 3]
    report = store.report()
    assert (report.kept, report.evicted, report.bytes) == (3, 1, 3 * LENGTH * TOKEN_BYTES)


# ---- a disk that does not take it


def disabled(store: StateStore, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """The store says once what is wrong, and goes on in memory with 100 documents."""
    for start in range(0, 100, 20):
        fill(store, range(start, start + 20))
    assert found(store, range(100)) == list(range(100))
    assert store.report().disabled == reason
    assert store.report().kept == 100
    (warning,) = [record.getMessage() for record in caplog.records]
    assert reason in warning
    assert "cannot be written" in warning


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    left, write = [10 * RECORD_BYTES + 100], os.pwrite

    def full(file: int, data: memoryview, offset: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(file, data[: left[0]], offset)
        left[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", full)
    store = opened(tmp_path)
    disabled(store, caplog, os.strerror(errno.ENOSPC))
    assert found(opened(tmp_path), range(100)) == list(range(10))
    left[0] = 1 << 30
    later = opened(tmp_path)
    fill(later, range(100))
    assert found(later, range(100)) == list(range(100))
    assert later.report().damaged == 0
    assert len(files(tmp_path, "states")) == 1  # the segment given up is carried on


def test_a_limit_on_file_sizes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, limits = opened(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10 * LENGTH * TOKEN_BYTES + 7, limits[1]))
    try:
        disabled(store, caplog, os.strerror(errno.EFBIG))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found(opened(tmp_path), range(100)) == list(range(10))


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Nobody may write to `folder`, not even who may do everything."""
    modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path, mode in modes.items():
            path.chmod(mode)


def test_a_read_only_folder(caplog: pytest.LogCaptureFixture) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        fill(opened(folder), range(5))
        with without_rights(folder):
            store = opened(folder)
            assert found(store, range(5)) == [0, 1, 2, 3, 4]
            assert caplog.records == []
            disabled(store, caplog, os.strerror(errno.EACCES))
        assert found(opened(folder), range(100)) == [0, 1, 2, 3, 4]


def test_a_folder_that_is_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("mine")
    disabled(opened(tmp_path / "file"), caplog, os.strerror(errno.ENOTDIR))
    assert (tmp_path / "file").read_text() == "mine"


# ---- several processes and threads


def forked(work: Callable[[], None]) -> int:
    """The id of a process that does `work` and ends with 0, or with 1 where it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn where there are threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def test_a_kill_at_any_moment_leaves_right_states_without_a_hole(tmp_path: Path) -> None:
    choose, seen, kept = random.Random(11), opened(tmp_path), 0
    for attempt in range(20):
        child = forked(lambda kept=kept: fill(opened(tmp_path), range(kept, 10**6)))  # type: ignore[misc]
        while attempt % 2 and sum(path.stat().st_size for path in files(tmp_path, "index")) < (kept + 1) * ENTRY_BYTES:
            time.sleep(0.001)  # every other one has begun to write, however busy the machine is
        time.sleep(choose.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        fresh, numbers = opened(tmp_path), range(kept + 500)
        now = found(fresh, numbers)
        assert now == found(seen, numbers) == list(range(len(now)))
        assert len(now) >= kept
        assert fresh.report().damaged == seen.report().damaged == 0
        kept = len(now)
    assert kept >= 10
    # Each process carried on where the one before was killed, at whatever step.
    assert len(files(tmp_path, "index")) == len(files(tmp_path, "states")) == 1


def wanted(seed: int) -> list[range]:
    choose = random.Random(seed)
    return [range(first, first + 10) for first in (choose.randrange(110) for _ in range(20))]


def fill_and_read(folder: Path, budget: int, seed: int) -> None:
    store, met = opened(folder, budget=budget), range(1000, 1003)
    fill(store, range(1000 + seed, 1001 + seed))
    while found(store, met) != list(met):
        time.sleep(0.001)  # now all have a segment open
    for numbers in wanted(seed):
        right = found(store, numbers)
        put(store, ((document(i), state(i)) for i in numbers if i not in right))
    report = store.report()
    assert report.damaged == 0
    assert report.disabled is None


@pytest.mark.parametrize("room", [10**5, 60])
def test_processes_fill_read_and_evict_in_one_folder(room: int, tmp_path: Path) -> None:
    budget = room * RECORD_BYTES
    children = [forked(lambda seed=seed: fill_and_read(tmp_path, budget, seed)) for seed in range(3)]  # type: ignore[misc]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    store = opened(tmp_path, budget=budget)
    kept = found(store, range(120))
    assert store.report().damaged == 0
    if room > 60:
        assert kept == sorted({i for seed in range(3) for numbers in wanted(seed) for i in numbers})
        assert len(files(tmp_path, "states")) == 3
    else:
        assert 20 < len(kept) <= room + 3  # each may be one state ahead of the others
        assert store.report().bytes <= budget + 3 * RECORD_BYTES


@pytest.mark.parametrize("kinds", [("index",), ("index", "states")])
def test_what_a_kill_left_without_an_entry_is_taken_up(kinds: Sequence[str], tmp_path: Path) -> None:
    fill(opened(tmp_path), range(1))
    for kind in ("states", "index"):
        files(tmp_path, kind)[0].unlink()
    for kind in kinds:  # files are made in this order
        (tmp_path / f"{'0' * 32}.{kind}").touch()
    store = opened(tmp_path)
    fill(store, range(3))
    assert found(store, range(3)) == found(opened(tmp_path), range(3)) == [0, 1, 2]
    assert [len(files(tmp_path, kind)) for kind in ("states", "index")] == [1, 1]


def test_a_segment_that_is_being_made_is_left_to_whoever_locks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the moments when its files are there and when they are locked, another store begins to write."""
    store, other, lock = opened(tmp_path), opened(tmp_path), state_segments._lock

    def late(descriptor: int) -> bool:
        monkeypatch.setattr(state_segments, "_lock", lock)
        fill(other, range(1))
        return lock(descriptor)

    monkeypatch.setattr(state_segments, "_lock", late)
    fill(store, range(1, 3))
    fill(other, range(3, 5))
    assert found(store, range(5)) == found(opened(tmp_path), range(5)) == [0, 1, 2, 3, 4]
    assert len(files(tmp_path, "states")) == 2


def test_a_fork_does_not_write_to_its_parents_segment(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, range(2))
    assert os.waitpid(forked(lambda: fill(store, range(2, 4))), 0)[1] == 0
    fill(store, range(4, 6))
    assert found(store, range(6)) == found(opened(tmp_path), range(6)) == [0, 1, 2, 3, 4, 5]
    assert len(files(tmp_path, "states")) == 2


def test_threads_share_a_store(tmp_path: Path) -> None:
    store, problems = opened(tmp_path, budget=40 * RECORD_BYTES), list[BaseException]()

    def work(seed: int) -> None:
        choose = random.Random(seed)
        try:
            for _ in range(40):
                start = choose.randrange(60)
                found(store, range(start, start + 5))
                fill(store, range(start, start + 5))
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert store.report().damaged == 0


# ---- speed


def test_states_are_checked_once_and_then_found_in_milliseconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large() -> StateStore:
        return StateStore(tmp_path, identity=IDENTITY, n_pairs=12, head_size=64, budget=1 << 30)

    documents = [document(i) for i in range(40)]
    put(large(), ((each, torch.full((12, 130, 64), float(i))) for i, each in enumerate(documents)))
    checked = list[bytes]()

    def counted(identity: bytes, document: bytes, data: torch.Tensor) -> bytes:
        checked.append(document)
        return digest_of(identity, document, data)

    monkeypatch.setattr(state_segments, "digest_of", counted)
    store = large()
    assert all(got is not None and bool((got == i).all()) for i, got in enumerate(keys_of(store, documents)))
    assert checked == documents
    seconds = least_cpu_s(lambda: keys_of(store, documents), enough=0.005, tries=20)
    assert checked == documents
    assert seconds <= 0.005
