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


OTHER = "another deed, side or order than the facts"


@pytest.mark.parametrize(
    "sentence",
    [
        "Aliens is offered because you gave Alien a rating of 5.",
        "Aliens (1986) is offered because you gave Alien (1979) a rating of 5 and took The Terminator.",
        "It stands here because you took The Terminator and gave Alien a rating of 5.0.",
        "Because you liked Mr. Jones, Aliens is offered.",
        "Aliens is offered because you liked Mr. Jones, but against it speaks that you did not like Titanic.",
        "Aliens is offered, but against it speaks that you did not like Titanic.",
        "They have Action in common.",
        "In common: genres: Action.",
        "Against it speaks that you did not like Titanic.",
        "You gave Alien five stars, but you did not like Titanic.",
        "You rated “Alien” 5, took The Terminator and liked Mr. Jones.",
        "You searched for “space marines”.",
        'You searched for "space marines" and you took Terminator, The (1984).',
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
        ("It is offered because you took The Terminator, as did Sigourney Weaver.", "the word Sigourney"),
        ("It is offered because you took Terminator Genisys.", "the word Genisys"),
        ("Aliens is a Romance like Alien.", "genres: Romance"),
        ("You gave Alien a rating of 4.", "the word 4"),
        ("You gave Alien a rating of 1.2.", "the word 1.2"),
        ("You gave Alien a rating of 1.23.", "the word 1.23"),
        ("You gave Alien a rating of .5.", OTHER),
        ("You gave Alien four stars.", "the word four"),
        ("You gave Mr. Jones a rating of 5.", OTHER),
        ("You took The Terminator in 1984.", "the word 1984"),
        ("Its score is +1.24 higher because you took The Terminator.", "the word 1.24"),
        ("You took Alien and The Terminator.", OTHER),
        ("You bought The Terminator.", OTHER),
        ("You did not like Mr. Jones.", OTHER),
        ("It is offered because you did not like Titanic.", OTHER),
        ("Against it speaks that you liked Mr. Jones.", OTHER),
        ("It is not offered because you liked Mr. Jones.", OTHER),
        ("It is offered because you bought Aliens.", OTHER),
        ("You searched for “love stories”.", "the word stories"),
        ("It is offered because you took The Terminator and a romance.", "genres: Romance"),
        ("It is offered because you gave Alien.", OTHER),
        ("You will love it.", OTHER),
        ("It is offered because you took The Terminator and", OTHER),
        ("You liked \ue000.", OTHER),
    ],
)
def test_what_they_do_not_hold_is_named(sentence: str, why: str) -> None:
    assert why in unsupported(sentence, FACTS, NAMES)


@pytest.mark.parametrize(
    "sentence",
    [
        "You took The Terminator and bought Aliens.",
        "You liked Mr. Jones and hid Aliens.",
        "Aliens won eleven awards because you liked Mr. Jones.",
        "Aliens is a murder story by james cameron because you liked Mr. Jones.",
        "It is cheap, short and free because you liked Mr. Jones.",
        "It is a worse offer because you liked Mr. Jones.",
        "The score falls because you liked Mr. Jones.",
        "Against it speaks only this: because you liked Mr. Jones.",
        "You hardly liked Mr. Jones.",
        "You barely liked Mr. Jones.",
        "You rarely liked Mr. Jones.",
        "It fails to match because you liked Mr. Jones.",
        "Alien and Aliens have Action in common.",
        "Mr. Jones is Action.",
        "Other people liked Mr. Jones.",
        "He liked Mr. Jones.",
        "Its score is +1.23 higher because you took The Terminator.",
        "You liked Mr. Jones, but took The Terminator.",
        "Aliens is offered because you liked Mr. Jones, but you took The Terminator.",
    ],
)
def test_words_that_no_fact_accounts_for_are_refused(sentence: str) -> None:
    assert unsupported(sentence, FACTS, NAMES)


def told_of(*titles: str, text: str, item_id: str = "0") -> tuple[Facts, Names]:
    """Facts of one event on one of several films of a catalogue."""
    items = {str(place): Item(str(place), title) for place, title in enumerate(titles)}
    return Facts("Heat", causes=(Evidence("event", 1.0, item_id, text),)), Names(items, Titles(items), lambda _: [])


def test_a_longer_title_of_the_catalogue_is_another_one() -> None:
    rocky = told_of("Rocky", "Rocky 5", text="gave Rocky a rating of 5")
    assert unsupported("It is offered because you gave Rocky a rating of 5.", *rocky) == []
    assert unsupported("It is offered because you gave Rocky 5 a rating of 5.", *rocky) == ["the title Rocky 5"]
    talking = told_of("Look Who's Talking", "Look Who's Talking Too", text="took Look Who's Talking")
    assert unsupported("You took Look Who\u2019s Talking.", *talking) == []
    assert "the title Look Who's Talking Too" in unsupported("You took Look Who's Talking Too.", *talking)


def test_two_titles_told_together_are_not_a_third_one() -> None:
    facts, names = told_of("Harold", "Maude", "Harold and Maude", text="took Harold")
    facts = Facts("Heat", causes=(*facts.causes, Evidence("event", 1.0, "1", "took Maude")))
    assert unsupported("You took Harold, and took Maude.", facts, names) == []
    assert unsupported("You took Harold and Maude.", facts, names) == ["the title Harold and Maude"]


def test_words_of_every_sentence_are_a_title_only_as_they_are_written() -> None:
    it = told_of("It", text="liked It")
    assert unsupported("Heat is offered because you liked It.", *it) == []
    assert unsupported("Heat is offered because you liked it.", *it)


@pytest.mark.parametrize("title", ["E.T.", "Dr.  Who", "Airplane!", "Mr. Jones"])
def test_a_true_sentence_with_an_odd_title_is_kept(title: str) -> None:
    facts, names = told_of(title, text=f"took {title}")
    end = "" if title.endswith((".", "!")) else "."
    text = f"Heat is offered because you took {' '.join(title.split())}{end} You took {title}{end}"
    found = checked(text, facts, names)
    assert len(found.kept) == 2, found


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
    assert found.dropped[0][1] == (OTHER,)
    assert found.dropped[1][1] == ("said before",)


def test_facts_come_back_from_their_json_form() -> None:
    assert Facts.from_dict(FACTS.to_dict()) == FACTS
