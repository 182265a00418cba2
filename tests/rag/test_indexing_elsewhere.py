"""An index whose texts are read by other processes, as a cluster has them, is that of one process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.cli import main
from rag.core.errors import IndexMismatch, MissingModel, SpecError
from rag.indexing import build_index
from rag.indexing.encoders import Reading
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index.manifest import MANIFEST, ragline_version
from retrievers.index.settings import IndexSettings, leg_kind
from retrievers.legs.protocol import Encodes
from tests.other_machines import HerePickled
from tests.small_legs import SmallModels, Way, ways


def corpus(path: Path, n: int, *, repeated: int = 0) -> Path:
    lines = [{"_id": f"d{i}", "text": f"the paid leave of day {i} was lost in {i * 7 % 13} bicycles"} for i in range(n)]
    lines += [{**line, "_id": f"again-{line['_id']}"} for line in lines[:repeated]]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def written(home: Path) -> dict[str, bytes]:
    """Every file of the index by its name, without the time at which it was made."""
    [folder] = home.glob("generation-*")
    manifest = {**json.loads((folder / MANIFEST).read_text()), "created": ""}
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {**files, MANIFEST: json.dumps(manifest).encode()}


@pytest.mark.parametrize("way", [way for way in ways() if isinstance(leg_kind(way.leg), Encodes)], ids=str)
def test_what_a_leg_describes_is_enough_to_read_its_texts_elsewhere(
    way: Way, small_models: SmallModels, tmp_path: Path
) -> None:
    """Each way to build each leg, of what would be sent."""
    source, settings, cluster = corpus(tmp_path / "corpus.jsonl", 300), way.settings(small_models), HerePickled()
    build_index(source, tmp_path / "here", settings=settings, legs=[way.leg])
    report = build_index(source, tmp_path / "there", settings=settings, legs=[way.leg], cluster=cluster)
    assert report.on_cluster == ({way.leg: 300} if cluster.used_models else {})
    assert written(tmp_path / "there") == written(tmp_path / "here")
    assert cluster.used_models == ([] if way.name == "served" else [True])


def test_where_no_model_reads_texts_a_cluster_is_left_alone(small_models: SmallModels, tmp_path: Path) -> None:
    """Words have no model; one behind a server is asked by the process that builds; what is read needs no reading."""
    source, cluster = corpus(tmp_path / "corpus.jsonl", 3), HerePickled()
    served = {"dense": {"encoder": {"url": small_models.url, "model": "tiny"}}}
    report = build_index(source, tmp_path / "idx", settings=IndexSettings.model_validate(served), cluster=cluster)
    assert (report.legs, report.n_encoded, report.on_cluster) == (("lexical", "dense"), 3, {})
    settings = IndexSettings.model_validate({"dense": {"encoder": str(small_models.static)}})
    build_index(source, tmp_path / "static", settings=settings)
    assert build_index(source, tmp_path / "static", cluster=cluster).unchanged
    assert not cluster.used_models


def test_what_is_not_there_is_told(small_models: SmallModels) -> None:
    made_by = SentenceEncoder(model=str(small_models.static)).describe()
    reading = Reading(kind="dense", made_by=made_by, several=False, version=ragline_version())
    reading.start()
    for wrong, kind, said in (
        ({"made_by": {**made_by, "name": "/no/such"}}, MissingModel, "no model folder at '/no/such'"),
        ({"made_by": {**made_by, "weights_sha256": "0"}}, IndexMismatch, "another encoder.*weights_sha256"),
        ({"version": "0.0.1"}, IndexMismatch, "is installed there, and 0.0.1 where the index is built"),
        ({"plugins": ("no_such_module",)}, SpecError, "plug-in 'no_such_module' cannot"),
    ):
        with pytest.raises(kind, match=said):
            replace(reading, **wrong).start()


def test_a_model_is_loaded_before_the_first_of_several_blocks(small_models: SmallModels) -> None:
    """Few texts would else be read in a lighter way, by the actor that has the last block alone."""
    encoder = SentenceEncoder(model=str(small_models.sentences), compute="float32")
    encoder.encode(["a b c"] * 9, role="document")
    reading = Reading(kind="dense", made_by=encoder.describe(), several=True, version=ragline_version())
    vectors = reading.start()(["paid leave of a day"])["vector"]
    assert np.array_equal(vectors, encoder.encode(["paid leave of a day"], role="document"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ray-actors", "2"], "--ray-actors goes with --ray"),
        (["--ray-gpus", "0.5"], "--ray-gpus goes with --ray"),
        (["--ray", "local", "--watch"], "--watch builds again and again"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", str(tmp_path), "--index", str(tmp_path / "idx"), *options]) == 2
    assert said in capsys.readouterr().err
