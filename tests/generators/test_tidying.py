from __future__ import annotations

import pytest

from generators.tidying import Tidier, tidy


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Bogdan Wrona, [1]", "Bogdan Wrona [1]"),
        ("Bogdan Wrona,", "Bogdan Wrona"),
        ("Steel, [1]\nTin; [2]", "Steel [1]\nTin [2]"),
        ("In passage [1], you can get 4.60 NOK per kilometre. [1]", "You can get 4.60 NOK per kilometre. [1]"),
        ("In passage [1], you can get 4.60 NOK.", "You can get 4.60 NOK. [1]"),
        (
            "The passage **[3]** states that a seal may be kept for 35 minutes at most. **[1]**",
            "A seal may be kept for 35 minutes at most. [1]",
        ),
        ("Steel. [1] According to the passage [2], tin is soft. [2]", "Steel. [1] Tin is soft. [2]"),
        ("As stated in passage 2, tin is soft [2].", "Tin is soft [2]."),
        # what stays as it is
        ("Steel, tin and lead [1], which is soft [2].", "Steel, tin and lead [1], which is soft [2]."),
        ("The passage of time is slow [1].", "The passage of time is slow [1]."),
        ("In the passage to the cellar stands a lamp [1].", "In the passage to the cellar stands a lamp [1]."),
        ("Use this:\n```\na = b[1],\nIn passage [1], c\n```", "Use this:\n```\na = b[1],\nIn passage [1], c\n```"),
        ("Apples,\npears [1]", "Apples,\npears [1]"),
        ("**Steel** [1]", "**Steel** [1]"),
    ],
)
def test_an_answer_says_what_is_so_however_it_comes(said: str, wanted: str) -> None:
    assert tidy(said) == wanted
    for size in (1, 2, 3, 7, len(said)):
        tidier = Tidier()
        pieces = [tidier.add(said[start : start + size]) for start in range(0, len(said), size)]
        assert "".join([*pieces, tidier.finish()]) == wanted, size


def test_the_first_words_are_not_held_back() -> None:
    tidier = Tidier()
    assert tidier.add("The maximum is 2") == "The maximum is 2"
    assert tidier.add(",") == ""
    assert tidier.add("400 NOK.") == ",400 NOK."
    assert tidier.add(" In pas") == " "
