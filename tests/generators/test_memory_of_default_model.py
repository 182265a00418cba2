"""What the default model is said to need, against what a process that runs it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from generators.llm.transformers import TransformersLLM
from rag.core.memory import Machine
from rag.pipeline.memory_plan import plan_memory

pytestmark = pytest.mark.models

TOKENS = 2048
WITHIN = 1.5
"""Factor between estimate and measurement, either way."""

SCRIPT = f"""
import json, sys
from pathlib import Path
import torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from generators.llm.transformers import TransformersLLM
from rag.core.types import Message

def size(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

torch.set_num_threads(1)
libraries = size("VmRSS")
llm = TransformersLLM(device="cpu", dtype="float32", max_batch_tokens={TOKENS}, share_prefixes=False)
llm.warm_up()
loaded = size("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
prompts = [[Message(role="user", content=str(at) + " word" * 200)] for at in range(8)]
tokens = sum(llm.count_tokens(prompts))
llm.choose(prompts, ["Yes, it is"])  # of several tokens, so that keys and values are kept
print(json.dumps({{"libraries": libraries, "loaded": loaded, "peak": size("VmHWM"), "tokens": tokens}}))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's account of a process's memory")
def test_the_estimate_is_near_what_a_process_takes() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    taken = json.loads(done.stdout)
    assert 0.75 * TOKENS < taken["tokens"] <= TOKENS  # one batch, nearly full
    llm = TransformersLLM(device="cpu", dtype="float32", max_batch_tokens=TOKENS, share_prefixes=False)
    weights, batch = llm.memory()

    class Graph:
        models = {"small": llm}
        parts: dict[str, object] = {}
        inner_parts: dict[str, object] = {}
        facts: dict[str, object] = {}
        legs = ()

    whole = plan_memory(Graph(), machine=Machine(ram=None, said_by="nobody")).total()  # type: ignore[arg-type]
    for said, was in (
        (weights.n_bytes, taken["loaded"] - taken["libraries"]),
        (batch.n_bytes, taken["peak"] - taken["loaded"]),
        (whole, taken["peak"]),
    ):
        assert was / WITHIN < said < was * WITHIN, (said, taken)
