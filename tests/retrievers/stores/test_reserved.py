from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from retrievers.stores.reserved import reserved_array


def test_the_file_has_its_room_and_reads_back(tmp_path: Path) -> None:
    array = reserved_array(tmp_path / "a.npy", (100, 40))
    array[3, 5] = 1.5
    array.flush()
    assert np.load(tmp_path / "a.npy")[3, 5] == 1.5
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 100 * 40 * 4


def test_no_room_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from retrievers.stores.reserved import reserved_array\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    reserved_array(Path(sys.argv[1]), (100_000, 40))\nexcept OSError as error:\n    print('no room', error.errno)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("no room")
    assert list(tmp_path.iterdir()) == []
