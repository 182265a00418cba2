"""A model is taught, killed, taught on and refused: two layers of 32, four to eight steps."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from plugins.train.tests.teachable import teachable_index, tiny_encoder
from rag import UnknownComponent
from rag.cli import main
from rag.errors import SpecError
from rag.indexes import EncoderFolder, LocalIndex, SentenceEncoder
from ragline_train.teaching.memory import tried
from ragline_train.teaching.run_folder import RunFolder, Told
from ragline_train.teaching.task import Settings
from ragline_train.teaching.training import Data, Result, train
from tests.retrievers.tiny_encoders import sentence_modules, tiny_bert
from tests.tiny_models import tiny_masked_model

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' libraries

DATA = Data(own=120)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of words alone: they are a teacher that a random model, which lies beside it, can learn from in eight steps."""
    folder = tmp_path_factory.mktemp("own")
    tiny_encoder(folder / "bert")
    tiny_masked_model(folder / "masked")
    return teachable_index(folder, None)


@pytest.fixture(scope="module")
def encoder(index: Path) -> Path:
    return model_of(index)


def model_of(index: Path, recipe: str = "encoder") -> Path:
    """Where the model lies that is taught."""
    return index.parent / ("masked" if recipe == "sparse" else "bert")


def settings(**more: Any) -> Settings:
    given: dict[str, Any] = {"steps": 8, "batch": 4, "ways": 4, "learning_rate": 5e-3, "tellings": 4, "max_tokens": 24}
    return Settings(**{**given, **more})


def taught(index: Path, out: Path, recipe: str = "encoder", *, data: Data = DATA, **more: Any) -> Result:
    resume = more.pop("resume", False)
    with LocalIndex.open(index) as opened:
        given = settings(**{"model": str(model_of(index, recipe)), **more})
        return train(recipe, index=opened, out=out, data=data, settings=given, resume=resume)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return dict(load_file(folder / "model.safetensors"))


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def whole(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run that nobody stopped."""
    return taught(index, tmp_path_factory.mktemp("whole") / "model")


def test_the_folder_is_an_encoder_with_a_card(whole: Result, encoder: Path) -> None:
    assert whole.gained
    found = SentenceEncoder(model=str(whole.folder), compute="float32")
    assert found.dim == 32
    before = SentenceEncoder(model=str(encoder), compute="float32").encode(["paid leave"], role="query")
    assert not np.allclose(found.encode(["paid leave"], role="query"), before)
    facts = json.loads((whole.folder / "training.json").read_text())
    assert facts["named_by"] == "index.dense.encoder"
    assert {"torch", "transformers", "sentence-transformers", "datasets", "accelerate"} <= facts["libraries"].keys()
    assert facts["documents"]
    assert facts["question_digests"]
    card = (whole.folder / "README.md").read_text()
    for said in ("index.dense.encoder", facts["data"]["digest"], facts["start"]["sha256"], "seed, steps"):
        assert said in card
    left = {each.name for each in whole.folder.iterdir()}
    assert not {"checkpoints"} & left
    assert not [each for each in whole.folder.rglob("*") if each.suffix in (".bin", ".pt", ".pth")], "no pickle stays"
    assert EncoderFolder.of(str(whole.folder)).how.max_length == EncoderFolder.of(str(encoder)).how.max_length == 30


def test_the_loss_falls_and_a_new_best_is_told_by_questions_that_choose_nothing(whole: Result) -> None:
    told = whole.facts["chosen by"]["told"]
    losses = [each["loss"] for each in told if each["loss"] is not None]
    assert losses[-1] < losses[0]
    measured = whole.facts["ndcg@10 of questions kept apart"]
    assert measured["gain"] == pytest.approx(measured["after"] - measured["before"], abs=1e-6)


def test_equal_seeds_give_equal_weights_and_others_do_not(index: Path, whole: Result, tmp_path: Path) -> None:
    assert same(taught(index, tmp_path / "again").folder, whole.folder)
    other = taught(index, tmp_path / "other", seed=1)
    assert not other.gained or not same(other.folder, whole.folder)


STOPPED = """
import os, resource, signal, sys
from pathlib import Path

from plugins.train.tests.test_training import DATA, model_of, settings
from rag.errors import SpecError
from rag.indexes import LocalIndex
from ragline_train.teaching import loop, run_folder
from ragline_train.teaching.training import train

index, place = Path(sys.argv[1]), Path(sys.argv[2])
seal = run_folder.RunFolder.seal

def run(name, recipe):
    def killed(self, checkpoint):
        if checkpoint.name == "checkpoint-4" and name != "full":
            if name != "unsealed":
                seal(self, checkpoint)
            os.kill(os.getpid(), signal.SIGKILL)
        seal(self, checkpoint)

    run_folder.RunFolder.seal = killed
    if name == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
    with LocalIndex.open(index) as opened:
        given = settings(model=str(model_of(index, recipe)))
        try:
            train(recipe, index=opened, out=place / name, data=DATA, settings=given)
        except SpecError as error:
            print(error, flush=True)

for name, recipe in (each.split("=") for each in sys.argv[3:]):
    child = os.fork()
    if not child:
        try:
            run(name, recipe)
            os._exit(0)
        finally:
            os._exit(1)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
STOPS = {"sealed": "encoder", "unsealed": "encoder", "reranker": "reranker", "sparse": "sparse", "full": "encoder"}
"""How a run ended -> its recipe: killed at its fourth step, behind a whole checkpoint or before that; or the disk was full."""


@pytest.fixture(scope="module")
def stopped(index: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Folders that runs left, each in a process of its own, forked where the trainers are imported, which takes ten times as
    long as a run; and what was said. To be copied, and not to be gone on with."""
    place = tmp_path_factory.mktemp("stopped")
    environment = {**os.environ, "RAGLINE_HOME": str(place / "home")}
    command = [sys.executable, "-c", STOPPED, str(index), str(place), *(f"{name}={STOPS[name]}" for name in STOPS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    said = done.stdout.splitlines()
    ends = [line for line in said if line.partition(" ")[0] in STOPS]
    assert ends == [f"{name} {0 if name == 'full' else -9}" for name in STOPS], done.stderr[-2000:]
    return place, said


@pytest.fixture
def left(stopped: tuple[Path, list[str]], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of what a run left."""
    return lambda name: shutil.copytree(stopped[0] / name, tmp_path / "model")


@pytest.mark.parametrize("checkpoint", ["sealed", "unsealed"])
def test_a_killed_run_goes_on_to_the_same_weights(
    index: Path, whole: Result, left: Callable[[str], Path], checkpoint: str
) -> None:
    out = left(checkpoint)
    assert not (out / "training.json").exists()
    with pytest.raises(SpecError, match=r"holds a run\. Go on with it by --resume"):
        taught(index, out)
    resumed = taught(index, out, resume=True)
    assert same(resumed.folder, whole.folder)
    assert resumed.facts["chosen by"] == whole.facts["chosen by"]
    assert resumed.facts["ndcg@10 of questions kept apart"] == whole.facts["ndcg@10 of questions kept apart"]


@pytest.mark.parametrize("recipe", ["reranker", "sparse"])
def test_new_heads_and_prices_of_terms_go_on_as_well(
    index: Path, left: Callable[[str], Path], tmp_path: Path, recipe: str
) -> None:
    """A head is drawn at random, and a price rises by the step."""
    whole = taught(index, tmp_path / "whole", recipe)
    resumed = taught(index, left(recipe), recipe, resume=True)
    told = resumed.facts["chosen by"]["told"]
    assert told == whole.facts["chosen by"]["told"], "losses and all, to the last digit"
    assert [each["step"] for each in told] == [0, 2, 4, 6, 8]


def test_a_truncated_checkpoint_is_not_gone_on_from(index: Path, whole: Result, left: Callable[[str], Path]) -> None:
    out = left("sealed")
    folder = RunFolder(out)
    assert folder.last_whole()[0] == out / "checkpoints" / "checkpoint-4"
    file = out / "checkpoints" / "checkpoint-4" / "optimizer.pt"
    file.write_bytes(file.read_bytes()[:100])
    assert folder.last_whole() == (out / "checkpoints" / "checkpoint-2", ["checkpoint-4"])
    assert same(taught(index, out, resume=True).folder, whole.folder)


def test_another_run_is_not_gone_on_with(index: Path, left: Callable[[str], Path]) -> None:
    out = left("sealed")
    with pytest.raises(SpecError, match=r"settings.seed was 0 and is 1"):
        taught(index, out, resume=True, seed=1)
    with pytest.raises(SpecError, match=r"data was .* and is "):
        taught(index, out, resume=True, data=Data(own=90))
    with pytest.raises(SpecError, match="a run of 8 steps, not 9"):
        taught(index, out, resume=True, steps=9)
    run = json.loads((out / "run.json").read_text())
    run["libraries"]["torch"] = "1.0"
    (out / "run.json").write_text(json.dumps(run))
    with pytest.raises(SpecError, match=r'libraries.torch was "1.0" and is '):
        taught(index, out, resume=True)


def test_a_folder_that_is_not_free_is_refused(index: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SpecError, match="is there already, and not empty"):
        taught(index, tmp_path)
    with pytest.raises(SpecError, match="has no run to go on with"):
        taught(index, tmp_path / "none", resume=True)
    assert [each.name for each in tmp_path.iterdir() if each.name != "home"] == ["mine.txt"]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good(index: Path, tmp_path: Path) -> None:
    result = taught(index, tmp_path / "model", learning_rate=1e30)
    assert "the loss is nan" in result.facts["stopped"]
    assert "lower learning rate" in result.facts["stopped"]
    assert not result.gained or np.isfinite(weights(result.folder)["embeddings.word_embeddings.weight"]).all()


def test_a_full_disk_is_told_and_the_run_can_go_on(
    index: Path, whole: Result, stopped: tuple[Path, list[str]], left: Callable[[str], Path]
) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    [told] = [line for line in stopped[1] if "a checkpoint cannot be written" in line]
    assert "--resume" in told
    assert same(taught(index, left("full"), resume=True).folder, whole.folder)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch": 1}, "batch must be at least 2"),
        ({"ways": 1}, "ways must be at least 2"),
        ({"steps": 0}, "steps"),
        ({"minutes": 0}, "minutes must be above 0"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"by": "nobody"}, "by must be shares or source"),
    ],
)
def test_numbers_out_of_range_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**given)


def test_a_model_without_pooling_is_refused(index: Path, tmp_path: Path) -> None:
    bare = tiny_bert(tmp_path / "bare")
    with pytest.raises(SpecError, match="does not say how token vectors become one"):
        taught(index, tmp_path / "one", model=str(bare))
    (sentence_modules(bare, {"pooling_mode": "mean"}) / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}])
    )
    with pytest.raises(SpecError, match="only Transformer \\+ Pooling is supported"):
        taught(index, tmp_path / "two", model=str(bare))


def test_an_index_without_vectors_does_not_say_what_to_teach(index: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"does not say which encoder to teach\. Name one with --model"):
        taught(index, tmp_path / "model", model=None)


def test_sources_against_hard_negatives(index: Path, tmp_path: Path) -> None:
    result = taught(index, tmp_path / "model", by="source")
    losses = [each["loss"] for each in result.facts["chosen by"]["told"] if each["loss"] is not None]
    assert losses[-1] < losses[0]


def test_a_recipe_that_is_not_there_is_told(index: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownComponent, match=r"no recipe named 'encode'\. Known: encoder, reranker"):
        taught(index, tmp_path / "model", "encode")


def test_lines_that_a_kill_cut_off_are_dropped(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    told = [Told(step=step, ndcg=0.5, per_question=(0.5,), loss=None, telling=()) for step in (0, 2, 4)]
    for each in told:
        folder.tell(each)
    with (tmp_path / "progress.jsonl").open("a") as out:
        out.write('{"step": 6, "nd')
    assert folder.told(until=2) == told[:2]
    assert folder.told(until=9) == told[:2]


def test_the_command(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    given = [
        "train",
        "encoder",
        "--index",
        str(index),
        "--out",
        str(out),
        "--steps",
        "4",
        "--batch",
        "4",
        "--own",
        "120",
    ]
    more = ["--learning-rate", "0.005", "--max-tokens", "24", "--model", str(model_of(index))]
    assert main([*given, *more]) == 0
    said = capsys.readouterr()
    assert "questions teach" in said.err
    assert "MB" in said.err
    assert "step 4: nDCG@10" in said.err
    assert f"index: {{dense: {{encoder: {out}}}}}" in said.out or "Nothing gained" in said.out
    assert main([*given, *more]) == 2
    assert "holds a run" in capsys.readouterr().err
    assert main([*given, *more, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == "encoder"


def test_the_command_refuses_a_leak(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, judged = tmp_path / "log.txt", tmp_path / "judged.txt"
    log.write_text("days of paid leave\n")
    judged.write_text("Days of PAID leave?\n")
    given = ["--index", str(index), "--out", str(tmp_path / "m"), "--questions", str(log), "--judged", str(judged)]
    assert main(["train", "encoder", *given]) == 2
    assert "1 of 1 questions are those that the model is to be judged by" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "m", ignore_errors=True)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system forgets no peak")
def test_what_asking_holds_is_told_with_what_a_step_does() -> None:
    nothing = tried(lambda: None, lambda: None, parameters=0)
    asked = tried(lambda: None, lambda: np.ones(40_000_000), parameters=0)
    assert asked.n_bytes - nothing.n_bytes > 0.8 * 8 * 40_000_000
