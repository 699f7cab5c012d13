"""A workspace learns from its own rated comments how comments sound, and the language model may read them too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrec import Event, Item, Recommender, User
from llmrec.testing import OverlapLanguageModel, WordEncoder

GOOD, BAD = ("a blip of a rake", "quite the blip", "blip blip"), ("a snorf of a rake", "such a snorf", "snorf snorf")


def filled(path: Path, **feedback: object) -> Recommender:
    settings = {"feedback": {"burst_seconds": 0, "rated_comments": 6, **feedback}}
    rec = Recommender.create(path, settings, encoder=WordEncoder(), language_model=OverlapLanguageModel())
    rec.add_items(Item(f"i{number}", f"Rake {number}", attributes={"room": "garden"}) for number in range(8))
    for number, text in enumerate((*GOOD, *BAD)):
        stars = 5 if text in GOOD else 1
        rec.feedback(Event(f"u{number}", f"i{number}", "rating", value=stars, text=text, event_id=f"e{number}"))
    return rec


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Recommender]:
    with filled(tmp_path / "shop") as rec:
        yield rec


def liking(rec: Recommender) -> float:
    return rec.opinion("it is a blip").sentiment - rec.opinion("it is a snorf").sentiment


def test_a_fit_learns_what_words_mean_here_and_another_process_knows_it(shop: Recommender) -> None:
    assert abs(liking(shop)) < 0.2
    release = shop.fit()
    assert liking(shop) > 0.6
    assert "comments.json" in release.manifest["files"]
    kept = [path.read_bytes() for path in shop.workspace.releases.rglob("*") if path.is_file()]
    assert not any(b"snorf" in one for one in kept)  # a release holds which comments, not what they say
    with Recommender.open(shop.workspace.root, encoder=WordEncoder(), language_model=OverlapLanguageModel()) as other:
        assert liking(other) == pytest.approx(liking(shop))


def test_too_few_rated_comments_change_nothing(tmp_path: Path) -> None:
    with filled(tmp_path / "shop", rated_comments=7) as rec:
        before = liking(rec)
        rec.fit()
        assert liking(rec) == before


def test_who_keeps_out_of_learning_is_not_learnt_from(shop: Recommender) -> None:
    shop.add_users([User("u5", {"learning": False})])
    shop.fit()
    assert abs(liking(shop)) < 0.2  # five are left


def test_what_is_taken_back_is_unlearnt_at_once(shop: Recommender) -> None:
    shop.fit()
    learnt = liking(shop)
    for number in range(6):
        shop.take_back(f"u{number}", [f"e{number}"])
    assert abs(liking(shop)) < 0.2 < learnt


def test_an_earlier_release_reads_as_it_did(shop: Recommender) -> None:
    with_comments = shop.fit()
    for number in range(6):
        shop.feedback(Event(f"u{number}", "i7", "rating", value=3, text="a rake"))
    shop.forget("u0")
    shop.forget("u5")
    shop.fit()
    shop.releases.promote(with_comments.version)
    assert liking(shop) > 0.3


def test_the_language_model_reads_comments_beside_the_requests(tmp_path: Path) -> None:
    model = OverlapLanguageModel()
    settings = {"feedback": {"burst_seconds": 0, "reading": "model"}}
    with Recommender.create(tmp_path / "shop", settings, encoder=WordEncoder(), language_model=model) as rec:
        rec.add_items(Item(f"i{number}", f"Rake {number}") for number in range(4))
        rec.feedback(Event("ann", "i1", "comment", text="zanzibar rakes are fine"))
        rec.fit()
        assert rec.read_comments() == 0  # the fit has read it
        rec.feedback(Event("ann", "i2", "comment", text="not so good", event_id="c2"))
        rec.recommend("ann")
        assert rec.read_comments() == 1  # the request has not waited for it
        (kept,) = (path.read_text() for path in rec.workspace.comments.glob("*.json"))
        assert "zanzibar" not in kept
        assert "ann" not in kept
        rec.take_back("ann", ["c2"])
        assert rec.read_comments() == 0
