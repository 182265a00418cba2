"""Twelve documents, five questions, and a cache folder of the test run's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from rag.cli.console import set_loudness
from rag.core.types import Document, Query, Ranking, ScoredDocument

if TYPE_CHECKING:
    from generators.llm.vllm_offline import VLLMOfflineLLM
    from tests.small_legs import SmallModels

pytest_plugins = ("tests.browser", "tests.several_processes")

# A shell starts its background jobs with Ctrl-C switched off, and whatever they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a property test takes says how busy the machine is, not whether the property holds.
hypothesis_settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("any machine")

_TEXTS = {
    "d01": ("Sick days", "Tell your team before nine if you are ill. A note is needed from the fourth day."),
    "d02": ("Holidays", "Everyone has thirty days of paid leave a year. Five may be carried over."),
    "d03": ("Expenses", "Meals on a journey are refunded up to forty euros a day with a receipt."),
    "d04": ("Travel", "Take the train for journeys under six hours. First class is allowed after four."),
    "d05": ("Workshop safety", "Wear goggles at the grinder. The torque wrench is checked every spring."),
    "d06": ("Frames", "Frames are brazed from chromoly tubes and aligned before painting."),
    "d07": ("Wheels", "A wheel is trued to half a millimetre before it leaves the stand."),
    "d08": ("Returns", "A customer may return a bicycle within sixty days if it was not raced."),
    "d09": ("Warranty", "Frames carry a warranty of ten years, forks of five."),
    "d10": ("Security", "Report a lost key or laptop to the duty officer at once."),
    "d11": ("Meetings", "The weekly assembly is on Tuesday at ten and ends before eleven."),
    "d12": ("Purchasing", "Orders above five hundred euros need two signatures."),
}


@pytest.fixture(scope="session")
def documents() -> tuple[Document, ...]:
    return tuple(Document(doc_id=i, title=title, text=text) for i, (title, text) in _TEXTS.items())


@pytest.fixture(scope="session")
def queries() -> tuple[Query, ...]:
    texts = (
        "how many days of paid leave",
        "returning a bicycle",
        "lost laptop",
        "warranty of a frame",
        "who signs orders above five hundred euros",
    )
    return tuple(Query(qid=f"q{i}", text=text) for i, text in enumerate(texts, start=1))


@pytest.fixture(scope="session")
def qrels() -> dict[str, dict[str, int]]:
    return {"q1": {"d02": 1}, "q2": {"d08": 1}, "q3": {"d10": 1}, "q4": {"d09": 1}, "q5": {"d12": 1}}


@pytest.fixture
def rankings(documents: tuple[Document, ...], queries: tuple[Query, ...]) -> list[Ranking]:
    """Every question with all documents, scores 12 down to 1, in doc_id order."""
    hits = tuple(ScoredDocument(document=d, score=float(12 - i)) for i, d in enumerate(documents))
    return [Ranking(query=q, hits=hits, source="first") for q in queries]


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallModels]:
    """Tiny random models for every leg. Not to be changed."""
    from tests.small_legs import small_models

    with small_models(tmp_path_factory.mktemp("small")) as made:
        yield made


@pytest.fixture(scope="session")
def vllm_llm() -> Iterator[VLLMOfflineLLM]:
    """The default model in vLLM's engine. One for all files: each start imports vLLM in two more processes."""
    from generators.llm.vllm_offline import VLLMOfflineLLM
    from tests.generators.llm.serving import VLLM_MODEL

    made = VLLMOfflineLLM(model=VLLM_MODEL, dtype="float32", max_model_len=2048, kv_cache_gib=0.5)
    yield made
    made.close()


@pytest.fixture(scope="session")
def eval_data() -> Path:
    """The folder of evaluation sets; tests that need it are marked `data` and skip without it."""
    place = os.environ.get("RAGLINE_EVAL_DATA")
    if not place:
        pytest.skip("RAGLINE_EVAL_DATA does not name a folder of evaluation sets")
    return Path(place)


@pytest.fixture(autouse=True)
def _private_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the caller's environment says about the hub, colours or terminal width, nor on how quiet a command
    of a test before it was asked to be: that holds for the process."""
    set_loudness(quiet=False, verbose=False)
    for name in (
        "HF_HUB_OFFLINE",
        "HF_TOKEN",
        "FORCE_COLOR",
        "COLUMNS",
        "RAGLINE_API_KEYS",
        "RAGLINE_KEYS",
        "RAGLINE_TRACE",
    ):
        monkeypatch.delenv(name, raising=False)
