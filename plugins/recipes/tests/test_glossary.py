"""Terms of a house, said otherwise in a query."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag import Query, SpecError, build_index, load_pipeline
from ragline_recipes.glossary import GlossaryReformulator, others, read_glossary

FILE = """
terms:
  - [PTO, paid time off, leave]
  - [IT, information technology]
  - [IT department, help desk]
  - [leave, absence]
protected: [annual leave party]
languages:
  de: {terms: [[AU, Krankmeldung]]}
"""


def written(folder: Path, text: str = FILE) -> Path:
    (folder / "terms.yaml").write_text(text)
    return folder / "terms.yaml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pto policy", ["paid time off policy", "leave policy"]),
        ("how is paid  time off counted?", ["how is PTO counted?", "how is leave counted?"]),
        ("is it so?", []),
        ("who leads IT here?", ["who leads information technology here?"]),
        ("call the IT department", ["call the help desk"]),
        ("the annual leave party", []),
        ("a leave", ["a PTO", "a paid time off", "a absence"]),
        ("leaves and PTOs", []),
        ("AU abgeben", ["Krankmeldung abgeben"]),
        ("nothing", []),
        ("", []),
    ],
)
def test_terms_are_said_otherwise(text: str, expected: list[str], tmp_path: Path) -> None:
    assert others(text, read_glossary(written(tmp_path))) == expected


RING = "terms: [[ab, bc], [bc, cd], [cd, ab], [ab, ab]]"


@pytest.mark.parametrize(
    ("text", "expected"), [("ab", ["bc", "cd"]), ("bc cd", ["ab cd", "cd cd", "bc bc", "bc ab"]), ("de", [])]
)
def test_lists_that_lead_round_in_a_ring_end(text: str, expected: list[str], tmp_path: Path) -> None:
    assert others(text, read_glossary(written(tmp_path, RING))) == expected


def test_a_language_has_lists_of_its_own(tmp_path: Path) -> None:
    assert others("AU abgeben", read_glossary(written(tmp_path), language="pl")) == []
    assert others("PTO", read_glossary(written(tmp_path), language="pl"))


def test_the_query_stays_first_and_the_others_are_bounded(tmp_path: Path) -> None:
    made = GlossaryReformulator(glossary=str(written(tmp_path)), n=1).reformulate(
        [Query(qid="a", text="PTO and leave"), Query(qid="b", text="nothing")]
    )
    assert [(query.qid, query.text) for query in made] == [
        ("a", "PTO and leave"),
        ("a", "paid time off and leave"),
        ("b", "nothing"),
    ]
    assert [query.outcome.kind for query in made] == ["ok", "ok", "empty"]
    assert made[1].asked == "PTO and leave"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a, b]", "a glossary is a mapping"),
        ("terms: {a: b}", "terms is a list of lists"),
        ("terms: [[alone]]", "two terms or more"),
        ("terms: [[a, 3]]", "a term is a text"),
        ("terms: [[a, '']]", "a term is a text"),
        ("synonyms: []", "unknown key 'synonyms'"),
        ("languages: [de]", "languages is a mapping"),
        ("terms: [[a, b]", "terms.yaml"),
        (f"terms: [[a, {'b' * 201}]]", "1 to 200 characters"),
    ],
)
def test_what_is_no_glossary_is_told(text: str, said: str, tmp_path: Path) -> None:
    reformulator = GlossaryReformulator(glossary=str(written(tmp_path, text)))
    with pytest.raises(SpecError, match=said):
        reformulator.reformulate([Query(qid="1", text="a")])
    with pytest.raises(SpecError, match="there is no glossary"):
        GlossaryReformulator(glossary=str(tmp_path / "none.yaml"))


def test_a_term_is_text_and_no_pattern(tmp_path: Path) -> None:
    glossary = read_glossary(written(tmp_path, r"terms: [['a.*(b', 'x']]"))
    assert others("say a.*(b now", glossary) == ["say x now"]
    assert others("say axxb now", glossary) == []


def test_many_terms_take_no_time(tmp_path: Path) -> None:
    lines = "\n".join(f"  - [t{n}x, long form of {n}]" for n in range(7_000))
    glossary = read_glossary(written(tmp_path, f"terms:\n{lines}\n"))
    assert others(f"what is t77x {'and more ' * 400}", glossary)[0].startswith("what is long form of 77 ")


def test_a_search_finds_what_says_it_otherwise(tmp_path: Path) -> None:
    texts = {"a": "Paid time off is thirty days.", "b": "A lost laptop.", "c": "The policy of the house."}
    lines = [json.dumps({"_id": doc_id, "text": text}) for doc_id, text in texts.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    build_index(tmp_path / "corpus.jsonl", tmp_path / "index", legs=("lexical",))
    nodes = {
        "asked": {"use": "reformulate.glossary", "with": {"glossary": str(written(tmp_path))}},
        "found": {"use": "retrieve.bm25", "in": "asked", "k": 5},
        "fused": {"use": "fuse.rrf", "in": ["found"], "k": 5},
    }
    with load_pipeline({"version": 1, "nodes": nodes, "output": "fused"}, index=tmp_path / "index") as pipeline:
        assert set(pipeline.search("PTO policy").doc_ids) == {"a", "c"}
    with load_pipeline("bm25", index=tmp_path / "index") as pipeline:
        assert pipeline.search("PTO policy").doc_ids == ("c",)
