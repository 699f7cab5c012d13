"""A sentence stands only if the facts hold all of it: titles, values, numbers, deeds and the side they are on."""

import pytest

from llmrec import Evidence, Item
from llmrec.explaining import Facts, Names, checked, unsupported
from llmrec.explaining.checking import sentences_of
from llmrec.explaining.titles import Titles
from llmrec.words import Vocabulary

ITEMS = {
    item_id: Item(item_id, title, attributes={"genres": genres, "year": year})
    for item_id, title, genres, year in [
        ("aliens", "Aliens (1986)", ("Action", "Sci-Fi"), 1986),
        ("alien", "Alien (1979)", ("Horror", "Sci-Fi"), 1979),
        ("terminator", "Terminator, The (1984)", ("Action",), 1984),
        ("jones", "Mr. Jones", ("Drama",), 1993),
        ("titanic", "Titanic (1997)", ("Romance",), 1997),
        ("toy", "Toy Story 2", ("Animation",), 1999),
        ("it", "It", ("Horror",), 1990),
        ("heat", "Heat", ("Crime",), 1995),
    ]
}
FACTS = Facts(
    "Aliens (1986)",
    causes=(
        Evidence("event", 1.0, "alien", "gave Alien (1979) a rating of 5"),
        Evidence("event", 0.5, "terminator", "took Terminator, The (1984)"),
        Evidence("event", 0.4, "jones", "liked Mr. Jones"),
        Evidence("event", 0.3, None, "searched for “space marines”"),
    ),
    against=(Evidence("event", -0.7, "titanic", "did not like Titanic (1997)"),),
    shared=(Evidence("attribute", 2.0, None, "genres: Action"),),
    parts=(Evidence("part", 1.234, None, "retrieval"),),
)
VOCABULARY = Vocabulary(ITEMS)
NAMES = Names(
    ITEMS, Titles(ITEMS), lambda text: [(one.attribute, one.value) for one in VOCABULARY.read(text, slips=False).values]
)


@pytest.mark.parametrize(
    "sentence",
    [
        "Aliens is offered because you gave Alien a rating of 5.",
        "Aliens (1986) is offered because you gave Alien (1979) a rating of 5 and took The Terminator.",
        "It stands here because you took The Terminator and gave Alien a rating of 5.0.",
        "Because you liked Mr. Jones, Aliens is offered.",
        "They have Action in common.",
        "Against it speaks that you did not like Titanic.",
        "You gave Alien five stars, but you did not like Titanic.",
        "You searched for “space marines”.",
        "The score is +1.23 higher because you took The Terminator.",
    ],
)
def test_what_the_facts_hold_may_be_said(sentence: str) -> None:
    assert unsupported(sentence, FACTS, NAMES) == []


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("It is offered because you liked Heat.", "the title Heat"),
        ("It is offered because you liked It.", "the title It"),
        ("It is offered because you took Toy Story 2.", "the title Toy Story 2"),
        ("It is offered because you took The Terminator, as did Sigourney Weaver.", "the name Sigourney"),
        ("It is offered because you took Terminator Genisys.", "the name Genisys"),
        ("Aliens is a Romance like Alien.", "genres: Romance"),
        ("You gave Alien a rating of 4.", "the number 4"),
        ("You gave Alien four stars.", "the number four"),
        ("You gave Mr. Jones a rating of 5.", "the number 5"),
        ("You took The Terminator in 1984.", "the number 1984"),
        ("The score is +1.24 higher because you took The Terminator.", "the number +1.24"),
        ("You took Alien and The Terminator.", "“took” of Alien"),
        ("You bought The Terminator.", "“bought” of The Terminator"),
        ("You did not like Mr. Jones.", "“did not like” of Mr. Jones"),
        ("It is offered because you did not like Titanic.", "Titanic as a reason for it"),
        ("Against it speaks that you liked Mr. Jones.", "Mr. Jones as against it"),
        ("It is not offered because you liked Mr. Jones.", "a negation"),
        ("It is offered because you bought Aliens.", "“bought” of Aliens"),
        ("You searched for “love stories”.", "the quotation 'love stories'"),
        ("It is offered because you took The Terminator and a romance.", "the word romance"),
        ("It is offered because you gave Alien.", "“gave” of Alien"),
        ("You will love it.", "nothing of the evidence"),
        ("It is offered because you took The Terminator and", "no end"),
    ],
)
def test_what_they_do_not_hold_is_named(sentence: str, why: str) -> None:
    assert why in unsupported(sentence, FACTS, NAMES)


def test_the_full_stop_of_a_title_ends_no_sentence() -> None:
    text = "You liked Mr. Jones. They have Action in common.\nYou took The Terminator."
    assert sentences_of(text, FACTS, NAMES) == [
        "You liked Mr. Jones.",
        "They have Action in common.",
        "You took The Terminator.",
    ]


def test_true_sentences_are_kept_and_the_others_are_dropped_with_their_reasons() -> None:
    found = checked("You liked Mr. Jones. You liked Titanic. You liked Mr. Jones.", FACTS, NAMES)
    assert found.text == "You liked Mr. Jones."
    assert [sentence for sentence, _ in found.dropped] == ["You liked Titanic.", "You liked Mr. Jones."]
    assert "Titanic as a reason for it" in found.dropped[0][1]
    assert found.dropped[1][1] == ("said before",)


def test_a_mark_in_foreign_text_is_no_title() -> None:
    assert unsupported("You liked \ue000.", FACTS, NAMES)


def test_facts_come_back_from_their_json_form() -> None:
    assert Facts.from_dict(FACTS.to_dict()) == FACTS
