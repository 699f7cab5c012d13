"""A workspace learns from its own rated comments how comments sound, and the language model may read them too."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from llmrec import Event, Item, Recommender, User
from llmrec.testing import FailingLanguageModel, OverlapLanguageModel, WordEncoder

READS = {"feedback": {"burst_seconds": 0, "reading": "model"}}
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


class StumblingLanguageModel(OverlapLanguageModel):
    """Breaks on one word, as no model should."""

    def score(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        if any("zanzibar" in self.text(suffix) for suffix in suffixes):
            raise RuntimeError("broken")
        return super().score(prefix, suffixes)


def stocked(path: Path, model: OverlapLanguageModel | None, **settings: dict[str, object]) -> Recommender:
    rec = Recommender.create(path, READS | settings, encoder=WordEncoder(), language_model=model)
    rec.add_items(Item(f"i{number}", f"Rake {number}") for number in range(4))
    return rec


def test_a_comment_that_breaks_the_model_keeps_no_other_from_being_read(tmp_path: Path) -> None:
    with stocked(tmp_path / "shop", StumblingLanguageModel()) as rec:
        rec.fit()
        rec.share()
        rec.opinion("zanzibar rakes")
        rec.opinion("fine rakes")
        until = time.monotonic() + 20
        while time.monotonic() < until and not _read(rec, "fine rakes"):
            time.sleep(0.05)
        assert _read(rec, "fine rakes")


def _read(rec: Recommender, text: str) -> bool:
    return rec._parts.words()._readings().known(text) is not None  # type: ignore[misc]


def test_the_thread_that_reads_ends_with_the_recommender(tmp_path: Path) -> None:
    with stocked(tmp_path / "shop", OverlapLanguageModel()) as rec:
        rec.share()
        (thread,) = (one for one in threading.enumerate() if one.name == "comments")
        for number in range(1_200):  # more than can wait
            rec._parts.words()._added(rec._parts._readings_of_comments(), f"rake {number}")
    thread.join(20)
    assert not thread.is_alive()


def test_a_model_that_fails_leaves_a_fit_whole(tmp_path: Path) -> None:
    with stocked(tmp_path / "shop", FailingLanguageModel()) as rec:
        rec.feedback(Event("ann", "i1", "comment", text="fine rakes"))
        release = rec.fit()
        assert rec.recommend("ann").release == release.version
        assert not list(rec.workspace.training.glob("*"))


def test_without_a_language_model_comments_are_read_by_the_sentences_alone(tmp_path: Path) -> None:
    nowhere = {"models": {"language_model": str(tmp_path / "nowhere")}, "ranking": {"enabled": False}}
    with stocked(tmp_path / "shop", None, **nowhere) as rec:  # type: ignore[arg-type]
        rec.fit()
        rec.feedback(Event("ann", "i1", "comment", text="much too slow"))
        assert rec.recommend("ann").items
        assert rec.opinion("I love it").sentiment > rec.opinion("I hate it").sentiment


def test_a_turn_and_a_comment_do_not_wait_for_each_other_for_ever(tmp_path: Path) -> None:
    with stocked(tmp_path / "shop", OverlapLanguageModel()) as rec:
        catalogue, parts, found = rec.catalogue(), rec._parts, list[object]()
        parts._intents = object()  # type: ignore[assignment]  # none is asked for here, and learning them takes long
        turn = threading.Thread(target=lambda: found.append(parts.understanding(catalogue)), daemon=True)
        other = threading.Thread(target=lambda: found.append(parts.text_encoder()), daemon=True)
        with parts.words()._lock:  # as while a comment is read
            turn.start()
            time.sleep(0.5)
            other.start()
            other.join(5)
            assert not other.is_alive()  # what is shared by all is not held meanwhile
        turn.join(20)
        assert len(found) == 2
