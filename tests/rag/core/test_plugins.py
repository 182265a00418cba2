"""Components of one's own from the command line: a module, a file, an installed package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.core.our_plugins import OURS
from tests.forks import Forks, forks

MODULE = '''
from collections.abc import Sequence

from rag.ranking import ranked
from rag.types import Ranking, ScoredDocument


class ShortestReranker:
    """Shortest first.

    Args:
        step: characters that count as one.
    """

    def __init__(self, *, step: int = 1) -> None:
        self.step = step

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Same documents, shortest first."""
        return [Ranking(query=r.query, hits=ranked(map(self._scored, r.hits), k=k)) for r in rankings]

    def _scored(self, hit: ScoredDocument) -> ScoredDocument:
        return ScoredDocument(document=hit.document, score=-float(len(hit.document.text) // self.step))
'''
REGISTER = "\n\nfrom rerankers import RERANKERS\n\nRERANKERS.add('shortest', ShortestReranker)\n"
GRAPH = """
version: 1
nodes:
  found: {use: retrieve.bm25, k: 5}
  ranked: {use: rerank.shortest, in: found, k: 5, with: {step: 2}}
output: ranked
"""


COMMANDS: list[Forks] = []


@pytest.fixture(scope="module", autouse=True)
def _commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where the commands of this module are forked."""
    with forks(tmp_path_factory.mktemp("said")) as made:
        COMMANDS[:] = [made]
        yield


def rag(*arguments: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command, with a folder of its own for models: the doctor reads every byte of those that are there."""
    home = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, *([str(path)] if path else [])])}
    return COMMANDS[0].rag(*arguments, cwd=cwd, environment={**environment, "RAGLINE_HOME": str(cwd / "home")})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("leave is thirty days for all who work here, full time or not")
    (tmp_path / "notes" / "b.md").write_text("leave is paid")
    return tmp_path


def shipped(folder: Path, module: str, points: str) -> Path:
    """A place with an installed package that ships rerankers under these entry points."""
    site = folder / "site"
    (site / "shortest_package").mkdir(parents=True)
    (site / "shortest_package" / "__init__.py").write_text(module)
    (site / "shortest_package-1.0.dist-info").mkdir()
    (site / "shortest_package-1.0.dist-info" / "METADATA").write_text("Name: shortest-package\nVersion: 1.0\n")
    (site / "shortest_package-1.0.dist-info" / "entry_points.txt").write_text(f"[ragline.rerank]\n{points}")
    return site


@pytest.mark.parametrize("name", ["shortest_plugin", "./shortest_plugin.py"])
def test_a_module_or_file_is_enough_to_build_search_and_check(name: str, folder: Path) -> None:
    (folder / "shortest_plugin.py").write_text(MODULE + REGISTER)
    built = rag("index", "notes", "--index", "idx", "--graph", "graph.yaml", "--plugin", name, cwd=folder)
    assert built.returncode == 0, built.stderr
    found = rag("search", "leave", "--index", "idx", "--graph", "graph.yaml", "--plugin", name, cwd=folder)
    assert found.returncode == 0, found.stderr
    assert found.stdout.index("b.md") < found.stdout.index("a.md")
    assert "rerank.shortest" in rag("list", "rerank", "--plugin", name, cwd=folder).stdout
    without = rag("check", "graph.yaml", cwd=folder)
    assert without.returncode == 2
    assert "graph.yaml:5: node 'ranked': no component named 'rerank.shortest'" in without.stderr


def test_a_file_called_as_one_of_our_packages_does_not_take_its_place(folder: Path) -> None:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "rag.py").write_text(MODULE + REGISTER)
    checked = rag("check", "graph.yaml", "--plugin", "plugins/rag.py", cwd=folder)
    assert checked.returncode == 0, checked.stderr


def test_an_installed_package_needs_no_switch(folder: Path) -> None:
    points = "shortest = shortest_package:ShortestReranker\ngone = shortest_package:Gone\n"
    site = shipped(folder, MODULE, points)
    checked = rag("check", "graph.yaml", cwd=folder, path=site)
    assert checked.returncode == 0, checked.stderr
    (folder / "graph.yaml").write_text(GRAPH.replace("rerank.shortest", "rerank.gone"))
    broken = rag("check", "graph.yaml", cwd=folder, path=site)
    assert broken.returncode == 2
    assert (
        "rerank.gone of the installed plug-in 'shortest-package' cannot be loaded from shortest_package:Gone"
        in broken.stderr
    )
    assert "pip uninstall shortest-package" in broken.stderr


LEG_RETRIEVER = '''
from collections.abc import Sequence

from rag.indexes import Index
from rag.ranking import ranked
from rag.types import Query, Ranking, ScoredDocument


class WordsRetriever:
    """By shared words.

    Args:
        index: the index to search.
        leg: of several the one that is searched.
    """

    leg = "words"

    def __init__(self, *, index: Index, leg: str = leg) -> None:
        self.index, self.leg = index, leg

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """Those that share most."""
        found = []
        for query in queries:
            scores = self.index.leg(self.leg).search(query.text, query.where)
            documents = self.index.documents.many(scores)
            pairs = zip(documents, scores.values(), strict=True)
            hits = [ScoredDocument(document=document, score=score) for document, score in pairs]
            found.append(Ranking(query=query, hits=ranked(hits, k=k), source="words"))
        return found
'''
LEG_GRAPH = """
version: 1
index: {words: {shortest: 2}, legs: {long: {kind: words, shortest: 6}}}
nodes:
  found: {use: retrieve.words, k: 5}
  others: {use: retrieve.words, k: 5, with: {leg: long}}
  both: {use: fuse.rrf, in: [found, others], k: 5}
output: both
"""


def test_a_leg_of_an_installed_package_edits_no_file_of_ours(folder: Path) -> None:
    """The leg is that of the guide. It has a section of its own, and a second one of its kind."""
    site = folder / "site"
    (site / "words-1.0.dist-info").mkdir(parents=True)
    guide = (Path(__file__).parents[3] / "docs" / "add_an_index_leg.md").read_text(encoding="utf-8")
    (site / "shared_words.py").write_text(re.findall(r"```python\n(.*?)```", guide, re.DOTALL)[0])
    (site / "words_retriever.py").write_text(LEG_RETRIEVER)
    (site / "words-1.0.dist-info" / "METADATA").write_text("Name: words\nVersion: 1.0\n")
    (site / "words-1.0.dist-info" / "entry_points.txt").write_text(
        "[ragline.leg]\nwords = shared_words:WordKind\n[ragline.retrieve]\nwords = words_retriever:WordsRetriever\n"
    )
    (folder / "words.yaml").write_text(LEG_GRAPH)
    built = rag("index", "notes", "--index", "idx", "--graph", "words.yaml", cwd=folder, path=site)
    assert built.returncode == 0, built.stderr
    assert sorted(path.name for path in (folder / "idx").glob("generation-*/*") if path.is_dir()) == ["long", "words"]
    found = rag("search", "leave", "--index", "idx", "--graph", "words.yaml", cwd=folder, path=site)
    assert (found.returncode, "b.md" in found.stdout) == (0, True), found.stderr
    again = rag("index", "notes", "--index", "idx", cwd=folder, path=site)
    assert again.returncode == 0, again.stderr
    without = rag("search", "leave", "--index", "idx", "--graph", "bm25", cwd=folder)
    assert without.returncode == 4, without.stderr
    assert "has a leg 'words', which is not known here" in without.stderr


TOY = {
    "toy/__init__.py": "",
    "toy/graphs/backwards.yaml": "version: 1\ndescription: A toy.\nnodes: {found: {use: retrieve.bm25, in: query, k: 3}}\n"
    "output: found\n",
    "toy/prompts/toy_prompt.yaml": "description: A toy.\nvariables: [question]\nuser: '{question}'\n",
    "toy/shots/toy_shots.yaml": "shots: [{question: Is it a toy, reply: 'yes'}]\n",
    "toy/backwards.py": """
from rag.ingest.types import Block, ParsedDocument
def parse(data, name, note):
    text = data.decode()[::-1]
    yield ParsedDocument(doc_id=name, title="", text=text, blocks=(Block(start=0, end=len(text)),), metadata={"source": name})
""",
    "toy/models.py": """
from dataclasses import replace
from rag.models.table import PACKAGED
TABLE = {"toy-model": replace(PACKAGED["splade-tiny"], name="toy-model", purpose="is a toy")}
""",
    "toy/encoder.py": """
import numpy as np
class Toy:
    reads = "a folder of toy.json"
    dim, compute = 2, "float32"
    def __init__(self, folder, *, requested):
        pass
    @staticmethod
    def refuses(folder):
        return None if (folder / "toy.json").is_file() else "it has no toy.json"
    def facts(self):
        return {"toy": 1}
    def batches(self, texts, role):
        yield np.arange(len(texts)), np.array([[1, len(text)] for text in texts], dtype=np.float32)
    def spans(self, texts):
        return [[(0, len(text))] for text in texts]
    def memory(self):
        return []
    def release(self):
        pass
""",
    "toy/checks.py": """
def toys():
    yield True, "the toys are there"
    yield False, "one is broken: mend it"
def fails():
    raise ValueError("no toys")
""",
    "toy/asked_checks.py": """
from rag.errors import SpecError
def options(parser):
    parser.add_argument("--toy")
def findings(given):
    yield None, f"no toy was looked at but {given.toy}"
    if given.toy == "bear":
        yield False, SpecError("a bear is no toy", "leave it")
""",
    "toy-1.0.dist-info/METADATA": "Name: ragline-toy\nVersion: 1.0\n",
    "toy-1.0.dist-info/entry_points.txt": "[ragline.graphs]\ntoy = toy.graphs\n[ragline.prompts]\ntoy = toy.prompts\n"
    "[ragline.shots]\ntoy = toy.shots\n"
    "[ragline.reader]\nbackwards = toy.backwards\n[ragline.models]\ntoy = toy.models:TABLE\n"
    "[ragline.encoder]\ntoy = toy.encoder:Toy\n[ragline.token_encoder]\ntoy = toy.encoder:Toy\n"
    "[ragline.server]\ntoy = toy.encoder:Toy\n[ragline.index]\ntoy = toy.encoder:Toy\n[ragline.cluster]\ntoy = toy.encoder:Toy\n"
    "[ragline.doctor]\ntoys = toy.checks:toys\nfails = toy.checks:fails\nasked = toy.asked_checks\n",
}
"""A package that adds one of everything."""


@pytest.fixture
def toy(folder: Path) -> Path:
    for name, text in TOY.items():
        file = folder / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "site"


def test_a_package_adds_graphs_and_readers_of_files(folder: Path, toy: Path) -> None:
    (folder / "notes" / "c.backwards").write_text("syad owt rof diap")
    built = rag("index", "notes", "--index", "idx", "--graph", "backwards", cwd=folder, path=toy)
    assert built.returncode == 0, built.stderr
    found = rag("search", "paid", "--index", "idx", "--graph", "backwards", "--json", cwd=folder, path=toy)
    assert {hit["doc_id"] for hit in json.loads(found.stdout)["hits"]} == {"notes/b.md#1", "notes/c.backwards#1"}
    assert "graph backwards\n    A toy." in rag("list", "graph", cwd=folder, path=toy).stdout
    without = rag("index", "notes", "--index", "other", "--graph", "bm25", cwd=folder)
    assert "not indexed: 1 .backwards: no reader for these" in without.stderr
    assert "no graph 'backwards'" in rag("check", "backwards", cwd=folder).stderr


def test_what_a_packages_reader_made_is_read_again_where_it_is_another_version(folder: Path, toy: Path) -> None:
    (folder / "notes" / "c.backwards").write_text("syad owt rof diap")
    assert rag("index", "notes", "--index", "idx", "--graph", "bm25", cwd=folder, path=toy).returncode == 0
    again = json.loads(rag("index", "--index", "idx", "--json", cwd=folder, path=toy).stdout)
    assert again["n_reused_files"] == 3
    (toy / "toy-1.0.dist-info" / "METADATA").write_text("Name: ragline-toy\nVersion: 1.1\n")
    again = json.loads(rag("index", "--index", "idx", "--json", cwd=folder, path=toy).stdout)
    assert again["n_reused_files"] == 2


def test_a_package_adds_models_prompts_and_encoders(folder: Path, toy: Path) -> None:
    listed = rag("models", "list", cwd=folder, path=toy)
    assert "toy-model" in listed.stdout
    (folder / "model").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "toy.json"):
        (folder / "model" / name).write_text("{}")
    script = """
import prompts
from retrievers.encoders.sentence_encoder import SentenceEncoder
print(prompts.load("toy_prompt").description, prompts.load_shots("toy_shots").shots[0].reply)
encoder = SentenceEncoder(model="model")
print(encoder.encode(["ab", "abc"], role="query").tolist(), encoder.describe()["kind"])
from rag.core.clusters import CLUSTERS
from retrievers.index import INDEXES, SERVERS
from retrievers.encoders.token_encoder import TOKEN_ENCODERS
print(next(TOKEN_ENCODERS.in_order()), {table.get("toy").__name__ for table in (TOKEN_ENCODERS, INDEXES, SERVERS, CLUSTERS)})
"""
    home = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, str(toy)])}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "A toy. yes\n[[1.0, 2.0], [1.0, 3.0]] toy\ntoy {'Toy'}\n"


def test_packages_are_listed_and_check_themselves(folder: Path, toy: Path) -> None:
    listed = rag("list", "plugins", cwd=folder, path=toy).stdout
    adds = "cluster.toy doctor.asked doctor.fails doctor.toys encoder.toy graphs.toy index.toy models.toy prompts.toy"
    assert (
        f"ragline-toy 1.0\n    {', '.join([*adds.split(), 'reader.backwards', 'server.toy', 'shots.toy', 'token_encoder.toy'])}\n"
        in listed
    )
    [each] = [
        each
        for each in json.loads(rag("list", "plugins", "--json", cwd=folder, path=toy).stdout)
        if each["name"] == "ragline-toy"
    ]
    assert each["version"] == "1.0"
    looked = rag("doctor", cwd=folder, path=toy)
    assert looked.returncode == 3
    assert "ok   plug-in ragline-toy 1.0\n" in looked.stdout
    assert "ok   ragline-toy: the toys are there\nBAD  ragline-toy: one is broken: mend it\n" in looked.stdout
    assert "BAD  ragline-toy: its check 'fails' failed: ValueError: no toys\n" in looked.stdout


def test_a_check_of_a_package_has_options_and_exit_codes(folder: Path, toy: Path) -> None:
    points = toy / "toy-1.0.dist-info" / "entry_points.txt"
    points.write_text("[ragline.doctor]\nasked = toy.asked_checks\nbroken = toy.no_such_module\n")
    assert "--toy TOY" in rag("doctor", "--help", cwd=folder, path=toy).stdout
    points.write_text("[ragline.doctor]\nasked = toy.asked_checks\n")
    looked = rag("doctor", "--toy", "top", cwd=folder, path=toy)
    assert (looked.returncode, "-    ragline-toy: no toy was looked at but top\n" in looked.stdout) == (0, True)
    looked = rag("doctor", "--toy", "bear", cwd=folder, path=toy)
    assert looked.returncode == 2
    assert "BAD  ragline-toy: a bear is no toy; leave it\n" in looked.stdout


GREETING = """
'''A greeting, and how long the name is.'''
def options(parser):
    parser.add_argument("name")
def run(given):
    print(f"hello {given.name}")
    return 0
"""


def test_an_installed_package_adds_commands(folder: Path) -> None:
    site = shipped(folder, GREETING, "")
    points = site / "shortest_package-1.0.dist-info" / "entry_points.txt"
    points.write_text("[ragline.command]\ngreet = shortest_package\nsulk = no_such_package\nindex = no_such_package\n")
    assert rag("greet", "ann", cwd=folder, path=site).stdout == "hello ann\n"
    assert "usage: rag greet [-h] [-q | -v] name" in rag("greet", "--help", cwd=folder, path=site).stdout
    page = rag("--help", cwd=folder, path=site).stdout
    assert "A greeting, and how long the name is." in page
    assert "cannot be loaded: there is no module 'no_such_package'" in page
    broken = rag("sulk", cwd=folder, path=site)
    assert broken.returncode == 2
    assert "rag sulk of the installed plug-in 'shortest-package' cannot be loaded from no_such_package" in broken.stderr
    assert rag("index", "notes", "--index", "idx", "--graph", "bm25", cwd=folder, path=site).returncode == 0
    script = "import sys, rag.cli; rag.cli.main(['greet', 'ann']); print('sulked' in sys.modules)"
    points.write_text("[ragline.command]\ngreet = shortest_package\nsulk = sulked\n")
    (site / "sulked.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), str(site)])}
    command = [sys.executable, "-c", script]
    one = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert one.stdout == "hello ann\nFalse\n", "the module of another command is not loaded"
    unknown = rag("greed", cwd=folder, path=site)
    assert unknown.returncode == 2
    assert "greet" in unknown.stderr


BROKEN = {
    "a library that is not there": ("import no_such_library", "No module named 'no_such_library'"),
    "a mistake in its module": ("1 / 0", "ZeroDivisionError: division by zero"),
    "a class without the stage's method": ("class Broken: ...", "Broken has no method 'rerank'"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("asked", [["list"], ["list", "rerank", "--json"], ["list", "recipes"]])
def test_a_broken_plug_in_is_told_and_the_rest_is_listed(case: str, asked: list[str], folder: Path) -> None:
    code, message = BROKEN[case]
    site = shipped(folder, MODULE, "shortest = shortest_package:ShortestReranker\nbroken = broken_package:Broken\n")
    (site / "broken_package.py").write_text(code)
    listed = rag(*asked, cwd=folder, path=site)
    assert listed.returncode == 2
    [told] = listed.stderr.splitlines()
    assert told.startswith("rag: rerank.broken of the installed plug-in 'shortest-package' cannot be")
    assert message in told
    assert "pip uninstall shortest-package" in told
    assert ("rerank.shortest" in listed.stdout) == (asked != ["list", "recipes"])
    assert "rerank.broken" not in listed.stdout


def test_a_broken_plug_in_spoils_no_schema(folder: Path) -> None:
    site = shipped(folder, MODULE, "shortest = shortest_package:ShortestReranker\nbroken = shortest_package:Gone\n")
    schema = rag("check", "--schema", cwd=folder, path=site)
    assert schema.returncode == 0, schema.stderr
    assert "rerank.shortest" in schema.stdout
    assert "rerank.broken" not in schema.stdout


def test_an_unknown_component_says_where_others_may_be(folder: Path) -> None:
    (folder / "shortest_plugin.py").write_text(MODULE + REGISTER)
    none = rag("check", "graph.yaml", cwd=folder, path=folder)
    assert "--plugin MODULE" in none.stderr
    site = shipped(folder, MODULE, "longest = shortest_package:ShortestReranker\n")
    some = rag("check", "graph.yaml", cwd=folder, path=site)
    assert re.search("Installed plug-ins: .*shortest-package", some.stderr)
    (folder / "graph.yaml").write_text(GRAPH.replace("rerank.shortest", "fuse.longest"))
    elsewhere = rag("check", "graph.yaml", cwd=folder, path=site)
    assert "The installed plug-in 'shortest-package' has rerank.longest." in elsewhere.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("rankings: Sequence[Ranking], *, k", "rankings, *, k"), "does not say what 'rankings' is"),
        ((" -> list[Ranking]:", ":"), "ShortestReranker.rerank does not say what it returns"),
        (("step: int = 1", "step=1"), "its parameter 'step' has no annotation"),
        (("def rerank(", "def reorder("), "ShortestReranker has no method 'rerank'"),
        (("Sequence[Ranking], *", "Sequence[str], *"), "a stage takes and gives sequences of records"),
        (("step: int = 1", "step: Number = 1"), "annotated with 'Number', which its module does not import"),
    ],
)
def test_a_class_without_what_is_read_from_it_is_refused_by_name(
    change: tuple[str, str], message: str, folder: Path
) -> None:
    assert change[0] in MODULE
    text = "from __future__ import annotations\n" + MODULE.replace(*change) + REGISTER
    (folder / "shortest_plugin.py").write_text(text)
    checked = rag("check", "graph.yaml", "--plugin", "shortest_plugin", cwd=folder)
    assert checked.returncode == 2
    assert message in checked.stderr
    assert "Traceback" not in checked.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "registers no component"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("from rerankers import RERANKERS\nRERANKERS.add('listwise', int)", "already registered"),
    ],
)
def test_a_plug_in_that_is_none_is_refused(text: str, message: str, folder: Path) -> None:
    (folder / "odd_plugin.py").write_text(text)
    done = rag("check", "graph.yaml", "--plugin", "odd_plugin.py", cwd=folder)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    gone = rag("check", "graph.yaml", "--plugin", "nowhere.py", cwd=folder)
    assert "plug-in 'nowhere.py' cannot be imported: FileNotFoundError" in gone.stderr


def test_parts_of_our_plugins_are_known_by_name() -> None:
    places = {place.parent.name: place for place in (Path(__file__).parents[3] / "plugins").glob("*/pyproject.toml")}
    assert places.keys() == OURS.keys()
    for name, place in places.items():
        points = tomllib.loads(place.read_text())["project"]["entry-points"]
        graphs = (place.parent / f"ragline_{name}" / "graphs").glob("*.yaml")
        parts = {f"graph {graph.stem}" for graph in graphs}
        for group, entries in points.items():
            stage = group.removeprefix("ragline.")
            if stage not in ("graphs", "instructions", "prompts", "shots"):
                parts |= {f"{stage}.{entry}" for entry in entries}
        assert parts == set(OURS[name])


LACKING = """
import rag.core.plugins
rag.core.plugins.all_shipped = dict
import rag.cli
codes = [rag.cli.main(["check", each]) for each in ("graph.yaml", "persuade")]
codes.append(rag.cli.main(["ls", "--index", "milvus://host/notes"]))
codes.append(rag.cli.main(["index", "notes", "--index", "qdrant+local:///data/notes"]))
codes.append(rag.cli.main(["index", "notes", "--index", "idx", "--ray", "local"]))
codes.append(rag.cli.main(["batch", "questions.txt", "--graph", "closed.yaml", "--out", "out", "--ray", "10.0.0.1:6379"]))
for words in (["lab", "lost", "runs/1"], ["calibrate", "questions.jsonl"], ["models", "distil", "all-minilm-l6-v2"]):
    try:
        rag.cli.main(words)
    except SystemExit as end:
        codes.append(end.code)
raise SystemExit(sum(codes))
"""


def test_whoever_lacks_a_plugin_of_ours_is_told_which(folder: Path) -> None:
    graph = "version: 1\nnodes: {answer: {use: generate.persuade, in: query}}\noutput: answer\n"
    (folder / "graph.yaml").write_text(graph)
    model = "{use: llm.scripted, with: {replies: [So.]}}"
    closed = (
        "version: 1\nmodels: {small: %s}\nnodes: {answer: {use: generate.closed_book, in: query, with: {llm: small}}}\n"
    )
    (folder / "closed.yaml").write_text(closed % model + "output: answer\n")
    command = [sys.executable, "-c", LACKING]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 22, done.stderr
    told = "It is in the plug-in 'ragline-recipes'. From a checkout: pip install ./plugins/recipes."
    assert f"no component named 'generate.persuade'. {told}" in done.stderr
    assert f"no graph 'persuade': neither a file nor a built-in graph. {told}" in done.stderr
    assert (
        "there is no 'lab'. It is in the plug-in 'ragline-lab'. From a checkout: pip install ./plugins/lab."
        in done.stderr
    )
    train = "It is in the plug-in 'ragline-train'. From a checkout: pip install ./plugins/train."
    assert f"there is no 'calibrate'. {train}" in done.stderr
    assert f"there is no 'distil'. `rag distil` is a command by itself now. {train}" in done.stderr
    servers = "It is in the plug-in 'ragline-servers'. From a checkout: pip install ./plugins/servers."
    assert f"index 'milvus://host/notes': there is no kind of index 'milvus'. {servers}" in done.stderr
    assert f"index 'qdrant+local:///data/notes': an index of this kind is not built. {servers}" in done.stderr
    cluster = "It is in the plug-in 'ragline-cluster'. From a checkout: pip install ./plugins/cluster."
    assert done.stderr.count(f"no component named 'cluster.ray'. {cluster}") == 2
    assert not (folder / "idx").exists()
