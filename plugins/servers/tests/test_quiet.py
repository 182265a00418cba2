"""Milvus Lite says nothing of its own on the terminal of who uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ragline_servers.address import ServerAddress
from ragline_servers.store import connect

OPENS = """
import sys, time
from ragline_servers.address import ServerAddress
from ragline_servers.store import connect

store = connect(ServerAddress.parse(sys.argv[1]), create=True)
time.sleep(float(sys.argv[2]))
print(store.collections())
store.close()
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork in a process with threads
def test_a_child_that_is_forked_beside_it_brings_no_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As `make test` forks; the setting is in conftest.py."""
    store = connect(ServerAddress.parse(f"milvus+lite://{tmp_path}/data.db/any"), create=True)
    try:
        subprocess.run([sys.executable, "-c", ""], check=True, preexec_fn=os.getpid)
        assert store.collections() == []
    finally:
        store.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_an_index_that_is_open_for_minutes_brings_no_line(tmp_path: Path) -> None:
    """Milvus Lite used to end connections after about forty seconds of signs of life, and gRPC told so."""
    address = f"milvus+lite://{tmp_path}/data.db/any"
    done = subprocess.run([sys.executable, "-c", OPENS, address, "75"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
