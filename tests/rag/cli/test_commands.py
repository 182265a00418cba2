from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rag.cli import main
from rag.cli.parser import DAILY, parser
from rag.core.errors import NO_INDEX
from rag.core.ranking import in_this_order
from rag.core.types import Ranking
from rerankers import RERANKERS

RECIPES = Path(__file__).parents[3] / "docs" / "recipes" / "README.md"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_index_then_search_says_source_and_position(
    capsys: pytest.CaptureFixture[str], notes: Path, tmp_path: Path
) -> None:
    code, out, _ = run(capsys, "index", str(notes), "--index", str(tmp_path / "idx"), "--graph", "bm25")
    assert code == 0
    assert "4 files" in out
    assert "peak memory" in out
    found = run(capsys, "search", "note needed", "--index", str(tmp_path / "idx"), "--graph", "bm25", "--json")
    document = json.loads(found[1])
    assert document["hits"][0]["position"]["source"] == "notes/leave.md"
    assert document["hits"][0]["position"]["headings"] == ["Leave"]
    assert document["hits"][0]["doc_id"] == "notes/leave.md#1"
    assert document["hits"][0]["rank"] == 1
    assert {"graph", "index", "query", "qid", "outcome", "seconds", "nodes", "failures"} <= set(document)


def test_a_search_is_filtered_by_every_where_that_is_given(
    capsys: pytest.CaptureFixture[str], notes: Path, tmp_path: Path
) -> None:
    index = str(tmp_path / "idx")
    run(capsys, "index", str(notes), "--index", index, "--graph", "bm25")

    def sources(*wheres: str) -> set[str]:
        options = [option for where in wheres for option in ("--where", where)]
        code, out, _ = run(capsys, "search", "note leave", "--index", index, "--graph", "bm25", "--json", *options)
        assert code == 0
        return {hit["position"]["source"] for hit in json.loads(out)["hits"]}

    assert "notes/leave.md" in sources("source=notes/leave.md or start >= 0")
    assert sources("source=notes/leave.md") == {"notes/leave.md"} == sources('source = "notes/leave.md"', "start >= 0")
    assert sources("source=notes/leave.md", "source != notes/leave.md") == set()


def test_cells_of_a_table_are_compared_as_the_numbers_that_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "orders.csv").write_text("id,city,amount\n1,Berlin,9\n2,Berlin,250.5\n3,Berlin,none\n4,Berlin,1e3\n")
    place = ("--index", str(tmp_path / "idx"), "--graph", "bm25")
    assert run(capsys, "index", str(tmp_path / "orders.csv"), *place)[0] == 0
    code, out, err = run(capsys, "search", "Berlin", *place, "--where", "amount > 100", "--json")
    assert code == 0, err
    assert sorted(hit["doc_id"] for hit in json.loads(out)["hits"]) == ["orders.csv:2#1", "orders.csv:4#1"]


@pytest.mark.parametrize(
    ("command", "where", "says"),
    [
        ("search", "source=", "where, column 8: expected a value, got the end"),
        ("search", "source like x", "where, column 8: no operator 'like'. Known: !=, <"),
        ("search", "colour=red", "no document has metadata 'colour'"),
        ("ask", "source=", "where, column 8: expected a value, got the end"),
    ],
)
def test_a_wrong_filter_is_explained(
    capsys: pytest.CaptureFixture[str], lexical_index: Path, command: str, where: str, says: str
) -> None:
    code, out, err = run(capsys, command, "x", "--index", str(lexical_index), "--graph", "bm25", "--where", where)
    assert (code, out) == (2, "")
    assert says in err


FILTERED = """\
version: 1
graphs:
  inside:
    nodes: {deep: {use: retrieve.bm25, in: query, k: 2, with: {where: "yaer > 2020"}}}
    output: deep
nodes:
  good: {use: retrieve.bm25, in: query, k: 2, with: {where: "source = leave.md"}}
  words: {use: retrieve.bm25, in: query, k: 2, with: {where: "sourec = leave.md"}}
  fused: {use: fuse.rrf, in: [good, words], k: 2}
  more: {use: rerank.identity, in: fused, k: 2}
output: more
"""


@pytest.mark.parametrize("command", [["check", "G"], ["search", "x", "--graph", "G"]])
def test_a_graphs_own_filter_is_held_against_the_index_before_anything_is_asked(
    capsys: pytest.CaptureFixture[str], lexical_index: Path, tmp_path: Path, command: list[str]
) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(FILTERED)
    command = [str(path) if word == "G" else word for word in command]
    code, _, err = run(capsys, *command, "--index", str(lexical_index))
    assert code == 2
    assert f"{path}:8: node 'words': no document has metadata 'sourec'. Did you mean 'source'" in err
    assert f"{path}:4" in err, "those of inner graphs too"
    assert "node 'good'" not in err
    if command[0] == "check":
        assert "no document" not in run(capsys, "check", str(path))[2], "without an index nothing is known of it"


EXPLAINED = """\
version: 1
nodes:
  words: {use: retrieve.bm25, in: query, k: 4}
  rules: {use: retrieve.bm25, in: query, k: 4, with: {where: "source glob *.md"}}
  fused: {use: fuse.rrf, in: [words, rules], k: 4}
  same: {use: rerank.identity, in: fused, k: 4}
  NODE
output: OUTPUT
"""


@pytest.mark.parametrize("reranked", [False, True])
def test_a_search_says_of_what_parts_each_score_is_the_sum(
    capsys: pytest.CaptureFixture[str],
    lexical_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reranked: bool,
) -> None:
    monkeypatch.setitem(RERANKERS._table, "reversed", ReversedReranker)
    graph = tmp_path / "g.yaml"
    last = "fresh: {use: rerank.reversed, in: same, k: 4}" if reranked else ""
    graph.write_text(EXPLAINED.replace("NODE", last).replace("OUTPUT", "fresh" if reranked else "same"))
    command = ["search", "leave note", "--explain", "--graph", str(graph), "--index", str(lexical_index)]
    code, out, _ = run(capsys, *command, "--json")
    assert code == 0
    for hit in json.loads(out)["hits"]:
        stages = {stage["node"]: stage for stage in hit["explained"]}
        assert set(stages) == {"fresh", "fused", "words", "rules"} - (set() if reranked else {"fresh"})
        assert stages.get("fresh", {"parts": None})["parts"] is None
        assert {part["of_query"] for part in stages["fused"]["parts"]} == {"words", "rules"}
        for name in ("fused", "words", "rules"):
            parts = stages[name]["parts"]
            assert sum(part["score"] for part in parts) == pytest.approx(stages[name]["score"], rel=1e-5)
        assert hit["explained"][0]["score"] == hit["score"]
    shown = run(capsys, *command)[1]
    assert "     fused (fuse.rrf) 0.0328 is\n" in shown
    assert "words  rank 1\n" in shown
    assert ("fresh (rerank.reversed) 1.0000: rerank.reversed cannot take its scores apart" in shown) == reranked
    assert "(rerank.identity)" not in shown, "it left the scores as they were"


class ReversedReranker:
    """The last hit first."""

    def rerank(self, rankings: list[Ranking], *, k: int) -> list[Ranking]:
        return [
            Ranking(query=r.query, hits=in_this_order([hit.document for hit in reversed(r.hits)], k=k))
            for r in rankings
        ]


def test_what_is_not_in_an_index_is_told_in_exact_words(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """What has no reader by suffix, what could not be read, what was read in part, and what was only mended."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("a.xls", "b.XLS", "c.xls", "Picture"):
        (folder / name).write_text("x\x00")
    (folder / "west.txt").write_bytes("Der Preis beträgt fünf Euro.".encode("cp1252"))
    (folder / "torn.csv").write_text('a,b\n"x')
    (folder / "lines.jsonl").write_text('{"text": "a whole line"}\nbroken\n')
    command = ["index", str(folder), "--index", str(tmp_path / "idx"), "--graph", "bm25"]
    told = [
        "read in part: mixed/lines.jsonl: lines that are not a JSON object left out: 1, first in line 2",
        "not indexed: mixed/torn.csv: not a table: unexpected end of data",
        "note: mixed/west.txt: not UTF-8; read as Windows-1252",
        "not indexed: 3 .xls, 1 without a suffix: no reader for these (mixed/Picture, mixed/a.xls, mixed/b.XLS, ...)",
    ]
    for _ in ("new", "unchanged"):
        assert run(capsys, *command)[2].splitlines() == told
    report = json.loads(run(capsys, *command, "--json")[1])
    assert report["unread"] == ["mixed/torn.csv"]
    assert [problem["name"] for problem in report["problems"]] == [
        "mixed/lines.jsonl",
        "mixed/torn.csv",
        "mixed/west.txt",
    ]
    for n in range(20):
        (folder / f"d.k{n:02}").write_text("x")
    assert " 1 .k09, 10 of other kinds: no reader for these (" in run(capsys, *command)[2].splitlines()[-1]
    run(capsys, *command, "-v")
    assert {f"no reader for mixed/{name}" for name in ("a.xls", "Picture", "d.k00", "d.k19")} <= set(caplog.messages)


def test_a_first_build_that_reads_twice_tells_everything_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    for name, text in (("x.psd", "x"), ("HOWTOPUBLISH", "x\x00"), ("a.txt", "hi"), ("b.txt", "")):
        (folder / name).write_text(text)
    told = run(capsys, "index", str(folder), "--index", str(tmp_path / "idx"), "--graph", "bm25")[2]
    assert told.splitlines() == [
        "not indexed: small/b.txt: empty",
        "not indexed: 1 without a suffix, 1 .psd: no reader for these (small/HOWTOPUBLISH, small/x.psd)",
    ]


def test_what_was_removed_and_lies_there_still_is_told_at_every_build(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder, at = tmp_path / "notes", ["--index", str(tmp_path / "idx")]
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.md").write_text(f"Wheel {name}.")
    build = ["index", str(folder), *at, "--graph", "bm25"]
    assert run(capsys, *build)[2] == ""
    run(capsys, "remove", "notes/a.md", *at, "--yes")
    one = "1 file stays out, as rag remove took it: notes/a.md; index it by its own path to have it back\n"
    assert run(capsys, *build)[2] == run(capsys, *build)[2] == one
    run(capsys, "remove", "notes/b.md", *at, "--yes")
    two = (
        "2 files stay out, as rag remove took them: notes/a.md, notes/b.md; index one by its own path to have it back\n"
    )
    assert run(capsys, *build)[2] == two
    for name in "ab":
        run(capsys, "index", str(folder / f"{name}.md"), *at)
    assert run(capsys, *build)[2] == ""


def test_tables_that_are_read_in_part_are_one_line_and_told_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.csv").write_text("id,city\n" + "".join(f"{n},Berlin\n" for n in range(1_002)))
    build = ["index", str(folder), "--index", str(tmp_path / "idx"), "--graph", "bm25"]
    line = "note: data/one.csv, data/two.csv: of rows of short cells models read the first 1,000 of a file; "
    assert run(capsys, *build)[2] == f"{line}all are found by words and fields\n"
    assert run(capsys, *build)[2] == ""


def test_an_index_is_added_to_and_taken_from(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = str(tmp_path / "idx")
    for name, text in (("one", "apples"), ("two", "bananas"), ("two", "cherries")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{text[0]}.txt").write_text(text)
    assert run(capsys, "index", str(tmp_path / "one"), "--index", place, "--graph", "bm25")[0] == 0
    code, out, _ = run(capsys, "index", str(tmp_path / "two"), "--index", place)
    assert (code, out.splitlines()[0]) == (
        0,
        f"3 passages of 3 documents from 3 files of 2 sources in {place} (lexical)",
    )
    assert run(capsys, "remove", "two", "--index", place) == (
        4,
        "",
        f"rag: 2 of the 3 documents of index '{place}' would go:\n  1 of two/b.txt\n  1 of two/c.txt\n"
        "Nothing was changed. If that is meant, say so: --yes, or most_lost=1.0 in Python\n",
    )
    code, out, _ = run(capsys, "remove", "two/b.txt", "--index", place)
    assert (code, out) == (
        0,
        f"1 document gone from the index:\n  two/b.txt\n2 passages of 2 documents are left in {place}\n",
    )
    sources = json.loads(run(capsys, "sources", "--index", place, "--json")[1])["sources"]
    assert [(each["name"], each["files"], each["removed"]) for each in sources] == [
        ("one", 1, {}),
        ("two", 1, {"two/b.txt": []}),
    ]
    assert "stays out until it is indexed by its path: two/b.txt" in run(capsys, "sources", "--index", place)[1]
    assert run(capsys, "remove", "two", "--index", place, "--yes", "--json")[0] == 0
    (tmp_path / "one" / "a.txt").write_text("pears")
    assert "1 passages of 1 documents from 1 files of 1 source" in run(capsys, "index", "--index", place)[1]
    assert "pears" in run(capsys, "search", "pears", "--index", place, "--graph", "bm25")[1]


@pytest.mark.parametrize(("answer", "gone"), [("y", True), ("n", False)])
def test_at_a_terminal_a_large_loss_is_asked_about(tmp_path: Path, answer: str, gone: bool) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in "abc":
        (notes / f"{name}.txt").write_text(name * 5)
    command = [sys.executable, "-c", "import rag.cli; raise SystemExit(rag.cli.main())"]
    place = ["--index", str(tmp_path / "idx")]
    subprocess.run([*command, "index", str(notes), *place, "--graph", "bm25"], check=True, capture_output=True)
    (notes / "a.txt").unlink()
    (notes / "b.txt").unlink()
    ours, theirs = pty.openpty()
    done = subprocess.Popen([*command, "index", *place], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 4096)
    os.write(ours, answer.encode() + b"\n")
    out, _ = done.communicate(timeout=120)
    os.close(ours)
    assert (done.returncode == 0, b"2 documents gone" in out) == (gone, gone)


def test_hostile_text_reaches_the_terminal_plain(capsys: pytest.CaptureFixture[str], lexical_index: Path) -> None:
    code, out, _ = run(capsys, "search", "brazed frames", "--index", str(lexical_index), "--graph", "bm25")
    assert code == 0
    assert "\x1b" not in out
    assert "[red]Tubes[/red]" in out
    assert "[/usr/bin]" in out
    assert "<|im_end|>" in out


RED = "\x1b[31m\x07\x9b2J"
"""What colours a terminal, rings its bell and clears it."""


def test_names_in_messages_reach_the_terminal_plain(
    capsys: pytest.CaptureFixture[str], notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node, component, model and file names, in errors, notes and the usage message."""
    nodes = {f"a{RED}": {"use": "rerank.nosuch", "in": f"b{RED}", "k": 3}, "c": {"use": "retrieve.bm25", "k": 3}}
    graph = tmp_path / f"g{RED}.yaml"
    graph.write_text(json.dumps({"version": 1, "nodes": nodes, "output": f"d{RED}"}))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    told = [
        run(capsys, "check", str(graph)),
        run(capsys, "check", f"{tmp_path}/absent{RED}"),
        run(capsys, "search", "x", "--graph", "bm25", "--index", f"{tmp_path}/absent{RED}"),
        run(capsys, "models", "pull", f"a{RED}/b"),
        run(capsys, "index", str(notes), "--index", f"{tmp_path}/idx{RED}", "--graph", "bm25"),
    ]
    for wrong in (["check", "bm25", RED], ["index", "x", "--index", "i", "--states", RED, "--nosuch"]):
        with pytest.raises(SystemExit):
            main(wrong)
        told.append((2, *capsys.readouterr()))
    assert [code for code, _, _ in told[:3]] == [2, 2, 4]
    for _, out, err in told:
        assert "\ufffd[31m\ufffd\ufffd2J" in out + err
        assert not {"\x1b", "\x07", "\x9b"} & {*out, *err}


def test_logged_names_reach_the_terminal_plain(notes: Path, tmp_path: Path) -> None:
    """A damaged index is logged by its path and built anew; a process of its own, for here pytest takes the log."""
    place = tmp_path / f"idx{RED}"
    command = [sys.executable, "-m", "rag", "index", str(notes), "--index", str(place), "--graph", "bm25"]
    subprocess.run(command, check=True, capture_output=True)
    [documents] = place.glob("*/documents.jsonl")
    documents.write_bytes(b"{" + documents.read_bytes()[1:] + b" ")
    log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    assert "reading all its sources again" in log
    assert "\ufffd[31m\ufffd\ufffd2J" in log
    assert "\x1b" not in log


def test_a_query_without_known_terms_warns_and_finds_nothing(
    capsys: pytest.CaptureFixture[str], lexical_index: Path
) -> None:
    code, out, err = run(capsys, "search", "the of and", "--index", str(lexical_index), "--graph", "bm25")
    assert code == 0
    assert out == ""
    assert "node 'bm25' (retrieve.bm25): empty:" in err
    assert "nothing found" in err


@pytest.mark.parametrize("query", ["x" * 100_000, "ключ", "\x00", "keys " * 20_000])
def test_odd_queries_end_well(capsys: pytest.CaptureFixture[str], lexical_index: Path, query: str) -> None:
    assert run(capsys, "search", query, "--index", str(lexical_index), "--graph", "bm25")[0] == 0


EXITS = {
    "unknown graph": (2, "search x --index {index} --graph bm52", "Did you mean 'bm25'"),
    "no index": (4, "search x --index {index}-absent --graph bm25", "absent"),
    "no such leg": (4, "search x --index {index} --graph dense", "no dense leg"),
    "weights for legs that are not there": (
        4,
        "search x --index {index} --graph hybrid-full",
        "no sparse leg; built with",
    ),
    "nothing to index": (2, "index {index}-absent --index {index}-new --graph bm25", "absent"),
    "graph without search": (2, "search x --index {index} --graph closed-book", "no node of this graph ranks"),
    "answers of a search graph": (2, "ask x --index {index} --graph bm25", "ends in rankings"),
    "answers of a search graph as JSON": (2, "ask x --json --index {index} --graph bm25", "ends in rankings"),
    "index needed": (2, "ask x --graph ask", NO_INDEX),
    "index needed in a chat": (2, "chat", NO_INDEX),
    "index needed in a search": (2, "search x", NO_INDEX),
    "no such stage": (2, "list reranker", "Did you mean 'rerank'"),
    "no such model": (3, "models pull all-minilm --revision x", "all-minilm"),
}


@pytest.mark.parametrize("case", EXITS)
def test_exit_codes_and_messages(
    capsys: pytest.CaptureFixture[str], lexical_index: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, command, message = EXITS[case]
    given = run(capsys, *command.format(index=lexical_index).split())
    assert given[0] == code, given
    assert message in given[2]
    assert "Traceback" not in given[2]


@pytest.mark.parametrize("arguments", [["search", "x", "--index", "i", "-k", "0"], ["serch"], ["index", "--nonsense"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["serach", "x"], "search"), (["aks"], "ask"), (["models", "lst"], "list"), (["completion", "zhs"], "zsh")],
)
def test_a_slip_in_a_command_gets_the_name_that_was_meant(
    capsys: pytest.CaptureFixture[str], typed: list[str], meant: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(typed)
    assert stopped.value.code == 2
    assert f"Did you mean '{meant}'?" in capsys.readouterr().err


def test_help_has_every_command_once_those_of_every_day_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    listed = re.findall(r"^  ([a-z]+)  +\S", text, re.MULTILINE)
    [commands] = [action.choices for action in parser()._actions if action.dest == "command"]
    assert commands is not None
    assert sorted(listed) == sorted(commands)
    assert listed[: len(DAILY)] == list(DAILY)
    assert text.index("every day:") < text.index("  search ") < text.index("more:") < text.index("  lab ")


def test_no_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 2
    assert "COMMAND" in out


def test_eval_writes_a_run_folder_and_compares_with_a_baseline(
    capsys: pytest.CaptureFixture[str], data_set: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    code, text, _ = run(
        capsys, "eval", str(data_set), "--graph", "bm25", "--measures", "nDCG@10 R@10", "--out", str(out), "--json"
    )
    assert code == 0
    report = json.loads(text)
    assert report["measures"]["nDCG@10"] == pytest.approx(2 / 3)
    assert report["queries"] == 3
    assert report["outcomes"] == {"bm25": {"ok": 2, "empty": 1}}
    rows = list(csv.DictReader((out / "per_query.csv").read_text().splitlines()))
    assert [(r["qid"], float(r["nDCG@10"])) for r in rows] == [("q1", 1.0), ("q2", 1.0), ("q3", 0.0)]
    assert (out / "bm25.trec").read_text().split()[:3] == ["q1", "Q0", "d1"]
    assert json.loads((out / "report.json").read_text()) == report

    trec = tmp_path / "first.trec"
    trec.write_text("q1 Q0 d2 1 2.0 x\nq1 Q0 d1 2 1.0 x\nq3 Q0 d2 1 1.0 x\n")
    code, text, _ = run(
        capsys, "eval", str(data_set), "--graph", "bm25", "--run", str(trec), "--baseline", str(out / "bm25.trec"),
        "--measures", "R@10", "--out", str(tmp_path / "second"), "--json",
    )  # fmt: skip
    report = json.loads(text)
    assert code == 0
    assert report["measures"]["R@10"] == pytest.approx(2 / 3)
    assert report["significance"]["R@10"]["difference"] == pytest.approx(0.0)
    assert report["nodes"][0]["use"] == "retrieve.run"


def test_eval_fails_above_a_share_of_bad_outcomes(
    capsys: pytest.CaptureFixture[str], data_set: Path, tmp_path: Path
) -> None:
    graph = tmp_path / "g.yaml"
    graph.write_text(
        "version: 1\nmodels: {m: {use: llm.scripted, with: {replies: [no numbers here]}}}\n"
        "nodes:\n  bm25: {use: retrieve.bm25, k: 4}\n"
        "  ranked: {use: rerank.listwise, in: bm25, k: 4, with: {llm: m}}\noutput: ranked\n"
    )
    common = ("eval", str(data_set), "--graph", str(graph), "--out", str(tmp_path / "o"), "--measures", "nDCG@10")
    assert run(capsys, *common)[0] == 0
    code, _, err = run(capsys, *common, "--max-failures", "0.1")
    assert code == 5
    assert "--max-failures" in err


def test_eval_prints_rates_of_calls_and_counts_variants_once(
    capsys: pytest.CaptureFixture[str], data_set: Path, tmp_path: Path
) -> None:
    graph = tmp_path / "g.yaml"
    graph.write_text(
        'version: 1\nmodels: {m: {use: llm.scripted, with: {replies: ["a b\\nc d\\ne f", "a b\\nc d\\ne f", "a b"]}}}\n'
        "nodes:\n  words: {use: reformulate.multi_query, with: {llm: m}}\n"
        "  found: {use: retrieve.bm25, in: words, k: 4}\n  both: {use: fuse.rrf, in: found, k: 4}\noutput: both\n"
    )
    common = ("eval", str(data_set), "--graph", str(graph), "--out", str(tmp_path / "o"), "--measures", "nDCG@10")
    code, out, _ = run(capsys, *common, "--max-failures", "0.34")
    assert code == 0
    row = next(line for line in out.partition("per query")[2].splitlines() if "reformulate.multi_query" in line)
    assert row.split()[3] == "1.0"  # calls
    assert row.endswith("ok 66.7%, repaired 33.3%, fallback 0.0%")
    assert run(capsys, *common, "--max-failures", "0.32")[0] == 5  # one of three queries, though ten came out


def test_list_shows_parameters_and_check_prints_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(run(capsys, "list", "--json")[1])
    uses = {entry["use"]: entry for entry in listed["components"]}
    assert uses["fuse.rrf"]["parameters"][0]["name"] == "rank_constant"
    assert all(p["description"] for e in listed["components"] for p in e["parameters"] if "--index" not in p["type"])
    assert "hybrid" in {graph["name"] for graph in listed["graphs"]}
    assert "rerank.icr" in run(capsys, "list", "rerank")[1]
    schema = json.loads(run(capsys, "check", "--schema")[1])
    assert "rerank.icr" in schema["$defs"]["Node"]["properties"]["use"]["enum"]


def test_recipes_are_listed_with_their_sources_graphs_and_components(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(run(capsys, "list", "recipes", "--json")[1])
    systems = {entry["system"]: entry["source"] for entry in (*listed["components"], *listed["graphs"])}
    page = RECIPES.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| [")]
    assert len(rows) >= 14
    for row in rows:
        parts = set(re.findall(r"`([^`]+)`", row))
        there = {entry["use"] for entry in listed["components"]} | {entry["name"] for entry in listed["graphs"]}
        assert parts & there, row
    assert systems["RAG4RE"] == "Efeoglu and Paschke, arXiv 2404.13397"
    assert all(systems.values())
    lines = run(capsys, "list", "recipes")[1].splitlines()
    assert "    Knowledge Solver: Feng et al., arXiv 2309.03118" in lines
    assert not any("default" in line for line in lines), "parameters are for `rag list STAGE`"


def test_check_and_draw(capsys: pytest.CaptureFixture[str], tmp_path: Path, lexical_index: Path) -> None:
    assert run(capsys, "check", "ask")[0] == 0
    assert run(capsys, "check", "bm25", "--index", str(lexical_index))[0] == 0
    assert run(capsys, "check", "dense", "--index", str(lexical_index))[0] == 4
    assert run(capsys, "draw", "ask", "-o", str(tmp_path / "g.svg"))[0] == 0
    assert (tmp_path / "g.svg").read_text().startswith("<svg")
    code, drawn, _ = run(capsys, "draw", "bm25")
    assert code == 0
    assert "query ─▶ bm25" in drawn


def test_doctor_verifies_an_index_and_finds_a_flipped_byte(
    capsys: pytest.CaptureFixture[str], notes: Path, tmp_path: Path
) -> None:
    place = tmp_path / "idx"
    run(capsys, "index", str(notes), "--index", str(place), "--graph", "bm25")
    assert run(capsys, "doctor", "--index", str(place))[0] == 0
    victim = next(place.rglob("documents.jsonl"))
    content = bytearray(victim.read_bytes())
    content[10] ^= 1
    victim.write_bytes(content)
    code, out, _ = run(capsys, "doctor", "--index", str(place))
    assert code == 4
    assert "documents.jsonl" in out


def test_models_list_names_the_packaged_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "models", "list")
    assert code == 0
    assert "all-minilm-l6-v2" in out
    assert "smollm2-135m-instruct" in out


def test_a_closed_pipe_is_no_error(lexical_index: Path) -> None:
    command = f"{sys.executable} -m rag list | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_progress_bars_go_to_a_terminal_alone(notes: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom rag.cli.progress import progress_bar\n"
        "with progress_bar() as p:\n    p('[red]work', 0, 2); time.sleep(1.1); p('[red]work', 1, 2); time.sleep(0.3)\n"
    )
    quiet = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    master, slave = pty.openpty()
    subprocess.run([sys.executable, "-c", script], stderr=slave, check=True, env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    shown = os.read(master, 65536).decode(errors="replace")
    os.close(master)
    assert "[red]work" in shown


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["search", "x", "--indx", "idx"], "--indx idx. Did you mean '--index'?"),
        (["ask", "x", "--patence=3", "--no-servr"], "Did you mean '--patience' and '--no-server'?"),
        (["search", "x", "--qqqq"], "unrecognized arguments: --qqqq"),
    ],
)
def test_an_option_that_is_misspelt_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str], words: list[str], hint: str
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert capsys.readouterr().err.rstrip().endswith(hint)


@pytest.mark.parametrize("command", ["search", "ask"])
def test_an_empty_question_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, err = run(capsys, command, " ", "--index", "idx")
    assert (code, out) == (2, "")
    assert err == "rag: the question is empty. Give one in words, or - to read it from stdin\n"
