"""Milvus Lite says nothing of its own on the terminal of who uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OPENS = """
import sys, time
from ragline_servers.address import ServerAddress
from ragline_servers.store import connect

store = connect(ServerAddress.parse(sys.argv[1]), create=True)
time.sleep(float(sys.argv[2]))
print(store.collections())
store.close()
"""


FORKS = """
import os, subprocess, sys
from ragline_servers.address import ServerAddress
from ragline_servers.store import connect

store = connect(ServerAddress.parse(sys.argv[1]), create=True)
subprocess.run([sys.executable, "-c", ""], check=True, preexec_fn=os.getpid)
print(store.collections())
store.close()
"""


def test_a_child_that_is_forked_beside_it_brings_no_line(tmp_path: Path) -> None:
    """As `make test` forks; the setting is in conftest.py. In a process of its own: the fork is of all that a process has."""
    address = f"milvus+lite://{tmp_path}/data.db/any"
    done = subprocess.run([sys.executable, "-c", FORKS, address], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@pytest.mark.slow
def test_an_index_that_is_open_for_minutes_brings_no_line(tmp_path: Path) -> None:
    """Milvus Lite used to end connections after about forty seconds of signs of life, and gRPC told so."""
    address = f"milvus+lite://{tmp_path}/data.db/any"
    done = subprocess.run([sys.executable, "-c", OPENS, address, "75"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
