"""What utterances name, on a small catalogue where the right answer is obvious."""

import numpy as np
import pytest

from llmrec import Item
from llmrec.conditions import values_of
from llmrec.errors import PromptError
from llmrec.testing import WordEncoder
from llmrec.words import Bound, Named, OpinionReader, SentenceRegression, SentimentModel, Vocabulary, read_sentences

ITEMS = {
    item.item_id: item
    for item in (
        Item("1", "The Big Sleep", attributes={"kind": ("crime", "Film-Noir"), "year": 1946}),
        Item("2", "Big", attributes={"kind": ("Comedy",), "year": 1988}),
        Item("3", "War of the Worlds", attributes={"kind": ("Sci-Fi", "War"), "year": 1953}),
        Item("4", "The War", attributes={"kind": ("Drama", "War"), "year": 1994}),
        Item("5", "Dumb & Dumber", attributes={"kind": ("Comedy",), "year": 1994}),
        Item("6", "Schindler's List", attributes={"kind": ("Drama", "War"), "year": 1993}),
        Item("7", "Twelve Parks (T12)", attributes={"kind": ("Drama",), "year": 1995}),
        Item("8", "Night Train 2: The Return", attributes={"kind": ("crime",), "year": 1996}),
    )
}
WORDS = Vocabulary(ITEMS, None, frozenset({"something", "big", "show", "me", "why", "the", "first", "more", "like"}))


@pytest.mark.parametrize(
    ("said", "subjects"),
    [
        ("more like the big sleep", ("1",)),
        ("why Big and not War of the Worlds?", ("2", "3")),
        ("show me something big", ()),
        ("no more war films", ()),
        ("what about “Big”", ("2",)),
        ("dumb and dumber? no: Dumb & Dumber", ("5",)),
        ("War of the Wrolds", ("3",)),
        ("the second one or number 4", (2, 4)),
        ("1 or 2", (1, 2)),
        ("the last one", (-1,)),
        ("undo the last step", ()),
        ("hide the 2nd one", (2,)),
        ("the 99th one", (99,)),
        ("is the first better than The War", (1, "4")),
        ("where is Schindler's List", ("6",)),
        ("Schindler's List was long", ("6",)),
        ("more like 12 parks", ("7",)),
        ("more like t12", ("7",)),
        ("why night train 2", ("8",)),
        ("explain no. 2", (2,)),
        ("could you elaborate on the third suggestion", (3,)),
        ("cancel my last one", ()),
        ("at first I wait a second", ()),
        ("anything from the last few years", ()),
        ("show me the top 5", ()),
    ],
)
def test_items_and_places_are_found(said: str, subjects: tuple[str | int, ...]) -> None:
    assert WORDS.read(said).subjects == subjects


def test_a_name_for_short_that_two_items_could_have_is_the_name_of_none() -> None:
    other = Item("9", "Night Train 2: The Beginning")
    assert Vocabulary({**ITEMS, "9": other}).read("more like night train 2").subjects == ()


def test_a_title_is_found_where_only_its_strange_words_are_misspelt() -> None:
    words = Vocabulary({"1": Item("1", "Jurassic Park")}, None, frozenset({"park", "bark"}))
    assert words.read("show jurasic park").subjects == ("1",)
    assert words.read("show jurasic bark").subjects == ()


def test_of_two_items_of_one_title_the_one_on_the_list_is_meant() -> None:
    items = {**ITEMS, "9": Item("9", "Big Sleep", attributes={"year": 1978})}
    assert Vocabulary(items).read("why the big sleep", shown=["3", "9"]).subjects == ("9",)


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("only comedies", [("Comedy", True)]),
        ("no sci-fi, please", [("Sci-Fi", False)]),
        ("a comedy without war", [("Comedy", True), ("War", False)]),
        ("anything but crime", [("crime", False)]),
        ("not only comedies", [("Comedy", True)]),
        ("nothing but comedies", [("Comedy", True)]),
        ("why not a comedy", [("Comedy", True)]),
        ("a comdy", [("Comedy", True)]),
        ("film noir", [("Film-Noir", True)]),
        ("no war, only drama", [("War", False), ("Drama", True)]),
        ("leave the war films out", [("War", False)]),
        ("comedies are not for me", [("Comedy", False)]),
        ("comedy's not for me", [("Comedy", False)]),
        ("war and war", [("War", True)]),
        ("any comedies out there", [("Comedy", True)]),
        ("none of that war stuff", [("War", False)]),
        ("I can't get enough of comedies", [("Comedy", True)]),
        ("keine Dramafilme", [("Drama", False)]),
        ("sin war por favor", [("War", False)]),
    ],
)
def test_values_are_found_with_their_sign(said: str, values: list[tuple[str, bool]]) -> None:
    assert [(one.value, one.wanted) for one in WORDS.read(said).values] == values


@pytest.mark.parametrize(
    ("said", "bounds"),
    [
        ("before 1970", [Bound("year", most=1969)]),
        ("nothing older than 1990", [Bound("year", least=1990)]),
        ("between 1985 and 1980", [Bound("year", 1980, 1985)]),
        ("from the 90s", [Bound("year", 1990, 1999)]),
        ("from the nineties", [Bound("year", 1990, 1999)]),
        ("nothing from the 2000s", [Bound("year", 2000, 2009, wanted=False)]),
        ("after 1995, but not after 1999", [Bound("year", least=1996), Bound("year", most=1999)]),
        ("under 20 euros", [Bound("price", most=20)]),
        ("at most $ 12.50", [Bound("price", most=12.5)]),
        ("shorter, and not so old", [Bound("length", direction=-1), Bound("year", direction=1)]),
        ("under 90 minutes", [Bound("minutes", most=90)]),
        ("I am 30 years old", []),
        ("1980-1989", [Bound("year", 1980, 1989)]),
        ("pre 1960", [Bound("year", most=1959)]),
        ("1994 or later", [Bound("year", least=1994)]),
        ("exclude anything after 1990", [Bound("year", most=1990)]),
        ("between 10 and 20 euros", [Bound("price", 10, 20)]),
        ("20 dollars or less", [Bound("price", most=20)]),
        ("nothing over 30 euros", [Bound("price", most=30)]),
        ("less than 2 hours", [Bound("minutes", most=120)]),
        ("no longer than 40 minutes", [Bound("minutes", most=40)]),
    ],
)
def test_bounds_are_found(said: str, bounds: list[Bound]) -> None:
    assert list(WORDS.read(said).bounds) == bounds


@pytest.mark.parametrize(
    ("said", "stars"),
    [
        ("five stars for Big", 5),
        ("4 out of 5", 4),
        ("rate The Big Sleep 3", 3),
        ("3/5", 3),
        ("the 4th of 5 films", None),
        ("The Big Sleep deserves a 5", 5),
        ("give me 5", None),
    ],
)
def test_ratings_are_found(said: str, stars: float | None) -> None:
    assert WORDS.read(said).stars == stars


def test_names_are_masked_and_never_cut() -> None:
    read = WORDS.read("I loved Dumb & Dumber, but no more comedies and nothing before 1980")
    assert read.masked == "i loved Title , but no more genre and newer than 1990"
    assert read.clauses == ("I loved Dumb & Dumber", "no more comedies", "nothing before 1980")


def test_true_is_not_one() -> None:
    assert not values_of(True) & values_of(1)
    assert values_of([True, "A"]) == values_of((True, "a"))


def test_what_is_written_without_sense_names_nothing() -> None:
    for said in ("", "   ", "\u202e\u0000", "?" * 1000, "a " * 100_000):
        read = WORDS.read(said)
        assert not read.subjects
        assert not read.narrows


def test_a_regression_tells_what_it_learnt() -> None:
    encoder = WordEncoder()
    sentences = ["good food", "good wine", "bad food", "bad wine"]
    learnt = SentenceRegression.learn(sentences, np.array([[1.0], [1], [-1], [-1]]), encoder)
    told = learnt.scores(["good soup", "bad soup", "soup"])[:, 0]
    assert told[0] > 0.3 > abs(told[2]) > -0.3 > told[1]


def test_a_comment_may_be_for_one_thing_and_against_another() -> None:
    sentences = [("I loved it", 1.0), ("great fun", 1.0), ("I hated it", -1.0), ("a dull bore", -1.0)]
    reader = OpinionReader(WORDS, SentimentModel(sentences, WordEncoder()))
    opinion = reader.read("I loved the comedy, but hated the war")
    liking = {named.value: told for named, told in opinion.values}
    assert liking["Comedy"] > 0.2
    assert liking["War"] < -0.2
    assert reader.read("I hated it").sentiment < -0.5 < 0.5 < reader.read("I loved it").sentiment
    assert Named("kind", "War") in [named for named, _ in reader.read("more war").values]


@pytest.mark.parametrize("line", ["good", "2\tgood", "x\tgood", "nan\tgood", "1\t "])
def test_a_line_that_is_no_opinion_is_refused(tmp_path, line: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "opinions.tsv"
    path.write_text(f"1\tgood\n{line}\n")
    with pytest.raises(PromptError, match="line 2"):
        read_sentences(path)
