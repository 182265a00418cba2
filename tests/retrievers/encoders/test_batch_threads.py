from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rag.models.processor import usable_cores
from retrievers.encoders.batch_threads import run_batches


@pytest.fixture(autouse=True)
def _three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("retrievers.encoders.batch_threads.usable_cores", lambda: 3)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def where_it_runs(_: int) -> tuple[int, int]:
    return threading.get_ident(), torch.get_num_threads()


def threads_of_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_results_come_in_order_with_their_batches() -> None:
    batches = list(range(50))
    assert list(run_batches(lambda n: n * n, batches)) == [(n, n * n) for n in batches]
    assert list(run_batches(lambda n: n * n, [])) == []


def test_many_batches_take_a_thread_each_and_few_share() -> None:
    gate = threading.Barrier(3)

    def meet(n: int) -> tuple[int, int]:
        if n < 3:
            gate.wait(timeout=120)  # only passed if three batches run at once
        return where_it_runs(n)

    many = [place for _, place in run_batches(meet, range(12))]
    assert {n_threads for _, n_threads in many} == {1}
    assert len({thread for thread, _ in many}) == 3
    assert list(run_batches(where_it_runs, range(5))) == [(n, (threading.get_ident(), 3)) for n in range(5)]


@pytest.mark.parametrize("n_batches", [2, 30])
def test_the_hosts_number_of_threads_stays(n_batches: int) -> None:
    list(run_batches(where_it_runs, range(n_batches)))
    assert torch.get_num_threads() == 3
    assert threads_of_a_new_thread() == 3


def test_never_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrievers.encoders.batch_threads.usable_cores", lambda: 1)
    assert [n_threads for _, (_, n_threads) in run_batches(where_it_runs, range(9))] == [1] * 9
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("n_batches", [4, 40])
def test_an_error_comes_out_and_leaves_no_thread(n_batches: int) -> None:
    def fail(n: int) -> int:
        if n == 3:
            raise KeyError(n)
        return n

    before = threading.active_count()
    with pytest.raises(KeyError):
        list(run_batches(fail, range(n_batches)))
    assert threading.active_count() == before
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 2), ("10000 100000", 1), ("max 100000", None), ("?", None)]
)
def test_a_containers_quota_limits_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(quota + "\n", encoding="ascii")
    assert usable_cores(tmp_path / "cpu.max") == (cores or 8)
    assert usable_cores(tmp_path / "absent") == 8
