"""The checker of explanations' words finds a fault wherever one is put into true words."""

import runpy
from pathlib import Path

import pytest

from llmrec import Evidence, Explanation, Item, Trace

ITEMS = [
    Item("alien", "Alien (1979)", attributes={"genres": ("Horror", "Sci-Fi")}),
    Item("aliens", "Aliens (1986)", attributes={"genres": ("Action", "Sci-Fi")}),
    Item("heat", "Heat", attributes={"genres": ("Crime",)}),
    Item("seven", "Seven", attributes={"genres": ("Crime",)}),
    Item("terminator", "Terminator, The (1984)", attributes={"genres": ("Action",)}),
]
TRUE = (
    "Aliens (1986) stands where it does because you gave Alien (1979) a rating of 5, took Terminator, The (1984) and "
    "took Seven. What spoke against it: you gave Heat a rating of 2. In common: genres: Sci-Fi. "
    "Of its score, +1.23 come from what you took before and -0.50 come from what you turned down."
)
EVIDENCE = (
    Evidence("event", 3.0, "alien", "gave Alien (1979) a rating of 5"),
    Evidence("event", 4.0, "terminator", "took Terminator, The (1984)"),
    Evidence("event", 1.0, "seven", "took Seven"),
    Evidence("event", -1.0, "heat", "gave Heat a rating of 2"),
    Evidence("part", 1.234, None, "retrieval"),
    Evidence("part", -0.5, None, "feedback"),
    Evidence("attribute", 1.0, None, "genres: Sci-Fi"),
)


SCRIPT = Path(__file__).parents[2] / "scripts" / "evaluate_wording.py"


def faults(text: str) -> list[str]:
    explanation = Explanation("u", ITEMS[1], text, EVIDENCE, Trace("history"))
    return list(runpy.run_path(str(SCRIPT))["Checker"](ITEMS).unsupported(explanation))


@pytest.mark.parametrize(
    "text",
    [
        TRUE,
        "Aliens is offered because you took The Terminator and Seven and gave Alien a rating of 5.0.",
        "Aliens is offered, but against it speaks that you gave Heat a rating of 2.",
    ],
)
def test_true_words_have_no_fault(text: str) -> None:
    assert faults(text) == []


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("took Seven", "took Heat"),  # of one word, and in the evidence for another deed
        ("took Terminator, The (1984)", "took Alien (1979)"),
        ("took Seven", "took Nine"),
        ("Alien (1979) a rating of 5", "Alien (1979) a rating of 4"),
        ("Alien (1979) a rating of 5", "Alien (1979) a rating of 3"),  # a strength
        ("Heat a rating of 2", "Heat a rating of 5"),  # that of another title
        ("took Seven", "bought Seven"),
        ("took Seven", "hid Seven"),
        ("gave Heat a rating of 2", "took Heat"),
        ("took Seven", "gave Seven a rating of 5"),
        ("genres: Sci-Fi", "genres: Crime"),
        ("genres: Sci-Fi", "genres: Action"),
        ("+1.23 come", "+1.24 come"),
        ("-0.50 come", "+0.50 come"),
        ("stands where", "won 11 awards and stands where"),
    ],
)
def test_a_fault_that_is_put_in_is_found(true: str, false: str) -> None:
    assert true in TRUE
    assert faults(TRUE.replace(true, false))
