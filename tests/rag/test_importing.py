"""transformers is imported safely from several threads at once."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import threading
from rag.models.importing import import_transformers
errors, ready = [], threading.Barrier(6)
def load():
    ready.wait()
    try:
        import_transformers().AutoTokenizer
        from transformers import AutoModelForCausalLM, DynamicCache
    except BaseException as error:
        errors.append(error)
threads = [threading.Thread(target=load) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not errors, errors
"""


def test_six_threads_find_every_class() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
